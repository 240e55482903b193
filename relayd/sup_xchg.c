/* SPDX-License-Identifier: ISC */
/* Exchanges: start, deadline, end. */

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pipe.h"
#include "sup_command.h"
#include "sup_conf.h"
#include "sup_spawn.h"
#include "sup_xchg.h"

/* Lines of one exchange in the log, at once and then per second. */
#define LOG_AT_ONCE 20
#define LOG_PER_S   2

/* One under way; its place is free again when exchange and command ended. */
struct xchg {
	pid_t pid; /* 0: none */
	int killed;
	char gateway[LIMIT_NAME + 1];
	struct sup_log log;
	struct event *timer;
	struct sup_command command;
};

/* A request. */
struct want {
	uint32_t corr;
	unsigned gateway;
	enum xchg_kind kind;
};

struct sup_xchgs {
	struct supervisor *sup;
	struct xchg one[LIMIT_EXCHANGES];
	/* Requests that wait for a place, oldest first. */
	struct want wait[LIMIT_EXCHANGES];
	unsigned nwait;
	struct event *patience;
	uint64_t command_ms[LIMIT_GATEWAYS]; /* last start; 0: never */
};

/* busy: another time there may be one. */
static void
refuse(
    struct supervisor *s, const struct want *w, unsigned busy, const char *why)
{
	struct msg_exchange_failed m = {
	    .gateway = w->gateway, .busy = busy, .reason = span_str(why)};
	const struct sup_child *authd = &s->child[ROLE_AUTHD];

	log_debug("exchange", s->slots.slot[w->gateway].name, "none: %s", why);
	if (authd->pipe != NULL)
		(void)pipe_send(
		    authd->pipe, MSG_EXCHANGE_FAILED, w->corr, &m, -1);
}

/* What an exchange reads. */

static int
nothing(char *why, size_t whylen)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		snprintf(why, whylen, "/dev/null: %s", strerror(errno));
	return fd;
}

static int
open_ca(const struct supervisor *s, const struct conf_gateway *g, int tls,
    char *why, size_t whylen)
{
	char label[LIMIT_PATH + 1], text[LIMIT_REASON];
	int fd;

	if (!tls)
		return nothing(why, whylen);
	fd = sup_ca_open(&s->env, g, label, sizeof(label), text, sizeof(text));
	if (fd == -1)
		snprintf(why, whylen, "CA bundle: %.200s", text);
	return fd;
}

/* Index of the gateway with that place in the plan. */
static size_t
plan_index(const struct sup_plan *p, const struct conf_gateway *g)
{
	return (size_t)(g - p->conf->gateway);
}

/* NULL after its last argument. */
static char **
argv_of(const struct conf_gateway *g)
{
	char **argv;
	size_t i;

	argv = calloc(g->token.ncommand + 1, sizeof(*argv));
	for (i = 0; argv != NULL && i < g->token.ncommand; i++)
		argv[i] = g->token.command[i];
	return argv;
}

static int
start_command(struct supervisor *s, struct xchg *x,
    const struct conf_gateway *g, unsigned slot, char *why, size_t whylen)
{
	const struct sup_user *user = s->plan->user[plan_index(s->plan, g)];
	const char *home = sup_env_get(&s->env, "HOME");
	struct sup_command_line line = {
	    .gateway = g->name, .user = user, .ms = COMMAND_MS};
	char **argv;
	int fd;

	if (g->token.ncommand == 0) {
		strlcpy(why, "the gateway has no token command", whylen);
		return -1;
	}
	if ((argv = argv_of(g)) == NULL) {
		strlcpy(why, "relayd is out of memory", whylen);
		return -1;
	}
	s->xchg->command_ms[slot] = sup_now();
	line.argv = argv;
	line.home = user != NULL ? user->home : home != NULL ? home : "/";
	fd = sup_command_start(&x->command, s->base, &line, why, whylen);
	free(argv);
	return fd;
}

static int
open_input(struct supervisor *s, struct xchg *x, const struct conf_gateway *g,
    const struct want *w, char *why, size_t whylen)
{
	switch (w->kind) {
	case XCHG_CONNECTOR:
		return open_ca(s, g, g->url.tls, why, whylen);
	case XCHG_IDP:
		if (g->token.oidc_url != NULL)
			return open_ca(s, NULL, g->token.oidc.tls, why, whylen);
		strlcpy(why, "the gateway has no token URL", whylen);
		return -1;
	case XCHG_COMMAND:
		return start_command(s, x, g, w->gateway, why, whylen);
	}
	strlcpy(why, "no such kind of exchange", whylen);
	return -1;
}

/* Start and end. */

static void
kill_one(struct xchg *x)
{
	sup_command_kill(&x->command);
	if (x->pid == 0)
		return;
	x->killed = 1;
	kill(x->pid, SIGKILL);
}

static void
too_late(int fd, short what, void *arg)
{
	struct xchg *x = arg;

	(void)fd;
	(void)what;
	log_warn("kill", x->gateway,
	    "exchange (pid %d): it did not end within %d s: killed",
	    (int)x->pid, XCHG_MS / 1000);
	kill_one(x);
}

/* Give relay-authd its end of the pipe. */
static int
hand_over(struct supervisor *s, const struct want *w, int fd)
{
	struct msg_exchange m = {.gateway = w->gateway};
	const struct sup_child *authd = &s->child[ROLE_AUTHD];

	return authd->pipe == NULL
	    ? -1
	    : pipe_send(authd->pipe, MSG_EXCHANGE, w->corr, &m, fd);
}

/* The process, with input, which is taken over. */
static int
spawn(struct supervisor *s, struct xchg *x, const struct want *w, int input)
{
	const struct timeval tv = {XCHG_MS / 1000, XCHG_MS % 1000 * 1000};
	int pair[2], log_fd, fd[SPAWN_FDS - FD_SUPERVISOR];

	_Static_assert(FD_INPUT == SPAWN_FDS - 1, "an exchange's descriptors");
	if (pipe_pair(pair) == -1) {
		close(input);
		return -1;
	}
	/* It has nothing to say to us. */
	fd[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fd[FD_PEER - FD_SUPERVISOR] = pair[1];
	fd[FD_INPUT - FD_SUPERVISOR] = input;
	x->pid = sup_spawn_role(s, ROLE_XCHG, fd, &log_fd);
	if (x->pid == -1) {
		x->pid = 0;
		close(pair[0]);
		return -1;
	}
	x->killed = 0;
	sup_log_open(&x->log, s->base, log_fd, role_row(ROLE_XCHG)->name,
	    (int)x->pid, NULL);
	log_collect_bound(&x->log.col, LOG_PER_S, LOG_AT_ONCE);
	event_add(x->timer, &tv);
	if (hand_over(s, w, pair[0]) == -1)
		kill_one(x);
	close(pair[0]);
	return 0;
}

/* Whether the gateway's token command was started just now. */
static int
is_too_soon(const struct supervisor *s, const struct want *w)
{
	uint64_t last = s->xchg->command_ms[w->gateway];

	return w->kind == XCHG_COMMAND && last != 0 &&
	    sup_now() - last < XCHG_COMMAND_MS;
}

static void
start(struct supervisor *s, struct xchg *x, const struct want *w)
{
	const struct conf_gateway *g = sup_plan_gateway(s->plan, w->gateway);
	char why[LIMIT_REASON] = "";
	int input;

	/* A reload removed it: the two have crossed. */
	if (g == NULL) {
		refuse(
		    s, w, 0, "the gateway was removed from the configuration");
		return;
	}
	if (is_too_soon(s, w)) {
		refuse(s, w, 1,
		    "the token command was started less than a second ago");
		return;
	}
	strlcpy(x->gateway, g->name, sizeof(x->gateway));
	if ((input = open_input(s, x, g, w, why, sizeof(why))) != -1 &&
	    spawn(s, x, w, input) == -1) {
		snprintf(why, sizeof(why), "the exchange cannot be started: %s",
		    strerror(errno));
		sup_command_kill(&x->command);
	}
	if (why[0] != '\0')
		refuse(s, w, 0, why);
}

static struct xchg *
free_place(struct sup_xchgs *all)
{
	size_t i;

	for (i = 0; i < LIMIT_EXCHANGES; i++)
		if (all->one[i].pid == 0 && all->one[i].command.pid == 0)
			return &all->one[i];
	return NULL;
}

/* Those that waited longest are served as places become free. */
static void
serve(struct sup_xchgs *all)
{
	struct want first;
	struct xchg *x;

	while (all->nwait > 0 && (x = free_place(all)) != NULL) {
		first = all->wait[0];
		all->nwait--;
		memmove(all->wait, all->wait + 1,
		    all->nwait * sizeof(all->wait[0]));
		start(all->sup, x, &first);
	}
	if (all->nwait == 0)
		event_del(all->patience);
}

static void
give_up(int fd, short what, void *arg)
{
	struct sup_xchgs *all = arg;
	unsigned i, n = all->nwait;

	(void)fd;
	(void)what;
	all->nwait = 0;
	for (i = 0; i < n; i++)
		refuse(all->sup, &all->wait[i], 1,
		    "as many exchanges as there may be are under way");
}

void
sup_xchg_want(
    struct supervisor *s, uint32_t corr, unsigned gateway, enum xchg_kind kind)
{
	const struct timeval tv = {
	    XCHG_WAIT_MS / 1000, XCHG_WAIT_MS % 1000 * 1000};
	struct sup_xchgs *all = s->xchg;
	struct want w = {corr, gateway, kind};

	if (s->phase == PHASE_STOPPING) {
		refuse(s, &w, 0, "relayd is stopping");
		return;
	}
	if (all->nwait == LIMIT_EXCHANGES) {
		refuse(s, &w, 1, "too many exchanges were asked for at once");
		return;
	}
	all->wait[all->nwait++] = w;
	serve(all);
	if (all->nwait > 0 && !event_pending(all->patience, EV_TIMEOUT, NULL))
		event_add(all->patience, &tv);
}

void
sup_xchg_end_all(struct supervisor *s)
{
	size_t i;

	s->xchg->nwait = 0;
	event_del(s->xchg->patience);
	for (i = 0; i < LIMIT_EXCHANGES; i++)
		kill_one(&s->xchg->one[i]);
}

void
sup_xchg_ended(struct supervisor *s, pid_t pid)
{
	size_t i;

	for (i = 0; i < LIMIT_EXCHANGES; i++)
		if (s->xchg->one[i].command.pid == pid)
			sup_command_ended(&s->xchg->one[i].command);
}

static void
gone(struct xchg *x, int status)
{
	const int well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	char words[128];

	event_del(x->timer);
	sup_log_close(&x->log);
	sup_spawn_words(status, words, sizeof(words));
	log_say(well || x->killed ? LOG_DEBUG : LOG_WARNING, "exit", x->gateway,
	    "exchange (pid %d) %s", (int)x->pid, words);
	x->pid = 0;
	/* Nobody reads its output now. */
	sup_command_kill(&x->command);
}

void
sup_xchg_reaped(struct supervisor *s, pid_t pid, int status)
{
	size_t i;

	for (i = 0; i < LIMIT_EXCHANGES; i++) {
		if (s->xchg->one[i].pid == pid)
			gone(&s->xchg->one[i], status);
		else if (s->xchg->one[i].command.pid == pid)
			sup_command_reaped(&s->xchg->one[i].command, status);
		else
			continue;
		serve(s->xchg);
		return;
	}
}

int
sup_xchg_init(struct supervisor *s)
{
	struct sup_xchgs *all;
	size_t i;

	if ((all = s->xchg = calloc(1, sizeof(*all))) == NULL)
		return -1;
	all->sup = s;
	for (i = 0; i < LIMIT_EXCHANGES; i++) {
		sup_log_init(&all->one[i].log);
		all->one[i].timer =
		    evtimer_new(s->base, too_late, &all->one[i]);
		if (all->one[i].timer == NULL ||
		    sup_command_init(&all->one[i].command, s->base) == -1)
			return -1;
	}
	all->patience = evtimer_new(s->base, give_up, all);
	return all->patience == NULL ? -1 : 0;
}

void
sup_xchg_free(struct supervisor *s)
{
	struct sup_xchgs *all = s->xchg;
	size_t i;

	for (i = 0; all != NULL && i < LIMIT_EXCHANGES; i++) {
		if (all->one[i].timer == NULL)
			break; /* never set up */
		kill_one(&all->one[i]);
		sup_command_free(&all->one[i].command);
		sup_log_close(&all->one[i].log);
		event_free(all->one[i].timer);
	}
	if (all != NULL && all->patience != NULL)
		event_free(all->patience);
	free(all);
	s->xchg = NULL;
}
