/* SPDX-License-Identifier: ISC */
/*
 * What flows to control clients without being asked line by line: taps (the
 * lines of a link and its agents, and the stages of events) and watches
 * (changes of state).
 *
 * control_tap() and control_stage() are called from within the core: they may
 * add to buffers and mark clients, and do nothing else.
 */
#include <string.h>

#include <event2/event.h>

#include "control_priv.h"
#include "status.h"

/* Bytes of a foreign value in a tapped line's head; longer is left out. */
#define TAP_VALUE_MAX (LIMIT_SESSION_KEY + 2)

static const char *const dir_name[] = {
    [TAP_FROM_CONNECTOR] = "from_connector",
    [TAP_TO_CONNECTOR] = "to_connector",
    [TAP_FROM_AGENT] = "from_agent",
    [TAP_TO_AGENT] = "to_agent",
};

static int
taps(const struct client *c, const struct engine_gw *eg)
{
	return c->tapping && (c->tap_gw == NULL || c->tap_gw == eg);
}

static int
follows(const struct client *c, const struct engine_gw *eg)
{
	return c->following && c->follow.eg == eg;
}

static int
is_there(const struct client *c)
{
	return !c->closing && !c->doomed;
}

void
tap_count(struct control *ct, const struct engine_gw *gone)
{
	const struct client *c;
	struct engine_gw *eg;
	size_t i;

	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if ((eg = ct->e->gw[i]) == NULL || eg == gone || eg->gw == NULL)
			continue;
		eg->gw->taps = eg->gw->followers = 0;
		TAILQ_FOREACH (c, &ct->clients, entry) {
			eg->gw->taps += taps(c, eg) && !c->no_lines;
			eg->gw->followers += taps(c, eg) || follows(c, eg);
		}
	}
}

void
tap_start(struct client *c, struct engine_gw *eg)
{
	c->tapping = 1;
	c->tap_gw = eg;
	c->control->ntap++;
	event_add(c->rd, NULL);
	tap_count(c->control, NULL);
}

void
watch_start(struct client *c)
{
	c->watching = 1;
	c->control->nwatch++;
	event_add(c->rd, NULL);
}

void
tap_end(struct client *c)
{
	if (c->watching)
		c->control->nwatch--;
	c->control->ntap -= c->tapping;
	c->watching = 0;
	if (!c->tapping && !c->following)
		return;
	c->tapping = c->following = 0;
	tap_count(c->control, NULL);
}

void
tap_resume(struct client *c)
{
	if (c->doomed || buf_len(&c->out) >= CONTROL_STREAM_HIGH)
		return;
	buf_adds(&c->out, SPAN_LIT("{\"tap\":\"lost\""));
	json_put_member_int(&c->out, "n", (int64_t)c->lost);
	buf_adds(&c->out, SPAN_LIT("}\n"));
	c->lost = 0;
	client_flush(c);
}

/* A member of the tapped line, as it stands there, when it is a short one. */
static void
put_value(
    struct buf *b, const struct json_doc *doc, const char *name, int or_null)
{
	int at = json_get(doc, JSON_ROOT, name);
	struct span raw = json_raw(doc, at);

	if (at != -1 && doc->node[at].type != JSON_STRING &&
	    doc->node[at].type != JSON_NUMBER)
		raw.p = NULL;
	if (raw.len > TAP_VALUE_MAX)
		raw.p = NULL;
	if (raw.p == NULL && !or_null)
		return;
	json_put_key(b, name);
	status_put_json(b, raw);
}

/* All of a tapped line's document but its end and its content. */
static void
put_head(struct control *ct, const struct engine_gw *eg, enum tap_dir dir,
    struct span line, int parsed)
{
	struct buf *b = &ct->scratch;

	buf_reset(b);
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_str(b, "tap", span_str(dir_name[dir]));
	json_put_member_str(b, "gateway", span_str(eg->name));
	buf_addf(b, ",\"at\":%.3f", engine_wall());
	if (!parsed) {
		json_put_member_raw(b, "type", (struct span){NULL, 0});
		json_put_member_int(b, "bytes", (int64_t)line.len);
		return;
	}
	put_value(b, &ct->doc, "type", 1);
	json_put_member_int(b, "bytes", (int64_t)line.len);
	put_value(b, &ct->doc, "bufferId", 0);
	put_value(b, &ct->doc, "requestId", 0);
	put_value(b, &ct->doc, "session_key", 0);
}

/* Whether the client has room for a line; else it is counted. */
static int
has_room(struct client *c)
{
	if (buf_len(&c->out) < CONTROL_STREAM_HIGH)
		return 1;
	c->lost++;
	return 0;
}

static void
put_tap(struct client *c, struct span head, struct span line, int parsed)
{
	struct buf *b = &c->out;

	if (!has_room(c))
		return;
	buf_adds(b, head);
	if (c->content) {
		json_put_key(b, "line");
		if (parsed)
			status_put_json(b, line);
		else
			json_put_str(b, line);
	}
	buf_adds(b, SPAN_LIT("}\n"));
	client_flush(c);
}

void
control_tap(struct control *ct, struct engine_gw *eg, enum tap_dir dir,
    struct span line)
{
	struct client *c;
	int parsed;

	if (ct->ntap == 0)
		return;
	parsed = json_parse(&ct->doc, line.p, line.len, 1) == 0 &&
	    ct->doc.node[JSON_ROOT].type == JSON_OBJECT;
	put_head(ct, eg, dir, line, parsed);
	TAILQ_FOREACH (c, &ct->clients, entry) {
		if (taps(c, eg) && !c->no_lines && is_there(c))
			put_tap(c, buf_span(&ct->scratch), line, parsed);
	}
}

void
control_stage(
    struct control *ct, struct engine_gw *eg, const struct stage_step *step)
{
	struct client *c;

	buf_reset(&ct->scratch);
	if (ct->ntap > 0) {
		trace_put(&ct->scratch, "tap", eg, step);
		buf_adds(&ct->scratch, SPAN_LIT("}\n"));
	}
	TAILQ_FOREACH (c, &ct->clients, entry) {
		if (!is_there(c))
			continue;
		if (follows(c, eg))
			trace_step(c, step);
		else if (taps(c, eg) && has_room(c)) {
			buf_adds(&c->out, buf_span(&ct->scratch));
			client_flush(c);
		}
	}
}

static void
put_change(struct client *c, struct span text)
{
	/* A watcher that missed a change would be wrong from then on: end it,
	 * so that it asks anew. */
	if (buf_len(&c->out) >= CONTROL_STREAM_HIGH) {
		client_doom(c);
		return;
	}
	buf_adds(&c->out, text);
	client_flush(c);
}

/* Tell the watchers what is in the scratch. */
static void
put_event(struct control *ct)
{
	struct buf *b = &ct->scratch;
	struct client *c;

	buf_addf(b, ",\"at\":%.3f}\n", engine_wall());
	TAILQ_FOREACH (c, &ct->clients, entry)
		if (c->watching && is_there(c))
			put_change(c, buf_span(b));
}

void
control_state_changed(struct control *ct, struct engine_gw *eg)
{
	struct gateway *gw = eg->gw;
	struct buf *b = &ct->scratch;

	if (ct->ntap > 0)
		tap_count(ct, NULL); /* it may be a new gateway */
	if (ct->nwatch == 0 || gw == NULL)
		return;
	buf_reset(b);
	buf_adds(b, SPAN_LIT("{\"event\":\"state\""));
	json_put_member_str(b, "gateway", span_str(eg->name));
	json_put_member_str(b, "state", span_str(link_public(gw)));
	json_put_member_str(b, "phase", span_str(link_phase(gw)));
	json_put_member_str(b, "reason", span_str(gw->link.reason));
	put_event(ct);
}

void
control_gateway_gone(struct control *ct, struct engine_gw *eg)
{
	struct client *c;

	TAILQ_FOREACH (c, &ct->clients, entry) {
		if (!follows(c, eg) && (!c->tapping || c->tap_gw != eg))
			continue;
		tap_end(c);
		control_refuse(c, "unknown_gateway",
		    "gateway %s was taken out of the configuration", eg->name);
		client_close(c);
	}
	tap_count(ct, eg);
	if (ct->nwatch == 0)
		return;
	buf_reset(&ct->scratch);
	buf_adds(&ct->scratch, SPAN_LIT("{\"event\":\"gone\""));
	json_put_member_str(&ct->scratch, "gateway", span_str(eg->name));
	put_event(ct);
}
