# SPDX-License-Identifier: GPL-2.0
"""Reads what is expected: kunit/expected ("ARCH SUITE TEST", with "skip: REASON" behind it if it is skipped, and lines
"ARCH SUITE TEST splat: TEXT # REASON") and selftests/expected/* ("STATUS program: test # reason").

All parts of a splat line may be globs: "* suite test splat: TEXT # REASON".
"""
import fnmatch
import os
import re
import sys

SELFTEST = re.compile(r'(PASS|FAIL|SKIP|XFAIL|FLAKY|WARN|NEW) (.*?): (.*?)(?: # (.*))?$')


def lines_of(path, comment):
    if os.path.exists(path):
        with open(path, encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                if line.startswith('#'):
                    comment.append(line)
                elif line.strip():
                    yield number, line.rstrip('\n')


def kunit(path):
    """({(arch, suite, test): reason it is skipped, or ''}, [(arch, suite, test, text, reason)] of splats, comment on top)"""
    tests, splats, comment = {}, [], []
    for number, line in lines_of(path, comment):
        test, kind, rest = re.fullmatch(r'(.*?)(?: (skip|splat):(.*))?', line).groups()
        text, _, reason = (rest or '').strip().rpartition(' # ') if kind == 'splat' else ('', '', (rest or '').strip())
        if len(test.split()) != 3 or kind and not reason or kind == 'splat' and not text:
            sys.exit(
                f'error: {path}:{number}: not "arch suite test", "arch suite test skip: reason" '
                'or "arch suite test splat: text # reason"'
            )
        if kind == 'splat':
            splats.append((*test.split(), text.strip(), reason))
        else:
            tests[tuple(test.split())] = reason
    return tests, splats, comment


def excused(splats, arch, who, splat):
    """The reason for which this splat is expected, or None; who is what splats.blame() says."""
    suite, _, test = who.partition('.')
    for *globs, text, reason in splats:
        if all(map(fnmatch.fnmatchcase, (arch, suite, test or '-'), globs)) and splat.says(text):
            return reason
    return None


def selftests(path):
    """({(program, test): (STATUS, reason)}, comment on top); WARN's test is the function that warned"""
    tests, comment = {}, []
    for number, line in lines_of(path, comment):
        hit = SELFTEST.match(line)
        if not hit:
            sys.exit(f'error: {path}:{number}: not "STATUS program: test" or "STATUS program: test # reason"')
        tests[hit[2], hit[3]] = (hit[1], hit[4] or '')
    return tests, comment
