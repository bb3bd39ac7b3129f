# SPDX-License-Identifier: GPL-2.0
"""The list of splats against lines that kernels print, and lines that only look like it."""
import pytest

from mmtrack import splats

BAD = {
    'lockdep': [
        'WARNING: possible circular locking dependency detected',
        'WARNING: possible recursive locking detected',
        'WARNING: inconsistent lock state',
        'WARNING: possible irq lock inversion dependency detected',
        'WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected',
        'WARNING: SOFTIRQ-READ-safe -> SOFTIRQ-READ-unsafe lock order detected',
        'WARNING: bad unlock balance detected!',
        'WARNING: bad contention detected!',
        'WARNING: held lock freed!',
        'WARNING: lock held when returning to user space!',
        'WARNING: kunit_try_catch/213 still has locks held!',
        'WARNING: suspicious RCU usage',
        'WARNING: Nested lock was not taken',
        'WARNING: chain_key collision',
        '[ BUG: Invalid wait context ]',
        '[ BUG: bad unlock balance detected! ]',
        '[ INFO: possible recursive locking detected ]',
        'BUG: MAX_LOCKDEP_ENTRIES too low!',
        'BUG: MAX_LOCKDEP_CHAIN_HLOCKS too low!',
        'BUG: MAX_LOCK_DEPTH too low!',
        'BUG: MAX_STACK_TRACE_ENTRIES too low!',
        'BUG: looking up invalid subclass: 9',
        'BUG: key ffff888004a2b3c8 has not been registered!',
        'INFO: trying to register non-static key.',
        'DEBUG_LOCKS_WARN_ON(lock->magic != lock)',
        'INFO: lockdep is turned off.',
        'turning off the locking correctness validator.',
    ],
    'rcu': [
        'rcu: INFO: rcu_preempt self-detected stall on CPU',
        'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:',
        'rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-.... } 21 jiffies s: 65 root: 0x2/.',
        'INFO: rcu_tasks detected stalls on tasks:',
        "rcu: rcu_preempt kthread starved for 21002 jiffies! g-1039 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=1",
        "rcu: rcu_preempt kthread timer wakeup didn't happen for 2099 jiffies! g-1039 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x402",
        'Voluntary context switch within RCU read-side critical section!',
    ],
    'lockup': [
        'watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [mm_stress:213]',
        'BUG: soft lockup - CPU#1 stuck for 22s! [khugepaged:35]',
        'watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 1',
        'NMI watchdog: Watchdog detected hard LOCKUP on cpu 0',
        'CPU1: Watchdog detected hard LOCKUP on cpu 0',
        'BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 34s!',
    ],
    'kasan': [
        'BUG: KASAN: slab-use-after-free in planted_uaf+0x8d/0x120',
        'BUG: KASAN: invalid-access',
        'KASAN: null-ptr-deref in range [0x0000000000000000-0x0000000000000007]',
        'KASAN: maybe wild-memory-access in range [0xdead000000000100-0xdead000000000107]',
    ],
    'kcsan': [
        'BUG: KCSAN: data-race in as_walk_pte / apply_as_clean',
        'BUG: KCSAN: assert: race in planted_write+0x10/0x40',
        'BUG: KCSAN: data-race in shmem_file_read_iter+0x1d5/0x600',
    ],
    'kmsan': ['BUG: KMSAN: uninit-value in copy_page_to_iter+0x1c0/0x2a0'],
    'kfence': [
        'BUG: KFENCE: out-of-bounds read in test_out_of_bounds_read+0x9c/0x220',
        'BUG: KFENCE: use-after-free write in x+0x1/0x2',
        'BUG: KFENCE: memory corruption in x+0x1/0x2',
        'BUG: KFENCE: invalid free in x+0x1/0x2',
    ],
    'ubsan': [
        'UBSAN: array-index-out-of-bounds in mm/rmap.c:1201:10',
        'UBSAN: shift-out-of-bounds in lib/kunit/test.c:1:2',
        'UBSAN: Undefined behaviour in mm/shmem.c:1:2',
        'Internal error: UBSAN: array index out of bounds: 00000000f2005512 [#1]  SMP',
        'Oops: UBSAN: shift out of bounds: 0000 [#1] SMP NOPTI',
    ],
    'kmemleak': [
        'kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)',
        'kmemleak: 12 new suspected memory leaks (see /sys/kernel/debug/kmemleak)',
        'unreferenced object 0xffff888006a3c600 (size 96):',
        'unreferenced object (percpu) 0x607eefa1d2a0 (size 8):',
        'kmemleak: unreferenced object 0xffff888006a3c600 (size 96):',
        'kmemleak: Cannot insert 0xffff888006a3c600 into the object search tree (overlaps existing)',
        'kmemleak: Cannot allocate a kmemleak_object structure',
        'kmemleak: Memory pool empty, consider increasing CONFIG_DEBUG_KMEMLEAK_MEM_POOL_SIZE',
        'kmemleak: Kernel memory leak detector disabled',
    ],
    'hung': [
        'INFO: task kunit_try_catch:213 blocked for more than 122 seconds.',
        'INFO: task kworker/u8:3:57 blocked for more than 120 seconds.',
        'INFO: task mm stress:99 blocked in I/O wait for more than 120 seconds.',
        'INFO: task cat:120 is blocked on a mutex likely owned by task bash:88.',
        'INFO: task cat:120 <writer> blocked on an rw-semaphore likely owned by task bash:88 <reader>',
    ],
    'slab': [
        'BUG kmalloc-64 (Tainted: G    B  N ): Poison overwritten',
        'BUG vm_area_struct (Not tainted): Object already free',
        'BUG: mempool element poison mismatch',
    ],
    'page': [
        'BUG: Bad page state in process kunit_try_catch  pfn:05b2f',
        'BUG: Bad page map in process hmm-tests  pte:8000000012345025 pmd:12345067',
        'BUG: Bad page map: 12 messages suppressed',
        'BUG: Bad page cache in process cat  pfn:12345',
        'BUG: Bad rss-counter state mm:00000000f1b5cf4c type:MM_ANONPAGES val:2 Comm:prog Pid:77',
        'BUG: non-zero pgtables_bytes on freeing mm: 4096',
        'mm/pgtable-generic.c:42: bad pmd (____ptrval____)(8000000012345067)',
        'mm/pgtable-generic.c:29: bad pgd 0000000012345067.',
        '/build/mm/pgtable-generic.c:54: bad pud ffff888012345678(0000000012345067)',
        'arch/um/mm.c:42: bad pte 0000000060979000(00000000deadbeef).',
        'get_swap_device: Bad swap file entry 3ffffffffffff',
        'swap_info_get: Bad swap offset entry 3ffffffffffff',
        'page dumped because: VM_BUG_ON_FOLIO(folio_test_large(folio))',
        'pagealloc: memory corruption',
    ],
    'page_table_check': [
        'kernel BUG at mm/page_table_check.c:118!',
        'WARNING: mm/page_table_check.c:202 at page_table_check_pte_flags+0x4a/0x60, CPU#1: uffd-wp-mremap/93',
        'WARNING: CPU: 1 PID: 93 at mm/page_table_check.c:202 page_table_check_pte_flags+0x4a/0x60',
    ],
    'sleep': [
        'BUG: sleeping function called from invalid context at kernel/locking/mutex.c:575',
        'BUG: scheduling while atomic: kunit_try_catch/213/0x00000002',
        'BUG: assuming atomic context at mm/memory.c:1',
        'BUG: using smp_processor_id() in preemptible [00000000] code: kunit_try_catch/213',
        'BUG: using __this_cpu_read() in preemptible [00000000] code: cat/1',
        'BUG: workqueue leaked atomic, lock or RCU: kworker/0:1[9]',
    ],
    'spinlock': [
        'BUG: spinlock bad magic on CPU#0, kunit_try_catch/213',
        'BUG: spinlock lockup suspected on CPU#1, cat/7',
        'BUG: rwlock wrong CPU on CPU#1, cat/7, 00000000f1b5cf4c',
    ],
    'refcount': [
        'refcount_t: underflow; use-after-free.',
        'refcount_t: addition on 0; use-after-free.',
        'WARNING: lib/refcount.c:28 at refcount_warn_saturate+0xba/0x110, CPU#0: prog/7',
    ],
    'list': [
        'list_add corruption. next->prev should be prev (ffff8880), but was ffff8881. (next=ffff8882).',
        'list_del corruption, ffff888004a2b3c8->next is LIST_POISON1 (dead000000000100)',
        'kernel BUG at lib/list_debug.c:62!',
    ],
    'odebug': [
        'ODEBUG: free active (active state 0) object: 00000000f1b5cf4c object type: timer_list hint: x+0x0/0x10',
        'WARNING: lib/debugobjects.c:632 at debug_print_object+0x7d/0xb0, CPU#0: prog/7',
    ],
    'fault': [
        'Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008',
        'Unable to handle kernel paging request at virtual address dead000000000108',
        'Unable to handle kernel access to user memory without uaccess routines at virtual address 00007fff',
        'Internal error: Oops: 0000000096000004 [#1]  SMP',
        'Internal error: Oops - BUG: 00000000f2000800 [#1]  SMP',
        'Internal error: synchronous external abort: 0000000096000010 [#1] PREEMPT SMP',
        'BUG: unable to handle page fault for address: ffffffffdeadbeef',
        'BUG: unable to handle kernel NULL pointer dereference at 0000000000000008',
        'BUG: kernel NULL pointer dereference, address: 0000000000000008',
        'BUG: TASK stack guard page was hit at 00000000f1b5cf4c (stack is 00000000f1b5c000..00000000f1b60000)',
        'Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP KASAN',
        'general protection fault: 0000 [#1] SMP PTI',
        'general protection fault, probably for non-canonical address 0xdead: 0000 [#1] PREEMPT SMP',
        'Oops: 0000 [#1] SMP NOPTI',
        'Oops: Oops: 0002 [#1] SMP',
        'Oops [#1]',
        'Oops - illegal instruction [#1]',
        'Kernel BUG [#1]',
        'invalid opcode: 0000 [#1] SMP',
        'divide error: 0000 [#1] SMP',
        'Insufficient stack space to handle exception!',
        'traps: PANIC: double fault, error_code: 0x0',
        'SError Interrupt on CPU0, code 0x00000000be000011 -- SError',
    ],
    'bug': [
        'kernel BUG at mm/rmap.c:1234!',
        'kernel BUG at folio_walk+0x1/0x2 [verbose debug info unavailable]',
        'BUG: failure at mm/rmap.c:12/folio_add_anon_rmap()!',
        'BUG: arch topology borken',
    ],
    'warning': [
        'WARNING: mm/rmap.c:12 at folio_walk_start+0x1/0x2, CPU#0: prog/7',
        'WARNING: CPU: 1 PID: 93 at mm/rmap.c:12 folio_walk_start+0x1/0x2',
        'WARNING: CPU: 1 PID: 93 at folio_walk_start+0x1/0x2',
        'WARNING: at folio_walk_start+0x1/0x2, CPU#0: prog/7',
        'WARNING: kernel stack frame pointer at 00000000f1b5cf4c in cat:7 has bad value 0000000000000001',
    ],
    'panic': [
        'Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b',
        'Kernel panic - not syncing: Kernel mode fault at addr 0x8, ip 0x6026e723',
        'UML: Kernel panic - not syncing: Segfault with no mm',
        'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)',
    ],
    'trace': ['Call Trace:', 'Call trace:'],
}
GOOD = [
    '',
    '    # a_test: BUG: this is what a test says',
    '    # Subtest: list_corruption',
    '    ok 3 kasan_bug_BUG:_KASAN',
    '    not ok 4 WARNING: a name',
    'ok 2 Oops',
    'KTAP version 1',
    'selftests: prog BUG: KASAN: Oops',
    'a text with BUG: in it',
    'prog: WARNING: mm/rmap.c:12 at f+0x1/0x2',
    'kasan: KernelAddressSanitizer initialized',
    'kcsan: enabled early',
    'kfence: initialized - using 2097152 bytes for 255 objects at 0x(____ptrval____)-0x(____ptrval____)',
    'kmemleak: Kernel memory leak detector initialized (mem pool available: 15000)',
    'kmemleak: Automatic memory scanning thread started',
    'page_table_check: enabled',
    'Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar',
    '... MAX_LOCKDEP_SUBCLASSES:  8',
    'rcu: Preemptible hierarchical RCU implementation.',
    'rcu: \tRCU debug extended QS entry/exit.',
    'rcu: RCU calculated value of scheduler-enlistment delay is 10 jiffies.',
    'Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible via Spectre v2 BHB attacks!',
    'RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!',
    'x86/cpu: SGX disabled or unsupported by BIOS.',
    'Unknown kernel command line parameters "kunit_shutdown=halt panic_on_warn", will be passed to user space.',
    'Kernel command line: kunit.enable=1 oops=panic panic=-1 BUG: "Kernel panic"',
    'traps: prog[77] general protection fault ip:401136 sp:7ffd error:0 in prog[1136,401000+1000]',
    'prog[77]: segfault at 8 ip 0000000000401136 sp 00007ffd error 4 in prog[1136,401000+1000]',
    'prog[77]: unhandled signal 11 code 0x1 at 0x0000000000000008',
    'INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.023 msecs',
    'workqueue: mm_stress_work hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND',
    "clocksource: timekeeping watchdog on CPU0: Marking clocksource 'tsc' as unstable because the skew is too large:",
    'Unable to handle swap header version 0',
    'Linux version 7.3.4 (mm-track@mm-track) (gcc (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1 SMP 2026-01-01',
    'watchdog: Delayed init of the lockup detector failed: -19',
    'NMI watchdog: Perf NMI watchdog permanently disabled',
    'hung_task: 120 seconds is the limit',
    'ODEBUG: selftest passed',
    'kselftest: list_del corruption is what we look for',
    'Memory failure: 0x12345: recovery action for dirty LRU page: Recovered',
    'printk: legacy bootconsole [earlyser0] disabled',
    'This warning is printed only once: Trace of calls',
]
PREFIXES = ['', '[    1.234567] ', '[    1.234567][    T1] ', '[12345.234567][ T123] ', '[    T123] ', '[ 0.1] ']
PREFIXES += ['user space did not end its line[    1.234567] ']


@pytest.mark.parametrize('kind,line', [(kind, line) for kind, lines in BAD.items() for line in lines])
def test_header(kind, line):
    for prefix in PREFIXES:
        found = splats.find(['[    1.0] before', prefix + line + '\r\n', 'after'])
        assert [(s.kind, s.text, s.line_no) for s in found] == [(kind, line, 2)]


@pytest.mark.parametrize('line', GOOD)
def test_not_a_header(line):
    for prefix in PREFIXES[:6]:
        assert splats.find([prefix + line]) == []


@pytest.mark.parametrize(
    'line',
    [
        'WARNING: CPU: 0 PID: 1 at arch/x86/kernel/cpu/common.c:1 x+0x1/0x2',
        'WARNING: arch/x86/kernel/cpu/amd.c:276 at init_amd_k7+0x1/0x2, CPU#0: swapper/0',
    ],
)
def test_innocent_with_its_trace(line):
    assert not splats.find(
        [line, 'Modules linked in:', 'Call Trace:', ' <TASK>', ' f+0x1/0x2', '---[ end trace 0 ]---']
    )


REPORTS = {
    'circular': (
        'lockdep',
        """
======================================================
WARNING: possible circular locking dependency detected
7.3.4-g7dfbed7 #1 Tainted: G                 N
------------------------------------------------------
kunit_try_catch/213 is trying to acquire lock:
ffff888004a2b3c8 (&b){+.+.}-{4:4}, at: planted_lockdep+0x8d/0x120

but task is already holding lock:
ffff888004a2b348 (&a){+.+.}-{4:4}, at: planted_lockdep+0x81/0x120

which lock already depends on the new lock.


the existing dependency chain (in reverse order) is:

-> #1 (&a){+.+.}-{4:4}:
       __mutex_lock+0xa3/0xd30
       planted_lockdep+0x5a/0x120

-> #0 (&b){+.+.}-{4:4}:
       __lock_acquire+0x1495/0x2230

other info that might help us debug this:

 Possible unsafe locking scenario:

 *** DEADLOCK ***

1 lock held by kunit_try_catch/213:
 #0: ffff888004a2b348 (&a){+.+.}-{4:4}, at: planted_lockdep+0x81/0x120

stack backtrace:
CPU: 0 UID: 0 PID: 213 Comm: kunit_try_catch Tainted: G                 N  7.3.4-g7dfbed7 #1 PREEMPT(full)
Tainted: [N]=TEST
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996)
Call Trace:
 <TASK>
 dump_stack_lvl+0x78/0xe0
 kthread+0x10b/0x240
 </TASK>""",
    ),
    'kasan': (
        'kasan',
        """
==================================================================
BUG: KASAN: slab-use-after-free in planted_uaf+0x8d/0x120
Read of size 1 at addr ffff888006a3c600 by task kunit_try_catch/213

CPU: 0 UID: 0 PID: 213 Comm: kunit_try_catch Tainted: G    B            N  7.3.4 #1 PREEMPT(full)
Call Trace:
 <TASK>
 dump_stack_lvl+0x78/0xe0
 </TASK>

Allocated by task 213:
 kasan_save_stack+0x24/0x50

Freed by task 213:
 kasan_save_stack+0x24/0x50

The buggy address belongs to the object at ffff888006a3c600
Memory state around the buggy address:
 ffff888006a3c500: fa fb fb fb fb fb fb fb fb fb fb fb fc fc fc fc
>ffff888006a3c600: fa fb fb fb fb fb fb fb fb fb fb fb fc fc fc fc
                   ^
==================================================================
Disabling lock debugging due to kernel taint""",
    ),
    'kcsan': (
        'kcsan',
        """
==================================================================
BUG: KCSAN: data-race in planted_reader / planted_writer

write to 0xffff888006a3c600 of 8 bytes by task 214 on cpu 1:
 planted_writer+0x2d/0x60
 kthread+0x10b/0x240

read to 0xffff888006a3c600 of 8 bytes by task 213 on cpu 0:
 planted_reader+0x2d/0x60

value changed: 0x0000000000000001 -> 0x0000000000000002

Reported by Kernel Concurrency Sanitizer on:
CPU: 0 UID: 0 PID: 213 Comm: kunit_try_catch
==================================================================""",
    ),
    'refcount': (
        'refcount',
        """
------------[ cut here ]------------
refcount_t: underflow; use-after-free.
WARNING: lib/refcount.c:28 at refcount_warn_saturate+0xba/0x110, CPU#0: prog/7
Modules linked in:
CPU: 0 UID: 0 PID: 7 Comm: prog Not tainted 7.3.4 #1 PREEMPT(full)
RIP: 0010:refcount_warn_saturate+0xba/0x110
Call Trace:
 <TASK>
 f+0x1/0x2
 </TASK>
irq event stamp: 0
---[ end trace 0000000000000000 ]---""",
    ),
    'list, the oops and the panic': (
        'list',
        """
list_del corruption, ffff888004a2b3c8->next is LIST_POISON1 (dead000000000100)
------------[ cut here ]------------
kernel BUG at lib/list_debug.c:56!
Oops: invalid opcode: 0000 [#1] SMP KASAN NOPTI
CPU: 0 UID: 0 PID: 7 Comm: prog Not tainted 7.3.4 #1 PREEMPT(full)
RIP: 0010:__list_del_entry_valid_or_report+0x9e/0x100
Call Trace:
 <TASK>
 f+0x1/0x2
 </TASK>
Modules linked in:
---[ end trace 0000000000000000 ]---
RIP: 0010:__list_del_entry_valid_or_report+0x9e/0x100
Kernel panic - not syncing: Fatal exception
Kernel Offset: disabled
---[ end Kernel panic - not syncing: Fatal exception ]---""",
    ),
    'null pointer': (
        'fault',
        """
BUG: kernel NULL pointer dereference, address: 0000000000000008
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
PGD 0 P4D 0
Oops: Oops: 0000 [#1] SMP NOPTI
CPU: 0 UID: 0 PID: 7 Comm: prog Not tainted 7.3.4 #1 PREEMPT(full)
Call Trace:
 <TASK>
 f+0x1/0x2
 </TASK>
---[ end trace 0000000000000000 ]---""",
    ),
    'arm64': (
        'fault',
        """
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008
Mem abort info:
  ESR = 0x0000000096000004
Internal error: Oops: 0000000096000004 [#1]  SMP
Modules linked in:
CPU: 0 UID: 0 PID: 7 Comm: prog Not tainted 7.3.4 #1 PREEMPT
pc : f+0x1/0x2
lr : g+0x1/0x2
Call trace:
 f+0x1/0x2 (P)
 g+0x1/0x2
Code: d2800000 d65f03c0
---[ end trace 0000000000000000 ]---""",
    ),
    'riscv': (
        'warning',
        """
------------[ cut here ]------------
WARNING: mm/rmap.c:12 at folio_walk_start+0x1/0x2, CPU#0: prog/7
Modules linked in:
CPU: 0 UID: 0 PID: 7 Comm: prog Not tainted 7.3.4 #1 PREEMPT
epc : folio_walk_start+0x1/0x2
[<ffffffff80123456>] folio_walk_start+0x1/0x2
Call Trace:
[<ffffffff80123456>] folio_walk_start+0x1/0x2
[<ffffffff80123457>] walk_page_range+0x1/0x2
---[ end trace 0000000000000000 ]---""",
    ),
    'uml': (
        'warning',
        """
------------[ cut here ]------------
this is what it says
WARNING: mm/rmap.c:12 at folio_walk_start+0x1/0x2, CPU#0: prog/7
Modules linked in:
CPU: 0 UID: 0 PID: 7 Comm: prog Not tainted 7.3.4 #1 VOLUNTARY
Stack:
 603999ad 603999ad 00000000 603999ad
Call Trace:
 [<60047890>] ? um_set_signals+0x0/0x60
 [<6003c2e0>] ? show_stack+0x0/0xa0
---[ end trace 0000000000000000 ]---""",
    ),
    'hung': (
        'hung',
        """
INFO: task kunit_try_catch:213 blocked for more than 122 seconds.
      Tainted: G                 N  7.3.4 #1
"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
task:kunit_try_catch state:D stack:0     pid:213   tgid:213   ppid:2      task_flags:0x208040 flags:0x00080000
Call Trace:
 <TASK>
 __schedule+0x4a3/0x1310
 </TASK>
INFO: lockdep is turned off.""",
    ),
    'rcu': (
        'rcu',
        """
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
rcu: 	1-...!: (1 GPs behind) idle=6b24/1/0x4000000000000000 softirq=271/272 fqs=0
rcu: 	(detected by 0, t=2102 jiffies, g=-1039, q=14 ncpus=2)
Sending NMI from CPU 0 to CPUs 1:
NMI backtrace for cpu 1
Call Trace:
 <TASK>
 f+0x1/0x2
 </TASK>
rcu: rcu_preempt kthread starved for 2102 jiffies! g-1039 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=1
rcu: RCU grace-period kthread stack dump:
Call Trace:
 <TASK>
 g+0x1/0x2
 </TASK>""",
    ),
    'sleep': (
        'sleep',
        """
BUG: sleeping function called from invalid context at kernel/locking/mutex.c:575
in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 213, name: kunit_try_catch
preempt_count: 1, expected: 0
RCU nest depth: 0, expected: 0
CPU: 0 UID: 0 PID: 213 Comm: kunit_try_catch Tainted: G    N  7.3.4 #1 PREEMPT(full)
Call Trace:
 <TASK>
 f+0x1/0x2
 </TASK>""",
    ),
    'bad page map': (
        'page',
        """
BUG: Bad page map in process prog  pte:8000000012345025
pgd:12345067 p4d:12345067 pud:12346067 pmd:12347067
page: refcount:1 mapcount:-1 mapping:0000000000000000 index:0x0 pfn:0x12345
page dumped because: bad page map
addr:00007f0000000000 vm_flags:08100073 anon_vma:0000000000000000 mapping:ffff888004a2b3c8 index:0
CPU: 0 UID: 0 PID: 7 Comm: prog Not tainted 7.3.4 #1 PREEMPT(full)
Call Trace:
 <TASK>
 f+0x1/0x2
 </TASK>
Disabling lock debugging due to kernel taint""",
    ),
    'VM_BUG_ON': (
        'page',
        """
page: refcount:1 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x12345
flags: 0x100000000000000(node=0|zone=1)
page dumped because: VM_BUG_ON_PAGE(PageTail(page))
------------[ cut here ]------------
kernel BUG at include/linux/page-flags.h:413!
Oops: invalid opcode: 0000 [#1] SMP
Call Trace:
 <TASK>
 f+0x1/0x2
 </TASK>
---[ end trace 0000000000000000 ]---""",
    ),
    'dump_stack': (
        'trace',
        """
FAULT_FLAG_ALLOW_RETRY missing 70
CPU: 0 UID: 0 PID: 213 Comm: kunit_try_catch Tainted: G    N  7.3.4 #1 PREEMPT(full)
Tainted: [N]=TEST
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996)
Call Trace:
 <TASK>
 dump_stack_lvl+0x78/0xe0
 </TASK>""",
    ),
}


def lines_of(name, prefix='[    1.234567] '):
    return [prefix + line + '\n' for line in REPORTS[name][1].strip('\n').split('\n')]


@pytest.mark.parametrize('name', REPORTS)
def test_one_report_is_one_splat(name):
    for prefix in PREFIXES[:4]:
        lines = lines_of(name, prefix)
        around = [prefix + 'good line\n'] * 30
        found = splats.find(around + lines + around)
        assert [s.kind for s in found] == [REPORTS[name][0]]
        end = [line for line in found[0].block if 'Call Trace' in line or 'Call trace' in line or '=====' in line]
        assert end and 'good line' not in found[0].block[-1]


@pytest.mark.parametrize('first', REPORTS)
def test_a_report_hides_no_other(first):
    for second in REPORTS:
        found = splats.find(lines_of(first) + lines_of(second))
        assert [s.kind for s in found] == [REPORTS[first][0], REPORTS[second][0]], second


@pytest.mark.parametrize('line', [line for kind in ('page', 'kmemleak') for line in BAD[kind] if 'dumped' not in line])
def test_a_line_without_trace_hides_no_other(line):
    found = splats.find([line, 'x', *lines_of('sleep')])
    assert found[-1].kind == 'sleep' and len(found) == 2


def test_a_trace_says_what_it_was_for():
    (splat,) = splats.find(lines_of('dump_stack'))
    assert splat.text == 'FAULT_FLAG_ALLOW_RETRY missing 70: Call Trace' and splat.says(
        'FAULT_FLAG_ALLOW_RETRY missing'
    )


def test_a_trace_without_anything():
    assert [s.text for s in splats.find(['Call Trace:', ' f+0x1/0x2', 'Call Trace:'])] == ['Call Trace:'] * 2


def test_a_panic_on_its_own():
    found = splats.find(
        ['x'] * 100 + ['Kernel panic - not syncing: Attempted to kill init!', '---[ end Kernel panic - not syncing: x']
    )
    assert [s.kind for s in found] == ['panic']


@pytest.mark.parametrize(
    'line,where',
    [
        ('WARNING: mm/rmap.c:12 at some_function+0x1/0x2, CPU#0: prog/7', 'some_function'),
        ('WARNING: CPU: 1 PID: 93 at mm/rmap.c:12 some_function+0x1/0x2', 'some_function'),
        ('BUG: KASAN: slab-use-after-free in some_function+0x8d/0x120', 'some_function'),
        ('BUG: KCSAN: data-race in one_function / another', 'one_function'),
        ('WARNING: suspicious RCU usage', 'WARNING: suspicious RCU usage'),
    ],
)
def test_where(line, where):
    assert splats.find([line])[0].where == where


def test_what_warn_said_is_part_of_it():
    (splat,) = splats.find(lines_of('uml'))
    assert splat.says('this is what it says') and splat.says('folio_walk_start') and not splat.says('um_set_signals')


KUNIT = """\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: one
    1..3
    ok 1 first
    # second: a message
A
    ok 2 second
        KTAP version 1
        # Subtest: third
        ok 1 4 pages
B
        ok 2 5 pages
    # third: pass:2 fail:0 skip:0 total:2
    ok 3 third
C
ok 1 one
D
    KTAP version 1
    # Subtest: two
    1..2
    ok 1 fine
E"""


@pytest.mark.parametrize(
    'mark,who',
    [('A', 'one.second'), ('B', 'one.third'), ('C', 'one'), ('D', 'after one'), ('E', 'two'), (None, 'boot')],
)
def test_blame_kunit(mark, who):
    lines = ['[    1.000000] ' + line for line in ([] if mark else ['BUG: x']) + KUNIT.split('\n')]
    lines = [line[:-1] + 'BUG: x' if mark and line.endswith('] ' + mark) else line for line in lines]
    (splat,) = splats.find(lines)
    assert splats.blame(lines, splat) == who


def test_blame_selftests():
    lines = [
        '[ 0.1] selftests: prog -x',
        '[ 0.2] ok',
        '[ 0.3] selftests: other',
        '[ 0.4] BUG: x',
        '[ 0.5] selftests: third',
    ]
    assert splats.blame(lines, splats.find(lines)[0]) == 'other'
