/* SPDX-License-Identifier: ISC */
/* What the engine's core asks of a world around it, one thing at a time. */
#ifndef CORE_ASKED_H
#define CORE_ASKED_H

#include "core.h"

struct world;

/* What the core asked for last, and was not answered. */
enum asked {
	ASKED_NOTHING,
	ASKED_DIAL,
	ASKED_TLS,
	ASKED_MINT,
	ASKED_UPGRADE,
	ASKED_TIME
};

/* Each world's own: it is asked. */
void world_asked(struct world *w, enum asked what);

/* For struct core_io. */

static inline void
asked_dial(void *arg, struct gateway *gw)
{
	(void)gw;
	world_asked(arg, ASKED_DIAL);
}

static inline void
asked_tls(void *arg, struct gateway *gw)
{
	(void)gw;
	world_asked(arg, ASKED_TLS);
}

static inline void
asked_mint(void *arg, struct gateway *gw)
{
	(void)gw;
	world_asked(arg, ASKED_MINT);
}

static inline void
asked_upgrade(void *arg, struct gateway *gw)
{
	(void)gw;
	world_asked(arg, ASKED_UPGRADE);
}

static inline void
asked_time(void *arg, struct gateway *gw)
{
	(void)gw;
	world_asked(arg, ASKED_TIME);
}

#endif
