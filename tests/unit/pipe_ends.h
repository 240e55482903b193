/* SPDX-License-Identifier: ISC */
/*
 * The two ends of a pipe for tests, and what came out of each: between two
 * pipes, or between a pipe and a bare socket that sends what it likes.
 */
#ifndef PIPE_ENDS_H
#define PIPE_ENDS_H

#include <sys/resource.h>
#include <sys/socket.h>
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>

#include "log.h"
#include "pipe.h"

/* An end under test: what came out of it. */
struct end {
	struct pipe *p;
	unsigned messages, lackings, bads, gones;
	enum msg_type type;
	uint32_t corr;
	uint64_t seq;
	int fd;		    /* of the last message */
	int in_order;	    /* each seq one more than the last */
	const char *why;    /* of bad */
	const char *offend; /* what the handler answers */
	int free_it;	    /* the handler frees the pipe */
	int answer;	    /* the handler sends a PONG */
};

struct pair {
	struct event_base *base;
	struct end a; /* the supervisor */
	struct end b; /* the engine */
	int raw;      /* a's socket, when it has no pipe */
};

static inline const char *
on_message(struct pipe *p, struct msg *m, void *arg)
{
	struct end *e = arg;
	struct msg_pong pong;

	e->messages++;
	e->type = m->type;
	e->corr = m->corr;
	if (m->type == MSG_PING) {
		if (m->u.ping.seq != e->seq + 1)
			e->in_order = 0;
		e->seq = m->u.ping.seq;
	}
	if (m->fd != -1) {
		if (e->fd != -1)
			close(e->fd);
		e->fd = m->fd;
	}
	if (e->answer) {
		pong.seq = e->seq;
		assert_int_equal(pipe_send(p, MSG_PONG, m->corr, &pong, -1), 0);
	}
	if (e->free_it) {
		pipe_free(p);
		e->p = NULL;
	}
	return e->offend;
}

static inline void
on_bad(struct pipe *p, const char *why, void *arg)
{
	struct end *e = arg;

	e->bads++;
	e->why = why;
	if (e->free_it) {
		pipe_free(p);
		e->p = NULL;
	}
}

static inline void
on_gone(struct pipe *p, void *arg)
{
	struct end *e = arg;

	e->gones++;
	if (e->free_it) {
		pipe_free(p);
		e->p = NULL;
	}
}

static inline const char *
on_lacking(struct pipe *p, struct msg *m, void *arg)
{
	struct end *e = arg;

	(void)p;
	assert_int_equal(m->fd, -1);
	e->lackings++;
	e->type = m->type;
	return e->offend;
}

static const struct pipe_ops ops = {on_message, on_lacking, on_bad, on_gone};

static inline unsigned
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 3; /* ".", "..", the directory itself */
}

static inline int
with_ends(void **state, int raw)
{
	struct pair *t = calloc(1, sizeof(*t));
	int fd[2];

	assert_non_null(t);
	assert_non_null(t->base = event_base_new());
	assert_int_equal(pipe_pair(fd), 0);
	t->a.fd = t->b.fd = -1;
	t->a.in_order = t->b.in_order = 1;
	t->raw = raw ? fd[0] : -1;
	if (!raw)
		t->a.p = pipe_new(
		    t->base, fd[0], ROLE_SUPERVISOR, ROLE_ENGINE, &ops, &t->a);
	t->b.p =
	    pipe_new(t->base, fd[1], ROLE_ENGINE, ROLE_SUPERVISOR, &ops, &t->b);
	*state = t;
	return 0;
}

static inline int
done(void **state)
{
	struct pair *t = *state;

	pipe_free(t->a.p);
	pipe_free(t->b.p);
	if (t->raw != -1)
		close(t->raw);
	if (t->a.fd != -1)
		close(t->a.fd);
	if (t->b.fd != -1)
		close(t->b.fd);
	event_base_free(t->base);
	free(t);
	return 0;
}

/* One turn of the loop, which waits for nothing. */
static inline void
turn(struct pair *t)
{
	event_base_loop(t->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* Turns until nothing is ready any more: what was sent has arrived, for these
 * sockets are within one kernel. */
static inline void
settle(struct pair *t)
{
	int i;

	for (i = 0; i < 200; i++)
		turn(t);
}

static inline int
null_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	return fd;
}

#endif
