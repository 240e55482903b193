/* SPDX-License-Identifier: ISC */
/* HTTP proxies: a tunnel by CONNECT (RFC 9110 9.3.6) over a connected
 * socket. */
#ifndef PROXY_H
#define PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "http.h"
#include "limit.h"
#include "span.h"

/* Bytes of user:password: passwords are shorter, bearer-like ones fit. */
#define PROXY_USERPASS_MAX 512
/* Bytes of a request: the host twice (with brackets and port), base64 of
 * PROXY_USERPASS_MAX, and the fixed words. */
#define PROXY_REQUEST_MAX 1536
/* From the request to the answer's head: the proxy connects meanwhile. */
#define PROXY_MS 15000

/* Write the request for a tunnel to host:port.  userpass: "user:password" or
 * absent; at most PROXY_USERPASS_MAX.  The request holds it: it is to be
 * cleansed.  Returns its length. */
size_t proxy_request(char out[PROXY_REQUEST_MAX], const char *host,
    uint16_t port, struct span userpass);

/* The answer's head, as it comes. */
struct proxy_reader {
	size_t len;
	char head[HTTP_HEAD_MAX];
};

enum proxy_got {
	PROXY_MORE,   /* not all there yet */
	PROXY_OPEN,   /* the tunnel stands */
	PROXY_REFUSED /* why says what it answered */
};

/* Read what is there from a non-blocking socket, and no byte beyond the head:
 * those are the tunnel's.  why[LIMIT_REASON + 1] gets "answered 403 …", a
 * phrase without subject. */
enum proxy_got
proxy_read(struct proxy_reader *r, int fd, char why[LIMIT_REASON + 1]);

#endif
