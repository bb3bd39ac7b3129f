# SPDX-License-Identifier: GPL-2.0
"""The guest: the only place that starts QEMU, or UML's ./linux. Prints the command, keeps the console, ends what hangs."""
import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

# kunit.py's name and make's, QEMU's, the kernel's image, its serial port, CROSS_COMPILE, QEMU's other arguments
Arch = dataclasses.make_dataclass('Arch', ['linux', 'qemu', 'image', 'tty', 'cross', 'args'])
VIRT = ['-machine', 'virt']
# pointer authentication by an algorithm of QEMU's: the architecture's own is slow to emulate
MAX = ['-cpu', 'max,pauth-impdef=on']
ARCHES = {
    'um': Arch('um', '', 'linux', 'tty', '', []),
    'x86_64': Arch('x86_64', 'x86_64', 'arch/x86/boot/bzImage', 'ttyS0', '', ['-cpu', 'max', '-bios', 'qboot.rom']),
    'i386': Arch('i386', 'i386', 'arch/x86/boot/bzImage', 'ttyS0', '', ['-cpu', 'max']),
    'arm64': Arch('arm64', 'aarch64', 'arch/arm64/boot/Image.gz', 'ttyAMA0', 'aarch64-linux-gnu-', [*VIRT, *MAX]),
    'riscv64': Arch(
        'riscv', 'riscv64', 'arch/riscv/boot/Image', 'ttyS0', 'riscv64-linux-gnu-', [*VIRT, '-cpu', 'rv64']
    ),
}


class step:
    """with step(n, m, what): prints "[n/m] what ... (N s)" """

    def __init__(self, n, m, what):
        self.start = time.monotonic()
        print(f'[{n}/{m}] {what} ... ', end='', flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        print(f'({time.monotonic() - self.start:.0f} s)', flush=True)


def initramfs(path, obj, files, links=()):
    """Writes one with these files, {name in it: file}, and links, {name: to where}; obj is a kernel that was built."""
    folders = {'/dev', '/bin', '/tests', '/out', *map(os.path.dirname, files)} - {'/'}
    lines = [f'dir {name} 755 0 0' for name in sorted(folders)] + ['nod /dev/console 600 0 0 c 5 1']
    lines += [f'file {name} {file} 755 0 0' for name, file in files.items()]
    lines += [f'slink {name} {to} 777 0 0' for name, to in dict(links).items()]
    with open(path + '.list', 'w', encoding='utf-8') as f:
        f.writelines(line + '\n' for line in lines)
    with open(path, 'wb') as f:
        subprocess.run([os.path.join(obj, 'usr/gen_init_cpio'), path + '.list'], stdout=f, check=True)
    return path


def busybox():
    """(files, links) for an initramfs: a shell, and what it can do."""
    path = shutil.which('busybox') or sys.exit('error: there is no busybox: install busybox-static')
    names = subprocess.run([path, '--list'], capture_output=True, check=True, text=True).stdout.split()
    return {'/bin/busybox': path}, {f'/bin/{name}': 'busybox' for name in names if name != 'busybox'}


@dataclasses.dataclass
class Guest:
    """A kernel that was built in obj for name, an arch with perhaps -debug and the like behind it."""

    name: str
    obj: str
    args: list  # of the kernel
    console: str = ''  # a file; none: this terminal
    verdict: str = ''  # a file for the second serial port, /dev/ttyS1, or where there is one only, /dev/vport0p1
    initrd: str = ''
    cpus: int = 2
    memory: int = 2048
    icount: bool = False  # no two runs differ
    stopped: bool = False  # waits for gdb
    devices: list = ()  # more arguments of QEMU

    def command(self):
        arch = ARCHES[self.name.partition('-')[0]]
        image = os.path.join(self.obj, arch.image)
        if not arch.qemu:
            return [image, 'mem=1G', 'console=tty', *self.args]
        args, more = list(self.args) + [f'console={arch.tty}'], list(arch.args)
        if arch.linux == 'x86_64':
            args += ['pmtmr=0x608']  # where QEMU's PM timer is, for a kernel without ACPI
        if self.name.startswith('arm64-64k'):
            args += ['initcall_blacklist=hmm_dmirror_init']  # it wants a section of memory that is 256 MiB, and dies
        if self.name.endswith('-debug') and '-cpu' in more and arch.linux == 'x86_64':
            # identify_cpu() clears LA57 for a moment, in which KASAN takes what an interrupt reads for a wild access
            more[more.index('-cpu') + 1] += ',la57=off'
        if self.icount:
            more += ['-icount', 'shift=0,sleep=off', '-seed', '1', '-rtc', 'base=2026-01-01,clock=vm']
        # a kvm that hangs is worse than none
        command = [f'qemu-system-{arch.qemu}', '-accel', os.environ.get('ACCEL') or 'tcg', *more]
        command += ['-smp', str(self.cpus), '-m', str(self.memory), '-nodefaults', '-no-reboot', '-display', 'none']
        command += self.devices
        command += ['-serial', f'file:{self.console}' if self.console else 'mon:stdio']
        if self.verdict and arch.linux == 'arm64':
            command += ['-chardev', f'file,id=verdict,path={self.verdict}', '-device', 'virtio-serial-device']
            command += ['-device', 'virtserialport,chardev=verdict']
        elif self.verdict:
            command += ['-serial', f'file:{self.verdict}']
        if self.initrd:
            command += ['-initrd', self.initrd]
        if self.stopped:
            command += ['-s', '-S']
        return command + ['-kernel', image, '-append', ' '.join(args)]

    def __str__(self):
        return f'$ {shlex.join(self.command())}'

    def run(self, limit, silence=0, each=None):
        """'' when the guest ended by itself within limit seconds, else what was wrong. It is given up, too, when it says
        nothing for silence seconds (four times as many with -debug): on the verdict's port, once it spoke there. each is
        called again and again while it runs."""
        silence *= 4 if self.name.endswith('-debug') else 1
        for path in filter(None, (self.console, self.verdict)):
            open(path, 'w', encoding='utf-8').close()
        # as an interrupt does, so that the guest, which has a session of its own, is not left behind
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        # the command, and what QEMU itself has to say
        with open(self.console + '.qemu', 'wb') as said:
            said.write(f'{self}\n'.encode())
            said.flush()
            um = self.name.startswith('um')
            out = open(self.console, 'wb') if um else said
            process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=said, start_new_session=True
            )
        start = spoke = time.monotonic()
        size, wrong = 0, ''
        try:
            while process.poll() is None and not wrong:
                time.sleep(0.2)
                if each:
                    each()
                now, last = time.monotonic(), size
                # until its init speaks, the kernel must
                size = os.path.getsize(self.verdict) if self.verdict else 0
                size = size or os.path.getsize(self.console)
                spoke = now if size != last else spoke
                if now - start > limit:
                    wrong = f'the guest was ended at its limit of {limit} s (TIMEOUT=)'
                elif silence and now - spoke > silence:
                    wrong = f'the guest said nothing for {silence} s'
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with open(self.console + '.qemu', encoding='utf-8', errors='replace') as f:
            said = f.read().partition('\n')[2].strip()
        # UML's exit code says nothing
        if not wrong and process.returncode and not um:
            wrong = f'{self.command()[0]} failed ({process.returncode})'
        return ': '.join(filter(None, (wrong, said[-300:]))) if wrong else ''

    def interact(self):
        """This terminal is the guest's, until it ends or C-a x."""
        print(self, flush=True)
        return subprocess.run(self.command(), check=False).returncode
