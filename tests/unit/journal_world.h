/* SPDX-License-Identifier: ISC */
/*
 * A journal in memory of a test, events that are made from their number, and
 * what a journal holds as a list.
 */
#ifndef JOURNAL_WORLD_H
#define JOURNAL_WORLD_H

#include "journal.h"
#include "journal_head.h"

#define EVENTS_MOST 4096

struct world {
	unsigned char *mem;
	size_t len;
	struct journal j;
	uint64_t epoch;
	/* as world_look() found it */
	struct record *r[EVENTS_MOST];
	struct record_info info[EVENTS_MOST];
	size_t n;
};

static const struct hash_key world_key = {{0x1122334455667788, 42}};

/* Event number n, with a line of len bytes. */
struct event {
	char cid[40], session[40];
	char *text;
	struct span line;
	struct record_info info;
};

static inline void
event_make(struct event *e, unsigned n, size_t len)
{
	static char text[3 * 1024 * 1024];
	size_t i;

	(void)snprintf(e->cid, sizeof(e->cid), "buf-%u", n);
	(void)snprintf(e->session, sizeof(e->session), "session:%u", n % 7);
	for (i = 0; i < len; i++)
		text[i] = (char)('a' + (i * 7 + n) % 26);
	e->line = (struct span){text, len};
	memset(&e->info, 0, sizeof(e->info));
	e->info.arrived = 1700000000000 + n;
	e->info.cid = span_str(e->cid);
	e->info.session = span_str(e->session);
	e->info.platform = n % 2 ? SPAN_LIT("discord") : SPAN_LIT("telegram");
	e->info.plain = n % 3 == 0;
	e->info.forward = n % 5 == 0;
}

static inline struct record *
world_put(struct world *w, unsigned n, size_t len)
{
	struct event e;
	struct span piece[3];

	event_make(&e, n, len);
	piece[0] = (struct span){e.line.p, len / 3};
	piece[1] = (struct span){NULL, 0};
	piece[2] = (struct span){e.line.p + len / 3, len - len / 3};
	return journal_put(&w->j, &e.info, piece, 3);
}

static inline void
world_see(void *arg, struct record *r, const struct record_info *info)
{
	struct world *w = arg;

	assert_true(w->n < EVENTS_MOST);
	w->r[w->n] = r;
	w->info[w->n++] = *info;
}

static inline void
world_look(struct world *w)
{
	w->n = 0;
	assert_int_equal(journal_each(&w->j, world_see, w), 0);
}

static inline void
world_start(struct world *w)
{
	assert_int_equal(
	    journal_init(&w->j, w->mem, w->len, ++w->epoch, &world_key), 0);
	world_look(w);
}

/* The engine ends and begins anew; memory has more bytes than before. */
static inline void
world_restart(struct world *w, size_t more)
{
	unsigned char *p = malloc(w->len + more);

	assert_non_null(p);
	journal_free(&w->j);
	memcpy(p, w->mem, w->len);
	memset(p + w->len, 0, more);
	free(w->mem);
	w->mem = p;
	w->len += more;
	world_start(w);
}

static inline void
world_begin(struct world *w, size_t len)
{
	memset(w, 0, sizeof(*w));
	w->mem = malloc(len);
	assert_non_null(w->mem);
	memset(w->mem, 0, len);
	w->len = len;
	journal_head_make((struct journal_head *)(void *)w->mem, len,
	    (const unsigned char *)"sixteen bytes...");
	world_start(w);
}

static inline void
world_end(struct world *w)
{
	journal_free(&w->j);
	free(w->mem);
}

/* What stands at i is event n with its line of len bytes. */
static inline int
world_is(const struct record_info *got, unsigned n, size_t len)
{
	struct event e;

	event_make(&e, n, len);
	return got->arrived == e.info.arrived &&
	    span_eq(got->cid, e.info.cid) &&
	    span_eq(got->session, e.info.session) &&
	    span_eq(got->platform, e.info.platform) &&
	    span_eq(got->line, e.line) && got->plain == e.info.plain &&
	    got->forward == e.info.forward;
}

static inline void
world_expect(const struct world *w, size_t i, unsigned n, size_t len)
{
	assert_true(i < w->n);
	assert_true(world_is(&w->info[i], n, len));
}

/* An agent has taken what stands at i. */
static inline void
world_done(struct world *w, size_t i)
{
	uint64_t hash[2];

	seen_hash(&w->j.seen, w->info[i].cid, hash);
	journal_done(&w->j, w->r[i], hash);
}

/* Whether event n is among the acknowledged ones. */
static inline int
world_knows(struct world *w, unsigned n)
{
	struct event e;
	uint64_t hash[2];

	event_make(&e, n, 0);
	seen_hash(&w->j.seen, e.info.cid, hash);
	return seen_has(&w->j.seen, hash);
}

#endif
