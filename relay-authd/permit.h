/* SPDX-License-Identifier: ISC */
/*
 * The permit table: for which connections a token may be minted.  The dialer
 * reports each connection that it made; the engine may then ask once for a
 * token for it.  No I/O, no clock of its own.
 */
#ifndef PERMIT_H
#define PERMIT_H

#include <stdint.h>

#include "limit.h"

/* How long after the report a token may be asked for: TLS and the engine's
 * own deadlines fit in well. */
#define PERMIT_TTL_MS 60000
/* Reports of one gateway that are remembered.  A gateway has one dial at a
 * time, so an engine that still asks for the one before last is slow; eight
 * back, it would have to be asleep. */
#define PERMIT_KEEP 8

enum permit_state {
	PERMIT_FREE,
	PERMIT_OPEN,   /* reported, no token yet */
	PERMIT_USED,   /* its token was minted */
	PERMIT_RETIRED /* void, without anybody's fault */
};

struct permit {
	uint64_t conn;
	uint64_t at_ms; /* of the report */
	enum permit_state state;
};

struct permits {
	struct {
		struct permit slot[PERMIT_KEEP];
		unsigned next; /* the oldest, to be replaced */
	} gateway[LIMIT_GATEWAYS];
	uint64_t first, last; /* numbers reported by the present dialer; 0 */
	uint64_t since_ms;    /* from when on its reports are known */
};

enum permit_answer {
	PERMIT_GRANTED, /* open: mint, then permit_use */
	PERMIT_GONE,	/* expired, retired, or from before our time */
	PERMIT_AGAIN,	/* used up: an offence */
	PERMIT_UNKNOWN	/* never reported: an offence */
};

/* All void, all memory of numbers gone: a new dialer, or a new relay-authd
 * that does not know what the last one was told. */
void permit_restart(struct permits *t, uint64_t now_ms);

/* The dialer reports a connection.  0, or -1 when its number is not above all
 * that it used before: they count up.  void_now: the gateway was removed
 * meanwhile; the number is remembered, no token will be given. */
int permit_report(struct permits *t, uint32_t gateway, uint64_t conn,
    int void_now, uint64_t now_ms);

/* May a token be minted for this connection? */
enum permit_answer permit_ask(
    const struct permits *t, uint32_t gateway, uint64_t conn, uint64_t now_ms);

/* It was: never again.  Only after PERMIT_GRANTED. */
void permit_use(struct permits *t, uint32_t gateway, uint64_t conn);

/* The gateway is another one now, or none: its open permits are void. */
void permit_retire(struct permits *t, uint32_t gateway);

#endif
