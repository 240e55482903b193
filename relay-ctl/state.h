/* SPDX-License-Identifier: ISC */
/* state.json: what the supervisor says of itself while the engine is silent. */
#ifndef STATE_H
#define STATE_H

#include "buf.h"
#include "ctl.h"
#include "span.h"

struct state {
	struct buf text;
	int pid;     /* the supervisor's */
	int alive;   /* there is such a process, and it has not ended */
	int strange; /* of a version that we cannot read */
	double age;  /* seconds since it was written */
	struct span phase, processes, gateways; /* JSON, within text */
};

#define STATE_TEXT 512

/* Append a file of the run directory that the supervisor writes.  0, or -1 with
 * errno. */
int state_file(struct buf *b, const struct ctl *ctl, const char *name);
/* Read it.  0, or -1 when there is none that can be read; state_free in any
 * case. */
int state_read(struct state *st, const struct ctl *ctl);
void state_free(struct state *st);
/* Whether all its processes run, and shall go on to; -1: not known to us. */
int state_steady(const struct ctl *ctl);
/* Say on standard error that relayd lives, and why it does not answer.  0, or
 * -1 with nothing said: it does not live, or there is no such file. */
int state_warn(const struct ctl *ctl, const char *who);
/* Whether it is of a version that we cannot read, which is then said. */
int state_strange(const struct ctl *ctl);
/* "engine is restarting (3rd restart, next start in 400 ms)": which processes
 * are down, or that all run; who did not answer. */
void
state_describe(const struct state *st, const char *who, char text[STATE_TEXT]);

#endif
