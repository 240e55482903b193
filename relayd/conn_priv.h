/* SPDX-License-Identifier: ISC */
/* What conn.c (socket, buffers, loop) and conn_tls.c share. */
#ifndef CONN_PRIV_H
#define CONN_PRIV_H

#include <sys/queue.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "conn.h"
#include "limit.h"
#include "url.h"

/* An input buffer: frames up to this size are handed on without a copy. */
#define CONN_BUFFER (256U * 1024)
/* Bytes of a reason. */
#define CONN_WHY LIMIT_REASON

struct event;

/* What is due when the turn ends. */
#define DUE_WRITE 0x1
#define DUE_READ  0x2
#define DUE_FAIL  0x4

enum conn_io {
	CONN_DONE,    /* some bytes went; there may be room for more */
	CONN_BLOCKED, /* no more now */
	CONN_ENDED    /* the end or a failure: c->why says which */
};

struct conn {
	TAILQ_ENTRY(conn) entry;      /* of e->conns->due, while due is set */
	TAILQ_ENTRY(conn) rest_entry; /* of e->conns->resting */
	struct engine *e;
	const struct conn_ops *ops;
	void *arg;
	int fd;
	struct event *rd, *wr;
	struct event *rest; /* ends a rest */
	SSL *ssl;	    /* NULL: plain */
	struct ca *ca;	    /* verifies */
	char *buf;	    /* what was read and not taken */
	size_t len;
	uint8_t big;	/* buf has CONN_BUFFER bytes, else len */
	uint8_t due;	/* DUE_* */
	uint8_t queued; /* due since before this turn */
	uint8_t reading;
	uint8_t resting;       /* its owner is sated */
	uint8_t fresh;	       /* the handlers changed */
	uint8_t over;	       /* ended() was called */
	uint8_t dead;	       /* freed, as soon as nobody is inside */
	uint8_t up;	       /* TLS is */
	uint8_t broken;	       /* TLS: nothing more may be said */
	uint8_t read_blocked;  /* reading waits for the socket's room */
	uint8_t write_blocked; /* writing waits for the peer */
	unsigned busy;
	char name[URL_HOST_MAX + 1]; /* that the peer must prove */
	char tls_text[64];
	char why[CONN_WHY + 1];
};
TAILQ_HEAD(conn_list, conn);

/* conn.c */

/* Why it ended. */
void conn_why(struct conn *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same from an errno; 0: the end. */
void conn_errno(struct conn *c, int err);
/* conn_turn() shall look at it. */
void conn_kick(struct conn *c);

/* conn_tls.c */

/* Whether TLS is wanted and not up yet. */
int conn_tls_busy(const struct conn *c);
/* CONN_DONE: it is up. */
enum conn_io conn_tls_handshake(struct conn *c);
/* Read to the buffer's end, at most room bytes; *n gets how many. */
enum conn_io conn_tls_read(struct conn *c, size_t room, size_t *n);
enum conn_io conn_tls_write(struct conn *c, struct span s, size_t *n);
/* Say goodbye if that goes without waiting, and free. */
void conn_tls_end(struct conn *c);

#endif
