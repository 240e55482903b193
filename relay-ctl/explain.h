/* SPDX-License-Identifier: ISC */
/*
 * What relay-ctl explain knows of a gateway, and what it makes of it: the
 * first of a table's rows whose condition holds.
 */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include <stdint.h>
#include <stdio.h>

#include "client.h"
#include "field.h"

/* What a link stands on, from below. */
enum layer {
	AT_NOTHING, /* nothing fails */
	AT_CONFIGURATION,
	AT_CREDENTIAL,
	AT_NAME,
	AT_CONNECT,
	AT_TLS,
	AT_UPGRADE,
	AT_HANDSHAKE,
	AT_LINK, /* it was up, and ended */
	AT_AGENTS,
	LAYERS
};

enum {
	F_DIALS = 1 << 0,  /* connecting or retrying */
	F_FAILED = 1 << 1, /* a dial or a connection did */
	F_REVOKED = 1 << 2,
	F_WORKED = 1 << 3,    /* the credential, once */
	F_SKEWED = 1 << 4,    /* the clocks differ too much */
	F_AGENTS = 1 << 5,    /* there are some */
	F_SERVED = 1 << 6,    /* one takes events */
	F_SLOW = 1 << 7,      /* one does not acknowledge */
	F_FULL = 1 << 8,      /* more waits than agents take */
	F_HOLD = 1 << 9,      /* without an agent it stays connected */
	F_SKIPPED = 1 << 10,  /* not all identities are fronted */
	F_PINNED = 1 << 11,   /* a secret is configured: enrolling is refused */
	F_UNUSABLE = 1 << 12, /* there is no credential to be used */
	F_PLAIN = 1 << 13,    /* the URL asks for no TLS */
	F_OTHER = 1 << 14,    /* the last handshake was another credential's */
	F_WAS_UP = 1 << 15,   /* what failed was a connection that was up */
	F_REPEATS = 1 << 16   /* such ended soon, several times in a row */
};

/* All texts are made safe for a terminal, and never NULL. */
struct facts {
	char *name, *state, *phase, *reason, *url, *host, *address, *tls;
	char *evidence;			 /* of a revocation */
	char *skipped;			 /* why identities are not fronted */
	char *failed_phase, *failed;	 /* where, and why */
	char *credential, *lacks, *slow; /* its source; why there is none; who
					  * does not acknowledge */
	uint32_t is;			 /* F_… */
	int code, http;			 /* of the failure; 0: none */
	int64_t since, for_s, attempt, failed_at, failed_ago;
	int64_t up_s, losses; /* how long the last was up; -1: none was */
	int64_t shaken_s, pong_s, heard_s, event_s, rtt_ms, cred_age_s, skew_s;
	int64_t agents, unacked, waiting, aside, bad_lines; /* counts */
	int64_t used, room;		    /* bytes of the journal */
	double next_s, idle_in_s, oldest_s; /* negative: none */
};

/* In the words: $g the gateway, $u its URL, $h the URL's host, $s the agents'
 * socket, $a who does not acknowledge, $r what ends a revocation. */
struct finding {
	/* The condition; what is not named is not looked at. */
	const char *state;	 /* the gateway's */
	const char *phase;	 /* where the last failure was */
	const char *text;	 /* in the failure's reason while it dials, else
				  * in the state's; a|b|c: one of them */
	int http, http_to, code; /* http_to 0: http alone */
	uint32_t with, without;	 /* F_… */
	/* What it means. */
	enum layer layer;
	const char *what, *next, *todo; /* NULL: nothing more to say */
};

/* Read a gateway's object of the status.  0, or -1 without memory; facts_free
 * in any case. */
int facts_read(struct facts *f, struct obj *g);
void facts_free(struct facts *f);
/* Explain every gateway of a status, by that alone. */
struct ctl;
void explain_put(const struct ctl *ctl, FILE *f, struct span reply);
/* The row that holds: there always is one. */
const struct finding *explain_find(const struct facts *f);

/* The first column of a line. */
void explain_label(FILE *f, const char *label);
/* Say so when a reload was refused; 1 when there was something to say. */
int explain_refused(const struct ctl *ctl, FILE *f);
/* The same in a line, below a status. */
void explain_refused_note(const struct ctl *ctl, FILE *f);
/* Explain why there is no status; returns the exit status. */
int explain_absent(
    const struct ctl *ctl, const struct client *c, enum client_result r);

#endif
