# SPDX-License-Identifier: GPL-2.0
"""What the tests share. No test needs another one, and none touches this repository or the network:

fake     a "kernel" of four files, with a tag v7.3 and a branch old, which is 7.2; must be as it was after the test
bench    a copy of the workbench in tmp_path, without patches: bench.root, bench.B, bench.run(...), bench.git(...)
tree     bench with LINUX=fake and three patches, committed, applied in build/linux

bench.run('scripts/tree.sh', BASE='7.3') gives a Result: rc, out (both streams), out.says('text').
"""
import hashlib
import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))
# the record of the stage that runs the tests is for the hook below: what a test runs writes into none, or one of its own
RECORD = {
    name: os.environ.pop(name, '') for name in ('MMTRACK_RESULTS', 'MMTRACK_STAGE', 'MMTRACK_OUT', 'MMTRACK_CHECK')
}
PARTS = ('Makefile', 'b4.yaml', 'scripts', 'configs', 'kunit', 'selftests')
# what may be set where the tests run, and would reach the scripts
SETTINGS = (
    'B BASE BASE_COMMIT LINUX ARCHES TESTS PROGRAMS ROWS PATCHES MUTANTS CASES MINUTES SEED OPS PLANT KNOWN SIDE DEBUG TIMEOUT'
    ' ACCEL FORCE J DEPS'
    ' WRITE TOPIC NEEDS FILTER SILENT KERNEL_ORG B4_YAML MAKEFLAGS MAKELEVEL MFLAGS XDG_CONFIG_HOME XDG_DATA_HOME EMAIL'
).split()


class Result:
    def __init__(self, rc, out):
        self.rc, self.out = rc, out

    def __repr__(self):
        return f'rc {self.rc}\n{self.out}'

    def ok(self):
        assert self.rc == 0, self
        return self

    def says(self, text):
        """It failed, and said that."""
        assert self.rc != 0 and text in self.out, self
        return self

    def says_one_line(self, text):
        """It failed with one line, and that says it."""
        lines = [x for x in self.out.splitlines() if not re.match(r'fetching |\[', x)]
        assert self.rc != 0 and len(lines) == 1 and lines[0].startswith('error:') and text in lines[0], self
        return self


class Bench:
    def __init__(self, root, env):
        self.root, self.env = root, env

    @property
    def B(self):
        return os.path.join(self.root, self.env['B'])

    @property
    def linux(self):
        return os.path.join(self.B, 'linux')

    @property
    def patches(self):
        return os.path.join(self.root, 'patches')

    def run(self, *command, **env):
        """Runs a command at the top of the copy; env: a value of None unsets."""
        env = {k: str(v) for k, v in {**self.env, **env}.items() if v is not None}
        done = subprocess.run(
            [str(x) for x in command],
            cwd=self.root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding='utf-8',
            errors='replace',
            check=False,
        )
        return Result(done.returncode, done.stdout)

    def git(self, *args, at=None):
        """What git prints in build/linux, or at another place."""
        result = self.run('git', '-C', at or self.linux, *args)
        assert result.rc == 0, result
        return result.out.rstrip('\n')

    def mm(self, *args, **env):
        return self.run('/usr/bin/python3', '-m', 'mmtrack', *args, **env)

    def commit(self, name, text, message):
        """Adds a line to a file in build/linux and commits that."""
        with open(os.path.join(self.linux, name), 'a', encoding='utf-8') as f:
            f.write(text + '\n')
        self.git('add', name)
        self.git('commit', '-q', '-s', '-m', message)
        return self.git('rev-parse', 'HEAD')

    def path(self, *names):
        return os.path.join(self.root, *names)

    def read(self, *names):
        with open(self.path(*names), encoding='utf-8') as f:
            return f.read()

    def write(self, text, *names):
        path = self.path(*names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return path

    def edit(self, pattern, new, *names):
        text = self.read(*names)
        changed = re.sub(pattern, new, text, flags=re.M)
        assert changed != text, f'{pattern} is not in {names}'
        self.write(changed, *names)

    def program(self, name, text):
        """A program that is found before the real one of that name."""
        path = self.write(text, os.path.dirname(self.root), 'bin', name)
        os.chmod(path, 0o755)
        self.env['PATH'] = os.path.dirname(path) + ':' + os.environ['PATH']


def sum_of(path):
    """Names, modes and contents of what is in a directory. Not times: git renews that of an object it would write again."""
    total = hashlib.sha256()
    for top, dirs, files in sorted(os.walk(path)):
        for name in sorted(dirs + files):
            full = os.path.join(top, name)
            total.update(f'{full} {os.lstat(full).st_mode}\n'.encode())
            if name in files and not os.path.islink(full):
                with open(full, 'rb') as f:
                    total.update(f.read())
    return total.hexdigest()


def times_of(path):
    return {x.path: x.stat().st_mtime_ns for x in os.scandir(path)}


def environment(home):
    """Of a developer who has settings that must not matter."""
    env = {k: v for k, v in os.environ.items() if k not in SETTINGS and not k.startswith(('GIT_', 'MMTRACK_'))}
    env.update(HOME=str(home), XDG_CACHE_HOME=f'{home}/cache', GIT_CONFIG_NOSYSTEM='1', PYTHONPATH='scripts', B='build')
    env.update(PYTHONDONTWRITEBYTECODE='1')
    os.makedirs(home, exist_ok=True)
    with open(f'{home}/.gitconfig', 'w', encoding='utf-8') as f:
        f.write(
            '[user]\n\tname = A Tester\n\temail = tester@example.org\n[diff]\n\tnoprefix = true\n'
            '[format]\n\tsignature = nobody\n[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n'
        )
    return env


@pytest.fixture(scope='session')
def fake_kernel(tmp_path_factory):
    top = tmp_path_factory.mktemp('fake')
    bench = Bench(str(top), environment(top / 'home'))
    at = bench.path('linux')
    version = '# SPDX\nVERSION = 7\nPATCHLEVEL = {}\nSUBLEVEL = 0\nEXTRAVERSION =\n'
    more = ''.join(f'# {i}\n' for i in range(30000))  # longer than a pipe holds, as the real one is
    forty = ''.join(f'{i}\n' for i in range(1, 41))
    bench.write(version.format(2) + more, 'linux/Makefile')
    bench.write(forty, 'linux/one.c')
    bench.write(forty, 'linux/two.c')
    bench.write('*.o\n', 'linux/.gitignore')
    bench.git('init', '-q', at=at)
    bench.git('add', '-A', at=at)
    bench.git('commit', '-q', '-m', 'Linux 7.2', at=at)
    bench.git('branch', 'old', at=at)
    bench.write(version.format(3) + more, 'linux/Makefile')
    bench.git('commit', '-q', '-a', '-m', 'Linux 7.3', at=at)
    bench.git('tag', 'v7.3', at=at)
    return at


@pytest.fixture
def fake(fake_kernel):
    before = sum_of(fake_kernel)
    yield fake_kernel
    assert sum_of(fake_kernel) == before, "the user's tree was touched"


def new_bench(top):
    bench = Bench(f'{top}/repo', environment(f'{top}/home'))
    for name in PARTS:
        source = os.path.join(ROOT, name)
        if os.path.isdir(source):
            shutil.copytree(source, bench.path(name), ignore=shutil.ignore_patterns('__pycache__', 'tests'))
        else:
            os.makedirs(bench.root, exist_ok=True)
            shutil.copy(source, bench.root)
    bench.write('/build/\n', '.gitignore')
    return bench


@pytest.fixture
def bench(tmp_path):
    return new_bench(tmp_path)


@pytest.fixture(scope='session')
def made(tmp_path_factory, fake_kernel):
    top = tmp_path_factory.mktemp('made')
    bench = new_bench(top)
    bench.run('scripts/tree.sh', LINUX=fake_kernel).ok()
    bench.commit('one.c', 'first', 'one: first')
    bench.commit('new.c', 'new', 'new: a file')
    bench.commit('two.c', 'third', 'two: third, Ünïcode in it')
    bench.run('scripts/refresh.sh').ok()
    bench.git('init', '-q', at=bench.root)
    bench.git('add', '-A', at=bench.root)
    bench.git('commit', '-q', '-m', 'all', at=bench.root)
    shutil.rmtree(bench.B)
    bench.run('scripts/tree.sh', LINUX=fake_kernel).ok()
    return top


def copy_of(top, fake, tmp_path):
    """A copy of what a fixture of the session has made."""
    subprocess.run(['cp', '-a', f'{top}/.', str(tmp_path)], check=True)
    bench = Bench(f'{tmp_path}/repo', environment(f'{tmp_path}/home'))
    bench.env['LINUX'] = fake
    return bench


@pytest.fixture
def tree(made, fake, tmp_path):
    return copy_of(made, fake, tmp_path)


def pytest_runtest_logreport(report):
    """A test is a test of the stage that runs."""
    path = RECORD['MMTRACK_RESULTS']
    if not path or (report.when != 'call' and report.passed):
        return
    status = {'passed': 'pass', 'failed': 'fail', 'skipped': 'skip'}[report.outcome]
    file, _, name = report.nodeid.partition('::')
    group = os.path.basename(file)[len('test_') : -len('.py')]
    why = ''
    if report.skipped and isinstance(report.longrepr, tuple):
        why = report.longrepr[2]
    elif report.failed:
        why = f'{report.when}: ' + str(getattr(getattr(report.longrepr, 'reprcrash', None), 'message', 'failed'))[:300]
    with open(path, 'a', encoding='utf-8') as f:
        f.write('\t'.join(['test', group, name, status, f'{report.duration:.2f}', ' '.join(why.split())]) + '\n')
