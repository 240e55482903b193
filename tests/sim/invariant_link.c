/* SPDX-License-Identifier: ISC */
/* What must hold of the link and of requests; see invariant.h. */
#include "invariant.h"

void
request_sent_once(struct world *w, unsigned n)
{
	MUST(n < w->nrequest, "the connector read a request nobody made");
	MUST(!w->request[n].read, "the connector read request %u twice", n);
}

void
denied_is_never_sent(struct world *w, unsigned n)
{
	MUST(!w->request[n].denied || !w->request[n].read,
	    "request %u was sent, and called not sent", n);
}

void
answered_once(struct world *w, unsigned n)
{
	MUST(n < w->nrequest, "an answer to nobody's request");
	MUST(w->request[n].open, "request %u was answered again", n);
}

void
answer_is_theirs(struct world *w, unsigned n)
{
	MUST(w->request[n].answered,
	    "request %u succeeded without the connector", n);
}

void
ambiguous_only_when_sent(struct world *w, unsigned n)
{
	MUST(w->request[n].read || buf_len(&w->from_core) > 0 ||
		w->c->now - w->request[n].at >= 30000,
	    "request %u never left, and is called ambiguous", n);
}

void
loss_is_told_at_once(struct world *w)
{
	const struct request *r;

	for (r = w->request; r < w->request + w->nrequest; r++)
		MUST(!r->open || !r->read ||
			(r->slot == NOTHING && !r->by_operator),
		    "request %d left, and its loss is not told",
		    (int)(r - w->request));
}

void
request_leaves_when_up(struct world *w)
{
	MUST(!link_serves(w->gw) || TAILQ_EMPTY(&w->gw->outbound.waiting),
	    "a request waits though the link is up");
}

/* Waiting for the link, the answer, and once more after a loss. */
#define ANSWER_MS (2 * (10000 + 30000))

void
answered_in_time(struct world *w)
{
	const struct request *r;

	for (r = w->request; r < w->request + w->nrequest; r++)
		MUST(!r->open || (r->slot == NOTHING && !r->by_operator) ||
			w->c->now <= ANSWER_MS +
				(r->at > w->slept_at ? r->at : w->slept_at),
		    "request %d is not answered after %d s",
		    (int)(r - w->request), ANSWER_MS / 1000);
}

void
disabled_never_dials(struct world *w)
{
	MUST(!w->authd.revoked, "a revoked credential is dialled with");
	MUST(!w->off, "an operator switched it off, and it dials");
}

void
stopped_never_dials(struct world *w)
{
	MUST(!w->stopped, "it dials after the stop");
}

void
one_dial_at_a_time(struct world *w)
{
	MUST(w->asked == ASKED_NOTHING && !w->connected,
	    "it dials while another dial or connection is there");
}

void
delay_is_bounded(struct world *w, uint64_t ms)
{
	uint64_t ceiling = w->conf.reconnect_min_ms;
	uint32_t i;

	for (i = 1; i < w->tries && ceiling < w->conf.reconnect_max_ms; i++)
		ceiling *= 2;
	if (ceiling > w->conf.reconnect_max_ms)
		ceiling = w->conf.reconnect_max_ms;
	MUST(ms <= ceiling, "after %u dials it waits %llu ms, not %llu at most",
	    w->tries, (unsigned long long)ms, (unsigned long long)ceiling);
}

/* Jitter is full, so one short delay says nothing; eight of them do. */
void
delay_grows(struct world *w)
{
	uint32_t i, n = 0;

	for (i = 0; i < WAITS; i++)
		n += w->wait[i] < w->conf.reconnect_min_ms;
	MUST(w->nwait < WAITS || n < WAITS,
	    "after %u dials in vain it still waits less than a second",
	    w->tries);
}

void
hurry_is_rare(struct world *w)
{
	if (!w->in_close || w->strikes >= 2)
		return;
	MUST(w->hurried == 0 || w->c->now - w->hurried >= 60000,
	    "refused, it dials at once for the second time in a minute");
	w->hurried = w->c->now;
}

void
revocation_is_earned(struct world *w)
{
	MUST(w->worked, "revoked, and it never worked");
	MUST(w->strikes >= 2, "revoked after %u refusals that count",
	    w->strikes);
	MUST(w->told, "revoked, and the connector's clock is not known");
}

void
revocation_is_believed(struct world *w)
{
	MUST(w->strikes < 2 || !w->worked || !w->told,
	    "refused %u times, and not revoked", w->strikes);
}

/* Whoever waits for something has a deadline. */
static int
link_waits(enum link_state s)
{
	return s != LINK_UNPROVISIONED && s != LINK_UP && s != LINK_HUSHED &&
	    s != LINK_IDLE && s != LINK_DISABLED && s != LINK_STOPPED;
}

void
waits_have_deadlines(struct world *w)
{
	const struct gateway *gw = w->gw;
	const struct link *l = &gw->link;
	const struct slot *s;

	MUST(!link_waits(l->state) || timer_armed(&l->timer),
	    "the link waits without a deadline (%s)", link_phase(gw));
	MUST(!w->connected || timer_armed(&l->ping_timer),
	    "a connection without keepalive");
	MUST(l->ping_at == 0 || !link_serves(gw) || timer_armed(&l->pong_timer),
	    "a ping without a deadline for its pong");
	MUST(gw->outbound.n == 0 || timer_armed(&gw->outbound.timer),
	    "requests without a deadline");
	for (s = w->slot; s < w->slot + SLOTS; s++) {
		if (s->a == NULL)
			continue;
		MUST(s->nheld == 0 || timer_armed(&s->a->ack_timer),
		    "agent %d holds events without a deadline",
		    (int)(s - w->slot));
		MUST(s->ready || timer_armed(&s->a->hello_timer),
		    "agent %d may be silent for ever", (int)(s - w->slot));
	}
}

void
says_hello_for_each(struct world *w, struct span platform)
{
	MUST(w->hellos < w->greeting.nidentity &&
		span_eq(platform,
		    span_str(w->greeting.identity[w->hellos].platform)),
	    "hello %u is for %.*s", w->hellos, (int)platform.len, platform.p);
}

/* 30 s to the next ping, 60 s for its pong. */
void
silent_peer_is_noticed(struct world *w)
{
	uint64_t since = w->heard_at > w->slept_at ? w->heard_at : w->slept_at;

	MUST(!link_serves(w->gw) || w->gw->delivery.paused ||
		w->c->now <= since + 90000,
	    "nothing was heard for %llu ms",
	    (unsigned long long)(w->c->now - since));
}

/* Of its own will it goes to sleep only once the connector keeps what comes. */
void
sleeps_only_after_ack(struct world *w)
{
	const struct link *l = &w->gw->link;
	int sleeps = l->after == AFTER_IDLE || l->after == AFTER_DORMANT;

	MUST(w->up_at == 0 || l->state != LINK_CLOSE || !sleeps || w->idle_told,
	    "it closes to sleep, and the connector has not acknowledged");
}

/* Milliseconds until the connector is asked again: the ack's time, a minute. */
#define AGAIN_MS 70000

static int
may_ask(const struct world *w)
{
	return !w->conf.hold && !w->stalled && !w->idle_asked &&
	    (w->asked_at == 0 || w->c->now > w->asked_at + AGAIN_MS);
}

static int
is_alone(const struct world *w)
{
	const struct slot *s;

	for (s = w->slot; s < w->slot + SLOTS; s++)
		if (s->a != NULL && s->ready && !s->draining)
			return 0;
	return 1;
}

void
idles_without_agents(struct world *w)
{
	int alone = is_alone(w) && link_serves(w->gw);

	if (!alone || !w->was_alone || w->alone_since < w->slept_at)
		w->alone_since = w->c->now;
	w->was_alone = alone != 0;
	MUST(w->c->now <= w->alone_since + 60000 || !may_ask(w) ||
		w->gw->link.state != LINK_UP,
	    "no agent is there for a minute, and it does not go idle");
}

/* Above half of the journal it asks the connector to keep what comes. */
void
pressure_is_told(struct world *w)
{
	const struct journal *j = &w->gw->delivery.journal;

	MUST(w->gw->link.state != LINK_UP || w->stalled || w->idle_asked ||
		(w->asked_at != 0 && w->c->now <= w->asked_at + AGAIN_MS) ||
		j->used - j->aside <= (j->capacity - j->aside) / 2,
	    "half of the journal is full, and the connector does not know");
}

void
last_agent_takes_it_along(struct world *w)
{
	MUST(!is_alone(w) || !may_ask(w) || w->gw->link.state != LINK_UP,
	    "the last agent went idle, and the link did not");
}

void
wakes_when_needed(struct world *w)
{
	MUST(w->gw->link.state != LINK_IDLE, "it is needed, and idle");
}

void
idle_until_needed(struct world *w)
{
	MUST(w->state != LINK_IDLE || w->needed,
	    "it was idle, nobody needs it, and it dials");
}

void
dormant_holds_the_dial(struct world *w)
{
	MUST(w->state != LINK_DORMANT || w->woken ||
		w->c->now >= w->dormant_at + 60000,
	    "it was dormant for %llu ms, and it dials",
	    (unsigned long long)(w->c->now - w->dormant_at));
}

void
dials_after_sleep(struct world *w, enum link_state before)
{
	int awake = (before >= LINK_WAIT && before <= LINK_HUSHED) ||
	    before == LINK_DORMANT;

	MUST(!awake || !w->authd.usable || w->authd.revoked || w->off ||
		w->asked == ASKED_DIAL,
	    "the host slept, and it does not dial at once");
	MUST(!w->connected, "the host slept, and a connection stays");
}

void
wish_is_answered(struct world *w)
{
	const struct wish *p;
	uint64_t since;

	for (p = w->wish; p < w->wish + w->nwish; p++) {
		since = p->at > w->slept_at ? p->at : w->slept_at;
		MUST(!p->open || w->c->now <= since + 15000,
		    "wish %d is not answered after 15 s", (int)(p - w->wish));
	}
}

void
wish_answered_once(struct world *w, uint64_t cookie)
{
	MUST(cookie >= 1 && cookie <= w->nwish, "an answer to nobody's wish");
	MUST(w->wish[cookie - 1].open, "wish %llu was answered again",
	    (unsigned long long)cookie - 1);
}

void
wish_came_true(struct world *w, unsigned kind)
{
	enum link_state s = w->gw->link.state;

	MUST(kind != WISH_IDLE || (s == LINK_IDLE && !w->connected),
	    "it is said to be idle, and is %s", link_phase(w->gw));
	MUST(kind != WISH_DORMANT || (s == LINK_DORMANT && !w->connected),
	    "it is said to be dormant, and is %s", link_phase(w->gw));
	MUST(kind != WISH_DISABLE || (s == LINK_DISABLED && !w->connected),
	    "it is said to be disabled, and is %s", link_phase(w->gw));
}
