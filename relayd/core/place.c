/* SPDX-License-Identifier: ISC */
/*
 * Placement: events of one session go to one agent, in order; a new session
 * goes to the least loaded agent that serves its platform.
 */
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent.h"
#include "arrival.h"
#include "core.h"
#include "place.h"

/* A session of a platform that no identity fronts: any agent may have it. */
#define ANY_PLATFORM 0xffff
/* Large lines go out while this much is in flight: half of an agent's output
 * queue, so that one that reads is not taken for one that does not.  A common
 * window of smaller ones takes a quarter of it. */
#define INFLIGHT_BYTES (LIMIT_AGENT_QUEUE / 2)
#define LARGE_BYTES    (32U * 1024)

struct session *
session_find(const struct gateway *gw, struct span key, uint64_t hash)
{
	struct hnode *n;
	struct session *s;

	for (n = htab_find(&gw->delivery.sessions, hash); n != NULL;
	     n = htab_next(n)) {
		s = (struct session *)(void *)((char *)n -
		    offsetof(struct session, node));
		if (span_eq((struct span){s->key, s->len}, key))
			return s;
	}
	return NULL;
}

static void
session_drop(struct gateway *gw, struct session *s)
{
	struct delivery_state *ds = &gw->delivery;

	if (s->agent != NULL)
		s->agent->nsession--;
	TAILQ_REMOVE(&ds->idle, s, lru);
	ds->nidle--;
	htab_del(&ds->sessions, &s->node);
	free(s);
}

/* The member that all lines of the session end with, in the core's scratch;
 * an absent span without memory. */
static struct span
line_end(struct gateway *gw, struct span key)
{
	struct buf *b = &gw->core->scratch;

	buf_reset(b);
	(void)buf_adds(b, SPAN_LIT(",\"session_key\":"));
	json_put_str(b, key);
	(void)buf_add(b, "}", 1);
	return b->failed ? (struct span){NULL, 0} : buf_span(b);
}

struct session *
session_get(struct gateway *gw, struct span key, int identity)
{
	struct delivery_state *ds = &gw->delivery;
	uint64_t hash = hash_64(&gw->core->key, key);
	struct session *s = session_find(gw, key, hash);
	struct span tail;

	if (s != NULL)
		return s;
	if (ds->nidle >= LIMIT_SESSIONS)
		session_drop(gw, TAILQ_FIRST(&ds->idle));
	tail = line_end(gw, key);
	if (tail.p == NULL ||
	    (s = calloc(1, sizeof(*s) + key.len + tail.len)) == NULL)
		return NULL;
	s->len = (uint16_t)key.len;
	memcpy(s->key, key.p, key.len);
	s->taillen = (uint16_t)tail.len;
	memcpy(s->key + key.len, tail.p, tail.len);
	s->platform = identity == -1 ? ANY_PLATFORM : (uint16_t)identity;
	if (htab_add(&ds->sessions, &s->node, hash) == -1) {
		free(s);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&ds->idle, s, lru);
	ds->nidle++;
	return s;
}

void
session_open(struct gateway *gw, struct session *s)
{
	if (s->open++ > 0)
		return;
	TAILQ_REMOVE(&gw->delivery.idle, s, lru);
	gw->delivery.nidle--;
}

void
session_close(struct gateway *gw, struct session *s)
{
	if (--s->open > 0)
		return;
	TAILQ_INSERT_TAIL(&gw->delivery.idle, s, lru);
	gw->delivery.nidle++;
}

/* Webhooks that are no events: only agents that want them raw can use them. */
static int
is_raw(const struct session *s)
{
	static const struct span mark = SPAN_LIT(ARRIVAL_RAW);

	return s->len >= mark.len && memcmp(s->key, mark.p, mark.len) == 0;
}

/* The least loaded agent that may have the session, or NULL. */
static struct agent *
choose(const struct gateway *gw, const struct session *s)
{
	struct agent *a, *best = NULL;
	int raw = is_raw(s);

	TAILQ_FOREACH (a, &gw->agents, entry) {
		if (a->state != AGENT_READY || a->draining ||
		    (s->platform != ANY_PLATFORM &&
			!agent_serves(a, s->platform)))
			continue;
		if (raw && best != NULL && best->events != a->events) {
			if (best->events)
				best = a;
			continue;
		}
		if (best == NULL ||
		    a->ninflight + a->nqueued <
			best->ninflight + best->nqueued ||
		    (a->ninflight + a->nqueued ==
			    best->ninflight + best->nqueued &&
			a->nsession < best->nsession))
			best = a;
	}
	return best;
}

static void
queue_to(struct agent *a, struct delivery *d)
{
	d->agent = a;
	TAILQ_INSERT_TAIL(&a->queued, d, entry);
	a->nqueued++;
}

/* Find the session an agent.  0, or -1 when there is none. */
static int
assign(struct gateway *gw, struct session *s)
{
	if (s->agent != NULL)
		return 0;
	if ((s->agent = choose(gw, s)) == NULL)
		return -1;
	s->agent->nsession++;
	return 0;
}

void
place(struct gateway *gw, struct delivery *d, struct agent *to)
{
	if (to != NULL && to->state == AGENT_READY && !to->draining) {
		queue_to(to, d);
		place_give(to);
		return;
	}
	if (assign(gw, d->session) == -1) {
		TAILQ_INSERT_TAIL(&gw->delivery.unplaced, d, entry);
		return;
	}
	queue_to(d->session->agent, d);
	place_give(d->session->agent);
}

void
place_all(struct gateway *gw)
{
	struct delivery *d, *next;

	TAILQ_FOREACH_SAFE (d, &gw->delivery.unplaced, entry, next) {
		if (assign(gw, d->session) == -1)
			continue;
		TAILQ_REMOVE(&gw->delivery.unplaced, d, entry);
		queue_to(d->session->agent, d);
	}
}

/* The session may go to another agent. */
static void
unassign(struct agent *a, struct session *s)
{
	if (s->agent != a)
		return;
	s->agent = NULL;
	a->nsession--;
}

/* A forward as the agent wants it.  0, or -1: it is no event, and was dropped.
 */
static int
as_event(struct agent *a, struct delivery *d, struct span *line)
{
	struct gateway *gw = a->gw;
	struct buf *b = &gw->core->scratch;
	struct session *s = d->session;
	const char *why;

	buf_reset(b);
	why = interaction_line(&gw->core->interaction, *line, b);
	if (why == NULL) {
		*line = buf_span(b);
		return 0;
	}
	gw->count.forwards_dropped++;
	core_remark(gw, LOG_NOTICE, "forward_dropped",
	    "a forwarded webhook was dropped: agent %u wants interactions as "
	    "events, and it is none: %s",
	    a->number, why);
	delivery_discard(gw, d);
	if (s->open == 0) /* the next may find one that takes it as it is */
		unassign(a, s);
	return -1;
}

/* Send the line; one that was tried before says so. */
static int
send_line(struct agent *a, struct delivery *d, struct span line)
{
	struct span piece[2];

	piece[0] = line;
	if (d->tries == 0)
		return agent_line(a, piece, 1);
	piece[0].len--;
	piece[1] = SPAN_LIT(",\"redelivered\":true}");
	return agent_line(a, piece, 2);
}

static int
has_room(const struct agent *a, const struct delivery *d)
{
	return a->ninflight == 0 ||
	    (a->ninflight < a->window &&
		(d->linelen <= LARGE_BYTES ||
		    a->inflight_bytes + d->linelen <= INFLIGHT_BYTES));
}

void
place_give(struct agent *a)
{
	struct gateway *gw = a->gw;
	struct delivery *d;
	struct span line;

	/* What is queued to one that drains waits for the events before it. */
	while (!a->draining && (d = TAILQ_FIRST(&a->queued)) != NULL &&
	    has_room(a, d)) {
		line = (struct span){d->data + d->cidlen, d->linelen};
		if (d->forward && a->events && as_event(a, d, &line) == -1)
			continue;
		if (send_line(a, d, line) == -1)
			return;
		TAILQ_REMOVE(&a->queued, d, entry);
		a->nqueued--;
		TAILQ_INSERT_TAIL(&a->inflight, d, entry);
		a->ninflight++;
		a->inflight_bytes += d->linelen;
		d->inflight = 1;
		d->given = gw->core->now;
		if (d->tries > 0)
			gw->count.redelivered++;
		if (d->tries < UINT8_MAX)
			d->tries++;
		a->delivered++;
		gw->count.delivered++;
		if (!timer_armed(&a->ack_timer))
			timer_set(&gw->core->timers, &a->ack_timer,
			    d->given + a->ack_timeout_ms);
	}
}

void
place_take(struct delivery *d)
{
	struct agent *a = d->agent;

	if (a == NULL)
		return;
	if (d->inflight) {
		TAILQ_REMOVE(&a->inflight, d, entry);
		a->ninflight--;
		a->inflight_bytes -= d->linelen;
	} else {
		TAILQ_REMOVE(&a->queued, d, entry);
		a->nqueued--;
	}
	d->inflight = 0;
	d->agent = NULL;
}

/* Among the unplaced by age: ids grow with arrival.  The search begins at
 * `at`, the one put there before, so that many that come in order cost one
 * walk. */
static void
unplace(struct gateway *gw, struct delivery *d, struct delivery *at)
{
	struct delivery_queue *q = &gw->delivery.unplaced;
	struct delivery *next;

	if (at != NULL && at->id > d->id)
		at = NULL;
	next = at == NULL ? TAILQ_FIRST(q) : TAILQ_NEXT(at, entry);
	for (; next != NULL && next->id < d->id; next = TAILQ_NEXT(at, entry))
		at = next;
	if (at == NULL)
		TAILQ_INSERT_HEAD(q, d, entry);
	else
		TAILQ_INSERT_AFTER(q, at, d, entry);
}

void
place_back(struct agent *a, int inflight)
{
	struct gateway *gw = a->gw;
	struct delivery *d, *last = NULL;
	struct session *s;

	/* A session that keeps events in flight stays, for the order. */
	TAILQ_FOREACH (d, &a->inflight, entry)
		d->session->pinned = !inflight;
	while ((inflight && (d = TAILQ_FIRST(&a->inflight)) != NULL) ||
	    (d = TAILQ_FIRST(&a->queued)) != NULL) {
		place_take(d);
		if (!d->session->pinned)
			unassign(a, d->session);
		unplace(gw, d, last);
		last = d;
	}
	TAILQ_FOREACH (d, &a->inflight, entry)
		d->session->pinned = 0;
	TAILQ_FOREACH (s, &gw->delivery.idle, lru) {
		if (a->nsession == 0)
			break;
		unassign(a, s);
	}
}

void
place_forget(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;
	struct delivery *d;
	struct session *s;

	while ((s = TAILQ_FIRST(&ds->idle)) != NULL)
		session_drop(gw, s);
	TAILQ_FOREACH (d, &ds->unplaced, entry)
		d->session->platform = ANY_PLATFORM;
}
