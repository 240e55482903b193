/* SPDX-License-Identifier: ISC */
/* What relay-ctl show shows: views of replies, all rendered alike. */
#ifndef SHOW_H
#define SHOW_H

#include "ctl.h"
#include "field.h"
#include "out.h"

struct view;

struct show {
	const struct ctl *ctl;
	const struct view *view;
	const char *name; /* the gateway asked for; NULL: all */
	struct table table;
	FILE *f;    /* NULL: nothing is to be printed */
	double now; /* the reply's */
};

/* Add an element of the view's array to the table. */
typedef void show_row(struct show *s, struct obj *o);

/* show_row functions.  show.c has gateways, agents and processes, show_work.c
 * what waits, show_config.c the configuration, cred.c credentials. */
show_row show_session, show_counters, show_aside, show_value, show_credential;
/* Below the table: what else is to be said of the configuration. */
show_row show_refused;

/* Read config.json in a reply's place.  CTL_OK, or the exit status after saying
 * why not. */
int show_config_read(const struct ctl *ctl, struct buf *text);

#endif
