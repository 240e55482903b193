/* SPDX-License-Identifier: ISC */
/* The order of acknowledgements to the connector. */
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "order.h"
#include "pressure.h"
#include "stage_note.h"

static struct span
cid_of(const struct delivery *d)
{
	return (struct span){d->cid, d->cidlen};
}

/* 0, or -1 when the wire has no room. */
static int
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
			return -1;
		piece[0].len--; /* the quotes are there */
		piece[1] = buf_span(b);
		piece[2] = SPAN_LIT("}");
	}
	if (wire_line(gw, piece, 3, NULL) == -1)
		return -1;
	gw->count.acks_out++;
	return 0;
}

/*
 * Acknowledge the head of the order.  0, or -1 when it stays there until the
 * wire has room: were it left out, the connector would never hear of it on
 * this connection.  Sending may end the link, and with it the order.
 */
static int
pass(struct gateway *gw, struct delivery *d)
{
	struct delivery_queue *q = &gw->delivery.order;

	TAILQ_REMOVE(q, d, order);
	d->ordered = 0;
	if (send_ack(gw, d) == 0) {
		stage_reach(gw, STAGE_TOLD, d, NULL);
		return 0;
	}
	if (!gw->wire.open || gw->wire.close_sent)
		return 0;
	TAILQ_INSERT_HEAD(q, d, order);
	d->ordered = 1;
	return -1;
}

/* Memory that only keeps a place counts as if it were an event that waits. */
static uint64_t
cost(const struct delivery *d)
{
	return sizeof(*d) + d->cidlen;
}

static void
forget(struct gateway *gw, struct delivery *d)
{
	gw->delivery.places -= cost(d);
	delivery_drop(gw, d);
}

void
order_flush(struct gateway *gw)
{
	struct delivery *d;
	int any = 0;

	while ((d = TAILQ_FIRST(&gw->delivery.order)) != NULL && d->done &&
	    pass(gw, d) == 0) {
		forget(gw, d);
		any = 1;
	}
	if (any)
		pressure_check(gw);
}

void
order_enter(struct gateway *gw, struct delivery *d)
{
	d->ordered = 1;
	TAILQ_INSERT_TAIL(&gw->delivery.order, d, order);
}

/* Make it one that only keeps its place.  0, or -1 without memory. */
static int
keep(struct gateway *gw, struct delivery *d, struct span cid)
{
	if ((d->own = malloc(cid.len)) == NULL)
		return -1;
	memcpy(d->own, cid.p, cid.len);
	d->cid = d->own;
	d->cidlen = (uint16_t)cid.len;
	d->done = 1;
	gw->delivery.places += cost(d);
	return 0;
}

/* One that is new; NULL without memory. */
static struct delivery *
keeper(struct gateway *gw, struct span cid, int plain)
{
	struct delivery *d = delivery_new(gw);

	if (d == NULL)
		return NULL;
	d->plain = plain != 0;
	if (keep(gw, d, cid) == 0)
		return d;
	delivery_drop(gw, d);
	return NULL;
}

void
order_place(struct gateway *gw, const struct cid *cid)
{
	struct delivery *d = keeper(gw, cid->text, cid->plain);

	/* Without memory the connector repeats it. */
	if (d == NULL)
		return;
	d->by_cid.hash = cid->hash[0];
	order_enter(gw, d);
	order_flush(gw);
	pressure_check(gw);
}

int
order_taken(struct gateway *gw, struct delivery *d)
{
	if (!d->ordered)
		return 0;
	if (d == TAILQ_FIRST(&gw->delivery.order) && pass(gw, d) == 0)
		return 0;
	if (d->ordered && keep(gw, d, cid_of(d)) == 0)
		return 1;
	/* The connector repeats it, and it is known. */
	if (d->ordered)
		TAILQ_REMOVE(&gw->delivery.order, d, order);
	d->ordered = 0;
	return 0;
}

void
order_replace(struct gateway *gw, struct delivery *d)
{
	struct delivery *k;

	if (!d->ordered)
		return;
	if ((k = keeper(gw, cid_of(d), d->plain)) != NULL) {
		k->epoch = d->epoch;
		k->seq = d->seq;
		k->by_cid.hash = d->by_cid.hash;
		k->ordered = 1;
		TAILQ_INSERT_BEFORE(d, k, order);
	}
	TAILQ_REMOVE(&gw->delivery.order, d, order);
	d->ordered = 0;
}

void
order_lost(struct gateway *gw)
{
	struct delivery *d;

	while ((d = TAILQ_FIRST(&gw->delivery.order)) != NULL) {
		TAILQ_REMOVE(&gw->delivery.order, d, order);
		d->ordered = 0;
		if (d->done)
			forget(gw, d);
	}
}
