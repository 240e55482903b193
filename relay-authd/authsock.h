/* SPDX-License-Identifier: ISC */
/* auth.sock: operators enrol, import, forget, and look at credentials.  One
 * JSON object per line, and one in answer; nothing secret is ever answered. */
#ifndef AUTHSOCK_H
#define AUTHSOCK_H

#include "gateway.h"
#include "linesock.h"

/* Bytes of a command: two secrets or a token, and URLs. */
#define AUTHSOCK_LINE 65536

struct authsock {
	struct gateways *gs;
	struct linesock *sock;
	char *room; /* secret memory, AUTHSOCK_LINE bytes: a line's texts */
	void (*before)(void *arg); /* a command: sets the time */
	void (*after)(void *arg);  /* it was carried out */
	void *arg;
};

/* Serve a listening socket, as linesock_new does, in place of the last one; who
 * waits for an answer gets it.  0, or -1 without memory: fd stays the caller's,
 * and the last one is served. */
int authsock_serve(
    struct authsock *as, struct event_base *base, int fd, uid_t owner);
void authsock_close(struct authsock *as);
/* A job of ours ended. */
void authsock_enrolled(struct authsock *as, const struct job *j);

#endif
