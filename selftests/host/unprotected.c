// SPDX-License-Identifier: GPL-2.0
/*
 * For LD_PRELOAD in the guest of make programs: a kernel whose UFFDIO_WRITEPROTECT says that it
 * worked, and does nothing. With it the snapshot of a machine that writes must be wrong.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/ioctl.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>

int ioctl(int fd, unsigned long request, ...)
{
	int (*real)(int fd, unsigned long request, void *arg) = dlsym(RTLD_NEXT, "ioctl");
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	return request == UFFDIO_WRITEPROTECT ? 0 : real(fd, request, arg);
}
