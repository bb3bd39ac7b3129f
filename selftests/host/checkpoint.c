// SPDX-License-Identifier: GPL-2.0
/*
 * What CRIU takes away and brings back in the guest of make programs: writes a sequence to memory
 * of four kinds, for ever, and looks at each word before it writes there. In round n it writes n,
 * with the number of the page, so that a page that came back old, empty or at another place is
 * seen. Half of what is anonymous it gives to swap in each round, and in the middle of that there
 * are guard regions.
 *
 *	checkpoint DIR	Writes the round to DIR/round. Once there is DIR/end it ends, three rounds
 *			later, with the verdict.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#endif

#define PAGE	4096ul
#define STEP	512ul		/* a word in each of these */
#define SIZE	(4ul << 20)
#define GUARDS	3ul		/* each a page long, GAP apart */
#define GAP	(64 * PAGE)
#define GUARD	(SIZE / 2)	/* the first of them */

static struct memory {
	const char *name;
	int flags;
	bool guards;
	char *at;
} memory[] = {
	{ "anonymous", MAP_PRIVATE, true, NULL },
	{ "shared", MAP_SHARED, false, NULL },
	{ "hugetlb", MAP_PRIVATE | MAP_HUGETLB, false, NULL },
	{ "shared hugetlb", MAP_SHARED | MAP_HUGETLB, false, NULL },
};

#define KINDS	(sizeof(memory) / sizeof(memory[0]))

static sigjmp_buf back;

static void caught(int sig)
{
	siglongjmp(back, sig);
}

static bool is_guard(const struct memory *of, unsigned long offset)
{
	return of->guards && offset >= GUARD && offset < GUARD + GUARDS * GAP &&
	       (offset - GUARD) % GAP < PAGE;
}

/* False, and says so, if a word is not what it was written. */
static bool do_round(const struct memory *of, uint64_t round)
{
	for (unsigned long offset = 0; offset < SIZE; offset += STEP) {
		volatile uint64_t *word = (uint64_t *)(of->at + offset);
		uint64_t page = (of - memory) << 20 | offset / PAGE, was;

		if (is_guard(of, offset))
			continue;
		was = *word;
		if (round && was != (page << 32 | (round - 1))) {
			printf("# %s: 0x%llx at 0x%lx in round %llu\n", of->name,
			       (unsigned long long)was, offset, (unsigned long long)round);
			return false;
		}
		*word = page << 32 | round;
	}
	return true;
}

/* Do they all raise SIGSEGV still? */
static bool guards_hold(const struct memory *of)
{
	volatile unsigned long held = 0, i;

	for (i = 0; i < GUARDS; i++) {
		if (sigsetjmp(back, 1))
			held++;
		else
			*(volatile char *)(of->at + GUARD + i * GAP);
	}
	return held == GUARDS;
}

int main(int argc, char **argv)
{
	uint64_t round, last = UINT64_MAX;
	bool good[KINDS] = { 0 };
	int failed = 0, fd;

	if (argc != 2 || chdir(argv[1]))
		return 2;
	signal(SIGSEGV, caught);
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open("round", O_CREAT | O_TRUNC | O_WRONLY, 0644);
	for (unsigned int i = 0; i < KINDS; i++) {
		memory[i].at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
				    MAP_ANONYMOUS | memory[i].flags, -1, 0);
		if (memory[i].at == MAP_FAILED)
			return perror(memory[i].name), 2;
		good[i] = true;
	}
	for (unsigned int i = 0; i < GUARDS; i++) {
		if (madvise(memory[0].at + GUARD + i * GAP, PAGE, MADV_GUARD_INSTALL))
			return perror("MADV_GUARD_INSTALL"), 2;
	}
	if (!guards_hold(&memory[0]))
		return puts("the guards do not hold"), 2;

	for (round = 0; round != last; round++) {
		for (unsigned int i = 0; i < KINDS; i++)
			good[i] = good[i] && do_round(&memory[i], round);
		madvise(memory[0].at, SIZE / 2, MADV_PAGEOUT);
		dprintf(fd, "%llu\n", (unsigned long long)round);
		if (last == UINT64_MAX && !access("end", F_OK))
			last = round + 3;
	}
	puts("TAP version 13");
	printf("1..%zu\n", KINDS + 1);
	for (unsigned int i = 0; i < KINDS; i++) {
		printf("%sok %u %s\n", good[i] ? "" : "not ", i + 1, memory[i].name);
		failed += !good[i];
	}
	printf("%sok %zu guard regions\n", guards_hold(&memory[0]) ? "" : "not ", KINDS + 1);
	return failed > 0;
}
