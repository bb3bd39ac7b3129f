# SPDX-License-Identifier: GPL-2.0
"""make planted, on consoles that are made up: a stage that does not notice a class is named."""
import os
import re

import pytest

from mmtrack import guest, kunit, planted, selftests

SPLATS = {
    'lockdep': 'WARNING: possible circular locking dependency detected',
    'sleep': 'BUG: sleeping function called from invalid context at planted.c:36',
    'warning': 'WARNING: planted.c:42 at warning+0x7/0x10 [planted], CPU#2: kunit_try_catch/54',
    'kcsan': 'BUG: KCSAN: data-race in planted_racer [planted] / planted_racer [planted]',
    'kasan': 'BUG: KASAN: slab-use-after-free in kasan+0xcc/0x190 [planted]',
}


def test_every_class_is_planted_and_lockdep_comes_before_what_turns_it_off():
    with open(os.path.join(planted.HERE, 'planted.c'), encoding='utf-8') as f:
        cases = re.findall(r'KUNIT_CASE(?:_SLOW)?\((\w+)\)', f.read())
    assert set(cases) == set(planted.CLASSES) and cases[0] == 'lockdep' and cases[-1] == 'kasan'
    assert set(planted.STAGES) == {'kunit-debug', 'kunit-kcsan', 'stress', 'selftests'}


@pytest.fixture
def check(tmp_path, monkeypatch):
    """check(STAGE, OPTIONS, KINDS): a kernel with these options that makes reports of these kinds."""

    def run(stage, options, kinds):
        name = planted.STAGES[stage][0]
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / '.config').write_text(''.join(f'CONFIG_{option}=y\n' for option in options))

        def boot(_name, _obj, _out, at, *_args):
            with open(f'{at}.console', 'w', encoding='utf-8') as f:
                f.write('[    1.000000] selftests: planted\n')
                for kind in kinds:
                    f.write(f'[    1.000000] {SPLATS[kind]}\n[    1.000000] # test\n')
            with open(f'{at}.verdict', 'w', encoding='utf-8') as f:
                f.write('> begin planted\n> end exit 0 1.0\n> done\n')
            return selftests.Run(at)

        monkeypatch.setattr(selftests, 'boot', boot)
        return [re.search(r'of the class (\w+)', text)[1] for text in planted.check(stage, str(tmp_path))]

    monkeypatch.setenv('B', str(tmp_path))
    monkeypatch.setenv('MMTRACK_RESULTS', str(tmp_path / 'results.tsv'))
    monkeypatch.setattr(kunit, 'logged', lambda *_: True)
    monkeypatch.setattr(kunit, 'functions', set)
    monkeypatch.setattr(guest, 'busybox', lambda: ({}, {}))
    return run


DEBUG = ['PROVE_LOCKING', 'DEBUG_ATOMIC_SLEEP', 'BUG', 'KASAN']


@pytest.mark.parametrize('stage', ['kunit-debug', 'stress', 'selftests'])
def test_all_are_noticed(check, tmp_path, stage):
    assert check(stage, DEBUG, ['lockdep', 'sleep', 'warning', 'kasan']) == []
    assert f'test\tplanted/{stage}\tlockdep\tpass' in (tmp_path / 'results.tsv').read_text()


@pytest.mark.parametrize('kind', ['lockdep', 'sleep', 'warning', 'kasan'])
def test_one_is_not_noticed(check, tmp_path, kind):
    assert check('kunit-debug', DEBUG, {'lockdep', 'sleep', 'warning', 'kasan'} - {kind}) == [kind]
    assert f'test\tplanted/kunit-debug\t{kind}\tfail' in (tmp_path / 'results.tsv').read_text()


def test_a_data_race(check):
    assert check('kunit-kcsan', ['BUG', 'KCSAN'], ['kcsan', 'warning']) == []
    assert check('kunit-kcsan', ['BUG', 'KCSAN'], ['warning']) == ['kcsan']


def test_what_a_kernel_cannot_see_is_not_demanded(check):
    assert check('selftests', ['BUG'], ['warning']) == []
