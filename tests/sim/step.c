/* SPDX-License-Identifier: ISC */
/* What happens next: a table of steps, of which a seed draws by weight. */
#include "invariant.h"
#include "sim.h"

static struct slot *
any_slot(struct world *w)
{
	return &w->slot[pick(w, SLOTS)];
}

void
step_progress(struct world *w)
{
	connector_answer(w);
	connector_speak(w);
	connector_pump(w);
	engine_turn(w);
}

static void
step_progress_much(struct world *w)
{
	int i;

	for (i = 0; i < 8; i++)
		step_progress(w);
}

static void
step_event(struct world *w)
{
	uint32_t n = 1 + pick(w, 4) + w->profile.full * 4U;

	while (n-- > 0)
		connector_event(w);
}

static void
step_work(struct world *w)
{
	agents_work(any_slot(w));
}

static void
step_flush(struct world *w)
{
	agents_flush(any_slot(w), 1 + pick(w, 4));
}

static void
step_time(struct world *w)
{
	engine_time(w, 1 + pick(w, w->profile.short_ms));
}

/* Time passes, and the rest of the world with it; or it stands still. */
static void
step_long(struct world *w)
{
	uint64_t left = 1 + pick(w, w->profile.long_ms), n;
	int frozen = pick(w, 4) == 0;

	trace(w, "%llu ms pass%s", (unsigned long long)left,
	    frozen ? ", and nobody moves" : "");
	while (left > 0) {
		n = frozen || left < 5000 ? left : 5000;
		engine_time(w, n);
		left -= n;
		if (!frozen)
			step_progress_much(w);
	}
}

static void
step_join(struct world *w)
{
	agents_join(w, pick(w, SLOTS));
}

static void
step_hello(struct world *w)
{
	agents_hello(any_slot(w));
}

static void
step_leave(struct world *w)
{
	agents_leave(any_slot(w), "it crashed");
}

static void
step_agent_idle(struct world *w)
{
	agents_idle(any_slot(w));
}

static void
step_deaf(struct world *w)
{
	any_slot(w)->deaf ^= 1;
}

static void
step_bad_line(struct world *w)
{
	static const char *const bad[] = {"{", "[]",
	    "{\"type\":\"hello\","
	    "\"platforms\":[\"irc\"]}",
	    "{\"type\":\"inbound_ack\"}",
	    "{\"type\":\"inbound_ack\",\"bufferId\":\"b1\"}",
	    "{\"type\":\"outbound\",\"requestId\":7}",
	    "{\"type\":\"interrupt\"}"};
	struct slot *s = any_slot(w);

	if (s->ready)
		agents_say(s, "%s", bad[pick(w, 7)]);
}

static void
step_request(struct world *w)
{
	agents_request(any_slot(w));
}

static void
step_agent_interrupt(struct world *w)
{
	agents_interrupt(any_slot(w));
}

static void
step_result(struct world *w)
{
	if (w->nrequest > 0)
		connector_result(w, pick(w, w->nrequest));
}

static void
step_interrupt(struct world *w)
{
	connector_interrupt(w, pick(w, SESSIONS));
}

static void
step_close(struct world *w)
{
	static const struct {
		unsigned code;
		const char *reason;
	} closes[] = {{1000, ""}, {1001, "restart"}, {1011, "error"},
	    {4401, "revoked"}, {4401, "expired"}, {4400, "other"}};
	unsigned k = pick(w, 6);

	if (w->connected)
		connector_close(w, closes[k].code, closes[k].reason);
}

static void
step_mood(struct world *w)
{
	w->mood = (enum mood)pick(w, MOODS);
	trace(w, "the connector's mood is %d", (int)w->mood);
}

static void
step_skew(struct world *w)
{
	static const int64_t skew[] = {0, 59, -59, 61, -3600, 100000};

	w->skew = skew[pick(w, 6)];
	trace(w, "the connector's clock is off by %lld s", (long long)w->skew);
}

static void
step_stall(struct world *w)
{
	w->stalled ^= 1;
	trace(w, "the connector %s", w->stalled ? "reads no more" : "reads");
}

static void
step_silent(struct world *w)
{
	w->silent ^= 1;
}

/* It keeps its buffer, and perhaps not the last moves of its cursor. */
static void
step_connector_crash(struct world *w)
{
	uint32_t i, n = w->profile.forgetful ? pick(w, 4) : 0;

	trace(w, "the connector crashes, and forgets %u acks", n);
	connector_lose(w);
	if (w->connected)
		return;
	for (i = w->nevent; i > 0 && n > 0; i--)
		if (w->event[i - 1].acked) {
			w->event[i - 1].acked = 0;
			n--;
		}
}

static void
step_engine_crash(struct world *w)
{
	trace(w, "the engine crashes");
	engine_crash(w);
}

/* An event that is put aside; NULL. */
static struct event *
any_aside(struct world *w)
{
	unsigned i, n = w->nevent;

	for (i = n == 0 ? 0 : pick(w, n); n > 0; n--, i = (i + 1) % w->nevent)
		if (w->event[i].aside && !w->event[i].dropped)
			return &w->event[i];
	return NULL;
}

/* Back into its session it goes as it is, or mended. */
static void
step_requeue(struct world *w)
{
	struct event *e = any_aside(w);

	if (e == NULL)
		return;
	trace(w, "an operator requeues E%d", (int)(e - w->event));
	e->aside = 0;
	e->requeued = 1;
	e->attempts = 0;
	e->suspect = 0;
	e->poison = pick(w, 3) == 0;
	operator_is_obeyed(w, quarantine_requeue(w->gw, span_str(e->id)));
}

static void
step_drop(struct world *w)
{
	struct event *e = any_aside(w);

	if (e == NULL)
		return;
	trace(w, "an operator drops E%d", (int)(e - w->event));
	e->dropped = 1;
	operator_is_obeyed(w, quarantine_drop(w->gw, span_str(e->id)));
}

void
step_clear(struct world *w)
{
	unsigned i;

	for (i = 0; i < w->nevent; i++)
		if (w->event[i].blocked) {
			step_drop(w);
			return;
		}
}

/* Agents slept, too: their time begins anew. */
static void
agents_slept(struct world *w)
{
	const struct slot *s;
	uint32_t i;

	for (s = w->slot; s < w->slot + SLOTS; s++)
		for (i = 0; i < s->nheld; i++)
			w->event[s->held[i]].given_at = w->now;
}

static void
step_suspend(struct world *w)
{
	uint64_t ms = 1000 + pick(w, 1U << (10 + pick(w, 14)));
	enum link_state before;

	trace(w, "the host sleeps for %llu ms", (unsigned long long)ms);
	w->now += ms;
	w->slept_at = w->now;
	core_now(w->c, w->now);
	if (pick(w, 4) == 0) /* it goes unnoticed */
		return;
	before = w->gw->link.state;
	w->tries = 0;
	w->woken = 1;
	agents_slept(w);
	core_slept(w->c);
	w->woken = 0;
	dials_after_sleep(w, before);
}

static void
step_wish(struct world *w)
{
	operator_wish(w, (enum link_wish)pick(w, WISH_RECONNECT + 1));
}

static void
step_operator_interrupt(struct world *w)
{
	operator_interrupt(w, pick(w, SESSIONS));
}

static void
step_credential(struct world *w)
{
	w->authd.usable = pick(w, 4) != 0;
	engine_credential(w, w->authd.usable && pick(w, 3) == 0);
}

/* relay-authd found the mark of a revocation. */
static void
step_mark(struct world *w)
{
	w->authd.revoked = 1;
	engine_credential(w, 0);
}

void
step_enable(struct world *w)
{
	if (!w->authd.revoked && w->authd.usable)
		return;
	w->authd.revoked = 0;
	w->authd.usable = 1;
	engine_credential(w, 0);
}

static void
step_authd_gone(struct world *w)
{
	link_event(w->gw, LE_AUTHD_GONE, "relay-authd ended");
}

static void
step_settings(struct world *w)
{
	trace(w, "settings change");
	engine_conf(w, pick(w, 4));
	w->needed = 1;
	w->strikes = 0;
	w->worked = w->told_worked;
	core_gateway_change(w->gw, &w->conf);
}

static const struct {
	const char *name;
	void (*fn)(struct world *);
	uint8_t weight, fault;
} steps[] = {
    {"events", step_event, 24, 0},
    {"progress", step_progress, 60, 0},
    {"much progress", step_progress_much, 10, 0},
    {"an agent works", step_work, 50, 0},
    {"acknowledgements arrive", step_flush, 30, 0},
    {"time", step_time, 12, 0},
    {"long time", step_long, 2, 1},
    {"an agent connects", step_join, 10, 0},
    {"another hello", step_hello, 2, 1},
    {"an agent crashes", step_leave, 3, 1},
    {"an agent goes idle", step_agent_idle, 2, 1},
    {"an agent reads no more", step_deaf, 1, 1},
    {"a bad line of an agent", step_bad_line, 2, 1},
    {"a request", step_request, 6, 1},
    {"an operator's request", operator_request, 2, 1},
    {"an agent interrupts", step_agent_interrupt, 2, 1},
    {"a result", step_result, 6, 0},
    {"the connector interrupts", step_interrupt, 3, 1},
    {"the connection is lost", connector_lose, 3, 1},
    {"the connector closes", step_close, 3, 1},
    {"the connector repeats", connector_repeat, 4, 1},
    {"a bad line of the connector", connector_junk, 2, 1},
    {"a mood", step_mood, 3, 1},
    {"a clock is wrong", step_skew, 2, 1},
    {"the connector reads not", step_stall, 1, 1},
    {"the connector is silent", step_silent, 1, 1},
    {"the connector crashes", step_connector_crash, 2, 1},
    {"the engine crashes", step_engine_crash, 2, 1},
    {"the engine shall crash", engine_doom, 2, 1},
    {"an operator requeues", step_requeue, 2, 1},
    {"an operator drops", step_drop, 1, 1},
    {"the host sleeps", step_suspend, 1, 1},
    {"an operator wishes", step_wish, 2, 1},
    {"an operator interrupts", step_operator_interrupt, 1, 1},
    {"an operator wakes", operator_wakes, 2, 0},
    {"the credential changes", step_credential, 2, 1},
    {"a mark is told", step_mark, 1, 1},
    {"an operator enables", step_enable, 4, 0},
    {"relay-authd ends", step_authd_gone, 1, 1},
    {"settings change", step_settings, 1, 1},
};

const unsigned step_count = sizeof(steps) / sizeof(steps[0]);
_Static_assert(sizeof(steps) / sizeof(steps[0]) <= STEPS_MAX, "weights");

unsigned
step_weight(unsigned kind)
{
	return steps[kind].weight;
}

int
step_is_fault(unsigned kind)
{
	return steps[kind].fault;
}

void
step_do(struct world *w, unsigned kind)
{
	int i;

	w->doing = steps[kind].name;
	w->needed = 0;
	steps[kind].fn(w);
	engine_turn(w);
	if (!chance(w, w->profile.eager))
		return;
	step_progress_much(w);
	for (i = 0; i < SLOTS; i++)
		agents_flush(&w->slot[i], 2);
	engine_turn(w);
}
