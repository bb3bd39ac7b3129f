# SPDX-License-Identifier: GPL-2.0
"""scripts/tree.sh, clean.sh, range-diff.sh: from a base to build/linux, without a loss of the user's work."""
import fcntl
import os
import shutil
import subprocess

import pytest
from conftest import copy_of, sum_of


def write_state(bench, name, text):
    bench.write(text, bench.linux, '.git', name)


# A LINUX= that is no good


def test_linux_is_no_directory(bench, tmp_path):
    bench.run('scripts/tree.sh', LINUX=tmp_path / 'none').says_one_line('is no directory')
    assert not os.path.exists(bench.linux)


def test_linux_is_no_git_tree(bench, tmp_path):
    (tmp_path / 'plain').mkdir()
    bench.run('scripts/tree.sh', LINUX=tmp_path / 'plain').says_one_line('not a git tree')
    assert not os.path.exists(bench.linux)


def test_linux_is_no_linux(bench, tmp_path):
    other = str(tmp_path / 'other')
    bench.git('init', '-q', other, at=bench.root)
    bench.git('commit', '-q', '--allow-empty', '-m', 'no kernel', at=other)
    bench.run('scripts/tree.sh', LINUX=other).says_one_line('is no Linux tree')
    assert not os.path.exists(bench.linux)


@pytest.mark.parametrize(
    'env, text',
    [
        ({'BASE_COMMIT': 'old'}, 'is Linux 7.2'),
        ({'BASE_COMMIT': 'nope'}, 'is no commit'),
        ({'LINUX': None, 'BASE': '6.1'}, 'BASE=6.1 is not known'),
    ],
)
def test_no_such_base(bench, fake, env, text):
    bench.run('scripts/tree.sh', **{'LINUX': fake, **env}).says_one_line(text)
    assert not os.path.exists(bench.linux)


def test_linux_with_changes(bench, fake, tmp_path):
    dirty = tmp_path / 'dirty'
    shutil.copytree(fake, dirty)
    with open(dirty / 'one.c', 'a', encoding='utf-8') as f:
        f.write('x\n')
    before = sum_of(dirty)
    bench.run('scripts/tree.sh', LINUX=dirty).says_one_line('not committed')
    assert sum_of(dirty) == before


def test_partial_clone(bench, fake, tmp_path):
    """One that lacks files of the commit is refused, and nothing is fetched into it; with the files it works."""
    clone, source = str(tmp_path / 'partial'), str(tmp_path / 'source')
    shutil.copytree(fake, source)
    bench.git('config', 'uploadpack.allowFilter', 'true', at=source)
    bench.git('config', 'uploadpack.allowAnySHA1InWant', 'true', at=source)
    bench.git('clone', '-q', '--no-checkout', '--filter=blob:none', f'file://{source}', clone, at=bench.root)
    before = sum_of(clone)
    bench.run('scripts/tree.sh', LINUX=clone, BASE_COMMIT='v7.3').says_one_line('is a partial clone that lacks')
    assert sum_of(clone) == before
    bench.git('checkout', '-q', 'v7.3', at=clone)
    bench.run('scripts/tree.sh', LINUX=clone, BASE_COMMIT='v7.3').ok()
    assert bench.git('status', '--porcelain') == ''


def test_shallow_clone(bench, fake, tmp_path):
    clone = str(tmp_path / 'shallow')
    bench.git('clone', '-q', '--depth=1', f'file://{fake}', clone, at=bench.root)
    bench.run('scripts/tree.sh', LINUX=clone).ok()
    assert bench.git('rev-list', '--count', 'HEAD') == '1'
    bench.commit('one.c', 'x', 'one: x')
    bench.run('scripts/refresh.sh').ok()


# From a tree to patches and back


def test_tree_after_an_interrupted_one(bench, fake):
    os.makedirs(f'{bench.B}/linux.tmp/left')
    bench.write('made by mm-track: make clean removes what is in this directory\n', bench.B, '.mm-track')
    bench.run('scripts/tree.sh', LINUX=fake).ok()
    assert not os.path.exists(f'{bench.linux}/left')
    assert bench.git('rev-parse', 'series') == bench.git('rev-parse', 'v7.3', at=fake)


def test_work_is_left_alone(bench, fake):
    bench.run('scripts/tree.sh', LINUX=fake).ok()
    bench.commit('one.c', 'first', 'one: first')
    assert 'using your work' in bench.run('scripts/tree.sh', LINUX=fake).ok().out
    bench.run('scripts/clean.sh', '--all').says_one_line('not in patches/')


def test_again_does_nothing(tree):
    assert tree.run('scripts/tree.sh').ok().out == ''


def test_same_commits_every_time(tree):
    first = tree.git('rev-parse', 'series')
    shutil.rmtree(tree.B)
    tree.run('scripts/tree.sh').ok()
    assert tree.git('rev-parse', 'series') == first


def test_changed_patches_are_applied_again(tree):
    first, before = tree.git('rev-parse', 'series'), os.stat(f'{tree.linux}/one.c')
    tree.commit('two.c', 'more', 'two: more')
    tree.run('scripts/refresh.sh').ok()
    tree.git('checkout', '-q', 'patches', at=tree.root)
    tree.run('scripts/tree.sh').ok()
    assert tree.git('rev-parse', 'series') == first
    after = os.stat(f'{tree.linux}/one.c')
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino), 'it would be compiled again'


def test_both_sides_changed(tree):
    tree.commit('one.c', 'work', 'one: work')
    tree.edit('^.third', '+fourth', 'patches/0003-two-third-n-code-in-it.patch')
    tree.run('scripts/tree.sh').says_one_line('both patches/ and your work')
    tree.run('scripts/refresh.sh').says_one_line('has changed since')


def test_tree_on_another_base(tree):
    tree.run('scripts/tree.sh', LINUX='', BASE='7.2').says_one_line('is on base')
    tree.run('scripts/tree.sh', LINUX='').ok()


def test_listed_file_is_gone(tree):
    os.remove(tree.path('patches/0002-new-a-file.patch'))
    tree.run('scripts/tree.sh').says_one_line('0002-new-a-file.patch')


def test_developers_settings_do_not_matter(bench, fake, tmp_path):
    """Attributes and ignored names of the user's git: the same tree."""
    bench.write('* text eol=crlf\n', tmp_path, 'home/.config/git/attributes')
    bench.write('*.c\n', tmp_path, 'home/.config/git/ignore')
    bench.run('scripts/tree.sh', LINUX=fake).ok()
    with open(f'{bench.linux}/one.c', 'rb') as f:
        assert b'\r' not in f.read()


# Untracked work (W3)


@pytest.fixture(scope='session')
def pulled_top(made, fake_kernel, tmp_path_factory):
    """patches/ has a fourth patch, which makes mm/foo.c; build/linux is as it was before."""
    top = tmp_path_factory.mktemp('pulled')
    tree = copy_of(made, fake_kernel, top)
    os.mkdir(f'{tree.linux}/mm')
    tree.commit('mm/foo.c', 'of the patch', 'add a file')
    old = tree.read(tree.linux, '.git/mmtrack')
    tree.run('scripts/refresh.sh').ok()
    tree.git('reset', '-q', '--hard', 'HEAD~1')
    write_state(tree, 'mmtrack', old)
    return top


@pytest.fixture
def pulled(pulled_top, fake, tmp_path):
    return copy_of(pulled_top, fake, tmp_path)


@pytest.mark.parametrize('draft', ['mm/foo.c', 'mm/foo.c/draft', 'mm'])
def test_draft_is_not_overwritten(pulled, draft):
    pulled.write('my draft', pulled.linux, draft)
    before = pulled.git('rev-parse', 'HEAD')
    pulled.run('scripts/tree.sh').says_one_line('git does not know')
    assert pulled.read(pulled.linux, draft) == 'my draft'
    assert pulled.git('rev-parse', 'HEAD') == before
    shutil.move(f'{pulled.linux}/{draft.removesuffix("/draft")}', f'{pulled.root}/kept')
    pulled.run('scripts/tree.sh').ok()
    assert pulled.read(pulled.linux, 'mm/foo.c') == 'of the patch\n'


def test_ignored_draft_is_not_overwritten(pulled):
    pulled.write('*.c\n', pulled.linux, '.git/info/exclude')
    pulled.write('my draft', pulled.linux, 'mm/foo.c')
    pulled.run('scripts/tree.sh').says_one_line('git does not know')
    assert pulled.read(pulled.linux, 'mm/foo.c') == 'my draft'


def test_draft_elsewhere_is_in_nobodys_way(pulled):
    pulled.write('my draft', pulled.linux, 'mm/bar.c')
    pulled.run('scripts/tree.sh').ok()
    assert pulled.read(pulled.linux, 'mm/bar.c') == 'my draft'


def test_draft_when_an_apply_was_killed(pulled):
    """The state of an apply that was killed, and a draft where it has a file."""
    old = pulled.read(pulled.linux, '.git/mmtrack')
    pulled.run('scripts/tree.sh').ok()
    new = pulled.read(pulled.linux, '.git/mmtrack')
    pulled.git('reset', '-q', '--hard', 'HEAD~1')
    write_state(pulled, 'mmtrack', old)
    write_state(pulled, 'mmtrack.new', new)
    pulled.write('my draft', pulled.linux, 'mm/foo.c')
    pulled.run('scripts/tree.sh').says_one_line('has changed since')
    assert pulled.read(pulled.linux, 'mm/foo.c') == 'my draft'
    pulled.write('of the patch\n', pulled.linux, 'mm/foo.c')
    pulled.run('scripts/tree.sh').ok()
    assert pulled.git('status', '--porcelain') == ''


def test_distclean_sees_a_draft(tree):
    tree.write('my draft', tree.linux, 'draft.c')
    tree.run('scripts/clean.sh', '--all').says_one_line('not in patches/')
    assert tree.read(tree.linux, 'draft.c') == 'my draft'


# Stopped in the middle


@pytest.fixture
def killed(tree):
    """An apply of the first three patches, over a fourth, was killed before the work tree changed."""
    first = tree.git('rev-parse', 'series')
    state = tree.read(tree.linux, '.git/mmtrack')
    tree.commit('one.c', 'other', 'one: other')
    tree.run('scripts/refresh.sh').ok()
    write_state(tree, 'mmtrack.new', state)
    tree.git('checkout', '-q', 'patches', at=tree.root)
    tree.git('clean', '-qf', 'patches', at=tree.root)
    write_state(tree, 'index.lock', '')
    os.makedirs(f'{tree.B}/apply.tmp/x')
    return tree, first


def test_changed_since_an_apply_was_killed(killed):
    tree, _ = killed
    with open(f'{tree.linux}/one.c', 'a', encoding='utf-8') as f:
        f.write('mine\n')
    tree.run('scripts/tree.sh').says_one_line('has changed since')
    assert 'mine' in tree.read(tree.linux, 'one.c')


def test_apply_that_was_killed(killed):
    tree, first = killed
    tree.run('scripts/tree.sh').ok()
    assert tree.git('rev-parse', 'series') == first
    assert not os.path.exists(f'{tree.B}/apply.tmp')
    assert not os.path.exists(f'{tree.linux}/.git/mmtrack.new')


def test_stale_worktree_heals(tree):
    """One that a killed run left, with and without its files."""
    first = tree.git('rev-parse', 'series')
    for gone in False, True:
        tree.git('worktree', 'add', '-q', '--detach', f'{tree.B}/apply.tmp', 'base')
        if gone:
            shutil.rmtree(f'{tree.B}/apply.tmp')
        os.remove(f'{tree.linux}/.git/mmtrack')
        tree.git('reset', '-q', '--hard', 'base')
        tree.run('scripts/tree.sh').ok()
        assert tree.git('rev-parse', 'series') == first
        assert len(tree.git('worktree', 'list').splitlines()) == 1


# A patch that does not apply


@pytest.fixture
def failing(tree):
    tree.edit('^ 39$', ' 93', 'patches/0003-two-third-n-code-in-it.patch')
    tree.failed = tree.run('scripts/tree.sh')
    return tree


def test_failing_patch_is_named(failing):
    for text in (
        'patch 3 of 3 does not apply on Linux 7.3: 0003-two-third',
        'patch failed: two.c:38',
        'Rejected hunk #1',
        'git am --continue; then make refresh.',
    ):
        failing.failed.says(text)
    for command in ['tree.sh'], ['refresh.sh']:
        failing.run('scripts/' + command[0]).says_one_line('in progress')
    failing.run('scripts/clean.sh', '--all').says_one_line('not in patches/')


def test_failing_patch_is_resolved(failing):
    with open(f'{failing.linux}/two.c', 'a', encoding='utf-8') as f:
        f.write('fixed\n')
    failing.git('add', 'two.c')
    failing.git('am', '-q', '--continue')
    assert 'using your work' in failing.run('scripts/tree.sh').ok().out
    failing.run('scripts/refresh.sh').ok()
    assert failing.git('status', '--porcelain', at=failing.root) == ' M patches/0003-two-third-n-code-in-it.patch'
    assert failing.run('scripts/tree.sh').ok().out == ''


def test_failing_patch_is_given_up(failing):
    failing.git('am', '--abort')
    failing.git('checkout', '-q', 'patches', at=failing.root)
    failing.run('scripts/tree.sh').ok()
    assert failing.git('rev-list', '--count', 'base..series') == '3'


# range-diff


def test_range_diff(tree):
    tree.commit('two.c', 'more', 'two: more')
    tree.git('reset', '-q', '--soft', 'HEAD~1')
    tree.git('commit', '-q', '--amend', '--no-edit')
    out = tree.run('scripts/range-diff.sh').ok().out
    assert '3: ' in out and ' ! 3: ' in out and 'two: third' in out


# clean, and whose directory it is (W6)


def test_clean_keeps_the_tree(tree):
    tree.write('', tree.B, 'results/x')
    tree.run('scripts/clean.sh').ok()
    assert os.path.exists(tree.linux) and not os.path.exists(f'{tree.B}/results')
    tree.run('scripts/clean.sh', '--all').ok()
    assert not os.path.exists(tree.B)


def test_distclean_sees_other_branches(tree):
    tree.git('branch', 'aside')
    tree.git('checkout', '-q', 'aside')
    tree.commit('one.c', 'elsewhere', 'one: elsewhere')
    tree.git('checkout', '-q', 'series')
    tree.run('scripts/clean.sh', '--all').says_one_line('not in patches/')


def test_distclean_with_changes(tree):
    with open(f'{tree.linux}/two.c', 'a', encoding='utf-8') as f:
        f.write('more\n')
    tree.run('scripts/clean.sh', '--all').says_one_line('not in patches/')
    tree.run('scripts/clean.sh', '--all', FORCE=1).ok()
    assert not os.path.exists(tree.B)


def test_distclean_sees_work_of_a_rebase(tree):
    tree.run('scripts/rebase.sh', BASE_COMMIT='old').ok()
    there = f'{tree.B}/rebase/linux'
    tree.write('my draft', there, 'draft.c')
    said = tree.run('scripts/clean.sh', '--all').says_one_line('not in patches/').out
    assert f'{there} holds' in said and 'make refresh B=build/rebase' in said
    tree.run('scripts/clean.sh').ok()
    assert tree.read(there, 'draft.c') == 'my draft'


@pytest.mark.parametrize('names', [['file'], ['.lock'], ['.lock', 'file'], ['.mm-track', 'file']])
def test_directory_of_somebody_else(bench, fake, tmp_path, names):
    """An empty file is no licence to remove what is beside it."""
    foreign = str(tmp_path / 'foreign')
    for name in names:
        bench.write('', foreign, name)
    bench.run('scripts/tree.sh', LINUX=fake, B=foreign).says_one_line('name another')
    for option in [], ['--all']:
        bench.run('scripts/clean.sh', *option, B=foreign, FORCE=1).says_one_line('not made by mm-track')
    assert sorted(os.listdir(foreign)) == sorted(names)


def test_stage_and_tree_in_either_order(bench, fake):
    """As make selfcheck and make do, on a fresh clone."""
    bench.git('init', '-q', at=bench.root)
    stage = ('stage', 'x', '--', 'bash', '-c', '. scripts/lib/common.sh && result test group name pass 1 ""')
    bench.mm(*stage).ok()
    bench.run('scripts/tree.sh', LINUX=fake).ok()
    bench.mm(*stage).ok()
    bench.run('scripts/clean.sh', '--all').ok()
    bench.run('scripts/tree.sh', LINUX=fake).ok()
    bench.mm(*stage).ok()


# One at a time (W8)


def held(bench, name, text):
    # pylint: disable=consider-using-with
    f = open(f'{bench.B}/.{name}.lock', 'a', encoding='utf-8')
    f.truncate(0)
    f.write(text)
    f.flush()
    fcntl.flock(f, fcntl.LOCK_EX)
    return f


@pytest.mark.parametrize('script', ['tree', 'refresh', 'range-diff', 'clean'])
def test_lock_of_the_tree(tree, script):
    with held(tree, 'tree', 'refresh 4711'):
        tree.run(f'scripts/{script}.sh').says_one_line(f'make refresh runs in {tree.B} (pid 4711): wait for it')
    tree.run(f'scripts/{script}.sh').ok()


def test_lock_of_the_stage(tree):
    """What is built from is not changed, by nobody but the stage itself; what is as it should be may be looked at."""
    with held(tree, 'stage', 'kunit 4711'):
        tree.run('scripts/tree.sh').ok()
        tree.run('scripts/clean.sh').says_one_line('make kunit runs in')
        tree.git('reset', '-q', '--hard', 'base')
        os.remove(f'{tree.linux}/.git/mmtrack')
        tree.run('scripts/tree.sh').says_one_line('make kunit runs in')
        tree.run('scripts/tree.sh', MMTRACK_STAGE='kunit').ok()


def test_lock_is_another_directorys(tree, fake):
    with held(tree, 'tree', 'tree 4711'):
        tree.run('scripts/tree.sh', B='build/other', LINUX=fake).ok()


def test_lock_ends_with_its_process(tree):
    with subprocess.Popen(
        ['bash', '-c', '. scripts/lib/common.sh; lock tree; echo; read -r'],
        cwd=tree.root,
        env=tree.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        tree.run('scripts/tree.sh').says_one_line(f'pid {other.pid}')
        other.kill()
    tree.run('scripts/tree.sh').ok()


def test_result_line(bench):
    out = bench.path('results.tsv')
    line = '. scripts/lib/common.sh; result test lint "a b" fail 3 "why not"; result note ""'
    bench.run('bash', '-c', line).ok()
    assert not os.path.exists(out)
    bench.run('bash', '-c', line, MMTRACK_RESULTS=out).ok()
    assert bench.read(out) == 'test\tlint\ta b\tfail\t3\twhy not\nnote\t\n'
