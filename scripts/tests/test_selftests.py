# SPDX-License-Identifier: GPL-2.0
"""The verdict on the mm selftests, on guests that are made up, and the programs that are chosen."""
import re

import pytest

from mmtrack import expected, selftests

GOOD = ['| ok 2 - b # SKIP no such page', '> end exit 0 1.5', '> done']
LISTED = ['PASS prog -x: a', 'SKIP prog -x: b # no such page', 'PASS prog -x: exit']
WARN = '[ 1.0] WARNING: mm/rmap.c:12 at some_function+0x1/0x2, CPU#0: prog/7'


class Guest:
    """What the program prog printed, how it and the guest ended, what the kernel said, and what is expected."""

    def __init__(self, tmp_path):
        self.at, self.path = f'{tmp_path}/run', str(tmp_path / 'expected')
        self.listed(*LISTED)
        self.says(*GOOD)

    def listed(self, *lines):
        with open(self.path, 'w', encoding='utf-8') as f:
            f.writelines(line + '\n' for line in lines)

    def says(self, *lines, a='ok 1 a', console=(), at=''):
        before = ['> alive', '> begin prog -x', '| TAP version 13', f'| {a}']
        with open(f'{self.at}{at}.verdict', 'w', encoding='utf-8') as f:
            f.writelines(line + '\n' for line in [*before, *lines])
        with open(f'{self.at}{at}.console', 'w', encoding='utf-8') as f:
            f.writelines(line + '\n' for line in ['[ 0.1] selftests: prog -x', '[ 0.2] all is well', *console])

    def verdict(self, again=False):
        second = selftests.Run(self.at + '-again') if again else None
        self.last = selftests.Verdict(selftests.Run(self.at), expected.selftests(self.path)[0], second)
        return self.last.failures + self.last.problems

    def status(self, test):
        return next(row[2] for row in self.last.tests if row[1] == test)


@pytest.fixture
def guest(tmp_path):
    return Guest(tmp_path)


def test_as_on_the_base(guest, capsys):
    assert guest.verdict() == []
    guest.last.table()
    assert re.search(r'^prog -x +2 +0 +0 +1 +1\.5$', capsys.readouterr().out, re.M)
    assert guest.status('a') == 'pass' and guest.status('b') == 'skip'


def test_one_failed(guest):
    guest.says(*GOOD, a='not ok 1 a')
    assert guest.verdict() == ['prog -x: a: FAIL, on the base PASS']
    assert guest.status('a') == 'fail' and guest.last.problems == []


def test_failed_where_the_base_skips(guest):
    guest.says('| not ok 2 b', '> end exit 1 1.5', '> done')
    assert guest.verdict() == ['prog -x: b: FAIL, on the base SKIP']


def test_one_did_not_run(guest):
    guest.says('> end exit 0 1.5', '> done')
    assert guest.verdict() == ['prog -x: b: did not run, on the base SKIP']


def test_passes_where_the_base_skips(guest):
    guest.says('| ok 2 b', '> end exit 0 1.5', '> done')
    assert guest.verdict() == [] and 'passes now: prog -x: b: SKIP on the base' in guest.last.notes


def test_a_new_one_that_does_not_pass(guest):
    guest.says(GOOD[0], '| ok 3 new # SKIP no', *GOOD[1:])
    assert guest.verdict() == ['prog -x: new: SKIP, and the base does not have it: no']


def test_ended_at_its_limit(guest):
    guest.says(GOOD[0], '> end limit 30 30.1', '> done')
    assert guest.verdict()[0].startswith(
        'prog -x: exit: FAIL, on the base PASS: ended at its limit of 30 s, its last words'
    )


def test_a_program_crashed(guest):
    guest.says(GOOD[0], '> end signal 11 1.0', '> done')
    assert 'FAIL, on the base PASS: signal 11' in guest.verdict()[0]


def test_the_guest_died(guest):
    guest.says(GOOD[0])
    assert any('the guest ended before it was done, in prog -x' in text for text in guest.verdict())


def test_the_guest_never_booted(guest):
    open(guest.at + '.verdict', 'w', encoding='utf-8').close()
    found = guest.verdict()
    assert 'never came to its init' in found[0] and 'prog -x: did not run' in found


def test_skipped_without_a_reason(guest):
    guest.listed(LISTED[0], 'SKIP prog -x: b # REASON', LISTED[2])
    assert guest.verdict() == ['prog -x: b: SKIP without a reason: write it']


def test_one_that_only_the_series_has_and_skips(guest):
    """It has to skip it; the base need not have it, and keeps the line when the results are written anew."""
    guest.listed(LISTED[0], LISTED[2], 'NEW prog -x: b # no such page')
    listed = expected.selftests(guest.path)[0]
    new = selftests.new_ones(listed, 'series')
    assert listed['prog -x', 'b'] == ('SKIP', 'no such page')
    assert selftests.Verdict(selftests.Run(guest.at), listed).failures == []
    guest.says('| not ok 2 b', '> end exit 0 1.5', '> done')
    [failure] = selftests.Verdict(selftests.Run(guest.at), listed).failures
    assert failure == 'prog -x: b: FAIL, on the base SKIP'
    guest.says('> end exit 0 1.5', '> done')
    [failure] = selftests.Verdict(selftests.Run(guest.at), listed).failures
    assert failure == 'prog -x: b: did not run, on the base SKIP'
    listed = expected.selftests(guest.path)[0]
    assert selftests.new_ones(listed, 'base') == new
    assert selftests.Verdict(selftests.Run(guest.at), listed).failures == []
    selftests.write_expected(guest.path, [], selftests.Run(guest.at), listed, new)
    assert expected.selftests(guest.path)[0]['prog -x', 'b'] == ('NEW', 'no such page')


def test_write_keeps_the_reason(guest):
    guest.listed(LISTED[0], 'SKIP prog -x: b # a reason of ours', LISTED[2], 'PASS prog -x: gone')
    run = selftests.Run(guest.at)
    selftests.write_expected(guest.path, ['# top\n'], run, expected.selftests(guest.path)[0])
    with open(guest.path, encoding='utf-8') as f:
        assert f.read().splitlines() == ['# top', LISTED[0], 'SKIP prog -x: b # a reason of ours', LISTED[2]]


def test_a_flaky_one(guest):
    guest.listed('FLAKY prog -x: a # half the time', 'PASS prog -x: b', LISTED[2])
    guest.says('| ok 2 b', '> end exit 0 1.5', '> done', a='not ok 1 a')
    assert guest.verdict() == [] and 'flaky: prog -x: a: FAIL' in guest.last.notes
    assert guest.status('a') == 'unsteady'


def test_the_kernel_warned(guest):
    guest.says(*GOOD, console=[f'[ 0.5] line {n}' for n in range(1, 21)] + [WARN])
    [text] = guest.verdict()
    assert text.startswith('prog -x: some_function: the kernel warned (1x): splat: warning: ')
    assert '\n  line 11\n' in text and '\n  line 10\n' not in text


def test_a_warning_that_the_base_has(guest):
    guest.says(*GOOD, console=[WARN])
    guest.listed(*LISTED, 'WARN prog -x: some_function # the base does too')
    assert guest.verdict() == []


def test_no_second_run_after_a_warning(guest):
    guest.says(*GOOD, a='not ok 1 a', console=[WARN])
    assert guest.verdict() and guest.last.again == []


def test_what_init_asked_the_kernel_to_show_is_no_warning(guest):
    shown = [
        '[ 0.9] sysrq: Show backtrace of all active CPUs',
        '[ 0.9] Call Trace:',
        '[ 0.9]  <TASK>',
        '[ 0.9]  f+0x1/0x2',
    ]
    guest.says(GOOD[0], '> end limit 30 30.1', '> done', console=shown)
    assert len(guest.verdict()) == 1 and guest.last.again == ['prog -x']
    guest.says(*GOOD, console=[*shown, '[ 1.0] selftests: another', *shown[1:]])
    assert 'the kernel warned' in guest.verdict()[0]


def test_one_that_failed_is_run_again(guest):
    guest.says(*GOOD, a='not ok 1 a')
    assert guest.verdict() and guest.last.again == ['prog -x']
    guest.says(*GOOD, at='-again')
    assert guest.verdict(again=True) == [] and guest.status('a') == 'unsteady'
    assert 'unsteady: prog -x: a: FAIL, on the base PASS, in one run of two' in guest.last.notes


def test_one_that_fails_only_the_second_time(guest):
    guest.says(*GOOD, at='-again', a='not ok 1 a')
    assert guest.verdict(again=True) == [] and guest.status('a') == 'unsteady'


def test_one_that_fails_twice(guest):
    guest.says(*GOOD, a='not ok 1 a')
    guest.says(*GOOD, a='not ok 1 a', at='-again')
    assert guest.verdict(again=True) == ['prog -x: a: FAIL, on the base PASS'] and guest.last.again == []


def test_a_second_guest_that_died(guest):
    guest.says(*GOOD, a='not ok 1 a')
    guest.says(at='-again')
    assert any('ended before it was done' in text for text in guest.verdict(again=True))


def test_no_such_side(bench):
    bench.mm('selftests', SIDE='middle').says_one_line('neither series nor base')


def test_no_such_program(bench):
    bench.mm('selftests', PROGRAMS='uffd* nonsense').says_one_line('nonsense is no program of selftests/programs')


def test_programs_are_globs(tmp_path, monkeypatch):
    mm = tmp_path / 'tools/testing/selftests/mm'
    mm.mkdir(parents=True)
    for name in ('uffd-stress', 'uffd-wp-mremap', 'cow'):
        (mm / f'{name}.c').touch()
    monkeypatch.setenv('PROGRAMS', 'uffd-s* co[vw] merge')
    names = [command.split()[0] for _, command in selftests.programs(str(tmp_path))]
    # merge is what the tree does not have
    assert set(names) == {'uffd-stress', 'cow'} and len(names) == 6


def test_programs_of_kvm(tmp_path, monkeypatch):
    """Those of the tree, and ours, which needs their library and no tree."""
    kvm = tmp_path / 'tools/testing/selftests/kvm'
    kvm.mkdir(parents=True)
    (kvm / 'dirty_log_test.c').touch()
    monkeypatch.setenv('PROGRAMS', 'kvm/*')
    names = {command.split()[0] for _, command in selftests.programs(str(tmp_path))}
    assert names == {'kvm/dirty_log_test', 'kvm/kvm_events'}


@pytest.fixture
def lists(tmp_path, monkeypatch):
    """lists(LINE, ...): selftests/programs; the tree has all programs of it."""

    def write(*lines):
        (tmp_path / 'programs').write_text(''.join(line + '\n' for line in lines))
        monkeypatch.setattr(selftests, 'has', lambda src, name: True)
        monkeypatch.setattr(selftests, 'HERE', str(tmp_path))

    monkeypatch.delenv('PROGRAMS', raising=False)
    return write


def test_a_program_of_one_arch(lists, monkeypatch):
    lists('# a comment', '10 all -x 1', '20 one -y # x86_64: a reason: of two parts', '30 two # arm64: another')
    # of three there is a line for each
    with open(f'{selftests.HERE}/programs', 'a', encoding='utf-8') as f:
        f.write('40 three # x86_64: it takes this\n50 three -z # arm64: and it that\n')
    assert selftests.programs('/src') == [(10, 'all -x 1'), (20, 'one -y'), (40, 'three')]
    assert selftests.programs('/src', 'arm64') == [(10, 'all -x 1'), (30, 'two'), (50, 'three -z')]
    assert selftests.left_out('arm64') == [('one -y', 'x86_64 only: a reason: of two parts')]
    monkeypatch.setenv('PROGRAMS', 'all t*')
    assert selftests.left_out('arm64') == [] and selftests.left_out('x86_64') == [('two', 'arm64 only: another')]


def test_each_that_is_left_out_has_a_reason(monkeypatch):
    monkeypatch.delenv('PROGRAMS', raising=False)
    lines = selftests.listed_programs()
    assert len(lines) > 50 and all(
        only in ('', *selftests.SLOWER) and bool(only) == bool(why) for *_, only, why in lines
    )
    assert not selftests.left_out('x86_64') and selftests.left_out('arm64')


def test_results_of_an_arch(tmp_path, monkeypatch):
    """Those of one are not taken for the other's."""
    monkeypatch.setattr(selftests, 'HERE', str(tmp_path))
    (tmp_path / 'expected').mkdir()
    (tmp_path / 'expected/7.3.4.txt').touch()
    assert selftests.expected_for('7.3.4', 'arm64').endswith('/expected/arm64-7.3.4.txt')
    (tmp_path / 'expected/arm64-7.3.4.txt').touch()
    assert selftests.expected_for('7.3.5', 'arm64').endswith('/expected/arm64-7.3.4.txt')
    assert selftests.expected_for('7.3.5').endswith('/expected/7.3.4.txt')


def test_programs_are_compiled_for_the_arch(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(selftests.kunit, 'logged', lambda command, log: calls.append(' '.join(command)) or True)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    (tmp_path / 'mm-track/libs-arm64').mkdir(parents=True)
    (tmp_path / 'mm-track/libs-arm64/complete').touch()
    selftests.build_programs('/src', '/obj', str(tmp_path), {'cow'}, '/log', 'arm64')
    assert len(calls) == 2 and all(' ARCH=arm64' in call for call in calls)
    libs = f'{tmp_path}/mm-track/libs-arm64'
    assert f'CROSS_COMPILE=aarch64-linux-gnu- EXTRA_CFLAGS=-I{libs}/include LDFLAGS=-static -L{libs}/lib' in calls[1]
    calls.clear()
    selftests.build_programs('/src', '/obj', str(tmp_path), {'cow'}, '/log')
    assert all(' ARCH=x86_64' in call for call in calls) and 'CROSS' not in ''.join(calls)


def test_the_seconds_of_arm64(lists, tmp_path, monkeypatch):
    """A program may take three times as long there, and so may the guest."""
    at, said = str(tmp_path / 'arm64'), []
    lists('10 a', '20 b')
    monkeypatch.setattr(selftests, 'build_init', lambda out, arch: said.append(arch) or {})
    monkeypatch.setattr(selftests.guest, 'initramfs', lambda *args: open(at + '.cpio', 'w', encoding='utf-8').close())
    monkeypatch.setattr(selftests.guest.Guest, 'run', lambda self, *limits: said.append((self.args[-3:], limits)) or '')
    monkeypatch.setattr(selftests.os, 'remove', lambda path: None)
    monkeypatch.delenv('TIMEOUT', raising=False)
    selftests.boot('arm64', '/obj', str(tmp_path), at, {}, [(10, 'a'), (20, 'b')])
    with open(at + '.programs', encoding='utf-8') as f:
        assert f.read() == '30 a\n60 b\n'
    assert said == ['arm64', (selftests.COHERENT['arm64'], (390, 180, None))]


def test_only_programs_that_the_arch_does_not_run(bench, monkeypatch):
    """They are no verdict."""
    monkeypatch.setattr(selftests, 'source', lambda side: '/nowhere/linux')
    monkeypatch.setenv('PROGRAMS', 'kvm/*')
    monkeypatch.setenv('MMTRACK_OUT', bench.path('out'))
    with pytest.raises(SystemExit, match='PROGRAMS: kvm/kvm_events: x86_64 only'):
        selftests.main(['--arch=arm64'])


@pytest.mark.parametrize(
    'more, stage', [('ARCH=arm64', 'selftests-arm64'), ('', 'selftests'), ('ARCH=x86_64', 'selftests')]
)
def test_make_selftests(bench, more, stage):
    said = bench.run('make', '-n', 'selftests', *more.split()).ok().out
    assert f'stage {stage} -- ' in said and ('--arch=arm64' in said) == (stage == 'selftests-arm64')


def test_make_of_another_arch(bench):
    bench.run('make', '-n', 'selftests', 'ARCH=riscv').says('ARCH=riscv: make selftests runs on x86_64 and arm64')
    # who has it in the environment builds kernels of another kind; and make check has a stage for each
    assert 'stage selftests --' in bench.run('make', '-n', 'selftests', ARCH='arm64').ok().out
    assert 'stage selftests --' in bench.run('make', '-n', 'selftests', 'ARCH=arm64', MMTRACK_CHECK=1).ok().out


def test_libraries_of_another_arch(bench, tmp_path):
    """They are fetched once, into the cache; as a whole, or not at all."""
    bench.env['XDG_CACHE_HOME'] = str(tmp_path / 'cache')
    bench.program('apt-get', '#!/bin/sh\nexit 100\n')
    bench.run('scripts/cross-libs.sh', 'arm64').says_one_line('does not give libnuma-dev liburing-dev for arm64')
    bench.program('apt-get', '#!/bin/sh\ncase "$*" in *download*) touch numa.deb uring.deb ;; esac\n')
    unpack = 'mkdir -p "$3/usr/include" "$3/usr/lib/a" && touch "$3/usr/include/numa.h" "$3/usr/lib/a/libnuma.a"'
    bench.program('dpkg-deb', f'#!/bin/sh\n[ ! -e "{tmp_path}/broken" ] && {unpack}\n')
    (tmp_path / 'broken').touch()
    assert bench.run('scripts/cross-libs.sh', 'arm64').rc != 0
    (tmp_path / 'broken').unlink()
    at = bench.run('scripts/cross-libs.sh', 'arm64').ok().out.splitlines()[-1]
    assert at == str(tmp_path / 'cache/mm-track/libs-arm64')
    assert {path.name for path in (tmp_path / 'cache/mm-track').iterdir()} == {'libs-arm64'}
    assert all((tmp_path / 'cache/mm-track/libs-arm64' / name).exists() for name in ('include/numa.h', 'lib/libnuma.a'))
    bench.program('apt-get', '#!/bin/sh\nexit 100\n')
    assert bench.run('scripts/cross-libs.sh', 'arm64').ok().out == at + '\n'


def test_init_compiles_without_a_warning(tmp_path):
    import subprocess

    command = ['gcc', '-O2', '-Wall', '-Wextra', '-Werror', '-fsyntax-only', f'{selftests.HERE}/init.c']
    subprocess.run(command, check=True)


def test_a_stale_tree_of_the_base_is_healed(tree):
    """One that was broken off, or that belongs to another repository."""
    at = tree.path('build', 'selftests-base', 'linux')
    code = "from mmtrack import selftests; print(selftests.source('base'))"
    for harm in ('true', f'rm -r {at}; mkdir -p {at}; git init -q {at}; touch {at}/junk', f'rm {at}/.git {at}/one.c'):
        tree.run('bash', '-c', harm).ok()
        assert tree.run('/usr/bin/python3', '-c', code).ok().out.endswith(at + '\n')
        assert tree.git('rev-parse', 'HEAD', at=at) == tree.git('rev-parse', 'base^0')
        assert tree.git('status', '--porcelain', at=at) == ''
