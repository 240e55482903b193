/* SPDX-License-Identifier: ISC */
/* The journal: what was put is found again after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "journal_world.h"

static void
test_put_is_found_after_a_restart(void **state)
{
	struct world w;
	struct event e;
	struct record *r;

	(void)state;
	world_begin(&w, JOURNAL_LEAST);
	r = world_put(&w, 1, 700);
	assert_non_null(r);
	assert_non_null(world_put(&w, 2, 0));
	assert_non_null(world_put(&w, 3, 5000));
	event_make(&e, 1, 700);
	assert_true(span_eq(journal_line(r), e.line));
	world_restart(&w, 0);
	assert_int_equal(w.n, 3);
	world_expect(&w, 0, 1, 700);
	world_expect(&w, 1, 2, 0);
	world_expect(&w, 2, 3, 5000);
	assert_int_equal(w.j.torn, 0);
	assert_true(w.j.next_seq > w.info[2].seq);
	assert_int_not_equal(w.j.epoch, w.info[2].epoch);
	world_end(&w);
}

static void
test_done_is_recognised_and_gone(void **state)
{
	struct world w;
	size_t used;

	(void)state;
	world_begin(&w, JOURNAL_LEAST);
	assert_non_null(world_put(&w, 1, 700));
	used = w.j.used;
	assert_non_null(world_put(&w, 2, 700));
	world_look(&w);
	world_done(&w, 0);
	assert_int_equal(w.j.used, used);
	world_restart(&w, 0);
	assert_int_equal(w.n, 1);
	world_expect(&w, 0, 2, 700);
	assert_int_equal(w.j.used, used);
	assert_true(world_knows(&w, 1));
	assert_false(world_knows(&w, 2));
	world_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_put_is_found_after_a_restart),
	    cmocka_unit_test(test_done_is_recognised_and_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
