# SPDX-License-Identifier: GPL-2.0
"""scripts/deps.sh: names what is missing as Debian, Fedora or Arch call it."""
import os
import re

import pytest

PROGRAMS = 'bash env cat dirname basename awk sed sort id mktemp tail rm git'.split()


@pytest.fixture
def bare(bench, tmp_path):
    """A machine that has next to nothing."""
    here = tmp_path / 'bare'
    here.mkdir()
    for name in PROGRAMS:
        os.symlink(
            next(p for x in os.environ['PATH'].split(':') if os.access(p := f'{x}/{name}', os.X_OK)), here / name
        )
    bench.env['PATH'] = str(here)
    bench.bin = here
    return bench


def add(bare, name, text='exit 0'):
    path = bare.write(f'#!/bin/sh\n{text}\n', bare.bin, name)
    os.chmod(path, 0o755)


@pytest.mark.parametrize(
    'manager, text', [('dnf', 'dnf install'), ('pacman', 'pacman -S'), (None, 'Debian calls them')]
)
def test_names(bare, manager, text):
    if manager:
        add(bare, manager, 'echo called >&2; exit 1')
    said = bare.run('scripts/deps.sh', 'matrix', 'x86_64').says_one_line(text).out
    names = {
        'dnf': 'elfutils-libelf-devel qemu-system-x86-core gcc-aarch64-linux-gnu',
        'pacman': 'qemu-system-x86 aarch64-linux-gnu-gcc',
    }
    for name in names.get(manager, 'qemu-system-x86 gcc-riscv64-linux-gnu clang-19').split():
        # headers may be on this machine
        assert f' {name} ' in said or name.endswith('devel'), said
    if manager:
        assert 'arm-linux-gnueabihf-gcc(no package)' in said


def test_debian_installs(bare):
    os.remove(bare.bin / 'id')
    add(bare, 'id', 'echo 0')
    add(bare, 'apt-get', 'echo "$*" >>apt.log')
    bare.run('scripts/deps.sh', 'x86_64').ok()
    log = bare.read('apt.log')
    assert '-qq update' in log and re.search('install --no-install-recommends .*qemu-system-x86 ?', log)


def test_debian_cannot_install(bare):
    os.remove(bare.bin / 'id')
    add(bare, 'id', 'echo 0')
    add(bare, 'apt-get', 'echo no network; exit 100')
    bare.run('scripts/deps.sh', 'x86_64').says('packages are missing: apt-get install')


def test_debian_not_as_root(bare):
    os.remove(bare.bin / 'id')
    add(bare, 'id', 'echo 1000')
    add(bare, 'apt-get', 'echo "$*" >>apt.log')
    bare.run('scripts/deps.sh', 'x86_64').says_one_line('packages are missing: apt-get install')
    assert not os.path.exists(bare.path('apt.log'))


def test_left_out(bare):
    assert bare.run('scripts/deps.sh', 'matrix', DEPS='no').ok().out == ''


def test_table(bench):
    """Each tool once, with four columns before the jobs that need it; every job that make asks for is there."""
    rows = re.findall(
        r'^(\S+) +(\S+) +(\S+) +(\S+) +(\S.*)$',
        bench.read('scripts/deps.sh').split("<<'END'\n")[1].split('\nEND\n')[0],
        re.M,
    )
    assert len(rows) > 30 and len({row[0] for row in rows}) == len(rows)
    jobs = {job for row in rows for job in row[4].split()} | {'um', 'i386', 'matrix-check'}
    asked = set()
    for line in re.findall('^\t.*', bench.read('Makefile'), re.M):
        for found in re.findall(r'call stage,([^,$]*)|scripts/deps\.sh ([a-z0-9_ -]+)$', line):
            asked.update(''.join(found).split())
    assert asked and asked <= jobs, asked - jobs
