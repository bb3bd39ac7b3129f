# SPDX-License-Identifier: GPL-2.0
"""Runs a stage and writes its record: python3 -m mmtrack stage NAME -- COMMAND ARGS...

The command finds MMTRACK_STAGE, MMTRACK_OUT (a directory for its logs) and MMTRACK_RESULTS (see record.result()) in
its environment. One that is interrupted leaves no record. Two stages do not run in one build directory.
"""
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time

from mmtrack import record

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interruptible():
    """The first of SIGNALS is a KeyboardInterrupt, and more of them do not disturb what follows it."""

    def stop(*_):
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in SIGNALS:
        signal.signal(number, stop)


def lock(name):
    """A file that is locked until this process ends."""
    f = open(os.path.join(record.build(), '.stage.lock'), 'a+', encoding='utf-8')
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        f.seek(0)
        what, _, pid = f.read().strip().partition(' ')
        sys.exit(f'error: make {what} runs in {record.build()} (pid {pid}): wait for it, or use B=')
    f.truncate(0)
    f.write(f'{name} {os.getpid()}')
    f.flush()
    return f


def run(command, env, log):
    """The exit code of the command; what it prints goes to the terminal and to the log."""
    streams = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT}
    with subprocess.Popen(command, cwd=record.ROOT, env=env, start_new_session=True, **streams) as child:
        try:
            while True:
                if select.select([child.stdout], [], [], 0.5)[0]:
                    data = os.read(child.stdout.fileno(), 65536)
                    if not data:
                        break
                    log.write(data)
                    sys.stdout.buffer.write(data)
                    sys.stdout.buffer.flush()
                elif child.poll() is not None:
                    break
            return child.wait()
        finally:
            # whatever it left behind: a guest, a make
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
                time.sleep(1)
                os.killpg(child.pid, signal.SIGKILL)


def collect(path):
    """What the command wrote: {tests, problems, logs, notes, config}."""
    found = {'tests': [], 'problems': [], 'logs': [], 'notes': [], 'config': []}
    if os.path.exists(path):
        with open(path, encoding='utf-8', errors='replace') as f:
            lines = f.read().splitlines()
        for number, line in enumerate(lines, 1):
            kind, *fields = line.split('\t')
            try:
                if kind == 'test':
                    test = dict(
                        zip(('group', 'name', 'status', 'seconds', 'reason'), fields + [''] * (5 - len(fields)))
                    )
                    record.STATUSES.index(test['status'])
                    found['tests'].append({**test, 'seconds': float(test['seconds']) if test['seconds'] else None})
                else:
                    found[kind if kind == 'config' else kind + 's'].append(' '.join(fields))
            except (KeyError, ValueError):
                found['problems'].append(f'results.tsv:{number}: no line of results: {line}')
    return found


def main(argv):
    if len(argv) < 3 or argv[1] != '--':
        sys.exit('error: no command: python3 -m mmtrack stage NAME -- COMMAND ARGS...')
    name, command = argv[0], argv[2:]
    interruptible()
    if subprocess.run(['bash', '-c', '. scripts/lib/common.sh && make_build'], cwd=record.ROOT, check=False).returncode:
        return 1
    held, out = lock(name), record.results(name)
    record.forget(name)
    os.makedirs(out)
    now, begun, start = record.now(), time.strftime('%Y-%m-%dT%H:%M:%S%z'), time.monotonic()
    env = {'MMTRACK_STAGE': name, 'MMTRACK_OUT': out, 'MMTRACK_RESULTS': os.path.join(out, 'results.tsv')}
    try:
        with open(os.path.join(out, 'log'), 'wb', buffering=0) as log:
            code = run(command, {**os.environ, **env}, log)
    except OSError as error:
        sys.exit(f'error: {name}: {error}: nothing is recorded')
    what = {'stage': name, 'key': record.key(name, now), **now, **collect(env['MMTRACK_RESULTS']), 'started': begun}
    what['seconds'] = round(time.monotonic() - start, 1)
    failed = [test for test in what['tests'] if test['status'] == 'fail']
    if code and not failed and not what['problems']:
        what['problems'].append(f'{command[0]} ended with {code}, see the log')
    elif not what['tests'] and not what['problems']:
        what['problems'].append(f'{name} has tested nothing')
    what['verdict'] = 'fail' if failed or what['problems'] else 'pass'
    record.write(f'{name}.json', json.dumps(what, indent=1) + '\n')
    record.remember(what)
    for test in what['tests']:
        if test['status'] == 'unsteady':
            print(f'unsteady: {test["group"]} {test["name"]}: {test["reason"]}')
    print(f'{name}: {record.line_of(*record.counts(what))} ({what["seconds"]:.0f} s)')
    held.close()
    return int(what['verdict'] == 'fail')
