/* SPDX-License-Identifier: ISC */
/* The pipes to exchange processes, by their correlations: the place of one is
 * its correlation modulo LIMIT_EXCHANGES. */
#ifndef XPIPE_H
#define XPIPE_H

#include "pipe.h"

struct xpipes;

struct xpipe {
	struct xpipes *all;
	struct pipe *pipe;
	uint32_t corr;
};

struct xpipes {
	struct event_base *base;
	enum role self;
	/* A message; its correlation is the exchange's.  NULL, or a phrase. */
	const char *(*message)(struct msg *m, void *arg);
	/* The exchange ended, or broke a rule: why.  It is to be closed. */
	void (*lost)(uint32_t corr, const char *why, void *arg);
	void *arg;
	struct xpipe pipe[LIMIT_EXCHANGES];
};

/* Take an exchange's pipe.  0, or -1: fd stays the caller's. */
int xpipe_open(struct xpipes *xs, uint32_t corr, int fd);
/* Close it, cleansed; also from the callbacks. */
void xpipe_close(struct xpipes *xs, uint32_t corr);
/* As pipe_send. */
int xpipe_send(struct xpipes *xs, uint32_t corr, enum msg_type type,
    const void *fields, int fd);

#endif
