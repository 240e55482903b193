/* SPDX-License-Identifier: ISC */
/* The journal against a plain list, over random operations and restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "journal_world.h"

#define OPERATIONS 10000

/* What should be there, in order. */
struct entry {
	unsigned n;
	size_t len;
	uint64_t epoch, seq;
	uint8_t tried, suspect, attempts, aside;
	int64_t aside_at;
	struct record *r;
};

struct model {
	struct world w;
	struct entry e[EVENTS_MOST];
	size_t n;
	unsigned next;
};

static size_t
pages_of(const struct entry *e)
{
	struct event ev;

	event_make(&ev, e->n, 0);
	return (80 + ev.info.cid.len + ev.info.session.len +
		   ev.info.platform.len + e->len + JOURNAL_PAGE - 1) /
	    JOURNAL_PAGE;
}

static void
compare(struct model *m)
{
	const struct record_info *got;
	const struct entry *e;
	size_t i, used = 0, aside = 0, pages;

	world_look(&m->w);
	assert_int_equal(m->w.n, m->n);
	for (i = 0; i < m->n; i++) {
		got = &m->w.info[i];
		e = &m->e[i];
		assert_true(world_is(got, e->n, e->len));
		assert_int_equal(got->epoch, e->epoch);
		assert_int_equal(got->seq, e->seq);
		assert_int_equal(got->tried, e->tried);
		assert_int_equal(got->suspect, e->suspect);
		assert_int_equal(got->attempts, e->attempts);
		assert_int_equal(got->aside, e->aside);
		assert_int_equal(got->aside_at, e->aside_at);
		pages = pages_of(e);
		used += pages * JOURNAL_PAGE;
		if (e->aside)
			aside += pages * JOURNAL_PAGE;
	}
	assert_int_equal(m->w.j.used, used);
	assert_int_equal(m->w.j.aside, aside);
	assert_int_equal(m->w.j.torn, 0);
}

static void
do_put(struct model *m)
{
	struct entry e = {.n = ++m->next, .epoch = m->w.j.epoch};
	struct event ev;
	int room;

	e.len = (size_t)random() % (random() % 20 == 0 ? 30000 : 1200);
	e.seq = m->w.j.next_seq;
	event_make(&ev, e.n, 0);
	room = journal_room(&m->w.j,
	    ev.info.cid.len + ev.info.session.len + ev.info.platform.len +
		e.len);
	e.r = world_put(&m->w, e.n, e.len);
	assert_int_equal(e.r != NULL, room);
	if (e.r != NULL)
		m->e[m->n++] = e;
	else /* one page is room enough wherever it is */
		assert_true(pages_of(&e) > 1 || m->w.j.capacity == m->w.j.used);
}

static void
do_mark(struct model *m, struct entry *e)
{
	struct record_info info;

	journal_info(e->r, &info);
	info.tried = e->tried = (uint8_t)(random() % 2);
	info.suspect = e->suspect = (uint8_t)(random() % 2);
	info.attempts = e->attempts = (uint8_t)(random() % 256);
	info.aside = e->aside = random() % 4 == 0;
	info.aside_at = e->aside_at = random();
	journal_mark(&m->w.j, e->r, &info);
}

static void
do_done(struct model *m, size_t i)
{
	struct record_info info;
	uint64_t hash[2];
	unsigned n = m->e[i].n;

	journal_info(m->e[i].r, &info);
	seen_hash(&m->w.j.seen, info.cid, hash);
	journal_done(&m->w.j, m->e[i].r, hash);
	m->n--;
	memmove(&m->e[i], &m->e[i + 1], (m->n - i) * sizeof(m->e[0]));
	assert_true(world_knows(&m->w, n));
}

static void
do_restart(struct model *m)
{
	size_t i;

	world_restart(&m->w, random() % 10 == 0 ? 512 : 0);
	assert_int_equal(m->w.n, m->n);
	for (i = 0; i < m->n; i++)
		m->e[i].r = m->w.r[i];
}

static void
test_against_a_model(void **state)
{
	static struct model m;
	int i, what;

	(void)state;
	srandom(4);
	world_begin(&m.w, 4 * JOURNAL_LEAST);
	for (i = 0; i < OPERATIONS; i++) {
		what = (int)(random() % 100);
		/* it fills, and empties again */
		if (what < (i / 1000 % 2 ? 30 : 60) || m.n == 0)
			do_put(&m);
		else if (what < 75)
			do_done(&m, (size_t)random() % m.n);
		else if (what < 95)
			do_mark(&m, &m.e[(size_t)random() % m.n]);
		else
			do_restart(&m);
		if (i % 10 == 0)
			compare(&m);
	}
	compare(&m);
	world_end(&m.w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_against_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
