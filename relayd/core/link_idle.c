/* SPDX-License-Identifier: ISC */
/*
 * A link that sleeps, and how it gets there: going_idle asks the connector to
 * keep what comes.  Until its ack the link serves as before; then it closes and
 * sleeps (no agent, an operator, a suspend), or stays and is spared new events
 * (pressure).
 */
#include <stdio.h>
#include <string.h>

#include "link_priv.h"

/* Milliseconds. */
#define ACK_MS	 10000 /* CONTRACT 3: without an ack the link stays */
#define DRAIN_MS 3000  /* after it: results, and agents' acknowledgements */
#define HOLD_MS	 60000 /* CONTRACT 3: a dial held back for a suspend */
/* A connector that does not acknowledge is asked again after this. */
#define AGAIN_MS 60000
/* Without an agent for so long the link goes idle, unless it is configured. */
#define ALONE_MS 60000

static uint64_t
idle_after(const struct gateway *gw)
{
	return gw->conf.idle_after_ms > 0 ? gw->conf.idle_after_ms : ALONE_MS;
}

/* Whether no agent takes events. */
static int
is_alone(const struct gateway *gw)
{
	const struct agent *a;

	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->state == AGENT_READY && !a->draining)
			return 0;
	return 1;
}

void
link_say_idle(struct gateway *gw)
{
	static const struct span idle = SPAN_LIT("{\"type\":\"going_idle\"}");
	struct link *l = &gw->link;

	if (l->idle == TOLD_IDLE || l->idle == TOLD_ACKED)
		return;
	/* Without room it is not sent, and no ack will come. */
	(void)wire_line(gw, &idle, 1, NULL);
	l->idle = TOLD_IDLE;
	l->idle_at = gw->core->now;
}

/* Entry actions. */

void
link_enter_idling(struct gateway *gw, enum link_state old)
{
	if (old != LINK_IDLING)
		link_say_idle(gw);
	link_deadline_at(gw, gw->link.idle_at + ACK_MS);
}

void
link_enter_asleep(struct gateway *gw, enum link_state old)
{
	(void)old;
	link_drop(gw);
	gw->link.refused.asking = 0;
	gw->link.next_dial = 0;
}

void
link_enter_dormant(struct gateway *gw, enum link_state old)
{
	link_enter_asleep(gw, old);
	gw->link.next_dial = gw->core->now + HOLD_MS;
	link_deadline(gw, HOLD_MS);
}

/* Back in LINK_UP. */
void
link_idle_in_vain(struct gateway *gw)
{
	struct link *l = &gw->link;

	l->idle = TOLD_LATE;
	l->again_at = gw->core->now + AGAIN_MS;
	link_then(gw, AFTER_DIAL);
}

/* The connector keeps what comes from now on. */

static void
acked(struct gateway *gw)
{
	struct link *l = &gw->link;

	l->idle = TOLD_ACKED;
	l->drain_until = gw->core->now + DRAIN_MS;
	/* One that came late: no live delivery on this connection any more. */
	if (l->state == LINK_UP && is_alone(gw) && !gw->conf.hold) {
		(void)strlcpy(l->asleep, "no agent", sizeof(l->asleep));
		link_then(gw, AFTER_IDLE);
	}
	if (l->after == AFTER_DIAL && l->pressure)
		link_event(gw, LE_HUSHED,
		    "the connector keeps what comes: too much waits for "
		    "agents");
	else if (l->after == AFTER_DIAL)
		link_event(gw, LE_ACKED,
		    "going_idle was acknowledged and is not needed any more");
	else
		link_event(gw, LE_ACKED, "%s", l->asleep);
}

void
link_idle_ack(struct gateway *gw)
{
	struct link *l = &gw->link;

	if (l->idle != TOLD_IDLE && l->idle != TOLD_LATE)
		return;
	if (l->state == LINK_IDLING || l->state == LINK_UP)
		acked(gw);
	else if (l->state == LINK_DRAIN) {
		l->idle = TOLD_ACKED;
		link_deadline_at(gw, l->drain_until);
		link_check_drained(gw);
	}
}

/* Going to sleep, and being woken. */

void
link_sleep(struct gateway *gw, enum link_after after, const char *why)
{
	struct link *l = &gw->link;

	(void)strlcpy(l->asleep, why, sizeof(l->asleep));
	link_then(gw, after);
	l->drain_until = gw->core->now + DRAIN_MS;
	link_event(gw, LE_QUIET, "%s", l->asleep);
}

void
link_wanted(struct gateway *gw, const char *why)
{
	struct link *l = &gw->link;

	if (link_goes_down(l) && l->after == AFTER_IDLE)
		link_then(gw, AFTER_DIAL); /* the close finishes first */
	else if (l->state != LINK_IDLE)
		return;
	link_event(gw, LE_WANTED, "%s", why);
}

void
link_slept(struct gateway *gw)
{
	/* The network is another one, perhaps: failures before say nothing. */
	gw->link.attempt = 0;
	link_event(gw, LE_SLEPT, "the host slept");
}

/* What the link does by itself. */

void
link_quiet_arm(struct gateway *gw)
{
	struct link *l = &gw->link;
	uint64_t when = TIMER_NEVER, now = gw->core->now;
	int up = l->state == LINK_UP, alone = is_alone(gw) && !gw->conf.hold;

	if (!alone)
		l->left = 0;
	if (!alone || !link_serves(gw))
		l->alone_at = 0;
	else if (l->alone_at == 0)
		l->alone_at = now;
	if (l->alone_at != 0)
		when = l->left ? now : l->alone_at + idle_after(gw);
	if ((up && l->pressure) || (!up && !l->pressure))
		when = now;
	if (up && when < l->again_at)
		when = l->again_at;
	if ((up || l->state == LINK_HUSHED) && when != TIMER_NEVER)
		timer_set(&gw->core->timers, &l->quiet_timer, when);
	else
		timer_clear(&gw->core->timers, &l->quiet_timer);
}

static void
on_quiet(void *arg)
{
	struct gateway *gw = arg;
	struct link *l = &gw->link;
	char why[LIMIT_REASON + 1];

	if (l->state == LINK_HUSHED && !l->pressure)
		link_leave(gw, 1, 0,
		    "agents caught up: connecting anew for what the connector "
		    "kept");
	else if (l->state == LINK_UP && l->pressure) {
		link_then(gw, AFTER_DIAL);
		link_event(gw, LE_FULL,
		    "too much waits for agents: asking the connector to keep "
		    "what comes");
	} else if (l->alone_at != 0) {
		if (l->left)
			(void)snprintf(why, sizeof(why),
			    "no agent takes events: the last one said "
			    "going_idle");
		else
			(void)snprintf(why, sizeof(why), "no agent for %llu s",
			    (unsigned long long)idle_after(gw) / 1000);
		link_sleep(gw, AFTER_IDLE, why);
	}
}

void
link_quiet_init(struct gateway *gw)
{
	timer_init(&gw->link.quiet_timer, on_quiet, gw);
}

void
link_agents(struct gateway *gw)
{
	link_quiet_arm(gw);
}

void
link_agent_idle(struct gateway *gw)
{
	gw->link.left = 1;
	link_quiet_arm(gw);
}

void
link_pressure(struct gateway *gw, int on)
{
	if (gw->link.pressure == (on != 0))
		return;
	gw->link.pressure = on != 0;
	link_quiet_arm(gw);
}
