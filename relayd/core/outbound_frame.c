/* SPDX-License-Identifier: ISC */
/* What of a request goes to the connector: the action is read, checked against
 * the descriptor, and passes as it stands but for the scope filled in. */
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "log.h"
#include "outbound_frame.h"

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

/* The members of an action that we look at. */
enum member {
	M_OP,
	M_CONTENT,
	M_KIND,
	M_PROMPT_ID,
	M_CHAT_ID, /* and these two egress */
	M_METADATA,
	M_COUNT
};

/* A request, and where the members of its action have their places. */
struct request {
	struct gateway *gw;
	const struct json_doc *frame; /* an agent's */
	int root;		      /* of it; -1: there is none */
	const struct json_doc *doc;
	int action;
	int at[M_COUNT];
};

static const struct json_want members[M_COUNT] = {
    [M_OP] = JSON_WANT("op", JSON_ANY, 0),
    [M_CONTENT] = JSON_WANT("content", JSON_ANY, 0),
    [M_KIND] = JSON_WANT("kind", JSON_ANY, 0),
    [M_PROMPT_ID] = JSON_WANT("prompt_id", JSON_ANY, 0),
    [M_CHAT_ID] = JSON_WANT("chat_id", JSON_ANY, 0),
    [M_METADATA] = JSON_WANT("metadata", JSON_ANY, 0),
};

/* Whose content the descriptor bounds. */
static const struct span bounded[] = {
    SPAN_LIT("send"), SPAN_LIT("edit"), SPAN_LIT("follow_up")};

static int
is_op(const struct request *r, const char *name)
{
	return span_eq(json_str_raw(r->doc, r->at[M_OP]), span_str(name));
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
find_identity(const struct request *r, const struct chat *chat, int *identity)
{
	const struct gateway *gw = r->gw;
	const struct json_doc *frame = r->frame;
	char scratch[LIMIT_PLATFORM], kind[LIMIT_PLATFORM * 4];
	int n = r->root == -1 ? -1 : json_get(frame, r->root, "platform");

	*identity = -1;
	if (n != -1 && frame->node[n].type != JSON_NULL) {
		*identity = core_identity(
		    gw, json_str(frame, n, scratch, sizeof(scratch)));
		return *identity == -1
		    ? "this gateway does not front that platform"
		    : NULL;
	}
	if (is_op(r, "follow_up"))
		*identity = kind_identity(
		    gw, json_str(r->doc, r->at[M_KIND], kind, sizeof(kind)));
	else if (chat != NULL && chat->platform.p != NULL)
		*identity = core_identity(
		    gw, (struct span){chat->platform.p, chat->platform.len});
	return NULL;
}

/* Content that the platform would refuse: said with both lengths. */
static const char *
check_length(const struct request *r, const struct identity *id)
{
	struct core *c = r->gw->core;
	const struct json_doc *doc = r->doc;
	const struct descriptor *d = &id->descriptor;
	int content = r->at[M_CONTENT];
	struct span raw = json_str_raw(doc, content), text = raw;
	struct buf *b = &c->text;
	size_t len;
	char *p;

	/* No escape makes a text longer than it is written. */
	if (d->text == NULL || r->gw->conf.pass_overlong ||
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
	(void)snprintf(c->why, sizeof(c->why),
	    "content has %zu %s, %s takes at most %u: it was not sent", len,
	    d->utf16 ? "UTF-16 units" : "characters", id->platform,
	    d->max_length);
	return c->why;
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
check_action(const struct request *r, int identity)
{
	struct gateway *gw = r->gw;
	const struct identity *id =
	    &gw->conf
		 .identity[identity == -1 ? default_identity(gw) : identity];
	char name[64], list[128], text[sizeof(name) * 4];
	struct span op = json_str(r->doc, r->at[M_OP], name, sizeof(name));
	size_t i;

	if (!descriptor_allows(&id->descriptor, op)) {
		descriptor_ops(&id->descriptor, list, sizeof(list));
		(void)snprintf(gw->core->why, sizeof(gw->core->why),
		    "the connector does not offer op \"%s\" on %s (it offers "
		    "%s): it was not sent",
		    log_vis(text, sizeof(text), op), id->platform, list);
		return gw->core->why;
	}
	for (i = 0; i < sizeof(bounded) / sizeof(bounded[0]); i++)
		if (span_eq(op, bounded[i]))
			return check_length(r, id);
	return NULL;
}

/* Find the action's members.  We and the connector might each read another one
 * of two of the same name.  NULL, or what is wrong. */
static const char *
read_request(struct request *r)
{
	struct core *c = r->gw->core;
	const char *why;

	if (r->root != -1 && json_twice(r->frame, r->root))
		return "a member of the request is there twice";
	if ((why = json_pick(&r->doc, &r->action, &c->action, &c->key, members,
		 M_COUNT)) != NULL)
		return why;
	return json_members(r->doc, r->action, members, M_COUNT, r->at, NULL) ==
		NULL
	    ? NULL
	    : "the action must be an object";
}

/* What else the agent's frame brought, and the identity that is meant. */
static void
put_rest(const struct request *r, int identity, struct buf *b)
{
	const struct json_doc *doc = r->frame;
	const struct identity *id;
	int n;

	for (n = r->root == -1 ? -1 : json_first(doc, r->root); n != -1;
	     n = json_next(doc, n)) {
		if (is_ours(doc, n))
			continue;
		(void)buf_add(b, ",", 1);
		(void)buf_add(b, doc->text + doc->node[n].key - 1,
		    (size_t)doc->node[n].val + doc->node[n].vallen -
			doc->node[n].key + 1);
	}
	if (identity != -1) {
		id = &r->gw->conf.identity[identity];
		json_put_member_str(b, "platform", span_str(id->platform));
		json_put_member_str(b, "botId", span_str(id->bot_id));
	}
	(void)buf_add(b, "}", 1);
}

const char *
outbound_frame(struct gateway *gw, int root, int action, uint64_t id,
    struct buf *b, struct outbound_prompt *prompt)
{
	const struct json_doc *doc = &gw->core->doc;
	struct request r = {
	    .gw = gw, .frame = doc, .root = root, .doc = doc, .action = action};
	struct chat *chat;
	char ours[CORE_ID];
	const char *why;
	int i;

	if ((why = read_request(&r)) != NULL)
		return why;
	buf_reset(b);
	(void)buf_adds(b, SPAN_LIT("{\"type\":\"outbound\",\"requestId\":"));
	(void)buf_add(
	    b, ours, core_put_id(gw->delivery.journal.epoch, id, ours));
	(void)buf_adds(b, SPAN_LIT(",\"action\":"));
	why = egress_action(
	    &gw->egress, r.doc, r.action, &gw->core->part, b, &chat);
	if (why != NULL || (why = find_identity(&r, chat, &i)) != NULL ||
	    (why = check_action(&r, i)) != NULL)
		return why;
	put_rest(&r, i, b);
	if (b->failed || buf_len(b) > LIMIT_LINE)
		return "the frame is longer than 1 MiB";
	prompt->id = is_op(&r, "prompt")
	    ? json_str(r.doc, r.at[M_PROMPT_ID], prompt->scratch,
		  sizeof(prompt->scratch))
	    : (struct span){NULL, 0};
	return NULL;
}
