# SPDX-License-Identifier: GPL-2.0
"""Do the stages notice bugs? Loads the module selftests/planted, which has one of each class, into the kernel of each
stage, and demands that the stage's own verdict fails and names every class that this kernel can see."""
import os
import subprocess
import sys

import yaml

from mmtrack import guest, kunit, record, selftests

HERE = os.path.join(record.ROOT, 'selftests', 'planted')
# the kind of report, and the option without which the kernel does not see what it is of
CLASSES = {
    'lockdep': 'PROVE_LOCKING',
    'sleep': 'DEBUG_ATOMIC_SLEEP',
    'warning': 'BUG',
    'kcsan': 'KCSAN',
    'kasan': 'KASAN',
}
# the kernel of a stage, a quick suite of it, arguments
STAGES = {
    'kunit-debug': ('x86_64-debug', 'pgtable', []),
    'stress': ('x86_64-debug', 'mm_stress', ['mm_stress_kunit.seconds=3']),
    'kunit-kcsan': ('x86_64-kcsan', 'pgtable', kunit.KCSAN),
    'selftests': ('x86_64', 'none', []),
}


def tree(name):
    """A tree with the series and this bug of fuzz.yaml, for make fuzz."""
    with open(os.path.join(HERE, 'fuzz.yaml'), encoding='utf-8') as f:
        bugs = {bug['name']: bug for bug in yaml.safe_load(f)}
    if name not in bugs:
        sys.exit(f'error: PLANT: {name} is none of {", ".join(bugs)}')
    before, src = 'worktree "$B/fuzz/planted/linux" series; ', os.path.join(record.build(), 'fuzz', 'planted', 'linux')
    if subprocess.run(kunit.kernel_env(['true'], before=before), check=False).returncode:
        sys.exit(1)
    with open(os.path.join(src, bugs[name]['file']), 'r+', encoding='utf-8') as f:
        text = f.read()
        if text.count(bugs[name]['old']) != 1:
            sys.exit(f'error: PLANT: {name}: its old is not in {bugs[name]["file"]} once')
        f.seek(0)
        f.write(text.replace(bugs[name]['old'], bugs[name]['new']))
        f.truncate()
    return src


def check(stage, out):
    """What the stage does not notice, as texts."""
    name, suite, args = STAGES[stage]
    obj, work, at = os.path.join(record.build(), name), os.path.join(record.build(), 'planted', name), f'{out}/{stage}'
    make = ['make', '-s', '-C', kunit.tree(), f'O={obj}', 'ARCH=x86_64', f'M={HERE}', f'MO={work}', 'modules']
    kunit.need(kunit.logged(kunit.kernel_env(make), f'{at}.build'), 'the module does not build', f'{at}.build')
    files, links = guest.busybox()
    files |= {'/tests/planted': f'{HERE}/load.sh', '/tests/planted.ko': f'{work}/planted.ko'}
    args = ['kunit.enable=1', f'kunit.filter_glob={suite}', *args]
    run = selftests.boot(name, obj, work, at, files, [(60, 'planted')], args, links)
    if stage == 'selftests':
        verdict = selftests.Verdict(run, {})
    else:
        ours = {'planted_racer'} | (kunit.functions() if stage == 'kunit-kcsan' else set())
        verdict = kunit.judge_console(name, at, tests=suite, ours=ours, ended=run.error)
    with open(f'{obj}/.config', encoding='utf-8') as f:
        options = f.read().splitlines()
    missed = []
    for kind, option in CLASSES.items():
        if f'CONFIG_{option}=y' in options:
            noticed = any(f'splat: {kind}: ' in text for text in verdict.problems)
            reason = '' if noticed else f'{stage} does not notice a planted bug of the class {kind}, see {at}.console'
            record.result('test', f'planted/{stage}', kind, 'pass' if noticed else 'fail', '', reason)
            print(f'    {stage}: {kind}: {"noticed" if noticed else "NOT NOTICED"}')
            missed += filter(None, [reason])
    if missed:
        print(*verdict.problems, sep='\n')
    return missed


def main(_):
    out = os.environ.get('MMTRACK_OUT') or record.results('planted')
    os.makedirs(out, exist_ok=True)
    stages = list(STAGES)
    if not os.path.exists(os.path.join(record.build(), 'x86_64-kcsan', 'vmlinux')):
        stages.remove('kunit-kcsan')
        record.result('note', 'kunit-kcsan is left out: there is no kernel yet, and make kunit-kcsan begins with this')
    missed = []
    for n, stage in enumerate(stages):
        name, log = STAGES[stage][0], f'{out}/{STAGES[stage][0]}.build'
        kunit.build_or_end(2 * n + 1, 2 * len(stages), f'planted {stage}', name, log)
        print(f'[{2 * n + 2}/{2 * len(stages)}] planted {stage}: run')
        missed += check(stage, out)
    print(*missed, sep='\n', end='', file=sys.stderr)
    return int(bool(missed))
