/* SPDX-License-Identifier: ISC */
/* A Unix socket for few local clients; see linesock.h. */
#include <sys/socket.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linesock.h"
#include "log.h"
#include "secmem.h"

/* Bytes of one answer: a line for each of a thousand gateways. */
#define ANSWER_MAX (4U * 1024 * 1024)
#define READ_CHUNK 4096

struct client {
	struct linesock_client who;
	struct linesock *l;
	struct event *rd, *wr;
	int fd;
	uint8_t waits;	/* for its answer */
	uint8_t doomed; /* ends when its answer is written */
	struct buf in;	/* secret memory */
	struct buf out;
};

struct linesock {
	struct event_base *base;
	struct event *ev;
	int fd;
	uid_t owner;
	size_t max;
	linesock_fn *fn;
	void *arg;
	uint32_t ids;
	struct client *client[LINESOCK_CLIENTS];
};

static const struct timeval silence = {LINESOCK_SILENCE, 0};

static void
client_free(struct client *c)
{
	for (size_t i = 0; i < LINESOCK_CLIENTS; i++)
		if (c->l->client[i] == c)
			c->l->client[i] = NULL;
	if (c->rd != NULL)
		event_free(c->rd);
	if (c->wr != NULL)
		event_free(c->wr);
	close(c->fd);
	secmem_unmap(c->in.p, c->in.cap);
	buf_free(&c->out);
	free(c);
}

static void
say(struct client *c, struct span text)
{
	c->waits = 0;
	buf_adds(&c->out, text);
	buf_add(&c->out, "\n", 1);
	if (c->out.failed)
		c->doomed = 1;
	event_add(c->wr, &silence);
}

static void
refuse(struct client *c, struct span text)
{
	c->doomed = 1;
	buf_free(&c->in);
	event_del(c->rd);
	say(c, text);
}

/* Hand on the next line, unless the last one is still to be answered. */
static void
next_line(struct client *c)
{
	struct span s = buf_span(&c->in);
	const char *nl = s.len > 0 ? memchr(s.p, '\n', s.len) : NULL;
	const size_t len = nl != NULL ? (size_t)(nl - s.p) : s.len;

	if (c->waits || c->doomed)
		return;
	if (len > c->l->max)
		refuse(c,
		    SPAN_LIT("{\"ok\":false,\"code\":\"bad_request\","
			     "\"error\":\"the line is too long\"}"));
	if (len > c->l->max || nl == NULL)
		return;
	c->waits = 1;
	event_del(c->rd);
	c->l->fn(&c->who, (struct span){s.p, len}, c->l->arg);
	buf_drain(&c->in, len + 1);
	if (buf_len(&c->in) == 0)
		buf_free(&c->in); /* cleansed */
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct span s = buf_span(&c->out);
	ssize_t n = -1;

	if ((what & EV_TIMEOUT) == 0)
		n = write((int)fd, s.p, s.len);
	if (n == -1 && (what & EV_TIMEOUT) == 0 &&
	    (errno == EAGAIN || errno == EINTR))
		n = 0;
	if (n == -1) {
		client_free(c);
		return;
	}
	buf_drain(&c->out, (size_t)n);
	if (buf_len(&c->out) > 0) {
		event_add(c->wr, &silence);
		return;
	}
	buf_free(&c->out);
	next_line(c);
	if (!c->waits && buf_len(&c->out) == 0) {
		if (c->doomed)
			client_free(c);
		else
			event_add(c->rd, &silence);
	}
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	char *to = buf_reserve(&c->in, READ_CHUNK);
	ssize_t n = 0;

	if (to != NULL && (what & EV_TIMEOUT) == 0)
		n = read((int)fd, to, READ_CHUNK);
	if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
		event_add(c->rd, &silence);
		return;
	}
	if (n <= 0) {
		client_free(c);
		return;
	}
	buf_commit(&c->in, (size_t)n);
	event_add(c->rd, &silence);
	next_line(c);
}

/* Let it say something: in secret memory, which a line and what comes with its
 * end fit into. */
static void
let_in(struct client *c)
{
	const size_t size = c->l->max + READ_CHUNK + 1;
	void *p = secmem_new(size, NULL);

	if (p == NULL) {
		log_err("linesock", NULL, "memory for secrets: %s",
		    strerror(errno));
		refuse(c,
		    SPAN_LIT("{\"ok\":false,\"code\":\"storage\",\"error\":"
			     "\"relay-authd finds no memory for secrets: "
			     "raise its limit on locked memory\"}"));
		return;
	}
	buf_over(&c->in, p, size);
	event_add(c->rd, &silence);
}

static struct client *
client_new(struct linesock *l, int fd, size_t slot)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		return NULL;
	}
	c->l = l;
	c->fd = fd;
	buf_init(&c->out, ANSWER_MAX);
	c->rd = event_new(l->base, fd, EV_READ, on_read, c);
	c->wr = event_new(l->base, fd, EV_WRITE, on_write, c);
	if (c->rd == NULL || c->wr == NULL) {
		client_free(c);
		return NULL;
	}
	l->client[slot] = c;
	return c;
}

void
linesock_add(struct linesock *l, int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t len = sizeof(peer);
	struct client *c;
	size_t i = 0;

	while (i < LINESOCK_CLIENTS && l->client[i] != NULL)
		i++;
	if (i == LINESOCK_CLIENTS ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1) {
		close(fd);
		return;
	}
	if ((c = client_new(l, fd, i)) == NULL)
		return;
	if (++l->ids == 0)
		l->ids = 1;
	c->who = (struct linesock_client){l->ids, peer.uid, peer.pid};
	if (peer.uid == 0 || peer.uid == l->owner) {
		let_in(c);
		return;
	}
	log_warn("linesock", NULL, "uid %u, pid %d is not let in",
	    (unsigned)peer.uid, (int)peer.pid);
	refuse(c,
	    SPAN_LIT("{\"ok\":false,\"code\":\"denied\",\"error\":\"only root "
		     "and the user relayd runs as may do this\"}"));
}

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct linesock *l = arg;
	int fd;

	(void)what;
	fd = accept4((int)lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd != -1)
		linesock_add(l, fd);
}

struct linesock *
linesock_new(struct event_base *base, int fd, uid_t owner, size_t max,
    linesock_fn *fn, void *arg)
{
	struct linesock *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	*l = (struct linesock){
	    .base = base, .fd = -1, .max = max, .fn = fn, .arg = arg};
	if (linesock_listen(l, fd, owner) == 0)
		return l;
	free(l);
	return NULL;
}

int
linesock_listen(struct linesock *l, int fd, uid_t owner)
{
	struct event *ev = NULL;

	if (fd != -1 &&
	    (ev = event_new(l->base, fd, EV_READ | EV_PERSIST, on_accept, l)) ==
		NULL)
		return -1;
	if (ev != NULL && event_add(ev, NULL) == -1) {
		event_free(ev);
		return -1;
	}
	if (l->ev != NULL)
		event_free(l->ev);
	if (l->fd != -1)
		close(l->fd);
	l->ev = ev;
	l->fd = fd;
	l->owner = owner;
	return 0;
}

void
linesock_free(struct linesock *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < LINESOCK_CLIENTS; i++)
		if (l->client[i] != NULL)
			client_free(l->client[i]);
	if (l->ev != NULL)
		event_free(l->ev);
	if (l->fd != -1)
		close(l->fd);
	free(l);
}

void
linesock_answer(struct linesock *l, uint32_t id, struct span text)
{
	for (size_t i = 0; i < LINESOCK_CLIENTS; i++)
		if (l->client[i] != NULL && l->client[i]->who.id == id &&
		    l->client[i]->waits)
			say(l->client[i], text);
}
