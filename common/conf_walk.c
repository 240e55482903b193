/* SPDX-License-Identifier: ISC */
/*
 * Configuration: the walk of the file's tree along the tables.  Whatever the
 * tables do not name is refused, with the name that was probably meant.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"

typedef int walk_fn(struct conf_ctx *, const struct conf_node *,
    const struct conf_key *, void *);

static int
is_null(const struct conf_node *n)
{
	return n->kind == CONF_SCALAR && n->plain &&
	    (n->len == 0 || strcmp(n->text, "~") == 0 ||
		strcasecmp(n->text, "null") == 0);
}

static void
list_keys(const struct conf_key *keys, char *out, size_t cap)
{
	for (out[0] = '\0'; keys->name != NULL; keys++) {
		strlcat(out, keys->name, cap);
		if (keys[1].name != NULL)
			strlcat(out, ", ", cap);
	}
}

/* Whether a key sounds like an attempt to switch verification off. */
static int
sounds_insecure(const char *word)
{
	static const char *const parts[] = {
	    "verif", "insecure", "check_hostname", "self_signed"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcasestr(word, parts[i]) != NULL)
			return 1;
	return 0;
}

static int
unknown_key(struct conf_ctx *x, const struct conf_node *key,
    const struct conf_key *keys)
{
	const struct conf_key *near;
	char text[400];

	if (key->plain && strcmp(key->text, "<<") == 0)
		return conf_fail(x, key,
		    "merge keys (<<) are not supported; write the keys out");
	if (sounds_insecure(key->text))
		return conf_fail(x, key,
		    "unknown key: verification of the connector's certificate "
		    "cannot be switched off; for an authority of your own set "
		    "tls.ca_file, for a certificate on another name "
		    "tls.server_name");
	if ((near = conf_hint_key(keys, key->text)) != NULL)
		return conf_fail(
		    x, key, "unknown key; did you mean %s?", near->name);
	if (conf_hint_elsewhere(key->text, text, sizeof(text)))
		return conf_fail(
		    x, key, "unknown key here; it belongs at %s", text);
	list_keys(keys, text, sizeof(text));
	return conf_fail(x, key, "unknown key; here may stand: %s", text);
}

/* A scalar, or a list where one cannot be. */
static int
walk_scalar(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, void *base)
{
	struct conf_error why;
	char type[200];

	if (n->kind != CONF_SCALAR) {
		conf_value_type(k, type, sizeof(type));
		return conf_fail(x, n, "expected a single value (%s), not a %s",
		    type, n->kind == CONF_MAP ? "mapping" : "list");
	}
	if (conf_value_set(k, base, n->text, &why) == -1)
		return conf_fail(x, n, "%s", why.text);
	for (const struct conf_word *w = k->words; w != NULL && w->name != NULL;
	     w++)
		if (w->unused && strcasecmp(w->name, n->text) == 0)
			conf_warn_unused(x, w, n, NULL);
	return 0;
}

static int
walk_list(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, void *base)
{
	struct conf_error why;
	const struct conf_node *c;
	unsigned i = 0;

	if (n->kind == CONF_SCALAR && (k->flags & CF_COMMA))
		return walk_scalar(x, n, k, base);
	if (n->kind != CONF_LIST_NODE)
		return conf_fail(x, n, "expected a list, such as [a, b]");
	conf_value_clear(k, base);
	for (c = n->first; c != NULL; c = c->next) {
		size_t old = conf_path_index(x, i++);

		if (c->bad != NULL)
			return conf_fail(x, c, "%s", c->bad);
		if (c->kind != CONF_SCALAR)
			return conf_fail(x, c, "expected a single value");
		if (conf_value_add(k, base, c->text, &why) == -1)
			return conf_fail(x, c, "%s", why.text);
		conf_path_cut(x, old);
	}
	return 0;
}

static int
walk_object(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, void *base)
{
	struct conf_gateway *g = base;
	char keys[200];

	if ((k->flags & CF_NONE) && n->kind == CONF_SCALAR &&
	    strcasecmp(n->text, "none") == 0) {
		g->proxy.set = -1;
		return 0;
	}
	if (n->kind == CONF_MAP)
		return conf_walk(x, n, k->sub, base);
	list_keys(k->sub, keys, sizeof(keys));
	if (k->flags & CF_NONE)
		strlcat(keys, "; or the word none", sizeof(keys));
	if (n->kind == CONF_SCALAR && (k->flags & CF_SECRET))
		return conf_fail(x, n,
		    "expected a mapping with keys such as %s; a secret itself "
		    "does not belong in this file, only the place where it is",
		    keys);
	return conf_fail(x, n, "expected a mapping with keys such as %s", keys);
}

/* An element of identities. */
static int
walk_identity(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, struct conf_identity *id)
{
	if (n->bad != NULL)
		return conf_fail(x, n, "%s", n->bad);
	if (n->kind != CONF_MAP)
		return conf_fail(x, n,
		    "expected a mapping, such as {platform: discord, bot_id: "
		    "\"1234\"}");
	if (conf_walk(x, n, k->sub, id) == -1)
		return -1;
	if (id->bot_id == NULL && (id->bot_id = strdup("")) == NULL)
		return conf_fail_memory(x);
	return 0;
}

static int
walk_identities(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, void *base)
{
	struct conf_gateway *g = base;
	const struct conf_node *c;
	size_t old;

	if (n->kind != CONF_LIST_NODE)
		return conf_fail(x, n,
		    "expected a list; begin each identity with \"- \", such as "
		    "- {platform: discord, bot_id: \"1234\"}");
	if (n->n > k->max)
		return conf_fail(x, n,
		    "%u identities; one gateway fronts at most %u", n->n,
		    (unsigned)k->max);
	g->identity = calloc(n->n == 0 ? 1 : n->n, sizeof(*g->identity));
	if (g->identity == NULL)
		return conf_fail_memory(x);
	for (c = n->first; c != NULL; c = c->next) {
		old = conf_path_index(x, (unsigned)g->nidentity);
		if (walk_identity(x, c, k, &g->identity[g->nidentity++]) == -1)
			return -1;
		conf_path_cut(x, old);
	}
	return 0;
}

static int
walk_gateway(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, struct conf_gateway *g)
{
	const struct conf_node *key = n->key;
	const char *bad = key->bad;

	if (bad == NULL && key->plain && strcmp(key->text, "<<") == 0)
		bad = "merge keys (<<) are not supported; write the keys out";
	if (bad == NULL)
		bad = conf_form_name(key->text);
	if (bad != NULL)
		return conf_fail(x, key, "%s", bad);
	for (const struct conf_gateway *o = x->conf->gateway; o < g; o++)
		if (strcmp(o->name, key->text) == 0)
			return conf_fail(x, key,
			    "this gateway stands twice, first on line %u; "
			    "remove or rename one",
			    o->line);
	g->line = key->line;
	if ((g->name = strdup(key->text)) == NULL ||
	    conf_schema_defaults(k->sub, g) == -1)
		return conf_fail_memory(x);
	if (n->bad != NULL)
		return conf_fail(x, n, "%s", n->bad);
	if (n->kind != CONF_MAP)
		return conf_fail(x, is_null(n) ? key : n,
		    "expected a mapping with this gateway's settings, at least "
		    "url and identities, indented below its name");
	return conf_walk(x, n, k->sub, g);
}

static int
walk_gateways(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, void *base)
{
	struct conf *conf = base;
	const struct conf_node *c;
	size_t old;

	if (n->kind != CONF_MAP)
		return conf_fail(x, n,
		    "expected a mapping: a name for each gateway, such as "
		    "main:, and its settings indented below");
	if (n->n > k->max)
		return conf_fail(x, n,
		    "%u gateways; one relayd serves at most %u: divide them "
		    "among several",
		    n->n, (unsigned)k->max);
	conf->gateway = calloc(n->n == 0 ? 1 : n->n, sizeof(*conf->gateway));
	if (conf->gateway == NULL)
		return conf_fail_memory(x);
	for (c = n->first; c != NULL; c = c->next) {
		old = conf_path_key(x, c->key->text, c->key->len);
		if (walk_gateway(x, c, k, &conf->gateway[conf->ngateway++]) ==
		    -1)
			return -1;
		conf_path_cut(x, old);
	}
	return 0;
}

static int
walk_manifest(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, void *base)
{
	char **to = (void *)((char *)base + k->off);

	return conf_manifest(x, n, to);
}

static int
walk_value(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *k, void *base)
{
	static walk_fn *const walk[CT_TYPES] = {
	    [CT_STRING] = walk_scalar,
	    [CT_BOOL] = walk_scalar,
	    [CT_TRI] = walk_scalar,
	    [CT_UINT] = walk_scalar,
	    [CT_MS] = walk_scalar,
	    [CT_SEC] = walk_scalar,
	    [CT_SIZE] = walk_scalar,
	    [CT_WORD] = walk_scalar,
	    [CT_LIST] = walk_list,
	    [CT_OBJECT] = walk_object,
	    [CT_GATEWAYS] = walk_gateways,
	    [CT_IDENTITIES] = walk_identities,
	    [CT_MANIFEST] = walk_manifest,
	};

	if (n->bad != NULL)
		return conf_fail(x, n, "%s", n->bad);
	if (is_null(n))
		return conf_fail(
		    x, n->key, "has no value; give one or remove the key");
	if (k->flags & CF_UNUSED)
		conf_warn_unused(x, k, n->key, NULL);
	if (walk[k->type](x, n, k, base) == -1)
		return -1;
	return k->done == NULL ? 0 : k->done(x, n, base);
}

/* One key of a mapping with its value; seen says which ones were there. */
static int
walk_key(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *keys, const struct conf_node *seen[CONF_KEYS],
    void *base)
{
	const struct conf_node *key = n->key;
	const struct conf_key *k = keys;

	if (key->bad != NULL)
		return conf_fail(x, key, "%s", key->bad);
	while (k->name != NULL && strcmp(k->name, key->text) != 0)
		k++;
	if (k->name == NULL)
		return unknown_key(x, key, keys);
	if (seen[k - keys] != NULL)
		return conf_fail(x, key,
		    "the key stands twice, first on line %u; remove one",
		    seen[k - keys]->line);
	seen[k - keys] = key;
	return walk_value(x, n, k, base);
}

int
conf_walk(struct conf_ctx *x, const struct conf_node *n,
    const struct conf_key *keys, void *base)
{
	const struct conf_node *seen[CONF_KEYS] = {0}, *c;
	size_t old;

	for (c = n->first; c != NULL; c = c->next) {
		old = conf_path_key(x, c->key->text, c->key->len);
		if (walk_key(x, c, keys, seen, base) == -1)
			return -1;
		conf_path_cut(x, old);
	}
	for (size_t i = 0; keys[i].name != NULL; i++) {
		if (!(keys[i].flags & CF_REQUIRED) || seen[i] != NULL)
			continue;
		conf_path_key(x, keys[i].name, strlen(keys[i].name));
		return conf_fail(x, n->key != NULL ? n->key : n,
		    "is missing; add it: %s", keys[i].what);
	}
	return 0;
}
