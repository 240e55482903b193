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

#include "journal_raw.h"
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

/* Lines that with their header and ids fill so many pages. */
static size_t
line_of(size_t pages)
{
	return pages * JOURNAL_PAGE - 160;
}

static void
test_full_and_in_pieces(void **state)
{
	struct world w;
	size_t n, i;

	(void)state;
	world_begin(&w, JOURNAL_LEAST);
	for (n = 0; world_put(&w, (unsigned)n, line_of(2)) != NULL; n++)
		assert_int_equal(w.j.used, (n + 1) * 2 * JOURNAL_PAGE);
	assert_int_equal(n, w.j.capacity / JOURNAL_PAGE / 2);
	assert_int_equal(w.j.used, w.j.capacity);
	assert_false(journal_room(&w.j, 0));
	assert_false(journal_room(&w.j, SIZE_MAX));
	world_restart(&w, 0);
	assert_int_equal(w.n, n);
	assert_false(journal_room(&w.j, 0));
	/* every other one goes: half of it is free, in holes of two pages */
	for (i = 0; i < n; i += 2)
		world_done(&w, i);
	assert_int_equal(w.j.used, w.j.capacity / 2);
	assert_true(journal_room(&w.j, 2 * JOURNAL_PAGE - 80));
	assert_false(journal_room(&w.j, 2 * JOURNAL_PAGE - 80 + 1));
	assert_null(world_put(&w, 9000, line_of(3)));
	assert_int_equal(w.j.used, w.j.capacity / 2);
	/* one between two holes goes too */
	world_done(&w, 21);
	assert_true(journal_room(&w.j, 6 * JOURNAL_PAGE - 80));
	assert_false(journal_room(&w.j, 6 * JOURNAL_PAGE - 80 + 1));
	assert_non_null(world_put(&w, 9001, line_of(6)));
	for (i = 0; i < n / 2 - 2; i++)
		assert_non_null(world_put(&w, 9002, line_of(2)));
	assert_null(world_put(&w, 9003, 0));
	world_restart(&w, 0);
	assert_int_equal(w.j.used, w.j.capacity);
	for (i = 0; i < w.n; i++)
		journal_done(&w.j, w.r[i], NULL);
	assert_int_equal(w.j.used, 0);
	assert_non_null(world_put(&w, 1, line_of(w.j.capacity / JOURNAL_PAGE)));
	world_end(&w);
}

/* One after the other they lie low: memory that was never needed is never
 * touched, not even when it is read back. */
static void
test_few_events_need_few_pages(void **state)
{
	struct world w;
	size_t i, pages;

	(void)state;
	world_begin(&w, 1024 * 1024);
	memset(raw_pages(w.mem) + 8 * JOURNAL_PAGE, 0xee, 100 * JOURNAL_PAGE);
	for (i = 0; i < 5000; i++) {
		assert_non_null(world_put(&w, 1, line_of(2)));
		assert_non_null(world_put(&w, 2, line_of(1)));
		world_look(&w);
		assert_int_equal(w.n, 2);
		world_done(&w, i % 2);
		world_done(&w, (i + 1) % 2);
	}
	for (pages = 8; pages < 108; pages++)
		assert_int_equal(raw_pages(w.mem)[pages * JOURNAL_PAGE], 0xee);
	world_end(&w);
}

static void
test_what_is_too_long(void **state)
{
	static char text[JOURNAL_LINE + 1];
	struct world w;
	struct event e;
	struct span line = {text, JOURNAL_LINE};

	(void)state;
	world_begin(&w, 8 * 1024 * 1024);
	event_make(&e, 1, 0);
	assert_non_null(journal_put(&w.j, &e.info, &line, 1));
	line.len++;
	assert_null(journal_put(&w.j, &e.info, &line, 1));
	line.len = 1;
	e.info.cid = (struct span){text, LIMIT_BUFFER_ID};
	e.info.session = (struct span){text, LIMIT_SESSION_KEY};
	e.info.platform = (struct span){text, LIMIT_PLATFORM};
	assert_non_null(journal_put(&w.j, &e.info, &line, 1));
	e.info.cid.len++;
	assert_null(journal_put(&w.j, &e.info, &line, 1));
	e.info.cid.len = 0;
	assert_non_null(journal_put(&w.j, &e.info, NULL, 0));
	e.info.session.len++;
	assert_null(journal_put(&w.j, &e.info, &line, 1));
	e.info.session.len = 0;
	e.info.platform.len++;
	assert_null(journal_put(&w.j, &e.info, &line, 1));
	world_restart(&w, 0);
	assert_int_equal(w.n, 3);
	assert_int_equal(w.info[0].line.len, JOURNAL_LINE);
	assert_int_equal(w.info[1].session.len, LIMIT_SESSION_KEY);
	assert_int_equal(w.info[2].cid.len, 0);
	world_end(&w);
}

static void
test_marks_are_kept(void **state)
{
	struct world w;
	struct record_info to;
	unsigned i;

	(void)state;
	world_begin(&w, JOURNAL_LEAST);
	assert_non_null(world_put(&w, 1, 700));
	for (i = 0; i < 64; i++) {
		world_look(&w);
		to = w.info[0];
		to.tried = i & 1;
		to.suspect = i >> 1 & 1;
		to.aside = i >> 2 & 1;
		to.attempts = (uint8_t)(i * 4 + 3);
		to.aside_at = i == 9 ? INT64_C(1) << 47 : 1700000000000 + i;
		journal_mark(&w.j, w.r[0], &to);
		assert_int_equal(w.j.aside, to.aside ? w.j.used : 0);
		world_restart(&w, 0);
		world_expect(&w, 0, 1, 700);
		assert_int_equal(w.info[0].tried, to.tried);
		assert_int_equal(w.info[0].suspect, to.suspect);
		assert_int_equal(w.info[0].aside, to.aside);
		assert_int_equal(w.info[0].attempts, to.attempts);
		assert_int_equal(w.info[0].aside_at, to.aside_at);
		assert_int_equal(w.j.aside, to.aside ? w.j.used : 0);
	}
	world_end(&w);
}

/* Put aside and acknowledged: it is kept though its id is known, also when it
 * was put back, until an agent has taken it. */
static void
test_aside_survives(void **state)
{
	struct world w;
	uint64_t hash[2];

	(void)state;
	world_begin(&w, JOURNAL_LEAST);
	assert_non_null(world_put(&w, 1, 700));
	world_look(&w);
	w.info[0].aside = 1;
	w.info[0].aside_at = 1700000000001;
	journal_mark(&w.j, w.r[0], &w.info[0]);
	seen_hash(&w.j.seen, w.info[0].cid, hash);
	seen_add(&w.j.seen, hash);
	world_restart(&w, 0);
	assert_int_equal(w.n, 1);
	assert_true(w.info[0].aside);
	assert_true(world_knows(&w, 1));
	w.info[0].aside = 0;
	w.info[0].aside_at = 0;
	journal_mark(&w.j, w.r[0], &w.info[0]);
	world_restart(&w, 0);
	assert_int_equal(w.n, 1);
	assert_false(w.info[0].aside);
	world_done(&w, 0);
	assert_int_equal(w.j.used + w.j.aside, 0);
	world_restart(&w, 0);
	assert_int_equal(w.n, 0);
	world_end(&w);
}

static void
test_off_and_dirty(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, JOURNAL_LEAST);
	assert_false(journal_synced(&w.j));
	assert_false(journal_is_off(&w.j));
	journal_set_off(&w.j, 1);
	assert_true(journal_synced(&w.j));
	assert_false(journal_synced(&w.j));
	world_restart(&w, 0);
	assert_true(journal_is_off(&w.j));
	journal_set_off(&w.j, 0);
	world_restart(&w, 0);
	assert_false(journal_is_off(&w.j));
	assert_non_null(world_put(&w, 1, 7));
	assert_true(journal_synced(&w.j));
	world_look(&w);
	journal_mark(&w.j, w.r[0], &w.info[0]);
	assert_true(journal_synced(&w.j));
	world_done(&w, 0);
	assert_true(journal_synced(&w.j));
	world_end(&w);
}

static void
test_a_file_that_grew(void **state)
{
	struct world w;
	size_t capacity;

	(void)state;
	world_begin(&w, JOURNAL_LEAST);
	assert_non_null(world_put(&w, 1, 700));
	assert_non_null(world_put(&w, 2, 700));
	world_look(&w);
	world_done(&w, 1);
	capacity = w.j.capacity;
	world_restart(&w, 100 * 4096);
	assert_int_equal(w.j.capacity, capacity + 100 * 4096);
	assert_int_equal(w.n, 1);
	world_expect(&w, 0, 1, 700);
	assert_true(world_knows(&w, 2));
	assert_non_null(world_put(&w, 3, capacity)); /* beyond the old end */
	world_restart(&w, 0);
	assert_int_equal(w.n, 2);
	world_expect(&w, 1, 3, capacity);
	world_end(&w);
}

static void
test_wrong_sizes(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w, JOURNAL_LEAST * 2);
	assert_non_null(world_put(&w, 1, 700));
	/* not whole pages: what is over is left alone */
	w.len -= 100;
	((struct journal_head *)(void *)w.mem)->size = 0;
	world_restart(&w, 0);
	assert_int_equal(w.n, 0);
	while (world_put(&w, 2, 10) != NULL)
		;
	world_restart(&w, 0);
	assert_int_equal(w.j.used, w.j.capacity);
	/* cut short: begun anew */
	w.len = JOURNAL_LEAST + 8;
	world_restart(&w, 0);
	assert_int_equal(w.n, 0);
	assert_int_equal(w.j.used, 0);
	assert_true(w.j.capacity <= JOURNAL_LEAST);
	assert_non_null(world_put(&w, 3, 700));
	world_restart(&w, 0);
	world_expect(&w, 0, 3, 700);
	/* too short for any: as without memory */
	w.len = JOURNAL_LEAST - 1;
	world_restart(&w, 0);
	assert_null(w.j.mem);
	assert_non_null(world_put(&w, 4, 700));
	world_end(&w);
}

static void
test_no_number_twice(void **state)
{
	struct world w;
	uint64_t last = 0;
	unsigned i, k;

	(void)state;
	world_begin(&w, JOURNAL_LEAST);
	for (i = 0; i < 5; i++) {
		for (k = 0; k < 70000; k++) { /* more than is reserved */
			struct record *r = world_put(&w, k, 5);
			struct record_info info;

			assert_non_null(r);
			journal_info(r, &info);
			assert_true(info.seq > last);
			last = info.seq;
			journal_done(&w.j, r, NULL);
		}
		world_restart(&w, 0);
		assert_int_equal(w.n, 0);
	}
	world_end(&w);
}

/* Somebody with the key writes records that nobody put. */
static void
test_hostile_records(void **state)
{
	static const struct {
		size_t at, len;
		uint64_t value;
		size_t found; /* with the good one */
	} bad[] = {
	    {RAW_SEQ, 8, 77, 2}, /* so it is done right */
	    {RAW_SEQ, 8, 0, 1},
	    {RAW_SEQ, 8, UINT64_MAX, 1},
	    {RAW_SEQ, 8, UINT64_MAX / 4 + 1, 1},
	    {RAW_SEQ, 8, UINT64_MAX / 4, 2},
	    {RAW_SEQ, 8, 1, 1},
	    {RAW_LINELEN, 4, UINT32_MAX, 1},
	    {RAW_LINELEN, 4, JOURNAL_LINE, 1},
	    {RAW_LINELEN, 4, 60000, 1},
	    {RAW_CIDLEN, 2, 257, 1},
	    {RAW_CIDLEN, 2, 256, 2},
	    {RAW_SESSION, 2, 1025, 1},
	    {RAW_PLATFORM, 2, 33, 1},
	    {RAW_PLATFORM, 2, 65535, 1},
	    {RAW_FLAGS, 1, 0xff, 2},
	    {RAW_ZERO, 1, 1, 1},
	    {RAW_PAGE, 4, 0, 1},
	    {RAW_PAGE, 4, UINT32_MAX, 1},
	    {RAW_ARRIVED, 8, UINT64_MAX, 2},
	};
	struct world w;
	unsigned char *page;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		world_begin(&w, JOURNAL_LEAST);
		assert_non_null(world_put(&w, 1, 100));
		assert_non_null(world_put(&w, 2, 400));
		page = raw_pages(w.mem) + JOURNAL_PAGE;
		raw_put(page + bad[i].at, bad[i].len, bad[i].value);
		raw_seal(w.mem, page, 2 * JOURNAL_PAGE);
		world_restart(&w, 0);
		assert_int_equal(w.n, bad[i].found);
		assert_int_equal(w.j.torn, 2 - bad[i].found);
		world_expect(&w, 0, 1, 100);
		assert_non_null(world_put(&w, 3, 2000));
		world_restart(&w, 0);
		assert_true(w.n >= bad[i].found);
		world_end(&w);
	}
}

static void
test_without_memory(void **state)
{
	struct world w;
	struct record_info info;
	size_t n;

	(void)state;
	memset(&w, 0, sizeof(w));
	world_start(&w);
	assert_int_equal(w.n, 0);
	for (n = 0; world_put(&w, 1, 1000000) != NULL;)
		n++;
	assert_int_equal(n, LIMIT_PENDING_MAX / 1000000);
	assert_false(journal_room(&w.j, 1000000));
	world_look(&w);
	assert_int_equal(w.n, n);
	world_expect(&w, n - 1, 1, 1000000);
	info = w.info[1];
	info.aside = 1;
	journal_mark(&w.j, w.r[1], &info);
	assert_true(w.j.aside > 1000000);
	world_done(&w, 1);
	assert_true(world_knows(&w, 1));
	assert_int_equal(w.j.aside, 0);
	assert_true(journal_room(&w.j, 1000000));
	assert_false(journal_is_off(&w.j));
	journal_set_off(&w.j, 1);
	assert_true(journal_is_off(&w.j));
	world_end(&w); /* with what is left in it */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_put_is_found_after_a_restart),
	    cmocka_unit_test(test_done_is_recognised_and_gone),
	    cmocka_unit_test(test_full_and_in_pieces),
	    cmocka_unit_test(test_few_events_need_few_pages),
	    cmocka_unit_test(test_what_is_too_long),
	    cmocka_unit_test(test_marks_are_kept),
	    cmocka_unit_test(test_aside_survives),
	    cmocka_unit_test(test_off_and_dirty),
	    cmocka_unit_test(test_a_file_that_grew),
	    cmocka_unit_test(test_wrong_sizes),
	    cmocka_unit_test(test_no_number_twice),
	    cmocka_unit_test(test_hostile_records),
	    cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
