/* SPDX-License-Identifier: ISC */
/*
 * Delivery of events to agents: at least once, in order within a session,
 * acknowledged to the connector in order of arrival, once an agent has
 * acknowledged them or they were put aside.  What is to be delivered stands in
 * the journal before any agent sees it.
 */
#ifndef DELIVERY_H
#define DELIVERY_H

#include <sys/queue.h>
#include <stdint.h>

#include "egress.h"
#include "hash.h"
#include "journal.h"
#include "span.h"
#include "timer.h"

struct agent;
struct gateway;
struct delivery;
struct journal_memory;
TAILQ_HEAD(delivery_queue, delivery);

/* A conversation: its events go to one agent, in order. */
struct session {
	struct hnode node;
	TAILQ_ENTRY(session) lru; /* among idle ones, least recent first */
	struct agent *agent;	  /* NULL: not placed */
	struct chat_hint chat;
	uint64_t last;	   /* core time an event came or was acknowledged */
	uint64_t oldest;   /* for delivery_sessions() */
	uint32_t open;	   /* deliveries not acknowledged */
	uint16_t platform; /* identity's index */
	uint8_t pinned;	   /* place_back: has events in flight */
	uint8_t blocked;   /* by an event that cannot be put aside */
	uint16_t len, taillen;
	char key[]; /* len bytes; then how a line for an agent ends */
};
TAILQ_HEAD(session_list, session);

/* One event on its way, or put aside; or what is left of one that an agent
 * took: its place in the order of acknowledgements. */
struct delivery {
	struct hnode by_id, by_cid;  /* by_cid.hash: half of seen_hash() */
	uint64_t cid_rest;	     /* the other half */
	TAILQ_ENTRY(delivery) entry; /* unplaced, aside, an agent's queue */
	TAILQ_ENTRY(delivery) order; /* arrival on the present connection */
	uint64_t epoch, seq;	     /* its bufferId; seq is never used twice */
	struct record *rec;	     /* NULL: only keeps its place */
	const char *line;	     /* in the journal */
	const char *cid; /* the connector's bufferId, there, or own */
	char *own;
	struct session *session; /* NULL: none of its events waits any more */
	struct agent *agent;	 /* that has it in flight or queued */
	uint64_t arrived;	 /* core time */
	uint64_t given;		 /* core time it was last given to an agent */
	int64_t aside_at; /* Unix ms it was put aside, perhaps requeued since */
	uint32_t linelen;
	uint16_t cidlen; /* 0: none */
	uint8_t inflight, ordered, done;
	uint8_t keyed;	   /* in by_cid */
	uint8_t plain : 1, /* cid needs no escape in JSON */
	    forward : 1;   /* a passthrough_forward */
	uint8_t gives;	   /* times an agent had it, as far as we know */
	uint8_t tried;	   /* an agent had it before */
	uint8_t suspect;   /* in flight when an agent ended uncleanly */
	uint8_t attempts;  /* of these, alone in flight */
	uint8_t aside;
};

struct delivery_state {
	struct htab by_id, by_cid, sessions;
	struct session_list idle; /* sessions without open deliveries */
	uint32_t nidle;
	struct delivery_queue unplaced; /* no agent takes them now; by seq */
	struct delivery_queue aside;	/* put aside */
	struct delivery_queue order;	/* acks leave in this order */
	struct delivery_queue spare;	/* structs to be used again */
	uint32_t nspare, naside;
	struct journal journal;
	char epoch[18];	 /* how the bufferIds of now begin: core_put_epoch() */
	uint32_t n;	 /* events that wait for an agent's acknowledgement */
	uint64_t bytes;	 /* their lines */
	uint64_t places; /* bytes of what only keeps its place in the order */
	size_t wanted;	 /* bytes of the event that was left */
	uint8_t hushed;	 /* too much waits: the connector shall keep what comes
			  */
	uint8_t paused;	 /* the link is not read: far too much waits */
	uint8_t closed;	 /* nothing is taken from this connection any more: an
			  * event was left with the connector */
	uint8_t stuck;	 /* said that nothing but events put aside is there */
	struct timer look; /* whether the pressure is another now */
};

/* memory may be NULL.  0, or -1 without memory. */
int delivery_init(struct gateway *gw, const struct journal_memory *memory);
void delivery_free(struct gateway *gw);

/* The connector's bufferId, decoded; text.len 0: none. */
struct cid {
	struct span text;
	uint64_t hash[2];
	uint8_t plain; /* needs no escape in JSON */
};

/* A new event. */
struct delivery_event {
	struct cid cid;
	struct session *session;
	struct span platform; /* of its identity; may be empty */
	uint8_t forward;      /* a passthrough_forward */
	struct agent *to;     /* gets it alone, if it can; may be NULL */
	const struct span *piece;
	int n; /* pieces of its line */
};

/* The bufferId that the next event must carry, as a JSON string of CORE_ID
 * bytes at most; returns its length. */
size_t delivery_next_id(const struct gateway *gw, char *out);
/* Whether the connector has sent this before; then it is taken care of. */
int delivery_replayed(struct gateway *gw, const struct cid *cid);
/*
 * A new event goes its way; its line carries the bufferId of
 * delivery_next_id().
 * Without room it is left with the connector, as by pressure_room(); without
 * memory it is not acknowledged, and comes again with the next connection.
 */
void delivery_admit(struct gateway *gw, const struct delivery_event *ev);
/* An agent cannot use what it would be given: acknowledge it in its order. */
void delivery_discard(struct gateway *gw, struct delivery *d);
/* A buffered entry that can never be taken: acknowledge it in its order. */
void delivery_salvage(struct gateway *gw, const struct cid *cid);
/* The connection is gone: what was not acknowledged will be sent again. */
void delivery_link_lost(struct gateway *gw);
/* An acknowledgement may leave next: have the journal written if it has
 * changed. */
void delivery_sync(struct gateway *gw);

/* An agent acknowledged.  NULL, or a phrase that says what is wrong. */
const char *delivery_ack(struct agent *a, struct span buffer_id);
/* An agent can take events (again), or more of them. */
void delivery_agent_ready(struct agent *a);
/* Its time to acknowledge what it has begins anew. */
void delivery_patience(struct agent *a);
/* Its output queue has room again. */
void delivery_give(struct agent *a);
/* It takes no new events for now, but keeps those in flight. */
void delivery_agent_idle(struct agent *a);
/* An agent is gone: what it had goes back, in order; without a going_idle of
 * its own, what it had in flight is suspect. */
void delivery_agent_gone(struct agent *a);
/* interrupt_inbound: to the session's agent, else to all. */
void delivery_interrupt(
    struct gateway *gw, struct span line, struct span session_key);

/* Age of the oldest event no agent acknowledged, ms; 0 when none. */
uint64_t delivery_oldest(const struct gateway *gw);
/* Every session that is remembered, in no order; with open deliveries, oldest
 * is the core time of the arrival of the first.  fn must not change any. */
void delivery_sessions(struct gateway *gw,
    void (*fn)(void *arg, const struct session *s), void *arg);

/* For order.c, place.c and quarantine.c. */

/* A delivery of zeros, and back again.  NULL without memory. */
struct delivery *delivery_new(struct gateway *gw);
void delivery_drop(struct gateway *gw, struct delivery *d);
/* Found by its bufferId; NULL when there is none. */
struct delivery *delivery_find(const struct gateway *gw, struct span buffer_id);
/* Write what may change of it to the journal. */
void delivery_mark(struct gateway *gw, const struct delivery *d);
/* It is among what waits, for a session, or no more. */
void
delivery_open(struct gateway *gw, struct delivery *d, struct session *session);
void delivery_close(struct gateway *gw, struct delivery *d);
/* It was acknowledged, and is with no agent: never delivered again. */
void delivery_taken(struct gateway *gw, struct delivery *d);
/* Its id is not looked for any more: it stands among the acknowledged ones. */
void delivery_unkey(struct gateway *gw, struct delivery *d);
/* Somebody may take now what nobody took before. */
void delivery_give_all(struct gateway *gw);

#endif
