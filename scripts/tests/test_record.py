# SPDX-License-Identifier: GPL-2.0
"""The wrapper of a stage and its record, make check over records, and the reports made from them."""
import json
import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ET

import pytest

from conftest import Bench, environment, new_bench
from mmtrack import expected, record, report

MAKE = r"""#!/bin/bash
# Stands for make: every stage runs under the wrapper, and says so in a file.
for stage; do :; done
echo "$stage ${MMTRACK_CHECK-}" >>"$CALLS"
[ "$stage" != tree ] || exit "${TREE_FAILS:-0}"
wrap() { exec /usr/bin/python3 -m mmtrack stage "$stage" -- sh -c "$1"; }
case $stage in
good) export S='test\tg\ta\tpass\t1.5\ntest\tg\tb\tpass\ntest\tg\tc\tpass\ntest\tg\td\tskip\t\tno such page\n' ;;
bad) export S='test\tg\ta\tpass\ntest\tg\t<b>\tfail\t2\tit & "that"\ntest\tg\tc\tfail\nnote\tmade & done\nconfig\tabc\nlog\tbad/console\nlog\tbad/gone\n' ;;
splat) export S='test\tg\ta\tpass\nproblem\tsplat: BUG: x <1>\n' ;;
flaky) export S='test\tg\ta\tunsteady\t1\tpassed when run again\ntest\tg\tb\tpass\n' ;;
silent) export S= ;;
rc) export S='test\tg\ta\tpass\n' ;;
odd) export S='test\tg\ta\tgreat\nnonsense\t1\n' ;;
late) exit 2 ;;
slow) wrap 'echo begun; exec sleep 60' ;;
edit) wrap 'echo x >>build/linux/one.c; printf "test\tg\ta\tpass\n" >>"$MMTRACK_RESULTS"' ;;
esac
wrap 'echo console >"$MMTRACK_OUT/console"; printf "$S" >"$MMTRACK_RESULTS"; case $MMTRACK_STAGE in rc | bad) exit 1 ;; esac'
"""


@pytest.fixture(scope='session')
def checks_made(tmp_path_factory, fake_kernel):
    """The workbench, committed, with a tree and a make that stands for ours."""
    top = tmp_path_factory.mktemp('checks')
    bench = new_bench(top)
    bench.program('make', MAKE)
    bench.run('bash', '-c', '. scripts/lib/common.sh && make_build').ok()
    bench.git('clone', '-q', fake_kernel, bench.linux, at=bench.root)
    bench.git('tag', 'base', 'v7.3')
    bench.git('checkout', '-q', '-b', 'series')
    bench.commit('one.c', 'first', 'one: first')
    bench.git('init', '-q', at=bench.root)
    bench.git('add', '-A', at=bench.root)
    bench.git('commit', '-q', '-m', 'all', at=bench.root)
    return top


@pytest.fixture
def checks(checks_made, tmp_path):
    subprocess.run(['cp', '-a', f'{checks_made}/.', str(tmp_path)], check=True)
    bench = Bench(f'{tmp_path}/repo', environment(f'{tmp_path}/home'))
    bench.env.update(CALLS=f'{tmp_path}/calls', PATH=f'{tmp_path}/bin:' + os.environ['PATH'])
    bench.check = lambda *stages, **env: bench.mm('check', *stages, **env)
    bench.results = lambda name: json.loads(bench.read('build', 'results', name))
    bench.calls = lambda: [line.split()[0] for line in bench.read('..', 'calls').splitlines()]
    return bench


def last(result):
    return result.out.rstrip('\n').split('\n')[-1]


# the wrapper
def test_record(checks):
    result = checks.mm(
        'stage', 'one', '--', 'bash', '-c', '. scripts/lib/common.sh; echo said; result test g a pass 1.5 ""'
    ).ok()
    assert re.fullmatch(r'said\none: 1 passed, 0 failed, 0 skipped \(\d+ s\)\n', result.out)
    rec = checks.results('one.json')
    assert rec['verdict'] == 'pass' and rec['stage'] == 'one' and len(rec['key']) == 64
    assert rec['tests'] == [{'group': 'g', 'name': 'a', 'status': 'pass', 'seconds': 1.5, 'reason': ''}]
    assert rec['base']['name'] == 'Linux 7.3' and rec['base']['tree'] == checks.git('rev-parse', 'base^{tree}')
    assert rec['series'] == {'tree': checks.git('rev-parse', 'series^{tree}'), 'dirty': False}
    assert rec['host']['cpus'] == os.cpu_count() and rec['host']['gcc'].startswith('gcc')
    assert checks.read('build', 'results', 'one', 'log') == 'said\n'


def test_everything_in_a_record(checks):
    checks.run('make', 'bad')
    rec = checks.results('bad.json')
    assert rec['notes'] == ['made & done'] and rec['config'] == ['abc'] and rec['logs'] == ['bad/console', 'bad/gone']
    assert rec['tests'][1] == {'group': 'g', 'name': '<b>', 'status': 'fail', 'seconds': 2, 'reason': 'it & "that"'}


@pytest.mark.parametrize(
    'stage,problem',
    [
        ('silent', 'silent has tested nothing'),
        ('rc', 'sh ended with 1'),
        ('splat', 'splat: BUG: x <1>'),
        ('odd', 'results.tsv:1: no line of results'),
    ],
)
def test_what_fails_without_a_failed_test(checks, stage, problem):
    assert checks.run('make', stage).rc == 1
    rec = checks.results(f'{stage}.json')
    assert rec['verdict'] == 'fail' and problem in rec['problems'][0]


def test_no_such_command(checks):
    checks.mm('stage', 'one', '--', 'nonsense').says_one_line('nonsense')
    checks.mm('stage', 'one').says_one_line('no command')
    assert not os.path.exists(checks.path('build', 'results', 'one.json'))


def test_unsteady_is_said_and_recorded(checks):
    result = checks.run('make', 'flaky').ok()
    assert 'unsteady: g a: passed when run again\n' in result.out and '2 passed, 0 failed' in result.out
    assert checks.results('flaky.json')['tests'][0]['status'] == 'unsteady'
    assert json.loads(checks.read('build', 'results', 'history.jsonl'))['tests']['unsteady'] == ['g a']


def test_results_by_hand_go_nowhere(checks, monkeypatch):
    monkeypatch.delenv('MMTRACK_RESULTS', raising=False)
    record.result('test', 'g', 'a', 'pass', 1, 'x')


def test_result_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv('MMTRACK_RESULTS', str(tmp_path / 'r'))
    record.result('test', 'g', 'a', 'fail', None, 'two\nlines\tand tab')
    assert (tmp_path / 'r').read_text(encoding='utf-8') == 'test\tg\ta\tfail\t\ttwo lines and tab\n'


def slow(checks, *command):
    out = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
    child = subprocess.Popen(command, cwd=checks.root, env=checks.env, start_new_session=True, **out)
    for line in child.stdout:
        if line == 'begun\n':
            return child
    raise AssertionError('it never began')


def test_a_second_stage_waits_for_nobody(checks):
    child = slow(checks, 'make', 'slow')
    try:
        result = checks.mm('stage', 'one', '--', 'true')
        result.says_one_line(f'make slow runs in {checks.B} (pid {child.pid})')
        result.says_one_line('wait for it, or use B=')
    finally:
        child.terminate()
        child.wait()
    checks.run('make', 'good').ok()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_stage_leaves_no_record_and_no_process(checks, number):
    checks.run('make', 'good').ok()
    child = slow(checks, 'python3', '-m', 'mmtrack', 'stage', 'good', '--', 'sh', '-c', 'echo begun; sleep 61.5')
    child.send_signal(number)
    assert child.wait(60) == 130
    assert not os.path.exists(checks.path('build', 'results', 'good.json'))
    assert subprocess.run(['pgrep', '-f', '^sleep 61.5'], check=False).returncode == 1


def test_what_stays_behind_is_ended(checks):
    begun = time.monotonic()
    checks.mm(
        'stage', 'one', '--', 'sh', '-c', 'sleep 62.5 & printf "test\\tg\\ta\\tpass\\n" >>"$MMTRACK_RESULTS"'
    ).ok()
    assert time.monotonic() - begun < 20
    assert subprocess.run(['pgrep', '-f', '^sleep 62.5'], check=False).returncode == 1


def test_a_directory_of_somebody_else(checks, tmp_path):
    (tmp_path / 'foreign').mkdir()
    (tmp_path / 'foreign' / 'file').touch()
    checks.mm('stage', 'one', '--', 'true', B=tmp_path / 'foreign').says_one_line('name another')
    assert os.listdir(tmp_path / 'foreign') == ['file']


# the key
def key(checks, stage='good', **env):
    got = checks.run(
        '/usr/bin/python3', '-c', f'from mmtrack import record; print(record.key("{stage}", record.now()))', **env
    )
    return got.ok().out


def test_key_is_stable_and_of_its_stage(checks):
    assert key(checks) == key(checks) != key(checks, 'bad')


@pytest.mark.parametrize('name', ['README.md', 'LICENSE', '.github/workflows/check.yml'])
def test_key_is_not_of_what_people_read(checks, name):
    before = key(checks)
    checks.write('new\n', name)
    assert key(checks) == before


@pytest.mark.parametrize(
    'name', ['scripts/mmtrack/new.py', 'kunit/expected', 'build/linux/one.c', 'build/linux/fresh.c', 'Makefile']
)
def test_key_is_of_files(checks, name):
    before = key(checks)
    checks.write('new\n', name)
    assert key(checks) != before


def test_key_is_of_settings_and_commits(checks):
    before = key(checks)
    assert (
        key(checks, TESTS='suite.*') != before and key(checks, ACCEL='kvm') != before and key(checks, J='3') == before
    )
    checks.commit('one.c', 'more', 'one: more')
    assert key(checks) != before


def test_a_tree_that_git_does_not_read(checks):
    checks.git('tag', '-d', 'base')
    checks.mm('stage', 'one', '--', 'true').says_one_line('has no tag "base"')


# make check
def test_all_is_well(checks):
    result = checks.check('good').ok()
    assert last(result) == '3 passed, 0 failed, 1 skipped' == checks.read('build', 'results', 'check').strip()
    assert '{"name": "good", "status": "PASS"}' in checks.read('build', 'results', 'check.json')
    assert checks.read('..', 'calls') == 'tree \ngood 1\n'


def test_a_stage_that_fails(checks):
    result = checks.check('good', 'bad').says('4 passed, 2 failed, 1 skipped')
    assert re.search(r'^bad +FAILED +1 passed +2 failed +0 skipped +\d+ s  g <b>: it & "that"$', result.out, re.M)
    assert re.search(r'^good +ok ', result.out, re.M)


def test_one_that_fails_before_it_has_a_record(checks):
    checks.check('late', 'good').says('3 passed, 1 failed, 1 skipped')
    checks.check('late').says('make late ended with 2 before it had a record')


def test_a_record_of_before_is_not_taken_for_one(checks):
    checks.run('make', 'good').ok()
    os.rename(checks.path('build/results/good.json'), checks.path('build/results/late.json'))
    checks.check('late').says('0 passed, 1 failed')


def test_no_stage_at_all(checks):
    checks.check().says_one_line('no stage')


def test_one_that_did_nothing(checks):
    checks.check('silent').says('0 passed, 1 failed')


def test_a_tree_that_cannot_be_made(checks):
    assert checks.check('good', TREE_FAILS='3').rc == 1
    assert checks.calls() == ['tree']


def test_resume(checks):
    checks.check('good', 'flaky', 'bad')
    result = checks.check('good', 'flaky', 'bad')
    assert checks.calls() == ['tree', 'good', 'flaky', 'bad', 'tree', 'bad'] and result.rc == 1
    assert 'good: passed already' in result.out and last(result) == '6 passed, 2 failed, 1 skipped'
    assert re.search(r'^flaky +kept .*\n +unsteady: g a: passed when run again$', result.out, re.M)


def test_force(checks):
    checks.check('good').ok()
    checks.check('good', FORCE='1').ok()
    assert checks.calls() == ['tree', 'good', 'tree', 'good']


def test_a_changed_file_runs_again(checks):
    checks.check('good').ok()
    checks.write('new\n', 'kunit', 'expected')
    checks.check('good').ok()
    checks.check('good').ok()
    assert checks.calls() == ['tree', 'good', 'tree', 'good', 'tree']


def test_an_interrupted_check_goes_on(checks):
    child = slow(checks, 'python3', '-m', 'mmtrack', 'check', 'good', 'slow', 'flaky')
    os.killpg(child.pid, signal.SIGINT)
    rest = child.stdout.read()
    assert child.wait(60) == 130 and 'interrupted after 1 of 3 stages: make check goes on from there' in rest
    assert not os.path.exists(checks.path('build', 'results', 'slow.json'))
    result = checks.check('good', 'flaky').ok()
    assert 'good: passed already' in result.out and checks.calls()[-2:] == ['tree', 'flaky']


def test_two_series_are_not_one_verdict(checks):
    result = checks.check('good', 'edit', 'flaky').says('not run: the series or its base changed')
    assert last(result) == '4 passed, 1 failed, 1 skipped' and 'flaky' not in checks.calls()
    checks.git('checkout', '-q', '.')
    checks.check('good', 'flaky').ok()


def test_estimates(checks):
    checks.check('good', 'flaky').ok()
    runs = [json.loads(line) for line in checks.read('build', 'results', 'history.jsonl').splitlines()]
    runs = [{**run, 'seconds': 600 if run['stage'] == 'good' else 60} for run in runs]
    checks.write(''.join(json.dumps(run) + '\n' for run in runs) + '{"broken off', 'build', 'results', 'history.jsonl')
    result = checks.check('good', 'splat', 'flaky', FORCE='1')
    assert '[1/3] good ... (about 10 min; left: about 11 min and what was never timed)\n' in result.out
    assert '[2/3] splat ... (never timed; left: about 60 s and what was never timed)\n' in result.out
    result = checks.check('good', TESTS='other')
    assert '[1/1] good ...\n' in result.out


# the reports
def records_of(checks, *stages):
    checks.check(*stages)
    return [checks.results(f'{stage}.json') for stage in stages]


def test_junit(checks):
    records_of(checks, 'good', 'bad', 'splat', 'flaky')
    top = ET.fromstring(checks.read('build', 'results', 'junit.xml'))
    suites = {suite.get('name'): suite for suite in top}
    assert suites['bad'].get('tests') == '3' and suites['bad'].get('failures') == '2'
    case = suites['bad'][1]
    assert case.get('classname') == 'bad.g' and case.get('name') == '<b>' and case[0].get('message') == 'it & "that"'
    assert (
        suites['splat'].find('.//error').get('message') == 'splat: BUG: x <1>' and suites['splat'].get('errors') == '1'
    )
    assert suites['good'].find('.//skipped').get('message') == 'no such page'
    assert 'passed when run again' in suites['flaky'].find('.//system-out').text


def test_junit_without_what_xml_cannot_hold():
    rec = {'stage': 's', 'seconds': 1, 'started': '2026-01-01T00:00:00+0000', 'problems': ['\x1b[31mred\x00']}
    rec['tests'] = [{'group': 'g', 'name': '\x07', 'status': 'fail', 'seconds': None, 'reason': '\ud800 ü'}]
    top = ET.fromstring(report.to_junit([rec]))
    assert top.find('.//error').get('message') == '?[31mred?' and top.find('.//failure').get('message') == '? ü'


def test_json(checks):
    records_of(checks, 'good', 'bad', 'splat')
    got = checks.results('check.json')
    assert got['name'] == 'mm-track' and got['git_commit'] == checks.git('rev-parse', 'HEAD', at=checks.root)
    assert [case['status'] for case in got['test_cases']] == ['PASS', 'FAIL', 'FAIL'] and got['sub_groups'] == []


def test_html(checks):
    checks.write('<svg xmlns="http://www.w3.org/2000/svg"/>', 'bench', 'slope.svg')
    records_of(checks, 'good', 'bad', 'splat', 'flaky')
    text = checks.read('build', 'results', 'index.html')
    page = ET.fromstring(text.replace('<!DOCTYPE html>', ''))
    said = ''.join(page.itertext())
    for words in (
        '7 passed, 3 failed, 1 skipped',
        'g <b>: it & "that"',
        'splat: BUG: x <1>',
        'no such page (1)',
        'Linux 7.3',
    ):
        assert words in said
    assert 'bad: g <b>: failed 1 of the last 1' in said and 'flaky: g a: unsteady 1 of the last 1' in said
    links = [a.get('href') for a in page.iter('a')]
    assert 'bad/log' in links and 'bad/console' in links and 'bad/gone' not in links and 'good.json' in links
    assert [i.get('src')[:26] for i in page.iter('img')] == ['data:image/svg+xml;base64,']
    assert not re.search(r'<script|src="(?!data:)|href="(https?|/)|url\(|@import', text)
    assert 'prefers-color-scheme: dark' in text and 'width=device-width' in text


def test_history_sentence():
    def run(status, stage='s'):
        return {'stage': stage, 'tests': {status: ['g a']}}

    runs = [run('fail')] * 9 + [run('pass')] * 28 + [run('fail'), run('fail'), run('pass', 'other')]
    assert record.troubled(runs) == {('s', 'g a'): (2, 0, 30)}
    assert record.sentence(2, 0, 30) == 'failed 2 of the last 30'
    assert record.sentence(1, 3, 12) == 'failed 1, unsteady 3 of the last 12'
    assert record.troubled([run('skip'), run('pass')]) == {}


def test_history_has_the_last_runs_of_each_stage(tmp_path, monkeypatch):
    monkeypatch.setenv('B', str(tmp_path))
    (tmp_path / 'results').mkdir()
    run = {'verdict': 'pass', 'settings': {}, 'seconds': 1, 'tests': []}
    for n in range(record.WINDOW + 5):
        for stage in ('one', 'two') if n < 3 else ('one',):
            record.remember({**run, 'stage': stage, 'started': str(n)})
    runs = [(of['stage'], of['started']) for of in record.history()]
    assert [n for stage, n in runs if stage == 'one'] == [str(n) for n in range(5, record.WINDOW + 5)]
    assert [n for stage, n in runs if stage == 'two'] == ['0', '1', '2']


def test_report_from_the_records(checks):
    checks.mm('report').says_one_line('no record of any stage: make check')
    records_of(checks, 'good', 'flaky')
    assert last(checks.mm('report').ok()) == '5 passed, 0 failed, 1 skipped'
    assert last(checks.mm('report', 'flaky').ok()) == '2 passed, 0 failed, 0 skipped'
    checks.mm('report', 'good', 'gone').says_one_line('no record of good gone')


def test_verbs(checks):
    checks.mm('nonsense').says_one_line('nonsense is no verb')
    checks.mm('record').says_one_line('record is no verb')
    checks.mm().says_one_line('nothing is no verb')


# what is expected
def test_kunit_expected(tmp_path):
    path = tmp_path / 'expected'
    path.write_text(
        '# on top\num s a\num s b skip: no # page\n\n* s c splat: Call Trace # it asks for it\n', encoding='utf-8'
    )
    tests, splats, comment = expected.kunit(str(path))
    assert tests == {('um', 's', 'a'): '', ('um', 's', 'b'): 'no # page'} and comment == ['# on top\n']
    assert splats == [('*', 's', 'c', 'Call Trace', 'it asks for it')]


@pytest.mark.parametrize('line', ['um s', 'um s a skip:', 'um s a splat: text', 'um s a splat: # why', 'um s a b'])
def test_kunit_expected_that_is_wrong(tmp_path, line):
    (tmp_path / 'expected').write_text(f'um s a\n{line}\n', encoding='utf-8')
    with pytest.raises(SystemExit, match=':2: not "arch suite test"'):
        expected.kunit(str(tmp_path / 'expected'))


def test_selftests_expected(tmp_path):
    path = tmp_path / 'expected'
    path.write_text('# on top\nPASS prog -x: a\nSKIP prog -x: b: c # no\nWARN prog: f # why\n', encoding='utf-8')
    tests, comment = expected.selftests(str(path))
    assert tests == {
        ('prog -x', 'a'): ('PASS', ''),
        ('prog -x', 'b: c'): ('SKIP', 'no'),
        ('prog', 'f'): ('WARN', 'why'),
    }
    assert comment == ['# on top\n']
    path.write_text('GOOD prog: a\n', encoding='utf-8')
    with pytest.raises(SystemExit, match=':1: not "STATUS program: test"'):
        expected.selftests(str(path))


def test_excused():
    from mmtrack import splats

    (splat,) = splats.find(['WARNING: mm/rmap.c:12 at some_function+0x1/0x2, CPU#0: prog/7'])
    known = [('x86_64*', 's', 'a', 'some_function', 'why')]
    assert expected.excused(known, 'x86_64-debug', 's.a', splat) == 'why'
    for arch, who in (('um', 's.a'), ('x86_64', 's.b'), ('x86_64', 's'), ('x86_64', 'boot')):
        assert expected.excused(known, arch, who, splat) is None
    assert expected.excused([('*', 's', '-', 'other', 'why')], 'um', 's', splat) is None
