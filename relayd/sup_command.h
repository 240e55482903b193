/* SPDX-License-Identifier: ISC */
/*
 * A token command: a program of the configuration whose standard output is a
 * gateway's identity token.  The supervisor starts and ends it; what it
 * prints is read by an exchange alone.
 */
#ifndef SUP_COMMAND_H
#define SUP_COMMAND_H

#include <sys/types.h>
#include <stddef.h>

#include "limit.h"
#include "sup_log.h"

struct event;
struct event_base;
struct sup_user;

/* How long one may take: an exchange has 15 s for all it does. */
#define COMMAND_MS 10000

/* As root: who a command of that user's name runs as.  0, or -1 with why
 * filled: there is none, or it is root. */
int sup_command_user(
    struct sup_user *u, const char *name, char *why, size_t whylen);

/* What to start. */
struct sup_command_line {
	const char *gateway; /* its name, for the log */
	char *const *argv;   /* NULL at the end */
	/* Who runs it; NULL: as we are, who must not be root. */
	const struct sup_user *user;
	const char *home; /* HOME */
	unsigned ms;	  /* killed after this */
};

struct sup_command {
	pid_t pid; /* 0: none runs */
	int out;   /* our copy of where it writes to; -1: none */
	int late;  /* killed because its time was over */
	char gateway[LIMIT_NAME + 1];
	struct sup_log log;
	struct event *timer;
};

/* Nothing runs.  0, or -1 without memory. */
int sup_command_init(struct sup_command *c, struct event_base *base);
/* Kill what runs. */
void sup_command_free(struct sup_command *c);

/*
 * Start it.  Returns the reading end of its standard output, or -1 with why
 * filled.  The output ends when the command has ended well; when it has not,
 * a NUL and a sentence that says so stand at the end.
 */
int sup_command_start(struct sup_command *c, struct event_base *base,
    const struct sup_command_line *line, char *why, size_t whylen);
/* Kill it with its process group; sup_command_reaped follows. */
void sup_command_kill(struct sup_command *c);
/* It has ended, but not been waited for: what is left of its process group
 * ends too. */
void sup_command_ended(struct sup_command *c);
/* It was waited for. */
void sup_command_reaped(struct sup_command *c, int status);

#endif
