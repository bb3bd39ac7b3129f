# SPDX-License-Identifier: GPL-2.0
"""make screen, on a guest and a monitor that are made up: a page that is lost, a picture that differs, a guest that says
nothing, and a splat fail it."""
import os
import socket
import threading
import zlib

import pytest

from mmtrack import screen, selftests

PIXELS = bytes(range(2 * 3 * 3))
PPM = b'P6\n3 2\n255\n' + PIXELS
SUM = zlib.adler32(PIXELS)
ROUNDS = '| # bochs, 3x2, 1 pages: 9 rounds, 9 pages written, 0 rounds bad\n| TAP version 13\n| 1..3\n'
OKS = ['ok 1 what was written is on the screen', 'ok 2 what was flushed is write-protected', 'ok 3 the next write']


def said(*oks, picture=f'| # picture 3x2 {SUM}\n', how='exit 0'):
    lines = '> begin screen 9\n' + ROUNDS + ''.join(f'| {ok}\n' for ok in oks)
    return lines + f'> end {how} 1.0\n> begin screen picture\n' + picture


@pytest.fixture
def verdict(tmp_path):
    """verdict(what the guest said, its console, the picture on the screen): the verdict"""

    def run(text, console='', ppm=PPM):
        at = str(tmp_path / 'screen')
        (tmp_path / 'screen.verdict').write_text(text)
        (tmp_path / 'screen.console').write_text(console)
        camera = screen.Camera(at, str(tmp_path))
        server = socket.socket(socket.AF_UNIX)
        server.bind(camera.socket)
        server.listen()
        asked = []

        def monitor():
            connection = server.accept()[0]
            connection.sendall(b'QEMU monitor\n(qemu) ')
            while b'quit\n' not in b''.join(asked):
                asked.append(connection.recv(4096))
            (tmp_path / 'screen.ppm').write_bytes(ppm)
            (tmp_path / 'screen.png').write_bytes(b'')
            connection.close()

        thread = threading.Thread(target=monitor, daemon=True)
        if '# picture' in text:
            thread.start()
        camera()
        camera()
        if camera.said:
            thread.join()
            assert b''.join(asked).count(b'screendump') == 2
            assert not os.path.exists(at + '.ppm')
        server.close()
        return screen.Verdict(selftests.Run(at), camera, 'screen 9')

    return run


def test_all_is_on_the_screen(verdict):
    got = verdict(said(*OKS))
    assert not got.failures and not got.problems
    assert [test[2] for test in got.tests] == ['pass'] * 5
    assert any('9 rounds' in note for note in got.notes)


@pytest.mark.parametrize('n', range(3))
def test_each_result_counts(verdict, n):
    oks = [('not ' if i == n else '') + ok for i, ok in enumerate(OKS)]
    got = verdict(said(*oks, how='exit 1'))
    assert len(got.failures) == 1 and OKS[n][5:] in got.failures[0]


def test_a_result_that_is_missing(verdict):
    assert verdict(said(*OKS[:2])).problems


def test_a_picture_that_differs(verdict):
    got = verdict(said(*OKS), ppm=PPM[:-1] + b'\0')
    assert len(got.failures) == 1 and 'picture' in got.failures[0]


def test_no_picture(verdict):
    got = verdict(said(*OKS, picture=''))
    assert 'never said' in got.failures[0] and got.problems


def test_a_guest_that_dies(verdict):
    got = verdict('> alive\n')
    assert got.failures and any('ended before it was done' in text for text in got.problems)


def test_a_splat(verdict):
    got = verdict(said(*OKS), '[    1.0] WARNING: mm/x.c:1 at f+0x1/0x2, CPU#0: screen/1\n')
    assert any('splat: warning' in text for text in got.problems)


def test_what_is_no_picture():
    assert screen.checksum(b'') is None and screen.checksum(PPM) == (3, 2, SUM)
