/* SPDX-License-Identifier: ISC */
/* The core's own books: counts are those of the lists, each thing stands where
 * it says it stands, and whoever waits has a deadline. */
#include "link_world.h"
#include "pressure.h"

/* Sums over all deliveries. */
struct sums {
	uint32_t n;
	uint64_t bytes;
};

/* Perhaps to a prompt: it goes to who asked, whoever has the session. */
static int
is_answer(const struct delivery *d)
{
	static const char name[] = "\"prompt_response\"";

	return memmem(d->line, d->linelen, name, sizeof(name) - 1) != NULL;
}

static void
audit_queue(const struct delivery_queue *q, const struct agent *a, int inflight,
    uint32_t n, struct sums *sums)
{
	const struct delivery *d;
	uint32_t count = 0;

	TAILQ_FOREACH (d, q, entry) {
		CHECK(d->agent == a && !d->done);
		CHECK(d->inflight == inflight && !d->aside && d->rec != NULL);
		CHECK(!d->session->blocked || a == NULL);
		CHECK(d->session != NULL && d->session->open > 0);
		CHECK(!d->session->pinned);
		if (a != NULL)
			CHECK(d->session->agent == a || is_answer(d));
		sums->bytes += d->linelen;
		count++;
	}
	CHECK(count == n);
	sums->n += count;
}

static uint32_t
length(const struct delivery_queue *q)
{
	const struct delivery *d;
	uint32_t n = 0;

	TAILQ_FOREACH (d, q, entry)
		n++;
	return n;
}

static void
audit_agent(const struct agent *a, struct sums *sums)
{
	const struct delivery *oldest = TAILQ_FIRST(&a->inflight);
	uint64_t before;

	CHECK(a->state == AGENT_NEW || a->state == AGENT_READY);
	if (a->state == AGENT_NEW)
		CHECK(a->ninflight == 0 && a->nqueued == 0);
	CHECK(a->window >= 1 && a->window <= LIMIT_WINDOW);
	CHECK(timer_armed(&a->ack_timer) == (oldest != NULL));
	before = sums->bytes;
	audit_queue(&a->inflight, a, 1, a->ninflight, sums);
	CHECK(sums->bytes - before == a->inflight_bytes);
	before = sums->bytes;
	audit_queue(&a->queued, a, 0, a->nqueued, sums);
	CHECK(sums->bytes - before == a->queued_bytes);
}

static void
audit_sessions(const struct gateway *gw, uint32_t deliveries)
{
	const struct delivery_state *ds = &gw->delivery;
	const struct session *s;
	const struct agent *a;
	const struct hnode *n;
	uint32_t i, idle = 0, open = 0, total = 0, owned = 0;

	for (i = 0; i < ds->sessions.nbucket; i++)
		for (n = ds->sessions.bucket[i]; n != NULL; n = n->next) {
			s = (const struct session *)(const void
				*)((const char *)n -
			    offsetof(struct session, node));
			total++;
			open += s->open;
			idle += s->open == 0;
			owned += s->agent != NULL;
		}
	CHECK(total == ds->sessions.n && open == deliveries);
	CHECK(idle == ds->nidle);
	TAILQ_FOREACH (s, &ds->idle, lru) {
		CHECK(s->open == 0);
		idle--;
	}
	CHECK(idle == 0);
	TAILQ_FOREACH (a, &gw->agents, entry)
		owned -= a->nsession;
	CHECK(owned == 0);
}

/* Who is done is acknowledged, as far as the wire has room. */
static void
audit_order(const struct gateway *gw)
{
	const struct delivery_state *ds = &gw->delivery;
	const struct delivery *d = TAILQ_FIRST(&ds->order);
	uint64_t places = 0;

	CHECK(d == NULL || !d->done || gw->wire.close_sent ||
	    buf_len(&gw->wire.out) > LIMIT_LINK_QUEUE - 1024);
	TAILQ_FOREACH (d, &ds->order, order) {
		CHECK(d->ordered && d->cidlen > 0 && !d->aside);
		CHECK(d->done == (d->rec == NULL));
		if (d->done)
			places += sizeof(*d) + d->cidlen;
	}
	CHECK(places == ds->places);
}

static void
audit_pressure(const struct gateway *gw)
{
	const struct delivery_state *ds = &gw->delivery;
	const struct journal *j = &ds->journal;
	uint64_t room = pressure_capacity(gw),
		 waits = j->used - j->aside + ds->places;

	CHECK(j->used <= j->capacity && j->aside <= j->capacity / 4);
	CHECK(ds->hushed || waits <= room / 2);
	CHECK(!ds->hushed || waits > room / 4);
	/* A new connection is read until it brings an event. */
	CHECK(ds->paused || waits <= room / 4 * 3 || !link_is_up(gw) ||
	    gw->link.last_event <= gw->link.up_at);
	CHECK(!ds->paused || waits > room / 2);
}

static void
audit_deliveries(const struct gateway *gw)
{
	const struct delivery_state *ds = &gw->delivery;
	struct sums sums = {0, 0};
	const struct delivery *d;
	const struct agent *a;
	uint64_t before = 0;

	TAILQ_FOREACH (a, &gw->agents, entry)
		audit_agent(a, &sums);
	audit_queue(&ds->unplaced, NULL, 0, length(&ds->unplaced), &sums);
	TAILQ_FOREACH (d, &ds->unplaced, entry) {
		CHECK(d->seq > before);
		before = d->seq;
	}
	CHECK(sums.n == ds->n && ds->n + ds->naside == ds->by_id.n);
	CHECK(length(&ds->aside) == ds->naside);
	TAILQ_FOREACH (d, &ds->aside, entry)
		CHECK(d->aside && !d->ordered && d->session == NULL);
	audit_sessions(gw, sums.n);
	CHECK(sums.bytes == ds->bytes);
	audit_order(gw);
	audit_pressure(gw);
}

static uint32_t
audit_requests(const struct outbound_queue *q, int queued, uint64_t *bytes)
{
	const struct outbound *o;
	uint64_t before = 0;
	uint32_t n = 0;

	TAILQ_FOREACH (o, q, entry) {
		CHECK(o->queued == queued && o->deadline >= before);
		before = o->deadline;
		*bytes += o->linelen;
		n++;
	}
	return n;
}

static void
audit_outbound(const struct gateway *gw)
{
	const struct outbound_state *os = &gw->outbound;
	const struct agent *a;
	const struct outbound *o;
	uint64_t bytes = 0;
	uint32_t n;

	n = audit_requests(&os->waiting, 0, &bytes) +
	    audit_requests(&os->sent, 1, &bytes);
	CHECK(bytes == os->bytes && bytes <= LIMIT_LINK_QUEUE + LIMIT_LINE);
	CHECK(n == os->n && n == os->by_id.n);
	CHECK(n <= LIMIT_OUTBOUND);
	CHECK((n > 0) == timer_armed(&os->timer));
	if (!gw->wire.open)
		CHECK(TAILQ_EMPTY(&os->sent));
	TAILQ_FOREACH (a, &gw->agents, entry) {
		n = 0;
		TAILQ_FOREACH (o, &os->waiting, entry)
			n += o->agent == a;
		TAILQ_FOREACH (o, &os->sent, entry)
			n += o->agent == a;
		CHECK(n == a->noutbound && n <= LIMIT_OUTBOUND_AGENT);
	}
}

static void
audit_timers(const struct timers *ts)
{
	uint32_t i;

	for (i = 0; i < ts->n; i++) {
		CHECK(ts->heap[i]->slot == i + 1);
		if (i > 0)
			CHECK(ts->heap[(i - 1) / 2]->when <= ts->heap[i]->when);
	}
}

static void
audit_link(const struct world *w)
{
	const struct link *l = &w->gw->link;
	enum link_state s = l->state;
	int waits = s == LINK_WAIT || (s >= LINK_DIAL && s <= LINK_HELLO) ||
	    s == LINK_IDLING || s == LINK_DRAIN || s == LINK_CLOSE ||
	    s == LINK_DORMANT;
	int connected = s >= LINK_HELLO && s <= LINK_CLOSE;

	CHECK(s > LINK_NONE && s < LINK_STATES);
	CHECK(timer_armed(&l->timer) == waits);
	CHECK(w->connected == connected && w->gw->wire.open == connected);
	CHECK(timer_armed(&l->ping_timer) == connected);
	if (s == LINK_HELLO || link_serves(w->gw))
		CHECK(timer_armed(&l->pong_timer) == (l->ping_at != 0));
	CHECK((w->asked == ASKED_DIAL) == (s == LINK_DIAL));
	CHECK((w->asked == ASKED_TLS) == (s == LINK_TLS));
	CHECK((w->asked == ASKED_MINT) == (s == LINK_TOKEN));
	CHECK((w->asked == ASKED_UPGRADE) == (s == LINK_UPGRADE));
	CHECK((w->asked == ASKED_TIME) == (s == LINK_ASK));
	CHECK(s == LINK_ASK || s == LINK_DIAL || s == LINK_TLS ||
	    !l->refused.asking);
	CHECK((!l->revoked && !l->off) ||
	    (s >= LINK_UP && s != LINK_IDLE && s != LINK_DORMANT));
	CHECK(l->told == link_public(w->gw));
	CHECK(l->nwished == w->nwish_open);
	CHECK(l->nwished == 0 || s == LINK_IDLING || s == LINK_DRAIN ||
	    s == LINK_CLOSE);
	CHECK(!connected || w->reading == !w->gw->delivery.paused);
	if (s != LINK_UNPROVISIONED && s != LINK_DISABLED &&
	    s != LINK_STOPPED && !connected && s != LINK_UPGRADE)
		CHECK(l->usable);
}

void
audit(const struct world *w)
{
	const struct gateway *gw = w->gw;
	const struct agent *a;
	uint32_t n = 0;
	int i;

	audit_link(w);
	audit_deliveries(gw);
	audit_outbound(gw);
	audit_timers(&w->c->timers);
	CHECK(link_phase(gw)[0] != '\0');
	CHECK(delivery_oldest(gw) <= w->now - BEGIN_MS);
	TAILQ_FOREACH (a, &gw->agents, entry)
		n++;
	CHECK(n == gw->nagent && n == w->c->nagent);
	for (i = 0; i < AGENTS; i++)
		if (w->slot[i].a != NULL) {
			n--;
			CHECK(w->slot[i].a->ninflight == w->slot[i].nheld);
		}
	CHECK(n == 0);
	CHECK(gw->egress.n == gw->egress.chats.n);
	CHECK(gw->egress.n <= LIMIT_CHATS);
}
