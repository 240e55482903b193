/* SPDX-License-Identifier: ISC */
/* The connector's side: what it sends, and what it thinks of what it reads. */
#include "../core_wire.h"
#include "link_world.h"
#include "pressure.h"

void
connector_begin(struct world *w)
{
	unsigned i;

	w->connected = 1;
	w->connections++;
	w->reading = 1;
	w->lived = w->conf;
	w->tainted = w->closed = 0;
	w->hellos = 0;
	w->ranks = w->ranked = 0;
	w->nopen = 0;
	for (i = 0; i < EVENTS; i++)
		w->event[i].sent = w->event[i].acked = w->event[i].rank = 0;
	buf_reset(&w->to_core);
	buf_reset(&w->from_core);
	buf_reset(&w->line);
	ws_decoder_init(&w->dec, WS_SERVER, 1 << 26, 1);
}

void
connector_send(struct world *w, struct span bytes)
{
	if (w->connected)
		CHECK(buf_adds(&w->to_core, bytes) == 0);
}

void
connector_frame(struct world *w, unsigned b0, struct span payload)
{
	char head[WS_HEAD_MAX];
	size_t n = ws_head(head, WS_TEXT, 1, payload.len, NULL);

	head[0] = (char)b0;
	connector_send(w, (struct span){head, n});
	connector_send(w, payload);
}

void
connector_text(struct world *w, struct span text)
{
	connector_frame(w, 0x81, text);
}

void
connector_pump(struct world *w)
{
	size_t n, used, len;
	struct buf *b = &w->to_core;
	char *copy;

	n = 0;
	while (w->connected && w->reading && (len = buf_len(b)) > n) {
		n += w->chunk == 0 ? len - n : w->chunk;
		if (n > len)
			n = len;
		if (n > ROOM)
			n = ROOM;
		copy = exact((struct span){buf_span(b).p, n});
		used = wire_input(w->gw, copy, n, ROOM);
		CHECK(used <= n);
		free(copy);
		world_turn(w);
		CHECK(w->gw->delivery.bytes <= pressure_capacity(w->gw));
		if (!w->connected)
			break;
		/* A full buffer that is not used would stay so. */
		CHECK(used > 0 || n < ROOM);
		buf_drain(b, used);
		n -= used;
	}
}

/* Numbers behind a mark or an epoch. */
static uint64_t
number_after(struct span s, size_t at)
{
	uint64_t v = 0;

	for (; at < s.len && s.p[at] >= '0' && s.p[at] <= '9'; at++)
		v = v * 10 + (uint64_t)(s.p[at] - '0');
	return v;
}

static int
has_mark(struct span id)
{
	return id.len > 3 && memcmp(id.p + 1, MARK, 2) == 0;
}

static void
on_ack(struct world *w, struct json_doc *doc)
{
	char scratch[LIMIT_BUFFER_ID_REFUSED];
	struct span id = json_str(doc, json_get(doc, JSON_ROOT, "bufferId"),
	    scratch, sizeof(scratch));
	struct event *e;
	uint64_t n;

	CHECK(id.p != NULL && id.len > 0);
	if (!has_mark(id)) {
		/* Perhaps of what was refused. */
		CHECK(id.len <= LIMIT_BUFFER_ID_REFUSED);
		return;
	}
	n = number_after(id, 3);
	CHECK(id.p[0] == 'E' && n < EVENTS);
	e = &w->event[n];
	CHECK(e->taken);
	CHECK(e->acked < e->sent);
	if (e->acked++ > 0)
		return;
	/* In the order of their first arrival. */
	CHECK(e->rank == w->ranked + 1);
	w->ranked = e->rank;
}

/* A frame that left is never sent again. */
static void
note_written(struct world *w, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < w->nwritten; i++)
		CHECK(w->written[i] != n);
	w->written = realloc(w->written, (i + 1) * sizeof(*w->written));
	CHECK(w->written != NULL);
	w->written[w->nwritten++] = n;
}

/* An action, or its metadata, can be read in one way only.  What we add may be
 * more than a document keeps. */
static void
check_object(struct span object, int is_action)
{
	struct json_doc *doc = malloc(sizeof(*doc));
	struct span metadata;

	CHECK(doc != NULL);
	CHECK(json_parse(doc, object.p, object.len, 1) == 0);
	CHECK(doc->full || !json_twice(doc, JSON_ROOT));
	metadata = json_raw(doc, json_get(doc, JSON_ROOT, "metadata"));
	free(doc);
	if (is_action && metadata.len > 0 && metadata.p[0] == '{')
		check_object(metadata, 0);
}

static void
on_outbound(struct world *w, struct json_doc *doc)
{
	struct span id =
	    json_str_raw(doc, json_get(doc, JSON_ROOT, "requestId"));
	int action = json_get(doc, JSON_ROOT, "action");
	uint64_t n;

	CHECK(id.len > 17 && id.p[16] == '-');
	CHECK(memcmp(id.p, w->gw->delivery.epoch + 1, 16) == 0);
	n = number_after(id, 17);
	note_written(w, n);
	CHECK(action != -1 && doc->node[action].type == JSON_OBJECT);
	CHECK(!json_twice(doc, JSON_ROOT));
	check_object(json_raw(doc, action), 1);
	if (w->nopen < REQUESTS)
		w->open[w->nopen++] = n;
}

static void
on_hello(struct world *w, struct json_doc *doc)
{
	const struct identity *id = &w->lived.identity[w->hellos++];
	char scratch[LIMIT_ID];
	struct span s;

	s = json_str(doc, json_get(doc, JSON_ROOT, "platform"), scratch,
	    sizeof(scratch));
	CHECK(span_eq(s, span_str(id->platform)));
	s = json_str(
	    doc, json_get(doc, JSON_ROOT, "botId"), scratch, sizeof(scratch));
	CHECK(span_eq(s, span_str(id->bot_id)));
	CHECK((json_get(doc, JSON_ROOT, "command_manifest") != -1) ==
	    (id->manifest != NULL));
}

static void
on_line(struct world *w, struct span line)
{
	struct json_doc *doc = malloc(sizeof(*doc));
	struct span type;

	CHECK(doc != NULL);
	CHECK(line.len <= LIMIT_LINE);
	CHECK(json_parse(doc, line.p, line.len, 3) == 0);
	CHECK(doc->node[JSON_ROOT].type == JSON_OBJECT);
	if (doc->full)
		(void)json_parse(doc, line.p, line.len, 1);
	type = json_str_raw(doc, json_get(doc, JSON_ROOT, "type"));
	if (w->hellos < w->lived.nidentity) {
		CHECK(span_eq(type, SPAN_LIT("hello")));
		on_hello(w, doc);
	} else if (span_eq(type, SPAN_LIT("inbound_ack")))
		on_ack(w, doc);
	else if (span_eq(type, SPAN_LIT("outbound")))
		on_outbound(w, doc);
	else
		CHECK(span_eq(type, SPAN_LIT("interrupt")) ||
		    span_eq(type, SPAN_LIT("going_idle")));
	free(doc);
}

static void
on_text(struct world *w, struct span text)
{
	const char *nl;
	size_t n;

	CHECK(text.len > 0 && text.p[text.len - 1] == '\n');
	while (text.len > 0) {
		nl = memchr(text.p, '\n', text.len);
		CHECK(nl != NULL);
		n = (size_t)(nl - text.p);
		on_line(w, (struct span){text.p, n});
		text.p += n + 1;
		text.len -= n + 1;
	}
}

static void
on_frame(struct world *w, const struct ws_event *ev)
{
	CHECK(ev->type != WS_EV_ERROR && !w->closed);
	if (ev->type == WS_EV_CLOSE)
		w->closed = 1;
	if (ev->type != WS_EV_DATA)
		return;
	CHECK(ev->opcode == WS_TEXT && ev->first && ev->last);
	on_text(w, ev->payload);
}

void
connector_read(struct world *w, size_t n)
{
	size_t left = wire_output(w->gw).len;

	if (left == 0 || n == 0 || !w->connected)
		return;
	CHECK(!w->closed); /* a close frame is the last one */
	CHECK(left <= LIMIT_LINK_QUEUE + LIMIT_LINE);
	core_wire_read(w->gw, n, &w->from_core, &w->dec, on_frame, w);
	CHECK(!w->closed || buf_len(&w->from_core) == 0);
}

/* The connection ends: requests of which a part was read count as written. */
void
connector_end(struct world *w)
{
	static const char begin[] = "{\"type\":\"outbound\",\"requestId\":\"";
	struct span s = buf_span(&w->from_core), id;
	struct ws_event ev;
	const char *nl;
	size_t used;

	w->connected = 0;
	if (s.len == 0)
		return;
	ws_decode(
	    &w->dec, w->from_core.p + w->from_core.off, s.len, 0, &used, &ev);
	s = ev.payload;
	while (ev.type == WS_EV_DATA && s.len > sizeof(begin) + 17) {
		id = (struct span){
		    s.p + sizeof(begin) - 1, s.len - sizeof(begin) + 1};
		nl = memchr(s.p, '\n', s.len);
		/* The last line's number may be cut. */
		if (memcmp(s.p, begin, sizeof(begin) - 1) == 0 &&
		    memchr(id.p, '"', id.len) != NULL)
			note_written(w, number_after(id, 17));
		if (nl == NULL)
			break;
		s.len -= (size_t)(nl + 1 - s.p);
		s.p = nl + 1;
	}
}

/* Inside a broken frame nothing is known of what arrives. */
static int
can_send(const struct world *w, unsigned event)
{
	return w->connected && !w->tainted && event < EVENTS &&
	    w->event[event].sent < UINT16_MAX;
}

/* It arrives in a line of its own, whatever came before. */
static void
send_own(struct world *w, unsigned event, struct buf *b)
{
	struct event *e = &w->event[event];

	if (e->sent++ == 0)
		e->rank = ++w->ranks;
	connector_text(w, buf_span(b));
	buf_free(b);
}

void
connector_event(struct world *w, unsigned n, unsigned session)
{
	static const char *const platform[] = {
	    "discord", "telegram", "slack", "unknown"};
	struct buf b;

	if (!can_send(w, n))
		return;
	buf_init(&b, 0);
	(void)buf_addf(&b,
	    "\n{\"type\":\"inbound\",\"bufferId\":\"E" MARK "%u\",\"event\":"
	    "{\"text\":\"E" MARK "%u ",
	    n, n);
	world_pad(w, &b);
	(void)buf_addf(&b,
	    "\",\"source\":{\"platform\":\"%s\",\"chat_id\":\"c%u\","
	    "\"chat_type\":\"dm\",\"user_id\":\"u\",\"scope_id\":\"s\"}}}\n",
	    platform[session % 4], session / 4);
	CHECK(!b.failed);
	send_own(w, n, &b);
}

void
connector_forward(struct world *w, unsigned n)
{
	struct buf b;

	if (!can_send(w, n))
		return;
	buf_init(&b, 0);
	(void)buf_addf(&b,
	    "\n{\"forward\":{\"platform\":\"discord\",\"path\":\"E" MARK "%u "
	    "\"},\"type\":\"passthrough_forward\",\"bufferId\":\"E" MARK
	    "%u\"}\n",
	    n, n);
	CHECK(!b.failed);
	send_own(w, n, &b);
}

void
connector_result(struct world *w, unsigned n, struct span result)
{
	struct buf b;

	if (w->nopen == 0)
		return;
	n %= w->nopen;
	buf_init(&b, 0);
	(void)buf_addf(&b,
	    "\n{\"type\":\"outbound_result\",\"requestId\":%.17s%llu\","
	    "\"result\":",
	    w->gw->delivery.epoch, (unsigned long long)w->open[n]);
	(void)buf_adds(&b, result);
	(void)buf_adds(&b, SPAN_LIT("}\n"));
	CHECK(!b.failed);
	connector_text(w, buf_span(&b));
	buf_free(&b);
	w->open[n] = w->open[--w->nopen];
}
