# SPDX-License-Identifier: GPL-2.0
"""Builds a kernel and the tree's own mm selftests, from the series (SIDE=series) or from what it stands on (SIDE=base),
runs the programs of selftests/programs in a guest and compares every test with the base's recorded results. On x86_64,
or --arch=arm64.

Wrong is a test that passed on the base and does anything else, one that the base does not have and does not pass, one
that is skipped and was not, or without a reason, a program that was ended at its limit, a guest that did not come to
its end, and what the kernel complained of where the base's does not. When only tests are to blame, their programs get
a second guest: a test that is wrong in one of the two is unsteady, which is said and does not fail.
--write, or WRITE=1, rewrites the expected results from this run, keeping FLAKY lines and the reasons.
"""
import argparse
import fnmatch
import glob
import os
import re
import subprocess
import sys

from mmtrack import expected, guest, ktap, kunit, record, splats

HERE = os.path.join(record.ROOT, 'selftests')
VARIES = re.compile(r'(Extra pages|Success reaping a child) .*')  # names with figures of the run in them
AROUND = 10
# Two nodes (migration wants them, and three CPUs), a ram disk to swap to, and 2 x 256 MiB that are left out of the kernel's
# memory for the coherent devices of test_hmm: those above 4 GiB, the last of 4 GiB from 0x40000000 on.
ARGS = 'panic=-1 oops=panic numa=fake=2 brd.rd_nr=1 brd.rd_size=262144'.split()
COHERENT = {
    'x86_64': 'memmap=512M$0x100000000 test_hmm.spm_addr_dev0=0x100000000 test_hmm.spm_addr_dev1=0x110000000'.split(),
    'arm64': 'mem=3584M test_hmm.spm_addr_dev0=0x120000000 test_hmm.spm_addr_dev1=0x130000000'.split(),
}
SLOWER = {'x86_64': 1, 'arm64': 3}  # how many times the seconds of selftests/programs a program may take


def tests_of(lines, how, value):
    """{test: (STATUS, reason)} of what a program printed, and of how it ended."""
    tests = {}
    for _, name, status, _, reason in ktap.read(lines)[0]:
        count = 1
        unique = name = VARIES.sub(r'\1', name)
        while unique in tests:
            count += 1
            unique = f'{name} ({count})'
        tests[unique] = (status.upper(), reason if status != 'fail' else '')
    last = next((line.strip() for line in reversed(lines) if line.strip() and not line.startswith('# Totals:')), '')
    last = f', its last words: {last}' if last else ''
    # the program as a whole, for those that print no result of their own, and for crashes
    if (how, value) == ('exit', '0') or how == 'exit' and any(status == 'FAIL' for status, _ in tests.values()):
        tests['exit'] = ('PASS', '')
    elif how == 'limit':
        tests['exit'] = ('FAIL', f'ended at its limit of {value} s{last}')
    elif how:
        tests['exit'] = ('SKIP' if (how, value) == ('exit', '4') else 'FAIL', f'{how} {value}{last}')
    return tests


class Run:
    """What a guest said: results {program: {test: (STATUS, reason)}}, seconds {program: s}, error or '', splats."""

    def __init__(self, at, ended=''):
        self.results, self.seconds, self.error, self.at = {}, {}, ended, at
        lines, program, said, done = read(at + '.verdict'), None, [], False
        for line in lines:
            mark, _, text = line.partition(' ')
            if mark == '|' and program:
                said.append(text)
            elif mark == '>' and text.startswith('begin '):
                program, said = text[6:], []
            elif mark == '>' and text.startswith('end ') and program:
                how, value, spent = text[4:].split()
                self.seconds[program] = float(spent)
                self.results[program] = tests_of(said, how, value)
                program = None
            elif mark == '>' and text.startswith('error '):
                self.error = self.error or text[6:]
            done = done or line == '> done'
        if program:
            self.results[program] = tests_of(said, '', '')
        if not done and not self.error:
            self.error = 'the guest ended before it was done' if lines else 'the guest never came to its init'
        if self.error and program:
            self.error += f', in {program}'
        console, self.warned = read(at + '.console'), []
        # where a program hangs, init has the kernel show: these backtraces are no complaint
        asked = [n for n, line in enumerate(console) if 'sysrq: Show ' in line]
        marks = [n for n, line in enumerate(console) if 'selftests: ' in line]
        for splat in splats.find(console):
            began = max([n for n in marks if n < splat.line_no], default=0)
            if splat.kind != 'trace' or not any(began < n < splat.line_no for n in asked):
                around = console[max(0, splat.line_no - 1 - AROUND) : splat.line_no + AROUND]
                self.warned.append((splats.blame(console, splat), splat, around))


def read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as f:
            return f.read().splitlines()
    except OSError:
        return []


def write_expected(path, comment, run, listed, kept=()):
    """kept: {(program, test): (STATUS, reason)} of tests that only the series has."""
    with open(path, 'w', encoding='utf-8') as f:
        f.writelines(comment)
        for program, tests in run.results.items():
            for test, (status, reason) in tests.items():
                old, why = listed.get((program, test), ('', ''))
                if old == 'FLAKY':
                    status, reason = old, why
                elif status == old and why:
                    reason = why
                f.write(f'{status} {program}: {test}' + (f' # {reason or "REASON"}' if status != 'PASS' else '') + '\n')
        for (program, test), (status, why) in dict(kept).items():
            f.write(f'{status} {program}: {test}' + (f' # {why}' if why else '') + '\n')
        for program, where in dict.fromkeys((who, splat.where) for who, splat, _ in run.warned):
            f.write(f'WARN {program}: {where} # {listed.get((program, where), ("", ""))[1] or "REASON"}\n')


def new_ones(listed, side):
    """Those of the lines NEW: tests that only the series has, and skips. They are not expected of the base."""
    new = {key: listed.pop(key) for key in list(listed) if listed[key][0] == 'NEW'}
    listed.update({key: ('SKIP', why) for key, (_, why) in new.items() if side != 'base'})
    return new


def wrong_with(key, got, listed):
    """'' if the outcome is right, else what is wrong."""
    (status, reason), (was, why) = got, listed.get(key, ('', ''))
    reason = f': {reason}' if reason else ''
    if was == 'FLAKY' or status == 'PASS':
        return ''
    if not was:
        return f'{status}, and the base does not have it{reason}'
    if was != status:
        return f'{status}, on the base {was}{reason}'
    return f'{status} without a reason: write it' if why in ('', 'REASON') else ''


def wrongs(program, tests, listed):
    """{test: what is wrong} of one run of a program."""
    wrong = {test: wrong_with((program, test), got, listed) for test, got in tests.items()}
    for (of, test), (was, _) in listed.items():
        if of == program and test not in tests and was not in ('FLAKY', 'WARN'):
            wrong[test] = f'did not run, on the base {was}'
    return {test: text for test, text in wrong.items() if text}


class Verdict:
    """Of a run, and perhaps a second one of its programs that were wrong."""

    def __init__(self, run, listed, second=None):
        self.tests, self.problems, self.failures, self.notes, self.rows, self.again = [], [], [], [], [], []
        error, warned = run.error, list(run.warned)
        if second:
            error, warned = error or second.error, warned + second.warned
        if error:
            self.problems.append(f'{error}, see {run.at}.console')
        for program, tests in run.results.items():
            wrong, then = wrongs(program, tests, listed), None
            if second and program in second.results:
                then = wrongs(program, second.results[program], listed)
            self.program(program, tests, wrong, then, listed, run.seconds.get(program, 0.0))
        missing = sorted({key[0] for key, (was, _) in listed.items() if was != 'WARN'} - set(run.results))
        self.problems += [f'{program}: did not run' for program in missing]
        bad, seen = {}, {}
        for who, splat, around in warned:
            key = (who, splat.where)
            seen[key] = seen.get(key, 0) + 1
            if listed.get(key, ('',))[0] != 'WARN':
                bad.setdefault(key, (splat, around))
        for (who, where), (splat, around) in bad.items():
            self.problems.append(
                f'{who}: {where}: the kernel warned ({seen[who, where]}x): splat: {splat.kind}: {splat.text}, '
                f'see {run.at}.console:\n  ' + '\n  '.join(map(splats.strip, around))
            )
        # a test may have had bad luck, the guest and its kernel may not
        if error or bad or missing or second:
            self.again = []

    def program(self, program, tests, wrong, then, listed, seconds):
        failed = {test: text for test, text in wrong.items() if then is None or test in then}
        for test in {**tests, **wrong, **(then or {})}:
            status, reason = tests.get(test, ('FAIL', ''))
            was, why = listed.get((program, test), ('', ''))
            text = wrong.get(test) or (then or {}).get(test) or reason
            if test in failed:
                said = 'fail'
                self.failures.append(f'{program}: {test}: {text}')
            elif test in wrong or test in (then or {}):
                said, text = 'unsteady', f'{text}, in one run of two'
                self.notes.append(f'unsteady: {program}: {test}: {text}')
            elif was == 'FLAKY':
                said, text = 'pass' if status == 'PASS' else 'unsteady', f'{status}: {why}'
                self.notes.append(f'flaky: {program}: {test}: {status}')
            elif status == 'PASS':
                said = 'pass'
                if was not in ('', 'PASS'):
                    self.notes.append(f'passes now: {program}: {test}: {was} on the base')
            else:
                said, text = 'skip', why if status == 'SKIP' else f'{status}, as on the base: {why}'
            self.tests.append((program, test, said, seconds if test == 'exit' else '', text if said != 'pass' else ''))
        self.again += [program] if failed else []
        of = [status for status, _ in tests.values()]
        fails = of.count('FAIL') + of.count('XFAIL')
        self.rows.append((program, of.count('PASS'), len(failed), fails, of.count('SKIP'), seconds))

    def table(self):
        width = max([len(row[0]) for row in self.rows] + [7])
        print(f'{"program":{width}}  passed  failed  as base  skipped  seconds')
        for row in self.rows + [('all', *(sum(row[i] for row in self.rows) for i in range(1, 6)))]:
            print(f'{row[0]:{width}}  {row[1]:6}  {row[2]:6}  {row[3]:7}  {row[4]:7}  {row[5]:7.1f}')


def expected_for(version, arch='x86_64', here=None):
    """The file of this version, or else of another of the same 7.3."""
    own = '' if arch == 'x86_64' else f'{arch}-'
    here = here or HERE
    exact = os.path.join(here, 'expected', f'{own}{version}.txt')
    near = sorted(glob.glob(os.path.join(here, 'expected', own + '.'.join(version.split('.')[:2]) + '.*.txt')))
    if os.path.exists(exact) or not near:
        return exact
    print(f'{version} has no results of its own, compared with {os.path.basename(near[-1])}')
    return near[-1]


def suite_of(name):
    """(folder of tools/testing/selftests, the name in it) of a program."""
    suite, _, name = name.rpartition('/')
    return suite or 'mm', name


def has(src, name):
    """Whether this tree has the program, or we do; what the series adds, the base does not have."""
    where = '/'.join(suite_of(name)) + '.c'
    return any(os.path.exists(os.path.join(at, where)) for at in (os.path.join(src, 'tools/testing/selftests'), HERE))


def listed_programs():
    """[(limit, command, the arch that alone runs it or '', why)] of selftests/programs that PROGRAMS asks for."""
    globs, lines = os.environ.get('PROGRAMS', '').split(), []
    for line in read(os.path.join(HERE, 'programs')):
        if line[:1].isdigit():
            told, _, rest = line.partition('#')
            (limit, command), (only, _, why) = told.split(None, 1), rest.partition(':')
            lines.append((int(limit), command.strip(), only.strip(), why.strip()))
    for pattern in globs:
        if not fnmatch.filter([command.split()[0] for _, command, *_ in lines], pattern):
            sys.exit(f'error: PROGRAMS: {pattern} is no program of selftests/programs')
    return [of for of in lines if not globs or any(fnmatch.fnmatchcase(of[1].split()[0], glob) for glob in globs)]


def programs(src, arch='x86_64'):
    """[(limit, command)] of those that are for this arch, and that there are."""
    return [
        (limit, command)
        for limit, command, only, _ in listed_programs()
        if only in ('', arch) and has(src, command.split()[0])
    ]


def left_out(arch):
    """[(command, why)] of those that are for another arch, and of whose program no other line is for this one."""
    lines = listed_programs()
    here = {command.split()[0] for _, command, only, _ in lines if only in ('', arch)}
    others = [of for of in lines if of[1].split()[0] not in here]
    return [(command, f'{only} only: {why}') for _, command, only, why in others]


def libraries(arch):
    """What make gets for programs of another arch than this machine's."""
    if not guest.ARCHES[arch].cross:
        return ['LDFLAGS=-static']
    got = subprocess.run(
        ['scripts/cross-libs.sh', arch], cwd=record.ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if got.returncode:
        sys.exit(got.returncode)
    at = got.stdout.strip()
    return [
        f'CROSS_COMPILE={guest.ARCHES[arch].cross}',
        f'EXTRA_CFLAGS=-I{at}/include',
        f'LDFLAGS=-static -L{at}/lib',
    ]


def build_programs(src, obj, out, names, log, arch='x86_64'):
    """Of the tree's selftests, and ours that are built with them (selftests/SUITE), into out/tests."""
    tests, libs = os.path.join(out, 'tests'), libraries(arch)
    makes = [['make', '-s', '-C', src, f'O={obj}', f'ARCH={arch}', 'headers']]
    for suite in sorted({suite_of(name)[0] for name in names}):
        mine = sorted(name for of, name in map(suite_of, names) if of == suite)
        at = tests if suite == 'mm' else os.path.join(tests, suite)
        os.makedirs(at, exist_ok=True)
        make = [
            'make',
            '-s',
            '-C',
            os.path.join(src, 'tools/testing/selftests', suite),
            f'OUTPUT={at}',
            *libs,
        ]
        make += [f'ARCH={arch}', f'KHDR_INCLUDES=-isystem {obj}/usr/include', f'VPATH={os.path.join(HERE, suite)}']
        make += [f'TEST_GEN_PROGS_x86={" ".join(mine)}'] if suite == 'kvm' else []
        makes.append(make + [os.path.join(at, name) for name in mine])
    kunit.need(all(kunit.logged(kunit.kernel_env(make, ''), log) for make in makes), 'the programs do not build', log)
    return {f'/tests/{name}': os.path.join(tests, name) for name in sorted(names)}


def build_init(out, arch='x86_64'):
    os.makedirs(out, exist_ok=True)
    command = [
        f'{guest.ARCHES[arch].cross}gcc',
        '-O2',
        '-Wall',
        '-Wextra',
        '-static',
        '-o',
        f'{out}/init',
        os.path.join(HERE, 'init.c'),
    ]
    subprocess.run(command, check=True)
    return {'/init': f'{out}/init'}


def boot(name, obj, out, at, files, commands, args=('kunit.enable=0',), links=(), devices=(), each=None):
    """Boots a guest whose init runs the commands, [(limit, command)], and gives its Run. each: see Guest.run()."""
    arch = name.partition('-')[0]
    factor = (4 if name.endswith('-debug') else 1) * SLOWER[arch]
    with open(f'{at}.programs', 'w', encoding='utf-8') as f:
        f.writelines(f'{limit * factor} {command}\n' for limit, command in commands)
    files = {**build_init(out, arch), '/programs': f'{at}.programs', **files}
    initrd = guest.initramfs(f'{at}.cpio', obj, files, links)
    args = [*args, *ARGS, *COHERENT[arch]]
    box = guest.Guest(name, obj, args, at + '.console', at + '.verdict', initrd, cpus=3, memory=4096)
    box.devices = list(devices)
    # init speaks every ten seconds
    limit = int(os.environ.get('TIMEOUT') or sum(limit for limit, _ in commands) * factor + 300)
    print(box, flush=True)
    ended = box.run(limit, 60 * SLOWER[arch], each)
    os.remove(initrd)
    record.result('log', at + '.console')
    return Run(at, ended)


def compare(start, at, names, path, part, write, others=(), side='series'):
    """The exit code of a stage: boots a guest by start(AT, NAMES), which gives its Run, and one more for those that were
    wrong; or writes what is expected. part: these are not all. others: [(name, why)] of what was left out."""
    run = start(at, names)
    listed, comment = expected.selftests(path)
    new = new_ones(listed, side)
    if part:
        listed = {key: value for key, value in listed.items() if key[0] in names}
    if write or os.environ.get('WRITE'):
        if run.error or part:
            sys.exit(f'error: {run.error or "not all programs ran"}: nothing written')
        write_expected(path, comment, run, listed, new)
        return 0
    verdict = Verdict(run, listed)
    if verdict.again:
        print('again:', *verdict.again)
        verdict = Verdict(run, listed, start(f'{at}-again', verdict.again))
    verdict.tests += [(name, 'exit', 'skip', '', why) for name, why in others]
    verdict.table()
    return kunit.report(verdict)


def source(side):
    """The tree of a side."""
    if side == 'series':
        return kunit.tree()
    if side != 'base':
        sys.exit(f'error: SIDE: {side} is neither series nor base')
    command = kunit.kernel_env(['true'], before='worktree "$B/selftests-base/linux" base; ')
    if subprocess.run(command, check=False).returncode:
        sys.exit(1)
    return os.path.join(record.build(), 'selftests-base', 'linux')


def main(argv):
    parser = argparse.ArgumentParser(prog='selftests')
    parser.add_argument('--write', action='store_true')
    parser.add_argument('--arch', choices=sorted(SLOWER), default='x86_64')
    opts = parser.parse_args(argv)
    arch, suffix = opts.arch, '' if opts.arch == 'x86_64' else f'-{opts.arch}'
    out = os.environ.get('MMTRACK_OUT') or record.results('selftests' + suffix)
    os.makedirs(out, exist_ok=True)
    side, debug = os.environ.get('SIDE') or 'series', '-debug' if os.environ.get('DEBUG') else ''
    src, name = source(side), f'{arch}{debug}'
    obj = os.path.join(os.path.dirname(src), name)  # for ccache
    work = os.path.join(record.build(), 'selftests', side + suffix)
    commands, others = programs(src, arch), left_out(arch)
    if not commands:
        sys.exit(f'error: PROGRAMS: {"; ".join(map(": ".join, others)) or "the base has none of these"}')
    kunit.build_or_end(1, 3, f'selftests {side}', name, f'{out}/kernel.build', src=src, obj=obj)
    with guest.step(2, 3, f'selftests {side}: programs'):
        names = {command.split()[0] for _, command in commands}
        files = build_programs(src, obj, work, names, f'{out}/programs.build', arch)
    print(f'[3/3] selftests {side}: run')

    def again(at, names):
        return boot(name, obj, work, at, files, [(limit, command) for limit, command in commands if command in names])

    path = expected_for(record.said_by('make', '-s', '--no-print-directory', 'kernelversion', at=src), arch)
    names = [command for _, command in commands]
    return compare(again, f'{out}/{name}', names, path, os.environ.get('PROGRAMS'), opts.write, others, side)
