/* SPDX-License-Identifier: ISC */
/*
 * Delivery of events to agents: at least once, in order within a session,
 * acknowledged to the connector in order of arrival, once an agent has
 * acknowledged them.
 */
#ifndef DELIVERY_H
#define DELIVERY_H

#include <sys/queue.h>
#include <stdint.h>

#include "egress.h"
#include "hash.h"
#include "seen.h"
#include "span.h"
#include "timer.h"

struct agent;
struct gateway;
struct journal_memory;
struct delivery;
TAILQ_HEAD(delivery_queue, delivery);

/* A conversation: its events go to one agent, in order. */
struct session {
	struct hnode node;
	TAILQ_ENTRY(session) lru; /* among idle ones, least recent first */
	struct agent *agent;	  /* NULL: not placed */
	struct chat_hint chat;
	uint32_t open;	   /* deliveries not acknowledged */
	uint16_t platform; /* identity's index */
	uint8_t pinned;	   /* place_back: has events in flight */
	uint16_t len, taillen;
	char key[]; /* len bytes; then how a line for an agent ends */
};
TAILQ_HEAD(session_list, session);

/* One event on its way. */
struct delivery {
	struct hnode by_id, by_cid;  /* by_cid.hash: half of seen_hash() */
	uint64_t cid_rest;	     /* the other half */
	TAILQ_ENTRY(delivery) entry; /* unplaced, or an agent's queue */
	TAILQ_ENTRY(delivery) order; /* arrival on the present connection */
	uint64_t id;		     /* second half of its bufferId */
	struct session *session;
	struct agent *agent; /* that has it in flight or queued */
	uint64_t arrived;    /* core time */
	uint64_t given;	     /* core time it was last written to an agent */
	uint8_t inflight, ordered, done;
	uint8_t plain;	 /* cid needs no escape in JSON */
	uint8_t forward; /* a passthrough_forward */
	uint8_t tries;
	uint16_t cidlen; /* the connector's bufferId; 0: none */
	uint32_t linelen;
	char data[]; /* cid, then the line for the agent */
};

struct delivery_state {
	struct htab by_id, by_cid, sessions;
	struct session_list idle; /* sessions without open deliveries */
	uint32_t nidle;
	struct delivery_queue unplaced; /* no agent takes them now */
	struct delivery_queue order;	/* acks leave in this order */
	struct seen seen;
	uint32_t n;	/* events not acknowledged by an agent */
	uint64_t bytes; /* their lines */
	uint8_t paused; /* the link is not read: too many bytes */
	uint8_t closed; /* nothing is taken from this connection any more: an
			 * event was left with the connector */
	struct timer reopen; /* then the link is closed, to have it again */
};

void delivery_init(struct gateway *gw, const struct journal_memory *memory);
void delivery_free(struct gateway *gw);

/* The connector's bufferId, decoded; text.len 0: none. */
struct cid {
	struct span text;
	uint64_t hash[2];
	uint8_t plain; /* needs no escape in JSON */
};

/* Whether the connector has sent this before; then it is taken care of. */
int delivery_replayed(struct gateway *gw, const struct cid *cid);
/*
 * A new event of session s goes its way: its line, in n pieces, carries our
 * bufferId, of which id is the second half.  It may be a forward, and it may
 * have to go to one agent rather than to the session's (NULL: it need not).
 * Without memory it stays with the
 * connector, which will send it again: not acknowledged, not bad.
 */
void delivery_admit(struct gateway *gw, uint64_t id, const struct cid *cid,
    struct session *s, int forward, struct agent *to, const struct span *piece,
    int n);
/* An agent cannot use what it would be given: acknowledge it in its order. */
void delivery_discard(struct gateway *gw, struct delivery *d);
/* A buffered entry that can never be taken: acknowledge it in its order. */
void delivery_salvage(struct gateway *gw, struct span cid);
/*
 * Whether there is room for one more event of len bytes.  If not, this and all
 * that follow on the present connection stay with the connector, which repeats
 * them in order after the next handshake; that is sought when there is room
 * again.
 */
int delivery_room(struct gateway *gw, size_t len);
/* The connection is gone: what was not acknowledged will be sent again. */
void delivery_link_lost(struct gateway *gw);

/* An agent acknowledged.  NULL, or a phrase that says what is wrong. */
const char *delivery_ack(struct agent *a, struct span buffer_id);
/* An agent can take events (again), or more of them. */
void delivery_agent_ready(struct agent *a);
/* It takes no new events for now, but keeps those in flight. */
void delivery_agent_idle(struct agent *a);
/* An agent is gone: what it had goes back, in order. */
void delivery_agent_gone(struct agent *a);
/* interrupt_inbound: to the session's agent, else to all. */
void delivery_interrupt(
    struct gateway *gw, struct span line, struct span session_key);

/* Age of the oldest event no agent acknowledged, ms; 0 when none. */
uint64_t delivery_oldest(const struct gateway *gw);

#endif
