/* SPDX-License-Identifier: ISC */
/*
 * The engine's core: everything that decides, and nothing that reads, writes,
 * or asks what time it is.  Events and the time go in by the functions below;
 * what is to be done comes out by struct core_io.  The daemon, the tests, a
 * fuzzer and a simulation each bring their own core_io and clock.
 *
 * Times are milliseconds on a clock that also runs while the host sleeps
 * (CLOCK_BOOTTIME in the daemon), handed to core_now() before a batch of
 * events.
 */
#ifndef CORE_H
#define CORE_H

#include <sys/queue.h>
#include <stdint.h>

#include "buf.h"
#include "delivery.h"
#include "descriptor.h"
#include "egress.h"
#include "hash.h"
#include "interaction.h"
#include "json.h"
#include "limit.h"
#include "link.h"
#include "outbound.h"
#include "prompt.h"
#include "span.h"
#include "stage.h"
#include "timer.h"
#include "wire.h"

struct agent;
struct core;
struct gateway;

/* Which way a tapped line went. */
enum tap_dir {
	TAP_FROM_CONNECTOR,
	TAP_TO_CONNECTOR,
	TAP_FROM_AGENT,
	TAP_TO_AGENT
};

/* What relay-authd shall know of how a credential fared. */
enum fared {
	FARED_WORKED,  /* a handshake completed */
	FARED_REFUSED, /* 4401 before any ever did; text is the reason */
	FARED_REVOKED  /* text is the evidence */
};

/* What the core asks of the world.  No call may call back into the core. */
struct core_io {
	/* The link.  Each is answered by link_event(). */
	void (*dial)(void *arg,
	    struct gateway *gw); /* DIALED, DIALED_PLAIN, DIAL_FAILED */
	void (*tls)(void *arg, struct gateway *gw);  /* TLS_UP, TLS_FAILED */
	void (*mint)(void *arg, struct gateway *gw); /* TOKEN, TOKEN_REFUSED */
	void (*upgrade)(
	    void *arg, struct gateway *gw); /* UPGRADED, UPGRADE_REFUSED */
	/* Send a request for anything, without a token, and have the Date of
	 * the answer: link_date(), then refusal_answered(), or LOST. */
	void (*ask)(void *arg, struct gateway *gw);
	/* Drop the dial or connection, whatever its phase; nothing of it is
	 * reported afterwards. */
	void (*drop)(void *arg, struct gateway *gw);
	/* There is something in wire_output(): write it when the turn ends. */
	void (*link_output)(void *arg, struct gateway *gw);
	/* Read from the link, or leave it (pressure). */
	void (*link_read)(void *arg, struct gateway *gw, int on);

	/* One line for an agent, in pieces, without the newline: framing is
	 * the world's.  Returns 0, or -1 when its queue is full: the agent is
	 * then lost, and the core is told by core_agent_gone() later. */
	int (*agent_send)(
	    void *arg, struct agent *a, const struct span *piece, int n);
	/* Whether its queue takes an event of len bytes more and keeps room
	 * for what else it is told.  If not, core_agent_room() follows when it
	 * does.  NULL: events wait for acknowledgements alone. */
	int (*agent_room)(void *arg, struct agent *a, size_t len);
	/* Close once what was sent is written; reason is for the log.  The
	 * agent is already gone for the core. */
	void (*agent_close)(void *arg, struct agent *a, const char *reason);

	/* A link's public state or reason changed (log, watchers, supervisor).
	 */
	void (*state_changed)(void *arg, struct gateway *gw);
	/* How the credential that the present connection's token is of fared;
	 * text is visible as it is. */
	void (*fared)(
	    void *arg, struct gateway *gw, enum fared what, const char *text);
	/* The answer to core_send: JSON of the result; theirs: it is the
	 * connector's, not our own for want of one. */
	void (*send_result)(
	    void *arg, uint64_t cookie, int theirs, struct span result);
	/* Something worth a log line (the world limits the rate).  text may
	 * hold foreign bytes. */
	void (*remark)(void *arg, struct gateway *gw, int level,
	    const char *event, const char *text);
	/* The answer to core_wish(): error is NULL when it was done. */
	void (*wish_done)(void *arg, uint64_t cookie, const char *error);
	/* An acknowledgement leaves next: write the journal to the disk, if
	 * that is wanted. */
	void (*journal_sync)(void *arg, struct gateway *gw);
	/* A line went by; called only while gw->taps > 0. */
	void (*tap)(
	    void *arg, struct gateway *gw, enum tap_dir dir, struct span line);
	/* An event went a stage on; called only while gw->followers > 0. */
	void (*stage)(
	    void *arg, struct gateway *gw, const struct stage_step *step);
};

struct identity {
	char platform[LIMIT_PLATFORM + 1];
	char bot_id[LIMIT_ID + 1];
	char *manifest;		      /* JSON, or NULL */
	struct descriptor descriptor; /* the last known */
	uint8_t answered;	      /* one came on this connection */
};

/* A gateway's settings, as the core needs them. */
struct gateway_conf {
	char name[LIMIT_NAME + 1];
	uint32_t reconnect_min_ms, reconnect_max_ms;
	uint32_t window;	 /* default of an agent's */
	uint32_t ack_timeout_ms; /* default of an agent's */
	uint8_t group_per_user, thread_per_user;
	uint8_t hold;		/* when no agent is there: stay connected */
	uint32_t idle_after_ms; /* else: go idle after this; 0: 60 s */
	uint8_t pass_overlong;	/* content that is too long is passed on */
	uint32_t nidentity;
	struct identity identity[LIMIT_IDENTITIES];
};

/* Counted since the engine started; they only grow. */
struct counters {
	uint64_t dials, handshakes, losses;
	uint64_t lines_in, bytes_in, lines_bad; /* from the connector */
	uint64_t events_in;   /* inbound and passthrough lines */
	uint64_t replays;     /* of these, recognised as repeated */
	uint64_t events_left; /* of these, not taken: too much waits */
	uint64_t delivered;   /* lines given to agents, redeliveries included */
	uint64_t redelivered;
	uint64_t agent_acks; /* taken by agents */
	uint64_t acks_out;   /* inbound_ack sent to the connector */
	uint64_t outbound, outbound_ok, outbound_failed, outbound_ambiguous;
	uint64_t interrupts;
	uint64_t forwards_dropped; /* no agent wanted them as they are, and
				    * events they are not */
	uint64_t agent_lines_bad;
	uint64_t unknown_frames;
	uint64_t recovered; /* events found in the journal at the start */
	uint64_t torn;	    /* records found bad there */
	uint64_t suspects;  /* events in flight when an agent ended uncleanly */
	uint64_t aside;	    /* put aside */
	uint64_t requeued;  /* of these, delivered again */
	uint64_t dropped;   /* of these, given up */
};

enum agent_state { AGENT_NEW, AGENT_READY, AGENT_GONE };

struct agent {
	TAILQ_ENTRY(agent) entry;
	struct gateway *gw;
	void *io; /* the world's part */
	enum agent_state state;
	uint32_t number;   /* 1, 2, … per gateway: for people */
	char name[64 + 1]; /* from hello, foreign text; "" */
	uint32_t uid, gid;
	int32_t pid;	    /* SO_PEERCRED: for people only */
	uint64_t since;	    /* core time */
	uint32_t platforms; /* bits: indexes of gw->conf.identity served */
	uint32_t window, ack_timeout_ms;
	uint8_t draining; /* said going_idle: gets no new events */
	uint8_t events;	  /* wants Discord interactions as events */
	struct delivery_queue inflight; /* given, oldest first */
	struct delivery_queue queued;	/* to be given, oldest first */
	uint64_t inflight_bytes;	/* of the lines in flight */
	uint64_t queued_bytes;		/* of those queued */
	uint64_t shed_above; /* events were taken from it, and are again above
				so many bytes; 0: it keeps up */
	uint32_t ninflight, nqueued, nsession, noutbound;
	struct timer ack_timer, hello_timer;
	uint64_t delivered, acked;
};
TAILQ_HEAD(agent_list, agent);

struct gateway {
	struct core *core;
	uint32_t index;
	void *io; /* the world's part */
	struct gateway_conf conf;
	struct link link;
	struct wire wire;
	struct delivery_state delivery;
	struct outbound_state outbound;
	struct egress egress;
	struct prompts prompts;
	struct agent_list agents;
	uint32_t nagent, agent_number;
	uint32_t taps;	    /* who is told of lines */
	uint32_t followers; /* who is told of stages */
	struct stages stages;
	uint32_t skipped;	    /* identities without a hello, bits */
	uint32_t greeted;	    /* those whose hello this connection had */
	struct gateway *next_dirty; /* has lines to frame when the turn ends */
	struct counters count;
};

struct core {
	const struct core_io *io;
	void *arg;
	uint64_t now;
	int64_t wall; /* Unix milliseconds when `now` was 0 */
	struct timers timers;
	struct hash_key key;
	uint64_t rng;
	uint32_t nagent;
	uint8_t stopping;
	struct gateway *gw[LIMIT_GATEWAYS]; /* NULL: no such index */
	struct gateway *dirty;		    /* gateways with lines to frame */
	struct buf scratch;		    /* a line being built */
	struct buf text;		/* a decoded text that is measured */
	char why[LIMIT_REASON * 2];	/* what is wrong with a request */
	struct json_doc doc;		/* of the line being handled */
	struct json_doc part;		/* of a part of it, when doc ran full */
	struct json_doc action;		/* of a request, the same */
	struct interaction interaction; /* that arrived, or is given */
};

/* random: at least 32 bytes from the system (or a seed, in a simulation). */
struct core *core_new(const struct core_io *io, void *arg,
    const unsigned char random[32], uint64_t now);
void core_free(struct core *c);

/* Tell the time; then events may follow. */
void core_now(struct core *c, uint64_t now);
/* And what the wall clock says at that moment, in Unix milliseconds. */
void core_wall(struct core *c, int64_t unix_ms);
/* Run what is due, and what was put off to the end of the turn (framed
 * acknowledgements).  Call after each batch of events, before waiting. */
void core_turn(struct core *c);
/* When core_turn must be called again at the latest; TIMER_NEVER. */
uint64_t core_deadline(const struct core *c);

/* Memory of a gateway's journal, which outlives us. */
struct journal_memory {
	void *p; /* NULL: none */
	size_t len;
	uint8_t sync; /* it is on the disk before an acknowledgement leaves: as
		       * it was when the gateway appeared.  A reload may change
		       * that, so io->journal_sync() is asked in any case, and
		       * knows. */
};

/*
 * A gateway appears at an index (io_arg is the world's part; without memory
 * of a journal, NULL, it has some that ends with us).  What the journal holds
 * waits for agents.  Its link begins in `unprovisioned` until
 * core_credential().  NULL without memory.
 */
struct gateway *core_gateway_add(struct core *c, uint32_t index,
    const struct gateway_conf *conf, const struct journal_memory *memory,
    void *io_arg);
/* New settings: the link is closed in order and dialled again.  Agents stay,
 * unless other platforms are fronted now. */
void core_gateway_change(struct gateway *gw, const struct gateway_conf *conf);
/* New settings on which the link does not depend: it stays.  Identities are
 * not looked at. */
void core_gateway_adjust(struct gateway *gw, const struct gateway_conf *conf);
/* It is no more: link dropped, agents told and closed, memory freed. */
void core_gateway_remove(struct gateway *gw);

/* relay-authd told how the credential fared so far: it completed a handshake
 * once; the mark of a revocation stands, with its evidence.  Takes effect with
 * the core_credential() that follows. */
void core_standing(
    struct gateway *gw, int worked, int revoked, const char *evidence);
/* relay-authd told which identities the connector does not know (bits): no
 * hello is said for them.  A link that lacks the hello of one that it knows now
 * is closed in order and dialled again.  Takes effect before the next
 * handshake; all bits are as none. */
void core_skip(struct gateway *gw, uint32_t skipped);
/* relay-authd told of the credential.  fresh: not the one used so far. */
void
core_credential(struct gateway *gw, int usable, int fresh, const char *reason);

/* Stop in order: going_idle, drain, close (CONTRACT 3), all within budget_ms.
 * core_stopped() says when every link is down. */
void core_stop(struct core *c, uint64_t budget_ms);
int core_stopped(const struct core *c);

/* An agent connected.  NULL when there are too many: close the connection. */
struct agent *core_agent_new(
    struct gateway *gw, uint32_t uid, uint32_t gid, int32_t pid, void *io_arg);
/* It sent a line (newline taken off). */
void core_agent_line(struct agent *a, const char *line, size_t len);
/* It sent a line longer than LIMIT_LINE, or a stranger's protocol: say so,
 * close. */
void core_agent_refuse(struct agent *a, const char *why);
/* Its queue has room again, after agent_room() said that it had none. */
void core_agent_room(struct agent *a);
/* Its connection ended (not to be called after agent_close). */
void core_agent_gone(struct agent *a, const char *reason);

/* An operator's outbound: action is a JSON object.  NULL, or a phrase when it
 * cannot even be queued; else send_result(cookie) follows, at the latest when
 * the request times out. */
const char *core_send(struct gateway *gw, struct span action, uint64_t cookie);

/* What an operator may ask of a link (DESIGN 5). */
enum link_wish {
	WISH_IDLE,     /* going_idle, close, sleep until somebody needs it */
	WISH_WAKE,     /* ends idle and dormant */
	WISH_DORMANT,  /* ready for the host's suspend */
	WISH_DISABLE,  /* switch off until WISH_ENABLE */
	WISH_ENABLE,   /* ends what WISH_DISABLE began, not a revocation */
	WISH_RECONNECT /* close in order and dial again */
};

/* who: for the reason that people read ("uid 0").  NULL: done, or begun, then
 * wish_done(cookie) follows within 15 s (also when it was done at once); or a
 * phrase that says why it cannot be. */
const char *core_wish(
    struct gateway *gw, enum link_wish wish, uint64_t cookie, const char *who);
/* No time passed for us, nor, perhaps, for agents: they have all theirs again.
 */
void core_stood_still(struct core *c);
/* The host slept: that, and links are dropped and dialled at once. */
void core_slept(struct core *c);
/* An operator stops the turn of a session: its agent gets interrupt_inbound,
 * all agents where none has it.  NULL, or why not. */
const char *
core_interrupt(struct gateway *gw, struct span session_key, const char *who);

/* For the core's own files. */

/* A number below n (n > 0), or any for n == 0: SipHash of a counter under a
 * random key, unpredictable enough for masks (RFC 6455 10.3). */
uint64_t core_random(struct core *c, uint64_t n);
/* The wall clock, in Unix seconds. */
int64_t core_unix(const struct core *c);
/* Hand a formatted remark to the world. */
void core_remark(struct gateway *gw, int level, const char *event,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The identity that fronts a platform, or -1. */
int core_identity(const struct gateway *gw, struct span platform);
/* The wall clock, in Unix milliseconds. */
int64_t core_unix_ms(const struct core *c);
/* An id of ours: EPOCH-SEQ, 16 hexadecimal digits and a number above 0.  0, or
 * -1 when it is none. */
int core_parse_id(struct span id, uint64_t *epoch, uint64_t *seq);
/* Such an id as a JSON string; returns its length. */
#define CORE_ID 48
size_t core_put_id(uint64_t epoch, uint64_t seq, char out[CORE_ID]);
/* For many ids of one epoch: how they all begin, and one of them. */
#define CORE_EPOCH 18
void core_put_epoch(uint64_t epoch, char out[CORE_EPOCH]);
size_t
core_put_seq(const char epoch[CORE_EPOCH], uint64_t seq, char out[CORE_ID]);
/* What stands behind the epoch; 0: no number of ours. */
uint64_t core_parse_seq(struct span digits);
/* A line went by. */
void
core_tap(struct gateway *gw, enum tap_dir dir, const struct span *piece, int n);

#endif
