# SPDX-License-Identifier: GPL-2.0
"""Reads the results that KUnit prints to a kernel's console, and those of a kselftest program (TAP).

read(lines) returns (tests, problems). A test is (group, name, status, seconds, reason):
  group   the KUnit suite; '' where there is none, as in the output of a program
  name    a KUnit test with parameters is one test; '-' stands for a suite or program that has no test of its own
  status  pass, fail, skip, or xfail (kselftest only: it failed as it says it should)
  seconds by the kernel's clock, None without time stamps
  reason  why it was skipped, or what failed; a test that never ended is a fail that begins with "crashed"
problems are texts: results that are missing, numbers that jump.
"""
import re

from mmtrack.splats import PREFIX, strip

STAMP = re.compile(r'.*?\[ *(\d+\.\d+)\]')
RESULT = re.compile(r'(\s*)(not ok|ok)\s+(\d+)\s*-?\s*(.*?)\s*(?:#\s*(SKIP|XFAIL|XPASS|TODO)\b:?\s*(.*))?$', re.I)
SUBTEST = re.compile(r'(\s*)# Subtest: (\S+)')
PLAN = re.compile(r'(\s*)1\.\.(\d+)\s*(?:#\s*SKIP\b:?\s*(.*))?$', re.I)
FAILED = re.compile(r'\s*# (\S+): (.*\bFAILED at \S+|.*try timed out|.*internal error occurred.*)')
WORST = ('fail', 'xfail', 'pass', 'skip')


class Level:
    """A suite, or a test with parameters, whose results are being read; without a name it is the whole output."""

    def __init__(self, name, depth, time):
        self.name, self.depth, self.last = name, depth, time
        self.tests, self.planned, self.number = [], None, 0


class Reader:
    def __init__(self):
        self.open, self.problems, self.time, self.why, self.kunit = [Level('', -1, None)], [], None, [], False

    def close(self, crash):
        """The level was left without a result of its own: whoever ran in it never came back."""
        level = self.open.pop()
        after = f' after {level.tests[-1][1]}' if level.tests else ''
        if len(self.open) > 1:
            self.add('fail', level.name, f'crashed{after}: {crash}')
        else:
            self.open[0].tests += [(level.name, *test[1:]) for test in level.tests]
            self.open[0].tests.append((level.name, '-', 'fail', None, f'crashed{after}: {crash}'))

    def add(self, status, name, reason):
        level = self.open[-1]
        took = None if None in (self.time, level.last) else round(self.time - level.last, 6)
        level.tests.append(('', name, status, took, reason))
        level.last, self.why = self.time, []

    def count(self, level):
        if level.planned is not None and level.planned != level.number:
            what = level.name or 'the whole'
            self.problems.append(f'{what}: {level.planned} results were planned, {level.number} came')

    def result(self, depth, number, said, name, directive, reason):
        inner = None
        while len(self.open) > 1 and self.open[-1].depth > depth:
            if self.open[-1].name == name and (len(self.open) < 3 or self.open[-2].depth <= depth):
                inner = self.open.pop()
                break
            self.close(f'no result of {self.open[-1].name}')
        level = self.open[-1]
        directive = (directive or '').upper()
        status = directive.lower() if directive in ('SKIP', 'XFAIL') else 'pass' if said == 'ok' else 'fail'
        if number != level.number + 1:
            self.problems.append(f'{level.name or "the whole"}: number {number} ({name}) follows {level.number}')
        level.number = number
        if not inner:
            if level.depth < 0 and self.kunit and not depth:
                level.tests.append((name, '-', status, None, reason or self.said()))  # a suite that ran nothing
            else:
                self.add(status, name, reason or (self.said() if status == 'fail' else ''))
            return
        self.count(inner)
        of = [test[2] for test in inner.tests]
        if level.depth >= 0:
            # the parameters of a test: as bad as the worst, and skipped only if all are
            bad = next((test for test in inner.tests if test[2] == 'fail'), None)
            worst = min(of + [status] if status == 'fail' or not of else of, key=WORST.index)
            text = reason or next((test[4] for test in inner.tests if test[4]), '')
            if worst == 'fail':
                text = f'{bad[1]}: {bad[4]}'.rstrip(': ') if bad else self.said() or 'its subtests passed, it did not'
            self.add(worst, name, text)
            return
        level.tests += [(name, *test[1:]) for test in inner.tests]
        if not inner.tests:
            level.tests.append((name, '-', status, None, reason))
        elif status == 'fail' and 'fail' not in of:
            level.tests.append((name, '-', 'fail', None, 'none of its tests failed, the suite did'))

    def said(self):
        return ' '.join(' '.join(self.why).split())

    def line(self, raw):
        stamp = STAMP.match(raw) if PREFIX.match(raw) else None
        if stamp:
            self.time = float(stamp[1])
        text = strip(raw)
        begun, result, plan, failed = (x.match(text) for x in (SUBTEST, RESULT, PLAN, FAILED))
        if begun:
            depth = len(begun[1])
            while len(self.open) > 1 and self.open[-1].depth >= depth:
                self.close(f'{begun[2]} began before its result')
            self.kunit = True
            self.open.append(Level(begun[2], depth, self.time))
        elif result:
            depth, said, number, name, directive, reason = result.groups()
            self.result(len(depth), int(number), said.lower(), name or reason or '-', directive, (reason or '').strip())
        elif plan:
            level = self.open[-1]
            if level.depth in (-1, len(plan[1])):
                level.planned = int(plan[2])
                if plan[2] == '0' and plan[3] is not None:
                    self.add('skip', '-', plan[3].strip())
        elif failed:
            self.why = [failed[2]]
        elif len(self.why) in (1, 2, 3) and text.startswith('    '):
            self.why.append(text)


def read(lines):
    reader = Reader()
    for raw in lines:
        reader.line(raw.rstrip('\r\n'))
    while len(reader.open) > 1:
        reader.close('the output ends before its result')
    top = reader.open[0]
    reader.count(top)
    if not top.tests:
        reader.problems.append('there is no result at all')
    return top.tests, reader.problems
