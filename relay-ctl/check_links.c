/* SPDX-License-Identifier: ISC */
/* Whose ways are tried by a check: each once, of many gateways that share it.
 */
#include <string.h>

#include "check.h"

static int
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static int
same_proxy(const struct conf_gateway *a, const struct conf_gateway *b)
{
	return a->proxy.set == b->proxy.set &&
	    strcmp(a->proxy.url.authority, b->proxy.url.authority) == 0 &&
	    same_text(a->proxy.credentials_file, b->proxy.credentials_file);
}

/* Whether two gateways have the same way to the same connector. */
static int
same_connector(const struct conf_gateway *a, const struct conf_gateway *b)
{
	return strcmp(a->url_text, b->url_text) == 0 &&
	    same_text(a->tls.ca_file, b->tls.ca_file) &&
	    same_text(a->tls.server_name, b->tls.server_name) &&
	    same_proxy(a, b);
}

static int
any(const struct conf_gateway *g)
{
	(void)g;
	return 1;
}

/* A pinned secret goes before all that an identity token is for. */
static int
wants_token(const struct conf_gateway *g)
{
	return g->token.oidc_url != NULL && g->secret.file == NULL &&
	    !g->secret.from_env;
}

/* Whether they ask the same host in the same way, whatever for. */
static int
same_token_url(const struct conf_gateway *a, const struct conf_gateway *b)
{
	return a->token.oidc.tls == b->token.oidc.tls &&
	    strcmp(a->token.oidc.authority, b->token.oidc.authority) == 0 &&
	    same_proxy(a, b);
}

/* What is looked at. */
static const struct kind {
	int (*has)(const struct conf_gateway *g);
	int (*same)(const struct conf_gateway *a, const struct conf_gateway *b);
	void (*look)(struct check *k, const struct conf_gateway *g);
} kinds[] = {
    {any, same_connector, check_connector},
    {wants_token, same_token_url, check_token_url},
};

/* What was found for a gateway, from a finding on, holds for another one too.
 */
static void
copy(struct check *k, size_t first, const struct conf_gateway *from,
    const struct conf_gateway *to)
{
	const size_t n = k->n;
	size_t i;

	for (i = first; i < n; i++)
		if (k->finding[i].gateway == from->name)
			check_copy(k, i, to->name);
}

static void
look(struct check *k, const struct kind *kind)
{
	const struct conf_gateway *g = k->conf->gateway;
	const size_t first = k->n;
	size_t i, j;

	for (i = 0; i < k->conf->ngateway; i++) {
		if (!kind->has(&g[i]) ||
		    (k->only != NULL && strcmp(g[i].name, k->only) != 0))
			continue;
		for (j = 0; j < i; j++)
			if (k->only == NULL && kind->has(&g[j]) &&
			    kind->same(&g[j], &g[i]))
				break;
		if (j < i)
			copy(k, first, &g[j], &g[i]);
		else
			kind->look(k, &g[i]);
	}
}

void
check_links(struct check *k)
{
	size_t i;

	if (k->conf == NULL) {
		check_add(k, CHECK_SKIP, STEP_NAME, NULL,
		    "name, connection, certificate and clock: where the "
		    "connectors are, the configuration would say");
		return;
	}
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		look(k, &kinds[i]);
}
