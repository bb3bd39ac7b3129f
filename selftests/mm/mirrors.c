// SPDX-License-Identifier: GPL-2.0
/*
 * Mirrors of test_hmm beside what invalidates their memory most, as public reports have it:
 *
 * reaped: a process whose memory a device mirrors is killed, and the OOM reaper's code takes its
 *	memory while it is dying (process_mrelease()), a hundred times. A device that mirrors
 *	another process goes on.
 * scanned: one thread protects 1 GiB again and again, by PAGEMAP_SCAN and UFFDIO_WRITEPROTECT.
 *	A device reads, writes and takes 64 pages of it 300 times: it comes to an end, and
 *	reads what was written.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>

#include <lib/test_hmm_uapi.h>

#define PAGES 64
#define TRIES 100

static size_t page;

#define QUIT(what) do { printf("# %s: %s\n", what, strerror(errno)); exit(1); } while (0)

static char *map(size_t bytes)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		QUIT("mmap");
	return at;
}

static int open_mirror(void)
{
	int fd = open("/dev/hmm_dmirror0", O_RDWR);

	if (fd < 0)
		QUIT("/dev/hmm_dmirror0");
	return fd;
}

/* How often it was tried, for the device may be overtaken by an invalidation. */
static long device(int fd, unsigned long request, char *at, char *buffer)
{
	struct hmm_dmirror_cmd cmd;
	long tries;

	for (tries = 1; tries <= TRIES; tries++) {
		cmd = (struct hmm_dmirror_cmd){
			.addr = (unsigned long)at,
			.ptr = (unsigned long)buffer,
			.npages = PAGES,
		};
		if (!ioctl(fd, request, &cmd))
			return tries;
		/* ENOENT: it had them, and lost them before it could read. */
		if (errno != EBUSY && errno != EAGAIN && errno != ENOENT)
			QUIT("ioctl of the device");
	}
	printf("# the device did not get its pages in %d tries\n", TRIES);
	exit(1);
}

static void child(int ready)
{
	size_t bytes = PAGES * page;
	int fd = open_mirror();
	char *at = map(bytes);
	char *buffer = map(bytes);

	memset(at, 1, bytes);
	device(fd, HMM_DMIRROR_READ, at, buffer);
	device(fd, HMM_DMIRROR_EXCLUSIVE, at, buffer);
	device(fd, HMM_DMIRROR_READ, buffer, map(bytes));
	if (write(ready, "", 1) != 1)
		QUIT("write");
	for (;;)
		pause();
}

static void reap_one(void)
{
	int ready[2], status, pidfd, tries;
	pid_t pid;
	char byte;

	fflush(stdout);
	if (pipe(ready))
		QUIT("pipe");
	pid = fork();
	if (pid < 0)
		QUIT("fork");
	if (!pid)
		child(ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		QUIT("the child has no mirror");
	close(ready[0]);

	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		QUIT("pidfd_open");
	/* It stops when it is dying and has its memory still. */
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT) || kill(pid, SIGKILL))
		QUIT("kill");
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status) ||
	    status >> 8 != (SIGTRAP | PTRACE_EVENT_EXIT << 8))
		QUIT("the child did not stop");
	for (tries = 0; syscall(SYS_process_mrelease, pidfd, 0); tries++) {
		if (errno != EAGAIN || tries == TRIES)
			QUIT("process_mrelease");
	}
	if (ptrace(PTRACE_CONT, pid, 0, 0) || waitpid(pid, &status, __WALL) != pid ||
	    !WIFSIGNALED(status))
		QUIT("the child is not dead");
	close(pidfd);
}

static void reaped(void)
{
	size_t bytes = PAGES * page, i;
	char *at = map(bytes);
	char *from = map(bytes), *to = map(bytes);
	int fd = open_mirror();
	int round;

	for (round = 1; round <= 100; round++) {
		memset(from, round, bytes);
		device(fd, HMM_DMIRROR_WRITE, at, from);
		reap_one();
		device(fd, HMM_DMIRROR_READ, at, to);
		for (i = 0; i < bytes; i++) {
			if (to[i] != round || at[i] != round) {
				printf("# round %d: byte %zu is wrong\n", round, i);
				exit(1);
			}
		}
	}
	close(fd);
}

static struct {
	char *at;
	size_t bytes;
	int uffd;
	int pagemap;
	bool stop;
	long scans;
} scan;

static void protect(void)
{
	struct uffdio_writeprotect wp = {
		.range = { (unsigned long)scan.at, scan.bytes },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (ioctl(scan.uffd, UFFDIO_WRITEPROTECT, &wp) && errno != EAGAIN)
		QUIT("UFFDIO_WRITEPROTECT");
}

static void *scan_loop(void *unused)
{
	static struct page_region vec[512];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.vec = (unsigned long)vec,
		.vec_len = 512,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};

	while (!__atomic_load_n(&scan.stop, __ATOMIC_RELAXED)) {
		arg.end = (unsigned long)scan.at + scan.bytes;
		for (arg.start = (unsigned long)scan.at; arg.start < arg.end;
		     arg.start = arg.walk_end) {
			if (ioctl(scan.pagemap, PAGEMAP_SCAN, &arg) < 0)
				QUIT("PAGEMAP_SCAN");
		}
		__atomic_add_fetch(&scan.scans, 1, __ATOMIC_RELAXED);
		if (scan.scans % 8 == 0)
			protect();
	}
	return unused;
}

static void scanned(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED,
	};
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	size_t bytes = PAGES * page, i;
	char *from = map(bytes), *to = map(bytes);
	int fd = open_mirror();
	pthread_t thread;
	long tries = 0;
	char *at;
	int turn;

	scan.bytes = 1UL << 30;
	scan.at = map(scan.bytes);
	memset(scan.at, 0, scan.bytes / 16);
	scan.uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	scan.pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (scan.uffd < 0 || scan.pagemap < 0 || ioctl(scan.uffd, UFFDIO_API, &api))
		QUIT("userfaultfd");
	reg.range.start = (unsigned long)scan.at;
	reg.range.len = scan.bytes;
	if (ioctl(scan.uffd, UFFDIO_REGISTER, &reg))
		QUIT("UFFDIO_REGISTER");

	errno = pthread_create(&thread, NULL, scan_loop, NULL);
	if (errno)
		QUIT("pthread_create");
	/* Not before it has begun. */
	while (!__atomic_load_n(&scan.scans, __ATOMIC_RELAXED))
		sched_yield();

	for (turn = 0; turn < 300; turn++) {
		if (turn % 100 == 0)
			printf("# turn %d, %ld tries, %ld scans\n", turn, tries, scan.scans);
		at = scan.at + turn / 3 * bytes % (scan.bytes / 16);
		if (turn % 3 == 0) {
			memset(from, turn, bytes);
			tries += device(fd, HMM_DMIRROR_WRITE, at, from);
		} else if (turn % 3 == 1) {
			tries += device(fd, HMM_DMIRROR_EXCLUSIVE, at, to);
		} else {
			tries += device(fd, HMM_DMIRROR_READ, at, to);
			for (i = 0; i < bytes; i++) {
				if (to[i] != (char)(turn - 2)) {
					printf("# turn %d: byte %zu is wrong\n", turn, i);
					exit(1);
				}
			}
		}
	}
	__atomic_store_n(&scan.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("# 300 turns took %ld tries beside %ld scans\n", tries, scan.scans);
	close(fd);
}

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = { { "reaped", reaped }, { "scanned", scanned } };

int main(void)
{
	unsigned int i;
	int status, failed = 0;
	pid_t pid;

	page = sysconf(_SC_PAGESIZE);
	setlinebuf(stdout);
	printf("TAP version 13\n1..2\n");
	for (i = 0; i < 2; i++) {
		pid = fork();
		if (!pid) {
			tests[i].run();
			exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			QUIT("fork");
		printf("%sok %u %s\n", status ? "not " : "", i + 1, tests[i].name);
		failed += !!status;
	}
	return failed ? 1 : 0;
}
