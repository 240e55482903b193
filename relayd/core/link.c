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
#include "core.h"
#include "frame.h"
#include "ping.h"

/* Deadlines, in milliseconds.  For a dial the dialer has its own for each
 * step; this one also covers its queue after a mass disconnect. */
#define DIAL_MS	    60000
#define TLS_MS	    15000
#define TOKEN_MS    10000 /* includes a restart of relay-authd */
#define UPGRADE_MS  15000
#define HELLO_MS    30000 /* CONTRACT 3 */
#define CLOSE_MS    500	  /* the peer's close frame; ours was sent */
#define IDLE_ACK_MS 2000  /* CONTRACT 3, orderly stop */
#define RESTART_MS  5000  /* orderly close when settings changed */
#define HEALTHY_MS  60000 /* a link that lived so long forgives the past */

#define CODE_REFUSED 4401

static void enter_idle(struct gateway *);
static void enter_wait(struct gateway *);
static void enter_dial(struct gateway *);
static void enter_tls(struct gateway *);
static void enter_token(struct gateway *);
static void enter_upgrade(struct gateway *);
static void enter_ask(struct gateway *);
static void enter_hello(struct gateway *);
static void enter_up(struct gateway *);
static void enter_drain(struct gateway *);
static void enter_close(struct gateway *);

static const struct state {
	const char *phase;  /* for explain and debug */
	const char *public; /* DESIGN 3; NULL: connecting or retrying */
	void (*enter)(struct gateway *);
	uint8_t connected; /* WebSocket is up: leaving means losing it */
	const char *late;  /* said when the deadline is reached */
} states[LINK_STATES] = {
    [LINK_UNPROVISIONED] = {"unprovisioned", "unprovisioned", enter_idle, 0,
	NULL},
    [LINK_WAIT] = {"waiting", NULL, enter_wait, 0, "time to dial again"},
    [LINK_DIAL] = {"dialling", NULL, enter_dial, 0,
	"no connection within 60 s"},
    [LINK_TLS] = {"tls", NULL, enter_tls, 0, "TLS did not come up within 15 s"},
    [LINK_TOKEN] = {"token", NULL, enter_token, 0,
	"relay-authd gave no token within 10 s"},
    [LINK_UPGRADE] = {"upgrade", NULL, enter_upgrade, 0,
	"no answer to the upgrade within 15 s"},
    [LINK_ASK] = {"asking the time", NULL, enter_ask, 0,
	"the connector did not tell its time within 15 s"},
    [LINK_HELLO] = {"handshake", NULL, enter_hello, 1,
	"no descriptor within 30 s of the hello"},
    [LINK_UP] = {"connected", "connected", enter_up, 1, NULL},
    [LINK_DRAIN] = {"draining", "stopping", enter_drain, 1,
	"drained for long enough"},
    [LINK_CLOSE] = {"closing", "stopping", enter_close, 1,
	"the close was not answered"},
    [LINK_DISABLED] = {"disabled", "disabled", enter_idle, 0, NULL},
    [LINK_STOPPED] = {"stopped", "stopping", enter_idle, 0, NULL},
};

/* clang-format off */
static const uint8_t table[LINK_STATES][LINK_EVENTS] = {
    [LINK_UNPROVISIONED] = {
	[LE_CREDENTIAL] = LINK_DIAL, [LE_CREDENTIAL_NEW] = LINK_DIAL,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_WAIT] = {
	[LE_TIMER] = LINK_DIAL, [LE_CREDENTIAL_NEW] = LINK_DIAL,
	[LE_CHANGED] = LINK_DIAL, [LE_NO_CREDENTIAL] = LINK_UNPROVISIONED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_DIAL] = {
	[LE_DIALED] = LINK_TLS, [LE_DIALED_PLAIN] = LINK_TOKEN,
	[LE_DIAL_FAILED] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_AUTHD_GONE] = LINK_WAIT, [LE_CHANGED] = LINK_DIAL,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_TLS] = {
	[LE_TLS_UP] = LINK_TOKEN, [LE_TLS_FAILED] = LINK_WAIT,
	[LE_LOST] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_AUTHD_GONE] = LINK_WAIT, [LE_CHANGED] = LINK_DIAL,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_TOKEN] = {
	[LE_TOKEN] = LINK_UPGRADE, [LE_TOKEN_REFUSED] = LINK_WAIT,
	[LE_LOST] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_AUTHD_GONE] = LINK_WAIT, [LE_CHANGED] = LINK_DIAL,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED,
	[LE_REVOKED] = LINK_DISABLED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_UPGRADE] = {
	[LE_UPGRADED] = LINK_HELLO, [LE_UPGRADE_REFUSED] = LINK_WAIT,
	[LE_LOST] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_CHANGED] = LINK_DIAL, [LE_REVOKED] = LINK_DISABLED,
	[LE_STOP] = LINK_STOPPED,
    },
    [LINK_ASK] = {
	[LE_REFUSED] = LINK_WAIT, [LE_REVOKED] = LINK_DISABLED,
	[LE_UPGRADE_REFUSED] = LINK_WAIT, [LE_LOST] = LINK_WAIT,
	[LE_TIMER] = LINK_WAIT, [LE_CHANGED] = LINK_DIAL,
	[LE_CREDENTIAL_NEW] = LINK_DIAL,
	[LE_NO_CREDENTIAL] = LINK_UNPROVISIONED, [LE_STOP] = LINK_STOPPED,
    },
    [LINK_HELLO] = {
	[LE_DESCRIPTOR] = LINK_UP, [LE_CLOSED] = LINK_WAIT,
	[LE_LOST] = LINK_WAIT, [LE_PROTOCOL] = LINK_WAIT,
	[LE_SILENT] = LINK_WAIT, [LE_TIMER] = LINK_WAIT,
	[LE_REFUSED] = LINK_WAIT, [LE_REFUSED_ONCE] = LINK_DIAL,
	[LE_REVOKED] = LINK_DISABLED, [LE_CHANGED] = LINK_CLOSE,
	[LE_STOP] = LINK_CLOSE,
    },
    [LINK_UP] = {
	[LE_CLOSED] = LINK_WAIT, [LE_LOST] = LINK_WAIT,
	[LE_PROTOCOL] = LINK_WAIT, [LE_SILENT] = LINK_WAIT,
	[LE_REFUSED] = LINK_WAIT, [LE_REFUSED_ONCE] = LINK_DIAL,
	[LE_REVOKED] = LINK_DISABLED, [LE_CHANGED] = LINK_DRAIN,
	[LE_STOP] = LINK_DRAIN,
    },
    [LINK_DRAIN] = {
	[LE_DRAINED] = LINK_CLOSE, [LE_TIMER] = LINK_CLOSE,
	[LE_CLOSED] = LINK_STOPPED, [LE_LOST] = LINK_STOPPED,
	[LE_PROTOCOL] = LINK_STOPPED, [LE_REFUSED] = LINK_STOPPED,
	[LE_REFUSED_ONCE] = LINK_STOPPED, [LE_REVOKED] = LINK_STOPPED,
    },
    [LINK_CLOSE] = {
	[LE_TIMER] = LINK_STOPPED, [LE_CLOSED] = LINK_STOPPED,
	[LE_LOST] = LINK_STOPPED, [LE_PROTOCOL] = LINK_STOPPED,
	[LE_REFUSED] = LINK_STOPPED, [LE_REFUSED_ONCE] = LINK_STOPPED,
	[LE_REVOKED] = LINK_STOPPED,
    },
    [LINK_DISABLED] = {
	[LE_ENABLED] = LINK_DIAL, [LE_STOP] = LINK_STOPPED,
    },
};
/* clang-format on */

const char *
link_public(const struct gateway *gw)
{
	const struct link *l = &gw->link;
	const char *name = states[l->state].public;

	if (name == NULL ||
	    (l->restart && (l->state == LINK_DRAIN || l->state == LINK_CLOSE)))
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

int
link_is_up(const struct gateway *gw)
{
	return gw->link.state == LINK_UP || gw->link.state == LINK_DRAIN;
}

/* Where the event really leads, given what the table cannot know. */
static enum link_state
redirect(const struct gateway *gw, enum link_state next)
{
	if (next == LINK_STOPPED && gw->link.restart && !gw->core->stopping)
		next = LINK_DIAL;
	if (next == LINK_DIAL && gw->core->stopping)
		next = LINK_STOPPED;
	if ((next == LINK_DIAL || next == LINK_WAIT) && !gw->link.usable)
		next = LINK_UNPROVISIONED;
	if ((next == LINK_DIAL || next == LINK_WAIT ||
		next == LINK_UNPROVISIONED) &&
	    gw->link.revoked)
		next = LINK_DISABLED;
	/* The time is asked for without a token. */
	if (next == LINK_TOKEN && gw->link.refused.asking)
		next = LINK_ASK;
	return next;
}

static void note_close(
    struct gateway *, int code, int status, int by_us, struct span reason);

/* A link that was healthy, however it ended, is dialled without delay. */
static void
forgive(struct gateway *gw)
{
	struct link *l = &gw->link;

	if (l->up_at != 0 && gw->core->now - l->up_at >= HEALTHY_MS)
		l->attempt = 0;
	l->up_at = 0;
}

/* The connection is no more: what hung on it hears of it. */
static void
connection_lost(struct gateway *gw, enum link_event ev, const char *why)
{
	uint64_t written = gw->wire.written;

	ping_end(gw);
	if (ev == LE_LOST || ev == LE_SILENT || ev == LE_PROTOCOL ||
	    ev == LE_TIMER) /* what a close frame says is kept already */
		note_close(gw, 0, 0, ev != LE_LOST, span_str(why));
	if (gw->link.up_at != 0)
		gw->count.losses++;
	forgive(gw);
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

/* A failure, not an end that we wanted. */
static int
is_trouble(enum link_event ev, enum link_state next)
{
	return next == LINK_WAIT || ev == LE_REFUSED_ONCE;
}

void
link_event(struct gateway *gw, enum link_event ev, const char *fmt, ...)
{
	struct link *l = &gw->link;
	enum link_state old = l->state, next = table[old][ev];
	const char *was = link_public(gw);
	char why[LIMIT_REASON + 1];
	va_list ap;
	int news;

	if (next == LINK_NONE)
		return;
	next = redirect(gw, next);
	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	timer_clear(&gw->core->timers, &l->timer);
	l->state = next;
	if (is_trouble(ev, next))
		l->troubled = 1;
	if (next == LINK_UP)
		l->troubled = 0;
	if (states[old].connected && !states[next].connected)
		connection_lost(gw, ev, why);
	/* The phases of one dial are no news. */
	news = strcmp(was, link_public(gw)) != 0;
	if (news)
		l->since = gw->core->now;
	if (news || is_trouble(ev, next)) {
		(void)strlcpy(l->reason,
		    next == LINK_UNPROVISIONED	? l->lacks
			: next == LINK_DISABLED ? l->mark
						: why,
		    sizeof(l->reason));
		states[next].enter(gw);
		gw->core->io->state_changed(gw->core->arg, gw);
		tell_agents(gw);
	} else
		states[next].enter(gw);
}

static void
deadline(struct gateway *gw, uint64_t ms)
{
	timer_set(&gw->core->timers, &gw->link.timer, gw->core->now + ms);
}

static void
drop(struct gateway *gw)
{
	gw->core->io->drop(gw->core->arg, gw);
	wire_free(gw);
}

static void
enter_idle(struct gateway *gw)
{
	drop(gw);
	gw->link.refused.asking = 0;
	gw->link.next_dial = 0;
}

/* Full jitter: anything up to a ceiling that doubles. */
static uint64_t
backoff(struct gateway *gw)
{
	struct link *l = &gw->link;
	uint64_t ceiling = gw->conf.reconnect_min_ms;
	uint32_t i;

	for (i = 1; i < l->attempt && ceiling < gw->conf.reconnect_max_ms; i++)
		ceiling *= 2;
	if (ceiling > gw->conf.reconnect_max_ms)
		ceiling = gw->conf.reconnect_max_ms;
	return core_random(gw->core, ceiling) + 1;
}

static void
enter_wait(struct gateway *gw)
{
	struct link *l = &gw->link;
	uint64_t ms;

	drop(gw);
	l->refused.asking = 0; /* it failed: a token is tried before */
	ms = backoff(gw);
	l->next_dial = gw->core->now + ms;
	deadline(gw, ms);
}

static void
enter_dial(struct gateway *gw)
{
	struct link *l = &gw->link;

	drop(gw);
	l->restart = 0;
	l->next_dial = 0;
	l->dialed_at = gw->core->now;
	l->attempt++;
	gw->count.dials++;
	deadline(gw, DIAL_MS);
	gw->core->io->dial(gw->core->arg, gw);
}

static void
enter_tls(struct gateway *gw)
{
	deadline(gw, TLS_MS);
	gw->core->io->tls(gw->core->arg, gw);
}

static void
enter_token(struct gateway *gw)
{
	deadline(gw, TOKEN_MS);
	gw->core->io->mint(gw->core->arg, gw);
}

static void
enter_upgrade(struct gateway *gw)
{
	gw->link.token_at = gw->core->now;
	gw->link.other_token = 0;
	deadline(gw, UPGRADE_MS);
	gw->core->io->upgrade(gw->core->arg, gw);
}

static void
enter_ask(struct gateway *gw)
{
	deadline(gw, UPGRADE_MS);
	gw->core->io->ask(gw->core->arg, gw);
}

static void
enter_hello(struct gateway *gw)
{
	deadline(gw, HELLO_MS);
	wire_open(gw);
	link_heard(gw);
	ping_begin(gw);
	frame_hellos(gw);
}

static void
enter_up(struct gateway *gw)
{
	struct link *l = &gw->link;

	refusal_forget(l);
	l->up_at = gw->core->now;
	gw->count.handshakes++;
	if (!l->other_token) {
		l->ever_up = 1;
		gw->core->io->fared(gw->core->arg, gw, FARED_WORKED, "");
	}
	outbound_link_up(gw);
}

static void
enter_drain(struct gateway *gw)
{
	static const struct span idle = SPAN_LIT("{\"type\":\"going_idle\"}");
	struct link *l = &gw->link;

	l->drain_acked = 0;
	(void)wire_line(gw, &idle, 1, NULL);
	deadline(gw, IDLE_ACK_MS);
}

static void
enter_close(struct gateway *gw)
{
	wire_close(gw, WS_CLOSE_NORMAL, "");
	deadline(gw, CLOSE_MS);
}

static void
on_timer(void *arg)
{
	struct gateway *gw = arg;
	struct link *l = &gw->link;

	if (l->state == LINK_DRAIN && !l->drain_acked)
		link_idle_ack(gw); /* none comes: go on without it */
	else
		link_event(gw, LE_TIMER, "%s", states[l->state].late);
}

void
link_check_drained(struct gateway *gw)
{
	if (gw->link.state == LINK_DRAIN && gw->link.drain_acked &&
	    TAILQ_EMPTY(&gw->outbound.sent))
		link_event(gw, LE_DRAINED, "drained");
}

void
link_idle_ack(struct gateway *gw)
{
	struct link *l = &gw->link;

	if (l->state != LINK_DRAIN || l->drain_acked)
		return;
	l->drain_acked = 1;
	timer_set(&gw->core->timers, &l->timer,
	    l->drain_until > gw->core->now ? l->drain_until : gw->core->now);
	link_check_drained(gw);
}

void
link_heard(struct gateway *gw)
{
	gw->link.last_read = gw->core->now;
}

/* Keep how the connection ended, for people. */
static void
note_close(
    struct gateway *gw, int code, int status, int by_us, struct span reason)
{
	struct last_close *c = &gw->link.last_close;

	c->code = (uint16_t)code;
	c->status = (uint16_t)status;
	c->by_us = by_us != 0;
	c->at = gw->core->now;
	(void)snprintf(c->reason, sizeof(c->reason), "%.*s", (int)reason.len,
	    reason.len > 0 ? reason.p : "");
}

void
link_http_status(struct gateway *gw, int status)
{
	note_close(gw, 0, status, 0, SPAN_LIT(""));
}

void
link_date(struct gateway *gw, int64_t unix_s)
{
	gw->link.clock_skew_s = unix_s - core_unix(gw->core);
	gw->link.skew_at = gw->core->now;
}

void
link_closed(struct gateway *gw, uint16_t code, struct span reason)
{
	char text[LIMIT_REASON];
	const char *said =
	    gw->wire.close_sent ? "after ours" : "by the connector";

	(void)snprintf(text, sizeof(text), "%.*s", (int)reason.len,
	    reason.len > 0 ? reason.p : "");
	note_close(gw, code, 0, gw->wire.close_sent, reason);
	if (!gw->wire.close_sent)
		wire_close(
		    gw, code == WS_CLOSE_NOSTATUS ? WS_CLOSE_NORMAL : code, "");
	if (code == CODE_REFUSED)
		refusal_closed(gw, reason);
	else
		link_event(gw, LE_CLOSED, "closed %s: %u%s%s", said, code,
		    text[0] != '\0' ? " " : "", text);
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
	timer_init(&l->timer, on_timer, gw);
	ping_init(gw);
}

void
link_leave(struct gateway *gw, int restart, uint64_t budget_ms, const char *why)
{
	struct link *l = &gw->link;

	if (budget_ms == 0)
		budget_ms = RESTART_MS;
	l->restart = restart != 0;
	l->drain_until = gw->core->now +
	    (budget_ms > 2 * CLOSE_MS ? budget_ms - 2 * CLOSE_MS : 0);
	link_event(gw, restart ? LE_CHANGED : LE_STOP, "%s", why);
}

void
link_free(struct gateway *gw)
{
	struct link *l = &gw->link;

	timer_clear(&gw->core->timers, &l->timer);
	ping_end(gw);
}
