/* SPDX-License-Identifier: ISC */
/* The agents' side: what they are given, acknowledge, ask for. */
#include <stdarg.h>

#include "invariant.h"
#include "sim.h"

static int
index_of(const struct slot *s)
{
	return (int)(s - s->w->slot);
}

void
agents_say(struct slot *s, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (s->a == NULL || s->lost)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	core_agent_line(s->a, text, strlen(text));
	agents_shed(s->w);
}

void
agents_hello(struct slot *s)
{
	static const char *const platform[] = {"",
	    ",\"platforms\":[\"discord\"]", ",\"platforms\":[\"telegram\"]"};
	unsigned k = s->w->calm || pick(s->w, 2) == 0 ? 0 : pick(s->w, 3);

	if (s->a == NULL || s->lost)
		return;
	if (!s->ready) {
		s->window = s->w->calm ? 16 : 1 + pick(s->w, 6);
		s->timeout_ms = (s->w->calm ? 60 : 5 + pick(s->w, 60)) * 1000;
	}
	s->platforms |= k == 0 ? UINT32_MAX : k == 1 ? 1 : 2;
	s->ready = 1;
	s->draining = 0;
	trace(s->w, "agent %d says hello: window %u, ack_timeout %u s%s",
	    index_of(s), s->window, s->timeout_ms / 1000, platform[k]);
	s->w->needed = 1;
	agents_say(s,
	    "{\"type\":\"hello\",\"agent\":\"a\",\"window\":%u,"
	    "\"ack_timeout\":%u%s}",
	    s->window, s->timeout_ms / 1000, platform[k]);
	wakes_when_needed(s->w);
}

void
agents_join(struct world *w, unsigned slot)
{
	struct slot *s = &w->slot[slot];

	if (s->a != NULL)
		return;
	s->life++;
	s->nature = w->calm ? NATURE_GOOD : (enum nature)pick(w, 4);
	s->ready = s->draining = s->deaf = s->lost = s->released = 0;
	s->platforms = 0;
	s->nheld = s->nack = 0;
	s->a = core_agent_new(w->gw, 1000, 1000, 42, s);
	trace(w, "agent %u connects", slot);
	if (w->calm || pick(w, 8) != 0)
		agents_hello(s);
}

/* What it had in flight when it ended, and not in order. */
static void
blame(struct slot *s)
{
	struct event *e;
	uint32_t i;

	for (i = 0; i < s->nheld; i++) {
		e = &s->w->event[s->held[i]];
		e->suspect = 1;
		if (s->nheld == 1)
			e->attempts++;
	}
}

void
agents_release(struct slot *s)
{
	uint32_t i;

	if (s->released || s->a == NULL)
		return;
	s->released = 1;
	if (!s->draining)
		blame(s);
	for (i = 0; i < s->nheld; i++)
		s->w->event[s->held[i]].holder = NOTHING;
	for (i = 0; i < s->w->nrequest; i++)
		if (s->w->request[i].slot == index_of(s) &&
		    s->w->request[i].life == s->life)
			s->w->request[i].slot = NOTHING;
	s->nheld = s->nack = 0;
}

void
agents_leave(struct slot *s, const char *why)
{
	struct agent *a = s->a;

	if (a == NULL)
		return;
	trace(s->w, "agent %d is gone: %s", index_of(s), why);
	agents_release(s);
	s->a = NULL;
	core_agent_gone(a, why);
}

void
agents_reap(struct world *w)
{
	struct slot *s;

	for (s = w->slot; s < w->slot + SLOTS; s++)
		if (s->a != NULL && s->a->state == AGENT_GONE) {
			ack_timeout_is_kept(w, s, 1);
			agents_release(s);
		}
}

/* Which event a line carries; NOTHING. */
static int
event_of(struct world *w)
{
	struct json_doc *doc = &w->doc;
	int at = json_get(doc, JSON_ROOT, "event"), n = 0;
	struct span s;
	size_t i;

	s = at != -1
	    ? json_str_raw(doc, json_get(doc, at, "text"))
	    : json_str_raw(doc,
		  json_get(doc, json_get(doc, JSON_ROOT, "forward"), "path"));
	if (s.len < 2 || s.p[0] != 'E')
		return NOTHING;
	for (i = 1; i < s.len && s.p[i] != ' '; i++)
		n = n * 10 + s.p[i] - '0';
	return n < EVENTS ? n : NOTHING;
}

const struct slot *
agents_asker(const struct world *w, const struct event *e)
{
	uint32_t bit = session_platform(e->session);
	const struct request *r;
	const struct slot *s;

	if (e->answers == 0)
		return NULL;
	r = &w->request[e->answers - 1];
	if (r->slot == NOTHING)
		return NULL;
	s = &w->slot[r->slot];
	if (s->life != r->life || s->a == NULL || s->released || s->draining ||
	    s->lost || s->a->shed_above != 0 ||
	    (bit != UINT32_MAX && (s->platforms & bit) == 0))
		return NULL;
	return s;
}

/* What goes back to the others is no more for who asked. */
static void
forget_asker(const struct slot *s)
{
	struct world *w = s->w;
	struct event *e;

	for (e = w->event; e < w->event + w->nevent; e++)
		if (e->answers &&
		    w->request[e->answers - 1].slot == s - w->slot)
			e->asker = 0;
}

/* What it has nothing of any more may go to others. */
static void
let_go(struct slot *s)
{
	struct world *w = s->w;
	unsigned k;
	uint32_t i;

	for (k = 0; k < SESSIONS; k++) {
		if (w->talk[k].slot != index_of(s))
			continue;
		for (i = 0; i < s->nheld; i++)
			if (w->event[s->held[i]].session == k)
				break;
		if (i < s->nheld)
			continue;
		w->talk[k].slot = NOTHING;
		w->talk[k].unknown = s->a->shed_above != 0;
	}
}

/* One that holds too much gives up what it has queued. */
void
agents_shed(struct world *w)
{
	struct slot *s;

	for (s = w->slot; s < w->slot + SLOTS; s++)
		if (s->a != NULL && !s->released && s->a->shed_above != 0) {
			let_go(s);
			forget_asker(s);
		}
}

static void
judge_given(struct slot *s, unsigned n)
{
	struct world *w = s->w;
	struct json_doc *doc = &w->doc;

	arrived_before_given(w, n);
	taken_is_never_given_again(w, n);
	one_holder_at_a_time(w, n);
	draining_gets_nothing(w, s);
	platform_is_served(w, n, s);
	window_is_kept(w, s);
	session_with_one_agent(w, n, s);
	session_sticks(w, n, s);
	least_loaded_is_chosen(w, n, s);
	session_in_order(w, n);
	suspects_go_alone(w, n, s);
	answer_goes_to_who_asked(w, n, s);
	redelivery_is_told(w, n, json_get(doc, JSON_ROOT, "redelivered") != -1);
	id_is_stable_and_unique(
	    w, n, json_str_raw(doc, json_get(doc, JSON_ROOT, "bufferId")));
	key_is_told(
	    w, n, json_str_raw(doc, json_get(doc, JSON_ROOT, "session_key")));
}

static void
talk_with(struct talk *t, const struct slot *s)
{
	t->slot = index_of(s);
	t->life = s->life;
	t->unknown = 0;
}

static void
hear_event(struct slot *s, int n)
{
	struct world *w = s->w;
	struct event *e;

	agents_reap(w);
	agents_shed(w);
	judge_given(s, n < 0 ? EVENTS : (unsigned)n);
	e = &w->event[n];
	trace(w, "agent %d is given E%d%s", index_of(s), n,
	    e->given > 0 ? " again" : "");
	if (e->given < UINT8_MAX)
		e->given++;
	e->given_at = w->c->now;
	e->holder = (int8_t)index_of(s);
	s->held[s->nheld++] = (uint16_t)n;
	if (!e->answers)
		talk_with(&w->talk[e->session], s);
	w->sum.delivered++;
}

static void
hear_result(struct slot *s)
{
	struct json_doc *doc = &s->w->doc;
	struct span id =
	    json_str_raw(doc, json_get(doc, JSON_ROOT, "requestId"));
	unsigned n = 0;
	size_t i;

	for (i = 1; i < id.len; i++)
		n = n * 10 + (unsigned)(id.p[i] - '0');
	if (n < s->w->nrequest && s->w->request[n].slot != index_of(s))
		n = REQUESTS;
	request_answered(s->w, n, doc, json_get(doc, JSON_ROOT, "result"));
}

void
agents_hear(struct slot *s, struct span line)
{
	struct json_doc *doc = &s->w->doc;
	struct span type;

	(void)json_parse(doc, line.p, line.len, 3);
	type = json_str_raw(doc, json_get(doc, JSON_ROOT, "type"));
	/* What it never reads is not given to it; a request of its own that
	 * was answered is over. */
	if (span_eq(type, SPAN_LIT("interrupt_inbound")))
		s->interrupts++;
	else if (span_eq(type, SPAN_LIT("outbound_result")))
		hear_result(s);
	else if (s->lost)
		return;
	else if (span_eq(type, SPAN_LIT("inbound")) ||
	    span_eq(type, SPAN_LIT("passthrough_forward")))
		hear_event(s, event_of(s->w));
}

/* The core hears of it: from now on it is taken. */
static void
ack(struct slot *s, unsigned n)
{
	struct world *w = s->w;
	struct event *e = &w->event[n];
	uint64_t before = w->gw->count.agent_acks;
	char id[BUFFER_ID];
	uint32_t i;

	w->mortal = 1;
	(void)strlcpy(id, e->id, sizeof(id));
	for (i = 0; i < s->nheld && s->held[i] != n; i++)
		continue;
	if (i < s->nheld) {
		memmove(&s->held[i], &s->held[i + 1],
		    (--s->nheld - i) * sizeof(s->held[0]));
		e->taken = 1;
		e->holder = NOTHING;
		e->suspect = 0;
		e->blocked = 0;
		if (s->draining)
			let_go(s);
		trace(w, "agent %d acknowledges E%u", index_of(s), n);
		agents_say(
		    s, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}", id);
		agent_ack_counts(w, before, 1);
		w->mortal = 0;
		if (w->dying)
			engine_crash(w);
		return;
	}
	w->mortal = 0;
	trace(w, "agent %d acknowledges E%u, which it has not", index_of(s), n);
	agents_say(s, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}", id);
	agent_ack_counts(w, before, 0);
}

void
agents_flush(struct slot *s, uint32_t n)
{
	uint16_t first;

	while (n-- > 0 && s->nack > 0 && s->a != NULL && !s->lost) {
		first = s->ack[0];
		memmove(s->ack, s->ack + 1, --s->nack * sizeof(s->ack[0]));
		ack(s, first);
	}
}

/* Whether its acknowledgement is on its way already. */
static int
is_decided(const struct slot *s, uint16_t n)
{
	uint32_t i;

	for (i = 0; i < s->nack; i++)
		if (s->ack[i] == n)
			return 1;
	return 0;
}

/* Reading a poisoned event is its end. */
static int
is_poisoned(struct slot *s)
{
	uint32_t i;

	for (i = 0; i < s->nheld; i++)
		if (s->w->event[s->held[i]].poison && pick(s->w, 2) == 0) {
			agents_leave(s, "poisoned");
			return 1;
		}
	return 0;
}

void
agents_work(struct slot *s)
{
	struct world *w = s->w;
	uint32_t i, n = 0;

	if (s->a == NULL || s->lost || s->nheld == 0 || is_poisoned(s) ||
	    s->nature == NATURE_NEVER ||
	    (s->nature == NATURE_SLOW && pick(w, 6) != 0))
		return;
	if (s->nature == NATURE_RANDOM)
		n = pick(w, s->nheld);
	if (s->nature == NATURE_RANDOM && pick(w, 10) == 0 && w->nevent > 0) {
		/* Once more, or for another. */
		s->ack[s->nack] = (uint16_t)pick(w, w->nevent);
		if (s->nack < EVENTS / 2)
			s->nack++;
	}
	for (i = n; i < s->nheld; i++)
		if (!is_decided(s, s->held[i]) && s->nack < EVENTS) {
			s->ack[s->nack++] = s->held[i];
			return;
		}
}

void
agents_idle(struct slot *s)
{
	const struct slot *o;
	int others = 0;

	if (s->a == NULL || s->lost || !s->ready)
		return;
	trace(s->w, "agent %d goes idle", index_of(s));
	s->draining = 1;
	let_go(s);
	forget_asker(s);
	agents_say(s, "{\"type\":\"going_idle\"}");
	for (o = s->w->slot; o < s->w->slot + SLOTS; o++)
		others |= o->lost; /* it goes at the turn's end */
	engine_turn(s->w);
	if (!others)
		last_agent_takes_it_along(s->w);
}

struct request *
request_new(struct world *w)
{
	struct request *r = &w->request[w->nrequest];

	if (w->nrequest == REQUESTS)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->open = 1;
	r->slot = NOTHING;
	r->at = w->c->now;
	w->nrequest++;
	return r;
}

void
agents_request(struct slot *s)
{
	struct request *r;
	unsigned n = s->w->nrequest;

	if (s->a == NULL || s->lost || !s->ready ||
	    (r = request_new(s->w)) == NULL)
		return;
	r->slot = (int8_t)index_of(s);
	r->life = s->life;
	r->prompt = pick(s->w, 2) == 0;
	trace(s->w, "agent %d sends request %u", index_of(s), n);
	s->w->needed = 1;
	agents_say(s,
	    "{\"type\":\"outbound\",\"requestId\":\"q%u\",\"action\":{"
	    "\"op\":\"%s\",\"chat_id\":\"c1\",\"content\":\"R%u\","
	    "\"prompt_id\":\"p%u\"}}",
	    n, r->prompt ? "prompt" : "send", n, n);
	if (r->open)
		wakes_when_needed(s->w);
}

void
request_answered(struct world *w, unsigned n, struct json_doc *doc, int result)
{
	int error = json_get(doc, result, "error");
	struct request *r;

	answered_once(w, n);
	r = &w->request[n];
	trace(w, "request %u is answered: %.*s", n,
	    (int)json_raw(doc, result).len, json_raw(doc, result).p);
	if (error == -1)
		answer_is_theirs(w, n);
	else if (json_get(doc, result, "ambiguous") != -1)
		ambiguous_only_when_sent(w, n);
	else {
		r->denied = 1;
		denied_is_never_sent(w, n);
	}
	r->open = 0;
}

void
agents_interrupt(struct slot *s)
{
	struct world *w = s->w;
	uint32_t had = w->interrupts_out, connection = w->connections;
	uint64_t counted = w->gw->count.interrupts;
	char key[64];

	if (s->a == NULL || s->lost || !s->ready || w->stalled)
		return;
	session_key_of(pick(w, SESSIONS), key);
	agents_say(s,
	    "{\"type\":\"interrupt\",\"session_key\":\"%s\","
	    "\"reason\":\"stop\"}",
	    key);
	counted = w->gw->count.interrupts - counted;
	engine_turn(w);
	if (w->connected && w->connections == connection)
		interrupt_reaches_connector(
		    w, w->interrupts_out - had, (uint32_t)counted);
}
