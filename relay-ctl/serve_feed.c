/* SPDX-License-Identifier: ISC */
/*
 * /events: what relayd tells of changes, as server-sent events.  The last ones
 * are kept, so that a client that was away for a moment misses none.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <inttypes.h>
#include <stdlib.h>

#include "client.h"
#include "serve.h"

/* Clients: screens that somebody looks at. */
#define FEEDS 16
/* Bytes that wait for one, after which it is cut off: many times what is
 * kept for who was away. */
#define FEED_QUEUE (1024U * 1024)
/* Seconds that what waits for one may stay unread. */
#define FEED_STUCK_S 60
/* Milliseconds between comments that show that the connection lives. */
#define BEAT_MS 15000
/* Bytes of an event: a change of at most 8 KiB, and its head. */
#define EVENT_MAX 16384

struct serve_feed {
	TAILQ_ENTRY(serve_feed) entry;
	struct serve *serve;
	struct evhttp_request *req;
	struct bufferevent *bev;
	int cut; /* it is being ended */
};

static void
drop(struct serve *s, struct serve_feed *f)
{
	TAILQ_REMOVE(&s->feeds, f, entry);
	s->own.clients--;
	free(f);
}

/* evhttp ends the connection; a request that it has parted with is ours. */
static void
closed(struct evhttp_connection *evcon, void *arg)
{
	struct serve_feed *f = arg;
	struct evhttp_request *req = f->req;

	(void)evcon;
	drop(f->serve, f);
	if (evhttp_request_get_connection(req) == NULL)
		evhttp_send_reply_end(req);
}

/* It is cut off when too much waits for it; evhttp then ends it. */
static void
send_text(struct serve_feed *f, struct span text)
{
	struct evbuffer *out = bufferevent_get_output(f->bev), *b;

	if (f->cut)
		return;
	if (evbuffer_get_length(out) > FEED_QUEUE) {
		f->cut = 1;
		f->serve->own.dropped++;
		serve_conn_cut(f->bev);
		return;
	}
	if ((b = evbuffer_new()) == NULL)
		return;
	evbuffer_add(b, text.p, text.len);
	evhttp_send_reply_chunk(f->req, b);
	evbuffer_free(b);
}

void
serve_feed_tell(struct serve *s, const char *event, struct span data)
{
	struct serve_feed *f, *next;
	char **kept = &s->kept[++s->last % SERVE_KEPT];
	struct buf b;

	buf_init(&b, EVENT_MAX);
	buf_addf(&b, "id: %" PRIx64 "-%" PRIu64 "\nevent: %s\ndata: ", s->epoch,
	    s->last, event);
	buf_adds(&b, data);
	buf_add(&b, "\n\n", sizeof("\n\n"));
	free(*kept);
	*kept = b.failed ? NULL : strdup(buf_span(&b).p);
	buf_free(&b);
	for (f = TAILQ_FIRST(&s->feeds); f != NULL && *kept != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		send_text(f, span_str(*kept));
	}
}

/* What came after the event that the client saw last.  0, or -1 when that is
 * not known any more. */
static int
replay(struct serve *s, struct serve_feed *f, const char *seen)
{
	uint64_t epoch, id = 0;
	const char *text;
	char *end;

	epoch = strtoull(seen, &end, 16);
	if (*end == '-')
		id = strtoull(end + 1, &end, 10);
	if (*end != '\0' || epoch != s->epoch || id > s->last ||
	    s->last - id > SERVE_KEPT)
		return -1;
	while (id < s->last)
		if ((text = s->kept[++id % SERVE_KEPT]) != NULL)
			send_text(f, span_str(text));
	return 0;
}

/* How it stands, or what was missed. */
static void
greet(struct serve *s, struct serve_feed *f)
{
	const char *seen = evhttp_find_header(
	    evhttp_request_get_input_headers(f->req), "Last-Event-ID");
	struct buf b;

	send_text(f, SPAN_LIT("retry: 2000\n\n"));
	if (seen != NULL && replay(s, f, seen) == 0)
		return;
	/* Nobody knows yet: the event that tells it comes. */
	if (seen == NULL && s->up == -1)
		return;
	/* An id to begin with, and not an event of anybody else. */
	buf_init(&b, EVENT_MAX);
	buf_addf(&b, "id: %" PRIx64 "-%" PRIu64 "\nevent: %s\ndata: ", s->epoch,
	    s->last, seen != NULL ? "missed" : "relayd");
	serve_ask_put_up(s, &b);
	buf_adds(&b, SPAN_LIT("\n\n"));
	if (!b.failed)
		send_text(f, buf_span(&b));
	buf_free(&b);
}

void
serve_feed(struct serve *s, struct evhttp_request *req)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	const struct timeval stuck = {FEED_STUCK_S, 0};
	struct serve_feed *f;

	if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD) {
		serve_reply(req, HTTP_OK, "text/event-stream", SPAN_LIT(""));
		return;
	}
	if (s->own.clients >= FEEDS || (f = calloc(1, sizeof(*f))) == NULL) {
		serve_text(req, HTTP_SERVUNAVAIL,
		    "there are %u clients of /events already\n", FEEDS);
		return;
	}
	f->serve = s;
	f->req = req;
	f->bev = evhttp_connection_get_bufferevent(evcon);
	TAILQ_INSERT_TAIL(&s->feeds, f, entry);
	s->own.clients++;
	serve_conn_asked(s, req, 1);
	bufferevent_set_timeouts(f->bev, NULL, &stuck);
	evhttp_connection_set_closecb(evcon, closed, f);
	serve_headers(req, "text/event-stream");
	evhttp_send_reply_start(req, HTTP_OK, "OK");
	greet(s, f);
}

void
serve_feed_tick(struct serve *s)
{
	struct serve_feed *f, *next;

	if (client_now() - s->beat < BEAT_MS)
		return;
	s->beat = client_now();
	for (f = TAILQ_FIRST(&s->feeds); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		send_text(f, SPAN_LIT(": heartbeat\n\n"));
	}
}

void
serve_feed_free(struct serve *s)
{
	size_t i;

	while (!TAILQ_EMPTY(&s->feeds))
		drop(s, TAILQ_FIRST(&s->feeds));
	for (i = 0; i < SERVE_KEPT; i++)
		free(s->kept[i]);
}
