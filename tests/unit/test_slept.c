/* SPDX-License-Identifier: ISC */
/* Whether the host slept, from what its clocks say. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../relayd/slept.c"

static void
test_noticed(void **state)
{
	struct slept s = {.ahead = 5000};

	(void)state;
	assert_false(slept_noticed(&s, 15000, 10000));
	assert_false(slept_noticed(&s, 99915000, 99910000)); /* time passes */
	assert_false(slept_noticed(&s, 100000, 94000));	     /* read slowly */
	assert_false(slept_noticed(&s, 100000, 95001));
	assert_true(slept_noticed(&s, 200000, 193999));
	assert_false(slept_noticed(&s, 200010, 194009));  /* once */
	assert_true(slept_noticed(&s, 90000000, 200000)); /* and again */
}

/* Late reads do not add up to a sleep. */
static void
test_drift(void **state)
{
	struct slept s = {.ahead = 0};
	int i;

	(void)state;
	for (i = 0; i < 100; i++)
		assert_false(slept_noticed(&s, 100000, 99100));
}

static void
test_this_host(void **state)
{
	struct event_base *base = event_base_new();
	struct slept s;
	int i;

	(void)state;
	assert_int_equal(slept_init(&s, base), 0);
	for (i = 0; i < 1000; i++)
		assert_false(slept_now(&s));
	slept_fini(&s);
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_noticed),
	    cmocka_unit_test(test_drift),
	    cmocka_unit_test(test_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
