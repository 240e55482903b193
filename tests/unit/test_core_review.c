/* SPDX-License-Identifier: ISC */
/* The engine's core in its corners: who is given what while agents come and
 * go, bounds of what waits, how ends are told. */
#include "world.h"

/* --- agents that leave in order --- */

static void
test_draining_agent_gets_nothing_more(void **state)
{
	struct world *w = *state;
	struct world_agent *a =
	    world_agent(w, "{\"type\":\"hello\",\"agent\":\"t\",\"window\":1}");
	struct world_agent *b;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_event(w, "b2", "c1", "m2"); /* queued behind it */
	agent_says(a, "{\"type\":\"going_idle\"}");
	agent_acks(a, "m1");
	assert_false(holds(&a->in, "\"m2\""));
	world_event(w, "b3", "c1", "m3");
	assert_false(holds(&a->in, "\"m3\""));
	b = world_agent(w, HELLO);
	assert_int_equal(count(&b->in, "\"m2\""), 1);
	assert_int_equal(count(&b->in, "\"m3\""), 1);
	assert_false(holds(&b->in, "redelivered"));
}

static void
test_session_leaves_a_draining_agent_when_all_is_acknowledged(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO), *b;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_event(w, "b2", "c1", "m2");
	b = world_agent(w, HELLO);
	agent_says(a, "{\"type\":\"going_idle\"}");
	world_event(w, "b3", "c1", "m3"); /* in order: not yet to b */
	assert_false(holds(&a->in, "\"m3\""));
	assert_false(holds(&b->in, "\"m3\""));
	agent_acks(a, "m1");
	assert_false(holds(&b->in, "\"m3\""));
	agent_acks(a, "m2");
	assert_int_equal(count(&b->in, "\"m3\""), 1);
	assert_int_equal(a->a->nsession, 0);
	assert_int_equal(b->a->nsession, 1);
	/* Back again: it takes part. */
	agent_says(a, HELLO);
	world_event(w, "b4", "c2", "m4");
	assert_int_equal(count(&a->in, "\"m4\""), 1);
}

static void
test_agents_sent_away_together_do_not_inherit(void **state)
{
	struct world *w = *state;
	struct world_agent *a[3];
	int i, n = 0;

	for (i = 0; i < 3; i++)
		a[i] = world_agent(w, HELLO);
	world_up(w);
	world_event(w, "b1", "c1", "m1");
	w->conf.nidentity = 1;
	core_gateway_change(w->gw, &w->conf);
	for (i = 0; i < 3; i++) {
		assert_true(a[i]->closed);
		n += count(&a[i]->in, "\"m1\"");
	}
	assert_int_equal(n, 1);
}

/* --- bounds --- */

/* Large events, more of them than an agent's queue holds, go out as they are
 * acknowledged: who reads is never cut off for what we wrote at once. */
static void
test_large_events_are_given_piecemeal(void **state)
{
	enum { SIZE = 900 * 1024, N = 12 };
	struct world *w = *state;
	struct world_agent *a;
	char *line = malloc(SIZE + 512), *text = malloc(SIZE + 1), want[16];
	int i;

	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	world_up(w);
	for (i = 0; i < N; i++) {
		(void)snprintf(line, SIZE + 512,
		    "{\"type\":\"inbound\",\"bufferId\":\"b%d\",\"event\":{"
		    "\"message_id\":\"m%d.\",\"source\":{\"platform\":"
		    "\"discord\",\"chat_id\":\"c\"},\"text\":\"%s\"}}\n",
		    i, i, text);
		world_message(w, line);
	}
	a = world_agent(w, HELLO);
	for (i = 0; i < N; i++) {
		(void)snprintf(want, sizeof(want), "\"m%d.\"", i);
		assert_true(holds(&a->in, want));
		assert_in_range(a->a->ninflight, 1, 4);
		agent_acks(a, want);
	}
	assert_int_equal(w->gw->delivery.n, 0);
	assert_true(a->a->inflight_bytes == 0);
	free(line);
	free(text);
}

/* What only keeps its place in the order of acknowledgements counts too. */
static void
test_order_is_bounded(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char line[200];
	int i;

	world_up(w);
	world_event(w, "b0", "c1", "m1"); /* nobody acknowledges it */
	for (i = 1; i < 200000 && w->reading; i++) {
		(void)snprintf(line, sizeof(line),
		    "{\"type\":\"inbound\",\"bufferId\":\"bad-%d\"}\n", i);
		world_message(w, line);
	}
	assert_false(w->reading);
	agent_acks(a, "m1");
	assert_true(w->reading);
	assert_int_equal(count(&w->lines, "inbound_ack"), i);
	assert_int_equal(w->gw->delivery.bytes, 0);
}

static void
test_requests_are_bounded_in_bytes(void **state)
{
	enum { SIZE = 1000 * 1000 };
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *line = malloc(SIZE + 512), *text = malloc(SIZE + 1);
	int i, n;

	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	core_credential(w->gw, 1, 1, "x"); /* dialling: requests wait */
	for (i = 0; i < 40; i++) {
		n = snprintf(line, SIZE + 512,
		    "{\"type\":\"outbound\",\"requestId\":\"r%d\",\"action\":{"
		    "\"op\":\"send\",\"chat_id\":\"c\",\"content\":\"%s\"}}",
		    i, text);
		core_agent_line(a->a, line, (size_t)n);
	}
	assert_in_range(w->gw->outbound.n, 8, 17);
	assert_true(holds(&a->in, "too many requests"));
	world_time(w, 60000);
	assert_int_equal(w->gw->outbound.n, 0);
	assert_int_equal(w->gw->outbound.bytes, 0);
	free(line);
	free(text);
}

/* An agent that dies with a great window while very many events wait. */
static void
test_order_is_kept_when_many_go_back(void **state)
{
	struct world *w = *state;
	struct world_agent *a =
	    world_agent(w, "{\"type\":\"hello\",\"window\":4096}");
	struct delivery *d;
	char id[32], chat[32];
	uint64_t last = 0;
	int i, n = 0;

	world_up(w);
	for (i = 0; i < 20000; i++) {
		(void)snprintf(id, sizeof(id), "b%d", i);
		(void)snprintf(chat, sizeof(chat), "c%d", i % 700);
		world_event(w, id, chat, "m");
	}
	assert_int_equal(a->a->ninflight, 4096);
	core_agent_gone(a->a, "died");
	a->a = NULL;
	TAILQ_FOREACH (d, &w->gw->delivery.unplaced, entry) {
		assert_true(d->id > last);
		last = d->id;
		n++;
	}
	assert_int_equal(n, 20000);
}

/* --- ends --- */

static void
test_lost_connections_are_told_as_the_last_close(void **state)
{
	struct world *w = *state;
	struct last_close *lc = &w->gw->link.last_close;

	world_up(w);
	world_close(w, 1012, "restart");
	assert_int_equal(lc->code, 1012);
	assert_false(lc->by_us);
	world_up(w);
	link_event(w->gw, LE_LOST, "connection reset by the peer");
	assert_int_equal(lc->code, 0);
	assert_string_equal(lc->reason, "connection reset by the peer");
	assert_false(lc->by_us);
	assert_int_equal(lc->at, w->now);
	/* A dial that fails is no close. */
	world_time(w, 30000);
	link_event(w->gw, LE_DIAL_FAILED, "refused");
	assert_string_equal(lc->reason, "connection reset by the peer");
	world_up(w);
	world_time(w, 100000); /* no pong */
	assert_string_equal(lc->reason, "no pong within 60 s");
	assert_true(lc->by_us);
}

static void
test_refused_upgrade_is_not_our_close(void **state)
{
	struct world *w = *state;

	world_up(w);
	core_gateway_change(w->gw, &w->conf);
	world_turn(w);
	world_message(w, "{\"type\":\"going_idle_ack\"}\n");
	world_close(w, 1000, "");
	assert_true(w->gw->link.last_close.by_us);
	link_event(w->gw, LE_DIALED, "x");
	link_event(w->gw, LE_TLS_UP, "x");
	link_event(w->gw, LE_TOKEN, "x");
	link_http_status(w->gw, 403);
	link_event(w->gw, LE_UPGRADE_REFUSED, "HTTP 403");
	assert_int_equal(w->gw->link.last_close.status, 403);
	assert_false(w->gw->link.last_close.by_us);
}

static void
test_operator_is_answered_when_the_gateway_goes(void **state)
{
	struct world *w = *state;
	static const struct span action =
	    SPAN_LIT("{\"op\":\"send\",\"chat_id\":\"c1\",\"content\":\"x\"}");

	core_credential(w->gw, 1, 1, "x");
	assert_null(core_send(w->gw, action, 77));
	core_gateway_remove(w->gw);
	assert_true(holds(&w->result, "\"success\":false"));
	assert_false(holds(&w->result, "ambiguous"));
	w->gw = core_gateway_add(w->c, 3, &w->conf, w->seen, w);
	world_up(w);
	assert_null(core_send(w->gw, action, 77));
	world_turn(w);
	core_gateway_remove(w->gw);
	assert_true(holds(&w->result, "\"ambiguous\":true"));
	w->gw = core_gateway_add(w->c, 3, &w->conf, w->seen, w);
}

/* The queue to the connector fails while acknowledgements are flushed: what
 * hangs on the link is taken down once, and nothing is added to a dead one. */
static void
test_output_that_fails_ends_the_link(void **state)
{
	struct world *w = *state;
	struct world_agent *a =
	    world_agent(w, "{\"type\":\"hello\",\"window\":400}");
	char id[260], text[16], ack[128];
	int i;

	world_up(w);
	agent_says(a, SEND, "r1"); /* left */
	for (i = 0; i < 400; i++) {
		memset(id, 'i', 240);
		(void)snprintf(id + 240, 20, "%d", i);
		(void)snprintf(text, sizeof(text), "m%d.", i);
		world_event(w, id, "c1", text);
	}
	w->gw->wire.out.max = 100;
	/* The first comes last: it frees all acknowledgements at once. */
	for (i = 399; i >= 0; i--) {
		(void)snprintf(text, sizeof(text), "m%d.", i);
		(void)snprintf(ack, sizeof(ack),
		    "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}",
		    id_of(a, text));
		core_agent_line(a->a, ack, strlen(ack));
	}
	assert_int_not_equal(w->gw->link.state, LINK_UP);
	assert_int_equal(buf_len(&w->gw->wire.lines), 0);
	assert_true(holds(&a->in, "\"ambiguous\":true"));
	world_up(w);
}

/* --- 32 identities --- */

static void
test_thirty_two_identities(void **state)
{
	struct world *w = *state;
	struct world_agent *all, *last;
	char name[33];
	int i;

	w->conf.nidentity = 32;
	for (i = 0; i < 32; i++) {
		(void)snprintf(name, sizeof(name), "p%d", i);
		(void)strlcpy(w->conf.identity[i].platform, name, 33);
	}
	core_gateway_change(w->gw, &w->conf);
	all = world_agent(w, "{\"type\":\"hello\",\"platforms\":[\"p0\"]}");
	last = world_agent(w, "{\"type\":\"hello\",\"platform\":\"p31\"}");
	core_credential(w->gw, 1, 1, "x");
	world_upgrade(w);
	world_descriptor(w, "p31");
	assert_false(holds(&all->in, "\"type\":\"descriptor\""));
	assert_true(holds(&last->in, "\"platform\":\"p31\""));
	world_message(w,
	    "{\"type\":\"inbound\",\"event\":{\"text\":\"m1\",\"source\":{"
	    "\"platform\":\"p31\",\"chat_id\":\"c\"}}}\n");
	assert_true(holds(&last->in, "\"m1\""));
	core_agent_gone(last->a, "x");
	assert_false(holds(&all->in, "\"m1\""));
	agent_says(all, HELLO);
	assert_true(holds(&all->in, "\"m1\""));
	assert_true(all->a->platforms == UINT32_MAX);
}

/* --- an agent that says nothing --- */

static void
test_agent_without_hello_does_not_stay(void **state)
{
	struct world *w = *state;
	struct world_agent *mute = world_agent(w, NULL),
			   *wrong = world_agent(w, NULL),
			   *late = world_agent(w, NULL);

	agent_says(wrong, "{\"type\":\"hello\",\"platform\":\"none\"}");
	agent_says(wrong, "{\"type\":\"going_idle\"}");
	world_time(w, 29999);
	assert_int_equal(w->gw->nagent, 3);
	agent_says(late, HELLO);
	world_time(w, 1);
	assert_int_equal(w->gw->nagent, 1);
	assert_true(mute->closed && wrong->closed && !late->closed);
	assert_true(holds(&mute->in,
	    "{\"type\":\"error\",\"error\":\"no hello within 30 s: connect "
	    "again and say {\\\"type\\\":\\\"hello\\\"} first\"}\n"));
	world_time(w, 3600 * 1000);
	assert_false(late->closed);
}

static void
test_agent_that_left_has_no_deadline(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, NULL);

	core_agent_gone(a->a, "x");
	assert_true(core_deadline(w->c) == TIMER_NEVER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_draining_agent_gets_nothing_more),
	    WORLD_TEST(
		test_session_leaves_a_draining_agent_when_all_is_acknowledged),
	    WORLD_TEST(test_agents_sent_away_together_do_not_inherit),
	    WORLD_TEST(test_large_events_are_given_piecemeal),
	    WORLD_TEST(test_order_is_bounded),
	    WORLD_TEST(test_requests_are_bounded_in_bytes),
	    WORLD_TEST(test_order_is_kept_when_many_go_back),
	    WORLD_TEST(test_lost_connections_are_told_as_the_last_close),
	    WORLD_TEST(test_refused_upgrade_is_not_our_close),
	    WORLD_TEST(test_operator_is_answered_when_the_gateway_goes),
	    WORLD_TEST(test_output_that_fails_ends_the_link),
	    WORLD_TEST(test_thirty_two_identities),
	    WORLD_TEST(test_agent_without_hello_does_not_stay),
	    WORLD_TEST(test_agent_that_left_has_no_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
