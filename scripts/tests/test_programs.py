# SPDX-License-Identifier: GPL-2.0
"""make programs, on guests that are made up: the list, what runs in make check, a program that fails, a splat; what counts
as a success of stress-ng; and what memory of the machine is right."""
import array
import importlib.util
import os
import re
import subprocess

import pytest

from mmtrack import kunit, planted, programs, record, selftests

LIST = [
    '# comment',
    '',
    'check 60 stress-vm ./stress-ng.sh vm 20',
    'full 60 stress-ksm echo 1 >/sys/x && ./stress-ng.sh vm 20',
    'full 90 qemu ./machine.py snapshot anonymous',
]
SUCCESS = '> begin {0}\n| said\n> end exit {1} 1.5\n'
SPLAT = '[ 1.0] WARNING: mm/rmap.c:12 at some_function+0x1/0x2, CPU#0: qemu/7\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a list, which is in the place of selftests/host."""
    monkeypatch.setattr(programs, 'HERE', str(tmp_path))
    for name in ('PROGRAMS', 'SIDE', 'PLANT', 'WRITE', 'MMTRACK_RESULTS'):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / 'programs').write_text('\n'.join(LIST) + '\n')
    (tmp_path / 'stress-ng.sh').write_text('')
    (tmp_path / 'machine.S').write_text('')
    (tmp_path / 'expected').mkdir()
    return tmp_path


def names(**args):
    return [program.name for program in programs.programs(**args)]


def test_the_list(here, monkeypatch):
    assert names() == ['stress-vm', 'stress-ksm', 'qemu'] and names(check=True) == ['stress-vm']
    monkeypatch.setenv('PROGRAMS', 'q* *ksm')
    assert names() == ['stress-ksm', 'qemu'] and names(check=True) == []
    monkeypatch.setenv('PROGRAMS', 'nonsense')
    with pytest.raises(SystemExit, match='nonsense is no program'):
        names()


@pytest.mark.parametrize('line', ['60 x ./x', 'check x x ./x', 'check 60 x', 'check 60 stress-vm ./x'])
def test_a_wrong_line(here, line):
    (here / 'programs').write_text('\n'.join(LIST + [line]) + '\n')
    with pytest.raises(SystemExit, match='programs:6: not|is there twice'):
        names()


def test_the_list_that_there_is(monkeypatch):
    """Each command is there, and of each kind of program something; two are in make check."""
    monkeypatch.delenv('PROGRAMS', raising=False)
    found = programs.programs()
    for program in found:
        assert os.access(os.path.join(programs.HERE, re.search(r'\./(\S+\.(sh|py))', program.command)[1]), os.X_OK)
    assert {program.name.partition('-')[0] for program in found} == {'stress', 'qemu'}
    assert len(programs.programs(check=True)) == 2


def test_what_the_guest_gets(here):
    found = programs.files(str(here / 'work'), programs.programs())
    assert set(found) == {'/tests/stress-ng.sh', '/tests/stress-vm', '/tests/stress-ksm', '/tests/qemu'}
    with open(found['/tests/stress-ksm'], encoding='utf-8') as f:
        assert f.read() == '#!/bin/sh\necho 1 >/sys/x && ./stress-ng.sh vm 20\n'
    assert any('readonly=on' in word for word in programs.devices())


@pytest.fixture
def stage(here, monkeypatch):
    """stage(*ARGS, console=TEXT, NAME=exit code): the exit code of the stage, in guests where these programs end so"""

    def run(*argv, console='', **codes):
        asked = []

        def boot(_name, _obj, _work, at, files, commands, args, devices):
            asked.append([command for _, command in commands])
            assert args[-1] == 'host' and devices and all(f'/tests/{command}' in files for command in asked[-1])
            with open(f'{at}.verdict', 'w', encoding='utf-8') as f:
                f.write('> alive\n')
                f.writelines(SUCCESS.format(name, codes.get(name.replace('-', '_'), 0)) for name in asked[-1])
                f.write('> done\n')
            with open(f'{at}.console', 'w', encoding='utf-8') as f:
                f.write('[ 0.1] selftests: stress-vm\n' + console)
            return selftests.Run(at)

        monkeypatch.setenv('MMTRACK_OUT', str(here / 'out'))
        monkeypatch.setattr(selftests, 'source', lambda side: str(here / 'linux'))
        monkeypatch.setattr(planted, 'tree', lambda name: str(here / 'planted' / name))
        monkeypatch.setattr(kunit, 'build_or_end', lambda *args, **more: None)
        monkeypatch.setattr(programs, 'build', lambda work: {})
        monkeypatch.setattr(selftests, 'boot', boot)
        monkeypatch.setattr(record, 'said_by', lambda *args, **more: '7.3.4')
        run.asked = asked
        return programs.main(list(argv))

    return run


def test_what_is_recorded_of_the_base(stage, here, monkeypatch):
    monkeypatch.setenv('WRITE', '1')
    assert stage(qemu=3) == 0
    monkeypatch.delenv('WRITE')
    text = (here / 'expected' / '7.3.4.txt').read_text()
    assert 'PASS stress-vm: exit\n' in text and 'FAIL qemu: exit # ' in text
    (here / 'expected' / '7.3.4.txt').write_text(re.sub('# .*', '# a reason', text))
    assert stage(qemu=3) == 0 and len(stage.asked) == 1
    assert stage('--check') == 0 and stage.asked == [['stress-vm']]
    assert stage(qemu=3, stress_vm=1) == 1 and stage.asked[1] == ['stress-vm']


def test_a_splat(stage, here, capsys):
    (here / 'expected' / '7.3.4.txt').write_text('PASS stress-vm: exit\n')
    assert stage('--check', console=SPLAT) == 1
    assert 'stress-vm: some_function: the kernel warned' in capsys.readouterr().err


def test_a_program_that_the_base_never_had(stage, capsys):
    assert stage('--check', stress_vm=1) == 1
    assert 'stress-vm: exit: FAIL, and the base does not have it' in capsys.readouterr().err


@pytest.mark.parametrize(
    'text, code, gives',
    [
        ('metrc: [9] vm 20 1.5\nmetrc: [9] vm 1.9 millisecs\ninfo: [9] successful run completed in 1s', 0, 0),
        ('metrc: [9] vm 20 1.5\ninfo: [9] unsuccessful run completed in 1s', 2, 2),
        ('metrc: [9] vm 19 1.5\ninfo: [9] successful run completed in 1s', 0, 1),
        ('info: [9] vm stressor will be skipped', 0, 4),
        ('info: [9] successful run completed in 1s', 0, 1),
    ],
)
def test_what_stress_ng_says(tmp_path, text, code, gives):
    fake = tmp_path / 'stress-ng'
    lines = ''.join(f'stress-ng: {line}\n' for line in text.split('\n'))
    fake.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/asked\ncat <<END\n{lines}END\nexit {code}\n')
    fake.chmod(0o755)
    env = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}'}
    script = os.path.join(selftests.HERE, 'host', 'stress-ng.sh')
    done = subprocess.run([script, 'vm', '20', '--vm-bytes', '4m'], env=env, check=False, capture_output=True)
    assert done.returncode == gives
    asked = (tmp_path / 'asked').read_text()
    assert '--verify' in asked and '--vm 2 --vm-ops 20 --vm-bytes 4m' in asked


@pytest.fixture(scope='module')
def machine():
    spec = importlib.util.spec_from_file_location('machine', os.path.join(selftests.HERE, 'host', 'machine.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def memory_of(machine, first, count):
    words = array.array('I', bytes(machine.END - machine.MEMORY))
    for n, at in enumerate(range(machine.MEMORY, machine.END, machine.STEP)):
        words[(at - machine.MEMORY) // 4] = at // 4096 << 16 | (first if n < count else first - 1) & 0xFFFF
    return words


def test_memory_that_is_right(machine):
    for first, count in ((7, 3), (0, 900), (7, (machine.END - machine.MEMORY) // machine.STEP)):
        assert machine.place(memory_of(machine, first, count)) == (first, count)


@pytest.mark.parametrize(
    'word, said',
    [
        (lambda old: old + 1, 'of round 8'),  # saved after it was written
        (lambda old: old - 1, 'of round 6'),  # saved long before, or lost
        (lambda old: 0, 'of another page'),
        (lambda old: old + (1 << 16), 'of another page'),
    ],
)
@pytest.mark.parametrize('step', [0, 100, 5000])
def test_memory_that_is_wrong(machine, word, said, step):
    words = memory_of(machine, 7, 1000)
    at = step * machine.STEP // 4
    words[at] = word(words[at])
    with pytest.raises(machine.Wrong):
        machine.place(words)
    if step == 100:
        with pytest.raises(machine.Wrong, match=said):
            machine.place(words)


def test_a_machine_that_found_something(machine):
    class Fake(machine.Machine):
        def __init__(self, *state):
            self.state = state

        def memory(self, start, size):
            return self.state

    assert Fake(5, 0, 0, 0).round() == 5
    with pytest.raises(machine.Wrong, match='read 0x00000003 at 0x2000, and had written 0x00020004, in round 5'):
        Fake(5, 0x2000, 3, 0x20004).round()


def test_ours_compiles_without_a_warning(tmp_path):
    built = programs.build(str(tmp_path))
    assert os.path.getsize(built['/tests/machine.bin']) == 0x10000
