# SPDX-License-Identifier: GPL-2.0
"""The ways in: what GitHub runs, and the container. Names there must be names here."""
import importlib.util
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import ROOT

from mmtrack import record

UML = ('kunit', 'bisect', 'bench')
# what stands for each of them in the workflow
STAGES = (
    'lint selfcheck mail-test kunit kunit-debug kunit-kcsan stress selftests planted bisect matrix no-notifier mutants'
    ' coverage bench'
).split()


def read(*names):
    with open(os.path.join(ROOT, *names), encoding='utf-8') as f:
        return f.read()


def plan():
    spec = importlib.util.spec_from_file_location('plan', f'{ROOT}/.github/plan.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TARGETS = set(re.findall(r'^([a-z][a-z0-9-]*):', read('Makefile'), re.M))
# YAML 1.1 takes "on" for true
CHECK = {
    'on' if key is True else key: value for key, value in yaml.safe_load(read('.github/workflows/check.yml')).items()
}
STEPS = [(name, step) for name, job in CHECK['jobs'].items() for step in job['steps']]


@pytest.mark.parametrize('target', ['check', 'check-full'])
def test_every_stage_is_a_target(target):
    stages = {job['stage'] for job in plan().plan(target)[0]}
    assert stages and stages <= TARGETS


def test_all_of_it_runs_every_week():
    assert set(STAGES) <= {job['stage'] for job in plan().plan('check-full')[0]}


def test_every_make_is_of_a_target():
    said = [words for _, step in STEPS for words in re.findall(r'^make ([a-z-]+)', step.get('run', ''), re.M)]
    assert {'tree', 'check', 'rebase', 'kunit'} <= set(said) <= TARGETS


def test_shards_of_bisect_are_all_patches():
    count = len([line for line in read('patches', 'series').splitlines() if line.strip() and line[0] != '#'])
    seen = []
    for name, more in plan().shards('bisect'):
        first, last = map(int, more['patches'].split('-'))
        seen += range(first, last + 1)
        assert name == f'bisect {first}-{last}'
    assert seen == list(range(1, count + 1))


def test_shards_of_mutants_are_all_mutations():
    globs = [more['mutants'] for _, more in plan().shards('mutants')]
    assert sorted(globs) == sorted({entry['suite'] for entry in yaml.safe_load(read('kunit', 'mutants.yaml'))})


def test_a_setting_of_a_shard_is_one_of_make():
    job = CHECK['jobs']['stage']
    shards = [more for stage in ('bisect', 'mutants') for _, more in plan().shards(stage)]
    for key in {key for more in shards for key in more}:
        assert job['env'][key.upper()] == '${{ matrix.%s }}' % key
        assert key.upper() in record.SETTINGS and re.search(rf'^export .*\b{key.upper()}\b', read('Makefile'), re.M)


def test_stages_of_the_makefile():
    makefile = 'STAGES ?= a b \\\n\tc\nfull := $(STAGES) d\n'
    assert plan().stages(makefile, 'STAGES') == ['a', 'b', 'c']
    assert plan().stages(makefile, 'full') == ['a', 'b', 'c', 'd']
    with pytest.raises(SystemExit, match='the Makefile has no NONE'):
        plan().stages(makefile, 'NONE')


def test_newest_base():
    names = ['7.2.13', '7.3.4', '7.3~rc7', '7.10', '7.3', '7.11~rc1']
    assert sorted(names, key=plan().version) == ['7.2.13', '7.3~rc7', '7.3', '7.3.4', '7.10', '7.11~rc1']
    assert re.search(rf'^{re.escape(plan().plan("check")[1])}\s', read('configs', 'bases'), re.M)


def test_what_it_prints_is_for_github():
    said = subprocess.run(
        ['/usr/bin/python3', f'{ROOT}/.github/plan.py', 'check'], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.partition('=')[0] for line in said] == ['matrix', 'newest']
    jobs = json.loads(said[0].partition('=')[2])['include']
    # a name is one of an artifact, too
    assert len({job['name'] for job in jobs}) == len(jobs)
    assert not any(re.search(r'[":<>|*?\\/]', job['name']) for job in jobs)


def test_uml_has_the_memory_of_the_host():
    for name in ('stage', 'rebase'):
        assert '--ipc=host' in CHECK['jobs'][name]['container']['options']
    for name, step in STEPS:
        if name != 'stage':
            assert not set(UML) & set(step.get('run', '').split()) or '--ipc=host' in str(CHECK['jobs'][name]), step


def test_nothing_runs_twice():
    assert CHECK['on']['push'] == {'branches': ['main']} and 'pull_request' in CHECK['on']
    assert CHECK['concurrency']['cancel-in-progress'] is True and CHECK['on']['schedule'][0]['cron']


def test_what_a_dead_guest_leaves_is_kept():
    kept = [(name, step) for name, step in STEPS if 'upload-artifact' in step.get('uses', '')]
    assert {name for name, _ in kept} == {'stage', 'rebase'}
    for _, step in kept:
        assert (
            'always()' in step['if'] and step['with']['path'].startswith('build/') and '*.' not in step['with']['path']
        )


def test_one_cache_of_the_base():
    setup = yaml.safe_load(read('.github', 'setup', 'action.yml'))['runs']['steps']
    caches = [step['with'] for _, step in STEPS + [('', step) for step in setup] if 'cache/' in step.get('uses', '')]
    assert {of['key'] for of in caches if of['path'] == '~/.cache/mm-track'} == {
        "base-${{ hashFiles('configs/bases') }}"
    }
    assert {of['key'].partition('-')[0] for of in caches} == {'base', 'ccache'}
    assert CHECK['env']['CCACHE_MAXSIZE']


def test_actionlint():
    if not shutil.which('actionlint'):
        pytest.skip('there is no actionlint')
    subprocess.run(['actionlint', '-shellcheck=', f'{ROOT}/.github/workflows/check.yml'], check=True)


CONTAINER = read('Containerfile').replace('\\\n', ' ')


def test_container_has_what_deps_knows(tmp_path):
    for source, to in re.findall(r'^COPY (\S+) /tmp/(\S+)$', CONTAINER, re.M):
        os.makedirs(tmp_path / to, exist_ok=True)
        shutil.copy(f'{ROOT}/{source}', tmp_path / to)
    jobs = re.search(r'^RUN /tmp/scripts/deps.sh ([\w -]+?) *&&', CONTAINER, re.M)[1].split()
    known = set(read('scripts', 'deps.sh').split())
    assert set(jobs) <= known
    # it needs no other file
    env = {**os.environ, 'B': str(tmp_path / 'build')}
    subprocess.run([tmp_path / 'scripts' / 'deps.sh', 'tree'], check=True, env=env, cwd='/')


def test_container_has_all_jobs():
    jobs = set(re.search(r'deps.sh ([\w -]+?) *&&', CONTAINER)[1].split())
    used = ' '.join(re.findall(r'(?:scripts/deps.sh |call stage,)([a-z0-9_ -]+)', read('Makefile'))).split()
    assert 'coverage' in used and set(used) - jobs <= {'matrix-check'}


def test_container_names_no_package():
    assert not re.search(r'apt|dnf', CONTAINER.replace('/var/lib/apt/lists', ''))
