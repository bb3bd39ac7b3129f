# SPDX-License-Identifier: GPL-2.0
"""Builds the x86_64 kernel of make kunit with gcov in what the series touches, boots it, and prints which of the lines
that the series adds the suites run: by file, and what they do not run by function. The whole list is in the file lines.
Fails below LEAST percent."""
import collections
import glob
import json
import os
import re
import subprocess
import sys
import tarfile

from mmtrack import guest, kunit, record

LEAST = 95
NAME = 'x86_64-gcov'
# KUnit runs before init, which sends what debugfs has of the counters.
INIT = '''#!/bin/sh
mount -t devtmpfs none /dev
mkdir -p /sys
mount -t sysfs none /sys
mount -t debugfs none /sys/kernel/debug
cd /sys/kernel/debug/gcov
find . -name '*.gcda' | while read -r file; do
	mkdir -p "/out/${file%/*}"
	cat "$file" >"/out/$file"
done
stty -F /dev/ttyS1 raw
tar c -C /out . >/dev/ttyS1
sync
sleep 1
reboot -f
'''


def unpack(path, obj):
    """Writes the counters of the kernel in obj beside its objects, and nothing else anywhere. How many there were."""
    count = 0
    with tarfile.open(path) as tar:
        for member in tar:
            name = os.path.normpath('/' + member.name)
            if member.isfile() and name.startswith(f'{obj}/') and name.endswith('.gcda'):
                if os.path.isdir(os.path.dirname(name)):
                    with open(name, 'wb') as f:
                        f.write(tar.extractfile(member).read())
                    count += 1
    return count


def added(diff):
    """{file: lines that the diff adds}"""
    lines, file = collections.defaultdict(set), None
    for line in diff:
        if line.startswith('+++ '):
            file = None if line.startswith('+++ /dev/null') else line[6:].strip()
        elif file and (hunk := re.match(r'@@ -\S+ \+(\d+)(?:,(\d+))? @@', line)):
            start, count = int(hunk[1]), int(hunk[2] or 1)
            lines[file].update(range(start, start + count))
    return lines


def report(diff, gcov, out):
    """diff: lines; gcov: of what it says, a JSON object a line. False when too few lines were run."""
    new, runs, functions = added(diff), collections.defaultdict(collections.Counter), {}
    for text in gcov:
        for source in json.loads(text)['files']:
            file = re.sub(r'^.*/linux/(?=[a-z]+/)', '', os.path.normpath(source['file'])).removeprefix('../linux/')
            where = [(of['start_line'], of['end_line'], of['demangled_name']) for of in source.get('functions', [])]
            for line in source['lines'] if file in new else []:
                number = line['line_number']
                if number in new[file]:
                    runs[file][number] += line['count']
                    name = next((name for start, end, name in where if start <= number <= end), 'inlined')
                    functions[file, number] = name
    if not runs:
        sys.exit(f'error: no line of the series was counted, see {out}/gcov.log')
    ran = {file: sum(count > 0 for count in lines.values()) for file, lines in runs.items()}
    rows = [(file, ran[file], len(runs[file])) for file in sorted(runs)]
    total, covered = sum(row[2] for row in rows), sum(row[1] for row in rows)
    width = max(map(len, new))
    for file, some, of in rows + [('all', covered, total)]:
        print(f'{file:{width}}  {some:4} of {of:4}  {100 * some / of:5.1f}%')
        record.result('note', f'{file}: {some} of {of} lines run')
    print('no line of code in this kernel: ' + ', '.join(sorted(set(new) - set(runs))))
    missed = collections.defaultdict(list)
    with open(os.path.join(out, 'lines'), 'w', encoding='utf-8') as f:
        for file, number in sorted((file, number) for file in runs for number in runs[file]):
            print(f'{file}:{number}: {runs[file][number]}', file=f)
            if not runs[file][number]:
                missed[file, functions[file, number]].append(number)
    print('not run:')
    for (file, function), numbers in missed.items():
        print(f'    {file}: {function}(): {", ".join(map(str, numbers))}')
    enough = 100 * covered >= LEAST * total
    wrong = '' if enough else f'{covered} of {total} lines were run, fewer than {LEAST}%'
    record.result('test', 'coverage', f'at least {LEAST}%', 'pass' if enough else 'fail', '', wrong)
    if wrong:
        print(f'coverage: {wrong}', file=sys.stderr)
    return enough


def main(_):
    obj, out = os.path.join(record.build(), NAME), os.environ.get('MMTRACK_OUT') or record.results('coverage')
    os.makedirs(out, exist_ok=True)
    kunit.build_or_end(1, 3, 'coverage', NAME, f'{out}/build')
    for path in glob.glob(f'{obj}/**/*.gcda', recursive=True):
        os.remove(path)
    with open(f'{out}/init', 'w', encoding='utf-8') as f:
        f.write(INIT)
    files, links = guest.busybox()
    initrd = guest.initramfs(f'{out}/initramfs.cpio', obj, {'/init': f'{out}/init', **files}, links)
    print('[2/3] run')
    at = f'{out}/{NAME}'
    box = guest.Guest(NAME, obj, ['panic=-1', 'kunit.enable=1'], f'{at}.console', f'{at}.tar', initrd)
    print(box, flush=True)
    ended = box.run(int(os.environ.get('TIMEOUT') or 600))
    record.result('log', f'{at}.console')
    verdict = kunit.judge_console(NAME, at, any_=True, ended=ended)
    if kunit.report(verdict):
        return 1
    if not unpack(f'{at}.tar', os.path.realpath(obj)):
        sys.exit(f'error: the guest sent no counters, see {at}.console')
    with guest.step(3, 3, 'gcov'), open(f'{out}/gcov.json', 'wb') as f, open(f'{out}/gcov.log', 'wb') as log:
        for path in glob.glob(f'{obj}/**/*.gcda', recursive=True):
            subprocess.run(['gcov', '--json-format', '--stdout', path], cwd=obj, stdout=f, stderr=log, check=True)
    which = ['*.c', '*.h', ':!mm/tests', ':!tools', ':!lib/kunit/kunit-test.c']
    diff = kunit.changed('-p', '-U0', 'base', 'series', '--', *which).splitlines()
    with open(f'{out}/gcov.json', encoding='utf-8') as f:
        return int(not report(diff, f, out))
