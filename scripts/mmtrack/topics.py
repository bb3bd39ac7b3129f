# SPDX-License-Identifier: GPL-2.0
"""The topics of patches/series: "# topic: NAME needs: OTHER ..." stands before the patches of each, after those it needs.

topics                     lists them, with patches, lines and needs
topics patches NAME        the patches that apply to the base in this order: of what NAME needs, and its own
topics place FILE...       prints the series with these patches, new ones in the topic of their neighbours, or in TOPIC=
"""
import os
import re
import sys

from mmtrack import record

LINE = re.compile(r'# topic: ([a-z0-9-]+)(?: needs:((?: [a-z0-9-]+)+))?')


class Topic:
    def __init__(self, line, name='', needs=()):
        self.line, self.name, self.needs, self.own = line, name, list(needs), []


def fail(text):
    sys.exit(f'error: {text}')


def slug(patch):
    """The name of a patch without its number."""
    return re.sub(r'^\d+-', '', patch)


def read():
    """(comments before the first topic, the topics in order); a series may have none."""
    comments, topics = [], []
    path = os.path.join(record.ROOT, 'patches', 'series')
    with open(path, encoding='utf-8') if os.path.exists(path) else open(os.devnull, encoding='utf-8') as f:
        lines = [line.strip() for line in f]
    for line in filter(None, lines):
        if line.startswith('# topic:'):
            hit = LINE.fullmatch(line) or fail(f'patches/series: "{line}" is not "# topic: NAME needs: OTHER ..."')
            needs, before = (hit[2] or '').split(), [topic.name for topic in topics]
            for need in needs:
                need in before or fail(f'patches/series: {hit[1]} needs {need}, which does not stand before it')
            hit[1] not in before or fail(f'patches/series: there are two topics {hit[1]}')
            topics.append(Topic(line, hit[1], needs))
        elif line[0] != '#':
            topics = topics or [Topic('')]
            topics[-1].own.append(line)
        elif not topics:
            comments.append(line)
    if topics[1:] and not topics[0].name:
        fail(f'patches/series: {topics[0].own[0]} stands before the first topic')
    return comments, topics


def names():
    return [topic.name for topic in read()[1] if topic.name] or fail('patches/series has no topic')


def named(name):
    topics = [topic for topic in read()[1] if topic.name]
    found = [topic for topic in topics if topic.name == name]
    return found[0] if found else fail(f'TOPIC={name}: choose of {" ".join(topic.name for topic in topics) or "none"}')


def needed(name):
    """The topics that one needs, and what these need, in order."""
    topics, names = read()[1], set(named(name).needs)
    for topic in reversed(topics):
        names.update(topic.needs if topic.name in names else [])
    return [topic for topic in topics if topic.name in names]


def patches(name):
    return [patch for topic in [*needed(name), named(name)] for patch in topic.own]


def place(files):
    """The lines of the new series."""
    comments, topics = read()
    if not topics or not topics[0].name:
        return comments + files
    names = [topic.name for topic in topics]
    known = {slug(patch): n for n, topic in enumerate(topics) for patch in topic.own}
    asked = os.environ.get('TOPIC')
    if asked and asked not in names:
        fail(f'TOPIC={asked}: choose of {" ".join(names)}')
    of = [known.get(slug(file)) for file in files]
    for i, n in enumerate(of):
        before, after = of[i - 1] if i else 0, next((m for m in of[i:] if m is not None), len(names) - 1)
        if n is None and before != after or n is None and i + 1 == len(of):
            between = ' or '.join(f'TOPIC={name}' for name in names[before : after + 1])
            n = names.index(asked or fail(f'{files[i]} is new, of which topic? make refresh {between}'))
        of[i] = before if n is None else n
        if i and of[i] < before:
            fail(
                f'{files[i]} is of {names[of[i]]}, but stands behind {files[i - 1]} of {names[before]}: move the commit'
                ' with git rebase -i, or its line in patches/series'
            )
    for n, topic in enumerate(topics):
        topic.own = [file for file, m in zip(files, of) if m == n]
    return comments + [line for topic in topics for line in [topic.line, *topic.own]]


def lines_of(names):
    """(added, removed)"""
    paths = [os.path.join('patches', name) for name in names]
    of = [line.split() for line in record.git('apply', '--numstat', *paths).splitlines()] if paths else []
    return [sum(int(row[i]) for row in of if row[i] != '-') for i in (0, 1)]


def main(argv):
    if argv[:1] == ['patches'] and len(argv) == 2:
        print(*patches(argv[1]), sep='\n')
    elif argv[:1] == ['place']:
        sys.stdout.writelines(line + '\n' for line in place(argv[1:]))
    elif argv[:1] == ['names']:
        print(*names(), sep='\n')
    elif argv:
        fail(f'usage: {__doc__}')
    else:
        topics = read()[1]
        print(f'{"topic":12} patches        lines  needs')
        for topic in topics:
            lines = '+{} -{}'.format(*lines_of(topic.own))
            print(f'{topic.name:12} {len(topic.own):7} {lines:>12}  {" ".join(topic.needs)}'.rstrip())
    return 0
