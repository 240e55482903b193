/* SPDX-License-Identifier: ISC */
/* Events that agents do not survive. */
#include <inttypes.h>
#include <syslog.h>

#include "core.h"
#include "journal_head.h"
#include "order.h"
#include "place.h"
#include "pressure.h"
#include "quarantine.h"
#include "stage.h"

/* Agents that may end with an event alone in flight: more than an update that
 * goes wrong, or a machine short of memory, takes. */
#define ATTEMPTS_MAX 5
/* Of the journal for events put aside; the rest is for what waits. */
#define ASIDE_PART 4
/* Bytes of a record besides its line, and what its last page leaves. */
#define RECORD_MORE (JOURNAL_PAGE + LIMIT_BUFFER_ID + LIMIT_SESSION_KEY)

#define NOT_ASIDE "no event of that bufferId is put aside"

void
quarantine_suspect(struct agent *a)
{
	int alone = a->ninflight == 1;
	struct delivery *d;

	TAILQ_FOREACH (d, &a->inflight, entry) {
		a->gw->count.suspects += !d->suspect;
		d->suspect = 1;
		if (alone && d->attempts < UINT8_MAX)
			d->attempts++;
		delivery_mark(a->gw, d);
	}
}

static void
enlist(struct gateway *gw, struct delivery *d)
{
	d->aside = 1;
	TAILQ_INSERT_TAIL(&gw->delivery.aside, d, entry);
	gw->delivery.naside++;
}

static void
unlist(struct gateway *gw, struct delivery *d)
{
	d->aside = 0;
	TAILQ_REMOVE(&gw->delivery.aside, d, entry);
	gw->delivery.naside--;
}

static int
has_room(const struct gateway *gw, const struct delivery *d)
{
	const struct journal *j = &gw->delivery.journal;

	return j->aside + d->linelen + RECORD_MORE <= j->capacity / ASIDE_PART;
}

/* It is marked before its id stands among the acknowledged ones: what stands
 * there and is not aside would be gone after a restart. */
static void
put_aside(struct gateway *gw, struct delivery *d)
{
	TAILQ_REMOVE(&gw->delivery.unplaced, d, entry);
	d->session->blocked = 0;
	delivery_close(gw, d);
	enlist(gw, d);
	d->aside_at = core_unix_ms(gw->core);
	delivery_mark(gw, d);
	delivery_unkey(gw, d);
	stage_note(gw, STAGE_ASIDE, d, NULL);
	order_replace(gw, d);
	gw->count.aside++;
	core_remark(gw, LOG_WARNING, "aside",
	    "event %016" PRIx64 "-%" PRIu64 " was put aside: %u times an agent "
	    "ended with it alone in flight; relay-ctl requeue or drop decides",
	    d->epoch, d->seq, d->attempts);
}

static void
block(struct gateway *gw, struct delivery *d)
{
	if (d->session->blocked)
		return;
	d->session->blocked = 1;
	core_remark(gw, LOG_ERR, "blocked",
	    "event %016" PRIx64 "-%" PRIu64 " blocks its session: %u times an "
	    "agent ended with it alone in flight, and a quarter of the journal "
	    "is full of events put aside; relay-ctl requeue or drop some",
	    d->epoch, d->seq, d->attempts);
}

void
quarantine_sort(struct gateway *gw)
{
	struct delivery *d, *next;

	TAILQ_FOREACH_SAFE (d, &gw->delivery.unplaced, entry, next) {
		if (d->attempts < ATTEMPTS_MAX)
			continue;
		if (has_room(gw, d))
			put_aside(gw, d);
		else
			block(gw, d);
	}
}

void
quarantine_found(struct gateway *gw, struct delivery *d)
{
	enlist(gw, d);
}

/* Whether it should be aside, and waits because there is no room for it. */
static int
is_blocking(const struct delivery *d)
{
	return !d->aside && d->agent == NULL && d->session != NULL &&
	    d->session->blocked && d->attempts >= ATTEMPTS_MAX;
}

void
quarantine_each(struct gateway *gw,
    void (*fn)(void *arg, const struct record_info *info), void *arg)
{
	const struct delivery *d;
	struct record_info info;

	TAILQ_FOREACH (d, &gw->delivery.aside, entry) {
		journal_info(d->rec, &info);
		fn(arg, &info);
	}
	TAILQ_FOREACH (d, &gw->delivery.unplaced, entry)
		if (is_blocking(d)) {
			journal_info(d->rec, &info);
			fn(arg, &info);
		}
}

/* Room was made: perhaps for what blocks a session. */
static void
go_on(struct gateway *gw)
{
	quarantine_sort(gw);
	order_flush(gw);
	pressure_check(gw);
	delivery_give_all(gw);
}

/* Back among what waits, of the session its record names.  0, or -1 without
 * memory. */
static int
put_back(struct gateway *gw, struct delivery *d)
{
	struct record_info info;
	struct session *s;

	journal_info(d->rec, &info);
	s = session_get(gw, info.session, core_identity(gw, info.platform));
	if (s == NULL)
		return -1;
	unlist(gw, d);
	delivery_open(gw, d, s);
	return 0;
}

const char *
quarantine_requeue(struct gateway *gw, struct span buffer_id)
{
	struct delivery *d = delivery_find(gw, buffer_id);
	int blocking = d != NULL && is_blocking(d);

	if (d == NULL || (!d->aside && !blocking))
		return NOT_ASIDE;
	if (!blocking && put_back(gw, d) == -1)
		return "out of memory";
	d->suspect = 0;
	d->attempts = 0;
	delivery_mark(gw, d); /* aside_at stays: its id is acknowledged */
	gw->count.requeued++;
	stage_note(gw, STAGE_REQUEUED, d, NULL);
	if (blocking)
		d->session->blocked = 0;
	else
		place(gw, d, NULL);
	go_on(gw);
	return NULL;
}

const char *
quarantine_drop(struct gateway *gw, struct span buffer_id)
{
	struct delivery_state *ds = &gw->delivery;
	struct delivery *d = delivery_find(gw, buffer_id);

	if (d != NULL && is_blocking(d)) {
		TAILQ_REMOVE(&ds->unplaced, d, entry);
		d->session->blocked = 0;
		stage_note(gw, STAGE_DROPPED, d, NULL);
		delivery_taken(gw, d);
	} else if (d != NULL && d->aside) {
		unlist(gw, d);
		stage_note(gw, STAGE_DROPPED, d, NULL);
		htab_del(&ds->by_id, &d->by_id);
		journal_done(&ds->journal, d->rec, NULL);
		delivery_drop(gw, d);
	} else
		return NOT_ASIDE;
	gw->count.dropped++;
	go_on(gw);
	return NULL;
}
