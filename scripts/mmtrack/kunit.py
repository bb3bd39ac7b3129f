# SPDX-License-Identifier: GPL-2.0
"""Runs KUnit: builds a kernel for each of ARCHES (ARCH-NAME adds kunit/NAME.config), boots it, and compares the results
with kunit/expected. The stages kunit, kunit-archs, kunit-debug, kunit-kcsan and stress are rows of one table.

Wrong is a test that failed, vanished, is not listed or was skipped without a reason, and what the kernel complained of.
--any takes whatever ran, as long as nothing failed. --write, or WRITE=1, rewrites kunit/expected for these archs, keeping
the reasons.
"""
import argparse
import collections
import fnmatch
import hashlib
import os
import re
import subprocess
import sys

from mmtrack import expected, guest, ktap, record, splats

ROOT = record.ROOT
EXPECTED = os.path.join(ROOT, 'kunit', 'expected')
# the archs it runs on, its limit in seconds, globs of its tests, arguments of its kernel
Stage = collections.namedtuple('Stage', 'arches limit globs args', defaults=(600, [''], []))
Result = collections.namedtuple('Result', 'suite test status seconds reason')
KTAP = re.compile(r'\s*(#|(not )?ok \d|K?TAP version|\d+\.\.\d)')
# one access in 300 is watched, for a millisecond: as rarely and as shortly as it is by default, these find nothing
KCSAN = ['kcsan.skip_watch=300', 'kcsan.udelay_task=1000']


def stage_of(name):
    minutes = os.environ.get('MINUTES') or '1'
    if name == 'stress' and not re.fullmatch('[1-9][0-9]*', minutes):
        sys.exit(f'error: MINUTES: {minutes} is not a number of minutes: make stress MINUTES=10')
    seconds = int(minutes) * 60 if name == 'stress' else 60
    stress = [f'mm_stress_kunit.seconds={seconds}', f'kunit.timeout={seconds + 300}']
    return {
        'kunit': Stage('um x86_64 arm64', 900),
        'kunit-archs': Stage('i386 arm64-16k', 1200),
        'kunit-debug': Stage('x86_64-debug', 1200),
        'kunit-kcsan': Stage(
            'x86_64-kcsan',
            1200,
            ['as_dirty_helpers.*race*', 'device_exclusive.*stress', 'mm_stress'],
            ['device_exclusive_kunit.rounds=50000', *stress, *KCSAN],
        ),
        'stress': Stage('x86_64-debug', seconds + 600, ['mm_stress'], stress),
    }.get(name)


def write_expected(path, found):
    """found: {(arch, suite, test): status}, which is all that there is of its archs."""
    tests, known, comment = expected.kunit(path)
    archs = {key[0] for key in found}
    keep = {key: reason for key, reason in tests.items() if key[0] not in archs}
    for key, status in found.items():
        keep[key] = (tests.get(key) or 'REASON') if status == 'skip' else ''
    lines = [' '.join(key) + (f' skip: {reason}' if reason else '') for key, reason in keep.items()]
    lines += [f'{" ".join(of[:3])} splat: {of[3]} # {of[4]}' for of in known]
    with open(path, 'w', encoding='utf-8') as f:
        f.writelines(comment + [line + '\n' for line in sorted(lines)])


def wanted(glob, suite, test):
    suites, _, tests = glob.partition('.')
    return not glob or fnmatch.fnmatchcase(suite, suites) and fnmatch.fnmatchcase(test, tests or '*')


def tree():
    return os.path.join(record.build(), 'linux')


def changed(*args):
    """What git says of the difference between base and series."""
    command = ['git', '-C', tree(), 'diff-tree', '-r', '--no-renames', '--no-ext-diff', *args]
    said = subprocess.run(command, capture_output=True, check=False)
    if said.returncode or not said.stdout:
        sys.exit(f'error: nothing is between base and series in {tree()}: make tree')
    return said.stdout.decode(errors='replace')


def instrument(variable):
    """(for kunit.py, the make variables that have VARIABLE's tool look at what the series touches, its objects)"""
    # there is a memory.o in arch/x86/boot as well
    files = changed('--diff-filter=d', '--name-only', 'base', 'series', '--', 'mm', 'fs/proc', 'lib/kunit').split()
    files = [file for file in files if file.endswith('.c')]
    where = '$(filter mm fs/proc lib/kunit,$(obj))'
    objects = [file[:-1] + 'o' for file in files]
    names = [re.sub('^(mm|fs/proc|lib/kunit)/', '', file) for file in objects]
    return [f'--make_options={variable}_{name}={where}' for name in names], objects


def functions():
    """The names of the functions that the series changes or adds, in the tests as well."""
    names = set()
    for line in changed('-p', '-U0', 'base', 'series', '--', '*.c', '*.h', ':!tools').splitlines():
        # a hunk names the function that it is in, and a definition begins in the first column
        hit = re.match(r'(?:@@ -\S+ \+\S+ @@ |\+)(?=[a-z])[\w\s*]*?\b(\w+)\(', line)
        names.update([hit[1]] if hit else [])
    return names


def blind(obj, objects):
    """Those of the objects that were compiled without KCSAN, and how many were with it."""
    built = [name for name in objects if os.path.exists(os.path.join(obj, name))]
    dark = [name for name in built if not re.search(r'\b__tsan_', record.said_by('nm', '-u', name, at=obj))]
    return dark, len(built) - len(dark)


def symbols(commit, at):
    return set(record.git('grep', '-hoE', '^(menu)?config [A-Z0-9_]+', commit, '--', '*Kconfig*', at=at).split())


def without(path, options):
    """A kunitconfig without these options; the same one, if it has none of them."""
    with open(path, encoding='utf-8') as f:
        lines = f.readlines()
    kept = [line for line in lines if not options.intersection(re.findall('CONFIG_([A-Z0-9_]+)', line))]
    if kept == lines:
        return path
    path = os.path.join(record.build(), os.path.relpath(path, ROOT))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.writelines(kept)
    return path


def configs(name, src):
    """What kunit.py gets for a name of ARCHES: the suites of the tree, then ours, without what src is too early for."""
    arch, _, more = name.partition('-')
    names = (['64bit'] if arch in ('x86_64', 'arm64', 'riscv64') else []) + [arch]
    paths = [os.path.join(ROOT, 'kunit', f'{name}.kunitconfig') for name in names]
    paths += [os.path.join(ROOT, 'kunit', f'{more}.config')] if more else []
    if not all(map(os.path.exists, paths)) or arch not in guest.ARCHES:
        sys.exit(
            f'error: ARCHES: no {name} in kunit/: choose of um, x86_64, arm64, i386, riscv64, x86_64-debug, -kcsan, -gcov'
        )
    if record.git('rev-parse', 'HEAD^0', at=src) != record.git('rev-parse', 'series^0', at=src):
        later = symbols('series', src) - symbols('HEAD', src)
        paths = [without(path, later) for path in paths]
    if os.path.exists(os.path.join(src, 'mm/tests/.kunitconfig')):
        paths.insert(0, 'mm/tests')
    return [f'--kunitconfig={path}' for path in paths]


def build(name, log, src=None, obj=None):
    """Builds the kernel of that name in obj (default: B/name). False when it does not build; what was said is in log."""
    src, arch = src or tree(), guest.ARCHES.get(name.partition('-')[0])
    args = configs(name, src)
    if name.endswith('-kcsan'):
        # with the whole kernel to look at, KCSAN would not get to look at us
        args += ['--make_options=KCSAN_SANITIZE=n', *instrument('KCSAN_SANITIZE')[0]]
    elif name.endswith('-gcov'):
        args += instrument('GCOV_PROFILE')[0]
    args += [f'--cross_compile={arch.cross}'] if arch.cross else []
    obj = obj or os.path.join(record.build(), name)
    command = [
        '/usr/bin/python3',
        'tools/testing/kunit/kunit.py',
        'build',
        f'--arch={arch.linux}',
        f'--build_dir={obj}',
    ]
    if os.path.exists(log):
        os.remove(log)
    image, stamp = os.path.join(obj, arch.image), os.path.join(obj, 'built')
    if os.path.exists(stamp):
        with open(stamp, encoding='utf-8') as f:
            if f.read() == built_from(src, obj, image, arch, args):
                return True
        os.remove(stamp)
    compilers = '--make_options="CC=${cc%%gcc}%sgcc" --make_options="HOSTCC=$hostcc"' % arch.cross
    worked = logged(kernel_env(command + args, compilers), log, cwd=src)
    if worked:
        with open(stamp, 'w', encoding='utf-8') as f:
            f.write(built_from(src, obj, image, arch, args))
    return worked


def built_from(src, obj, image, arch, args):
    """The sum of all that the kernel image in obj depends on, and of when it was made."""
    files = [os.path.join(obj, '.config'), *(arg.partition('=')[2] for arg in args if '--kunitconfig=' in arg)]
    made = os.path.exists(image) and os.stat(image).st_mtime_ns
    parts = [record.git('rev-parse', 'HEAD^{tree}', at=src), record.changes(src), args, record.sum_of(src, files), made]
    return record.sum_of_text(parts + [record.said_by(f'{arch.cross}gcc', '--version')])


def kernel_env(command, args='CC="$cc" HOSTCC="$hostcc"', before=''):
    """The command with the compilers and time stamps of every kernel build, which scripts/lib/build.sh knows."""
    lib = os.path.join(ROOT, 'scripts', 'lib')
    script = f'set -e; . {lib}/common.sh; . {lib}/build.sh; kernel_env; {before}'
    return ['bash', '-c', script + f'exec "$@" {args} --jobs="${{J:-$(nproc)}}"', 'bash', *command]


def logged(command, log, cwd=None):
    """Runs the command with its output in the log, and says whether it worked."""
    with open(log, 'a', encoding='utf-8') as f:
        return not subprocess.run(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=f, stderr=f, check=False
        ).returncode


def need(worked, what, log):
    """The end, if it did not work: with the last of the log."""
    if not worked:
        with open(log, encoding='utf-8', errors='replace') as f:
            print('', *f.read().splitlines()[-30:], sep='\n', flush=True)
        sys.exit(f'error: {what}: see {log}')


def build_or_end(n, m, what, name, log, **build_args):
    """Step n of m of a stage; the configuration goes into its record."""
    with guest.step(n, m, f'{what}: build {name}'):
        worked = build(name, log, **build_args)
    need(worked, f'{name} does not build', log)
    with open(os.path.join(build_args.get('obj') or os.path.join(record.build(), name), '.config'), 'rb') as f:
        record.result('config', hashlib.sha256(f.read()).hexdigest())


class Verdict:
    """What a console says: results; failures, of tests; problems, of anything else; notes."""

    def __init__(self, name, lines, tests='', path=EXPECTED, any_=False, ours=(), ended=''):
        """tests: the glob that was asked for; ours: functions whose data races are problems; ended: how the guest did,
        if not by itself."""
        arch, self.name = name.partition('-')[0], name
        self.failures, self.problems, self.notes = [], [], []
        tests_of, said = ktap.read(lines)
        self.results = [Result(*of) for of in tests_of]
        listed, known, _ = expected.kunit(path)
        ran = {(arch, result.suite, result.test): result for result in self.results}
        for text in said if ran else ['nothing ran']:
            self.problem(text)
        if ended:
            self.problem(ended)
        for key, result in ran.items():
            line, test = ' '.join(key), f'{result.suite}.{result.test}'
            if result.status == 'fail':
                self.failures.append(f'{name}: {test}: {result.reason or "failed"}')
            elif any_:
                continue
            elif key not in listed:
                skip = ' skip: REASON' if result.status == 'skip' else ''
                self.problem(f'{test}: ran but is not listed, add to kunit/expected: {line}{skip}')
            elif result.status == 'pass' and listed[key]:
                self.problem(f'{test}: listed as skipped, but passes; in kunit/expected: {line}')
            elif result.status == 'skip' and listed[key] in ('', 'REASON'):
                self.problem(f'{test}: skipped; if that is right, in kunit/expected: {line} skip: REASON')
        for key in listed:
            if not any_ and key[0] == arch and key not in ran and wanted(tests, *key[1:]):
                self.problem(
                    f'{key[1]}.{key[2]}: did not run; if it is gone, remove from kunit/expected: {" ".join(key)}'
                )
        for splat in splats.find(lines):
            who = splats.blame(lines, splat)
            text, reason = f'{who}: splat: {splat.kind}: {splat.text}', expected.excused(known, name, who, splat)
            racers = re.findall(r'\w+', splat.text.partition(' in ')[2])
            # the kernel has races that it lives with; what is of the series shall have none
            if splat.kind == 'kcsan' and not set(racers) & set(ours):
                self.notes.append(f'{name}: {text}: not in a function of the series')
            elif reason:
                self.notes.append(f'{name}: {text}: expected: {reason}')
            else:
                self.problem(text)

    @property
    def tests(self):
        return [(f'{self.name}/{result.suite}', *result[1:]) for result in self.results]

    def problem(self, text):
        if f'{self.name}: {text}' not in self.problems:
            self.problems.append(f'{self.name}: {text}')

    def rows(self):
        for suite in dict.fromkeys(result.suite for result in self.results):
            of = [result for result in self.results if result.suite == suite]
            counts = [sum(result.status == status for result in of) for status in ('pass', 'fail', 'skip')]
            yield (suite, self.name, *counts, sum(result.seconds or 0 for result in of))


def run(name, tests, out, args=(), limit=600, obj=None, show=False, **judge):
    """Boots the kernel that was built, and gives its verdict. Writes out.console and out.ktap."""
    obj = obj or os.path.join(record.build(), name)
    args = ['kunit.enable=1', *([f'kunit.filter_glob={tests}'] if tests else []), *args]
    args.append(f'kunit_shutdown={"halt" if name.startswith("um") else "reboot"}')
    box = guest.Guest(name, obj, args, out + '.console')
    if show:
        print(box, flush=True)
    limit = int(os.environ.get('TIMEOUT') or limit)
    ended = box.run(limit, max(300, limit - 300))
    return judge_console(name, out, tests=tests, ended=ended, **judge)


def judge_console(name, out, **judge):
    with open(out + '.console', encoding='utf-8', errors='replace') as f:
        lines = f.read().splitlines()
    with open(out + '.ktap', 'w', encoding='utf-8') as f:
        f.writelines(line + '\n' for line in map(splats.strip, lines) if KTAP.match(line))
    return Verdict(name, lines, **judge)


def table(verdicts):
    rows = [row for verdict in verdicts for row in verdict.rows()]
    width = max([len(row[0]) for row in rows] + [5])
    print(f'{"suite":{width}}  {"arch":12}  passed  failed  skipped  seconds')
    for suite, name, passed, failed, skipped, seconds in rows:
        print(f'{suite:{width}}  {name:12}  {passed:6}  {failed:6}  {skipped:7}  {seconds:7.2f}')


def report(*verdicts):
    """Writes the verdicts into the record, says what is wrong, and gives the exit code."""
    for verdict in verdicts:
        for test in verdict.tests:
            record.result('test', *test)
        for note in dict.fromkeys(verdict.notes):
            record.result('note', note)
            print(note)
        sys.stdout.flush()
        for problem in verdict.problems:
            record.result('problem', problem)
        for text in verdict.failures + verdict.problems:
            print(text, file=sys.stderr)
    return int(any(verdict.failures or verdict.problems for verdict in verdicts))


def main(argv):
    parser = argparse.ArgumentParser(prog='kunit')
    parser.add_argument('--stage', choices=['kunit', 'kunit-archs', 'kunit-debug', 'kunit-kcsan', 'stress'])
    parser.add_argument('--any', action='store_true')
    parser.add_argument('--write', action='store_true')
    parser.add_argument('arches', nargs='*')
    opts = parser.parse_args(argv)
    name, tests = opts.stage or os.environ.get('MMTRACK_STAGE', 'kunit'), os.environ.get('TESTS', '')
    stage = stage_of(name) or stage_of('kunit')
    arches = opts.arches or (name == 'kunit' and os.environ.get('ARCHES') or stage.arches).split()
    globs = [tests] if tests else stage.globs
    write = opts.write or os.environ.get('WRITE')
    if write and globs != ['']:
        sys.exit('error: WRITE: kunit/expected lists all tests of an arch: make kunit without TESTS=')
    for arch in arches:
        configs(arch, tree())
    out = os.environ.get('MMTRACK_OUT') or record.results(name)
    os.makedirs(out, exist_ok=True)
    verdicts, missed, n, total = [], [], 0, len(arches) * (1 + len(globs))
    for arch in arches:
        at, judge = os.path.join(out, arch), {'any_': opts.any}
        build_or_end(n := n + 1, total, name, arch, at + '.build')
        if arch.endswith('-kcsan'):
            from mmtrack import planted

            judge['ours'] = functions()
            missed += planted.check('kunit-kcsan', out)
            dark, seen = blind(os.path.join(record.build(), arch), instrument('KCSAN_SANITIZE')[1])
            dark = [f'{arch}: {of} was compiled without KCSAN' for of in dark or ([] if seen else ['everything'])]
            for text in dark:
                record.result('problem', text)
            record.result('note', f'{seen} objects have KCSAN in them')
            missed += dark
        for glob in globs:
            here = at + ('-' + re.sub(r'\W+', '', glob) if len(globs) > 1 else '')
            print(f'[{(n := n + 1)}/{total}] {name} {arch}: run {glob}')
            verdicts.append(run(arch, glob, here, stage.args, stage.limit, show=True, **judge))
            record.result('log', here + '.console')
            if glob == 'mm_stress':  # what its threads did
                with open(here + '.ktap', encoding='utf-8') as f:
                    verdicts[-1].notes += [line.strip() for line in f if '# mm_stress_all: ' in line]
    if write:
        if not all(verdict.results for verdict in verdicts):
            sys.exit(f'error: nothing ran: see {out}')
        write_expected(EXPECTED, {(v.name.partition('-')[0], *r[:2]): r.status for v in verdicts for r in v.results})
        return 0
    table(verdicts)
    print(*missed, sep='\n', end='', file=sys.stderr)
    return report(*verdicts) or int(bool(missed))
