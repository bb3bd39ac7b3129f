# SPDX-License-Identifier: GPL-2.0
"""tools-tests.sh: programs in the tree that are not built, fail, or pass."""
import os

import pytest
from fakebuild import results

PROGRAMS = ['vma/vma'] + [f'radix-tree/{name}' for name in ('idr-test', 'multiorder', 'xarray', 'maple')]


@pytest.fixture
def tools(tree):
    for name in PROGRAMS:
        os.chmod(tree.write('#!/bin/sh\necho 3 passed\n', tree.linux, 'tools/testing', name), 0o755)
    tree.git('add', '-A')
    tree.git('commit', '-q', '-m', 'tests')
    tree.program('make', '#!/bin/sh\nexit 0\n')
    tree.env['MMTRACK_RESULTS'] = tree.write('', 'results.tsv')
    return tree


def test_all_pass(tools):
    assert '3 passed' in tools.run('scripts/tools-tests.sh').ok().out
    assert {name: of[0] for name, of in results(tools).items()} == {'vma': 'pass', 'radix-tree': 'pass'}


def test_one_fails(tools):
    tools.edit('^echo.*', 'echo wrong; exit 3', tools.linux, 'tools/testing/radix-tree/xarray')
    tools.git('commit', '-q', '-a', '-m', 'fault')
    tools.run('scripts/tools-tests.sh').says('tools-tests: radix-tree failed')
    assert results(tools) == {'vma': ('pass', ''), 'radix-tree': ('fail', 'xarray ended with 3')}


def test_one_is_not_built(tools):
    tools.program('make', '#!/bin/sh\ncase $PWD in *vma) echo no urcu.h; exit 2 ;; esac\n')
    tools.run('scripts/tools-tests.sh').says('no urcu.h')
    assert results(tools)['vma'] == ('fail', 'no urcu.h')
