/* SPDX-License-Identifier: ISC */
/*
 * Which proxy a gateway's link goes through: its own setting, else what the
 * usual variables say for a TLS link.
 */

#include <string.h>

#include "proxy_env.h"
#include "sup_secret.h"

/* The proxy the environment names. */
static const char *
from_env(struct sup_proxy *p, const struct sup_env *e, const struct url *to,
    const char **var)
{
	const char *text = NULL, *list, *why;
	struct url url;
	int i;

	for (i = 0; i < SEALED_PROXIES && text == NULL; i++)
		text = sup_env_get(e, proxy_env_vars[i]);
	if (text == NULL)
		return NULL;
	*var = proxy_env_vars[--i];
	if ((list = sup_env_get(e, "no_proxy")) == NULL)
		list = sup_env_get(e, "NO_PROXY");
	if (proxy_env_excepts(list, to->host, to->port))
		return NULL;
	if ((why = proxy_env_parse(&url, text)) != NULL)
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
