# SPDX-License-Identifier: GPL-2.0
"""scripts/refresh.sh: the same commits to the same bytes, what git am would change is refused."""
import os
import shutil

import pytest
from conftest import times_of

NAMES = '0001-one-first.patch\n0002-new-a-file.patch\n0003-two-third-n-code-in-it.patch\n'


def test_files(tree):
    assert tree.read('patches/series') == NAMES
    text = tree.read('patches/0001-one-first.patch')
    assert '\n--- a/one.c\n' in text and 'nobody' not in text, 'the settings of the user count'


def test_again_touches_nothing(tree):
    before = times_of(tree.patches)
    tree.run('scripts/refresh.sh').ok()
    assert times_of(tree.patches) == before
    assert tree.run('scripts/tree.sh').ok().out == ''
    shutil.rmtree(tree.B)
    tree.run('scripts/tree.sh').ok()
    tree.run('scripts/refresh.sh').ok()
    assert times_of(tree.patches) == before


def test_keeps_what_it_has_not_made(tree):
    tree.write('', 'patches/draft.patch')
    tree.run('scripts/refresh.sh').ok()
    assert os.path.exists(tree.path('patches/draft.patch'))


def test_off_the_branch(tree):
    tree.git('checkout', '-q', '--detach', 'series~1')
    tree.run('scripts/refresh.sh').says_one_line('not the branch series')


def test_changes_that_are_not_committed(tree):
    tree.write('more', tree.linux, 'two.c')
    tree.run('scripts/refresh.sh').says_one_line('not committed')


def test_a_merge(tree):
    tree.git('checkout', '-q', '-b', 'side', 'base')
    tree.commit('side.c', 'x', 'side')
    tree.git('checkout', '-q', 'series')
    tree.git('merge', '-q', '--no-edit', 'side')
    tree.run('scripts/refresh.sh').says_one_line('there is a merge')


def test_one_commit_is_one_file(tree):
    with open(f'{tree.linux}/two.c', 'a', encoding='utf-8') as f:
        f.write('more\n')
    tree.git('commit', '-q', '-a', '--amend', '--no-edit')
    tree.run('scripts/refresh.sh').ok()
    assert tree.git('status', '--porcelain', at=tree.root) == ' M patches/0003-two-third-n-code-in-it.patch'


def test_removed_commit_is_a_removed_file(tree):
    tree.git('reset', '-q', '--hard', 'HEAD~1')
    assert '1 removed' in tree.run('scripts/refresh.sh').ok().out
    assert tree.git('status', '--porcelain', at=tree.root).split() == [
        'D',
        'patches/0003-two-third-n-code-in-it.patch',
        'M',
        'patches/series',
    ]


def test_somebody_elses_patches(tree):
    tree.edit('^.third', '+fourth', 'patches/0003-two-third-n-code-in-it.patch')
    tree.commit('one.c', 'x', 'one: x')
    tree.run('scripts/refresh.sh').says_one_line('patches/ has changed')
    tree.run('scripts/refresh.sh', FORCE=1).ok()
    assert '+third' in tree.read('patches/0003-two-third-n-code-in-it.patch')


# What git am would not make the same message of (R13)


@pytest.mark.parametrize(
    'body',
    [
        'Before:\n\ndiff --git a/one.c b/one.c\n--- a/one.c\n+++ b/one.c\n@@ -1 +1 @@\n-1\n+2\n\nAfter.',
        'Before:\n\n--- a/one.c\n+++ b/one.c\n\nAfter.',
        'Before\n---\nafter',
        'Before\n\nIndex: one.c\n\nafter',
        'Before\n\nFrom 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nafter',
    ],
)
def test_message_that_git_am_would_cut(tree, body):
    before = times_of(tree.patches)
    commit = tree.commit('one.c', 'x', f'one: x\n\n{body}')
    tree.run('scripts/refresh.sh').says_one_line('0004-one-x.patch: git am would make another message of it')
    tree.run('scripts/refresh.sh').says_one_line(commit[:12])
    assert times_of(tree.patches) == before


def test_subject_in_brackets(tree):
    tree.commit('one.c', 'x', '[RFC] one: x')
    tree.run('scripts/refresh.sh').says_one_line('git am would make another message of it')


BODIES = [
    'Date: tomorrow\n\nIt begins like a header.',
    'From: nobody\nSubject: none\n\nSo does this.',
    'See:\n\n    diff --git a/one.c b/one.c\n    --- a/one.c\n\nindented.\n\n  ---\n\nAnd so on.\n----\n-- \nsigned',
    'Subject: in the middle\nbase-commit: 0123456789012345678901234567890123456789\nchange-id: 20260101-x-012345678901',
    'ä\n\nReviewed-by: Doe, John <john@example.org>\nLink: mailto:x@example.org\nCc: "Ü, "x" <u@example.org>',
]


def test_messages_are_the_same_afterwards(tree):
    """To patches/ and back, byte by byte."""
    for i, body in enumerate(BODIES):
        tree.commit('one.c', 'x', f'one: {i}\n\n{body}')
    before = tree.git('log', '--format=%an%ae%ad%B%T', 'base..HEAD')
    tree.run('scripts/refresh.sh').ok()
    files = times_of(tree.patches)
    shutil.rmtree(tree.B)
    tree.run('scripts/tree.sh').ok()
    assert tree.git('log', '--format=%an%ae%ad%B%T', 'base..HEAD') == before
    tree.run('scripts/refresh.sh').ok()
    assert times_of(tree.patches) == files


def test_date_that_git_am_does_not_read(tree):
    tree.env['GIT_AUTHOR_DATE'] = '@250246713600 +0200'
    tree.commit('one.c', 'x', 'one: x')
    del tree.env['GIT_AUTHOR_DATE']
    tree.run('scripts/refresh.sh').ok()
    shutil.rmtree(tree.B)
    tree.run('scripts/tree.sh').ok()
    assert tree.git('log', '-1', '--format=%at') == '250246713600'


def test_comment_after_the_dashes(tree):
    """For the reader of the mail: no part of the message, and no hindrance."""
    tree.edit('^---$', '---\nfor the reader\n', 'patches/0002-new-a-file.patch')
    tree.run('scripts/tree.sh').ok()
    assert 'for the reader' not in tree.git('log', '--format=%B', 'base..series')
