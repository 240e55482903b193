/* SPDX-License-Identifier: ISC */
/* What a process that the supervisor started writes to its standard error:
 * collected as log lines until it ends. */
#ifndef SUP_LOG_H
#define SUP_LOG_H

#include "log.h"

struct event;
struct event_base;

struct sup_log {
	int fd; /* reading end; -1: none */
	struct event *ev;
	struct log_collector col;
};

/* Nothing is collected. */
void sup_log_init(struct sup_log *l);
/*
 * Collect what comes from fd, which is taken over, as lines of name (static)
 * and pid.  subject NULL: a process of ours, whose lines say themselves what
 * they are about; else a foreign program's, about that gateway (the string
 * outlives the log).  The bound of lines is l->col's, to be set after this.
 */
void sup_log_open(struct sup_log *l, struct event_base *base, int fd,
    const char *name, int pid, const char *subject);
/* Its last words, and the end. */
void sup_log_close(struct sup_log *l);

#endif
