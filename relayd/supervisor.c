/* SPDX-License-Identifier: ISC */
/* The supervisor: start, loop, signals, stop. */

#include <sys/resource.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "msg.h"
#include "pipe.h"
#include "secmem.h"
#include "sup_check.h"
#include "sup_child.h"
#include "sup_conf.h"
#include "sup_level.h"
#include "sup_notify.h"
#include "sup_reload.h"
#include "sup_sockets.h"
#include "sup_status.h"
#include "sup_watch.h"
#include "sup_xchg.h"
#include "supervisor.h"

/* Changes are written together, this long after the first. */
#define STATE_MS 100
/* What the others get when the engine used up its own part. */
#define STOP_REST_MS (STOP_OTHERS_MS - STOP_ENGINE_MS - 2 * STOP_SLACK_MS)
/* After SIGKILL the kernel needs a moment; longer is not waited. */
#define STOP_KILLED_MS 1000
_Static_assert(STOP_REST_MS > 0, "the others have no time to stop in");
_Static_assert(
    STOP_REAP_MS > STOP_OTHERS_MS, "what is killed has no time to end in");
_Static_assert(STOP_REAP_MS + LOG_READER_MS < STOP_ALL_MS,
    "stopping takes longer than is promised");
/* Descriptors of our own and of libraries, beside those counted below. */
#define FILES_OTHER 512
/* Listener (also as it was passed), memory, bundle and link of a gateway, its
 * identity token and its kept credential, and those on their way. */
#define FILES_GATEWAY 9

uint64_t
sup_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* state.json and STATUS=. */

static struct sup_state_process
process_row(const struct supervisor *s, int r)
{
	const struct sup_child *c = &s->child[r];
	struct sup_state_process p = {role_row((enum role)r)->name, (int)c->pid,
	    c->restarts, c->since, -1};
	uint64_t now = sup_now();

	if (c->pid == 0 && c->state == SUP_DOWN && s->phase != PHASE_STOPPING)
		p.next_start_ms =
		    c->next_start > now ? (int64_t)(c->next_start - now) : 0;
	return p;
}

static void
state_file(struct supervisor *s, const struct sup_state_gateway *g, unsigned n)
{
	struct sup_state_process proc[ROLE_KEPT];
	struct sup_state st = {(int)getpid(), (int64_t)time(NULL), s->phase,
	    proc, ROLE_KEPT, g, n, s->plan->conf->path, s->paths.state};
	char path[LIMIT_PATH + 16];
	struct buf b;
	int r;

	for (r = 0; r < ROLE_KEPT; r++)
		proc[r] = process_row(s, r);
	buf_init(&b, 0);
	sup_state_render(&b, &st);
	snprintf(path, sizeof(path), "%s/state.json", s->paths.run);
	if (b.failed ||
	    sup_state_write(
		path, s->plan->control_gid, buf_span(&b).p, buf_len(&b)) == -1)
		log_warn("state", NULL, "%s cannot be written: %s", path,
		    strerror(errno));
	buf_free(&b);
}

static void
status_line(struct supervisor *s, const struct sup_state_gateway *g, unsigned n)
{
	char text[sizeof(s->status)], line[NOTIFY_TEXT];

	sup_status_line(text, g, n);
	if (strcmp(text, s->status) == 0)
		return;
	strlcpy(s->status, text, sizeof(s->status));
	snprintf(line, sizeof(line), "STATUS=%s", text);
	sup_notify(s, line);
}

static void
state_write(struct supervisor *s)
{
	struct sup_state_gateway *g;
	const struct sup_slot *slot;
	unsigned i, n = 0;

	if ((g = calloc(LIMIT_GATEWAYS, sizeof(*g))) == NULL)
		return;
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		slot = &s->slots.slot[i];
		/* One that is being prepared is not there yet. */
		if (sup_plan_gateway(s->plan, i) == NULL)
			continue;
		g[n].name = slot->name;
		g[n].state = slot->state;
		g[n].reason = slot->reason;
		g[n].next = slot->next;
		g[n++].since = slot->since;
	}
	state_file(s, g, n);
	status_line(s, g, n);
	free(g);
}

static void
on_state(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	state_write(arg);
}

void
sup_changed(struct supervisor *s)
{
	const struct timeval tv = {0, STATE_MS * 1000};

	if (s->ev_state != NULL &&
	    !event_pending(s->ev_state, EV_TIMEOUT, NULL))
		event_add(s->ev_state, &tv);
}

void
sup_ready(struct supervisor *s)
{
	s->phase = PHASE_RUNNING;
	sup_made_keep(&s->paths.made);
	log_info("ready", NULL, "relayd %s serves %zu gateway%s", VERSION,
	    s->plan->conf->ngateway, s->plan->conf->ngateway == 1 ? "" : "s");
	sup_notify(s, "READY=1");
	sup_changed(s);
}

/* Stop: the engine first, which the others serve to its end. */

/* The next step is due in so long, and at the latest so long after the
 * signal. */
static void
stop_arm(struct supervisor *s, uint64_t ms, uint64_t latest)
{
	uint64_t gone = sup_now() - s->stop_ms;
	uint64_t most = latest > gone ? latest - gone : 0;
	uint64_t left = ms < most ? ms : most;
	const struct timeval tv = {
	    (time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)};

	event_add(s->ev_stop, &tv);
}

static void
stop_child(struct sup_child *c, unsigned budget_ms)
{
	struct msg_stop m = {.budget_ms = budget_ms};

	if (c->pid != 0 &&
	    (c->pipe == NULL || pipe_send(c->pipe, MSG_STOP, 0, &m, -1) == -1))
		kill(c->pid, SIGKILL);
}

static int
children_left(const struct supervisor *s)
{
	int r, n = 0;

	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		n += s->child[r].pid != 0;
	return n;
}

static void
stop_others(struct supervisor *s)
{
	int r;

	s->stopping = STOP_OTHERS;
	sup_child_kill(&s->child[ROLE_ENGINE], "its time to stop is over");
	for (r = FIRST_CHILD; r < LAST_CHILD; r++)
		stop_child(&s->child[r], STOP_REST_MS);
	stop_arm(s, STOP_REST_MS + STOP_SLACK_MS, STOP_OTHERS_MS);
}

static void
stop_kill(struct supervisor *s, const char *why)
{
	int r;

	s->stopping = STOP_KILL;
	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		sup_child_kill(&s->child[r], why);
	stop_arm(s, STOP_KILLED_MS, STOP_REAP_MS);
}

void
sup_stop_progress(struct supervisor *s)
{
	if (children_left(s) == 0)
		event_base_loopexit(s->base, NULL);
	else if (s->stopping == STOP_ENGINE && s->child[ROLE_ENGINE].pid == 0)
		stop_others(s);
}

static void
on_stop_timer(int fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (s->stopping == STOP_ENGINE)
		stop_others(s);
	else if (s->stopping == STOP_OTHERS)
		stop_kill(s, "its time to stop is over");
	else
		event_base_loopexit(s->base, NULL);
}

void
sup_stop(struct supervisor *s, int code)
{
	int r;

	if (s->phase == PHASE_STOPPING)
		return;
	s->phase = PHASE_STOPPING;
	s->exit_code = code;
	s->stop_ms = sup_now();
	sup_notify(s, "STOPPING=1");
	sup_reload_abort(s, "relayd is stopping");
	sup_xchg_end_all(s);
	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		sup_child_deadline(&s->child[r], 0, NULL);
	s->stopping = STOP_ENGINE;
	stop_arm(s, STOP_ENGINE_MS + STOP_SLACK_MS, STOP_OTHERS_MS);
	stop_child(&s->child[ROLE_ENGINE], STOP_ENGINE_MS);
	state_write(s);
	sup_stop_progress(s);
}

/* Signals and timers. */

static void
on_terminate(int sig, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)what;
	if (s->phase == PHASE_STOPPING) {
		stop_kill(s, "asked to hurry");
		return;
	}
	log_info("stop", NULL, "signal SIG%s: stopping", sigabbrev_np(sig));
	sup_stop(s, 0);
}

static void
on_hangup(int sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	sup_reload_begin(arg, 0, 0);
}

static void
on_child(int sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	sup_child_reap(arg);
}

static void
look_at_journals(struct supervisor *s)
{
	unsigned i;

	for (i = 0; i < LIMIT_GATEWAYS; i++)
		if (sup_slot_used(&s->slots, i))
			sup_journal_look(&s->slots.slot[i].journal,
			    s->paths.state, s->slots.slot[i].name);
}

static void
on_ping(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	sup_child_heartbeat(arg);
	look_at_journals(arg);
	log_fold_flush(0);
}

static void
on_watchdog(int fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (sup_child_all_answer(s))
		notify_send(&s->notify, "WATCHDOG=1");
}

/* Each event by its place in the struct: made and added alike. */
static int
events_init(struct supervisor *s)
{
	const struct timeval ping = {PING_MS / 1000, PING_MS % 1000 * 1000};
	struct timeval dog;

	s->ev_term = evsignal_new(s->base, SIGTERM, on_terminate, s);
	s->ev_int = evsignal_new(s->base, SIGINT, on_terminate, s);
	s->ev_hup = evsignal_new(s->base, SIGHUP, on_hangup, s);
	s->ev_chld = evsignal_new(s->base, SIGCHLD, on_child, s);
	s->ev_ping = event_new(s->base, -1, EV_PERSIST, on_ping, s);
	s->ev_stop = evtimer_new(s->base, on_stop_timer, s);
	s->ev_state = evtimer_new(s->base, on_state, s);
	s->ev_watchdog = event_new(s->base, -1, EV_PERSIST, on_watchdog, s);
	if (s->ev_term == NULL || s->ev_int == NULL || s->ev_hup == NULL ||
	    s->ev_chld == NULL || s->ev_ping == NULL || s->ev_stop == NULL ||
	    s->ev_state == NULL || s->ev_watchdog == NULL)
		return -1;
	if (event_add(s->ev_term, NULL) == -1 ||
	    event_add(s->ev_int, NULL) == -1 ||
	    event_add(s->ev_hup, NULL) == -1 ||
	    event_add(s->ev_chld, NULL) == -1 ||
	    event_add(s->ev_ping, &ping) == -1)
		return -1;
	if (s->notify.watchdog_ms == 0)
		return 0;
	dog.tv_sec = (time_t)(s->notify.watchdog_ms / 1000);
	dog.tv_usec = (suseconds_t)(s->notify.watchdog_ms % 1000 * 1000);
	return event_add(s->ev_watchdog, &dog);
}

static void
events_free(struct supervisor *s)
{
	struct event *all[] = {s->ev_term, s->ev_int, s->ev_hup, s->ev_chld,
	    s->ev_ping, s->ev_stop, s->ev_state, s->ev_watchdog};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] != NULL)
			event_free(all[i]);
	s->ev_state = NULL;
}

/* Start. */

/* Descriptors for us and, inherited, for the children. */
static void
raise_files(void)
{
	const rlim_t need = FILES_OTHER + LIMIT_AGENTS_ALL + LIMIT_CONTROL +
	    FILES_GATEWAY * LIMIT_GATEWAYS;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur >= need)
		return;
	rl.rlim_cur = rl.rlim_max < need ? rl.rlim_max : need;
	if (setrlimit(RLIMIT_NOFILE, &rl) == -1 || rl.rlim_cur < need)
		log_info("limits", NULL,
		    "only %llu open files are allowed; "
		    "with all agents and gateways %llu may be needed",
		    (unsigned long long)rl.rlim_cur, (unsigned long long)need);
}

static int
open_all(struct supervisor *s, struct conf_error *e)
{
	struct sup_made *made = &s->paths.made;

	if (sup_users_check(e) == -1 ||
	    sup_dir_run(made, s->paths.run, e) == -1 ||
	    (s->lock_fd = sup_lock(s->paths.run, e)) == -1)
		return -1;
	if ((s->state_fd = sup_dir_state(made, s->paths.state, e)) == -1)
		return -1;
	return sup_plan_place(s, s->plan, e);
}

/* What needs the loop. */
static int
loop_init(struct supervisor *s, struct conf_error *e)
{
	if ((s->base = event_base_new()) != NULL && events_init(s) == 0 &&
	    sup_reload_init(s) == 0 && sup_xchg_init(s) == 0 &&
	    sup_watch_init(s) == 0 && sup_notify_init(s) == 0 &&
	    sup_child_init(s) == 0)
		return 0;
	snprintf(e->text, sizeof(e->text), "event loop: %s", strerror(errno));
	return -1;
}

static void
remove_files(struct supervisor *s)
{
	static const char *const names[] = {"state.json", "config.json"};
	char path[LIMIT_PATH + 16];
	size_t i;

	sup_plan_keep(s, NULL);
	sup_sock_common_remove(s);
	for (i = 0; s->lock_fd != -1 && i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", s->paths.run, names[i]);
		unlink(path);
	}
	sup_unlock(s->paths.run, s->lock_fd);
}

static void
cleanup(struct supervisor *s)
{
	int i;

	if (s->base != NULL) {
		events_free(s);
		sup_child_free(s);
		sup_xchg_free(s);
		sup_watch_free(s);
		sup_notify_free(s);
		sup_reload_free(s);
		event_base_free(s->base);
	}
	remove_files(s);
	for (i = 0; i < SUP_SOCKS; i++)
		sup_sock_close(&s->sock[i]);
	/* While nobody else can have begun to use them. */
	sup_made_undo(&s->paths.made);
	if (s->state_fd != -1)
		close(s->state_fd);
	sup_passed_free(&s->passed);
	log_fold(NULL);
	free(s->repeats);
	sup_plan_free(s->plan);
	notify_free(&s->notify);
	sup_env_free(&s->env);
	free(s);
	libevent_global_shutdown();
}

static struct supervisor *
new_supervisor(const struct sup_paths *paths, struct sup_env *env, int debug)
{
	struct supervisor *s;
	int i;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->paths = *paths;
	s->env = *env;
	s->debug = debug;
	s->level = -1;
	s->lock_fd = s->state_fd = -1;
	for (i = 0; i < SUP_SOCKS; i++)
		sup_sock_init(&s->sock[i]);
	s->notify.fd = -1;
	sup_slots_init(&s->slots);
	return s;
}

/* Why it does not start, on a line that a person reads. */
static int
refuse(struct supervisor *s, const struct conf_error *e, int code)
{
	log_refused("%s", e->text);
	cleanup(s);
	return code;
}

int
supervisor_check(const struct sup_paths *paths, struct sup_env *env)
{
	struct supervisor *s;
	struct conf_error e;

	if ((s = new_supervisor(paths, env, 0)) == NULL)
		return 1;
	if ((s->plan = sup_plan_load(s, &e)) == NULL ||
	    sup_check(s, s->plan, &e) == -1)
		return refuse(s, &e, e.passing ? 1 : EXIT_CONF);
	printf("configuration OK\n");
	cleanup(s);
	return 0;
}

int
supervisor_run(const struct sup_paths *paths, struct sup_env *env, int debug)
{
	struct supervisor *s;
	struct conf_error e = {.text = ""};
	int r, code;

	if ((s = new_supervisor(paths, env, debug)) == NULL)
		return 1;
	if ((s->plan = sup_plan_load(s, &e)) == NULL ||
	    sup_passed_init(&s->passed, &s->env, s->paths.run, &e) == -1)
		return refuse(s, &e, e.passing ? 1 : EXIT_CONF);
	sup_level_first(s);
	if (s->env.flags & SECMEM_FALLBACK)
		log_info("secrets", NULL,
		    "the kernel has no memfd_secret: "
		    "secrets of the environment rest in locked memory");
	raise_files();
	sup_notify_open(s);
	sup_passed_say(&s->passed, s->plan->conf);
	if (open_all(s, &e) == -1 || loop_init(s, &e) == -1)
		return refuse(s, &e, e.mistake ? EXIT_CONF : 1);
	state_write(s);
	for (r = FIRST_CHILD; r <= LAST_CHILD; r++)
		sup_child_start(&s->child[r]);
	event_base_dispatch(s->base);
	code = s->exit_code;
	log_fold_flush(1);
	log_info("stop", NULL, "stopped");
	cleanup(s);
	return code;
}
