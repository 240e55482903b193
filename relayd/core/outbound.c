/* SPDX-License-Identifier: ISC */
/* Requests to the connector: ids mapped, each answered exactly once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent.h"
#include "core.h"
#include "outbound_frame.h"

#define WAIT_MS	  10000 /* DESIGN 2: for a reconnect, as long as not written */
#define ANSWER_MS 30000 /* CONTRACT 3 */
#define RID_MAX	  512	/* bytes of an agent's requestId, quotes included */
/* Bytes of requests without an answer: as much as may wait for the wire. */
#define BYTES_MAX LIMIT_LINK_QUEUE

static void on_timer(void *);

void
outbound_init(struct gateway *gw)
{
	struct outbound_state *os = &gw->outbound;

	TAILQ_INIT(&os->waiting);
	TAILQ_INIT(&os->sent);
	os->next_id = 1;
	timer_init(&os->timer, on_timer, gw);
}

static struct outbound_queue *
queue_of(struct gateway *gw, const struct outbound *o)
{
	return o->queued ? &gw->outbound.sent : &gw->outbound.waiting;
}

/* Out of all tables, and freed. */
static void
outbound_drop(struct gateway *gw, struct outbound *o)
{
	TAILQ_REMOVE(queue_of(gw, o), o, entry);
	htab_del(&gw->outbound.by_id, &o->by_id);
	gw->outbound.n--;
	gw->outbound.bytes -= o->linelen;
	if (o->agent != NULL)
		o->agent->noutbound--;
	free(o);
}

/* Each queue is in the order of its deadlines. */
static void
rearm(struct gateway *gw)
{
	struct outbound *a = TAILQ_FIRST(&gw->outbound.waiting),
			*b = TAILQ_FIRST(&gw->outbound.sent);
	uint64_t when = TIMER_NEVER;

	if (a != NULL)
		when = a->deadline;
	if (b != NULL && b->deadline < when)
		when = b->deadline;
	if (when == TIMER_NEVER)
		timer_clear(&gw->core->timers, &gw->outbound.timer);
	else
		timer_set(&gw->core->timers, &gw->outbound.timer, when);
}

static void
answer_agent(struct agent *a, struct span rid, struct span result)
{
	struct span piece[] = {
	    SPAN_LIT("{\"type\":\"outbound_result\",\"requestId\":"), rid,
	    SPAN_LIT(",\"result\":"), result, SPAN_LIT("}")};

	(void)agent_line(a, piece, 5);
}

/* The answer, the connector's or our own, to whom it belongs; the request is
 * over. */
static void
answer(struct gateway *gw, struct outbound *o, int theirs, struct span result)
{
	struct core *c = gw->core;

	if (o->agent != NULL)
		answer_agent(
		    o->agent, (struct span){o->data, o->ridlen}, result);
	else if (o->cookie != 0)
		c->io->send_result(c->arg, o->cookie, theirs, result);
	outbound_drop(gw, o);
}

/* An answer of our own. */
static void
put_failure(struct buf *b, const char *error, int ambiguous)
{
	buf_reset(b);
	(void)buf_adds(b, SPAN_LIT("{\"success\":false"));
	json_put_member_str(b, "error", span_str(error));
	if (ambiguous)
		json_put_member_bool(b, "ambiguous", 1);
	(void)buf_add(b, "}", 1);
}

static void
fail(struct gateway *gw, struct outbound *o, const char *error, int ambiguous)
{
	struct buf *b = &gw->core->scratch;

	put_failure(b, error, ambiguous);
	if (ambiguous)
		gw->count.outbound_ambiguous++;
	else
		gw->count.outbound_failed++;
	answer(gw, o, 0, buf_span(b));
}

void
outbound_end(struct gateway *gw, const char *why)
{
	struct outbound *o;

	while ((o = TAILQ_FIRST(&gw->outbound.sent)) != NULL ||
	    (o = TAILQ_FIRST(&gw->outbound.waiting)) != NULL)
		fail(gw, o, why, o->queued);
	rearm(gw);
}

void
outbound_free(struct gateway *gw)
{
	htab_free(&gw->outbound.by_id);
	timer_clear(&gw->core->timers, &gw->outbound.timer);
}

static const char *
why_not_sent(const struct gateway *gw, char *out, size_t cap)
{
	if (link_serves(gw))
		(void)snprintf(out, cap,
		    "the connector does not read what it is sent; "
		    "the request was not sent");
	else
		(void)snprintf(out, cap,
		    "not connected to the connector (%s: %s); "
		    "the request was not sent",
		    link_public(gw), gw->link.reason);
	return out;
}

static void
on_timer(void *arg)
{
	struct gateway *gw = arg;
	struct outbound *o;
	uint64_t now = gw->core->now;
	char why[LIMIT_REASON * 2];

	while ((o = TAILQ_FIRST(&gw->outbound.waiting)) != NULL &&
	    o->deadline <= now)
		fail(gw, o, why_not_sent(gw, why, sizeof(why)), 0);
	while (
	    (o = TAILQ_FIRST(&gw->outbound.sent)) != NULL && o->deadline <= now)
		fail(gw, o, "relay outbound timed out", 1);
	rearm(gw);
	link_check_drained(gw);
}

/* Hand the frame to the wire, or let it wait for the link. */
static void
submit(struct gateway *gw, struct outbound *o)
{
	struct span line = {o->data + o->ridlen, o->linelen};

	if (link_serves(gw) && wire_line(gw, &line, 1, &o->at) == 0) {
		o->queued = 1;
		o->deadline = gw->core->now + ANSWER_MS;
		TAILQ_INSERT_TAIL(&gw->outbound.sent, o, entry);
	} else {
		o->queued = 0;
		TAILQ_INSERT_TAIL(&gw->outbound.waiting, o, entry);
	}
}

/* Whether waiting for the link makes no sense. */
static int
is_down_for_good(const struct gateway *gw)
{
	enum link_state s = gw->link.state;

	return s == LINK_DISABLED || s == LINK_UNPROVISIONED ||
	    s == LINK_STOPPED || gw->core->stopping;
}

static struct outbound *
outbound_new(struct gateway *gw, uint64_t id, struct span rid, struct span line)
{
	struct outbound *o = malloc(sizeof(*o) + rid.len + line.len);

	if (o == NULL)
		return NULL;
	memset(o, 0, sizeof(*o));
	o->id = id;
	o->ridlen = (uint16_t)rid.len;
	o->linelen = (uint32_t)line.len;
	o->deadline = gw->core->now + WAIT_MS;
	if (rid.len > 0)
		memcpy(o->data, rid.p, rid.len);
	memcpy(o->data + rid.len, line.p, line.len);
	if (htab_add(&gw->outbound.by_id, &o->by_id, id) == -1) {
		free(o);
		return NULL;
	}
	gw->outbound.n++;
	gw->outbound.bytes += o->linelen;
	gw->count.outbound++;
	return o;
}

/* Check, build, queue.  NULL, or why not. */
static const char *
request(struct gateway *gw, struct agent *a, uint64_t cookie, struct span rid,
    int root, int action)
{
	struct buf *b = &gw->core->scratch;
	struct outbound_prompt prompt;
	struct outbound *o;
	const char *why;
	uint64_t id = gw->outbound.next_id;

	if (gw->outbound.n >= LIMIT_OUTBOUND ||
	    gw->outbound.bytes >= BYTES_MAX ||
	    (a != NULL && a->noutbound >= LIMIT_OUTBOUND_AGENT))
		return "too many requests are waiting for their result";
	if ((why = outbound_frame(gw, root, action, id, b, &prompt)) != NULL)
		return why;
	if ((o = outbound_new(gw, id, rid, buf_span(b))) == NULL)
		return "no memory";
	gw->outbound.next_id++;
	o->agent = a;
	o->cookie = cookie;
	if (a != NULL) {
		a->noutbound++;
		/* The answer to a prompt goes to who asks. */
		if (prompt.id.p != NULL)
			prompt_sent(a, prompt.id);
	}
	submit(gw, o);
	rearm(gw);
	if (!link_serves(gw))
		link_wanted(
		    gw, a != NULL ? "an agent sends" : "an operator sends");
	return NULL;
}

const char *
outbound_request(struct agent *a, int request_id, int action)
{
	struct gateway *gw = a->gw;
	struct buf *b = &gw->core->scratch;
	char copy[RID_MAX], text[LIMIT_REASON * 2];
	struct span rid = json_raw(&gw->core->doc, request_id);
	const char *why;

	if (json_str_raw(&gw->core->doc, request_id).p == NULL ||
	    rid.len > sizeof(copy))
		return "outbound: requestId must be a string of at most 510 "
		       "bytes";
	memcpy(copy, rid.p, rid.len);
	rid.p = copy;
	if (is_down_for_good(gw))
		why = why_not_sent(gw, text, sizeof(text));
	else
		why = request(gw, a, 0, rid, JSON_ROOT, action);
	if (why != NULL) {
		gw->count.outbound_failed++;
		put_failure(b, why, 0);
		answer_agent(a, rid, buf_span(b));
	}
	return NULL;
}

const char *
outbound_operator(struct gateway *gw, struct span action, uint64_t cookie)
{
	struct json_doc *doc = &gw->core->doc;

	if (is_down_for_good(gw))
		return gw->link.reason;
	if (json_parse(doc, action.p, action.len, 2) == -1)
		return doc->err;
	if (doc->full)
		(void)json_parse(doc, action.p, action.len, 1);
	return request(gw, NULL, cookie, (struct span){"", 0}, -1, JSON_ROOT);
}

/* The request under way that a result's id is of; NULL. */
static struct outbound *
find(struct gateway *gw, struct span id_text)
{
	struct hnode *n;
	struct outbound *o;
	uint64_t epoch, id;

	if (core_parse_id(id_text, &epoch, &id) == -1 ||
	    epoch != gw->delivery.journal.epoch ||
	    (n = htab_find(&gw->outbound.by_id, id)) == NULL)
		return NULL;
	o = (struct outbound *)(void *)((char *)n -
	    offsetof(struct outbound, by_id));
	return o;
}

/* A result that is an object goes to who asked as it came. */
static void
pass(struct gateway *gw, struct outbound *o, int result)
{
	static const struct json_want success =
	    JSON_WANT("success", JSON_ANY, 0);
	struct core *c = gw->core;
	const struct json_doc *doc = &c->doc;
	struct span raw = json_raw(doc, result);
	int at;

	/* For a count alone: what is odd about it, who asked may judge. */
	(void)json_pick(&doc, &result, &c->part, &c->key, &success, 1);
	at = json_get(doc, result, "success");
	if (at != -1 && doc->node[at].type == JSON_TRUE)
		gw->count.outbound_ok++;
	else
		gw->count.outbound_failed++;
	answer(gw, o, 1, raw);
}

void
outbound_result(struct gateway *gw, int request_id, int result)
{
	const struct json_doc *doc = &gw->core->doc;
	struct outbound *o = find(gw, json_str_raw(doc, request_id));

	if (o == NULL) {
		gw->count.unknown_frames++;
		return;
	}
	if (!o->queued)
		return;
	if (result != -1 && doc->node[result].type == JSON_OBJECT)
		pass(gw, o, result);
	else {
		core_remark(gw, LOG_WARNING, "bad_result",
		    "the connector answered a request with a result that is no "
		    "object");
		/* It came that far: it may have been carried out. */
		fail(gw, o, "the connector's result is no JSON object", 1);
	}
	rearm(gw);
	link_check_drained(gw);
}

void
outbound_link_up(struct gateway *gw)
{
	struct outbound_queue q = TAILQ_HEAD_INITIALIZER(q);
	struct outbound *o;

	TAILQ_CONCAT(&q, &gw->outbound.waiting, entry);
	while ((o = TAILQ_FIRST(&q)) != NULL) {
		TAILQ_REMOVE(&q, o, entry);
		submit(gw, o);
	}
	rearm(gw);
}

void
outbound_link_lost(struct gateway *gw, uint64_t written)
{
	struct outbound_queue q = TAILQ_HEAD_INITIALIZER(q);
	struct outbound *o, *next, *first = TAILQ_FIRST(&gw->outbound.waiting);
	uint64_t deadline = gw->core->now + WAIT_MS;

	/* What never left may leave yet, before what came later; so it can
	 * wait no longer than that. */
	if (first != NULL && first->deadline < deadline)
		deadline = first->deadline;
	TAILQ_FOREACH_SAFE (o, &gw->outbound.sent, entry, next) {
		if (o->at < written) {
			fail(gw, o, "relay transport connection lost", 1);
			continue;
		}
		TAILQ_REMOVE(&gw->outbound.sent, o, entry);
		o->queued = 0;
		o->deadline = deadline;
		TAILQ_INSERT_TAIL(&q, o, entry);
	}
	TAILQ_CONCAT(&q, &gw->outbound.waiting, entry);
	TAILQ_CONCAT(&gw->outbound.waiting, &q, entry);
	rearm(gw);
}

void
outbound_agent_gone(struct agent *a)
{
	struct outbound_state *os = &a->gw->outbound;
	struct outbound *o, *next;

	TAILQ_FOREACH (o, &os->sent, entry)
		if (o->agent == a)
			o->agent = NULL;
	/* Not sent, and nobody left to hear of it: but a person may be waiting
	 * for the message. */
	TAILQ_FOREACH_SAFE (o, &os->waiting, entry, next)
		if (o->agent == a)
			o->agent = NULL;
	a->noutbound = 0;
}
