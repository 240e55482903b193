/* SPDX-License-Identifier: ISC */
/* A child's slice of the configuration: what it needs, and nothing else. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "msg.h"
#include "pipe.h"
#include "sup_conf.h"
#include "sup_json.h"
#include "sup_slice.h"
#include "sup_watch.h"

/* What the items of one slice have in common. */
struct slice {
	struct supervisor *s;
	struct sup_child *c;
	const struct sup_plan *p;
	struct conf_error *e;
	int fresh;
	int refresh; /* the plan that is lived by, with secrets that changed */
};

static int
send_item(struct slice *sl, enum msg_type type, const void *fields, int fd)
{
	if (pipe_send(sl->c->pipe, type, 0, fields, fd) == 0)
		return 0;
	snprintf(sl->e->text, sizeof(sl->e->text),
	    "%s cannot be sent to the %s", msg_name(type),
	    role_row(sl->c->role)->name);
	return -1;
}

/* relay-authd: id and secret; what it tells the connector, and how it proves
 * who we are. */
/* A reload does not take a credential away by mistake, nor add a gateway that
 * cannot work; one that has none already loses nothing. */
static int
would_lose(const struct slice *sl, size_t i)
{
	const struct sup_slot *at = &sl->s->slots.slot[sl->p->slot[i]];

	return !sl->fresh && strcmp(at->state, "unprovisioned") != 0;
}

/* A secret that changed does not cost the one before. */
static enum cred_keep
keep(const struct slice *sl, const struct sup_slot *at)
{
	if (!sl->refresh)
		return KEEP_NOT;
	return at->due ? KEEP_WORKING : KEEP_AS_IS;
}

/* No secret at all may be meant (it is enrolled later). */
static void
say_none(const struct slice *sl, const char *name, const struct sup_cred *cred,
    enum cred_keep kept, size_t i)
{
	const int stays = kept != KEEP_NOT && would_lose(sl, i);

	if (kept != KEEP_AS_IS)
		log_say(cred->bad || stays ? LOG_WARNING : LOG_DEBUG,
		    "credential", name, "%s%s", cred->label,
		    stays ? "; what was taken stays in use" : "");
}

static int
send_credential(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	struct sup_slot *at = &sl->s->slots.slot[sl->p->slot[i]];
	const enum cred_keep kept = keep(sl, at);
	struct msg_conf_credential m;
	struct sup_cred cred;
	int r;

	if (kept == KEEP_AS_IS) {
		at->offered = at->taken;
		sup_cred_none(&cred, g);
	} else {
		sup_watch_offer(at, &sl->s->env, g);
		sup_cred_open(&cred, &sl->s->env, g);
	}
	if (kept == KEEP_NOT && cred.bad && would_lose(sl, i)) {
		snprintf(sl->e->text, sizeof(sl->e->text),
		    "gateways.%s.secret: %.970s", g->name, cred.label);
		return -1;
	}
	/* At a start the gateway waits, and no other with it. */
	if (cred.fd == -1)
		say_none(sl, g->name, &cred, kept, i);
	m.gateway = sl->p->slot[i];
	m.name = span_str(g->name);
	m.id = span_str(g->id);
	m.source = cred.source;
	m.label = span_str(cred.label);
	m.keep = kept;
	m.delivery_key = sup_cred_delivery_key(&sl->s->env, g) != 0;
	r = send_item(sl, MSG_CONF_CREDENTIAL, &m, cred.fd);
	sup_cred_close(&cred);
	return r;
}

static struct span
text_or_empty(const char *s)
{
	return span_str(s == NULL ? "" : s);
}

static int
send_provision(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	struct msg_conf_provision m;
	char path[URL_PATH_MAX + 1];
	struct buf keys;
	int r = -1;

	buf_init(&keys, JSON_ROUTE_KEYS_MAX);
	sup_json_route_keys(&keys, g);
	if (keys.failed ||
	    url_path(&g->url, URL_DIAL, path, sizeof(path)) == -1)
		snprintf(sl->e->text, sizeof(sl->e->text),
		    "gateways.%s: too long to be sent", g->name);
	else {
		m.gateway = sl->p->slot[i];
		m.url = span_str(g->url_text);
		m.tls = g->url.tls;
		m.host = span_str(g->url.authority);
		m.path = span_str(path);
		m.server_name =
		    span_str(g->tls.server_name == NULL ? g->url.host
							: g->tls.server_name);
		m.endpoint = text_or_empty(g->endpoint);
		m.route_keys = buf_span(&keys);
		m.instance_id = text_or_empty(g->instance_id);
		m.wake_url = text_or_empty(g->wake_url);
		m.display_name = text_or_empty(g->display_name);
		r = send_item(sl, MSG_CONF_PROVISION, &m, -1);
	}
	buf_free(&keys);
	return r;
}

/* Which way the identity token is had, and what people know that by. */
static enum token_source
token_source(const struct sup_env *e, const struct conf_gateway *g,
    char label[LIMIT_PATH + 1])
{
	const struct conf_identity_token *t = &g->token;
	const char *what = "";
	enum token_source source = TOKEN_NONE;

	if (t->file != NULL) {
		source = TOKEN_FILE;
		what = t->file;
	} else if (t->env != NULL) {
		source = TOKEN_ENV;
		what = t->env;
	} else if (t->ncommand > 0) {
		source = TOKEN_COMMAND;
		what = t->command[0];
	} else if (t->oidc_url != NULL) {
		source =
		    t->oidc_client_id == NULL ? TOKEN_METADATA : TOKEN_OAUTH;
		what = t->oidc_url;
	} else if (sup_cred_identity(label, e, g))
		return TOKEN_FILE;
	/* A query is not for everybody's eyes. */
	snprintf(label, LIMIT_PATH + 1, "%.*s",
	    t->oidc_url == what ? (int)strcspn(what, "?") : LIMIT_PATH, what);
	return source;
}

static int
send_token(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	const struct conf_identity_token *t = &g->token;
	char label[LIMIT_PATH + 1], path[LIMIT_PATH + 2];
	struct msg_conf_token m;

	memset(&m, 0, sizeof(m));
	m.gateway = sl->p->slot[i];
	m.source = token_source(&sl->s->env, g, label);
	m.label = span_str(label);
	m.client_id = text_or_empty(t->oidc_client_id);
	m.scope = text_or_empty(t->oidc_scope);
	m.host = m.path = m.server_name = span_str("");
	if (t->oidc_url != NULL) {
		snprintf(path, sizeof(path), "%s%s",
		    t->oidc_target[0] == '/' ? "" : "/", t->oidc_target);
		m.tls = t->oidc.tls;
		m.host = span_str(t->oidc.authority);
		m.path = span_str(path);
		m.server_name = span_str(t->oidc.host);
	}
	return send_item(sl, MSG_CONF_TOKEN, &m, -1);
}

static int
send_fronted(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	struct msg_conf_fronted m = {.gateway = sl->p->slot[i]};
	struct buf policy;
	size_t j;
	int r = 0;

	buf_init(&policy, JSON_POLICY_MAX);
	for (j = 0; j < g->nidentity && r == 0; j++) {
		buf_reset(&policy);
		sup_json_policy(&policy, &g->identity[j]);
		m.platform = span_str(g->identity[j].platform);
		m.bot_id = span_str(g->identity[j].bot_id);
		m.policy = buf_span(&policy);
		r = send_item(sl, MSG_CONF_FRONTED, &m, -1);
	}
	buf_free(&policy);
	return r;
}

/* One that still runs has it. */
static int
send_kept(struct slice *sl, size_t i)
{
	const struct sup_slot *at = &sl->s->slots.slot[sl->p->slot[i]];
	struct msg_conf_kept m = {
	    .gateway = sl->p->slot[i], .skipped = at->kept_skipped};

	return sl->fresh && at->kept_fd != -1
	    ? send_item(sl, MSG_CONF_KEPT, &m, at->kept_fd)
	    : 0;
}

static int
send_authd(struct slice *sl, size_t i)
{
	if (send_credential(sl, i) == -1 || send_provision(sl, i) == -1 ||
	    send_token(sl, i) == -1 || send_fronted(sl, i) == -1)
		return -1;
	return send_kept(sl, i);
}

/* The dialer: where to, by which proxy, and what opens that. */
static int
send_endpoint(
    struct slice *sl, size_t i, enum endpoint endpoint, const struct url *to)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	struct msg_conf_endpoint m;
	struct sup_proxy proxy;
	const char *var;
	char why[LIMIT_REASON];
	int fd = -1, r;

	(void)sup_proxy(&proxy, &sl->s->env, g, to, &var);
	if (proxy.file != NULL)
		fd = sup_secret_open(
		    proxy.file, role_row(ROLE_DIALER)->user, why, sizeof(why));
	if (proxy.file != NULL && fd == -1) {
		snprintf(sl->e->text, sizeof(sl->e->text),
		    "gateways.%s.proxy.credentials: %s: %s", g->name,
		    proxy.file, why);
		return -1;
	}
	m.gateway = sl->p->slot[i];
	m.endpoint = endpoint;
	m.name = span_str(g->name);
	m.host = span_str(to->host);
	m.port = to->port;
	m.proxy_host = span_str(proxy.host);
	m.proxy_port = proxy.port;
	r = send_item(sl, MSG_CONF_ENDPOINT, &m,
	    proxy.sealed != -1 ? sl->s->env.sealed[proxy.sealed] : fd);
	if (fd != -1)
		close(fd);
	return r;
}

static int
send_endpoints(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];

	if (send_endpoint(sl, i, ENDPOINT_CONNECTOR, &g->url) == -1)
		return -1;
	return g->token.oidc_url == NULL
	    ? 0
	    : send_endpoint(sl, i, ENDPOINT_IDP, &g->token.oidc);
}

static int
send_dialer(struct slice *sl)
{
	struct msg_conf_dialer m = {
	    .dials_per_second = sl->p->conf->dials_per_second};

	return send_item(sl, MSG_CONF_DIALER, &m, -1);
}

/* The engine: settings, identities, CA bundle, socket, journal. */
static int
send_settings(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	struct msg_conf_gateway m;

	memset(&m, 0, sizeof(m));
	m.gateway = sl->p->slot[i];
	m.changed = sl->fresh || sl->p->changed[i];
	m.name = span_str(g->name);
	m.url = span_str(g->url_text);
	m.server_name =
	    span_str(g->tls.server_name == NULL ? "" : g->tls.server_name);
	m.reconnect_min_ms = g->reconnect.min_ms;
	m.reconnect_max_ms = g->reconnect.max_ms;
	m.window = g->agents.window;
	m.ack_timeout_s = g->agents.ack_timeout;
	m.group_per_user = g->sessions.group_per_user != 0;
	m.thread_per_user = g->sessions.thread_per_user != 0;
	m.idle_after_s =
	    g->agents.when_no_agent == NO_AGENT_HOLD ? 0 : g->agents.idle_after;
	m.pass_overlong = g->agents.overlong == OVERLONG_PASS;
	return send_item(sl, MSG_CONF_GATEWAY, &m, -1);
}

static int
send_identities(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	struct msg_conf_identity m;
	const char *manifest;
	size_t j;

	for (j = 0; j < g->nidentity; j++) {
		/* Discord alone has command manifests (CONTRACT 3). */
		manifest = strcmp(g->identity[j].platform, "discord") == 0
		    ? g->command_manifest
		    : NULL;
		m.gateway = sl->p->slot[i];
		m.platform = span_str(g->identity[j].platform);
		m.bot_id = span_str(g->identity[j].bot_id);
		m.manifest = span_str(manifest == NULL ? "" : manifest);
		if (send_item(sl, MSG_CONF_IDENTITY, &m, -1) == -1)
			return -1;
	}
	return 0;
}

static int
send_ca(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	struct msg_conf_ca m = {.gateway = sl->p->slot[i]};
	char label[LIMIT_PATH + 1], why[LIMIT_REASON];
	int fd, r;

	if (!g->url.tls)
		return 0;
	/* A description of its own for each: a shared one would share its
	 * reading position. */
	fd =
	    sup_ca_open(&sl->s->env, g, label, sizeof(label), why, sizeof(why));
	if (fd == -1) {
		snprintf(sl->e->text, sizeof(sl->e->text),
		    "gateways.%s.tls.ca_file: %s", g->name, why);
		return -1;
	}
	m.label = span_str(label);
	r = send_item(sl, MSG_CONF_CA, &m, fd);
	close(fd);
	return r;
}

static int
send_listener(struct slice *sl, unsigned slot, enum listener_kind kind, int fd)
{
	struct msg_conf_listener m = {.gateway = slot, .kind = kind};

	return send_item(sl, MSG_CONF_LISTENER, &m, fd);
}

/* Its size as it was opened: nobody is to shrink it since. */
static int
send_journal(struct slice *sl, size_t i)
{
	const struct conf_gateway *g = &sl->p->conf->gateway[i];
	const struct sup_journal *j =
	    &sl->s->slots.slot[sl->p->slot[i]].journal;
	struct msg_conf_journal m = {.gateway = sl->p->slot[i]};

	if (j->fd != -1)
		m.size = j->size;
	m.sync = j->fd != -1 && j->where == JOURNAL_DISK && g->journal.sync;
	return send_item(sl, MSG_CONF_JOURNAL, &m, j->fd);
}

static int
send_gateway(struct slice *sl, size_t i)
{
	unsigned slot = sl->p->slot[i];
	const struct sup_slot *place = &sl->s->slots.slot[slot];

	if (send_settings(sl, i) == -1 || send_identities(sl, i) == -1 ||
	    send_ca(sl, i) == -1 ||
	    send_listener(sl, slot, LISTEN_AGENT, place->sock.now.fd) == -1)
		return -1;
	return send_journal(sl, i);
}

static int
send_control(struct slice *sl)
{
	if (send_listener(sl, 0, LISTEN_CONTROL,
		sl->s->sock[SUP_SOCK_CONTROL].now.fd) == -1)
		return -1;
	return send_listener(
	    sl, 0, LISTEN_STATUS, sl->s->sock[SUP_SOCK_STATUS].now.fd);
}

static int
send_auth(struct slice *sl)
{
	return send_listener(
	    sl, 0, LISTEN_AUTH, sl->s->sock[SUP_SOCK_AUTH].now.fd);
}

/* What each role gets: something for all, something for each gateway. */
static const struct {
	int (*all)(struct slice *);
	int (*each)(struct slice *, size_t);
} items[ROLE_KEPT] = {
    [ROLE_AUTHD] = {send_auth, send_authd},
    [ROLE_DIALER] = {send_dialer, send_endpoints},
    [ROLE_ENGINE] = {send_control, send_gateway},
};

static int
send_slice(struct slice *sl, uint32_t generation)
{
	struct msg_conf_begin begin = {.generation = generation};
	struct msg_conf_end end = {.generation = generation};
	struct sup_child *c = sl->c;
	size_t i;

	c->slice_generation = generation;
	if (send_item(sl, MSG_CONF_BEGIN, &begin, -1) == -1)
		return -1;
	c->slice = SLICE_SENT;
	for (i = 0; i < sl->p->conf->ngateway; i++)
		if (items[c->role].each(sl, i) == -1)
			return -1;
	if (items[c->role].all != NULL && items[c->role].all(sl) == -1)
		return -1;
	return send_item(sl, MSG_CONF_END, &end, -1);
}

int
sup_slice_send(struct sup_child *c, const struct sup_plan *p, int fresh,
    struct conf_error *e)
{
	struct slice sl = {.s = c->sup, .c = c, .p = p, .e = e, .fresh = fresh};

	return send_slice(&sl, p->generation);
}

int
sup_slice_refresh(
    struct sup_child *c, const struct sup_plan *p, struct conf_error *e)
{
	struct slice sl = {.s = c->sup, .c = c, .p = p, .e = e, .refresh = 1};

	return send_slice(&sl, ++c->sup->generation);
}

void
sup_slice_commit(struct sup_child *c)
{
	struct msg_conf_commit m = {.generation = c->slice_generation};

	c->slice = SLICE_NONE;
	c->committed = 1;
	if (c->role == ROLE_AUTHD)
		sup_watch_taken(c->sup);
	(void)pipe_send(c->pipe, MSG_CONF_COMMIT, 0, &m, -1);
}

void
sup_slice_abort(struct sup_child *c)
{
	struct msg_conf_abort m = {.generation = c->slice_generation};

	if (c->slice == SLICE_NONE || c->pipe == NULL)
		return;
	c->slice = SLICE_NONE;
	c->aborted_generation = c->slice_generation;
	(void)pipe_send(c->pipe, MSG_CONF_ABORT, 0, &m, -1);
}
