/* SPDX-License-Identifier: ISC */
/* Memory for secrets. */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "secmem.h"

/* In the kernel since 5.14, in Debian 12's headers or not. */
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

/* Deeper than the frames of libcrypto's digests and of our own parsers. */
#define BURN 16384

/* Where the kernel has no such memory, or keeps it for itself. */
static int
plain_fd(unsigned *flags)
{
	int fd;

	fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd != -1 && flags != NULL)
		*flags |= SECMEM_FALLBACK;
	return fd;
}

int
secmem_fd(size_t len, unsigned *flags)
{
	int fd, saved;

	if (flags != NULL)
		*flags = 0;
	if (len == 0) {
		errno = EINVAL;
		return -1;
	}
	fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	if (fd == -1 && (errno == ENOSYS || errno == EPERM))
		fd = plain_fd(flags);
	if (fd == -1)
		return -1;
	if (ftruncate(fd, (off_t)len) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* Whether the descriptor is a memfd of the fallback: secret memory has no
 * seals to ask for. */
static int
is_plain(int fd)
{
	return fcntl(fd, F_GET_SEALS) != -1;
}

void *
secmem_map(int fd, size_t len)
{
	void *p;
	int saved;

	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		if (errno == EAGAIN)
			errno = ENOMEM;
		return NULL;
	}
	if (!is_plain(fd) ||
	    (mlock(p, len) == 0 && madvise(p, len, MADV_DONTDUMP) == 0))
		return p;
	saved = errno == EAGAIN ? ENOMEM : errno;
	munmap(p, len);
	errno = saved;
	return NULL;
}

void *
secmem_new(size_t len, unsigned *flags)
{
	int fd = secmem_fd(len, flags), saved;
	void *p;

	if (fd == -1)
		return NULL;
	p = secmem_map(fd, len);
	saved = errno;
	close(fd);
	errno = saved;
	return p;
}

void
secmem_unmap(void *p, size_t len)
{
	if (p == NULL)
		return;
	explicit_bzero(p, len);
	munmap(p, len);
}

/*
 * Unmapping alone: what was cleansed would be gone from the descriptor, too.
 */
static int
fill(int fd, const char *text, size_t len)
{
	const uint32_t n = (uint32_t)len;
	char *p;

	if ((p = secmem_map(fd, sizeof(n) + len)) == NULL)
		return -1;
	memcpy(p, &n, sizeof(n));
	memcpy(p + sizeof(n), text, len);
	return munmap(p, sizeof(n) + len);
}

int
secmem_seal(char *text, size_t len, unsigned *flags)
{
	int fd, saved;

	if (len > UINT32_MAX) {
		errno = EINVAL;
		fd = -1;
	} else
		fd = secmem_fd(sizeof(uint32_t) + len, flags);
	if (fd != -1 && fill(fd, text, len) == -1) {
		saved = errno;
		close(fd);
		errno = saved;
		fd = -1;
	}
	explicit_bzero(text, len);
	return fd;
}

__attribute__((noinline)) void
secmem_burn_stack(void)
{
	char burn[BURN];

	explicit_bzero(burn, sizeof(burn));
}
