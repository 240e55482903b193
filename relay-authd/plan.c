/* SPDX-License-Identifier: ISC */
/* A gateway's settings for its exchanges; see plan.h. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

const char *
plan_add(struct plan *p, const struct msg *m)
{
	struct msg_kept **at = NULL;

	if (m->type == MSG_CONF_PROVISION)
		at = &p->provision;
	else if (m->type == MSG_CONF_TOKEN)
		at = &p->token;
	else if (m->type != MSG_CONF_FRONTED)
		return "an item that is not for relay-authd";
	else if (p->nfronted < LIMIT_IDENTITIES)
		at = &p->fronted[p->nfronted];
	if (at == NULL || *at != NULL)
		return "an item too many of one gateway";
	if ((*at = msg_keep(m, ROLE_SUPERVISOR, ROLE_AUTHD)) == NULL)
		return "no memory";
	p->nfronted += m->type == MSG_CONF_FRONTED;
	return NULL;
}

void
plan_free(struct plan *p)
{
	/* What was never used stays so: its page is not touched. */
	if (p->provision == NULL && p->token == NULL && p->nfronted == 0)
		return;
	free(p->provision);
	free(p->token);
	for (unsigned i = 0; i < p->nfronted; i++)
		free(p->fronted[i]);
	memset(p, 0, sizeof(*p));
}

int
plan_same(const struct plan *a, const struct plan *b)
{
	unsigned i = 0;

	while (i < a->nfronted && i < b->nfronted &&
	    msg_same(a->fronted[i], b->fronted[i]))
		i++;
	return i == a->nfronted && i == b->nfronted &&
	    msg_same(a->provision, b->provision) &&
	    msg_same(a->token, b->token);
}

static int
same_identity(const struct msg_kept *a, const struct msg_kept *b)
{
	return span_eq(a->m.u.conf_fronted.platform,
		   b->m.u.conf_fronted.platform) &&
	    span_eq(a->m.u.conf_fronted.bot_id, b->m.u.conf_fronted.bot_id);
}

uint32_t
plan_skipped(const struct plan *was, const struct plan *is, uint32_t skipped)
{
	uint32_t bits = 0;
	unsigned i, j;

	if (was->nfronted == 0)
		return skipped;
	for (i = 0; i < is->nfronted; i++) {
		for (j = 0; j < was->nfronted; j++)
			if (same_identity(is->fronted[i], was->fronted[j]))
				break;
		if (j == was->nfronted || (skipped >> j & 1) != 0)
			bits |= UINT32_C(1) << i;
	}
	return bits;
}

int
plan_all(const struct plan *p, uint32_t skipped)
{
	unsigned i = 0;

	while (i < p->nfronted && (skipped >> i & 1) != 0)
		i++;
	return i > 0 && i == p->nfronted;
}

struct span
plan_url(const struct plan *p)
{
	return p->provision == NULL ? SPAN_LIT("")
				    : p->provision->m.u.conf_provision.url;
}

enum token_source
plan_source(const struct plan *p, struct span *label)
{
	const struct msg_conf_token *t;

	*label = SPAN_LIT("");
	if (p->token == NULL)
		return TOKEN_NONE;
	t = &p->token->m.u.conf_token;
	*label = t->label;
	return (enum token_source)t->source;
}
