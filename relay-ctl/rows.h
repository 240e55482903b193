/* SPDX-License-Identifier: ISC */
/* The live screen's rows: from replies of `counters`, with rates between two of
 * them, sorted, and drawn into so many lines and columns. */
#ifndef ROWS_H
#define ROWS_H

#include <stdint.h>
#include <stdio.h>

#include "out.h"
#include "span.h"

enum rows_key {
	ROWS_NAME,
	ROWS_STATE, /* the worst first */
	ROWS_AGE,
	ROWS_IN,
	ROWS_OUT,
	ROWS_UNACKED,
	ROWS_AGENTS,
	ROWS_KEYS
};

struct row {
	char *name, *reason; /* without what acts on a terminal */
	int state;	     /* gwtext_index() */
	int64_t age_s, unacked, agents;
	int64_t nin, nout;  /* counters, `at` this moment */
	double in, out, at; /* per second, -1: not known yet; Unix seconds */
};

struct rows {
	struct row *row;
	size_t n;
	enum rows_key key;
};

/* Take a reply's gateways in the place of those before.  0, or -1 when it is
 * none, or without memory: they stay. */
int rows_take(struct rows *r, struct span reply);
void rows_sort(struct rows *r, enum rows_key key);
/* Lines that end with a newline, none wider than columns, at most `lines` of
 * them.  note: why the figures are old; "": they are not. */
void rows_draw(const struct rows *r, const struct out *o, const char *note,
    size_t lines, size_t columns, FILE *f);
void rows_free(struct rows *r);

#endif
