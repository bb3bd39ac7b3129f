# SPDX-License-Identifier: GPL-2.0
"""Does what user space writes to a framebuffer reach the screen? Boots a kernel with QEMU's VGA, runs selftests/screen.c,
takes the picture that it draws from QEMU, and compares that with what the program says it drew.

The picture stays in build/results/screen; --write, or WRITE=1, copies it to docs/screen.png.
"""
import argparse
import os
import re
import shutil
import socket
import subprocess
import tempfile
import zlib

from mmtrack import kunit, record, selftests

ROUNDS = 1000
SIZE = (1920, 1080)
PICTURE = os.path.join(record.ROOT, 'docs', 'screen.png')


def checksum(ppm):
    """(width, height, checksum of the pixels) of a picture as QEMU writes it."""
    head = re.match(rb'P6\s+(\d+)\s+(\d+)\s+255\s', ppm)
    return (int(head[1]), int(head[2]), zlib.adler32(ppm[head.end() :])) if head else None


class Camera:
    """Takes a picture when the guest says that one is on the screen, and ends the guest."""

    def __init__(self, at, folder):
        self.at, self.socket, self.said, self.took = at, os.path.join(folder, 'monitor'), None, None
        self.devices = [
            '-device',
            f'VGA,xres={SIZE[0]},yres={SIZE[1]}',
            '-monitor',
            f'unix:{self.socket},server=on,wait=off',
        ]

    def __call__(self):
        if self.said:
            return
        for line in selftests.read(self.at + '.verdict'):
            hit = re.match(r'\| # picture (\d+)x(\d+) (\d+)$', line)
            self.said = tuple(map(int, hit.groups())) if hit else self.said
        if self.said:
            with socket.socket(socket.AF_UNIX) as monitor:
                monitor.settimeout(60)
                monitor.connect(self.socket)
                monitor.sendall(f'screendump {self.at}.ppm\nscreendump {self.at}.png -f png\nquit\n'.encode())
                while monitor.recv(4096):
                    pass
            with open(self.at + '.ppm', 'rb') as f:
                self.took = checksum(f.read())
            os.remove(self.at + '.ppm')

    @property
    def wrong(self):
        if not self.said:
            return 'the guest never said that the picture is there'
        return '' if self.said == self.took else f'the guest drew {self.said}, on the screen is {self.took}'


class Verdict:
    def __init__(self, run, camera, command):
        tests = {**run.results.get(command, {}), 'picture': ('FAIL' if camera.wrong else 'PASS', camera.wrong)}
        self.tests = [('screen', test, status.lower(), '', reason) for test, (status, reason) in tests.items()]
        self.failures = [
            f'screen: {test}: {status} {reason}' for test, (status, reason) in tests.items() if status != 'PASS'
        ]
        self.notes = [line[2:] for line in selftests.read(run.at + '.verdict') if line.startswith('| # ')]
        self.problems = [f'screen: {command}: says nothing'] if len(tests) < 5 else []
        # the picture is the last that is asked of it
        if run.error and not camera.said:
            self.problems.append(f'{run.error}, see {run.at}.console')
        self.problems += [f'{who}: splat: {splat.kind}: {splat.text}' for who, splat, _ in run.warned]


def main(argv):
    parser = argparse.ArgumentParser(prog='screen')
    parser.add_argument('--rounds', type=int, default=ROUNDS)
    parser.add_argument('--write', action='store_true')
    opts = parser.parse_args(argv)
    out = os.environ.get('MMTRACK_OUT') or record.results('screen')
    os.makedirs(out, exist_ok=True)
    side = os.environ.get('SIDE') or 'series'
    src, name, at = selftests.source(side), 'x86_64-screen', f'{out}/screen'
    obj = os.path.join(os.path.dirname(src), name)
    work = os.path.join(record.build(), 'screen', side)
    kunit.build_or_end(1, 2, f'screen {side}', name, f'{out}/kernel.build', src=src, obj=obj)
    print(f'[2/2] screen {side}: run')
    os.makedirs(work, exist_ok=True)
    compiler = ['gcc', '-O2', '-Wall', '-Wextra', '-static', '-pthread', '-o', f'{work}/screen']
    subprocess.run([*compiler, os.path.join(record.ROOT, 'selftests', 'screen.c')], check=True)
    command = f'screen {opts.rounds}'
    with tempfile.TemporaryDirectory() as folder:
        camera = Camera(at, folder)
        files, commands = {'/tests/screen': f'{work}/screen'}, [
            (opts.rounds * 3 + 300, command),
            (300, 'screen picture'),
        ]
        run = selftests.boot(name, obj, work, at, files, commands, devices=camera.devices, each=camera)
    verdict = Verdict(run, camera, command)
    if not camera.wrong and (opts.write or os.environ.get('WRITE')):
        shutil.copy(at + '.png', PICTURE)
    record.result('log', at + '.png')
    return kunit.report(verdict)
