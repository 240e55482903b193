/* SPDX-License-Identifier: ISC */
/* Fork and exec of a program with its descriptors on their numbers. */
#ifndef SUP_SPAWN_H
#define SUP_SPAWN_H

#include "supervisor.h"

struct pipe_ops;

#define SPAWN_EXEC_FAILED 127 /* exit status when exec failed */
/* A process has no descriptors but 0 to this. */
#define SPAWN_FDS (FD_PEER + ROLE_PEERS)

/*
 * Start the child's program: sets its pid and pipe (with those ops), consumes
 * the ends held for it.  *log_fd is what it writes to its standard error.  0,
 * or -1 with errno and nothing changed but the ends.
 */
int sup_spawn(struct sup_child *c, const struct pipe_ops *ops, int *log_fd);

/*
 * Start another process of ours.  fd: what becomes its descriptors from
 * FD_SUPERVISOR on, -1 for nothing; all are consumed.  Its pid, or -1 with
 * errno.
 */
pid_t sup_spawn_role(struct supervisor *s, enum role role,
    const int fd[SPAWN_FDS - FD_SUPERVISOR], int *log_fd);

/* Who a foreign program runs as. */
#define SPAWN_GROUPS 64 /* more than a person is given */
struct sup_user {
	uid_t uid;
	gid_t gid, group[SPAWN_GROUPS];
	int ngroup;
	char home[LIMIT_PATH + 1];
};

/*
 * Start a foreign program, argv[0] by its path, in a session and process group
 * of its own: in /, with PATH, HOME and LANG alone, without standard input,
 * with out (the caller's to close) as its standard output, and unable to gain
 * privilege.  user: who it becomes, or NULL: it stays who we are; home is its
 * HOME.  Its pid, or -1 with errno.
 */
pid_t sup_spawn_program(char *const argv[], const struct sup_user *user,
    const char *home, int out, int *log_fd);

/* How a process ended, of its wait status: "killed by signal SIGSEGV",
 * "exited with status 1", … */
const char *sup_spawn_words(int status, char *out, size_t cap);

#endif
