/* SPDX-License-Identifier: ISC */
/*
 * One line of the log as it is printed, as logfmt or as JSON, with the same
 * keys: time, level, process, pid, event, gateway (where there is one),
 * repeated (where it is said of lines left out), msg.
 */
#ifndef LOG_LINE_H
#define LOG_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "limit.h"
#include "log.h"
#include "span.h"

/* Longest name of an event. */
#define LOG_EVENT_MAX 32

/* subject and text are as log_vis makes them. */
struct log_line {
	const char *name; /* of the process */
	int pid;
	int level;
	const char *event;
	struct span subject; /* empty: none */
	struct span text;
	uint32_t repeated; /* not 0: it stands for so many */
};

enum vis_flag {
	VIS_QUOTE = 0x01, /* for between quotation marks */
	VIS_KEEP = 0x02,  /* it was made visible before: keep its escapes */
	VIS_JSON = 0x04	  /* for a string of JSON */
};

/* As log_vis; returns the length of out. */
size_t log_vis_put(char *out, size_t cap, struct span text, unsigned flags);

/*
 * Put the line into out, with its newline; it is cut to LIMIT_LOG_LINE, within
 * msg, so that it stays whole as a line of its form.  journal: begin with the
 * priority as the service manager reads it.  Returns the length.
 */
size_t log_line_put(char out[LIMIT_LOG_LINE], const struct log_line *l,
    enum log_form form, int journal);

/* Whether it is the name of an event (log_event.def). */
int log_line_event(struct span name);

#endif
