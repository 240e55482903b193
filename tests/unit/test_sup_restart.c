/* SPDX-License-Identifier: ISC */
/* sup_restart: backoff, its fall back, and when it is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relayd/sup_restart.c"

#define MIN_MS 60000 /* a minute */

/* A life of alive ms from now on, which moves along with the delay. */
static int
life(struct restart *r, uint64_t *now, uint64_t alive)
{
	int delay;

	restart_started(r, *now);
	*now += alive;
	delay = restart_died(r, *now);
	if (delay > 0)
		*now += (uint64_t)delay;
	return delay;
}

static void
test_backoff(void **state)
{
	static const int want[] = {
	    100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
	struct restart r = {0};
	uint64_t now = 5;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_int_equal(life(&r, &now, 10), want[i]);
	/* The tenth within five minutes. */
	assert_int_equal(life(&r, &now, 10), -1);
}

static void
test_health_falls_back(void **state)
{
	struct restart r = {0};
	uint64_t now = 0;

	(void)state;
	assert_int_equal(life(&r, &now, 10), 100);
	assert_int_equal(life(&r, &now, 10), 200);
	assert_int_equal(life(&r, &now, RESTART_HEALTH_MS - 1), 400);
	assert_int_equal(life(&r, &now, RESTART_HEALTH_MS), 100);
	assert_int_equal(life(&r, &now, 0), 200);
}

static void
test_window(void **state)
{
	struct restart r = {0};
	uint64_t now = 0;
	int i;

	(void)state;
	/* One a minute: never ten within five minutes. */
	for (i = 0; i < 100; i++)
		assert_true(life(&r, &now, MIN_MS) > 0);
	/* Five of those lie within the last five minutes; five more at once
	 * make ten. */
	for (i = 0; i < 4; i++)
		assert_true(life(&r, &now, 1) > 0);
	assert_int_equal(life(&r, &now, 1), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_backoff),
	    cmocka_unit_test(test_health_falls_back),
	    cmocka_unit_test(test_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
