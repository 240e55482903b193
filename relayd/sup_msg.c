/* SPDX-License-Identifier: ISC */
/* What children say to the supervisor. */

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "msg.h"
#include "pipe.h"
#include "sup_child.h"
#include "sup_conf.h"
#include "sup_config.h"
#include "sup_level.h"
#include "sup_reload.h"
#include "sup_xchg.h"

/* A handler returns NULL, or a phrase: the message is not permitted now. */
/* It takes the descriptor by setting it to -1. */
typedef const char *handler(struct sup_child *c, struct msg *m);

static const char *
on_pong(struct sup_child *c, struct msg *m)
{
	if (c->ping_answered == c->ping_sent || m->u.pong.seq != c->ping_sent)
		return "PONG without PING";
	c->ping_answered = c->ping_sent;
	return NULL;
}

/* The programs on disk were replaced while we ran. */
static void
check_version(const struct sup_child *c, struct span said)
{
	char version[33];

	span_copy(version, sizeof(version), said);
	if (strcmp(version, VERSION) != 0)
		log_warn("version", NULL,
		    "%s is of version \"%s\", the supervisor of %s: restart "
		    "relayd, so that all are of one version",
		    role_row(c->role)->name, version, VERSION);
}

static const char *
on_started(struct sup_child *c, struct msg *m)
{
	if (c->state != SUP_STARTING)
		return "STARTED twice";
	c->state = SUP_RUNNING;
	c->wanted = (uint32_t)m->u.started.wanted;
	c->held = (uint32_t)m->u.started.held;
	span_copy(c->lacking, sizeof(c->lacking), m->u.started.lacking);
	check_version(c, m->u.started.version);
	if (c->lacking[0] != '\0')
		log_info("sandbox", NULL, "%s does without: %s",
		    role_row(c->role)->name, c->lacking);
	if (c->role == ROLE_ENGINE) {
		sup_proc_tell_all(c->sup);
		sup_config_tell(c->sup);
	} else
		sup_proc_tell(c->sup, c->role);
	sup_changed(c->sup);
	if (c->sup->phase != PHASE_STOPPING)
		sup_reload_started(c);
	return NULL;
}

static const char *
on_offence(struct sup_child *c, struct msg *m)
{
	enum role accused = (enum role)m->u.offence.role;
	struct sup_child *a;
	char why[LIMIT_REASON + 1], text[2 * LIMIT_REASON];

	if (accused == ROLE_SUPERVISOR || role_peer_fd(c->role, accused) == -1)
		return "OFFENCE of one it does not talk with";
	a = &c->sup->child[accused];
	span_copy(why, sizeof(why), m->u.offence.reason);
	snprintf(text, sizeof(text), "it sent %s what it must not (%s)",
	    role_row(c->role)->name, why);
	sup_child_kill(a, text);
	return NULL;
}

/* Whether an answer belongs to the slice that is awaited.  An answer to one
 * that was given up meanwhile has crossed our CONF_ABORT. */
static const char *
slice_answer(struct sup_child *c, uint64_t generation, int *awaited)
{
	*awaited = c->slice == SLICE_SENT && generation == c->slice_generation;
	if (*awaited || generation <= c->aborted_generation)
		return NULL;
	return "an answer to a configuration it was not given";
}

static const char *
on_ready(struct sup_child *c, struct msg *m)
{
	const char *why;
	int awaited;

	why = slice_answer(c, m->u.conf_ready.generation, &awaited);
	if (awaited && c->sup->phase != PHASE_STOPPING)
		sup_reload_ready(c);
	return why;
}

static const char *
on_refused(struct sup_child *c, struct msg *m)
{
	char reason[LIMIT_REASON + 1];
	const char *why;
	int awaited;

	why = slice_answer(c, m->u.conf_refused.generation, &awaited);
	span_copy(reason, sizeof(reason), m->u.conf_refused.reason);
	if (awaited && c->sup->phase != PHASE_STOPPING)
		sup_reload_refused(c, reason);
	return why;
}

static const char *
on_gateway_state(struct sup_child *c, struct msg *m)
{
	const struct msg_gateway_state *g = &m->u.gateway_state;
	struct sup_slot *slot;

	if (!c->committed)
		return "GATEWAY_STATE before it had a configuration";
	/* A gateway that a reload just removed: the two have crossed. */
	if (!sup_slot_used(&c->sup->slots, (unsigned)g->gateway))
		return NULL;
	slot = &c->sup->slots.slot[g->gateway];
	span_copy(slot->state, sizeof(slot->state), g->state);
	span_copy(slot->reason, sizeof(slot->reason), g->reason);
	slot->since = (int64_t)time(NULL);
	slot->next = g->next_in_ms == 0
	    ? 0
	    : slot->since + (int64_t)((g->next_in_ms + 999) / 1000);
	sup_changed(c->sup);
	return NULL;
}

static const char *
on_reload(struct sup_child *c, struct msg *m)
{
	if (!c->committed)
		return "RELOAD before it had a configuration";
	log_info("reload", NULL, "asked for by uid %llu, pid %llu",
	    (unsigned long long)m->u.reload.uid,
	    (unsigned long long)m->u.reload.pid);
	sup_reload_begin(c->sup, 1, m->corr);
	return NULL;
}

static const char *
on_want_level(struct sup_child *c, struct msg *m)
{
	if (!c->committed)
		return "WANT_LEVEL before it had a configuration";
	return sup_level_want(c, m);
}

static const char *
on_want_exchange(struct sup_child *c, struct msg *m)
{
	if (!c->committed)
		return "WANT_EXCHANGE before it had a configuration";
	sup_xchg_want(c->sup, m->corr, (unsigned)m->u.want_exchange.gateway,
	    (enum xchg_kind)m->u.want_exchange.kind);
	return NULL;
}

static const char *
on_want_secret(struct sup_child *c, struct msg *m)
{
	const struct msg_want_secret *w = &m->u.want_secret;
	struct msg_secret answer = {.gateway = w->gateway, .what = w->what};
	const struct conf_gateway *g;
	struct sup_cred cred = {.fd = -1};

	if (!c->committed)
		return "WANT_SECRET before it had a configuration";
	/* A gateway that a reload just removed: the two have crossed. */
	g = sup_plan_gateway(c->sup->plan, (unsigned)w->gateway);
	if (g != NULL)
		sup_secret_want(
		    &cred, &c->sup->env, g, (enum want_secret)w->what);
	else
		strlcpy(
		    cred.label, "the gateway was removed", sizeof(cred.label));
	answer.reason = span_str(cred.fd == -1 ? cred.label : "");
	(void)pipe_send(c->pipe, MSG_SECRET, m->corr, &answer, cred.fd);
	sup_cred_close(&cred);
	return NULL;
}

static const char *
on_keep(struct sup_child *c, struct msg *m)
{
	struct sup_slots *slots = &c->sup->slots;
	unsigned i = (unsigned)m->u.keep.gateway;

	if (!c->committed)
		return "KEEP before it had a configuration";
	/* As above. */
	if (!sup_slot_used(slots, i))
		return NULL;
	if (slots->slot[i].kept_fd != -1)
		close(slots->slot[i].kept_fd);
	slots->slot[i].kept_fd = m->fd;
	slots->slot[i].kept_skipped = (uint32_t)m->u.keep.skipped;
	m->fd = -1;
	return NULL;
}

static const struct {
	enum msg_type type;
	handler *fn;
} handlers[] = {
    {MSG_PONG, on_pong},
    {MSG_STARTED, on_started},
    {MSG_OFFENCE, on_offence},
    {MSG_CONF_READY, on_ready},
    {MSG_CONF_REFUSED, on_refused},
    {MSG_GATEWAY_STATE, on_gateway_state},
    {MSG_RELOAD, on_reload},
    {MSG_WANT_LEVEL, on_want_level},
    {MSG_WANT_EXCHANGE, on_want_exchange},
    {MSG_WANT_SECRET, on_want_secret},
    {MSG_KEEP, on_keep},
};

static const char *
handle(struct sup_child *c, struct msg *m)
{
	size_t i;

	if (c->state == SUP_STARTING && m->type != MSG_STARTED &&
	    m->type != MSG_PONG)
		return "it spoke before STARTED";
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].type == m->type)
			return handlers[i].fn(c, m);
	return "not for the supervisor";
}

static const char *
message(struct pipe *p, struct msg *m, void *arg)
{
	const char *why = handle(arg, m);

	(void)p;
	if (m->fd != -1)
		close(m->fd);
	return why;
}

static void
bad(struct pipe *p, const char *why, void *arg)
{
	char text[LIMIT_REASON + 64];

	(void)p;
	snprintf(
	    text, sizeof(text), "it broke the rules of its pipe (%s)", why);
	sup_child_kill(arg, text);
}

/* It is about to be reaped; one that lives on without its pipe is of no use. */
static void
gone(struct pipe *p, void *arg)
{
	struct sup_child *c = arg;

	(void)p;
	if (c->pid != 0)
		sup_child_deadline(
		    c, STEP_MS, "it closed its pipe and did not end");
}

const struct pipe_ops sup_msg_ops = {message, NULL, bad, gone};
