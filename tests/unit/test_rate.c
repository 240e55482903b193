/* SPDX-License-Identifier: ISC */
/* Token buckets on a clock of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rate.h"

static unsigned
take_all(struct rate *r, uint64_t now)
{
	unsigned n = 0;

	while (n < 100000 && rate_take(r, now))
		n++;
	return n;
}

static void
burst_then_rate(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 50, 20, 1000);
	assert_int_equal(take_all(&r, 1000), 20);
	assert_int_equal(rate_wait(&r, 1000), 20);
	assert_int_equal(take_all(&r, 1019), 0);
	assert_int_equal(rate_wait(&r, 1019), 1);
	assert_int_equal(take_all(&r, 1020), 1);
	assert_int_equal(take_all(&r, 1220), 10);
	/* Never more than the burst, however long the pause. */
	assert_int_equal(take_all(&r, 10000), 20);
	assert_int_equal(take_all(&r, UINT64_MAX), 20);
}

static void
odd_rates_lose_nothing(void **state)
{
	struct rate r;
	unsigned n = 0;

	(void)state;
	rate_init(&r, 3, 1, 0);
	assert_true(rate_take(&r, 0));
	for (uint64_t now = 1; now <= 10000; now++)
		n += take_all(&r, now);
	assert_in_range(n, 29, 30);
	assert_in_range(rate_wait(&r, 10000), 1, 334);
}

static void
clock_that_stands(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 10, 1, 5000);
	assert_int_equal(take_all(&r, 5000), 1);
	assert_int_equal(take_all(&r, 4000), 0);
	assert_int_equal(take_all(&r, 5099), 0);
	assert_int_equal(take_all(&r, 5100), 1);
}

static void
other_bounds(void **state)
{
	struct rate r;

	(void)state;
	rate_init(&r, 10, 100, 0);
	rate_change(&r, 1, 5, 0);
	assert_int_equal(take_all(&r, 0), 5);
	rate_change(&r, 1000, 50, 0);
	assert_int_equal(take_all(&r, 0), 0);
	assert_int_equal(take_all(&r, 10), 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(burst_then_rate),
	    cmocka_unit_test(odd_rates_lose_nothing),
	    cmocka_unit_test(clock_that_stands),
	    cmocka_unit_test(other_bounds),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
