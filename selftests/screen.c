// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guest of make screen: does what is written to /dev/fb0 reach the screen?
 *
 * The framebuffer is in system memory. Deferred I/O (fb_defio) write-protects its pages, notes which ones are written
 * to, and some 20 times a second has the driver copy those to the memory of the VGA device, which is mapped here, too.
 *
 *	screen ROUNDS	In each round threads write while the kernel flushes, and stop. Then all of the framebuffer must be
 *			on the screen, and each page must be write-protected: a write to one that is not is never flushed.
 *			Prints KTAP.
 *	screen picture	Draws a picture, prints its size and a checksum, and waits to be ended.
 *
 * When a mark that was written last has arrived, all that was written before it should have: nothing here waits for a
 * time and hopes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <linux/fb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096
#define WORDS		(PAGE / sizeof(uint32_t))
#define THREADS		3
#define LIMIT_SECS	60	/* a mark that has not arrived by then was lost */

static struct fb_var_screeninfo var;
static struct fb_fix_screeninfo fix;
static volatile uint32_t *fb, *vram;
static unsigned int pages;
static int fd;

__attribute__((noreturn, format(printf, 1, 2))) static void bail_out(const char *fmt, ...)
{
	va_list ap;

	printf("Bail out! ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(": %m\n");
	exit(1);
}

static void *map(int file, size_t size, int prot)
{
	void *mem = mmap(NULL, size, prot, MAP_SHARED, file, 0);

	if (mem == MAP_FAILED)
		bail_out("mmap");
	return mem;
}

/* The memory of the VGA device, which the picture on the screen is made from. */
static void map_device(void)
{
	unsigned int class = 0;
	glob_t found;

	if (glob("/sys/bus/pci/devices/*/class", 0, NULL, &found))
		bail_out("no PCI devices");
	for (size_t i = 0; i < found.gl_pathc && class >> 8 != 0x0300; i++) {
		char *path = found.gl_pathv[i], name[256];
		FILE *f = fopen(path, "r");

		if (!f || fscanf(f, "%x", &class) != 1)
			bail_out("%s", path);
		fclose(f);
		snprintf(name, sizeof(name), "%.*sresource0", (int)(strrchr(path, '/') + 1 - path), path);
		if (class >> 8 == 0x0300) {
			int file = open(name, O_RDWR);

			if (file < 0)
				bail_out("%s", name);
			vram = map(file, pages * PAGE, PROT_READ);
		}
	}
	if (!vram)
		bail_out("no VGA device");
}

static void set_up(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	fd = open("/dev/fb0", O_RDWR);
	if (fd < 0)
		bail_out("/dev/fb0");
	if (ioctl(fd, FBIOGET_VSCREENINFO, &var) || ioctl(fd, FBIOGET_FSCREENINFO, &fix))
		bail_out("FBIOGET_VSCREENINFO");
	/* there is no console on it that would have set the mode */
	var.activate = FB_ACTIVATE_NOW | FB_ACTIVATE_FORCE;
	if (ioctl(fd, FBIOPUT_VSCREENINFO, &var))
		bail_out("FBIOPUT_VSCREENINFO");
	pages = fix.line_length * var.yres / PAGE;
	fb = map(fd, pages * PAGE, PROT_READ | PROT_WRITE);
	map_device();
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* The last word is copied last. Returns when what was written before is on the screen, or should be. */
static void wait_for_mark(void)
{
	static uint32_t mark;
	volatile uint32_t *at = fb + pages * WORDS - 1;
	double began = now();

	*at = ++mark;
	while (vram[pages * WORDS - 1] != mark) {
		usleep(1000);
		if (now() - began > LIMIT_SECS) {
			printf("# the mark is not on the screen after %d s\n", LIMIT_SECS);
			return;
		}
	}
}

static bool on_screen(unsigned int page)
{
	return !memcmp((void *)(fb + page * WORDS), (void *)(vram + page * WORDS), PAGE);
}

/* How many pages are not on the screen. */
static unsigned int count_missing(void)
{
	unsigned int missing = 0;

	wait_for_mark();
	for (int try = 0; try < 2; try++) {
		missing = 0;
		for (unsigned int i = 0; i < pages; i++)
			missing += !on_screen(i);
		if (!missing)
			break;
		wait_for_mark();
	}
	return missing;
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt;
}

/* Returns when all that was written before has been flushed: of the copies that bring a mark, two may have been on their way. */
static void wait_for_flush(void)
{
	for (int n = 0; n < 3; n++)
		wait_for_mark();
}

/*
 * A page that was flushed is write-protected: a write to it must fault. Returns how many of those that do not fault are not
 * flushed either, when they are all that is written to.
 */
static unsigned int count_lost(unsigned int *unprotected)
{
	unsigned int lost = 0, suspects = 0;
	static bool *suspect;

	if (!suspect)
		suspect = calloc(pages, sizeof(*suspect));
	if (!suspect)
		bail_out("calloc");
	/* the last page has the mark */
	for (unsigned int i = 0; i < pages - 1; i++) {
		long before = faults();

		fb[i * WORDS + 1]++;
		suspect[i] = faults() == before;
		suspects += suspect[i];
	}
	if (!suspects)
		return 0;
	/* some may have been waiting for a flush */
	wait_for_flush();
	for (unsigned int i = 0; i < pages - 1; i++) {
		long before = faults();

		if (!suspect[i])
			continue;
		/* the driver copies what is between two pages as well, so nothing else is written to */
		fb[i * WORDS + 1]++;
		if (faults() != before)
			continue;
		++*unprotected;
		wait_for_flush();
		lost += !on_screen(i);
	}
	/* new entries, which fault */
	munmap((void *)fb, pages * PAGE);
	fb = map(fd, pages * PAGE, PROT_READ | PROT_WRITE);
	return lost;
}

static pthread_barrier_t barrier;
static volatile bool stop, end;
static unsigned long written[THREADS];

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* One page after the other, all of it: most of the time one of the threads is in a fault. */
static void *writer(void *data)
{
	unsigned long n = (unsigned long)data;
	uint32_t seed = 0x9e3779b9 * (n + 1);

	for (;;) {
		pthread_barrier_wait(&barrier);
		if (end)
			return NULL;
		while (!stop) {
			volatile uint32_t *page = fb + next_random(&seed) % (pages - 1) * WORDS;
			uint32_t value = next_random(&seed);

			for (unsigned int i = 0; i < WORDS; i++)
				page[i] = value;
			written[n]++;
		}
		pthread_barrier_wait(&barrier);
	}
}

static int run_rounds(unsigned int rounds)
{
	unsigned int missing = 0, lost = 0, unprotected = 0, bad = 0;
	pthread_t threads[THREADS];
	unsigned long sum = 0;

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (unsigned long n = 0; n < THREADS; n++) {
		if (pthread_create(&threads[n], NULL, writer, (void *)n))
			bail_out("pthread_create");
	}
	for (unsigned int round = 1; round <= rounds; round++) {
		unsigned int before = missing + lost + unprotected;

		stop = false;
		pthread_barrier_wait(&barrier);
		/* at least one flush while they write */
		wait_for_mark();
		stop = true;
		pthread_barrier_wait(&barrier);
		missing += count_missing();
		lost += count_lost(&unprotected);
		bad += missing + lost + unprotected != before;
		if (missing + lost + unprotected != before || round % 100 == 0)
			printf("# round %u: pages not on the screen %u, not protected %u, of these lost %u\n", round, missing,
			       unprotected, lost);
	}
	end = true;
	pthread_barrier_wait(&barrier);
	for (int n = 0; n < THREADS; n++) {
		pthread_join(threads[n], NULL);
		sum += written[n];
	}
	printf("# %s, %ux%u, %u pages: %u rounds, %lu pages written, %u rounds bad\n", fix.id, var.xres, var.yres, pages, rounds,
	       sum, bad);
	printf("TAP version 13\n1..3\n");
	printf("%s 1 what was written is on the screen\n", missing ? "not ok" : "ok");
	printf("%s 2 what was flushed is write-protected\n", unprotected ? "not ok" : "ok");
	printf("%s 3 the next write is on the screen\n", lost ? "not ok" : "ok");
	return missing || lost || unprotected;
}

/* Bars of colour behind a tile for each page, in a shade of its number. */
static uint32_t pixel(unsigned int x, unsigned int y)
{
	unsigned int bar = x * 8 / var.xres, shade = 96 + 159 * y / var.yres;
	unsigned int page = (y * fix.line_length + x * 4) / PAGE;
	uint32_t colour = (bar & 1 ? shade : 0) | (bar & 2 ? shade << 8 : 0) | (bar & 4 ? shade << 16 : 0);

	return (y / 8 + page) % 2 ? colour : colour ^ 0x181818;
}

__attribute__((noreturn)) static void draw_picture(void)
{
	uint32_t a = 1, b = 0;

	/* from the left to the right: each column touches all pages */
	for (unsigned int x = 0; x < var.xres; x++) {
		for (unsigned int y = 0; y < var.yres; y++)
			fb[y * fix.line_length / 4 + x] = pixel(x, y);
	}
	/* Adler-32 of red, green, blue */
	for (unsigned int y = 0; y < var.yres; y++) {
		for (unsigned int x = 0; x < var.xres * 3; x++) {
			a = (a + (uint8_t)(fb[y * fix.line_length / 4 + x / 3] >> (16 - x % 3 * 8))) % 65521;
			b = (b + a) % 65521;
		}
	}
	while (memcmp((void *)fb, (void *)vram, pages * PAGE))
		usleep(1000);
	printf("# picture %ux%u %u\n", var.xres, var.yres, b << 16 | a);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	set_up();
	if (!strcmp(argv[1], "picture"))
		draw_picture();
	return run_rounds(atoi(argv[1]));
}
