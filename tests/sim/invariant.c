/* SPDX-License-Identifier: ISC */
/* What must hold; see invariant.h. */
#include "invariant.h"

#define ATTEMPTS 5

void
arrived_before_given(struct world *w, unsigned e)
{
	MUST(e < w->nevent, "an agent was given what nobody sent");
	MUST(w->event[e].reached, "E%u was given and had not arrived", e);
	MUST(w->event[e].kind != KIND_BROKEN, "E%u is no event", e);
}

void
taken_is_never_given_again(struct world *w, unsigned e)
{
	MUST(!w->event[e].taken, "E%u was given, which was acknowledged", e);
	MUST(!w->event[e].aside, "E%u was given, which was put aside", e);
	MUST(w->event[e].attempts < ATTEMPTS,
	    "E%u was given, with which %u agents ended", e,
	    w->event[e].attempts);
}

void
one_holder_at_a_time(struct world *w, unsigned e)
{
	MUST(w->event[e].holder == NOTHING,
	    "E%u was given while agent %d has it", e, w->event[e].holder);
}

/* Whether an event waits to be taken. */
static int
is_open(const struct event *e)
{
	return e->reached && !e->taken && !e->aside;
}

void
session_in_order(struct world *w, unsigned e)
{
	const struct event *p, *this = &w->event[e];

	if (this->requeued || this->answers)
		return;
	for (p = w->event; p < w->event + w->nevent; p++)
		MUST(p->session != this->session || p->order >= this->order ||
			!is_open(p) || p->requeued || p->answers ||
			p->holder != NOTHING,
		    "E%u was given before E%d of its session", e,
		    (int)(p - w->event));
}

void
session_with_one_agent(struct world *w, unsigned e, const struct slot *s)
{
	const struct event *p;

	for (p = w->event; p < w->event + w->nevent; p++)
		MUST(p->session != w->event[e].session || p->answers ||
			w->event[e].answers || p->holder == NOTHING ||
			p->holder == s - w->slot,
		    "E%u was given to agent %d while agent %d has E%d of its "
		    "session",
		    e, (int)(s - w->slot), p->holder, (int)(p - w->event));
}

void
session_sticks(struct world *w, unsigned e, const struct slot *s)
{
	const struct talk *t = &w->talk[w->event[e].session];
	const struct slot *had;

	if (t->slot == NOTHING || w->event[e].answers)
		return;
	had = &w->slot[t->slot];
	if (had->life != t->life || had->a == NULL || had->released ||
	    had->a->shed_above != 0)
		return;
	MUST(had == s, "E%u of session %u went to agent %d, not to agent %d", e,
	    w->event[e].session, (int)(s - w->slot), t->slot);
}

static int
has_suspects(const struct world *w)
{
	const struct event *e;

	for (e = w->event; e < w->event + w->nevent; e++)
		if (is_open(e) && e->suspect)
			return 1;
	return 0;
}

/* Judged where the choice can be seen: of a session that nobody has, at the
 * moment its event arrives. */
void
least_loaded_is_chosen(struct world *w, unsigned e, const struct slot *s)
{
	const struct event *this = &w->event[e];
	const struct talk *t = &w->talk[this->session];
	const struct slot *o;

	if (has_suspects(w) || t->unknown || t->answers)
		return;
	if (!w->arriving || !this->arriving || this->given > 0 ||
	    (t->slot != NOTHING && w->slot[t->slot].life == t->life &&
		!w->slot[t->slot].released))
		return;
	for (o = w->slot; o < w->slot + SLOTS; o++)
		MUST(o == s || o->a == NULL || o->released ||
			o->a->shed_above != 0 || !o->ready || o->draining ||
			(session_platform(this->session) != UINT32_MAX &&
			    (o->platforms & session_platform(this->session)) ==
				0) ||
			s->a->ninflight + s->a->nqueued <=
			    o->a->ninflight + o->a->nqueued + 1,
		    "E%u went to agent %d, which has more than agent %d", e,
		    (int)(s - w->slot), (int)(o - w->slot));
}

void
platform_is_served(struct world *w, unsigned e, const struct slot *s)
{
	uint32_t bit = session_platform(w->event[e].session);

	MUST(bit == UINT32_MAX || (s->platforms & bit) != 0,
	    "E%u went to agent %d, which does not serve its platform", e,
	    (int)(s - w->slot));
}

void
window_is_kept(struct world *w, const struct slot *s)
{
	MUST(s->nheld < s->window, "agent %d was given more than %u",
	    (int)(s - w->slot), s->window);
}

void
draining_gets_nothing(struct world *w, const struct slot *s)
{
	MUST(s->ready, "agent %d was given an event before its hello",
	    (int)(s - w->slot));
	MUST(!s->draining, "agent %d was given an event after its going_idle",
	    (int)(s - w->slot));
}

void
redelivery_is_told(struct world *w, unsigned e, int told)
{
	MUST(told == (w->event[e].given > 0),
	    "E%u was given %d times, and redelivered is %d", e,
	    w->event[e].given, told);
}

void
id_is_stable_and_unique(struct world *w, unsigned e, struct span id)
{
	struct event *this = &w->event[e];
	uint32_t i;

	MUST(id.p != NULL && id.len > 0 && id.len < BUFFER_ID,
	    "E%u has no bufferId", e);
	if (this->id[0] != '\0') {
		MUST(span_eq(id, span_str(this->id)),
		    "E%u has another bufferId than before", e);
		return;
	}
	for (i = 0; i < w->nused; i++)
		MUST(!span_eq(id, span_str(w->used[i].id)),
		    "E%u has the bufferId of E%u", e, w->used[i].event);
	memcpy(this->id, id.p, id.len);
	this->id[id.len] = '\0';
	if (w->nused == USED)
		return;
	w->used[w->nused].event = (uint16_t)e;
	memcpy(w->used[w->nused++].id, this->id, sizeof(this->id));
}

void
key_is_told(struct world *w, unsigned e, struct span key)
{
	char want[64];

	session_key_of(w->event[e].session, want);
	MUST(span_eq(key, span_str(want)), "E%u came as %.*s", e, (int)key.len,
	    key.len > 0 ? key.p : "");
}

void
answer_goes_to_who_asked(struct world *w, unsigned e, const struct slot *s)
{
	const struct event *this = &w->event[e];
	const struct slot *asker = agents_asker(w, this);

	MUST(!this->asker || asker == NULL || this->given > 0 || asker == s,
	    "E%u answers a prompt of agent %d and went to agent %d", e,
	    (int)(asker - w->slot), (int)(s - w->slot));
}

void
suspects_go_alone(struct world *w, unsigned e, const struct slot *s)
{
	uint32_t i;

	MUST(!w->event[e].suspect || s->nheld == 0,
	    "E%u is a suspect and went to agent %d, which has another", e,
	    (int)(s - w->slot));
	for (i = 0; i < s->nheld; i++)
		MUST(!w->event[s->held[i]].suspect,
		    "E%u went to agent %d, which has the suspect E%u", e,
		    (int)(s - w->slot), s->held[i]);
}

/* Whether an agent could be given an event that waits. */
static int
could_take(const struct slot *s, unsigned session)
{
	uint32_t bit = session_platform(session);

	return s->a != NULL && s->ready && !s->draining && !s->lost &&
	    (bit == UINT32_MAX || (s->platforms & bit) != 0);
}

/* Of an event whose session nobody has, and which no agent has a reason to
 * keep waiting. */
static int
waits_in_vain(const struct world *w, const struct event *e)
{
	const struct event *p;
	const struct slot *s;
	int able = 0;

	if (e->answers)
		return 0;
	for (p = w->event; p < w->event + w->nevent; p++)
		if (p->session == e->session &&
		    (p->holder != NOTHING || p->blocked))
			return 0;
	for (s = w->slot; s < w->slot + SLOTS; s++) {
		if (s->a != NULL && s->lost)
			return 0;
		if (!could_take(s, e->session))
			continue;
		if (s->nheld >= s->window || (s->nheld > 0 && has_suspects(w)))
			return 0;
		able = 1;
	}
	return able;
}

void
nobody_waits_in_vain(struct world *w)
{
	const struct event *e;

	for (e = w->event; e < w->event + w->nevent; e++)
		MUST(
		    !is_open(e) || e->holder != NOTHING || !waits_in_vain(w, e),
		    "E%d waits, and an agent could take it",
		    (int)(e - w->event));
}

/* Ends of agents with the event alone in flight, after which it is put
 * aside (DESIGN 2). */
void
aside_is_earned(struct world *w, unsigned e)
{
	MUST(e < w->nevent, "what nobody was given was put aside");
	MUST(w->event[e].attempts >= ATTEMPTS,
	    "E%u was put aside after %u ends of agents with it alone", e,
	    w->event[e].attempts);
	MUST(w->event[e].holder == NOTHING,
	    "E%u was put aside while agent %d has it", e, w->event[e].holder);
}

void
operator_is_obeyed(struct world *w, const char *why)
{
	MUST(why == NULL, "%s", why);
}

void
quarantine_is_as_known(struct world *w)
{
	const struct event *e;
	uint32_t n = 0;

	for (e = w->event; e < w->event + w->nevent; e++)
		n += e->aside && !e->dropped;
	MUST(w->gw->delivery.naside == n, "%u events are aside, not %u",
	    w->gw->delivery.naside, n);
}

void
acked_only_when_taken(struct world *w, unsigned e)
{
	MUST(e < w->nevent, "what nobody sent was acknowledged");
	MUST(w->event[e].kind == KIND_BROKEN || w->event[e].taken ||
		w->event[e].aside || w->event[e].requeued,
	    "b%u was acknowledged, which no agent acknowledged", e);
}

void
acked_once_per_arrival(struct world *w, unsigned e)
{
	MUST(w->event[e].acks < w->event[e].sent,
	    "b%u was acknowledged more often than it arrived on this "
	    "connection",
	    e);
}

void
acked_in_order_of_arrival(struct world *w, unsigned e)
{
	MUST(w->event[e].rank == w->ranked + 1,
	    "b%u arrived as number %u and was acknowledged after number %u", e,
	    w->event[e].rank, w->ranked);
}

void
agent_ack_counts(struct world *w, uint64_t before, int held)
{
	uint64_t after = w->gw->count.agent_acks;

	MUST(after - before == (uint64_t)held,
	    held ? "an acknowledgement was not taken"
		 : "an acknowledgement was taken from who has not the event");
}

/* Patience: how long the oldest may be with an agent. */
void
ack_timeout_is_kept(struct world *w, const struct slot *s, int ended)
{
	uint64_t oldest = UINT64_MAX, now = w->c->now;
	uint32_t i;

	for (i = 0; i < s->nheld; i++)
		if (w->event[s->held[i]].given_at < oldest)
			oldest = w->event[s->held[i]].given_at;
	if (s->a == NULL || s->nheld == 0)
		return;
	if (ended)
		MUST(now - oldest >= s->timeout_ms || s->lost || w->stopped,
		    "agent %d was cut off before its ack_timeout",
		    (int)(s - w->slot));
	else
		MUST(now - oldest <= s->timeout_ms || s->lost,
		    "agent %d has had an event for longer than its "
		    "ack_timeout",
		    (int)(s - w->slot));
}

/* To the agent that has the session, else to all; to each once. */
void
interrupt_once(struct world *w, unsigned session, uint32_t ready)
{
	const struct talk *t = &w->talk[session];
	uint32_t sum = 0, all = 0;
	int i;

	for (i = 0; i < SLOTS; i++) {
		MUST(w->slot[i].interrupts <= 1,
		    "agent %d was interrupted %u times at once", i,
		    w->slot[i].interrupts);
		sum += w->slot[i].interrupts;
		all += ready >> i & 1;
	}
	MUST(sum == 1 || sum == all, "an interrupt reached %u agents of %u",
	    sum, all);
	if (t->slot == NOTHING || w->slot[t->slot].life != t->life ||
	    (ready >> t->slot & 1) == 0)
		return;
	MUST(sum == 1 && w->slot[t->slot].interrupts == 1,
	    "the interrupt of session %u did not go to agent %d alone", session,
	    t->slot);
}

void
interrupt_reaches_connector(struct world *w, uint32_t read, uint32_t said)
{
	MUST(
	    read == said, "the connector read %u interrupts of %u", read, said);
}

void
memory_is_bounded(struct world *w)
{
	const struct gateway *gw = w->gw;

	MUST(gw->delivery.journal.used <= gw->delivery.journal.capacity,
	    "too many bytes of events");
	MUST(w->profile.off ||
		gw->delivery.journal.capacity <= w->profile.journal,
	    "a journal larger than its memory");
	MUST(gw->delivery.bytes + gw->delivery.places <=
		gw->delivery.journal.capacity + ROOM,
	    "too many bytes of events and places");
	MUST(buf_len(&gw->wire.out) + buf_len(&gw->wire.lines) <=
		LIMIT_LINK_QUEUE + LIMIT_LINE,
	    "too many bytes for the connector");
	MUST(gw->outbound.n <= LIMIT_OUTBOUND, "too many requests");
	MUST(gw->nagent <= SLOTS, "%u agents of %u", gw->nagent, SLOTS);
	MUST(gw->egress.n <= LIMIT_CHATS, "too many chats");
}

void
nothing_given_is_forgotten(struct world *w)
{
	const struct event *e;
	uint32_t n = 0;

	for (e = w->event; e < w->event + w->nevent; e++)
		n += (uint32_t)is_open(e);
	MUST(w->gw->delivery.n == n, "%u events wait at the core, not %u",
	    w->gw->delivery.n, n);
}

void
link_comes_back(struct world *w)
{
	MUST(w->gw->link.state == LINK_UP, "the link is %s (%s: %s)",
	    link_public(w->gw), link_phase(w->gw), w->gw->link.reason);
}

void
nothing_is_lost(struct world *w)
{
	const struct event *e;

	for (e = w->event; e < w->event + w->nevent; e++)
		MUST(e->kind == KIND_BROKEN || e->taken || e->aside ||
			e->before || (!e->has_id && !e->reached),
		    "E%d was never taken", (int)(e - w->event));
}

void
everything_is_acked(struct world *w)
{
	const struct event *e;

	for (e = w->event; e < w->event + w->nevent; e++)
		MUST(!e->has_id || e->acked, "b%d was never acknowledged",
		    (int)(e - w->event));
}

void
nothing_is_left(struct world *w)
{
	const struct gateway *gw = w->gw;

	MUST(gw->delivery.n == 0, "%u events are left", gw->delivery.n);
	MUST(gw->delivery.bytes == 0 && gw->delivery.places == 0,
	    "bytes of events are left");
	MUST(gw->delivery.journal.used == gw->delivery.journal.aside,
	    "the journal is not empty");
	MUST(TAILQ_EMPTY(&gw->delivery.order), "acknowledgements are left");
	MUST(gw->outbound.n == 0, "%u requests are left", gw->outbound.n);
}

void
stops_in_time(struct world *w)
{
	MUST(core_stopped(w->c), "not stopped within its budget");
}
