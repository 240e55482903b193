/* SPDX-License-Identifier: ISC */
/* Keepalive of a link; see ping.h. */
#include "core.h"
#include "ping.h"

#define PING_MS 30000 /* CONTRACT 3 */
#define PONG_MS 60000

static void
on_ping(void *arg)
{
	struct gateway *gw = arg;
	struct link *l = &gw->link;
	uint64_t now = gw->core->now;

	timer_set(&gw->core->timers, &l->ping_timer, now + PING_MS);
	if ((l->state != LINK_HELLO && !link_serves(gw)) || l->ping_at != 0)
		return;
	l->ping_at = now;
	timer_set(&gw->core->timers, &l->pong_timer, now + PONG_MS);
	wire_ping(gw);
}

static void
on_pong_due(void *arg)
{
	struct gateway *gw = arg;
	struct link *l = &gw->link;
	uint64_t now = gw->core->now;

	/* A peer that is heard is slow, not dead; nor is one that we do not
	 * read. */
	if (gw->delivery.paused || l->last_read + PONG_MS > now) {
		timer_set(&gw->core->timers, &l->pong_timer,
		    (gw->delivery.paused ? now : l->last_read) + PONG_MS);
		return;
	}
	link_event(gw, LE_SILENT, "no pong within 60 s");
}

void
ping_pong(struct gateway *gw)
{
	struct link *l = &gw->link;

	if (l->ping_at == 0)
		return;
	l->rtt_ms = (int64_t)(gw->core->now - l->ping_at);
	l->ping_at = 0;
	l->pong_at = gw->core->now;
	timer_clear(&gw->core->timers, &l->pong_timer);
}

void
ping_init(struct gateway *gw)
{
	timer_init(&gw->link.ping_timer, on_ping, gw);
	timer_init(&gw->link.pong_timer, on_pong_due, gw);
}

void
ping_begin(struct gateway *gw)
{
	timer_set(
	    &gw->core->timers, &gw->link.ping_timer, gw->core->now + PING_MS);
}

void
ping_end(struct gateway *gw)
{
	timer_clear(&gw->core->timers, &gw->link.ping_timer);
	timer_clear(&gw->core->timers, &gw->link.pong_timer);
	gw->link.ping_at = 0;
}
