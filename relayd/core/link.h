/* SPDX-License-Identifier: ISC */
/*
 * A gateway's link as a state machine: one enum, one table state × event →
 * state, one function through which every change passes (DESIGN 3).
 */
#ifndef LINK_H
#define LINK_H

#include <stdint.h>

#include "hide.h"
#include "limit.h"
#include "refusal.h"
#include "span.h"
#include "timer.h"

struct gateway;

enum link_state {
	LINK_NONE, /* in the table: the event changes nothing here */
	LINK_UNPROVISIONED,
	LINK_WAIT, /* until the next dial */
	LINK_DIAL, /* name, TCP, proxy */
	LINK_TLS,
	LINK_TOKEN,
	LINK_UPGRADE,
	LINK_ASK,   /* no upgrade: asks what time it is there */
	LINK_HELLO, /* hellos sent, first descriptor not here */
	LINK_UP,
	LINK_IDLING,  /* going_idle sent, serving as before until its ack */
	LINK_HUSHED,  /* acknowledged: no new events, all else flows */
	LINK_DRAIN,   /* going_idle sent, waiting for its ack and for results */
	LINK_CLOSE,   /* close frame sent, waiting for the peer's */
	LINK_IDLE,    /* asleep until somebody needs the link */
	LINK_DORMANT, /* the host is about to be suspended: no dial for a while
		       */
	LINK_DISABLED,
	LINK_STOPPED,
	LINK_STATES,
	LINK_AFTER /* in the table: what link.after says */
};

enum link_event {
	LE_CREDENTIAL,	   /* a usable credential */
	LE_CREDENTIAL_NEW, /* a usable one, other than before */
	LE_NO_CREDENTIAL,
	LE_TIMER, /* the state's deadline */
	LE_DIALED,
	LE_DIALED_PLAIN, /* no TLS on this link */
	LE_DIAL_FAILED,
	LE_TLS_UP,
	LE_TLS_FAILED,
	LE_TOKEN,
	LE_TOKEN_REFUSED,
	LE_UPGRADED,
	LE_UPGRADE_REFUSED,
	LE_DESCRIPTOR, /* the first of this connection */
	LE_DRAINED,
	LE_CLOSED,	 /* the peer's close frame (not 4401) */
	LE_LOST,	 /* connection ended or reset without one */
	LE_PROTOCOL,	 /* the peer broke WebSocket's rules */
	LE_SILENT,	 /* no pong in time */
	LE_REFUSED,	 /* 4401 that decides nothing yet */
	LE_REFUSED_ONCE, /* 4401 after a success: one more dial at once */
	LE_REVOKED,	 /* 4401 to that dial, or relay-authd says so */
	LE_ENABLED,	 /* relay-authd says no more that it is revoked */
	LE_AUTHD_GONE,	 /* relay-authd restarted: a dial without its token is
			    void */
	LE_CHANGED,	 /* settings changed */
	LE_STOP,
	LE_QUIET,  /* go to sleep, as link.after says */
	LE_FULL,   /* pressure: the connector shall keep what comes */
	LE_ACKED,  /* going_idle_ack: now the link may go down */
	LE_HUSHED, /* going_idle_ack, and the link stays: pressure */
	LE_WANTED, /* an agent, or a request, needs the link */
	LE_WAKE,   /* an operator ends the sleep */
	LE_SLEPT,  /* the host slept: what is connected is stale */
	LE_OFF,	   /* an operator switches it off */
	LINK_EVENTS
};

/* What follows when the connection is gone. */
enum link_after {
	AFTER_STOP,
	AFTER_DIAL,
	AFTER_IDLE,
	AFTER_DORMANT,
	AFTER_OFF
};

/* How far going_idle got on this connection. */
enum link_told {
	TOLD_NOTHING,
	TOLD_IDLE, /* since link.idle_at */
	TOLD_LATE, /* waited for in vain; its ack may still come */
	TOLD_ACKED /* the connector keeps what comes */
};

/* The dial or connection that failed last. */
struct last_failure {
	uint64_t at;		       /* core time; 0: never */
	const char *phase;	       /* how far it had come */
	uint16_t code, status;	       /* as in struct last_close */
	char reason[LIMIT_REASON + 1]; /* foreign text: escape on output */
};

/* Operators' requests that wait for the link at a time: more than there are
 * operators; each is over within 15 s. */
#define LINK_WISHES 8

struct wished {
	uint64_t cookie;
	uint8_t wish; /* enum link_wish */
};

/* The phases of a failed dial that `status` and `explain` name. */
struct last_close {
	uint16_t code;	 /* WebSocket close code, or 0 */
	uint16_t status; /* HTTP status of a refused upgrade, or 0 */
	uint8_t by_us;
	uint64_t at;		       /* core time; 0: never */
	char reason[LIMIT_REASON + 1]; /* foreign text: escape on output */
};

struct link {
	enum link_state state;
	uint64_t since; /* core time of the change of public state */
	char reason[LIMIT_REASON + 1]; /* of the last change; may hold foreign
					* text: escape on output */
	char lacks[LIMIT_REASON + 1];  /* why there is no credential, as
					* relay-authd last said: the reason of
					* LINK_UNPROVISIONED, however the last
					* connection ended */
	char mark[LIMIT_REASON + 1]; /* the reason of LINK_DISABLED, revoked */
	char off_why[LIMIT_REASON + 1]; /* the same, switched off */
	char asleep[LIMIT_REASON +
	    1];		     /* the reason of LINK_IDLE, LINK_DORMANT */
	const char *told;    /* public state that was told last */
	uint32_t attempt;    /* dials since the last healthy connection */
	uint8_t ever_up;     /* a handshake succeeded with this credential */
	uint8_t told_worked; /* or in an earlier run, relay-authd says */
	uint8_t troubled;    /* lost or refused since the last handshake */
	uint8_t usable;	     /* relay-authd holds a credential */
	uint8_t revoked;     /* which was revoked: nothing is dialled */
	uint8_t other_token; /* the connection's is of the credential before */
	uint8_t off;	     /* switched off by an operator: nor then */
	uint8_t after;	     /* enum link_after: when going down */
	uint8_t stale;	     /* the connection's settings are the ones before */
	uint8_t pressure;    /* too much waits for agents */
	uint8_t left;	     /* the last agent left by going idle */
	struct refusals refused;
	uint64_t dialed_at; /* core time the last dial began */
	uint64_t token_at;  /* core time of the last token */
	uint64_t up_at;	    /* core time of the last handshake */
	uint64_t shaken_at; /* the same, kept when the connection is gone */
	uint64_t next_dial; /* core time, in LINK_WAIT and LINK_DORMANT */
	struct timer timer; /* the state's deadline */
	struct timer ping_timer, pong_timer;
	uint64_t ping_at;     /* core time the open ping left; 0: none */
	uint64_t pong_at;     /* core time of the last pong; 0: never */
	int64_t rtt_ms;	      /* -1: not measured yet */
	uint64_t last_read;   /* core time of the last byte */
	uint64_t last_event;  /* core time of the last inbound; 0: never */
	uint64_t drain_until; /* LINK_DRAIN: end of the budget */
	uint8_t idle;	      /* enum link_told */
	uint64_t idle_at;     /* core time going_idle was sent */
	uint64_t alone_at;    /* core time since when no agent serves; 0: one
			       * does, or there is no connection */
	uint64_t again_at;    /* core time before which going_idle is not sent
			       * again: the last one was not acknowledged */
	struct timer quiet_timer; /* when the link may go quiet, or come back */
	struct wished wished[LINK_WISHES];
	uint8_t nwished;
	struct last_close last_close;
	struct last_failure last_failure;
	/* Written by the world: what the token begins with, which tells of
	 * the gateway's id alone; texts of the connector are rid of it. */
	char bearer[HIDE_PIECE + 1];
	/* written by the world, shown by status */
	char address[64];     /* reached by the last dial */
	const char *stage;    /* of a dial that fails: "name", "connect",
			       * "proxy"; NULL: it is not known */
	int64_t clock_skew_s; /* peer minus us, from Date; INT64_MIN: unknown */
	uint64_t skew_at;     /* core time of that */
};

void link_init(struct gateway *gw);
/* Something happened; why is for people and may hold foreign text. */
void link_event(struct gateway *gw, enum link_event ev, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The HTTP status that refused the upgrade, before LE_UPGRADE_REFUSED. */
void link_http_status(struct gateway *gw, int status);
/* The Date of an HTTP answer, in Unix seconds: before the event of the answer.
 */
void link_date(struct gateway *gw, int64_t unix_s);
/* Bytes arrived: the peer lives. */
void link_heard(struct gateway *gw);
/* The link's frames, from the wire. */
void link_closed(struct gateway *gw, uint16_t code, struct span reason);
void link_idle_ack(struct gateway *gw);
/* Something outstanding was answered: a drain may be over. */
void link_check_drained(struct gateway *gw);
/* Go down in order: to dial again (restart), or for good.  budget_ms 0: the
 * usual. */
void link_leave(
    struct gateway *gw, int restart, uint64_t budget_ms, const char *why);
void link_free(struct gateway *gw);

/* The state by its public name: "connected", "retrying", … (DESIGN 3). */
const char *link_public(const struct gateway *gw);
/* The finer state, for explain and debug: "tls", "upgrade", … */
const char *link_phase(const struct gateway *gw);
/* Whether the present credential ever completed a handshake. */
int link_worked(const struct link *l);
/* The credential is revoked: evidence is what `disabled` gives as reason. */
void link_mark(struct link *l, const char *evidence);
/* Whether frames can be sent. */
int link_is_up(const struct gateway *gw);
/* Whether it also is to stay: requests go out, pings are sent. */
int link_serves(const struct gateway *gw);

/* Going idle (link_idle.c). */

/* Agents came, went, or take no more events; or the settings that say what
 * then happens changed. */
void link_agents(struct gateway *gw);
/* An agent takes no more events by its own wish. */
void link_agent_idle(struct gateway *gw);
/* Somebody needs the link: one that is idle, or on its way there, dials. */
void link_wanted(struct gateway *gw, const char *why);
/* Too much waits for agents (on), or no longer: the connector is asked to keep
 * what comes, and the link is made anew at the end.  Takes effect at the end of
 * the turn. */
void link_pressure(struct gateway *gw, int on);
/* The host slept. */
void link_slept(struct gateway *gw);

/* Operators (link_wish.c): as core_wish(). */
const char *
link_wish(struct gateway *gw, int wish, uint64_t cookie, const char *who);
/* An operator switched it off before the engine started. */
void link_restore_off(struct gateway *gw);

#endif
