# SPDX-License-Identifier: GPL-2.0
"""After each patch, does what it touches compile? (PATCHES=12-20: only after these.) --topics: does each topic of
patches/series apply to the base and what it needs, and does what it touches compile there? (TOPIC=: only that one.)

First all that the series touches is compiled at its end, by kbuild, with W=1 on x86_64. That leaves the command of each
object, and only these are run from then on, with -fsyntax-only: for the C files that change, and those of the series that
mention what changes in headers. A file with more messages than at the base fails. What a patch does to
Kconfig and makefiles, and what only the optimizer warns of, is for make bisect.
"""
import concurrent.futures
import functools
import io
import os
import re
import subprocess
import sys
import tarfile

from mmtrack import guest, kunit, record, topics

# in the directory of make matrix, so that nothing is compiled twice; judge() may have left the base's configuration there
HEAD = '''out=$1
config=("$B/work/objects-x86_64" x86_64 gcc kunit RUNTIME_TESTING_MENU=y TEST_HMM=y)
try 1 "$2" "$3" "the whole series" judge series "$out/series" touched "${config[@]}"
worktree "$B/work/linux" series
configure "${config[@]}"
"${kbuild[@]}" prepare >"$out/prepare.log" 2>&1
[ ${#failed[@]} = 0 ]'''
BROKEN = ': does not compile'
MESSAGE = re.compile(r': (?:fatal )?(?:warning|error): ')


def git(*args, text=True):
    return subprocess.run(['git', '-C', kunit.tree(), *args], capture_output=True, text=text, check=True).stdout


def bash(script, *args):
    command = ['bash', '-euo', 'pipefail', '-c', '. scripts/lib/common.sh; . scripts/lib/build.sh; ' + script]
    return subprocess.run([*command, 'prefixes', *args], cwd=record.ROOT, check=False)


def chosen(count):
    """The numbers of the patches, by PATCHES=."""
    text = os.environ.get('PATCHES') or f'1-{count}'
    hit = re.fullmatch('([1-9][0-9]*)(?:-([1-9][0-9]*))?', text)
    first, last = (int(hit[1]), int(hit[2] or hit[1])) if hit else (1, 0)
    if not first <= last <= count:
        sys.exit(f'error: PATCHES={text}: which patches? PATCHES=1-{count} are all')
    return range(first, last + 1)


def declared(diff):
    """The names that a diff of headers declares, defines or calls, without those that are one word."""
    names = set()
    for line in re.findall(r'(?m)^[-+](?![-+]{2} )(?!\s*/?\*)(.*)', diff):
        names.update(re.findall(r'\b(\w+_\w+)\(|#\s*define\s+(\w+)|^\s+(\w+_\w+)\s*[,=]|\b(\w+_\w+)(?:\[.*\])?;', line))
    return {name for of in names for name in of if name}


class Tree:
    """The second work tree, of which only files that differ are written, and the commands of its objects."""

    def __init__(self, src, obj):
        self.src, self.obj, self.at = src, obj, 'series'
        self.before = {}  # the messages at the base

    def go(self, commit):
        """Makes its files those of the commit."""
        changes = git('diff', '--no-renames', '--name-status', '-z', self.at, commit).split('\0')[:-1]
        here = [name for kind, name in zip(changes[::2], changes[1::2]) if kind != 'D']
        for name in set(changes[1::2]) - set(here):
            os.remove(os.path.join(self.src, name))
        if here:
            with tarfile.open(fileobj=io.BytesIO(git('archive', commit, '--', *here, text=False))) as tar:
                tar.extractall(self.src)
        self.at = commit

    def mentions(self, name, words):
        with open(os.path.join(self.src, name), encoding='utf-8', errors='replace') as f:
            return bool(words & set(re.findall(r'\w+', f.read())))

    @functools.cache
    def command(self, name):
        """How kbuild compiled the C file; None, if it is not in this configuration."""
        where, file = os.path.split(name[:-1] + 'o')
        try:
            with open(os.path.join(self.obj, where, f'.{file}.cmd'), encoding='utf-8') as f:
                line = f.readline()
        except FileNotFoundError:
            return None
        line = line.partition(' := ')[2].split(' ; ')[0].replace('$(pound)', '#').replace('$$', '$')
        return re.sub(r'^\S*ccache\S* | -Wp,-MMD,\S+| -c -o \S+', '', line) + ' -fsyntax-only'

    def compile(self, name, out):
        """The messages about the C file, which go to a log beside out, too."""
        os.makedirs(os.path.dirname(out), exist_ok=True)
        done = subprocess.run(self.command(name), cwd=self.obj, shell=True, capture_output=True, check=False)
        said = done.stderr.decode(errors='replace').replace(self.src + '/', '')
        with open(out + '.log', 'w', encoding='utf-8') as f:
            f.write(said)
        found = [line for line in said.splitlines() if MESSAGE.search(line)]
        return found + [name + BROKEN] * (done.returncode != 0)

    def messages(self, names, out):
        """{file: its messages}"""
        with concurrent.futures.ThreadPoolExecutor(int(os.environ.get('J') or os.cpu_count())) as pool:
            outs = [f'{out}/{name[:-1]}o' for name in names]
            return dict(zip(names, pool.map(self.compile, names, outs)))


def judge(tree, before, commit, files, out):
    """What is wrong at the commit, as texts, and how many of the files what changed before it affects."""
    tree.go(commit)
    changed = git('diff', '--name-only', before, commit).splitlines()
    words = declared(git('diff', '-U0', before, commit, '--', '*.h'))
    there = [name for name in files if os.path.exists(os.path.join(tree.src, name)) and tree.command(name)]
    names = [name for name in there if name in changed or words and tree.mentions(name, words)]
    said = {name: found for name, found in tree.messages(names, out).items() if found}
    new = [name for name in said if name not in tree.before]
    if new:
        tree.go('base')
        old = [name for name in new if os.path.exists(os.path.join(tree.src, name))]
        tree.before |= dict.fromkeys(new, []) | tree.messages(old, f'{out}.base')
    wrong = []
    for name, found in said.items():
        had = len(tree.before[name])
        # what kbuild compiled at the end is to compile here, whatever the base says
        if len(found) > had or found[-1].endswith(BROKEN):
            wrong += [f'{name}: {len(found)} messages, {had} before', *found]
    return wrong, len(names)


def of_patches():
    """(number, subject, the commit before, the commit) of each patch that was asked for"""
    commits = git('rev-list', '--reverse', 'base..series').split()
    if not commits:
        sys.exit('error: the series is empty: nothing to check')
    found = []
    for n in chosen(len(commits)):
        commit = commits[n - 1]
        found.append((n, git('log', '-1', '--format=%s', commit).strip(), f'{commit}^', commit))
    return found


def of_topics():
    """(name, name, the base, its commit) of each topic that was asked for; (name, name, why not, '') if it does not apply"""
    found = []
    for name in [os.environ['TOPIC']] if os.environ.get('TOPIC') else topics.names():
        topics.named(name)
        done = subprocess.run(['scripts/topics.sh', '--commit', name], cwd=record.ROOT, capture_output=True, text=True)
        said = (done.stdout + done.stderr).strip().splitlines()
        found.append((name, name, said[0], '') if done.returncode else (name, name, 'base', said[-1]))
    return found


def main(argv):
    stage = 'topics-check' if argv == ['--topics'] else 'prefixes'
    out, work = os.environ.get('MMTRACK_OUT') or record.results(stage), os.path.join(record.build(), 'work')
    os.makedirs(out, exist_ok=True)
    if bash('need_tree; need_commits').returncode:
        return 1
    what = of_topics() if argv else of_patches()
    failed = bash(HEAD, out, str(len(what) + 1), stage).returncode
    tree = Tree(os.path.join(work, 'linux'), os.path.join(work, 'objects-x86_64'))
    # this configuration has no DRM, and what its drivers see of headers depends on it: they are for make matrix
    files = git('diff', '--no-renames', '--name-only', 'base', 'series', '--', '*.c', ':!drivers/gpu').splitlines()
    for step, (n, name, before, commit) in enumerate(what, 2):
        with guest.step(step, len(what) + 1, name):
            wrong, count = judge(tree, before, commit, files, f'{out}/{n}') if commit else ([before], 0)
            print('FAILED' if wrong else f'ok {count} files', end=' ')
        print(*wrong, sep='\n', end='\n' if wrong else '')
        record.result('test', stage, name, 'fail' if wrong else 'pass', '', wrong[0] if wrong else '')
        failed += bool(wrong)
    if failed:
        print(f'error: {failed} of {len(what) + 1} {stage.partition("-")[0]} are not good: see {out}', file=sys.stderr)
    return int(bool(failed))
