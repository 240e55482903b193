/* SPDX-License-Identifier: ISC */
/*
 * What relay-ctl shows: the text of a reply made by the command's renderer,
 * with
 * --json the reply itself, with --metrics what metrics_write() makes of it;
 * tables that align, ages, colours.
 */
#ifndef OUT_H
#define OUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "span.h"

struct out {
	int json;    /* print replies as they came */
	int metrics; /* print them as metrics */
	int colour;  /* standard output is a terminal that wants it */
};

enum tint { TINT_NONE, TINT_GOOD, TINT_WARN, TINT_BAD, TINT_DIM };

/* Look at standard output and the environment; sets the locale's characters. */
void out_init(struct out *o);

/*
 * Show a reply: with --json the line as it came, with --metrics its metrics,
 * else what the renderer makes of it.  Returns the renderer's exit status in
 * any case, so that all exit alike (but for text, the renderer is called with
 * FILE NULL and prints nothing).
 */
typedef int
out_render(const struct out *o, FILE *f, struct span reply, void *arg);
int
out_show(const struct out *o, struct span reply, out_render *render, void *arg);

/* Print a line of JSON at once.  0, or -1 when that does not go. */
int out_json(struct span line);

/* Foreign text without anything that acts on a terminal, in memory of its own
 * (free). */
char *out_safe(struct span text);

/* Columns that UTF-8 text takes on a terminal. */
size_t out_width(const char *text);

/* Bytes of the line that fit into so many columns; colours of ours take none.
 */
size_t out_cut(const char *line, size_t columns);

#define OUT_AGE 24 /* bytes that ages and delays fit in */
/* "12s", "3m12s", "2h05m", "4d03h"; negative: "never". */
const char *out_age(char buf[OUT_AGE], int64_t seconds);
/* "400 ms", "12.3 s", "3m12s": how long still. */
const char *out_delay(char buf[OUT_AGE], double seconds);
/* "512 B", "734 KiB", "12 MiB". */
const char *out_size(char buf[OUT_AGE], int64_t bytes);
/* Local time of Unix seconds, with the zone since the log's is another one:
 * "2026-11-22 11:00:00.123 +0100", and for what is told in whole seconds
 * "2026-11-22 11:00:00 +0100". */
#define OUT_TIME 40
const char *out_time(char buf[OUT_TIME], double at);
const char *out_second(char buf[OUT_TIME], double at);
/* "1st", "2nd", "3rd", "11th". */
const char *out_ordinal(char buf[OUT_AGE], int64_t n);

/* A table: cells are added from left to right, row by row. */
struct table {
	const struct out *out;
	const char *const *head;
	size_t ncol;
	uint32_t right; /* bits: columns that are aligned right */
	struct table_cell *cell;
	size_t n, cap;
	int failed; /* no memory: nothing is printed */
};

void table_init(struct table *t, const struct out *o, const char *const *head,
    size_t ncol, uint32_t right);
/* The next cell; an empty or absent text is shown as "-". */
void table_text(struct table *t, enum tint tint, struct span text);
void table_fmt(struct table *t, enum tint tint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A line below the present row, indented to the second column. */
void table_note(struct table *t, enum tint tint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Print and free. */
void table_print(struct table *t, FILE *f);

#endif
