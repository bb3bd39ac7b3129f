# SPDX-License-Identifier: GPL-2.0
"""Runs stages, targets of the Makefile, one after the other: python3 -m mmtrack check STAGE...

A stage that passed on the same series, scripts and settings is not run again (FORCE=1: it is). All of it is judged by
the records of the stages, and only if they are of one series.
"""
import os
import subprocess
import sys

from mmtrack import record, report, stage

MIXED = 'the series or its base changed since the check began: make check again'


def make(target, **more):
    """Runs make TARGET; an interrupt ends it first."""
    command = ['make', '-s', '--no-print-directory', '-C', record.ROOT, target]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, env={**os.environ, **more}) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            raise


def estimate(runs, stages):
    """How long these will take, as far as it is known; '' if it is of none."""
    known = [s for s in (record.seconds_of(runs, name) for name in stages) if s is not None]
    more = '' if len(known) == len(stages) else ' and what was never timed'
    return f'about {report.took(sum(known))}{more}' if known else ''


def passed(name, now):
    """The record that makes a run of this stage needless."""
    old = record.read(name)
    same = old and old['verdict'] == 'pass' and old['key'] == record.key(name, now)
    return old if same and not os.environ.get('FORCE') else None


def judge(n, stages, first, now, runs):
    """The record of stage n, which is run if it must be."""
    name = stages[n]
    nothing = {**first, 'stage': name, 'seconds': 0, 'started': '', 'problems': []}
    nothing.update(tests=[], notes=[], logs=[])
    code, rec = 0, nothing
    if not record.same(now, first):
        rec['problems'].append(f'not run: {MIXED}')
    elif passed(name, now):
        rec = {**passed(name, now), 'kept': True}
        print(f'[{n + 1}/{len(stages)}] {name}: passed already, {rec["started"][:16]} (FORCE=1 runs it)', flush=True)
    else:
        left = estimate(runs, [other for other in stages[n:] if not passed(other, now)])
        left = f' ({estimate(runs, [name]) or "never timed"}; left: {left})' if left else ''
        print(f'[{n + 1}/{len(stages)}] {name} ...{left}', flush=True)
        record.forget(name)
        code = make(name, MMTRACK_CHECK='1')
        rec = record.read(name) or nothing
        if rec is nothing:
            rec['problems'].append(f'make {name} ended with {code} before it had a record')
        elif not record.same(rec, first):
            rec['problems'].append(MIXED)
        elif code and rec['verdict'] == 'pass':
            rec['problems'].append(f'make {name} ended with {code}')
    return {**rec, 'verdict': 'fail' if rec['problems'] else rec['verdict']}


def main(argv):
    stages, records = list(dict.fromkeys(argv)), []
    if not stages:
        sys.exit('error: STAGES: no stage: leave it out, or name some of make help')
    stage.interruptible()
    try:
        if make('tree'):
            return 1
        os.makedirs(record.results(), exist_ok=True)
        first = now = record.now()
        for n in range(len(stages)):
            records.append(judge(n, stages, first, now, record.history()))
            # what is asked of git takes a while, and only a run gives it the time to change
            now = now if records[-1].get('kept') else record.now()
    except KeyboardInterrupt:
        print(
            f'\ninterrupted after {len(records)} of {len(stages)} stages: make check goes on from there',
            file=sys.stderr,
        )
        return 130
    return report.write(records)
