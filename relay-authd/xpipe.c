/* SPDX-License-Identifier: ISC */
/* The pipes to exchange processes; see xpipe.h. */
#include <stddef.h>

#include "xpipe.h"

static const char *
on_message(struct pipe *p, struct msg *m, void *arg)
{
	const struct xpipe *x = arg;

	(void)p;
	m->corr = x->corr;
	return x->all->message(m, x->all->arg);
}

static void
on_bad(struct pipe *p, const char *why, void *arg)
{
	const struct xpipe *x = arg;

	(void)p;
	x->all->lost(x->corr, why, x->all->arg);
}

static void
on_gone(struct pipe *p, void *arg)
{
	on_bad(p, "the exchange ended", arg);
}

static const struct pipe_ops ops = {
    .message = on_message, .bad = on_bad, .gone = on_gone};

static struct xpipe *
at(struct xpipes *xs, uint32_t corr)
{
	return &xs->pipe[corr % LIMIT_EXCHANGES];
}

int
xpipe_open(struct xpipes *xs, uint32_t corr, int fd)
{
	struct xpipe *x = at(xs, corr);

	x->all = xs;
	x->corr = corr;
	x->pipe = pipe_new(xs->base, fd, xs->self, ROLE_XCHG, &ops, x);
	return x->pipe == NULL ? -1 : 0;
}

void
xpipe_close(struct xpipes *xs, uint32_t corr)
{
	struct xpipe *x = at(xs, corr);

	if (x->pipe != NULL)
		pipe_free(x->pipe);
	x->pipe = NULL;
}

int
xpipe_send(struct xpipes *xs, uint32_t corr, enum msg_type type,
    const void *fields, int fd)
{
	struct pipe *p = at(xs, corr)->pipe;

	return p == NULL ? -1 : pipe_send(p, type, corr, fields, fd);
}
