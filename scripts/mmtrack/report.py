# SPDX-License-Identifier: GPL-2.0
"""Makes the reports from the records: the table, check.json, junit.xml and index.html in build/results.

python3 -m mmtrack report [STAGE...] makes them from the records that are there.
"""
import base64
import collections
import glob
import json
import os
import re
import sys
import time
import xml.etree.ElementTree as ET
from html import escape

from mmtrack import record

STYLE = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1b1f24; --dim: #59636e; --line: #d1d9e0; --ok: #1a7f37; --bad: #cf222e; --odd: #9a6700 }
@media (prefers-color-scheme: dark) {
  :root { --bg: #0d1117; --fg: #e6edf3; --dim: #9198a1; --line: #3d444d; --ok: #3fb950; --bad: #f85149; --odd: #d29922 } }
body { background: var(--bg); color: var(--fg); font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; padding: 0 1rem; max-width: 70rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin-top: 2rem } a { color: inherit } td, li, dd { overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: normal } th, dt, .dim { color: var(--dim) }
th, td { border-top: 1px solid var(--line); padding: .35rem .8rem .35rem 0; vertical-align: top } dd { margin: 0 0 .4rem }
.pass { color: var(--ok) } .fail { color: var(--bad) } .unsteady { color: var(--odd) } summary { cursor: pointer; padding: .2rem 0 }
td.pass, td.fail { white-space: nowrap; font-weight: bold } td.n, td b { white-space: nowrap } img { max-width: 100%; background: #fff }
@media (max-width: 45rem) { thead { display: none } tr { display: block; border-top: 1px solid var(--line); padding: .4rem 0 }
  td { display: inline-block; border: 0; padding: 0 .8rem 0 0 } td.why { display: block }
  td[title]::before { content: attr(title) " "; color: var(--dim) } }
"""


def name_of(test):
    return f'{test["group"]} {test["name"]}'.strip()


def unsteady(rec):
    return [f'{name_of(test)}: {test["reason"]}' for test in rec['tests'] if test['status'] == 'unsteady']


def wrong(rec):
    """Everything that failed, as texts, the first first."""
    failed = [test for test in rec['tests'] if test['status'] == 'fail']
    return [name_of(test) + (f': {test["reason"]}' if test['reason'] else '') for test in failed] + rec['problems']


def took(seconds):
    return f'{seconds:.0f} s' if seconds < 90 else f'{seconds / 60:.0f} min'


def verdict(rec):
    return 'FAILED' if rec['verdict'] != 'pass' else 'kept' if rec.get('kept') else 'ok'


def table(records):
    width = max(len(rec['stage']) for rec in records)
    for rec in records:
        p, f, s = record.counts(rec)
        first = f'  {wrong(rec)[0]}'[:200] if wrong(rec) else ''
        numbers = f'{p:5} passed {f:4} failed {s:4} skipped {took(rec["seconds"]):>7}'
        print(f'{rec["stage"]:{width}}  {verdict(rec):6} {numbers}{first}')
        for text in unsteady(rec):
            print(f'{"":{width}}  unsteady: {text}')


def to_json(records):
    """The schema of kunit.py --json and KernelCI, with a case for each stage."""
    cases = [{'name': rec['stage'], 'status': 'PASS' if rec['verdict'] == 'pass' else 'FAIL'} for rec in records]
    top = {'name': 'mm-track', 'arch': 'x86_64', 'git_commit': records[0]['workbench']['commit']}
    return json.dumps({**top, 'sub_groups': [], 'test_cases': cases})


def plain(text):
    """Without what XML cannot hold."""
    return re.sub('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]', '?', str(text))


def element(parent, tag, **attributes):
    return ET.SubElement(parent, tag, {name: plain(value) for name, value in attributes.items()})


def to_junit(records):
    top = ET.Element('testsuites')
    for rec in records:
        tests, problems, of = rec['tests'], rec['problems'], collections.Counter(t['status'] for t in rec['tests'])
        numbers = {
            'tests': len(tests) + len(problems),
            'failures': of['fail'],
            'errors': len(problems),
            'skipped': of['skip'],
        }
        suite = element(
            top, 'testsuite', name=rec['stage'], time=rec['seconds'], timestamp=rec['started'][:19], **numbers
        )
        for test in tests:
            where = f'{rec["stage"]}.{test["group"]}'
            case = element(suite, 'testcase', classname=where, name=test['name'], time=test['seconds'] or 0)
            if test['status'] in ('fail', 'skip'):
                tag = 'failure' if test['status'] == 'fail' else 'skipped'
                element(case, tag, message=test['reason'] or test['status'])
            elif test['status'] == 'unsteady':
                element(case, 'system-out').text = plain(f'unsteady: {test["reason"]}')
        for text in problems:
            element(element(suite, 'testcase', classname=rec['stage'], name=text[:100], time=0), 'error', message=text)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(top, encoding='unicode') + '\n'


def tag(name, inside, raw=False, **attributes):
    """An element of the page; what is inside is text, unless raw."""
    head = ''.join(f' {key.strip("_")}="{escape(plain(value))}"' for key, value in attributes.items() if value)
    return f'<{name}{head}>{inside if raw else escape(plain(inside))}</{name}>'


def items(texts, most=300):
    left = [f'and {len(texts) - most} more, see the record'] if len(texts) > most else []
    return tag(
        'ul',
        ''.join(tag('li', text) for text in list(texts)[:most] + left) or tag('li', 'none', class_='dim'),
        raw=True,
    )


def fold(head, texts, kind=''):
    return (
        tag('details', tag('summary', head, class_=kind) + items(texts), raw=True, open_=kind and 'open')
        if texts
        else ''
    )


def links(rec):
    paths = [os.path.relpath(os.path.join(record.results(), path), record.results()) for path in rec['logs']]
    files = {
        'log': f'{rec["stage"]}/log',
        **{os.path.relpath(p, rec['stage']): p for p in paths},
        'record': f'{rec["stage"]}.json',
    }
    return ' '.join(tag('a', n, href=p) for n, p in files.items() if os.path.exists(record.results(p)))


def to_html(records, line, runs):
    heads, body, rec = (
        ('stage', 'verdict', 'passed', 'failed', 'skipped', 'time', 'first failure', 'logs'),
        [],
        records[0],
    )
    for of in records:
        numbers = zip(heads[2:6], (*record.counts(of), took(of['seconds'])))
        cells = [tag('td', tag('b', of['stage']), raw=True), tag('td', verdict(of), class_=of['verdict'])]
        cells += [tag('td', number, class_='n', title=head) for head, number in numbers]
        cells += [tag('td', (wrong(of) or [''])[0], class_='why'), tag('td', links(of), raw=True, class_='why')]
        body.append(tag('tr', ''.join(cells), raw=True))
    head = tag('thead', tag('tr', ''.join(tag('th', head) for head in heads), raw=True), raw=True)
    parts = [tag('h1', f'mm-track: {record.line_of(*line)}', class_='fail' if line[1] else 'pass')]
    parts.append(tag('table', head + tag('tbody', '\n'.join(body), raw=True), raw=True))
    reasons = collections.defaultdict(list)
    for of in records:
        parts.append(fold(f'{of["stage"]}: {record.counts(of)[1]} failed', wrong(of), 'fail'))
        parts.append(fold(f'{of["stage"]}: unsteady', unsteady(of), 'unsteady'))
        parts.append(fold(f'{of["stage"]}: notes', of['notes']))
        for test in of['tests']:
            if test['status'] == 'skip':
                reasons[test['reason'] or 'no reason given'].append(f'{of["stage"]}: {name_of(test)}')
    past = sorted(record.troubled(runs).items(), key=lambda item: -item[1][0] - item[1][1])
    parts.append(tag('h2', f'Tests that failed or were unsteady in their last {record.WINDOW} runs'))
    parts.append(items([f'{stage}: {test}: {record.sentence(*numbers)}' for (stage, test), numbers in past]))
    parts.append(tag('h2', 'Skipped tests, by reason'))
    parts += [
        fold(f'{why} ({len(of)})', of) for why, of in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ] or [items([])]
    plots = sorted(
        glob.glob(record.results('bench', '*.svg')) or glob.glob(os.path.join(record.ROOT, 'bench', '*.svg'))
    )
    parts += [tag('h2', 'Benchmarks')] if plots else []
    for path in plots:
        with open(path, 'rb') as f:
            data = base64.b64encode(f.read()).decode()
        parts.append(f'<p><img alt="{escape(os.path.basename(path))}" src="data:image/svg+xml;base64,{data}"/></p>')
    dirty = {True: ', with changes that are not committed', False: ''}
    facts = {
        'Series': f'tree {rec["series"]["tree"][:12]}{dirty[bool(rec["series"]["dirty"])]}',
        'Base': f'{rec["base"]["name"]}, tree {rec["base"]["tree"][:12]}',
        'Workbench': rec['workbench']['commit'][:12] + dirty[rec['workbench']['dirty']],
        'Settings': ' '.join(f'{key}={value}' for key, value in rec['settings'].items()) or 'none',
        'Host': '{cpus} CPUs, {machine}, {gcc}, {qemu}'.format(**rec['host']),
        'Written': time.strftime('%Y-%m-%d %H:%M %Z'),
    }
    facts = ''.join(tag('dt', key) + tag('dd', value) for key, value in facts.items())
    parts += [tag('h2', 'What was tested'), tag('dl', facts, raw=True)]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f'{tag("title", "mm-track: " + record.line_of(*line))}<style>{STYLE}</style></head>\n'
        + tag('body', '\n'.join(filter(None, parts)), raw=True)
        + '</html>\n'
    )


def write(records):
    """Writes all reports of these records and prints the table; 1 if anything failed."""
    line = [sum(numbers) for numbers in zip(*map(record.counts, records))]
    print('== summary')
    table(records)
    record.write('check.json', to_json(records) + '\n')
    record.write('junit.xml', to_junit(records))
    record.write('index.html', to_html(records, line, record.history()))
    record.write('check', record.line_of(*line) + '\n')
    print(f'report: {os.path.relpath(record.results("index.html"), record.ROOT)}')
    print(record.line_of(*line))
    return int(line[1] > 0)


def main(argv):
    names = argv or [os.path.basename(path)[:-5] for path in glob.glob(record.results('*.json'))]
    records = list(filter(None, map(record.read, names)))
    if not records or argv and len(records) < len(argv):
        sys.exit(f'error: no record of {" ".join(argv) or "any stage"}: make check')
    return write(sorted(records, key=lambda rec: rec['started']))
