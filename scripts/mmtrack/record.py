# SPDX-License-Identifier: GPL-2.0
"""The record of a stage: what a verb writes into it, what it is compared by, how it is read again."""
import hashlib
import json
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SETTINGS = (
    'ARCHES TESTS PROGRAMS ROWS PATCHES MUTANTS CASES TOPIC MINUTES SEED OPS PLANT KNOWN SIDE DEBUG TIMEOUT ACCEL'
    ' LINUX BASE BASE_COMMIT'
).split()
STATUSES = ('pass', 'fail', 'skip', 'unsteady')
WINDOW = 30  # how many runs back the history of a test is told


def result(*fields):
    """One line of results: ('test', GROUP, NAME, STATUS, SECONDS, REASON), ('problem', TEXT), ('log', PATH),
    ('note', TEXT) or ('config', HASH). A verb that runs by hand has nowhere to write it."""
    path = os.environ.get('MMTRACK_RESULTS')
    if path:
        with open(path, 'a', encoding='utf-8') as f:
            f.write('\t'.join('' if x is None else ' '.join(str(x).split()) for x in fields) + '\n')


def build():
    return os.path.join(ROOT, os.environ.get('B') or 'build')


def results(*names):
    return os.path.join(build(), 'results', *names)


def said_by(*command, at=ROOT):
    """What a command prints, or '' if it fails or is not there."""
    try:
        return subprocess.run(command, cwd=at, capture_output=True, check=True).stdout.decode(errors='replace').strip()
    except (OSError, subprocess.CalledProcessError):
        return ''


def git(*args, at=ROOT):
    return said_by('git', '--no-optional-locks', *args, at=at)


def sum_of(at, names):
    """One sum of the names, modes and contents of files."""
    total = hashlib.sha256()
    for name in sorted(filter(None, names)):
        path, text = os.path.join(at, name), b'gone'
        if os.path.isfile(path):
            with open(path, 'rb') as f:
                text = f.read()
        mode = os.path.exists(path) and os.stat(path).st_mode
        total.update(f'{name} {mode} {hashlib.sha256(text).hexdigest()}\n'.encode())
    return total.hexdigest()


def sum_of_text(parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def changes(at):
    """The sum of what is not committed in a git tree, new files too; False if all is."""
    names = git('diff', '--name-only', '-z', '--no-renames', 'HEAD', at=at).split('\0')
    names += git('ls-files', '-z', '-o', '--exclude-standard', at=at).split('\0')
    return sum_of(at, names) if any(names) else False


def workbench():
    """The sum of the workbench's own files, without those that only people read."""
    names = git('ls-files', '-z', '-co', '--exclude-standard').split('\0')
    if names == ['']:
        sys.exit(f'error: git does not read {ROOT}, so that no record can say what was tested: see git status')
    return sum_of(ROOT, [x for x in names if not x.endswith(('.md', 'LICENSE')) and not x.startswith('.github/')])


def now():
    """What every stage's verdict depends on, and on what machine: the first part of its record."""
    tree = os.path.join(build(), 'linux')
    base, series, commit, work = '', '', '', False
    if os.path.isdir(tree):
        ids = git('rev-parse', 'base^{tree}', 'HEAD^{tree}', 'base^{commit}', at=tree).split()
        if len(ids) != 3:
            sys.exit(
                f'error: git does not read {tree}, or it has no tag "base": see git -C {tree} status, or make distclean'
            )
        (base, series, commit), work = ids, changes(tree)
    return {
        'base': {
            'name': git('log', '-1', '--format=%s', 'base', at=tree) if base else '',
            'commit': commit,
            'tree': base,
        },
        'series': {'tree': series, 'dirty': work},
        'workbench': {
            'commit': git('rev-parse', 'HEAD'),
            'dirty': bool(git('status', '--porcelain')),
            'sum': workbench(),
        },
        'settings': settings(),
        'host': {
            'cpus': os.cpu_count(),
            'machine': os.uname().machine,
            'gcc': said_by('gcc', '--version').partition('\n')[0],
            'qemu': said_by('qemu-system-x86_64', '--version').partition('\n')[0],
        },
    }


def settings():
    return {name: os.environ[name] for name in SETTINGS if os.environ.get(name)}


def key(stage, of):
    """What a record of this stage must have, to stand for a run as things are now."""
    parts = [
        stage,
        of['base']['tree'],
        of['series'],
        of['workbench']['sum'],
        of['settings'],
        of['host']['gcc'],
        of['host']['qemu'],
    ]
    return sum_of_text(parts)


def read(stage):
    """The record of a stage, or None."""
    try:
        with open(results(f'{stage}.json'), encoding='utf-8') as f:
            found = json.load(f)
        return found if 'verdict' in found else None
    except (OSError, ValueError):
        return None


def write(name, text):
    """A file of the results is the old one or the new one, never half of it."""
    with open(results(name + '.new'), 'w', encoding='utf-8') as f:
        f.write(text)
    os.replace(results(name + '.new'), results(name))


def forget(stage):
    """Removes the record and the logs of a stage, not its history."""
    shutil.rmtree(results(stage), ignore_errors=True)
    if os.path.exists(results(f'{stage}.json')):
        os.remove(results(f'{stage}.json'))


def same(one, other):
    """Are two records of the same series on the same base?"""
    return (one['base']['tree'], one['series']) == (other['base']['tree'], other['series'])


def counts(record):
    """(passed, failed, skipped): a problem counts as a failure, and so does a stage that failed without one."""
    of = [test['status'] for test in record['tests']]
    failed = of.count('fail') + len(record['problems'])
    return of.count('pass') + of.count('unsteady'), failed or int(record['verdict'] != 'pass'), of.count('skip')


def line_of(passed, failed, skipped):
    return f'{passed} passed, {failed} failed, {skipped} skipped'


def remember(record):
    """Adds a run to the history: {stage, started, seconds, verdict, settings, tests: {status: ["group name"]}}. Of each
    stage it has the last WINDOW."""
    line = {name: record[name] for name in ('stage', 'started', 'seconds', 'verdict', 'settings')}
    line['tests'] = {}
    for test in record['tests']:
        line['tests'].setdefault(test['status'], []).append(f'{test["group"]} {test["name"]}')
    runs = history() + [line]
    old = [run for run in runs if run['stage'] == line['stage']][:-WINDOW]
    write('history.jsonl', ''.join(json.dumps(run) + '\n' for run in runs if run not in old))


def history():
    """All runs that were remembered, the oldest first; a line that was broken off is left out."""
    runs = []
    if os.path.exists(results('history.jsonl')):
        with open(results('history.jsonl'), encoding='utf-8', errors='replace') as f:
            for line in f:
                try:
                    runs.append(json.loads(line))
                except ValueError:
                    continue
    return runs


def seconds_of(runs, stage):
    """How long a stage will take: the median of its last five runs with these settings; None if there are none."""
    took = [run['seconds'] for run in runs if run['stage'] == stage and run['settings'] == settings()][-5:]
    return sorted(took)[len(took) // 2] if took else None


def troubled(runs):
    """{(stage, test): (failed, unsteady, of how many runs)} of the tests that were not always well in the last runs."""
    seen = {}
    for run in reversed(runs):
        for status, tests in run['tests'].items():
            for test in tests:
                of = seen.setdefault((run['stage'], test), [])
                if len(of) < WINDOW:
                    of.append(status)
    found = {key: (of.count('fail'), of.count('unsteady'), len(of)) for key, of in seen.items()}
    return {key: value for key, value in found.items() if value[0] or value[1]}


def sentence(failed, unsteady, runs):
    """ "failed 2 of the last 30" """
    parts = [f'{word} {n}' for word, n in (('failed', failed), ('unsteady', unsteady)) if n]
    return f'{", ".join(parts)} of the last {runs}'
