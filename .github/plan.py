#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tells the workflow which jobs there are: prints matrix=JSON and newest=BASE, which are the outputs of its first job.

plan.py check has the stages of make check; plan.py check-full those of make check-full and bench, with the patches of
bisect and the mutations in jobs of their own.
"""
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATCHES = 8  # in a job: each is compiled and run twice


def read(*names):
    with open(os.path.join(ROOT, *names), encoding='utf-8') as f:
        return f.read()


def stages(makefile, variable):
    hit = re.search(rf'^{variable} [:?]?= ((?:.*\\\n)*.*)$', makefile, re.M)
    if not hit:
        sys.exit(f'error: the Makefile has no {variable}: tell .github/plan.py where its stages are')
    words = hit[1].replace('\\\n', ' ').split()
    return [more for word in words for more in (stages(makefile, word[2:-1]) if word.startswith('$(') else [word])]


def shards(stage):
    """(name of the job, its settings)"""
    if stage == 'bisect':
        count = len(re.findall(r'^[^#\s]', read('patches', 'series'), re.M))
        for first in range(1, count + 1, PATCHES):
            patches = f'{first}-{min(first + PATCHES - 1, count)}'
            yield f'bisect {patches}', {'patches': patches}
    elif stage == 'mutants':
        for suite in sorted(set(re.findall(r'^  suite: (\S+)$', read('kunit', 'mutants.yaml'), re.M))):
            yield f'mutants {suite}', {'mutants': suite}
    else:
        yield stage, {}


def version(name):
    """7.3~rc7 is before 7.3, and that before 7.3.4."""
    number, _, rc = name.partition('~rc')
    return [int(part) for part in number.split('.')], int(rc or 1000)


def plan(target):
    """(jobs, the newest base of 7.x)"""
    makefile = read('Makefile')
    of = stages(makefile, 'STAGES') if target == 'check' else stages(makefile, 'full') + ['bench']
    jobs = [{'stage': stage, 'name': name} | more for stage in dict.fromkeys(of) for name, more in shards(stage)]
    bases = re.findall(r'^(7\.\S+)', read('configs', 'bases'), re.M)
    return jobs, max(bases, key=version)


if __name__ == '__main__':
    JOBS, NEWEST = plan(sys.argv[1])
    print('matrix=' + json.dumps({'include': JOBS}))
    print('newest=' + NEWEST)
