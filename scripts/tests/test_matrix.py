# SPDX-License-Identifier: GPL-2.0
"""matrix.sh, on a fake kernel that a fake make compiles."""
import os

import pytest

import fakebuild
from fakebuild import results

fake_build, plain = fakebuild.fake_build, fakebuild.build

ROWS = '''# comment
check   one        x86_64  gcc                 core     allnoconfig
full    no-two     x86_64  gcc                 touched  kunit
full    no-three   x86_64  gcc                 users    allnoconfig
full    arm64      arm64   aarch64-linux-gnu-  core     allnoconfig
full    arm        arm     arm-linux-          core     allnoconfig
'''


@pytest.fixture
def build(plain):
    plain.write(ROWS, 'configs/matrix')
    plain.commit('mm/a.c', 'CODE', 'mm: a')
    return plain


def matrix(build, *args, **env):
    return build.run('scripts/matrix.sh', *args, **env)


@pytest.mark.parametrize(
    'rows, chosen',
    [
        ('no-*', ['no-two', 'no-three']),
        ('arm*', ['arm64', 'arm']),
        ('arm one', ['one', 'arm']),
        ('*', ['one', 'no-two', 'no-three', 'arm64', 'arm']),
        ('', ['one', 'no-two', 'no-three', 'arm64', 'arm']),
    ],
)
def test_rows_are_globs(build, rows, chosen):
    matrix(build, ROWS=rows).ok()
    assert list(results(build)) == chosen
    assert {of for of, _ in results(build).values()} == {'pass'}


@pytest.mark.parametrize('rows', ['nonsense', 'one nonsense', 'ar', 'no'])
def test_no_such_row(build, rows):
    result = matrix(build, ROWS=rows).says_one_line('in configs/matrix: choose of one no-two no-three arm64 arm')
    assert f'no {rows.split()[-1]} in' in result.out


def test_rows_of_check(build):
    assert 'ok 1 objects' in matrix(build, '--check').ok().out
    assert list(results(build)) == ['one']
    assert 'C=2' not in build.read('../bin/make.log')
    matrix(build, '--check', ROWS='arm').says_one_line('choose of one')


def test_the_real_list(bench):
    """Every row is well formed, and the files that it names are there."""
    for line in bench.read('configs/matrix').splitlines():
        if not line.startswith('#'):
            when, _, _, _, what, config, *options = line.split()
            assert when in ('check', 'full') and what in ('core', 'touched', 'users')
            assert not config.endswith('.config') or os.path.exists(bench.path('configs', config))
            assert all(option[-2:] in ('=y', '=n', '=m') for option in options)


def test_message_that_the_base_has(build):
    build.edit('^WARNING of old', '\nWARNING of old, moved', build.linux, 'mm/a.c')
    build.git('commit', '-q', '-a', '-m', 'moved')
    assert 'ok 4 objects' in matrix(build, ROWS='one').ok().out


def test_message_more_than_the_base_has(build):
    build.commit('mm/a.c', 'WARNING new', 'mm: warns')
    result = matrix(build, ROWS='one').says('mm/a.c: 2 messages, 1 before')
    assert 'in: one;' in result.out
    assert results(build) == {'one': ('fail', 'mm/a.c: 2 messages, 1 before')}
    # and again, though nothing has to be compiled
    matrix(build, ROWS='one').says('mm/a.c: 2 messages, 1 before')


def test_message_that_is_new_while_another_file_lost_one(build):
    build.edit('^WARNING of old\n', '', build.linux, 'mm/a.c')
    build.commit('mm/b.c', 'WARNING new', 'mm: warns elsewhere')
    build.git('commit', '-q', '-a', '-m', 'and not there')
    matrix(build, ROWS='one').says('mm/b.c: 1 messages, 0 before')


def test_only_what_has_messages_is_compiled_at_the_base(build):
    matrix(build, ROWS='one').ok()
    last = build.read('../bin/make.log').splitlines()[-1]
    assert 'mm/a.o' in last and 'mm/ ' not in last and 'lib/kunit' not in last


def test_file_that_does_not_compile(build):
    build.commit('mm/b.c', 'BROKEN code', 'mm: broken')
    matrix(build, ROWS='one').says('mm/b.c:3:1: error: code')


def test_file_that_did_not_compile_before(build):
    build.write('BROKEN code\n', build.env['LINUX'], 'mm/never.c')
    build.git('add', '-A', at=build.env['LINUX'])
    build.git('commit', '-q', '--amend', '--no-edit', at=build.env['LINUX'])
    build.git('tag', '-f', 'v7.3', at=build.env['LINUX'])
    build.run('rm', '-rf', build.B)
    build.run('scripts/tree.sh').ok()
    build.commit('mm/never.c', '// a comment', 'mm: never')
    build.commit('mm/a.c', 'CODE', 'mm: a')
    assert (
        'mm/never.o is not compiled here'
        in build.run('bash', '-c', 'scripts/matrix.sh && cat build/results/matrix/no-two.out', ROWS='no-two').ok().out
    )


def test_nothing_is_compiled(build):
    for name in ('mm/a.c', 'mm/b.c', 'lib/kunit/k.c', 'fs/proc/p.c'):
        build.git('rm', '-q', name)
    build.git('commit', '-q', '-m', 'nothing')
    matrix(build, ROWS='one').says('0 objects')


def test_sparse_where_the_series_is(build):
    build.commit('mm/a.c', 'CHECKED context imbalance', 'mm: lock')
    matrix(build, ROWS='one').ok()
    matrix(build, ROWS='no-two').says('context imbalance')


def test_sparse_that_is_not_there(build):
    build.edit(
        "^    else:\n        compile",
        "    else:\n        'C' in env and print('sparse is specified, but not there')\n        compile",
        '../bin/make',
    )
    matrix(build, ROWS='no-two').says('specified, but')


def test_users_are_found(build):
    matrix(build, ROWS='no-three').ok()
    last = build.read('../bin/make.log').splitlines()[-1].split()
    assert sorted(x for x in last if x.endswith('.o')) == ['arch/x86/user.o', 'drivers/header.o', 'drivers/user.o']


def test_a_user_that_the_series_breaks(build):
    build.commit('drivers/user.c', 'BROKEN interface', 'driver')
    matrix(build, ROWS='no-three').says('drivers/user.c')


def test_one_bad_row_does_not_end_the_others(build):
    build.edit('core     allnoconfig', 'core     nonsenseconfig', 'configs/matrix')
    build.edit('^(full +arm .*)nonsense', r'\1allno', 'configs/matrix')
    matrix(build, ROWS='one arm').says('no such configuration')
    assert [of for of, _ in results(build).values()] == ['fail', 'pass']
