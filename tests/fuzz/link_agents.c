/* SPDX-License-Identifier: ISC */
/* The agents' side: what they say, and what they think of what they hear. */
#include "link_world.h"

#define DELIVERY_DEPTH 3

static struct item *
item_of(struct world *w, uint64_t id)
{
	struct item *p;
	uint64_t i;

	CHECK(id >= 1 && id < w->gw->delivery.journal.next_seq);
	for (i = 0; i < w->nitem; i++)
		if (w->item[i].id == id)
			return &w->item[i];
	p = realloc(w->item, (i + 1) * sizeof(*p));
	CHECK(p != NULL);
	w->item = p;
	p[w->nitem++] = (struct item){id, -1, -1, 0, 0};
	return &p[i];
}

static const struct delivery *
delivery_of(const struct world *w, uint64_t id)
{
	struct hnode *n = htab_find(&w->gw->delivery.by_id, id);

	CHECK(n != NULL);
	return (const struct delivery *)(const void *)((const char *)n -
	    offsetof(struct delivery, by_id));
}

/* The number of one that the core has; 0: of none. */
static uint64_t
number_of(const struct world *w, struct span id)
{
	const struct delivery *d = delivery_find(w->gw, id);

	return d == NULL ? 0 : d->seq;
}

/* Which of our events a delivery is, by its text; -1: none. */
static int
event_of(struct json_doc *doc)
{
	int at = json_get(doc, JSON_ROOT, "event"), n = 0;
	struct span s;
	size_t i;

	s = at != -1
	    ? json_str_raw(doc, json_get(doc, at, "text"))
	    : json_str_raw(doc,
		  json_get(doc, json_get(doc, JSON_ROOT, "forward"), "path"));
	if (s.len < 5 || memcmp(s.p, "E" MARK, 3) != 0)
		return -1;
	for (i = 3; i < s.len && s.p[i] != ' '; i++)
		n = n * 10 + s.p[i] - '0';
	CHECK(n < EVENTS);
	return n;
}

/* It is the first time we hear of this delivery. */
static void
first_given(struct world *w, struct item *it, int event)
{
	struct event *e;

	it->event = (int16_t)event;
	if (event == -1)
		return;
	e = &w->event[event];
	CHECK(!e->live);
	CHECK(!e->taken || w->damaged);
	e->live = 1;
}

/* The events of one session are with one agent, in order. */
static void
check_order(struct slot *s, uint64_t id)
{
	const struct delivery *d = delivery_of(s->w, id);
	uint32_t i;
	int k;

	for (i = 0; i < s->nheld; i++)
		if (delivery_of(s->w, s->held[i])->session == d->session)
			CHECK(s->held[i] < id);
	for (k = 0; k < AGENTS; k++)
		for (i = 0; i < s->w->slot[k].nheld; i++)
			CHECK(&s->w->slot[k] == s ||
			    delivery_of(s->w, s->w->slot[k].held[i])->session !=
				d->session);
}

/* Of an agent that the core cut off, others are given what it held before the
 * world is told to close it. */
static void
release_gone(struct world *w)
{
	struct slot *s;
	uint32_t i;

	for (s = w->slot; s < w->slot + AGENTS; s++)
		if (s->a != NULL && s->a->state == AGENT_GONE) {
			for (i = 0; i < s->nheld; i++)
				item_of(w, s->held[i])->holder = -1;
			s->nheld = 0;
		}
}

static void
hear_delivery(struct slot *s, struct json_doc *doc)
{
	struct world *w = s->w;
	struct span id =
	    json_str_raw(doc, json_get(doc, JSON_ROOT, "bufferId"));
	uint64_t n = number_of(w, id);
	const struct delivery *d;
	struct item *it;
	int event, again;

	CHECK(n != 0);
	release_gone(w);
	it = item_of(w, n);
	event = event_of(doc);
	CHECK(!it->acked && it->holder == -1);
	if (it->given == 0)
		first_given(w, it, event);
	CHECK(it->event == event);
	if (event != -1) {
		again = json_get(doc, JSON_ROOT, "redelivered");
		CHECK((again != -1) == (it->given > 0));
		CHECK(json_get(doc, JSON_ROOT, "session_key") != -1);
		CHECK(!json_twice(doc, JSON_ROOT));
	}
	check_order(s, n);
	/* A suspect is alone. */
	d = delivery_of(w, n);
	CHECK(s->nheld == 0 ||
	    (!d->suspect && !delivery_of(w, s->held[0])->suspect));
	if (it->given < UINT8_MAX)
		it->given++;
	it->holder = (int8_t)(s - w->slot);
	CHECK(s->nheld < s->a->window);
	s->held = realloc(s->held, (s->nheld + 1) * sizeof(*s->held));
	CHECK(s->held != NULL);
	s->held[s->nheld++] = n;
}

static void
hear_result(struct slot *s, struct json_doc *doc)
{
	struct span id =
	    json_str_raw(doc, json_get(doc, JSON_ROOT, "requestId"));
	uint64_t n = 0;
	size_t i;

	CHECK(id.p != NULL);
	if (id.len < 4 || memcmp(id.p, "q" MARK, 3) != 0)
		return;
	for (i = 3; i < id.len; i++)
		n = n * 10 + (uint64_t)(id.p[i] - '0');
	agents_answered(s->w, n, (int)(s - s->w->slot));
}

void
agents_answered(struct world *w, uint64_t n, int slot)
{
	CHECK(n < w->nrequest);
	CHECK(w->request[n].slot == slot || slot == -1);
	CHECK(!w->request[n].answered);
	w->request[n].answered = 1;
}

void
agents_hear(struct slot *s, struct span line)
{
	struct json_doc *doc = malloc(sizeof(*doc));
	char scratch[32];
	struct span type;

	CHECK(doc != NULL && s->a != NULL);
	CHECK(memchr(line.p, '\n', line.len) == NULL);
	CHECK(line.len <= LIMIT_LINE + LIMIT_SESSION_KEY * 6 + 256);
	CHECK(json_parse(doc, line.p, line.len, DELIVERY_DEPTH) == 0);
	CHECK(doc->node[JSON_ROOT].type == JSON_OBJECT);
	if (doc->full)
		(void)json_parse(doc, line.p, line.len, 1);
	if (doc->full) { /* more members than are worth a look */
		free(doc);
		return;
	}
	type = json_str(
	    doc, json_get(doc, JSON_ROOT, "type"), scratch, sizeof(scratch));
	CHECK(type.p != NULL);
	if (s->a->state == AGENT_NEW)
		CHECK(span_eq(type, SPAN_LIT("error")));
	if (json_get(doc, JSON_ROOT, "bufferId") != -1 &&
	    !span_eq(type, SPAN_LIT("interrupt_inbound")))
		hear_delivery(s, doc);
	else if (span_eq(type, SPAN_LIT("outbound_result")))
		hear_result(s, doc);
	free(doc);
}

void
agents_dropped(struct world *w, uint64_t seq, struct span line)
{
	struct json_doc *doc = malloc(sizeof(*doc));
	struct item *it = item_of(w, seq);
	int event;

	CHECK(doc != NULL);
	CHECK(it->given > 0 || w->damaged);
	it->acked = 1;
	it->holder = -1;
	CHECK(json_parse(doc, line.p, line.len, DELIVERY_DEPTH) == 0);
	if (!doc->full && (event = event_of(doc)) != -1) {
		w->event[event].taken = 1;
		w->event[event].live = 0;
	}
	free(doc);
}

void
agents_aside(struct world *w)
{
	const struct delivery *d;

	TAILQ_FOREACH (d, &w->gw->delivery.aside, entry)
		if (!item_of(w, d->seq)->acked)
			agents_dropped(
			    w, d->seq, (struct span){d->line, d->linelen});
}

void
agents_join(struct world *w, unsigned slot, struct span hello)
{
	struct slot *s = &w->slot[slot % AGENTS];

	if (s->a != NULL)
		return;
	s->deaf = s->lost = 0;
	s->nheld = 0;
	s->a = core_agent_new(w->gw, 1000, 1000, 42, s);
	CHECK(s->a != NULL);
	agents_say(s, hello);
}

void
agents_leave(struct slot *s)
{
	struct world *w = s->w;
	uint32_t i;

	for (i = 0; i < s->nheld; i++)
		item_of(w, s->held[i])->holder = -1;
	s->nheld = 0;
	for (i = 0; i < w->nrequest; i++)
		if (w->request[i].slot == s - w->slot)
			w->request[i].slot = -1;
	s->a = NULL;
}

/* The delivery that an acknowledgement took, by what the line says. */
static void
note_ack(struct slot *s, struct span line)
{
	struct json_doc *doc = malloc(sizeof(*doc));
	char scratch[LIMIT_BUFFER_ID];
	struct item *it;
	uint64_t id;
	uint32_t i;

	CHECK(doc != NULL);
	CHECK(json_parse(doc, line.p, line.len, 1) == 0);
	id = number_of(s->w,
	    json_str(doc, json_get(doc, JSON_ROOT, "bufferId"), scratch,
		sizeof(scratch)));
	free(doc);
	for (i = 0; i < s->nheld && s->held[i] != id; i++)
		continue;
	CHECK(i < s->nheld);
	memmove(&s->held[i], &s->held[i + 1],
	    (--s->nheld - i) * sizeof(s->held[0]));
	it = item_of(s->w, id);
	it->acked = 1;
	it->holder = -1;
	/* The oldest are forgotten by now. */
	if (++s->w->acks >= LIMIT_SEEN)
		s->w->damaged = 1;
	if (it->event != -1) {
		s->w->event[it->event].taken = 1;
		s->w->event[it->event].live = 0;
	}
}

/* What a line would acknowledge of what the agent holds: told before the core
 * hears it, since more may be given at once. */
enum ack { ACK_NOTHING, ACK_HELD, ACK_AMBIGUOUS };

static enum ack
read_ack(struct slot *s, struct span line)
{
	struct json_doc *doc = malloc(sizeof(*doc));
	char scratch[LIMIT_BUFFER_ID];
	enum ack ack = ACK_NOTHING;
	uint64_t id = 0;
	uint32_t i;

	CHECK(doc != NULL);
	if (s->a->state == AGENT_READY &&
	    json_parse(doc, line.p, line.len, 1) == 0 && !doc->full &&
	    span_eq(
		json_str(doc, json_get(doc, JSON_ROOT, "type"), scratch, 32),
		SPAN_LIT("inbound_ack")))
		id = number_of(s->w,
		    json_str(doc, json_get(doc, JSON_ROOT, "bufferId"), scratch,
			sizeof(scratch)));
	for (i = 0; i < s->nheld; i++)
		if (s->held[i] == id)
			ack = json_twice(doc, JSON_ROOT) ? ACK_AMBIGUOUS
							 : ACK_HELD;
	free(doc);
	return ack;
}

void
agents_say(struct slot *s, struct span line)
{
	uint64_t acks = s->w->gw->count.agent_acks;
	enum ack ack;
	char *copy;

	if (s->a == NULL || s->lost ||
	    (ack = read_ack(s, line)) == ACK_AMBIGUOUS)
		return;
	line.p = copy = exact(line);
	if (ack == ACK_HELD)
		note_ack(s, line);
	core_agent_line(s->a, line.p, line.len);
	CHECK(s->w->gw->count.agent_acks == acks + (ack == ACK_HELD));
	free(copy);
	world_turn(s->w);
}

void
agents_ack(struct slot *s, unsigned n)
{
	const struct delivery *d;
	char id[CORE_ID];
	struct buf b;

	if (s->a == NULL || s->nheld == 0)
		return;
	d = delivery_of(s->w, s->held[n % s->nheld]);
	buf_init(&b, 0);
	(void)buf_adds(&b, SPAN_LIT("{\"type\":\"inbound_ack\",\"bufferId\":"));
	(void)buf_add(&b, id, core_put_id(d->epoch, d->seq, id));
	(void)buf_adds(&b, SPAN_LIT("}"));
	agents_say(s, buf_span(&b));
	buf_free(&b);
}

void
agents_request(struct slot *s, unsigned kind)
{
	static const char *const action[] = {
	    "{\"op\":\"send\",\"chat_id\":\"c0\",\"content\":\"hi",
	    "{\"op\":\"edit\",\"chat_id\":\"c1\",\"metadata\":null,\"c\":\"",
	    "{\"op\":\"send\",\"metadata\":{\"scope_id\":\"\"},"
	    "\"chat_id\":\"c2\",\"content\":\"",
	    "{\"op\":\"follow_up\",\"session_key\":\"k\",\"content\":\"",
	};
	struct world *w = s->w;
	struct buf b;

	if (s->a == NULL || s->a->state != AGENT_READY || s->lost ||
	    w->nrequest == REQUESTS)
		return;
	w->request[w->nrequest] = (struct request){(int8_t)(s - w->slot), 0, 0};
	buf_init(&b, 0);
	(void)buf_addf(&b,
	    "{\"requestId\":\"q" MARK
	    "%u\",\"type\":\"outbound\",\"action\":%s",
	    w->nrequest++, action[kind % 4]);
	world_pad(w, &b);
	(void)buf_adds(&b, SPAN_LIT("\"}}"));
	CHECK(!b.failed);
	agents_say(s, buf_span(&b));
	buf_free(&b);
}
