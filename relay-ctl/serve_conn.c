/* SPDX-License-Identifier: ISC */
/*
 * Bounds on connections.  evhttp tells of a new one by asking for its
 * bufferevent, and of its end not at all: a reference is held to each, and one
 * whose callbacks are gone was freed by evhttp.  Its descriptor is closed with
 * the last reference, and not by evhttp: libevent must not see its number used
 * anew while it is still held.  A connection is ended by
 * shutting its socket down, which evhttp sees as any other end.
 */
#include <event2/bufferevent.h>
#include <stdlib.h>

#include "client.h"
#include "serve.h"

/* Connections at once: some dashboards and probes, and the clients of
 * /events. */
#define CONNS 64
/* Milliseconds until a request must be there, and from its beginning until its
 * answer must be read. */
#define ASK_MS	 10000
#define WHOLE_MS 30000
/* Bytes that are read ahead; more than a request may have. */
#define READ_AHEAD 32768

struct serve_conn {
	TAILQ_ENTRY(serve_conn) entry;
	struct bufferevent *bev;
	int64_t since; /* client_now() */
	uint8_t asked, streams;
};

static int
is_gone(const struct serve_conn *c)
{
	bufferevent_event_cb event = NULL;

	bufferevent_getcb(c->bev, NULL, NULL, &event, NULL);
	return event == NULL;
}

static void
forget(struct serve *s, struct serve_conn *c)
{
	TAILQ_REMOVE(&s->conns, c, entry);
	s->nconn--;
	bufferevent_decref(c->bev);
	free(c);
}

static void
sweep(struct serve *s)
{
	struct serve_conn *c, *next;

	for (c = TAILQ_FIRST(&s->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (is_gone(c))
			forget(s, c);
	}
}

void
serve_conn_cut(struct bufferevent *bev)
{
	evutil_socket_t fd = bufferevent_getfd(bev);

	if (fd != -1)
		shutdown(fd, SHUT_RDWR);
}

/* There is no room: who is silent longest leaves.  When all have asked, nobody
 * else is let in until one of them is done. */
static void
make_room(struct serve *s)
{
	struct serve_conn *c;

	TAILQ_FOREACH (c, &s->conns, entry)
		if (!c->asked && bufferevent_getfd(c->bev) != -1)
			break;
	if (c == NULL) {
		evconnlistener_disable(s->listener);
		return;
	}
	c->asked = 1; /* not chosen twice */
	c->since = client_now() - WHOLE_MS;
	serve_conn_cut(c->bev);
}

struct bufferevent *
serve_conn_new(struct event_base *base, void *arg)
{
	struct serve *s = arg;
	struct serve_conn *c = calloc(1, sizeof(*c));
	struct bufferevent *bev =
	    bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	if (c == NULL || bev == NULL) {
		/* evhttp makes one by itself, or fails as well; a moment
		 * without new ones gives memory back. */
		free(c);
		evconnlistener_disable(s->listener);
		return bev;
	}
	sweep(s); /* before it is there: it has no callbacks yet */
	bufferevent_incref(bev);
	bufferevent_setwatermark(bev, EV_READ, 0, READ_AHEAD);
	c->bev = bev;
	c->since = client_now();
	TAILQ_INSERT_TAIL(&s->conns, c, entry);
	if (++s->nconn >= CONNS)
		make_room(s);
	return bev;
}

void
serve_conn_asked(struct serve *s, struct evhttp_request *req, int streams)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	struct serve_conn *c;

	if (evcon == NULL)
		return;
	TAILQ_FOREACH (c, &s->conns, entry)
		if (c->bev == evhttp_connection_get_bufferevent(evcon)) {
			c->asked = 1;
			c->streams = (uint8_t)streams;
		}
}

void
serve_conn_tick(struct serve *s)
{
	const int64_t now = client_now();
	struct serve_conn *c;

	sweep(s);
	TAILQ_FOREACH (c, &s->conns, entry)
		if (!c->streams &&
		    now - c->since > (c->asked ? WHOLE_MS : ASK_MS))
			serve_conn_cut(c->bev);
	if (s->nconn < CONNS)
		evconnlistener_enable(s->listener);
}

void
serve_conn_free(struct serve *s)
{
	while (!TAILQ_EMPTY(&s->conns))
		forget(s, TAILQ_FIRST(&s->conns));
}
