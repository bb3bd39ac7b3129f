# SPDX-License-Identifier: GPL-2.0
"""make fuzz, on a guest that is made up: a list that fails, a guest that dies or says nothing, and a splat fail it; and
what it asks of the guest. The program runs a list on the kernel that there is, as far as that goes."""
import os
import subprocess

import pytest
import yaml

from mmtrack import fuzz, planted, record, selftests

SHORT = 'seed 7, step 2, read:anon:0+1:3, page anon:0: expected 0x1 in its word 0 by the CPU, found 0x0'
LIST = '# list: mode=8 write:anon:0+1:1 read:anon:0+1:3'
COUNTS = '# 2 lists, {} failed, 600 operations, 9 of them skipped, 3 messages, 0 ranges that a device did not get'


def said(*lines, how='exit 0', done=True):
    text = '> begin fuzz 60 7\n' + ''.join(f'| {line}\n' for line in ('TAP version 13', '1..1', '# seed 7', *lines))
    return text + (f'> end {how} 1.0\n> done\n' if done else '')


GOOD = said(COUNTS.format(0), 'ok 1 the kernel and the model agree')
BAD = said('# seed 7, step 99, x', f'# short: {SHORT}', LIST, COUNTS.format(1), 'not ok 1 the kernel and', how='exit 1')


@pytest.fixture
def verdict(tmp_path):
    """verdict(what the guest said, its console): the verdict"""

    def run(text, console=''):
        (tmp_path / 'fuzz.verdict').write_text(text)
        (tmp_path / 'fuzz.console').write_text(console)
        return fuzz.Verdict(selftests.Run(str(tmp_path / 'fuzz')), 'fuzz 60 7')

    return run


def test_no_difference(verdict):
    got = verdict(GOOD)
    assert not got.failures and not got.problems
    assert [test[2] for test in got.tests] == ['pass'] * 2
    assert got.notes == [COUNTS.format(0)]


def test_a_difference(verdict):
    got = verdict(BAD)
    assert len(got.failures) == 1 and SHORT in got.failures[0]
    assert LIST in got.notes


def test_a_guest_that_dies_names_the_seed(verdict):
    got = verdict(said(done=False), '[    1.0] Kernel panic - not syncing: Fatal exception\n')
    assert got.failures or got.problems
    assert any('ended before it was done' in text and 'seed 7' in text for text in got.problems)


def test_a_program_that_says_nothing(verdict):
    assert verdict('> begin fuzz 60 7\n> end exit 2 1.0\n> done\n').problems


def test_a_list_that_hangs(verdict):
    assert verdict(said(how='limit 60')).failures


def test_a_splat(verdict):
    got = verdict(GOOD, '[    1.0] WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: fuzz/1\n')
    assert any('splat: warning' in text for text in got.problems)


@pytest.fixture
def settings(monkeypatch):
    for name in ('OPS', 'SEED', 'MINUTES', 'KNOWN', 'SIDE'):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_what_is_asked_of_the_guest(settings, tmp_path):
    assert fuzz.command(str(tmp_path))[1] == 'fuzz 60 1'
    settings.setenv('MINUTES', '0.5')
    settings.setenv('KNOWN', '0')
    said_ = fuzz.command(str(tmp_path))[1]
    assert said_.startswith('fuzz 30 ') and said_.endswith(' 0')
    settings.setenv('SEED', '12')
    assert fuzz.command(str(tmp_path))[1] == 'fuzz one 12 0'
    settings.setenv('SEED', 'x')
    with pytest.raises(SystemExit, match='no numbers'):
        fuzz.command(str(tmp_path))


def test_a_list(settings, tmp_path):
    settings.setenv('OPS', LIST[8:])
    _, command, files = fuzz.command(str(tmp_path))
    assert command == 'fuzz file ops'
    with open(files['/tests/ops'], encoding='utf-8') as f:
        assert f.read() == LIST[8:] + '\n'
    settings.setenv('OPS', files['/tests/ops'])
    assert fuzz.command('nowhere')[2] == files


def test_the_bugs_to_plant_have_all_that_it_takes():
    with open(os.path.join(record.ROOT, 'selftests', 'planted', 'fuzz.yaml'), encoding='utf-8') as f:
        bugs = yaml.safe_load(f)
    for bug in bugs:
        assert set(bug) == {'name', 'what', 'file', 'old', 'new'} and bug['old'] != bug['new']
    with pytest.raises(SystemExit, match='none of'):
        planted.tree('nothing')


def test_a_seed_gives_the_same_list_again(tmp_path):
    built = [os.path.join(record.build(), *names) for names in (('x86_64-debug', 'usr', 'include'), ('linux', 'lib'))]
    if not all(map(os.path.isdir, built)):
        pytest.skip('make fuzz has not run here, and this machine has no headers that are new enough')
    program = str(tmp_path / 'fuzz')
    subprocess.run(['gcc', '-pthread', '-isystem', built[0], '-I', built[1], '-o', program, fuzz.SOURCE], check=True)
    lists = [subprocess.run([program, 'list', seed], capture_output=True, check=True).stdout for seed in '112']
    assert lists[0] == lists[1] != lists[2]
