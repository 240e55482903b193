/* SPDX-License-Identifier: ISC */
/* Agents: a table from the type of their lines to handlers. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "agent.h"
#include "core.h"
#include "log.h"

#define AGENT_DEPTH 3 /* frame, action, metadata */
/* Bytes of a line's decoded type; none that we know has more. */
#define TYPE_MAX 32
/* Milliseconds to say hello in: a program does so at once; somebody who types
 * needs some.  Without, one that says nothing keeps its place for ever. */
#define HELLO_MS 30000

enum member {
	M_TYPE,
	M_BUFFER_ID,
	M_REQUEST_ID,
	M_ACTION,
	M_PLATFORM,
	M_PLATFORMS,
	M_AGENT,
	M_WINDOW,
	M_ACK_TIMEOUT,
	M_SESSION_KEY,
	M_REASON,
	M_INTERACTIONS,
	M_COUNT
};

static const struct json_want members[M_COUNT] = {
    [M_TYPE] = JSON_WANT("type", JSON_T(JSON_STRING), 1),
    [M_BUFFER_ID] = JSON_WANT("bufferId", JSON_ANY, 0),
    [M_REQUEST_ID] = JSON_WANT("requestId", JSON_ANY, 0),
    [M_ACTION] = JSON_WANT("action", JSON_ANY, 0),
    [M_PLATFORM] = JSON_WANT("platform", JSON_ANY, 0),
    [M_PLATFORMS] = JSON_WANT("platforms", JSON_ANY, 0),
    [M_AGENT] = JSON_WANT("agent", JSON_ANY, 0),
    [M_WINDOW] = JSON_WANT("window", JSON_ANY, 0),
    [M_ACK_TIMEOUT] = JSON_WANT("ack_timeout", JSON_ANY, 0),
    [M_SESSION_KEY] = JSON_WANT("session_key", JSON_ANY, 0),
    [M_REASON] = JSON_WANT("reason", JSON_ANY, 0),
    [M_INTERACTIONS] = JSON_WANT("interactions", JSON_ANY, 0),
};

struct line {
	struct agent *a;
	struct span text;
	int at[M_COUNT];
};

/* Each returns NULL, or what is wrong with the line. */
static const char *on_hello(struct line *);
static const char *on_ack(struct line *);
static const char *on_outbound(struct line *);
static const char *on_interrupt(struct line *);
static const char *on_going_idle(struct line *);

static const struct {
	struct span type;
	const char *(*fn)(struct line *);
	uint8_t before_hello; /* may come before it */
} handlers[] = {
    {SPAN_LIT("inbound_ack"), on_ack, 0},
    {SPAN_LIT("outbound"), on_outbound, 0},
    {SPAN_LIT("hello"), on_hello, 1},
    {SPAN_LIT("interrupt"), on_interrupt, 0},
    {SPAN_LIT("going_idle"), on_going_idle, 0},
};

int
agent_line(struct agent *a, const struct span *piece, int n)
{
	struct core *c = a->gw->core;

	if (a->gw->taps > 0)
		core_tap(a->gw, TAP_TO_AGENT, piece, n);
	return c->io->agent_send(c->arg, a, piece, n);
}

void
agent_error(struct agent *a, const char *fmt, ...)
{
	char why[LIMIT_REASON + 1];
	struct buf b;
	struct span s;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	buf_init(&b, 4096);
	(void)buf_adds(&b, SPAN_LIT("{\"type\":\"error\""));
	json_put_member_str(&b, "error", span_str(why));
	(void)buf_add(&b, "}", 1);
	s = buf_span(&b);
	if (!b.failed)
		(void)agent_line(a, &s, 1);
	buf_free(&b);
}

void
agent_tell_link(struct agent *a)
{
	struct buf b;
	struct span s;

	buf_init(&b, 4096);
	(void)buf_adds(&b, SPAN_LIT("{\"type\":\"link\""));
	json_put_member_str(&b, "state", span_str(link_public(a->gw)));
	json_put_member_str(&b, "reason", span_str(a->gw->link.reason));
	(void)buf_add(&b, "}", 1);
	s = buf_span(&b);
	if (!b.failed)
		(void)agent_line(a, &s, 1);
	buf_free(&b);
}

void
agent_descriptor(struct agent *a, unsigned i)
{
	const char *d = a->gw->conf.identity[i].descriptor.text;
	struct span piece[] = {
	    SPAN_LIT("{\"type\":\"descriptor\",\"descriptor\":"), span_str(d),
	    SPAN_LIT("}")};

	if (d != NULL)
		(void)agent_line(a, piece, 3);
}

int
agent_serves(const struct agent *a, unsigned identity)
{
	return (a->platforms >> identity & 1) != 0;
}

/* Add one platform of a hello.  0, or -1 when it is not fronted. */
static int
add_platform(struct agent *a, struct span platform, uint32_t *added)
{
	char text[LIMIT_PLATFORM * 4 + 1];
	int i = core_identity(a->gw, platform);

	if (i == -1) {
		agent_error(a,
		    "hello: platform \"%s\" is not fronted by "
		    "gateway %s",
		    log_vis(text, sizeof(text), platform), a->gw->conf.name);
		return -1;
	}
	*added |= 1U << i;
	return 0;
}

/* Which platforms a hello names: `platforms`, else `platform`, else all. */
static const char *
hello_platforms(struct line *l, uint32_t *added)
{
	const struct json_doc *doc = &l->a->gw->core->doc;
	char scratch[LIMIT_PLATFORM];
	struct span list, elem, one;
	struct json_doc *part = &l->a->gw->core->part;
	size_t pos = 0;
	int bad = 0;

	*added = 0;
	if (l->at[M_PLATFORMS] != -1) {
		list = json_raw(doc, l->at[M_PLATFORMS]);
		if (doc->node[l->at[M_PLATFORMS]].type != JSON_ARRAY)
			return "hello: platforms must be a list of names";
		while (json_each(list, &pos, &elem) == 1) {
			(void)json_parse(part, elem.p, elem.len, 0);
			one =
			    json_str(part, JSON_ROOT, scratch, sizeof(scratch));
			bad |= add_platform(l->a, one, added) == -1;
		}
	} else if (l->at[M_PLATFORM] != -1) {
		one =
		    json_str(doc, l->at[M_PLATFORM], scratch, sizeof(scratch));
		bad |= add_platform(l->a, one, added) == -1;
	} else
		*added = UINT32_MAX;
	if (*added == 0 && !bad)
		return "hello: platforms is an empty list";
	return NULL;
}

static void
hello_settings(struct line *l)
{
	const struct json_doc *doc = &l->a->gw->core->doc;
	char scratch[64 + 1];
	struct span name;
	struct agent *a = l->a;
	int64_t v;

	name = json_str(doc, l->at[M_AGENT], scratch, sizeof(scratch) - 1);
	if (name.p != NULL)
		(void)snprintf(
		    a->name, sizeof(a->name), "%.*s", (int)name.len, name.p);
	if (l->at[M_WINDOW] != -1) {
		if (json_int(doc, l->at[M_WINDOW], 1, LIMIT_WINDOW, &v) == 0)
			a->window = (uint32_t)v;
		else
			agent_error(a,
			    "hello: window must be a number from "
			    "1 to %d; %u is used",
			    LIMIT_WINDOW, a->window);
	}
	if (l->at[M_ACK_TIMEOUT] != -1) {
		if (json_int(doc, l->at[M_ACK_TIMEOUT], 1, 3600, &v) == 0)
			a->ack_timeout_ms = (uint32_t)v * 1000;
		else
			agent_error(a,
			    "hello: ack_timeout must be a number "
			    "of seconds from 1 to 3600; %u is used",
			    a->ack_timeout_ms / 1000);
	}
}

/* How the agent wants Discord's interactions. */
static void
hello_interactions(struct line *l)
{
	const struct json_doc *doc = &l->a->gw->core->doc;
	struct span how = json_str_raw(doc, l->at[M_INTERACTIONS]);

	if (l->at[M_INTERACTIONS] == -1)
		return;
	if (span_eq(how, SPAN_LIT("event")))
		l->a->events = 1;
	else if (span_eq(how, SPAN_LIT("raw")))
		l->a->events = 0;
	else
		agent_error(l->a,
		    "hello: interactions must be \"event\" or \"raw\"; "
		    "\"%s\" is used",
		    l->a->events ? "event" : "raw");
}

static const char *
on_hello(struct line *l)
{
	struct agent *a = l->a;
	const char *why;
	uint32_t added, fresh, i;
	int first = a->state == AGENT_NEW;

	if ((why = hello_platforms(l, &added)) != NULL)
		return why;
	if (added == 0)
		return NULL;
	hello_settings(l);
	hello_interactions(l);
	fresh = added & ~a->platforms;
	a->platforms |= added;
	a->state = AGENT_READY;
	timer_clear(&a->gw->core->timers, &a->hello_timer);
	a->draining = 0;
	for (i = 0; i < a->gw->conf.nidentity; i++)
		if (fresh >> i & 1)
			agent_descriptor(a, i);
	if (first)
		agent_tell_link(a);
	delivery_agent_ready(a);
	link_agents(a->gw);
	link_wanted(a->gw, "an agent is there");
	return NULL;
}

static const char *
on_ack(struct line *l)
{
	char scratch[LIMIT_BUFFER_ID];
	struct span id = json_str(
	    &l->a->gw->core->doc, l->at[M_BUFFER_ID], scratch, sizeof(scratch));
	const char *why;

	if (id.p == NULL)
		return "inbound_ack: bufferId must be the string that came "
		       "with the event";
	why = delivery_ack(l->a, id);
	link_check_drained(l->a->gw);
	return why;
}

static const char *
on_outbound(struct line *l)
{
	return outbound_request(l->a, l->at[M_REQUEST_ID], l->at[M_ACTION]);
}

static const char *
on_interrupt(struct line *l)
{
	struct gateway *gw = l->a->gw;
	const struct json_doc *doc = &gw->core->doc;
	struct span key = json_raw(doc, l->at[M_SESSION_KEY]),
		    reason = json_raw(doc, l->at[M_REASON]);
	struct span piece[] = {
	    SPAN_LIT("{\"type\":\"interrupt\",\"session_key\":"), key,
	    SPAN_LIT(",\"reason\":"), reason, SPAN_LIT("}")};

	if (json_str_raw(doc, l->at[M_SESSION_KEY]).len == 0)
		return "interrupt: session_key must be a string";
	if (reason.p == NULL)
		piece[3] = SPAN_LIT("null");
	else if (doc->node[l->at[M_REASON]].type != JSON_STRING &&
	    doc->node[l->at[M_REASON]].type != JSON_NULL)
		return "interrupt: reason must be a string or null";
	if (!link_is_up(gw) || wire_line(gw, piece, 5, NULL) == -1)
		agent_error(l->a,
		    "interrupt: not connected to the connector; it was not "
		    "sent");
	else
		gw->count.interrupts++;
	return NULL;
}

static const char *
on_going_idle(struct line *l)
{
	static const struct span ack =
	    SPAN_LIT("{\"type\":\"going_idle_ack\"}");

	delivery_agent_idle(l->a);
	(void)agent_line(l->a, &ack, 1);
	link_agent_idle(l->a->gw);
	return NULL;
}

static void
bad_line(struct agent *a, const char *why)
{
	a->gw->count.agent_lines_bad++;
	agent_error(a, "%s", why);
}

void
core_agent_line(struct agent *a, const char *text, size_t len)
{
	struct core *c = a->gw->core;
	struct line l = {.a = a, .text = {text, len}};
	char scratch[TYPE_MAX];
	const char *why;
	struct span type;
	unsigned depth;
	size_t i;

	if (a->state == AGENT_GONE)
		return;
	if (l.text.len > 0 && text[l.text.len - 1] == '\r')
		l.text.len--;
	if (l.text.len == 0)
		return;
	if (a->gw->taps > 0)
		core_tap(a->gw, TAP_FROM_AGENT, &l.text, 1);
	if (json_parse(&c->doc, text, l.text.len, AGENT_DEPTH) == -1) {
		a->gw->count.agent_lines_bad++;
		agent_error(a, "not a JSON line: %s at byte %zu", c->doc.err,
		    c->doc.erroff);
		return;
	}
	/* An action's long lists need no places; nor does a long action. */
	for (depth = AGENT_DEPTH; c->doc.full && --depth > 0;)
		(void)json_parse(&c->doc, text, l.text.len, depth);
	why = json_members(&c->doc, JSON_ROOT, members, M_COUNT, l.at, NULL);
	if (why != NULL) {
		bad_line(a, why);
		return;
	}
	type = json_str(&c->doc, l.at[M_TYPE], scratch, sizeof(scratch));
	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (!span_eq(type, handlers[i].type))
			continue;
		if (a->state == AGENT_NEW && !handlers[i].before_hello)
			why = "say hello first: {\"type\":\"hello\"}";
		else
			why = handlers[i].fn(&l);
		if (why != NULL)
			bad_line(a, why);
		return;
	}
	a->gw->count.unknown_frames++;
}

static void
on_ack_due(void *arg)
{
	struct agent *a = arg;
	char why[LIMIT_REASON];

	(void)snprintf(why, sizeof(why),
	    "no inbound_ack within %u s: its "
	    "events go to another",
	    a->ack_timeout_ms / 1000);
	core_agent_refuse(a, why);
}

static void
on_hello_due(void *arg)
{
	char why[LIMIT_REASON];

	(void)snprintf(why, sizeof(why),
	    "no hello within %d s: connect again and say "
	    "{\"type\":\"hello\"} first",
	    HELLO_MS / 1000);
	core_agent_refuse(arg, why);
}

void
agent_stood_still(struct agent *a)
{
	if (a->state == AGENT_NEW)
		timer_set(&a->gw->core->timers, &a->hello_timer,
		    a->gw->core->now + HELLO_MS);
	delivery_patience(a);
}

struct agent *
core_agent_new(
    struct gateway *gw, uint32_t uid, uint32_t gid, int32_t pid, void *io_arg)
{
	struct agent *a;

	if (gw->nagent >= LIMIT_AGENTS ||
	    gw->core->nagent >= LIMIT_AGENTS_ALL ||
	    (a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	a->gw = gw;
	a->io = io_arg;
	a->number = ++gw->agent_number;
	a->uid = uid;
	a->gid = gid;
	a->pid = pid;
	a->since = gw->core->now;
	a->window = gw->conf.window;
	a->ack_timeout_ms = gw->conf.ack_timeout_ms;
	TAILQ_INIT(&a->inflight);
	TAILQ_INIT(&a->queued);
	timer_init(&a->ack_timer, on_ack_due, a);
	timer_init(&a->hello_timer, on_hello_due, a);
	timer_set(&gw->core->timers, &a->hello_timer, a->since + HELLO_MS);
	TAILQ_INSERT_TAIL(&gw->agents, a, entry);
	gw->nagent++;
	gw->core->nagent++;
	return a;
}

/* Out of all lists; the world's part is not ours. */
static void
detach(struct agent *a)
{
	a->state = AGENT_GONE;
	TAILQ_REMOVE(&a->gw->agents, a, entry);
	a->gw->nagent--;
	a->gw->core->nagent--;
	timer_clear(&a->gw->core->timers, &a->ack_timer);
	timer_clear(&a->gw->core->timers, &a->hello_timer);
	prompt_agent_gone(a);
	outbound_agent_gone(a);
	delivery_agent_gone(a);
	link_agents(a->gw);
}

void
core_agent_room(struct agent *a)
{
	if (a->state == AGENT_READY)
		delivery_give(a);
}

void
core_agent_gone(struct agent *a, const char *reason)
{
	core_remark(a->gw, LOG_INFO, "agent_gone", "agent %u (%s) is gone: %s",
	    a->number, a->name[0] != '\0' ? a->name : "no name", reason);
	detach(a);
	free(a);
}

void
core_agent_refuse(struct agent *a, const char *why)
{
	struct core *c = a->gw->core;

	agent_error(a, "%s", why);
	core_remark(a->gw, LOG_WARNING, "agent_refused",
	    "agent %u (%s, uid %u, pid %d) is disconnected: %s", a->number,
	    a->name[0] != '\0' ? a->name : "no name", a->uid, a->pid, why);
	detach(a);
	c->io->agent_close(c->arg, a, why);
	free(a);
}
