/* SPDX-License-Identifier: ISC */
/* A service manager whose queue is full is told later: what it waits for, in
 * order, and of status the newest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "notify.h"

#define FILLER "X_FILLER=1"

struct world {
	struct notify notify;
	int manager;
};

static int
setup(void **state)
{
	static struct world w;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t len;
	char name[64];

	/* Abstract: gone with the descriptor. */
	snprintf(name, sizeof(name), "@test-notify-%d", (int)getpid());
	memcpy(a.sun_path, name, strlen(name));
	a.sun_path[0] = '\0';
	len =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	w.manager =
	    socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(w.manager, (struct sockaddr *)&a, len), 0);
	assert_null(notify_init(&w.notify, name, NULL, NULL));
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	notify_free(&w->notify);
	close(w->manager);
	return 0;
}

static void
fill(const struct world *w)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ssize_t n;

	do
		n = sendto(fd, FILLER, strlen(FILLER), 0,
		    (const struct sockaddr *)&w->notify.to, w->notify.tolen);
	while (n != -1);
	assert_int_equal(errno, EAGAIN);
	close(fd);
}

/* What the manager was told, each with a ';' behind it. */
static const char *
told(const struct world *w)
{
	static char all[4096];
	char one[1024];
	ssize_t n;

	all[0] = '\0';
	while ((n = recv(w->manager, one, sizeof(one) - 1, 0)) > 0) {
		one[n] = '\0';
		if (strcmp(one, FILLER) == 0)
			continue;
		strlcat(all, one, sizeof(all));
		strlcat(all, ";", sizeof(all));
	}
	return all;
}

static void
test_there_is_room(void **state)
{
	struct world *w = *state;

	assert_int_equal(notify_tell(&w->notify, "READY=1"), 0);
	assert_int_equal(notify_tell(&w->notify, "STATUS=a"), 0);
	assert_int_equal(notify_again(&w->notify), 0);
	assert_string_equal(told(w), "READY=1;STATUS=a;");
}

static void
test_there_is_none_for_a_while(void **state)
{
	struct world *w = *state;

	fill(w);
	assert_int_equal(notify_tell(&w->notify, "STATUS=a"), 1);
	assert_int_equal(notify_tell(&w->notify, "READY=1"), 1);
	assert_int_equal(notify_tell(&w->notify, "STATUS=b"), 1);
	assert_int_equal(notify_again(&w->notify), 1);
	assert_string_equal(told(w), "");
	assert_int_equal(notify_again(&w->notify), 0);
	assert_string_equal(told(w), "READY=1;STATUS=b;");
	assert_int_equal(notify_again(&w->notify), 0);
	assert_string_equal(told(w), "");
}

/* Nothing overtakes what is kept. */
static void
test_order(void **state)
{
	struct world *w = *state;

	fill(w);
	assert_int_equal(notify_tell(&w->notify, "READY=1"), 1);
	assert_string_equal(told(w), "");
	assert_int_equal(notify_tell(&w->notify, "RELOADING=1\nX=1"), 0);
	assert_string_equal(told(w), "READY=1;RELOADING=1\nX=1;");
}

/* Of reloads the last one is what is waited for. */
static void
test_reloads(void **state)
{
	struct world *w = *state;
	char text[64];
	int i;

	fill(w);
	notify_tell(&w->notify, "READY=1");
	for (i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "RELOADING=1\nX=%d", i);
		assert_int_equal(notify_tell(&w->notify, text), 1);
		assert_int_equal(notify_tell(&w->notify, "READY=1"), 1);
	}
	assert_string_equal(told(w), "");
	assert_int_equal(notify_again(&w->notify), 0);
	assert_string_equal(told(w), "READY=1;RELOADING=1\nX=99;READY=1;");
}

static void
test_stopping(void **state)
{
	struct world *w = *state;

	fill(w);
	notify_tell(&w->notify, "READY=1");
	notify_tell(&w->notify, "RELOADING=1\nX=1");
	notify_tell(&w->notify, "READY=1");
	notify_tell(&w->notify, "STOPPING=1");
	assert_string_equal(told(w), "");
	assert_int_equal(notify_again(&w->notify), 0);
	assert_string_equal(told(w), "STOPPING=1;");
}

/* What goes wrong otherwise is not mended by trying again. */
static void
test_a_manager_that_is_gone(void **state)
{
	struct world *w = *state;

	fill(w);
	assert_int_equal(notify_tell(&w->notify, "READY=1"), 1);
	close(w->manager);
	assert_int_equal(notify_again(&w->notify), 0);
	assert_int_equal(notify_tell(&w->notify, "STOPPING=1"), 0);
	notify_free(&w->notify);
	assert_int_equal(notify_tell(&w->notify, "STOPPING=1"), 0);
}

static void
test_giving_up(void **state)
{
	struct world *w = *state;

	fill(w);
	notify_tell(&w->notify, "READY=1");
	notify_tell(&w->notify, "STATUS=a");
	notify_forget(&w->notify);
	assert_string_equal(told(w), "");
	assert_int_equal(notify_again(&w->notify), 0);
	assert_string_equal(told(w), "");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
	    TEST(test_there_is_room),
	    TEST(test_there_is_none_for_a_while),
	    TEST(test_order),
	    TEST(test_reloads),
	    TEST(test_stopping),
	    TEST(test_a_manager_that_is_gone),
	    TEST(test_giving_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
