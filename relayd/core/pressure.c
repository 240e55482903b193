/* SPDX-License-Identifier: ISC */
/* How much waits for agents, and what the connector is told of it. */
#include <syslog.h>

#include "core.h"
#include "pressure.h"

/* Bytes of an event besides what came: cid, session key twice (the line's end
 * has it, perhaps escaped), platform, our members. */
#define EVENT_MORE \
	(LIMIT_BUFFER_ID + LIMIT_SESSION_KEY * 7 + LIMIT_PLATFORM + 128)

size_t
pressure_capacity(const struct gateway *gw)
{
	const struct journal *j = &gw->delivery.journal;

	return j->capacity - j->aside;
}

/* Of that, what is taken. */
static uint64_t
waiting(const struct gateway *gw)
{
	const struct journal *j = &gw->delivery.journal;

	return j->used - j->aside + gw->delivery.places;
}

/* Nothing waits, and yet there is no room: people hear of it. */
static void
tell_stuck(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;

	if (ds->stuck || waiting(gw) > 0)
		return;
	ds->stuck = 1;
	core_remark(gw, LOG_ERR, "stuck",
	    "an event of %zu bytes stays with the connector: what was put "
	    "aside leaves no room for it in the journal; relay-ctl requeue or "
	    "drop some",
	    ds->wanted);
}

/* At a half the connector is asked to keep what comes, until a quarter; at
 * three quarters its socket is left alone, until a half. */
static void
judge(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;
	uint64_t now = waiting(gw), room = pressure_capacity(gw);
	int pause;

	if (now <= room / 2 && !ds->hushed && !ds->paused)
		return;
	/* A handshake is heard to its end, and so is a close; a new connection
	 * is read until it brings an event. */
	pause = link_is_up(gw) && now > (ds->paused ? room / 2 : room / 4 * 3);
	if (ds->hushed ? now <= room / 4 : now > room / 2) {
		ds->hushed = !ds->hushed;
		link_pressure(gw, ds->hushed);
	}
	if (pause != ds->paused)
		gw->core->io->link_read(gw->core->arg, gw, !pause);
	ds->paused = pause != 0;
}

void
pressure_look(struct gateway *gw)
{
	timer_set(&gw->core->timers, &gw->delivery.look, gw->core->now);
}

/* Whether what was left could be taken now. */
static int
has_caught_up(const struct gateway *gw)
{
	const struct delivery_state *ds = &gw->delivery;

	return ds->closed && waiting(gw) <= pressure_capacity(gw) / 4 &&
	    journal_room(&ds->journal, ds->wanted);
}

void
pressure_check(struct gateway *gw)
{
	judge(gw);
	if (!gw->delivery.closed)
		return;
	if (has_caught_up(gw))
		pressure_look(gw);
	else
		tell_stuck(gw);
}

/* At the turn's end.  Agents have caught up: what was left is asked for by
 * another handshake. */
static void
on_look(void *arg)
{
	struct gateway *gw = arg;

	judge(gw);
	if (has_caught_up(gw) && link_serves(gw))
		link_leave(gw, 1, 0,
		    "agents caught up: connecting anew for the events that "
		    "were left with the connector");
}

void
pressure_leave(struct gateway *gw, size_t len)
{
	gw->delivery.closed = 1;
	gw->delivery.wanted = len + EVENT_MORE;
	pressure_check(gw); /* perhaps a new connection: not read */
}

int
pressure_room(struct gateway *gw, size_t len)
{
	struct delivery_state *ds = &gw->delivery;

	if (!ds->closed && !journal_room(&ds->journal, len + EVENT_MORE))
		pressure_leave(gw, len);
	return !ds->closed;
}

int
pressure_too_long(const struct gateway *gw, size_t len)
{
	return len + EVENT_MORE > gw->delivery.journal.capacity;
}

void
pressure_link_lost(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;

	ds->closed = 0;
	ds->stuck = 0;
	if (ds->hushed || ds->paused)
		pressure_look(gw); /* places in the order are free again */
}

void
pressure_init(struct gateway *gw)
{
	timer_init(&gw->delivery.look, on_look, gw);
}

void
pressure_free(struct gateway *gw)
{
	timer_clear(&gw->core->timers, &gw->delivery.look);
}
