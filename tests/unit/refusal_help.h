/* SPDX-License-Identifier: ISC */
/* For the tests of what a refusal says of the credential. */
#ifndef REFUSAL_HELP_H
#define REFUSAL_HELP_H

#include "world.h"

/* The present dial comes as far as a hello, and is refused. */
static inline void
refuse(struct world *w, const char *reason)
{
	if (w->gw->link.state == LINK_WAIT)
		world_time(w, w->gw->link.next_dial - w->now);
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	world_upgrade(w);
	world_close(w, 4401, reason);
}

/* The present dial asks for the time; skew INT64_MIN: it is not told. */
static inline void
answer(struct world *w, int64_t skew)
{
	int mints = w->mints, asks = w->asks;

	assert_int_equal(w->gw->link.state, LINK_DIAL);
	link_event(w->gw, LE_DIALED, "x");
	link_event(w->gw, LE_TLS_UP, "x");
	assert_int_equal(w->gw->link.state, LINK_ASK);
	assert_int_equal(w->asks, asks + 1);
	assert_int_equal(w->mints, mints); /* no token is spent on it */
	if (skew != INT64_MIN)
		link_date(w->gw, core_unix(w->c) + skew);
	refusal_answered(w->gw);
	world_turn(w);
}

static inline int
says(const struct world *w, const char *text)
{
	return strstr(w->gw->link.reason, text) != NULL;
}

/* A link that was up is refused, and so is the dial that follows at once. */
static inline void
refused_twice(struct world *w)
{
	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
}

/* No dial for an hour. */
static inline void
assert_disabled(struct world *w)
{
	int dials = w->dials;

	assert_string_equal(w->state, "disabled");
	assert_true(says(w, "credential revoked: refused twice"));
	world_time(w, 3600000);
	assert_int_equal(w->dials, dials);
	assert_int_equal(w->revoked, 1);
}

/* Healthy for long enough that the next dial may be made at once. */
static inline void
stay(struct world *w)
{
	int i;

	for (i = 0; i < 7; i++) {
		world_time(w, 10000);
		world_message(w, "\n");
	}
}

#endif
