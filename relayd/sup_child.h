/* SPDX-License-Identifier: ISC */
/* The life of one child: start, heartbeat, end, and start again. */
#ifndef SUP_CHILD_H
#define SUP_CHILD_H

#include "supervisor.h"

/* The first and the last child, in the order of start and commit. */
#define FIRST_CHILD ROLE_AUTHD
#define LAST_CHILD  ROLE_ENGINE

/* Set up what all children need.  0, or -1 without memory. */
int sup_child_init(struct supervisor *s);
void sup_child_free(struct supervisor *s);
/* Start a child that is down: new pipes to its peers, then fork and exec. */
void sup_child_start(struct sup_child *c);
/* Bound its log as the configuration lived by says. */
void sup_child_log_bound(struct sup_child *c);
/* The child must take its next step within ms, or is killed for it (why is
 * static); 0 disarms. */
void sup_child_deadline(struct sup_child *c, int ms, const char *why);
/* SIGKILL, and say why. */
void sup_child_kill(struct sup_child *c, const char *why);
/* Ask it to end; the successor is started at once and no death is counted. */
void sup_child_replace(struct sup_child *c, unsigned budget_ms);
/* SIGCHLD: collect all that ended. */
void sup_child_reap(struct supervisor *s);
/* A heartbeat to everyone; who owes an answer for too long is killed. */
void sup_child_heartbeat(struct supervisor *s);
/* Whether every child answers. */
int sup_child_all_answer(const struct supervisor *s);

/* sup_proc.c: PROCESS of one role, or of all, to the engine. */
void sup_proc_tell(struct supervisor *s, enum role r);
void sup_proc_tell_all(struct supervisor *s);

/* sup_msg.c: handlers of a child's pipe; arg is the struct sup_child. */
struct pipe_ops;
extern const struct pipe_ops sup_msg_ops;

#endif
