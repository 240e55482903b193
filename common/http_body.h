/* SPDX-License-Identifier: ISC */
/*
 * Bodies of HTTP/1.1 answers (RFC 9112, 6 and 7): of a length told before,
 * chunked, or until the connection closes.  Strict, within a bound, without
 * I/O.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include <stdint.h>

#include "http.h"

enum http_body_state {
	HTTP_BODY_MORE, /* it goes on */
	HTTP_BODY_DONE, /* it is whole */
	HTTP_BODY_BAD,	/* malformed or too long: err says why */
};

struct http_body {
	char *out; /* where it goes: the caller's */
	size_t cap;
	size_t len; /* of what is there */
	enum http_body_state state;
	const char *err; /* a static phrase */
	/* private */
	enum http_body_part {
		BODY_FIXED,
		BODY_CLOSE, /* until the end */
		BODY_SIZE,  /* of a chunk */
		BODY_SIZE_LF,
		BODY_CHUNK,
		BODY_CHUNK_CR,
		BODY_CHUNK_LF,
		BODY_TRAILER, /* at the beginning of a line */
		BODY_TRAILER_NAME,
		BODY_TRAILER_VALUE,
		BODY_TRAILER_LF,
		BODY_LAST_LF
	} part;
	uint64_t left;	/* of the body or the chunk */
	unsigned line;	/* bytes of the chunk's first line so far */
	unsigned tail;	/* bytes of the trailers so far */
	uint8_t digits; /* of the chunk's size */
	uint8_t beyond; /* its digits: within the extensions */
};

/*
 * Begin the body of an answer whose head http_parse_response took: not that
 * of a HEAD request.  It goes to out[0..cap), which stays the caller's.  The
 * state may be another than HTTP_BODY_MORE at once: there is none, or it is
 * told to be too long.
 */
void http_body_begin(
    struct http_body *b, const struct http_head *head, char *out, size_t cap);

/* Take the next bytes, up to the body's end; returns how many were taken,
 * which are fewer than n only when it is whole or bad. */
size_t http_body_feed(struct http_body *b, const char *p, size_t n);

/* The connection was closed, in an orderly way: whole, or bad. */
void http_body_close(struct http_body *b);

#endif
