/* SPDX-License-Identifier: ISC */
/*
 * What flows to control clients without being asked line by line: taps (the
 * lines of a link and its agents) and watches (changes of state).
 *
 * control_tap() is called from within the core: it may add to buffers and
 * mark clients, and does nothing else.
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

/* Tell every gateway how many taps are on it; gone: leave that one alone. */
static void
count_taps(struct control *ct, const struct engine_gw *gone)
{
	const struct client *c;
	struct engine_gw *eg;
	uint32_t n;
	size_t i;

	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if ((eg = ct->e->gw[i]) == NULL || eg == gone || eg->gw == NULL)
			continue;
		n = 0;
		if (ct->ntap > 0)
			TAILQ_FOREACH (c, &ct->clients, entry)
				n += c->tapping &&
				    (c->tap_gw == NULL || c->tap_gw == eg);
		eg->gw->taps = n;
	}
}

void
tap_start(struct client *c, struct engine_gw *eg, int content)
{
	c->tapping = 1;
	c->tap_gw = eg;
	c->content = content != 0;
	c->control->ntap++;
	event_add(c->rd, NULL);
	count_taps(c->control, NULL);
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
	c->watching = 0;
	if (!c->tapping)
		return;
	c->tapping = 0;
	c->control->ntap--;
	count_taps(c->control, NULL);
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

static void
put_tap(struct client *c, struct span head, struct span line, int parsed)
{
	struct buf *b = &c->out;

	if (buf_len(b) >= CONTROL_STREAM_HIGH) {
		c->lost++;
		return;
	}
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
		if (c->tapping && !c->closing && !c->doomed &&
		    (c->tap_gw == NULL || c->tap_gw == eg))
			put_tap(c, buf_span(&ct->scratch), line, parsed);
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
		if (c->watching && !c->closing && !c->doomed)
			put_change(c, buf_span(b));
}

void
control_state_changed(struct control *ct, struct engine_gw *eg)
{
	struct gateway *gw = eg->gw;
	struct buf *b = &ct->scratch;

	if (ct->ntap > 0)
		count_taps(ct, NULL); /* it may be a new gateway */
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
		if (!c->tapping || c->tap_gw != eg)
			continue;
		tap_end(c);
		control_refuse(c, "unknown_gateway",
		    "gateway %s was taken out of the configuration", eg->name);
		client_close(c);
	}
	count_taps(ct, eg);
	if (ct->nwatch == 0)
		return;
	buf_reset(&ct->scratch);
	buf_adds(&ct->scratch, SPAN_LIT("{\"event\":\"gone\""));
	json_put_member_str(&ct->scratch, "gateway", span_str(eg->name));
	put_event(ct);
}
