/* SPDX-License-Identifier: ISC */
/* The connection of an exchange: TLS, or plain text, on a socket that never
 * blocks. */
#ifndef XCHG_CONN_H
#define XCHG_CONN_H

#include <openssl/ssl.h>

#include "msg.h"

/* What a call came to. */
enum xchg_io {
	XCHG_IO_DONE,
	XCHG_IO_WAIT,  /* for what `wants` says */
	XCHG_IO_END,   /* closed by the peer, in an orderly way */
	XCHG_IO_BROKEN /* `stage` and `why` say how */
};

struct xchg_conn {
	int fd;
	SSL *ssl;    /* NULL: plain text */
	int up;	     /* the handshake is over, or there is none */
	short wants; /* POLLIN, POLLOUT */
	enum xchg_stage stage;
	char name[URL_HOST_MAX + 1]; /* the certificate's */
	char why[LIMIT_REASON + 1];
};

/* Begin in plain text; fd stays the caller's. */
void xchg_conn_init(struct xchg_conn *c, int fd);
/* With TLS, and a certificate for name.  0, or -1 with stage and why. */
int xchg_conn_tls(struct xchg_conn *c, SSL_CTX *ctx, struct span name);
/* Go on with the handshake. */
enum xchg_io xchg_conn_handshake(struct xchg_conn *c);

/* At most n bytes; *done gets how many. */
enum xchg_io
xchg_conn_read(struct xchg_conn *c, char *p, size_t n, size_t *done);
enum xchg_io
xchg_conn_write(struct xchg_conn *c, const char *p, size_t n, size_t *done);

/* Say good-bye as far as that goes without waiting. */
void xchg_conn_end(struct xchg_conn *c);

#endif
