/* SPDX-License-Identifier: ISC */
/* Requests to the connector: ids mapped, each answered exactly once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "core.h"
#include "log.h"

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

/* The answer, to whom it belongs; the request is over. */
static void
answer(struct gateway *gw, struct outbound *o, struct span result)
{
	struct core *c = gw->core;

	if (o->agent != NULL)
		answer_agent(
		    o->agent, (struct span){o->data, o->ridlen}, result);
	else if (o->cookie != 0)
		c->io->send_result(c->arg, o->cookie, result);
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
	answer(gw, o, buf_span(b));
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

/* Whether a member is one that we write ourselves, however it is escaped. */
static int
is_ours(const struct json_doc *doc, int node)
{
	static const struct span ours[] = {SPAN_LIT("type"),
	    SPAN_LIT("requestId"), SPAN_LIT("action"), SPAN_LIT("platform"),
	    SPAN_LIT("botId")};
	char key[sizeof("requestId")]; /* the longest: no other fits in */
	struct span raw = {
	    doc->text + doc->node[node].key, doc->node[node].keylen};
	ptrdiff_t n = json_unescape(raw, key, sizeof(key));
	size_t i;

	if (n < 0)
		return 0;
	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (span_eq((struct span){key, (size_t)n}, ours[i]))
			return 1;
	return 0;
}

/* We and the connector might each read another one of two members of the same
 * name. */
static int
is_ambiguous(
    const struct json_doc *doc, int root, int action, struct json_doc *part)
{
	int metadata = json_get(doc, action, "metadata");

	return json_twice(doc, root) || json_twice(doc, action) ||
	    json_enter(&doc, &metadata, part) == -1 ||
	    json_twice(doc, metadata);
}

/* The members of an action that we look at. */
enum member { M_OP, M_CONTENT, M_KIND, M_COUNT };

static const struct json_want members[M_COUNT] = {
    [M_OP] = JSON_WANT("op", JSON_ANY, 0),
    [M_CONTENT] = JSON_WANT("content", JSON_ANY, 0),
    [M_KIND] = JSON_WANT("kind", JSON_ANY, 0),
};

/* Whose content the descriptor bounds. */
static const struct span bounded[] = {
    SPAN_LIT("send"), SPAN_LIT("edit"), SPAN_LIT("follow_up")};

static int
is_op(struct span op, const char *name)
{
	return span_eq(op, span_str(name));
}

/* The platform that the kind of a follow_up begins with, or -1. */
static int
kind_identity(const struct gateway *gw, struct span kind)
{
	const char *dot = kind.len == 0 ? NULL : memchr(kind.p, '.', kind.len);

	return dot == NULL
	    ? -1
	    : core_identity(gw, (struct span){kind.p, (size_t)(dot - kind.p)});
}

/*
 * The identity to tag the frame with, or -1: as the agent's frame names the
 * platform, else the capability that a follow_up acts on, else the chat.  NULL,
 * or why the frame cannot be sent.
 */
static const char *
find_identity(const struct gateway *gw, int root, const int at[M_COUNT],
    const struct chat *chat, int *identity)
{
	const struct json_doc *doc = &gw->core->doc;
	char scratch[LIMIT_PLATFORM], kind[LIMIT_PLATFORM * 4];
	int n = root == -1 ? -1 : json_get(doc, root, "platform");

	*identity = -1;
	if (n != -1 && doc->node[n].type != JSON_NULL) {
		*identity = core_identity(
		    gw, json_str(doc, n, scratch, sizeof(scratch)));
		return *identity == -1
		    ? "this gateway does not front that platform"
		    : NULL;
	}
	if (is_op(json_str_raw(doc, at[M_OP]), "follow_up"))
		*identity = kind_identity(
		    gw, json_str(doc, at[M_KIND], kind, sizeof(kind)));
	else if (chat != NULL && chat->platform.p != NULL)
		*identity = core_identity(
		    gw, (struct span){chat->platform.p, chat->platform.len});
	return NULL;
}

/* Content that the platform would refuse: said with both lengths. */
static const char *
check_length(struct gateway *gw, const struct identity *id, int content,
    char *why, size_t cap)
{
	const struct json_doc *doc = &gw->core->doc;
	const struct descriptor *d = &id->descriptor;
	struct span raw = json_str_raw(doc, content), text = raw;
	struct buf *b = &gw->core->text;
	size_t len;
	char *p;

	/* No escape makes a text longer than it is written. */
	if (d->text == NULL || gw->conf.pass_overlong ||
	    raw.len <= d->max_length)
		return NULL;
	buf_reset(b);
	if ((doc->node[content].esc & JSON_ESC_VAL) != 0) {
		if ((p = buf_reserve(b, raw.len)) == NULL)
			return "no memory";
		text = json_str(doc, content, p, raw.len);
	}
	len = descriptor_length(d, text);
	if (len <= d->max_length)
		return NULL;
	(void)snprintf(why, cap,
	    "content has %zu %s, %s takes at most %u: it was not sent", len,
	    d->utf16 ? "UTF-16 units" : "characters", id->platform,
	    d->max_length);
	return why;
}

/* Whom the connector takes where the platform is not known: the first that said
 * hello. */
static int
default_identity(const struct gateway *gw)
{
	uint32_t i;

	for (i = 0; i < gw->conf.nidentity; i++)
		if ((gw->skipped >> i & 1) == 0)
			return (int)i;
	return 0;
}

/* What the descriptor of the platform says of the action. */
static const char *
check_action(struct gateway *gw, int identity, const int at[M_COUNT], char *why,
    size_t cap)
{
	const struct json_doc *doc = &gw->core->doc;
	const struct identity *id =
	    &gw->conf
		 .identity[identity == -1 ? default_identity(gw) : identity];
	char name[64], list[128], text[sizeof(name) * 4];
	struct span op = json_str(doc, at[M_OP], name, sizeof(name));
	size_t i;

	if (!descriptor_allows(&id->descriptor, op)) {
		descriptor_ops(&id->descriptor, list, sizeof(list));
		(void)snprintf(why, cap,
		    "the connector does not offer op \"%s\" on %s (it offers "
		    "%s): it was not sent",
		    log_vis(text, sizeof(text), op), id->platform, list);
		return why;
	}
	for (i = 0; i < sizeof(bounded) / sizeof(bounded[0]); i++)
		if (span_eq(op, bounded[i]))
			return check_length(gw, id, at[M_CONTENT], why, cap);
	return NULL;
}

/*
 * The frame: our request id, the action with its scope filled in, what else
 * the agent's frame brought, and platform with its botId when it brought that
 * or the chat's platform is known (CONTRACT 3).
 */
static const char *
build(struct gateway *gw, int root, int action, uint64_t id, struct buf *b)
{
	const struct json_doc *doc = &gw->core->doc;
	struct chat *chat;
	char ours[CORE_ID];
	const char *why;
	int at[M_COUNT], n, i;

	if (is_ambiguous(doc, root, action, &gw->core->part))
		return "a member of the request is there twice";
	buf_reset(b);
	(void)buf_adds(b, SPAN_LIT("{\"type\":\"outbound\",\"requestId\":"));
	(void)buf_add(
	    b, ours, core_put_id(gw->delivery.journal.epoch, id, ours));
	(void)buf_adds(b, SPAN_LIT(",\"action\":"));
	why =
	    egress_action(&gw->egress, doc, action, &gw->core->part, b, &chat);
	if (why != NULL ||
	    (why = json_members(doc, action, members, M_COUNT, at, NULL)) !=
		NULL ||
	    (why = find_identity(gw, root, at, chat, &i)) != NULL ||
	    (why = check_action(
		 gw, i, at, gw->core->why, sizeof(gw->core->why))) != NULL)
		return why;
	for (n = root == -1 ? -1 : json_first(doc, root); n != -1;
	     n = json_next(doc, n)) {
		if (is_ours(doc, n))
			continue;
		(void)buf_add(b, ",", 1);
		(void)buf_add(b, doc->text + doc->node[n].key - 1,
		    (size_t)doc->node[n].val + doc->node[n].vallen -
			doc->node[n].key + 1);
	}
	if (i != -1) {
		json_put_member_str(
		    b, "platform", span_str(gw->conf.identity[i].platform));
		json_put_member_str(
		    b, "botId", span_str(gw->conf.identity[i].bot_id));
	}
	(void)buf_add(b, "}", 1);
	if (b->failed || buf_len(b) > LIMIT_LINE)
		return "the frame is longer than 1 MiB";
	return NULL;
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

/* The answer to a prompt goes to who asks. */
static void
learn_prompt(struct agent *a, int action)
{
	const struct json_doc *doc = &a->gw->core->doc;
	char id[LIMIT_ID];

	if (is_op(json_str_raw(doc, json_get(doc, action, "op")), "prompt"))
		prompt_sent(a,
		    json_str(doc, json_get(doc, action, "prompt_id"), id,
			sizeof(id)));
}

/* Check, build, queue.  NULL, or why not. */
static const char *
request(struct gateway *gw, struct agent *a, uint64_t cookie, struct span rid,
    int root, int action)
{
	struct buf *b = &gw->core->scratch;
	struct outbound *o;
	const char *why;
	uint64_t id = gw->outbound.next_id;

	if (gw->core->doc.full)
		return "the action has too many members";
	if (gw->outbound.n >= LIMIT_OUTBOUND ||
	    gw->outbound.bytes >= BYTES_MAX ||
	    (a != NULL && a->noutbound >= LIMIT_OUTBOUND_AGENT))
		return "too many requests are waiting for their result";
	if ((why = build(gw, root, action, id, b)) != NULL)
		return why;
	if ((o = outbound_new(gw, id, rid, buf_span(b))) == NULL)
		return "no memory";
	gw->outbound.next_id++;
	o->agent = a;
	o->cookie = cookie;
	if (a != NULL) {
		a->noutbound++;
		learn_prompt(a, action);
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

void
outbound_result(struct gateway *gw, int request_id, int result)
{
	const struct json_doc *doc = &gw->core->doc;
	struct hnode *n;
	struct outbound *o;
	struct span raw = json_raw(doc, result);
	uint64_t epoch, id;
	int success;

	n = core_parse_id(json_str_raw(doc, request_id), &epoch, &id) == -1 ||
		epoch != gw->delivery.journal.epoch
	    ? NULL
	    : htab_find(&gw->outbound.by_id, id);
	if (n == NULL || result == -1) {
		gw->count.unknown_frames++;
		return;
	}
	o = (struct outbound *)(void *)((char *)n -
	    offsetof(struct outbound, by_id));
	if (!o->queued)
		return;
	success = json_enter(&doc, &result, &gw->core->part) == -1
	    ? -1
	    : json_get(doc, result, "success");
	if (success != -1 && doc->node[success].type == JSON_TRUE)
		gw->count.outbound_ok++;
	else
		gw->count.outbound_failed++;
	answer(gw, o, raw);
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
