/* SPDX-License-Identifier: ISC */
/* What the renderers of relay-ctl show share. */
#ifndef SHOW_H
#define SHOW_H

#include "ctl.h"
#include "out.h"

struct show {
	const struct ctl *ctl;
	const char *name; /* the gateway asked for; NULL: all */
	struct table table;
	FILE *f;
	int rows;
};

/* show_work.c: sessions, counters, events that were put aside.  Their arg is a
 * struct show. */
out_render show_sessions, show_counters, show_quarantine;

#endif
