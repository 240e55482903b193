/* SPDX-License-Identifier: ISC */
/* The connector's base URL and what is derived from it (CONTRACT 1). */
#ifndef URL_H
#define URL_H

#include <stdint.h>

#include "span.h"

#define URL_HOST_MAX 253  /* a DNS name (RFC 1035 2.3.4) */
#define URL_PATH_MAX 1024 /* generous; the request line must fit in a head */

struct url {
	uint8_t tls;   /* https, wss */
	uint8_t ipv6;  /* host is an IPv6 literal (without brackets here) */
	uint16_t port; /* explicit or the scheme's default */
	char host[URL_HOST_MAX + 1];	  /* lower case */
	char authority[URL_HOST_MAX + 9]; /* host and port as configured: for
					   * the Host header and URLs */
	char base[URL_PATH_MAX + 1];	  /* path before /relay: "" or "/x/y" */
};

/*
 * Take another http(s) URL apart, a token URL: its path and query are left as
 * they stand.  *target points to them in text ("" when there are none).
 * Returns NULL, or a phrase; u->base is empty.
 */
const char *
url_parse_target(struct url *u, const char *text, const char **target);
/* The same place in a URL that was parsed. */
const char *url_target(const char *text);

enum url_use { URL_DIAL, URL_PROVISION, URL_ENROLL, URL_POLICY, URL_MEDIA };

/*
 * Take a configured URL apart.  White space around it is dropped, a trailing
 * /relay and slashes too.  Returns NULL, or a phrase that says what is wrong
 * (scheme, userinfo, query, fragment, port, empty host, control characters …).
 */
const char *url_parse(struct url *u, struct span text);

/* The path for a use, e.g. "/base/relay/enroll".  Returns its length, or -1
 * when cap is too small. */
int url_path(const struct url *u, enum url_use use, char *out, size_t cap);

/* The whole URL for a use (ws or wss for URL_DIAL, http or https else). */
int url_text(const struct url *u, enum url_use use, char *out, size_t cap);

/* Whether two configured URLs are good and mean the same. */
int url_same(struct span a, struct span b);

/* Whether the host is a loopback literal (127.0.0.0/8, ::1) or "localhost":
 * where a connection without TLS never leaves the machine. */
int url_is_loopback(const struct url *u);

#endif
