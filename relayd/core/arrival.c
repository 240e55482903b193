/* SPDX-License-Identifier: ISC */
/* Arrival of events; see arrival.h. */
#include <stdio.h>
#include <string.h>

#include "arrival.h"
#include "core.h"
#include "place.h"
#include "pressure.h"
#include "session.h"
#include "stage.h"

/* What an event tells of its conversation. */
struct origin {
	struct source src;
	char scratch[LIMIT_SESSION_KEY]; /* decoded values of src */
	char key[LIMIT_SESSION_KEY];
	size_t keylen;
	int identity;
	char asked[LIMIT_ID];
	struct span prompt_id; /* of the prompt that it answers; or absent */
};

/* Its session, and the identity that fronts it. */
static const char *
find_session(const struct gateway *gw, struct origin *o)
{
	ptrdiff_t n = session_key(&o->src, gw->conf.group_per_user,
	    gw->conf.thread_per_user, o->key, sizeof(o->key));

	if (n == -1)
		return "the source's ids are too long";
	o->keylen = (size_t)n;
	o->identity = core_identity(gw, o->src.platform);
	return NULL;
}

/* Which prompt an event answers.  Who asked is all that hangs on it: what
 * cannot be read is left to the agents. */
static void
read_prompt(struct gateway *gw, struct span response, struct origin *o)
{
	struct json_doc *doc = &gw->core->part;

	if (response.p == NULL || gw->prompts.n == 0 ||
	    json_parse(doc, response.p, response.len, 1) == -1)
		return;
	o->prompt_id = json_str(doc, json_get(doc, JSON_ROOT, "prompt_id"),
	    o->asked, sizeof(o->asked));
}

static const char *
origin_event(struct gateway *gw, int event, struct origin *o)
{
	static const struct json_want want[] = {
	    JSON_WANT("source", JSON_T(JSON_OBJECT), 1),
	    JSON_WANT("prompt_response", JSON_ANY, 0)};
	const struct json_doc *doc = &gw->core->doc;
	struct json_doc *part = &gw->core->part;
	struct span response;
	const char *why;
	int at[2];

	if (json_enter(&doc, &event, part) == -1 ||
	    json_members(doc, event, want, 2, at, NULL) != NULL)
		return "event without a proper source";
	response = json_raw(doc, at[1]);
	event = at[0];
	if (json_enter(&doc, &event, part) == -1)
		return "source with too many members";
	if ((why = session_source(
		 doc, event, &o->src, o->scratch, sizeof(o->scratch))) != NULL)
		return why;
	read_prompt(gw, response, o);
	return find_session(gw, o);
}

/* A Discord interaction belongs to its conversation, whether agents get it as
 * an event or as it came.  0, or -1: it is none. */
static int
origin_interaction(struct gateway *gw, const struct json_doc *doc,
    const int at[3], struct origin *o)
{
	struct interaction *in = &gw->core->interaction;
	struct span profile =
	    json_str(doc, at[2], o->scratch, sizeof(o->scratch));

	if (interaction_read(in, json_str_raw(doc, at[1]), profile) != NULL)
		return -1;
	o->src = in->src;
	o->prompt_id = in->prompt_id;
	return find_session(gw, o) == NULL ? 0 : -1;
}

/* Another forwarded webhook has no session of its own: those of a platform go
 * together. */
static const char *
origin_forward(struct gateway *gw, int forward, struct origin *o)
{
	static const struct json_want want[] = {
	    JSON_WANT("platform", JSON_T(JSON_STRING), 1),
	    JSON_WANT("bodyB64", JSON_ANY, 0),
	    JSON_WANT("profile", JSON_ANY, 0)};
	const struct json_doc *doc = &gw->core->doc;
	int n, at[3];

	if (json_enter(&doc, &forward, &gw->core->part) == -1 ||
	    json_members(doc, forward, want, 3, at, NULL) != NULL)
		return "forward without platform";
	if (span_eq(json_str_raw(doc, at[0]), SPAN_LIT("discord")) &&
	    origin_interaction(gw, doc, at, o) == 0)
		return NULL;
	memset(&o->src, 0, sizeof(o->src));
	o->src.platform = json_str(doc, at[0], o->scratch, sizeof(o->scratch));
	o->identity = core_identity(gw, o->src.platform);
	n = snprintf(o->key, sizeof(o->key), ARRIVAL_RAW "%s",
	    o->identity == -1 ? "?" : gw->conf.identity[o->identity].platform);
	o->keylen = (size_t)n;
	return NULL;
}

/* What came without the members that are ours to say, open at its end, in the
 * core's scratch; an absent span without memory. */
static struct span
cleared(struct gateway *gw, const struct arrival *in)
{
	const struct json_doc *doc = &gw->core->doc;
	struct buf *b = &gw->core->scratch;
	const struct json_node *n;
	int i;

	buf_reset(b);
	(void)buf_add(b, "{", 1);
	for (i = json_first(doc, JSON_ROOT); i != -1; i = json_next(doc, i)) {
		if (i == in->session_key || i == in->redelivered ||
		    i == in->buffer_id)
			continue;
		if (buf_len(b) > 1)
			(void)buf_add(b, ",", 1);
		n = &doc->node[i];
		(void)buf_add(
		    b, doc->text + n->key - 1, n->val + n->vallen - n->key + 1);
	}
	return b->failed ? (struct span){NULL, 0} : buf_span(b);
}

/*
 * The line for the agent in PIECES pieces: what came, with our bufferId
 * (`ours`) in the place of the connector's (or added) and the session key at
 * the end.  0, or -1 without memory.
 */
#define PIECES 5

static int
agent_text(struct gateway *gw, const struct arrival *in, struct span ours,
    const struct session *s, struct span piece[PIECES])
{
	const struct json_doc *doc = &gw->core->doc;
	const struct json_node *n = &doc->node[JSON_ROOT];
	struct span line = {in->line.p, (size_t)n->val + n->vallen - 1};
	size_t from = line.len, to = line.len;
	int replace = in->buffer_id != -1;

	if (in->session_key != -1 || in->redelivered != -1) {
		if ((line = cleared(gw, in)).p == NULL)
			return -1;
		from = to = line.len;
		replace = 0;
	}
	if (replace) {
		n = &doc->node[in->buffer_id];
		from = n->val;
		to = from + n->vallen;
	}
	piece[0] = (struct span){line.p, from};
	piece[1] = replace ? SPAN_LIT("") : SPAN_LIT(",\"bufferId\":");
	piece[2] = ours;
	piece[3] = (struct span){line.p + to, line.len - to};
	piece[4] = (struct span){s->key + s->len, s->taillen};
	return 0;
}

int
arrival_cid(struct gateway *gw, const struct json_doc *doc, int node,
    char *scratch, size_t cap, struct cid *cid)
{
	cid->text = (struct span){"", 0};
	cid->hash[0] = cid->hash[1] = 0;
	cid->plain = 0;
	if (node == -1 || doc->node[node].type == JSON_NULL)
		return 0;
	cid->plain = (doc->node[node].esc & JSON_ESC_VAL) == 0;
	cid->text = doc->node[node].type == JSON_NUMBER
	    ? json_raw(doc, node)
	    : json_str(doc, node, scratch, cap);
	if (cid->text.p == NULL || cid->text.len > cap)
		return -1;
	if (cid->text.len > 0) {
		seen_hash(&gw->delivery.journal.seen, cid->text, cid->hash);
		seen_soon(&gw->delivery.journal.seen, cid->hash[0]);
	}
	return 0;
}

static void
learn(struct gateway *gw, struct chat_hint *hint, const struct origin *o)
{
	egress_learn(&gw->egress, hint, o->src.platform, o->src.chat_id,
	    o->src.scope_id, o->src.user_id);
}

/* What of the platform's name the journal keeps: a name of ours. */
static struct span
platform_of(const struct gateway *gw, const struct origin *o)
{
	return o->identity == -1
	    ? SPAN_LIT("")
	    : span_str(gw->conf.identity[o->identity].platform);
}

/* A new event, of which all is known, goes its way. */
static void
admit(struct gateway *gw, const struct arrival *in, const struct cid *cid,
    const struct origin *o)
{
	struct span piece[PIECES], id;
	struct delivery_event ev = {.cid = *cid,
	    .platform = platform_of(gw, o),
	    .forward = in->event == -1,
	    .to = prompt_agent(gw, o->prompt_id),
	    .piece = piece,
	    .n = PIECES};
	char ours[CORE_ID];

	ev.session =
	    session_get(gw, (struct span){o->key, o->keylen}, o->identity);
	if (ev.session == NULL)
		return;
	learn(gw, &ev.session->chat, o);
	id.p = ours;
	id.len = delivery_next_id(gw, ours);
	if (agent_text(gw, in, id, ev.session, piece) == 0)
		delivery_admit(gw, &ev);
}

const char *
arrival_event(struct gateway *gw, const struct arrival *in)
{
	char scratch[LIMIT_BUFFER_ID];
	struct chat_hint hint = {NULL, 0};
	struct origin o;
	struct cid cid;
	const char *why;

	o.prompt_id = (struct span){NULL, 0};
	gw->count.events_in++;
	gw->link.last_event = gw->core->now;
	if (gw->delivery.hushed) /* the connector was asked to keep it */
		pressure_check(gw);
	if (pressure_too_long(gw, in->line.len))
		return "it does not fit into the journal";
	if (!pressure_room(gw, in->line.len)) {
		gw->count.events_left++;
		if (arrival_cid(gw, &gw->core->doc, in->buffer_id, scratch,
			sizeof(scratch), &cid) == 0)
			stage_note_cid(gw, STAGE_LEFT, &cid);
		return NULL;
	}
	if (arrival_cid(gw, &gw->core->doc, in->buffer_id, scratch,
		sizeof(scratch), &cid) == -1)
		return "bufferId is no string of at most 256 bytes";
	why = in->event != -1 ? origin_event(gw, in->event, &o)
			      : origin_forward(gw, in->forward, &o);
	if (why != NULL)
		return why;
	if (!delivery_replayed(gw, &cid))
		admit(gw, in, &cid, &o);
	else
		learn(gw, &hint, &o);
	return NULL;
}

void
arrival_learn(struct gateway *gw, struct span line, struct session *s)
{
	struct json_doc *doc = &gw->core->doc;
	struct origin o;
	const char *why = "neither";
	int event, forward;

	if (json_parse(doc, line.p, line.len, 3) == -1)
		return;
	if (doc->full)
		(void)json_parse(doc, line.p, line.len, 1);
	event = json_get(doc, JSON_ROOT, "event");
	forward = json_get(doc, JSON_ROOT, "forward");
	if (event != -1)
		why = origin_event(gw, event, &o);
	else if (forward != -1)
		why = origin_forward(gw, forward, &o);
	if (why == NULL)
		learn(gw, &s->chat, &o);
}
