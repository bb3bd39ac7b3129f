# SPDX-License-Identifier: GPL-2.0
"""lib/build.sh, no-notifier.sh, bisect.sh and ccache-cc.sh, on a fake kernel that a fake make compiles."""
import os
import shutil
import subprocess

import pytest

import fakebuild
from fakebuild import bash, results

fake_build, build = fakebuild.fake_build, fakebuild.build


def more(bench, before, after):
    return bash(bench, 'more "$1" "$2"', bench.write(before, 'before'), bench.write(after, 'after'))


def test_more_none(bench):
    more(bench, '', '').ok()


def test_more_as_many_as_before(bench):
    more(bench, 'one.c:1:1: warning: old\n', 'one.c:7:1: warning: old, moved\n').ok()


def test_more_one_and_only_that(bench):
    old = 'one.c:1:1: warning: old\n'
    result = more(bench, old, old + 'two.c:1:1: warning: new\n').says('two.c:1:1: warning: new')
    assert 'one.c' not in result.out


def test_more_after_no_message(bench):
    more(bench, '', 'two.c:1:1: warning: new\n').says('two.c: 1 messages, 0 before')


@pytest.mark.parametrize(
    'said, message',
    [
        ('make[3]: *** [scripts/Makefile.build:295: x.o] Error 1', 'x.o: make: Error 1'),
        ("make: *** No rule to make target 'y.o'.  Stop.", 'y.o: make: no rule'),
        ('Warning: {B}/work/linux/mm/rmap.c:5 no description', 'mm/rmap.c:5: warning: no description'),
        ('mm/rmap.o: warning: objtool: f(): unreachable', 'mm/rmap.o: warning: objtool: f(): unreachable'),
        ('{B}/work/linux/one.c:1:2: error: no', 'one.c:1:2: error: no'),
        ('../linux/mm/a.c:1:2: warning: context imbalance', 'mm/a.c:1:2: warning: context imbalance'),
        ('mm/a.c:1:2: warning: bad constant expression', ''),
        ('  CC      mm/a.o', ''),
    ],
)
def test_messages(bench, said, message):
    log = bench.write(said.format(B=f'{bench.root}/build') + '\n', 'log')
    result = bash(bench, 'src=$B/work/linux; messages "$1"', log).ok()
    assert result.out.strip() == message


@pytest.mark.parametrize('command, through', [('cc -c x.c', True), ('cc -c x.S', False)])
def test_assembler_does_not_go_through_ccache(bench, command, through):
    bench.program('ccache', '#!/bin/sh\necho ccache "$@"\n')
    bench.program('cc', '#!/bin/sh\necho cc "$@"\n')
    result = bench.run('scripts/ccache-cc.sh', *command.split()).ok()
    assert result.out.strip() == ('ccache ' if through else '') + command


@pytest.mark.parametrize('there', [True, False])
def test_kernel_env(bench, there):
    bench.program('ccache' if there else 'unused', '#!/bin/sh\n')
    line = (
        'command() { [ $# != 2 ] || [ "$2" != ccache ] || return 1; }; ' * (not there)
        + 'kernel_env; echo "$hostcc|$cc"'
    )
    out = bash(bench, line).ok().out.strip()
    assert out == (f'ccache gcc|{bench.root}/scripts/ccache-cc.sh gcc' if there else 'gcc|gcc')


# second work trees
WORK = 'worktree "$B/work/linux" "$1"; git -C "$src" rev-parse HEAD; cat "$src/one.c"'


def test_worktree(build):
    commit = build.commit('one.c', 'first', 'one: first')
    assert bash(build, WORK, 'series').ok().out.startswith(commit)
    assert 'first' in bash(build, WORK, 'series').ok().out
    assert 'first' not in bash(build, WORK, 'base').ok().out


def test_worktree_that_was_broken_off_or_changed(build):
    bash(build, WORK, 'base').ok()
    work = build.path('build/work/linux')
    build.write('x', work, 'left.c')
    build.write('x', work, 'one.c')
    os.remove(f'{work}/two.c')
    build.write('', build.B, 'linux/.git/worktrees/linux/index.lock')
    bash(build, WORK, 'base').ok()
    assert build.git('status', '--porcelain', '--ignored', at=work) == ''


def test_worktree_of_another_tree(build):
    bash(build, WORK, 'base').ok()
    shutil.rmtree(build.linux)
    build.run('scripts/tree.sh').ok()
    bash(build, WORK, 'base').ok()
    work = build.path('build/work/linux')
    shutil.rmtree(work)
    build.write('x', work, 'foreign')
    bash(build, WORK, 'base').ok()
    assert not os.path.exists(f'{work}/foreign')


def test_worktree_is_for_one_alone(build):
    line = WORK + '; echo has it; read -r x'
    command = f'. scripts/lib/common.sh; . scripts/lib/build.sh; {line}'
    first = subprocess.Popen(
        ['bash', '-euo', 'pipefail', '-c', command, 'bash', 'base'],
        cwd=build.root,
        env=build.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    while b'has it' not in first.stdout.readline():
        pass
    bash(build, WORK, 'base').says_one_line(f'(pid {first.pid})')
    # another tree, or build directory, is free
    bash(build, WORK.replace('work/linux', 'other/linux'), 'base').ok()
    first.communicate(b'x\n')
    bash(build, WORK, 'base').ok()


# configurations
def configure(bench, *args):
    return bash(bench, 'worktree "$B/work/linux" series; configure "$B/work/o" "$@"', *args)


def test_configure_keeps_what_is_asked_for(build):
    configure(build, 'x86_64', 'gcc', 'kunit', 'OFF=n', 'UNKNOWN=y').ok()
    assert build.read('build/work/o/.config') == 'CONFIG_KUNIT=y\n# CONFIG_OFF is not set\n'


def test_configure_again_does_nothing(build):
    configure(build, 'x86_64', 'gcc', 'kunit', 'OFF=n').ok()
    shutil.move(build.path('../bin/make'), build.path('../bin/gone'))
    build.program('make', '#!/bin/sh\nexit 1\n')
    configure(build, 'x86_64', 'gcc', 'kunit', 'OFF=n').ok()
    configure(build, 'x86_64', 'gcc', 'kunit').says('')
    shutil.move(build.path('../bin/gone'), build.path('../bin/make'))


def test_configure_again_when_kconfig_changed(build):
    configure(build, 'x86_64', 'gcc', 'kunit', 'OFF=n', 'NEW=y').ok()
    build.commit('Kconfig', 'config NEW', 'Kconfig: new')
    configure(build, 'x86_64', 'gcc', 'kunit', 'OFF=n', 'NEW=y').ok()
    assert 'CONFIG_NEW=y' in build.read('build/work/o/.config')


@pytest.mark.parametrize(
    'config, options, said',
    [
        ('kunit', ['DROPPED=y'], 'Kconfig does not keep what was asked for'),
        ('kunit', ['KUNIT=n'], '# CONFIG_KUNIT is not set'),
        ('kunit', ['UNMET=y'], 'unmet direct'),
        ('nonsenseconfig', [], 'no such configuration'),
    ],
)
def test_configure_fails(build, config, options, said):
    configure(build, 'x86_64', 'gcc', config, *options).says(said)


def test_configure_tools(build):
    line = 'worktree "$B/work/linux" series; configure "$B/work/o" x86_64 "$1" allnoconfig; echo "${kbuild[@]}"'
    assert 'LLVM=-19' in bash(build, line, 'clang-19').ok().out
    out = bash(build, line, 'aarch64-linux-gnu-').ok().out
    assert 'CROSS_COMPILE=aarch64-linux-gnu-' in out and 'aarch64-linux-gnu-gcc' in out


def test_kunit_suites_of_the_tree_are_configured(build):
    configure(build, 'x86_64', 'clang-19', 'kunit').ok()
    assert 'mm/tests' not in build.read('build/work/o/arguments')
    build.write('CONFIG_A=y\n', build.linux, 'mm/tests/.kunitconfig')
    build.git('add', '-A')
    build.git('commit', '-q', '-m', 'suites')
    configure(build, 'x86_64', 'clang-19', 'kunit').ok()
    said = build.read('build/work/o/arguments')
    assert '--kunitconfig=mm/tests ' in said and '/kunit/x86_64.kunitconfig ' in said and '--arch=x86_64' in said
    assert '--make_options=LLVM=-19' in said


# a step
def test_try_holds_set_e_and_records(build):
    build.write('', 'results.tsv')
    line = (
        'out=$B; f() { false; echo on; }; try 1 2 g f f; g() { echo said; }; try 2 2 g g g; echo "failed: ${failed[*]}"'
    )
    result = bash(build, line).ok()
    assert 'on\n' not in result.out and result.out.endswith('failed: f\n')
    assert results(build) == {'f': ('fail', ''), 'g': ('pass', '')}
    assert '[2/2] g ... ok said (' in result.out


def test_try_names_the_first_line(build):
    bash(build, 'out=$B; f() { printf "\\n  a\\tb\\nc\\n"; false; }; try 1 1 g f f').ok()
    assert results(build)['f'] == ('fail', '  a b')


# no-notifier.sh
def no_notifier(build):
    return build.run('scripts/no-notifier.sh')


def test_no_notifier_nothing_is_left(build):
    build.edit('^CALL', '', build.linux, 'mm/b.c')
    build.git('commit', '-q', '-a', '-m', 'no code')
    result = no_notifier(build).ok()
    assert '1 files, 1 instructions' in result.out
    assert {name: of[0] for name, of in results(build).items()} == {'x86_64': 'pass', 'i386': 'pass'}


def test_no_notifier_an_instruction_is_left(build):
    no_notifier(build).says('mm/b.o: 1 instructions are left')
    assert results(build)['i386'] == ('fail', 'mm/b.o: 1 instructions are left of calls that do nothing')


@pytest.mark.parametrize('line', ['WARNING unused', 'BROKEN code'])
def test_no_notifier_message(build, line):
    build.commit('mm/b.c', line, 'mm: b')
    no_notifier(build).says(line.split()[1])


def test_no_notifier_nothing_to_compare(build):
    build.edit('mmu_notifier', 'nothing', build.linux, 'mm/b.c')
    build.git('commit', '-q', '-a', '-m', 'no calls')
    no_notifier(build).says('no file of this configuration invalidates')


def test_no_notifier_kconfig_drops_an_option(build):
    build.edit('^CONFIG_64BIT=y', 'CONFIG_DROPPED=y', 'configs/no-notifier-x86_64.config')
    no_notifier(build).says('CONFIG_DROPPED=y')


def test_no_notifier_with_mmu_notifier(build):
    build.edit('^CONFIG_64BIT=y', 'CONFIG_MMU_NOTIFIER=y', 'configs/no-notifier-x86_64.config')
    no_notifier(build).says('CONFIG_MMU_NOTIFIER=y')


# bisect.sh
@pytest.mark.parametrize('patches', ['0-1', '3-2', '1-2', 'all', '1-', '2,3'])
def test_patches_that_are_none(build, patches):
    build.commit('mm/a.c', 'CODE', 'mm: good')
    build.run('scripts/bisect.sh', PATCHES=patches).says_one_line('PATCHES=1-1 are all')


def test_no_patch(build):
    build.run('scripts/bisect.sh').says_one_line('the series is empty')


def test_bisect_runs_sparse_uml_and_kunit(build):
    build.write(
        'import os\n\n\ndef configs(*args):\n    return ["--kunitconfig=x"]\n\n\n'
        'def main(argv):\n    print("kunit", *argv, os.environ["ARCHES"])\n'
        '    return "fail" in open(os.environ["B"] + "/linux/mm/b.c").read()\n',
        'scripts/mmtrack/kunit.py',
    )
    build.commit('mm/b.c', 'CODE', 'mm: good')
    build.commit('mm/b.c', 'CODE fail', 'mm: kunit fails')
    build.commit('mm/b.c', 'CHECKED lock', 'mm: sparse')
    build.edit('^CODE fail\n', '', build.linux, 'mm/b.c')
    build.git('commit', '-q', '-a', '--amend', '--no-edit')
    build.run('scripts/bisect.sh').says('kunit --any um x86_64')
    assert [of[0] for of in results(build).values()] == ['pass', 'fail', 'fail']
    assert results(build)['mm: sparse'][1] == 'mm/b.c: 1 messages, 0 before'
    assert 'objects-um' in build.read('../bin/make.log')


def test_work_that_is_not_committed(build):
    build.write('x', build.linux, 'mm/a.c')
    for verb in ('bisect', 'matrix', 'no-notifier'):
        build.run(f'scripts/{verb}.sh').says_one_line('not committed')
