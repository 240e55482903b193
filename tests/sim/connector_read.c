/* SPDX-License-Identifier: ISC */
/* What the connector reads, and thinks of it. */
#include "../core_wire.h"
#include "invariant.h"
#include "sim.h"

static int
event_by_id(const struct world *w, struct span id)
{
	uint32_t n = 0;
	size_t i;

	if (id.len < 2 || id.p[0] != 'b')
		return NOTHING;
	for (i = 1; i < id.len; i++)
		n = n * 10 + (uint32_t)(id.p[i] - '0');
	return n < w->nevent ? (int)n : NOTHING;
}

static void
read_ack(struct world *w)
{
	struct span id =
	    json_str_raw(&w->doc, json_get(&w->doc, JSON_ROOT, "bufferId"));
	int n = event_by_id(w, id);
	struct event *e;

	/* Entries that can never be taken are acknowledged by their ids. */
	if (span_eq(id, SPAN_LIT("junk")))
		return;
	acked_only_when_taken(w, n < 0 ? EVENTS : (unsigned)n);
	e = &w->event[n];
	trace(w, "the connector reads the ack of b%d", n);
	acked_once_per_arrival(w, (unsigned)n);
	if (e->acks++ == 0) {
		acked_in_order_of_arrival(w, (unsigned)n);
		w->ranked = e->rank;
		w->pending -= w->pending > 0;
	}
	e->acked = 1;
	w->sum.acks++;
}

static void
read_request(struct world *w)
{
	int action = json_get(&w->doc, JSON_ROOT, "action");
	struct span text =
	    json_str_raw(&w->doc, json_get(&w->doc, action, "content"));
	struct span id =
	    json_str_raw(&w->doc, json_get(&w->doc, JSON_ROOT, "requestId"));
	uint32_t n = 0;
	size_t i;

	for (i = 1; i < text.len; i++)
		n = n * 10 + (uint32_t)(text.p[i] - '0');
	request_sent_once(w, text.len < 2 ? REQUESTS : n);
	denied_is_never_sent(w, n);
	trace(w, "the connector reads request %u", n);
	w->request[n].read = 1;
	(void)snprintf(w->request[n].id, sizeof(w->request[n].id), "%.*s",
	    (int)id.len, id.p);
	w->request[n].connection = w->connections;
}

static void
read_line(struct world *w, struct span line)
{
	struct span type;

	(void)json_parse(&w->doc, line.p, line.len, 3);
	type = json_str_raw(&w->doc, json_get(&w->doc, JSON_ROOT, "type"));
	if (span_eq(type, SPAN_LIT("hello"))) {
		says_hello_for_each(w,
		    json_str_raw(
			&w->doc, json_get(&w->doc, JSON_ROOT, "platform")));
		w->hellos++;
	} else if (span_eq(type, SPAN_LIT("inbound_ack")))
		read_ack(w);
	else if (span_eq(type, SPAN_LIT("outbound")))
		read_request(w);
	else if (span_eq(type, SPAN_LIT("interrupt")))
		w->interrupts_out++;
	else if (span_eq(type, SPAN_LIT("going_idle"))) {
		w->idle_asked = 1;
		w->asked_at = w->c->now;
		trace(w, "the connector reads going_idle");
	}
}

static void
read_text(struct world *w, struct span text)
{
	const char *nl;
	size_t n;

	while (text.len > 0) {
		nl = memchr(text.p, '\n', text.len);
		n = nl == NULL ? text.len : (size_t)(nl - text.p);
		read_line(w, (struct span){text.p, n});
		text.p += n + (nl != NULL);
		text.len -= n + (nl != NULL);
	}
}

static void
read_frame(struct world *w, const struct ws_event *ev)
{
	if (ev->type == WS_EV_DATA)
		read_text(w, ev->payload);
	else if (ev->type == WS_EV_PING && !w->silent)
		(void)connector_put(w, WS_PONG, FRAME_OTHER, ev->payload);
	else if (ev->type == WS_EV_CLOSE) {
		w->closed = 1;
		sleeps_only_after_ack(w);
	}
}

void
connector_read(struct world *w, size_t n)
{
	if (n > 0 && w->connected && wire_output(w->gw).len > 0)
		core_wire_read(w->gw, n, &w->from_core, &w->dec, read_frame, w);
}
