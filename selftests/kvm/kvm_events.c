// SPDX-License-Identifier: GPL-2.0
/*
 * KVM as a subscriber of mmu notifiers. Memory of each kind is given to a virtual machine, whose vCPU reads and writes it
 * while this process protects, moves, drops, forks, scans and collapses it. The vCPU must never see a page that is no
 * longer there, nor write to one that may not be written to; and no operation may cost the machine more faults or flushes
 * of its TLB than on the base (costs[] below). Uses the library of the tree's KVM selftests. Prints KTAP.
 *
 * Each operation is done twice: once with the vCPU stopped, step by step, with its costs counted; then again and again
 * while the vCPU writes numbers that only grow. A write that went to a stale page is missed when it has stopped.
 */
#include <linux/fs.h>
#include <linux/memfd.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "test_util.h"

#define SLOT		10
#define GPA		(4UL << 30)	/* as in the guest's own page tables */
#define MOST		1024
#define RESERVED	(1UL << 30)
#define ROUNDS		20
#define MACHINES	200
#define OWN		4	/* pages of the machine's own, more or less, by the compiler */
#define OLD		(1UL << 40)	/* words of a step; the page's number is added */
#define NEW		(2UL << 40)
#define OTHER		(3UL << 40)

enum kind { ANON = 1, THP = 2, SHMEM = 4, HUGETLB = 8, HUGETLB_PRIVATE = 16, HUGETLB_GIB = 32 };
static const struct { const char *name; u64 size, step; } kinds[] = {
	{ "anon", MOST * PAGE_SIZE, PAGE_SIZE },
	{ "thp", MOST * PAGE_SIZE, PAGE_SIZE },
	{ "shmem", MOST * PAGE_SIZE, PAGE_SIZE },
	{ "hugetlb", 4UL << 21, 1UL << 21 },
	{ "hugetlb-private", 4UL << 21, 1UL << 21 },
	/* so large that two processes have its page tables in common; four pages are used */
	{ "hugetlb-1GiB", RESERVED, 1UL << 28 },
};

#define BASE_PAGES	(ANON | THP | SHMEM)
#define PRIVATE		(ANON | THP | HUGETLB_PRIVATE)
#define SHARED		(SHMEM | HUGETLB)
#define ALL		(PRIVATE | SHARED)

/* what the vCPU is asked for; of the guest's memory, as are all that sync_global_*() copies */
enum command { READ, WRITE, SPIN };
static u64 command, value, step, pages, stride = 1, stop, turns, seen[MOST];

static struct kvm_vm *vm;
static struct kvm_vcpu *vcpu;
static char *area, *elsewhere;	/* elsewhere: as large, and as aligned */
static enum kind kind;
static u64 size;
static int file = -1, uffd = -1, pagemap, child;
static int to_child[2], from_child[2];

static void guest_code(void)
{
	u64 i;

	for (;;) {
		volatile u64 *word = (volatile u64 *)GPA;

		if (command == READ)
			for (i = 0; i < pages; i++)
				seen[i] = word[i * step / 8];
		else if (command == WRITE)
			for (i = 0; i < pages; i += stride)
				word[i * step / 8] = value + i;
		else
			for (turns = 0; !*(volatile u64 *)&stop; turns++)
				for (i = 0; i < pages; i++)
					word[i * step / 8] = ((turns + 1) << 16) + i;
		GUEST_SYNC(0);
	}
}

/* Lets the vCPU go on; 0 when it is done, EFAULT when it may not. */
static int resume(void)
{
	struct ucall uc;

	if (_vcpu_run(vcpu))
		return errno;
	TEST_ASSERT(get_ucall(vcpu, &uc) == UCALL_SYNC, "exit %u of the vCPU", vcpu->run->exit_reason);
	return 0;
}

static int guest(enum command asked, u64 what)
{
	command = asked;
	value = what;
	sync_global_to_guest(vm, command);
	sync_global_to_guest(vm, value);
	sync_global_to_guest(vm, stride);
	return resume();
}

static volatile u64 *word(u64 page)
{
	return (volatile u64 *)(area + page * step);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	TEST_ASSERT(fd >= 0 && write(fd, text, strlen(text)) == strlen(text), "%s", path);
	close(fd);
}

/* Memory of the kind at this place. */
static void map(char *at)
{
	int flags = kind & PRIVATE ? MAP_PRIVATE : MAP_SHARED;

	if (kind & (ANON | THP))
		flags |= MAP_ANONYMOUS;
	if (kind & (HUGETLB | HUGETLB_PRIVATE | HUGETLB_GIB))
		flags |= MAP_NORESERVE;
	at = mmap(at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, 0);
	TEST_ASSERT(at != MAP_FAILED, "mmap()");
	if (kind & BASE_PAGES)
		TEST_ASSERT(!madvise(at, size, kind == THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE), "madvise()");
}

static void unmap(char *at, u64 length)
{
	at = mmap(at, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	TEST_ASSERT(at != MAP_FAILED, "mmap()");
}

static void open_file(void)
{
	if (file >= 0)
		close(file);
	file = -1;
	if (kind & ~(ANON | THP)) {
		file = memfd_create("kvm", kind == SHMEM ? 0 : MFD_HUGETLB | MFD_HUGE_2MB);
		TEST_ASSERT(file >= 0 && !ftruncate(file, size), "memfd_create()");
	}
}

/* the operations */

static void protect(int prot)
{
	TEST_ASSERT(!mprotect(area, size, prot), "mprotect()");
}

static void mprotect_read(void)
{
	protect(PROT_READ);
}

static void mprotect_none(void)
{
	protect(PROT_NONE);
}

static void mprotect_back(void)
{
	protect(PROT_READ | PROT_WRITE);
}

static void mprotect_twice(void)
{
	protect(PROT_READ);
	mprotect_back();
}

/* splits what is huge */
static void mprotect_one(void)
{
	char *page = area + (pages / 2 + 1) * step;

	TEST_ASSERT(!mprotect(page, step, PROT_READ) && !mprotect(page, step, PROT_READ | PROT_WRITE), "mprotect()");
}

static void move(char *from, char *to)
{
	TEST_ASSERT(mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "mremap()");
}

static void move_away(void)
{
	move(area, elsewhere);
}

static void move_back(void)
{
	move(elsewhere, area);
}

static void move_twice(void)
{
	move_away();
	move_back();
}

/* other memory takes the place */
static void move_over(void)
{
	int was = file;

	file = -1;
	open_file();
	map(elsewhere);
	for (u64 i = 0; i < pages; i++)
		*(volatile u64 *)(elsewhere + i * step) = OTHER + i;
	move(elsewhere, area);
	if (was >= 0)
		close(was);
}

static void advise(int advice, const char *name)
{
	TEST_ASSERT(!madvise(area, size, advice), "%s", name);
}

static void dontneed(void)
{
	advise(MADV_DONTNEED, "MADV_DONTNEED");
}

static void remove_pages(void)
{
	advise(MADV_REMOVE, "MADV_REMOVE");
}

static void pageout(void)
{
	advise(MADV_PAGEOUT, "MADV_PAGEOUT");
}

/* what is busy may refuse: contents have to be right all the same */
static void collapse(void)
{
	TEST_ASSERT(!madvise(area, size, MADV_HUGEPAGE), "MADV_HUGEPAGE");
	TEST_ASSERT(!madvise(area, size, MADV_COLLAPSE) || errno == EAGAIN || errno == EBUSY, "MADV_COLLAPSE");
}

static void track(void)
{
	struct uffdio_register reg = { .range = { (u64)area, size }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_api api = { UFFD_API, UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED |
				  UFFD_FEATURE_WP_HUGETLBFS_SHMEM, 0 };

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	TEST_ASSERT(uffd >= 0 && !ioctl(uffd, UFFDIO_API, &api) && !ioctl(uffd, UFFDIO_REGISTER, &reg), "userfaultfd");
}

static void uffd_wp(void)
{
	struct uffdio_writeprotect wp = { { (u64)area, size }, UFFDIO_WRITEPROTECT_MODE_WP };

	if (uffd < 0)
		track();
	TEST_ASSERT(!ioctl(uffd, UFFDIO_WRITEPROTECT, &wp), "UFFDIO_WRITEPROTECT");
}

/* How many of the pages were written; they are protected again. each: tell of the others. */
static u64 scan(bool each)
{
	static struct page_region out[MOST];
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = (u64)area, .end = (u64)area + size, .vec = each ? (u64)out : 0, .vec_len = each ? MOST : 0,
		.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
	};
	u64 bytes = 0;
	int n = ioctl(pagemap, PAGEMAP_SCAN, &arg);

	TEST_ASSERT(n >= 0, "PAGEMAP_SCAN");
	for (int i = 0; i < n && each; i++)
		bytes += out[i].end - out[i].start;
	return bytes / step;
}

static void scan_wp(void)
{
	if (uffd < 0)
		track();
	scan(false);
}

/* once more, when there is no page to protect but the first */
static void scan_again(void)
{
	scan_wp();
	TEST_ASSERT(!guest(READ, 0), "the vCPU reads");
	*word(0) = OLD;
	TEST_ASSERT(scan(true) == 1, "one page is written");
}

static void fork_child(void)
{
	char c = 0;

	TEST_ASSERT(!pipe(to_child) && !pipe(from_child), "pipe()");
	child = fork();
	TEST_ASSERT(child >= 0, "fork()");
	if (!child) {
		/* its own pages, as they were; the vCPU writes to the parent's */
		u64 was = kind & (SHARED | HUGETLB_GIB) ? NEW : OLD, wrong = 0;

		for (u64 i = 0; kind == HUGETLB_GIB && i < pages; i++)
			wrong += *word(i) != OLD + i;	/* now it has them mapped, too */
		close(to_child[1]);
		if (write(from_child[1], &c, 1) != 1 || read(to_child[0], &c, 1) < 0)
			_exit(2);
		for (u64 i = 0; i < pages; i++)
			wrong += *word(i) != was + i;
		_exit(wrong != 0);
	}
	TEST_ASSERT(read(from_child[0], &c, 1) == 1, "the child is there");
}

static int end_child(void)
{
	int status;

	close(to_child[1]);
	close(to_child[0]);
	close(from_child[0]);
	close(from_child[1]);
	TEST_ASSERT(waitpid(child, &status, 0) == child, "waitpid()");
	child = 0;
	return status;
}

/* of tables that a child has in common: all entries become none */
static void unshare_tables(void)
{
	fork_child();
	mprotect_read();
}

enum see { SAME, ZERO, REPLACED, NOTHING };
static const struct op {
	const char *name;
	unsigned int kinds;
	void (*run)(void);
	enum see see;		/* what the vCPU reads then */
	bool readonly;		/* it may not write */
	void (*undo)(void);	/* so that it may */
	bool race;		/* run and undo lose nothing: with the vCPU running, too */
} ops[] = {
	{ "mprotect(READ)", ALL, mprotect_read, SAME, true, mprotect_back, true },
	{ "mprotect(NONE)", ALL, mprotect_none, NOTHING, true, mprotect_back, true },
	{ "mprotect twice", ALL, mprotect_twice, SAME, false, NULL, true },
	{ "mprotect of a page", ALL | HUGETLB_GIB, mprotect_one, SAME, false, NULL, true },
	{ "mremap away", ALL, move_away, NOTHING, true, move_back, true },
	{ "mremap and back", ALL, move_twice, SAME, false, NULL, true },
	{ "mremap over it", ALL, move_over, REPLACED },
	{ "fork", ALL, fork_child, SAME },
	{ "uffd-wp", ALL, uffd_wp, SAME, false, NULL, true },
	{ "PAGEMAP_SCAN", ALL, scan_wp, SAME, false, NULL, true },
	{ "PAGEMAP_SCAN again", ALL, scan_again, SAME },
	{ "MADV_DONTNEED", PRIVATE, dontneed, ZERO },
	{ "MADV_DONTNEED", SHARED, dontneed, SAME, false, NULL, true },
	{ "MADV_REMOVE", SHARED, remove_pages, ZERO },
	{ "MADV_PAGEOUT", BASE_PAGES, pageout, SAME, false, NULL, true },
	{ "MADV_COLLAPSE", BASE_PAGES, collapse, SAME, false, NULL, true },
	{ "unshare", HUGETLB_GIB, unshare_tables, SAME, true, mprotect_back },
};

/* of the base: flushes by the operation, faults of the vCPU that then reads, and then writes, all pages */
static const struct cost { const char *kind, *op; u64 flushes, reads, writes; } costs[] = {
#include "kvm_costs.h"
};

static void check_cost(const char *of, const struct op *op, const struct cost *got, bool *ok)
{
	u64 own = op->run == fork_child || op->run == unshare_tables ? OWN : 0;

	for (int i = 0; i < ARRAY_SIZE(costs); i++) {
		const struct cost *was = &costs[i];

		if (strcmp(was->kind, of) || strcmp(was->op, op->name))
			continue;
		if (got->flushes > was->flushes || got->reads > was->reads + own ||
		    got->writes > was->writes) {
			ksft_print_msg("%s: %s: %lu flushes, %lu and %lu faults; on the base %lu, %lu and %lu\n",
				       of, op->name, got->flushes, got->reads, got->writes,
				       was->flushes, was->reads, was->writes);
			*ok = false;
		}
		return;
	}
	ksft_print_msg("%s: %s is not in costs[]\n", of, op->name);
	*ok = false;
}

/* Wrong words, as the vCPU sees them, or this process (seen is NULL). */
static u64 wrong(const char *of, const struct op *op, const char *when, const u64 *words, u64 want, u64 each, u64 every)
{
	u64 bad = 0;

	for (u64 i = 0; i < pages; i += every) {
		u64 is = words ? words[i] : *word(i), right = want + i * each;

		if (is != right && !bad++)
			ksft_print_msg("%s: %s: %s: page %lu is %#lx, not %#lx\n", of, op->name, when, i, is, right);
	}
	return bad;
}

static void set_up(void)
{
	open_file();
	map(area);
	vm_set_user_memory_region(vm, SLOT, 0, GPA, size, area);
	TEST_ASSERT(!guest(WRITE, OLD), "the vCPU writes");
}

static void tear_down(void)
{
	if (child)
		end_child();
	if (uffd >= 0)
		close(uffd);
	uffd = -1;
	vm_set_user_memory_region(vm, SLOT, 0, GPA, 0, 0);
	unmap(area, RESERVED);
	unmap(elsewhere, RESERVED);
}

static void step_by_step(const char *of, const struct op *op)
{
	static const u64 words[] = { OLD, 0, OTHER };
	u64 flushes, taken, bad = 0;
	struct cost got = { of, op->name };
	bool ok = true, tracked;

	set_up();
	flushes = vm_get_stat(vm, remote_tlb_flush_requests);
	op->run();
	got.flushes = vm_get_stat(vm, remote_tlb_flush_requests) - flushes;
	tracked = uffd >= 0;

	taken = vcpu_get_stat(vcpu, pf_taken);
	if (op->see == NOTHING) {
		ok &= guest(READ, 0) == EFAULT;
		if (!ok)
			ksft_print_msg("%s: %s: the vCPU still reads\n", of, op->name);
	} else {
		TEST_ASSERT(!guest(READ, 0), "the vCPU reads");
		sync_global_from_guest(vm, seen);
		bad += wrong(of, op, "the vCPU reads", seen, words[op->see], op->see != ZERO, 1);
	}
	got.reads = vcpu_get_stat(vcpu, pf_taken) - taken;

	if (op->see == NOTHING) {
		op->undo();
		ok &= !resume();
		sync_global_from_guest(vm, seen);
		bad += wrong(of, op, "after it", seen, OLD, 1, 1);
	}
	/* to every other page, so that a scan has something to tell apart */
	stride = tracked ? 2 : 1;
	taken = vcpu_get_stat(vcpu, pf_taken);
	if (op->readonly && op->see != NOTHING) {
		if (!guest(WRITE, NEW)) {
			ksft_print_msg("%s: %s: the vCPU still writes\n", of, op->name);
			ok = false;
		}
		bad += wrong(of, op, "not to be written", NULL, OLD, 1, 1);
		op->undo();
		ok &= !resume();
	} else {
		ok &= !guest(WRITE, NEW);
	}
	got.writes = vcpu_get_stat(vcpu, pf_taken) - taken;
	bad += wrong(of, op, "the vCPU wrote", NULL, NEW, 1, stride);
	if (tracked) {
		u64 written = scan(true);

		if (written != pages / 2) {
			ksft_print_msg("%s: %s: %lu pages are written, not %lu\n", of, op->name, written, pages / 2);
			ok = false;
		}
	}
	stride = 1;
	if (child && end_child()) {
		ksft_print_msg("%s: %s: the child does not have its own pages\n", of, op->name);
		ok = false;
	}
	/* and the other way round */
	for (u64 i = 0; i < pages; i++)
		*word(i) = OTHER + i;
	ok &= !guest(READ, 0);
	sync_global_from_guest(vm, seen);
	bad += wrong(of, op, "this process wrote", seen, OTHER, 1, 1);
	ksft_print_msg("{ \"%s\", \"%s\", %lu, %lu, %lu },\n", of, op->name, got.flushes, got.reads, got.writes);
	check_cost(of, op, &got, &ok);
	tear_down();
	ksft_test_result(ok && !bad, "%s: %s\n", of, op->name);
}

static void *spin(void *unused)
{
	while (resume() == EFAULT)
		;
	return NULL;
}

/* Waits until the vCPU has gone through all pages once more. */
static void one_more_turn(void)
{
	u64 was;

	sync_global_from_guest(vm, turns);
	for (was = turns; turns < was + 2; )
		sync_global_from_guest(vm, turns);
}

static void while_it_runs(const char *of, const struct op *op)
{
	bool ok = true;
	pthread_t thread;
	u64 written;

	set_up();
	stop = 0;
	turns = 0;
	sync_global_to_guest(vm, stop);
	sync_global_to_guest(vm, turns);
	command = SPIN;
	sync_global_to_guest(vm, command);
	TEST_ASSERT(!pthread_create(&thread, NULL, spin, NULL), "pthread_create()");
	for (int i = 0; i < ROUNDS; i++) {
		op->run();
		if (op->undo)
			op->undo();
		one_more_turn();
		/* what is written between the scans is not to be forgotten */
		if (uffd >= 0)
			ok &= scan(true) == pages;
	}
	if (!ok)
		ksft_print_msg("%s: %s: a scan missed pages that the vCPU wrote\n", of, op->name);
	stop = 1;
	sync_global_to_guest(vm, stop);
	pthread_join(thread, NULL);
	sync_global_from_guest(vm, turns);
	ok &= !wrong(of, op, "the last that the vCPU wrote", NULL, turns << 16, 1, 1);
	if (uffd >= 0) {
		scan(false);
		ok &= !guest(WRITE, NEW);
		written = scan(true);
		if (written != pages) {
			ksft_print_msg("%s: %s: %lu pages are written, not %lu\n", of, op->name, written, pages);
			ok = false;
		}
	}
	tear_down();
	ksft_test_result(ok, "%s: %s, while the vCPU writes\n", of, op->name);
}

static void *scan_on(void *unused)
{
	while (!*(volatile u64 *)&stop)
		scan_wp();
	return NULL;
}

/* A subscriber may come between the start() of a scan and its end(), and go. */
static void machines_come_and_go(void)
{
	int kvm = open_kvm_dev_path_or_exit(), made = 0;
	pthread_t thread;

	kind = ANON;
	size = kinds[0].size;
	file = -1;
	map(area);
	memset(area, 1, size);
	track();
	stop = 0;
	TEST_ASSERT(!pthread_create(&thread, NULL, scan_on, NULL), "pthread_create()");
	for (int i = 0; i < MACHINES; i++) {
		struct kvm_userspace_memory_region region = { SLOT, 0, GPA, size, (u64)area };
		int machine = ioctl(kvm, KVM_CREATE_VM, 0);

		made += machine >= 0 && !ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region);
		close(machine);
		area[(i % MOST) * PAGE_SIZE] = 2;
	}
	stop = 1;
	pthread_join(thread, NULL);
	close(uffd);
	close(kvm);
	ksft_test_result(made == MACHINES, "machines come and go while PAGEMAP_SCAN protects\n");
}

static char *reserve(void)
{
	char *at = mmap(NULL, 2 * RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	TEST_ASSERT(at != MAP_FAILED, "mmap()");
	return (char *)(((u64)at + RESERVED - 1) & -RESERVED);
}

int main(void)
{
	int tests = 0;

	ksft_print_header();
	for (int k = 0; k < ARRAY_SIZE(kinds); k++)
		for (int i = 0; i < ARRAY_SIZE(ops); i++)
			tests += !!(ops[i].kinds & 1 << k) * (1 + ops[i].race);
	ksft_set_plan(tests + 1);
	put("/proc/sys/vm/nr_hugepages", "24");
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	TEST_ASSERT(pagemap >= 0, "/proc/self/pagemap");
	area = reserve();
	elsewhere = reserve();
	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	virt_map_level(vm, GPA, GPA, RESERVED, PG_LEVEL_2M);
	for (int k = 0; k < ARRAY_SIZE(kinds); k++) {
		kind = 1 << k;
		size = kinds[k].size;
		step = kinds[k].step;
		pages = size / step;
		sync_global_to_guest(vm, step);
		sync_global_to_guest(vm, pages);
		for (int i = 0; i < ARRAY_SIZE(ops); i++) {
			if (!(ops[i].kinds & kind))
				continue;
			step_by_step(kinds[k].name, &ops[i]);
			if (ops[i].race)
				while_it_runs(kinds[k].name, &ops[i]);
		}
	}
	kvm_vm_free(vm);
	machines_come_and_go();
	put("/proc/sys/vm/nr_hugepages", "0");
	ksft_finished();
}
