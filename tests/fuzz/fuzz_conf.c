/* SPDX-License-Identifier: ISC */
/*
 * The configuration loader.  Input: the file's text; after a line "%%" the
 * environment, one NAME=VALUE a line.  It loads, within its bounds and the
 * same again, or says in one safe line why not; a secret in the environment
 * is never repeated.
 */
#include "conf.h"
#include "fuzz.h"

#define ENV_MAX 16
/* Put into the environment; no input holds it. */
#define SECRET "wGq7-never-shown-Zx3"

struct load {
	struct span text; /* alone in memory; p NULL: no file */
	char *env[ENV_MAX + 3];
	int nenv;
	unsigned warnings;
};

/* One line for a terminal, without the secret. */
static void
check_line(const char *s)
{
	size_t i;

	CHECK(s[0] != '\0');
	CHECK(strstr(s, SECRET) == NULL);
	for (i = 0; s[i] != '\0'; i++)
		CHECK(
		    (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] <= 0x7e);
}

static void
on_warning(void *arg, const char *text)
{
	struct load *l = arg;

	l->warnings++;
	check_line(text);
}

static void
add_env(struct load *l, struct span line)
{
	char *s;

	if (l->nenv == ENV_MAX || line.len == 0 ||
	    memchr(line.p, '\0', line.len) != NULL)
		return;
	s = malloc(line.len + 1);
	CHECK(s != NULL);
	memcpy(s, line.p, line.len);
	s[line.len] = '\0';
	l->env[l->nenv++] = s;
}

static void
split(struct load *l, struct span in)
{
	static const char mark[] = "\n%%\n";
	const char *at = NULL, *nl;
	struct span line;

	memset(l, 0, sizeof(*l));
	if (in.len > 0)
		at = memmem(in.p, in.len, mark, sizeof(mark) - 1);
	l->text = in;
	if (at != NULL)
		l->text.len = (size_t)(at - in.p) + 1;
	l->text.p = exact(l->text);
	if (at == NULL)
		return;
	at += sizeof(mark) - 1;
	while (at < in.p + in.len) {
		line = (struct span){at, (size_t)(in.p + in.len - at)};
		if ((nl = memchr(at, '\n', line.len)) != NULL)
			line.len = (size_t)(nl - at);
		add_env(l, line);
		at += line.len + 1;
	}
	l->env[l->nenv] = strdup("GATEWAY_RELAY_SECRET=" SECRET);
	/* This one is wrong without the others of its kind. */
	if (memmem(in.p, in.len, "IDP_TOKEN_URL", 13) != NULL)
		l->env[l->nenv + 1] =
		    strdup("GATEWAY_RELAY_IDP_CLIENT_SECRET=" SECRET);
}

static void
check_identity(const struct conf_identity *id)
{
	CHECK(id->platform != NULL && id->bot_id != NULL);
	CHECK(
	    id->platform[0] != '\0' && strlen(id->platform) <= LIMIT_PLATFORM);
	CHECK(strlen(id->bot_id) <= LIMIT_ID);
}

static void
check_gateway(const struct conf_gateway *g)
{
	size_t i;
	int ways;

	CHECK(g->name != NULL && g->name[0] != '\0' &&
	    strlen(g->name) <= LIMIT_NAME);
	CHECK(strspn(g->name, "abcdefghijklmnopqrstuvwxyz0123456789_-") ==
	    strlen(g->name));
	CHECK(g->url.host[0] != '\0' && g->url.port != 0);
	CHECK(g->url.tls || g->tls.plaintext || url_is_loopback(&g->url));
	CHECK(g->id != NULL && g->id[0] != '\0' && strlen(g->id) <= LIMIT_ID);
	CHECK(g->nidentity >= 1 && g->nidentity <= LIMIT_IDENTITIES);
	for (i = 0; i < g->nidentity; i++)
		check_identity(&g->identity[i]);
	CHECK(g->agents.window >= 1 && g->agents.window <= LIMIT_WINDOW);
	CHECK(g->agents.ack_timeout >= 1 && g->agents.ack_timeout <= 3600);
	CHECK(g->reconnect.min_ms >= 10 &&
	    g->reconnect.min_ms <= g->reconnect.max_ms);
	ways = (g->token.file != NULL) + (g->token.env != NULL) +
	    (g->token.command != NULL) + (g->token.oidc_url != NULL);
	CHECK(ways <= 1);
	if (g->secret.file != NULL)
		CHECK(strlen(g->secret.file) <= LIMIT_PATH);
}

static void
check_conf(const struct conf *c)
{
	size_t i, k;

	CHECK(c->ngateway >= 1 && c->ngateway <= LIMIT_GATEWAYS);
	for (i = 0; i < c->ngateway; i++) {
		check_gateway(&c->gateway[i]);
		CHECK(conf_gateway_equal(&c->gateway[i], &c->gateway[i]));
		for (k = 0; k < i && k < 4; k++)
			CHECK(strcmp(c->gateway[i].name, c->gateway[k].name) !=
			    0);
	}
}

static struct conf *
load(struct load *l)
{
	struct conf_error e;
	struct conf *c;

	memset(&e, 0, sizeof(e));
	c = conf_parse("relayd.yaml", l->text.p, l->text.len, l->env, "host",
	    on_warning, l, &e);
	if (c == NULL) {
		CHECK(memchr(e.text, '\0', sizeof(e.text)) != NULL);
		check_line(e.text);
	}
	return c;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct load l;
	struct conf *a, *b;
	unsigned warnings;
	size_t i;

	if (size > 0 && memmem(data, size, SECRET, sizeof(SECRET) - 1) != NULL)
		return 0;
	split(&l, (struct span){(const char *)data, size});
	a = load(&l);
	warnings = l.warnings;
	b = load(&l);
	CHECK((a == NULL) == (b == NULL));
	CHECK(l.warnings == warnings * 2);
	if (a != NULL) {
		check_conf(a);
		CHECK(a->ngateway == b->ngateway);
		for (i = 0; i < a->ngateway; i++)
			CHECK(
			    conf_gateway_equal(&a->gateway[i], &b->gateway[i]));
	}
	conf_free(a);
	conf_free(b);
	for (i = 0; i < ENV_MAX + 3; i++)
		free(l.env[i]);
	free((void *)(uintptr_t)l.text.p);
	return 0;
}
