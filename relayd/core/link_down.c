/* SPDX-License-Identifier: ISC */
/*
 * A link that goes down: in order, by going_idle, what is outstanding, and a
 * close frame; and how connections ended, for people.
 */
#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "hide.h"
#include "link_priv.h"

/* Milliseconds. */
#define CLOSE_MS    500	 /* the peer's close frame; ours was sent */
#define IDLE_ACK_MS 2000 /* CONTRACT 3, orderly stop */
#define LEAVE_MS    5000 /* an orderly close in all */

#define CODE_REFUSED 4401

/* When the wait for an ack, and then for results, is over. */
static uint64_t
drain_due(const struct link *l)
{
	uint64_t ack = l->idle_at + IDLE_ACK_MS;

	return l->idle == TOLD_IDLE && ack < l->drain_until ? ack
							    : l->drain_until;
}

/* An agent that has events may still acknowledge them on this connection: that
 * is waited for when there is no hurry. */
static int
agents_busy(const struct gateway *gw)
{
	const struct agent *a;

	if (gw->link.after != AFTER_IDLE && gw->link.after != AFTER_DORMANT)
		return 0;
	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->ninflight > 0)
			return 1;
	return 0;
}

static int
is_drained(const struct gateway *gw)
{
	return gw->link.idle >= TOLD_LATE && TAILQ_EMPTY(&gw->outbound.sent) &&
	    !agents_busy(gw);
}

void
link_enter_drain(struct gateway *gw, enum link_state old)
{
	if (old != LINK_DRAIN)
		link_say_idle(gw);
	link_deadline_at(
	    gw, is_drained(gw) ? gw->core->now : drain_due(&gw->link));
}

void
link_enter_close(struct gateway *gw, enum link_state old)
{
	(void)old;
	wire_close(gw, WS_CLOSE_NORMAL, "");
	link_deadline(gw, CLOSE_MS);
}

void
link_check_drained(struct gateway *gw)
{
	if (gw->link.state == LINK_DRAIN && is_drained(gw))
		link_event(gw, LE_DRAINED, "drained");
}

void
link_drain_due(struct gateway *gw)
{
	struct link *l = &gw->link;

	if (is_drained(gw)) {
		link_event(gw, LE_DRAINED, "drained");
	} else if (l->idle == TOLD_IDLE && gw->core->now < l->drain_until) {
		l->idle = TOLD_LATE; /* no ack comes: go on without it */
		link_deadline_at(gw, l->drain_until);
		link_check_drained(gw);
	} else
		link_event(gw, LE_TIMER, "drained for long enough");
}

void
link_then(struct gateway *gw, enum link_after after)
{
	struct link *l = &gw->link;

	if (gw->core->stopping)
		after = AFTER_STOP;
	else if (l->off)
		after = AFTER_OFF;
	l->after = (uint8_t)after;
}

int
link_goes_down(const struct link *l)
{
	return l->state == LINK_IDLING || l->state == LINK_DRAIN ||
	    l->state == LINK_CLOSE;
}

void
link_leave(struct gateway *gw, int restart, uint64_t budget_ms, const char *why)
{
	struct link *l = &gw->link;

	/* No dial while a suspend is in flight: the next one will do. */
	l->stale |= restart != 0;
	if (restart && link_goes_down(l) && l->after == AFTER_DORMANT)
		return;
	if (budget_ms == 0)
		budget_ms = LEAVE_MS;
	link_then(gw, restart ? AFTER_DIAL : AFTER_STOP);
	l->drain_until = gw->core->now +
	    (budget_ms > 2 * CLOSE_MS ? budget_ms - 2 * CLOSE_MS : 0);
	link_event(gw, restart ? LE_CHANGED : LE_STOP, "%s", why);
}

void
link_note_close(
    struct gateway *gw, int code, int status, int by_us, struct span reason)
{
	struct last_close *c = &gw->link.last_close;

	c->code = (uint16_t)code;
	c->status = (uint16_t)status;
	c->by_us = by_us != 0;
	c->at = gw->core->now;
	(void)snprintf(c->reason, sizeof(c->reason), "%.*s", (int)reason.len,
	    reason.len > 0 ? reason.p : "");
}

void
link_http_status(struct gateway *gw, int status)
{
	link_note_close(gw, 0, status, 0, SPAN_LIT(""));
}

void
link_closed(struct gateway *gw, uint16_t code, struct span reason)
{
	char text[LIMIT_REASON];
	const char *said =
	    gw->wire.close_sent ? "after ours" : "by the connector";

	span_copy(text, sizeof(text), reason);
	hide_begun(text, gw->link.bearer);
	reason.p = text;
	reason.len = strlen(text);
	link_note_close(gw, code, 0, gw->wire.close_sent, reason);
	if (!gw->wire.close_sent)
		wire_close(
		    gw, code == WS_CLOSE_NOSTATUS ? WS_CLOSE_NORMAL : code, "");
	if (code == CODE_REFUSED)
		refusal_closed(gw, reason);
	else
		link_event(gw, LE_CLOSED, "closed %s: %u%s%s", said, code,
		    text[0] != '\0' ? " " : "", text);
}
