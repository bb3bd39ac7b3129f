# SPDX-License-Identifier: GPL-2.0
"""Does random operations on the memory of a process, beside a model of it, on the kernel with KASAN and the like: boots it
and runs selftests/fuzz.c for MINUTES, each list of operations from a seed of its own. A list that fails is printed, shortened.

The lists are those of the seeds from 1 on, or with MINUTES= from the time on, which nobody has tried. SEED=n runs the list
of that seed only; OPS="mode=0 write:anon:0+1:7 ..." or a file with such a list runs that. KNOWN=0 asserts what is known to
be wrong, too (or a sum of the KNOWN_* of fuzz.c, which are left out; SIDE=base leaves out what the series fixes). PLANT=name
is of the series with one of the bugs of selftests/planted/fuzz.yaml.
"""
import os
import re
import subprocess
import sys
import time

from mmtrack import kunit, planted, record, selftests

SOURCE = os.path.join(record.ROOT, 'selftests', 'fuzz.c')
SHORTEN = 1200  # seconds, for a list that fails


def command(work):
    """(seconds, the command, the files that it needs)"""
    ops, seed, minutes, known = (os.environ.get(name, '') for name in ('OPS', 'SEED', 'MINUTES', 'KNOWN'))
    if not re.fullmatch(r'\d*\.?\d*,\d*,\d*', f'{minutes},{seed},{known}'):
        sys.exit(f'error: MINUTES, SEED, KNOWN: "{minutes}", "{seed}", "{known}" are no numbers: make fuzz MINUTES=5')
    if ops and not os.path.exists(ops):
        with open(f'{work}/ops', 'w', encoding='utf-8') as f:
            f.write(ops + '\n')
        ops = f'{work}/ops'
    if ops:
        return 60, 'fuzz file ops', {'/tests/ops': ops}
    seconds = 60 if seed else 60 * float(minutes or 1)
    said = f'fuzz one {seed}' if seed else f'fuzz {seconds:.0f} {int(time.time()) if minutes else 1}'
    known = known or ('base' if os.environ.get('SIDE') == 'base' else '')
    return seconds, f'{said} {known}'.strip(), {}


class Verdict:
    def __init__(self, run, said):
        """said: the command"""
        lines = [line[2:] for line in selftests.read(run.at + '.verdict') if line.startswith('| ')]
        self.notes = [line for line in lines if line.startswith('# ') and not line.startswith('# seed ')]
        found = [line[2:] for line in lines if line.startswith('# short: ')]
        # a list of which nothing came back: the kernel died with it
        seeds = [line[2:] for line in lines if line.startswith('# seed ') and ',' not in line]
        tests = run.results.get(said, {})
        self.tests = [('fuzz', test, status.lower(), '', reason) for test, (status, reason) in tests.items()]
        self.failures = [
            f'fuzz: {test}: {status} {reason or "; ".join(found)}'
            for test, (status, reason) in tests.items()
            if status != 'PASS'
        ]
        self.problems = [] if len(tests) == 2 else [f'fuzz: {said}: says nothing']
        if run.error:
            last = f' ({seeds[-1]})' if seeds else ''
            self.problems.append(f'{run.error}{last}, see {run.at}.console')
        self.problems += [f'{who}: splat: {splat.kind}: {splat.text}' for who, splat, _ in run.warned]


def main(_):
    out = os.environ.get('MMTRACK_OUT') or record.results('fuzz')
    os.makedirs(out, exist_ok=True)
    side, name, at = os.environ.get('SIDE') or 'series', 'x86_64-debug', f'{out}/fuzz'
    plant = os.environ.get('PLANT')
    src = planted.tree(plant) if plant else selftests.source(side)
    side = plant or side
    obj, work = os.path.join(os.path.dirname(src), name), os.path.join(record.build(), 'fuzz', side)
    os.makedirs(work, exist_ok=True)
    kunit.build_or_end(1, 2, f'fuzz {side}', name, f'{out}/kernel.build', src=src, obj=obj)
    print(f'[2/2] fuzz {side}: run')
    headers = kunit.kernel_env(['make', '-s', '-C', src, f'O={obj}', 'ARCH=x86_64', 'headers'])
    kunit.need(kunit.logged(headers, f'{out}/headers.build'), 'no headers', f'{out}/headers.build')
    compiler = [
        'gcc',
        '-O2',
        '-Wall',
        '-Wextra',
        '-static',
        '-pthread',
        '-isystem',
        f'{obj}/usr/include',
        f'-I{src}/lib',
    ]
    subprocess.run([*compiler, '-o', f'{work}/fuzz', SOURCE], check=True)
    seconds, said, files = command(work)
    # init gives the debug kernel four times as long
    limit = [(int(seconds / 4 + SHORTEN), said)]
    run = selftests.boot(name, obj, work, at, {'/tests/fuzz': f'{work}/fuzz', **files}, limit)
    return kunit.report(Verdict(run, said))
