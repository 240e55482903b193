/* SPDX-License-Identifier: ISC */
/* A configuration as the supervisor lives by it: a plan. */

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "sup_command.h"
#include "sup_conf.h"
#include "sup_json.h"
#include "sup_sock.h"
#include "sup_sockets.h"
#include "sup_spawn.h"

/* The manifest travels in one message (msg.def). */
#define MANIFEST_MAX 61440
/* Names are asked for over TCP too, when an answer is long. */
#define DNS_PORT 53

int
sup_plan_fail(struct conf_error *e, const struct conf *c,
    const struct conf_gateway *g, const char *key, const char *fmt, ...)
{
	size_t n;
	va_list ap;

	e->passing = conf_error_passes(errno);
	snprintf(e->text, sizeof(e->text), "%s",
	    c->path == NULL ? "environment" : c->path);
	n = strlen(e->text);
	if (g != NULL && g->line != 0)
		n += (size_t)snprintf(
		    e->text + n, sizeof(e->text) - n, ":%u", g->line);
	if (n >= sizeof(e->text))
		n = sizeof(e->text) - 1;
	if (g != NULL)
		n += (size_t)snprintf(e->text + n, sizeof(e->text) - n,
		    ": gateways.%s.%s: ", g->name, key);
	else
		n += (size_t)snprintf(
		    e->text + n, sizeof(e->text) - n, ": %s: ", key);
	if (n >= sizeof(e->text))
		return -1;
	va_start(ap, fmt);
	vsnprintf(e->text + n, sizeof(e->text) - n, fmt, ap);
	va_end(ap);
	return -1;
}

static void
no_memory(struct conf_error *e)
{
	strlcpy(e->text, "out of memory", sizeof(e->text));
	e->passing = 1;
}

/* What is told to relay-authd in one message has its bounds. */
static int
check_lengths(
    const struct conf *c, const struct conf_gateway *g, struct conf_error *e)
{
	struct buf b;
	size_t i;
	int r = 0;

	if (g->command_manifest != NULL &&
	    strlen(g->command_manifest) > MANIFEST_MAX)
		return sup_plan_fail(e, c, g, "command_manifest",
		    "longer than %d bytes", MANIFEST_MAX);
	buf_init(&b, JSON_ROUTE_KEYS_MAX);
	sup_json_route_keys(&b, g);
	if (b.failed)
		r = sup_plan_fail(e, c, g, "route_keys",
		    "longer than %d bytes together: shorten the list",
		    JSON_ROUTE_KEYS_MAX);
	buf_free(&b);
	buf_init(&b, JSON_POLICY_MAX);
	for (i = 0; i < g->nidentity && r == 0; i++) {
		buf_reset(&b);
		sup_json_policy(&b, &g->identity[i]);
		if (b.failed)
			r = sup_plan_fail(e, c, g, "identities",
			    "free_response_channels of %s are longer than %d "
			    "bytes together: shorten the list",
			    g->identity[i].platform, JSON_POLICY_MAX);
	}
	buf_free(&b);
	return r;
}

/* How the identity token is had, on this machine. */
static int
check_token(const struct supervisor *s, const struct conf *c,
    const struct conf_gateway *g, struct conf_error *e)
{
	const struct conf_identity_token *t = &g->token;
	struct sup_proxy proxy;
	const char *var, *text;

	if (t->env != NULL && sup_env_named(&s->env, t->env) == -2)
		return sup_plan_fail(e, c, g, "identity_token.env",
		    "the environment variable %s was not kept when relayd "
		    "started, because the configuration did not name it then: "
		    "restart relayd to use it",
		    t->env);
	if (t->ncommand > 0 && t->command_user == NULL && geteuid() == 0)
		return sup_plan_fail(e, c, g, "identity_token",
		    "command needs user, which is not root, to run as: add it");
	if (t->oidc_url != NULL &&
	    (text = sup_proxy(&proxy, &s->env, g, &t->oidc, &var)) != NULL)
		return sup_plan_fail(e, c, g, "proxy",
		    "environment variable %s: %s; "
		    "\"proxy: none\" leaves it unused",
		    var, text);
	return 0;
}

static int
check_gateway(const struct supervisor *s, const struct conf *c,
    const struct conf_gateway *g, struct conf_error *e)
{
	char label[LIMIT_PATH + 1], why[LIMIT_REASON];
	struct sup_proxy proxy;
	const char *var, *text;
	gid_t gid;
	int fd;

	errno = 0;
	if (sup_group(g->agents.group, &gid) == -1)
		return sup_plan_fail(e, c, g, "agents.group",
		    "no group \"%s\" on this "
		    "machine: make it (groupadd) or name another",
		    g->agents.group);
	if (check_lengths(c, g, e) == -1 || check_token(s, c, g, e) == -1)
		return -1;
	if ((text = sup_proxy(&proxy, &s->env, g, &g->url, &var)) != NULL)
		return sup_plan_fail(e, c, g, "proxy",
		    "environment variable %s: %s; "
		    "\"proxy: none\" leaves it unused",
		    var, text);
	if (proxy.file != NULL) {
		fd = sup_secret_open(
		    proxy.file, role_row(ROLE_DIALER)->user, why, sizeof(why));
		if (fd == -1)
			return sup_plan_fail(e, c, g, "proxy.credentials",
			    "%s: %s", proxy.file, why);
		close(fd);
	}
	if (!g->url.tls)
		return 0;
	fd = sup_ca_open(&s->env, g, label, sizeof(label), why, sizeof(why));
	if (fd == -1)
		return sup_plan_fail(e, c, g, "tls.ca_file", "%s", why);
	close(fd);
	return 0;
}

static int
check(const struct supervisor *s, const struct conf *c, struct conf_error *e)
{
	gid_t gid;
	size_t i;

	errno = 0;
	if (c->ngateway > LIMIT_GATEWAYS)
		return sup_plan_fail(
		    e, c, NULL, "gateways", "more than %d", LIMIT_GATEWAYS);
	if (sup_group(c->control_group, &gid) == -1)
		return sup_plan_fail(e, c, NULL, "control.group",
		    "no group \"%s\" on "
		    "this machine: make it (groupadd) or name another",
		    c->control_group);
	for (i = 0; i < c->ngateway; i++)
		if (check_gateway(s, c, &c->gateway[i], e) == -1)
			return -1;
	return 0;
}

static int
port_cmp(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

/* The port of a URL, or of the proxy on the way to it. */
static uint16_t
port_to(const struct supervisor *s, const struct conf_gateway *g,
    const struct url *to)
{
	struct sup_proxy proxy;
	const char *var;

	(void)sup_proxy(&proxy, &s->env, g, to, &var);
	return proxy.host[0] != '\0' ? proxy.port : to->port;
}

/* The ports the dialer must be able to reach, each once. */
static int
collect_ports(const struct supervisor *s, struct sup_plan *p)
{
	const struct conf_gateway *g;
	size_t i, n = 0;

	p->port = calloc(2 * p->conf->ngateway + 1, sizeof(*p->port));
	if (p->port == NULL)
		return -1;
	for (i = 0; i < p->conf->ngateway; i++) {
		g = &p->conf->gateway[i];
		p->port[n++] = port_to(s, g, &g->url);
		if (g->token.oidc_url != NULL)
			p->port[n++] = port_to(s, g, &g->token.oidc);
	}
	p->port[n++] = DNS_PORT;
	qsort(p->port, n, sizeof(*p->port), port_cmp);
	for (i = 0; i < n; i++)
		if (i == 0 || p->port[i] != p->port[i - 1])
			p->port[p->nport++] = p->port[i];
	return 0;
}

/* Without root a command runs as we do, whatever its user's name is. */
static void
say_user(const struct conf_gateway *g)
{
	const char *name = g->token.command_user;
	const struct passwd *pw;

	if (name != NULL &&
	    ((pw = getpwnam(name)) == NULL || pw->pw_uid != geteuid()))
		log_info("conf", g->name,
		    "identity_token.user: without root the token command runs "
		    "as the user relayd runs as, not as %s",
		    name);
}

/* As root: who runs the token commands. */
static int
find_users(struct sup_plan *p, struct conf_error *e)
{
	const struct conf_gateway *g;
	char why[LIMIT_REASON];
	size_t i;

	for (i = 0; i < p->conf->ngateway; i++) {
		g = &p->conf->gateway[i];
		if (g->token.ncommand == 0)
			continue;
		if (geteuid() != 0) {
			say_user(g);
			continue;
		}
		if ((p->user[i] = malloc(sizeof(*p->user[i]))) == NULL) {
			no_memory(e);
			return -1;
		}
		errno = 0;
		if (sup_command_user(p->user[i], g->token.command_user, why,
			sizeof(why)) == -1)
			return sup_plan_fail(
			    e, p->conf, g, "identity_token.user", "%s", why);
	}
	return 0;
}

int
sup_plan_ports_same(
    const struct sup_plan *p, const uint16_t *port, size_t nport)
{
	return p->nport == nport &&
	    memcmp(p->port, port, nport * sizeof(*port)) == 0;
}

static void
warn(void *arg, const char *text)
{
	(void)arg;
	log_warn("conf", NULL, "%s", text);
}

static struct conf *
load(const struct sup_paths *paths, char *const env[], conf_warn_fn *say,
    struct conf_error *e)
{
	char host[256];
	const char *path = paths->conf;
	struct conf *c;
	int checked = 0;

	/* Who could change the file could make root do what he likes. */
	if (geteuid() == 0 && path[0] != '\0' && access(path, F_OK) == 0) {
		if (conf_check_owner(path, e) == -1)
			return NULL;
		checked = 1;
	}
	if (gethostname(host, sizeof(host)) == -1)
		strlcpy(host, "localhost", sizeof(host));
	host[sizeof(host) - 1] = '\0';
	c = conf_load(path[0] == '\0' ? NULL : path, paths->conf_given, env,
	    host, say, NULL, e);
	/* A file that was not there a moment ago. */
	if (c != NULL && c->path != NULL && geteuid() == 0 && !checked &&
	    conf_check_owner(path, e) == -1) {
		conf_free(c);
		return NULL;
	}
	return c;
}

static void
say_nothing(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

struct conf *
sup_conf_variables(const struct sup_paths *paths, char *const env[],
    char *names[LIMIT_GATEWAYS], size_t *n)
{
	struct conf_error e;
	struct conf *c;
	size_t i;

	*n = 0;
	if ((c = load(paths, env, say_nothing, &e)) == NULL)
		return NULL;
	for (i = 0; i < c->ngateway && i < LIMIT_GATEWAYS; i++)
		if (c->gateway[i].token.env != NULL)
			names[(*n)++] = c->gateway[i].token.env;
	return c;
}

struct sup_plan *
sup_plan_load(struct supervisor *s, struct conf_error *e)
{
	struct sup_plan *p;

	e->text[0] = '\0';
	e->passing = 0;
	if ((p = calloc(1, sizeof(*p))) == NULL) {
		no_memory(e);
		return NULL;
	}
	p->conf = load(&s->paths, s->env.var, warn, e);
	if (p->conf == NULL || check(s, p->conf, e) == -1 ||
	    find_users(p, e) == -1) {
		sup_plan_free(p);
		return NULL;
	}
	if (collect_ports(s, p) == -1) {
		no_memory(e);
		sup_plan_free(p);
		return NULL;
	}
	(void)sup_group(p->conf->control_group, &p->control_gid);
	p->generation = ++s->generation;
	return p;
}

void
sup_plan_free(struct sup_plan *p)
{
	size_t i;

	if (p == NULL)
		return;
	for (i = 0; i < LIMIT_GATEWAYS; i++)
		free(p->user[i]);
	if (p->conf != NULL)
		conf_free(p->conf);
	free(p->port);
	free(p);
}

/* Socket and journal of one gateway. */
static int
place_one(struct supervisor *s, const struct conf *c,
    const struct conf_gateway *g, unsigned slot, struct conf_error *e)
{
	struct sup_slot *place = &s->slots.slot[slot];
	struct conf_error why;
	gid_t gid;

	(void)sup_group(g->agents.group, &gid);
	if (place->state[0] == '\0') {
		strlcpy(place->state, "unknown", sizeof(place->state));
		strlcpy(place->reason, "not told yet", sizeof(place->reason));
	}
	if (sup_sock_agents(s, slot, gid, e) == -1)
		return -1;
	if (sup_journal_open(&place->journal, s->paths.state, g, &why) == -1)
		return sup_plan_fail(e, c, g, "journal", "%s", why.text);
	return 0;
}

int
sup_plan_place(struct supervisor *s, struct sup_plan *p, struct conf_error *e)
{
	const struct conf_gateway *g;
	size_t i;
	int slot;

	if (sup_sock_common(s, p->control_gid, e) == -1)
		return -1;
	for (i = 0; i < p->conf->ngateway; i++) {
		g = &p->conf->gateway[i];
		if ((slot = sup_slot_take(&s->slots, g->name)) == -1)
			return sup_plan_fail(e, p->conf, g, "url",
			    "no place is free: "
			    "reload once without the gateways that are to go, "
			    "then with the new ones");
		p->slot[i] = (uint16_t)slot;
		if (place_one(s, p->conf, g, (unsigned)slot, e) == -1)
			return -1;
	}
	return 0;
}

const struct conf_gateway *
sup_plan_gateway(const struct sup_plan *p, unsigned slot)
{
	size_t i;

	for (i = 0; p != NULL && i < p->conf->ngateway; i++)
		if (p->slot[i] == slot)
			return &p->conf->gateway[i];
	return NULL;
}

void
sup_plan_keep(struct supervisor *s, const struct sup_plan *p)
{
	unsigned i;

	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (!sup_slot_used(&s->slots, i) ||
		    sup_plan_gateway(p, i) != NULL)
			continue;
		sup_sock_agents_remove(s, i);
		sup_journal_close(&s->slots.slot[i].journal, s->paths.state,
		    s->slots.slot[i].name, p != NULL);
		sup_slot_free(&s->slots, i);
	}
}

void
sup_plan_journals(struct supervisor *s, const struct sup_plan *p)
{
	size_t i;

	for (i = 0; i < p->conf->ngateway; i++)
		sup_journal_keep(
		    &s->slots.slot[p->slot[i]].journal, &p->conf->gateway[i]);
}

static const struct conf_gateway *
by_name(const struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->ngateway; i++)
		if (strcmp(c->gateway[i].name, name) == 0)
			return &c->gateway[i];
	return NULL;
}

void
sup_plan_compare(struct sup_plan *p, const struct sup_plan *old)
{
	const struct conf_gateway *was;
	size_t i;

	p->nadded = p->nchanged = p->nremoved = 0;
	for (i = 0; i < p->conf->ngateway; i++) {
		was = by_name(old->conf, p->conf->gateway[i].name);
		p->changed[i] =
		    was == NULL || !conf_link_equal(was, &p->conf->gateway[i]);
		if (was == NULL)
			p->nadded++;
		else if (!conf_gateway_equal(was, &p->conf->gateway[i]))
			p->nchanged++;
	}
	for (i = 0; i < old->conf->ngateway; i++)
		if (by_name(p->conf, old->conf->gateway[i].name) == NULL)
			p->nremoved++;
}
