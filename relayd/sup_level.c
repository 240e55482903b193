/* SPDX-License-Identifier: ISC */
/* The level and the form of the log. */
#include "log_repeat.h"
#include "msg.h"
#include "pipe.h"
#include "sup_child.h"
#include "sup_conf.h"
#include "sup_level.h"

/* How often an operator may have another level: each time is a line of the log,
 * and the engine, which hands the wish on, may be compromised. */
#define WISHES_AT_ONCE 10
#define WISHES_PER_S   1

/* What holds without an operator's wish. */
static int
configured(const struct supervisor *s)
{
	return s->debug ? LOG_DEBUG : s->plan->conf->log_level;
}

int
sup_level(const struct supervisor *s)
{
	return s->level != -1 ? s->level : configured(s);
}

int
sup_level_of(const struct supervisor *s, enum role role)
{
	if (role == ROLE_ENGINE || role == ROLE_DIALER ||
	    sup_level(s) > configured(s))
		return sup_level(s);
	return configured(s);
}

void
sup_level_form(const struct conf *c)
{
	log_form(c->log_format == LOG_JSON ? LOG_FORM_JSON : LOG_FORM_LOGFMT);
}

/* Ourselves and the children.  An exchange keeps what it was started with: it
 * is gone in seconds. */
static void
apply(struct supervisor *s)
{
	struct msg_log_level m;
	int r, changed;

	/* What was counted is said at the level it belongs to. */
	if (s->logged_at != sup_level(s))
		log_fold_flush(1);
	log_level(sup_level_of(s, ROLE_SUPERVISOR));
	changed = s->logged_at != sup_level(s);
	s->logged_at = sup_level(s);
	for (r = FIRST_CHILD; r <= LAST_CHILD; r++) {
		sup_child_log_bound(&s->child[r]);
		if (!changed || s->child[r].pipe == NULL)
			continue;
		m.level = (uint64_t)sup_level_of(s, (enum role)r);
		(void)pipe_send(s->child[r].pipe, MSG_LOG_LEVEL, 0, &m, -1);
	}
}

void
sup_level_first(struct supervisor *s)
{
	sup_level_form(s->plan->conf);
	log_level(sup_level_of(s, ROLE_SUPERVISOR));
	s->logged_at = sup_level(s);
	rate_init(&s->level_wishes, WISHES_PER_S, WISHES_AT_ONCE, sup_now());
	/* Without memory they are all printed. */
	s->repeats = log_repeats_new();
	log_fold(s->repeats);
}

void
sup_level_reset(struct supervisor *s)
{
	s->level = -1;
	sup_level_form(s->plan->conf);
	apply(s);
}

const char *
sup_level_want(struct sup_child *c, struct msg *m)
{
	const struct msg_want_level *want = &m->u.want_level;
	struct supervisor *s = c->sup;
	struct msg_level answer;
	int was = sup_level(s);

	if (want->level < LOG_ERR)
		return "a log level that there is not";
	if (want->level != LEVEL_ASK &&
	    rate_take(&s->level_wishes, sup_now())) {
		s->level = (int)want->level;
		log_always("log_level",
		    "%s, was %s: asked for by uid %llu, pid %llu",
		    log_level_name(s->level), log_level_name(was),
		    (unsigned long long)want->uid,
		    (unsigned long long)want->pid);
		apply(s);
	}
	answer.level = (uint64_t)sup_level(s);
	answer.configured = (uint64_t)configured(s);
	answer.json = s->plan->conf->log_format == LOG_JSON;
	(void)pipe_send(c->pipe, MSG_LEVEL, m->corr, &answer, -1);
	return NULL;
}
