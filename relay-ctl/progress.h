/* SPDX-License-Identifier: ISC */
/* A line on a terminal's standard error about what takes longer than a second;
 * it is renewed each second, and taken away at the end.  Elsewhere nothing. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>

struct progress {
	int64_t since; /* ms on our clock; -1: no terminal */
	int shown;     /* columns of the line that is there */
};

void progress_begin(struct progress *p);
/* Milliseconds until the line is to be renewed, at most `most` (-1: no bound,
 * and so is the answer without a terminal). */
int progress_step(const struct progress *p, int most);
/* Say what we do, and for how long by now, once a second is over.  The text
 * is safe for a terminal; it is cut to its width. */
void progress_show(struct progress *p, const char *doing);
/* Take the line away; progress_show brings it back. */
void progress_end(struct progress *p);

#endif
