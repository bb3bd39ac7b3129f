// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guest of make fuzz: random operations on one address space, beside a model of it.
 *
 *	fuzz SECONDS SEED	a list of operations for each seed, until time is over
 *	fuzz one SEED		the list of this seed
 *	fuzz file FILE		the list in FILE, as it is printed below
 *	fuzz list SEED		prints the list of this seed
 *
 * The model knows of each page what is in it, whether it may be written to (mprotect), whether
 * userfaultfd write-protects it, whether it is a guard region, and which device may have exclusive
 * access (/dev/hmm_dmirror0 and 1, of lib/test_hmm.c). Every difference from what the kernel says
 * is one line:
 *
 *	seed S, step N, operation, page P: expected X, found Y
 *
 * A list that fails is shortened, each try in a child process, until no operation can be left out,
 * and printed. An operation is name:memory:first page+pages:number. One that cannot be done in the
 * state that it finds is skipped, so any part of a list is a list. "mode" says how userfaultfd is
 * opened, see enum mode.
 *
 * To read a page by the CPU changes it: a page that is swapped out, migrated or a device's comes
 * back. So after each operation /proc/self/pagemap and the device's own check, which change
 * nothing, say what has become of its pages and two more on both sides. Contents are read after
 * every fourth operation, all of them after each CHECK_EVERY, and at the end.
 *
 * What the documentation does not promise is not asserted: "Not asserted:" says where, and why.
 * Nor is what is known to be wrong in mainline and not fixed by the series: "Known:" says what.
 * One more argument is the sum of those of KNOWN_* that are to be left out, 0 for none, or "base"
 * for all that mainline has.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test_hmm_uapi.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

#define PAGE			4096UL
#define PMD			(512 * PAGE)
#define PAGES			1024	/* of one kind of memory, at most */
#define OPS			300	/* of a seed */
#define CHECK_EVERY		100
#define LIMIT_SECS		200	/* a list that takes longer hangs */
#define PM_UFFD_WP		(1ULL << 57)
#define PM_GUARD		(1ULL << 58)
#define FAILURES		3	/* lists that fail, after which it ends */
#define DEVICES			2

enum kind { ANON, THP, SHM, ALIAS, PRIV, HUGE, KINDS };

static const struct memory {
	const char *name;
	unsigned int offset;	/* of the mapping from a boundary of page tables, in pages */
	unsigned int pages;
	int file;		/* which one is mapped, -1: none */
	bool shared, tracked;	/* MAP_SHARED; registered with userfaultfd */
} memory[KINDS] = {
	[ANON] = { "anon", 448, 128, -1, false, true },
	/* one huge page, and what is around it */
	[THP] = { "thp", 448, 640, -1, false, true },
	[SHM] = { "shm", 448, 640, 0, true, true },
	/* the same file once more */
	[ALIAS] = { "alias", 448, 640, 0, true, false },
	[PRIV] = { "priv", 448, 128, 1, false, true },
	[HUGE] = { "huge", 0, 1024, 2, true, true },
};

#define FILES			3

/* How userfaultfd is opened: for all of a list. */
enum mode {
	SYNC = 1,	/* a thread hears of writes, and unprotects the page */
	REMAP = 2,	/* it hears of mremap() as well, which takes the protection along */
	SHM_HUGE = 4,	/* huge pages in shared memory */
	/*
	 * What is known to be wrong and so is not asserted, or not done: see where they are used.
	 * The lists fail, with OPS= (3221225472 is a number with which the operation does not read
	 * what it changed).
	 *
	 * mode=1 protect:anon:60+10:3221225472 read:anon:60+10:3221225472
	 * to-device:anon:62+3:3221225472
	 */
	KNOWN_ZERO_PAGE = 8,
	/* mode=0 to-device:anon:60+10:3221225472 scan:anon:60+10:3221225496 */
	KNOWN_ENTRIES = 16,
	/*
	 * mode=0 to-device:anon:60+4:3221225472 protect:anon:60+4:3221225472
	 * device-read:anon:60+4:3221225472
	 */
	KNOWN_TEST_HMM = 32,
	/* mode=0 dontneed:huge:0+512:3221225472 scan:huge:0+512:3221225496 */
	KNOWN_HUGE_UNMAPPED = 64,
	/* mode=0 scan:huge:0+1024:25354 */
	KNOWN_HUGE_PART = 128,
	KNOWN = KNOWN_HUGE_UNMAPPED | KNOWN_HUGE_PART,
	/* those that the series fixes: with SIDE=base */
	KNOWN_BASE = KNOWN | KNOWN_ZERO_PAGE | KNOWN_ENTRIES | KNOWN_TEST_HMM,
};

struct page {
	uint64_t v[2];		/* the first and the last word, of contents of its own */
	int index;		/* of the page of the file that is mapped */
	bool own;		/* it has: anonymous, or a copy */
	bool writable, wp, guard;
	bool any_wp;		/* whatever pagemap says next is right */
	unsigned char migrated;	/* the devices whose memory it may be in */
	unsigned char may;	/* the devices that may have exclusive access */
};

static struct page pages[KINDS][PAGES];
static uint64_t contents[FILES][PAGES][2];

struct op {
	unsigned char what, kind;
	unsigned short start, len;
	uint32_t arg;
};

static struct shared {
	char said[512];
	unsigned long ops, skipped, messages, refused;
} *shared;

static unsigned int mode, step;
static unsigned int known = KNOWN;
static uint64_t seed;
static char current[128];
static int uffd, pagemap, maps, fds[FILES], devices[DEVICES] = { -1, -1 };
static uint64_t *buffer;

static char *at(enum kind kind, unsigned int i)
{
	return (char *)(1UL << 40) + kind * 4 * PMD + (memory[kind].offset + i) * PAGE;
}

__attribute__((noreturn, format(printf, 3, 4)))
static void differs(enum kind kind, unsigned int i, const char *fmt, ...)
{
	int n = snprintf(shared->said, sizeof(shared->said), "seed %llu, step %u, %s, page %s:%u: ",
			 (unsigned long long)seed, step, current, memory[kind].name, i);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(shared->said + n, sizeof(shared->said) - n, fmt, ap);
	va_end(ap);
	_exit(1);
}

/* What has to work did not. */
__attribute__((noreturn)) static void refused(enum kind kind, unsigned int i, const char *what)
{
	differs(kind, i, "expected %s to work, found: %s", what, strerror(errno));
}

__attribute__((noreturn)) static void bail_out(const char *what)
{
	printf("Bail out! %s: %m\n", what);
	fflush(stdout);
	_exit(2);
}

/* SplitMix64 */
static uint64_t random_state;

static uint64_t next_random(void)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static unsigned int below(unsigned int n)
{
	return next_random() % n;
}

/* The access to memory that may answer with a signal. */

static sigjmp_buf jump;

static void on_signal(int number)
{
	siglongjmp(jump, number);
}

static bool peek(char *addr, uint64_t *v)
{
	if (sigsetjmp(jump, 0))
		return false;
	v[0] = *(volatile uint64_t *)addr;
	v[1] = *(volatile uint64_t *)(addr + PAGE - 8);
	v[2] = *(volatile uint64_t *)(addr + PAGE / 2);
	return true;
}

static bool poke(char *addr, uint64_t v)
{
	if (sigsetjmp(jump, 0))
		return false;
	*(volatile uint64_t *)addr = v;
	return true;
}

/* The model. */

static uint64_t *value(enum kind kind, unsigned int i)
{
	struct page *page = &pages[kind][i];

	return page->own ? page->v : contents[memory[kind].file][page->index];
}

/* The pages that are one page to the kernel. */
static unsigned int grain(enum kind kind)
{
	return kind == HUGE ? 512 : 1;
}

static void set_wp(enum kind kind, unsigned int i, bool wp)
{
	unsigned int n = grain(kind);

	for (unsigned int j = i / n * n; j < i / n * n + n; j++) {
		pages[kind][j].wp = wp;
		pages[kind][j].any_wp = false;
	}
}

/* The page is about to be written to. */
static uint64_t *model_write(enum kind kind, unsigned int i)
{
	struct page *page = &pages[kind][i];

	if (!page->own && !memory[kind].shared) {
		memcpy(page->v, value(kind, i), sizeof(page->v));
		page->own = true;
	}
	set_wp(kind, i, false);
	page->may = 0;
	page->migrated = 0;
	return value(kind, i);
}

static void model_fresh(enum kind kind, unsigned int i)
{
	pages[kind][i] = (struct page){
		.own = memory[kind].file < 0,
		.index = i,
		.writable = true,
	};
}

static void no_device(enum kind kind, unsigned int start, unsigned int len)
{
	for (unsigned int i = start; i < start + len; i++)
		pages[kind][i].may = 0;
}

/* userfaultfd, and the thread that reads from it in modes SYNC and REMAP. */

static unsigned long heard;
static uint64_t heard_at;

static void write_protect(enum kind kind, unsigned int start, unsigned int len, bool wp)
{
	struct uffdio_writeprotect arg = {
		.range = { (uintptr_t)at(kind, start), len * PAGE },
		.mode = wp ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	while (ioctl(uffd, UFFDIO_WRITEPROTECT, &arg)) {
		/* mremap() is not over as long as its event is on the way */
		if (errno != EAGAIN)
			refused(kind, start, "UFFDIO_WRITEPROTECT");
	}
}

static void *reader(void *unused)
{
	struct uffd_msg msg;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_writeprotect arg = {};
		char *huge = at(HUGE, 0);

		if (msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		if (!(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP))
			bail_out("a message that is none of write protection");
		arg.range.start = msg.arg.pagefault.address & ~(PAGE - 1);
		arg.range.len = PAGE;
		if (arg.range.start - (uintptr_t)huge < memory[HUGE].pages * PAGE) {
			arg.range.start &= ~(PMD - 1);
			arg.range.len = PMD;
		}
		__atomic_store_n(&heard_at, arg.range.start, __ATOMIC_RELAXED);
		__atomic_fetch_add(&heard, 1, __ATOMIC_SEQ_CST);
		shared->messages++;
		while (ioctl(uffd, UFFDIO_WRITEPROTECT, &arg) && errno == EAGAIN)
			;
	}
	return unused;
}

/* A write to the page is over: one message if it was write-protected, and none otherwise. */
static void check_heard(enum kind kind, unsigned int i, unsigned long before, bool any)
{
	unsigned long n = __atomic_load_n(&heard, __ATOMIC_SEQ_CST) - before;
	unsigned long expected = mode & SYNC && pages[kind][i].wp;
	uint64_t addr = (uintptr_t)at(kind, i / grain(kind) * grain(kind));

	if (any)
		return;
	if (n != expected)
		differs(kind, i, "expected %lu messages of the write, found %lu", expected, n);
	if (n && heard_at != addr)
		differs(kind, i, "expected a message of %#llx, found %#llx",
			(unsigned long long)addr, (unsigned long long)heard_at);
}

static void track(enum kind kind, unsigned int start, unsigned int len, bool on)
{
	struct uffdio_register arg = {
		.range = { (uintptr_t)at(kind, start), len * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (!memory[kind].tracked)
		return;
	if (on ? ioctl(uffd, UFFDIO_REGISTER, &arg) : ioctl(uffd, UFFDIO_UNREGISTER, &arg.range))
		refused(kind, start, on ? "UFFDIO_REGISTER" : "UFFDIO_UNREGISTER");
}

static void map(enum kind kind, unsigned int start, unsigned int len)
{
	const struct memory *m = &memory[kind];
	int flags = MAP_FIXED | (m->shared ? MAP_SHARED : MAP_PRIVATE) |
		    (m->file < 0 ? MAP_ANONYMOUS : 0);
	/* a huge page is at the same place of the file's */
	off_t offset = m->file < 0 ? 0 : (m->offset + start) * PAGE;
	int fd = m->file < 0 ? -1 : fds[m->file], advice = 0;
	char *addr = at(kind, start);

	if (mmap(addr, len * PAGE, PROT_READ | PROT_WRITE, flags, fd, offset) != addr)
		refused(kind, start, "mmap()");
	if (kind == THP || (m->file == 0 && mode & SHM_HUGE))
		advice = MADV_HUGEPAGE;
	else if (kind == ANON)
		advice = MADV_NOHUGEPAGE;
	/* fails where there are no huge pages */
	if (advice)
		madvise(addr, len * PAGE, advice);
	for (unsigned int i = start; i < start + len; i++)
		model_fresh(kind, i);
	track(kind, start, len, true);
}

/* Checks. */

static void check_bits(enum kind kind, unsigned int start, unsigned int len)
{
	static uint64_t bits[PAGES];
	ssize_t size = len * sizeof(*bits);

	if (pread(pagemap, bits, size, (uintptr_t)at(kind, start) / PAGE * sizeof(*bits)) != size)
		refused(kind, start, "reading pagemap");
	for (unsigned int i = start; i < start + len; i++) {
		struct page *page = &pages[kind][i];
		bool wp = bits[i - start] & PM_UFFD_WP, guard = bits[i - start] & PM_GUARD;

		if (page->any_wp)
			set_wp(kind, i, wp);
		if (wp != page->wp)
			differs(kind, i, "expected %s, found it %s",
				page->wp ? "write protection" : "none",
				wp ? "protected" : "not protected");
		if (guard != page->guard)
			differs(kind, i, "expected %s guard region, found %s",
				page->guard ? "a" : "no", guard ? "one" : "none");
	}
}

/*
 * No device has access that must not.
 *
 * Not asserted: that a device still has access. The entries can go away at any time (mm/hmm.rst),
 * by reclaim for one.
 */
static void check_devices(enum kind kind, unsigned int start, unsigned int len)
{
	for (int d = 0; d < DEVICES && devices[d] >= 0; d++) {
		for (unsigned int i = start, n; i < start + len; i += n) {
			struct hmm_dmirror_cmd cmd = { .addr = (uintptr_t)at(kind, i) };

			for (n = 0; i + n < start + len && !(pages[kind][i + n].may & 1 << d); n++)
				;
			cmd.npages = n;
			if (n && !ioctl(devices[d], HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd))
				continue;
			/* one of them, or the one that the device may have */
			for (cmd.npages = 1; n; cmd.addr += PAGE, i++, n--) {
				if (ioctl(devices[d], HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd))
					differs(kind, i, "expected device %d to have lost it", d);
			}
			n = 1;
		}
	}
}

static void check_value(enum kind kind, unsigned int i, const uint64_t *v, const char *by)
{
	uint64_t *expected = value(kind, i);

	for (int w = 0; w < 2; w++) {
		if (v[w] != expected[w])
			differs(kind, i, "expected %#llx in its word %d by %s, found %#llx",
				(unsigned long long)expected[w], w, by, (unsigned long long)v[w]);
	}
	if (v[2])
		differs(kind, i, "expected 0 in its middle by %s, found %#llx", by,
			(unsigned long long)v[2]);
}

/* Reads the pages. This is an operation, too. */
static void check_contents(enum kind kind, unsigned int start, unsigned int len)
{
	for (unsigned int i = start; i < start + len; i++) {
		unsigned long before = heard;
		uint64_t v[3];
		bool worked = peek(at(kind, i), v);

		if (worked == pages[kind][i].guard)
			differs(kind, i, "expected a read to %s, found that it does%s",
				worked ? "fault" : "work", worked ? "" : " not");
		if (!worked)
			continue;
		check_value(kind, i, v, "the CPU");
		pages[kind][i].may = 0;
		pages[kind][i].migrated = 0;
		if (heard != before)
			differs(kind, i, "expected no message of a read, found one");
	}
}

static bool all(enum kind kind, unsigned int start, unsigned int len, bool writable, bool unguarded,
		bool unprotected)
{
	for (unsigned int i = start; i < start + len; i++) {
		struct page *page = &pages[kind][i];

		if ((writable && !page->writable) || (unguarded && page->guard) ||
		    (unprotected && page->wp))
			return false;
	}
	return true;
}

/*
 * Can a device, or GUP for it, get the pages for writing?
 *
 * Not asserted: what becomes of a range where it fails in the middle; and in mode SYNC, writes of a
 * device to pages that are write-protected: its fault has no way to wait for a message, and fails.
 */
static bool device_can_write(enum kind kind, unsigned int start, unsigned int len)
{
	return all(kind, start, len, true, true, mode & SYNC);
}

/* Operations: each returns false if it was skipped. */

static bool op_write(const struct op *op)
{
	for (unsigned int i = op->start; i < op->start + op->len; i++) {
		struct page *page = &pages[op->kind][i];
		uint64_t v = (uint64_t)op->arg << 20 | i << 1 | 1;
		bool may = page->writable && !page->guard;
		unsigned int word = op->arg & 1;
		unsigned long before = heard;

		/* a signal is slow */
		if (!may && (op->arg & 2 || i > op->start + 2U))
			continue;
		if (poke(at(op->kind, i) + word * (PAGE - 8), v) != may)
			differs(op->kind, i, "expected a write to %s, found that it does%s",
				may ? "work" : "fault", may ? " not" : "");
		if (!may)
			continue;
		check_heard(op->kind, i, before, page->any_wp);
		model_write(op->kind, i)[word] = v;
	}
	return true;
}

/* By the kernel: get_user_pages() of another one's memory. */
static bool op_gup(const struct op *op)
{
	for (unsigned int i = op->start; i < op->start + op->len; i++) {
		struct page *page = &pages[op->kind][i];
		uint64_t v = (uint64_t)op->arg << 20 | i << 1 | 1;
		struct iovec from = { &v, sizeof(v) }, to = { at(op->kind, i), sizeof(v) };
		bool may = page->writable && !page->guard;
		unsigned long before = heard;

		if ((process_vm_writev(getpid(), &from, 1, &to, 1, 0) == sizeof(v)) != may)
			differs(op->kind, i,
				"expected process_vm_writev() to %s, found that it does%s",
				may ? "work" : "fail", may ? " not" : "");
		if (!may)
			continue;
		check_heard(op->kind, i, before, page->any_wp);
		model_write(op->kind, i)[0] = v;
	}
	return true;
}

static bool op_read(const struct op *op)
{
	check_contents(op->kind, op->start, op->len);
	return true;
}

static bool op_protect(const struct op *op)
{
	if (!memory[op->kind].tracked)
		return false;
	write_protect(op->kind, op->start, op->len, true);
	for (unsigned int i = op->start; i < op->start + op->len; i++)
		set_wp(op->kind, i, true);
	no_device(op->kind, op->start, op->len);
	return true;
}

static bool op_unprotect(const struct op *op)
{
	if (!memory[op->kind].tracked)
		return false;
	write_protect(op->kind, op->start, op->len, false);
	for (unsigned int i = op->start; i < op->start + op->len; i++)
		set_wp(op->kind, i, false);
	return true;
}

/*
 * PAGEMAP_SCAN: what was written, and protect it, or in mode SYNC, which cannot, say so only. By
 * the number: with room for a few pages or all; with categories that take the slow path; or without
 * a list of pages.
 */
static bool op_scan(const struct op *op)
{
	static struct page_region regions[PAGES];
	static bool found[PAGES];
	unsigned int len = op->len, some = op->arg >> 8, listed = 0, g = grain(op->kind), end;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = mode & SYNC ? 0 : PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)at(op->kind, op->start),
		.end = (uintptr_t)at(op->kind, op->start) + len * PAGE,
		.vec = (uintptr_t)regions,
		.vec_len = PAGES,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN | (op->arg & 1 ? PAGE_IS_PRESENT | PAGE_IS_HUGE : 0),
	};
	long n;

	if (!memory[op->kind].tracked)
		return false;
	/*
	 * Known, and fixed: PAGEMAP_SCAN leaves entries for migration and for memory of a device writable,
	 * unlike UFFDIO_WRITEPROTECT, and the protection is gone when the page comes back.
	 */
	for (unsigned int i = 0; mode & KNOWN_ENTRIES && i < len; i++) {
		if (pages[op->kind][op->start + i].migrated)
			return false;
	}
	/*
	 * Known: where max_pages ends in a huge page of hugetlb, PAGEMAP_SCAN goes on with the next
	 * one, and walk_end is behind pages that it has not reported.
	 */
	if (op->arg & 2 && !(op->kind == HUGE && mode & KNOWN_HUGE_PART))
		arg.max_pages = 1 + some % (op->arg & 4 ? 8 : 700);
	if ((op->arg >> 3) % 4 == 0 && !(mode & SYNC))
		arg.vec = arg.vec_len = arg.max_pages = 0;
	n = ioctl(pagemap, PAGEMAP_SCAN, &arg);
	if (n < 0)
		refused(op->kind, op->start, "PAGEMAP_SCAN");
	end = (arg.walk_end - arg.start) / PAGE;
	if (arg.walk_end % PAGE || end > len || (!arg.max_pages && end != len))
		differs(op->kind, op->start, "expected PAGEMAP_SCAN to end at page %u, found %u",
			op->start + len, op->start + end);
	memset(found, 0, sizeof(found));
	for (long r = 0; r < n; r++) {
		for (uint64_t addr = regions[r].start; addr < regions[r].end; addr += PAGE) {
			uint64_t i = (addr - arg.start) / PAGE;

			if (i >= end || found[i] || !(regions[r].categories & PAGE_IS_WRITTEN))
				differs(op->kind, op->start + i,
					"expected no second or no written page, found one");
			found[i] = true;
			listed++;
		}
	}
	if (arg.max_pages && listed > arg.max_pages)
		differs(op->kind, op->start, "expected %llu pages at most, found %u",
			(unsigned long long)arg.max_pages, listed);
	for (unsigned int i = 0; i < end; i++) {
		struct page *page = &pages[op->kind][op->start + i];

		if (arg.vec && !page->any_wp && found[i] == page->wp)
			differs(op->kind, op->start + i,
				"expected PAGEMAP_SCAN to say %s, found the opposite",
				page->wp ? "not written" : "written");
	}
	/* a huge page is protected as a whole, or not at all */
	for (unsigned int i = 0; !(mode & SYNC) && i < end / g * g; i++) {
		set_wp(op->kind, op->start + i, true);
		pages[op->kind][op->start + i].may = 0;
	}
	return true;
}

static bool op_guard(const struct op *op)
{
	if (op->kind == HUGE)
		return false;
	if (madvise(at(op->kind, op->start), op->len * PAGE, MADV_GUARD_INSTALL))
		refused(op->kind, op->start, "MADV_GUARD_INSTALL");
	for (unsigned int i = op->start; i < op->start + op->len; i++) {
		struct page *page = &pages[op->kind][i];

		page->may = 0;
		if (memory[op->kind].file < 0) {
			memset(page->v, 0, sizeof(page->v));
			/*
			 * Not asserted: a guard region on one that was protected, which may be left
			 * as it is, or not.
			 */
			page->any_wp = page->guard;
			if (!page->guard)
				page->wp = false;
		} else if (!memory[op->kind].shared) {
			page->own = false;
		}
		page->guard = true;
	}
	return true;
}

static bool op_unguard(const struct op *op)
{
	if (op->kind == HUGE)
		return false;
	if (madvise(at(op->kind, op->start), op->len * PAGE, MADV_GUARD_REMOVE))
		refused(op->kind, op->start, "MADV_GUARD_REMOVE");
	for (unsigned int i = op->start; i < op->start + op->len; i++)
		pages[op->kind][i].guard = false;
	return true;
}

static int device_of(const struct op *op)
{
	return devices[op->arg % DEVICES];
}

static struct hmm_dmirror_cmd command(const struct op *op)
{
	return (struct hmm_dmirror_cmd){
		.addr = (uintptr_t)at(op->kind, op->start),
		.npages = op->len,
		.ptr = (uintptr_t)buffer,
	};
}

static void check_buffer(const struct op *op)
{
	for (unsigned int i = 0; i < op->len; i++) {
		uint64_t *page = buffer + i * 512;

		check_value(op->kind, op->start + i, (uint64_t[]){ page[0], page[511], page[256] },
			    "the device");
	}
}

static bool op_exclusive(const struct op *op)
{
	struct hmm_dmirror_cmd cmd = command(op);
	int ret;

	if (device_of(op) < 0 || memory[op->kind].shared ||
	    !device_can_write(op->kind, op->start, op->len))
		return false;
	ret = ioctl(device_of(op), HMM_DMIRROR_EXCLUSIVE, &cmd);
	/*
	 * Not asserted: that it works. A page whose folio others have locked is not to be had, for
	 * one that is being swapped out.
	 */
	if (ret)
		shared->refused++;
	else
		check_buffer(op);
	for (unsigned int i = op->start; i < op->start + op->len; i++) {
		bool any = ret && pages[op->kind][i].wp;

		model_write(op->kind, i);
		/* where it fails, so may have the other device what it had */
		pages[op->kind][i].may = ret ? 3 : 1 << op->arg % DEVICES;
		pages[op->kind][i].any_wp = any;
	}
	return true;
}

/*
 * Known, and fixed: lib/test_hmm.c reads and writes the struct page of its own memory as if it was
 * memory, when it has to look for the page again after an invalidation.
 */
static bool is_in_device(const struct op *op)
{
	for (unsigned int i = op->start; mode & KNOWN_TEST_HMM && i < op->start + op->len; i++) {
		if (pages[op->kind][i].migrated & 1 << op->arg % DEVICES)
			return true;
	}
	return false;
}

static bool op_device_read(const struct op *op)
{
	struct hmm_dmirror_cmd cmd = command(op);
	bool may = all(op->kind, op->start, op->len, false, true, false);

	if (device_of(op) < 0 || is_in_device(op))
		return false;
	if (ioctl(device_of(op), HMM_DMIRROR_READ, &cmd)) {
		if (may)
			refused(op->kind, op->start, "HMM_DMIRROR_READ");
		return true;
	}
	if (!may)
		differs(op->kind, op->start,
			"expected the device to find a guard region, found that it reads");
	check_buffer(op);
	/* the other one loses what the fault of this one has ended */
	return true;
}

static bool op_device_write(const struct op *op)
{
	struct hmm_dmirror_cmd cmd = command(op);

	if (device_of(op) < 0 || is_in_device(op) ||
	    !device_can_write(op->kind, op->start, op->len))
		return false;
	memset(buffer, 0, op->len * PAGE);
	for (unsigned int i = 0; i < op->len; i++) {
		buffer[i * 512] = (uint64_t)op->arg << 20 | (op->start + i) << 1 | 1;
		buffer[i * 512 + 511] = ~buffer[i * 512];
	}
	if (ioctl(device_of(op), HMM_DMIRROR_WRITE, &cmd))
		refused(op->kind, op->start, "HMM_DMIRROR_WRITE");
	for (unsigned int i = 0; i < op->len; i++) {
		uint64_t *v = model_write(op->kind, op->start + i);

		v[0] = buffer[i * 512];
		v[1] = buffer[i * 512 + 511];
	}
	return true;
}

/*
 * Not asserted: that pages migrate, to a device, from it, or to another node. Contents and
 * protection must stay as they are, whether they do or not.
 */
static bool migrate(const struct op *op, unsigned long to)
{
	struct hmm_dmirror_cmd cmd = command(op);

	if (device_of(op) < 0 || memory[op->kind].shared)
		return false;
	ioctl(device_of(op), to, &cmd);
	return true;
}

static bool op_to_device(const struct op *op)
{
	if (!migrate(op, HMM_DMIRROR_MIGRATE_TO_DEV))
		return false;
	/*
	 * Known, and fixed: migrate_vma_insert_page() puts a page in the place of a
	 * write-protected zero page, and forgets that.
	 */
	for (unsigned int i = op->start; i < op->start + op->len; i++) {
		struct page *page = &pages[op->kind][i];

		page->migrated |= 1 << op->arg % DEVICES;
		page->any_wp |= mode & KNOWN_ZERO_PAGE && page->wp;
	}
	return true;
}

static bool op_to_system(const struct op *op)
{
	return migrate(op, HMM_DMIRROR_MIGRATE_TO_SYS);
}

static bool op_to_node(const struct op *op)
{
	static void *addrs[PAGES];
	static int nodes[PAGES], status[PAGES];

	for (unsigned int i = 0; i < op->len; i++) {
		addrs[i] = at(op->kind, op->start + i);
		nodes[i] = op->arg & 1;
	}
	syscall(SYS_move_pages, 0, (long)op->len, addrs, nodes, status, 2 /* MPOL_MF_MOVE */);
	return true;
}

/* Not asserted: that anything is collapsed, split or swapped out. */
static bool op_collapse(const struct op *op)
{
	madvise(at(op->kind, op->start), op->len * PAGE, MADV_COLLAPSE);
	return true;
}

static bool op_split(const struct op *op)
{
	int fd = open("/sys/kernel/debug/split_huge_pages", O_WRONLY);
	char text[128];
	int n = snprintf(text, sizeof(text), "%d,%p,%p", getpid(), at(op->kind, op->start),
			 at(op->kind, op->start) + op->len * PAGE);
	bool worked = fd >= 0 && write(fd, text, n) == n;

	if (fd >= 0)
		close(fd);
	return worked;
}

static bool op_pageout(const struct op *op)
{
	madvise(at(op->kind, op->start), op->len * PAGE, MADV_PAGEOUT);
	return true;
}

static void populate_huge(const struct op *op)
{
	uint64_t v[3];

	for (unsigned int i = op->start; op->kind == HUGE && i < op->start + op->len; i += 512)
		peek(at(HUGE, i), v);
}

/*
 * MADV_FREE is left out: which of the two contents a page has after it is open until it is written
 * to.
 */
static bool op_dontneed(const struct op *op)
{
	if (madvise(at(op->kind, op->start), op->len * PAGE, MADV_DONTNEED))
		refused(op->kind, op->start, "MADV_DONTNEED");
	for (unsigned int i = op->start; i < op->start + op->len; i++) {
		struct page *page = &pages[op->kind][i];

		page->may = 0;
		if (page->guard)
			continue;
		if (memory[op->kind].file < 0) {
			memset(page->v, 0, sizeof(page->v));
			page->wp = page->any_wp = false;
		} else if (!memory[op->kind].shared) {
			page->own = false;
		}
		page->migrated = 0;
	}
	/*
	 * Known: PAGEMAP_SCAN says that a huge page of hugetlb which is not mapped was not written,
	 * and does not protect it; also if it was, and MADV_DONTNEED unmapped it then, which leaves
	 * the contents in the file as they are.
	 */
	if (mode & KNOWN_HUGE_UNMAPPED)
		populate_huge(op);
	return true;
}

static bool op_hole(const struct op *op)
{
	if (memory[op->kind].file != 0)
		return false;
	if (madvise(at(op->kind, op->start), op->len * PAGE, MADV_REMOVE))
		refused(op->kind, op->start, "MADV_REMOVE");
	for (unsigned int i = op->start; i < op->start + op->len; i++)
		memset(value(op->kind, i), 0, sizeof(pages[0][0].v));
	return true;
}

static bool op_mprotect(const struct op *op)
{
	bool writable = op->arg & 1;

	if (mprotect(at(op->kind, op->start), op->len * PAGE,
		     PROT_READ | (writable ? PROT_WRITE : 0)))
		refused(op->kind, op->start, "mprotect()");
	for (unsigned int i = op->start; i < op->start + op->len; i++) {
		struct page *page = &pages[op->kind][i];

		/* what a device has of a page that becomes writable may stay */
		if (!writable && page->writable)
			page->may = 0;
		page->writable = writable;
	}
	return true;
}

static bool op_unmap(const struct op *op)
{
	if (op->kind == HUGE)
		return false;
	if (munmap(at(op->kind, op->start), op->len * PAGE))
		refused(op->kind, op->start, "munmap()");
	map(op->kind, op->start, op->len);
	return true;
}

static bool op_unregister(const struct op *op)
{
	if (!memory[op->kind].tracked)
		return false;
	track(op->kind, op->start, op->len, false);
	track(op->kind, op->start, op->len, true);
	for (unsigned int i = op->start; i < op->start + op->len; i++)
		set_wp(op->kind, i, false);
	return true;
}

/* Soft-dirty tracking, of which nothing is asserted but that it is in nobody's way. */
static bool op_clear_refs(const struct op *op)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	(void)op;
	if (fd < 0 || write(fd, "4", 1) != 1)
		bail_out("/proc/self/clear_refs");
	close(fd);
	for (enum kind kind = 0; kind < KINDS; kind++)
		no_device(kind, 0, memory[kind].pages);
	return true;
}

/* Several mappings at once can be moved in part, by newer kernels. */
static bool one_mapping(char *addr, unsigned long size)
{
	struct procmap_query query = { .size = sizeof(query), .query_addr = (uintptr_t)addr };

	return !ioctl(maps, PROCMAP_QUERY, &query) && query.vma_end >= (uintptr_t)addr + size;
}

/*
 * To where the number says, in the same memory; what was there is gone, and what was here is mapped
 * anew, or with MREMAP_DONTUNMAP still mapped and empty.
 */
static bool op_mremap(const struct op *op)
{
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (op->arg & 0x10000 ? MREMAP_DONTUNMAP : 0);
	unsigned int to, start = op->start, len = op->len, total = memory[op->kind].pages;
	static struct page moved[PAGES];
	char *from = at(op->kind, start);

	if (op->kind == HUGE || len > total / 2)
		return false;
	/* every other time to the same place of another page table, if there is one */
	to = op->arg & 1 && total > 512 ? (start + 512) % 1024 : (op->arg >> 1) % (total - len);
	if (to + len > total || (to < start + len && start < to + len) ||
	    !one_mapping(from, len * PAGE))
		return false;
	if (mremap(from, len * PAGE, len * PAGE, flags, at(op->kind, to)) == MAP_FAILED)
		refused(op->kind, start, "mremap()");
	memcpy(moved, &pages[op->kind][start], len * sizeof(*moved));
	if (flags & MREMAP_DONTUNMAP) {
		for (unsigned int i = start; i < start + len; i++) {
			bool writable = pages[op->kind][i].writable;
			int index = pages[op->kind][i].index;

			/* Not asserted: whether the old place is write-protected. */
			model_fresh(op->kind, i);
			pages[op->kind][i].any_wp = memory[op->kind].tracked;
			pages[op->kind][i].index = index;
			pages[op->kind][i].writable = writable;
		}
	} else {
		map(op->kind, start, len);
	}
	memcpy(&pages[op->kind][to], moved, len * sizeof(*moved));
	no_device(op->kind, to, len);
	if (mode & REMAP)
		return true;
	/*
	 * without the event userfaultfd loses it; before 7.3 it could lose what mremap() merges it
	 * with, too
	 */
	track(op->kind, to, len, true);
	for (unsigned int i = to; i < to + len; i++)
		set_wp(op->kind, i, false);
	return true;
}

/*
 * One child at a time, which has a copy of the model. It checks what is its own when it is told to,
 * and writes to it.
 */
static pid_t child;
static int child_pipe;

static void check_children(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		/* Not asserted: what is in shared memory, which the parent writes to. */
		if (memory[kind].shared)
			continue;
		for (unsigned int i = 0; i < memory[kind].pages; i++) {
			struct page *page = &pages[kind][i];
			bool may = page->writable && !page->guard;
			uint64_t v[3];

			if (peek(at(kind, i), v) == page->guard)
				differs(kind, i, "expected a %s in the child, found the opposite",
					page->guard ? "guard region" : "page");
			if (page->guard)
				continue;
			check_value(kind, i, v, "the child");
			if (may != (i % 16 ? may : poke(at(kind, i), ~v[0])))
				differs(kind, i, "expected the child to write, found a signal");
		}
	}
}

static bool join(void)
{
	int status;

	if (!child)
		return false;
	close(child_pipe);
	if (waitpid(child, &status, 0) != child)
		bail_out("waitpid");
	child = 0;
	if (!WIFEXITED(status))
		differs(0, 0, "expected the child to exit, found signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		_exit(1);
	return true;
}

static bool op_join(const struct op *op)
{
	(void)op;
	return join();
}

static bool op_fork(const struct op *op)
{
	int ends[2];
	char byte;

	(void)op;
	join();
	if (pipe2(ends, O_CLOEXEC))
		bail_out("pipe");
	child = fork();
	if (child < 0)
		bail_out("fork");
	if (!child) {
		close(ends[1]);
		/* the end of the pipe is the word */
		while (read(ends[0], &byte, 1) > 0)
			;
		strcat(current, " (child)");
		check_children();
		_exit(0);
	}
	close(ends[0]);
	child_pipe = ends[1];
	for (enum kind kind = 0; kind < KINDS; kind++)
		no_device(kind, 0, memory[kind].pages);
	return true;
}

enum what {
	WRITE,
	READ,
	GUP,
	PROTECT,
	UNPROTECT,
	SCAN,
	GUARD,
	UNGUARD,
	EXCLUSIVE,
	DEVICE_READ,
	DEVICE_WRITE,
	TO_DEVICE,
	TO_SYSTEM,
	TO_NODE,
	COLLAPSE,
	SPLIT,
	PAGEOUT,
	DONTNEED,
	HOLE,
	MPROTECT,
	UNMAP,
	UNREGISTER,
	CLEAR_REFS,
	MREMAP,
	FORK,
	JOIN,
	WHATS,
};

static const struct {
	const char *name;
	bool (*run)(const struct op *op);
	unsigned int weight;
} operations[WHATS] = {
	[WRITE] = { "write", op_write, 14 },
	[READ] = { "read", op_read, 5 },
	[GUP] = { "gup", op_gup, 3 },
	[PROTECT] = { "protect", op_protect, 10 },
	[UNPROTECT] = { "unprotect", op_unprotect, 3 },
	[SCAN] = { "scan", op_scan, 8 },
	[GUARD] = { "guard", op_guard, 3 },
	[UNGUARD] = { "unguard", op_unguard, 4 },
	[EXCLUSIVE] = { "exclusive", op_exclusive, 10 },
	[DEVICE_READ] = { "device-read", op_device_read, 6 },
	[DEVICE_WRITE] = { "device-write", op_device_write, 6 },
	[TO_DEVICE] = { "to-device", op_to_device, 3 },
	[TO_SYSTEM] = { "to-system", op_to_system, 1 },
	[TO_NODE] = { "to-node", op_to_node, 3 },
	[COLLAPSE] = { "collapse", op_collapse, 3 },
	[SPLIT] = { "split", op_split, 2 },
	[PAGEOUT] = { "pageout", op_pageout, 7 },
	[DONTNEED] = { "dontneed", op_dontneed, 4 },
	[HOLE] = { "hole", op_hole, 2 },
	[MPROTECT] = { "mprotect", op_mprotect, 6 },
	[UNMAP] = { "unmap", op_unmap, 2 },
	[UNREGISTER] = { "unregister", op_unregister, 1 },
	[CLEAR_REFS] = { "clear-refs", op_clear_refs, 1 },
	[MREMAP] = { "mremap", op_mremap, 4 },
	[FORK] = { "fork", op_fork, 2 },
	[JOIN] = { "join", op_join, 2 },
};

/* Lists. */

static void print_op(char *text, size_t size, const struct op *op)
{
	snprintf(text, size, "%s:%s:%u+%u:%u", operations[op->what].name, memory[op->kind].name,
		 op->start, op->len, op->arg);
}

static void print_list(const struct op *ops, unsigned int n)
{
	char text[128];

	printf("# list: mode=%u", mode);
	for (unsigned int i = 0; i < n; i++) {
		print_op(text, sizeof(text), &ops[i]);
		printf(" %s", text);
	}
	printf("\n");
	fflush(stdout);
}

static struct op random_op(void)
{
	static const unsigned char kinds[16] = {
		ANON, ANON, ANON, ANON,	 ANON, THP,  THP,  THP,
		SHM,  SHM,  SHM,  ALIAS, PRIV, PRIV, PRIV, HUGE,
	};
	static unsigned int sum;
	struct op op = { .kind = kinds[below(16)], .arg = next_random() };
	unsigned int n, start, len, g, total, edge;

	if (!sum) {
		for (int i = 0; i < WHATS; i++)
			sum += operations[i].weight;
	}
	n = below(sum);
	while (n >= operations[op.what].weight)
		n -= operations[op.what++].weight;

	/* few places, and the edges of page tables more often than others */
	total = memory[op.kind].pages;
	edge = below(3) * 512 + (512 - memory[op.kind].offset) % 512;
	start = (below(4) ? edge + total - 4 + below(9) : next_random()) % total;
	len = below(8) ? 1 + below(12) : below(total) + 1;
	if (!below(12)) {
		start = 0;
		len = total;
	} else if (total > 512 && !below(12)) {
		start = (512 - memory[op.kind].offset) % 512;
		len = 512;
	}
	g = grain(op.kind);
	start = start / g * g;
	len = (len + g - 1) / g * g;
	op.start = start;
	op.len = start + len > total ? total - start : len;
	return op;
}

static unsigned int random_list(struct op *ops, uint64_t from)
{
	random_state = seed = from;
	mode = below(8) | known;
	for (unsigned int i = 0; i < OPS; i++)
		ops[i] = random_op();
	return OPS;
}

static unsigned int read_list(struct op *ops, const char *path)
{
	FILE *f = fopen(path, "r");
	unsigned int n = 0;
	char word[256];

	if (!f)
		bail_out(path);
	while (n < OPS && fscanf(f, "%255s", word) == 1) {
		char *name = strtok(word, ":"), *kind = strtok(NULL, ":"),
		     *range = strtok(NULL, ":");
		char *number = strtok(NULL, ":");
		struct op *op = &ops[n];

		if (sscanf(word, "mode=%u", &mode) == 1)
			continue;
		memset(op, 0, sizeof(*op));
		while (op->what < WHATS && strcmp(name, operations[op->what].name))
			op->what++;
		while (kind && op->kind < KINDS && strcmp(kind, memory[op->kind].name))
			op->kind++;
		if (!number || op->what == WHATS || op->kind == KINDS ||
		    sscanf(range, "%hu+%hu", &op->start, &op->len) != 2 ||
		    sscanf(number, "%u", &op->arg) != 1 || !op->len ||
		    op->start + op->len > memory[op->kind].pages ||
		    (op->start | op->len) % grain(op->kind)) {
			printf("Bail out! %s: no operation\n", name);
			exit(2);
		}
		n++;
	}
	fclose(f);
	return n;
}

/* Running. */

static void open_all(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED |
			    UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
	pthread_t thread;
	char path[64];

	if (!(mode & SYNC))
		api.features |= UFFD_FEATURE_WP_ASYNC;
	if (mode & REMAP)
		api.features |= UFFD_FEATURE_EVENT_REMAP;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api))
		bail_out("userfaultfd");
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0 || maps < 0)
		bail_out("/proc/self");
	for (int i = 0; i < FILES; i++) {
		fds[i] = memfd_create("fuzz", MFD_CLOEXEC | (i == 2 ? MFD_HUGETLB : 0));
		if (fds[i] < 0 || ftruncate(fds[i], 2 * PMD + (i == 2 ? 0 : PMD)))
			bail_out("memfd_create");
	}
	for (int i = 0; i < DEVICES; i++) {
		snprintf(path, sizeof(path), "/dev/hmm_dmirror%d", i);
		devices[i] = open(path, O_RDWR | O_CLOEXEC);
	}
	buffer = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (buffer == MAP_FAILED)
		bail_out("mmap");
	/* what a private mapping of it shows */
	for (unsigned int i = 0; i < memory[PRIV].pages; i += 3) {
		contents[1][i][0] = ~(uint64_t)i;
		if (pwrite(fds[1], contents[1][i], 8, (memory[PRIV].offset + i) * PAGE) != 8)
			bail_out("write");
	}
	for (enum kind kind = 0; kind < KINDS; kind++)
		map(kind, 0, memory[kind].pages);
	/* Not asserted: whether a huge page of hugetlb counts as written that never was mapped. */
	populate_huge(&(struct op){ .kind = HUGE, .len = memory[HUGE].pages });
	if (mode & (SYNC | REMAP) && pthread_create(&thread, NULL, reader, NULL))
		bail_out("pthread_create");
}

static void check_all(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		unsigned int n = memory[kind].pages;

		check_bits(kind, 0, n);
		check_devices(kind, 0, n);
		check_contents(kind, 0, n);
		check_bits(kind, 0, n);
		check_devices(kind, 0, n);
	}
}

static void run_list(const struct op *ops, unsigned int n)
{
	open_all();
	for (step = 1; step <= n; step++) {
		const struct op *op = &ops[step - 1];
		unsigned int first = op->start > 2 ? op->start - 2 : 0,
			     end = op->start + op->len + 2;

		if (end > memory[op->kind].pages)
			end = memory[op->kind].pages;
		print_op(current, sizeof(current), op);
		if (getenv("VERBOSE"))
			dprintf(1, "# %u %s\n", step, current);
		shared->ops++;
		if (!operations[op->what].run(op))
			shared->skipped++;
		check_bits(op->kind, first, end - first);
		check_devices(op->kind, first, end - first);
		if (op->arg >> 30 == 0) {
			check_contents(op->kind, first, end - first);
			check_bits(op->kind, first, end - first);
			check_devices(op->kind, first, end - first);
		}
		if (step % CHECK_EVERY == 0)
			check_all();
	}
	snprintf(current, sizeof(current), "the end");
	check_all();
	join();
	_exit(0);
}

/* Whether the list passes, in a process of its own. What was wrong is in shared->said. */
static bool try_list(const struct op *ops, unsigned int n)
{
	pid_t pid;
	int status;

	fflush(stdout);
	shared->said[0] = 0;
	pid = fork();
	if (pid < 0)
		bail_out("fork");
	if (!pid) {
		setpgid(0, 0);
		alarm(LIMIT_SECS);
		run_list(ops, n);
	}
	if (waitpid(pid, &status, 0) != pid)
		bail_out("waitpid");
	/* the child of the list, if it failed before that was told to end */
	kill(-pid, SIGKILL);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		exit(2);
	if (!shared->said[0])
		snprintf(shared->said, sizeof(shared->said),
			 "seed %llu: expected an end, found signal %d", (unsigned long long)seed,
			 WTERMSIG(status));
	return false;
}

/* Leaves out operations, half of them at first and one at the end, as long as the rest fails. */
static unsigned int shorten(struct op *ops, unsigned int n)
{
	struct op *rest = malloc(n * sizeof(*rest));
	unsigned int size = n, tries = 0;

	if (!rest)
		bail_out("malloc");
	while (size) {
		bool shorter = false;

		for (unsigned int i = 0; i < n;) {
			unsigned int less = size < n - i ? size : n - i;

			memcpy(rest, ops, i * sizeof(*ops));
			memcpy(rest + i, ops + i + less, (n - i - less) * sizeof(*ops));
			tries++;
			if (try_list(rest, n - less)) {
				i += less;
				continue;
			}
			n -= less;
			memcpy(ops, rest, n * sizeof(*ops));
			shorter = true;
		}
		if (size > 1 || !shorter)
			size /= 2;
	}
	free(rest);
	/* what it says in the end is of the short list */
	printf("# shortened in %u tries\n", tries);
	if (try_list(ops, n))
		printf("# the short list does not fail each time\n");
	return n;
}

static bool fuzz(struct op *ops, unsigned int n)
{
	if (try_list(ops, n))
		return true;
	printf("# %s\n", shared->said);
	fflush(stdout);
	n = shorten(ops, n);
	printf("# short: %s\n", shared->said);
	print_list(ops, n);
	return false;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		printf("# %s: %m\n", path);
	close(fd);
}

int main(int argc, char **argv)
{
	static struct op ops[OPS];
	time_t began = time(NULL);
	unsigned long lists = 0, failed = 0;

	if (argc < 3)
		return 2;
	if (argc > 3)
		known = !strcmp(argv[3], "base") ? KNOWN_BASE : atoi(argv[3]) & KNOWN_BASE;
	if (!strcmp(argv[1], "list")) {
		print_list(ops, random_list(ops, strtoull(argv[2], NULL, 0)));
		return 0;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		bail_out("mmap");
	put("/proc/sys/vm/nr_hugepages", "4");
	put("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "advise");
	printf("TAP version 13\n1..1\n");
	if (!strcmp(argv[1], "file")) {
		unsigned int n = read_list(ops, argv[2]);

		printf("# %u operations of a list\n", n);
		lists++;
		failed += !fuzz(ops, n);
	} else if (!strcmp(argv[1], "one")) {
		lists++;
		failed += !fuzz(ops, random_list(ops, strtoull(argv[2], NULL, 0)));
	} else {
		uint64_t from = strtoull(argv[2], NULL, 0);

		do {
			printf("# seed %llu\n", (unsigned long long)from);
			lists++;
			failed += !fuzz(ops, random_list(ops, from++));
		} while (failed < FAILURES && time(NULL) - began < atoi(argv[1]));
	}
	printf("# %lu lists, %lu failed, %lu operations, %lu of them skipped, ", lists, failed,
	       shared->ops, shared->skipped);
	printf("%lu messages, ", shared->messages);
	printf("%lu ranges that a device did not get\n", shared->refused);
	printf("%s 1 the kernel and the model agree\n", failed ? "not ok" : "ok");
	return !!failed;
}
