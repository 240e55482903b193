/* SPDX-License-Identifier: ISC */
/* Memory for secrets: sealed, handed on, unreadable by others. */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "secmem.h"

static void
maps_and_unmaps(void **state)
{
	unsigned flags = 99;
	char *p, *q;
	int fd;

	(void)state;
	assert_int_not_equal(fd = secmem_fd(100, &flags), -1);
	assert_true(flags == 0 || flags == SECMEM_FALLBACK);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_non_null(p = secmem_map(fd, 100));
	memcpy(p, "secret", 7);
	assert_non_null(q = secmem_map(fd, 100));
	assert_string_equal(q, "secret");
	secmem_unmap(p, 100);
	assert_int_equal(q[0], 0);
	secmem_unmap(q, 100);
	secmem_unmap(NULL, 100);
	close(fd);
}

static void
seals(void **state)
{
	char text[] = "0123456789";
	uint32_t len;
	char *p;
	int fd;

	(void)state;
	assert_int_not_equal(fd = secmem_seal(text, 10, NULL), -1);
	assert_memory_equal(text, "\0\0\0\0\0\0\0\0\0\0", 10);
	assert_non_null(p = secmem_map(fd, 14));
	memcpy(&len, p, sizeof(len));
	assert_int_equal(len, 10);
	assert_memory_equal(p + 4, "0123456789", 10);
	secmem_unmap(p, 14);
	close(fd);
}

static void
seals_nothing(void **state)
{
	char text[1] = "";
	uint32_t len = 7;
	char *p;
	int fd;

	(void)state;
	assert_int_not_equal(fd = secmem_seal(text, 0, NULL), -1);
	assert_non_null(p = secmem_map(fd, 4));
	memcpy(&len, p, sizeof(len));
	assert_int_equal(len, 0);
	secmem_unmap(p, 4);
	close(fd);
}

/* A descriptor survives the one who sealed it. */
static void
is_handed_on(void **state)
{
	char text[] = "abc";
	int fd, status;
	char *p;

	(void)state;
	assert_int_not_equal(fd = secmem_seal(text, 3, NULL), -1);
	if (fork() == 0) {
		p = secmem_map(fd, 7);
		_exit(p != NULL && memcmp(p + 4, "abc", 3) == 0 ? 0 : 1);
	}
	assert_int_not_equal(wait(&status), -1);
	assert_int_equal(status, 0);
	close(fd);
}

/* Not through /proc, not by write; and by process_vm_readv only as far as
 * the fallback goes. */
static void
is_unreadable(void **state)
{
	char got[8] = "", path[64], *p;
	struct iovec mine = {got, 4}, theirs;
	unsigned flags;
	int fd, mem;

	(void)state;
	fd = secmem_fd(4096, &flags);
	assert_int_not_equal(fd, -1);
	assert_non_null(p = secmem_map(fd, 4096));
	memcpy(p, "abc", 4);
	if (flags & SECMEM_FALLBACK) {
		print_message("no memfd_secret here: not looked at\n");
		secmem_unmap(p, 4096);
		close(fd);
		skip();
	}
	assert_int_equal(read(fd, got, 4), -1);
	assert_int_equal(write(fd, "xyz", 4), -1);
	theirs = (struct iovec){p, 4};
	assert_int_equal(
	    process_vm_readv(getpid(), &mine, 1, &theirs, 1, 0), -1);
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)getpid());
	assert_int_not_equal(mem = open(path, O_RDONLY), -1);
	assert_int_equal(pread(mem, got, 4, (off_t)(uintptr_t)p), -1);
	close(mem);
	assert_string_equal(got, "");
	secmem_unmap(p, 4096);
	close(fd);
}

static void
limit_is_told(void **state)
{
	struct rlimit was, now;
	int fd, r, saved;

	(void)state;
	assert_int_equal(secmem_fd(0, NULL), -1);
	assert_int_equal(errno, EINVAL);
	if (geteuid() == 0) {
		/* root may lock what it likes: as somebody else */
		if (fork() == 0) {
			now = (struct rlimit){4096, 4096};
			if (setrlimit(RLIMIT_MEMLOCK, &now) == -1 ||
			    setresuid(65534, 65534, 65534) == -1)
				_exit(1);
			fd = secmem_fd(1 << 20, NULL);
			_exit(fd != -1 && secmem_map(fd, 1 << 20) == NULL &&
				    errno == ENOMEM
				? 0
				: 2);
		}
		assert_int_not_equal(wait(&r), -1);
		assert_int_equal(r, 0);
		return;
	}
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &was), 0);
	now = (struct rlimit){4096, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &now), 0);
	assert_int_not_equal(fd = secmem_fd(1 << 20, NULL), -1);
	assert_null(secmem_map(fd, 1 << 20));
	saved = errno;
	setrlimit(RLIMIT_MEMLOCK, &was);
	assert_int_equal(saved, ENOMEM);
	close(fd);
}

static void
burns(void **state)
{
	(void)state;
	secmem_burn_stack();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(maps_and_unmaps),
	    cmocka_unit_test(seals),
	    cmocka_unit_test(seals_nothing),
	    cmocka_unit_test(is_handed_on),
	    cmocka_unit_test(is_unreadable),
	    cmocka_unit_test(limit_is_told),
	    cmocka_unit_test(burns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
