/* SPDX-License-Identifier: ISC */
/* The life of one child: start, heartbeat, end, and start again. */

#include <sys/wait.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "msg.h"
#include "pipe.h"
#include "sup_child.h"
#include "sup_level.h"
#include "sup_pairs.h"
#include "sup_reload.h"
#include "sup_spawn.h"
#include "sup_xchg.h"

/* While relay-authd reads slowly: look again so soon. */
#define PAIRING_MS 10
/*
 * Lines of one child's log: a compromised one must not fill the disk.  At once
 * so many, and for each gateway, which all say something when their connector
 * goes; then per second, which is the dialer's budget of dials.  At debug
 * someone reads along, for a while, and wants what would be left out: but a
 * bound there is, for a level that was forgotten.
 */
#define LOG_AT_ONCE	  200
#define LOG_GATEWAY	  10
#define LOG_PER_S	  50
#define LOG_DEBUG_AT_ONCE 20000
#define LOG_DEBUG_PER_S	  1000

static const char *
name_of(const struct sup_child *c)
{
	return role_row(c->role)->name;
}

void
sup_child_log_bound(struct sup_child *c)
{
	const struct supervisor *s = c->sup;

	if (sup_level(s) == LOG_DEBUG)
		log_collect_bound(
		    &c->log.col, LOG_DEBUG_PER_S, LOG_DEBUG_AT_ONCE);
	else
		log_collect_bound(&c->log.col, LOG_PER_S,
		    LOG_AT_ONCE +
			LOG_GATEWAY * (uint32_t)s->plan->conf->ngateway);
}

void
sup_child_deadline(struct sup_child *c, int ms, const char *why)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};

	c->deadline_why = why;
	if (ms == 0)
		event_del(c->timer);
	else
		event_add(c->timer, &tv);
}

/* Its next start. */
static void
start_in(struct sup_child *c, int ms)
{
	c->next_start = sup_now() + (uint64_t)ms;
	sup_child_deadline(c, ms, NULL);
}

/* It died, or could not be started: again after a while, or never. */
static void
again(struct sup_child *c)
{
	struct supervisor *s = c->sup;
	int ms;

	c->restarts++;
	ms = restart_died(&c->restart, sup_now());
	if (ms == -1) {
		log_err("give_up", NULL,
		    "%s died %d times within %d minutes: giving up; the lines "
		    "above say how it died",
		    name_of(c), RESTART_DEATHS, RESTART_WINDOW_MS / 60000);
		sup_stop(s, 1);
		return;
	}
	log_info("restart", NULL, "%s starts again in %d ms", name_of(c), ms);
	start_in(c, ms);
}

/* Watch a process that was just started. */
static void
started(struct sup_child *c, int log_fd)
{
	sup_log_open(
	    &c->log, c->sup->base, log_fd, name_of(c), (int)c->pid, NULL);
	sup_child_log_bound(c);
	c->state = SUP_STARTING;
	c->slice = SLICE_NONE;
	c->committed = 0;
	c->orderly = 0;
	c->aborted_generation = 0;
	c->wanted = c->held = 0;
	c->lacking[0] = '\0';
	c->ping_sent = c->ping_answered = 0;
	c->since = (int64_t)time(NULL);
	restart_started(&c->restart, sup_now());
	sup_child_deadline(c, STEP_MS, "it did not say STARTED within 10 s");
	log_debug("start", NULL, "%s is process %d", name_of(c), (int)c->pid);
	sup_changed(c->sup);
}

void
sup_child_start(struct sup_child *c)
{
	struct supervisor *s = c->sup;
	int log_fd;

	c->state = SUP_PAIRING;
	if (sup_pairs_make(s, c->role) == -1) {
		log_err("start", NULL, "%s: pipes: %s", name_of(c),
		    strerror(errno));
		c->state = SUP_DOWN;
		again(c);
		return;
	}
	if (!sup_pairs_give(s, c->role)) {
		sup_child_deadline(c, PAIRING_MS, NULL);
		return;
	}
	if (sup_spawn(c, &sup_msg_ops, &log_fd) == -1) {
		log_err("start", NULL, "%s cannot be started: %s", name_of(c),
		    strerror(errno));
		sup_pairs_drop(s, c->role);
		c->state = SUP_DOWN;
		again(c);
		return;
	}
	started(c, log_fd);
}

/* The timer: a start that is due, or a step that was not taken. */
static void
timer_fired(int fd, short what, void *arg)
{
	struct sup_child *c = arg;

	(void)fd;
	(void)what;
	if (c->state == SUP_DOWN || c->state == SUP_PAIRING)
		sup_child_start(c);
	else
		sup_child_kill(c, c->deadline_why);
}

void
sup_child_kill(struct sup_child *c, const char *why)
{
	if (c->pid == 0)
		return;
	log_warn("kill", NULL, "%s (pid %d): %s: killed", name_of(c),
	    (int)c->pid, why);
	sup_child_deadline(c, 0, NULL);
	kill(c->pid, SIGKILL);
}

void
sup_child_replace(struct sup_child *c, unsigned budget_ms)
{
	struct msg_stop m = {.budget_ms = budget_ms};

	c->orderly = 1;
	c->committed = 0;
	if (c->pid == 0) {
		/* Waiting for its next start: which may be now. */
		if (c->state == SUP_DOWN)
			start_in(c, 1);
		return;
	}
	if (pipe_send(c->pipe, MSG_STOP, 0, &m, -1) == -1)
		kill(c->pid, SIGKILL);
	sup_child_deadline(
	    c, (int)budget_ms * 2, "it did not make room for its successor");
}

/* Let go of all that belonged to the process. */
static void
cleanup(struct sup_child *c)
{
	/* Its last words: why it refused, why it died. */
	if (c->pipe != NULL)
		pipe_drain(c->pipe);
	sup_log_close(&c->log);
	if (c->pipe != NULL)
		pipe_free(c->pipe);
	c->pipe = NULL;
	sup_pairs_drop(c->sup, c->role);
	sup_child_deadline(c, 0, NULL);
	c->state = SUP_DOWN;
	c->slice = SLICE_NONE;
	c->committed = 0;
}

/* What the engine alone knew is not known now. */
static void
forget_links(struct supervisor *s)
{
	unsigned i;

	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (!sup_slot_used(&s->slots, i))
			continue;
		strlcpy(s->slots.slot[i].state, "unknown",
		    sizeof(s->slots.slot[i].state));
		strlcpy(s->slots.slot[i].reason,
		    "the engine is being restarted",
		    sizeof(s->slots.slot[i].reason));
		s->slots.slot[i].since = (int64_t)time(NULL);
		s->slots.slot[i].next = 0;
	}
}

/* The engine alone has files mapped: the journals. */
static void
describe_end(const struct sup_child *c, int status, char *words, size_t cap)
{
	sup_spawn_words(status, words, cap);
	if (c->role == ROLE_ENGINE && WIFSIGNALED(status) &&
	    WTERMSIG(status) == SIGBUS)
		strlcat(words,
		    " (a journal's file was cut, or its disk is full or "
		    "failing)",
		    cap);
}

static void
gone(struct sup_child *c, int status)
{
	struct supervisor *s = c->sup;
	int pid = (int)c->pid, orderly = c->orderly;
	char words[128];

	c->pid = 0;
	cleanup(c);
	describe_end(c, status, words, sizeof(words));
	c->orderly = 0;
	if (c->role == ROLE_ENGINE)
		forget_links(s);
	if (c->role == ROLE_AUTHD)
		sup_xchg_end_all(s);
	if (s->phase == PHASE_STOPPING || orderly)
		log_debug(
		    "exit", NULL, "%s (pid %d) %s", name_of(c), pid, words);
	else
		log_warn(
		    "exit", NULL, "%s (pid %d) %s", name_of(c), pid, words);
	sup_changed(s);
	sup_proc_tell(s, c->role);
	if (s->phase == PHASE_STOPPING) {
		sup_stop_progress(s);
		return;
	}
	if (orderly) {
		sup_child_start(c);
		return;
	}
	sup_reload_child_gone(c, words);
	again(c);
}

void
sup_child_reap(struct supervisor *s)
{
	siginfo_t info = {0};
	int status, r;

	/* All, not only ours: as process 1 of a container we inherit.  One that
	 * ended keeps its number until what belongs to it was seen to. */
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    info.si_pid != 0) {
		sup_xchg_ended(s, info.si_pid);
		if (waitpid(info.si_pid, &status, WNOHANG) != info.si_pid)
			return;
		for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
			if (s->child[r].pid == info.si_pid)
				break;
		if (r <= LAST_CHILD)
			gone(&s->child[r], status);
		else
			sup_xchg_reaped(s, info.si_pid, status);
		info.si_pid = 0;
	}
}

static void
ping(struct sup_child *c, uint64_t now)
{
	struct msg_ping m;

	if (c->pid == 0 || c->pipe == NULL)
		return;
	if (c->ping_answered != c->ping_sent) {
		if (now - c->ping_since >= PING_DEAD_MS)
			sup_child_kill(
			    c, "a heartbeat was unanswered for 10 s");
		return;
	}
	m.seq = ++c->ping_sent;
	c->ping_since = now;
	(void)pipe_send(c->pipe, MSG_PING, 0, &m, -1);
}

void
sup_child_heartbeat(struct supervisor *s)
{
	uint64_t now = sup_now();
	int r;

	for (r = FIRST_CHILD; r <= LAST_CHILD; r++) {
		ping(&s->child[r], now);
		log_collect_flush(&s->child[r].log.col);
	}
	sup_proc_tell_all(s);
}

int
sup_child_all_answer(const struct supervisor *s)
{
	const struct sup_child *c;
	uint64_t now = sup_now();
	int r;

	for (r = FIRST_CHILD; r <= LAST_CHILD; r++) {
		c = &s->child[r];
		/* One that is being started again is looked after. */
		if (c->pid != 0 && c->ping_answered != c->ping_sent &&
		    now - c->ping_since >= PING_DEAD_MS)
			return 0;
	}
	return 1;
}

int
sup_child_init(struct supervisor *s)
{
	struct sup_child *c;
	int r;

	for (r = 0; r < ROLE_KEPT; r++) {
		c = &s->child[r];
		c->sup = s;
		c->role = (enum role)r;
		sup_log_init(&c->log);
		c->since = (int64_t)time(NULL);
		if ((c->timer = evtimer_new(s->base, timer_fired, c)) == NULL)
			return -1;
	}
	s->child[ROLE_SUPERVISOR].pid = getpid();
	s->child[ROLE_SUPERVISOR].state = SUP_RUNNING;
	sup_pairs_init(s);
	return 0;
}

void
sup_child_free(struct supervisor *s)
{
	struct sup_child *c;
	int r;

	for (r = 0; r < ROLE_KEPT; r++) {
		c = &s->child[r];
		if (c->timer == NULL)
			continue; /* never set up */
		cleanup(c);
		event_free(c->timer);
		free(c->port);
	}
}
