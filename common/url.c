/* SPDX-License-Identifier: ISC */
/* The connector's base URL. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "url.h"

#define LABEL_MAX 63 /* bytes between the dots of a name (RFC 1035 2.3.4) */
#define LINK_PATH "/relay"

static const char alnum[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static const struct {
	const char *prefix;
	uint8_t tls;
} schemes[] = {
    {"http://", 0},
    {"https://", 1},
    {"ws://", 0},
    {"wss://", 1},
};

static int
is_in(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static struct span
trim(struct span t)
{
	while (t.len > 0 && is_in(t.p[0], " \t\r\n")) {
		t.p++;
		t.len--;
	}
	while (t.len > 0 && is_in(t.p[t.len - 1], " \t\r\n"))
		t.len--;
	return t;
}

static unsigned
default_port(const struct url *u)
{
	return u->tls ? 443 : 80;
}

/* What no part of the URL may hold, told apart for who typed it. */
static const char *
check_characters(struct span t)
{
	size_t i;

	for (i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if (c < 0x20 || c == 0x7f)
			return "control character in the URL";
		if (c == ' ')
			return "space in the URL";
		if (c > 0x7f)
			return "character that is not ASCII in the URL (write "
			       "an international host name in its xn-- form)";
		if (c == '?')
			return "the URL must not have a query (?)";
		if (c == '#')
			return "the URL must not have a fragment (#)";
		if (c == '@')
			return "the URL must not hold a user name or password "
			       "(@)";
	}
	return NULL;
}

static const char *
parse_scheme(struct url *u, struct span *t)
{
	size_t i, n;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		n = strlen(schemes[i].prefix);
		if (t->len >= n &&
		    strncasecmp(t->p, schemes[i].prefix, n) == 0) {
			u->tls = schemes[i].tls;
			t->p += n;
			t->len -= n;
			return NULL;
		}
	}
	return "the URL must begin with https://, wss://, http:// or ws://";
}

static const char *
parse_port(struct url *u, const char *p, size_t len)
{
	unsigned v = 0;
	size_t i;

	if (len == 0 || len > 5 || p[0] == '0')
		return "the port must be a number from 1 to 65535";
	for (i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return "the port must be a number from 1 to 65535";
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	if (v > 65535)
		return "the port must be a number from 1 to 65535";
	u->port = (uint16_t)v;
	return NULL;
}

/* A name of labels, or an IPv4 address: a last label of digits alone can only
 * be meant as one. */
static const char *
check_name(const char *host)
{
	const char *label = host, *last;
	struct in_addr a;
	size_t n;

	for (;; label += n + 1) {
		n = strcspn(label, ".");
		if (n == 0 || n > LABEL_MAX)
			return "the host name has an empty or overlong label";
		if (label[0] == '-' || label[n - 1] == '-')
			return "a label of the host name begins or ends with -";
		last = label;
		if (label[n] == '\0')
			break;
	}
	for (n = 0; host[n] != '\0'; n++)
		if (!is_in(host[n], alnum) && !is_in(host[n], "-._"))
			return "the host name holds a character that no host "
			       "name has";
	if (strspn(last, "0123456789") == strlen(last) &&
	    inet_pton(AF_INET, host, &a) != 1)
		return "the host is neither a name nor an IPv4 address";
	return NULL;
}

static const char *
parse_host(struct url *u, const char *p, size_t len)
{
	struct in6_addr a;
	size_t i;

	if (len == 0)
		return "the URL has no host";
	if (len > URL_HOST_MAX)
		return "the host name is longer than 253 characters";
	for (i = 0; i < len; i++)
		u->host[i] =
		    (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i]);
	u->host[len] = '\0';
	if (!u->ipv6)
		return check_name(u->host);
	if (inet_pton(AF_INET6, u->host, &a) != 1)
		return "what stands in brackets is no IPv6 address";
	return NULL;
}

static const char *
parse_authority(struct url *u, struct span t)
{
	const char *host = t.p, *end = t.p + t.len, *hostend, *why, *colon;

	u->ipv6 = t.len > 0 && *host == '[';
	if (u->ipv6) {
		if ((hostend = memchr(host, ']', t.len)) == NULL)
			return "the IPv6 address lacks its closing bracket";
		host++;
		colon = hostend + 1;
		if (colon < end && *colon != ':')
			return "something other than a port follows the host";
	} else {
		hostend = t.len == 0 ? NULL : memchr(host, ':', t.len);
		if (hostend == NULL)
			hostend = end;
		colon = hostend;
	}
	if ((why = parse_host(u, host, (size_t)(hostend - host))) != NULL)
		return why;
	if (colon < end) {
		why = parse_port(u, colon + 1, (size_t)(end - colon - 1));
		if (why != NULL)
			return why;
	}
	if (t.len >= sizeof(u->authority))
		return "host and port are too long";
	memcpy(u->authority, t.p, t.len);
	u->authority[t.len] = '\0';
	return NULL;
}

/* Characters of a path (RFC 3986 3.3), and no segment that a server would
 * resolve to another path than the one written. */
static const char *
check_path(const char *path)
{
	const char *p, *segment;
	size_t n;

	for (p = path; *p != '\0'; p++) {
		if (*p == '%') {
			if (strspn(p + 1, "0123456789abcdefABCDEF") < 2)
				return "% without two hexadecimal digits in "
				       "the URL's path";
		} else if (!is_in(*p, alnum) && !is_in(*p, "/-._~!$&'()*+,;=:"))
			return "the URL's path holds a character that must be "
			       "written as %XX";
	}
	for (segment = path; *segment == '/'; segment += n) {
		n = strcspn(++segment, "/");
		if ((n == 1 && segment[0] == '.') ||
		    (n == 2 && segment[0] == '.' && segment[1] == '.'))
			return "the URL's path must not hold . or .. segments";
	}
	return NULL;
}

static const char *
parse_path(struct url *u, struct span t)
{
	size_t n = strlen(LINK_PATH);

	while (t.len > 0 && t.p[t.len - 1] == '/')
		t.len--;
	if (t.len >= n && memcmp(t.p + t.len - n, LINK_PATH, n) == 0)
		t.len -= n;
	while (t.len > 0 && t.p[t.len - 1] == '/')
		t.len--;
	if (t.len > URL_PATH_MAX)
		return "the URL's path is longer than 1024 characters";
	if (t.len > 0)
		memcpy(u->base, t.p, t.len);
	u->base[t.len] = '\0';
	return check_path(u->base);
}

const char *
url_parse(struct url *u, struct span text)
{
	struct span authority;
	const char *why, *slash;

	memset(u, 0, sizeof(*u));
	text = trim(text);
	if (text.len == 0)
		return "the URL is empty";
	if ((why = check_characters(text)) != NULL ||
	    (why = parse_scheme(u, &text)) != NULL)
		return why;
	authority = text;
	if (text.len > 0 && (slash = memchr(text.p, '/', text.len)) != NULL)
		authority.len = (size_t)(slash - text.p);
	text.p += authority.len;
	text.len -= authority.len;
	u->port = (uint16_t)default_port(u);
	if ((why = parse_authority(u, authority)) != NULL)
		return why;
	return parse_path(u, text);
}

const char *
url_target(const char *text)
{
	const char *host = strstr(text, "://");

	host = host == NULL ? text : host + 3;
	return host + strcspn(host, "/?#");
}

/* Visible ASCII without what would end a request target or mean nothing to a
 * server. */
static const char *
check_target(const char *p)
{
	for (; *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~')
			return "the URL holds a character that must be written "
			       "as %XX";
		if (*p == '#')
			return "the URL must not have a fragment (#)";
	}
	return NULL;
}

const char *
url_parse_target(struct url *u, const char *text, const char **target)
{
	const char *why;

	*target = url_target(text);
	why = url_parse(u, (struct span){text, (size_t)(*target - text)});
	return why == NULL ? check_target(*target) : why;
}

static const char *
use_suffix(enum url_use use)
{
	static const char *const suffix[] = {
	    [URL_DIAL] = "",
	    [URL_PROVISION] = "/provision",
	    [URL_ENROLL] = "/enroll",
	    [URL_POLICY] = "/policy",
	    [URL_MEDIA] = "/media",
	};

	return suffix[use];
}

/* snprintf's answer as ours: text that does not fit is an error. */
static int
fitted(int n, size_t cap)
{
	return n < 0 || (size_t)n >= cap ? -1 : n;
}

int
url_path(const struct url *u, enum url_use use, char *out, size_t cap)
{
	int n;

	n = snprintf(out, cap, "%s%s%s", u->base, LINK_PATH, use_suffix(use));
	return fitted(n, cap);
}

int
url_text(const struct url *u, enum url_use use, char *out, size_t cap)
{
	int n;

	n = snprintf(out, cap, "%s%s://%s%s%s%s",
	    use == URL_DIAL ? "ws" : "http", u->tls ? "s" : "", u->authority,
	    u->base, LINK_PATH, use_suffix(use));
	return fitted(n, cap);
}

int
url_is_loopback(const struct url *u)
{
	struct in_addr a;
	struct in6_addr a6;

	if (u->ipv6)
		return inet_pton(AF_INET6, u->host, &a6) == 1 &&
		    IN6_IS_ADDR_LOOPBACK(&a6);
	if (inet_pton(AF_INET, u->host, &a) == 1)
		return ntohl(a.s_addr) >> 24 == 127;
	return strcmp(u->host, "localhost") == 0;
}

int
url_same(struct span a, struct span b)
{
	struct url u, v;

	return url_parse(&u, a) == NULL && url_parse(&v, b) == NULL &&
	    u.tls == v.tls && u.port == v.port && strcmp(u.host, v.host) == 0 &&
	    strcmp(u.base, v.base) == 0;
}
