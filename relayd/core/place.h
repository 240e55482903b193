/* SPDX-License-Identifier: ISC */
/* Placement: sessions to agents, and events into their windows. */
#ifndef PLACE_H
#define PLACE_H

#include "delivery.h"

/* The session of a key; NULL when there is none. */
struct session *session_find(const struct gateway *gw, struct span key);
/* The session of a key, made when it is new.  NULL without memory. */
struct session *session_get(struct gateway *gw, struct span key, int identity);
/* It has one open delivery more, or less. */
void session_open(struct gateway *gw, struct session *s);
void session_close(struct gateway *gw, struct session *s);

/* Queue a delivery to its session's agent, or to that one (may be NULL) if it
 * takes events, or leave it among the unplaced. */
void place(struct gateway *gw, struct delivery *d, struct agent *to);
/* Try again for all that are unplaced, in order. */
void place_all(struct gateway *gw);
/* Give the agent what its window has room for. */
void place_give(struct agent *a);
/* Take the delivery out of its agent's queue. */
void place_take(struct delivery *d);
/* Take back what the agent has queued, and with inflight set what it was
 * given, in order, and forget that its sessions were its own. */
void place_back(struct agent *a, int inflight);

/* Others can take more: they get what agents that do not keep up have queued,
 * of sessions without an event in flight. */
void place_relieve(struct agent *fresh);
/* The agent acknowledged something. */
void place_relieved(struct agent *a);

/* Identities changed: sessions may go to any agent. */
void place_forget(struct gateway *gw);

#endif
