/* SPDX-License-Identifier: ISC */
/* Agents of the engine's core, against a small world: what they are told,
 * interrupts both ways, who is given what while they come and go. */
#include "world.h"

static void
test_agents_are_told_in_words(void **state)
{
	static const struct {
		const char *says, *hears;
	} cases[] = {
	    {"{\"type\":\"inbound_ack\",\"bufferId\":\"x\"}",
		"say hello first"},
	    {"{\"type\":\"hello\",\"platform\":\"slack\"}",
		"platform \\\"slack\\\" is not fronted"},
	    {"{\"type\":\"hello\",\"platforms\":\"x\"}", "must be a list"},
	    {"{\"type\":\"hello\",\"platforms\":[]}", "empty list"},
	    {"nonsense", "not a JSON line"},
	    {"{\"type\":\"hello\",\"type\":\"hello\"}", "twice"},
	    {"[]", "error"},
	    {"{\"type\":\"hello\",\"window\":0}", "window must be"},
	    {"{\"type\":\"outbound\",\"action\":{}}", "requestId"},
	    {"{\"type\":\"outbound\",\"requestId\":\"q\",\"action\":{}}",
		"no op"},
	    {"{\"type\":\"outbound\",\"requestId\":\"q\"}", "action"},
	    {"{\"type\":\"interrupt\"}", "session_key must be"},
	    {"{\"type\":\"interrupt\",\"session_key\":\"\"}",
		"session_key must be"},
	    {"{\"type\":\"interrupt\",\"session_key\":\"k\",\"reason\":1}",
		"reason must be"},
	    {"{\"type\":\"inbound_ack\"}", "bufferId must be"},
	    {"{\"type\":\"inbound_ack\",\"bufferId\":\"7-7\"}",
		"no such bufferId"},
	};
	struct world *w = *state;
	struct world_agent *a;
	size_t i;

	world_up(w);
	a = world_agent(w, NULL);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&a->in);
		agent_says(a, "%s", cases[i].says);
		if (!holds(&a->in, cases[i].hears))
			fail_msg("%s: %.*s", cases[i].says,
			    (int)buf_len(&a->in), buf_span(&a->in).p);
	}
	agent_says(a, "{\"type\":\"going_idl\\u0065\"}"); /* the same type */
	assert_true(holds(&a->in, "going_idle_ack"));
	agent_says(a, "{\"type\":\"from_the_future\"}");
	assert_int_equal(w->gw->count.unknown_frames, 1);
}

static void
test_agent_gets_descriptors_at_once_and_new_ones(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO), *b;

	assert_false(holds(&a->in, "descriptor"));
	assert_true(
	    holds(&a->in, "{\"type\":\"link\",\"state\":\"unprovisioned\""));
	world_up(w);
	assert_int_equal(count(&a->in, "\"type\":\"descriptor\""), 2);
	assert_true(holds(&a->in, "\"state\":\"connected\""));
	link_event(w->gw, LE_LOST, "reset");
	b = world_agent(w, HELLO);
	assert_int_equal(count(&b->in, "\"type\":\"descriptor\""), 2);
	world_up(w);
	assert_int_equal(count(&b->in, "\"type\":\"descriptor\""), 2);
}

static void
test_interrupts(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO),
			   *b = world_agent(w, HELLO);
	static const char stop[] =
	    "{\"type\":\"interrupt_inbound\","
	    "\"session_key\":\"agent:main:discord:group:c1:u1\","
	    "\"chat_id\":\"c1\"}\n";

	world_up(w);
	world_message(w, stop);
	assert_int_equal(count(&a->in, "interrupt_inbound"), 1);
	assert_int_equal(count(&b->in, "interrupt_inbound"), 1);
	world_event(w, NULL, "c1", "m1"); /* a's session now */
	world_message(w, stop);
	assert_int_equal(count(&a->in, "interrupt_inbound"), 2);
	assert_int_equal(count(&b->in, "interrupt_inbound"), 1);
	agent_says(a,
	    "{\"type\":\"interrupt\",\"session_key\":\"k\",\"reason\":\"r\"}");
	agent_says(a, "{\"type\":\"interrupt\",\"session_key\":\"k2\"}");
	assert_true(holds(&w->lines,
	    "{\"type\":\"interrupt\",\"session_key\":\"k\","
	    "\"reason\":\"r\"}\n"));
	assert_true(holds(&w->lines,
	    "{\"type\":\"interrupt\",\"session_key\":\"k2\","
	    "\"reason\":null}\n"));
}

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
	    WORLD_TEST(test_agents_are_told_in_words),
	    WORLD_TEST(test_agent_gets_descriptors_at_once_and_new_ones),
	    WORLD_TEST(test_interrupts),
	    WORLD_TEST(test_draining_agent_gets_nothing_more),
	    WORLD_TEST(
		test_session_leaves_a_draining_agent_when_all_is_acknowledged),
	    WORLD_TEST(test_agents_sent_away_together_do_not_inherit),
	    WORLD_TEST(test_thirty_two_identities),
	    WORLD_TEST(test_agent_without_hello_does_not_stay),
	    WORLD_TEST(test_agent_that_left_has_no_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
