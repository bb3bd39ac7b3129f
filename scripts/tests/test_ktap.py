# SPDX-License-Identifier: GPL-2.0
"""The reader of KUnit's and the kselftests' results."""
import pytest

from mmtrack import ktap

SUITE = """\
[    1.000000] KTAP version 1
[    1.000000] 1..2
[    1.000000]     KTAP version 1
[    1.000000]     # Subtest: suite
[    1.000000]     # module: mm
[    1.000000]     1..3
[    1.100000]     ok 1 a
[    1.100000]         KTAP version 1
[    1.100000]         # Subtest: c
[    1.150000]         ok 1 4 pages
[    1.200000]         ok 2 5 pages # SKIP no such page
[    1.200000]     # c: pass:1 fail:0 skip:1 total:2
[    1.250000]     ok 2 c
[    1.300000]     ok 3 d # SKIP needs CONFIG_NUMA
[    1.300000] # suite: pass:2 fail:0 skip:1 total:3
[    1.300000] ok 1 suite
[    1.300000]     KTAP version 1
[    1.300000]     # Subtest: other
[    1.300000]     1..1
[    1.400000]     ok 1 e
[    1.400000] ok 2 other
"""
WELL = [
    ('suite', 'a', 'pass', 0.1, ''),
    ('suite', 'c', 'pass', 0.15, 'no such page'),
    ('suite', 'd', 'skip', 0.05, 'needs CONFIG_NUMA'),
    ('other', 'e', 'pass', 0.1, ''),
]


def read(text):
    return ktap.read(text.splitlines())


def by_name(tests):
    return {f'{test[0]}.{test[1]}': test[2] for test in tests}


def test_well():
    assert read(SUITE) == (WELL, [])


def test_crlf():
    assert ktap.read([line + '\r\n' for line in SUITE.splitlines()]) == (WELL, [])


def test_without_stamps_no_seconds():
    tests, problems = read('\n'.join(line[15:] for line in SUITE.splitlines()))
    assert by_name(tests) == by_name(WELL) and not problems and tests[0][3] is None


def test_with_callers_and_noise_between():
    noise = '[    1.100000][ T12] WARNING: ok 7 is no result\n'
    text = SUITE.replace('] ', '][   T1] ').replace(
        '[    1.100000][   T1]     ok 1 a\n', '[    1.100000][   T1]     ok 1 a\n' + noise
    )
    assert read(text) == (WELL, [])


def test_subtests_ok_but_the_test_is_not():
    tests, _ = read(SUITE.replace('    ok 2 c', '    not ok 2 c'))
    assert tests[1][2:] == ('fail', 0.15, 'its subtests passed, it did not')


def test_tests_ok_but_the_suite_is_not():
    tests, _ = read(SUITE.replace('ok 1 suite', 'not ok 1 suite'))
    assert ('suite', '-', 'fail', None, 'none of its tests failed, the suite did') in tests


def test_a_parameter_fails():
    tests, _ = read(SUITE.replace('ok 1 4 pages', 'not ok 1 4 pages'))
    assert tests[1][:3] == ('suite', 'c', 'fail') and tests[1][4].startswith('4 pages')


def test_all_parameters_are_skipped():
    tests, _ = read(SUITE.replace('ok 1 4 pages', 'ok 1 4 pages # SKIP none'))
    assert tests[1][:3] == ('suite', 'c', 'skip')


def test_a_gap_in_the_numbers_is_named():
    _, problems = read(SUITE.replace('ok 3 d', 'ok 4 d'))
    assert 'suite: number 4 (d) follows 2' in problems


def test_a_result_that_is_missing_is_named():
    _, problems = read(SUITE.replace('[    1.300000]     ok 3 d # SKIP needs CONFIG_NUMA\n', ''))
    assert problems == ['suite: 3 results were planned, 2 came']


def test_a_suite_that_is_missing_is_named():
    _, problems = read(SUITE.partition('ok 1 suite\n')[0] + 'ok 1 suite\n')
    assert problems == ['the whole: 2 results were planned, 1 came']


@pytest.mark.parametrize(
    'after,who', [('ok 1 a\n', 'suite.-'), ('ok 1 4 pages\n', 'suite.c'), ('module: mm\n', 'suite.-')]
)
def test_a_crash_is_a_failure(after, who):
    tests, problems = read(SUITE.partition(after)[0] + after + '[    1.5] Kernel panic - not syncing: x\n')
    assert by_name(tests)[who] == 'fail' and problems
    assert next(test for test in tests if f'{test[0]}.{test[1]}' == who)[4].startswith('crashed')


def test_a_suite_that_begins_before_the_end_of_another():
    tests, _ = read(SUITE.replace('[    1.300000] ok 1 suite\n', ''))
    assert by_name(tests)['suite.-'] == 'fail' and by_name(tests)['other.e'] == 'pass'


def test_a_suite_that_ran_nothing():
    tests, _ = read('    # Subtest: s\n    1..1\nok 1 s # SKIP not here\n')
    assert tests == [('s', '-', 'skip', None, 'not here')]
    tests, _ = read('    # Subtest: s\n    1..0\nnot ok 1 s\nok 2 t\n')
    assert by_name(tests) == {'s.-': 'fail', 't.-': 'pass'}


def test_why_it_failed():
    said = ('# a: EXPECTATION FAILED at mm/tests/x.c:29', 'Expected 1 + 1 == 3, but', '    1 + 1 == 2')
    said = ''.join(f'[    1.1]     {line}\n' for line in said)
    tests, _ = read(SUITE.replace('[    1.100000]     ok 1 a', said + '[    1.100000]     not ok 1 a'))
    assert tests[0][2] == 'fail'
    assert tests[0][4] == 'EXPECTATION FAILED at mm/tests/x.c:29 Expected 1 + 1 == 3, but 1 + 1 == 2'
    assert not tests[1][4].startswith('EXPECTATION')


def test_nothing():
    assert read('') == ([], ['there is no result at all'])
    assert read('[    1.0] Linux version 7.3') == ([], ['there is no result at all'])


# of a program
def test_program():
    tests, problems = read(
        'TAP version 13\n1..5\n# a word\nok 1 a\nok 2 - b # SKIP no such page\nnot ok 3 c d\n'
        'ok 4 e # XFAIL it does\n# Totals: pass:1\nnot ok 5 # TODO f\n'
    )
    assert not problems
    assert [test[1:3] + test[4:] for test in tests] == [
        ('a', 'pass', ''),
        ('b', 'skip', 'no such page'),
        ('c d', 'fail', ''),
        ('e', 'xfail', 'it does'),
        ('f', 'fail', 'f'),
    ]
    assert {test[0] for test in tests} == {''}


def test_a_program_that_is_skipped():
    assert read('TAP version 13\n1..0 # SKIP no huge pages\n')[0] == [('', '-', 'skip', None, 'no huge pages')]


def test_a_program_that_ends_early():
    assert read('1..3\nok 1 a\n')[1] == ['the whole: 3 results were planned, 1 came']


def test_indented_results_of_a_program():
    assert by_name(read('    ok 1 a\n  not ok 2 b\n')[0]) == {'.a': 'pass', '.b': 'fail'}


def test_words_that_are_no_results():
    tests, _ = read('okay 1\nnot okay\nok\nnot ok\n# ok 1 x\nbook 1\nok 1 a [1.25] MB\n')
    assert [test[1] for test in tests] == ['a [1.25] MB']
