/* SPDX-License-Identifier: ISC */
/*
 * A world around the engine's core for the fuzzer: a clock, a connector and
 * agents that do what the input says, and that hold what the core does
 * against what it promises.
 *
 * Some events and requests are the world's own, known by MARK in their ids:
 * free text of the input cannot hold it, so for these each promise can be
 * checked to the letter.
 */
#ifndef LINK_WORLD_H
#define LINK_WORLD_H

#include "../core_asked.h"
#include "agent.h"
#include "core.h"
#include "fuzz.h"
#include "journal_head.h"

#define AGENTS	 4
#define EVENTS	 64 /* of the world's own, by number */
#define REQUESTS 512
#define ROOM	 65536	    /* the engine's read buffer */
#define PADDED	 (2U << 20) /* all together: fills any queue */
/* The least whose ring has the LIMIT_SEEN that it has here (small/limit.h). */
#define JOURNAL_BYTES JOURNAL_LEAST
#define MARK	      "\xc3\xa9"
#define BEGIN_MS      1000000

/* A delivery, by the journal's number. */
struct item {
	uint64_t id;
	int16_t event; /* of ours; -1: another */
	int8_t holder; /* slot of the agent that has it; -1: none */
	uint8_t given, acked;
};

struct slot {
	struct world *w;
	struct agent *a; /* NULL: free */
	uint8_t deaf;	 /* its queue is full */
	uint8_t lost;	 /* was told so: as good as gone */
	uint32_t nheld;
	uint64_t *held; /* deliveries it has, oldest first */
};

struct request {
	int8_t slot; /* -1: nobody waits for it */
	uint8_t answered;
	uint8_t operator;
};

/* One of our events. */
struct event {
	uint8_t taken;	      /* an agent acknowledged it */
	uint8_t live;	      /* the core has a delivery of it */
	uint16_t sent, acked; /* on this connection */
	uint16_t rank;	      /* order of its first arrival on it, from 1 */
};

struct world {
	struct core *c;
	struct gateway *gw;
	struct gateway_conf conf;  /* as last set */
	struct gateway_conf lived; /* as the connection was begun with */
	struct journal_memory journal;
	uint8_t damaged; /* what it remembers was, or is full */
	uint32_t acks;	 /* of agents, so far */
	uint32_t epoch;	 /* cores so far */
	uint64_t now;
	enum asked asked;
	uint32_t rng;

	uint32_t connections; /* so far */
	/* The present one. */
	uint8_t connected, reading, tainted, closed;
	uint8_t stalled;  /* the connector does not read */
	uint32_t hellos;  /* read so far */
	uint32_t chunk;	  /* bytes at a time; 0: as many as there are */
	uint32_t padding; /* bytes added to events and requests */
	uint32_t padded;  /* so far, all together */
	uint16_t ranks, ranked;
	struct buf to_core, from_core, line;
	struct ws_decoder dec;
	uint32_t nopen; /* requests read, not answered */
	uint64_t open[REQUESTS];

	struct event event[EVENTS];
	struct item *item;
	uint64_t nitem;
	struct slot slot[AGENTS];
	uint32_t nrequest;
	struct request request[REQUESTS];
	uint32_t nwish;	     /* of operators, so far */
	uint32_t nwish_open; /* of these, not answered */
	uint64_t *written;   /* request ids the connector ever read */
	uint64_t nwritten;
};

/* link_world.c */
struct world *world_new(void);
void world_free(struct world *w);
/* A new engine: the core dies; what lies in the journal stays. */
void world_restart(struct world *w);
/* Settings, by number. */
void world_conf(struct world *w, unsigned variant);
/* The turn's end: the connector reads, lost agents go. */
void world_turn(struct world *w);
/* Time passes, deadline by deadline. */
void world_time(struct world *w, uint64_t ms);

/* As many bytes as the input wants added to what is sent next. */
void world_pad(struct world *w, struct buf *b);

/* link_connector.c */
void connector_begin(struct world *w);
void connector_end(struct world *w);
/* Bytes for the core; they are read when it reads. */
void connector_send(struct world *w, struct span bytes);
void connector_frame(struct world *w, unsigned b0, struct span payload);
void connector_text(struct world *w, struct span text);
/* Hand over what the core reads. */
void connector_pump(struct world *w);
/* Read up to n bytes of what the core wrote. */
void connector_read(struct world *w, size_t n);
void connector_event(struct world *w, unsigned event, unsigned session);
void connector_forward(struct world *w, unsigned event);
void connector_result(struct world *w, unsigned n, struct span result);

/* link_agents.c */
void agents_join(struct world *w, unsigned slot, struct span hello);
/* What the core put aside is nobody's any more. */
void agents_aside(struct world *w);
/* An operator gives up what blocks its session. */
void agents_dropped(struct world *w, uint64_t seq, struct span line);
/* Its part in the world ends. */
void agents_leave(struct slot *s);
void agents_say(struct slot *s, struct span line);
void agents_ack(struct slot *s, unsigned n);
void agents_request(struct slot *s, unsigned kind);
/* The core's lines for an agent. */
void agents_hear(struct slot *s, struct span line);
/* A request of ours was answered. */
void agents_answered(struct world *w, uint64_t n, int slot);

/* link_steps.c: what a line of the input does, and then the audit. */
void link_step(struct world *w, struct span line);

/* link_stages.c: somebody asks what became of an event. */
void stages_asked(struct world *w, struct span id);

/* link_audit.c: the core's own books. */
void audit(const struct world *w);

#endif
