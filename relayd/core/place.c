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
#include "pressure.h"
#include "stage_note.h"

/* A session of a platform that no identity fronts: any agent may have it. */
#define ANY_PLATFORM 0xffff
/* Bytes in flight that surely fit into an agent's output queue, half of it,
 * read or not; the rest is for results and news.  A common window of common
 * events takes a tenth of that. */
#define INFLIGHT_BYTES (LIMIT_AGENT_QUEUE / 2)
/* Of the journal's room: what one agent may have in flight, and what it may
 * hold, queued events included, while others could have them.  Pressure
 * begins at a half. */
#define INFLIGHT_PART 4
#define SHARE_PART    8

static struct session *
find(const struct gateway *gw, struct span key, uint64_t hash)
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

struct session *
session_find(const struct gateway *gw, struct span key)
{
	return find(gw, key, hash_64(&gw->core->key, key));
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
	struct session *s = find(gw, key, hash);
	struct span tail;

	if (s != NULL)
		return s;
	if (ds->nidle >= LIMIT_SESSIONS)
		session_drop(gw, TAILQ_FIRST(&ds->idle));
	tail = line_end(gw, key);
	if (tail.p == NULL ||
	    (s = calloc(1, sizeof(*s) + key.len + tail.len)) == NULL)
		return NULL;
	s->oldest = UINT64_MAX;
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
	s->last = gw->core->now;
	if (s->open++ > 0)
		return;
	TAILQ_REMOVE(&gw->delivery.idle, s, lru);
	gw->delivery.nidle--;
}

void
session_close(struct gateway *gw, struct session *s)
{
	s->last = gw->core->now;
	if (--s->open > 0)
		return;
	TAILQ_INSERT_TAIL(&gw->delivery.idle, s, lru);
	gw->delivery.nidle++;
}

/* Whether the agent takes new events of that platform. */
static int
takes(const struct agent *a, const struct session *s)
{
	return a->state == AGENT_READY && !a->draining &&
	    (s->platform == ANY_PLATFORM || agent_serves(a, s->platform));
}

/* Not with one that holds too much, nor with a suspect, which others wait
 * for. */
static int
keeps_up(const struct agent *a)
{
	const struct delivery *given = TAILQ_FIRST(&a->inflight),
			      *next = TAILQ_FIRST(&a->queued);

	return a->shed_above == 0 && (given == NULL || !given->suspect) &&
	    (next == NULL || !next->suspect);
}

/* Webhooks that are no events: only agents that want them raw can use them. */
static int
is_raw(const struct session *s)
{
	static const struct span mark = SPAN_LIT(ARRIVAL_RAW);

	return s->len >= mark.len && memcmp(s->key, mark.p, mark.len) == 0;
}

/* Whether a is the better one for a new session: one that can use it, then one
 * that keeps up, then the one with fewer events, then with fewer sessions. */
static int
is_better(const struct agent *a, const struct agent *b, const struct session *s)
{
	uint32_t na = a->ninflight + a->nqueued, nb = b->ninflight + b->nqueued;
	int up = keeps_up(a);

	if (a->events != b->events && is_raw(s))
		return !a->events;
	if (up != keeps_up(b))
		return up;
	return na < nb || (na == nb && a->nsession < b->nsession);
}

/* The least loaded agent that may have the session, or NULL. */
static struct agent *
choose(const struct gateway *gw, const struct session *s)
{
	struct agent *a, *best = NULL;

	TAILQ_FOREACH (a, &gw->agents, entry)
		if (takes(a, s) && (best == NULL || is_better(a, best, s)))
			best = a;
	return best;
}

static void
queue_to(struct agent *a, struct delivery *d)
{
	d->agent = a;
	TAILQ_INSERT_TAIL(&a->queued, d, entry);
	a->nqueued++;
	a->queued_bytes += d->linelen;
}

/* Find the session an agent.  0, or -1 when there is none. */
static int
assign(struct gateway *gw, struct session *s)
{
	if (s->blocked)
		return -1;
	if (s->agent != NULL)
		return 0;
	if ((s->agent = choose(gw, s)) == NULL)
		return -1;
	s->agent->nsession++;
	return 0;
}

/* Among the unplaced in order.  The search begins at `at`, the one put there
 * before, so that many that come in order cost one walk. */
static void
unplace(struct gateway *gw, struct delivery *d, struct delivery *at)
{
	struct delivery_queue *q = &gw->delivery.unplaced;
	struct delivery *next = TAILQ_LAST(q, delivery_queue);

	if (next == NULL || next->seq < d->seq) {
		TAILQ_INSERT_TAIL(q, d, entry);
		return;
	}
	if (at != NULL && at->seq > d->seq)
		at = NULL;
	next = at == NULL ? TAILQ_FIRST(q) : TAILQ_NEXT(at, entry);
	for (; next != NULL && next->seq < d->seq; next = TAILQ_NEXT(at, entry))
		at = next;
	if (at == NULL)
		TAILQ_INSERT_HEAD(q, d, entry);
	else
		TAILQ_INSERT_AFTER(q, at, d, entry);
}

static uint64_t
held(const struct agent *a)
{
	return a->inflight_bytes + a->queued_bytes;
}

static uint64_t
share(const struct gateway *gw)
{
	return pressure_capacity(gw) / SHARE_PART;
}

/* Whether another agent could take something of what this one holds. */
static int
is_helped(const struct agent *a)
{
	const struct agent *b;

	TAILQ_FOREACH (b, &a->gw->agents, entry)
		if (b != a && b->state == AGENT_READY && !b->draining &&
		    b->shed_above == 0 && held(b) < share(a->gw) &&
		    (b->platforms & a->platforms) != 0)
			return 1;
	return 0;
}

/* It holds more than its share: what it has queued goes to others, but for
 * sessions with events in flight.  Again only when it holds much more. */
static void
shed(struct agent *a)
{
	if (a->draining || held(a) <= share(a->gw) ||
	    held(a) <= a->shed_above || !is_helped(a))
		return;
	a->shed_above = UINT64_MAX;
	place_back(a, 0);
	a->shed_above = held(a) + share(a->gw) / 2;
	delivery_give_all(a->gw);
}

void
place_relieve(struct agent *fresh)
{
	struct agent *a;

	TAILQ_FOREACH (a, &fresh->gw->agents, entry)
		if (a != fresh)
			shed(a);
}

void
place_relieved(struct agent *a)
{
	if (a->shed_above != 0 && held(a) < share(a->gw) / 2)
		a->shed_above = 0;
}

void
place(struct gateway *gw, struct delivery *d, struct agent *to)
{
	if (to == NULL || !takes(to, d->session) || d->session->blocked) {
		if (assign(gw, d->session) == -1) {
			unplace(gw, d, NULL);
			return;
		}
		to = d->session->agent;
	}
	queue_to(to, d);
	place_give(to);
	shed(to);
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
send_line(struct agent *a, const struct delivery *d, struct span line)
{
	struct span piece[2];

	piece[0] = line;
	if (!d->tried)
		return agent_line(a, piece, 1);
	piece[0].len--;
	piece[1] = SPAN_LIT(",\"redelivered\":true}");
	return agent_line(a, piece, 2);
}

/* A suspect is alone in flight: whether an agent ends with it shall tell. */
static int
has_room(struct agent *a, const struct delivery *d)
{
	const struct core_io *io = a->gw->core->io;
	uint64_t bytes = a->inflight_bytes + d->linelen;

	if (a->ninflight == 0)
		return 1;
	if (d->suspect || a->ninflight >= a->window ||
	    TAILQ_FIRST(&a->inflight)->suspect ||
	    bytes > pressure_capacity(a->gw) / INFLIGHT_PART)
		return 0;
	return bytes <= INFLIGHT_BYTES ||
	    (io->agent_room != NULL &&
		io->agent_room(a->gw->core->arg, a, d->linelen));
}

/* It is the agent's from now on. */
static void
set_inflight(struct agent *a, struct delivery *d)
{
	struct gateway *gw = a->gw;

	TAILQ_REMOVE(&a->queued, d, entry);
	a->nqueued--;
	a->queued_bytes -= d->linelen;
	TAILQ_INSERT_TAIL(&a->inflight, d, entry);
	a->ninflight++;
	a->inflight_bytes += d->linelen;
	d->inflight = 1;
	d->given = gw->core->now;
	if (d->gives < UINT8_MAX)
		d->gives++;
	gw->count.redelivered += d->tried;
	gw->count.delivered++;
	a->delivered++;
	stage_reach(gw, STAGE_DELIVERED, d, a);
	if (!timer_armed(&a->ack_timer))
		timer_set(&gw->core->timers, &a->ack_timer,
		    d->given + a->ack_timeout_ms);
}

void
place_give(struct agent *a)
{
	struct delivery *d;
	struct span line;

	/* What is queued to one that drains waits for the events before it. */
	while (!a->draining && (d = TAILQ_FIRST(&a->queued)) != NULL &&
	    has_room(a, d)) {
		line = (struct span){d->line, d->linelen};
		if (d->forward && a->events && as_event(a, d, &line) == -1)
			continue;
		if (send_line(a, d, line) == -1)
			return;
		set_inflight(a, d);
		if (d->tried)
			continue;
		/* The agent has not read it yet: no crash comes between. */
		d->tried = 1;
		delivery_mark(a->gw, d);
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
		a->queued_bytes -= d->linelen;
	}
	d->inflight = 0;
	d->agent = NULL;
}

/* A session that keeps events in flight with its agent stays, for the order.
 * Returns how many do. */
static uint32_t
pin(struct agent *a, int on)
{
	struct delivery *d;
	uint32_t n = 0;

	TAILQ_FOREACH (d, &a->inflight, entry) {
		n += on && !d->session->pinned && d->session->agent == a;
		d->session->pinned = on != 0;
	}
	return n;
}

static void
unassign_all(struct agent *a, const struct delivery_queue *q)
{
	struct delivery *d;

	TAILQ_FOREACH (d, q, entry)
		if (!d->session->pinned)
			unassign(a, d->session);
}

/* Sessions whose events are all with others: answers to prompts of theirs, and
 * what blocks. */
static void
unassign_rest(struct agent *a)
{
	struct agent *b;

	TAILQ_FOREACH (b, &a->gw->agents, entry) {
		unassign_all(a, &b->inflight);
		unassign_all(a, &b->queued);
	}
	unassign_all(a, &a->gw->delivery.unplaced);
}

void
place_back(struct agent *a, int inflight)
{
	struct gateway *gw = a->gw;
	struct delivery *d, *last = NULL;
	struct session *s;
	uint32_t stay = pin(a, !inflight);

	while ((inflight && (d = TAILQ_FIRST(&a->inflight)) != NULL) ||
	    (d = TAILQ_FIRST(&a->queued)) != NULL) {
		if (d->inflight)
			stage_note(gw, STAGE_RETURNED, d, a);
		place_take(d);
		if (!d->session->pinned)
			unassign(a, d->session);
		unplace(gw, d, last);
		last = d;
	}
	TAILQ_FOREACH (s, &gw->delivery.idle, lru) {
		if (a->nsession == stay)
			break;
		unassign(a, s);
	}
	if (a->nsession > stay)
		unassign_rest(a);
	(void)pin(a, 0);
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
