/* SPDX-License-Identifier: ISC */
/*
 * Configuration: what hangs together.  Hooks that the tables call when a value
 * is complete, and the last look once the environment is laid over the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"

int
conf_check_reconnect(struct conf_ctx *x, const struct conf_node *n, void *base)
{
	const struct conf_gateway *g = base;
	const struct conf_node *min = conf_yaml_get(n, "min");

	if (g->reconnect.min_ms <= g->reconnect.max_ms)
		return 0;
	return conf_fail(x, min == NULL ? conf_yaml_get(n, "max") : min,
	    "min (%u ms) is longer than max (%u ms); make max at least as "
	    "long",
	    g->reconnect.min_ms, g->reconnect.max_ms);
}

int
conf_check_proxy(struct conf_ctx *x, const struct conf_node *n, void *base)
{
	struct conf_gateway *g = base;

	(void)x;
	if (n->kind == CONF_MAP)
		g->proxy.set = 1;
	return 0;
}

int
conf_check_token(struct conf_ctx *x, const struct conf_node *n, void *base)
{
	const struct conf_identity_token *t =
	    &((const struct conf_gateway *)base)->token;
	const struct conf_node *oidc = conf_yaml_get(n, "oidc");
	const char *const *command = (const char *const *)t->command;
	int kinds = (t->file != NULL) + (t->env != NULL) +
	    (conf_yaml_get(n, "command") != NULL) + (oidc != NULL);

	if (kinds != 1)
		return conf_fail(x, n->key,
		    "has %s of file, env, command and oidc; give exactly one",
		    kinds == 0 ? "none" : "several");
	if (conf_yaml_get(n, "command") == NULL && t->command_user != NULL)
		return conf_fail(x, conf_yaml_get(n, "user"),
		    "user goes with command only; remove it");
	if (conf_yaml_get(n, "command") == NULL)
		return 0;
	if (t->ncommand == 0 || command[0][0] != '/')
		return conf_fail(x, conf_yaml_get(n, "command"),
		    "the command must begin with the absolute path of a "
		    "program");
	return 0;
}

int
conf_check_identities(struct conf_ctx *x, const struct conf_node *n, void *base)
{
	const struct conf_gateway *g = base;
	const struct conf_node *c = n->first;

	for (size_t i = 0; i < g->nidentity; i++, c = c->next) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(g->identity[i].platform,
				g->identity[j].platform) != 0)
				continue;
			conf_path_index(x, (unsigned)i);
			conf_path_key(x, "platform", 8);
			return conf_fail(x, conf_yaml_get(c, "platform"),
			    "a gateway has one identity for each platform, and "
			    "identities[%zu] is on this one already; make "
			    "another gateway for this bot",
			    j);
		}
	}
	return 0;
}

/* Where a gateway, or one of its keys, stands; NULL: not in the file. */
static const struct conf_node *
key_node(const struct conf_node *gw, const char *name)
{
	return conf_yaml_get(gw, name);
}

/* The path of a gateway's key, from the beginning. */
static void
set_path(struct conf_ctx *x, const struct conf_gateway *g, const char *key)
{
	snprintf(x->path, sizeof(x->path), "gateways.%s%s%s", g->name,
	    key[0] == '\0' ? "" : ".", key);
}

/* What the environment alone leaves out is told by the variable's name. */
static int
missing(struct conf_ctx *x, const struct conf_gateway *g,
    const struct conf_node *gw, const char *key, const char *var,
    const char *example)
{
	if (gw == NULL)
		return conf_fail_env(x, var,
		    "is not set, and no configuration file has "
		    "gateways.%s.%s; set it",
		    g->name, key);
	set_path(x, g, key);
	return conf_fail(x, gw->key, "is missing; add it, such as %s", example);
}

static int
check_plaintext(struct conf_ctx *x, const struct conf_gateway *g,
    const struct conf_node *gw)
{
	static const char unsafe[] =
	    "goes to another machine without TLS, so that anybody on the way "
	    "can take the credential; use https://, or set tls: {plaintext: "
	    "true} if the way is protected otherwise";
	const struct conf_node *at = key_node(gw, "url");

	if (g->url.tls && g->tls.plaintext) {
		set_path(x, g, "tls.plaintext");
		at = conf_yaml_get(key_node(gw, "tls"), "plaintext");
		return conf_fail(x, at,
		    "contradicts the URL, which asks for TLS; "
		    "remove it, or use http:// or ws://");
	}
	if (g->url.tls || g->tls.plaintext || url_is_loopback(&g->url))
		return 0;
	if (x->env_url)
		return conf_fail_env(x, "GATEWAY_RELAY_URL", "%s", unsafe);
	set_path(x, g, "url");
	return conf_fail(x, at, "%s", unsafe);
}

/* What is wrong with a token URL and what belongs to it, or NULL. */
static const char *
oidc_wrong(const struct conf_identity_token *t)
{
	int secret =
	    t->oidc_client_secret_file != NULL || t->oidc_secret_from_env;

	if (t->oidc_url == NULL)
		return "the token URL is missing; set url (or "
		       "GATEWAY_RELAY_IDP_TOKEN_URL)";
	if (t->oidc_client_id == NULL && secret)
		return "a client secret without client_id; give both or "
		       "neither";
	if (t->oidc_client_id != NULL && !secret)
		return "client_id without a client secret; give both "
		       "(client_secret_file) or neither";
	if (secret && !t->oidc.tls && !url_is_loopback(&t->oidc))
		return "the client secret would go to another machine without "
		       "TLS; use https:// (http:// does for this machine, and "
		       "for a metadata server, which gets no secret)";
	return NULL;
}

/* OAuth 2: a URL, and id and secret both or neither. */
static int
check_oidc(
    struct conf_ctx *x, struct conf_gateway *g, const struct conf_node *gw)
{
	struct conf_identity_token *t = &g->token;
	const struct conf_node *at =
	    conf_yaml_get(key_node(gw, "identity_token"), "oidc");
	const char *what;

	if (t->oidc_url != NULL)
		t->oidc_target = url_target(t->oidc_url);
	if (at == NULL && !x->env_idp)
		return 0;
	what = oidc_wrong(t);
	if (what == NULL)
		return 0;
	if (x->env_idp)
		return conf_fail_env(x, "GATEWAY_RELAY_IDP_*", "%s", what);
	set_path(x, g, "identity_token.oidc");
	return conf_fail(x, at->key, "%s", what);
}

static int
has_platform(const struct conf_gateway *g, const char *platform)
{
	for (size_t i = 0; i < g->nidentity; i++)
		if (strcmp(g->identity[i].platform, platform) == 0)
			return 1;
	return 0;
}

static int
check_gateway(
    struct conf_ctx *x, struct conf_gateway *g, const struct conf_node *gw)
{
	if (g->url_text == NULL)
		return missing(x, g, gw, "url", "GATEWAY_RELAY_URL",
		    "url: https://connector.example.com");
	if (g->nidentity == 0)
		return missing(x, g, gw, "identities", "GATEWAY_RELAY_PLATFORM",
		    "identities: [{platform: discord, bot_id: \"1234\"}]");
	if (check_plaintext(x, g, gw) == -1 || check_oidc(x, g, gw) == -1)
		return -1;
	if (g->command_manifest != NULL && !has_platform(g, "discord")) {
		set_path(x, g, "command_manifest");
		conf_warning(x, key_node(gw, "command_manifest")->key,
		    "has no effect: none of the identities is on discord");
	}
	if (g->id == NULL &&
	    asprintf(&g->id, "gw-%s",
		x->hostname == NULL || x->hostname[0] == '\0'
		    ? "localhost"
		    : x->hostname) == -1) {
		g->id = NULL;
		return conf_fail_memory(x);
	}
	return 0;
}

/* Two gateways with one credential would take the link from each other. */
static int
check_unique(struct conf_ctx *x, size_t i, const struct conf_node *gw)
{
	const struct conf_gateway *g = &x->conf->gateway[i], *o;
	const struct conf_node *at;

	for (o = x->conf->gateway; o < g; o++) {
		if (strcmp(o->id, g->id) != 0 ||
		    strcmp(o->url.authority, g->url.authority) != 0 ||
		    strcmp(o->url.base, g->url.base) != 0)
			continue;
		set_path(x, g, "id");
		at = key_node(gw, "id");
		if (at == NULL && gw != NULL)
			at = gw->key;
		return conf_fail(x, at,
		    "the same connector and the same gateway id as "
		    "gateways.%s on line %u; give each gateway its own id",
		    o->name, o->line);
	}
	return 0;
}

int
conf_check(struct conf_ctx *x, const struct conf_node *root)
{
	const struct conf_node *gws = conf_yaml_get(root, "gateways"), *gw;

	gw = gws == NULL ? NULL : gws->first;
	if (x->conf->ngateway == 0) {
		strlcpy(x->path, "gateways", sizeof(x->path));
		return conf_fail(x, gws == NULL ? NULL : gws->key,
		    "there is no gateway; name at least one, with url and "
		    "identities (relayd.yaml(5) has an example), or set "
		    "GATEWAY_RELAY_URL");
	}
	for (size_t i = 0; i < x->conf->ngateway; i++) {
		if (check_gateway(x, &x->conf->gateway[i], gw) == -1 ||
		    check_unique(x, i, gw) == -1)
			return -1;
		gw = gw == NULL ? NULL : gw->next;
	}
	x->path[0] = '\0';
	return 0;
}
