/* SPDX-License-Identifier: ISC */
/*
 * Delivery: what waits for an acknowledgement.  What arrives is arrival.c's,
 * who gets it place.c's, in which order acknowledgements leave order.c's, what
 * agents do not survive quarantine.c's.
 */
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent.h"
#include "arrival.h"
#include "core.h"
#include "order.h"
#include "place.h"
#include "pressure.h"
#include "quarantine.h"
#include "stage_note.h"

/* Structs that are kept for the next event: some windows of a common size. */
#define SPARE_MAX 512

struct delivery *
delivery_new(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;
	struct delivery *d = TAILQ_FIRST(&ds->spare);

	if (d == NULL)
		return calloc(1, sizeof(*d));
	TAILQ_REMOVE(&ds->spare, d, entry);
	ds->nspare--;
	memset(d, 0, sizeof(*d));
	return d;
}

/* Nothing refers to it any more. */
void
delivery_drop(struct gateway *gw, struct delivery *d)
{
	struct delivery_state *ds = &gw->delivery;

	free(d->own);
	if (ds->nspare >= SPARE_MAX) {
		free(d);
		return;
	}
	TAILQ_INSERT_HEAD(&ds->spare, d, entry);
	ds->nspare++;
}

/* Have it found by its ids.  0, or -1 without memory. */
static int
enroll(struct gateway *gw, struct delivery *d, const uint64_t hash[2])
{
	struct delivery_state *ds = &gw->delivery;

	if (htab_add(&ds->by_id, &d->by_id, d->seq) == -1)
		return -1;
	d->cid_rest = hash[1];
	if (!d->keyed) {
		d->by_cid.hash = hash[0];
		return 0;
	}
	if (htab_add(&ds->by_cid, &d->by_cid, hash[0]) == 0)
		return 0;
	htab_del(&ds->by_id, &d->by_id);
	return -1;
}

void
delivery_open(struct gateway *gw, struct delivery *d, struct session *session)
{
	d->session = session;
	session_open(gw, session);
	gw->delivery.n++;
	gw->delivery.bytes += d->linelen;
}

void
delivery_close(struct gateway *gw, struct delivery *d)
{
	session_close(gw, d->session);
	d->session = NULL;
	gw->delivery.n--;
	gw->delivery.bytes -= d->linelen;
}

/* As seen_hash() made it. */
static void
hash_of(const struct delivery *d, uint64_t hash[2])
{
	hash[0] = d->by_cid.hash;
	hash[1] = d->cid_rest;
}

void
delivery_unkey(struct gateway *gw, struct delivery *d)
{
	uint64_t hash[2];

	if (d->cidlen == 0)
		return;
	hash_of(d, hash);
	if (d->keyed)
		htab_del(&gw->delivery.by_cid, &d->by_cid);
	d->keyed = 0;
	seen_add(&gw->delivery.journal.seen, hash);
}

void
delivery_mark(struct gateway *gw, const struct delivery *d)
{
	const struct record_info info = {.tried = d->tried,
	    .suspect = d->suspect,
	    .attempts = d->attempts,
	    .aside = d->aside,
	    .aside_at = d->aside_at};

	journal_mark(&gw->delivery.journal, d->rec, &info);
}

/* Of a record, as it stands there. */
static void
describe(struct delivery *d, struct record *r, const struct record_info *info)
{
	d->rec = r;
	d->epoch = info->epoch;
	d->seq = info->seq;
	d->cid = info->cid.p;
	d->cidlen = (uint16_t)info->cid.len;
	d->line = info->line.p;
	d->linelen = (uint32_t)info->line.len;
	d->plain = info->plain != 0;
	d->forward = info->forward != 0;
	d->tried = info->tried;
	d->gives = info->tried;
	d->suspect = info->suspect;
	d->attempts = info->attempts;
	d->aside_at = info->aside_at;
	/* What was aside is acknowledged: a replay does not mean it. */
	d->keyed = info->cid.len > 0 && info->aside_at == 0 && !info->aside;
}

/* The core time of a moment of the wall clock, which may have been set since.
 */
static uint64_t
core_time(const struct core *c, int64_t unix_ms)
{
	int64_t age = core_unix_ms(c) - unix_ms;

	if (age <= 0)
		return c->now;
	return (uint64_t)age < c->now ? c->now - (uint64_t)age : 0;
}

/* One that the journal held at the start. */
static void
recover(void *arg, struct record *r, const struct record_info *info)
{
	struct gateway *gw = arg;
	struct session *s = NULL;
	struct delivery *d = delivery_new(gw);
	uint64_t hash[2] = {0, 0};

	if (d == NULL)
		return;
	describe(d, r, info);
	d->arrived = core_time(gw->core, info->arrived);
	if (d->cidlen > 0)
		seen_hash(&gw->delivery.journal.seen, info->cid, hash);
	if (!info->aside)
		s = session_get(
		    gw, info->session, core_identity(gw, info->platform));
	if ((s == NULL && !info->aside) || enroll(gw, d, hash) == -1) {
		delivery_drop(gw, d);
		return;
	}
	stage_note_found(gw, d, info);
	if (s == NULL) {
		quarantine_found(gw, d);
		return;
	}
	delivery_open(gw, d, s);
	place(gw, d, NULL);
	arrival_learn(gw, info->line, s);
	gw->count.recovered++;
}

int
delivery_init(struct gateway *gw, const struct journal_memory *memory)
{
	struct delivery_state *ds = &gw->delivery;
	struct delivery *d;

	TAILQ_INIT(&ds->idle);
	TAILQ_INIT(&ds->unplaced);
	TAILQ_INIT(&ds->aside);
	TAILQ_INIT(&ds->order);
	TAILQ_INIT(&ds->spare);
	pressure_init(gw);
	if (journal_init(&ds->journal, memory == NULL ? NULL : memory->p,
		memory == NULL ? 0 : memory->len, core_random(gw->core, 0),
		&gw->core->key) == -1)
		return -1;
	core_put_epoch(ds->journal.epoch, ds->epoch);
	gw->count.torn = ds->journal.torn;
	if (journal_each(&ds->journal, recover, gw) == -1) {
		journal_free(&ds->journal);
		return -1;
	}
	/* Perhaps we were stopped between the mark and the id. */
	TAILQ_FOREACH (d, &ds->aside, entry)
		delivery_unkey(gw, d);
	quarantine_sort(gw);
	if (ds->n > 0)
		pressure_look(gw);
	if (ds->n > 0 || ds->naside > 0 || ds->journal.torn > 0)
		core_remark(gw, LOG_NOTICE, "recovered",
		    "the journal holds %u events that no agent acknowledged "
		    "and %u put aside; %u records were torn",
		    ds->n, ds->naside, ds->journal.torn);
	return 0;
}

/* Every struct that is in a table or list. */
static void
free_all(struct delivery_state *ds)
{
	struct hnode *n;
	struct delivery *d;
	struct session *s;
	uint32_t i;

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
	while ((d = TAILQ_FIRST(&ds->spare)) != NULL) {
		TAILQ_REMOVE(&ds->spare, d, entry);
		free(d);
	}
}

void
delivery_free(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;

	order_lost(gw);
	pressure_free(gw);
	free_all(ds);
	htab_free(&ds->by_id);
	htab_free(&ds->by_cid);
	htab_free(&ds->sessions);
	journal_free(&ds->journal);
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
		    span_eq((struct span){d->cid, d->cidlen}, cid->text))
			return d;
	}
	return NULL;
}

int
delivery_replayed(struct gateway *gw, const struct cid *cid)
{
	struct delivery *d;

	if (cid->text.len == 0)
		return 0;
	if ((d = find_cid(gw, cid)) != NULL) {
		if (!d->ordered)
			order_enter(gw, d);
		stage_note(gw, STAGE_REPLAYED, d, NULL);
	} else if (seen_has(&gw->delivery.journal.seen, cid->hash)) {
		stage_note_cid(gw, STAGE_REPLAYED, cid);
		order_place(gw, cid);
	} else
		return 0;
	gw->count.replays++;
	return 1;
}

void
delivery_salvage(struct gateway *gw, const struct cid *cid)
{
	if (cid->text.len == 0 || !link_is_up(gw) || gw->delivery.closed)
		return;
	/* An agent may have what came whole before. */
	if (!delivery_replayed(gw, cid)) {
		stage_note_cid(gw, STAGE_SKIPPED, cid);
		order_place(gw, cid);
	}
}

size_t
delivery_next_id(const struct gateway *gw, char *out)
{
	return core_put_seq(
	    gw->delivery.epoch, gw->delivery.journal.next_seq, out);
}

/* Into the journal, and found by its ids.  0, or -1 without room or memory. */
static int
record(struct gateway *gw, struct delivery *d, const struct delivery_event *ev)
{
	struct journal *j = &gw->delivery.journal;
	const struct session *s = ev->session;
	struct record_info info = {.arrived = core_unix_ms(gw->core),
	    .cid = ev->cid.text,
	    .session = {s->key, s->len},
	    .platform = ev->platform,
	    .plain = ev->cid.plain,
	    .forward = ev->forward};
	struct record *r = journal_put(j, &info, ev->piece, ev->n);

	if (r == NULL)
		return -1;
	journal_info(r, &info);
	describe(d, r, &info);
	d->arrived = gw->core->now;
	if (enroll(gw, d, ev->cid.hash) == 0)
		return 0;
	journal_done(j, r, NULL);
	return -1;
}

void
delivery_admit(struct gateway *gw, const struct delivery_event *ev)
{
	struct delivery *d = delivery_new(gw);
	size_t len = 0;
	int i;

	if (d == NULL)
		return;
	if (record(gw, d, ev) == -1) {
		delivery_drop(gw, d);
		for (i = 0; i < ev->n; i++)
			len += ev->piece[i].len;
		if (!pressure_room(gw, len)) {
			gw->count.events_left++;
			stage_note_cid(gw, STAGE_LEFT, &ev->cid);
		}
		return;
	}
	stage_reach(gw, STAGE_ARRIVED, d, NULL);
	delivery_open(gw, d, ev->session);
	if (d->cidlen > 0)
		order_enter(gw, d);
	place(gw, d, ev->to);
	pressure_check(gw);
}

void
delivery_link_lost(struct gateway *gw)
{
	order_lost(gw);
	pressure_link_lost(gw);
}

void
delivery_sync(struct gateway *gw)
{
	const struct core_io *io = gw->core->io;
	struct journal *j = &gw->delivery.journal;

	if (j->mem != NULL && io->journal_sync != NULL && journal_synced(j))
		io->journal_sync(gw->core->arg, gw);
}

void
delivery_taken(struct gateway *gw, struct delivery *d)
{
	struct delivery_state *ds = &gw->delivery;
	uint64_t hash[2];
	int stays;

	htab_del(&ds->by_id, &d->by_id);
	delivery_close(gw, d);
	if (d->keyed)
		htab_del(&ds->by_cid, &d->by_cid);
	d->keyed = 0;
	hash_of(d, hash);
	stays = order_taken(gw, d);
	journal_done(&ds->journal, d->rec, d->cidlen > 0 ? hash : NULL);
	d->rec = NULL;
	if (!stays)
		delivery_drop(gw, d);
	order_flush(gw);
	pressure_check(gw);
}

void
delivery_discard(struct gateway *gw, struct delivery *d)
{
	stage_note(gw, STAGE_DISCARDED, d, d->agent);
	place_take(d);
	delivery_taken(gw, d);
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

/* As core_parse_id(), which most ids need not be given to: they are of now. */
static int
parse_id(
    const struct gateway *gw, struct span id, uint64_t *epoch, uint64_t *seq)
{
	const struct delivery_state *ds = &gw->delivery;
	size_t n = sizeof(ds->epoch) - 1;

	if (id.len < n || memcmp(id.p, ds->epoch + 1, n) != 0)
		return core_parse_id(id, epoch, seq);
	*epoch = ds->journal.epoch;
	*seq = core_parse_seq((struct span){id.p + n, id.len - n});
	return *seq == 0 ? -1 : 0;
}

/* first: probably it; may be NULL. */
static struct delivery *
find_id(const struct gateway *gw, struct span id, struct delivery *first)
{
	uint64_t epoch, seq;
	struct delivery *d = first;
	struct hnode *n;

	if (parse_id(gw, id, &epoch, &seq) == -1)
		return NULL;
	if (d == NULL || d->seq != seq) {
		if ((n = htab_find(&gw->delivery.by_id, seq)) == NULL)
			return NULL;
		d = (struct delivery *)(void *)((char *)n -
		    offsetof(struct delivery, by_id));
	}
	return d->epoch == epoch ? d : NULL;
}

struct delivery *
delivery_find(const struct gateway *gw, struct span buffer_id)
{
	return find_id(gw, buffer_id, NULL);
}

const char *
delivery_ack(struct agent *a, struct span buffer_id)
{
	struct gateway *gw = a->gw;
	struct delivery *d, *next;
	int oldest;

	/* Agents commonly acknowledge in order. */
	d = find_id(gw, buffer_id, TAILQ_FIRST(&a->inflight));
	if (d == NULL || d->agent != a || !d->inflight)
		return "inbound_ack: no such bufferId is waiting for an "
		       "acknowledgement from this agent (acknowledged "
		       "already, or given to another)";
	oldest = d == TAILQ_FIRST(&a->inflight);
	if ((next = TAILQ_NEXT(d, entry)) != NULL)
		seen_soon(&gw->delivery.journal.seen, next->by_cid.hash);
	stage_reach(gw, STAGE_ACKNOWLEDGED, d, a);
	place_take(d);
	place_relieved(a);
	a->acked++;
	gw->count.agent_acks++;
	if (oldest)
		rearm_ack_timer(a);
	delivery_taken(gw, d);
	if (a->draining)
		delivery_agent_idle(a); /* its session may go now */
	else
		place_give(a);
	return NULL;
}

void
delivery_patience(struct agent *a)
{
	struct delivery *d;

	TAILQ_FOREACH (d, &a->inflight, entry)
		d->given = a->gw->core->now;
	rearm_ack_timer(a);
}

void
delivery_give_all(struct gateway *gw)
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
	place_relieve(a);
	delivery_give_all(a->gw);
}

void
delivery_give(struct agent *a)
{
	place_give(a);
}

void
delivery_agent_idle(struct agent *a)
{
	a->draining = 1;
	place_back(a, 0);
	delivery_give_all(a->gw);
}

void
delivery_agent_gone(struct agent *a)
{
	if (!a->draining)
		quarantine_suspect(a);
	place_back(a, 1);
	quarantine_sort(a->gw);
	order_flush(a->gw);
	pressure_check(a->gw);
	delivery_give_all(a->gw);
}

void
delivery_interrupt(struct gateway *gw, struct span line, struct span key)
{
	const struct session *s = session_find(gw, key);
	struct agent *a;

	gw->count.interrupts++;
	if (s != NULL && s->agent != NULL) {
		(void)agent_line(s->agent, &line, 1);
		return;
	}
	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->state == AGENT_READY)
			(void)agent_line(a, &line, 1);
}
