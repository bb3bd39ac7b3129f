# SPDX-License-Identifier: GPL-2.0
"""scripts/rebase.sh: every day on another base, in a tree of its own; where it fails it can be resolved and refreshed."""
import os
import shutil

import pytest


@pytest.fixture
def mainline(tree, fake, tmp_path):
    """A clone of the user's, with commits after v7.3: good, which has patch 1 already; bad, on which patch 3 fails."""
    at = str(tmp_path / 'mainline')
    shutil.copytree(fake, at)
    tree.git('am', '-q', tree.path('patches/0001-one-first.patch'), at=at)
    tree.git('tag', 'good', at=at)
    tree.write('other\n', at, 'two.c')
    tree.git('commit', '-q', '-a', '-m', 'two: rewrite', at=at)
    tree.git('tag', 'bad', at=at)
    tree.env['LINUX'] = at
    tree.there = f'{tree.B}/rebase/linux'
    return tree


def test_on_what(tree):
    second = [x.split()[0] for x in tree.read('configs/bases').splitlines() if x[:1] != '#'][1]
    tree.run('scripts/rebase.sh', LINUX=None).says_one_line(f'on what? make rebase BASE={second}')


def test_a_base_that_takes_all(mainline):
    before = mainline.git('rev-parse', 'HEAD')
    out = mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').ok().out
    assert '3 of 3 patches applied, 0 there already' in out and mainline.there in out
    assert mainline.git('rev-parse', 'HEAD') == before
    assert mainline.git('status', '--porcelain', at=mainline.root) == ''


def test_any_version(mainline):
    mainline.run('scripts/rebase.sh', BASE_COMMIT='old').ok()


def test_patch_that_is_there_already(mainline):
    out = mainline.run('scripts/rebase.sh', BASE_COMMIT='good').says('patch 1 of 3 does not apply').out
    assert 'this base has it already: 0001-one-first.patch' in out
    assert '0 of 3 patches applied, 1 there already' in out


def test_conflict_is_refreshed_where_it_was_resolved(mainline):
    mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').ok()
    out = mainline.run('scripts/rebase.sh', BASE_COMMIT='bad').says('patch 1 of 3 does not apply').out
    assert f'To go on, in {mainline.there}: ' in out and 'then make refresh B=build/rebase.' in out
    assert 'then mend patches/ and make tree B=build/rebase.' in out
    mainline.run('git', '-C', mainline.there, 'am', '--skip')  # to patch 2, which applies, and to 3, which does not
    with open(f'{mainline.there}/two.c', 'a', encoding='utf-8') as f:
        f.write('third\n')
    mainline.git('add', 'two.c', at=mainline.there)
    mainline.git('am', '-q', '--continue', at=mainline.there)
    mainline.run('scripts/refresh.sh', B='build/rebase').ok()
    assert mainline.read('patches/series') == '0001-new-a-file.patch\n0002-two-third-n-code-in-it.patch\n'
    # and that is what the next one takes
    assert '2 of 2 patches applied' in mainline.run('scripts/rebase.sh', BASE_COMMIT='bad').ok().out


def test_one_after_the_other(mainline):
    """No distclean in between; what is the same on both is not checked out again."""
    for commit in 'v7.3', 'old', 'v7.3':
        mainline.run('scripts/rebase.sh', BASE_COMMIT=commit).ok()
        assert mainline.git('rev-parse', 'base', at=mainline.there) == mainline.git(
            'rev-parse', commit, at=mainline.env['LINUX']
        )
        assert mainline.git('rev-list', '--count', 'base..series', at=mainline.there) == '3'
    before = os.stat(f'{mainline.there}/.gitignore')
    mainline.run('scripts/rebase.sh', BASE_COMMIT='old').ok()
    assert os.stat(f'{mainline.there}/.gitignore').st_ino == before.st_ino


def test_after_a_conflict_that_nobody_touched(mainline):
    mainline.run('scripts/rebase.sh', BASE_COMMIT='bad').says('does not apply')
    mainline.run('scripts/rebase.sh', BASE_COMMIT='bad').says('in progress')
    mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').ok()
    assert mainline.git('status', '--porcelain', at=mainline.there) == ''


def test_on_a_newer_commit_of_the_same_clone(mainline):
    """As after git pull."""
    mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').ok()
    at = mainline.env['LINUX']
    mainline.git('checkout', '-q', '-b', 'next', 'v7.3', at=at)
    mainline.write('x\n', at, 'next.c')
    mainline.git('add', '-A', at=at)
    mainline.git('commit', '-q', '-m', 'next', at=at)
    mainline.run('scripts/rebase.sh', BASE_COMMIT='next').ok()
    assert mainline.read(mainline.there, 'next.c') == 'x\n'


def test_on_another_clone(mainline, fake):
    mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').ok()
    mainline.run('scripts/rebase.sh', BASE_COMMIT='old', LINUX=fake).ok()
    assert mainline.git('status', '--porcelain', at=mainline.there) == ''


@pytest.mark.parametrize('what', ['commit', 'change', 'resolved', 'draft'])
def test_work_is_not_lost(mainline, what):
    mainline.run('scripts/rebase.sh', BASE_COMMIT='bad' if what == 'resolved' else 'v7.3')
    text = mainline.read(mainline.there, 'two.c') + 'mine\n'
    mainline.write(text, mainline.there, 'draft.c' if what == 'draft' else 'two.c')
    if what == 'commit':
        mainline.git('commit', '-q', '-a', '-m', 'mine', at=mainline.there)
    said = mainline.run('scripts/rebase.sh', BASE_COMMIT='old').says_one_line('holds work that is not in patches/').out
    assert 'make refresh B=build/rebase, or FORCE=1' in said
    assert mainline.read(mainline.there, 'draft.c' if what == 'draft' else 'two.c') == text
    mainline.run('scripts/rebase.sh', BASE_COMMIT='old', FORCE=1).ok()
    assert mainline.git('status', '--porcelain', at=mainline.there) == ''


def test_draft_is_not_overwritten(mainline):
    """Nor by a patch that is new, on the same base (W3)."""
    mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').ok()
    mainline.commit('mm.c', 'of the patch', 'add a file')
    mainline.run('scripts/refresh.sh').ok()
    mainline.write('my draft', mainline.there, 'mm.c')
    mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').says_one_line('git does not know')
    assert mainline.read(mainline.there, 'mm.c') == 'my draft'


def test_changed_patches_are_tried_again(mainline):
    mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').ok()
    mainline.commit('one.c', 'x', 'one: x')
    mainline.run('scripts/refresh.sh').ok()
    assert '4 of 4 patches applied' in mainline.run('scripts/rebase.sh', BASE_COMMIT='v7.3').ok().out


def test_without_a_tree_of_its_own_yet(bench, fake):
    """On a fresh clone."""
    bench.run('scripts/rebase.sh', LINUX=fake).ok()
    bench.run('scripts/tree.sh', LINUX=fake).ok()


def for_stable(mainline, name):
    text = mainline.read(f'patches/{name}')
    mainline.write(text.replace('\n---\n', '\nCc: stable@vger.kernel.org\n---\n', 1), f'patches/{name}')


def test_stable(mainline):
    """Only what is for stable, each for itself, and as patches/stable-VERSION has it."""
    third = '0003-two-third-n-code-in-it.patch'
    for_stable(mainline, '0001-one-first.patch')
    for_stable(mainline, third)
    os.makedirs(mainline.path('patches/stable-9.9'))
    out = mainline.run('scripts/rebase.sh', BASE='9.9.1', BASE_COMMIT='bad').ok().out
    assert 'this base has it already: 0001-one-first.patch' in out and f'does not apply: {third}' in out
    assert '0 of 2 patches for stable apply' in out and '0002' not in out
    mainline.run('scripts/tree.sh', BASE='9.9.1').says_one_line('make rebase BASE=9.9.1')

    at = mainline.env['LINUX']
    mainline.git('checkout', '-q', 'bad', at=at)
    mainline.write('other\nthird\n', at, 'two.c')
    mainline.git('commit', '-q', '-a', '-m', 'two: third in code: it', at=at)
    mainline.git(
        'format-patch',
        '-q',
        '-1',
        '--src-prefix=a/',
        '--dst-prefix=b/',
        '-o',
        mainline.path('patches/stable-9.9'),
        at=at,
    )
    (made,) = os.listdir(mainline.path('patches/stable-9.9'))
    os.rename(mainline.path(f'patches/stable-9.9/{made}'), mainline.path(f'patches/stable-9.9/0001-{third[5:]}'))
    out = mainline.run('scripts/rebase.sh', BASE='9.9.1', BASE_COMMIT='bad').ok().out
    assert f'applies as it is in patches/stable-9.9: {third}' in out and '1 of 2 patches for stable apply' in out
    assert mainline.git('show', 'series:two.c', at=mainline.there) == 'other\nthird'
