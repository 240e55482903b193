/* SPDX-License-Identifier: ISC */
/* The child's side of the protocol with the supervisor; see child.h. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "log.h"
#include "pipe.h"

/* What a supervisor's message asks for.  NULL, or its mistake. */
typedef const char *sup_fn(struct child *, struct msg *);

static sup_fn sup_ping, sup_peer, sup_stop, sup_level, sup_begin, sup_end,
    sup_commit, sup_abort, sup_item;

static const struct {
	enum msg_type type;
	sup_fn *fn;
} sup_table[] = {
    {MSG_PING, sup_ping},
    {MSG_PEER, sup_peer},
    {MSG_STOP, sup_stop},
    {MSG_LOG_LEVEL, sup_level},
    {MSG_CONF_BEGIN, sup_begin},
    {MSG_CONF_END, sup_end},
    {MSG_CONF_COMMIT, sup_commit},
    {MSG_CONF_ABORT, sup_abort},
    {MSG_CONF_GATEWAY, sup_item},
    {MSG_CONF_IDENTITY, sup_item},
    {MSG_CONF_CA, sup_item},
    {MSG_CONF_ENDPOINT, sup_item},
    {MSG_CONF_CREDENTIAL, sup_item},
    {MSG_CONF_LISTENER, sup_item},
    {MSG_CONF_JOURNAL, sup_item},
    {MSG_CONF_DIALER, sup_item},
    {MSG_CONF_PROVISION, sup_item},
    {MSG_CONF_TOKEN, sup_item},
    {MSG_CONF_FRONTED, sup_item},
    {MSG_CONF_KEPT, sup_item},
};

uint64_t
child_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
drop_fd(struct msg *m)
{
	if (m->fd != -1)
		close(m->fd);
	m->fd = -1;
}

static struct child_peer *
find_peer(struct child *c, enum role role)
{
	for (int i = 0; i < c->npeer; i++)
		if (c->peer[i].role == role)
			return &c->peer[i];
	return NULL;
}

/* Peers. */

/* The supervisor's word goes first: a peer may act on a commit or on a new
 * pipe of which we have not read yet, and the supervisor wrote to us before
 * the peer could have known. */
static void
heed_supervisor(struct child *c)
{
	if (!c->in_sup)
		pipe_drain(c->sup);
}

/* Whether a peer's message is still to be handled: the process that sent it
 * may have been replaced by what is read here; nobody waits for an answer. */
static int
still_counts(struct child_peer *pr, const struct pipe *p)
{
	heed_supervisor(pr->child);
	return pr->pipe == p && pr->usable;
}

static const char *
peer_message(struct pipe *p, struct msg *m, void *arg)
{
	struct child_peer *pr = arg;
	struct child *c = pr->child;

	if (still_counts(pr, p))
		return c->ops->peer_message(pr->role, m, c->arg);
	drop_fd(m);
	return NULL;
}

static const char *
peer_lacking(struct pipe *p, struct msg *m, void *arg)
{
	struct child_peer *pr = arg;
	struct child *c = pr->child;

	if (c->ops->peer_lacking == NULL || !still_counts(pr, p))
		return NULL;
	return c->ops->peer_lacking(pr->role, m, c->arg);
}

static void
peer_lost(struct child_peer *pr)
{
	struct child *c = pr->child;

	if (!pr->usable)
		return;
	pr->usable = 0;
	if (c->ops->peer_gone != NULL)
		c->ops->peer_gone(pr->role, c->arg);
}

static void
peer_bad(struct pipe *p, const char *why, void *arg)
{
	struct child_peer *pr = arg;

	(void)p;
	child_offend(pr->child, pr->role, why);
}

static void
peer_gone(struct pipe *p, void *arg)
{
	(void)p;
	peer_lost(arg);
}

static const struct pipe_ops peer_ops = {
    peer_message, peer_lacking, peer_bad, peer_gone};

void
child_offend(struct child *c, enum role peer, const char *why)
{
	struct child_peer *pr = find_peer(c, peer);
	struct msg_offence m = {.role = peer};
	char text[LIMIT_REASON + 1];

	if (pr == NULL || !pr->usable)
		return;
	strlcpy(text, why, sizeof(text));
	m.reason = span_str(text);
	log_warn("offence", NULL, "%s: %s", role_row(peer)->name, text);
	child_tell(c, MSG_OFFENCE, 0, &m);
	peer_lost(pr);
}

static void
peer_open(struct child_peer *pr)
{
	struct child *c = pr->child;

	pr->pipe = pipe_new(c->base, pr->fd, c->role, pr->role, &peer_ops, pr);
	if (pr->pipe == NULL)
		log_die(NULL, "child", "pipe to a peer: %s", strerror(errno));
	pr->usable = 1;
}

/* The supervisor. */

static const char *
sup_ping(struct child *c, struct msg *m)
{
	struct msg_pong pong = {.seq = m->u.ping.seq};

	child_tell(c, MSG_PONG, m->corr, &pong);
	return NULL;
}

/* What the old process said and nobody read is void: it could not take an
 * answer.  The pipe copes with being freed within a handler of its own. */
static const char *
sup_peer(struct child *c, struct msg *m)
{
	struct child_peer *pr = find_peer(c, (enum role)m->u.peer.role);

	if (pr == NULL)
		return "a pipe to a process we do not talk to";
	peer_lost(pr);
	pipe_free(pr->pipe);
	if (dup3(m->fd, pr->fd, O_CLOEXEC) == -1)
		log_die(
		    NULL, "child", "new pipe to a peer: %s", strerror(errno));
	drop_fd(m);
	pr->pipe = NULL;
	if (!c->committed)
		return NULL;
	peer_open(pr);
	if (c->ops->peer_new != NULL)
		c->ops->peer_new(pr->role, c->arg);
	return NULL;
}

static const char *
sup_stop(struct child *c, struct msg *m)
{
	if (c->ops->stop != NULL)
		c->ops->stop((uint32_t)m->u.stop.budget_ms, c->arg);
	else
		child_quit(c);
	return NULL;
}

static const char *
sup_level(struct child *c, struct msg *m)
{
	(void)c;
	log_level((int)m->u.log_level.level);
	return NULL;
}

static void
stage_drop(struct child *c)
{
	c->stage = CHILD_IDLE;
	if (c->ops->conf_abort != NULL)
		c->ops->conf_abort(c->arg);
}

static const char *
sup_begin(struct child *c, struct msg *m)
{
	if (c->stage != CHILD_IDLE && c->stage != CHILD_REFUSED)
		return "a configuration began before the last was settled";
	c->stage = CHILD_FILLING;
	c->generation = (uint32_t)m->u.conf_begin.generation;
	c->refusal[0] = '\0';
	if (c->ops->conf_begin != NULL)
		c->ops->conf_begin(c->arg);
	return NULL;
}

static const char *
sup_item(struct child *c, struct msg *m)
{
	const char *why;

	if (c->stage != CHILD_FILLING)
		return "a part of a configuration outside of one";
	if (c->refusal[0] != '\0' || c->ops->conf_item == NULL) {
		drop_fd(m);
		return NULL;
	}
	why = c->ops->conf_item(m, c->arg);
	if (why != NULL)
		strlcpy(c->refusal, why, sizeof(c->refusal));
	return NULL;
}

static const char *
sup_end(struct child *c, struct msg *m)
{
	struct msg_conf_ready ready = {.generation = c->generation};
	struct msg_conf_refused refused = {.generation = c->generation};
	const char *why;

	if (c->stage != CHILD_FILLING ||
	    m->u.conf_end.generation != c->generation)
		return "the end of a configuration that did not begin";
	if (c->refusal[0] == '\0' && c->ops->conf_check != NULL &&
	    (why = c->ops->conf_check(c->arg)) != NULL)
		strlcpy(c->refusal, why, sizeof(c->refusal));
	if (c->refusal[0] == '\0') {
		c->stage = CHILD_READY;
		child_tell(c, MSG_CONF_READY, m->corr, &ready);
		return NULL;
	}
	stage_drop(c);
	c->stage = CHILD_REFUSED;
	refused.reason = span_str(c->refusal);
	child_tell(c, MSG_CONF_REFUSED, m->corr, &refused);
	return NULL;
}

/* Until we live by a configuration nothing that a peer asks can be judged:
 * after a restart the others go on talking.  It waits in the pipes. */
static void
first_commit(struct child *c)
{
	if (c->committed)
		return;
	c->committed = 1;
	for (int i = 0; i < c->npeer; i++)
		peer_open(&c->peer[i]);
}

static const char *
sup_commit(struct child *c, struct msg *m)
{
	if (c->stage != CHILD_READY ||
	    m->u.conf_commit.generation != c->generation)
		return "a commit of a configuration that is not ready";
	c->stage = CHILD_IDLE;
	first_commit(c);
	if (c->ops->conf_commit != NULL)
		c->ops->conf_commit(c->arg);
	return NULL;
}

static const char *
sup_abort(struct child *c, struct msg *m)
{
	/* After our refusal, and while we fill or are ready since another
	 * child refused. */
	if (c->stage == CHILD_IDLE ||
	    m->u.conf_abort.generation != c->generation)
		return "an abort of a configuration that is not staged";
	if (c->stage == CHILD_REFUSED)
		c->stage = CHILD_IDLE;
	else
		stage_drop(c);
	return NULL;
}

static const char *
sup_message(struct pipe *p, struct msg *m, void *arg)
{
	struct child *c = arg;
	const char *why = "nobody here takes it";
	size_t i, n = sizeof(sup_table) / sizeof(sup_table[0]);

	(void)p;
	c->in_sup = 1;
	for (i = 0; i < n && sup_table[i].type != m->type; i++)
		;
	if (i < n)
		why = sup_table[i].fn(c, m);
	else if (c->ops->message != NULL)
		why = c->ops->message(m, c->arg);
	c->in_sup = 0;
	return why;
}

/* What the supervisor hands over (a pipe to a peer, a part of the
 * configuration) cannot be asked for again, nor done without: the next process
 * begins with all descriptors free. */
static const char *
sup_lacking(struct pipe *p, struct msg *m, void *arg)
{
	(void)p;
	(void)arg;
	log_die(NULL, "child", "%s: cannot go on without its descriptor",
	    msg_name(m->type));
}

static void
sup_bad(struct pipe *p, const char *why, void *arg)
{
	(void)p;
	(void)arg;
	log_die(NULL, "child", "bad message from the supervisor: %s", why);
}

/* Without its supervisor a child has no business. */
static void
sup_gone(struct pipe *p, void *arg)
{
	(void)p;
	(void)arg;
	_exit(0);
}

static const struct pipe_ops sup_ops = {
    sup_message, sup_lacking, sup_bad, sup_gone};

/* Start and end. */

int
child_begin(struct child *c, int argc, char *argv[])
{
	int level;

	memset(c, 0, sizeof(*c));
	if (ladder_args(&c->ladder, argc, argv, &level) == -1)
		return -1;
	c->role = c->ladder.role;
	log_init(LOG_TO_PARENT, role_row(c->role)->name, level);
	ladder_begin(&c->ladder);
	if ((c->base = event_base_new()) == NULL)
		log_die(NULL, "child", "event loop: %s", strerror(errno));
	return 0;
}

void
child_layer(struct child *c, enum layer layer, int held, const char *why)
{
	size_t used = strlen(c->layers_lacking);

	c->layers_wanted |= LAYER_BIT(layer);
	if (held)
		c->layers_held |= LAYER_BIT(layer);
	else
		snprintf(c->layers_lacking + used,
		    sizeof(c->layers_lacking) - used, "%s%s: %s",
		    used == 0 ? "" : "; ", layer_name(layer), why);
}

static void
tell_started(struct child *c)
{
	char lacking[LIMIT_REASON + 1];
	struct msg_started m = {0};
	int both = c->ladder.lacking[0] != '\0' && c->layers_lacking[0] != '\0';

	strlcpy(lacking, c->layers_lacking, sizeof(lacking));
	strlcat(lacking, both ? "; " : "", sizeof(lacking));
	strlcat(lacking, c->ladder.lacking, sizeof(lacking));
	m.wanted = c->ladder.wanted | c->layers_wanted;
	m.held = c->ladder.held | c->layers_held;
	m.lacking = span_str(lacking);
	m.version = SPAN_LIT(VERSION);
	child_tell(c, MSG_STARTED, 0, &m);
}

void
child_enter(struct child *c, const struct child_ops *ops, void *arg)
{
	const struct role_row *row = role_row(c->role);

	c->ops = ops;
	c->arg = arg;
	ladder_climb(&c->ladder);
	c->sup = pipe_new(
	    c->base, FD_SUPERVISOR, c->role, ROLE_SUPERVISOR, &sup_ops, c);
	if (c->sup == NULL)
		log_die(NULL, "child", "pipe to the supervisor: %s",
		    strerror(errno));
	c->npeer = row->npeer;
	for (int i = 0; i < c->npeer; i++) {
		struct child_peer *pr = &c->peer[i];

		pr->role = row->peer[i];
		pr->fd = role_peer_fd(c->role, pr->role);
		pr->child = c;
	}
	tell_started(c);
}

int
child_loop(struct child *c)
{
	if (event_base_dispatch(c->base) == -1) {
		log_err("child", NULL, "event loop: %s", strerror(errno));
		return 1;
	}
	return 0;
}

void
child_quit(struct child *c)
{
	event_base_loopbreak(c->base);
}

void
child_end(struct child *c)
{
	for (int i = 0; i < c->npeer; i++)
		pipe_free(c->peer[i].pipe);
	pipe_free(c->sup);
	event_base_free(c->base);
}

/* Sending. */

int
child_tell(
    struct child *c, enum msg_type type, uint32_t corr, const void *fields)
{
	return pipe_send(c->sup, type, corr, fields, -1);
}

int
child_has_peer(const struct child *c, enum role peer)
{
	for (int i = 0; i < c->npeer; i++)
		if (c->peer[i].role == peer)
			return c->peer[i].usable;
	return 0;
}

int
child_send(struct child *c, enum role peer, enum msg_type type, uint32_t corr,
    const void *fields, int fd)
{
	if (peer == ROLE_SUPERVISOR)
		return pipe_send(c->sup, type, corr, fields, fd);
	if (!child_has_peer(c, peer))
		return -1;
	return pipe_send(find_peer(c, peer)->pipe, type, corr, fields, fd);
}

size_t
child_queued(const struct child *c, enum role peer)
{
	for (int i = 0; i < c->npeer; i++)
		if (c->peer[i].role == peer && c->peer[i].usable)
			return pipe_queued(c->peer[i].pipe);
	return 0;
}

void
child_drain(struct child *c, enum role peer)
{
	struct child_peer *pr = find_peer(c, peer);

	if (pr != NULL && pr->usable)
		pipe_drain(pr->pipe);
}
