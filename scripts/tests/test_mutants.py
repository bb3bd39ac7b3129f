# SPDX-License-Identifier: GPL-2.0
"""make mutants: on a tree of one file, with guests that say what the file says."""
import collections
import json
import os
import subprocess

import pytest
import yaml
from conftest import ROOT

from mmtrack import expected, guest, kunit, mutants

GOOD = '[ 1.0] KTAP version 1\n[ 1.0] 1..1\n[ 1.0]     KTAP version 1\n[ 1.0]     # Subtest: suite\n[ 1.0]     1..2\n'
LINES = {
    'SAME': GOOD + '[ 1.1]     ok 1 a\n[ 1.2]     ok 2 b\n[ 1.2] ok 1 suite\n',
    'FAIL': GOOD + '[ 1.1]     not ok 1 a\n[ 1.2]     not ok 2 b\n[ 1.2] not ok 1 suite\n',
    'HANG': GOOD + '[ 1.1]     ok 1 a\n',
    'NOTHING': '',
}
LINES['SPLAT'] = '[    0.900000] WARNING: possible circular locking dependency detected\n' + LINES['SAME']


class Lab:
    """What is tested: the list, the tree, what was run and what was recorded."""

    def __init__(self, top):
        self.top, self.ran, self.stop_at, self.slow = top, [], None, 0
        self.end = 'the guest was ended at its limit of {} s (TIMEOUT=)'
        self.tree = top / 'build' / 'work' / 'linux'
        self.results = top / 'results.tsv'

    def git(self, *args):
        subprocess.run(['git', '-C', self.tree, '-c', 'user.name=a', '-c', 'user.email=a@b', *args], check=True)

    def commit(self, name, text):
        (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / name).write_text(text)
        self.git('add', '-A')
        self.git('commit', '-q', '-m', name)

    def list(self, *entries):
        fields = [{'file': 'one.c', 'suite': 'suite', 'old': '"40"', **entry} for entry in entries]
        (self.top / 'mutants.yaml').write_text(yaml.safe_dump(fields))

    def build(self, _name, log, src=None, obj=None):
        assert (src, obj) == (str(self.tree), str(self.tree.parent / 'x86_64'))
        self.text = (self.tree / 'one.c').read_text()
        with open(log, 'w', encoding='utf-8') as f:
            f.write('gcc')
        return 'SYNTAX' not in self.text

    def guest(self, box, limit, *_):
        self.command = str(box)
        self.ran.append(next((word for word in LINES if word in self.text), 'SAME'))
        if len(self.ran) == self.stop_at:
            raise KeyboardInterrupt
        hang = self.ran[-1] == 'HANG' or self.slow > 0 and len(self.ran) > 1
        self.slow -= 1
        with open(box.console, 'w', encoding='utf-8') as f:
            f.write(LINES['HANG' if hang else self.ran[-1]])
        return self.end.format(limit) if hang else ''

    def run(self, *argv):
        """(exit code, {mutation: (status, reason)})"""
        self.ran.clear()
        self.results.write_text('')
        code = mutants.main(list(argv))
        lines = [line.split('\t') for line in self.results.read_text().splitlines()]
        return code, {line[2]: (line[3], line[5]) for line in lines if line[0] == 'test'}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    lab = Lab(tmp_path)
    for name in ('MUTANTS', 'FORCE', 'WRITE', 'TIMEOUT', 'ACCEL'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('B', str(tmp_path / 'build'))
    monkeypatch.setenv('MMTRACK_OUT', str(tmp_path / 'out'))
    monkeypatch.setenv('MMTRACK_RESULTS', str(lab.results))
    monkeypatch.setattr(mutants, 'LIST', str(tmp_path / 'mutants.yaml'))
    monkeypatch.setattr(mutants, 'shell', lambda *_: lab.git('checkout', '-q', '-f', '--', '.'))
    monkeypatch.setattr(kunit, 'build', lab.build)
    monkeypatch.setattr(guest.Guest, 'run', lambda box, *args: lab.guest(box, *args))
    lab.tree.mkdir(parents=True)
    lab.git('init', '-q')
    lab.commit('one.c', ''.join(f'"{i}"\n' for i in range(1, 41)))
    return lab


def fails(lab, text):
    with pytest.raises(SystemExit) as ended:
        lab.run()
    assert text in str(ended.value)


def test_no_such_mutation(lab, monkeypatch):
    lab.list({'name': 'a', 'new': 'x'})
    monkeypatch.setenv('MUTANTS', 'nonsense')
    fails(lab, 'no mutation in kunit/mutants.yaml is called nonsense')


def test_text_more_than_once(lab):
    lab.list({'name': 'a', 'old': '4', 'new': 'x'})
    fails(lab, 'a: `old` is 5 times in one.c, not once')


def test_two_of_a_name(lab):
    lab.list({'name': 'a', 'new': 'x'}, {'name': 'a', 'old': '39', 'new': 'x'})
    fails(lab, 'a: there are two of that name')


@pytest.mark.parametrize(
    'entry, text',
    [
        ({'name': 'a', 'new': 'x', 'file': 'none.c'}, 'there is no none.c'),
        ({'name': 'a'}, 'not name, file, suite, old, new and perhaps survives'),
        ({'name': 'a', 'new': 'x', 'survive': 'y'}, 'not name, file, suite, old, new and perhaps survives'),
    ],
)
def test_bad_entry(lab, entry, text):
    lab.list(entry)
    fails(lab, text)


@pytest.mark.parametrize(
    'new, reason, status, said',
    [
        ('FAIL', None, 'pass', 'noticed by a, b'),
        ('SPLAT', None, 'pass', 'noticed by the kernel in suite: lockdep: '),
        ('HANG', None, 'pass', 'hangs in '),
        ('NOTHING', None, 'pass', 'crashes in suite'),
        ('SAME', None, 'fail', 'nothing notices it'),
        ('SAME', 'no way to see it', 'skip', 'survives: no way to see it'),
        ('FAIL', 'no way to see it', 'fail', 'noticed by a, b, but has a reason to survive: remove it'),
        ('SYNTAX', None, 'fail', 'does not build'),
    ],
)
def test_verdict(lab, capsys, new, reason, status, said):
    lab.list({'name': 'm', 'new': new, **({'survives': reason} if reason else {})})
    code, tests = lab.run()
    assert code == (status == 'fail')
    assert tests['m'][0] == status and tests['m'][1].startswith(said)
    assert (f'm: {said}' in capsys.readouterr().err) == (status == 'fail')
    assert lab.ran.count('HANG') == 2 * (new == 'HANG')
    assert 'FAIL' not in (lab.tree / 'one.c').read_text()


def test_slow_machine_is_no_hang(lab):
    lab.list({'name': 'm', 'new': 'SAME'})
    lab.slow = 2
    assert lab.run() == (1, {'m': ('fail', 'nothing notices it')})


def test_silence_is_a_hang(lab, monkeypatch):
    lab.list({'name': 'm', 'new': 'HANG'})
    monkeypatch.setattr(lab, 'end', 'the guest said nothing for {} s')
    assert lab.run()[1]['m'][1].startswith('hangs in ') and lab.ran.count('HANG') == 2


def test_suite_that_fails_anyway(lab):
    lab.commit('one.c', '"40" FAIL')
    lab.list({'name': 'm', 'new': 'x'})
    fails(lab, 'suite fails without a mutation, noticed by a, b: see ')


def many(lab):
    lab.list(*({'name': f'm{i}', 'old': f'"3{i}"', 'new': 'FAIL'} for i in range(4)))


def test_interrupted_goes_on(lab):
    many(lab)
    lab.stop_at = 3
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    assert 'FAIL' not in (lab.tree / 'one.c').read_text()
    lab.stop_at = None
    code, tests = lab.run()
    assert code == 0 and len(tests) == 4
    assert lab.ran == ['SAME', 'FAIL', 'FAIL', 'FAIL']
    assert tests['m0'] == ('pass', 'noticed by a, b (in an earlier run)')
    assert tests['m1'] == ('pass', 'noticed by a, b')


def test_killed_in_the_middle_of_a_mutation(lab):
    many(lab)
    (lab.tree / 'one.c').write_text('half a mutation')
    assert lab.run()[0] == 0


def test_kept_until_what_is_compiled_changes(lab, monkeypatch):
    many(lab)
    lab.run()
    lab.run()
    assert not lab.ran
    lab.commit('Documentation/x.rst', 'x')
    lab.run()
    assert not lab.ran
    lab.commit('two.c', 'x')
    lab.run()
    assert len(lab.ran) == 5
    monkeypatch.setenv('FORCE', '1')
    monkeypatch.setenv('MUTANTS', 'm1')
    lab.run()
    assert len(lab.ran) == 2


def test_what_failed_runs_again(lab):
    lab.list({'name': 'm', 'new': 'SAME'}, {'name': 'n', 'new': 'FAIL'})
    lab.run()
    assert lab.run()[0] == 1
    assert lab.ran == ['SAME', 'SAME']


@pytest.mark.parametrize(
    'globs, names', [('m[12]', {'m1', 'm2'}), ('o* m3', {'m3', 'n'}), ('', {'m0', 'm1', 'm2', 'm3', 'n'})]
)
def test_globs_of_names_and_suites(lab, monkeypatch, globs, names):
    entries = [{'name': f'm{i}', 'old': f'"3{i}"', 'new': 'FAIL'} for i in range(4)]
    lab.list(*entries, {'name': 'n', 'suite': 'other', 'new': 'FAIL'})
    monkeypatch.setenv('MUTANTS', globs)
    assert set(lab.run()[1]) == names


def test_table_only_when_asked_for(lab, monkeypatch):
    lab.list({'name': 'm', 'new': 'FAIL'}, {'name': 'n', 'new': 'SAME', 'survives': 'why'})
    table = lab.top / 'mutants.md'
    lab.run()
    assert not table.exists()
    lab.run('--write')
    text = table.read_text()
    assert '1 of 2 are noticed' in text
    assert '| m | one.c | noticed by a, b |\n| n | one.c | **survives: why** |' in text
    table.unlink()
    monkeypatch.setenv('WRITE', '1')
    lab.run()
    assert table.read_text() == text


def test_table_wants_all(lab, monkeypatch):
    many(lab)
    monkeypatch.setenv('MUTANTS', 'm1')
    monkeypatch.setenv('WRITE', '1')
    fails(lab, 'error: WRITE: kunit/mutants.md wants a verdict of every mutation: leave MUTANTS= out')


def test_command(lab):
    lab.list({'name': 'm', 'new': 'FAIL'})
    lab.run()
    assert 'kunit.filter_glob=suite' in lab.command and 'mm_stress_kunit.seconds=10' in lab.command
    assert f'-kernel {lab.tree.parent}/x86_64/' in lab.command


def test_progress(lab, capsys):
    lab.list({'name': 'm', 'new': 'FAIL'})
    lab.run()
    out = capsys.readouterr().out
    assert '[1/2] suite without a mutation ... (' in out and '[2/2] m ... noticed by a, b (' in out
    assert json.loads((lab.tree.parent / 'mutants.json').read_text()).popitem()[1] == 'noticed by a, b'


ORDER = """/* f(a) */
static int f(int a);

static int
f(int a)
{
\tif (a)
\t\tmmu_notifier_invalidate_range_start(&range);
\tchange(a);
\tmmu_notifier_invalidate_range_end(&range);
}

int g(void)
{
\tmmu_notifier_invalidate_range_start(&range);
}
"""


def test_order(lab):
    lab.commit('two.c', ORDER)
    late, early = mutants.orders({'order': 'f', 'file': 'two.c', 'suite': 'suite'})
    assert (late['name'], early['name']) == ('order-f-late', 'order-f-early')
    for one in (late, early):
        assert mutants.wrong(one, set()) is None and ORDER.count(one['old']) == 1
    start, end = (f'mmu_notifier_invalidate_range_{of}(&range);' for of in ('start', 'end'))
    assert f'\t\t;\n\tchange(a);\n\t{{ {start} {end} }}\n}}\n' in late['new']
    assert f'\t\t{{ {start} {end} }}\n\tchange(a);\n\t;\n}}\n' in early['new']
    assert late['old'].startswith('static int\nf(int a)\n{') and late['old'].endswith('}\n')


@pytest.mark.parametrize('file, text', [('two.c', '`old` is 0 times in two.c'), ('none.c', 'there is no none.c')])
def test_order_of_nothing(lab, file, text):
    lab.commit('two.c', ORDER)
    lab.list({'order': 'h', 'file': file, 'suite': 'suite'})
    entries = yaml.safe_load((lab.top / 'mutants.yaml').read_text())
    (lab.top / 'mutants.yaml').write_text(yaml.safe_dump([{k: v for k, v in e.items() if k != 'old'} for e in entries]))
    fails(lab, text)


def test_the_list():
    with open(f'{ROOT}/kunit/mutants.yaml', encoding='utf-8') as f:
        entries = yaml.safe_load(f)
    suites = {key[1] for key in expected.kunit(f'{ROOT}/kunit/expected')[0]}
    names = collections.Counter(entry.get('name') or entry['order'] for entry in entries)
    assert names.most_common(1)[0][1] == 1
    for entry in entries:
        if 'order' in entry:
            assert {'order', 'file', 'suite'} <= set(entry) <= {'order', 'file', 'suite', 'survives'}, entry
            assert entry['suite'] in suites
            continue
        assert set(mutants.FIELDS) <= set(entry) <= {*mutants.FIELDS, 'survives'}, entry
        assert entry['suite'] in suites and entry['old'] != entry['new'], entry
        assert os.path.basename(entry['file'])


def test_bash_line_that_fails(capfd):
    with pytest.raises(SystemExit) as ended:
        mutants.shell('die "no $1"', 'tree')
    assert ended.value.code == 1 and capfd.readouterr().err == 'error: no tree\n'


def test_work_tree(tmp_path, monkeypatch):
    """With scripts/lib and a tree: what a mutation left behind is gone."""
    top = tmp_path / 'build' / 'linux'
    monkeypatch.setenv('B', str(tmp_path / 'build'))
    monkeypatch.delenv('MMTRACK_STAGE', raising=False)
    top.mkdir(parents=True)
    (tmp_path / 'build' / '.mm-track').write_text('made by mm-track: make clean removes what is in this directory\n')
    (top / 'one.c').write_text('one\n')
    for args in ('init -q', 'add -A', 'commit -q -m one', 'tag base', 'checkout -q -B series'):
        subprocess.run(['git', '-C', top, '-c', 'user.name=a', '-c', 'user.email=a@b', *args.split()], check=True)
    for _ in range(2):
        mutants.shell('need_tree; need_commits; worktree "$1" series', mutants.work('linux'))
        work = tmp_path / 'build' / 'work' / 'linux' / 'one.c'
        assert work.read_text() == 'one\n'
        work.write_text('mutated\n')
    assert (top / 'one.c').read_text() == 'one\n'
