/* SPDX-License-Identifier: ISC */
/* Agents: what they say, and what is said to them (DESIGN 2). */
#ifndef AGENT_H
#define AGENT_H

#include "span.h"

struct agent;

/* Tell the link's present state and reason. */
void agent_tell_link(struct agent *a);
/* Tell what was wrong with a line. */
void agent_error(struct agent *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Tell the descriptor of an identity; nothing when there is none yet. */
void agent_descriptor(struct agent *a, unsigned identity);
/* Send a line, tapped.  -1: its queue is full, it is as good as gone. */
int agent_line(struct agent *a, const struct span *piece, int n);
/* Whether the agent serves an identity's platform. */
int agent_serves(const struct agent *a, unsigned identity);

/* For a while nothing ran, the agent neither: its deadlines begin anew. */
void agent_stood_still(struct agent *a);

#endif
