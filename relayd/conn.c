/* SPDX-License-Identifier: ISC */
/* A byte stream to the connector: the socket, the buffers, the event loop.
 * What TLS adds stands in conn_tls.c. */
#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "conn_priv.h"
#include "engine.h"

/* Input buffers kept for the next that needs one: links that are read within
 * one batch of events use one after the other. */
#define SPARE 4
/* A rest that is smaller is kept in memory of its own size, so that an idle
 * link holds no big buffer. */
#define SMALL 4096
/* Bytes read before they are worked on: some hundred common events, few enough
 * that they are still in the processor's cache when they go out.  Each read
 * makes the kernel acknowledge, so that four of a quarter cost half as much
 * again of its time as one. */
#define READ_BYTES (256U * 1024)
/* Bytes written before the other links have their turn. */
#define TURN_BYTES (256U * 1024)
/* Reading rests no longer, however sated its owner is: results and interrupts
 * may stand behind the events. */
#define REST_MS 2

struct conns {
	struct conn_list due;
	struct conn_list resting;
	char *spare[SPARE];
	unsigned nspare;
};

int
conn_init(struct engine *e)
{
	if ((e->conns = calloc(1, sizeof(*e->conns))) == NULL)
		return -1;
	TAILQ_INIT(&e->conns->due);
	TAILQ_INIT(&e->conns->resting);
	return 0;
}

void
conn_fini(struct engine *e)
{
	while (e->conns->nspare > 0)
		free(e->conns->spare[--e->conns->nspare]);
	free(e->conns);
	e->conns = NULL;
}

/* The input buffer. */

static void
give_back(struct conn *c)
{
	struct conns *set = c->e->conns;

	if (c->big && set->nspare < SPARE)
		set->spare[set->nspare++] = c->buf;
	else
		free(c->buf);
	c->buf = NULL;
	c->big = 0;
}

/* Have a buffer of CONN_BUFFER bytes, with what was left in its beginning. */
static int
take(struct conn *c)
{
	struct conns *set = c->e->conns;
	char *p;

	if (c->big)
		return 0;
	if (set->nspare > 0)
		p = set->spare[--set->nspare];
	else if ((p = malloc(CONN_BUFFER)) == NULL)
		return -1;
	if (c->len > 0)
		memcpy(p, c->buf, c->len);
	free(c->buf);
	c->buf = p;
	c->big = 1;
	return 0;
}

/* Keep no more memory than the rest needs. */
static void
park(struct conn *c)
{
	char *p = NULL;

	if (!c->big || c->len >= SMALL)
		return;
	if (c->len > 0 && (p = malloc(c->len)) == NULL)
		return;
	if (c->len > 0)
		memcpy(p, c->buf, c->len);
	give_back(c);
	c->buf = p;
}

/* Life and end. */

static void
free_events(struct conn *c)
{
	if (c->rd != NULL)
		event_free(c->rd);
	if (c->wr != NULL)
		event_free(c->wr);
	if (c->rest != NULL)
		event_free(c->rest);
}

static void
destroy(struct conn *c)
{
	if (c->due != 0)
		TAILQ_REMOVE(&c->e->conns->due, c, entry);
	if (c->resting)
		TAILQ_REMOVE(&c->e->conns->resting, c, rest_entry);
	free_events(c);
	conn_tls_end(c);
	close(c->fd);
	give_back(c);
	free(c);
}

static void
enter(struct conn *c)
{
	c->busy++;
}

/* Leave a frame that may have called a handler.  The conn may be no more. */
static void
leave(struct conn *c)
{
	if (--c->busy == 0 && c->dead)
		destroy(c);
}

static void
mark(struct conn *c, unsigned what)
{
	if (c->due == 0)
		TAILQ_INSERT_TAIL(&c->e->conns->due, c, entry);
	c->due |= (uint8_t)what;
}

void
conn_why(struct conn *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
}

void
conn_errno(struct conn *c, int err)
{
	if (err == ECONNRESET)
		conn_why(c, "connection reset by the peer");
	else if (err == EPIPE || err == 0)
		conn_why(c, "connection closed by the peer");
	else
		conn_why(c, "%s", strerror(err));
}

/* It is over, for the reason in c->why: said once. */
static void
finish(struct conn *c)
{
	if (c->over || c->dead)
		return;
	c->over = 1;
	event_del(c->rd);
	event_del(c->wr);
	event_del(c->rest);
	c->ops->ended(c->arg, c->why);
}

/* Resting. */

static int
is_sated(const struct conn *c)
{
	return c->ops->sated != NULL && c->ops->sated(c->arg);
}

static void
rest(struct conn *c)
{
	static const struct timeval tv = {0, REST_MS * 1000L};

	if (c->resting || c->over || c->dead || !is_sated(c))
		return;
	c->resting = 1;
	TAILQ_INSERT_TAIL(&c->e->conns->resting, c, rest_entry);
	event_del(c->rd);
	event_add(c->rest, &tv);
}

static void
wake(struct conn *c)
{
	if (!c->resting)
		return;
	c->resting = 0;
	TAILQ_REMOVE(&c->e->conns->resting, c, rest_entry);
	event_del(c->rest);
	if (!c->reading || c->over || c->dead)
		return;
	event_add(c->rd, NULL);
	/* TLS may have read more than it handed out. */
	if (c->ssl != NULL)
		mark(c, DUE_READ);
}

static void
on_rest(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	wake(arg);
}

/* Reading. */

/* As conn_tls_read, for a plain socket. */
static enum conn_io
plain_read(struct conn *c, size_t room, size_t *n)
{
	ssize_t r;

	do
		r = recv(c->fd, c->buf + c->len, room, MSG_DONTWAIT);
	while (r == -1 && errno == EINTR);
	if (r > 0) {
		*n = (size_t)r;
		/* A short read emptied the socket. */
		return *n < room ? CONN_BLOCKED : CONN_DONE;
	}
	*n = 0;
	if (r == -1 && errno == EAGAIN)
		return CONN_BLOCKED;
	conn_errno(c, r == 0 ? 0 : errno);
	return CONN_ENDED;
}

/* Take some of what is there into the buffer. */
static enum conn_io
fill(struct conn *c, size_t *got)
{
	enum conn_io r;
	size_t n, room;

	*got = 0;
	if (take(c) == -1) {
		conn_why(c, "out of memory");
		return CONN_ENDED;
	}
	do {
		room = READ_BYTES - *got;
		if (room > CONN_BUFFER - c->len)
			room = CONN_BUFFER - c->len;
		r = c->ssl != NULL ? conn_tls_read(c, room, &n)
				   : plain_read(c, room, &n);
		c->len += n;
		*got += n;
	} while (r == CONN_DONE && *got < READ_BYTES && c->len < CONN_BUFFER);
	return r;
}

/* Hand out what is in the buffer.  New handlers see the rest at once. */
static void
feed(struct conn *c)
{
	size_t used;

	do {
		c->fresh = 0;
		used = c->ops->input(c->arg, c->buf, c->len, CONN_BUFFER);
		if (c->dead || c->over)
			return;
		c->len -= used;
		if (used > 0 && c->len > 0)
			memmove(c->buf, c->buf + used, c->len);
	} while (c->fresh && c->len > 0);
	if (c->len == CONN_BUFFER) {
		conn_why(c, "the peer sent %u KiB that make no message",
		    CONN_BUFFER / 1024);
		finish(c);
	}
}

/* One buffer; then the other links have their turn. */
static void
do_read(struct conn *c)
{
	enum conn_io r;
	size_t got;

	if (c->reading && !c->resting && !c->over && !c->dead) {
		r = fill(c, &got);
		/* The last words go before the end. */
		if (got > 0)
			feed(c);
		if (r == CONN_ENDED)
			finish(c);
		else
			rest(c);
		/* What TLS has taken from the socket wakes nobody. */
		if (r == CONN_DONE && c->ssl != NULL && !c->over && !c->dead)
			mark(c, DUE_READ);
	}
	if (c->buf != NULL)
		park(c);
}

/* Writing. */

static enum conn_io
plain_write(struct conn *c, struct span s, size_t *n)
{
	ssize_t r;

	do
		r = send(c->fd, s.p, s.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r == -1 && errno == EINTR);
	*n = r > 0 ? (size_t)r : 0;
	if (r >= 0)
		return CONN_DONE;
	if (errno == EAGAIN)
		return CONN_BLOCKED;
	conn_errno(c, errno);
	return CONN_ENDED;
}

/* Write what goes.  CONN_DONE: nothing is left, or a turn's share is done. */
static enum conn_io
drain(struct conn *c)
{
	enum conn_io r = CONN_DONE;
	size_t n, total = 0;
	struct span s;

	while (r == CONN_DONE && !c->dead && total < TURN_BYTES) {
		s = c->ops->output(c->arg);
		if (s.len == 0)
			break;
		r = c->ssl != NULL ? conn_tls_write(c, s, &n)
				   : plain_write(c, s, &n);
		if (n > 0)
			c->ops->written(c->arg, n);
		total += n;
	}
	if (total >= TURN_BYTES && r == CONN_DONE)
		r = CONN_BLOCKED; /* the loop says when it goes on */
	return r;
}

static void
do_write(struct conn *c)
{
	char why[CONN_WHY + 1];
	enum conn_io r;

	if (c->over || c->dead || conn_tls_busy(c))
		return;
	r = drain(c);
	if (c->dead)
		return;
	if (r == CONN_BLOCKED && !c->write_blocked)
		event_add(c->wr, NULL);
	if (r != CONN_ENDED)
		return;
	/* A peer that refuses what we write may have said why before. */
	strlcpy(why, c->why, sizeof(why));
	wake(c);
	do_read(c);
	if (!c->over && !c->dead) {
		strlcpy(c->why, why, sizeof(c->why));
		finish(c);
	}
}

void
conn_push(struct conn *c)
{
	if (!c->over && !c->dead && !conn_tls_busy(c))
		(void)drain(c);
}

/* The loop. */

/* Go on with whatever can go on. */
static void
work(struct conn *c, int readable, int writable)
{
	enum conn_io r;

	if (conn_tls_busy(c)) {
		r = conn_tls_handshake(c);
		if (r == CONN_ENDED)
			finish(c);
		if (r != CONN_DONE)
			return;
		c->ops->up(c->arg);
		readable = 1; /* it may have come with the last flight */
	}
	if (readable || c->read_blocked)
		do_read(c);
	if (writable || c->write_blocked)
		do_write(c);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	enter(c);
	work(c, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
	leave(c);
}

int
conn_turn(struct engine *e)
{
	struct conn *c, *next;
	unsigned due;

	TAILQ_FOREACH_SAFE (c, &e->conns->resting, rest_entry, next)
		if (!is_sated(c))
			wake(c);

	/* What becomes due meanwhile is for the next time. */
	TAILQ_FOREACH (c, &e->conns->due, entry)
		c->queued = 1;
	while ((c = TAILQ_FIRST(&e->conns->due)) != NULL && c->queued) {
		TAILQ_REMOVE(&e->conns->due, c, entry);
		due = c->due;
		c->due = c->queued = 0;
		enter(c);
		if (due & DUE_FAIL)
			finish(c);
		else if (!c->over && !c->dead)
			work(c, due & DUE_READ, due & DUE_WRITE);
		leave(c);
	}
	return !TAILQ_EMPTY(&e->conns->due);
}

/* For the owner. */

struct conn *
conn_new(struct engine *e, int fd, const struct conn_ops *ops, void *arg)
{
	struct conn *c;
	int flags;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		close(fd);
		return NULL;
	}
	c->e = e;
	c->fd = fd;
	c->ops = ops;
	c->arg = arg;
	c->reading = 1;
	c->rd = event_new(e->base, fd, EV_READ | EV_PERSIST, on_event, c);
	c->wr = event_new(e->base, fd, EV_WRITE, on_event, c);
	c->rest = event_new(e->base, -1, 0, on_rest, c);
	flags = fcntl(fd, F_GETFL);
	if (c->rd == NULL || c->wr == NULL || c->rest == NULL || flags == -1 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
	    event_add(c->rd, NULL) == -1) {
		free_events(c);
		close(fd);
		free(c);
		return NULL;
	}
	return c;
}

void
conn_set_ops(struct conn *c, const struct conn_ops *ops, void *arg)
{
	c->ops = ops;
	c->arg = arg;
	c->fresh = 1;
}

void
conn_want_write(struct conn *c)
{
	/* While the socket is full the loop says when it goes on. */
	if (!c->over && !c->dead && !event_pending(c->wr, EV_WRITE, NULL))
		mark(c, DUE_WRITE);
}

void
conn_read(struct conn *c, int on)
{
	if (c->over || c->dead || c->reading == (on != 0))
		return;
	c->reading = on != 0;
	if (!on) {
		event_del(c->rd);
		return;
	}
	if (c->resting)
		return;
	event_add(c->rd, NULL);
	/* TLS may have read more than it handed out. */
	if (c->ssl != NULL)
		mark(c, DUE_READ);
}

void
conn_fail(struct conn *c, const char *why)
{
	if (c->over || c->dead)
		return;
	conn_why(c, "%s", why);
	mark(c, DUE_FAIL);
}

void
conn_free(struct conn *c)
{
	if (c == NULL || c->dead)
		return;
	c->dead = 1;
	event_del(c->rd);
	event_del(c->wr);
	event_del(c->rest);
	if (c->busy == 0)
		destroy(c);
}

void
conn_kick(struct conn *c)
{
	mark(c, DUE_READ);
}
