# SPDX-License-Identifier: GPL-2.0
"""Compiles bench/bench_kunit.c into the base and into the series and runs both, on x86_64 under QEMU's -icount
(instructions) and on UML (nanoseconds). Writes results.json, results.md and plots to build/results/bench.

Fails when an instruction or event count is not within 1% of the one in bench/results.json, or when an operation on
ordinary memory has become more than 1% dearer. CASES= is a glob of cases; --write, or WRITE=1, records all of it in
bench/ and in its README. --tables writes bench/results.md and bench/README.md again from bench/results.json.
"""
import fnmatch
import json
import os
import re
import statistics
import sys

import yaml

from mmtrack import guest, kunit, record
from mmtrack.mutants import shell

UNIT = {'x86_64': 'instructions', 'um': 'ns'}
# what is compiled, and the cases of a side that has not all: marker is the series with another PTE for the uffd-wp marker,
# that of mainline with the uffd bit, which shows what the special PTE gains over any constant
SIDES = {'base': 'bench_*', 'marker': 'bench_uffd*', 'series': 'bench_*'}
NAMES = {'base': 'mainline', 'marker': 'series, marker with the uffd bit'}
WITHIN = 1  # per cent
LINES = [
    ('mainline 7.3: mapping_dirty_helpers', 'call', 'base'),
    ('this series: as_dirty_helpers', 'call', 'series'),
    ('a bare loop over the entries', 'bare loop', 'series'),
]
BENCH = os.path.join(record.ROOT, 'bench')
# SIDE DIR: its tree with the benchmark in it. Nothing but a driver selects the helpers.
PREPARE = r'''
need_tree && need_commits
worktree "$2" "${1/marker/series}"
if [ "$1" = marker ]; then
	marker='__swp_entry_encode(make_pte_marker_entry(PTE_MARKER_UFFD_WP))'
	sed -i "/^#define UFFD_WP_SWP_PTE_SPECIAL/s/__pte(0)/$marker/" "$2/include/linux/swapops.h"
	grep -qF "pte_swp_mkuffd($marker)" "$2/include/linux/swapops.h" || die "bench: the special PTE has another #define now"
fi
# mm_kunit.h calls these
visible=$(git -C "$tree" log -1 --format=%H --grep='^mm: make the functions behind some system calls visible' base..series)
if [ "$1" = base ] && [ -n "$visible" ]; then
	git -C "$tree" show "$visible" | git -C "$2" apply
fi
mkdir -p "$2/mm/tests" && cp "$root/bench/bench_kunit.c" "$2/mm/tests/"
git -C "$tree" show series:mm/tests/mm_kunit.h >"$2/mm/tests/mm_kunit.h"
echo "obj-y += tests/bench_kunit.o" >>"$2/mm/Makefile"
sed -i '/^config \(AS\|MAPPING\)_DIRTY_HELPERS$/{n;s/bool/def_bool y/}' "$2/mm/Kconfig"
'''
# ARCH LOG DIR OBJ. Both trees are called linux, so that ccache shares objects.
BUILD = r'''
kernel_env
cd "$3"
/usr/bin/python3 tools/testing/kunit/kunit.py build --arch="$1" --build_dir="$4" --jobs="${J:-$(nproc)}" \
	--kunitconfig="$root/bench/$1.kunitconfig" --make_options="CC=$cc" --make_options="HOSTCC=$hostcc" >"$2" 2>&1 ||
	die "bench: the kernel does not build: see $2"
'''


def where(side, name='linux'):
    return os.path.join(record.build(), 'bench', side, name)


def measured(side, arch, out, cases):
    """The rows that the benchmark prints."""
    at = os.path.join(out, f'{side}-{arch}')
    args = [f'kunit.filter_glob=bench.{cases}', 'kunit.enable=1']
    args += ['kunit_shutdown=halt', 'mem=2G'] if arch == 'um' else ['kunit_shutdown=reboot']
    # what -icount counts is not to depend on another CPU
    box = guest.Guest(arch, where(side, arch), args, f'{at}.console', cpus=1, icount=arch != 'um')
    print(box, flush=True)
    verdict = kunit.judge_console(arch, at, ended=box.run(int(os.environ.get('TIMEOUT') or 900)), any_=True)
    record.result('log', f'{at}.console')
    if wrong := verdict.failures + verdict.problems:
        sys.exit(f'error: bench: {side}: {"; ".join(wrong)}: see {at}.console')
    with open(f'{at}.console', encoding='utf-8', errors='replace') as f:
        return list(rows(f, side, arch))


def rows(lines, side, arch):
    for line in lines:
        if hit := re.search(r'BENCH (.+)\|(.+)\|(.+)\|(\d+): ([\d ]+)$', line.rstrip()):
            row = {'arch': arch, 'side': side} | dict(zip(('group', 'what', 'how'), hit.groups()))
            of = [int(value) for value in hit[5].split()]
            yield row | {'units': int(hit[4]), 'median': statistics.median(of), 'min': min(of), 'max': max(of)}


def counts(results):
    """{(side, group, what, how): row} of what does not depend on the machine."""
    return {tuple(row[k] for k in ('side', 'group', 'what', 'how')): row for row in results if row['arch'] != 'um'}


def number(value):
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def is_event(row):
    return bool(re.search('notifiers|flushes', row['group']))


def each(row):
    return row['median'] / row['units']


def spread_of(row):
    return 100 * (row['max'] - row['min']) / row['median'] if row['median'] else 0


def cost(row):
    """Of one unit, with the spread of the rounds; events are those of the whole."""
    spread = f' ({spread_of(row):.1f}%)' if spread_of(row) >= 0.05 else ''
    return number(row['median']) if is_event(row) else number(each(row)) + spread


def table(group, arch, of_group):
    heads = sorted(dict.fromkeys((r['side'], r['how']) for r in of_group), key=lambda h: (h[1] == 'bare loop', h))
    of = {(r['what'], r['side'], r['how']): r for r in of_group}
    last = next(how for how in ('range', 'loop', 'call') if ('series', how) in heads or how == 'call')
    first = 'loop' if last == 'range' else last
    yield f'\n### {group}: {"events" if is_event(of_group[0]) else UNIT[arch] + " a unit"}, {arch}\n'
    names = [f'{NAMES.get(side, side)}: {how}' for side, how in heads]
    yield f'| | units | {" | ".join(names)} | ratio |'
    yield '|---' * (len(heads) + 3) + '|'
    for what in dict.fromkeys(r['what'] for r in of_group):
        cells = [cost(of[what, *head]) if (what, *head) in of else '-' for head in heads]
        before, after = of.get((what, 'base', first)), of.get((what, 'series', last))
        ratio = f'{before["median"] / after["median"]:.2f}' if before and after and after['median'] else '-'
        units = next(r['units'] for r in of_group if r['what'] == what)
        yield f'| {what} | {units:,} | {" | ".join(cells)} | {ratio} |'


def headlines(of):
    """(text, cells of the table or None where it was not measured) of each row of headlines.yaml."""
    with open(f'{BENCH}/headlines.yaml', encoding='utf-8') as f:
        lines = yaml.safe_load(f)
    for line in lines:
        mainline, here = [line['group'], line['what']], [line['group'], line.get('series', line['what'])]
        how, aim = line.get('how', ['call', 'call']), line.get('aim')
        before, after = of.get(('base', *mainline, how[0])), of.get(('series', *here, how[1]))
        if before and after:
            bare, ratio = of.get(('series', *here, 'bare loop')), each(before) / each(after)
            goal = f'{aim}: {"met" if ratio >= aim else "NOT MET"}' if aim else '-'
            cells = number(each(before)), number(each(after)), f'{ratio:.3g}', goal
            yield line['text'], (*cells, f'{each(after) / each(bare):.2f}' if bare else '-')
        else:
            yield line['text'], None


def ordinary(of):
    """(change in per cent, operation) of what should not change, by the least of the rounds."""
    for (side, group, *what), row in of.items():
        if side == 'base' and group.startswith('ordinary') and (after := of.get(('series', group, *what))):
            yield 100 * (after['min'] / row['min'] - 1), f'{group}, {what[0]}'


def summary(of):
    yield '| instructions a unit, x86_64 | mainline | series | mainline / series | aim | series / bare loop |'
    yield '|---|---|---|---|---|---|'
    yield from (f'| {text} | {" | ".join(cells)} |' for text, cells in headlines(of) if cells)
    if changes := sorted(ordinary(of), reverse=True):
        ends = [f'{change:+.2f}% ({what})' for change, what in (changes[0], changes[-1])]
        yield f'\nOrdinary memory, which should not change, the series against mainline: {ends[0]} at most,'
        yield f'{ends[1]} at least, of {len(changes)} operations.'
    spread = [spread_of(row) for row in of.values() if row['median'] and not is_event(row)]
    yield f'\nSpread of the rounds of an instruction count: {statistics.median(spread or [0]):.2f}% in the median,'
    yield f'under 1% for {sum(s < 1 for s in spread)} of {len(spread)}.'


def page(results):
    yield '# What it costs, beside mainline (written by make bench WRITE=1)\n'
    yield from summary(counts(results))
    yield '\nIn brackets: the spread of the rounds, if it is 0.1% or more.'
    for arch, group in dict.fromkeys((row['arch'], row['group']) for row in results):
        yield from table(group, arch, [row for row in results if (row['arch'], row['group']) == (arch, group)])


def plots(results, out):
    os.environ.setdefault('MPLCONFIGDIR', '/tmp')
    import matplotlib

    matplotlib.use('svg')
    # the same file for the same numbers
    matplotlib.rcParams['svg.hashsalt'] = 'mm-track'
    from matplotlib import pyplot

    of = {key[2:] + key[:1]: row for key, row in counts(results).items() if key[1] == 'dirty'}
    scans = [what for what in dict.fromkeys(key[0] for key in of) if 'pages' not in what and 'huge' not in what]
    one, bars = pyplot.subplots(figsize=(10, 4.5), layout='constrained')
    two, slope = pyplot.subplots(figsize=(6, 4), layout='constrained')
    for i, (label, *how) in enumerate(LINES):
        there = [(n + (i - 1) * 0.27, each(of[what, *how])) for n, what in enumerate(scans) if (what, *how) in of]
        drawn = bars.bar([x for x, _ in there], [y for _, y in there], 0.27, label=label)
        bars.bar_label(drawn, [number(y) for _, y in there], fontsize=6)
        sizes = sorted(
            (r['units'] / 256, r['median']) for key, r in of.items() if 'pages' in key[0] and [*key[1:]] == how
        )
        slope.loglog([x for x, _ in sizes], [y for _, y in sizes], marker='o', label=label)
    bars.set_xticks(range(len(scans)), [scan.replace(', ', ',\n') for scan in scans], fontsize=8)
    bars.set_ylabel('instructions an entry, x86_64')
    slope.set_xlabel('MiB scanned, clean entries')
    slope.set_ylabel('instructions, x86_64')
    for figure, axes, name in ((one, bars, 'scans'), (two, slope, 'slope')):
        axes.legend()
        figure.savefig(f'{out}/{name}.svg', metadata={'Date': None})
        record.result('log', f'{out}/{name}.svg')


def read(path):
    with open(path, encoding='utf-8') as f:
        return json.load(f)


def compare(before, after, some):
    """What differs from the record: [(side, text)], by the least of the rounds, for the others have timer interrupts and
    deferred work in them. some: what is not there was not asked for."""
    for key, row in before.items():
        old, new = row['min'], after[key]['min'] if key in after else None
        if new is None and not some:
            yield key[0], f'{" | ".join(key)}: {old}, now not there'
        elif new is not None and abs(new - old) > old * WITHIN / 100:
            yield key[0], f'{" | ".join(key)}: {old}, now {new}'


def judge(of, some, before):
    """Writes the tests of the record; True if all is well."""
    bad = []

    def test(name, failed, reason):
        record.result('test', 'bench', name, 'fail' if failed else 'pass', '', reason)
        bad.extend([f'{name}: {reason}'] if failed else [])

    for text, cells in headlines(of):
        if cells or not some:
            test(text, not cells, '{} to {}, ratio {}, aim {}, {} of a bare loop'.format(*cells or '-----'))
    if changes := sorted(ordinary(of), reverse=True):
        most = '; '.join(f'{change:+.2f}% ({what})' for change, what in changes[:3])
        test(f'ordinary memory at most {WITHIN}% dearer', changes[0][0] > WITHIN, f'most: {most}')
    differ, common = list(compare(before, of, some)), len(before.keys() & of.keys())
    reason = f'{common} of {len(before)} counts compared, {len(differ)} differ'
    if any(side == 'base' for side, _ in differ):
        reason += ', those of the base too: another compiler, another QEMU or another base'
    reason = '; '.join([reason] + [text for _, text in differ[:5]])
    test(f'within {WITHIN}% of bench/results.json', differ or not common, reason)
    if new := len(of.keys() - before.keys()):
        record.result('note', f'{new} counts are not recorded: make bench WRITE=1')
    print(*(text for _, text in differ), *bad, sep='\n', file=sys.stderr)
    return not bad


def write(results, out, readme=''):
    lines = ',\n'.join(json.dumps(row) for row in results)
    record.write(f'{out}/results.json', f'[\n{lines}\n]\n')
    record.write(f'{out}/results.md', '\n'.join(page(results)) + '\n')
    plots(results, out)
    if readme:
        with open(readme, encoding='utf-8') as f:
            parts = re.split('(<!-- make bench writes this -->\n|<!-- to here -->\n)', f.read())
        if len(parts) == 5:
            parts[2] = '\n'.join(summary(counts(results))) + '\n'
            record.write(readme, ''.join(parts))


def main(argv):
    readme, cases = os.path.join(BENCH, 'README.md'), os.environ.get('CASES', '')
    if '--tables' in argv:
        return write(read(f'{BENCH}/results.json'), BENCH, readme)
    keep = '--write' in argv or os.environ.get('WRITE')
    if keep and cases:
        sys.exit('error: WRITE: bench/ has all cases: leave CASES= out')
    with open(f'{BENCH}/bench_kunit.c', encoding='utf-8') as f:
        chosen = fnmatch.filter(re.findall(r'KUNIT_CASE\w*\((\w+)\)', f.read()), cases or '*')
    if not chosen:
        sys.exit(f'error: CASES: no case of bench/bench_kunit.c is called {cases}')
    os.environ['ACCEL'] = 'tcg'  # nothing else counts instructions
    out = os.environ.get('MMTRACK_OUT') or record.results('bench')
    os.makedirs(out, exist_ok=True)
    # UML has the cases of dirty tracking only
    runs = [('x86_64', side) for side, of in SIDES.items() if fnmatch.filter(chosen, of)]
    runs += [('um', side) for side in ('base', 'series') if 'bench_dirty' in chosen]
    n, total, results = 0, 1 + 2 * len(runs), []
    with guest.step(n := n + 1, total, 'trees'):
        for side in dict(reversed(run) for run in runs):
            shell(PREPARE, side, where(side))
    for arch, side in runs:
        with guest.step(n := n + 1, total, f'kernel: {side}, {arch}'):
            shell(BUILD, arch, f'{out}/{side}-{arch}.build', where(side), where(side, arch))
    for arch, side in runs:
        print(f'[{(n := n + 1)}/{total}] run: {side}, {arch}')
        # one glob for the guest: that of the side, if CASES has more
        fits = fnmatch.filter(chosen, SIDES[side]) == chosen
        results += measured(side, arch, out, cases if cases and fits else SIDES[side])
    write(results, out)
    print('\n'.join(summary(counts(results))), f'\nall of it: {out}/results.md')
    if keep:
        write(results, BENCH, readme)
    return int(not judge(counts(results), bool(cases), counts(read(f'{BENCH}/results.json'))))
