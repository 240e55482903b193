/* SPDX-License-Identifier: ISC */
/*
 * A Unix socket for few local clients that say one line and get one line:
 * who they are is asked of the kernel; their number, their lines and their
 * silence are bounded; what they say lies in secret memory alone, and is
 * cleansed.
 */
#ifndef LINESOCK_H
#define LINESOCK_H

#include <sys/types.h>
#include <stdint.h>

#include "buf.h"

#define LINESOCK_CLIENTS 8 /* at once: people at a shell */
#define LINESOCK_SILENCE \
	30 /* seconds in which a client says or takes nothing */

struct event_base;
struct linesock;

struct linesock_client {
	uint32_t id; /* never used twice; not 0 */
	uid_t uid;
	pid_t pid;
};

/* A line, without its end.  It is answered with linesock_answer, now or later;
 * until then the next one waits. */
typedef void
linesock_fn(const struct linesock_client *c, struct span line, void *arg);

/* Serve a listening socket, which is ours then, or none (-1).  Clients of root
 * and of owner are let in; the others are told and cut off.  Lines have at
 * most max bytes.  NULL without memory: fd stays the caller's. */
struct linesock *linesock_new(struct event_base *base, int fd, uid_t owner,
    size_t max, linesock_fn *fn, void *arg);
/* Serve another socket in place of that one; who is connected stays.  0, or -1
 * without memory: fd stays the caller's, and the last one is served. */
int linesock_listen(struct linesock *l, int fd, uid_t owner);
void linesock_free(struct linesock *l);
/* Take a connected client; the socket is ours. */
void linesock_add(struct linesock *l, int fd);
/* Answer; the line end is added.  Nothing happens when the client is gone. */
void linesock_answer(struct linesock *l, uint32_t id, struct span text);

#endif
