# SPDX-License-Identifier: GPL-2.0
"""Changes the series' code as kunit/mutants.yaml says, one mutation at a time, and runs the suite that should notice: on
x86_64, in a work tree of its own. MUTANTS= are globs of names or suites. `order: FUNCTION` stands for two mutations: its
mmu_notifier_invalidate_range_start() moves down to the end(), its end() up to the start().

Fails when a mutation goes unnoticed without a reason (`survives:`), and when one with a reason is noticed. A verdict is
kept for as long as the mutation and all that is compiled stay as they are, so that a run that was ended goes on (FORCE=1
runs all again). --write, or WRITE=1, writes kunit/mutants.md.
"""
import fnmatch
import hashlib
import json
import os
import re
import subprocess
import sys
import time

import yaml

from mmtrack import guest, kunit, record

FIELDS = ('name', 'file', 'suite', 'old', 'new')
# of the tree, what no test kernel is made of
NOT_COMPILED = {'Documentation', 'MAINTAINERS', 'tools'}
LIST = os.path.join(record.ROOT, 'kunit', 'mutants.yaml')


def work(*names):
    return os.path.join(record.build(), 'work', *names)


def shell(script, *args):
    """Runs a line of bash that knows scripts/lib; where it fails, so does this."""
    lib = os.path.join(record.ROOT, 'scripts', 'lib')
    line = f'set -euo pipefail; . {lib}/common.sh; . {lib}/build.sh; {script}'
    code = subprocess.run(['bash', '-c', line, 'bash', *args], check=False, stdin=subprocess.DEVNULL).returncode
    if code:
        sys.exit(code)


def orders(entry):
    """The mutations that an entry of the list stands for: itself, or the two of `order:`."""
    if not isinstance(entry, dict) or 'order' not in entry:
        return [entry]
    start, end = (f'mmu_notifier_invalidate_range_{of}(&range);' for of in ('start', 'end'))
    path, function = work('linux', entry.get('file', '')), entry['order']
    text = ''
    if os.path.isfile(path):
        with open(path, encoding='utf-8') as f:
            text = f.read()
    body = re.search(rf'^[a-z][^;{{}}]*\b{function}\([^;{{}}]*\)\n{{\n.*?^}}\n', text, re.M | re.S)
    old = body[0] if body and start in body[0] and end in body[0] else f'{function}() with a start() and an end()'
    both = f'{{ {start} {end} }}'
    moved = {'late': old.replace(start, ';').replace(end, both), 'early': old.replace(end, ';').replace(start, both)}
    rest = {key: value for key, value in entry.items() if key != 'order'}
    return [{**rest, 'name': f'order-{function}-{how}', 'old': old, 'new': new} for how, new in moved.items()]


def wrong(mutant, seen):
    """What is wrong with an entry of the list, or None."""
    if not isinstance(mutant, dict) or set(FIELDS) - set(mutant) or set(mutant) - {*FIELDS, 'survives'}:
        return f'not {", ".join(FIELDS)} and perhaps survives'
    if mutant['name'] in seen:
        return 'there are two of that name'
    seen.add(mutant['name'])
    path = work('linux', mutant['file'])
    if not os.path.exists(path):
        return f'there is no {mutant["file"]}'
    with open(path, encoding='utf-8') as f:
        count = f.read().count(mutant['old'])
    return None if count == 1 else f'`old` is {count} times in {mutant["file"]}, not once'


def keys(mutants):
    """{name of the mutation: what its verdict is kept under}"""
    listing = record.git('ls-tree', 'HEAD', at=work('linux')).splitlines()
    compiled = [line for line in listing if line.partition('\t')[2] not in NOT_COMPILED]
    compiled.append(record.sum_of(record.ROOT, ['kunit/64bit.kunitconfig', 'kunit/x86_64.kunitconfig']))
    texts = {mutant['name']: json.dumps([mutant[field] for field in FIELDS] + compiled) for mutant in mutants}
    return {name: f'{name} {hashlib.sha256(text.encode()).hexdigest()[:12]}' for name, text in texts.items()}


def attempt(suite, out):
    """What the suite says of the tree as it is: 'survives', 'does not build', or what noticed."""
    if not kunit.build('x86_64', f'{out}.build', src=work('linux'), obj=work('x86_64')):
        return 'does not build'
    seen = kunit.run('x86_64', suite, out, ['mm_stress_kunit.seconds=10'], 180, work('x86_64'), any_=True)
    failed = [test for test in seen.results if test.status == 'fail']
    names = [test.suite if test.test == '-' else test.test for test in failed]
    splat = next((text.partition('splat: ')[2] for text in seen.problems if 'splat: ' in text), '')
    slow = any('at its limit' in text or 'said nothing' in text for text in seen.problems)
    if slow and not splat and all(test.reason.startswith('crashed') for test in failed):
        return f'hangs in {(names or [suite])[0]}'
    if names:
        return f'noticed by {", ".join(names[:3])}' + (f' and {len(names) - 3} more' if names[3:] else '')
    if splat:
        return f'noticed by the kernel in {suite}: {splat}'
    return f'crashes in {suite}' if seen.problems else 'survives'


def judge(mutant, out):
    """attempt() with the mutation, which is gone afterwards."""
    path = work('linux', mutant['file'])
    with open(path, encoding='utf-8') as f:
        text = f.read()
    try:
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text.replace(mutant['old'], mutant['new']))
        said = attempt(mutant['suite'], out)
        # or the machine was slow
        return attempt(mutant['suite'], out) if said.startswith('hangs') else said
    finally:
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)


def status(mutant, said):
    """(status, reason) for the record."""
    if said == 'does not build':
        return 'fail', said
    if said == 'survives':
        return ('skip', f'survives: {mutant["survives"]}') if 'survives' in mutant else ('fail', 'nothing notices it')
    return ('fail', f'{said}, but has a reason to survive: remove it') if 'survives' in mutant else ('pass', said)


def table(mutants, said):
    rows = [(mutant['name'], mutant['file'], *status(mutant, said[mutant['name']])) for mutant in mutants]
    yield '# Mutations, and what notices them\n'
    yield 'Written by `make mutants WRITE=1` from `kunit/mutants.yaml`, which says what each one changes.'
    yield f'{sum(kind == "pass" for *_, kind, _ in rows)} of {len(rows)} are noticed.\n'
    yield '| mutation | file | |\n|---|---|---|'
    for name, file, kind, reason in rows:
        yield f'| {name} | {file} | {reason if kind == "pass" else f"**{reason}**"} |'


def main(argv):
    write, globs = '--write' in argv or os.environ.get('WRITE'), os.environ.get('MUTANTS', '').split()
    out = os.environ.get('MMTRACK_OUT') or record.results('mutants')
    os.makedirs(out, exist_ok=True)
    shell('need_tree; need_commits; worktree "$1" series', work('linux'))
    with open(LIST, encoding='utf-8') as f:
        mutants, seen = [mutant for entry in yaml.safe_load(f) for mutant in orders(entry)], set()
    bad = [f'error: kunit/mutants.yaml: {m.get("name")}: {why}' for m in mutants if (why := wrong(m, seen))]
    if bad:
        sys.exit('\n'.join(bad))
    chosen = [m for m in mutants if not globs or any(fnmatch.filter([m['name'], m['suite']], glob) for glob in globs)]
    if not chosen:
        sys.exit(f'error: MUTANTS: no mutation in kunit/mutants.yaml is called {" ".join(globs)}')
    known, key, kept = {}, keys(mutants), work('mutants.json')
    if os.path.exists(kept):
        with open(kept, encoding='utf-8') as f:
            known = json.load(f)
    if os.environ.get('FORCE'):
        known = {name: said for name, said in known.items() if name not in {key[m['name']] for m in chosen}}
    if write and any(m not in chosen and key[m['name']] not in known for m in mutants):
        sys.exit('error: WRITE: kunit/mutants.md wants a verdict of every mutation: leave MUTANTS= out')

    # what failed is run again
    todo = [m for m in chosen if status(m, known.get(key[m['name']], 'does not build'))[0] == 'fail']
    suites, n = sorted({m['suite'] for m in todo}), 0
    for suite in suites:
        with guest.step(n := n + 1, len(suites) + len(todo), f'{suite} without a mutation'):
            said = attempt(suite, os.path.join(out, suite))
        if said != 'survives':
            sys.exit(f'error: {suite} fails without a mutation, {said}: see {out}/{suite}.console')
    for mutant in chosen:
        name, start = mutant['name'], time.monotonic()
        took, when = None, ' (in an earlier run)'
        if mutant in todo:
            with guest.step(n := n + 1, len(suites) + len(todo), name):
                said = judge(mutant, os.path.join(out, name))
                print(said, end=' ')
            known[key[name]], took, when = said, round(time.monotonic() - start, 1), ''
            record.write(kept, json.dumps(known, indent=1))
        kind, reason = status(mutant, known[key[name]])
        record.result('test', mutant['suite'], name, kind, took, reason + when)
        if kind == 'fail':
            bad.append(f'{name}: {reason}')
    record.result('note', f'{len(chosen) - len(todo)} of {len(chosen)} verdicts are of an earlier run')
    if write:
        said = {m['name']: known[key[m['name']]] for m in mutants}
        record.write(LIST.replace('.yaml', '.md'), '\n'.join(table(mutants, said)) + '\n')
    print(*bad, sep='\n', file=sys.stderr)
    print(f'{len(chosen) - len(bad)} of {len(chosen)} mutations are noticed, or have a reason')
    return int(bool(bad))
