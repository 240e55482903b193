/* SPDX-License-Identifier: ISC */
/*
 * Logging.  Every process writes one line per event; children write to their
 * standard error, from where the supervisor collects, stamps and prints them
 * (as logfmt):
 *
 *   time=2026-11-22T10:00:00.123Z level=info process=engine pid=77 event=link
 *   gateway=main msg="…"
 *
 * or the same as an object of JSON.  The event name is stable and stands in
 * log_event.def; the subject is the gateway's name or NULL; the message is for
 * people.  What is formatted into it may be foreign: it is made visible and
 * cut to LIMIT_LOG_LINE when printed.  Never a secret, a token, or a person's
 * text, name or id.
 */
#ifndef LOG_H
#define LOG_H

#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

#include "buf.h"
#include "rate.h"
#include "span.h"

/* How long to wait for who reads the log (a pager, a terminal held back)
 * before lines are lost: the supervisor has other things to do. */
#define LOG_READER_MS 500

enum log_form { LOG_FORM_LOGFMT, LOG_FORM_JSON };
struct log_repeats;

enum log_mode {
	LOG_TO_PARENT, /* a child: tab-separated, for the supervisor */
	LOG_TO_PEOPLE  /* the supervisor, and programs run by hand */
};

/* Once per process.  name: "engine".  Level: LOG_ERR to LOG_DEBUG. */
void log_init(enum log_mode mode, const char *name, int level);
/* Change the level. */
void log_level(int level);
/* "error" to "debug" (of anything more severe, "error"); and its level, or -1
 * of another word. */
const char *log_level_name(int level);
int log_level_of(struct span word);
/* Whether this level is printed: to spare work for LOG_DEBUG. */
int log_on(int level);

/* The form of the lines for people. */
void log_form(enum log_form form);
/* stream: JOURNAL_STREAM of the environment, or NULL.  Where it says that
 * standard error goes to the service manager's journal, each line begins with
 * its priority, "<6>". */
void log_journal(const char *stream);
/* From now on lines that repeat themselves are counted in this table, which is
 * the caller's, unless debug is logged; NULL: they are printed. */
void log_fold(struct log_repeats *repeats);
/* Print how often lines were repeated where that is due, or all that there is;
 * to be called every few seconds, and at the end. */
void log_fold_flush(int all);

/* One event.  errno is not touched. */
void log_say(int level, const char *event, const char *subject, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));

/* One that is printed at every level, as a notice. */
void log_always(const char *event, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Why relayd does not start, for who started it: a plain line, "relayd: …", or
 * where JSON is configured event=refused. */
void log_refused(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The last one, as an error: end (may be NULL) is called after it, then the
 * process is gone, with status 1 and nothing that was to be done at exit. */
void log_die(void (*end)(void), const char *event, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

#define log_err(ev, subj, ...)	 log_say(LOG_ERR, ev, subj, __VA_ARGS__)
#define log_warn(ev, subj, ...)	 log_say(LOG_WARNING, ev, subj, __VA_ARGS__)
#define log_info(ev, subj, ...)	 log_say(LOG_INFO, ev, subj, __VA_ARGS__)
#define log_debug(ev, subj, ...) log_say(LOG_DEBUG, ev, subj, __VA_ARGS__)

/* Make foreign text visible in out (at most cap - 1 bytes and NUL): control
 * characters and what is no UTF-8 as \xNN, backslash doubled.  Returns out. */
char *log_vis(char *out, size_t cap, struct span text);

/*
 * The supervisor's side: take what a child wrote (any bytes), hand out whole
 * lines as log lines of `name` with `pid`.  A line that is not of our form
 * (a library, a sanitizer), or names no event of ours, becomes event=stderr.
 * Overlong lines are cut. Lines beyond the rate are left out and counted:
 * event=log_suppressed says how many.
 */
struct log_collector {
	const char *name;
	int pid;
	const char *subject; /* not NULL: a foreign program's, about that
			      * gateway: none of its lines is of our form */
	struct buf line;     /* the incomplete last line */
	uint8_t cut;	     /* discarding the rest of an overlong one */
	struct rate rate;    /* of lines; all zero: no bound */
	uint32_t left_out;   /* since that was last said … */
	uint64_t said_ms;    /* … or since the first of them */
};
void log_collect(struct log_collector *c, const char *p, size_t len);
/* Bound the lines: so many at once, then per_s.  Both are at least 1. */
void log_collect_bound(struct log_collector *c, uint32_t per_s, uint32_t burst);
/* Say what was left out, if anything: from time to time, for a child that has
 * fallen silent, and at its end. */
void log_collect_flush(struct log_collector *c);

#endif
