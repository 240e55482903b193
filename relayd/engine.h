/* SPDX-License-Identifier: ISC */
/*
 * The engine process: sockets, TLS and timers wrapped around the core.
 *
 *   engine.c    the process: loop, turn, clock, core_io, stop
 *   engine_conf.c  the configuration slice: stage, check, commit
 *   engine_link.c  a gateway's dials, tokens and connections
 *   engine_cred.c  what relay-authd tells of a credential, and is told
 *   conn.c      a byte stream to the connector, TLS or plain
 *   upgrade.c   the opening handshake over it
 *   ca.c        CA bundles to TLS contexts
 *   agent_sock.c  the agents' connections: lines in, lines out
 *   agent_accept.c  their listening sockets
 *   slept.c     whether the host slept
 *   headroom.c  descriptors that are kept free of clients
 *   control.c   control.sock and status.sock: requests, watchers, taps
 *   control_wish.c  what operators ask of a link
 *   status.c    the status document
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdint.h>

#include "core.h"
#include "msg.h"
#include "rate.h"
#include "slept.h"
#include "url.h"

struct event;
struct event_base;
struct child;
struct conn;
struct ca;
struct control;
struct listener;
struct upgrade;
struct agent_socks;
struct ca_set;
struct conns;
struct engine_stage;

/* Tokens of one gateway asked for and not answered yet: one is usual; dials
 * given up meanwhile may leave a few more. */
#define ENGINE_MINTS 4

/* What relay-authd told of a gateway's credential. */
struct engine_cred {
	uint8_t known, usable;
	uint32_t generation;
	enum cred_source source;
	char id[LIMIT_ID + 1];
	char tenant[LIMIT_ID + 1];
	char policy[LIMIT_REASON + 1];
	char reason[LIMIT_REASON + 1];
	int64_t since; /* Unix seconds */
	uint64_t minted;
	uint32_t skipped; /* identities, bits */
	char skipped_why[LIMIT_REASON + 1];
	uint64_t refusals;
	int64_t refused_at; /* Unix seconds of the last; 0: none */
};

/* And of how it fared, from then on also by what we found. */
struct engine_standing {
	uint8_t worked, revoked;
	uint8_t unsure;	    /* REVOKED was sent, and not heard of yet */
	uint64_t conn;	    /* of REVOKED */
	int64_t revoked_at; /* Unix seconds */
	char *evidence;	    /* NULL: none */
};

/* Both, until they are complete and the gateway is there. */
struct engine_told {
	struct engine_cred cred;
	struct engine_standing standing;
	uint8_t whole;
};

/* The world's part of a gateway: gw->io points here. */
struct engine_gw {
	struct engine *e;
	struct gateway *gw;
	uint32_t index;
	char name[LIMIT_NAME + 1];
	char url_text[URL_PATH_MAX + 512 + 1];
	char server_name[URL_HOST_MAX + 1]; /* "": the URL's host */
	struct url url;
	struct ca *ca; /* NULL: plain */
	char ca_label[LIMIT_PATH + 1];
	struct engine_cred cred;
	struct engine_standing standing;
	struct conn *conn;	   /* NULL: no connection */
	uint64_t conn_id;	   /* the dialer's number of it */
	uint64_t token_conn;	   /* of the connection of the last token */
	uint32_t dial_corr;	   /* of the dial under way; 0: none */
	struct listener *listener; /* agent/<name>.sock */
	int64_t state_since;	   /* Unix seconds of the public state */
	/* the shell's own */
	const char *state;	       /* public state told last; NULL: none */
	struct journal_memory journal; /* sync: as configured last */
	struct upgrade *upgrade;       /* NULL: none under way */
	struct span token;	       /* while TOKEN is handled; else absent */
	uint64_t mint[ENGINE_MINTS];   /* conn ids asked about, no answer yet */
	uint8_t nmint;
	uint8_t cred_first;  /* relay-authd counts generations anew */
	struct rate remarks; /* bounds the log lines of one gateway */
	uint32_t unsaid;     /* remarks that were not logged */
};

/* What the supervisor told of a process. */
struct engine_proc {
	int pid; /* 0: being restarted */
	uint32_t restarts;
	int64_t since; /* Unix seconds */
	uint32_t pss_kb;
	uint32_t wanted, held; /* LAYER_BITs */
	char lacking[LIMIT_REASON + 1];
};

struct engine {
	struct event_base *base;
	struct child *child;
	struct core *core;
	struct engine_gw *gw[LIMIT_GATEWAYS]; /* live; NULL: none */
	unsigned ngw;			      /* of these */
	struct engine_proc proc[ROLE_KEPT];
	struct control *control;
	int64_t started; /* Unix seconds */
	/* what the supervisor told of the configuration: Unix seconds when it
	 * was taken, and when a newer one was refused since; 0: none was */
	int64_t conf_taken, conf_refused;
	/* the shell's own */
	struct conns *conns;
	struct agent_socks *agents;
	struct ca_set *cas;
	struct engine_stage *stage; /* NULL: no configuration under way */
	struct engine_told *told[LIMIT_GATEWAYS]; /* not complete, or told
						   * before the commit */
	struct slept slept;
	struct event *timer;
	int timer_fd;
	uint64_t armed;	   /* core time the timer is set to; TIMER_NEVER */
	uint64_t late;	   /* milliseconds that it rang too late; 0 */
	uint64_t stop_at;  /* core time the stop budget ends; 0: not stopping */
	uint64_t flush_at; /* stopped but for the agents' queues, until then */
	uint32_t corr;	   /* of the last dial */
};

int engine_main(int argc, char *argv[]);

/* Milliseconds on the core's clock, and Unix seconds with a fraction. */
uint64_t engine_clock(void);
double engine_wall(void);

/* Tell the core the time: at the beginning of each callback that may reach
 * it. */
void engine_now(struct engine *e);

/* Something outside the core's own events was done to it: let the turn end
 * run (framing, timers) before the loop waits. */
void engine_turn(struct engine *e);

/* The gateway of a name (bytes), or, when the name is absent and there is
 * exactly one, that one; else NULL.  The core is told the time. */
struct engine_gw *engine_find(struct engine *e, struct span name);

/* The gateway's public state is news to the supervisor. */
void engine_state(struct engine_gw *eg);

/* An operator asked for a reload: RELOAD to the supervisor; control_reloaded()
 * is called with the answer.  corr names the request.  -1: not possible now. */
int engine_reload(struct engine *e, uint32_t corr, uint32_t uid, int32_t pid);
/* Ask the supervisor for another log level, or with LEVEL_ASK, which it is;
 * control_leveled() follows with corr.  0, or -1. */
int engine_level(
    struct engine *e, uint32_t corr, int level, uint32_t uid, int32_t pid);

#endif
