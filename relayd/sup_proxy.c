/* SPDX-License-Identifier: ISC */
/*
 * Which proxy a gateway's link goes through: its own setting, else what the
 * usual variables say for a TLS link.
 */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sup_secret.h"

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
sup_no_proxy(const char *list, const char *host, uint16_t port)
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

/* The proxy the environment names. */
static const char *
from_env(struct sup_proxy *p, const struct sup_env *e, const struct url *to,
    const char **var)
{
	const char *text = NULL, *list, *why;
	struct url url;
	char full[sizeof("http://") + URL_HOST_MAX + 16];
	int i;

	for (i = 0; i < SEALED_PROXIES && text == NULL; i++)
		text = sup_env_get(e, sup_proxy_vars[i]);
	if (text == NULL)
		return NULL;
	*var = sup_proxy_vars[--i];
	if ((list = sup_env_get(e, "no_proxy")) == NULL)
		list = sup_env_get(e, "NO_PROXY");
	if (sup_no_proxy(list, to->host, to->port))
		return NULL;
	if (strstr(text, "://") == NULL) {
		strlcpy(full, "http://", sizeof(full));
		if (strlcat(full, text, sizeof(full)) >= sizeof(full))
			return "too long for host and port";
		text = full;
	}
	if (strncasecmp(text, "http://", 7) != 0)
		return "only http:// proxies are supported";
	if ((why = url_parse(&url, span_str(text))) != NULL)
		return why;
	strlcpy(p->host, url.host, sizeof(p->host));
	p->port = url.port;
	if (e->sealed[SEALED_PROXY + i] != -1)
		p->sealed = SEALED_PROXY + i;
	return NULL;
}

const char *
sup_proxy(struct sup_proxy *p, const struct sup_env *e,
    const struct conf_gateway *g, const struct url *to, const char **var)
{
	memset(p, 0, sizeof(*p));
	p->sealed = -1;
	*var = NULL;
	/* A token URL without TLS is this machine's, or a metadata server
	 * beside it. */
	if (to == &g->token.oidc && !to->tls)
		return NULL;
	if (g->proxy.set == 1) {
		strlcpy(p->host, g->proxy.url.host, sizeof(p->host));
		p->port = g->proxy.url.port;
		p->file = g->proxy.credentials_file;
		return NULL;
	}
	/* Without TLS there is nothing the proxy could tunnel safely, and
	 * HTTP_PROXY is a classic way to be tricked (CGI): left alone. */
	if (g->proxy.set == -1 || !to->tls)
		return NULL;
	return from_env(p, e, to, var);
}
