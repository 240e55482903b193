/* SPDX-License-Identifier: ISC */
/* The engine process: the loop around the core, and its end. */
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent_sock.h"
#include "ca.h"
#include "child.h"
#include "conn.h"
#include "control.h"
#include "engine.h"
#include "engine_conf.h"
#include "engine_cred.h"
#include "engine_link.h"
#include "log.h"
#include "tls.h"

/* Rounds of a turn's end: what one part leaves for another is done in the next
 * round; what goes on longer waits for the loop. */
#define ROUNDS 8
/* Milliseconds that the timer may be late: more than any turn takes.  Later, it
 * was not we that were busy: a container was frozen, perhaps, agents with it.
 */
#define STILL_MS 2000
/* Milliseconds that agents have, once all links are down, to take what was
 * sent to them. */
#define FLUSH_MS 500

/* Clocks. */

uint64_t
engine_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

double
engine_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void
engine_now(struct engine *e)
{
	core_now(e->core, engine_clock());
	core_wall(e->core, (int64_t)(engine_wall() * 1000));
}

/* The turn's end follows every batch of events anyway. */
void
engine_turn(struct engine *e)
{
	engine_now(e);
}

/* For control and status. */

struct engine_gw *
engine_find(struct engine *e, struct span name)
{
	struct engine_gw *only = NULL;
	unsigned i, n = 0;

	engine_now(e);
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (e->gw[i] == NULL)
			continue;
		if (name.p != NULL && span_eq(span_str(e->gw[i]->name), name))
			return e->gw[i];
		only = e->gw[i];
		n++;
	}
	return name.p == NULL && n == 1 ? only : NULL;
}

int
engine_reload(struct engine *e, uint32_t corr, uint32_t uid, int32_t pid)
{
	struct msg_reload m = {.uid = uid, .pid = pid > 0 ? (uint32_t)pid : 0};

	return child_tell(e->child, MSG_RELOAD, corr, &m);
}

int
engine_level(
    struct engine *e, uint32_t corr, int level, uint32_t uid, int32_t pid)
{
	struct msg_want_level m = {.level = (uint64_t)level,
	    .uid = uid,
	    .pid = pid > 0 ? (uint32_t)pid : 0};

	return child_tell(e->child, MSG_WANT_LEVEL, corr, &m);
}

/* What the core asks for beyond the link and the agents. */

/* In milliseconds; 0: none is planned. */
static uint32_t
next_attempt(const struct gateway *gw)
{
	const struct link *l = &gw->link;
	uint64_t now = gw->core->now;

	if (l->state != LINK_WAIT || l->next_dial <= now)
		return 0;
	return l->next_dial - now > UINT32_MAX ? UINT32_MAX
					       : (uint32_t)(l->next_dial - now);
}

void
engine_state(struct engine_gw *eg)
{
	struct msg_gateway_state m = {
	    .gateway = eg->index,
	    .next_in_ms = next_attempt(eg->gw),
	    .state = span_str(link_public(eg->gw)),
	    .reason = span_str(eg->gw->link.reason),
	};

	(void)child_tell(eg->e->child, MSG_GATEWAY_STATE, 0, &m);
}

static void
state_changed(void *arg, struct gateway *gw)
{
	struct engine *e = arg;
	struct engine_gw *eg = gw->io;
	const char *now = link_public(gw);
	const char *was = eg->state == NULL ? "unprovisioned" : eg->state;
	int level;

	if (eg->state == NULL || strcmp(was, now) != 0) {
		eg->state_since = (int64_t)engine_wall();
		eg->state = now;
	}
	level = strcmp(now, "retrying") == 0 ? LOG_WARNING : LOG_INFO;
	if (strcmp(was, now) != 0)
		log_say(level, "link", eg->name, "%s -> %s: %s", was, now,
		    gw->link.reason);
	else
		log_say(
		    level, "link", eg->name, "%s: %s", now, gw->link.reason);
	engine_state(eg);
	control_state_changed(e->control, eg);
}

static void
send_result(void *arg, uint64_t cookie, int theirs, struct span result)
{
	struct engine *e = arg;

	control_send_result(e->control, cookie, theirs, result);
}

static void
wish_done(void *arg, uint64_t cookie, const char *error)
{
	struct engine *e = arg;

	control_wish_done(e->control, cookie, error);
}

static void
tap(void *arg, struct gateway *gw, enum tap_dir dir, struct span line)
{
	struct engine *e = arg;

	control_tap(e->control, gw->io, dir, line);
}

static void
stage(void *arg, struct gateway *gw, const struct stage_step *step)
{
	struct engine *e = arg;

	control_stage(e->control, gw->io, step);
}

static void
remark(void *arg, struct gateway *gw, int level, const char *event,
    const char *text)
{
	struct engine_gw *eg = gw->io;

	(void)arg;
	if (!log_on(level))
		return;
	if (!rate_take(&eg->remarks, engine_clock())) {
		eg->unsaid++;
		return;
	}
	if (eg->unsaid > 0)
		log_warn("suppressed", eg->name, "%u lines were not logged",
		    eg->unsaid);
	eg->unsaid = 0;
	log_say(level, event, eg->name, "%s", text);
}

/* What is not on the disk may be lost in a power cut; the link is of more use
 * than without it. */
static void
journal_sync(void *arg, struct gateway *gw)
{
	struct engine_gw *eg = gw->io;
	char text[160];

	if (!eg->journal.sync ||
	    msync(eg->journal.p, eg->journal.len, MS_SYNC) == 0)
		return;
	snprintf(text, sizeof(text),
	    "the journal cannot be written to the disk: %s: what is "
	    "acknowledged may be lost in a power cut",
	    strerror(errno));
	remark(arg, gw, LOG_ERR, "journal", text);
}

static const struct core_io core_io = {
    .dial = engine_link_dial,
    .tls = engine_link_tls,
    .mint = engine_link_mint,
    .upgrade = engine_link_upgrade,
    .ask = engine_link_ask,
    .drop = engine_link_drop,
    .link_output = engine_link_output,
    .link_read = engine_link_read,
    .agent_send = agent_sock_send,
    .agent_room = agent_sock_room,
    .agent_close = agent_sock_end,
    .state_changed = state_changed,
    .fared = engine_cred_fared,
    .send_result = send_result,
    .remark = remark,
    .journal_sync = journal_sync,
    .wish_done = wish_done,
    .tap = tap,
    .stage = stage,
};

/* From the supervisor. */

static const char *
on_process(struct engine *e, const struct msg_process *m)
{
	struct engine_proc *p = &e->proc[m->role];

	p->pid = (int)m->pid;
	p->restarts = (uint32_t)m->restarts;
	p->since = (int64_t)m->since;
	p->pss_kb = (uint32_t)m->pss_kb;
	p->wanted = (uint32_t)m->wanted;
	p->held = (uint32_t)m->held;
	if (m->lacking.len > LIMIT_REASON)
		return "a text that is too long";
	if (m->lacking.len > 0)
		memcpy(p->lacking, m->lacking.p, m->lacking.len);
	p->lacking[m->lacking.len] = '\0';
	return NULL;
}

static const char *
on_message(struct msg *m, void *arg)
{
	struct engine *e = arg;

	engine_now(e);
	switch (m->type) {
	case MSG_PROCESS:
		return on_process(e, &m->u.process);
	case MSG_CONF_TAKEN:
		e->conf_taken = (int64_t)m->u.conf_taken.at;
		e->conf_refused = (int64_t)m->u.conf_taken.refused_at;
		return NULL;
	case MSG_RELOAD_DONE:
		control_reloaded(e->control, m->corr, m->u.reload_done.ok != 0,
		    m->u.reload_done.text);
		return NULL;
	case MSG_LEVEL:
		control_leveled(e->control, m->corr, (int)m->u.level.level,
		    (int)m->u.level.configured, m->u.level.json != 0);
		return NULL;
	default:
		if (m->fd != -1)
			close(m->fd);
		return "a message that the engine has no use for";
	}
}

static void
on_stop(uint32_t budget_ms, void *arg)
{
	struct engine *e = arg;

	if (e->stop_at != 0)
		return;
	engine_now(e);
	e->stop_at = engine_clock() + budget_ms;
	if (e->stop_at == 0)
		e->stop_at = 1;
	core_stop(e->core, budget_ms);
}

static const struct child_ops child_ops = {
    .conf_begin = engine_conf_begin,
    .conf_item = engine_conf_item,
    .conf_check = engine_conf_check,
    .conf_commit = engine_conf_commit,
    .conf_abort = engine_conf_abort,
    .message = on_message,
    .peer_message = engine_link_message,
    .peer_lacking = engine_link_lacking,
    .peer_new = engine_link_peer_new,
    .stop = on_stop,
};

/* The loop. */

/* Whether the stop has come to its end. */
static int
stop_done(struct engine *e)
{
	uint64_t now = engine_clock();

	if (e->stop_at == 0)
		return 0;
	if (now >= e->stop_at)
		return 1;
	if (!core_stopped(e->core))
		return 0;
	if (e->flush_at == 0)
		e->flush_at = now + FLUSH_MS;
	return now >= e->flush_at || !agent_sock_pending(e);
}

/* How late the timer rings, for who will want to know. */
static void
notice_delay(struct engine *e)
{
	uint64_t now = engine_clock();

	if (e->armed != TIMER_NEVER && now > e->armed + STILL_MS)
		e->late = now - e->armed;
}

/* Before anything that a deadline or a dead connection would lead to. */
static void
notice_sleep(struct engine *e)
{
	notice_delay(e);
	if (slept_now(&e->slept)) {
		log_info("engine", NULL, "the host slept: links are made anew");
		engine_now(e);
		core_slept(e->core);
	} else if (e->late > 0) {
		log_warn("engine", NULL,
		    "it could not run for %llu s: stopped, or no processor "
		    "was free",
		    (unsigned long long)e->late / 1000);
		engine_now(e);
		core_stood_still(e->core);
	}
	e->late = 0;
}

/* What the events left to be done: acknowledgements to be framed, timers, and
 * what is to be written.  Returns whether there is more. */
static int
end_turn(struct engine *e)
{
	int i, more = 1;

	notice_sleep(e);
	for (i = 0; i < ROUNDS && more; i++) {
		engine_now(e);
		core_turn(e->core);
		more = conn_turn(e);
		more |= agent_sock_turn(e);
		more |= e->core->dirty != NULL;
	}
	return more;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return b != 0 && b < a ? b : a;
}

/*
 * Wake at the next deadline.  A timer that is set to an earlier one is left
 * alone: it will be found to be early, which costs less than to set it anew
 * with each deadline that moves away.  Of the boot-time clock, so that it
 * rings when the host wakes from a sleep.
 */
static void
arm(struct engine *e)
{
	struct itimerspec it = {.it_interval = {0, 0}};
	uint64_t at = core_deadline(e->core);

	at = earlier(at, e->stop_at);
	at = earlier(at, e->flush_at);
	if (at == TIMER_NEVER || e->armed <= at)
		return;
	e->armed = at;
	it.it_value.tv_sec = (time_t)(at / 1000);
	it.it_value.tv_nsec = (long)(at % 1000) * 1000000 + 1;
	(void)timerfd_settime(e->timer_fd, TFD_TIMER_ABSTIME, &it, NULL);
}

/* The turn's end does what is due. */
static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	uint64_t n;

	(void)what;
	(void)!read((int)fd, &n, sizeof(n));
	notice_delay(e);
	e->armed = TIMER_NEVER;
}

static int
loop(struct engine *e)
{
	int more;

	for (;;) {
		more = end_turn(e);
		if (stop_done(e))
			return 0;
		arm(e);
		if (event_base_loop(
			e->base, more ? EVLOOP_NONBLOCK : EVLOOP_ONCE) == -1) {
			log_err(
			    "engine", NULL, "event loop: %s", strerror(errno));
			return 1;
		}
		if (event_base_got_break(e->base))
			return 0;
	}
}

/* Start and end. */

static int
set_up(struct engine *e)
{
	unsigned char random[32];

	e->armed = TIMER_NEVER;
	e->started = (int64_t)engine_wall();
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -1;
	e->core = core_new(&core_io, e, random, engine_clock());
	explicit_bzero(random, sizeof(random));
	e->timer_fd =
	    timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (e->core == NULL || e->timer_fd == -1)
		return -1;
	e->timer =
	    event_new(e->base, e->timer_fd, EV_READ | EV_PERSIST, on_timer, e);
	if (e->timer == NULL || event_add(e->timer, NULL) == -1)
		return -1;
	if (slept_init(&e->slept, e->base) == -1)
		return -1;
	if (conn_init(e) == -1 || agent_sock_init(e) == -1)
		return -1;
	if ((e->cas = ca_set_new()) == NULL)
		return -1;
	return (e->control = control_new(e)) == NULL ? -1 : 0;
}

static void
tear_down(struct engine *e)
{
	unsigned i;

	control_stop(e->control);
	agent_sock_stop(e);
	engine_conf_abort(e);
	for (i = 0; i < LIMIT_GATEWAYS; i++)
		if (e->gw[i] != NULL)
			engine_conf_remove(e, e->gw[i]);
	engine_cred_forget(e);
	control_free(e->control);
	agent_sock_fini(e);
	conn_fini(e);
	core_free(e->core);
	ca_set_free(e->cas);
	slept_fini(&e->slept);
	event_free(e->timer);
	close(e->timer_fd);
}

int
engine_main(int argc, char *argv[])
{
	struct child child;
	struct engine *e;
	int status;

	if (child_begin(&child, argc, argv) == -1)
		return 2;
	(void)signal(SIGPIPE, SIG_IGN);
	if (tls_init() == -1) {
		log_err("engine", NULL, "OpenSSL cannot be initialised");
		return 1;
	}
	if ((e = calloc(1, sizeof(*e))) != NULL) {
		e->child = &child;
		e->base = child.base;
	}
	if (e == NULL || set_up(e) == -1) {
		log_err("engine", NULL, "cannot start: %s", strerror(errno));
		return 1;
	}
	child_enter(&child, &child_ops, e);
	status = loop(e);
	tear_down(e);
	child_end(&child);
	free(e);
	return status;
}
