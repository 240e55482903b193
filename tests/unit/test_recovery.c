/* SPDX-License-Identifier: ISC */
/* Engines that end at any moment, and the next one over the same journal; the
 * wire, the journal and agents that are slow. */
#include "order.h"
#include "pressure.h"
#include "quarantine.h"
#include "world.h"

/* The engine is killed, whatever was under way; the next one has what the
 * memory of the journal has. */
static void
restart(struct world *w, unsigned char epoch)
{
	unsigned char seed[32];
	char *was = malloc(w->journal.len);
	int i;

	/* Nothing that an orderly end writes counts. */
	assert_non_null(was);
	memcpy(was, w->journal.p, w->journal.len);
	core_free(w->c);
	memcpy(w->journal.p, was, w->journal.len);
	free(was);
	for (i = 0; i < w->nagent; i++) {
		buf_reset(&w->agent[i].in);
		w->agent[i].a = NULL;
	}
	buf_reset(&w->lines);
	memset(seed, 7, sizeof(seed));
	seed[31] = epoch;
	w->c = core_new(&world_io, w, seed, w->now);
	core_wall(w->c, 1700000060000); /* a minute later */
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
	assert_non_null(w->gw);
}

/* How often the agent was given events of that text, as tried before or as
 * new. */
static int
given(struct world_agent *a, const char *text, int again)
{
	struct span s = buf_span(&a->in);
	const char *nl;
	size_t len;
	int n = 0;

	for (; s.len > 0; s.p += len, s.len -= len) {
		nl = memchr(s.p, '\n', s.len);
		len = (size_t)(nl - s.p) + 1;
		if (memmem(s.p, len, text, strlen(text)) != NULL)
			n += (memmem(s.p, len, "\"redelivered\":true", 18) !=
				 NULL) == again;
	}
	return n;
}

/* In the middle of everything: acknowledged but not yet to the connector, in
 * flight, queued, put aside. */
static void
test_restart_in_the_middle(void **state)
{
	static const char small[] = "{\"type\":\"hello\",\"window\":2}";
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char ids[4][64], second[64];
	int i;

	world_up(w);
	core_agent_gone(a->a, "x");
	world_event(w, "b0", "poison", "m0");
	for (i = 0; i < 5; i++)
		core_agent_gone(agent_rejoins(a, small)->a, "killed");
	agent_rejoins(a, small);
	world_event(w, "b1", "c1", "m1"); /* in flight, then for ever */
	world_event(w, "b2", "c2", "m2");
	(void)strlcpy(ids[1], id_of(a, "\"m1\""), 64);
	agent_acks(a, "\"m2\""); /* acknowledged behind it */
	world_event(w, "b3", "c1", "m3");
	world_event(w, "b4", "c2", "m4"); /* queued */
	assert_int_equal(a->a->nqueued, 1);
	(void)strlcpy(ids[3], id_of(a, "\"m3\""), 64);
	restart(w, 1);
	assert_int_equal(w->gw->count.recovered, 3);
	assert_int_equal(w->gw->count.torn, 0);
	assert_int_equal(w->gw->delivery.n, 3);
	assert_int_equal(w->gw->delivery.naside, 1);
	assert_int_equal(delivery_oldest(w->gw), 60000);
	/* Agents may come before the link is up. */
	agent_rejoins(a, HELLO);
	assert_int_equal(given(a, "\"m1\"", 1), 1);
	assert_int_equal(given(a, "\"m3\"", 1), 1);
	assert_int_equal(given(a, "\"m4\"", 0), 1); /* no agent had it */
	assert_false(holds(&a->in, "\"m2\""));
	assert_false(holds(&a->in, "\"m0\""));
	assert_int_equal(a->a->ninflight, 3); /* none is suspect */
	assert_string_equal(id_of(a, "\"m1\""), ids[1]);
	assert_string_equal(id_of(a, "\"m3\""), ids[3]);
	world_up(w);
	/* The connector repeats all that it had no acknowledgement for. */
	for (i = 1; i <= 5; i++) {
		(void)snprintf(ids[0], 64, "b%d", i);
		(void)snprintf(second, 64, "m%d", i);
		world_event(w, ids[0], i % 2 ? "c1" : "c2", second);
	}
	assert_int_equal(w->gw->count.replays, 4);
	assert_int_equal(count(&a->in, "\"m5\""), 1);
	assert_int_not_equal(
	    strncmp(id_of(a, "\"m5\""), ids[1], 16), 0); /* a new epoch */
	for (i = 5; i >= 1; i--) {
		(void)snprintf(second, 64, "\"m%d\"", i);
		if (i != 2)
			agent_acks(a, second);
		assert_int_equal(
		    count(&w->lines, "inbound_ack"), i == 1 ? 5 : 0);
	}
	assert_non_null(strstr(buf_span(&w->lines).p, "\"b1\"}\n"));
	assert_int_equal(w->gw->delivery.n, 0);
	restart(w, 2);
	assert_int_equal(w->gw->count.recovered, 0);
	assert_int_equal(w->gw->delivery.naside, 1);
}

/* What an engine knew of an event, the next one knows. */
static void
test_marks_survive(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	struct delivery *d;
	int i;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_event(w, "b2", "c1", "m2");
	core_agent_gone(a->a, "killed"); /* two suspects */
	for (i = 0; i < 3; i++)
		core_agent_gone(agent_rejoins(a, HELLO)->a, "killed");
	restart(w, 1);
	d = TAILQ_FIRST(&w->gw->delivery.unplaced);
	assert_true(d->suspect);
	assert_int_equal(d->attempts, 3);
	agent_rejoins(a, HELLO);
	assert_int_equal(a->a->ninflight, 1);
	restart(w, 2); /* an engine's end says nothing of it */
	core_agent_gone(agent_rejoins(a, HELLO)->a, "killed");
	assert_int_equal(w->gw->delivery.naside, 0);
	restart(w, 3);
	core_agent_gone(agent_rejoins(a, HELLO)->a, "killed");
	assert_int_equal(w->gw->delivery.naside, 1);
	restart(w, 4);
	assert_int_equal(w->gw->delivery.naside, 1);
	/* Acknowledged: a replay of it does not come again. */
	agent_rejoins(a, HELLO);
	assert_true(holds(&a->in, "\"m2\""));
	world_up(w);
	world_event(w, "b1", "c1", "m1");
	assert_false(holds(&a->in, "\"m1\""));
	assert_int_equal(count(&w->lines, "\"b1\""), 1);
}

static void
keep_id(void *arg, const struct record_info *info)
{
	(void)snprintf(arg, 64, "%016llx-%llu", (unsigned long long)info->epoch,
	    (unsigned long long)info->seq);
}

/* Requeued, its id stands among the acknowledged ones; it waits nevertheless,
 * over restarts. */
static void
test_requeued_survives(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char id[64];
	int i;

	world_up(w);
	core_agent_gone(a->a, "x");
	world_event(w, "b1", "c1", "m1");
	for (i = 0; i < 5; i++)
		core_agent_gone(agent_rejoins(a, HELLO)->a, "killed");
	quarantine_each(w->gw, keep_id, id);
	assert_null(quarantine_requeue(w->gw, span_str(id)));
	restart(w, 1);
	assert_int_equal(w->gw->delivery.n, 1);
	core_agent_gone(agent_rejoins(a, HELLO)->a, "killed");
	restart(w, 2);
	assert_int_equal(w->gw->delivery.n, 1);
	assert_int_equal(TAILQ_FIRST(&w->gw->delivery.unplaced)->attempts, 1);
	agent_rejoins(a, HELLO);
	assert_string_equal(id_of(a, "\"m1\""), id);
	/* A replay is acknowledged at once, since it was before. */
	world_up(w);
	world_event(w, "b1", "c1", "m1");
	assert_int_equal(count(&w->lines, "\"b1\""), 1);
	agent_acks(a, "\"m1\"");
	restart(w, 3);
	assert_int_equal(w->gw->delivery.n, 0);
}

/* An answer to what was recovered knows the scope of its chat. */
static void
test_scope_is_learned_from_the_journal(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	restart(w, 1);
	agent_rejoins(a, HELLO);
	world_up(w);
	agent_says(a, SEND, "r1");
	assert_true(holds(&w->lines, "\"scope_id\":\"g1\""));
}

/* {"type":2,"channel_id":"c1","guild_id":"g7","data":{"name":"x"}} */
static void
test_scope_is_learned_from_a_forward_in_the_journal(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_message(w,
	    "{\"type\":\"passthrough_forward\",\"bufferId\":\"f1\",\"forward\":"
	    "{\"platform\":\"discord\",\"botId\":\"1\",\"bodyB64\":"
	    "\"eyJ0eXBlIjoy"
	    "LCJjaGFubmVsX2lkIjoiYzEiLCJndWlsZF9pZCI6Imc3IiwiZGF0YSI6eyJuYW1lI"
	    "joieCJ9fQ==\"}}\n");
	assert_true(holds(&a->in, "\"passthrough_forward\""));
	restart(w, 1);
	agent_rejoins(a, HELLO);
	world_up(w);
	agent_says(a, SEND, "r1");
	assert_true(holds(&w->lines, "\"scope_id\":\"g7\""));
}

/* Ids are never used twice, though nothing of the event is left. */
static void
test_numbers_go_on(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	const char *dash;
	unsigned long long before, after;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	dash = strchr(id_of(a, "\"m1\""), '-');
	before = strtoull(dash + 1, NULL, 10);
	agent_acks(a, "\"m1\"");
	restart(w, 1);
	agent_rejoins(a, HELLO);
	world_up(w);
	world_event(w, "b2", "c1", "m2");
	dash = strchr(id_of(a, "\"m2\""), '-');
	after = strtoull(dash + 1, NULL, 10);
	assert_true(after > before);
	/* Right number, wrong epoch. */
	agent_says(a,
	    "{\"type\":\"inbound_ack\",\"bufferId\":\"0123456789abcdef-%llu\"}",
	    after);
	assert_true(holds(&a->in, "no such bufferId"));
	assert_int_equal(w->gw->delivery.n, 1);
}

/* --- sync --- */

static void
test_journal_is_written_before_the_ack_leaves(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	int before;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	before = w->syncs;
	agent_acks(a, "\"m1\"");
	assert_int_equal(w->syncs, before + 1);
	assert_int_equal(w->unsynced, 0); /* of the frame nothing was there */
	assert_true(holds(&w->lines, "\"b1\""));
	/* Nothing changed: nothing to write. */
	agent_says(a, SEND, "r1");
	assert_true(holds(&w->lines, "\"outbound\""));
	assert_int_equal(w->syncs, before + 1);
}

/* --- a connector that does not read --- */

/* Acknowledgements that find no room on a live link leave when it has some. */
static void
test_acks_wait_for_the_wire(void **state)
{
	enum { SIZE = 1000 * 1000 };
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *line = malloc(SIZE + 512), *text = malloc(SIZE + 1);
	char id[16], m[16];
	int i, n;

	assert_true(line != NULL && text != NULL);
	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	world_up(w);
	for (i = 0; i < 40; i++) {
		(void)snprintf(id, sizeof(id), "b%d", i);
		(void)snprintf(m, sizeof(m), "m%d.", i);
		world_event(w, id, "c1", m);
	}
	w->stalled = 1;
	for (i = 0; i < 20; i++) {
		n = snprintf(line, SIZE + 512,
		    "{\"type\":\"outbound\",\"requestId\":\"r%d\",\"action\":{"
		    "\"op\":\"send\",\"chat_id\":\"c\",\"content\":\"%.*s\"}}",
		    i, i < 16 ? SIZE : 740000, text);
		core_agent_line(a->a, line, (size_t)n);
		world_turn(w);
	}
	while (buf_len(&w->gw->wire.out) < LIMIT_LINK_QUEUE - 600) {
		n = snprintf(line, SIZE,
		    "{\"type\":\"interrupt\",\"session_key\":\"%.*s\"}",
		    (int)(LIMIT_LINK_QUEUE - buf_len(&w->gw->wire.out) > 2000
			    ? 1000
			    : 300),
		    text);
		core_agent_line(a->a, line, (size_t)n);
		world_turn(w);
	}
	for (i = 0; i < 40; i++) {
		(void)snprintf(m, sizeof(m), "m%d.", i);
		agent_acks(a, m);
	}
	assert_in_range(w->gw->count.acks_out, 0, 20);
	assert_int_equal(w->gw->delivery.n, 0);
	w->stalled = 0;
	world_turn(w);
	world_turn(w);
	assert_int_equal(w->gw->count.acks_out, 40);
	n = 0;
	for (i = 0; i < 40; i++) {
		const char *p;

		(void)snprintf(
		    line, SIZE, "inbound_ack\",\"bufferId\":\"b%d\"}", i);
		p = memmem(buf_span(&w->lines).p, buf_len(&w->lines), line,
		    strlen(line));
		assert_non_null(p);
		assert_true(p - buf_span(&w->lines).p > n);
		n = (int)(p - buf_span(&w->lines).p);
	}
	assert_true(TAILQ_EMPTY(&w->gw->delivery.order));
	assert_int_equal(w->gw->delivery.places, 0);
	free(line);
	free(text);
}

/* --- agents that are slow --- */

/* Events of some kilobytes, round n chats. */
static void
burst(struct world *w, int from, int to, int chats)
{
	char *line = malloc(8192), pad[4000];
	int i;

	assert_non_null(line);
	memset(pad, 'p', sizeof(pad));
	for (i = from; i < to; i++) {
		(void)snprintf(line, 8192,
		    "{\"type\":\"inbound\",\"bufferId\":\"e%d\",\"event\":{"
		    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c%d\"},"
		    "\"text\":\"%.*s\"}}\n",
		    i, i % chats, (int)sizeof(pad), pad);
		world_message(w, line);
	}
	free(line);
}

/* A journal that has room for more than an agent's output queue. */
static void
enlarge(struct world *w, size_t len)
{
	unsigned char random[16] = {1};

	core_gateway_remove(w->gw);
	free(w->journal.p);
	w->journal.len = len;
	w->journal.p = calloc(1, len);
	assert_non_null(w->journal.p);
	journal_head_make(w->journal.p, len, random);
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
	assert_non_null(w->gw);
}

/* A large window and an agent that does not read: it is given what its queue
 * takes, and more as it reads, without an acknowledgement. */
static void
test_slow_reader_is_not_cut_off(void **state)
{
	struct world *w = *state;
	struct world_agent *a;
	uint64_t had;

	enlarge(w, 64U * 1024 * 1024);
	world_up(w);
	burst(w, 0, 3000, 100);
	a = world_agent(w, NULL);
	a->full = 1;
	agent_says(a, "{\"type\":\"hello\",\"window\":4096}");
	had = a->a->inflight_bytes;
	assert_in_range(
	    had, LIMIT_AGENT_QUEUE / 2 - 8192, LIMIT_AGENT_QUEUE / 2);
	a->full = 0;
	core_agent_room(a->a);
	assert_int_equal(a->a->ninflight, 3000);
	assert_false(a->closed);
}

/* One agent takes nothing more; the session of which it has an event in flight
 * waits for it, all others go on, and the link is read. */
static void
test_slow_agent_delays_its_own_sessions(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(
			       w, "{\"type\":\"hello\",\"window\":1}"),
			   *b = world_agent(w, HELLO);
	struct delivery *d;
	char id[CORE_ID];
	size_t n;
	int i;

	world_up(w);
	for (i = 0; i < 10000; i += 10) {
		burst(w, i, i + 10, 50);
		buf_reset(&b->in);
		while ((d = TAILQ_FIRST(&b->a->inflight)) != NULL) {
			n = core_put_id(d->epoch, d->seq, id);
			agent_says(b,
			    "{\"type\":\"inbound_ack\",\"bufferId\":%.*s}",
			    (int)n, id);
		}
	}
	assert_int_equal(a->a->ninflight, 1);
	assert_true(w->reading);
	assert_false(w->gw->delivery.hushed);
	assert_true(a->a->inflight_bytes + a->a->queued_bytes <
	    pressure_capacity(w->gw) / 8 + 8192);
	/* But for one of the 50 sessions, and a share of the journal. */
	assert_true(b->a->acked >= 10000 - 200 - 450);
	/* When it is through, all is as before. */
	while ((d = TAILQ_FIRST(&a->a->inflight)) != NULL) {
		n = core_put_id(d->epoch, d->seq, id);
		agent_says(a, "{\"type\":\"inbound_ack\",\"bufferId\":%.*s}",
		    (int)n, id);
	}
	assert_int_equal(w->gw->delivery.n, 0);
	assert_int_equal(w->gw->count.redelivered, 0);
}

struct sum {
	uint32_t sessions, open;
	uint64_t oldest;
};

static void
add_up(void *arg, const struct session *s)
{
	struct sum *sum = arg;

	sum->sessions++;
	sum->open += s->open;
	if (s->open > 0 && s->oldest < sum->oldest)
		sum->oldest = s->oldest;
}

static void
test_sessions_are_told(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	struct sum sum = {0, 0, UINT64_MAX};
	uint64_t begun = w->now;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_time(w, 1000);
	world_event(w, "b2", "c1", "m2");
	world_event(w, "b3", "c2", "m3");
	agent_acks(a, "\"m3\"");
	delivery_sessions(w->gw, add_up, &sum);
	assert_int_equal(sum.sessions, 2);
	assert_int_equal(sum.open, 2);
	assert_int_equal(sum.oldest, begun);
	agent_acks(a, "\"m1\"");
	sum = (struct sum){0, 0, UINT64_MAX};
	delivery_sessions(w->gw, add_up, &sum);
	assert_int_equal(sum.oldest, begun + 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_restart_in_the_middle),
	    WORLD_TEST(test_marks_survive),
	    WORLD_TEST(test_requeued_survives),
	    WORLD_TEST(test_scope_is_learned_from_the_journal),
	    WORLD_TEST(test_scope_is_learned_from_a_forward_in_the_journal),
	    WORLD_TEST(test_numbers_go_on),
	    WORLD_TEST(test_journal_is_written_before_the_ack_leaves),
	    WORLD_TEST(test_acks_wait_for_the_wire),
	    WORLD_TEST(test_slow_reader_is_not_cut_off),
	    WORLD_TEST(test_slow_agent_delays_its_own_sessions),
	    WORLD_TEST(test_sessions_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
