# SPDX-License-Identifier: GPL-2.0
"""A fake kernel that a fake make "compiles", for test_build.py, test_prefixes.py and test_matrix.py. In a C file a line
WARNING text is a message of the compiler, CHECKED text one of sparse, BROKEN text an error, and each CALL an instruction."""
import shutil
import subprocess

import conftest
import pytest

MAKE = r'''#!/usr/bin/python3
import os, re, sys
args = sys.argv[1:]
src, env = args[args.index('-C') + 1], dict(a.split('=', 1) for a in args if re.match(r'[A-Za-z_]\w*=', a))
goals = [a for a in args if a[0] != '-' and '=' not in a and a != src]
obj, rc = env['O'], 0
with open(os.path.join(os.path.dirname(__file__), 'make.log'), 'a') as f:
    print(*args, file=f)
config = os.path.join(obj, '.config')

def compile(name):
    global rc
    path = os.path.join(src, name[:-1] + 'c')
    if not os.path.exists(path):
        print(f"make[1]: *** No rule to make target '{name}'.  Stop.")
        rc = 2
        return
    lines = open(path).read().splitlines()
    for n, line in enumerate(lines, 1):
        kind, _, text = line.partition(' ')
        if kind == 'WARNING' or kind == 'CHECKED' and 'C' in env:
            print(f'{path}:{n}:1: warning: {text}')
        elif kind == 'BROKEN':
            print(f'{path}:{n}:1: error: {text}')
            print(f'make[3]: *** [scripts/Makefile.build:1: {name}] Error 1')
            rc = 2
            return
    where, file = os.path.split(os.path.join(obj, name))
    os.makedirs(where, exist_ok=True)
    with open(f'{where}/.{file}.cmd', 'w') as f:
        f.write(f"savedcmd_{name} := fakecc -Wp,-MMD,{name}.d -DTWO='a;b' -c -o {name} {path} ; objtool {name}\n")
    with open(os.path.join(obj, name), 'w') as f:
        f.writelines(line + '\n' for line in lines if line.startswith('CODE') or line.startswith('CALL') and 'NOSTDINC_FLAGS' not in env)

for goal in goals:
    if goal == 'olddefconfig':
        lines = open(config).read().splitlines()
        if any('UNMET' in line for line in lines):
            print('WARNING: unmet direct dependencies')
        with open(config, 'w') as f:
            f.writelines(line + '\n' for line in lines if 'DROP' not in line)
    elif goal == 'allnoconfig':
        of = os.environ.get('KCONFIG_ALLCONFIG')
        open(config, 'w').write(open(of).read() if of else '')
    elif goal == 'prepare':
        pass
    elif goal.endswith('config'):
        print('no such configuration')
        rc = 2
    elif goal.endswith('/'):
        top = os.path.join(src, goal)
        for at, _, names in os.walk(top):
            for name in sorted(names):
                if name.endswith('.c'):
                    compile(os.path.relpath(os.path.join(at, name), src)[:-1] + 'o')
    else:
        compile(goal)
sys.exit(rc)
'''
CC = r'''#!/bin/sh
# what make prefixes runs again: -DTWO=a;b FILE -fsyntax-only
[ "$1 $3" = '-DTWO=a;b -fsyntax-only' ] || exit 3
echo "$2" >>"$(dirname "$0")/cc.log"
sed -n "s#^WARNING \(.*\)#$2:1:1: warning: \1#p; s#^BROKEN \(.*\)#$2:1:1: error: \1#p" "$2" >&2
! grep -q ^BROKEN "$2"
'''
OBJDUMP = r'''#!/bin/sh
for name; do
	case $name in -*) continue ;; esac
	echo "$name:     file format fake"
	grep -n . "$name" | sed 's/:.*/:/; s/^/ /; s/$/\tmov/'
	printf ' ff:\tnop\n'
done
'''
KUNIT = '''import os, sys
obj = next(a.split('=', 1)[1] for a in sys.argv if a.startswith('--build_dir='))
os.makedirs(obj, exist_ok=True)
with open(obj + '/.config', 'w') as f:
    f.write('CONFIG_KUNIT=y\\n')
with open(obj + '/arguments', 'w') as f:
    f.write(' '.join(sys.argv))
'''
FILES = {
    'tools/testing/kunit/kunit.py': KUNIT,
    'Kconfig': 'config KUNIT\nconfig DROPPED\nconfig UNMET\nconfig OFF\n',
    'mm/Makefile': 'obj-$(CONFIG_A) += a.o\n',
    'mm/a.c': 'CODE\nWARNING of old\n',
    'mm/b.c': 'CODE\nCALL mmu_notifier_range_init\n',
    'lib/kunit/k.c': 'CODE\n',
    'fs/proc/p.c': 'CODE\n',
    'drivers/user.c': 'CODE\nmmu_interval_notifier_insert\n',
    'drivers/header.c': '#include <linux/mmu_notifier.h>\n',
    'drivers/no.c': 'CODE\n',
    'arch/s390/user.c': 'BROKEN mmu_notifier_get\n',
    'arch/x86/user.c': 'CODE mmu_notifier_get\n',
}


@pytest.fixture(scope='session')
def fake_build(tmp_path_factory, fake_kernel):
    """A copy of the workbench with the fakes, and a tree of that kernel without patches."""
    top = tmp_path_factory.mktemp('build')
    bench = conftest.new_bench(top)
    source = f'{top}/kernel'
    shutil.copytree(fake_kernel, source, symlinks=True)
    for name, text in FILES.items():
        bench.write(text, source, name)
    bench.git('add', '-A', at=source)
    bench.git('commit', '-q', '--amend', '-m', 'Linux 7.3', at=source)
    bench.git('tag', '-f', 'v7.3', at=source)
    bench.run('scripts/tree.sh', LINUX=source).ok()
    return top


@pytest.fixture
def build(fake_build, tmp_path):
    subprocess.run(['cp', '-a', f'{fake_build}/.', str(tmp_path)], check=True)
    bench = conftest.Bench(f'{tmp_path}/repo', conftest.environment(f'{tmp_path}/home'))
    bench.env['LINUX'] = f'{tmp_path}/kernel'
    bench.program('make', MAKE)
    bench.program('objdump', OBJDUMP)
    bench.program('fakecc', CC)
    bench.env['MMTRACK_RESULTS'] = bench.write('', 'results.tsv')
    return bench


def results(bench):
    """{name: (status, reason)} of the record"""
    rows = [line.split('\t') for line in bench.read('results.tsv').splitlines()]
    return {row[2]: (row[3], row[5] if row[5:] else '') for row in rows if row[0] == 'test'}


def bash(bench, line, *args, **env):
    """A line that knows lib/."""
    script = '. scripts/lib/common.sh; . scripts/lib/build.sh; ' + line
    return bench.run('bash', '-euo', 'pipefail', '-c', script, 'bash', *args, **env)
