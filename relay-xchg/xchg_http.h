/* SPDX-License-Identifier: ISC */
/* The one request of an exchange, and its answer as it comes in.  Without
 * I/O. */
#ifndef XCHG_HTTP_H
#define XCHG_HTTP_H

#include "http_body.h"
#include "msg.h"

/* Bytes of a request: what a message can hold, and the fixed header lines. */
#define XCHG_REQUEST_MAX (LIMIT_PACKET + 1024)
/* Bytes of an answer's body: a credential has less than a kilobyte, a token
 * with many claims some. */
#define XCHG_BODY_MAX 65536
/* Interim answers before the one: servers that send any send one or two. */
#define XCHG_INTERIM_MAX 8

/*
 * Write the request: GET, or POST when there is a content type.  Returns its
 * length, or 0 with a phrase in *why when something in it cannot stand in a
 * request.
 */
size_t xchg_http_request(
    char out[XCHG_REQUEST_MAX], const struct msg_xrequest *q, const char **why);

struct xchg_reader {
	enum { READER_HEAD, READER_BODY, READER_DONE, READER_BAD } state;
	const char *err; /* a static phrase */
	int status;	 /* of the answer; 0: not known yet */
	struct http_head parsed;
	struct http_body body;
	/* private */
	unsigned interim;
	size_t headlen;
	char head[HTTP_HEAD_MAX];
	char content[XCHG_BODY_MAX];
};

/* Begin.  The reader's memory is the caller's; it points into itself. */
void xchg_reader_init(struct xchg_reader *r);
/* Take what came.  What follows a whole answer is left unread. */
void xchg_reader_feed(struct xchg_reader *r, const char *p, size_t n);
/* No more comes: the peer closed in an orderly way. */
void xchg_reader_close(struct xchg_reader *r);

#endif
