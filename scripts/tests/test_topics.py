# SPDX-License-Identifier: GPL-2.0
"""mmtrack/topics.py, refresh.sh with topics, and topics.sh, which applies and compiles each."""
import os
import re

import pytest

import fakebuild
from conftest import ROOT
from fakebuild import bash, results
from mmtrack import topics as mmtrack_topics

fake_build, build = fakebuild.fake_build, fakebuild.build

NAMES = ['0001-one-first.patch', '0002-new-a-file.patch', '0003-two-third-n-code-in-it.patch']
A, B, C = NAMES
SERIES = f'# about it\n# topic: a\n{A}\n{B}\n# topic: b needs: a\n{C}\n'


@pytest.fixture
def topics(tree):
    tree.write(SERIES, 'patches/series')
    tree.git('commit', '-q', '-a', '-m', 'topics', at=tree.root)
    return tree


def test_list(topics):
    rows = [line.split() for line in topics.mm('topics').ok().out.splitlines()[1:]]
    assert rows == [['a', '2', '+2', '-0'], ['b', '1', '+1', '-0', 'a']]


def test_needs_of_needs(topics):
    topics.write(f'# topic: a\n{A}\n# topic: b needs: a\n{B}\n# topic: c needs: b\n{C}\n', 'patches/series')
    assert topics.mm('topics', 'patches', 'c').ok().out.split() == NAMES
    assert topics.mm('topics', 'patches', 'b').ok().out.split() == [A, B]


@pytest.mark.parametrize(
    'series, said',
    [
        (f'# topic: a needs: b\n{A}\n# topic: b\n{B}\n{C}\n', 'a needs b, which does not stand before it'),
        (f'# topic: a needs: a\n{A}\n', 'a needs a, which does not'),
        (f'# topic: a\n{A}\n# topic: a\n{B}\n', 'two topics a'),
        (f'# topic: a need: b\n{A}\n', 'is not "# topic:'),
        (f'# topic:\n{A}\n', 'is not "# topic:'),
        (f'{A}\n# topic: a\n{B}\n', f'{A} stands before the first topic'),
    ],
)
def test_series_that_is_wrong(topics, series, said):
    topics.write(series, 'patches/series')
    topics.mm('topics').says_one_line(said)


def test_no_such_topic(topics):
    topics.mm('topics', 'patches', 'x').says_one_line('TOPIC=x: choose of a b')
    topics.run('scripts/refresh.sh', TOPIC='x').says_one_line('TOPIC=x: choose of a b')


# refresh
def rebase(bench, *order):
    """The commits of the series in another order, or a new one: 'new:FILE'."""
    commits = bench.git('rev-list', '--reverse', 'base..series').split()
    bench.git('reset', '-q', '--hard', 'base')
    for what in order:
        if isinstance(what, int):
            bench.git('cherry-pick', commits[what])
        else:
            bench.commit(what, 'x', f'{what}: new')


def test_refresh_keeps_topics(topics):
    topics.run('scripts/refresh.sh').ok()
    assert topics.read('patches/series') == SERIES
    assert topics.run('scripts/tree.sh').ok().out == ''


def test_refresh_without_a_patch(topics):
    rebase(topics, 0, 2)
    topics.run('scripts/refresh.sh').ok()
    assert topics.read('patches/series') == SERIES.replace(B + '\n', '').replace('0003', '0002')
    rebase(topics, 1)
    assert '1 patches on' in topics.run('scripts/refresh.sh').ok().out
    assert topics.read('patches/series').endswith('# topic: b needs: a\n0001-two-third-n-code-in-it.patch\n')


@pytest.mark.parametrize('order', [('x.c', 0, 1, 2), (0, 'x.c', 1, 2)])
def test_refresh_a_new_patch_among_others(topics, order):
    rebase(topics, *order)
    topics.run('scripts/refresh.sh').ok()
    at = order.index('x.c') + 1
    assert topics.read('patches/series').splitlines()[1 + at] == f'000{at}-x.c-new.patch'
    assert topics.mm('topics', 'patches', 'a').out.split() == topics.read('patches/series').split('\n')[2:5]


def test_refresh_a_new_patch_between_topics(topics):
    rebase(topics, 0, 1, 'x.c', 2)
    before = topics.read('patches/series')
    topics.run('scripts/refresh.sh').says_one_line(
        '0003-x.c-new.patch is new, of which topic? make refresh TOPIC=a or TOPIC=b'
    )
    assert topics.read('patches/series') == before
    topics.run('scripts/refresh.sh', TOPIC='b').ok()
    assert topics.mm('topics', 'patches', 'a').out.split() == [A, B]
    topics.run('scripts/refresh.sh').ok()  # it is known now


def test_refresh_a_new_patch_at_the_end(topics):
    topics.commit('x.c', 'x', 'x: new')
    topics.run('scripts/refresh.sh').says_one_line('0004-x-new.patch is new, of which topic? make refresh TOPIC=b')
    topics.run('scripts/refresh.sh', TOPIC='a').says_one_line('0004-x-new.patch is of a, but stands behind')
    topics.run('scripts/refresh.sh', TOPIC='b').ok()
    assert topics.read('patches/series') == SERIES + '0004-x-new.patch\n'


def test_refresh_a_patch_among_those_of_another_topic(topics):
    rebase(topics, 0, 2, 1)
    topics.run('scripts/refresh.sh').says_one_line('0003-new-a-file.patch is of a, but stands behind 0002-two-third')


def test_the_table_of_the_readme():
    with open(f'{ROOT}/README.md', encoding='utf-8') as f:
        rows = re.findall(r'(?m)^\| `([a-z0-9-]+)` \| (\d+) \| ([^|]*)\|', f.read())
    said = [(name, int(count), re.findall('[a-z0-9-]+', needs)) for name, count, needs in rows]
    assert said == [(topic.name, len(topic.own), topic.needs) for topic in mmtrack_topics.read()[1]]


# make topics-check, on a kernel that a fake make compiles
def check(bench, **env):
    return bench.mm('prefixes', '--topics', **env)


@pytest.fixture
def three(build):
    """b needs a, and so does c, which does not say so."""
    build.commit('mm/a.c', 'CODE', 'mm: a')
    build.commit('mm/b.c', 'CODE', 'mm: b')
    build.commit('mm/c.c', 'CODE', 'mm: c')
    build.run('scripts/refresh.sh').ok()
    put(build, '# topic: a\n{}\n# topic: b needs: a\n{}\n# topic: c\n{}\n')
    return build


def put(bench, text):
    names = sorted(name for name in os.listdir(bench.patches) if name.endswith('.patch'))
    bench.write(text.format(*names), 'patches/series')


def test_topics_that_stand_alone(three):
    check(three).ok()
    verdicts = {name: of[0] for name, of in results(three).items()}
    assert verdicts == {'the whole series': 'pass', 'a': 'pass', 'b': 'pass', 'c': 'pass'}
    assert three.git('worktree', 'list').count('apply.tmp') == 0


def test_topic_that_needs_one_it_does_not_name(three):
    three.commit('mm/a.c', 'CODE', 'mm: more of a')
    three.run('scripts/refresh.sh', TOPIC='c').ok()
    check(three).says('1 of 4 topics are not good')
    assert results(three)['c'] == (
        'fail',
        'c does not apply to the base with its needs: 0004-mm-more-of-a.patch',
    )
    three.edit('# topic: c', '# topic: c needs: a', 'patches/series')
    check(three, TOPIC='c').ok()


def test_topic_that_compiles_only_with_another(three):
    """As a call of what another topic adds: the fake compiler is told by its BROKEN."""
    three.commit('mm/c.c', 'BROKEN call of b', 'mm: c calls b')
    three.edit('^BROKEN.*\n', '', three.linux, 'mm/c.c')
    three.git('commit', '-q', '-a', '-m', 'mm: d mends it')
    three.edit('^# topic: c\n.*\n', '', 'patches/series')
    three.write(three.read('patches/series') + '# topic: c\n0003-mm-c.patch\n# topic: d needs: c\n', 'patches/series')
    three.run('scripts/refresh.sh', TOPIC='d').ok()
    three.edit('^(# topic: d.*\n)(.*\n)', r'\2\1', 'patches/series')
    check(three).says('mm/c.c: does not compile')
    assert [of[0] for of in results(three).values()] == ['pass', 'pass', 'pass', 'fail', 'pass']


def test_one_topic(three):
    check(three, TOPIC='b').ok()
    assert list(results(three)) == ['the whole series', 'b']
    check(three, TOPIC='x').says_one_line('TOPIC=x: choose of a b c')


def test_no_topic(three):
    put(three, '{}\n{}\n{}\n')
    check(three).says_one_line('patches/series has no topic')


def test_full_compiles_elsewhere_and_runs_the_suites(three):
    three.write(
        'import os\n\n\ndef configs(*args):\n    return ["--kunitconfig=x"]\n\n\n'
        'def main(argv):\n    print("kunit", *argv, os.environ["ARCHES"])\n'
        '    return "CODE" in open(os.environ["B"] + "/linux/mm/b.c").read().splitlines()[2:]\n',
        'scripts/mmtrack/kunit.py',
    )
    three.write('check arm64 arm64 aarch64-linux-gnu- core allnoconfig\n', 'configs/matrix')
    three.run('scripts/topics.sh').says('kunit --any x86_64')
    assert [of[0] for of in results(three).values()] == ['pass', 'fail', 'pass']
    log = three.read('../bin/make.log')
    assert 'ARCH=arm64' in log and 'ARCH=um' in log


# an option of the series that a topic or a prefix lacks is not asked for; one that nobody has is, and kunit.py refuses it
def test_options_of_later_patches(build):
    build.write('CONFIG_LATER=y\nCONFIG_TYPO=y\n# CONFIG_LATER is not set\n', 'kunit/x86_64.kunitconfig')
    build.commit('Kconfig', 'config LATER', 'Kconfig: later')
    line = 'worktree "$B/work/linux" "$1"; configure "$B/work/o" x86_64 gcc kunit; tr " " "\\n" <"$obj/arguments"'
    said = bash(build, line, 'series').ok().out
    assert f'--kunitconfig={build.root}/kunit/x86_64.kunitconfig' in said
    said = bash(build, line, 'base').ok().out
    assert f'--kunitconfig={build.B}/kunit/x86_64.kunitconfig' in said
    assert build.read('build/kunit/x86_64.kunitconfig') == 'CONFIG_TYPO=y\n'
