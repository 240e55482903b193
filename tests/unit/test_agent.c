/* SPDX-License-Identifier: ISC */
/* Agents of the engine's core, against a small world: what they are told, and
 * interrupts both ways. */
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_agents_are_told_in_words),
	    WORLD_TEST(test_agent_gets_descriptors_at_once_and_new_ones),
	    WORLD_TEST(test_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
