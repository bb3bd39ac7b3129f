# SPDX-License-Identifier: GPL-2.0
"""Which lines were run: of diffs, counters and a guest's archive that are made up."""
import io
import json
import re
import tarfile

import pytest

from mmtrack import coverage

DIFF = ['--- a/mm/x.c', '+++ b/mm/x.c', '@@ -0,0 +1,3 @@', '+1', '+2', '+3']


def gcov(*counts):
    lines = [{'line_number': number, 'count': count} for number, count in counts]
    functions = [{'demangled_name': 'f', 'start_line': 1, 'end_line': 3}]
    return [json.dumps({'files': [{'file': '../linux/mm/x.c', 'functions': functions, 'lines': lines}]})]


def test_one_line_of_two(tmp_path, capsys):
    assert not coverage.report(DIFF, gcov((1, 3), (3, 0), (9, 0)), str(tmp_path))
    out, err = capsys.readouterr()
    assert re.search(r'^all +1 of +2 +50\.0%$', out, re.M)
    assert 'mm/x.c: f(): 3' in out
    assert '1 of 2 lines were run, fewer than 95%' in err
    assert (tmp_path / 'lines').read_text() == 'mm/x.c:1: 3\nmm/x.c:3: 0\n'


def test_enough(tmp_path, monkeypatch):
    diff = [*DIFF[:2], '@@ -0,0 +1,20 @@']
    assert coverage.report(diff, gcov(*((n, n > 1) for n in range(1, 21))), str(tmp_path))
    assert not coverage.report(diff, gcov(*((n, n > 2) for n in range(1, 21))), str(tmp_path))


def test_the_record(tmp_path, monkeypatch):
    monkeypatch.setenv('MMTRACK_RESULTS', str(tmp_path / 'results.tsv'))
    coverage.report(DIFF, gcov((1, 0)), str(tmp_path))
    assert 'test\tcoverage\tat least 95%\tfail\t\t0 of 1 lines' in (tmp_path / 'results.tsv').read_text()


def test_nothing_was_counted(tmp_path):
    with pytest.raises(SystemExit, match='^error: no line of the series was counted'):
        coverage.report(DIFF, [], str(tmp_path))


def test_only_counters_are_unpacked(tmp_path):
    obj, out = tmp_path / 'obj', tmp_path / 'out'
    for path in (obj / 'mm', out):
        path.mkdir(parents=True)
    with tarfile.open(tmp_path / 'tar', 'w') as tar:
        for name in ('mm/x.gcda', 'mm/x.o', 'none/y.gcda', '../out/z.gcda', '../obj/mm/v.gcda'):
            info = tarfile.TarInfo(f'.{obj}/{name}')
            info.size = 4
            tar.addfile(info, io.BytesIO(b'gcda'))
        link = tarfile.TarInfo(f'.{obj}/mm/w.gcda')
        link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
        tar.addfile(link)
    assert coverage.unpack(tmp_path / 'tar', str(obj)) == 2
    assert sorted(path.name for path in obj.rglob('*.*')) == ['v.gcda', 'x.gcda'] and not list(out.iterdir())
