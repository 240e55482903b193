/* SPDX-License-Identifier: ISC */
/*
 * relayd's status for those who wait for it, one question at a time, and its
 * changes as they come.  Whether relayd answers is known from both.
 */
#include <stdlib.h>

#include "client.h"
#include "log.h"
#include "serve.h"

/* A status so many milliseconds old is answered again: four questions a second
 * are all that a crowd of clients makes of it. */
#define FRESH_MS 250
/* Requests that wait for one answer: more than there are connections, since
 * who went away meanwhile is among them. */
#define WAITERS 256
/* Milliseconds before a stream that was not granted is given up. */
#define GRANT_MS 10000
/* A change has a reason of LIMIT_REASON bytes, each of which may be escaped. */
#define CHANGE_MAX 8192

struct serve_waiter {
	TAILQ_ENTRY(serve_waiter) entry;
	struct evhttp_request *req;
	serve_answer *answer;
};

void
serve_ask_put_up(const struct serve *s, struct buf *b)
{
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_bool(b, "up", s->up == 1);
	json_put_member_str(
	    b, "reason", s->up == 1 ? SPAN_LIT("") : span_str(s->why));
	buf_adds(b, SPAN_LIT("}"));
}

/* Take note of whether relayd answers; a change is told. */
static void
set_up(struct serve *s, int up, const char *why)
{
	struct buf data;
	char vis[SERVE_WHY];
	int was = s->up;

	log_vis(vis, sizeof(vis), span_str(why));
	strlcpy(s->why, vis, sizeof(s->why));
	if (was == up)
		return;
	s->up = up;
	if (up)
		log_info("relayd_up", NULL, "relayd answers");
	else
		log_warn("relayd_down", NULL, "%s", s->why);
	notify_send(&s->notify, "STATUS=%s", up ? "relayd answers" : s->why);
	buf_init(&data, CHANGE_MAX);
	serve_ask_put_up(s, &data);
	if (!data.failed)
		serve_feed_tell(s, "relayd", buf_span(&data));
	buf_free(&data);
}

/* The status. */

static void
answer_all(struct serve *s, const struct serve_told *told)
{
	struct serve_waiter *w;

	while ((w = TAILQ_FIRST(&s->waiters)) != NULL) {
		TAILQ_REMOVE(&s->waiters, w, entry);
		s->nwaiter--;
		w->answer(s, w->req, told);
		free(w);
	}
}

static void
fail_all(struct serve *s, const char *why)
{
	struct serve_told told = {.why = why};

	s->own.failed++;
	s->own.up = 0;
	s->asked_at = 0;
	answer_all(s, &told);
}

/* No status came: it is as good as gone. */
static void
ask_ended(struct serve *s, const char *why)
{
	evtimer_del(s->late);
	set_up(s, 0, why);
	fail_all(s, s->why);
}

static void
ask_late(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;

	(void)fd;
	(void)what;
	serve_line_close(&s->ask);
	ask_ended(s,
	    "relayd's engine did not answer within 2 seconds: it is "
	    "restarting, or hung; relay-ctl status says which");
}

/* The texts of two versions may not fit each other. */
static void
compare_versions(struct serve *s, struct obj *o)
{
	struct span version = field_str(o, "version");
	char vis[sizeof(s->version)];

	if (version.p == NULL || span_eq(version, span_str(VERSION)))
		return;
	log_vis(vis, sizeof(vis), version);
	if (strcmp(vis, s->version) == 0)
		return;
	strlcpy(s->version, vis, sizeof(s->version));
	log_warn("version", NULL,
	    "relayd is version %s, this is %s: restart this, too", vis,
	    VERSION);
}

static void
status_came(struct serve *s, struct span line)
{
	struct serve_told told = {.why = "relayd refused to tell its status"};
	struct obj o;
	char why[SERVE_WHY];

	buf_reset(&s->doc);
	buf_adds(&s->doc, line);
	serve_line_close(&s->ask);
	told.reply = buf_span(&s->doc);
	if (obj_parse(&o, told.reply) == -1) {
		ask_ended(s, "what answers on status.sock is no relayd");
		return;
	}
	evtimer_del(s->late);
	set_up(s, 1, "");
	told.ok = !s->doc.failed && field_true(&o, "ok");
	s->own.up = (uint64_t)told.ok;
	if (!told.ok) {
		s->own.failed++;
		s->asked_at = 0;
		if (field_str(&o, "error").p != NULL)
			told.why =
			    log_vis(why, sizeof(why), field_str(&o, "error"));
	} else
		compare_versions(s, &o);
	answer_all(s, &told);
}

/* Begin to ask.  0, or -1: that failed, and all were told. */
static int
begin(struct serve *s)
{
	const struct timeval wait = {CLIENT_WAIT_STATUS / 1000, 0};
	const char *why;

	s->own.asked++;
	s->asked_at = client_now();
	if ((why = serve_line_open(&s->ask)) != NULL) {
		ask_ended(s, why);
		return -1;
	}
	evtimer_add(s->late, &wait);
	return 0;
}

void
serve_ask(struct serve *s, struct evhttp_request *req, serve_answer *answer)
{
	struct serve_told told = {.ok = 1, .reply = buf_span(&s->doc)};
	struct serve_waiter *w = NULL;

	if (s->ask.event == NULL && s->asked_at != 0 &&
	    client_now() - s->asked_at < FRESH_MS) {
		answer(s, req, &told);
		return;
	}
	if (s->nwaiter < WAITERS)
		w = calloc(1, sizeof(*w));
	if (w == NULL) {
		serve_text(req, HTTP_SERVUNAVAIL, "busy; try again\n");
		return;
	}
	w->req = req;
	w->answer = answer;
	TAILQ_INSERT_TAIL(&s->waiters, w, entry);
	s->nwaiter++;
	if (s->ask.event == NULL)
		(void)begin(s);
}

void
serve_ask_look(struct serve *s)
{
	if (s->ask.event == NULL)
		(void)begin(s);
}

/* Changes. */

static void
change_came(struct serve *s, struct span line)
{
	struct obj o;

	if (obj_parse(&o, line) == -1 || field_raw(&o, "ok").p != NULL) {
		s->watching = field_true(&o, "ok");
		if (!s->watching)
			serve_line_close(&s->watch);
		else
			set_up(s, 1, "");
		return;
	}
	set_up(s, 1, "");
	if (memchr(line.p, '\r', line.len) != NULL)
		return; /* it would end the line of an event */
	serve_feed_tell(s,
	    span_eq(field_str(&o, "event"), SPAN_LIT("gone")) ? "gone"
							      : "state",
	    line);
}

static void
watch_ended(struct serve *s, const char *why)
{
	s->watching = 0;
	set_up(s, 0, why);
}

static void
watch(struct serve *s)
{
	const char *why;

	if ((why = serve_line_open(&s->watch)) != NULL)
		watch_ended(s, why);
}

void
serve_ask_tick(struct serve *s)
{
	if (s->watch.event == NULL)
		watch(s);
	else if (!s->watching && client_now() - s->watch.since > GRANT_MS) {
		serve_line_close(&s->watch);
		watch_ended(s,
		    "relayd's engine takes no questions: it is restarting, or "
		    "hung");
	} else if (s->watching && s->up == 0)
		serve_ask_look(s);
}

int
serve_ask_init(struct serve *s)
{
	s->up = -1;
	s->ask = (struct serve_line){.serve = s,
	    .cmd = "status",
	    .max = CLIENT_REPLY_MAX,
	    .line = status_came,
	    .end = ask_ended};
	s->watch = (struct serve_line){.serve = s,
	    .cmd = "watch",
	    .max = CHANGE_MAX + 65536, /* what is read at once */
	    .line = change_came,
	    .end = watch_ended};
	TAILQ_INIT(&s->waiters);
	buf_init(&s->doc, CLIENT_REPLY_MAX);
	s->late = evtimer_new(s->base, ask_late, s);
	return s->late == NULL ? -1 : 0;
}

void
serve_ask_free(struct serve *s)
{
	serve_line_close(&s->ask);
	serve_line_close(&s->watch);
	fail_all(s, "this server ends");
	buf_free(&s->doc);
	event_free(s->late);
}
