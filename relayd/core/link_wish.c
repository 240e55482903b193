/* SPDX-License-Identifier: ISC */
/*
 * What operators ask of a link: begun at once, answered when it came true or
 * cannot any more.
 */
#include <stdio.h>
#include <string.h>

#include "link_priv.h"

/* Milliseconds: an orderly close, as link_leave()'s. */
#define OFF_MS 4000

/* Where a wish leads, and by which way down; those that are not here are
 * answered at once. */
static const struct goal {
	uint8_t waits;
	enum link_state state;
	enum link_after after;
} goals[] = {
    [WISH_IDLE] = {1, LINK_IDLE, AFTER_IDLE},
    [WISH_WAKE] = {0, LINK_NONE, AFTER_DIAL},
    [WISH_DORMANT] = {1, LINK_DORMANT, AFTER_DORMANT},
    [WISH_DISABLE] = {1, LINK_DISABLED, AFTER_OFF},
    [WISH_ENABLE] = {0, LINK_NONE, AFTER_DIAL},
    [WISH_RECONNECT] = {1, LINK_DIAL, AFTER_DIAL},
};

static void
done(struct gateway *gw, uint64_t cookie, const char *error)
{
	gw->core->io->wish_done(gw->core->arg, cookie, error);
}

/* Why a wish does not come true; NULL: it does yet, or did (*over). */
static const char *
failed(const struct gateway *gw, const struct goal *g, int *over, char *text,
    size_t cap)
{
	const struct link *l = &gw->link;

	*over = l->state == g->state;
	if (*over)
		return NULL;
	if (!link_goes_down(l))
		(void)snprintf(
		    text, cap, "it is %s: %s", link_public(gw), l->reason);
	else if (l->after == g->after)
		return NULL;
	else
		(void)strlcpy(text, "something else was wanted meanwhile", cap);
	return text;
}

void
link_wishes_settle(struct gateway *gw)
{
	struct link *l = &gw->link;
	char text[LIMIT_REASON * 2];
	const char *error;
	struct wished w;
	uint8_t i = 0;
	int over;

	while (i < l->nwished) {
		w = l->wished[i];
		error = failed(gw, &goals[w.wish], &over, text, sizeof(text));
		if (error == NULL && !over) {
			i++;
			continue;
		}
		l->nwished--;
		memmove(&l->wished[i], &l->wished[i + 1],
		    (size_t)(l->nwished - i) * sizeof(l->wished[0]));
		done(gw, w.cookie, error);
	}
}

void
link_wishes_end(struct gateway *gw)
{
	struct link *l = &gw->link;

	while (l->nwished > 0)
		done(gw, l->wished[--l->nwished].cookie,
		    "the gateway was taken out of the configuration");
}

/* It closes for a new connection: the connector was told no more than that we
 * leave, or has not said that it keeps what comes. */
static int
is_replaced(const struct link *l)
{
	return (l->state == LINK_DRAIN || l->state == LINK_CLOSE) &&
	    l->idle != TOLD_ACKED;
}

/* Each returns NULL, or why it cannot be; who is for the reason. */

static const char *
wish_idle(struct gateway *gw, const char *who)
{
	struct link *l = &gw->link;
	char why[LIMIT_REASON + 1];

	if (l->state == LINK_IDLE)
		return NULL;
	if (l->state == LINK_DORMANT)
		return "it is dormant; wake it first";
	if (is_replaced(l))
		return "it is being connected anew; try again";
	if (!link_is_up(gw) && l->state != LINK_CLOSE)
		return "it is not connected, so that the connector cannot be "
		       "told";
	(void)snprintf(why, sizeof(why), "as %s asked", who);
	link_sleep(gw, AFTER_IDLE, why);
	return NULL;
}

static const char *
wish_wake(struct gateway *gw, const char *who)
{
	struct link *l = &gw->link;

	if (link_goes_down(l) &&
	    (l->after == AFTER_IDLE || l->after == AFTER_DORMANT))
		link_then(gw, AFTER_DIAL); /* the close finishes first */
	else if (l->state != LINK_IDLE && l->state != LINK_DORMANT &&
	    l->state != LINK_WAIT)
		return NULL; /* it is awake */
	link_event(gw, LE_WAKE, "woken by %s", who);
	return NULL;
}

static const char *
wish_dormant(struct gateway *gw, const char *who)
{
	char why[LIMIT_REASON + 1];

	if (is_replaced(&gw->link))
		return "it is being connected anew; try again";
	(void)snprintf(
	    why, sizeof(why), "as %s asked; dials again after 60 s", who);
	link_sleep(gw, AFTER_DORMANT, why);
	return NULL;
}

static const char *
wish_disable(struct gateway *gw, const char *who)
{
	struct link *l = &gw->link;

	if (l->off)
		return NULL;
	l->off = 1;
	(void)snprintf(
	    l->off_why, sizeof(l->off_why), "switched off by %s", who);
	journal_set_off(&gw->delivery.journal, 1);
	link_then(gw, AFTER_OFF);
	l->drain_until = gw->core->now + OFF_MS;
	link_event(gw, LE_OFF, "%s", l->off_why);
	return NULL;
}

static const char *
wish_enable(struct gateway *gw, const char *who)
{
	struct link *l = &gw->link;

	if (!l->off)
		return "it is not switched off";
	l->off = 0;
	journal_set_off(&gw->delivery.journal, 0);
	if (link_goes_down(l)) {
		link_then(gw, AFTER_DIAL);
		link_event(gw, LE_WAKE, "switched on by %s", who);
		return NULL;
	}
	l->attempt = 0;
	link_event(gw, LE_ENABLED, "switched on by %s", who);
	return NULL;
}

static const char *
wish_reconnect(struct gateway *gw, const char *who)
{
	struct link *l = &gw->link;
	char why[LIMIT_REASON + 1];

	if (l->state == LINK_DORMANT ||
	    (link_goes_down(l) && l->after == AFTER_DORMANT))
		return "it is dormant, or about to be; wake it first";
	(void)snprintf(why, sizeof(why), "as %s asked", who);
	link_leave(gw, 1, 0, why);
	return NULL;
}

static const char *(*const wishes[])(struct gateway *, const char *) = {
    [WISH_IDLE] = wish_idle,
    [WISH_WAKE] = wish_wake,
    [WISH_DORMANT] = wish_dormant,
    [WISH_DISABLE] = wish_disable,
    [WISH_ENABLE] = wish_enable,
    [WISH_RECONNECT] = wish_reconnect,
};

/* What stands against most of them. */
static const char *
refused(const struct gateway *gw, int wish)
{
	const struct link *l = &gw->link;

	if (gw->core->stopping)
		return "relayd is stopping";
	if (goals[wish].waits && l->nwished == LINK_WISHES)
		return "too many requests wait for this link; try again";
	if (wish == WISH_ENABLE || wish == WISH_DISABLE)
		return NULL;
	if (l->state == LINK_DISABLED || l->off)
		return "it is disabled; enable it first";
	if (l->state == LINK_UNPROVISIONED)
		return "it has no usable credential";
	return NULL;
}

const char *
link_wish(struct gateway *gw, int wish, uint64_t cookie, const char *who)
{
	struct link *l = &gw->link;
	const char *why = refused(gw, wish);

	if (why != NULL || (why = wishes[wish](gw, who)) != NULL)
		return why;
	if (!goals[wish].waits) {
		done(gw, cookie, NULL);
		return NULL;
	}
	l->wished[l->nwished++] = (struct wished){cookie, (uint8_t)wish};
	link_wishes_settle(gw);
	return NULL;
}

/* Where it begins: nobody is told of a change. */
void
link_restore_off(struct gateway *gw)
{
	struct link *l = &gw->link;

	l->off = 1;
	(void)strlcpy(
	    l->off_why, "switched off by an operator", sizeof(l->off_why));
	(void)strlcpy(l->reason, l->off_why, sizeof(l->reason));
	l->state = LINK_DISABLED;
	l->told = link_public(gw);
}
