/* SPDX-License-Identifier: ISC */
/* The permit table: one token per reported connection, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "../../relay-authd/permit.c"

#define T0 1000000 /* ms; the table's beginning */
/* Late enough that nothing can be from before. */
#define LATER (T0 + PERMIT_TTL_MS)

static struct permits table;

static int
setup(void **state)
{
	(void)state;
	memset(&table, 0, sizeof(table));
	permit_restart(&table, T0);
	return 0;
}

static void
once_and_only_once(void **state)
{
	(void)state;
	assert_int_equal(permit_report(&table, 3, 100, 0, LATER), 0);
	/* Another gateway's, and a number nobody reported. */
	assert_int_equal(permit_ask(&table, 4, 100, LATER), PERMIT_UNKNOWN);
	assert_int_equal(permit_ask(&table, 3, 101, LATER), PERMIT_UNKNOWN);
	assert_int_equal(permit_ask(&table, 3, 100, LATER), PERMIT_GRANTED);
	/* Asking alone uses nothing up: a refusal for another reason. */
	assert_int_equal(permit_ask(&table, 3, 100, LATER), PERMIT_GRANTED);
	permit_use(&table, 3, 100);
	assert_int_equal(permit_ask(&table, 3, 100, LATER), PERMIT_AGAIN);
	assert_int_equal(
	    permit_ask(&table, 3, 100, LATER + PERMIT_TTL_MS), PERMIT_AGAIN);
}

static void
expires(void **state)
{
	(void)state;
	assert_int_equal(permit_report(&table, 0, 100, 0, LATER), 0);
	assert_int_equal(permit_ask(&table, 0, 100, LATER + PERMIT_TTL_MS - 1),
	    PERMIT_GRANTED);
	assert_int_equal(
	    permit_ask(&table, 0, 100, LATER + PERMIT_TTL_MS), PERMIT_GONE);
}

static void
numbers_count_up(void **state)
{
	(void)state;
	assert_int_equal(permit_report(&table, 0, 0, 0, LATER), -1);
	assert_int_equal(permit_report(&table, 0, 100, 0, LATER), 0);
	assert_int_equal(permit_report(&table, 1, 100, 0, LATER), -1);
	assert_int_equal(permit_report(&table, 0, 99, 0, LATER), -1);
	assert_int_equal(permit_report(&table, 1, 101, 0, LATER), 0);
}

static void
removed_gateway(void **state)
{
	(void)state;
	assert_int_equal(permit_report(&table, 7, 100, 1, LATER), 0);
	assert_int_equal(permit_ask(&table, 7, 100, LATER), PERMIT_GONE);
	assert_int_equal(permit_report(&table, 8, 101, 0, LATER), 0);
	permit_retire(&table, 8);
	assert_int_equal(permit_ask(&table, 8, 101, LATER), PERMIT_GONE);
}

static void
retiring_spares_used_ones(void **state)
{
	(void)state;
	assert_int_equal(permit_report(&table, 0, 100, 0, LATER), 0);
	permit_use(&table, 0, 100);
	permit_retire(&table, 0);
	assert_int_equal(permit_ask(&table, 0, 100, LATER), PERMIT_AGAIN);
}

/* What an earlier relay-authd was told is nobody's offence, for a while. */
static void
from_before_the_start(void **state)
{
	(void)state;
	assert_int_equal(permit_ask(&table, 0, 50, T0 + 1), PERMIT_GONE);
	assert_int_equal(permit_report(&table, 0, 100, 0, T0 + 2), 0);
	assert_int_equal(permit_report(&table, 0, 110, 0, T0 + 2), 0);
	assert_int_equal(permit_ask(&table, 0, 99, T0 + 3), PERMIT_GONE);
	/* Between what this one was told: invented. */
	assert_int_equal(permit_ask(&table, 0, 105, T0 + 3), PERMIT_UNKNOWN);
	assert_int_equal(permit_ask(&table, 0, 99, LATER), PERMIT_UNKNOWN);
}

static void
new_dialer(void **state)
{
	const uint64_t t = LATER + 500;

	(void)state;
	assert_int_equal(permit_report(&table, 0, 1000, 0, LATER), 0);
	permit_restart(&table, t);
	assert_int_equal(permit_ask(&table, 0, 1000, t), PERMIT_GONE);
	/* Reported, but the report was lost with the old pipe. */
	assert_int_equal(permit_ask(&table, 0, 1001, t), PERMIT_GONE);
	/* The new one's numbers may be lower. */
	assert_int_equal(permit_report(&table, 0, 10, 0, t), 0);
	assert_int_equal(permit_ask(&table, 0, 10, t), PERMIT_GRANTED);
}

static void
oldest_is_forgotten(void **state)
{
	(void)state;
	for (uint64_t c = 1; c <= PERMIT_KEEP + 1; c++)
		assert_int_equal(permit_report(&table, 0, c, 0, LATER), 0);
	assert_int_equal(permit_ask(&table, 0, 1, LATER), PERMIT_UNKNOWN);
	for (uint64_t c = 2; c <= PERMIT_KEEP + 1; c++)
		assert_int_equal(
		    permit_ask(&table, 0, c, LATER), PERMIT_GRANTED);
	/* Another gateway's are its own. */
	assert_int_equal(permit_report(&table, 1, 100, 0, LATER), 0);
	assert_int_equal(permit_ask(&table, 0, 2, LATER), PERMIT_GRANTED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(once_and_only_once, setup),
	    cmocka_unit_test_setup(expires, setup),
	    cmocka_unit_test_setup(numbers_count_up, setup),
	    cmocka_unit_test_setup(removed_gateway, setup),
	    cmocka_unit_test_setup(retiring_spares_used_ones, setup),
	    cmocka_unit_test_setup(from_before_the_start, setup),
	    cmocka_unit_test_setup(new_dialer, setup),
	    cmocka_unit_test_setup(oldest_is_forgotten, setup),
	};

	return cmocka_run_group_tests_name("permit", tests, NULL, NULL);
}
