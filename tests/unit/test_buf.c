/* SPDX-License-Identifier: ISC */
/* buf: what goes in comes out, bounds hold, failures leave no trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"

#define assert_holds(b, s) assert_true(span_eq(buf_span(b), span_str(s)))

static void
test_empty_buffer_is_an_empty_present_span(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_len(&b), 0);
	assert_non_null(buf_span(&b).p);
	buf_drain(&b, 5);
	assert_int_equal(buf_add(&b, NULL, 0), 0);
	buf_shrink(&b);
	buf_free(&b);
}

static void
test_added_at_the_end_consumed_at_the_front(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(buf_add(&b, "one ", 4), 0);
	assert_int_equal(buf_adds(&b, SPAN_LIT("two ")), 0);
	assert_int_equal(buf_addf(&b, "%s%d", "three", 3), 0);
	assert_holds(&b, "one two three3");
	buf_drain(&b, 4);
	assert_holds(&b, "two three3");
	buf_drain(&b, 1000);
	assert_int_equal(buf_len(&b), 0);
	buf_free(&b);
}

static void
test_what_does_not_fit_changes_nothing_and_is_remembered(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_adds(&b, SPAN_LIT("12345678")), 0);
	assert_int_equal(b.failed, 0);
	assert_int_equal(buf_adds(&b, SPAN_LIT("9")), -1);
	assert_int_equal(b.failed, 1);
	assert_holds(&b, "12345678");
	assert_int_equal(buf_addf(&b, "%d", 9), -1);
	assert_null(buf_reserve(&b, 1));
	assert_null(buf_reserve(&b, SIZE_MAX));
	buf_drain(&b, 3);
	assert_int_equal(buf_adds(&b, SPAN_LIT("abc")), 0);
	assert_holds(&b, "45678abc");
	assert_int_equal(b.failed, 1);
	buf_reset(&b);
	assert_int_equal(b.failed, 0);
	assert_int_equal(buf_len(&b), 0);
	/* Formatting may fill it to the last byte, NUL or not. */
	assert_int_equal(buf_addf(&b, "%s", "abcdefgh"), 0);
	assert_holds(&b, "abcdefgh");
	buf_free(&b);
}

static void
test_no_bound_means_the_common_bound(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_null(buf_reserve(&b, BUF_MAX + 1UL));
	buf_free(&b);
	buf_init(&b, (size_t)BUF_MAX * 2);
	assert_null(buf_reserve(&b, BUF_MAX + 1UL));
	buf_free(&b);
}

static void
test_reserved_room_is_written_and_committed(void **state)
{
	struct buf b;
	char *p;

	(void)state;
	buf_init(&b, 100000);
	p = buf_reserve(&b, 70000);
	assert_non_null(p);
	memset(p, 'x', 70000);
	buf_commit(&b, 69999);
	assert_int_equal(buf_len(&b), 69999);
	assert_int_equal(buf_span(&b).p[69998], 'x');
	assert_non_null(buf_reserve(&b, 30001));
	assert_null(buf_reserve(&b, 30002));
	buf_free(&b);
}

/* Room made by moving has the formatter's NUL in mind as well. */
static void
test_formatting_may_end_at_the_end_of_the_memory(void **state)
{
	struct buf b;
	size_t n;

	(void)state;
	for (n = 150; n < 300; n++) {
		buf_init(&b, 0);
		assert_int_equal(buf_addf(&b, "%0200d", 7), 0);
		buf_drain(&b, 150);
		assert_int_equal(buf_addf(&b, "%0*d", (int)n, 8), 0);
		assert_int_equal(buf_len(&b), 50 + n);
		assert_int_equal(b.p[b.off + 49], '7');
		assert_int_equal(b.p[b.end - 1], '8');
		buf_free(&b);
	}
}

static void
test_shrinking_keeps_the_content_and_the_bound(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5000);
	assert_non_null(buf_reserve(&b, 5000));
	assert_int_equal(buf_adds(&b, SPAN_LIT("skip keep")), 0);
	buf_drain(&b, 5);
	assert_null(buf_reserve(&b, 6000));
	buf_shrink(&b);
	assert_true(b.cap < 100);
	assert_holds(&b, "keep");
	assert_int_equal(b.failed, 1);
	buf_drain(&b, 4);
	buf_shrink(&b);
	assert_null(b.p);
	assert_int_equal(b.cap, 0);
	assert_int_equal(b.max, 5000);
	assert_int_equal(b.failed, 1);
	buf_free(&b);
}

/* Any order of adding and draining: the bytes come out as a counter. */
static void
test_memory_of_the_callers(void **state)
{
	char room[65], zero[65] = {0};
	struct buf b;

	(void)state;
	memset(room, 'x', sizeof(room));
	buf_over(&b, room, sizeof(room));
	assert_int_equal(buf_add(&b, zero, 40), 0);
	buf_drain(&b, 39);
	/* Room is made within it, and nowhere else. */
	assert_int_equal(buf_addf(&b, "%063d", 7), 0);
	assert_int_equal(buf_len(&b), 64);
	assert_int_equal(buf_add(&b, "y", 1), -1);
	buf_shrink(&b);
	assert_ptr_equal(buf_span(&b).p, room);
	assert_int_equal(room[63], '7');
	buf_free(&b);
	assert_memory_equal(room, zero, sizeof(room));
	assert_int_equal(buf_add(&b, "again", 5), 0);
	assert_memory_equal(room, "again", 5);
}

static void
test_a_long_queue_stays_in_order(void **state)
{
	unsigned in = 0, out = 0, round, i, n, seed = 1;
	struct buf b;
	char *p;

	(void)state;
	buf_init(&b, 3000);
	for (round = 0; round < 200000; round++) {
		seed = seed * 1664525 + 1013904223;
		n = seed >> 24;
		if ((seed & 0x1000) != 0 && (p = buf_reserve(&b, n)) != NULL) {
			for (i = 0; i < n; i++)
				p[i] = (char)in++;
			buf_commit(&b, n);
		} else {
			struct span s = buf_span(&b);

			for (i = 0; i < n && i < s.len; i++, out++)
				if (s.p[i] != (char)out)
					fail_msg("byte %u is wrong", out);
			buf_drain(&b, n);
		}
		assert_int_equal(buf_len(&b), in - out);
		assert_true(buf_len(&b) <= 3000);
		assert_true(b.cap <= 3001);
	}
	assert_true(out > 1000000);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty_buffer_is_an_empty_present_span),
	    cmocka_unit_test(test_added_at_the_end_consumed_at_the_front),
	    cmocka_unit_test(
		test_what_does_not_fit_changes_nothing_and_is_remembered),
	    cmocka_unit_test(test_no_bound_means_the_common_bound),
	    cmocka_unit_test(test_reserved_room_is_written_and_committed),
	    cmocka_unit_test(test_formatting_may_end_at_the_end_of_the_memory),
	    cmocka_unit_test(test_shrinking_keeps_the_content_and_the_bound),
	    cmocka_unit_test(test_memory_of_the_callers),
	    cmocka_unit_test(test_a_long_queue_stays_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
