# SPDX-License-Identifier: GPL-2.0
"""The guest, with programs in QEMU's place: what is started, and what ends it."""
import os
import subprocess
import time

import pytest

from mmtrack import guest

SCRIPTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture
def qemu(tmp_path, monkeypatch):
    """qemu(TEXT): a shell script is QEMU from here on."""

    def write(text, name='qemu-system-x86_64'):
        path = tmp_path / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('#!/bin/sh\n' + text)
        path.chmod(0o755)

    monkeypatch.setenv('PATH', f'{tmp_path}/bin:/usr/bin:/bin')
    monkeypatch.delenv('ACCEL', raising=False)
    return write


def box(tmp_path, name='x86_64', **more):
    return guest.Guest(name, '/obj', ['kunit.enable=1'], f'{tmp_path}/console', **more)


def test_a_guest_that_ends(tmp_path, qemu):
    qemu('exit 0\n')
    assert box(tmp_path).run(5) == ''


def test_qemu_fails_and_says_why(tmp_path, qemu):
    qemu('echo no such machine >&2\nexit 1\n')
    assert box(tmp_path).run(5) == 'qemu-system-x86_64 failed (1): no such machine'


def test_a_guest_that_says_nothing(tmp_path, qemu):
    qemu('exec sleep 30\n')
    start = time.monotonic()
    assert box(tmp_path).run(20, 1) == 'the guest said nothing for 1 s'
    assert time.monotonic() - start < 10


def test_the_verdict_channel_is_what_must_speak(tmp_path, qemu):
    qemu(f'echo x >>{tmp_path}/verdict; while :; do echo x >>{tmp_path}/console; sleep 0.2; done\n')
    assert 'said nothing' in box(tmp_path, verdict=f'{tmp_path}/verdict').run(20, 1)


def test_a_kernel_that_boots_is_not_silent(tmp_path, qemu):
    qemu(f'for i in 1 2 3 4 5 6 7 8 9 10; do echo x >>{tmp_path}/console; sleep 0.3; done\n')
    assert box(tmp_path, verdict=f'{tmp_path}/verdict').run(20, 1) == ''


def test_a_guest_that_speaks_is_not_silent(tmp_path, qemu):
    qemu(f'for i in 1 2 3 4 5 6 7 8 9 10; do echo x >>{tmp_path}/console; sleep 0.3; done\n')
    assert box(tmp_path).run(20, 1) == ''


def test_silence_is_longer_on_a_debug_kernel(tmp_path, qemu):
    qemu('sleep 2\n')
    assert box(tmp_path, 'x86_64-debug').run(20, 1) == ''


def test_the_limit(tmp_path, qemu):
    qemu(f'while :; do echo x >>{tmp_path}/console; sleep 0.2; done\n')
    assert box(tmp_path).run(1, 10).startswith('the guest was ended at its limit of 1 s')


def test_no_guest_is_left_behind(tmp_path, qemu):
    """Whoever ends what runs it, as a stage that was interrupted."""
    qemu(f'echo $$ >{tmp_path}/pid\nexec sleep 60\n')
    code = f"from mmtrack import guest; guest.Guest('x86_64', '/obj', [], '{tmp_path}/console').run(60)"
    with subprocess.Popen(['/usr/bin/python3', '-c', code], cwd=SCRIPTS) as process:
        while not (tmp_path / 'pid').exists() or not (tmp_path / 'pid').read_text().endswith('\n'):
            time.sleep(0.1)
        process.terminate()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / 'pid').read_text()), 0)


def test_what_an_earlier_run_said_is_gone(tmp_path, qemu):
    qemu('exit 0\n')
    (tmp_path / 'console').write_text('old')
    box(tmp_path).run(5)
    assert (tmp_path / 'console').read_text() == ''


def test_um_says_everything_itself(tmp_path):
    um = tmp_path / 'linux'
    um.write_text('#!/bin/sh\necho "$@"\nexit 1\n')
    um.chmod(0o755)
    assert guest.Guest('um', str(tmp_path), ['a=b'], f'{tmp_path}/console').run(5) == ''
    assert (tmp_path / 'console').read_text() == 'mem=1G console=tty a=b\n'


@pytest.mark.parametrize(
    'name, options, parts, not_parts',
    [
        (
            'x86_64',
            {},
            ['-accel tcg', '-cpu max ', '-bios qboot.rom', 'pmtmr=0x608', 'console=ttyS0'],
            ['la57', '-icount'],
        ),
        ('x86_64-debug', {}, ['-cpu max,la57=off'], []),
        ('i386', {}, ['qemu-system-i386', '-cpu max'], ['pmtmr', 'qboot']),
        ('arm64', {}, ['qemu-system-aarch64', '-machine virt', 'Image.gz', 'console=ttyAMA0'], ['qboot']),
        ('arm64', {'verdict': '/v'}, ['-chardev file,id=verdict,path=/v -device virtio-serial-device'], ['file:/v']),
        ('arm64', {}, ['-cpu max,pauth-impdef=on'], ['initcall_blacklist', 'virtio']),
        ('arm64-64k', {}, ['initcall_blacklist=hmm_dmirror_init'], []),
        ('riscv64', {}, ['qemu-system-riscv64', '-machine virt'], ['qboot']),
        ('x86_64', {'icount': True}, ['-icount shift=0,sleep=off -seed 1 -rtc base=2026-01-01,clock=vm'], []),
        ('x86_64', {'stopped': True}, [' -s -S '], []),
        ('x86_64', {'verdict': '/v', 'initrd': '/i'}, ['-serial file:/v', '-initrd /i'], []),
    ],
)
def test_the_command(tmp_path, monkeypatch, name, options, parts, not_parts):
    monkeypatch.delenv('ACCEL', raising=False)
    command = ' '.join(box(tmp_path, name, **options).command())
    assert all(part in command for part in parts) and not any(part in command for part in not_parts), command
    # the first serial port is the console's
    assert command.index('-serial file:' + str(tmp_path)) < command.index('-kernel')


def test_kvm_when_asked(tmp_path, monkeypatch):
    monkeypatch.setenv('ACCEL', 'kvm')
    assert '-accel kvm' in ' '.join(box(tmp_path).command())


def test_a_console_for_a_person(tmp_path):
    assert '-serial mon:stdio' in ' '.join(guest.Guest('x86_64', '/obj', []).command())


def test_the_command_is_kept(tmp_path, qemu):
    qemu('echo a warning >&2\n')
    assert box(tmp_path).run(5) == ''
    command, said = (tmp_path / 'console.qemu').read_text().splitlines()
    assert command.startswith('$ qemu-system-x86_64 ') and "-append 'kunit.enable=1 " in command
    assert said == 'a warning'


def test_nothing_else_starts_qemu():
    import pathlib
    import re

    for path in pathlib.Path(guest.__file__).parents[1].rglob('*'):
        if path.suffix in ('.py', '.sh') and path.name != 'guest.py' and 'tests' not in path.parts:
            assert not re.search(r'qemu-system-\S+ .*-kernel', path.read_text()), path
