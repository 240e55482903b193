/* SPDX-License-Identifier: ISC */
/*
 * A gateway's credential, as far as the engine knows of it; see engine_cred.h.
 * CREDENTIAL alone changes nothing: whether it may be used stands in the
 * STANDING that follows.
 */
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "engine_cred.h"
#include "log.h"

static void
told_free(struct engine_told *t)
{
	if (t != NULL)
		free(t->standing.evidence);
	free(t);
}

void
engine_cred_forget(struct engine *e)
{
	unsigned i;

	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		told_free(e->told[i]);
		e->told[i] = NULL;
	}
}

const char *
engine_cred_told(struct engine *e, struct engine_gw *eg, struct msg *m)
{
	const struct msg_credential *c = &m->u.credential;
	struct engine_told **t = &e->told[c->gateway];
	struct engine_cred *to;

	(void)eg;
	if (*t == NULL && (*t = calloc(1, sizeof(**t))) == NULL)
		return NULL;
	to = &(*t)->cred;
	(*t)->whole = 0;
	to->known = 1;
	to->usable = c->usable != 0;
	to->generation = (uint32_t)c->generation;
	to->source = (enum cred_source)c->source;
	span_copy(to->id, sizeof(to->id), c->id);
	span_copy(to->tenant, sizeof(to->tenant), c->tenant);
	span_copy(to->policy, sizeof(to->policy), c->policy);
	span_copy(to->reason, sizeof(to->reason), c->reason);
	to->since = (int64_t)c->since;
	to->minted = c->minted;
	to->skipped = (uint32_t)c->skipped;
	span_copy(to->skipped_why, sizeof(to->skipped_why), c->skipped_why);
	return NULL;
}

static void
tell_revoked(struct engine_gw *eg)
{
	const struct engine_standing *s = &eg->standing;
	struct msg_revoked m = {.gateway = eg->index,
	    .conn = s->conn,
	    .evidence = span_str(s->evidence != NULL ? s->evidence : "")};

	(void)child_send(eg->e->child, ROLE_AUTHD, MSG_REVOKED, 0, &m, -1);
}

/*
 * What we found and relay-authd does not say yet: its word crossed ours, or
 * the relay-authd that we told is no more.
 */
static int
crosses(struct engine_gw *eg, const struct engine_told *t, int fresh)
{
	if (!eg->standing.unsure || t->standing.revoked || fresh)
		return 0;
	if (eg->cred_first)
		tell_revoked(eg);
	eg->standing.worked = t->standing.worked;
	return 1;
}

static void
take_standing(struct engine_gw *eg, struct engine_told *t)
{
	free(eg->standing.evidence);
	eg->standing = t->standing;
	t->standing.evidence = NULL;
}

/*
 * Generations count within one relay-authd: after its restart the first word
 * tells of no change.  It may be another credential all the same, so that what
 * we saw before counts no more, and what relay-authd keeps does.
 */
static void
use(struct engine_gw *eg, struct engine_told *t)
{
	int fresh = eg->cred.known && !eg->cred_first &&
	    eg->cred.generation != t->cred.generation;
	const struct engine_standing *s = &eg->standing;
	const struct engine_cred *c = &eg->cred;

	if (!crosses(eg, t, fresh))
		take_standing(eg, t);
	if (eg->cred_first) {
		refusal_forget(&eg->gw->link);
		eg->gw->link.ever_up = 0;
	}
	eg->cred = t->cred;
	eg->cred_first = 0;
	told_free(t);
	core_standing(eg->gw, s->worked, s->revoked,
	    s->evidence != NULL ? s->evidence : "");
	core_skip(eg->gw, c->skipped);
	core_credential(eg->gw, c->usable, fresh,
	    c->reason[0] != '\0' ? c->reason
		: fresh		 ? "the credential changed"
				 : "a credential is there");
}

void
engine_cred_early(struct engine_gw *eg)
{
	struct engine_told *t = eg->e->told[eg->index];

	if (t == NULL || !t->whole)
		return;
	eg->e->told[eg->index] = NULL;
	use(eg, t);
}

const char *
engine_cred_standing(struct engine *e, struct engine_gw *eg, struct msg *m)
{
	const struct msg_standing *s = &m->u.standing;
	struct engine_told **t = &e->told[s->gateway];

	if (*t == NULL && (*t = calloc(1, sizeof(**t))) == NULL)
		return NULL;
	if (!(*t)->cred.known && eg != NULL)
		(*t)->cred = eg->cred;
	if (!(*t)->cred.known)
		return "how a credential fared that it told nothing of";
	free((*t)->standing.evidence);
	(*t)->standing = (struct engine_standing){.worked = s->worked != 0,
	    .revoked = s->revoked != 0,
	    .revoked_at = (int64_t)s->revoked_at,
	    .evidence = strndup(s->evidence.p, s->evidence.len)};
	(*t)->cred.refusals = s->refusals;
	(*t)->cred.refused_at = (int64_t)s->refused_at;
	(*t)->whole = 1;
	if (eg != NULL)
		engine_cred_early(eg);
	return NULL;
}

/* How it fared. */

static void
worked(struct engine_gw *eg)
{
	struct msg_worked m = {.gateway = eg->index, .conn = eg->token_conn};

	if (!eg->standing.worked)
		(void)child_send(
		    eg->e->child, ROLE_AUTHD, MSG_WORKED, 0, &m, -1);
}

static void
refused(struct engine_gw *eg, const char *reason)
{
	struct msg_refused m = {.gateway = eg->index,
	    .conn = eg->token_conn,
	    .reason = span_str(reason)};

	(void)child_send(eg->e->child, ROLE_AUTHD, MSG_REFUSED, 0, &m, -1);
}

static void
revoked(struct engine_gw *eg, const char *evidence)
{
	struct engine_standing *s = &eg->standing;

	free(s->evidence);
	s->evidence = strdup(evidence);
	s->revoked = s->unsure = 1;
	s->revoked_at = (int64_t)engine_wall();
	s->conn = eg->token_conn;
	log_err("revoked", eg->name, "%s", evidence);
	tell_revoked(eg);
}

void
engine_cred_fared(
    void *arg, struct gateway *gw, enum fared what, const char *text)
{
	struct engine_gw *eg = gw->io;

	(void)arg;
	switch (what) {
	case FARED_WORKED:
		worked(eg);
		break;
	case FARED_REFUSED:
		refused(eg, text);
		break;
	case FARED_REVOKED:
		revoked(eg, text);
		break;
	}
}

int
engine_cred_enable(struct engine_gw *eg, uint32_t uid, int32_t pid)
{
	struct msg_enable m = {.gateway = eg->index,
	    .uid = uid,
	    .pid = pid > 0 ? (uint32_t)pid : 0};

	if (child_send(eg->e->child, ROLE_AUTHD, MSG_ENABLE, 0, &m, -1) == -1)
		return -1;
	eg->standing.unsure = 0;
	return 0;
}
