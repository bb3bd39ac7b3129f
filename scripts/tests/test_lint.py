# SPDX-License-Identifier: GPL-2.0
"""lint.sh: each step passes what is right and catches a fault that is planted. The kernel's checkers are fakes that know
one fault each."""
import os
import shutil

import pytest
from conftest import ROOT

CHECKERS = {
    # trailing white space, unless the type is ignored
    'scripts/checkpatch.pl': r'''my ($ignore) = "@ARGV" =~ /--ignore (\S+)/; my $bad = 0; open F, $ARGV[-1];
while (<F>) { if (/^\+.*[ \t]$/ && ($ignore // '') !~ /TRAILING_WHITESPACE/) { print "ERROR:TRAILING_WHITESPACE: here\n"; $bad = 1 } }
exit $bad;
''',
    'scripts/kernel-doc': r'''import sys
assert sys.argv[1:4] == ['-none', '-Wall', '-Werror'], sys.argv
bad = [name for name in sys.argv[4:] if 'UNDOCUMENTED' in open(name).read()]
print(*(f'{name}: no description' for name in bad))
sys.exit(bool(bad))
''',
    # a file is in the section OURS if it begins with ours
    'scripts/get_maintainer.pl': r'''if ("@ARGV" =~ /--self-test/) { open F, "MAINTAINERS"; while (<F>) { print "OURS: odd\n" if /odd/ } exit 0 }
if ("@ARGV" =~ /--sections/) { print "OURS\nF:\tours*\n" if $ARGV[-1] =~ /^ours/; print "THE REST\nF:\t*\nF:\t*/\n"; exit 0 }
print "linux-mm\@kvack.org\n";
''',
    'tools/testing/kunit/kunit_tool_test.py': 'import os, sys\nsys.exit("a test failed" if os.path.exists("broken") else 0)\n',
    'MAINTAINERS': 'OURS\nF:\tours*\n\nTHE REST\nF:\t*\n',
}


def lint(bench, *steps, **env):
    return bench.run('scripts/lint.sh', *steps, **env)


@pytest.fixture
def checked(tree):
    """tree with the checkers as its fourth patch, and files of ours."""
    for name, text in CHECKERS.items():
        tree.write(text, tree.linux, name)
    tree.git('add', '-A')
    tree.git('commit', '-q', '-m', 'checkers')
    tree.write('OURS\nF:\tours*\n', 'MAINTAINERS.snippet')
    tree.write('#\n', tree.linux, 'ours*')
    return tree


def put(bench, name, text, message='one: a patch'):
    bench.commit(name, text, message)
    bench.run('scripts/refresh.sh').ok()


def test_no_such_step(tree):
    lint(tree, 'nonsense').says_one_line('no step is called nonsense')


def test_no_tree(bench):
    lint(bench, 'series').says_one_line('make tree')


def test_results_are_recorded(tree):
    os.remove(tree.path('patches/0002-new-a-file.patch'))
    record = tree.write('', 'results.tsv')
    lint(tree, 'series', 'message', MMTRACK_RESULTS=record).says('FAILED')
    rows = [line.split('\t') for line in tree.read('results.tsv').splitlines()]
    assert [row[:4] for row in rows] == [['test', 'lint', 'series', 'fail'], ['test', 'lint', 'message', 'fail']]
    assert rows[0][4].isdigit() and 'patches/series' in rows[0][5]


# the workbench
@pytest.fixture
def scripts(tree):
    shutil.copy(f'{ROOT}/.shellcheckrc', tree.root)
    return tree


def test_shell(scripts):
    lint(scripts, 'shell').ok()


@pytest.mark.parametrize('fault', ['echo $undefined', 'if true; then\n  echo x\nfi'])
def test_shell_fault(scripts, fault):
    scripts.write(f'#!/bin/sh\n{fault}\n', 'scripts/some.sh')
    lint(scripts, 'shell').says('some.sh').says('to mend it: fix the script')


def test_shell_fault_in_ci(scripts):
    scripts.write('#!/bin/sh\necho $undefined\n', '.ci/run')
    lint(scripts, 'shell').says('SC2086')


def test_python(tree):
    lint(tree, 'python').ok()


@pytest.mark.parametrize('fault, said', [('import os\n', 'imported but unused'), ("x = (1,\n  2)\n", '+x = (1, 2)')])
def test_python_fault(tree, fault, said):
    tree.write(fault, 'scripts/mmtrack/some.py')
    lint(tree, 'python').says(said)


def test_b4_yaml(tree):
    lint(tree, 'b4_yaml').ok()


def test_b4_yaml_fault(tree):
    tree.edit('^prefixes', 'prefixen', 'b4.yaml')
    lint(tree, 'b4_yaml').says('b4.yaml')


def test_b4_yaml_without_a_list(checked):
    checked.run('scripts/refresh.sh').ok()
    lint(checked, 'b4_yaml').says('--- b4.yaml')


# the patches
def test_series(tree):
    lint(tree, 'series').ok()


def test_series_a_file_that_is_not_listed(tree):
    tree.write(tree.read('patches/0001-one-first.patch'), 'patches/0009-stray.patch')
    lint(tree, 'series').says('0009-stray.patch').says('make refresh')


def test_series_a_patch_for_another_kernel(tree):
    tree.write(tree.read('patches/0001-one-first.patch'), 'patches/stable-6.12/0001-one-first.patch')
    lint(tree, 'series').ok()


def test_series_a_listed_file_that_is_gone(tree):
    os.remove(tree.path('patches/0002-new-a-file.patch'))
    lint(tree, 'series').says('0002-new-a-file.patch')


def test_series_a_patch_that_the_branch_does_not_have(tree):
    tree.edit(r'^\+first', '+fourth', 'patches/0001-one-first.patch')
    lint(tree, 'series').says('is not what the branch series')


def test_series_a_commit_that_patches_do_not_have(tree):
    tree.commit('one.c', 'more', 'one: more')
    lint(tree, 'series').says('is not what the branch series')


def test_message(tree):
    lint(tree, 'message').ok()


GOOD = 'Subject: [PATCH] one: first\n\nWhat is broken:\n\n    ---\n    diff --git a/x b/x\n\n--- as said ---\n'


@pytest.mark.parametrize(
    'line, good',
    [
        ('    ---', True),
        ('  diff --git a/x b/x', True),
        ('-- \nsignature', True),
        ('----', True),
        ('difference', True),
        ('---', False),
        ('---   ', False),
        ('--- a/one.c', False),
        ('diff --git a/one.c b/one.c', False),
        ('diff -u a b', False),
        ('Index: one.c', False),
        ('---\ndiff --git a/one.c b/one.c\n--- a/one.c\n+++ b/one.c\n@@ -1 +1 @@\n-1\n+2', False),
        ('---\n a comment | that looks so\n---', False),
    ],
)
def test_message_with(tree, line, good):
    name = 'patches/0003-two-third-n-code-in-it.patch'
    text = tree.read(name)
    tree.write(text.replace('\nSigned-off-by', f'\nSome text.\n{line}\n\nSigned-off-by', 1), name)
    result = lint(tree, 'message')
    if good:
        result.ok()
    else:
        result.says('0003-two-third-n-code-in-it.patch:').says('to mend it: indent')


def test_checkpatch(checked):
    put(checked, 'one.c', 'good')
    lint(checked, 'checkpatch').ok()


def test_checkpatch_fault(checked):
    put(checked, 'one.c', 'bad ', 'one: white space')
    result = lint(checked, 'checkpatch').says('ERROR:TRAILING_WHITESPACE').says('^^ 0005-one-white-space.patch')
    assert result.out.count('^^') == 1


def test_checkpatch_ignored(checked):
    put(checked, 'one.c', 'bad ')
    checked.write('TRAILING_WHITESPACE@two  a reason\n', 'configs/checkpatch-ignore')
    lint(checked, 'checkpatch').says('TRAILING')
    checked.write('# TRAILING_WHITESPACE\nTRAILING_WHITESPACE@one  a reason\n', 'configs/checkpatch-ignore')
    lint(checked, 'checkpatch').ok()


def test_kernel_doc(checked):
    checked.commit('one.c', 'UNDOCUMENTED', 'one: not a new file')
    lint(checked, 'kernel_doc').ok()


def test_kernel_doc_fault(checked):
    checked.commit('ours.h', 'UNDOCUMENTED', 'ours: new')
    lint(checked, 'kernel_doc').says('ours.h: no description')


def maintained(checked):
    """The checkers are in the base, so that only files of ours are new."""
    checked.git('tag', '-f', 'base', 'HEAD')
    checked.commit('ours.c', 'code', 'ours: new')
    return checked


def test_maintainers(checked):
    lint(maintained(checked), 'maintainers').ok()


def test_maintainers_a_file_without_a_section(checked):
    maintained(checked).commit('other.c', 'code', 'other: new')
    lint(checked, 'maintainers').says('no section of MAINTAINERS has other.c')


def test_maintainers_other_snippet(checked):
    maintained(checked).write('OURS\nF:\tour*\n', 'MAINTAINERS.snippet')
    lint(checked, 'maintainers').says('+++ MAINTAINERS of the series').says('there is no our*')


def test_maintainers_odd_section(checked):
    maintained(checked).commit('MAINTAINERS', 'odd', 'MAINTAINERS: odd')
    lint(checked, 'maintainers').says('OURS: odd')


def test_maintainers_no_snippet(checked):
    os.remove(maintained(checked).path('MAINTAINERS.snippet'))
    checked.write('NEW\nF:\tnew.c\n', checked.linux, 'MAINTAINERS')
    checked.git('commit', '-q', '-a', '-m', 'a section')
    lint(checked, 'maintainers').says('the series adds the section "NEW", there is no MAINTAINERS.snippet')


def test_kunit_tool(checked):
    lint(checked, 'kunit_tool').ok()


def test_kunit_tool_fault(checked):
    checked.commit('broken', 'x', 'kunit: broken')
    lint(checked, 'kunit_tool').says('a test failed')


# the kernel's own, where there is a tree
REAL = os.path.join(os.path.dirname(__file__), '../../build/linux')


@pytest.mark.skipif(not os.path.exists(f'{REAL}/scripts/checkpatch.pl'), reason='there is no build/linux: make tree')
@pytest.mark.parametrize('text, said', [('\tint x;\t', 'TRAILING_WHITESPACE'), ('/* recieve */', 'TYPO_SPELLING')])
def test_the_real_checkpatch(tree, text, said):
    for name in ('checkpatch.pl', 'spelling.txt', 'const_structs.checkpatch', 'deprecated_terms.txt'):
        if os.path.exists(f'{REAL}/scripts/{name}'):
            with open(f'{REAL}/scripts/{name}', encoding='utf-8') as f:
                tree.write(f.read(), tree.linux, 'scripts', name)
    for (
        name
    ) in 'COPYING CREDITS Kbuild MAINTAINERS README Documentation arch include drivers fs init ipc kernel lib'.split():
        tree.write('', tree.linux, name + ('' if name[0].isupper() and name != 'Documentation' else '/x'))
    put(tree, 'one.c', text)
    lint(tree, 'checkpatch').says(said)
