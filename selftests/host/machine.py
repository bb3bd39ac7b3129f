#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""In the guest of make programs: ./machine.py snapshot|postcopy|precopy anonymous|memfd|hugetlb has QEMU (TCG) run the
machine of machine.S with such memory, takes it elsewhere while it writes, and looks at what has arrived.

snapshot is QEMU's background-snapshot, which write-protects the machine's memory with userfaultfd and saves each page
before it is written again; with each MiB that is saved, its pages are reclaimed (not those of hugetlb). postcopy and
precopy move it to a second QEMU. The machine that arrives must hold all words of round n up to some place, and of round
n - 1 behind it. Then it must run on, for it looks at each word before it writes there. Nothing depends on how fast it
is: what must happen during the move is waited for.
"""
import array
import ctypes
import json
import os
import socket
import subprocess
import sys
import time

STATE, MEMORY, END, STEP, PAGE = 0x1000, 0x100000, 0x1000000, 512, 4096
KINDS = {
    'anonymous': 'memory-backend-ram,share=off',
    'memfd': 'memory-backend-memfd,share=on',
    'hugetlb': 'memory-backend-memfd,share=on,hugetlb=on,hugetlbsize=2M',
}
SLOW, FAST = 4 << 20, 0  # bytes a second of a move; 0: as it can
FOREVER = 2000000  # ms, the most that QEMU takes
BEGAN = time.monotonic()
MADV_PAGEOUT, PROCESS_MADVISE, PIDFD_OPEN = 21, 440, 434


class Wrong(Exception):
    pass


def say(text):
    print(f'{time.monotonic() - BEGAN:.0f} s: {text}', flush=True)


class Machine:
    """One QEMU."""

    all = []

    def __init__(self, name, kind, *args):
        self.at = f'/tmp/{name}'
        command = [
            'qemu-system-x86_64',
            '-accel',
            'tcg,tb-size=16',
            '-machine',
            'pc,memory-backend=memory',
            '-nodefaults',
        ]
        command += [
            '-object',
            f'{KINDS[kind]},id=memory,size={END}',
            '-display',
            'none',
            '-bios',
            './machine.bin',
            '-m',
            str(END >> 20),
        ]
        command += ['-qmp', f'unix:{self.at}.qmp,server=on,wait=off', *args]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.all.append(self.process)
        qmp = socket.socket(socket.AF_UNIX)
        while qmp.connect_ex(f'{self.at}.qmp'):
            self.lives()
            time.sleep(0.1)
        self.qmp = qmp.makefile('rw')
        self.qmp.readline()
        self.do('qmp_capabilities')

    def lives(self):
        if self.process.poll() is not None:
            raise Wrong(f'QEMU ended with {self.process.returncode}')

    def do(self, command, **args):
        json.dump({'execute': command, 'arguments': args}, self.qmp)
        self.qmp.flush()
        while True:
            line = self.qmp.readline()
            if not line:
                raise Wrong(f'QEMU is gone during {command}')
            said = json.loads(line)
            if 'error' in said:
                raise Wrong(f'{command}: {said["error"]["desc"]}')
            if 'return' in said:
                return said['return']

    def set(self, *capabilities, **parameters):
        on = [{'capability': name, 'state': True} for name in capabilities]
        if on:
            self.do('migrate-set-capabilities', capabilities=on)
        self.do('migrate-set-parameters', **{name.replace('_', '-'): value for name, value in parameters.items()})

    def memory(self, start, size):
        self.do('pmemsave', val=start, size=size, filename=f'{self.at}.memory')
        with open(f'{self.at}.memory', 'rb') as f:
            words = array.array('I', f.read())
        os.remove(f'{self.at}.memory')
        return words

    def round(self):
        """Which round it is in."""
        number, where, found, expected = self.memory(STATE, 16)
        if where:
            raise Wrong(
                f'the machine read 0x{found:08x} at 0x{where:x}, and had written 0x{expected:08x}, in round {number}'
            )
        return number

    def runs(self, rounds):
        """Waits until it is so many rounds further."""
        until = self.round() + rounds
        while self.round() < until:
            time.sleep(0.1)

    def moved(self):
        """The state of its move, if that goes on or has succeeded."""
        state = self.do('query-migrate')
        if state.get('status') in ('failed', 'cancelled', 'postcopy-paused'):
            raise Wrong(f'the move: {state["status"]}: {state.get("error-desc", "")}')
        return state

    def wait(self, done):
        while not done(self.moved()):
            time.sleep(0.1)

    def waits(self):
        """Waits until what arrives has arrived."""
        while self.do('query-status')['status'] == 'inmigrate':
            self.moved()
            time.sleep(0.1)

    def reclaim(self):
        """Has the kernel reclaim its memory, as far as it wants to."""
        with open(f'/proc/{self.process.pid}/maps', encoding='utf-8') as f:
            spans = [[int(x, 16) for x in line.split()[0].split('-')] for line in f]
        [start] = [start for start, end in spans if end - start == END]
        libc = ctypes.CDLL(None, use_errno=True)
        vec, fd = (ctypes.c_ulong * 2)(start, END), libc.syscall(PIDFD_OPEN, self.process.pid, 0)
        if libc.syscall(PROCESS_MADVISE, fd, vec, 1, MADV_PAGEOUT, 0) < 0:
            raise Wrong(f'process_madvise: {os.strerror(ctypes.get_errno())}')
        os.close(fd)

    def end(self):
        self.process.kill()
        self.process.wait()


def place(words):
    """(n, how many words are of round n): behind them all are of round n - 1."""
    words = words[:: STEP // 4]
    page = MEMORY // PAGE
    for n, word in enumerate(words):
        if word >> 16 != page + n * STEP // PAGE:
            raise Wrong(f'the word 0x{word:08x} at 0x{MEMORY + n * STEP:x} is of another page')
    rounds = [word & 0xFFFF for word in words]
    first = rounds[0]
    count = next((n for n, number in enumerate(rounds) if number != first), len(rounds))
    for n in range(count, len(rounds)):
        if rounds[n] != (first - 1) & 0xFFFF:
            raise Wrong(
                f'up to 0x{MEMORY + count * STEP:x} memory is of round {first}, behind that of round {first - 1}, '
                f'but at 0x{MEMORY + n * STEP:x} of round {rounds[n]}'
            )
    return first, count


def swapped():
    """How many pages went to swap, and came back from it."""
    with open('/proc/vmstat', encoding='utf-8') as f:
        counts = dict(line.split() for line in f)
    return int(counts['pswpout']), int(counts['pswpin'])


def snapshot(kind):
    source = Machine('source', kind)
    source.runs(2)
    say(f'the machine is in round {source.round()}')
    source.set('background-snapshot')
    sink, before = socket.socket(socket.AF_UNIX), swapped()
    if os.path.exists('/tmp/save'):
        os.remove('/tmp/save')
    sink.bind('/tmp/save')
    sink.listen()
    source.do('migrate', uri='unix:/tmp/save')
    image = sink.accept()[0]
    with open('/tmp/image', 'wb') as f:
        while data := image.recv(1 << 20, socket.MSG_WAITALL):
            f.write(data)
            if kind != 'hugetlb':
                source.reclaim()
    source.wait(lambda state: state['status'] == 'completed')
    out, back = (now - then for now, then in zip(swapped(), before))
    say(f'saved; {out} pages went to swap, {back} came back')
    source.runs(1)
    source.do('stop')
    after = place(source.memory(MEMORY, END - MEMORY))
    source.end()
    copy = Machine('copy', kind, '-S', '-incoming', 'exec:cat /tmp/image')
    copy.waits()
    before = place(copy.memory(MEMORY, END - MEMORY))
    say(f'saved at {before}, it was at {after} then')
    copy.do('cont')
    return copy


def postcopy(kind):
    source, copy = Machine('source', kind), Machine('copy', kind, '-incoming', 'unix:/tmp/move')
    source.runs(2)
    source.set('postcopy-ram', max_bandwidth=SLOW, max_postcopy_bandwidth=SLOW)
    copy.set('postcopy-ram')
    source.do('migrate', uri='unix:/tmp/move')
    source.wait(lambda state: state.get('ram', {}).get('dirty-sync-count', 0) > 1)
    source.do('migrate-start-postcopy')
    source.wait(lambda state: state['status'] == 'completed')
    asked = source.moved()['ram']['postcopy-requests']
    say(f'it asked for {asked} pages')
    if not asked:
        raise Wrong('no page was asked for: this was no postcopy')
    copy.waits()
    source.end()
    return copy


def precopy(kind):
    source, copy = Machine('source', kind), Machine('copy', kind, '-S', '-incoming', 'unix:/tmp/move')
    source.runs(2)
    source.set(max_bandwidth=SLOW, downtime_limit=1)
    source.do('migrate', uri='unix:/tmp/move')
    source.wait(lambda state: state.get('ram', {}).get('dirty-sync-count', 0) > 2)
    source.set(max_bandwidth=FAST, downtime_limit=FOREVER)
    source.wait(lambda state: state['status'] == 'completed')
    copy.waits()
    left, arrived = (place(one.memory(MEMORY, END - MEMORY)) for one in (source, copy))
    say(f'left at {left}, arrived at {arrived}')
    if left != arrived:
        raise Wrong('the machine that arrived is not the one that left')
    source.end()
    copy.do('cont')
    return copy


def main(how, kind):
    if kind == 'hugetlb':
        with open('/proc/sys/vm/nr_hugepages', 'w', encoding='utf-8') as f:
            f.write('16')
    try:
        copy = {'snapshot': snapshot, 'postcopy': postcopy, 'precopy': precopy}[how](kind)
        copy.runs(2)
        copy.do('stop')
        say(f'it runs on: {place(copy.memory(MEMORY, END - MEMORY))}')
        copy.end()
    except Wrong as wrong:
        say(wrong)
        return 1
    finally:
        for process in Machine.all:
            process.kill()
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
