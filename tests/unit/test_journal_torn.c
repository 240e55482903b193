/* SPDX-License-Identifier: ISC */
/* A journal that was damaged, or whose engine was killed at any moment: what
 * was not put is never found, and damage costs what it struck alone. */
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

#define LINE  100
#define EVENT 3 /* as many records, one page each */

/* Three events, of which the second will be struck. */
static void
begin_three(struct world *w)
{
	unsigned i;

	world_begin(w, JOURNAL_LEAST);
	for (i = 1; i <= EVENT; i++)
		assert_non_null(world_put(w, i, LINE));
	world_look(w);
}

/* Read a copy of memory again in which one byte is another. */
static void
read_flipped(struct world *got, const struct world *w, size_t at, unsigned flip)
{
	memcpy(got->mem, w->mem, w->len);
	got->mem[at] ^= (unsigned char)flip;
	journal_free(&got->j);
	world_start(got);
}

/* Which of the events stand there, as bits; anything else fails. */
static unsigned
which(const struct world *w)
{
	unsigned found = 0, n;
	size_t i;

	for (i = 0; i < w->n; i++) {
		for (n = 1; n <= EVENT && !world_is(&w->info[i], n, LINE);)
			n++;
		assert_true(n <= EVENT);
		assert_false(found & 1U << n);
		found |= 1U << n;
	}
	return found;
}

/* What a flipped byte of the second record costs. */
static void
check_flip(const struct world *got, size_t at)
{
	unsigned found = which(got);
	size_t end = RAW_DATA + LINE + 5 + 9 + 8; /* cid, session, platform */

	if (at < RAW_MARK || (at >= RAW_DATA && at < end)) {
		assert_int_equal(found, 1 << 1 | 1 << 3);
		assert_int_equal(got->j.torn, at >= 8);
		return;
	}
	assert_int_equal(found, 1 << 1 | 1 << 2 | 1 << 3);
	assert_int_equal(got->j.torn, 0);
	assert_int_equal(got->info[1].tried, at >= RAW_MARK && at < RAW_AT);
	assert_int_equal(got->info[1].attempts, 0);
	assert_int_equal(got->info[1].aside_at, 0);
}

static void
test_each_byte_of_a_record(void **state)
{
	struct world w, got;
	unsigned flip;
	size_t i, page;

	(void)state;
	begin_three(&w);
	world_begin(&got, JOURNAL_LEAST);
	page = (size_t)(raw_pages(w.mem) - w.mem) + JOURNAL_PAGE;
	for (i = 0; i < JOURNAL_PAGE; i++)
		for (flip = 1; flip < 256; flip += i < RAW_DATA ? 1 : 85) {
			read_flipped(&got, &w, page + i, flip);
			check_flip(&got, i);
		}
	world_end(&w);
	world_end(&got);
}

static void
test_each_byte_of_head_and_ids(void **state)
{
	struct world w, got;
	unsigned all = 1 << 1 | 1 << 2 | 1 << 3;
	size_t i;

	(void)state;
	begin_three(&w);
	world_done(&w, 0);
	assert_non_null(world_put(&w, 1, LINE)); /* again: it counts as done */
	world_begin(&got, JOURNAL_LEAST);
	for (i = 0; i < (size_t)(raw_pages(w.mem) - w.mem); i++) {
		read_flipped(&got, &w, i, 0x41);
		if (i < offsetof(struct journal_head, off))
			assert_int_equal(got.n, 0); /* begun anew */
		else if (i >= JOURNAL_HEAD && i < JOURNAL_HEAD + 64 + 16)
			assert_int_equal(which(&got) | 1 << 1, all);
		else
			assert_int_equal(which(&got), all & ~(1U << 1));
		assert_false(journal_is_off(&got.j));
		assert_non_null(world_put(&got, 9, LINE));
	}
	world_end(&w);
	world_end(&got);
}

/* Memory as it was when the engine was killed after so many of the words that
 * change from one state to the next, in one order or the other; the word at
 * last is written behind all others. */
static size_t
apply(unsigned char *to, const unsigned char *next, size_t len, size_t words,
    size_t last, int down)
{
	size_t i, at, done = 0;

	for (i = 0; i < len / 8; i++) {
		at = down ? len - 8 - i * 8 : i * 8;
		if (at == last || memcmp(to + at, next + at, 8) == 0)
			continue;
		if (done++ < words)
			memcpy(to + at, next + at, 8);
	}
	if (done++ < words)
		memcpy(to + last, next + last, 8);
	return done;
}

static void
test_killed_within_a_put(void **state)
{
	struct world w, got;
	unsigned char *before = malloc(JOURNAL_LEAST);
	size_t words, all = 1, magic;
	int down;

	(void)state;
	assert_non_null(before);
	world_begin(&w, JOURNAL_LEAST);
	assert_non_null(world_put(&w, 1, LINE));
	memcpy(before, w.mem, w.len);
	assert_non_null(world_put(&w, 2, 1500));
	magic = (size_t)(raw_pages(w.mem) - w.mem) + JOURNAL_PAGE;
	world_begin(&got, JOURNAL_LEAST);
	for (down = 0; down < 2; down++)
		for (words = 0; words <= all; words++) {
			memcpy(got.mem, before, w.len);
			all = apply(got.mem, w.mem, w.len, words, magic, down);
			journal_free(&got.j);
			world_start(&got);
			assert_int_equal(got.n, words < all ? 1 : 2);
			world_expect(&got, 0, 1, LINE);
			assert_int_equal(got.j.torn, 0);
			assert_non_null(world_put(&got, 3, 1500));
			world_look(&got);
			assert_int_equal(got.n, words < all ? 2 : 3);
		}
	assert_true(all > 190); /* it was a put of some length */
	free(before);
	world_end(&w);
	world_end(&got);
}

/* First the id, then the record, in any order each: not both are missing. */
static void
test_killed_when_it_is_done(void **state)
{
	struct world w, got;
	unsigned char *before = malloc(JOURNAL_LEAST);
	size_t words, ids = 1, rest = 1, page;

	(void)state;
	assert_non_null(before);
	begin_three(&w);
	memcpy(before, w.mem, w.len);
	world_done(&w, 1);
	page = (size_t)(raw_pages(w.mem) - w.mem);
	world_begin(&got, JOURNAL_LEAST);
	for (words = 0; words <= ids + rest; words++) {
		memcpy(got.mem, before, w.len);
		/* the count of the ids comes last, the magic first */
		ids = apply(got.mem, w.mem, page, words, JOURNAL_HEAD + 24, 0);
		if (words > ids)
			memset(got.mem + page + JOURNAL_PAGE, 0, 8);
		if (words > ids)
			rest = apply(got.mem + page, w.mem + page, w.len - page,
			    words - ids, JOURNAL_PAGE, 1);
		journal_free(&got.j);
		world_start(&got);
		assert_int_equal(got.n, words < ids ? 3 : 2);
		assert_int_equal(world_knows(&got, 2), words >= ids);
		assert_int_equal(got.j.torn, 0);
	}
	free(before);
	world_end(&w);
	world_end(&got);
}

/* What an agent had is overwritten: no word of it stays. */
static void
test_nothing_is_left_of_what_is_done(void **state)
{
	struct world w;
	unsigned char *p;

	(void)state;
	begin_three(&w);
	while (w.n > 0)
		world_done(&w, --w.n);
	for (p = raw_pages(w.mem); p < w.mem + w.len; p++)
		assert_int_equal(*p, 0);
	world_end(&w);
}

/* The text of an event that is a record itself, made by who knows all but the
 * key, and comes to lie where a page begins. */
static void
test_a_record_within_a_line_is_text(void **state)
{
	struct world w;
	struct event e;
	unsigned char *page, line[2000] = {0};
	struct span piece = {(const char *)line, sizeof(line)};
	size_t at, before;
	int with_key;

	(void)state;
	for (with_key = 0; with_key < 2; with_key++) {
		begin_three(&w);
		page = raw_pages(w.mem);
		event_make(&e, 4, LINE);
		before = RAW_DATA + e.info.cid.len + e.info.session.len +
		    e.info.platform.len;
		at = JOURNAL_PAGE - before;
		memcpy(line + at, page, JOURNAL_PAGE);
		raw_put(line + at + RAW_PAGE, 4, EVENT + 1);
		raw_put(line + at + RAW_SEQ, 8, 99);
		if (with_key) /* else it would be a good one */
			raw_seal(w.mem, line + at, JOURNAL_PAGE);
		assert_non_null(journal_put(&w.j, &e.info, &piece, 1));
		world_restart(&w, 0);
		assert_int_equal(w.n, 4);
		assert_true(span_eq(w.info[3].line, piece));
		/* the event around it is torn */
		page = raw_pages(w.mem) + EVENT * JOURNAL_PAGE;
		page[RAW_SEQ] ^= 1;
		world_restart(&w, 0);
		assert_int_equal(w.n, with_key ? 4 : 3);
		assert_int_equal(w.j.torn, with_key ? 1 : 2);
		world_end(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_byte_of_a_record),
	    cmocka_unit_test(test_each_byte_of_head_and_ids),
	    cmocka_unit_test(test_killed_within_a_put),
	    cmocka_unit_test(test_killed_when_it_is_done),
	    cmocka_unit_test(test_nothing_is_left_of_what_is_done),
	    cmocka_unit_test(test_a_record_within_a_line_is_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
