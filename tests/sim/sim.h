/* SPDX-License-Identifier: ISC */
/*
 * A simulation of the engine's core: a virtual clock, a connector and agents
 * in memory, faults chosen by a seed, and the promises of DESIGN 2 and 3 and
 * CONTRACT 3, each a function of its own (invariant.h), held against
 * everything that the core does.
 */
#ifndef SIM_H
#define SIM_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core_asked.h"
#include "agent.h"
#include "core.h"
#include "journal_head.h"
#include "quarantine.h"

#define SLOTS	   4   /* agents at a time */
#define EVENTS	   160 /* of one seed */
#define SESSIONS   7   /* the last one is that of forwarded webhooks */
#define REQUESTS   48
#define FRAMES	   48 /* under way to the core */
#define BATCH	   4  /* events in one message */
#define ROOM	   65536
#define BEGIN_MS   1000000
#define WALL_MS	   INT64_C(1700000000000)
#define NOTHING	   (-1)
#define HEALTHY_MS 60000 /* a link that lived so long forgives the past */
#define WISHES	   64	 /* of operators */
#define WAITS	   8	 /* delays between dials that are looked at together */
#define STEPS_MAX  40	 /* kinds of steps */
#define PADDING	   2000	 /* bytes of an event's text at most */
#define BUFFER_ID  64
#define USED	   1024		/* bufferIds of the core's that are kept */
#define MEMORY	   (128 * 1024) /* of a journal at most */

/* How the connector, and the way to it, take a dial. */
enum mood {
	MOOD_GOOD,
	MOOD_DIAL_FAILS,
	MOOD_TLS_FAILS,
	MOOD_401,
	MOOD_503,
	MOOD_RESET, /* in the midst of it */
	MOOD_MUTE,  /* no answer at all */
	MOOD_REFUSED,
	MOOD_EXPIRED,
	MOODS
};

enum kind {
	KIND_EVENT,
	KIND_FORWARD,
	KIND_BROKEN /* can never be taken, but acknowledged */
};

/* One event, from the connector's buffer to an agent's acknowledgement. */
struct event {
	uint8_t kind, session;
	uint8_t has_id;	 /* the connector keeps it until it is acknowledged */
	uint8_t answers; /* request, a prompt, that it answers, plus one */
	uint8_t asker;	 /* who asked could have it when it arrived */
	uint8_t poison;	 /* ends every agent that reads it */
	/* At the connector. */
	uint8_t acked;	     /* ever; behind its cursor */
	uint16_t sent, acks; /* arrived at us, acknowledged: this connection */
	uint16_t rank;	     /* order of first arrival on it, from 1 */
	/* At the core. */
	uint8_t reached; /* it has it, or its journal */
	uint8_t taken;	 /* an agent acknowledged it */
	uint8_t aside;	 /* was put aside */
	uint8_t requeued;
	uint8_t blocked;  /* could not be put aside: its session waits */
	uint8_t dropped;  /* an operator gave it up */
	uint8_t before;	  /* taken, and the engine that knew it is gone */
	uint8_t arriving; /* in the frame at hand */
	uint8_t given;	  /* times, saturating */
	uint8_t suspect;  /* in flight when an agent ended uncleanly */
	uint8_t attempts;
	int8_t holder;	    /* slot; NOTHING */
	uint32_t order;	    /* of its first arrival of all */
	uint32_t forgotten; /* number of ids at which it may be forgotten */
	uint64_t given_at;
	char id[BUFFER_ID]; /* the core's bufferId; "" before it was given */
};

/* A conversation: who has it, as far as can be seen. */
struct talk {
	int slot; /* NOTHING: nobody */
	uint32_t life;
	uint8_t unknown; /* nobody, or who shed it */
	uint8_t answers; /* it had answers to prompts: who got one after
			  * another may have the session, too */
};

enum nature { NATURE_GOOD, NATURE_RANDOM, NATURE_SLOW, NATURE_NEVER };

struct slot {
	struct world *w;
	struct agent *a; /* NULL: free */
	uint32_t life;	 /* agents that were here */
	enum nature nature;
	uint8_t ready, draining, deaf, lost, released;
	uint32_t platforms, window, timeout_ms;
	uint16_t held[EVENTS]; /* in the order given */
	uint32_t nheld;
	uint16_t ack[EVENTS]; /* on their way to the core */
	uint32_t nack;
	uint32_t interrupts; /* heard during one arrival */
};

struct request {
	int8_t slot; /* NOTHING: it is gone */
	uint32_t life;
	uint8_t by_operator;
	uint8_t prompt;	     /* it asks something */
	uint8_t open;	     /* waits for its answer */
	uint8_t read;	     /* by the connector */
	uint8_t answered;    /* by the connector, on the wire */
	uint8_t denied;	     /* the agent was told that it was not sent */
	uint32_t connection; /* that it was read on */
	uint64_t at;
	char id[48]; /* the core's */
};

struct wish {
	uint8_t kind; /* enum link_wish */
	uint8_t open;
	uint64_t at;
};

enum frame_kind {
	FRAME_OTHER,
	FRAME_IDLE_ACK,
	FRAME_EVENTS,
	FRAME_INTERRUPT,
	FRAME_RESULT,
	FRAME_CLOSE
};

/* A WebSocket frame on its way to the core. */
struct frame_out {
	enum frame_kind kind;
	char *bytes;
	size_t len;
	int n, what[BATCH];   /* events; session; request; close code */
	uint8_t fresh[BATCH]; /* events: the core had it not */
	uint8_t expired;
};

/* What one seed does: faults on or off, habits of its connector and agents. */
struct profile {
	uint32_t steps;
	uint8_t weight[STEPS_MAX];
	uint8_t plain;	   /* a link without TLS */
	uint8_t gate;	   /* replay: entries without ack at most; 0: any */
	uint8_t no_id;	   /* percent of live events without bufferId */
	uint8_t batch;	   /* events in one message at most */
	uint8_t eager;	   /* percent of steps that end with all being moved */
	uint8_t stubborn;  /* percent: a bad mood stays */
	uint8_t forgetful; /* the connector's cursor is late after a crash */
	uint8_t date;	   /* it tells its time */
	uint8_t poison;	   /* percent of events */
	uint8_t full; /* much comes, and going_idle is not acknowledged while
		       * there are faults; 2: nor afterwards */
	uint8_t off;  /* no journal that outlives the engine */
	uint32_t journal; /* its bytes */
	uint8_t abrupt;	  /* the stop comes without a quiet time */
	uint32_t window;
	uint32_t padding; /* bytes of an event's text at most */
	uint32_t short_ms, long_ms;
};

struct authd {
	uint8_t usable, worked, revoked;
};

struct world {
	uint64_t seed, rng;
	struct profile profile;
	int verbose, books;
	uint32_t step;
	const char *doing;
	jmp_buf *out; /* where a violation leads */
	char violation[64], what[512];

	struct core *c;
	struct gateway *gw;
	struct gateway_conf conf;
	char *memory;	/* outlives an engine */
	char *last;	/* what it was when the engine died */
	uint32_t doom;	/* the engine dies at that call of its core's; 0: not */
	uint8_t mortal; /* it may die now */
	uint8_t dying;	/* it did: nobody hears it any more */
	uint64_t done_at_death; /* events looked at by then */
	uint64_t now;
	uint32_t engines;
	enum asked asked;
	struct authd authd;
	uint8_t calm;	   /* no faults any more */
	uint8_t stopped;   /* core_stop() was called */
	uint8_t arriving;  /* events are being handed over */
	uint32_t arrivals; /* first arrivals so far */
	uint32_t ids;	   /* remembered as acknowledged so far */

	/* The connector. */
	enum mood mood;
	int64_t skew;
	uint32_t connections;
	uint8_t connected, shaken, live, idle_asked, idle_acked, reading;
	uint8_t closed;	   /* the core's close frame was read */
	uint8_t closing;   /* ours is on its way */
	uint8_t stalled;   /* it does not read */
	uint8_t silent;	   /* it does not answer pings */
	uint8_t idle_told; /* its going_idle_ack was heard */
	uint64_t asked_at; /* last going_idle that was read, ever */
	uint8_t told;	   /* its time, in answer to this dial */
	int64_t told_skew;
	uint32_t hellos;
	struct gateway_conf greeting; /* as the connection was begun with */
	uint32_t next;		      /* event to be sent on this connection */
	uint32_t
	    pending; /* of these with an id, without ack: this connection */
	uint16_t ranks, ranked;
	uint32_t interrupts_out; /* read on this connection */
	uint64_t heard_at;	 /* the core had something of it */
	uint64_t slept_at;	 /* the host did */
	struct buf from_core;
	struct ws_decoder dec;
	struct frame_out frame[FRAMES];
	uint32_t nframe;
	struct json_doc doc;

	/* What is known of the link. */
	uint32_t tries;	     /* dials since the last healthy connection */
	uint32_t sure;	     /* the same, at least */
	uint64_t up_at;	     /* the handshake of the present one; 0: none */
	uint8_t worked;	     /* the credential ever did, as the core knows */
	uint8_t told_worked; /* it was told so */
	uint8_t strikes;     /* refusals in a row that count */
	uint8_t other;	     /* the present token is of the credential before */
	uint8_t off;	     /* switched off by an operator */
	uint8_t needed;	     /* in this step, somebody wants the link */
	uint8_t woken;	     /* the same, and it may end being dormant */
	uint64_t dormant_at, alone_since;
	uint8_t was_alone;
	uint8_t in_close; /* a 4401 is being handed over */
	uint64_t hurried; /* last dial at once after a refusal; 0: never */
	uint64_t wait[WAITS];
	uint32_t nwait;
	uint8_t state; /* last seen */

	struct event event[EVENTS];
	uint32_t nevent;
	struct {
		uint16_t event;
		char id[BUFFER_ID];
	} used[USED];
	uint32_t nused;
	struct talk talk[SESSIONS];
	struct slot slot[SLOTS];
	struct request request[REQUESTS];
	uint32_t nrequest;
	struct wish wish[WISHES];
	uint32_t nwish;
	struct {
		uint64_t acks, delivered, crashes, handshakes, revoked, aside,
		    left;
	} sum;
};

/* run.c */

/* One seed; 0, or -1 with w->violation and w->what. */
int run_seed(struct world *w);
/* Ends the run: an invariant does not hold. */
_Noreturn void violated(struct world *w, const char *invariant, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* With -v, one line of what happens. */
void trace(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A number below n, and a chance in percent. */
uint32_t pick(struct world *w, uint32_t n);
int chance(struct world *w, uint32_t percent);
void profile_choose(struct world *w);

/* step.c */

extern const unsigned step_count;
/* The usual weight of a kind of step, and whether a seed may do without. */
unsigned step_weight(unsigned kind);
int step_is_fault(unsigned kind);
void step_do(struct world *w, unsigned kind);
/* Everything moves on by one: dials, bytes, acknowledgements. */
void step_progress(struct world *w);
/* An operator ends what keeps the gateway from dialling. */
void step_enable(struct world *w);
/* An operator makes room where events cannot be put aside for want of it. */
void step_clear(struct world *w);

/* engine.c */

void engine_begin(struct world *w);
/* It dies; what lies in its memory stays. */
void engine_crash(struct world *w);
/* The same in the midst of what it does: the core goes on to the end of a
 * call, but nobody hears it, and its journal is what it was. */
void engine_doom(struct world *w);
void engine_free(struct world *w);
void engine_credential(struct world *w, int fresh);
/* The turn's end. */
void engine_turn(struct world *w);
void engine_time(struct world *w, uint64_t ms);
void engine_conf(struct world *w, unsigned variant);

/* connector.c */

void connector_begin(struct world *w);
/* A frame that will arrive; NULL when too many are under way. */
struct frame_out *connector_put(
    struct world *w, enum ws_opcode op, enum frame_kind kind, struct span text);
void connector_end(struct world *w);
/* Read up to n bytes of what the core wrote, and think about them. */
void connector_read(struct world *w, size_t n);
/* Answer what the core asked of the way to it. */
void connector_answer(struct world *w);
/* What it has to say now: descriptors, what is buffered, acks of idling. */
void connector_speak(struct world *w);
/* Hand the first frame to the core. */
void connector_pump(struct world *w);
/* Whether its clock and ours are known to differ too much. */
int connector_skewed(const struct world *w);
void connector_event(struct world *w);
void connector_repeat(struct world *w);
void connector_interrupt(struct world *w, unsigned session);
void connector_result(struct world *w, unsigned request);
/* Agents that hear interrupts, as bits; they have heard none yet. */
uint32_t connector_ready(struct world *w);
void connector_close(struct world *w, unsigned code, const char *reason);
void connector_junk(struct world *w);
/* The connection is lost. */
void connector_lose(struct world *w);
/* The key of a session, as CONTRACT 5 has it. */
void session_key_of(unsigned session, char key[64]);
/* The bit of the identity that fronts its platform; all: none does. */
uint32_t session_platform(unsigned session);

/* agents.c */

void agents_join(struct world *w, unsigned slot);
void agents_hello(struct slot *s);
/* A line of the core's. */
void agents_hear(struct slot *s, struct span line);
/* Its part in the world ends: unclean, with what it held. */
void agents_release(struct slot *s);
/* It crashes, or closes its connection. */
void agents_leave(struct slot *s, const char *why);
/* Those that the core cut off, before others are given what they held. */
void agents_reap(struct world *w);
/* Who asked by a prompt, when it can have the answer; NULL. */
const struct slot *agents_asker(const struct world *w, const struct event *e);
/* Sessions of those that hold too much may go elsewhere. */
void agents_shed(struct world *w);
/* Decide to acknowledge some of what it holds; what was decided arrives. */
void agents_work(struct slot *s);
void agents_flush(struct slot *s, uint32_t n);
void agents_say(struct slot *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void agents_request(struct slot *s);
void agents_interrupt(struct slot *s);
void agents_idle(struct slot *s);
struct request *request_new(struct world *w);
void
request_answered(struct world *w, unsigned n, struct json_doc *doc, int result);

/* operator.c */

void operator_request(struct world *w);
void operator_wish(struct world *w, enum link_wish kind);
void operator_interrupt(struct world *w, unsigned session);
/* What an operator switched off or put to sleep is so no more. */
void operator_wakes(struct world *w);

#endif
