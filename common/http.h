/* SPDX-License-Identifier: ISC */
/*
 * HTTP/1.1 message heads (RFC 9112), parsed strictly and within bounds,
 * without I/O: a head is refused rather than guessed at.
 */
#ifndef HTTP_H
#define HTTP_H

#include "span.h"

/* Bytes of a whole head: larger ones come from no connector or proxy we know.
 */
#define HTTP_HEAD_MAX 16384
/* Bytes of one line of it: the bound of common servers. */
#define HTTP_LINE_MAX 8192
/* Connectors and proxies send about 20. */
#define HTTP_HEADERS_MAX 64

struct http_header {
	struct span name;
	struct span value; /* without white space around it */
};

struct http_head {
	int minor;	    /* HTTP/1.minor: 0 or 1 */
	int status;	    /* response: 100 to 599 */
	struct span reason; /* response: may be empty; foreign text */
	struct span method; /* request */
	struct span target; /* request */
	size_t nheaders;
	struct http_header header[HTTP_HEADERS_MAX];
	const char *err; /* why parsing failed, a static phrase */
};

/*
 * Parse a head at the beginning of p[0..len).  Returns its length in bytes,
 * the empty line included; 0 when more bytes are needed; -1 with head->err
 * when it is malformed or over a bound (no obs-fold, no bare LF or CR, no
 * white space before the colon, no control characters, token names), or when
 * its body could be framed in two ways (Content-Length twice, not a number or
 * beside Transfer-Encoding; a coding other than chunked), or when a request
 * has two Hosts or, in HTTP/1.1, none.
 */
ptrdiff_t
http_parse_response(struct http_head *head, const char *p, size_t len);
ptrdiff_t http_parse_request(struct http_head *head, const char *p, size_t len);

/* The only header of that name (case-insensitive), or an absent span when
 * there is none or several; *dup (may be NULL) tells whether several. */
struct span
http_header(const struct http_head *head, const char *name, int *dup);

/* Whether a comma-separated list header holds the token, case-insensitive,
 * over all lines of that name. */
int http_has_token(
    const struct http_head *head, const char *name, const char *token);

/* Whether it is a character of a token (RFC 9110 5.6.2). */
int http_is_token(char c);

/* The time of a Date header (IMF-fixdate, RFC 9110 5.6.7) in Unix seconds, or
 * -1. */
long long http_date(struct span value);

#endif
