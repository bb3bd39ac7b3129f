// SPDX-License-Identifier: GPL-2.0
/*
 * The first and only process of the guest of make selftests: runs the programs that
 * /programs lists, one after the other, each in its own session and for no longer than its
 * limit, and reports on /dev/ttyS1, on arm64 /dev/vport0p1, which nothing else writes to:
 *
 *	> begin COMMAND
 *	| a line that it printed
 *	> end exit N | signal N | limit N, then the seconds it took
 *	> alive			while there is nothing to say
 *	> done			all of them ran
 *
 * The kernel's messages have the console for themselves. As "init shell" it starts a shell on the
 * console instead.
 * As "init host" (make programs) its programs have the host's root, which QEMU exports, and run in
 * /mnt, which is /tests.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __aarch64__
#define REPORT		"/dev/vport0p1"
#else
#define REPORT		"/dev/ttyS1"
#endif
#define REPORT_SECS	30
#define ALIVE_SECS	10
#define STUCK_SECS	20

static FILE *report;
static const char *tests = "/tests";

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

__attribute__((noreturn)) static void end_guest(void)
{
	fflush(report);
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

__attribute__((noreturn, format(printf, 1, 2))) static void give_up(const char *fmt, ...)
{
	va_list ap;

	fprintf(report, "> error ");
	va_start(ap, fmt);
	vfprintf(report, fmt, ap);
	va_end(ap);
	fputc('\n', report);
	end_guest();
}

/* A port of virtio is there a moment later than its device. */
static FILE *open_port(const char *path)
{
	double began = now();
	FILE *port;

	while (!(port = fopen(path, "w")) && errno == ENOENT && now() - began < REPORT_SECS)
		usleep(10000);
	return port;
}

static void put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		give_up("%s: %s", path, strerror(errno));
	close(fd);
}

static void mount_at(const char *type, const char *path, const char *options)
{
	mkdir(path, 0755);
	if (mount("none", path, type, 0, options))
		give_up("mount %s: %s", path, strerror(errno));
}

/* What mkswap does: a header in the first page, the signature at its end. */
static void swap_on(const char *path)
{
	union {
		char page[4096];
		struct {
			char boot[1024];
			unsigned int version, last_page, nr_badpages;
		};
	} header = { .version = 1 };
	int fd = open(path, O_RDWR);

	if (fd < 0)
		give_up("%s: %s", path, strerror(errno));
	header.last_page = lseek(fd, 0, SEEK_END) / sizeof(header) - 1;
	memcpy(header.page + sizeof(header) - 10, "SWAPSPACE2", 10);
	if (pwrite(fd, &header, sizeof(header), 0) != sizeof(header) || fsync(fd) || swapon(path, 0))
		give_up("swap on %s: %s", path, strerror(errno));
	close(fd);
}

/* Every program finds the same machine, whatever the one before it left behind. */
static void settle(void)
{
	static const char * const hugetlb = "/sys/kernel/mm/hugepages";
	char path[512];
	struct dirent *size;
	DIR *dir = opendir(hugetlb);

	while (dir && (size = readdir(dir))) {
		if (size->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/nr_hugepages", hugetlb, size->d_name);
		put(path, "0");
	}
	if (dir)
		closedir(dir);
	put("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	put("/sys/kernel/mm/ksm/run", "2");
	put("/sys/kernel/mm/ksm/run", "0");
	put("/proc/sys/vm/drop_caches", "3");
	put("/proc/sys/vm/compact_memory", "1");
}

/* Says on the console which program the messages that follow belong to. */
static void mark(const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "<5>selftests: %s\n", command);
	put("/dev/kmsg", line);
}

static pid_t start(const char *command, int out)
{
	char *argv[32], *copy = strdup(command), path[256];
	int argc = 0, null = open("/dev/null", O_RDONLY);
	pid_t pid = fork();

	if (pid)
		return close(null), free(copy), pid;
	setsid();
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	for (char *word = strtok(copy, " "); word && argc < 31; word = strtok(NULL, " "))
		argv[argc++] = word;
	argv[argc] = NULL;
	if (chdir(tests))
		_exit(127);
	snprintf(path, sizeof(path), "./%s", argv[0]);
	argv[0] = path;
	execv(path, argv);
	dprintf(2, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

/* For make shell: the console is a terminal, and the shell's end that of the guest. */
__attribute__((noreturn)) static void shell(void)
{
	pid_t pid = fork();

	if (!pid) {
		int console;

		setsid();
		console = open("/dev/ttyS0", O_RDWR);
		ioctl(console, TIOCSCTTY, 0);
		for (int fd = 0; fd < 3; fd++)
			dup2(console, fd);
		setenv("PATH", "/bin:/tests", 1);
		setenv("HOME", "/tests", 1);
		if (!chdir("/tests"))
			execl("/bin/sh", "sh", NULL);
		_exit(127);
	}
	while (waitpid(-1, NULL, 0) != pid)
		;
	end_guest();
}

/*
 * Makes the host's root that of the guest. It is read-only: what a program writes goes to memory,
 * and what it sees of /dev, /proc and /sys is the guest's.
 */
static void enter_host(void)
{
	static const char * const kernel[] = { "/dev", "/proc", "/sys" };
	static const char * const memory[] = { "/host/tmp", "/host/run", "/host/var/tmp" };
	struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int lo;

	mkdir("/host", 0755);
	if (mount("host", "/host", "9p", MS_RDONLY,
		  "trans=virtio,version=9p2000.L,cache=loose,msize=512000"))
		give_up("the host's root: %s", strerror(errno));
	for (unsigned int i = 0; i < 3; i++) {
		char path[16];

		mount_at("tmpfs", memory[i], "mode=1777");
		snprintf(path, sizeof(path), "/host%s", kernel[i]);
		if (mount(kernel[i], path, NULL, MS_MOVE, NULL))
			give_up("move %s: %s", kernel[i], strerror(errno));
	}
	lo = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (lo < 0 || ioctl(lo, SIOCSIFFLAGS, &up))
		give_up("lo: %s", strerror(errno));
	close(lo);
	tests = "/mnt";
	if (mount("/tests", "/host/mnt", NULL, MS_BIND, NULL) || chdir("/host") ||
	    mount(".", "/", NULL, MS_MOVE, NULL) || chroot("."))
		give_up("enter the host's root: %s", strerror(errno));
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/tmp", 1);
}

/* Reports what there is to read, a "| " before each line. False at the end of it. */
static bool pass_on(int in, bool *in_line)
{
	char buf[4096];
	ssize_t n = read(in, buf, sizeof(buf));

	for (ssize_t i = 0; i < n; i++) {
		if (!*in_line)
			fputs("| ", report);
		/* a carriage return is an end of line too, as on a screen */
		fputc(buf[i] == '\r' ? '\n' : buf[i], report);
		*in_line = buf[i] != '\n' && buf[i] != '\r';
	}
	fflush(report);
	return n > 0;
}

static void run(const char *command, int limit)
{
	int pipefd[2], status = 0, how;
	double began, spoke, killed = 0;
	bool in_line = false;
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC | O_NONBLOCK))
		give_up("pipe: %s", strerror(errno));
	fcntl(pipefd[1], F_SETFL, 0);
	mark(command);
	fprintf(report, "> begin %s\n", command);
	fflush(report);
	began = spoke = now();
	pid = start(command, pipefd[1]);
	if (pid < 0)
		give_up("fork: %s", strerror(errno));
	close(pipefd[1]);

	for (;;) {
		struct pollfd in = { .fd = pipefd[0], .events = POLLIN };
		pid_t dead;

		poll(&in, 1, 100);
		if (in.revents & POLLIN && pass_on(pipefd[0], &in_line))
			spoke = now();
		else if (in.revents)
			usleep(20000);	/* it closed its output, and lives */
		while ((dead = waitpid(-1, &how, WNOHANG)) > 0) {
			if (dead == pid)
				status = how, pid = 0;
		}
		if (!pid)
			break;
		if (now() - spoke > ALIVE_SECS) {
			fputs(in_line ? "\n> alive\n" : "> alive\n", report);
			fflush(report);
			in_line = false;
			spoke = now();
		}
		if (!killed && now() - began > limit) {
			/* where it hangs goes to the console */
			put("/proc/sysrq-trigger", "l");
			put("/proc/sysrq-trigger", "w");
			kill(-1, SIGKILL);
			killed = now();
		}
		if (killed && now() - killed > STUCK_SECS)
			give_up("%s: does not die: see the console", command);
	}
	kill(-1, SIGKILL);
	while (pass_on(pipefd[0], &in_line))
		;
	close(pipefd[0]);
	while (waitpid(-1, NULL, 0) > 0)
		;
	if (in_line)
		fputc('\n', report);
	if (killed)
		fprintf(report, "> end limit %d", limit);
	else if (WIFSIGNALED(status))
		fprintf(report, "> end signal %d", WTERMSIG(status));
	else
		fprintf(report, "> end exit %d", WEXITSTATUS(status));
	fprintf(report, " %.1f\n", now() - began);
	fflush(report);
}

int main(int argc, char **argv)
{
	bool interactive = argc > 1 && !strcmp(argv[1], "shell");
	char line[512];
	FILE *programs;
	int limit, at;

	mkdir("/dev", 0755);
	mount("none", "/dev", "devtmpfs", 0, NULL);
	report = open_port(interactive ? "/dev/console" : REPORT);
	if (!report) {
		report = stderr;
		give_up(REPORT ": %s", strerror(errno));
	}
	fputs("> alive\n", report);
	fflush(report);
	mount_at("proc", "/proc", NULL);
	mount_at("sysfs", "/sys", NULL);
	mount_at("debugfs", "/sys/kernel/debug", NULL);
	mount_at("tracefs", "/sys/kernel/tracing", NULL);
	mount_at("tmpfs", "/tmp", "huge=advise");
	mount_at("tmpfs", "/dev/shm", "huge=advise");
	swap_on("/dev/ram0");
	if (interactive)
		shell();

	programs = fopen("/programs", "r");
	if (!programs)
		give_up("/programs: %s", strerror(errno));
	if (argc > 1 && !strcmp(argv[1], "host"))
		enter_host();
	while (fgets(line, sizeof(line), programs)) {
		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%d %n", &limit, &at) != 1)
			continue;
		settle();
		run(line + at, limit);
	}
	fputs("> done\n", report);
	end_guest();
}
