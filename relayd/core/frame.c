/* SPDX-License-Identifier: ISC */
/*
 * The connector's frames (CONTRACT 3): a table from type to handler.  Unknown
 * types and members are ignored; a line that is not what it must be is
 * counted, remarked and skipped, and acknowledged where it can never be taken.
 */
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent.h"
#include "arrival.h"
#include "core.h"
#include "frame.h"

/* Levels of a line whose members we read: frame, event, source. */
#define FRAME_DEPTH 3
/* Bytes of a frame's decoded type; none that we know has more. */
#define TYPE_MAX 32

enum member {
	M_TYPE,
	M_EVENT,
	M_BUFFER_ID,
	M_FORWARD,
	M_DESCRIPTOR,
	M_REQUEST_ID,
	M_RESULT,
	M_SESSION_KEY,
	M_REDELIVERED,
	M_COUNT
};

static const struct json_want members[M_COUNT] = {
    [M_TYPE] = JSON_WANT("type", JSON_T(JSON_STRING), 1),
    [M_EVENT] = JSON_WANT("event", JSON_ANY, 0),
    [M_BUFFER_ID] = JSON_WANT("bufferId", JSON_ANY, 0),
    [M_FORWARD] = JSON_WANT("forward", JSON_ANY, 0),
    [M_DESCRIPTOR] = JSON_WANT("descriptor", JSON_ANY, 0),
    [M_REQUEST_ID] = JSON_WANT("requestId", JSON_ANY, 0),
    [M_RESULT] = JSON_WANT("result", JSON_ANY, 0),
    [M_SESSION_KEY] = JSON_WANT("session_key", JSON_ANY, 0),
    [M_REDELIVERED] = JSON_WANT("redelivered", JSON_ANY, 0),
};

struct frame {
	struct gateway *gw;
	struct span line;
	int at[M_COUNT];
};

/* Each returns NULL, or why the line is bad. */
static const char *on_event(struct frame *);
static const char *on_forward(struct frame *);
static const char *on_descriptor(struct frame *);
static const char *on_result(struct frame *);
static const char *on_interrupt(struct frame *);
static const char *on_idle_ack(struct frame *);

static const struct {
	struct span type;
	const char *(*fn)(struct frame *);
} handlers[] = {
    {SPAN_LIT("inbound"), on_event},
    {SPAN_LIT("passthrough_forward"), on_forward},
    {SPAN_LIT("outbound_result"), on_result},
    {SPAN_LIT("descriptor"), on_descriptor},
    {SPAN_LIT("interrupt_inbound"), on_interrupt},
    {SPAN_LIT("going_idle_ack"), on_idle_ack},
};

static int
is_object(const struct json_doc *doc, int node)
{
	return node != -1 && doc->node[node].type == JSON_OBJECT;
}

static const char *
arrived(struct frame *f, int event, int forward)
{
	struct arrival in = {
	    .line = f->line,
	    .event = event,
	    .forward = forward,
	    .buffer_id = f->at[M_BUFFER_ID],
	    .session_key = f->at[M_SESSION_KEY],
	    .redelivered = f->at[M_REDELIVERED],
	};

	return arrival_event(f->gw, &in);
}

static const char *
on_event(struct frame *f)
{
	if (!is_object(&f->gw->core->doc, f->at[M_EVENT]))
		return "event is no object";
	return arrived(f, f->at[M_EVENT], -1);
}

static const char *
on_forward(struct frame *f)
{
	if (!is_object(&f->gw->core->doc, f->at[M_FORWARD]))
		return "forward is no object";
	return arrived(f, -1, f->at[M_FORWARD]);
}

static const char *
on_result(struct frame *f)
{
	outbound_result(f->gw, f->at[M_REQUEST_ID], f->at[M_RESULT]);
	return NULL;
}

static const char *
on_interrupt(struct frame *f)
{
	char scratch[LIMIT_SESSION_KEY];
	struct span key = json_str(
	    &f->gw->core->doc, f->at[M_SESSION_KEY], scratch, sizeof(scratch));

	if (key.p == NULL)
		return "interrupt_inbound without session_key";
	delivery_interrupt(f->gw, f->line, key);
	return NULL;
}

static const char *
on_idle_ack(struct frame *f)
{
	link_idle_ack(f->gw);
	return NULL;
}

static const char *
on_descriptor(struct frame *f)
{
	struct gateway *gw = f->gw;
	const struct json_doc *doc = &gw->core->doc;
	char scratch[LIMIT_PLATFORM];
	int node = f->at[M_DESCRIPTOR], i, news;
	struct identity *id;
	const char *why;
	struct agent *a;

	if (!is_object(doc, node))
		return "descriptor is no object";
	if (json_enter(&doc, &node, &gw->core->part) == -1)
		return "descriptor with too many members";
	i = core_identity(gw,
	    json_str(doc, json_get(doc, node, "platform"), scratch,
		sizeof(scratch)));
	if (i == -1)
		return "descriptor for a platform that is not fronted";
	id = &gw->conf.identity[i];
	if ((why = descriptor_take(&id->descriptor, doc, node, &news)) != NULL)
		return why;
	id->answered = 1;
	TAILQ_FOREACH (a, &gw->agents, entry)
		if (news && a->state == AGENT_READY &&
		    agent_serves(a, (unsigned)i))
			agent_descriptor(a, (unsigned)i);
	link_event(
	    gw, LE_DESCRIPTOR, "descriptor for %s received", id->platform);
	return NULL;
}

/* The string or the number that a text begins with; absent when it is another
 * value, or cut. */
static struct span
first_value(struct span text)
{
	static const char number[] = "+-.0123456789Ee";
	struct span none = {NULL, 0};
	size_t n = 1;

	if (text.len > 0 && text.p[0] == '"') {
		while (n < text.len && text.p[n] != '"')
			n += text.p[n] == '\\' ? 2 : 1;
		return n < text.len ? (struct span){text.p, n + 1} : none;
	}
	for (n = 0; n < text.len &&
	     memchr(number, text.p[n], sizeof(number) - 1) != NULL;)
		n++;
	/* Its end is told by what follows. */
	return n < text.len && memchr(" \t,}", text.p[n], 4) != NULL
	    ? (struct span){text.p, n}
	    : none;
}

/*
 * The bufferId's value in a line that is no frame, looked for as text: the last
 * member of that name.  Within a JSON string its quotes would be escaped.
 */
static struct span
salvage(struct span text)
{
	static const char name[] = "\"bufferId\"";
	const char *p, *end = text.p + text.len, *from = NULL;

	for (p = text.p;
	     (p = memmem(p, (size_t)(end - p), name, sizeof(name) - 1)) != NULL;
	     p++)
		from = p + sizeof(name) - 1;
	if (from == NULL)
		return (struct span){NULL, 0};
	while (from < end && (*from == ' ' || *from == '\t' || *from == ':'))
		from++;
	return first_value((struct span){from, (size_t)(end - from)});
}

/* The same of a line that was scanned: an id within an event is not its own. */
static struct span
scanned_id(const struct json_doc *doc, struct span line)
{
	int i, at = -1;

	if (doc->full)
		return salvage(line);
	for (i = json_first(doc, JSON_ROOT); i != -1; i = json_next(doc, i))
		if (span_eq((struct span){doc->text + doc->node[i].key,
				doc->node[i].keylen},
			SPAN_LIT("bufferId")))
			at = i;
	return json_raw(doc, at);
}

/* Acknowledge what can never be taken, by its bufferId as it stands in the
 * line.  What to tell of it. */
static const char *
discharge(struct gateway *gw, struct span raw)
{
	struct json_doc *part = &gw->core->part;
	char scratch[LIMIT_BUFFER_ID_REFUSED];
	struct cid cid;

	if (raw.p == NULL)
		return "";
	if (json_parse(part, raw.p, raw.len, 0) == -1 ||
	    arrival_cid(gw, part, JSON_ROOT, scratch, sizeof(scratch), &cid) ==
		-1)
		return "; its bufferId cannot be acknowledged, so that the "
		       "connector's replay may wait for it";
	if (cid.text.len == 0)
		return "";
	delivery_salvage(gw, &cid);
	return "; its bufferId is acknowledged";
}

static void
bad_line(struct gateway *gw, struct span id, const char *why)
{
	gw->count.lines_bad++;
	core_remark(gw, LOG_WARNING, "bad_line",
	    "a line from the connector was skipped: %s%s", why,
	    discharge(gw, id));
}

/* A type of a later version.  With a bufferId it was kept for us, and nothing
 * comes after it until it is acknowledged. */
static void
unknown_frame(struct gateway *gw, struct span id)
{
	const char *id_said = discharge(gw, id);

	gw->count.unknown_frames++;
	if (id_said[0] != '\0')
		core_remark(gw, LOG_WARNING, "unknown_frame",
		    "a frame of a type that is not known was skipped%s",
		    id_said);
}

void
frame_oversized(struct gateway *gw, struct span head, struct span tail)
{
	struct span id = salvage(tail);

	gw->count.lines_in++;
	bad_line(
	    gw, id.p != NULL ? id : salvage(head), "it is longer than 1 MiB");
}

void
frame_line(struct gateway *gw, struct span line)
{
	struct json_doc *doc = &gw->core->doc;
	struct frame f = {.gw = gw, .line = line};
	char scratch[TYPE_MAX];
	const char *why;
	struct span type;
	size_t i;

	if (line.len > 0 && line.p[line.len - 1] == '\r')
		f.line.len = --line.len;
	if (line.len == 0)
		return;
	gw->count.lines_in++;
	if (gw->taps > 0)
		core_tap(gw, TAP_FROM_CONNECTOR, &line, 1);
	if (json_parse(doc, line.p, line.len, FRAME_DEPTH) == -1) {
		bad_line(gw, salvage(line), doc->err);
		return;
	}
	/* An event may carry more members than a doc holds: then its upper
	 * level alone, and its parts one by one. */
	if (doc->full)
		(void)json_parse(doc, line.p, line.len, 1);
	why = json_members(doc, JSON_ROOT, members, M_COUNT, f.at, NULL);
	if (why != NULL) {
		bad_line(gw, scanned_id(doc, line), why);
		return;
	}
	type = json_str(doc, f.at[M_TYPE], scratch, sizeof(scratch));
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (span_eq(type, handlers[i].type)) {
			if ((why = handlers[i].fn(&f)) != NULL)
				bad_line(
				    gw, json_raw(doc, f.at[M_BUFFER_ID]), why);
			return;
		}
	unknown_frame(gw, json_raw(doc, f.at[M_BUFFER_ID]));
}

void
frame_hellos(struct gateway *gw)
{
	struct buf *b = &gw->core->scratch;
	struct identity *id;
	struct span line;
	uint32_t i;

	gw->greeted = 0;
	for (i = 0; i < gw->conf.nidentity; i++) {
		id = &gw->conf.identity[i];
		id->answered = 0;
		if ((gw->skipped >> i & 1) != 0)
			continue;
		gw->greeted |= UINT32_C(1) << i;
		buf_reset(b);
		(void)buf_adds(b, SPAN_LIT("{\"type\":\"hello\""));
		json_put_member_str(b, "platform", span_str(id->platform));
		json_put_member_str(b, "botId", span_str(id->bot_id));
		if (id->manifest != NULL)
			json_put_member_raw(
			    b, "command_manifest", span_str(id->manifest));
		(void)buf_add(b, "}", 1);
		line = buf_span(b);
		if (b->failed || wire_line(gw, &line, 1, NULL) == -1)
			core_remark(gw, LOG_ERR, "hello",
			    "no memory for the hello of %s", id->platform);
	}
}
