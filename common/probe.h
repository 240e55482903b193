/* SPDX-License-Identifier: ISC */
/*
 * Self-probes: whether a layer of confinement holds is found out by trying
 * what it forbids and expecting the refusal.
 */
#ifndef PROBE_H
#define PROBE_H

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <stdint.h>

#include "role.h"

/* Things outside of the confinement to reach for.  All zero but for outside
 * (-1) before probe_outside. */
struct probe {
	enum role role;
	const uint16_t *port; /* TCP ports that may be connected to */
	size_t nport;
	/* private */
	int outside;		 /* the real root directory */
	int abstract;		 /* a listening abstract socket */
	struct sockaddr_un name; /* and its name */
	socklen_t namelen;
	pid_t other;   /* a process of the same user */
	int other_end; /* it lives until this is closed */
};

/* Before the chroot: keep the real root directory in sight. */
int probe_outside(struct probe *p);
/* Before Landlock, as the user to be: a process and a socket beyond it.
 * Both return 0, or -1 with errno. */
int probe_bystander(struct probe *p);

/* Whether a layer holds.  For LAYER_SECCOMP a forked child takes the role's
 * filter, so it is asked before this process does.  LAYER_SECRET is not
 * probed: 0. */
int probe_holds(const struct probe *p, enum layer l);

/* Let go of what was held for the probes. */
void probe_end(struct probe *p);

#endif
