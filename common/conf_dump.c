/* SPDX-License-Identifier: ISC */
/*
 * Configuration: what is lived by, as JSON, with where each value came from.
 * Secrets are not in it: the loader never read them.  What may hold one all the
 * same, the arguments of a command and the query of a URL, is left out.
 */
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "json.h"

struct dump {
	struct buf *out;
	const struct conf *conf;
	const void *defaults; /* a struct of the same kind, or NULL */
	int n;
};

static void
put_list(struct buf *b, char *const *list, size_t n)
{
	size_t i;

	buf_adds(b, SPAN_LIT("["));
	for (i = 0; i < n; i++) {
		if (i > 0)
			buf_adds(b, SPAN_LIT(","));
		json_put_str(b, span_str(list[i]));
	}
	buf_adds(b, SPAN_LIT("]"));
}

/* The program alone: its arguments may be secrets. */
static void
put_command(struct buf *b, char *const *list, size_t n)
{
	char text[64];

	if (n <= 1) {
		put_list(b, list, n);
		return;
	}
	(void)snprintf(text, sizeof(text), "(%zu more, not shown)", n - 1);
	buf_adds(b, SPAN_LIT("["));
	json_put_str(b, span_str(list[0]));
	buf_adds(b, SPAN_LIT(","));
	json_put_str(b, span_str(text));
	buf_adds(b, SPAN_LIT("]"));
}

/* A URL's query may hold a key. */
static void
put_string(struct buf *b, const char *text)
{
	const char *query =
	    strstr(text, "://") == NULL ? NULL : strpbrk(text, "?#");
	char shown[LIMIT_PATH + 32];

	if (query == NULL) {
		json_put_str(b, span_str(text));
		return;
	}
	(void)snprintf(shown, sizeof(shown), "%.*s?(not shown)",
	    (int)(query - text), text);
	json_put_str(b, span_str(shown));
}

/* The value, as JSON; 0 when there is none. */
static int
put_value(struct buf *b, const struct conf_key *k, const void *base)
{
	const char *at = (const char *)base + k->off;
	char *const *const *list = (const void *)at;
	char *const *s = (const void *)at;
	char text[64];
	size_t n;

	switch (k->type) {
	case CT_STRING:
		if (*s == NULL)
			return 0;
		put_string(b, *s);
		return 1;
	case CT_MANIFEST:
		if (*s == NULL)
			return 0;
		buf_adds(b, span_str(*s));
		return 1;
	case CT_LIST:
		n = *(
		    const size_t *)(const void *)((const char *)base + k->noff);
		if (n == 0)
			return 0;
		if (strcmp(k->name, "command") == 0)
			put_command(b, *list, n);
		else
			put_list(b, *list, n);
		return 1;
	default:
		if (!conf_value_text(k, base, text, sizeof(text)))
			return 0;
		if (k->type == CT_UINT || k->type == CT_BOOL ||
		    k->type == CT_TRI)
			buf_adds(b, span_str(text));
		else
			json_put_str(b, span_str(text));
		return 1;
	}
}

static const char *
origin(const struct dump *d, const struct conf_key *k, const void *base)
{
	const char *at = (const char *)base + k->off;
	size_t i;

	for (i = 0; i < d->conf->nfrom_env; i++)
		if (d->conf->from_env[i] == at)
			return "environment";
	if (k->def != NULL && d->defaults != NULL &&
	    conf_schema_same(k, base, d->defaults))
		return "default";
	return "file";
}

static void
put_row(struct dump *d, const char *key, struct span value, const char *from)
{
	struct buf *b = d->out;

	buf_adds(b, d->n++ > 0 ? SPAN_LIT(",{") : SPAN_LIT("{"));
	json_put_member_str(b, "key", span_str(key));
	json_put_member_raw(b, "value", value);
	json_put_member_str(b, "from", span_str(from));
	buf_adds(b, SPAN_LIT("}"));
}

static void
dump(struct dump *d, const struct conf_key *keys, const void *base,
    const char *prefix)
{
	char path[CONF_KEYPATH];
	struct buf value;

	for (; keys->name != NULL; keys++) {
		(void)snprintf(path, sizeof(path), "%s%s", prefix, keys->name);
		if (keys->type == CT_OBJECT) {
			strlcat(path, ".", sizeof(path));
			dump(d, keys->sub, base, path);
			continue;
		}
		if (keys->off == CONF_NOWHERE || keys->type == CT_GATEWAYS ||
		    keys->type == CT_IDENTITIES)
			continue;
		buf_init(&value, 0);
		if (put_value(&value, keys, base))
			put_row(
			    d, path, buf_span(&value), origin(d, keys, base));
		buf_free(&value);
	}
}

static void
put_other(struct dump *d, const char *prefix, const char *name,
    const char *value, const char *from)
{
	char path[CONF_KEYPATH];
	struct buf json;

	strlcpy(path, prefix, sizeof(path));
	strlcat(path, name, sizeof(path));
	buf_init(&json, 0);
	json_put_str(&json, span_str(value));
	put_row(d, path, buf_span(&json), from);
	buf_free(&json);
}

/* What stands in no key: secrets that the environment has, the proxy. */
static void
dump_others(struct dump *d, const struct conf_gateway *g, const char *prefix)
{
	char url[URL_HOST_MAX + 32] = "http://";

	if (g->secret.from_env)
		put_other(d, prefix, "secret", "(not shown)", "environment");
	if (g->token.oidc_secret_from_env)
		put_other(d, prefix, "identity_token.oidc.client_secret",
		    "(not shown)", "environment");
	strlcat(url, g->proxy.url.authority, sizeof(url));
	if (g->proxy.set == 1)
		put_other(d, prefix, "proxy.url", url, "file");
	else if (g->proxy.set == -1)
		put_other(d, prefix, "proxy", "none", "file");
}

static void
dump_gateway(struct dump *d, const struct conf_gateway *g)
{
	char prefix[CONF_KEYPATH];
	size_t i;

	(void)snprintf(prefix, sizeof(prefix), "gateways.%s.", g->name);
	dump(d, conf_schema_gateway(), g, prefix);
	dump_others(d, g, prefix);
	for (i = 0; i < g->nidentity; i++) {
		(void)snprintf(prefix, sizeof(prefix),
		    "gateways.%s.identities[%zu].", g->name, i);
		dump(d, conf_schema_identity(), &g->identity[i], prefix);
	}
}

void
conf_dump(struct buf *out, const struct conf *c)
{
	struct conf_gateway none = {0};
	struct conf all = {0};
	struct dump d = {out, c, &none, 0};
	size_t i;

	buf_adds(out, SPAN_LIT("["));
	if (conf_schema_defaults(conf_schema_gateway(), &none) == 0 &&
	    conf_schema_defaults(conf_schema_root(), &all) == 0) {
		for (i = 0; i < c->ngateway; i++)
			dump_gateway(&d, &c->gateway[i]);
		d.defaults = &all;
		dump(&d, conf_schema_root(), c, "");
	}
	conf_schema_free(conf_schema_gateway(), &none);
	conf_schema_free(conf_schema_root(), &all);
	buf_adds(out, SPAN_LIT("]"));
}
