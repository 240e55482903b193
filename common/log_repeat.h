/* SPDX-License-Identifier: ISC */
/*
 * Lines of the log that repeat themselves: what one process says again of the
 * same event and gateway is counted instead of printed, until it says
 * something else, or until it is time to say how often.  Numbers in
 * a parenthesis at its end do not make a line another one.
 */
#ifndef LOG_REPEAT_H
#define LOG_REPEAT_H

#include <stdint.h>

#include "hash.h"
#include "limit.h"
#include "log_line.h"

/* How many events and gateways are watched at once; those beyond share places
 * and may be printed more often. */
#define LOG_REPEAT_PLACES 1024
/* When it is first said how often, and the longest time between two such
 * lines, into which it grows by doubling: who looks finds a line that is not
 * older than an hour. */
#define LOG_REPEAT_MS	  60000
#define LOG_REPEAT_MAX_MS 3600000
/* Bytes of that line's message, and what is kept for it of the one that is
 * repeated. */
#define LOG_REPEAT_TEXT 256
#define LOG_REPEAT_KEPT 200

struct log_repeat {
	const char *name; /* of the process; NULL: the place is free */
	int pid;
	int level;
	char event[LOG_EVENT_MAX + 1];
	char subject[4 * LIMIT_NAME + 1];
	char last[LOG_REPEAT_TEXT]; /* the message, when it came last */
	uint64_t who;		    /* hash of process, event and gateway */
	uint64_t text;	  /* hash of what is compared of the message */
	uint64_t said_ms; /* when it was printed last */
	uint64_t window_ms;
	uint32_t count; /* not printed since */
};

struct log_repeats {
	struct hash_key key; /* random */
	struct log_repeat place[LOG_REPEAT_PLACES];
};

/* An empty table, or NULL without memory. */
struct log_repeats *log_repeats_new(void);

/*
 * Whether a line is to be printed (else it was counted).  A line about
 * earlier ones that goes before it is put into *sum, its text into *r; else
 * sum->event is NULL.  l->name outlives the table.
 */
int log_repeat_take(struct log_repeats *t, const struct log_line *l,
    uint64_t now, struct log_repeat *r, struct log_line *sum);

/* The next line about earlier ones that is due at now, or with all set any that
 * there is: 1, with it in *sum and its text in *r; 0: none.  *from is 0 at
 * first. */
int log_repeat_due(struct log_repeats *t, uint64_t now, int all, unsigned *from,
    struct log_repeat *r, struct log_line *sum);

#endif
