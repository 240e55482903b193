/* SPDX-License-Identifier: ISC */
/*
 * The processes there are: one row per role says its program, user, root
 * directory, peers and sandbox (DESIGN 1).  What differs between processes
 * at start-up stands here and nowhere else.
 */
#ifndef ROLE_H
#define ROLE_H

#include <stdint.h>

/* The supervisor keeps one process of each role; of the last, an exchange, one
 * for each that is under way. */
enum role {
	ROLE_SUPERVISOR,
	ROLE_AUTHD,
	ROLE_DIALER,
	ROLE_ENGINE,
	ROLE_XCHG,
	ROLE_COUNT,
	/* None of relayd's: `relay-ctl serve`, which is started by whoever
	 * wants it and shuts itself in. */
	ROLE_SERVE = ROLE_COUNT,
	ROLE_ROWS
};

#define ROLE_BIT(r) (1U << (r))
/* How many roles the supervisor keeps one process of: those before it. */
#define ROLE_KEPT ROLE_XCHG

/* Descriptors every child is started with.  Peers follow in the order of the
 * role's row. */
#define FD_LOG	      2 /* standard error: log lines to the supervisor */
#define FD_SUPERVISOR 3
#define FD_PEER	      4
#define ROLE_PEERS    2
#define FD_INPUT      5 /* of an exchange: what was laid ready for it */

/* Layers of confinement, as bits; `show processes` lists those that hold. */
enum layer {
	LAYER_USER,    /* an unprivileged user that cannot get back */
	LAYER_CHROOT,  /* sees an empty directory, or its state alone */
	LAYER_NNP,     /* no_new_privs */
	LAYER_NODUMP,  /* not dumpable, no core, not traceable by its user */
	LAYER_SECCOMP, /* system calls off the list kill */
	LAYER_FILES,   /* Landlock: no file but its own */
	LAYER_TCP,     /* Landlock ABI 4: no TCP port but its own */
	LAYER_SCOPE,   /* Landlock ABI 6: no signals, no abstract sockets */
	LAYER_SECRET,  /* secrets lie in memfd_secret memory */
	LAYER_COUNT
};
#define LAYER_BIT(l) (1U << (l))

struct sandbox_rule;

struct role_row {
	const char *name;    /* "engine": in logs, status, -R */
	const char *title;   /* argv[0]: what ps shows */
	const char *program; /* beside relayd in its directory */
	const char *user;    /* as root; NULL: stays as it is */
	enum { ROOT_NONE, ROOT_EMPTY, ROOT_STATE } root; /* chroot as root */
	enum role peer[ROLE_PEERS]; /* on FD_PEER, FD_PEER + 1 */
	int npeer;
	int ninput;		  /* descriptors that follow the peers' */
	uint32_t layers;	  /* LAYER_BITs it asks for */
	uint32_t obligatory_root; /* of these, must hold when root */
	uint32_t obligatory;	  /* must hold always */
	/* seccomp: the allow-list beyond what all have, -1 at the end; and
	 * system calls whose arguments are looked at. */
	const int *syscalls;
	const struct sandbox_rule *rules;
	/* Landlock: directories it may read; NULL, or NULL at the end. */
	const char *const *readable;
	int resolves; /* calls getaddrinfo: its modules are loaded before */
};

/* The row of a role. */
const struct role_row *role_row(enum role r);
/* The role of a name, or ROLE_COUNT. */
enum role role_by_name(const char *name);
/* The descriptor on which self finds peer, or -1 when they do not talk. */
int role_peer_fd(enum role self, enum role peer);
/* "user", "chroot", …: a layer's name as status shows it. */
const char *layer_name(enum layer l);

#endif
