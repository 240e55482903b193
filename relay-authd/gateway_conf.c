/* SPDX-License-Identifier: ISC */
/* Which credential gateways have under a new configuration; see gateway.h. */
#include <stdio.h>
#include <string.h>

#include "gateway_priv.h"
#include "log.h"

void
gateway_lend(const struct gateway *gw, struct secret *s)
{
	if (s->pinned)
		return;
	s->text = (struct span){NULL, 0};
	s->source = CRED_NONE;
	strlcpy(s->id, gw->asked, sizeof(s->id));
	if (gw->own.r.map == NULL) {
		if (gw->why[0] != '\0')
			strlcpy(s->reason, gw->why, sizeof(s->reason));
		return;
	}
	s->text = gw->own.f[CRED_SECRET];
	s->source = gateway_provisioned(gw) ? CRED_PROVISIONED : CRED_ENROLLED;
	s->since = store_number(gw->own.f[CRED_SINCE]);
	span_copy(s->id, sizeof(s->id), gw->own.f[CRED_ID]);
	s->reason[0] = '\0';
}

void
gateway_stage(struct gateways *gs)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++) {
		plan_free(&gs->all[g].next);
		cred_free(&gs->all[g].kept);
	}
}

const char *
gateway_item(struct gateways *gs, struct msg *m)
{
	/* All items begin with the gateway. */
	struct gateway *gw = &gs->all[m->u.conf_kept.gateway];
	const char *why;

	if (m->type == MSG_CONF_KEPT) {
		cred_free(&gw->kept);
		if ((why = cred_adopt(&gw->kept, m->fd)) != NULL)
			log_warn("kept", NULL,
			    "the credential kept by the supervisor %s", why);
		gw->skipped = (uint32_t)m->u.conf_kept.skipped;
		m->fd = -1;
		return NULL;
	}
	return plan_add(&gw->next, m);
}

/* Standing. */

void
gateway_save_standing(struct gateways *gs, uint32_t g)
{
	const struct gateway *gw = &gs->all[g];
	const struct secret *s = gateway_secret(gs, g);

	if (gs->dir != -1 && plan_url(&gw->plan).len > 0 &&
	    standing_save(&gw->standing, gs->dir, plan_url(&gw->plan),
		span_str(gw->asked), gs->text, sizeof(gs->text)) == -1)
		log_err("standing", s == NULL ? NULL : s->name,
		    "a restart will not know it: %s", gs->text);
}

void
gateway_end_mark(struct gateways *gs, uint32_t g)
{
	struct standing *st = &gs->all[g].standing;

	if (!st->worked && st->revoked_at == 0)
		return;
	memset(st, 0, sizeof(*st));
	gateway_save_standing(gs, g);
}

/* Settings. */

/* The staged settings are those lived by. */
static void
take_plan(struct gateways *gs, uint32_t g, const struct secret *is)
{
	struct gateway *gw = &gs->all[g];

	if (plan_same(&gw->plan, &gw->next) && strcmp(gw->asked, is->id) == 0) {
		plan_free(&gw->next);
		return;
	}
	job_cancel(&gs->jobs, g, "the settings changed meanwhile; try again");
	gw->skipped = plan_skipped(&gw->plan, &gw->next, gw->skipped);
	plan_free(&gw->plan);
	gw->plan = gw->next;
	memset(&gw->next, 0, sizeof(gw->next));
	strlcpy(gw->asked, is->id, sizeof(gw->asked));
	memset(gw->due, 0, sizeof(gw->due));
	memset(gw->tries, 0, sizeof(gw->tries));
	gw->due[JOB_POLICY] = gs->now_ms;
	memset(&gw->standing, 0, sizeof(gw->standing));
	if (gs->dir != -1 &&
	    standing_load(&gw->standing, gs->dir, plan_url(&gw->plan),
		span_str(gw->asked), gs->text, sizeof(gs->text)) == -1)
		log_warn("standing", is->name, "%s", gs->text);
}

/* Out of use at this commit; cleansed when nothing points there any more. */
static void
put_away(struct gateways *gs, uint32_t g)
{
	struct gateway *gw = &gs->all[g];
	const int was_kept = gateway_provisioned(gw);

	gw->old = gw->own;
	memset(&gw->own, 0, sizeof(gw->own));
	if (was_kept)
		gateway_keep(gs, g);
}

/* What the file, if there is one, makes of the own credential. */
static void
take_file(struct gateways *gs, uint32_t g, const struct secret *is)
{
	struct gateway *gw = &gs->all[g];
	struct cred c = {0};
	int r = gs->dir == -1
	    ? 0
	    : cred_load(&c, gs->dir, is->name, gw->why, sizeof(gw->why));

	if (r == 1 && !span_eq(c.f[CRED_URL], plan_url(&gw->plan))) {
		snprintf(gw->why, sizeof(gw->why),
		    "it was enrolled with %.*s, which is not the url that is "
		    "set: enroll again",
		    (int)c.f[CRED_URL].len, c.f[CRED_URL].p);
		cred_free(&c);
		r = -1;
	}
	gw->refused = r == -1;
	if (r == -1)
		log_warn("credential", is->name, "%s", gw->why);
	/* A file that is damaged takes away nothing that works. */
	if ((r == -1 && gw->own.r.map != NULL && !gateway_provisioned(gw)) ||
	    (r == 0 && gateway_provisioned(gw)))
		return;
	if (gw->own.r.map != NULL)
		put_away(gs, g);
	gw->own = c;
}

static void
take_kept(struct gateway *gw)
{
	if (gw->own.r.map == NULL && !gw->refused) {
		gw->own = gw->kept;
		memset(&gw->kept, 0, sizeof(gw->kept));
	}
	cred_free(&gw->kept);
}

/* What is left to be provisioned, by settings or before a restart. */
static void
take_skipped(struct gateways *gs, uint32_t g)
{
	struct gateway *gw = &gs->all[g];

	if (!gateway_provisioned(gw) || gw->skipped == 0 ||
	    gw->due[JOB_PROVISION] != 0)
		return;
	gw->due[JOB_PROVISION] = gs->now_ms;
	strlcpy(gw->skipped_why, "not provisioned yet", LIMIT_REASON);
	gateway_keep(gs, g);
}

static void
remove_gateway(struct gateways *gs, uint32_t g)
{
	struct gateway *gw = &gs->all[g];
	struct plan next = gw->next;
	struct cred kept = gw->kept;

	job_cancel(&gs->jobs, g, "the gateway was removed");
	put_away(gs, g);
	plan_free(&gw->plan);
	*gw = (struct gateway){.old = gw->old, .next = next, .kept = kept};
}

/* Which credential a gateway of the stage has. */
static void
choose(struct gateways *gs, uint32_t g, struct secret *is)
{
	struct gateway *gw = &gs->all[g];
	const struct secret *was = &gs->secrets->live[g];

	take_plan(gs, g, is);
	/* A pinned secret may have changed while nobody looked. */
	if (is->pinned && is->text.p != NULL && gw->standing.revoked_at != 0 &&
	    standing_other(&gw->standing, gs->secrets->vault.work, is->text))
		gateway_end_mark(gs, g);
	gw->why[0] = '\0';
	strlcpy(gw->unset, is->reason, sizeof(gw->unset));
	if (is->pinned) {
		gw->refused = 0;
		cred_free(&gw->kept);
		if (gw->own.r.map != NULL)
			put_away(gs, g);
	} else {
		take_file(gs, g, is);
		take_kept(gw);
	}
	if (gw->own.r.map != NULL &&
	    (!span_eq(gw->own.f[CRED_URL], plan_url(&gw->plan)) ||
		(gateway_provisioned(gw) &&
		    (!span_eq(gw->own.f[CRED_ASKED], span_str(gw->asked)) ||
			plan_all(&gw->plan, gw->skipped)))))
		put_away(gs, g);
	take_skipped(gs, g);
	gateway_lend(gw, is);
	if (was->present && !secret_other(gs->secrets, g))
		return;
	gw->before = gs->permits->last;
	gw->due[JOB_POLICY] = gs->now_ms;
	if (was->present && was->text.p != NULL && is->text.p != NULL &&
	    is->source != CRED_PROVISIONED)
		gateway_end_mark(gs, g);
}

void
gateway_prepare(struct gateways *gs)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++) {
		const struct secret *was = &gs->secrets->live[g];
		struct secret *is = &gs->secrets->stage[g];

		if (was->present &&
		    (!is->present || strcmp(was->name, is->name) != 0))
			remove_gateway(gs, g);
		if (is->present)
			choose(gs, g, is);
	}
}

void
gateway_settle(struct gateways *gs)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++) {
		cred_free(&gs->all[g].old);
		if (gateway_secret(gs, g) != NULL)
			gateway_consider(gs, g);
	}
	gateway_tell_all(gs);
}
