/* SPDX-License-Identifier: ISC */
/*
 * Delivery: what waits for an acknowledgement, and the order in which
 * acknowledgements leave.  What arrives is arrival.c's, who gets it place.c's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "core.h"
#include "journal_head.h"
#include "place.h"

/* Agents have caught up: what was left is asked for by another handshake. */
static void
on_reopen(void *arg)
{
	struct gateway *gw = arg;

	if (gw->delivery.closed && link_serves(gw))
		link_leave(gw, 1, 0,
		    "agents caught up: connecting anew for the events that "
		    "were left with the connector");
}

/* The ids acknowledged lately stand in a journal behind its head. */
static void
init_seen(struct gateway *gw, const struct journal_memory *memory)
{
	const struct journal_head *h = memory == NULL ? NULL : memory->p;
	struct seen *seen = &gw->delivery.seen;

	if (h == NULL || journal_head_check(h, memory->len) != NULL)
		seen_init(seen, NULL, LIMIT_SEEN, &gw->core->key);
	else
		seen_init(seen, (char *)memory->p + JOURNAL_HEAD, h->seen,
		    &gw->core->key);
}

void
delivery_init(struct gateway *gw, const struct journal_memory *memory)
{
	struct delivery_state *ds = &gw->delivery;

	TAILQ_INIT(&ds->idle);
	TAILQ_INIT(&ds->unplaced);
	TAILQ_INIT(&ds->order);
	timer_init(&ds->reopen, on_reopen, gw);
	init_seen(gw, memory);
}

/* Leave or enter the link's socket alone, by how much is waiting. */
static void
check_pressure(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;
	int pause =
	    ds->bytes > (ds->paused ? LIMIT_PENDING_LOW : LIMIT_PENDING_HIGH);

	/* Said again while it holds: the connection may be a new one. */
	if (pause == ds->paused && !pause)
		return;
	ds->paused = pause != 0;
	gw->core->io->link_read(gw->core->arg, gw, !pause);
	if (!pause && ds->closed)
		timer_set(&gw->core->timers, &ds->reopen, gw->core->now);
}

int
delivery_room(struct gateway *gw, size_t len)
{
	struct delivery_state *ds = &gw->delivery;

	if (!ds->closed && ds->bytes + len > LIMIT_PENDING_MAX) {
		ds->closed = 1;
		check_pressure(gw); /* perhaps a new connection: not read */
	}
	return !ds->closed;
}

/* Nothing refers to it any more but the tables. */
static void
delivery_drop(struct gateway *gw, struct delivery *d)
{
	struct delivery_state *ds = &gw->delivery;

	ds->bytes -= d->linelen;
	free(d);
	check_pressure(gw);
}

void
delivery_free(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;
	struct hnode *n;
	struct delivery *d;
	struct session *s;
	uint32_t i;

	delivery_link_lost(gw);
	timer_clear(&gw->core->timers, &ds->reopen);
	for (i = 0; i < ds->by_id.nbucket; i++)
		while ((n = ds->by_id.bucket[i]) != NULL) {
			d = (struct delivery *)(void *)((char *)n -
			    offsetof(struct delivery, by_id));
			htab_del(&ds->by_id, n);
			free(d);
		}
	for (i = 0; i < ds->sessions.nbucket; i++)
		while ((n = ds->sessions.bucket[i]) != NULL) {
			s = (struct session *)(void *)((char *)n -
			    offsetof(struct session, node));
			htab_del(&ds->sessions, n);
			free(s);
		}
	htab_free(&ds->by_id);
	htab_free(&ds->by_cid);
	htab_free(&ds->sessions);
	seen_free(&ds->seen);
}

/* As it is acknowledged. */
static struct span
cid_of(const struct delivery *d)
{
	return (struct span){d->data, d->cidlen};
}

static struct delivery *
find_cid(const struct gateway *gw, const struct cid *cid)
{
	struct hnode *n;
	struct delivery *d;

	for (n = htab_find(&gw->delivery.by_cid, cid->hash[0]); n != NULL;
	     n = htab_next(n)) {
		d = (struct delivery *)(void *)((char *)n -
		    offsetof(struct delivery, by_cid));
		if (d->cid_rest == cid->hash[1] &&
		    span_eq(cid_of(d), cid->text))
			return d;
	}
	return NULL;
}

static void
send_ack(struct gateway *gw, const struct delivery *d)
{
	struct span piece[] = {
	    SPAN_LIT("{\"type\":\"inbound_ack\",\"bufferId\":\""), cid_of(d),
	    SPAN_LIT("\"}")};
	struct buf *b = &gw->core->scratch;

	if (!d->plain) {
		buf_reset(b);
		json_put_str(b, cid_of(d));
		if (b->failed)
			return;
		piece[0].len--; /* the quotes are there */
		piece[1] = buf_span(b);
		piece[2] = SPAN_LIT("}");
	}
	/* Without room it is not sent; the connector repeats the event, and
	 * it is recognised. */
	if (wire_line(gw, piece, 3, NULL) == 0)
		gw->count.acks_out++;
}

/* Acknowledge what is done at the head of the order. */
static void
flush_order(struct gateway *gw)
{
	struct delivery_queue *q = &gw->delivery.order;
	struct delivery *d;

	while ((d = TAILQ_FIRST(q)) != NULL && d->done) {
		TAILQ_REMOVE(q, d, order);
		send_ack(gw, d);
		delivery_drop(gw, d);
	}
}

static void
into_order(struct gateway *gw, struct delivery *d)
{
	d->ordered = 1;
	TAILQ_INSERT_TAIL(&gw->delivery.order, d, order);
	if (d->done)
		flush_order(gw);
}

/* An entry that only keeps its place in the order; its memory counts as if it
 * were a line that waits. */
static void
acknowledge_in_order(struct gateway *gw, const struct cid *cid)
{
	struct delivery *d = calloc(1, sizeof(*d) + cid->text.len);

	if (d == NULL)
		return;
	d->cidlen = (uint16_t)cid->text.len;
	d->plain = cid->plain;
	memcpy(d->data, cid->text.p, cid->text.len);
	d->done = 1;
	d->linelen = (uint32_t)(sizeof(*d) + cid->text.len);
	gw->delivery.bytes += d->linelen;
	into_order(gw, d);
	check_pressure(gw);
}

int
delivery_replayed(struct gateway *gw, const struct cid *cid)
{
	struct delivery *d;

	if (cid->text.len == 0)
		return 0;
	if ((d = find_cid(gw, cid)) != NULL) {
		if (!d->ordered)
			into_order(gw, d);
	} else if (seen_has(&gw->delivery.seen, cid->hash))
		acknowledge_in_order(gw, cid);
	else
		return 0;
	gw->count.replays++;
	return 1;
}

void
delivery_salvage(struct gateway *gw, struct span text)
{
	struct cid cid = {.text = text, .plain = 1};

	if (text.len == 0 || text.len > LIMIT_BUFFER_ID || !link_is_up(gw) ||
	    gw->delivery.closed)
		return;
	/* An agent may have what came whole before. */
	seen_hash(&gw->delivery.seen, text, cid.hash);
	if (!delivery_replayed(gw, &cid))
		acknowledge_in_order(gw, &cid);
}

/* Have it found by its ids.  0, or -1 without memory. */
static int
enroll(struct gateway *gw, struct delivery *d, const struct cid *cid)
{
	struct delivery_state *ds = &gw->delivery;

	if (htab_add(&ds->by_id, &d->by_id, d->id) == -1)
		return -1;
	if (d->cidlen > 0 &&
	    htab_add(&ds->by_cid, &d->by_cid, cid->hash[0]) == -1) {
		htab_del(&ds->by_id, &d->by_id);
		return -1;
	}
	d->cid_rest = cid->hash[1];
	return 0;
}

static struct delivery *
delivery_new(struct gateway *gw, uint64_t id, const struct cid *cid,
    const struct span *piece, int n)
{
	struct delivery_state *ds = &gw->delivery;
	struct delivery *d;
	size_t len = 0;
	char *p;
	int i;

	for (i = 0; i < n; i++)
		len += piece[i].len;
	if ((d = malloc(sizeof(*d) + cid->text.len + len)) == NULL)
		return NULL;
	memset(d, 0, sizeof(*d));
	d->id = id;
	d->arrived = gw->core->now;
	d->cidlen = (uint16_t)cid->text.len;
	d->plain = cid->plain;
	d->linelen = (uint32_t)len;
	memcpy(d->data, cid->text.p, cid->text.len);
	p = d->data + cid->text.len;
	for (i = 0; i < n; p += piece[i++].len)
		memcpy(p, piece[i].p, piece[i].len);
	if (enroll(gw, d, cid) == -1) {
		free(d);
		return NULL;
	}
	ds->n++;
	ds->bytes += d->linelen;
	return d;
}

void
delivery_admit(struct gateway *gw, uint64_t id, const struct cid *cid,
    struct session *s, int forward, struct agent *to, const struct span *piece,
    int n)
{
	struct delivery *d = delivery_new(gw, id, cid, piece, n);

	if (d == NULL)
		return;
	d->session = s;
	d->forward = forward != 0;
	session_open(gw, s);
	if (cid->text.len > 0)
		into_order(gw, d);
	place(gw, d, to);
	check_pressure(gw);
}

void
delivery_link_lost(struct gateway *gw)
{
	struct delivery *d;

	gw->delivery.closed = 0;
	while ((d = TAILQ_FIRST(&gw->delivery.order)) != NULL) {
		TAILQ_REMOVE(&gw->delivery.order, d, order);
		d->ordered = 0;
		if (d->done)
			delivery_drop(gw, d);
	}
}

/* An agent took it: it is never delivered again. */
static void
taken(struct gateway *gw, struct delivery *d)
{
	struct delivery_state *ds = &gw->delivery;
	uint64_t hash[2];

	htab_del(&ds->by_id, &d->by_id);
	ds->n--;
	session_close(gw, d->session);
	d->session = NULL;
	d->done = 1;
	if (d->cidlen > 0) {
		hash[0] = d->by_cid.hash;
		hash[1] = d->cid_rest;
		htab_del(&ds->by_cid, &d->by_cid);
		seen_add(&ds->seen, hash);
	}
	if (d->ordered)
		flush_order(gw);
	else
		delivery_drop(gw, d);
}

void
delivery_discard(struct gateway *gw, struct delivery *d)
{
	place_take(d);
	taken(gw, d);
}

/* The oldest in flight decides when patience ends. */
static void
rearm_ack_timer(struct agent *a)
{
	struct delivery *d = TAILQ_FIRST(&a->inflight);

	if (d == NULL)
		timer_clear(&a->gw->core->timers, &a->ack_timer);
	else
		timer_set(&a->gw->core->timers, &a->ack_timer,
		    d->given + a->ack_timeout_ms);
}

static struct delivery *
find_id(const struct gateway *gw, uint64_t id)
{
	struct hnode *n;

	if (id == 0 || (n = htab_find(&gw->delivery.by_id, id)) == NULL)
		return NULL;
	return (struct delivery *)(void *)((char *)n -
	    offsetof(struct delivery, by_id));
}

const char *
delivery_ack(struct agent *a, struct span buffer_id)
{
	struct gateway *gw = a->gw;
	uint64_t id = core_parse_id(gw->core, buffer_id);
	struct delivery *d, *next;
	int oldest;

	/* Agents commonly acknowledge in order. */
	d = TAILQ_FIRST(&a->inflight);
	if (d == NULL || d->id != id)
		d = find_id(gw, id);
	if (d == NULL || d->agent != a || !d->inflight)
		return "inbound_ack: no such bufferId is waiting for an "
		       "acknowledgement from this agent (acknowledged "
		       "already, or given to another)";
	oldest = d == TAILQ_FIRST(&a->inflight);
	if ((next = TAILQ_NEXT(d, entry)) != NULL)
		seen_soon(&gw->delivery.seen, next->by_cid.hash);
	place_take(d);
	a->acked++;
	gw->count.agent_acks++;
	if (oldest)
		rearm_ack_timer(a);
	taken(gw, d);
	if (a->draining)
		delivery_agent_idle(a); /* its session may go now */
	else
		place_give(a);
	return NULL;
}

/* Somebody may take now what nobody took before. */
static void
give_all(struct gateway *gw)
{
	struct agent *a;

	place_all(gw);
	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->state == AGENT_READY)
			place_give(a);
}

void
delivery_agent_ready(struct agent *a)
{
	give_all(a->gw);
}

void
delivery_agent_idle(struct agent *a)
{
	a->draining = 1;
	place_back(a, 0);
	give_all(a->gw);
}

void
delivery_agent_gone(struct agent *a)
{
	place_back(a, 1);
	give_all(a->gw);
}

void
delivery_interrupt(struct gateway *gw, struct span line, struct span key)
{
	struct session *s = NULL;
	struct hnode *n;
	struct agent *a;

	gw->count.interrupts++;
	for (n = htab_find(
		 &gw->delivery.sessions, hash_64(&gw->core->key, key));
	     n != NULL; n = htab_next(n)) {
		s = (struct session *)(void *)((char *)n -
		    offsetof(struct session, node));
		if (span_eq((struct span){s->key, s->len}, key))
			break;
		s = NULL;
	}
	if (s != NULL && s->agent != NULL) {
		(void)agent_line(s->agent, &line, 1);
		return;
	}
	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->state == AGENT_READY)
			(void)agent_line(a, &line, 1);
}

uint64_t
delivery_oldest(const struct gateway *gw)
{
	const struct delivery *d, *first = TAILQ_FIRST(&gw->delivery.unplaced);
	const struct agent *a;
	uint64_t at = first == NULL ? UINT64_MAX : first->arrived;

	TAILQ_FOREACH (a, &gw->agents, entry) {
		TAILQ_FOREACH (d, &a->inflight, entry)
			if (d->arrived < at)
				at = d->arrived;
		d = TAILQ_FIRST(&a->queued);
		if (d != NULL && d->arrived < at)
			at = d->arrived;
	}
	return at == UINT64_MAX ? 0 : gw->core->now - at;
}
