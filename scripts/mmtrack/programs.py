# SPDX-License-Identifier: GPL-2.0
"""Runs programs of the distribution, which nobody here wrote, on the kernel with the series (SIDE=series) or on what that
stands on (SIDE=base), in a guest that has the host's root, read-only. selftests/host/programs lists them.

A program passes if it ends with 0. What else one may do is what it does on the base (selftests/host/expected), and
verdicts are as for make selftests. --check takes those for make check, PROGRAMS= some by name, --write, or WRITE=1,
rewrites what is expected. PLANT=name is of the series with a bug of selftests/planted/fuzz.yaml.
"""
import argparse
import collections
import fnmatch
import os
import re
import subprocess
import sys

from mmtrack import kunit, planted, record, selftests

HERE = os.path.join(selftests.HERE, 'host')
ROOT = os.environ.get('MMTRACK_HOST_ROOT') or '/'
# when is "check" or "full"
Program = collections.namedtuple('Program', 'when limit name command')


def programs(check=False):
    """Those of the list that are asked for."""
    found, globs = [], os.environ.get('PROGRAMS', '').split()
    for number, line in enumerate(selftests.read(os.path.join(HERE, 'programs')), 1):
        fields = line.split(None, 3)
        if not fields or fields[0].startswith('#'):
            continue
        if len(fields) != 4 or fields[0] not in ('check', 'full') or not fields[1].isdigit():
            sys.exit(f'error: selftests/host/programs:{number}: not "check|full SECONDS NAME COMMAND"')
        found.append(Program(fields[0], int(fields[1]), *fields[2:]))
    names = [program.name for program in found]
    for name in names:
        if names.count(name) > 1:
            sys.exit(f'error: selftests/host/programs: {name} is there twice')
    for pattern in globs:
        if not fnmatch.filter(names, pattern):
            sys.exit(f'error: PROGRAMS: {pattern} is no program of selftests/host/programs')
    return [
        program
        for program in found
        if (not check or program.when == 'check')
        and (not globs or any(fnmatch.fnmatchcase(program.name, pattern) for pattern in globs))
    ]


def build(work):
    """{name in the guest: file}: what is compiled of ours."""
    os.makedirs(work, exist_ok=True)
    names = [f'{work}/{name}' for name in ('machine.o', 'machine.bin', 'checkpoint', 'unprotected.so')]
    machine, linked, checkpoint, unprotected = names
    link = ['ld', '-m', 'elf_i386', '-e', '0xfffffff0', '-Ttext=0xffff0000', '--oformat', 'binary']
    compiler = ['gcc', '-O2', '-Wall', '-Wextra', '-Werror']
    for command in (
        ['gcc', '-m32', '-c', '-o', machine, f'{HERE}/machine.S'],
        [*link, '-o', linked, machine],
        [*compiler, '-static', '-o', checkpoint, f'{HERE}/checkpoint.c'],
        [*compiler, '-shared', '-fPIC', '-o', unprotected, f'{HERE}/unprotected.c'],
    ):
        subprocess.run(command, check=True)
    return {f'/tests/{os.path.basename(path)}': path for path in names[1:]}


def files(work, chosen):
    """{name in the guest: file}: a script for each program, and what of ours they call."""
    os.makedirs(work, exist_ok=True)
    found = {f'/tests/{name}': os.path.join(HERE, name) for name in os.listdir(HERE) if re.search(r'\.(sh|py)$', name)}
    for program in chosen:
        path = os.path.join(work, program.name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f'#!/bin/sh\n{program.command}\n')
        found[f'/tests/{program.name}'] = path
    return found


def devices():
    """QEMU's arguments for the host's root."""
    return [
        '-fsdev',
        f'local,id=host,path={ROOT},security_model=none,readonly=on,multidevs=remap',
        '-device',
        'virtio-9p-pci,fsdev=host,mount_tag=host',
    ]


def main(argv):
    parser = argparse.ArgumentParser(prog='programs')
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--write', action='store_true')
    opts = parser.parse_args(argv)
    out = os.environ.get('MMTRACK_OUT') or record.results('programs')
    os.makedirs(out, exist_ok=True)
    side, name, plant = os.environ.get('SIDE') or 'series', 'x86_64-programs', os.environ.get('PLANT')
    chosen = programs(opts.check)
    src = planted.tree(plant) if plant else selftests.source(side)
    side = plant or side
    obj, work = os.path.join(os.path.dirname(src), name), os.path.join(record.build(), 'programs', side)
    kunit.build_or_end(1, 2, f'programs {side}', name, f'{out}/kernel.build', src=src, obj=obj)
    built = build(work)
    print(f'[2/2] programs {side}: run')

    def boot(at, names):
        of = [program for program in chosen if program.name in names]
        commands = [(program.limit, program.name) for program in of]
        # CRIU 3.17 takes the vDSO's memory of today for broken, and a busy host's timer is taken for dead
        args = ('kunit.enable=0', 'no_timer_check', 'vdso=0', 'host')
        return selftests.boot(name, obj, work, at, {**built, **files(work, of)}, commands, args, devices=devices())

    part = opts.check or os.environ.get('PROGRAMS')
    path = selftests.expected_for(
        record.said_by('make', '-s', '--no-print-directory', 'kernelversion', at=src), here=HERE
    )
    return selftests.compare(boot, f'{out}/{name}', [program.name for program in chosen], path, part, opts.write)
