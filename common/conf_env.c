/* SPDX-License-Identifier: ISC */
/*
 * Configuration: the environment laid over the file (CONTRACT 2).  It can
 * speak of one gateway only.  A variable that is empty or blank counts as
 * unset.  Of variables that hold secrets only the presence is looked at.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"
#include "json.h"

#define PREFIX "GATEWAY_RELAY_"

enum role {
	ROLE_KEY,      /* sets the key at `path` of the gateway */
	ROLE_IDP,      /* the same, of identity_token */
	ROLE_PRESENCE, /* a secret: whoever needs it takes it */
	ROLE_OTHER     /* handled by name */
};

static const struct variable {
	const char *name;
	enum role role;
	const char *path;
} variables[] = {
    {PREFIX "URL", ROLE_KEY, "url"},
    {PREFIX "ID", ROLE_KEY, "id"},
    {PREFIX "ENDPOINT", ROLE_KEY, "endpoint"},
    {PREFIX "ROUTE_KEYS", ROLE_KEY, "route_keys"},
    {PREFIX "INSTANCE_ID", ROLE_KEY, "instance_id"},
    {PREFIX "WAKE_URL", ROLE_KEY, "wake_url"},
    {PREFIX "DISPLAY_NAME", ROLE_KEY, "display_name"},
    {PREFIX "IDP_TOKEN_URL", ROLE_IDP, "identity_token.oidc.url"},
    {PREFIX "IDP_CLIENT_ID", ROLE_IDP, "identity_token.oidc.client_id"},
    {PREFIX "IDP_SCOPE", ROLE_IDP, "identity_token.oidc.scope"},
    {PREFIX "IDP_CLIENT_SECRET", ROLE_PRESENCE, NULL},
    {PREFIX "SECRET", ROLE_PRESENCE, NULL},
    {PREFIX "DELIVERY_KEY", ROLE_PRESENCE, NULL},
    {PREFIX "ENROLL_TOKEN", ROLE_PRESENCE, NULL},
    {PREFIX "PLATFORM", ROLE_OTHER, NULL},
    {PREFIX "BOT_ID", ROLE_OTHER, NULL},
    {PREFIX "PLATFORMS", ROLE_OTHER, NULL},
    {PREFIX "BOT_IDS", ROLE_OTHER, NULL},
};
#define NVARIABLES (sizeof(variables) / sizeof(variables[0]))

/* A list of platforms, on its way. */
struct names {
	char **name;
	size_t n;
};

static const struct conf_key names_key = {"platforms", CT_LIST, CF_COMMA,
    offsetof(struct names, name), offsetof(struct names, n), 0, LIMIT_PLATFORM,
    NULL, NULL, conf_form_platform, NULL, NULL, NULL};

const char *
conf_env_get(char *const env[], const char *name, size_t *len)
{
	size_t n = strlen(name);
	const char *v;

	for (; env != NULL && *env != NULL; env++) {
		if (strncmp(*env, name, n) != 0 || (*env)[n] != '=')
			continue;
		v = *env + n + 1;
		v += strspn(v, " \t\r\n");
		*len = strlen(v);
		while (*len > 0 && strchr(" \t\r\n", v[*len - 1]) != NULL)
			(*len)--;
		return *len > 0 ? v : NULL;
	}
	return NULL;
}

static int
is_set(char *const env[], const char *name)
{
	size_t len;

	return conf_env_get(env, name, &len) != NULL;
}

/* A copy to be freed; NULL when unset (*r 0) or memory ran out (*r -1). */
static char *
get_copy(struct conf_ctx *x, char *const env[], const char *name, int *r)
{
	const char *v;
	char *copy;
	size_t len;

	*r = 0;
	if ((v = conf_env_get(env, name, &len)) == NULL)
		return NULL;
	if ((copy = strndup(v, len)) == NULL)
		*r = conf_fail_memory(x);
	return copy;
}

/* Warn about variables with our prefix that do not exist. */
static void
warn_unknown(struct conf_ctx *x, char *const env[])
{
	for (; env != NULL && *env != NULL; env++) {
		char name[CONF_SHOWN];
		const char *near = NULL;
		size_t n = strcspn(*env, "="), i;

		if (strncmp(*env, PREFIX, sizeof(PREFIX) - 1) != 0)
			continue;
		conf_show(name, sizeof(name), *env, n);
		for (i = 0; i < NVARIABLES; i++) {
			if (strcmp(variables[i].name, name) == 0)
				break;
			conf_hint_try(&near,
			    variables[i].name + sizeof(PREFIX) - 1,
			    name + sizeof(PREFIX) - 1);
		}
		if (i < NVARIABLES)
			continue;
		conf_warning_env(x, name, "no such variable is known; %s%s%s",
		    near == NULL ? "it is ignored" : "did you mean " PREFIX,
		    near == NULL ? "" : near, near == NULL ? "" : "?");
	}
}

/* "<PLATFORM>_ALLOW_BOTS". */
static void
allow_bots_name(const char *platform, char *out, size_t cap)
{
	size_t i;

	for (i = 0; platform[i] != '\0' && i + 1 < cap; i++)
		out[i] = platform[i] == '-'
		    ? '_'
		    : (char)toupper((unsigned char)platform[i]);
	out[i] = '\0';
	strlcat(out, "_ALLOW_BOTS", cap);
}

/* Name of a variable that is set and speaks of a gateway, or NULL. */
static const char *
first_set(const struct conf *c, char *const env[], char *out, size_t cap)
{
	for (size_t i = 0; i < NVARIABLES; i++)
		if (is_set(env, variables[i].name))
			return variables[i].name;
	for (size_t i = 0; i < c->ngateway; i++) {
		const struct conf_gateway *g = &c->gateway[i];

		for (size_t j = 0; j < g->nidentity; j++) {
			allow_bots_name(g->identity[j].platform, out, cap);
			if (is_set(env, out))
				return out;
		}
	}
	return NULL;
}

/* The gateway that the environment alone makes. */
static int
make_gateway(struct conf_ctx *x)
{
	struct conf_gateway *g;

	if ((g = calloc(1, sizeof(*g))) == NULL)
		return conf_fail_memory(x);
	free(x->conf->gateway);
	x->conf->gateway = g;
	x->conf->ngateway = 1;
	if ((g->name = strdup("main")) == NULL ||
	    conf_schema_defaults(conf_schema_gateway(), g) == -1)
		return conf_fail_memory(x);
	return 0;
}

/* Remember that the environment gave this value. */
static int
mark(struct conf_ctx *x, const struct conf_key *k, const void *base)
{
	struct conf *c = x->conf;
	const void **grown =
	    reallocarray(c->from_env, c->nfrom_env + 1, sizeof(*grown));

	if (grown == NULL)
		return conf_fail_memory(x);
	c->from_env = grown;
	grown[c->nfrom_env++] = (const char *)base + k->off;
	return 0;
}

/* Set a key of base from a variable's text. */
static int
set_key(struct conf_ctx *x, const struct conf_key *k, void *base,
    const char *var, const char *text)
{
	struct conf_error why;

	if (k->flags & CF_UNUSED)
		conf_warn_unused(x, k, NULL, var);
	if (conf_value_set(k, base, text, &why) == -1)
		return conf_fail_env(x, var, "%s", why.text);
	return mark(x, k, base);
}

static int
apply_keys(struct conf_ctx *x, struct conf_gateway *g, char *const env[])
{
	int r = 0;

	for (size_t i = 0; i < NVARIABLES && r == 0; i++) {
		const struct variable *v = &variables[i];
		char *text;

		if (v->role != ROLE_KEY && v->role != ROLE_IDP)
			continue;
		if ((text = get_copy(x, env, v->name, &r)) == NULL)
			continue;
		if (v->role == ROLE_IDP)
			x->env_idp = 1;
		r = set_key(x, conf_schema_find(conf_schema_gateway(), v->path),
		    g, v->name, text);
		free(text);
	}
	return r;
}

/* A token URL in the environment replaces a token of another kind. */
static void
replace_token(struct conf_gateway *g, char *const env[])
{
	static const char *const others[] = {"file", "env", "command", "user"};
	const struct conf_key *keys =
	    conf_schema_find(conf_schema_gateway(), "identity_token")->sub;

	if (!is_set(env, PREFIX "IDP_TOKEN_URL"))
		return;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		conf_value_clear(conf_schema_find(keys, others[i]), g);
}

static void
apply_presence(struct conf_ctx *x, struct conf_gateway *g, char *const env[])
{
	x->env_url = is_set(env, PREFIX "URL");
	if (is_set(env, PREFIX "SECRET"))
		g->secret.from_env = 1;
	if (is_set(env, PREFIX "IDP_CLIENT_SECRET")) {
		g->token.oidc_secret_from_env = 1;
		x->env_idp = 1;
	}
}

static int
check_names(
    struct conf_ctx *x, const struct names *names, const char *var, int single)
{
	if (names->n == 0 || (single && names->n != 1))
		return conf_fail_env(x, var, "%s",
		    single ? "names one platform; set GATEWAY_RELAY_PLATFORMS "
			     "for several"
			   : "names no platform; list them with commas");
	if (names->n > LIMIT_IDENTITIES)
		return conf_fail_env(x, var,
		    "names %zu platforms; at most %d are taken", names->n,
		    LIMIT_IDENTITIES);
	for (size_t i = 0; i < names->n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(names->name[i], names->name[j]) == 0)
				return conf_fail_env(x, var,
				    "names %s twice; name each platform once",
				    names->name[i]);
	return 0;
}

/* The identity of a platform, or NULL. */
static struct conf_identity *
find_identity(struct conf_identity *id, size_t n, const char *platform)
{
	for (size_t i = 0; i < n; i++)
		if (id[i].platform != NULL &&
		    strcmp(id[i].platform, platform) == 0)
			return &id[i];
	return NULL;
}

/* Make the gateway's identities those of the names; what the file says about
 * a platform stays. */
static int
replace_identities(
    struct conf_ctx *x, struct conf_gateway *g, const struct names *names)
{
	struct conf_identity *old = g->identity, *from;
	size_t nold = g->nidentity;
	int r = 0;

	if ((g->identity = calloc(names->n, sizeof(*old))) == NULL) {
		g->identity = old;
		return conf_fail_memory(x);
	}
	g->nidentity = names->n;
	for (size_t i = 0; i < names->n && r == 0; i++) {
		struct conf_identity *to = &g->identity[i];

		if ((from = find_identity(old, nold, names->name[i])) != NULL) {
			*to = *from;
			memset(from, 0, sizeof(*from));
			continue;
		}
		to->platform = strdup(names->name[i]);
		to->bot_id = strdup("");
		if (to->platform == NULL || to->bot_id == NULL)
			r = conf_fail_memory(x);
		else
			r = mark(x,
			    conf_schema_find(
				conf_schema_identity(), "platform"),
			    to);
	}
	for (size_t i = 0; i < nold; i++)
		conf_schema_free(conf_schema_identity(), &old[i]);
	free(old);
	return r;
}

/* PLATFORMS, or else PLATFORM. */
static int
apply_platforms(struct conf_ctx *x, struct conf_gateway *g, char *const env[])
{
	const char *var = PREFIX "PLATFORMS";
	struct names names = {NULL, 0};
	int r, single = 0;
	char *text;

	if (!is_set(env, var)) {
		var = PREFIX "PLATFORM";
		single = 1;
	}
	if ((text = get_copy(x, env, var, &r)) == NULL)
		return r;
	r = set_key(x, &names_key, &names, var, text);
	if (r == 0)
		r = check_names(x, &names, var, single);
	if (r == 0)
		r = replace_identities(x, g, &names);
	conf_value_clear(&names_key, &names);
	free(text);
	return r;
}

static int
apply_bot_id(struct conf_ctx *x, struct conf_gateway *g, char *const env[])
{
	const char *var = PREFIX "BOT_ID";
	char *text;
	int r;

	if ((text = get_copy(x, env, var, &r)) == NULL)
		return r;
	if (g->nidentity == 1)
		r = set_key(x,
		    conf_schema_find(conf_schema_identity(), "bot_id"),
		    &g->identity[0], var, text);
	else if (g->nidentity == 0)
		r = conf_fail_env(x, var,
		    "is set, but no platform; set GATEWAY_RELAY_PLATFORM too");
	else
		r = conf_fail_env(x, var,
		    "is for one platform, but there are %zu; set "
		    "GATEWAY_RELAY_BOT_IDS",
		    g->nidentity);
	free(text);
	return r;
}

/* One member of a platform's object.  0 also when it is absent. */
static int
set_member(struct conf_ctx *x, struct conf_identity *id,
    const struct json_doc *doc, int node, const char *member, const char *key)
{
	const struct conf_key *k =
	    conf_schema_find(conf_schema_identity(), key);
	int at = json_get(doc, node, member);
	char scratch[LIMIT_ID * 6 + 1], text[LIMIT_ID * 6 + 1];
	struct conf_error why;
	struct span s;

	if (at == -1)
		return 0;
	s = doc->node[at].type == JSON_NUMBER
	    ? json_raw(doc, at)
	    : json_str(doc, at, scratch, sizeof(scratch));
	if (s.p == NULL || s.len >= sizeof(text) ||
	    memchr(s.p, '\0', s.len) != NULL)
		return -1;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	if (conf_value_set(k, id, text, &why) == -1)
		return -1;
	return mark(x, k, id);
}

/* An unreadable BOT_IDS costs the ids, not the start: those of the file too,
 * which it was to override. */
static void
empty_bot_ids(struct conf_gateway *g, char *const env[])
{
	if (is_set(env, PREFIX "BOT_ID"))
		return;
	for (size_t i = 0; i < g->nidentity; i++)
		g->identity[i].bot_id[0] = '\0';
}

static void
take_bot_ids(struct conf_ctx *x, struct conf_gateway *g, char *const env[],
    const char *text)
{
	const char *var = PREFIX "BOT_IDS";
	struct json_doc doc;

	if (json_parse(&doc, text, strlen(text), 2) == -1 || doc.full ||
	    doc.node[JSON_ROOT].type != JSON_OBJECT) {
		conf_warning_env(x, var,
		    "is not a JSON object such as "
		    "{\"discord\":{\"botId\":\"1234\"}}; the bot ids are "
		    "empty");
		empty_bot_ids(g, env);
		return;
	}
	for (int n = json_first(&doc, JSON_ROOT); n != -1;
	     n = json_next(&doc, n)) {
		struct conf_identity *id;
		char platform[CONF_SHOWN];

		conf_show(platform, sizeof(platform), text + doc.node[n].key,
		    doc.node[n].keylen);
		id = find_identity(g->identity, g->nidentity, platform);
		if (id == NULL)
			conf_warning_env(x, var,
			    "names the platform %s, which this gateway does "
			    "not front; it is ignored",
			    platform);
		else if (doc.node[n].type != JSON_OBJECT ||
		    set_member(x, id, &doc, n, "botId", "bot_id") == -1 ||
		    set_member(x, id, &doc, n, "username", "username") == -1)
			conf_warning_env(x, var,
			    "what it says of %s is not taken; it should be "
			    "{\"botId\":\"...\",\"username\":\"...\"}",
			    platform);
	}
}

static int
apply_bot_ids(struct conf_ctx *x, struct conf_gateway *g, char *const env[])
{
	char *text;
	int r;

	text = get_copy(x, env, PREFIX "BOT_IDS", &r);
	if (text != NULL)
		take_bot_ids(x, g, env, text);
	free(text);
	return r;
}

static int
apply_allow_bots(struct conf_ctx *x, struct conf_gateway *g, char *const env[])
{
	const struct conf_key *k =
	    conf_schema_find(conf_schema_identity(), "allow_bots");
	char var[LIMIT_PLATFORM + 16], *text;
	int r = 0;

	for (size_t i = 0; i < g->nidentity && r == 0; i++) {
		allow_bots_name(g->identity[i].platform, var, sizeof(var));
		if ((text = get_copy(x, env, var, &r)) == NULL)
			continue;
		r = set_key(x, k, &g->identity[i], var, text);
		free(text);
	}
	return r;
}

int
conf_env(struct conf_ctx *x, char *const env[])
{
	char platform[LIMIT_PLATFORM + 16];
	const char *var = first_set(x->conf, env, platform, sizeof(platform));
	struct conf_gateway *g;

	warn_unknown(x, env);
	if (var != NULL && x->conf->ngateway > 1)
		return conf_fail_env(x, var,
		    "is set, but the configuration file names %zu gateways and "
		    "a variable cannot say which one it means; unset it and "
		    "write the setting into the file",
		    x->conf->ngateway);
	if (x->conf->ngateway > 1)
		return 0;
	if (x->conf->ngateway == 0) {
		if (var == NULL)
			return 0;
		if (!is_set(env, PREFIX "URL"))
			return conf_fail_env(x, PREFIX "URL",
			    "is not set although %s is, and no configuration "
			    "file names a gateway; set it to the connector's "
			    "URL",
			    var);
		if (make_gateway(x) == -1)
			return -1;
	}
	g = &x->conf->gateway[0];
	replace_token(g, env);
	apply_presence(x, g, env);
	if (apply_keys(x, g, env) == -1 || apply_platforms(x, g, env) == -1 ||
	    apply_bot_id(x, g, env) == -1 || apply_bot_ids(x, g, env) == -1)
		return -1;
	return apply_allow_bots(x, g, env);
}
