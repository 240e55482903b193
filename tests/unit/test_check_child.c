/* SPDX-License-Identifier: ISC */
/* Children of a check: what of ours they have, and what is taken from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "../../relay-ctl/check_child.c"
#include "../../relay-ctl/env_wipe.c"

#define VAR "GATEWAY_RELAY_SECRET"

void
ctl_warn(const char *fmt, ...)
{
	(void)fmt;
}

int64_t
client_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int
open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* Start it, and hear so many bytes.  What check_child_recv says. */
static int
hear(
    void (*run)(const void *arg), const void *arg, void *p, size_t len, int *fd)
{
	struct check_child c;
	int got;

	assert_int_equal(check_child_start(&c, run, arg, NULL, 0), 0);
	got = check_child_recv(&c, p, len, fd, 10000, "");
	check_child_end(&c);
	assert_int_equal(waitpid(c.pid, NULL, WNOHANG), -1);
	return got;
}

struct look {
	const char *secret, *zone; /* where their values were */
	size_t len;
};

static void
tell_values(const void *arg)
{
	const struct look *l = arg;
	char said[2] = {0, 0};
	size_t i;

	for (i = 0; i < l->len; i++)
		said[0] |= l->secret[i];
	said[1] = l->zone[0];
	check_child_tell(said, sizeof(said), -1);
}

/* Not the secret, nor where it stood; what the resolver wants, it has. */
static void
test_environment(void **state)
{
	struct look l;
	char said[2];

	(void)state;
	assert_int_equal(setenv(VAR, "canary", 1), 0);
	assert_int_equal(setenv("RES_OPTIONS", "rotate", 1), 0);
	l.secret = getenv(VAR);
	l.zone = getenv("RES_OPTIONS");
	l.len = strlen(l.secret);
	assert_int_equal(hear(tell_values, &l, said, sizeof(said), NULL), 1);
	assert_int_equal(said[0], 0);
	assert_int_equal(said[1], 'r');
	assert_string_equal(getenv(VAR), "canary"); /* ours stays */
}

static void
tell_short(const void *arg)
{
	check_child_tell(arg, 7, -1);
}

static void
tell_long(const void *arg)
{
	check_child_tell(arg, 9, -1);
}

static void
tell_nothing(const void *arg)
{
	(void)arg;
}

static void
test_length(void **state)
{
	const char text[] = "012345678";
	char said[8];

	(void)state;
	assert_int_equal(hear(tell_short, text, said, sizeof(said), NULL), -1);
	assert_int_equal(hear(tell_long, text, said, sizeof(said), NULL), -1);
	assert_int_equal(
	    hear(tell_nothing, text, said, sizeof(said), NULL), -1);
}

/* With as many descriptors as arg says. */
static void
tell_with(const void *arg)
{
	int n = *(const int *)arg, fds[2] = {CHECK_FD, CHECK_FD};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(fds))];
	} control = {.room = {0}};
	struct iovec iov = {fds, 1};
	struct msghdr m = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.room,
	    .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int))};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&m);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	memcpy(CMSG_DATA(cm), fds, (size_t)n * sizeof(int));
	(void)sendmsg(CHECK_FD, &m, MSG_NOSIGNAL);
}

/* One is taken, no more, and none is left open. */
static void
test_descriptors(void **state)
{
	int before = open_files(), n, fd;
	char said;

	(void)state;
	for (n = 1; n <= 2; n++) {
		assert_int_equal(hear(tell_with, &n, &said, 1, &fd), 1);
		assert_int_not_equal(fd, -1);
		close(fd);
		assert_int_equal(open_files(), before);
		assert_int_equal(hear(tell_with, &n, &said, 1, NULL), 1);
		assert_int_equal(open_files(), before);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_environment),
	    cmocka_unit_test(test_length),
	    cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
