# SPDX-License-Identifier: GPL-2.0
"""What is mailed, from b4.yaml, patches/cover-letter.txt and patches/*.patch. Nothing is sent. With TOPIC= it is one topic of
patches/series, with patches/cover-TOPIC.txt, and with NEEDS=1 the patches of those it needs before its own.

mail check        is b4.yaml right?
mail lists        the lists of b4.yaml, one a line
mail get KEY      one of its values
mail patches      what is mailed of patches/, one a line
mail below        what that has to stand on, besides the base
mail cover        the message of the commit that b4 prep keeps a cover letter in
mail mbox [FILE]  the series as a numbered, threaded mbox (build/series.mbox, build/TOPIC.mbox); the same patches give the same bytes"""
import email
import email.header
import email.utils
import json
import os
import re
import subprocess
import sys

import jsonschema
import yaml

from mmtrack import record, topics

ROOT = record.ROOT
TEXT = {'type': 'string', 'minLength': 1}
TOPIC, NEEDS = os.environ.get('TOPIC'), os.environ.get('NEEDS') == '1'


def like(pattern):
    return {'type': 'string', 'pattern': pattern}


def some(items, **more):
    return {'type': 'array', 'uniqueItems': True, 'items': items, **more}


def closed(optional, **properties):
    names = [name for name in properties if name not in optional]
    return {'type': 'object', 'additionalProperties': False, 'required': names, 'properties': properties}


SCHEMA = closed(
    ['topics'],
    **{'name': like('^[a-z0-9-]+$'), 'change-id': like(r'^\d{8}-[a-z0-9-]+-[0-9a-f]{12}$')},
    revision={'type': 'integer', 'minimum': 1},
    prefixes=some(TEXT),
    subject=TEXT,
    base=closed(['commit'], tag=TEXT, tree=TEXT, commit=like('^[0-9a-f]{40}$')),
    prerequisites=some(like('^(patch-id|change-id|message-id): [^ ]+$')),
    to=some(like('^[^@ ]+@[^@ ]+$'), minItems=1),
    cc=some(like('^[^@ ]+@[^@ ]+$')),
    topics={
        'type': 'object',
        'additionalProperties': closed(['to'], subject=TEXT, to=some(TEXT), cc=some(like('^[^@ ]+@[^@ ]+$'))),
    },
)
LAST_DATE = 'Thu, 31 Dec 2099 23:59:59 +0000'  # that git am reads


def fail(text):
    sys.exit(f'error: {text}')


def load():
    try:
        with open(os.environ.get('B4_YAML', f'{ROOT}/b4.yaml'), encoding='utf-8') as f:
            b4 = yaml.safe_load(f)
    except FileNotFoundError:
        fail('b4.yaml is missing: git checkout b4.yaml')
    except yaml.YAMLError as error:
        fail(f'b4.yaml is no YAML, mend it: {" ".join(str(error).split())}')
    for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(b4):
        where = '.'.join(str(p) for p in error.path)
        fail(f'b4.yaml: {where + ": " if where else ""}{error.message}; mend it there')
    return of_topic(b4) if TOPIC else b4


def of_topic(b4):
    """b4.yaml for one topic: what it needs is a prerequisite, unless it is mailed too."""
    topics.named(TOPIC)
    if TOPIC not in b4.get('topics', {}):
        fail(f'b4.yaml: topics has no {TOPIC}: give it a subject and its lists')
    date, name, last = re.match(r'(\d+)-(.*)-([0-9a-f]+)', b4['change-id']).groups()
    ids = {topic.name: f'{date}-{name}-{topic.name}-{last}' for topic in topics.read()[1]}
    needs = [f'change-id: {ids[topic.name]}:v{b4["revision"]}' for topic in topics.needed(TOPIC) if not NEEDS]
    own = {'name': f'{b4["name"]}-{TOPIC}', 'change-id': ids[TOPIC], 'prerequisites': b4['prerequisites'] + needs}
    return {**b4, **own, **b4['topics'][TOPIC]}


def patches():
    """(what is mailed, what that stands on)"""
    if not TOPIC:
        return [name for topic in topics.read()[1] for name in topic.own], []
    both, own = topics.patches(TOPIC), topics.named(TOPIC).own
    return (both, []) if NEEDS else (own, both[: -len(own)])


def read(name, mend):
    try:
        with open(f'{ROOT}/patches/{name}', encoding='utf-8', newline='') as f:
            return f.read()
    except FileNotFoundError:
        fail(f'patches/{name} is missing: {mend}')


def cover_letter():
    name = f'cover-{TOPIC or "letter"}.txt'
    return read(name, f'git checkout patches/{name}').rstrip()


def prep_cover(b4):
    """As b4 prep writes it; recipients are trailers, so that they count for this series only."""
    tracking = {'series': {'revision': b4['revision'], 'change-id': b4['change-id'], 'prefixes': b4['prefixes']}}
    if b4['prerequisites']:
        tracking['series']['prerequisites'] = b4['prerequisites']
    trailers = [f'{kind}: {who}' for kind in ('To', 'Cc') for who in b4[kind.lower()]]
    mark = '--- b4-submit-tracking ---\n# This section is used internally by b4 prep for tracking purposes.'
    return '\n'.join([b4['subject'], '', cover_letter(), '', *trailers, '', mark, json.dumps(tracking, indent=2)])


def base_commit(b4):
    """The commit that the series stands on, if LINUX= or b4.yaml says; that of a tarball is nobody else's."""
    if os.environ.get('LINUX'):
        name = os.environ.get('BASE_COMMIT') or b4['base']['tag']
        return record.git('rev-parse', '-q', '--verify', f'{name}^{{commit}}', at=os.environ['LINUX']) or fail(
            f'LINUX={os.environ["LINUX"]} has no {name}: name what the series stands on with BASE_COMMIT='
        )
    return b4['base'].get('commit')


def ambiguous(text):
    """What git am, or the reader of an mbox, would take for the end of a commit message; None if nothing does."""
    body = text[text.index('\n\n') + 2 :].splitlines()
    end = next((i for i, line in enumerate(body) if line.startswith('diff --git ')), len(body))
    for i, line in enumerate(body):
        if line.startswith('From '):
            return line
        if i < end and re.match(r'---$|--- \S|diff -|Index: ', line) and '---' in body[i + (line == '---') : end]:
            return line
    return None if '---' in body[:end] else body[end] if end < len(body) else 'no patch'


def read_patch(name):
    """A patch: its mail, its subject as people read it, its headers as they are, and its body."""
    text = read(name, 'make refresh')
    bad = ambiguous(text)
    if bad is not None:
        fail(f'{name}: git am would end the commit message at "{bad}": reword it, make refresh')
    header, body = text[: text.index('\n\n')], text[text.index('\n\n') :]
    patch = email.message_from_string(header)
    subject = re.sub(r'^\[PATCH\] ', '', decoded(patch['Subject']))
    date = email.utils.parsedate_tz(patch['Date'])
    # folded lines are joined, for b4 0.12 does not read folded ones back
    return {
        'from': ' '.join(patch['From'].split()),
        'date': patch['Date'] if date and date[0] < 2100 else LAST_DATE,
        'subject': subject,
        'body': body.rstrip('\n') + '\n',
    }


def decoded(text):
    return str(email.header.make_header(email.header.decode_header(' '.join(text.split()))))


def encoded(text):
    return text if text.isascii() else email.header.Header(text, 'utf-8').encode(maxlinelen=0)


def mbox(b4, out):
    read('series', 'make refresh')
    names = patches()[0] or fail('patches/series is empty: make refresh')
    letters = [read_patch(name) for name in names]
    base = base_commit(b4)
    host = re.search('@([^>]+)', letters[0]['from'])[1]
    # v2 is of no use to a first posting
    tag = ' '.join(['PATCH', *b4['prefixes'], *([f'v{b4["revision"]}'] if b4['revision'] > 1 else [])])
    width = len(str(len(names)))
    recipients = ''.join(
        f'{kind}: {(","+chr(10)+" ").join(b4[kind.lower()])}\n' for kind in ('To', 'Cc') if b4[kind.lower()]
    )
    ids = [f'{b4["change-id"]}-v{b4["revision"]}-{i}@{host}' for i in range(len(names) + 1)]

    def letter(i, patch):
        thread = f'In-Reply-To: <{ids[0]}>\nReferences: <{ids[0]}>\n' if i else ''
        return (
            f'From {"0" * 40} Mon Sep 17 00:00:00 2001\nFrom: {patch["from"]}\nDate: {patch["date"]}\n'
            f'Subject: [{tag} {i:0{width}}/{len(names)}] {encoded(patch["subject"])}\n{recipients}'
            f'Message-ID: <{ids[i]}>\n{thread}X-Change-ID: {b4["change-id"]}\nMIME-Version: 1.0\n'
            f'Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n{patch["body"]}'
        )

    stat = subprocess.run(
        ['git', 'apply', '--stat', '--summary', *(f'{ROOT}/patches/{name}' for name in names)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    notes = [
        f'base: tag {b4["base"]["tag"]} of {b4["base"]["tree"]}',
        f'change-id: {b4["change-id"]}',
        *([f'base-commit: {base}'] if base else []),
        *(f'prerequisite-{p}' for p in b4['prerequisites']),
    ]
    list_of = '\n'.join(f'{i:{width}} {patch["subject"]}' for i, patch in enumerate(letters, 1))
    # no line of dashes: what follows one is a patch to git am
    body = '\n'.join(['', cover_letter(), '', list_of, '', stat, *notes, ''])
    cover = {'from': letters[0]['from'], 'date': letters[-1]['date'], 'subject': b4['subject'], 'body': body}
    with open(out, 'w', encoding='utf-8', newline='') as f:
        f.write('\n'.join(letter(i, patch) for i, patch in enumerate([cover, *letters])))
    print(f'{out}: a cover letter and {len(names)} patches; nothing was sent')
    if not base:
        print(
            f'It has no base-commit: LINUX= a tree that has {b4["base"]["tag"]}, or base.commit in b4.yaml, gives one.'
        )


def main(argv):
    b4 = load()
    if argv[:1] == ['lists']:
        print('\n'.join(b4['to'] + b4['cc']))
    elif argv[:1] == ['get']:
        print(b4[argv[1]] if argv[1] in b4 else b4['base'][argv[1]])
    elif argv in (['patches'], ['below']):
        print(*patches()[argv == ['below']], sep='\n')
    elif argv == ['cover']:
        print(prep_cover(b4))
    elif argv[:1] == ['mbox']:
        if not argv[1:]:
            make_build = ['bash', '-c', '. scripts/lib/common.sh; make_build']
            if subprocess.run(make_build, cwd=ROOT, check=False).returncode:
                return 1
        mbox(b4, argv[1] if argv[1:] else os.path.join(record.build(), f'{TOPIC or "series"}.mbox'))
    elif argv != ['check']:
        fail(f'usage: {__doc__}')
    return 0
