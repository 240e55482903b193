/* SPDX-License-Identifier: ISC */
/* What the usual variables of the environment say of proxies. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proxy_env.h"

const char *const proxy_env_vars[PROXY_ENV_VARS] = {
    "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};

/* Whether one entry of the list covers the host: "*", the name itself, or a
 * name it ends in (at a dot). */
static int
covers(struct span entry, const char *host, uint16_t port)
{
	size_t hlen = strlen(host), n;
	const char *colon;

	if (entry.len == 1 && *entry.p == '*')
		return 1;
	/* A port, unless the colons are an IPv6 address's. */
	colon = memchr(entry.p, ':', entry.len);
	if (colon != NULL && strchr(host, ':') == NULL) {
		if (strtoul(colon + 1, NULL, 10) != port)
			return 0;
		entry.len = (size_t)(colon - entry.p);
	}
	while (entry.len > 0 && (*entry.p == '.' || *entry.p == '*')) {
		entry.p++;
		entry.len--;
	}
	n = entry.len;
	if (n == 0 || n > hlen || strncasecmp(host + hlen - n, entry.p, n) != 0)
		return 0;
	return n == hlen || host[hlen - n - 1] == '.';
}

int
proxy_env_excepts(const char *list, const char *host, uint16_t port)
{
	struct span entry;
	const char *p = list;

	if (list == NULL)
		return 0;
	for (;;) {
		p += strspn(p, ", \t");
		if (*p == '\0')
			return 0;
		entry.p = p;
		entry.len = strcspn(p, ", \t");
		p += entry.len;
		if (covers(entry, host, port))
			return 1;
	}
}

const char *
proxy_env_parse(struct url *u, const char *text)
{
	char full[sizeof("http://") + URL_HOST_MAX + 16];

	if (strstr(text, "://") == NULL) {
		strlcpy(full, "http://", sizeof(full));
		if (strlcat(full, text, sizeof(full)) >= sizeof(full))
			return "too long for host and port";
		text = full;
	}
	if (strncasecmp(text, "http://", 7) != 0)
		return "only http:// proxies are supported";
	return url_parse(u, span_str(text));
}
