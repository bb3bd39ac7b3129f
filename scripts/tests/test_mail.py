# SPDX-License-Identifier: GPL-2.0
"""mmtrack/mail.py and scripts/b4-branch.sh, with git and b4 in scratch clones, offline: what arrives is what was committed,
author, subject, message and tree of each commit. "fake" is a small series, "real" that of patches/ on build/linux."""
import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT, new_bench

REAL = os.path.join(ROOT, os.environ.get('B') or 'build', 'linux')
COMMIT = '%an <%ae>%n%B%n%T'
TRAILERS = (
    'Reviewed-by: Doe, John <john@example.org>\nAcked-by: "Q. "Tip" Uote" <q@example.org>\n'
    'Link: mailto:list@example.org\nCc: <mailto:x@example.org>'
)
IDS = 'base-commit: 0123456789012345678901234567890123456789\nchange-id: 20260101-other-0123456789ab'


def prepare(bench):
    """A developer with b4, and nobody at the other end of the network."""
    bench.git('config', '--global', 'b4.midmask', 'http://127.0.0.1:9/%s', at=bench.root)
    bench.git('config', '--global', 'sendemail.smtpserver', '127.0.0.1', at=bench.root)
    bench.mbox = bench.path('series.mbox')
    bench.scratch = bench.path('scratch')
    os.mkdir(bench.scratch)
    return bench


def with_cover(bench):
    bench.write('What it is for.\n\nSaid by Jörg.\n', 'patches/cover-letter.txt')
    bench.edit('^subject: .*', 'subject: "mm: a series with an Ümläut"', 'b4.yaml')
    return prepare(bench)


@pytest.fixture
def small(tree):
    tree.kernel = tree.linux
    tree.env.update(LINUX=tree.kernel, BASE_COMMIT='base')
    return with_cover(tree)


@pytest.fixture
def real(tmp_path):
    bench = new_bench(tmp_path)
    shutil.copytree(f'{ROOT}/patches', bench.patches)
    bench.kernel = REAL
    # make mail-test has made the tree, and is there for these
    skip = pytest.fail if os.environ.get('MMTRACK_STAGE') == 'mail-test' else pytest.skip
    if not os.path.exists(f'{REAL}/.git/mmtrack'):
        skip('there is no build/linux: make tree')
    bench.env.update(LINUX=REAL, BASE_COMMIT='base', B=os.path.dirname(REAL))
    same = bench.run('bash', '-c', '. scripts/lib/common.sh; [ "$(recorded_sums)" = "$(series_sums patches)" ]').rc == 0
    if (
        not same
        or bench.git('rev-parse', 'series', at=REAL)
        != bench.run('bash', '-c', '. scripts/lib/common.sh; recorded_head').out.strip()
    ):
        skip('build/linux is not what patches/ makes: make tree, or make refresh')
    bench.env['B'] = 'build'
    return prepare(bench)


@pytest.fixture(params=['fake', 'real'])
def posted(request):
    bench = request.getfixturevalue('small' if request.param == 'fake' else 'real')
    bench.mm('mail', 'mbox', bench.mbox).ok()
    return bench


def count_of(bench):
    return len(re.findall('^[^#]', bench.read('patches/series'), re.M))


def clone(bench, name):
    """A clone with the files that the series touches, at its base."""
    at = os.path.join(bench.scratch, name)
    bench.git('clone', '-q', '--shared', '--no-checkout', bench.kernel, at, at=bench.root)
    touched = bench.git('diff', '--name-only', 'base', 'series', at=bench.kernel).split()
    bench.git('sparse-checkout', 'set', *sorted({os.path.dirname(x) for x in touched} - {''}), at=at)
    bench.git('checkout', '-q', '-B', 'work', 'base', at=at)
    return at


def commits(bench, at, head, count=None):
    last = ['-n', str(count)] if count else ['base..' + head]
    return bench.git('log', f'--format={COMMIT}%n=====', *(last + [head] if count else last), at=at).split('=====\n')


def assert_same(bench, at, head='HEAD', count=None):
    assert commits(bench, at, head, count) == commits(bench, bench.kernel, 'series')


def in_clone(bench, at, *command):
    return bench.run('bash', '-c', f'cd "{at}" && ' + ' '.join(f"'{x}'" for x in command))


def message_id(text):
    return re.search(r'^Message-ID: <(.*)>', text, re.M)[1]


# The whole way


def test_same_bytes_twice(posted):
    again = posted.path('again.mbox')
    posted.mm('mail', 'mbox', again).ok()
    assert posted.read(again) == posted.read(posted.mbox)
    assert len(re.findall('^From 0{40} ', posted.read(posted.mbox), re.M)) == count_of(posted) + 1


def test_git_am(posted):
    """The cover letter has no patch."""
    at = clone(posted, 'am')
    in_clone(posted, at, 'git', 'am', '-q', '--empty=drop', posted.mbox).ok()
    assert_same(posted, at)


def test_b4_am(posted):
    at, out = clone(posted, 'am'), posted.path('out')
    os.mkdir(out)
    name = message_id(posted.read(posted.mbox))
    in_clone(posted, at, 'b4', '--offline-mode', 'am', '-m', posted.mbox, '-o', out, '--no-cache', name).ok()
    mbx = [x for x in os.listdir(out) if x.endswith('.mbx')]
    in_clone(posted, at, 'git', 'am', '-q', f'{out}/{mbx[0]}').ok()
    assert_same(posted, at)


def test_b4_shazam(posted):
    at = clone(posted, 'shazam')
    in_clone(posted, at, 'b4', '--offline-mode', 'shazam', '-m', posted.mbox, message_id(posted.read(posted.mbox))).ok()
    assert_same(posted, at)


def test_b4_prep_and_send(posted):
    at, count = clone(posted, 'prep'), count_of(posted)
    posted.run('scripts/b4-branch.sh', LINUX=at).ok()
    assert posted.git('branch', '--show-current', at=at) == 'work'
    assert posted.git('status', '--porcelain', at=at) == ''
    posted.git('checkout', '-q', 'b4/mm-track', at=at)
    assert_same(posted, at, count=count)
    info = in_clone(posted, at, 'b4', 'prep', '--show-info').ok().out
    assert len(re.findall('^commit-', info, re.M)) == count
    assert f'change-id: {posted.mm("mail", "get", "change-id").ok().out}' in info
    sent = posted.path('sent')
    in_clone(posted, at, 'b4', 'send', '-o', sent, '--no-sign').ok()
    assert len([x for x in os.listdir(sent) if x.endswith('.eml')]) == count + 1
    # a second branch of that name: one line, and the first is as it was
    before = posted.git('rev-parse', 'b4/mm-track', at=at)
    posted.run('scripts/b4-branch.sh', LINUX=at).says_one_line('has a branch b4/mm-track already')
    assert posted.git('rev-parse', 'b4/mm-track', at=at) == before


# Each mail has its patch's author, and the base is named (W7)


def commit_as(bench, author, message, name='one.c'):
    with open(f'{bench.linux}/{name}', 'a', encoding='utf-8') as f:
        f.write(f'{author}\n')
    bench.git('commit', '-q', '-a', f'--author={author}', '-m', message)


def posted_and_applied(bench):
    bench.run('scripts/refresh.sh').ok()
    bench.mm('mail', 'mbox', bench.mbox).ok()
    at = clone(bench, 'am')
    in_clone(bench, at, 'git', 'am', '-q', '--empty=drop', bench.mbox).ok()
    return at


def test_authors(small):
    for author in 'Ann Other <ann@example.org>', 'Ümit Ü <u@example.org>', 'Doe, J. "Q" <doe@example.org>':
        commit_as(small, author, f'one: by {author[:3]}\n\nText.\n\nSigned-off-by: {author}')
    assert_same(small, posted_and_applied(small))
    text = small.read(small.mbox)
    assert re.findall('^From: (.*)$', text, re.M)[:5][-1] == 'Ann Other <ann@example.org>'
    assert len(set(re.findall('^Message-ID: (.*)$', text, re.M))) == 7


def test_authors_through_b4(small):
    commit_as(
        small, 'Ann Other <ann@example.org>', 'one: by Ann\n\nText.\n\nSigned-off-by: Ann Other <ann@example.org>'
    )
    small.run('scripts/refresh.sh').ok()
    small.mm('mail', 'mbox', small.mbox).ok()
    test_b4_am(small)


def test_base_commit_of_linux(small, fake):
    small.mm('mail', 'mbox', small.mbox).ok()
    base = small.git('rev-parse', 'base')
    assert re.search(f'^base-commit: {base}$', small.read(small.mbox), re.M)
    out = small.mm('mail', 'mbox', small.mbox, LINUX=fake, BASE_COMMIT='old').ok().out
    assert 'no base-commit' not in out
    assert f'\nbase-commit: {small.git("rev-parse", "old", at=fake)}\n' in small.read(small.mbox)
    # without BASE_COMMIT= the tag of b4.yaml
    small.mm('mail', 'mbox', small.mbox, LINUX=fake, BASE_COMMIT=None).ok()
    assert f'\nbase-commit: {small.git("rev-parse", "v7.3", at=fake)}\n' in small.read(small.mbox)
    small.mm('mail', 'mbox', small.mbox, LINUX=fake, BASE_COMMIT='nope').says_one_line('has no nope')


def test_base_commit_of_b4_yaml(small):
    said = small.mm('mail', 'mbox', small.mbox, LINUX=None).ok().out
    assert 'It has no base-commit' in said and 'base-commit: ' not in small.read(small.mbox)
    small.edit('^  tag: .*', '  tag: v7.3\n  commit: ' + '12ab' * 10, 'b4.yaml')
    small.mm('mail', 'mbox', small.mbox, LINUX=None).ok()
    assert f'\nbase-commit: {"12ab" * 10}\n' in small.read(small.mbox)


def test_b4_reads_the_base_commit(small):
    """It is the one that b4 am finds, and that is where the series applies."""
    small.mm('mail', 'mbox', small.mbox).ok()
    at, out = clone(small, 'am'), small.path('out')
    os.mkdir(out)
    name = message_id(small.read(small.mbox))
    said = in_clone(small, at, 'b4', '--offline-mode', 'am', '-m', small.mbox, '-o', out, '--no-cache', name).ok().out
    assert small.git('rev-parse', 'base')[:12] in said.replace('\n', ' ')


def test_prerequisites(small):
    small.edit(
        r'^prerequisites: \[\]',
        'prerequisites:\n  - "patch-id: 4711"\n  - "change-id: 20260101-x-0123456789ab:v2"',
        'b4.yaml',
    )
    small.mm('mail', 'mbox', small.mbox).ok()
    text = small.read(small.mbox)
    assert '\nprerequisite-patch-id: 4711\nprerequisite-change-id: 20260101-x-0123456789ab:v2\n' in text
    small.edit('patch-id: 4711', 'the other series', 'b4.yaml')
    small.mm('mail', 'check').says_one_line('prerequisites.0: ')


# What went wrong for others (R11, R12, R13)


BODIES = [
    'Plain.',
    f'Trailers.\n\n{TRAILERS}',
    f'Headers:\n\nDate: Thu, 1 Jan 2026 00:00:00 +0000\nSubject: [PATCH] another\n{IDS}\n\nand on.\n\nLink: https://example.org/',
    f'{IDS}\n\nA body that begins with them.',
    'Date: Thu, 1 Jan 2026 00:00:00 +0000\nSubject: another\n\nThis does, too.',
    'Not ASCII: ä, 名前, \u00a0and a space that is none.',
    'A line that is long: ' + 'x' * 2000 + '\n\n   indented\n\ttab\ttab\n\n-- \nsigned\n>From here on\n=20 =C3',
]


def test_messages_are_the_same(small):
    for i, body in enumerate(BODIES):
        commit_as(small, 'Ann Other <ann@example.org>', f'one: {i}\n\n{body}')
    commit_as(small, 'Ann Other <ann@example.org>', 'one: ' + 'ä ö ü ' * 20 + 'end\n\nA long subject.')
    assert_same(small, posted_and_applied(small))


def test_not_ascii_in_the_cover_only(small):
    small.git('reset', '-q', '--hard', 'HEAD~1')
    assert_same(small, posted_and_applied(small))
    text = small.read(small.mbox)
    head = text[: text.index('\n\n')]
    assert head.isascii() and 'Said by Jörg.' in text
    for patch in re.split('^From 0{40} ', text, flags=re.M)[2:]:
        assert patch.isascii()


def test_date_of_year_9900(small):
    small.env['GIT_AUTHOR_DATE'] = '@250246713600 +0000'
    commit_as(small, 'Ann Other <ann@example.org>', 'one: far away\n\nText.')
    del small.env['GIT_AUTHOR_DATE']
    commit_as(small, 'Ann Other <ann@example.org>', 'one: and here')
    assert_same(small, posted_and_applied(small))
    # as somebody else's format-patch writes it
    name = small.read('patches/series').split()[3]
    small.edit('^Date: .*', 'Date: Tue, 2 Jan 9900 00:00:00 +0000', f'patches/{name}')
    small.mm('mail', 'mbox', small.mbox).ok()
    shutil.rmtree(f'{small.scratch}/am')
    test_b4_am(small)


def test_comment_after_the_dashes(small):
    """It is mailed, and is no part of the message."""
    small.mm('mail', 'mbox', small.mbox).ok()
    small.edit('^---$', '---\nv2: for the reader\nSubject: no subject\n', 'patches/0002-new-a-file.patch')
    small.mm('mail', 'mbox', small.mbox).ok()
    assert 'v2: for the reader' in small.read(small.mbox)
    at = clone(small, 'am')
    in_clone(small, at, 'git', 'am', '-q', '--empty=drop', small.mbox).ok()
    assert_same(small, at)


def test_older_v2_beside_v1(small):
    """b4 am -v1 takes all patches of v1, and no trailer that v2 got."""
    both = small.path('both.mbox')
    texts = []
    for revision in 2, 1:
        small.edit('^revision: .*', f'revision:  {revision}', 'b4.yaml')
        small.mm('mail', 'mbox', small.mbox).ok()
        text = small.read(small.mbox)
        year = {2: '2024', 1: '2026'}[revision]
        texts.append(re.sub(r'^(Date: \w+, \d+ \w+) \d{4}', rf'\1 {year}', text, flags=re.M))
    first = re.findall('^Message-ID: <(.*)>', texts[0], re.M)[1]
    reply = (
        f'From {"0" * 40} Mon Sep 17 00:00:00 2001\nFrom: Rev Iewer <rev@example.org>\nDate: Mon, 5 Jan 2024 00:00:00 +0000\n'
        f'Subject: Re: [PATCH v2 1/3] one: first\nMessage-ID: <reply@example.org>\nIn-Reply-To: <{first}>\n'
        f'References: <{first}>\n\nReviewed-by: Rev Iewer <rev@example.org>\n'
    )
    small.write('\n'.join([texts[0], reply, texts[1]]), both)
    at, out = clone(small, 'am'), small.path('out')
    os.mkdir(out)
    name = message_id(texts[1])
    in_clone(small, at, 'b4', '--offline-mode', 'am', '-v1', '-m', both, '-o', out, '--no-cache', name).ok()
    mbx = [x for x in os.listdir(out) if x.endswith('.mbx')]
    in_clone(small, at, 'git', 'am', '-q', f'{out}/{mbx[0]}').ok()
    assert_same(small, at)


@pytest.mark.parametrize(
    'bad',
    [
        'diff --git a/one.c b/one.c\n--- a/one.c\n+++ b/one.c\n@@ -1 +1 @@\n-1\n+2\n',
        '--- a/one.c\n+++ b/one.c\n',
        '---\n',
        'Index: one.c\n',
        'From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n',
    ],
)
def test_message_that_git_am_would_cut(small, bad):
    small.edit('^---$', f'before\n\n{bad}\nafter\n---', 'patches/0002-new-a-file.patch')
    small.mm('mail', 'mbox', small.mbox).says_one_line('0002-new-a-file.patch: git am would end the commit message at')
    assert not os.path.exists(small.mbox)


# Topics

TOPICS = ['new: a file', 'two: third, Ünïcode in it']


@pytest.fixture
def topic(small):
    """b, of the last two patches, and a, of the first one, which b needs."""
    first, *rest = small.read('patches/series').split()
    small.write(f'# topic: a\n{first}\n# topic: b needs: a\n' + '\n'.join(rest) + '\n', 'patches/series')
    small.write('What b is for.\n', 'patches/cover-b.txt')
    small.edit('^topics:\n(.*\n)*', 'topics:\n  b: {subject: "two: b", cc: [b@example.org]}\n', 'b4.yaml')
    small.env['TOPIC'] = 'b'
    return small


def test_topic(topic):
    """On what it needs it applies, without that it does not."""
    topic.mm('mail', 'mbox').ok()
    text = topic.read('build/b.mbox')
    assert re.findall(r'^Subject: (\[PATCH \d/\d\]) ', text, re.M) == ['[PATCH 0/2]', '[PATCH 1/2]', '[PATCH 2/2]']
    assert 'What b is for.' in text and 'b@example.org' in text and 'What it is for.' not in text
    assert re.search(r'^prerequisite-change-id: \d+-mm-track-a-[0-9a-f]{12}:v1$', text, re.M)
    at = clone(topic, 'am')
    topic.git('checkout', '-q', '-B', 'work', 'series~2', at=at)
    in_clone(topic, at, 'git', 'am', '-q', '--empty=drop', topic.path('build/b.mbox')).ok()
    assert_same(topic, at)


def test_topic_with_its_needs(topic):
    topic.mm('mail', 'mbox', topic.mbox, NEEDS=1).ok()
    assert 'prerequisite' not in topic.read(topic.mbox)
    at = clone(topic, 'am')
    in_clone(topic, at, 'git', 'am', '-q', '--empty=drop', topic.mbox).ok()
    assert_same(topic, at)


def test_b4_branch_of_a_topic(topic):
    at = clone(topic, 'prep')
    topic.run('scripts/b4-branch.sh', LINUX=at).ok()
    subjects = topic.git('log', '--reverse', '--format=%s', 'base..b4/mm-track-b', at=at).splitlines()
    assert subjects == ['one: first', 'two: b', *TOPICS]


@pytest.mark.parametrize(
    'name, said', [('x', 'TOPIC=x: choose of a b'), ('a', 'topics has no a'), ('b', 'git checkout patches/cover-b.txt')]
)
def test_topic_that_cannot_be_mailed(topic, name, said):
    os.remove(topic.path('patches/cover-b.txt'))
    topic.mm('mail', 'mbox', topic.mbox, TOPIC=name).says_one_line(said)


def test_every_topic_of_the_series_can_be_mailed(real):
    for name in real.mm('topics', 'names').ok().out.split():
        real.mm('mail', 'mbox', real.path(f'{name}.mbox'), TOPIC=name, NEEDS=1).ok()
        at = clone(real, name)
        in_clone(real, at, 'git', 'am', '-q', '--empty=drop', real.path(f'{name}.mbox')).ok()


# b4.yaml, and make b4


@pytest.mark.parametrize(
    'pattern, new, text',
    [
        ('^subject', 'sunject', "'sunject' was unexpected"),
        ('^  - linux-mm@kvack.org\n', '', 'to: '),
        ('^revision: .*', 'revision: 0', 'revision: '),
        ('^name: .*', 'name: [', 'b4.yaml is no YAML'),
    ],
)
def test_b4_yaml(bench, pattern, new, text):
    bench.mm('mail', 'check').ok()
    bench.edit(pattern, new, 'b4.yaml')
    bench.mm('mail', 'check').says_one_line(text)


def test_b4_yaml_is_missing(bench):
    os.remove(bench.path('b4.yaml'))
    bench.mm('mail', 'check').says_one_line('git checkout b4.yaml')


def test_no_patches(bench):
    bench.mm('mail', 'mbox').says_one_line('patches/series is missing: make refresh')


def test_mbox_on_a_fresh_clone(small):
    shutil.move(small.B, small.path('elsewhere'))
    small.mm('mail', 'mbox', LINUX=None).ok()
    assert os.path.exists(f'{small.B}/series.mbox')
    small.run('scripts/clean.sh', '--all').ok()


@pytest.mark.parametrize(
    'env, text',
    [
        ({'LINUX': None}, 'in which tree?'),
        ({'LINUX': '/'}, 'is no git tree'),
        ({'BASE_COMMIT': 'nope'}, 'has no nope'),
    ],
)
def test_b4_branch_of_what(small, env, text):
    small.run('scripts/b4-branch.sh', **env).says_one_line(text)


def test_b4_branch_where_it_does_not_apply(small, fake, tmp_path):
    at = str(tmp_path / 'other')
    shutil.copytree(fake, at)
    small.write('other\n', at, 'two.c')
    small.git('commit', '-q', '-a', '-m', 'rewrite', at=at)
    small.run('scripts/b4-branch.sh', LINUX=at, BASE_COMMIT='HEAD').says(f'make rebase LINUX={at} BASE_COMMIT=HEAD')
    assert small.git('branch', '--list', 'b4/*', at=at) == ''
    assert len(small.git('worktree', 'list', at=at).splitlines()) == 1


def test_b4_branch_after_a_killed_one(small, fake, tmp_path):
    """What it left, with and without its files, heals."""
    at = str(tmp_path / 'user')
    shutil.copytree(fake, at)
    for gone in False, True:
        small.git('worktree', 'add', '-q', '--detach', f'{small.B}/b4.tmp', 'v7.3', at=at)
        if gone:
            subprocess.run(['rm', '-rf', f'{small.B}/b4.tmp'], check=True)
        small.run('scripts/b4-branch.sh', LINUX=at, BASE_COMMIT='v7.3').ok()
        small.git('branch', '-q', '-D', 'b4/mm-track', at=at)
    assert len(small.git('worktree', 'list', at=at).splitlines()) == 1
