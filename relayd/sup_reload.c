/* SPDX-License-Identifier: ISC */
/* Two phases: prepare, commit. */

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "msg.h"
#include "pipe.h"
#include "sup_child.h"
#include "sup_conf.h"
#include "sup_config.h"
#include "sup_level.h"
#include "sup_notify.h"
#include "sup_reload.h"
#include "sup_slice.h"
#include "sup_sock.h"
#include "sup_watch.h"

/* A dialer has nothing to finish: it is told to go, and soon gone. */
#define REPLACE_MS 500

static void
arm(struct supervisor *s)
{
	const struct timeval tv = {STEP_MS / 1000, STEP_MS % 1000 * 1000};

	event_add(s->reload.deadline, &tv);
}

/* Whether every child lives by a configuration; else *which does not. */
static int
all_committed(const struct supervisor *s, const char **which)
{
	int r;

	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		if (!s->child[r].committed) {
			*which = role_row((enum role)r)->name;
			return 0;
		}
	return 1;
}

static int
all_ready(const struct supervisor *s)
{
	int r;

	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		if (s->child[r].slice != SLICE_READY)
			return 0;
	return 1;
}

/* Tell the one who asked. */
static void
answer(struct supervisor *s, int asked, uint32_t corr, int ok, const char *text)
{
	struct msg_reload_done m = {.ok = (uint64_t)ok};

	if (ok)
		log_info("reload", NULL, "%s", text);
	else
		log_warn("reload", NULL, "not reloaded: %s", text);
	if (!asked || s->child[ROLE_ENGINE].pipe == NULL)
		return;
	m.text = span_str(text);
	(void)pipe_send(
	    s->child[ROLE_ENGINE].pipe, MSG_RELOAD_DONE, corr, &m, -1);
}

/* A signal that came while a child was down, or during a reload. */
static void
pending(struct supervisor *s)
{
	const char *which;

	if (!s->reload.wanted || s->reload.phase != RELOAD_NONE ||
	    s->phase != PHASE_RUNNING || !all_committed(s, &which))
		return;
	s->reload.wanted = 0;
	sup_reload_begin(s, 0, 0);
}

static void
finish(struct supervisor *s, int ok, const char *text)
{
	struct sup_reload *r = &s->reload;
	int asked = r->asked && r->asked_pid == s->child[ROLE_ENGINE].pid;

	event_del(r->deadline);
	r->phase = RELOAD_NONE;
	sup_config_write(s, ok ? NULL : text);
	answer(s, asked, r->corr, ok, text);
	if (s->phase != PHASE_STOPPING) {
		s->phase = PHASE_RUNNING;
		sup_notify(s, "READY=1");
	}
	sup_changed(s);
	pending(s);
}

void
sup_reload_abort(struct supervisor *s, const char *why)
{
	int r;

	if (s->reload.phase != RELOAD_PREPARE)
		return;
	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		sup_slice_abort(&s->child[r]);
	sup_sock_undo(s);
	sup_plan_keep(s, s->plan);
	sup_plan_free(s->reload.plan);
	s->reload.plan = NULL;
	finish(s, 0, why);
}

/* Last of the commits: the engine's. */
static void
commit_engine(struct supervisor *s)
{
	struct sup_child *engine = &s->child[ROLE_ENGINE];

	/* If it died since, its successor has the new one from the start. */
	if (engine->slice == SLICE_READY &&
	    engine->slice_generation == s->plan->generation)
		sup_slice_commit(engine);
	sup_plan_keep(s, s->plan);
	finish(s, 1, s->reload.text);
}

/* Everyone can take it: from here on there is no way back. */
static void
commit_all(struct supervisor *s)
{
	struct sup_child *dialer = &s->child[ROLE_DIALER];
	struct sup_plan *old = s->plan;

	s->plan = s->reload.plan;
	s->reload.plan = NULL;
	s->reload.phase = RELOAD_COMMIT;
	snprintf(s->reload.text, sizeof(s->reload.text),
	    "reloaded: %u added, %u changed, %u removed", s->plan->nadded,
	    s->plan->nchanged, s->plan->nremoved);
	sup_plan_free(old);
	sup_level_reset(s);
	sup_sock_commit(s, s->plan);
	sup_sock_say(s, s->reload.text, sizeof(s->reload.text));
	sup_plan_journals(s, s->plan);
	sup_slice_commit(&s->child[ROLE_AUTHD]);
	if (sup_plan_ports_same(s->plan, dialer->port, dialer->nport)) {
		sup_slice_commit(dialer);
		commit_engine(s);
		return;
	}
	/* What confines the dialer cannot be loosened, and what it no longer
	 * needs cannot be trusted to it: another one takes its place, and the
	 * engine waits for that one's commit. */
	log_debug("reload", NULL, "the dialer is replaced: other ports");
	arm(s);
	sup_child_replace(dialer, REPLACE_MS);
}

/* The first start: everyone at once. */
static void
commit_first(struct supervisor *s)
{
	int r;

	/* Before the commits: the engine's status tells of it. */
	sup_config_write(s, NULL);
	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		sup_slice_commit(&s->child[r]);
	sup_plan_journals(s, s->plan);
	sup_ready(s);
	pending(s);
}

void
sup_reload_ready(struct sup_child *c)
{
	struct supervisor *s = c->sup;

	c->slice = SLICE_READY;
	if (s->reload.phase == RELOAD_PREPARE) {
		if (all_ready(s))
			commit_all(s);
		return;
	}
	sup_child_deadline(c, 0, NULL);
	if (s->phase == PHASE_STARTING) {
		if (all_ready(s))
			commit_first(s);
		return;
	}
	sup_slice_commit(c);
	if (s->reload.phase == RELOAD_COMMIT && c->role == ROLE_DIALER)
		commit_engine(s);
	else
		pending(s);
}

/* Whether a child's reason is the machine's, which may pass. */
static int
is_shortage(const char *why)
{
	static const char end[] = "out of memory";
	size_t n = strlen(why);

	return n >= sizeof(end) - 1 &&
	    strcmp(why + n - (sizeof(end) - 1), end) == 0;
}

void
sup_reload_refused(struct sup_child *c, const char *why)
{
	struct supervisor *s = c->sup;
	const char *name = role_row(c->role)->name;
	char text[LIMIT_REASON + 64];

	if (s->reload.phase == RELOAD_PREPARE) {
		snprintf(
		    text, sizeof(text), "%s cannot take it: %s", name, why);
		sup_reload_abort(s, text);
		return;
	}
	/* Only secrets that changed: it goes on with those it has. */
	if (c->committed) {
		sup_slice_abort(c);
		sup_child_deadline(c, 0, NULL);
		log_warn("credential", NULL,
		    "secrets that changed are not taken: %s", why);
		sup_watch_taken(s);
		return;
	}
	c->slice = SLICE_NONE;
	sup_child_deadline(c, 0, NULL);
	if (s->phase == PHASE_STARTING) {
		log_err("conf", NULL, "%s cannot take the configuration: %s",
		    name, why);
		sup_stop(s, is_shortage(why) ? 1 : EXIT_CONF);
		return;
	}
	snprintf(text, sizeof(text), "it refused the configuration: %s", why);
	sup_child_kill(c, text);
}

/* Without an answer it is killed; its successor begins with all of it. */
static void
await_answer(struct sup_child *c)
{
	sup_child_deadline(
	    c, STEP_MS, "it left its configuration unanswered for 10 s");
}

void
sup_reload_secrets(struct supervisor *s)
{
	struct sup_child *authd = &s->child[ROLE_AUTHD];
	struct conf_error e;
	char text[sizeof(e.text) + 64];

	await_answer(authd);
	if (sup_slice_refresh(authd, s->plan, &e) == 0)
		return;
	snprintf(text, sizeof(text), "secrets that changed cannot be sent (%s)",
	    e.text);
	sup_child_kill(authd, text);
}

void
sup_reload_started(struct sup_child *c)
{
	struct conf_error e;
	char text[sizeof(e.text) + 64];

	await_answer(c);
	if (sup_slice_send(c, c->sup->plan, 1, &e) == 0)
		return;
	snprintf(text, sizeof(text), "its configuration cannot be sent (%s)",
	    e.text);
	sup_child_kill(c, text);
}

void
sup_reload_child_gone(struct sup_child *c, const char *words)
{
	char text[192];

	if (c->sup->reload.phase != RELOAD_PREPARE)
		return;
	snprintf(text, sizeof(text), "%s %s during the reload",
	    role_row(c->role)->name, words);
	sup_reload_abort(c->sup, text);
}

/* Ten seconds are over. */
static void
deadline(int fd, short what, void *arg)
{
	struct supervisor *s = arg;
	char text[128];
	int r;

	(void)fd;
	(void)what;
	if (s->reload.phase == RELOAD_COMMIT) {
		log_warn("reload", NULL,
		    "the new dialer is not there yet: "
		    "going on without it");
		commit_engine(s);
		return;
	}
	for (r = FIRST_CHILD; r < LAST_CHILD; r++)
		if (s->child[r].slice != SLICE_READY)
			break;
	snprintf(text, sizeof(text), "%s did not answer within %d s",
	    role_row((enum role)r)->name, STEP_MS / 1000);
	sup_reload_abort(s, text);
}

/* First phase: every child gets its slice. */
static void
prepare(struct supervisor *s, struct sup_plan *p)
{
	struct conf_error e;
	int r;

	sup_plan_compare(p, s->plan);
	s->reload.plan = p;
	s->reload.phase = RELOAD_PREPARE;
	arm(s);
	if (sup_plan_place(s, p, &e) == -1) {
		sup_reload_abort(s, e.text);
		return;
	}
	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		if (sup_slice_send(&s->child[r], p, 0, &e) == -1) {
			sup_reload_abort(s, e.text);
			return;
		}
}

/* Why a reload cannot begin now, in text; or NULL. */
static const char *
cannot(struct supervisor *s, int asked, char *text, size_t cap)
{
	const char *which, *what;
	char buf[64];

	if (s->phase == PHASE_STOPPING)
		return "relayd is stopping";
	if (s->phase == PHASE_RUNNING && all_committed(s, &which))
		return NULL;
	if (!asked)
		s->reload.wanted = 1;
	if (s->phase == PHASE_RELOADING)
		what = "a reload is under way";
	else {
		snprintf(buf, sizeof(buf), "%s is being started",
		    s->phase == PHASE_RUNNING ? which : "everything");
		what = buf;
	}
	snprintf(text, cap, "%s%s", what,
	    asked ? ": try again in a moment" : ": it will be done after that");
	return text;
}

void
sup_reload_begin(struct supervisor *s, int asked, uint32_t corr)
{
	struct sup_child *authd = &s->child[ROLE_AUTHD];
	struct timespec ts;
	struct conf_error e;
	struct sup_plan *p;
	const char *why;
	char text[128];

	if ((why = cannot(s, asked, text, sizeof(text))) != NULL) {
		answer(s, asked, corr, 0, why);
		return;
	}
	/* Secrets that changed are among what is loaded now. */
	if (authd->slice != SLICE_NONE) {
		sup_child_deadline(authd, 0, NULL);
		sup_slice_abort(authd);
	}
	s->reload.asked = asked;
	s->reload.corr = corr;
	s->reload.asked_pid = s->child[ROLE_ENGINE].pid;
	s->phase = PHASE_RELOADING;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	sup_notify(s, text);
	sup_changed(s);
	if ((p = sup_plan_load(s, &e)) == NULL)
		finish(s, 0, e.text);
	else
		prepare(s, p);
}

int
sup_reload_init(struct supervisor *s)
{
	s->reload.deadline = evtimer_new(s->base, deadline, s);
	return s->reload.deadline == NULL ? -1 : 0;
}

void
sup_reload_free(struct supervisor *s)
{
	if (s->reload.deadline != NULL)
		event_free(s->reload.deadline);
	sup_plan_free(s->reload.plan);
}
