/* SPDX-License-Identifier: ISC */
/* Fork and exec of a child with its descriptors on their numbers. */
#ifndef SUP_SPAWN_H
#define SUP_SPAWN_H

#include "supervisor.h"

struct pipe_ops;

#define SPAWN_EXEC_FAILED 127 /* exit status when exec failed */

/*
 * Start the child's program: sets its pid, pipe (with those ops) and log_fd,
 * consumes the ends held for it.  0, or -1 with errno and nothing changed but
 * the ends.
 */
int sup_spawn(struct sup_child *c, const struct pipe_ops *ops);

#endif
