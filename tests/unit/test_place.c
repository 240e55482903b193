/* SPDX-License-Identifier: ISC */
/* Sessions whose agent goes while others have their events. */
#include "world.h"

/* Two agents: the first has the session of chat c1; the second has, as the
 * answer to its prompt, that session's only event that waits. */
static void
ask(struct world *w, struct world_agent **has, struct world_agent **asks)
{
	world_up(w);
	world_message(w,
	    "{\"type\":\"descriptor\",\"descriptor\":{\"platform\":\"discord\","
	    "\"supported_ops\":[\"send\",\"prompt\"]}}\n");
	*has = world_agent(w, HELLO);
	world_event(w, "b1", "c1", "first");
	agent_acks(*has, "first");
	*asks = world_agent(w, HELLO);
	agent_says(*asks,
	    "{\"type\":\"outbound\",\"requestId\":\"r\",\"action\":{"
	    "\"op\":\"prompt\",\"chat_id\":\"c1\",\"prompt_id\":\"p1\"}}");
	world_message(w,
	    "{\"type\":\"inbound\",\"bufferId\":\"b2\",\"event\":{"
	    "\"text\":\"answer\",\"prompt_response\":{\"prompt_id\":\"p1\","
	    "\"option_id\":\"o\"},\"source\":{\"platform\":\"discord\","
	    "\"chat_id\":\"c1\",\"chat_type\":\"group\",\"user_id\":\"u1\","
	    "\"scope_id\":\"g1\"}}}\n");
	assert_true(holds(&(*asks)->in, "\"answer\""));
	assert_false(holds(&(*has)->in, "\"answer\""));
	assert_int_equal((*has)->a->nsession, 1);
}

static void
test_who_had_the_session_is_gone(void **state)
{
	struct world *w = *state;
	struct world_agent *has, *asks;

	ask(w, &has, &asks);
	core_agent_gone(has->a, "closed");
	has->a = NULL;
	world_event(w, "b3", "c1", "next");
	assert_true(holds(&asks->in, "\"next\""));
	assert_int_equal(asks->a->nsession, 1);
}

static void
test_who_had_the_session_goes_idle(void **state)
{
	struct world *w = *state;
	struct world_agent *has, *asks;

	ask(w, &has, &asks);
	agent_says(has, "{\"type\":\"going_idle\"}");
	assert_int_equal(has->a->nsession, 0);
	world_event(w, "b3", "c1", "next");
	assert_true(holds(&asks->in, "\"next\""));
}

/* Not before it has acknowledged what it has of the session. */
static void
test_what_is_in_flight_holds_the_session(void **state)
{
	struct world *w = *state;
	struct world_agent *has, *asks;

	ask(w, &has, &asks);
	world_event(w, "b3", "c1", "held");
	assert_true(holds(&has->in, "\"held\""));
	agent_says(has, "{\"type\":\"going_idle\"}");
	assert_int_equal(has->a->nsession, 1);
	world_event(w, "b4", "c1", "next");
	assert_false(holds(&asks->in, "\"next\""));
	agent_acks(has, "held");
	assert_int_equal(has->a->nsession, 0);
	assert_true(holds(&asks->in, "\"next\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_who_had_the_session_is_gone),
	    WORLD_TEST(test_who_had_the_session_goes_idle),
	    WORLD_TEST(test_what_is_in_flight_holds_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
