/* SPDX-License-Identifier: ISC */
/* A gateway's settings for its exchanges: copies of a configuration's items. */
#ifndef PLAN_H
#define PLAN_H

#include "msg.h"

struct plan {
	struct msg_kept *provision, *token, *fronted[LIMIT_IDENTITIES];
	unsigned nfronted;
};

/* Take a copy of an item, CONF_PROVISION, CONF_TOKEN or CONF_FRONTED.  NULL, or
 * a phrase: it must not be, or there is no memory. */
const char *plan_add(struct plan *p, const struct msg *m);
void plan_free(struct plan *p);
/* Whether both say the same. */
int plan_same(const struct plan *a, const struct plan *b);

/* Identities of `is` that `was` does not have, or of which it has the bit in
 * skipped: their bits.  Without any in `was`: skipped. */
uint32_t
plan_skipped(const struct plan *was, const struct plan *is, uint32_t skipped);

/* Whether these are all identities there are. */
int plan_all(const struct plan *p, uint32_t skipped);

/* The connector's URL as configured; empty when there are no settings. */
struct span plan_url(const struct plan *p);
/* Where identity tokens come from, and that in words; TOKEN_NONE. */
enum token_source plan_source(const struct plan *p, struct span *label);

#endif
