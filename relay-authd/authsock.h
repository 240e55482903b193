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
	void (*before)(void *arg); /* a command: sets the time */
	void (*after)(void *arg);  /* it was carried out */
	void *arg;
};

/* A line came; arg is the authsock. */
linesock_fn authsock_line;
/* A job of ours ended. */
void authsock_enrolled(struct authsock *as, const struct job *j);

#endif
