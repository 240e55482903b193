/* SPDX-License-Identifier: ISC */
/*
 * The start-up ladder of every child (DESIGN 1): from a freshly executed
 * program to a confined process, in one order, for all roles.
 */
#ifndef LADDER_H
#define LADDER_H

#include <sys/types.h>
#include <stdint.h>

#include "role.h"

struct ladder {
	enum role role;
	int parent;	  /* pid of the supervisor, to be checked again */
	const char *root; /* directory to chroot into as root; NULL */
	/* Landlock: the one directory it may use, as seen after the chroot, or
	 * NULL; TCP ports it may connect to. */
	const char *writable;
	const uint16_t *port;
	size_t nport;
	/* results */
	uint32_t wanted, held; /* LAYER_BITs; held by probe */
	char lacking[256];     /* "tcp: kernel has Landlock ABI 3", … */
};

/*
 * What the supervisor tells a child on its command line:
 *   -R role -P parentpid [-C chroot] [-W writable] [-p port,port…] [-l level]
 * Parses it (the program's whole command line is ours); the strings stay in
 * argv.  Returns 0, or -1 when this is no child's command line.
 */
int ladder_args(struct ladder *l, int argc, char *argv[], int *level);

/*
 * First rung, right after log_init, before anything is loaded: parent-death
 * signal, descriptors (0 and 1 on /dev/null, none above the role's own), umask,
 * signals to default except SIGPIPE, time zone read.
 */
void ladder_begin(struct ladder *l);

/*
 * The rest, after the caller loaded what lies outside: chroot, users (and try
 * to get privilege back), parent-death again, rlimits, no core, not dumpable,
 * no_new_privs, Landlock, a probe of each layer (try the forbidden, expect the
 * refusal; seccomp's in a forked child that must die by SIGSYS), seccomp.
 * Exits the process with one log line when an obligatory layer cannot be had.
 */
void ladder_climb(struct ladder *l);

/*
 * For a process that is nobody's child, once it has what lies outside: gives up
 * every capability, then the rungs from the limits on.  The user stays as it
 * is, root too.  Of *l the role alone is looked at.
 */
void ladder_confine(struct ladder *l);

#endif
