# SPDX-License-Identifier: GPL-2.0
"""The verdict of the KUnit stages, on consoles that are made up."""
import subprocess

import pytest

from mmtrack import kunit

SUITE = '''[    1.000000] KTAP version 1
[    1.000000] 1..1
[    1.000000]     KTAP version 1
[    1.000000]     # Subtest: suite
[    1.000000]     1..3
[    1.050000]     ok 1 a
{more}[    1.150000]     {b}
[    1.160000]         KTAP version 1
[    1.170000]         # Subtest: c
[    1.180000]         ok 1 one
[    1.190000]         ok 2 two # SKIP no
[    1.250000]     ok 3 c
[    1.250000] {end}ok 1 suite
'''
WARN = '[    1.100000] WARNING: mm/rmap.c:1 at folio_walk+0x1/0x2, CPU#0: kunit/7\n'


class Made:
    """A console, and what is expected of it."""

    def __init__(self, tmp_path):
        self.path = tmp_path / 'expected'
        self.expect('um suite a', 'um suite b', 'um suite c')

    def expect(self, *lines):
        self.path.write_text('# comment\n' + ''.join(line + '\n' for line in lines))

    def says(self, b='ok 2 b', more='', name='um', **judge):
        end = 'not ' if b.startswith('not') else ''
        verdict = kunit.Verdict(name, SUITE.format(b=b, more=more, end=end).splitlines(), path=str(self.path), **judge)
        self.verdict = verdict
        return verdict.failures + verdict.problems


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path)


def test_all_passed(made, capsys):
    assert made.says() == []
    kunit.table([made.verdict])
    assert capsys.readouterr().out.splitlines()[1].split() == ['suite', 'um', '3', '0', '0', '0.25']


def test_one_failed(made):
    assert made.says('not ok 2 b') == ['um: suite.b: failed']
    assert made.verdict.problems == []  # which would be counted as well


def test_one_crashed(made):
    lines = SUITE.format(b='ok 2 b', more='', end='').splitlines()[:7]
    verdict = kunit.Verdict('um', lines, path=str(made.path))
    assert any('crashed' in text for text in verdict.failures)
    assert 'um: suite.c: did not run; if it is gone, remove from kunit/expected: um suite c' in verdict.problems


def test_the_guest_was_ended(made):
    assert made.says(ended='the guest said nothing for 3 s') == ['um: the guest said nothing for 3 s']


def test_skipped_without_a_reason(made):
    assert 'um suite b skip: REASON' in made.says('ok 2 b # SKIP no page')[0]
    made.expect('um suite a', 'um suite b skip: REASON', 'um suite c')
    assert 'um suite b skip: REASON' in made.says('ok 2 b # SKIP no page')[0]


def test_skipped_with_a_reason(made):
    made.expect('um suite a', 'um suite b skip: no such page', 'um suite c')
    assert made.says('ok 2 b # SKIP') == []
    assert 'listed as skipped, but passes' in made.says()[0]


def test_one_that_vanished(made):
    made.expect('um suite a', 'um suite b', 'um suite c', 'um suite gone')
    assert 'remove from kunit/expected: um suite gone' in made.says()[0]
    assert made.says(tests='suite.[abc]') == []
    assert made.says(any_=True) == []


def test_one_that_is_not_listed(made):
    made.expect('um suite a')
    assert any('add to kunit/expected: um suite c' in text for text in made.says())
    assert made.says(any_=True) == []
    assert made.says('not ok 2 b', any_=True) == ['um: suite.b: failed']


def test_another_arch_is_not_missed(made):
    made.expect('um suite a', 'um suite b', 'um suite c', 'i386 suite gone')
    assert made.says() == []


def test_what_64_bit_kernels_share_is_in_one_file(monkeypatch):
    monkeypatch.setattr(kunit.record, 'git', lambda *args, **at: 'one commit')
    paths = [path.rpartition('/')[2] for path in kunit.configs('arm64-64k', '/nowhere')]
    assert paths == ['64bit.kunitconfig', 'arm64.kunitconfig', '64k.config']


def test_a_splat(made):
    [text] = made.says(more=WARN, any_=True)
    assert text.startswith('um: suite.b: splat: warning: WARNING: mm/rmap.c:1')


def test_a_splat_that_is_expected(made):
    made.expect('um suite a', 'um suite b', 'um suite c', 'um suite b splat: folio_walk # it does so on purpose')
    assert made.says(more=WARN) == []
    assert 'on purpose' in made.verdict.notes[0]


def test_a_splat_that_is_expected_elsewhere(made):
    made.expect('um suite a', 'um suite b', 'um suite c', 'um suite a splat: folio_walk # it does so on purpose')
    assert 'splat: warning' in made.says(more=WARN)[0]


def test_lockdep_is_a_splat(made):
    [text] = made.says(more='[    1.1] WARNING: possible circular locking dependency detected\n')
    assert 'splat: lockdep: ' in text


def test_a_race_of_the_series_and_one_of_the_kernel(made):
    race = '[    1.100000] BUG: KCSAN: data-race in as_walk_ptes / filemap_read\n'
    [text] = made.says(more=race, ours={'as_walk_ptes'})
    assert 'splat: kcsan: ' in text
    assert made.says(more=race, ours={'another'}) == []
    assert 'filemap_read: not in a function of the series' in made.verdict.notes[0]


def test_nothing_ran(made):
    verdict = kunit.Verdict('um', ['[ 0.1] Linux'], path=str(made.path))
    assert 'um: nothing ran' in verdict.problems


def test_write_keeps_reasons_splats_and_other_archs(made):
    made.expect('i386 suite a', 'um suite b skip: no such page', 'um suite gone', 'um suite a splat: text # why')
    kunit.write_expected(
        str(made.path), {('um', 'suite', 'a'): 'pass', ('um', 'suite', 'b'): 'skip', ('um', 'suite', 'c'): 'skip'}
    )
    assert made.path.read_text().splitlines() == [
        '# comment',
        'i386 suite a',
        'um suite a',
        'um suite a splat: text # why',
        'um suite b skip: no such page',
        'um suite c skip: REASON',
    ]


def test_no_number_of_minutes(bench):
    bench.mm('kunit', '--stage', 'stress', MINUTES='soon').says_one_line('soon is not a number of minutes')


def test_no_such_kernel(bench):
    bench.mm('kunit', ARCHES='x86_64-nonsense').says_one_line('no x86_64-nonsense in kunit/')
    bench.mm('kunit', 'arm').says_one_line('no arm in kunit/')


def test_minutes_reach_the_guest(monkeypatch):
    monkeypatch.setenv('MINUTES', '7')
    stage = kunit.stage_of('stress')
    assert 'mm_stress_kunit.seconds=420' in stage.args and stage.limit == 1020 and stage.globs == ['mm_stress']


def test_functions_of_the_series(monkeypatch):
    diff = '''@@ -1 +1 @@ static int changed(struct mm_struct *mm)
+	call_of_another(mm);
+static inline bool added(void)
+	if (x)
@@ -9,2 +9,0 @@ struct no_function {
+int of_two_lines(struct vm_area_struct *vma,
+long *pointer(void)
+typedef int (*not_this)(void);
-static int removed(void)
'''
    monkeypatch.setattr(kunit, 'changed', lambda *args: diff)
    assert kunit.functions() == {'changed', 'added', 'of_two_lines', 'pointer'}


def test_instrumented_objects(monkeypatch):
    monkeypatch.setattr(
        kunit, 'changed', lambda *args: 'mm/rmap.c\nmm/tests/x_kunit.c\nmm/internal.h\nlib/kunit/user_alloc.c\n'
    )
    options, objects = kunit.instrument('KCSAN_SANITIZE')
    assert objects == ['mm/rmap.o', 'mm/tests/x_kunit.o', 'lib/kunit/user_alloc.o']
    assert [text.split('=')[1] for text in options] == [
        f'KCSAN_SANITIZE_{x}.o' for x in ('rmap', 'tests/x_kunit', 'user_alloc')
    ]


def test_nothing_to_instrument(bench):
    """It was once swallowed, and KCSAN then looked at nothing."""
    code = "from mmtrack import kunit; kunit.instrument('KCSAN_SANITIZE')"
    bench.run('/usr/bin/python3', '-c', code).says_one_line('nothing is between base and series')


def test_objects_without_kcsan(tmp_path):
    import subprocess

    for name, call in (('seen', '__tsan_read4'), ('dark', 'other')):
        (tmp_path / f'{name}.c').write_text(f'void {call}(void); void f_{name}(void) {{ {call}(); }}\n')
        subprocess.run(['gcc', '-c', '-o', tmp_path / f'{name}.o', tmp_path / f'{name}.c'], check=True)
    assert kunit.blind(str(tmp_path), ['seen.o', 'dark.o', 'not_built.o']) == (['dark.o'], 1)


def test_write_wants_all_tests(bench, monkeypatch):
    bench.mm('kunit', '--write', TESTS='suite.a').says_one_line('make kunit without TESTS=')


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """(a tree, where it is built, how often it was): every build makes an image and a configuration."""
    src, obj, builds = tmp_path / 'linux', tmp_path / 'um', []
    src.mkdir()
    (src / 'one.c').write_text('code')
    for args in ('init -q', 'add -A', '-c user.name=A -c user.email=a@b -c commit.gpgsign=false commit -q -m one'):
        subprocess.run(['git', *args.split()], cwd=src, check=True)

    def make(*_, **__):
        obj.mkdir(exist_ok=True)
        builds.append((obj / 'linux').write_text('image'))
        (obj / '.config').write_text('CONFIG_KUNIT=y\n')
        return not (src / 'broken').exists()

    monkeypatch.setattr(kunit, 'logged', make)
    return src, obj, builds


def built(kernel, times):
    src, obj, builds = kernel
    del builds[:]
    kunit.build('um', str(obj) + '.log', src=str(src), obj=str(obj))
    return len(builds) == times


def test_what_is_built_is_not_built_again(kernel):
    assert built(kernel, 1)
    assert built(kernel, 0)


@pytest.mark.parametrize('what', ['linux/one.c', 'linux/new.c', 'um/.config', 'um/linux'])
def test_it_is_built_again_when_something_changed(kernel, what):
    assert built(kernel, 1)
    (kernel[0].parent / what).write_text('changed')
    assert built(kernel, 1) and built(kernel, 0)


def test_it_is_built_again_when_it_failed(kernel):
    (kernel[0] / 'broken').touch()
    assert built(kernel, 1) and built(kernel, 1)
