/* SPDX-License-Identifier: ISC */
/* What every command of relay-ctl is given, and what it answers with. */
#ifndef CTL_H
#define CTL_H

#include "limit.h"
#include "out.h"

/* Exit statuses (relay-ctl(8)). */
enum {
	CTL_OK = 0,
	CTL_FAILED = 1, /* refused, or it failed */
	CTL_USAGE = 2,
	CTL_NOT_RUNNING = 3,
	CTL_UNSETTLED = 150, /* status: a gateway is connecting or retrying */
	CTL_DISABLED = 151,
	CTL_UNPROVISIONED = 152
};

enum ctl_opt {
	OPT_RUNDIR,
	OPT_JSON,
	OPT_GATEWAY,
	OPT_CONTENT,
	OPT_REPLY_TO,
	OPT_NAME,
	OPT_PLATFORM,
	OPT_JOBS,
	OPT_TIMEOUT,
	OPT_FOR,
	OPT_FILE,
	OPT_TOKEN_FILE,
	OPT_CONNECTOR_URL,
	OPT_GATEWAY_ID,
	OPT_WAKE_URL,
	OPT_YES,
	OPT_LISTEN,
	OPT_ALLOW_REMOTE,
	OPT_ALL,
	OPT_STATE_DIR,
	OPT_FOLLOW,
	OPT_STAGES,
	OPT_METRICS,
	OPT_EXEC,
	OPT_COUNT
};

struct ctl {
	struct out out;
	char rundir[LIMIT_PATH + 1];
	const char *opt[OPT_COUNT]; /* given value, "" without one; or NULL */
	const char *command;	    /* its name, not abbreviated */
	char **arg;		    /* positional arguments */
	int narg;
	int *told;   /* once it was said that relayd's version is another */
	char **exec; /* --exec's program and arguments, NULL-terminated */
};

/* The commands: each returns an exit status. */
int cmd_status(struct ctl *ctl);
int cmd_show(struct ctl *ctl);
int cmd_watch(struct ctl *ctl);
int cmd_tap(struct ctl *ctl);
int cmd_trace(struct ctl *ctl);
int cmd_send(struct ctl *ctl);
int cmd_agent(struct ctl *ctl);
int cmd_reload(struct ctl *ctl);
int cmd_log(struct ctl *ctl);
int cmd_check(struct ctl *ctl);
int cmd_link(struct ctl *ctl); /* idle, wake, … interrupt */
int cmd_action(struct ctl *ctl);
int cmd_aside(struct ctl *ctl); /* requeue, drop */
int cmd_wait(struct ctl *ctl);
int cmd_explain(struct ctl *ctl);
int cmd_enroll(struct ctl *ctl);
int cmd_import(struct ctl *ctl);
int cmd_forget(struct ctl *ctl);
int cmd_serve(struct ctl *ctl);
int cmd_bundle(struct ctl *ctl);

/* One line on standard error, after the program's name. */
void ctl_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* How the command is to be used, after a line of ours.  Returns CTL_USAGE. */
int ctl_usage(const char *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A name that may be abbreviated. */
struct ctl_word {
	const char *name;
};
/* Words that can stand somewhere, `stride` bytes apart, each beginning with its
 * name. */
struct ctl_words {
	const char *where; /* as usage names that place */
	const void *words;
	size_t n, stride;
};
extern const struct ctl_words show_words;   /* of show */
extern const struct ctl_words log_words;    /* of log */
extern const struct ctl_words gwtext_words; /* of wait --for */

/*
 * The index of the word that `given` names or abbreviates; -1: none, or more
 * than one, which was said with what could stand there.  The words are
 * `stride` bytes apart and begin with their name.
 */
int ctl_match(const char *what, const char *given, const void *words, size_t n,
    size_t stride);

/* A number option: its value, dflt when it is not given, or -1 when it is none
 * from min to max, which was said. */
long ctl_number(
    const struct ctl *ctl, enum ctl_opt opt, long min, long max, long dflt);

#endif
