/* SPDX-License-Identifier: ISC */
/* Gateways' credentials over their life; see gateway.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway_priv.h"
#include "log.h"
#include "token.h"

#define BUSY_MS 500 /* until there is a place for a job */

static const char *const uses[JOB_KINDS] = {
    [JOB_PROVISION] = "provision",
    [JOB_ENROLL] = "enroll",
    [JOB_POLICY] = "policy",
};

struct secret *
gateway_secret(struct gateways *gs, uint32_t g)
{
	return secret_get(gs->secrets, g);
}

int
gateway_provisioned(const struct gateway *gw)
{
	return gw->own.r.map != NULL &&
	    span_eq(gw->own.f[CRED_HOW], SPAN_LIT("provisioned"));
}

/* Telling. */

static void
tell(struct gateways *gs, uint32_t g)
{
	const struct secret *s = gateway_secret(gs, g);
	const struct gateway *gw = &gs->all[g];
	struct msg_credential m = {.gateway = g};
	struct msg_standing st = {.gateway = g};

	if (s == NULL)
		return;
	m.usable = s->text.p != NULL;
	m.generation = gs->secrets->history[g].generation;
	m.source = s->source;
	m.id = span_str(s->id);
	m.since = (uint64_t)s->since;
	m.minted = s->minted;
	m.reason = span_str(s->reason);
	m.policy = span_str(gw->policy);
	if (!s->pinned && gw->own.r.map != NULL)
		m.tenant = gw->own.f[CRED_TENANT];
	if (gateway_provisioned(gw))
		m.skipped = gw->skipped;
	m.skipped_why = span_str(m.skipped != 0 ? gw->skipped_why : "");
	gs->ops.send(ROLE_ENGINE, MSG_CREDENTIAL, 0, &m, -1, gs);
	st.worked = gw->standing.worked;
	st.revoked = gw->standing.revoked_at != 0;
	st.revoked_at = (uint64_t)gw->standing.revoked_at;
	st.evidence = span_str(gw->standing.evidence);
	st.refusals = gw->refusals;
	st.refused_at = (uint64_t)gw->refused_at;
	gs->ops.send(ROLE_ENGINE, MSG_STANDING, 0, &st, -1, gs);
}

void
gateway_tell_all(struct gateways *gs)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		tell(gs, g);
}

void
gateway_keep(struct gateways *gs, uint32_t g)
{
	const struct gateway *gw = &gs->all[g];
	struct msg_keep m = {.gateway = g, .skipped = gw->skipped};

	gs->ops.send(ROLE_SUPERVISOR, MSG_KEEP, 0, &m,
	    gateway_provisioned(gw) ? gw->own.r.fd : -1, gs);
}

/* Sources. */

/* Live by another own credential, or none. */
static void
adopt(struct gateways *gs, uint32_t g, const struct cred *c)
{
	struct gateway *gw = &gs->all[g];
	struct secret *s = gateway_secret(gs, g);
	const int was_kept = gateway_provisioned(gw);
	struct cred old = gw->own;

	gw->own = *c;
	gateway_lend(gw, s);
	if (!s->pinned) {
		gs->secrets->history[g].generation++;
		s->minted = 0;
		permit_retire(gs->permits, g);
		gw->before = gs->permits->last;
		gw->due[JOB_POLICY] = gs->now_ms;
		gw->tries[JOB_POLICY] = 0;
	}
	if (was_kept || gateway_provisioned(gw))
		gateway_keep(gs, g);
	cred_free(&old);
	tell(gs, g);
}

static void
set_why(struct gateways *gs, uint32_t g, const char *why)
{
	struct gateway *gw = &gs->all[g];

	if (why != gw->why)
		strlcpy(gw->why, why, sizeof(gw->why));
	gateway_lend(gw, gateway_secret(gs, g));
	tell(gs, g);
}

void
gateway_consider(struct gateways *gs, uint32_t g)
{
	struct gateway *gw = &gs->all[g];
	struct span label;
	char why[LIMIT_REASON + 1];

	if (gateway_secret(gs, g)->pinned || gw->own.r.map != NULL ||
	    gw->refused || gw->plan.provision == NULL || gw->plan.nfronted == 0)
		return;
	if (gw->standing.revoked_at != 0)
		set_why(gs, g, "revoked: nothing is provisioned until enabled");
	else if (plan_source(&gw->plan, &label) == TOKEN_NONE) {
		snprintf(why, sizeof(why), "%.170s; and no identity_token",
		    gw->unset);
		if (strcmp(why, gw->why) != 0)
			log_info("provision", gateway_secret(gs, g)->name,
			    "skipped: %s", why);
		set_why(gs, g, why);
	} else if (gw->due[JOB_PROVISION] == 0)
		gw->due[JOB_PROVISION] = gs->now_ms;
}

/* Jobs. */

static size_t
mint(uint32_t g, char token[LIMIT_TOKEN + 1], void *arg)
{
	struct gateways *gs = arg;
	struct secret *s = gateway_secret(gs, g);
	int64_t exp;

	if (s == NULL || s->text.p == NULL)
		return 0;
	s->minted++;
	return token_mint(gs->secrets->vault.work, s->text, span_str(s->id),
	    gs->now, &exp, token);
}

static void
note_refusal(struct gateways *gs, uint32_t g, const char *what, struct span why)
{
	struct gateway *gw = &gs->all[g];

	gw->refusals++;
	gw->refused_at = gs->now;
	gw->refused_what = what;
	log_vis(gw->refused_why, sizeof(gw->refused_why), why);
	tell(gs, g);
}

static void
used(const struct job *j, const char *outcome, void *arg)
{
	struct gateways *gs = arg;
	struct gateway *gw = &gs->all[j->gateway];

	if (outcome == NULL) {
		gw->uses[USE_JOB + j->kind]++;
		return;
	}
	log_info("use", gateway_secret(gs, j->gateway)->name,
	    "%s: %s (use %" PRIu64 ")", uses[j->kind], outcome,
	    gw->uses[USE_JOB + j->kind]);
	if (outcome == j->why)
		note_refusal(gs, j->gateway, uses[j->kind], span_str(outcome));
}

/* Compose a credential of which this is known; without an id that was given it
 * has the one that was asked for. */
static const char *
compose(struct gateways *gs, uint32_t g, struct cred *c,
    const struct span known[CRED_FIELDS])
{
	struct span f[CRED_FIELDS];
	char since[24];

	memcpy(f, known, sizeof(f));
	snprintf(since, sizeof(since), "%" PRId64, gs->now);
	f[CRED_SINCE] = span_str(since);
	f[CRED_URL] = plan_url(&gs->all[g].plan);
	if (f[CRED_ID].len == 0)
		f[CRED_ID] = f[CRED_ASKED];
	return cred_make(c, f);
}

/* Live by a credential that an operator brought, when it is on disk.  0, or -1
 * with gs->text. */
static int
install(struct gateways *gs, uint32_t g, struct cred *c)
{
	struct gateway *gw = &gs->all[g];

	if (cred_save(c, gs->dir, gateway_secret(gs, g)->name, gs->text,
		sizeof(gs->text)) == -1) {
		cred_free(c);
		return -1;
	}
	gw->why[0] = '\0';
	gw->refused = 0;
	gateway_end_mark(gs, g);
	adopt(gs, g, c);
	return 0;
}

static const char *
take(const struct job *j, const struct msg_xanswer *a, void *arg)
{
	struct gateways *gs = arg;
	struct gateway *gw = &gs->all[j->gateway];
	const int enrols = j->kind == JOB_ENROLL;
	const struct span f[CRED_FIELDS] = {
	    [CRED_ASKED] = span_str(j->id),
	    [CRED_ID] = a->gateway_id,
	    [CRED_TENANT] = a->tenant,
	    [CRED_HOW] = span_str(enrols ? "enrolled" : "provisioned"),
	    [CRED_WAKE_URL] = span_str(enrols ? gw->wake_url : ""),
	    [CRED_SECRET] = a->secret,
	    [CRED_DELIVERY_KEY] = a->delivery_key,
	};
	struct cred c;

	if (compose(gs, j->gateway, &c, f) != NULL)
		return "the credential that was answered cannot be taken";
	if (enrols)
		return install(gs, j->gateway, &c) == 0 ? NULL : gs->text;
	gw->won = c; /* lived by when the other identities are told */
	return NULL;
}

static void
provisioned(struct gateways *gs, const struct job *j)
{
	struct gateway *gw = &gs->all[j->gateway];
	const char *name = gateway_secret(gs, j->gateway)->name;
	const int won = j->good > 0;
	char why[LIMIT_REASON + 1] = "",
				*said = won || gw->own.r.map != NULL
	    ? gw->skipped_why
	    : gw->why;

	if (won) {
		gw->why[0] = '\0';
		gw->anew = 0;
		gw->skipped = j->failed;
		gw->tries[JOB_PROVISION] = 0;
	}
	if (j->failures[0] != '\0')
		snprintf(why, sizeof(why), "%s%.200s; again in %" PRIu64 " s",
		    j->absent ? "" : "provisioning failed: ", j->failures,
		    job_retry(j, gw->tries, gw->due, gs->now_ms));
	if (why[0] != '\0' && strcmp(why, said) != 0)
		log_warn("provision", name, "%s", why);
	strlcpy(said, why, sizeof(why));
	if (won)
		adopt(gs, j->gateway, &gw->won);
	else
		set_why(gs, j->gateway, gw->why);
	memset(&gw->won, 0, sizeof(gw->won));
}

static void
policy_sent(struct gateways *gs, const struct job *j)
{
	struct gateway *gw = &gs->all[j->gateway];
	const char *name = gateway_secret(gs, j->gateway)->name;

	if (j->code == NULL)
		strlcpy(gw->policy, j->good > 0 ? "accepted" : "nothing is set",
		    sizeof(gw->policy));
	else if (gw->tries[JOB_POLICY] + 1 < GATEWAY_POLICY_TRIES)
		snprintf(gw->policy, sizeof(gw->policy),
		    "%.200s; again in %" PRIu64 " s", j->why,
		    job_retry(j, gw->tries, gw->due, gs->now_ms));
	else
		snprintf(
		    gw->policy, sizeof(gw->policy), "%.200s; given up", j->why);
	if (j->code != NULL)
		log_warn("policy", name, "%s", gw->policy);
	tell(gs, j->gateway);
}

static void
done(const struct job *j, void *arg)
{
	struct gateways *gs = arg;

	if (gateway_secret(gs, j->gateway) == NULL)
		return;
	if (j->cancelled)
		cred_free(&gs->all[j->gateway].won);
	if (j->cancelled && j->kind != JOB_ENROLL)
		gs->all[j->gateway].due[j->kind] = gs->now_ms + BUSY_MS;
	else if (j->kind == JOB_PROVISION)
		provisioned(gs, j);
	else if (j->kind == JOB_POLICY)
		policy_sent(gs, j);
	else {
		gs->enrolled(j, gs);
		gateway_consider(gs, j->gateway);
	}
}

/* Events. */

/* What was provisioned and never worked is provisioned again. */
static void
on_refused(struct gateways *gs, uint32_t g, struct span reason)
{
	struct gateway *gw = &gs->all[g];

	note_refusal(gs, g, "link", reason);
	if (!gateway_provisioned(gw) || gw->standing.worked ||
	    gw->renewals >= GATEWAY_RENEWALS || gw->anew ||
	    job_of(&gs->jobs, g) != NULL)
		return;
	gw->anew = 1;
	gw->due[JOB_PROVISION] =
	    gs->now_ms + ((uint64_t)GATEWAY_RENEWAL_MS << gw->renewals++);
	log_warn("provision", gateway_secret(gs, g)->name,
	    "the connector refuses what was provisioned: once more");
}

static void
on_worked(struct gateways *gs, uint32_t g)
{
	struct gateway *gw = &gs->all[g];

	gw->renewals = 0;
	if (gw->anew)
		gw->due[JOB_PROVISION] = gw->skipped == 0 ? 0 : gs->now_ms;
	gw->anew = 0;
	if (gw->standing.worked)
		return;
	gw->standing.worked = 1;
	gateway_save_standing(gs, g);
	tell(gs, g);
}

static void
on_revoked(struct gateways *gs, uint32_t g, struct span evidence)
{
	struct gateway *gw = &gs->all[g];

	gw->standing.revoked_at = gs->now;
	log_vis(gw->standing.evidence, sizeof(gw->standing.evidence), evidence);
	standing_seal(&gw->standing, gs->secrets->vault.work,
	    gateway_secret(gs, g)->text);
	log_err("revoked", gateway_secret(gs, g)->name, "%s",
	    gw->standing.evidence);
	gw->due[JOB_PROVISION] = gw->due[JOB_POLICY] = 0;
	gateway_save_standing(gs, g);
	note_refusal(
	    gs, g, "link", SPAN_LIT("4401 twice: it counts as revoked"));
}

/* A provisioned credential that was revoked is worth nothing: another one. */
static void
on_enable(struct gateways *gs, uint32_t g, const struct msg_enable *m)
{
	struct gateway *gw = &gs->all[g];
	const int marked = gw->standing.revoked_at != 0;

	log_info("enable", gateway_secret(gs, g)->name,
	    "by uid %" PRIu64 ", pid %" PRIu64 "%s", m->uid, m->pid,
	    marked ? ": the mark of revocation is gone" : "");
	gw->standing.revoked_at = 0;
	gw->standing.evidence[0] = '\0';
	if (marked) {
		gateway_save_standing(gs, g);
		if (gateway_provisioned(gw))
			adopt(gs, g, &(struct cred){0});
	}
	gateway_consider(gs, g);
	tell(gs, g);
}

const char *
gateway_message(struct gateways *gs, const struct msg *m)
{
	/* All of them begin with the gateway. */
	uint32_t g = (uint32_t)m->u.worked.gateway;
	const struct gateway *gw = &gs->all[g];

	/* Removed, or of the credential before: they cross. */
	if (gateway_secret(gs, g) == NULL)
		return NULL;
	if (m->type == MSG_ENABLE)
		on_enable(gs, g, &m->u.enable);
	else if (m->type == MSG_WORKED && m->u.worked.conn > gw->before)
		on_worked(gs, g);
	else if (m->type == MSG_REFUSED && m->u.refused.conn > gw->before)
		on_refused(gs, g, m->u.refused.reason);
	else if (m->type == MSG_REVOKED && m->u.revoked.conn > gw->before)
		on_revoked(gs, g, m->u.revoked.evidence);
	return NULL;
}

/* Start a job, when there is a place. */
static const char *
start(struct gateways *gs, uint32_t g, enum job_kind kind, uint32_t cookie,
    struct span id, struct span token)
{
	struct gateway *gw = &gs->all[g];
	struct job j = {
	    .kind = kind, .gateway = g, .cookie = cookie, .plan = &gw->plan};

	/* Those that are done are not asked for again, and have a policy. */
	if (gateway_provisioned(gw) && kind == JOB_POLICY)
		j.skip = gw->skipped;
	else if (gateway_provisioned(gw) && kind == JOB_PROVISION && !gw->anew)
		j.skip = ~gw->skipped;
	span_copy(j.id, sizeof(j.id), id.len > 0 ? id : span_str(gw->asked));
	gw->due[kind] = 0;
	return job_start(&gs->jobs, &j, token, gs->now_ms);
}

/* Provisioning waits for the mark's end, a policy for a credential. */
static int
may(struct gateways *gs, uint32_t g, enum job_kind kind)
{
	const struct gateway *gw = &gs->all[g];

	if (gw->due[kind] == 0 || gw->plan.provision == NULL ||
	    gw->standing.revoked_at != 0)
		return 0;
	if (kind == JOB_PROVISION)
		return !gateway_secret(gs, g)->pinned &&
		    (gw->own.r.map == NULL || gateway_provisioned(gw));
	return gateway_secret(gs, g)->text.p != NULL;
}

/* Begin what is due.  Returns when this is to be looked at again. */
static uint64_t
begin(struct gateways *gs, uint32_t g, enum job_kind kind)
{
	const struct span none = {NULL, 0};
	uint64_t *due = &gs->all[g].due[kind];
	const struct job *j;

	if (!may(gs, g, kind))
		return UINT64_MAX;
	if (*due <= gs->now_ms && start(gs, g, kind, 0, none, none) != NULL)
		*due = gs->now_ms + BUSY_MS;
	if (*due != 0)
		return *due;
	j = job_of(&gs->jobs, g);
	return j == NULL ? UINT64_MAX : j->deadline;
}

uint64_t
gateway_tick(struct gateways *gs)
{
	/* What ends by its deadline may be tried again: that is due then. */
	uint64_t first = job_tick(&gs->jobs, gs->now_ms), at;

	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		for (int k = 0; gateway_secret(gs, g) != NULL && k < JOB_KINDS;
		     k++)
			if ((at = begin(gs, g, (enum job_kind)k)) < first)
				first = at;
	return first;
}

/* Commands. */

static const char *
refuse(struct gateways *gs, const char *code, const char *text)
{
	snprintf(gs->text, sizeof(gs->text), "%s", text);
	return code;
}

/* Why the gateway can have no own credential. */
static const char *
not_changeable(struct gateways *gs, uint32_t g)
{
	if (gateway_secret(gs, g)->pinned)
		return refuse(gs, "pinned",
		    "a secret is pinned (GATEWAY_RELAY_SECRET, secret.file or "
		    "the credential directory) and goes before an enrolled "
		    "one: take it away and reload first");
	if (gs->dir == -1 || plan_url(&gs->all[g].plan).len == 0)
		return refuse(gs, "storage", "there is no state directory");
	return NULL;
}

const char *
gateway_enroll(struct gateways *gs, uint32_t g, uint32_t cookie,
    struct span token, struct span id, struct span wake_url)
{
	const struct job *running = job_of(&gs->jobs, g);
	const char *why = not_changeable(gs, g);

	if (why != NULL)
		return why;
	if (running != NULL && running->kind == JOB_ENROLL)
		return refuse(gs, "busy", "an enrolment is under way");
	job_cancel(&gs->jobs, g, "an enrolment comes before it");
	span_copy(gs->all[g].wake_url, sizeof(gs->all[g].wake_url), wake_url);
	why = start(gs, g, JOB_ENROLL, cookie, id, token);
	return why == NULL ? NULL : refuse(gs, "busy", why);
}

const char *
gateway_import(struct gateways *gs, uint32_t g, struct span id,
    struct span secret, struct span delivery_key, struct span wake_url)
{
	const struct span f[CRED_FIELDS] = {
	    [CRED_ASKED] = span_str(gs->all[g].asked),
	    [CRED_ID] = id,
	    [CRED_HOW] = SPAN_LIT("imported"),
	    [CRED_WAKE_URL] = wake_url,
	    [CRED_SECRET] = secret,
	    [CRED_DELIVERY_KEY] = delivery_key,
	};
	const char *why = not_changeable(gs, g);
	struct cred c;

	if (why != NULL)
		return why;
	if (compose(gs, g, &c, f) != NULL)
		return refuse(gs, "bad_request",
		    "id or secret are empty, too long, or no text");
	if (install(gs, g, &c) == -1)
		return "storage";
	job_cancel(&gs->jobs, g, "an import came before it ended");
	gs->all[g].due[JOB_PROVISION] = 0;
	return NULL;
}

const char *
gateway_forget(struct gateways *gs, uint32_t g)
{
	struct gateway *gw = &gs->all[g];

	if (gw->own.r.map == NULL && !gw->refused)
		return gateway_secret(gs, g)->pinned
		    ? not_changeable(gs, g)
		    : refuse(gs, "bad_request", "there is no credential");
	if (gs->dir != -1 &&
	    cred_forget(gs->dir, gateway_secret(gs, g)->name, gs->text,
		sizeof(gs->text)) == -1)
		return "storage";
	gw->refused = 0;
	strlcpy(
	    gw->why, "it was forgotten: enroll or import one", sizeof(gw->why));
	if (gw->own.r.map != NULL)
		adopt(gs, g, &(struct cred){0});
	gateway_consider(gs, g);
	tell(gs, g);
	return NULL;
}

int
gateway_init(struct gateways *gs)
{
	gs->ops.mint = mint;
	gs->ops.used = used;
	gs->ops.take = take;
	gs->ops.done = done;
	gs->jobs.ops = &gs->ops;
	gs->jobs.arg = gs;
	gs->all = calloc(LIMIT_GATEWAYS, sizeof(*gs->all));
	return gs->all == NULL ? -1 : 0;
}
