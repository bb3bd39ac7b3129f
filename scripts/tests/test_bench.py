# SPDX-License-Identifier: GPL-2.0
"""make bench: with guests that say what bench/results.json has, or something a little different."""
import copy
import shutil
import subprocess

import pytest
import yaml
from conftest import ROOT

from mmtrack import bench, guest, record

RECORDED = bench.read(f'{ROOT}/bench/results.json')
HEADLINES = f'{ROOT}/bench/headlines.yaml'
COUNTS = len(bench.counts(RECORDED))


def row(what, value, side='series', group='g', **more):
    return {'arch': 'x86_64', 'side': side, 'group': group, 'what': what, 'how': 'call', 'units': 1} | {
        'min': value,
        'median': value,
        'max': value,
        **more,
    }


def compare(before, after, some=False):
    return [text for _, text in bench.compare(bench.counts(before), bench.counts(after), some)]


def test_within():
    assert not compare([row('a', 1000), row('b', 5)], [row('a', 1009), row('b', 5)])
    assert not compare([row('a', 1000)], [row('a', 991)])


def test_more_than_that():
    assert compare([row('a', 1000), row('b', 5)], [row('a', 1011), row('b', 5)]) == [
        'series | g | a | call: 1000, now 1011'
    ]
    assert compare([row('a', 1000)], [row('a', 989)]) == ['series | g | a | call: 1000, now 989']


def test_gone():
    assert compare([row('b', 5)], []) == ['series | g | b | call: 5, now not there']
    assert not compare([row('b', 5)], [], some=True)


def test_nothing_that_was_is_something_now():
    assert compare([row('a', 0)], [row('a', 1)]) == ['series | g | a | call: 0, now 1']


def test_nanoseconds_are_not_compared():
    assert not compare([row('a', 5, arch='um')], [row('a', 50, arch='um')])


def test_lines_of_the_console():
    lines = ['[    1.0] BENCH g|a, b|call|16: 30 10 20', 'x', '[ 1.0] # bench: BENCH g|c|bare loop|1: 7\r']
    assert list(bench.rows(lines, 'base', 'um')) == [
        dict(arch='um', side='base', group='g', what='a, b', how='call', units=16, median=20, min=10, max=30),
        dict(arch='um', side='base', group='g', what='c', how='bare loop', units=1, median=7, min=7, max=7),
    ]


class Lab:
    def __init__(self, top):
        self.top, self.rows, self.commands, self.said, self.ended = top, copy.deepcopy(RECORDED), [], '', ''
        self.out, self.results, self.shells = top / 'out', top / 'results.tsv', []

    def guest(self, box, *_):
        self.commands.append(' '.join(box.command()))
        side, _, arch = box.console.rpartition('/')[2].removesuffix('.console').partition('-')
        lines = ['KTAP version 1', '1..1', '    KTAP version 1', '    # Subtest: bench', '    1..1']
        for of in self.rows:
            if (of['side'], of['arch']) == (side, arch):
                name = '|'.join(str(of[key]) for key in ('group', 'what', 'how', 'units'))
                lines.append(f'BENCH {name}: {of["min"]} {of["max"]} {int(of["median"])}')
        lines += [self.said] if self.said else ['    ok 1 bench_dirty', 'ok 1 bench']
        with open(box.console, 'w', encoding='utf-8') as f:
            f.writelines(f'[    1.000000] {line}\n' for line in lines)
        return self.ended

    def run(self, *argv):
        """(exit code, {test: (status, reason)})"""
        self.results.write_text('')
        code = bench.main(list(argv))
        lines = [line.split('\t') for line in self.results.read_text().splitlines()]
        return code, {line[2]: (line[3], line[5]) for line in lines if line[0] == 'test'}

    def change(self, factor, **of):
        hit = [row for row in self.rows if all(row[key] == value for key, value in of.items())]
        assert hit
        for row in hit:
            for key in ('min', 'median', 'max'):
                row[key] = round(row[key] * factor)

    def tracked(self):
        return {path.name: path.read_text() for path in self.top.glob('bench/*')}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    lab = Lab(tmp_path)
    for name in ('CASES', 'WRITE', 'TIMEOUT', 'ACCEL', 'FORCE'):
        monkeypatch.setenv(name, '')
    monkeypatch.setenv('B', str(tmp_path / 'build'))
    monkeypatch.setenv('MMTRACK_OUT', str(lab.out))
    monkeypatch.setenv('MMTRACK_RESULTS', str(lab.results))
    shutil.copytree(f'{ROOT}/bench', tmp_path / 'bench')
    (tmp_path / 'bench' / 'README.md').write_text(
        'on top\n<!-- make bench writes this -->\nold\n<!-- to here -->\nbelow\n'
    )
    monkeypatch.setattr(record, 'ROOT', str(tmp_path))
    monkeypatch.setattr(bench, 'BENCH', str(tmp_path / 'bench'))
    monkeypatch.setattr(bench, 'shell', lambda *args: lab.shells.append(args))
    monkeypatch.setattr(bench, 'plots', lambda *_: None)
    monkeypatch.setattr(guest.Guest, 'run', lambda box, *args: lab.guest(box, *args))
    return lab


COMPARISON, ORDINARY = 'within 1% of bench/results.json', 'ordinary memory at most 1% dearer'


def test_as_recorded(lab):
    before = lab.tracked()
    code, tests = lab.run()
    assert code == 0 and {status for status, _ in tests.values()} == {'pass'}
    with open(HEADLINES, encoding='utf-8') as f:
        assert set(tests) == {line['text'] for line in yaml.safe_load(f)} | {COMPARISON, ORDINARY}
    assert tests[COMPARISON][1] == f'{COUNTS} of {COUNTS} counts compared, 0 differ'
    assert lab.tracked() == before
    assert (lab.out / 'results.json').read_text() == before['results.json']
    assert (lab.out / 'results.md').exists()
    assert 'NOT MET' in tests['as_dirty_helpers: scan of clean entries'][1]


def test_one_count_differs(lab, capsys):
    lab.change(
        1.02,
        side='series',
        group='notifier',
        what=RECORDED[next(i for i, row in enumerate(RECORDED) if row['group'] == 'notifier')]['what'],
    )
    code, tests = lab.run()
    assert code == 1 and tests[COMPARISON][0] == 'fail' and '1 differ; series | notifier | ' in tests[COMPARISON][1]
    assert 'the base too' not in tests[COMPARISON][1]
    assert [status for status, _ in tests.values()].count('fail') == 1
    assert 'series | notifier | ' in capsys.readouterr().err


def test_all_differ(lab, capsys):
    lab.change(1.02, group='notifier')
    code, tests = lab.run()
    assert code == 1 and '20 differ, those of the base too: another compiler' in tests[COMPARISON][1]
    assert capsys.readouterr().err.count('| notifier |') >= 20


def test_ordinary_memory_is_dearer(lab):
    lab.change(1.02, side='series', group='ordinary, shmem', what='munmap')
    code, tests = lab.run()
    assert code == 1 and tests[ORDINARY][0] == 'fail' and '+2.00% (ordinary, shmem, munmap)' in tests[ORDINARY][1]


def test_ordinary_memory_is_cheaper(lab):
    assert min(bench.ordinary(bench.counts(RECORDED)))[0] < -1
    assert lab.run()[1][ORDINARY][0] == 'pass'


def test_headline_that_was_not_measured(lab):
    lab.rows = [row for row in lab.rows if row['what'] != 'munmap']
    code, tests = lab.run()
    assert code == 1 and tests['munmap()'][0] == 'fail'
    assert 'now not there' in tests[COMPARISON][1]


def test_one_case(lab, monkeypatch):
    monkeypatch.setenv('CASES', 'bench_notifier')
    lab.rows = [row for row in lab.rows if row['group'] == 'notifier']
    code, tests = lab.run()
    assert code == 0 and tests == {COMPARISON: ('pass', f'20 of {COUNTS} counts compared, 0 differ')}
    assert len(lab.commands) == 2 and all('kunit.filter_glob=bench.bench_notifier ' in line for line in lab.commands)


@pytest.mark.parametrize(
    'cases, sides, um',
    [
        ('', 3, 2),
        ('bench_dirty', 2, 2),
        ('bench_d*', 2, 2),
        ('bench_ordinary', 2, 0),
        ('*uffd*', 3, 0),
        ('*uffd_t*', 3, 0),
    ],
)
def test_uml_has_dirty_tracking_and_the_marker_uffd_only(lab, monkeypatch, cases, sides, um):
    monkeypatch.setenv('CASES', cases)
    lab.run()
    assert len(lab.commands) == sides + um and sum('/um/linux' in line for line in lab.commands) == um
    assert len(lab.shells) == sides + len(lab.commands)
    globs = {'*uffd*': 'bench.*uffd*', '*uffd_t*': 'bench.*uffd_t*'}
    markers = [line for line in map(str, lab.commands) if '/marker/' in line]
    assert len(markers) == sides - 2 and all(globs.get(cases, 'bench.bench_uffd*') in line for line in markers)


def test_no_such_case(lab, monkeypatch):
    monkeypatch.setenv('CASES', 'nonsense')
    with pytest.raises(SystemExit, match='error: CASES: no case of bench/bench_kunit.c is called nonsense'):
        lab.run()


def test_nothing_to_compare_is_no_comparison(lab, monkeypatch):
    monkeypatch.setenv('CASES', 'bench_notifier')
    lab.rows = []
    assert lab.run() == (1, {COMPARISON: ('fail', f'0 of {COUNTS} counts compared, 0 differ')})


def test_guest_that_does_not_end(lab):
    lab.ended = 'the guest was ended at its limit of 900 s (TIMEOUT=)'
    with pytest.raises(SystemExit, match='error: bench: base: .*at its limit.*see .*base-x86_64.console'):
        lab.run()


@pytest.mark.parametrize(
    'said',
    [
        '    not ok 1 bench_dirty',
        'WARNING: possible circular locking dependency detected',
        'Oops: general protection fault',
    ],
)
def test_guest_that_fails(lab, said):
    lab.said = said
    with pytest.raises(SystemExit, match='error: bench: base: '):
        lab.run()


def test_command_counts_instructions(lab, monkeypatch):
    monkeypatch.setenv('ACCEL', 'kvm')
    lab.run()
    qemu = [line for line in lab.commands if line.startswith('qemu')]
    for word in (
        '-accel tcg',
        '-icount shift=0,sleep=off',
        '-seed 1',
        '-rtc base=2026-01-01,clock=vm',
        '-smp 1',
        '-m 2048',
    ):
        assert all(f' {word} ' in line for line in qemu), word


def test_write(lab, monkeypatch):
    lab.change(1.5, side='series')
    monkeypatch.setenv('WRITE', '1')
    code, tests = lab.run()
    assert tests[COMPARISON][0] == 'pass' and code == (tests[ORDINARY][0] == 'fail') == 1
    readme = (lab.top / 'bench' / 'README.md').read_text()
    assert readme.startswith('on top\n<!-- make bench writes this -->\n| instructions') and readme.endswith(
        '-->\nbelow\n'
    )
    for name in ('results.json', 'results.md'):
        assert (lab.top / 'bench' / name).read_text() == (lab.out / name).read_text()


def test_write_wants_all(lab, monkeypatch):
    monkeypatch.setenv('CASES', 'bench_dirty')
    with pytest.raises(SystemExit, match='error: WRITE: bench/ has all cases: leave CASES= out'):
        lab.run('--write')
    assert not lab.commands


def test_tables_are_of_what_is_recorded(lab):
    before = lab.tracked()
    lab.run('--tables')
    assert not lab.commands
    assert lab.tracked() == {**before, 'README.md': lab.tracked()['README.md']}, 'run python3 -m mmtrack bench --tables'
    assert 'old' not in lab.tracked()['README.md']


def test_plots_are_the_same_for_the_same_numbers(tmp_path):
    pytest.importorskip('matplotlib')
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        bench.plots(RECORDED, tmp_path / name)
    for name in ('scans.svg', 'slope.svg'):
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()


def test_trees_that_cannot_be_made(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv('B', str(tmp_path / 'none'))
    with pytest.raises(SystemExit):
        bench.shell(bench.PREPARE, 'base', str(tmp_path / 'linux'))
    assert 'there is no tree in' in capfd.readouterr().err


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A tree with what the benchmark needs of one, and a kunit.py that says how it was called."""
    top, files = tmp_path / 'build' / 'linux', {}
    for name in ('B', 'LINUX', 'BASE', 'J', 'MMTRACK_STAGE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('B', str(tmp_path / 'build'))
    files['mm/Makefile'] = 'obj-y += rmap.o\n'
    files['mm/Kconfig'] = 'config MAPPING_DIRTY_HELPERS\n\tbool\n\nconfig OTHER\n\tbool\n'
    files[
        'tools/testing/kunit/kunit.py'
    ] = 'import sys\nprint(*sys.argv[1:], sep="\\n")\nsys.exit("i386" in str(sys.argv))\n'

    def git(*args):
        subprocess.run(['git', '-C', top, '-c', 'user.name=a', '-c', 'user.email=a@b', *args], check=True)

    top.mkdir(parents=True)
    (tmp_path / 'build' / '.mm-track').write_text('made by mm-track: make clean removes what is in this directory\n')
    git('init', '-q')
    for tag in ('base', 'series'):
        for name, text in files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        git('add', '-A')
        git('commit', '-q', '-m', tag)
        if tag == 'base':
            git('tag', 'base')
        files['mm/tests/mm_kunit.h'] = 'header\n'
        files['include/linux/swapops.h'] = '#define UFFD_WP_SWP_PTE_SPECIAL\tpte_swp_mkuffd(__pte(0))\n'
        files['mm/Kconfig'] = 'config AS_DIRTY_HELPERS\n\tbool\n\nconfig OTHER\n\tbool\n'
    git('checkout', '-q', '-B', 'series')
    return top


def test_the_trees_that_are_compiled(kernel):
    for _ in range(2):  # the second time it is there
        for side in bench.SIDES:
            bench.shell(bench.PREPARE, side, bench.where(side))
    for side, name in (('base', 'MAPPING'), ('marker', 'AS'), ('series', 'AS')):
        tree = kernel.parent / 'bench' / side / 'linux'
        assert (
            tree / 'mm/Kconfig'
        ).read_text() == f'config {name}_DIRTY_HELPERS\n\tdef_bool y\n\nconfig OTHER\n\tbool\n'
        assert (tree / 'mm/Makefile').read_text() == 'obj-y += rmap.o\nobj-y += tests/bench_kunit.o\n'
        assert (tree / 'mm/tests/mm_kunit.h').read_text() == 'header\n'
        with open(f'{ROOT}/bench/bench_kunit.c', encoding='utf-8') as f:
            assert (tree / 'mm/tests/bench_kunit.c').read_text() == f.read()
    assert (kernel / 'mm/Makefile').read_text() == 'obj-y += rmap.o\n'
    encoded = [
        (kernel.parent / f'bench/{side}/linux/include/linux/swapops.h').read_text() for side in ('marker', 'series')
    ]
    assert ['PTE_MARKER_UFFD_WP' in text for text in encoded] == [True, False]


def test_a_special_pte_that_is_not_found(kernel, capfd):
    (kernel / 'include/linux/swapops.h').write_text('#define UFFD_WP_SWP_PTE_SPECIAL\t__pte(4)\n')
    subprocess.run(
        ['git', '-C', kernel, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-qam', 'x'], check=True
    )
    with pytest.raises(SystemExit):
        bench.shell(bench.PREPARE, 'marker', bench.where('marker'))
    assert 'another #define' in capfd.readouterr().err


def test_changes_that_are_not_committed(kernel, capfd):
    (kernel / 'mm/Makefile').write_text('mine\n')
    with pytest.raises(SystemExit):
        bench.shell(bench.PREPARE, 'series', bench.where('series'))
    assert 'not committed' in capfd.readouterr().err


def test_how_it_is_compiled(kernel, capfd):
    bench.shell(bench.PREPARE, 'series', bench.where('series'))
    log = kernel.parent / 'log'
    bench.shell(bench.BUILD, 'um', str(log), bench.where('series'), bench.where('series', 'um'))
    said = log.read_text().splitlines()
    assert said[:3] == ['build', '--arch=um', f'--build_dir={kernel.parent}/bench/series/um']
    assert f'--kunitconfig={ROOT}/bench/um.kunitconfig' in said
    assert any(line.startswith('--make_options=CC=') for line in said)
    with pytest.raises(SystemExit):
        bench.shell(bench.BUILD, 'i386', str(log), bench.where('series'), bench.where('series', 'i386'))
    assert f'error: bench: the kernel does not build: see {log}' in capfd.readouterr().err
