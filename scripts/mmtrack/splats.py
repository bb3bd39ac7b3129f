# SPDX-License-Identifier: GPL-2.0
"""The one list of what a kernel says when something is wrong, whatever its tests say.

find(lines) reads a console of x86, arm64, riscv64 or UML, with time stamps or without, and returns one Splat for
each report: its header and what belongs to it. blame(lines, splat) names the test that ran at that point.
"""
import re
from typing import NamedTuple

# the kernel's "[   12.345678][    T1] ", also where a line of user space was not ended before it
PREFIX = re.compile(r'(?:.*?\[ *\d+\.\d{6}\]|\[ *\d+\.\d+\])(?:\[ *[TC]\d+\])? ?|\[ *[TC]\d+\] ?|<\d>')
# Kinds, and what a report of that kind begins with, once the prefix is gone. The first that matches counts.
HEADERS = r"""
lockdep  (?:\[ )?(?:WARNING|BUG|INFO): (?:possible (?:circular|recursive|irq lock)|inconsistent lock|\S+-safe -> )
lockdep  (?:\[ )?(?:WARNING|BUG|INFO): (?:bad (?:unlock|contention)|held lock freed|lock held when returning|chain_key coll)
lockdep  (?:\[ )?(?:WARNING|BUG|INFO): (?:suspicious RCU usage|Invalid wait context|[Nn]ested lock was not|.*/\d+ still has)
lockdep  BUG: (?:MAX_LOCK|MAX_STACK_TRACE|looking up invalid subclass|key \S+ has not been registered)
lockdep  INFO: (?:trying to register non-static key|lockdep is turned off)|turning off the locking correct|DEBUG_LOCKS_WARN_ON
rcu      (?:rcu: )?INFO: \S*rcu\S* (?:self-)?detected|rcu: \S+ kthread (?:starved|timer wakeup)
rcu      (?:Voluntary|Illegal) context switch within RCU
lockup   (?:\w+: )?BUG: (?:soft|workqueue) lockup|(?:NMI )?(?:watchdog: )?.*Watchdog detected hard LOCKUP
kasan    (?:\w+: )?BUG: KASAN: |KASAN: .* in range \[
kcsan    BUG: KCSAN:
kmsan    BUG: KMSAN:
kfence   BUG: KFENCE:
ubsan    UBSAN: |Internal error: UBSAN|Oops: UBSAN
kmemleak kmemleak: (?:\d+ new suspected|unreferenced object|Cannot insert|Cannot allocate a kmemleak|Memory pool empty)
kmemleak kmemleak: (?:Kernel memory leak detector disabled|Found object by alias|.* unknown object at )
kmemleak unreferenced object\S* \S* ?0x\w+ \(size
hung     INFO: task .+:\d+ (?:<\S+> )?(?:is )?blocked
slab     BUG (?!: )\S+.* \(.*\): |BUG: MEMPOOL|(?:\w+: )?BUG: mempool
page     (?:\w+: )?BUG: (?:Bad page|Bad rss-counter|non-zero pgtables_bytes)|\S+:\d+: bad (?:pte|pmd|pud|p4d|pgd)\b
page     (?:\w+: )?Bad swap (?:file|offset) entry|page dumped because: VM_(?:BUG|WARN)
page     pagealloc: (?:memory corruption|single bit error)
page_table_check (?:kernel BUG at|WARNING:) .*\bmm/page_table_check\.c:\d+
sleep    BUG: (?:sleeping function|scheduling |assuming |using \S+ in preemptible|workqueue leaked)
spinlock BUG: (?:spinlock|rwlock|rt_mutex)
refcount refcount_t: |WARNING: .*\blib/refcount\.c:\d+
list     (?:h?list_\w+|slab) corruption|(?:kernel BUG at|WARNING:) .*\blib/list_debug\.c:\d+
odebug   ODEBUG: (?!selftest passed)|WARNING: .*\blib/debugobjects\.c:\d+
fault    Unable to handle kernel |BUG: (?:unable to handle|kernel NULL pointer|.*stack guard page)|Internal error: |Oops\b
fault    (?:traps: )?general protection fault[:,]|(?:traps: )?PANIC: |stack segment: |Insufficient stack space
fault    Kernel stack overflow|Bad mode in |SError Interrupt|Unhandled fault: |[^#]* \[#\d+\]
bug      (?:[\w-]+: )?BUG: |kernel BUG |(?:\w+: )?Corrupted page table
warning  WARNING:
panic    (?:\w+: )?(?:---\[ end )?Kernel panic - not syncing
trace    (?:.*\()?Call [Tt]race:|Backtrace:
"""
HEADERS = [
    (kind, re.compile(pattern)) for kind, pattern in (line.split(None, 1) for line in HEADERS.strip().split('\n'))
]
# Reports that say nothing about us, by their header.
INNOCENT = [(r'WARNING: .*\barch/x86/kernel/cpu/', 'what i386 thinks of the CPUs that QEMU gives it')]
# of one line; those that come right behind another of the same report; a panic that another report led to
SINGLE = re.compile(
    r'\S+:\d+: bad p|.*Bad swap|kmemleak: |INFO: lockdep is|BUG: (?:Bad rss|non-zero)|rcu: \S+ kthread tim'
)
FOLLOW = ('warning', 'bug', 'fault', 'kasan', 'ubsan', 'list', 'refcount', 'odebug', 'page_table_check', 'lockdep')
AFTER = re.compile(r'.*(?:Fatal exception|panic_on_\w+ set|BUG!|blocked tasks|hung tasks|Aiee|RCU Stall|LOCKUP|Oops)')
# with a trace for each CPU or task, and what is said before one; with a line of "=" at the end
MANY, OTHER = ('rcu', 'lockup', 'panic'), re.compile(r'NMI backtrace for|task:.* state:|.*stack dump:|Sending NMI')
RULED = ('kasan', 'kcsan', 'kfence', 'kmsan', 'slab')
FRAME = re.compile(r'\s+\S|\[<|</?\w+>$|(?:RIP|RSP|EIP|CR2|Code|R[A-Z0-9]{2}): ?|[\w.]+\+0x|$')
MARK = re.compile(r'\s*(?:# |(?:not )?ok \d|K?TAP version|\d+\.\.\d+$)|selftests: ')
SUBTEST, RESULT = re.compile(r'( *)# Subtest: (\S+)'), re.compile(r'( *)(?:not )?ok \d+ (?:- )?(\S*)')


class Splat(NamedTuple):
    line_no: int  # of the header, the first line of the console is 1
    kind: str
    text: str  # the header without its prefix
    block: list  # all lines of the report without their prefixes, with what WARN() said before the header

    @property
    def where(self):
        """The function that the header names, or else the header."""
        hit = re.search(r' (?:at|in|at \S+:\d+) ([\w.]+)(?:\+0x| / )', self.text)
        return hit[1] if hit else self.text

    def says(self, text):
        """Is it the one that a line "splat: TEXT" of what is expected means? The trace does not count."""
        trace = next((n for n, line in enumerate(self.block) if kind_of(line) == 'trace'), len(self.block))
        return any(text in line for line in [self.text] + self.block[:trace])


def strip(line):
    line = line.rstrip('\r\n')
    hit = PREFIX.match(line)
    return line[hit.end() :] if hit else line


def kind_of(text):
    """The kind of report that this line, without its prefix, begins, or None."""
    if not text[:1].strip() or MARK.match(text):
        return None
    return next((kind for kind, header in HEADERS if header.match(text)), None)


def end_of(texts, kinds, start):
    """Where the report ends whose header is line start."""
    kind, end, last, traced = kinds[start], start + 1, start, kinds[start] == 'trace'
    if SINGLE.match(texts[start]):
        return end
    for i in range(start + 1, len(texts)):
        text = texts[i]
        if MARK.match(text) or i > last + (400 if kind in MANY + ('lockdep',) else 100):
            break
        if text.startswith('---[ end ') or text.startswith('=====') and kind in RULED:
            return i + 1
        if kinds[i] == 'trace' and (not traced or kind in MANY and any(map(OTHER.match, texts[max(end, i - 30) : i]))):
            end, last, traced = i + 1, i, True
        elif text.startswith('INFO: lockdep is') or kind == kinds[i] == 'rcu' and 'INFO' not in text:
            end = i + 1
        elif kinds[i] in FOLLOW and not traced and i - last <= 8:
            end, last = i + 1, i
        elif kinds[i] or traced and 'cut here ]' in text:
            break
        elif traced and i == end and FRAME.match(text):
            end = i + 1
    return end


def find(lines):
    """Every report in these lines of a console that is not innocent."""
    texts = [strip(line) for line in lines]
    kinds = [kind_of(text) for text in texts]
    splats, end = [], 0
    for i, kind in enumerate(kinds):
        if not kind or i < end:
            continue
        floor, begin, text = max(end, i - 12), i, texts[i]
        led = kind == 'panic' and AFTER.match(text) and splats and i < end + 60
        end = end_of(texts, kinds, i)
        if kind == 'trace':
            # what dump_stack() was called for stands above its "CPU: ..."
            cpu = next((n for n in range(floor, i) if re.match(r'CPU: \d+ .*Comm: ', texts[n])), 0)
            if cpu > floor and texts[cpu - 1].strip() and not MARK.match(texts[cpu - 1]):
                begin, text = cpu - 1, f'{texts[cpu - 1].strip()}: Call Trace'
        else:
            begin = next((n for n in range(floor, i) if 'cut here ]' in texts[n]), i)
        if led:
            splats[-1].block.extend(texts[i:end])
        elif not any(re.match(pattern, line) for pattern, _ in INNOCENT for line in texts[begin : min(end, i + 9)]):
            splats.append(Splat(i + 1, kind, text, texts[begin:end]))
    return splats


def blame(lines, splat):
    """Who ran: "suite.test" of KUnit, "suite" between its tests, or a program of the selftests; "boot" before the first."""
    now, suites = 'boot', []
    for number, text in enumerate(map(strip, lines), 1):
        begun, ended = SUBTEST.match(text), RESULT.match(text)
        if number > splat.line_no and (begun or ended):
            # a test is named when it ends, or when the first of its parameters begins
            inside = len(suites) == 1 and len((ended or begun)[1]) >= suites[0][0] + bool(begun)
            return f'{suites[0][1]}.{(ended or begun)[2]}' if inside else '.'.join(s[1] for s in suites[:2]) or now
        if text.startswith('selftests: ') and number < splat.line_no:
            now, suites = text[11:], []
        elif begun:
            suites = [s for s in suites if s[0] < len(begun[1])] + [(len(begun[1]), begun[2])]
        elif ended:
            suites, now = [s for s in suites if s[0] <= len(ended[1])], f'after {ended[2]}' if not ended[1] else now
    return '.'.join(s[1] for s in suites[:2]) or now
