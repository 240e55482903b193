/* SPDX-License-Identifier: ISC */
/* HTTP proxies; see proxy.h. */
#include <sys/socket.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "log.h"
#include "proxy.h"
#include "url.h"

/* Characters of a proxy's reason phrase that are shown. */
#define REASON_SHOWN 120

_Static_assert(2 * (URL_HOST_MAX + 8) + BASE64_LEN(PROXY_USERPASS_MAX) + 100 <
	PROXY_REQUEST_MAX,
    "the longest request fits");

static size_t
put(char *out, size_t n, const char *text)
{
	size_t len = strlen(text);

	memcpy(out + n, text, len);
	return n + len;
}

size_t
proxy_request(char out[PROXY_REQUEST_MAX], const char *host, uint16_t port,
    struct span userpass)
{
	const int six = strchr(host, ':') != NULL;
	char at[URL_HOST_MAX + 9];
	size_t n = 0;

	snprintf(at, sizeof(at), six ? "[%s]:%u" : "%s:%u", host, port);
	n = put(out, n, "CONNECT ");
	n = put(out, n, at);
	n = put(out, n, " HTTP/1.1\r\nHost: ");
	n = put(out, n, at);
	n = put(out, n, "\r\n");
	if (userpass.p != NULL) {
		n = put(out, n, "Proxy-Authorization: Basic ");
		n += base64_encode(out + n, userpass.p, userpass.len);
		n = put(out, n, "\r\n");
	}
	return put(out, n, "\r\n");
}

static enum proxy_got
judge(const struct http_head *head, char why[LIMIT_REASON + 1])
{
	char reason[REASON_SHOWN];

	if (head->status >= 200 && head->status <= 299)
		return PROXY_OPEN;
	log_vis(reason, sizeof(reason), head->reason);
	snprintf(why, LIMIT_REASON + 1, "answered %d%s%s%s", head->status,
	    reason[0] == '\0' ? "" : " ", reason,
	    head->status == 407 ? ": check the proxy's user and password" : "");
	return PROXY_REFUSED;
}

static enum proxy_got
refused(char why[LIMIT_REASON + 1], const char *what, const char *more)
{
	snprintf(why, LIMIT_REASON + 1, "%s%s", what, more);
	return PROXY_REFUSED;
}

/* Take bytes that were only looked at so far. */
static int
consume(struct proxy_reader *r, int fd, size_t n)
{
	ssize_t got = recv(fd, r->head + r->len, n, 0);

	if (got < 0 || (size_t)got != n)
		return -1;
	r->len += n;
	return 0;
}

enum proxy_got
proxy_read(struct proxy_reader *r, int fd, char why[LIMIT_REASON + 1])
{
	struct http_head head;
	ptrdiff_t whole;
	ssize_t n;

	n = recv(fd, r->head + r->len, sizeof(r->head) - r->len, MSG_PEEK);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return PROXY_MORE;
	if (n == -1)
		return refused(why, "broke off: ", strerror(errno));
	if (n == 0)
		return refused(
		    why, "closed the connection without an answer", "");
	whole = http_parse_response(&head, r->head, r->len + (size_t)n);
	if (whole < 0)
		return refused(why, "gave no HTTP answer: ", head.err);
	if (whole == 0 && r->len + (size_t)n == sizeof(r->head))
		return refused(why, "gave a head that is too long", "");
	if (consume(r, fd, whole == 0 ? (size_t)n : (size_t)whole - r->len) ==
	    -1)
		return refused(why, "broke off within its answer", "");
	return whole == 0 ? PROXY_MORE : judge(&head, why);
}
