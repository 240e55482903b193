/* SPDX-License-Identifier: ISC */
/* Whether the engine still answers, while a stream of its has nothing to
 * tell. */
#ifndef PULSE_H
#define PULSE_H

#include "client.h"
#include "progress.h"

struct pulse {
	const struct ctl *ctl;
	struct client ask;	   /* fd -1: not connected */
	int64_t asked;		   /* ms on our clock; 0: nothing is asked */
	int64_t next;		   /* when to ask again */
	int silent;		   /* which was said */
	struct progress *progress; /* shown meanwhile; NULL: none */
	const char *doing;	   /* what it shows */
};

/* Besides the stream of that client, which is connected. */
void pulse_begin(
    struct pulse *p, const struct ctl *ctl, const struct client *stream);
/*
 * As client_line() of the stream.  Meanwhile the engine is asked each second
 * for a sign of life; when none has come for a second, that is said once on
 * standard error, and once that it answers again.
 */
enum client_result pulse_line(
    struct pulse *p, struct client *stream, struct span *line, int wait_ms);
void pulse_end(struct pulse *p);

#endif
