/* SPDX-License-Identifier: ISC */
/*
 * The link's state machine.  What may happen stands in two tables: which
 * event leads from which state to which, and what is done on entering a
 * state.  link_event() is the one function through which every change passes.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "hide.h"
#include "link_priv.h"
#include "ping.h"

/* Milliseconds: a link that lived so long forgives the past. */
#define HEALTHY_MS 60000

static void enter_none(struct gateway *, enum link_state);
static void enter_hushed(struct gateway *, enum link_state);
static void enter_stopped(struct gateway *, enum link_state);

static const struct state {
	const char *phase;  /* for explain and debug */
	const char *public; /* DESIGN 3; NULL: connecting or retrying */
	void (*enter)(struct gateway *, enum link_state old);
	uint8_t connected; /* WebSocket is up: leaving means losing it */
	const char *late;  /* said when the deadline is reached */
} states[LINK_STATES] = {
    [LINK_UNPROVISIONED] = {"unprovisioned", "unprovisioned", enter_none, 0,
	NULL},
    [LINK_WAIT] = {"waiting", NULL, link_enter_wait, 0, "time to dial again"},
    [LINK_DIAL] = {"dialling", NULL, link_enter_dial, 0,
	"no connection within 60 s"},
    [LINK_TLS] = {"tls", NULL, link_enter_tls, 0,
	"TLS did not come up within 15 s"},
    [LINK_TOKEN] = {"token", NULL, link_enter_token, 0,
	"relay-authd gave no token within 10 s"},
    [LINK_UPGRADE] = {"upgrade", NULL, link_enter_upgrade, 0,
	"no answer to the upgrade within 15 s"},
    [LINK_ASK] = {"asking the time", NULL, link_enter_ask, 0,
	"the connector did not tell its time within 15 s"},
    [LINK_HELLO] = {"handshake", NULL, link_enter_hello, 1,
	"no descriptor within 30 s of the hello"},
    [LINK_UP] = {"connected", "connected", link_enter_up, 1, NULL},
    [LINK_IDLING] = {"going idle", "connected", link_enter_idling, 1,
	"no going_idle_ack within 10 s: staying connected"},
    [LINK_HUSHED] = {"hushed", "connected", enter_hushed, 1, NULL},
    [LINK_DRAIN] = {"draining", NULL, link_enter_drain, 1, NULL},
    [LINK_CLOSE] = {"closing", NULL, link_enter_close, 1,
	"the close was not answered"},
    [LINK_IDLE] = {"idle", "idle", link_enter_asleep, 0, NULL},
    [LINK_DORMANT] = {"dormant", "dormant", link_enter_dormant, 0,
	"dormant for 60 s: dialling again"},
    [LINK_DISABLED] = {"disabled", "disabled", enter_none, 0, NULL},
    [LINK_STOPPED] = {"stopped", "stopping", enter_stopped, 0, NULL},
};

/* clang-format off */
static const uint8_t table[LINK_STATES][LINK_EVENTS] = {
    [LINK_UNPROVISIONED] = {
	[LE_CREDENTIAL] = LINK_DIAL, [LE_CREDENTIAL_NEW] = LINK_DIAL,
	[LE_REVOKED] = LINK_DISABLED, [LE_OFF] = LINK_DISABLED,
	[LE_STOP] = LINK_STOPPED,
    },
    [LINK_WAIT] = {
	[LE_TIMER] = LINK_DIAL, [LE_CREDENTIAL_NEW] = LINK_DIAL,
	[LE_CHANGED] = LINK_DIAL, [LE_NO_CREDENTIAL] = LINK_UNPROVISIONED,
	[LE_WAKE] = LINK_DIAL, [LE_SLEPT] = LINK_DIAL,
	[LE_QUIET] = LINK_AFTER, [LE_OFF] = LINK_DISABLED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_DIAL] = {
	[LE_DIALED] = LINK_TLS, [LE_DIALED_PLAIN] = LINK_TOKEN,
	[LE_DIAL_FAILED] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_AUTHD_GONE] = LINK_WAIT, [LE_CHANGED] = LINK_DIAL,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED, [LE_SLEPT] = LINK_DIAL,
	[LE_QUIET] = LINK_AFTER, [LE_OFF] = LINK_DISABLED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_TLS] = {
	[LE_TLS_UP] = LINK_TOKEN, [LE_TLS_FAILED] = LINK_WAIT,
	[LE_LOST] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_AUTHD_GONE] = LINK_WAIT, [LE_CHANGED] = LINK_DIAL,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED, [LE_SLEPT] = LINK_DIAL,
	[LE_QUIET] = LINK_AFTER, [LE_OFF] = LINK_DISABLED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_TOKEN] = {
	[LE_TOKEN] = LINK_UPGRADE, [LE_TOKEN_REFUSED] = LINK_WAIT,
	[LE_LOST] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_AUTHD_GONE] = LINK_WAIT, [LE_CHANGED] = LINK_DIAL,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED, [LE_SLEPT] = LINK_DIAL,
	[LE_QUIET] = LINK_AFTER, [LE_OFF] = LINK_DISABLED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_UPGRADE] = {
	[LE_UPGRADED] = LINK_HELLO, [LE_UPGRADE_REFUSED] = LINK_WAIT,
	[LE_LOST] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_CHANGED] = LINK_DIAL, [LE_SLEPT] = LINK_DIAL,
	[LE_QUIET] = LINK_AFTER, [LE_OFF] = LINK_DISABLED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_ASK] = {
	[LE_REFUSED] = LINK_WAIT, [LE_REVOKED] = LINK_DISABLED,
	[LE_UPGRADE_REFUSED] = LINK_WAIT, [LE_LOST] = LINK_WAIT,
	[LE_TIMER] = LINK_WAIT, [LE_CHANGED] = LINK_DIAL,
	[LE_CREDENTIAL_NEW] = LINK_DIAL, [LE_SLEPT] = LINK_DIAL,
	[LE_QUIET] = LINK_AFTER, [LE_OFF] = LINK_DISABLED,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_HELLO] = {
	[LE_DESCRIPTOR] = LINK_UP, [LE_CLOSED] = LINK_WAIT,
	[LE_LOST] = LINK_WAIT, [LE_PROTOCOL] = LINK_WAIT,
	[LE_SILENT] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_REFUSED] = LINK_WAIT, [LE_REFUSED_ONCE] = LINK_DIAL,
	[LE_REVOKED] = LINK_DISABLED, [LE_CHANGED] = LINK_CLOSE,
	[LE_SLEPT] = LINK_DIAL, [LE_QUIET] = LINK_CLOSE,
	[LE_OFF] = LINK_CLOSE, [LE_STOP] = LINK_CLOSE,
    },
    [LINK_UP] = {
	[LE_CLOSED] = LINK_WAIT, [LE_LOST] = LINK_WAIT,
	[LE_PROTOCOL] = LINK_WAIT, [LE_SILENT] = LINK_WAIT,
	[LE_REFUSED] = LINK_WAIT, [LE_REFUSED_ONCE] = LINK_DIAL,
	[LE_REVOKED] = LINK_DISABLED, [LE_CHANGED] = LINK_DRAIN,
	[LE_SLEPT] = LINK_DIAL, [LE_QUIET] = LINK_IDLING,
	[LE_FULL] = LINK_IDLING, [LE_ACKED] = LINK_DRAIN,
	[LE_HUSHED] = LINK_HUSHED,
	[LE_OFF] = LINK_DRAIN, [LE_STOP] = LINK_DRAIN,
    },
    [LINK_IDLING] = {
	[LE_CLOSED] = LINK_WAIT, [LE_LOST] = LINK_WAIT,
	[LE_PROTOCOL] = LINK_WAIT, [LE_SILENT] = LINK_WAIT,
	[LE_REFUSED] = LINK_WAIT, [LE_REFUSED_ONCE] = LINK_DIAL,
	[LE_REVOKED] = LINK_DISABLED, [LE_CHANGED] = LINK_DRAIN,
	[LE_SLEPT] = LINK_DIAL, [LE_QUIET] = LINK_IDLING,
	[LE_ACKED] = LINK_DRAIN, [LE_HUSHED] = LINK_HUSHED,
	[LE_TIMER] = LINK_UP,
	[LE_WANTED] = LINK_IDLING, [LE_WAKE] = LINK_IDLING,
	[LE_OFF] = LINK_DRAIN, [LE_STOP] = LINK_DRAIN,
    },
    [LINK_HUSHED] = {
	[LE_CLOSED] = LINK_WAIT, [LE_LOST] = LINK_WAIT,
	[LE_PROTOCOL] = LINK_WAIT, [LE_SILENT] = LINK_WAIT,
	[LE_REFUSED] = LINK_WAIT, [LE_REFUSED_ONCE] = LINK_DIAL,
	[LE_REVOKED] = LINK_DISABLED, [LE_CHANGED] = LINK_DRAIN,
	[LE_SLEPT] = LINK_DIAL, [LE_QUIET] = LINK_DRAIN,
	[LE_OFF] = LINK_DRAIN, [LE_STOP] = LINK_DRAIN,
    },
    /* Here and in the next, what is wanted changes what comes after. */
    [LINK_DRAIN] = {
	[LE_DRAINED] = LINK_CLOSE, [LE_TIMER] = LINK_CLOSE,
	[LE_CLOSED] = LINK_AFTER, [LE_LOST] = LINK_AFTER,
	[LE_PROTOCOL] = LINK_AFTER, [LE_REFUSED] = LINK_AFTER,
	[LE_REFUSED_ONCE] = LINK_AFTER, [LE_REVOKED] = LINK_AFTER,
	[LE_SLEPT] = LINK_AFTER, [LE_CHANGED] = LINK_DRAIN,
	[LE_QUIET] = LINK_DRAIN, [LE_WANTED] = LINK_DRAIN,
	[LE_WAKE] = LINK_DRAIN, [LE_OFF] = LINK_DRAIN,
	[LE_STOP] = LINK_DRAIN,
    },
    [LINK_CLOSE] = {
	[LE_TIMER] = LINK_AFTER, [LE_CLOSED] = LINK_AFTER,
	[LE_LOST] = LINK_AFTER, [LE_PROTOCOL] = LINK_AFTER,
	[LE_REFUSED] = LINK_AFTER, [LE_REFUSED_ONCE] = LINK_AFTER,
	[LE_REVOKED] = LINK_AFTER,
	[LE_SLEPT] = LINK_AFTER, [LE_CHANGED] = LINK_CLOSE,
	[LE_QUIET] = LINK_CLOSE, [LE_WANTED] = LINK_CLOSE,
	[LE_WAKE] = LINK_CLOSE, [LE_OFF] = LINK_CLOSE,
	[LE_STOP] = LINK_CLOSE,
    },
    [LINK_IDLE] = {
	[LE_WANTED] = LINK_DIAL, [LE_WAKE] = LINK_DIAL,
	[LE_CHANGED] = LINK_DIAL, [LE_CREDENTIAL_NEW] = LINK_DIAL,
	[LE_QUIET] = LINK_AFTER, [LE_NO_CREDENTIAL] = LINK_UNPROVISIONED,
	[LE_REVOKED] = LINK_DISABLED, [LE_OFF] = LINK_DISABLED,
	[LE_STOP] = LINK_STOPPED,
    },
    [LINK_DORMANT] = {
	[LE_TIMER] = LINK_DIAL, [LE_WAKE] = LINK_DIAL,
	[LE_SLEPT] = LINK_DIAL, [LE_QUIET] = LINK_AFTER,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED,
	[LE_REVOKED] = LINK_DISABLED, [LE_OFF] = LINK_DISABLED,
	[LE_STOP] = LINK_STOPPED,
    },
    [LINK_DISABLED] = {
	[LE_ENABLED] = LINK_DIAL, [LE_REVOKED] = LINK_DISABLED,
	[LE_OFF] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
};
/* clang-format on */

/* While it goes down, what comes after is what people care for. */
static const char *const going_down[] = {
    [AFTER_STOP] = "stopping",
    [AFTER_DIAL] = NULL,
    [AFTER_IDLE] = "connected",
    [AFTER_DORMANT] = "connected",
    [AFTER_OFF] = "stopping",
};

const char *
link_public(const struct gateway *gw)
{
	const struct link *l = &gw->link;
	const char *name = states[l->state].public;

	if (l->state == LINK_DRAIN || l->state == LINK_CLOSE)
		name = going_down[l->after];
	if (name == NULL)
		return l->troubled ? "retrying" : "connecting";
	return name;
}

const char *
link_phase(const struct gateway *gw)
{
	return states[gw->link.state].phase;
}

int
link_worked(const struct link *l)
{
	return l->ever_up || l->told_worked;
}

void
link_mark(struct link *l, const char *evidence)
{
	l->revoked = 1;
	(void)snprintf(l->mark, sizeof(l->mark), "credential revoked: %s",
	    evidence[0] != '\0' ? evidence : "no evidence is kept");
}

const char *
link_why_disabled(const struct link *l)
{
	return l->revoked ? l->mark : l->off_why;
}

int
link_serves(const struct gateway *gw)
{
	enum link_state s = gw->link.state;

	return s == LINK_UP || s == LINK_IDLING || s == LINK_HUSHED;
}

int
link_is_up(const struct gateway *gw)
{
	return link_serves(gw) || gw->link.state == LINK_DRAIN;
}

/* Where the event really leads, given what the table cannot know. */
static enum link_state
redirect(const struct gateway *gw, enum link_state next)
{
	static const enum link_state after[] = {
	    [AFTER_STOP] = LINK_STOPPED,
	    [AFTER_DIAL] = LINK_DIAL,
	    [AFTER_IDLE] = LINK_IDLE,
	    [AFTER_DORMANT] = LINK_DORMANT,
	    [AFTER_OFF] = LINK_DISABLED,
	};
	const struct link *l = &gw->link;
	int awake;

	if (next == LINK_AFTER)
		next = after[l->after];
	/* Lost on its way there, which is as good. */
	if (next == LINK_WAIT && l->after == AFTER_DORMANT)
		next = LINK_DORMANT;
	if (gw->core->stopping && next != LINK_DRAIN && next != LINK_CLOSE)
		return LINK_STOPPED;
	awake = next == LINK_DIAL || next == LINK_WAIT || next == LINK_IDLE ||
	    next == LINK_DORMANT;
	if (awake && !l->usable)
		next = LINK_UNPROVISIONED;
	if ((awake || next == LINK_UNPROVISIONED) && (l->revoked || l->off))
		next = LINK_DISABLED;
	/* The time is asked for without a token. */
	if (next == LINK_TOKEN && l->refused.asking)
		next = LINK_ASK;
	return next;
}

/* A link that was healthy, however it ended, is dialled without delay.  One
 * that fell silent was so until then. */
static void
forgive(struct gateway *gw, enum link_event ev)
{
	struct link *l = &gw->link;
	uint64_t until = ev == LE_SILENT ? l->last_read : gw->core->now;

	if (l->up_at != 0 && until >= l->up_at + HEALTHY_MS)
		l->attempt = 0;
	l->up_at = 0;
}

/* How the connection ended, unless a close frame told. */
static void
note_end(struct gateway *gw, enum link_state old, enum link_event ev,
    const char *why)
{
	int ours = old == LINK_CLOSE; /* our close frame was not answered */

	if (ev == LE_LOST || ev == LE_SILENT || ev == LE_PROTOCOL ||
	    ev == LE_TIMER || ev == LE_SLEPT)
		link_note_close(gw, ours ? WS_CLOSE_NORMAL : 0, 0,
		    ours || ev != LE_LOST, span_str(why));
}

/* The connection is no more: what hung on it hears of it. */
static void
connection_lost(struct gateway *gw, enum link_state old, enum link_event ev)
{
	uint64_t written = gw->wire.written;

	ping_end(gw);
	if (gw->link.up_at != 0 && old != LINK_CLOSE) /* not by our wish */
		gw->count.losses++;
	forgive(gw, ev);
	wire_shut(gw);
	outbound_link_lost(gw, written);
	delivery_link_lost(gw);
}

static void
tell_agents(struct gateway *gw)
{
	struct agent *a;

	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->state == AGENT_READY)
			agent_tell_link(a);
}

/* Keep where it failed, for people. */
static void
note_failure(struct gateway *gw, enum link_state old, enum link_event ev,
    const char *why)
{
	struct link *l = &gw->link;
	struct last_failure *f = &l->last_failure;
	/* What the peer said came with the event. */
	int said = l->last_close.at == gw->core->now;

	f->at = gw->core->now;
	f->phase = states[old].phase;
	if (ev == LE_DIAL_FAILED && l->stage != NULL)
		f->phase = l->stage;
	f->code = said ? l->last_close.code : 0;
	f->status = said ? l->last_close.status : 0;
	(void)strlcpy(f->reason, why, sizeof(f->reason));
}

/* A failure, not an end that we wanted. */
static int
is_trouble(enum link_event ev, enum link_state old, enum link_state next)
{
	return next == LINK_WAIT || ev == LE_REFUSED_ONCE ||
	    (ev == LE_SLEPT && states[old].connected && next == LINK_DIAL);
}

/* Going idle and coming back is no change of the public state, but worth
 * telling operators. */
static int
is_shift(enum link_state old, enum link_state next)
{
	return old != next &&
	    (next == LINK_IDLING || next == LINK_HUSHED ||
		(next == LINK_UP && old == LINK_IDLING));
}

/* The reason of a state is not always what led to it just now. */
static const char *
reason_of(const struct link *l, const char *why)
{
	switch (l->state) {
	case LINK_UNPROVISIONED:
		return l->lacks;
	case LINK_DISABLED:
		return link_why_disabled(l);
	case LINK_IDLE:
	case LINK_DORMANT:
		return l->asleep;
	default:
		return why;
	}
}

/* Enter the present state, and tell who is concerned. */
static void
arrive(struct gateway *gw, enum link_state old, int trouble, const char *why)
{
	struct link *l = &gw->link;
	const char *now = link_public(gw), *reason = reason_of(l, why);
	/* The phases of one dial are no news. */
	int news = strcmp(l->told, now) != 0, shift = is_shift(old, l->state);

	if (news)
		l->since = gw->core->now;
	news |= trouble;
	if (l->state == LINK_DISABLED && old == LINK_DISABLED)
		news = strcmp(l->reason, reason) != 0;
	l->told = now;
	if (news || shift)
		(void)strlcpy(l->reason, reason, sizeof(l->reason));
	states[l->state].enter(gw, old);
	if (news || shift)
		gw->core->io->state_changed(gw->core->arg, gw);
	if (news)
		tell_agents(gw);
}

void
link_event(struct gateway *gw, enum link_event ev, const char *fmt, ...)
{
	struct link *l = &gw->link;
	enum link_state old = l->state, next = table[old][ev];
	char why[LIMIT_REASON + 1];
	va_list ap;
	int trouble;

	if (next == LINK_NONE)
		return;
	next = redirect(gw, next);
	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	hide_begun(why, l->bearer);
	timer_clear(&gw->core->timers, &l->timer);
	l->state = next;
	trouble = is_trouble(ev, old, next);
	if (trouble)
		l->troubled = 1;
	if (next == LINK_UP)
		l->troubled = 0;
	if (states[old].connected && !states[next].connected) {
		note_end(gw, old, ev, why);
		connection_lost(gw, old, ev);
	}
	if (trouble)
		note_failure(gw, old, ev, why);
	arrive(gw, old, trouble, why);
	link_quiet_arm(gw);
	link_wishes_settle(gw);
}

void
link_deadline_at(struct gateway *gw, uint64_t when)
{
	timer_set(&gw->core->timers, &gw->link.timer,
	    when > gw->core->now ? when : gw->core->now);
}

void
link_deadline(struct gateway *gw, uint64_t ms)
{
	timer_set(&gw->core->timers, &gw->link.timer, gw->core->now + ms);
}

void
link_drop(struct gateway *gw)
{
	gw->core->io->drop(gw->core->arg, gw);
	wire_free(gw);
}

static void
enter_none(struct gateway *gw, enum link_state old)
{
	(void)old;
	link_drop(gw);
	gw->link.refused.asking = 0;
	gw->link.next_dial = 0;
}

/* Nothing goes out any more: who waits hears of it. */
static void
enter_stopped(struct gateway *gw, enum link_state old)
{
	enter_none(gw, old);
	outbound_end(gw, gw->link.reason);
}

static void
enter_hushed(struct gateway *gw, enum link_state old)
{
	(void)gw;
	(void)old;
}

static void
on_timer(void *arg)
{
	struct gateway *gw = arg;
	struct link *l = &gw->link;

	if (l->state == LINK_DRAIN)
		link_drain_due(gw);
	else
		link_event(gw, LE_TIMER, "%s", states[l->state].late);
	/* What it was to make way for is due still. */
	if (l->state == LINK_UP && l->stale)
		link_leave(gw, 1, 0, "settings changed");
}

void
link_heard(struct gateway *gw)
{
	gw->link.last_read = gw->core->now;
}

void
link_date(struct gateway *gw, int64_t unix_s)
{
	gw->link.clock_skew_s = unix_s - core_unix(gw->core);
	gw->link.skew_at = gw->core->now;
}

void
link_init(struct gateway *gw)
{
	struct link *l = &gw->link;

	memset(l, 0, sizeof(*l));
	l->state = LINK_UNPROVISIONED;
	l->since = gw->core->now;
	l->rtt_ms = -1;
	l->clock_skew_s = INT64_MIN;
	(void)strlcpy(
	    l->reason, "not heard from relay-authd yet", sizeof(l->reason));
	l->told = link_public(gw);
	timer_init(&l->timer, on_timer, gw);
	link_quiet_init(gw);
	ping_init(gw);
}

void
link_free(struct gateway *gw)
{
	struct link *l = &gw->link;

	link_wishes_end(gw);
	timer_clear(&gw->core->timers, &l->timer);
	timer_clear(&gw->core->timers, &l->quiet_timer);
	ping_end(gw);
}
