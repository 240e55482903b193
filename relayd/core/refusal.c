/* SPDX-License-Identifier: ISC */
/* What a close with 4401 says of the credential; see refusal.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "log.h"
#include "refusal.h"
#include "utc.h"

#define SKEW_MAX_S 60 /* CONTRACT 3: beyond it a refusal says nothing */
/* A connector that takes a token and then refuses it, again and again, is not
 * dialled without delay each time. */
#define HURRY_MS 60000

/* What a text of ours may say of one refusal. */
#define ONE_TEXT 320

static int
skew_known(const struct link *l)
{
	return l->clock_skew_s != INT64_MIN && l->skew_at >= l->dialed_at;
}

int
refusal_skewed(const struct link *l)
{
	return skew_known(l) &&
	    (l->clock_skew_s > SKEW_MAX_S || l->clock_skew_s < -SKEW_MAX_S);
}

const char *
refusal_clock(const struct link *l, char out[REFUSAL_CLOCK])
{
	int64_t s = l->clock_skew_s;

	out[0] = '\0';
	if (refusal_skewed(l))
		(void)snprintf(out, REFUSAL_CLOCK,
		    "; the connector's clock is %" PRId64
		    " s %s ours: set the clock",
		    s < 0 ? -s : s, s < 0 ? "behind" : "ahead of");
	return out;
}

void
refusal_forget(struct link *l)
{
	l->refused.strike = 0;
	l->refused.asking = 0;
}

static void
note(struct gateway *gw, struct refusal *r, struct span reason)
{
	const struct link *l = &gw->link;

	r->at = core_unix(gw->core);
	r->token_age_ms = (int64_t)(gw->core->now - l->token_at);
	r->skew_s = skew_known(l) ? l->clock_skew_s : INT64_MIN;
	(void)log_vis(r->reason, sizeof(r->reason), reason);
}

/* Whether a dial may be made at once; it counts as made. */
static int
hurry(struct gateway *gw)
{
	struct refusals *r = &gw->link.refused;

	if (r->hurried != 0 && gw->core->now - r->hurried < HURRY_MS)
		return 0;
	r->hurried = gw->core->now;
	return 1;
}

static void
put_one(char out[ONE_TEXT], const struct refusal *r)
{
	char when[UTC_TEXT], skew[64] = "clock of the connector not told";

	if (r->skew_s != INT64_MIN)
		(void)snprintf(skew, sizeof(skew),
		    "connector's clock %+" PRId64 " s", r->skew_s);
	(void)snprintf(out, ONE_TEXT,
	    "%s 4401 \"%s\" to a token %" PRId64 ".%03d s old, %s",
	    utc_text(when, r->at, -1), r->reason, r->token_age_ms / 1000,
	    (int)(r->token_age_ms % 1000), skew);
}

void
refusal_evidence(const struct refusals *r, char *out, size_t cap)
{
	char first[ONE_TEXT], second[ONE_TEXT];

	put_one(first, &r->first);
	put_one(second, &r->second);
	(void)snprintf(out, cap, "refused twice: %s; %s", first, second);
}

/* Both refusals stand: that is the end of it, until somebody does something. */
static void
revoke(struct gateway *gw)
{
	char evidence[LIMIT_EVIDENCE];

	refusal_evidence(&gw->link.refused, evidence, sizeof(evidence));
	refusal_forget(&gw->link);
	link_mark(&gw->link, evidence);
	gw->core->io->fared(gw->core->arg, gw, FARED_REVOKED, evidence);
	link_event(gw, LE_REVOKED, "%s", gw->link.mark);
}

/* Dial again with a fresh token: at once, if that was not done just now. */
static void
again(struct gateway *gw, const char *said, const char *why)
{
	int now = hurry(gw);

	link_event(gw, now ? LE_REFUSED_ONCE : LE_REFUSED,
	    "credential refused (4401 %s)%s: dialling %s with a fresh token",
	    said, why, now ? "once more" : "again, after a delay,");
}

/* Not the first refusal after a success. */
static void
second(struct gateway *gw, struct span reason, const char *said)
{
	struct link *l = &gw->link;

	note(gw, &l->refused.second, reason);
	if (skew_known(l)) {
		revoke(gw);
		return;
	}
	l->refused.asking = 1;
	link_event(gw, LE_REFUSED_ONCE,
	    "credential refused again (4401 %s): asking for the connector's "
	    "time before that is believed",
	    said);
}

/* The present credential, its token and the clocks are as they should be, and
 * it worked before. */
static void
strike(struct gateway *gw, struct span reason, const char *said)
{
	struct refusals *r = &gw->link.refused;

	if (r->strike) {
		second(gw, reason, said);
		return;
	}
	r->strike = 1;
	note(gw, &r->first, reason);
	again(gw, said, "");
}

/* It never worked: the connector may not know it yet. */
static void
never_worked(struct gateway *gw, const char *said)
{
	gw->core->io->fared(gw->core->arg, gw, FARED_REFUSED, said);
	link_event(gw, LE_REFUSED,
	    "credential refused (4401 %s); it has never worked", said);
}

void
refusal_closed(struct gateway *gw, struct span reason)
{
	int expired = span_eq(reason, SPAN_LIT("expired"));
	char said[REFUSAL_REASON], clock[REFUSAL_CLOCK];
	struct link *l = &gw->link;

	(void)log_vis(said, sizeof(said), reason);
	if (refusal_skewed(l) || (l->state != LINK_HELLO && !link_serves(gw))) {
		refusal_forget(l);
		link_event(gw, LE_REFUSED, "credential refused (4401 %s)%s",
		    said, refusal_clock(l, clock));
	} else if (l->other_token) {
		again(gw, said, ", the one before the present");
	} else if (expired) {
		refusal_forget(l);
		if (link_worked(l))
			again(gw, said, "");
		else
			link_event(gw, LE_REFUSED,
			    "credential refused (4401 expired)");
	} else if (!link_worked(l))
		never_worked(gw, said);
	else
		strike(gw, reason, said);
}

void
refusal_answered(struct gateway *gw)
{
	struct link *l = &gw->link;
	char clock[REFUSAL_CLOCK];

	if (l->state != LINK_ASK)
		return;
	if (!refusal_skewed(l)) {
		if (skew_known(l))
			l->refused.second.skew_s = l->clock_skew_s;
		revoke(gw);
		return;
	}
	refusal_forget(l);
	link_event(gw, LE_REFUSED,
	    "credential refused twice, which is no revocation%s",
	    refusal_clock(l, clock));
}
