# SPDX-License-Identifier: GPL-2.0
"""make prefixes, on a fake kernel that a fake make compiles."""
import pytest

import fakebuild
from fakebuild import results
from mmtrack import prefixes

fake_build, build = fakebuild.fake_build, fakebuild.build
WHOLE = 'the whole series'


def run(bench, **env):
    return bench.run('/usr/bin/python3', '-m', 'mmtrack', 'prefixes', **env)


@pytest.fixture
def four(build):
    build.commit('mm/a.c', 'CODE', 'mm: good')
    build.commit('mm/b.c', 'WARNING new', 'mm: warns')
    build.edit('^WARNING.*\n', '', build.linux, 'mm/b.c')
    build.commit('mm/b.c', 'CODE', 'mm: warns no more')
    build.commit('Documentation', 'text', 'doc')
    return build


def test_a_message(four):
    result = run(four).says('mm/b.c: 1 messages, 0 before')
    verdicts = {name: of[0] for name, of in results(four).items()}
    assert verdicts == {
        WHOLE: 'pass',
        'mm: good': 'pass',
        'mm: warns': 'fail',
        'mm: warns no more': 'pass',
        'doc': 'pass',
    }
    assert '1 of 5 prefixes are not good' in result.out


def test_only_some(four):
    run(four, PATCHES='3-4').ok()
    assert list(results(four)) == [WHOLE, 'mm: warns no more', 'doc']
    run(four, PATCHES='2').says('FAILED')


@pytest.mark.parametrize('patches', ['0-1', '3-2', '1-5', 'all', '1-', '2,3'])
def test_patches_that_are_none(four, patches):
    run(four, PATCHES=patches).says_one_line('PATCHES=1-4 are all')


def test_no_patch(build):
    run(build).says_one_line('the series is empty')


def test_work_that_is_not_committed(four):
    four.write('x', four.linux, 'mm/a.c')
    run(four).says_one_line('not committed')


def test_one_that_does_not_compile_and_is_mended(build):
    build.commit('mm/b.c', 'BROKEN code', 'mm: broken')
    build.edit('^BROKEN.*\n', '', build.linux, 'mm/b.c')
    build.commit('mm/b.c', 'CODE', 'mm: mended')
    run(build).says('mm/b.c: does not compile')
    assert [of[0] for of in results(build).values()] == ['pass', 'fail', 'pass']


def test_the_end_does_not_compile(build):
    build.commit('mm/b.c', 'BROKEN code', 'mm: broken')
    run(build).says('mm/b.c:3:1: error: code')
    assert results(build)[WHOLE][0] == 'fail'


def test_header_that_breaks_a_user(build):
    build.commit('mm/a.c', 'BROKEN some_word', 'mm: uses what comes later')
    build.edit('^BROKEN', '//', build.linux, 'mm/a.c')
    build.write('void some_word(void);\n', build.linux, 'include/x.h')
    build.git('add', '-A')
    build.git('commit', '-q', '-m', 'header')
    run(build).says('mm/a.c: does not compile')
    assert 'ok 1 files' in run(build, PATCHES='2').ok().out


def test_file_that_comes_and_goes(build):
    build.commit('mm/new.c', 'CODE', 'mm: new')
    build.commit('mm/b.c', 'CODE', 'mm: b')
    build.git('rm', '-q', 'lib/kunit/k.c')
    build.git('commit', '-q', '-m', 'lib: gone')
    run(build).ok()
    run(build, PATCHES='2').ok()


def test_only_what_a_patch_affects(build):
    build.commit('mm/a.c', 'CODE', 'mm: a')
    build.commit('mm/b.c', 'CODE', 'mm: b')
    run(build, PATCHES='2').ok()
    said = build.read('../bin/cc.log')
    assert 'mm/b.c' in said and 'mm/a.c' not in said


@pytest.mark.parametrize(
    'line, names',
    [
        ('+int some_call(struct vm_area *vma);', {'some_call'}),
        ('-#define ONE_THING 1', {'ONE_THING'}),
        ('+#define word', {'word'}),
        ('+\tONE_KIND,', {'ONE_KIND'}),
        ('+\tunsigned long some_member[2];', {'some_member'}),
        ('+ * some_call() - of a comment', set()),
        ('+++ b/include/some_file.h', set()),
        (' int some_call(void);', set()),
    ],
)
def test_declared(line, names):
    assert prefixes.declared(line) == names
