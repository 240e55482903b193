/* SPDX-License-Identifier: ISC */
/*
 * control.sock and status.sock: who may connect, lines in and out, deadlines.
 *
 * A client's requests are handled one at a time: the next is looked at when
 * the reply to the last is written.  So replies are in order, and a client
 * that sends without reading fills its own socket and nothing of ours.
 */
#include <sys/socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "control_priv.h"
#include "headroom.h"
#include "log.h"

static void client_run(struct client *c);

/* The deadline that holds now. */
static void
client_arm(struct client *c)
{
	struct timeval tv = {CONTROL_IDLE, 0};

	if (buf_len(&c->out) > 0)
		tv.tv_sec = CONTROL_STALL;
	else if (c->cookie != 0)
		tv.tv_sec = c->wait_s;
	else if (client_streams(c)) {
		event_del(c->timer);
		return;
	}
	event_add(c->timer, &tv);
}

void
client_doom(struct client *c)
{
	if (c->doomed)
		return;
	c->doomed = 1;
	event_del(c->rd);
	event_del(c->wr);
	event_active(c->control->reap, EV_TIMEOUT, 0);
}

void
client_close(struct client *c)
{
	c->closing = 1;
	event_del(c->rd);
	if (buf_len(&c->out) == 0)
		client_doom(c);
}

void
client_flush(struct client *c)
{
	if (c->doomed)
		return;
	if (c->out.failed) {
		log_warn("control", NULL,
		    "client of uid %u, pid %d, cut off: more than %u bytes "
		    "wait for it",
		    c->uid, c->pid, CONTROL_OUT_MAX);
		client_doom(c);
		return;
	}
	if (buf_len(&c->out) > 0 && !event_pending(c->wr, EV_WRITE, NULL)) {
		event_add(c->wr, NULL);
		client_arm(c);
	}
}

uint64_t
client_wait(struct client *c, uint8_t wait_s)
{
	/* The lower half names reload requests: it must not be 0 either. */
	do
		c->cookie = ++c->control->next_cookie;
	while ((uint32_t)c->cookie == 0);
	c->wait_s = wait_s;
	event_del(c->rd);
	client_arm(c);
	return c->cookie;
}

struct client *
client_answered(struct control *ct, uint64_t cookie)
{
	struct client *c;

	TAILQ_FOREACH (c, &ct->clients, entry) {
		if (c->cookie == cookie && !c->doomed) {
			c->cookie = 0;
			return c;
		}
	}
	return NULL;
}

struct client *
client_asked(struct control *ct, uint32_t corr)
{
	struct client *c;

	TAILQ_FOREACH (c, &ct->clients, entry)
		if (c->cookie != 0 && (uint32_t)c->cookie == corr)
			break;
	return c == NULL ? NULL : client_answered(ct, c->cookie);
}

static void
client_free(struct client *c)
{
	struct control *ct = c->control;

	tap_end(c);
	sessions_end(c);
	TAILQ_REMOVE(&ct->clients, c, entry);
	ct->nclient--;
	event_free(c->rd);
	event_free(c->wr);
	event_free(c->timer);
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
}

static void
on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct control *ct = arg;
	struct client *c, *next;

	(void)fd;
	(void)what;
	for (c = TAILQ_FIRST(&ct->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->doomed)
			client_free(c);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	if (buf_len(&c->out) > 0) {
		log_info("control", NULL,
		    "client of uid %u, pid %d, cut off: it read nothing for "
		    "%d s",
		    c->uid, c->pid, CONTROL_STALL);
		client_doom(c);
	} else if (c->cookie != 0) {
		c->cookie = 0;
		control_refuse(c, "timeout",
		    "no answer within %u s; what became of it is not known",
		    c->wait_s);
		client_run(c);
	} else
		client_doom(c);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct span s = buf_span(&c->out);
	ssize_t n;

	(void)what;
	n = write((int)fd, s.p, s.len);
	if (n == -1) {
		if (errno != EAGAIN && errno != EINTR) {
			client_doom(c);
			return;
		}
	} else {
		buf_drain(&c->out, (size_t)n);
		client_arm(c); /* it reads */
	}
	if (c->lost > 0)
		tap_resume(c);
	if (buf_len(&c->out) > 0)
		return;
	event_del(c->wr);
	buf_shrink(&c->out);
	if (c->closing)
		client_doom(c);
	else
		client_run(c);
}

/* Take one whole line off the input.  1 when there was one. */
static int
take_line(struct client *c)
{
	struct span in = buf_span(&c->in);
	const char *nl;
	size_t len;

	if (in.len == 0)
		return 0;
	if ((nl = memchr(in.p, '\n', in.len)) == NULL) {
		if (in.len <= LIMIT_CONTROL_LINE)
			return 0;
		control_refuse(c, "bad_request", "a line has at most %u bytes",
		    LIMIT_CONTROL_LINE);
		client_close(c);
		return 0;
	}
	len = (size_t)(nl - in.p);
	if (len > 0)
		control_request(c, (struct span){in.p, len});
	buf_drain(&c->in, len + 1);
	return 1;
}

/* Go on with what was read, as far as the rules above allow. */
static void
client_run(struct client *c)
{
	while (!c->doomed && !c->closing && c->cookie == 0 &&
	    buf_len(&c->out) == 0) {
		if (take_line(c))
			continue;
		if (c->closing || c->doomed)
			return;
		if (c->eof)
			client_close(c);
		else {
			buf_shrink(&c->in);
			event_add(c->rd, NULL);
			client_arm(c);
		}
		return;
	}
	/* A stream is read all the same, so that its end is seen. */
	if (!c->doomed && !c->closing && !client_streams(c))
		event_del(c->rd);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	size_t want = 16 * 1024, have = buf_len(&c->in);
	ssize_t n;
	char *p;

	(void)what;
	if (have + want > LIMIT_CONTROL_LINE + 1)
		want = LIMIT_CONTROL_LINE + 1 - have;
	if (want == 0) { /* a stream's client that talks and does not listen */
		client_doom(c);
		return;
	}
	if ((p = buf_reserve(&c->in, want)) == NULL) {
		client_doom(c);
		return;
	}
	n = read((int)fd, p, want);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1 || (n == 0 && client_streams(c))) {
		client_doom(c);
		return;
	}
	if (n == 0) {
		c->eof = 1;
		event_del(c->rd);
	} else
		buf_commit(&c->in, (size_t)n);
	client_run(c);
}

/* Why this client is not let in; NULL: it is. */
static const char *
too_many(struct control *ct, uint32_t uid, int fd)
{
	const struct client *c;
	uint32_t same = 0;

	if (!headroom_left(ct->e, fd, 0)) {
		headroom_log("control", NULL,
		    "descriptors for links would run out", &ct->said);
		return HEADROOM_LACK;
	}
	if (ct->nclient >= LIMIT_CONTROL ||
	    (uid != 0 && ct->nclient >= LIMIT_CONTROL - CONTROL_RESERVED))
		return "too many control connections; try again";
	TAILQ_FOREACH (c, &ct->clients, entry)
		same += c->uid == uid;
	return same >= CONTROL_PER_UID
	    ? "too many control connections of this user; close some"
	    : NULL;
}

/* Write what fits now: there will be no other time. */
static void
push(struct client *c)
{
	struct span s = buf_span(&c->out);
	ssize_t n = write(c->fd, s.p, s.len);

	if (n > 0)
		buf_drain(&c->out, (size_t)n);
}

static struct client *
client_alloc(struct control *ct, int fd)
{
	struct event_base *base = ct->e->base;
	struct client *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	c->control = ct;
	c->fd = fd;
	buf_init(&c->in, LIMIT_CONTROL_LINE + 1);
	buf_init(&c->out, CONTROL_OUT_MAX);
	c->rd = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->wr = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	c->timer = event_new(base, -1, 0, on_timer, c);
	if (c->rd == NULL || c->wr == NULL || c->timer == NULL) {
		if (c->rd != NULL)
			event_free(c->rd);
		if (c->wr != NULL)
			event_free(c->wr);
		if (c->timer != NULL)
			event_free(c->timer);
		free(c);
		return NULL;
	}
	return c;
}

static void
client_new(struct control *ct, enum listener_kind kind, int fd)
{
	struct ucred peer = {.pid = 0, .uid = UINT32_MAX, .gid = UINT32_MAX};
	socklen_t len = sizeof(peer);
	struct client *c;
	const char *why;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1 ||
	    (c = client_alloc(ct, fd)) == NULL) {
		close(fd);
		return;
	}
	c->kind = kind;
	c->uid = peer.uid;
	c->pid = peer.pid;
	why = too_many(ct, peer.uid, fd);
	TAILQ_INSERT_TAIL(&ct->clients, c, entry);
	ct->nclient++;
	if (why == NULL) {
		client_run(c);
		return;
	}
	/* It must not keep the place that it does not get. */
	control_refuse(c, "busy", "%s", why);
	push(c);
	client_free(c);
}

/* No descriptors left: leave the listeners alone for a second. */
static void
pause_listening(struct control *ct)
{
	struct timeval tv = {1, 0};
	size_t i;

	headroom_log("control", NULL, strerror(errno), &ct->said);
	for (i = 0; i <= LISTEN_LAST; i++)
		if (ct->ev[i] != NULL)
			event_del(ct->ev[i]);
	event_add(ct->again, &tv);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct control *ct = arg;
	size_t i;

	(void)fd;
	(void)what;
	for (i = 0; i <= LISTEN_LAST; i++)
		if (ct->ev[i] != NULL)
			event_add(ct->ev[i], NULL);
}

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct control *ct = arg;
	enum listener_kind kind;
	int fd;

	(void)what;
	kind = lfd == ct->fd[LISTEN_STATUS] ? LISTEN_STATUS : LISTEN_CONTROL;
	fd = accept4((int)lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1)
		client_new(ct, kind, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
	    errno == ENOBUFS)
		pause_listening(ct);
}

struct control *
control_new(struct engine *e)
{
	struct control *ct;
	size_t i;

	if ((ct = calloc(1, sizeof(*ct))) == NULL)
		return NULL;
	ct->e = e;
	TAILQ_INIT(&ct->clients);
	buf_init(&ct->scratch, CONTROL_OUT_MAX);
	for (i = 0; i <= LISTEN_LAST; i++)
		ct->fd[i] = -1;
	ct->reap = event_new(e->base, -1, 0, on_reap, ct);
	ct->again = event_new(e->base, -1, 0, on_again, ct);
	if (ct->reap == NULL || ct->again == NULL) {
		control_free(ct);
		return NULL;
	}
	return ct;
}

static void
listen_end(struct control *ct, size_t kind)
{
	if (ct->ev[kind] != NULL)
		event_free(ct->ev[kind]);
	if (ct->fd[kind] != -1)
		close(ct->fd[kind]);
	ct->ev[kind] = NULL;
	ct->fd[kind] = -1;
}

void
control_free(struct control *ct)
{
	struct client *c;
	size_t i;

	if (ct == NULL)
		return;
	while ((c = TAILQ_FIRST(&ct->clients)) != NULL)
		client_free(c);
	for (i = 0; i <= LISTEN_LAST; i++)
		listen_end(ct, i);
	if (ct->reap != NULL)
		event_free(ct->reap);
	if (ct->again != NULL)
		event_free(ct->again);
	buf_free(&ct->scratch);
	free(ct);
}

int
control_listen(struct control *ct, enum listener_kind kind, int fd)
{
	struct event *ev;

	if (evutil_make_socket_nonblocking(fd) == -1 ||
	    (ev = event_new(ct->e->base, fd, EV_READ | EV_PERSIST, on_accept,
		 ct)) == NULL) {
		close(fd);
		return -1;
	}
	listen_end(ct, kind);
	ct->fd[kind] = fd;
	ct->ev[kind] = ev;
	return event_add(ev, NULL);
}

void
control_stop(struct control *ct)
{
	struct client *c;
	size_t i;

	for (i = 0; i <= LISTEN_LAST; i++)
		listen_end(ct, i);
	TAILQ_FOREACH (c, &ct->clients, entry) {
		if (c->cookie != 0 || client_streams(c)) {
			c->cookie = 0;
			control_refuse(c, "failed", "relayd is stopping");
		}
		if (buf_len(&c->out) > 0)
			push(c);
		client_close(c);
	}
}
