/* SPDX-License-Identifier: ISC */
/* Order and timing of connection attempts, on a clock of the test's. */
#include <sys/socket.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "../../relayd/race.c"

#define V4 AF_INET
#define V6 AF_INET6

static void
check_order(const int *family, size_t n, const uint8_t *want, unsigned nwant)
{
	struct race r;

	race_init(&r, family, n, 0);
	assert_int_equal(r.n, nwant);
	assert_memory_equal(r.order, want, nwant);
}

static void
order_interleaves(void **state)
{
	const int six_first[] = {V6, V6, V4, V4};
	const int four_first[] = {V4, V6, V6};
	const int one_side[] = {V4, V4, V4};
	const int uneven[] = {V6, V6, V6, V6, V4};
	const int late[] = {V6, V6, V6, V6, V6, V6, V6, V6, V6, V6, V4};

	(void)state;
	check_order(six_first, 4, (uint8_t[]){0, 2, 1, 3}, 4);
	check_order(four_first, 3, (uint8_t[]){0, 1, 2}, 3);
	check_order(one_side, 3, (uint8_t[]){0, 1, 2}, 3);
	check_order(uneven, 5, (uint8_t[]){0, 4, 1, 2, 3}, 5);
	/* More than are tried: the other family is not left out. */
	check_order(late, 11, (uint8_t[]){0, 10, 1, 2, 3, 4, 5, 6}, 8);
}

static void
expect_start(struct race *r, uint64_t now, unsigned want)
{
	unsigned i = 99;
	uint64_t until;

	assert_int_equal(race_next(r, now, &i, &until), RACE_START);
	assert_int_equal(i, want);
}

static void
expect_wait(struct race *r, uint64_t now, uint64_t want)
{
	unsigned i;
	uint64_t until = 0;

	assert_int_equal(race_next(r, now, &i, &until), RACE_WAIT);
	assert_int_equal(until, want);
}

static void
expect_end(struct race *r, uint64_t now)
{
	unsigned i;
	uint64_t until;

	assert_int_equal(race_next(r, now, &i, &until), RACE_GIVE_UP);
}

static void
silence_starts_the_next_after_a_step(void **state)
{
	const int family[] = {V6, V4};
	struct race r;
	unsigned i;

	(void)state;
	race_init(&r, family, 2, 1000);
	expect_start(&r, 1000, 0);
	expect_wait(&r, 1000, 1000 + RACE_STEP_MS);
	expect_wait(&r, 1249, 1250);
	expect_start(&r, 1250, 1);
	expect_wait(&r, 1250, 1000 + RACE_TOTAL_MS);
	expect_wait(&r, 15999, 16000);
	expect_end(&r, 16000);
	assert_int_equal(race_error(&r, &i), ETIMEDOUT);
	assert_int_equal(i, 0);
}

static void
failure_starts_the_next_at_once(void **state)
{
	const int family[] = {V6, V4, V6};
	struct race r;
	unsigned i;

	(void)state;
	race_init(&r, family, 3, 0);
	expect_start(&r, 0, 0);
	race_failed(&r, 0, ENETUNREACH, 10);
	expect_start(&r, 10, 1);
	race_failed(&r, 1, ECONNREFUSED, 20);
	expect_start(&r, 20, 2);
	expect_wait(&r, 20, RACE_TOTAL_MS);
	race_failed(&r, 2, EHOSTUNREACH, 30);
	expect_end(&r, 30);
	assert_int_equal(race_error(&r, &i), ECONNREFUSED);
	assert_int_equal(i, 1);
}

static void
failure_counts_once(void **state)
{
	const int family[] = {V4, V4};
	struct race r;

	(void)state;
	race_init(&r, family, 2, 0);
	expect_start(&r, 0, 0);
	race_failed(&r, 0, ECONNREFUSED, 5);
	race_failed(&r, 0, ECONNREFUSED, 6);
	race_failed(&r, 1, ECONNREFUSED, 6); /* not begun yet */
	expect_start(&r, 6, 1);
	expect_wait(&r, 6, RACE_TOTAL_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(order_interleaves),
	    cmocka_unit_test(silence_starts_the_next_after_a_step),
	    cmocka_unit_test(failure_starts_the_next_at_once),
	    cmocka_unit_test(failure_counts_once),
	};

	return cmocka_run_group_tests_name("race", tests, NULL, NULL);
}
