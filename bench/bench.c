// SPDX-License-Identifier: GPL-2.0
/*
 * What the series is to make cheaper, and what it is to leave alone, on a real machine: one file, no dependencies.
 *
 *	gcc -O2 -o bench bench.c -lm	(with the headers of Linux 6.7 or later: -isystem TREE/usr/include after make headers)
 *	./bench >before			on the kernel without the series
 *	./bench >after			on the one with it
 *	./bench --compare before after
 *
 *	-r ROUNDS	how often each row is measured (default 20); the first time is for the caches and does not count
 *	-c CPU		the CPU that it is pinned to (default 0)
 *	-m MIB		memory of a row (default 64)
 *	ROW...		only rows that have one of these in their name
 *
 * A row is an operation on pages: nanoseconds a page, mean and standard deviation of the rounds, and instructions a page,
 * user space and kernel, where perf events are allowed. What has to be set up is set up outside of the measured part. A
 * row that this machine cannot measure says why in a line that begins with "#". As root: PAGEMAP_SCAN and userfaultfd for
 * the kernel's accesses want that on some kernels.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fb.h>
#include <linux/fs.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THP	(2UL << 20)

/* of lib/test_hmm.c, which is a test module and has no header in user space */
struct dmirror { uint64_t addr, ptr, npages, cpages, faults; };
#define DMIRROR_EXCLUSIVE	_IOWR('H', 0x05, struct dmirror)

static size_t page, size;
static char *mem;
static int memfd = -1, uffd = -1, pagemap = -1, fb = -1, dmirror = -1, counter = -1;
static struct page_region *regions;
static char why[200];

#define CANNOT(...)	(snprintf(why, sizeof(why), __VA_ARGS__), false)

static void quit(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* how a row's memory is set up; false: it cannot be, and why[] says so */

static bool map(int flags, int file, size_t align)
{
	char *at = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		quit("mmap");
	at = (char *)(((uintptr_t)at + align - 1) & -align);
	mem = mmap(at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, 0);
	return mem != MAP_FAILED || CANNOT("mmap: %s", strerror(errno));
}

static bool empty(void)
{
	return map(MAP_PRIVATE | MAP_ANONYMOUS, -1, THP);
}

static bool base_pages(void)
{
	if (!empty())
		return false;
	madvise(mem, size, MADV_NOHUGEPAGE);
	memset(mem, 1, size);
	return true;
}

static bool huge_pages(void)
{
	if (!empty())
		return false;
	if (madvise(mem, size, MADV_HUGEPAGE))
		return CANNOT("MADV_HUGEPAGE: %s", strerror(errno));
	memset(mem, 1, size);
	return true;
}

static bool file_not_there(void)
{
	memfd = memfd_create("bench", 0);
	if (memfd < 0 || ftruncate(memfd, size))
		return CANNOT("memfd_create: %s", strerror(errno));
	return map(MAP_SHARED, memfd, THP);
}

static bool track(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { { (uintptr_t)mem, size }, UFFDIO_REGISTER_MODE_WP, 0 };

	uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 && errno == EPERM)
		uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd < 0)
		return CANNOT("userfaultfd: %s", strerror(errno));
	api.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &range))
		return CANNOT("userfaultfd without async write protection: %s", strerror(errno));
	return true;
}

static bool wp(bool on)
{
	struct uffdio_writeprotect range = {
		{ (uintptr_t)mem, size }, on ? UFFDIO_WRITEPROTECT_MODE_WP : 0
	};

	return !ioctl(uffd, UFFDIO_WRITEPROTECT, &range) || CANNOT("UFFDIO_WRITEPROTECT: %s", strerror(errno));
}

static bool tracked(void)
{
	return base_pages() && track() && wp(true);
}

static bool tracked_and_written(void)
{
	if (!tracked())
		return false;
	for (size_t i = 0; i < size; i += page)
		mem[i] = 2;
	return true;
}

static bool tracked_file(void)
{
	return file_not_there() && track();
}

static bool protected_file(void)
{
	return tracked_file() && wp(true);
}

static bool protected_base_pages(void)
{
	return base_pages() && !mprotect(mem, size, PROT_READ);
}

static bool framebuffer(void)
{
	struct fb_fix_screeninfo fix;

	fb = open("/dev/fb0", O_RDWR);
	if (fb < 0 || ioctl(fb, FBIOGET_FSCREENINFO, &fix))
		return CANNOT("/dev/fb0: %s", strerror(errno));
	size = fix.smem_len & -page;
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fb, 0);
	if (mem == MAP_FAILED)
		return CANNOT("/dev/fb0: mmap: %s", strerror(errno));
	for (size_t i = 0; i < size; i += page)
		mem[i] ^= 1;
	return true;
}

static bool device(void)
{
	if (!base_pages())
		return false;
	dmirror = open("/dev/hmm_dmirror0", O_RDWR);
	return dmirror >= 0 || CANNOT("/dev/hmm_dmirror0 (modprobe test_hmm): %s", strerror(errno));
}

static void tear_down(void)
{
	int *fds[] = { &memfd, &uffd, &fb, &dmirror };

	if (mem && mem != MAP_FAILED)
		munmap(mem, size);
	mem = NULL;
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

/* the operations; false: it failed */

static bool do_wp(void)
{
	return wp(true);
}

static bool do_wp_off(void)
{
	return wp(false);
}

static bool do_scan(void)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)mem, .end = (uintptr_t)mem + size,
		.vec = (uintptr_t)regions, .vec_len = size / page,
		.category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
	};

	return pagemap >= 0 && ioctl(pagemap, PAGEMAP_SCAN, &arg) >= 0;
}

static bool do_munmap(void)
{
	return !munmap(mem, size);
}

static bool do_mprotect_read(void)
{
	return !mprotect(mem, size, PROT_READ);
}

static bool do_mprotect_write(void)
{
	return !mprotect(mem, size, PROT_READ | PROT_WRITE);
}

static bool do_mprotect_each(void)
{
	for (size_t i = page; i < size; i += 2 * page) {
		if (mprotect(mem + i, page, PROT_READ) || mprotect(mem + i, page, PROT_READ | PROT_WRITE))
			return false;
	}
	return true;
}

static bool do_fork(void)
{
	int child = fork(), status;

	if (!child)
		_exit(0);
	return child > 0 && waitpid(child, &status, 0) == child && !status;
}

static bool do_touch(void)
{
	for (size_t i = 0; i < size; i += page)
		mem[i] = 3;
	return true;
}

static bool do_exclusive(void)
{
	static char out[THP];

	for (size_t at = 0; at + THP <= size; at += THP) {
		struct dmirror cmd = { (uintptr_t)mem + at, (uintptr_t)out, THP / page, 0, 0 };

		if (ioctl(dmirror, DMIRROR_EXCLUSIVE, &cmd))
			return false;
	}
	return true;
}

/* has the deferred work done at once, and waits for it */
static bool do_flush(void)
{
	return !fsync(fb);
}

static const struct row {
	const char *name;
	bool (*set_up)(void), (*run)(void);
} rows[] = {
	{ "UFFDIO_WRITEPROTECT: shmem that is not there", tracked_file, do_wp },
	{ "UFFDIO_WRITEPROTECT: shmem that is not there, again", protected_file, do_wp },
	{ "UFFDIO_WRITEPROTECT, mode 0: shmem that is not there", protected_file, do_wp_off },
	{ "PAGEMAP_SCAN: shmem that is not there, protected", protected_file, do_scan },
	{ "munmap: shmem that is not there, protected", protected_file, do_munmap },
	{ "UFFDIO_WRITEPROTECT: anonymous", tracked_and_written, do_wp },
	{ "PAGEMAP_SCAN: anonymous, nothing written", tracked, do_scan },
	{ "PAGEMAP_SCAN: anonymous, all written", tracked_and_written, do_scan },
	{ "exclusive: anonymous, 2 MiB at a time", device, do_exclusive },
	{ "framebuffer: flush of all pages", framebuffer, do_flush },
	{ "ordinary: page fault", empty, do_touch },
	{ "ordinary: mprotect, read-only", base_pages, do_mprotect_read },
	{ "ordinary: mprotect, writable", protected_base_pages, do_mprotect_write },
	{ "ordinary: mprotect of each second page", base_pages, do_mprotect_each },
	{ "ordinary: fork and exit", base_pages, do_fork },
	{ "ordinary: munmap", base_pages, do_munmap },
	{ "ordinary: munmap of huge pages", huge_pages, do_munmap },
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static void open_counter(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE, .size = sizeof(attr), .config = PERF_COUNT_HW_INSTRUCTIONS,
		.exclude_hv = 1,
	};

	counter = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static double instructions(void)
{
	uint64_t n = 0;

	return counter >= 0 && read(counter, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void measure(const struct row *row, int rounds, size_t bytes)
{
	double sum = 0, squares = 0, counted = 0, pages;

	for (int i = 0; i <= rounds; i++) {
		double began, ns, before;

		size = bytes;
		if (!row->set_up()) {
			printf("# %s: %s\n", row->name, why);
			tear_down();
			return;
		}
		pages = (double)size / page;
		before = instructions();
		began = now();
		if (!row->run()) {
			printf("# %s: %s\n", row->name, strerror(errno));
			tear_down();
			return;
		}
		ns = (now() - began) / pages;
		before = (instructions() - before) / pages;
		tear_down();
		if (!i)
			continue;
		sum += ns;
		squares += ns * ns;
		counted += before;
	}
	sum /= rounds;
	squares = squares / rounds - sum * sum;
	printf("%-56s %10.2f %8.2f", row->name, sum, squares > 0 ? sqrt(squares) : 0);
	if (counter >= 0)
		printf(" %10.1f\n", counted / rounds);
	else
		printf("          -\n");
	fflush(stdout);
}

/* comparing */

struct result {
	char name[100];
	double ns, dev, count;
};

static int results(const char *path, struct result *out, int max)
{
	FILE *f = fopen(path, "r");
	char line[300], count[32];
	int n = 0;

	if (!f)
		quit(path);
	while (n < max && fgets(line, sizeof(line), f)) {
		char *end = line + strcspn(line, "\n");

		*end = 0;
		if (*line == '#' || strlen(line) < 57)
			continue;
		snprintf(out[n].name, sizeof(out[n].name), "%.56s", line);
		if (sscanf(line + 56, "%lf %lf %31s", &out[n].ns, &out[n].dev, count) == 3)
			out[n++].count = atof(count);
	}
	fclose(f);
	if (!n) {
		fprintf(stderr, "bench: %s: no row of bench is in it\n", path);
		exit(1);
	}
	return n;
}

static int compare(const char *before, const char *after)
{
	static struct result a[100], b[100];
	int na = results(before, a, 100), nb = results(after, b, 100);

	printf("%-56s %10s %10s %8s %8s\n", "ns a page", "before", "after", "faster", "fewer");
	for (int i = 0; i < na; i++) {
		for (int j = 0; j < nb; j++) {
			if (strcmp(a[i].name, b[j].name))
				continue;
			printf("%s %10.2f %10.2f %7.2fx", a[i].name, a[i].ns, b[j].ns, a[i].ns / b[j].ns);
			if (a[i].count && b[j].count)
				printf(" %7.2fx", a[i].count / b[j].count);
			/* within two deviations nobody can tell */
			if (fabs(a[i].ns - b[j].ns) < 2 * (a[i].dev + b[j].dev))
				printf("  (not told apart)");
			printf("\n");
		}
	}
	return 0;
}

static bool asked_for(const char *name, char **patterns)
{
	bool any = !*patterns;

	for (; *patterns; patterns++)
		any |= !!strstr(name, *patterns);
	return any;
}

int main(int argc, char **argv)
{
	int rounds = 20, cpu = 0, mib = 64, opt;
	struct utsname uts;
	cpu_set_t set;

	if (argc == 4 && !strcmp(argv[1], "--compare"))
		return compare(argv[2], argv[3]);
	while ((opt = getopt(argc, argv, "r:c:m:")) != -1) {
		int *to = opt == 'r' ? &rounds : opt == 'c' ? &cpu : &mib;

		if (opt == '?' || ((*to = atoi(optarg)) < 1 && to != &cpu)) {
			fprintf(stderr, "usage: bench [-r ROUNDS] [-c CPU] [-m MIB] [ROW...] | --compare BEFORE AFTER\n");
			return 2;
		}
	}
	page = sysconf(_SC_PAGESIZE);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		quit("-c");
	uname(&uts);
	open_counter();
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	regions = calloc(((size_t)mib << 20) / page, sizeof(*regions));
	if (!regions)
		quit("calloc");
	printf("# %s %s %s, %d MiB, %d rounds, CPU %d%s\n", uts.release, uts.version, uts.machine, mib, rounds, cpu,
	       counter < 0 ? ", no instruction counts" : "");
	printf("# %-54s %10s %8s %10s\n", "row", "ns a page", "+-", "instr.");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (asked_for(rows[i].name, argv + optind))
			measure(&rows[i], rounds, (size_t)mib << 20);
	return 0;
}
