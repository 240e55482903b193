/* SPDX-License-Identifier: ISC */
/* The engine's slice of the configuration, in two phases. */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent_sock.h"
#include "ca.h"
#include "conn.h"
#include "control.h"
#include "engine_conf.h"
#include "engine_cred.h"
#include "journal_head.h"
#include "log.h"

/* Log lines of one gateway that the core asks for: some at once, then a few
 * each second, so that a rubbish-talking peer cannot flood the log. */
#define REMARKS_PER_S 2
#define REMARKS_BURST 20

/* A gateway of the stage. */
struct staged {
	uint8_t changed;
	char url_text[URL_PATH_MAX + 512 + 1];
	char server_name[URL_HOST_MAX + 1];
	char ca_label[LIMIT_PATH + 1];
	struct url url;
	struct gateway_conf conf;
	struct ca *ca;
	int listen_fd, journal_fd;
	uint8_t has_journal; /* CONF_JOURNAL came */
	/* what the commit needs and must not fail to get */
	struct engine_gw *eg; /* when the gateway is new */
	struct journal_memory journal;
};

struct engine_stage {
	struct staged *gw[LIMIT_GATEWAYS];
	int control_fd[LISTEN_LAST + 1];
	char why[LIMIT_REASON + 1];
};

static void
close_fd(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

static const char *refuse(struct engine *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

static const char *
refuse(struct engine *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e->stage->why, sizeof(e->stage->why), fmt, ap);
	va_end(ap);
	return e->stage->why;
}

/* Forgetting. */

static void
staged_free(struct staged *st)
{
	uint32_t i;

	if (st == NULL)
		return;
	for (i = 0; i < st->conf.nidentity; i++)
		free(st->conf.identity[i].manifest);
	ca_release(st->ca);
	close_fd(&st->listen_fd);
	close_fd(&st->journal_fd);
	if (st->journal.p != NULL)
		munmap(st->journal.p, st->journal.len);
	free(st->eg);
	free(st);
}

void
engine_conf_abort(void *arg)
{
	struct engine *e = arg;
	unsigned i;

	if (e->stage == NULL)
		return;
	for (i = 0; i < LIMIT_GATEWAYS; i++)
		staged_free(e->stage->gw[i]);
	for (i = 0; i <= LISTEN_LAST; i++)
		close_fd(&e->stage->control_fd[i]);
	free(e->stage);
	e->stage = NULL;
}

/* Staging. */

void
engine_conf_begin(void *arg)
{
	struct engine *e = arg;
	unsigned i;

	engine_conf_abort(e);
	ca_set_round(e->cas);
	if ((e->stage = calloc(1, sizeof(*e->stage))) == NULL)
		return;
	for (i = 0; i <= LISTEN_LAST; i++)
		e->stage->control_fd[i] = -1;
}

static const char *
item_gateway(struct engine *e, struct msg *m)
{
	const struct msg_conf_gateway *g = &m->u.conf_gateway;
	struct staged *st, **at = &e->stage->gw[g->gateway];
	const char *why;

	if (*at != NULL)
		return "a gateway twice";
	if ((st = *at = calloc(1, sizeof(*st))) == NULL)
		return "out of memory";
	st->listen_fd = st->journal_fd = -1;
	st->changed = g->changed != 0;
	span_copy(st->conf.name, sizeof(st->conf.name), g->name);
	span_copy(st->url_text, sizeof(st->url_text), g->url);
	span_copy(st->server_name, sizeof(st->server_name), g->server_name);
	if ((why = url_parse(&st->url, g->url)) != NULL)
		return refuse(e, "gateways.%s.url: %s", st->conf.name, why);
	st->conf.reconnect_min_ms = (uint32_t)g->reconnect_min_ms;
	st->conf.reconnect_max_ms = (uint32_t)g->reconnect_max_ms;
	st->conf.window = (uint32_t)g->window;
	st->conf.ack_timeout_ms = (uint32_t)g->ack_timeout_s * 1000;
	st->conf.group_per_user = g->group_per_user != 0;
	st->conf.thread_per_user = g->thread_per_user != 0;
	st->conf.hold = g->idle_after_s == 0;
	st->conf.idle_after_ms = (uint32_t)g->idle_after_s * 1000;
	st->conf.pass_overlong = g->pass_overlong != 0;
	return NULL;
}

static const char *
item_identity(struct engine *e, struct msg *m)
{
	const struct msg_conf_identity *i = &m->u.conf_identity;
	struct gateway_conf *conf = &e->stage->gw[i->gateway]->conf;
	struct identity *id = &conf->identity[conf->nidentity];

	if (conf->nidentity == LIMIT_IDENTITIES)
		return refuse(e, "gateways.%s.identities: more than %d",
		    conf->name, LIMIT_IDENTITIES);
	span_copy(id->platform, sizeof(id->platform), i->platform);
	span_copy(id->bot_id, sizeof(id->bot_id), i->bot_id);
	if (i->manifest.len > 0 &&
	    (id->manifest = strndup(i->manifest.p, i->manifest.len)) == NULL)
		return "out of memory";
	conf->nidentity++;
	return NULL;
}

static const char *
item_ca(struct engine *e, struct msg *m)
{
	struct staged *st = e->stage->gw[m->u.conf_ca.gateway];

	if (st->ca != NULL)
		return "a CA bundle twice";
	span_copy(st->ca_label, sizeof(st->ca_label), m->u.conf_ca.label);
	st->ca = ca_load(
	    e->cas, m->fd, st->ca_label, e->stage->why, sizeof(e->stage->why));
	return st->ca == NULL ? e->stage->why : NULL;
}

/* Keep the message's descriptor. */
static const char *
keep_fd(struct msg *m, int *fd)
{
	if (*fd != -1)
		return "a descriptor twice";
	*fd = m->fd;
	m->fd = -1;
	return NULL;
}

static const char *
item_listener(struct engine *e, struct msg *m)
{
	enum listener_kind kind = (enum listener_kind)m->u.conf_listener.kind;
	struct staged *st = e->stage->gw[m->u.conf_listener.gateway];

	if (kind != LISTEN_AGENT)
		return keep_fd(m, &e->stage->control_fd[kind]);
	if (st == NULL)
		return "a part of a gateway that was not named";
	return keep_fd(m, &st->listen_fd);
}

static const char *
item_journal(struct engine *e, struct msg *m)
{
	const struct msg_conf_journal *j = &m->u.conf_journal;
	struct staged *st = e->stage->gw[j->gateway];
	struct stat sb;

	if (st->has_journal)
		return "a journal twice";
	st->has_journal = 1;
	st->journal.sync = j->sync != 0;
	if (m->fd == -1)
		return j->size == 0 && !j->sync ? NULL : "a journal of nothing";
	if (j->size < JOURNAL_CONF_LEAST || j->size > JOURNAL_MOST)
		return "a journal that is too small or too large";
	/* What lies beyond a file's end cannot be read or written. */
	if (fstat(m->fd, &sb) == -1 || (uint64_t)sb.st_size < j->size)
		return refuse(e,
		    "gateways.%s.journal: its file is smaller than it was: "
		    "somebody cut it",
		    st->conf.name);
	st->journal.len = (size_t)j->size;
	return keep_fd(m, &st->journal_fd);
}

static const struct {
	enum msg_type type;
	uint8_t part; /* of a gateway named before */
	const char *(*fn)(struct engine *, struct msg *);
} items[] = {
    {MSG_CONF_GATEWAY, 0, item_gateway},
    {MSG_CONF_IDENTITY, 1, item_identity},
    {MSG_CONF_CA, 1, item_ca},
    {MSG_CONF_LISTENER, 0, item_listener},
    {MSG_CONF_JOURNAL, 1, item_journal},
};

/* Items of a gateway begin with its index. */
#define GATEWAY_OF(m) ((m)->u.conf_gateway.gateway)

const char *
engine_conf_item(struct msg *m, void *arg)
{
	const char *why = "an item that is none of the engine's";
	struct engine *e = arg;
	size_t i;

	for (i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		if (items[i].type == m->type)
			break;
	if (e->stage == NULL)
		why = "out of memory";
	else if (i < sizeof(items) / sizeof(items[0])) {
		if (items[i].part && e->stage->gw[GATEWAY_OF(m)] == NULL)
			why = "a part of a gateway that was not named";
		else
			why = items[i].fn(e, m);
	}
	close_fd(&m->fd);
	return why;
}

/* Checking: what the commit needs is had here. */

/* The live gateway that a staged one goes on as, or NULL. */
static struct engine_gw *
same(struct engine *e, unsigned index)
{
	struct engine_gw *eg = e->gw[index];
	struct staged *st = e->stage->gw[index];

	if (eg == NULL || st == NULL || strcmp(eg->name, st->conf.name) != 0)
		return NULL;
	return eg;
}

/* The file's lock is held by the mapping, too. */
static const char *
map_journal(struct engine *e, struct staged *st)
{
	void *p;

	if (st->journal_fd == -1)
		return NULL;
	p = mmap(NULL, st->journal.len, PROT_READ | PROT_WRITE, MAP_SHARED,
	    st->journal_fd, 0);
	close_fd(&st->journal_fd);
	if (p == MAP_FAILED)
		return refuse(e, "gateways.%s.journal: cannot be mapped: %s",
		    st->conf.name, strerror(errno));
	st->journal.p = p;
	return NULL;
}

static const char *
check_gateway(struct engine *e, unsigned index)
{
	struct staged *st = e->stage->gw[index];
	const char *name = st->conf.name;

	if (st->conf.nidentity == 0)
		return refuse(e, "gateways.%s: no identity", name);
	if (st->url.tls && st->ca == NULL)
		return refuse(e, "gateways.%s: no CA bundle", name);
	if (same(e, index) != NULL)
		return NULL;
	if (st->listen_fd == -1)
		return refuse(e, "gateways.%s: no agents' socket", name);
	if ((st->eg = calloc(1, sizeof(*st->eg))) == NULL)
		return "out of memory";
	return map_journal(e, st);
}

const char *
engine_conf_check(void *arg)
{
	struct engine *e = arg;
	const char *why = NULL;
	unsigned i;

	if (e->stage == NULL)
		return "out of memory";
	for (i = 0; i < LIMIT_GATEWAYS && why == NULL; i++)
		if (e->stage->gw[i] != NULL)
			why = check_gateway(e, i);
	return why;
}

/* Committing. */

/* The settings that the core does not need.  The CA bundle is taken anew also
 * for a gateway that is left alone: the next dial verifies by it. */
static void
take_settings(struct engine_gw *eg, struct staged *st)
{
	strlcpy(eg->name, st->conf.name, sizeof(eg->name));
	strlcpy(eg->url_text, st->url_text, sizeof(eg->url_text));
	strlcpy(eg->server_name, st->server_name, sizeof(eg->server_name));
	strlcpy(eg->ca_label, st->ca_label, sizeof(eg->ca_label));
	eg->url = st->url;
	ca_release(eg->ca);
	eg->ca = st->ca;
	st->ca = NULL;
}

static void
take_listener(struct engine_gw *eg, struct staged *st)
{
	int fd = st->listen_fd;

	st->listen_fd = -1;
	if (fd == -1)
		return;
	if (eg->listener != NULL)
		agent_sock_replace(eg->listener, fd);
	else if ((eg->listener = agent_sock_listen(eg, fd)) == NULL)
		log_err("agents", eg->name, "socket not served: out of memory");
}

static void
add(struct engine *e, unsigned index, struct staged *st)
{
	struct engine_gw *eg = st->eg;

	st->eg = NULL;
	eg->e = e;
	eg->index = index;
	eg->state_since = (int64_t)engine_wall();
	rate_init(&eg->remarks, REMARKS_PER_S, REMARKS_BURST, engine_clock());
	take_settings(eg, st);
	eg->gw = core_gateway_add(e->core, index, &st->conf, &st->journal, eg);
	if (eg->gw == NULL) {
		log_err("gateway", eg->name, "cannot be served: out of memory");
		ca_release(eg->ca);
		free(eg);
		return;
	}
	eg->journal = st->journal;
	st->journal.p = NULL;
	e->gw[index] = eg;
	e->ngw++;
	engine_state(eg);
	take_listener(eg, st);
	engine_cred_early(eg);
}

static void
change(struct engine_gw *eg, struct staged *st)
{
	take_settings(eg, st);
	take_listener(eg, st);
	/* The memory stays what it was. */
	eg->journal.sync = eg->journal.p != NULL && st->journal.sync;
	if (!st->changed) {
		core_gateway_adjust(eg->gw, &st->conf);
		return;
	}
	eg->standing.unsure = 0; /* perhaps it was another connector's */
	core_gateway_change(eg->gw, &st->conf);
	/* relay-authd may have been the first to live by these settings, and
	 * have named identities that were none of ours then. */
	core_skip(eg->gw, eg->cred.skipped);
}

void
engine_conf_remove(struct engine *e, struct engine_gw *eg)
{
	control_gateway_gone(e->control, eg);
	core_gateway_remove(eg->gw);
	e->gw[eg->index] = NULL;
	e->ngw--;
	agent_sock_close(eg->listener);
	ca_release(eg->ca);
	if (eg->journal.p != NULL)
		munmap(eg->journal.p, eg->journal.len);
	free(eg->standing.evidence);
	free(eg);
}

static void
commit_control(struct engine *e)
{
	unsigned kind;
	int *fd;

	for (kind = 0; kind <= LISTEN_LAST; kind++) {
		fd = &e->stage->control_fd[kind];
		if (*fd != -1 &&
		    control_listen(e->control, (enum listener_kind)kind, *fd) ==
			-1)
			log_err("control", NULL, "socket not served");
		*fd = -1;
	}
}

void
engine_conf_commit(void *arg)
{
	struct engine *e = arg;
	unsigned i;

	engine_now(e);
	for (i = 0; i < LIMIT_GATEWAYS; i++)
		if (e->gw[i] != NULL && same(e, i) == NULL)
			engine_conf_remove(e, e->gw[i]);
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (e->stage->gw[i] == NULL)
			continue;
		if (e->gw[i] != NULL)
			change(e->gw[i], e->stage->gw[i]);
		else
			add(e, i, e->stage->gw[i]);
	}
	commit_control(e);
	engine_conf_abort(e); /* what was not taken */
}
