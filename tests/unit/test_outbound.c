/* SPDX-License-Identifier: ISC */
/* Requests of agents and of the operator, against a small world: what is sent
 * as what, the queue to the connector, results. */
#include "world.h"

static void
test_outbound_is_mapped_scoped_and_answered(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO),
			   *b = world_agent(w, HELLO);
	char line[512], *id, *end;

	world_up(w);
	world_event(w, NULL, "c1", "hello");
	agent_says(a, SEND, "r1");
	agent_says(b, SEND, "r1"); /* the same id: no clash */
	assert_int_equal(
	    count(&w->lines,
		"\"content\":\"yo\","
		"\"metadata\":{\"scope_id\":\"g1\",\"user_id\":\"u1\"}},"
		"\"platform\":\"discord\",\"botId\":\"1234\"}"),
	    2);
	assert_false(holds(&w->lines, "\"requestId\":\"r1\""));
	(void)snprintf(line, sizeof(line), "%.*s", (int)buf_len(&w->lines),
	    buf_span(&w->lines).p);
	id = strrchr(line, '\n');
	*id = '\0';
	id = strstr(strrchr(line, '\n') != NULL ? strrchr(line, '\n') : line,
		 "\"requestId\":\"") +
	    13;
	end = strchr(id, '"');
	*end = '\0';
	(void)snprintf(line + 256, 256,
	    "{\"type\":\"outbound_result\","
	    "\"requestId\":\"%s\",\"result\":{\"success\":true,\"message_id\":"
	    "\"m1\",\"extra\":[1]}}\n",
	    id);
	world_message(w, line + 256);
	assert_true(holds(&b->in,
	    "{\"type\":\"outbound_result\",\"requestId\":"
	    "\"r1\",\"result\":{\"success\":true,\"message_id\":\"m1\","
	    "\"extra\":[1]}}\n"));
	assert_false(holds(&a->in, "outbound_result"));
	world_message(w, line + 256); /* nobody asked any more */
	assert_int_equal(count(&b->in, "outbound_result"), 1);
	world_time(w, 31000);
	assert_true(holds(&a->in,
	    "{\"success\":false,\"error\":\"relay outbound "
	    "timed out\",\"ambiguous\":true}"));
}

#define ASK "{\"type\":\"outbound\",\"requestId\":\"q\",\"action\":"

static void
test_outbound_is_refused_when_it_can_be_read_two_ways(void **state)
{
	static const char *const cases[] = {
	    ASK "{\"op\":\"send\",\"content\":1,\"content\":2}}",
	    ASK "{\"op\":\"send\",\"content\":1,\"c\\u006fntent\":2}}",
	    ASK "{\"op\":\"x\",\"metadata\":{\"a\":1,\"a\":1}}}",
	    ASK "{\"op\":\"x\"},\"botId\":\"1\",\"botId\":\"2\"}",
	    ASK "{\"op\":\"x\"},\"platform\":\"matrix\"}",
	    ASK "{\"op\":\"x\"},\"platform\":7}",
	};
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	size_t i;

	world_up(w);
	buf_reset(&w->lines);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&a->in);
		agent_says(a, "%s", cases[i]);
		if (!holds(&a->in, "\"success\":false"))
			fail_msg("%s: %.*s", cases[i], (int)buf_len(&a->in),
			    buf_span(&a->in).p);
	}
	assert_int_equal(buf_len(&w->lines), 0);
	assert_non_null(
	    core_send(w->gw, SPAN_LIT("{\"op\":\"x\",\"a\":1,\"a\":2}"), 77));
}

static void
test_outbound_is_tagged_with_the_identity_of_its_platform(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	agent_says(a, ASK "{\"op\":\"typing\"},\"platform\":\"discord\"}");
	agent_says(a,
	    ASK "{\"op\":\"typing\"},\"botId\":\"other\",\"future\":1,"
		"\"platform\":\"discord\"}");
	assert_int_equal(
	    count(&w->lines, "\"platform\":\"discord\",\"botId\":\"1234\"}\n"),
	    2);
	assert_true(holds(&w->lines, "\"future\":1"));
	agent_says(a, ASK "{\"op\":\"edit\"},\"pl\\u0061tform\":\"discord\"}");
	assert_false(holds(&w->lines, "u0061"));
	agent_says(a, ASK "{\"op\":\"send\"},\"botId\":\"1234\"}");
	assert_true(holds(&w->lines, "\"action\":{\"op\":\"send\"}}\n"));
}

static void
test_outbound_waits_for_the_link_and_then_says_why(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	link_event(w->gw, LE_LOST, "reset by peer");
	agent_says(a, SEND, "r1");
	world_time(w, 11000);
	assert_true(holds(&a->in,
	    "not connected to the connector (retrying: "
	    "reset by peer); the request was not sent"));
	assert_false(holds(&a->in, "ambiguous"));
	agent_says(a, SEND, "r2");
	world_up(w);
	buf_reset(&w->lines);
	link_event(w->gw, LE_LOST, "again");
	assert_true(holds(&a->in,
	    "\"relay transport connection lost\","
	    "\"ambiguous\":true"));
}

static void
test_outbound_not_written_yet_leaves_after_the_reconnect(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char line[512];

	world_up(w);
	(void)snprintf(line, sizeof(line), SEND, "r1");
	core_agent_line(
	    a->a, line, strlen(line)); /* no turn: nothing written */
	link_event(w->gw, LE_LOST, "reset");
	assert_false(holds(&a->in, "ambiguous"));
	world_time(w, 1001);
	world_upgrade(w);
	world_descriptor(w, "discord");
	assert_int_equal(count(&w->lines, "\"yo\""), 1);
	assert_false(holds(&a->in, "outbound_result"));
}

/* Requests to a connector that does not read. */

/* Of LARGE bytes each, this many fill the queue to the connector. */
#define LARGE (LIMIT_LINE - 1024)
#define FULL  16

/* Requests with ids "r0", "r1", …; the turn does not end. */
static void
ask_much(struct world_agent *wa, int n)
{
	struct buf b;
	char *pad;
	int i;

	for (i = 0; i < n; i++) {
		buf_init(&b, 0);
		(void)buf_addf(&b,
		    "{\"type\":\"outbound\",\"requestId\":\"r%d\",\"action\":"
		    "{\"op\":\"send\",\"padding\":\"",
		    i);
		pad = buf_reserve(&b, LARGE);
		assert_non_null(pad);
		memset(pad, 'x', LARGE);
		buf_commit(&b, LARGE);
		(void)buf_adds(&b, SPAN_LIT("\"}}"));
		assert_false(b.failed);
		core_agent_line(wa->a, buf_span(&b).p, buf_len(&b));
		buf_free(&b);
	}
}

static void
test_what_finds_the_queue_full_leaves_when_it_empties(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	ask_much(a, FULL + 1);
	assert_false(TAILQ_EMPTY(&w->gw->outbound.waiting));
	world_turn(w); /* the connector reads */
	world_turn(w);
	assert_int_equal(count(&w->lines, "\"type\":\"outbound\""), FULL + 1);
	assert_true(TAILQ_EMPTY(&w->gw->outbound.waiting));
	assert_false(holds(&a->in, "outbound_result"));
}

static void
test_what_finds_it_full_is_not_told_of_a_lost_link(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	ask_much(a, FULL + 1);
	w->now += 10000;
	core_now(w->c, w->now);
	core_turn(w->c); /* it still does not read */
	assert_int_equal(count(&a->in, "outbound_result"), 1);
	assert_true(holds(&a->in, "\"requestId\":\"r16\""));
	assert_false(holds(&a->in, "not connected"));
	assert_true(holds(&a->in, "was not sent"));
	assert_false(holds(&a->in, "ambiguous"));
}

static void
test_what_waited_before_the_loss_waits_no_longer(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	ask_much(a, FULL + 1);
	w->now += 5000;
	core_now(w->c, w->now);
	link_event(w->gw, LE_LOST, "reset");
	core_turn(w->c);
	assert_false(holds(&a->in, "outbound_result"));
	world_time(w, 5000); /* no dial comes to anything meanwhile */
	assert_true(holds(&a->in, "\"requestId\":\"r16\""));
	assert_int_equal(w->gw->outbound.n, 0);
}

static void
test_operator_sends(void **state)
{
	struct world *w = *state;

	world_up(w);
	assert_null(core_send(w->gw,
	    SPAN_LIT("{\"op\":\"send\",\"chat_id\":\"c\",\"content\":\"x\"}"),
	    77));
	world_time(w, 31000);
	assert_true(holds(&w->result, "timed out"));
	assert_false(w->result_theirs);
	assert_non_null(core_send(w->gw, SPAN_LIT("[]"), 77));
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
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
	world_up(w);
	assert_null(core_send(w->gw, action, 77));
	world_turn(w);
	core_gateway_remove(w->gw);
	assert_true(holds(&w->result, "\"ambiguous\":true"));
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_outbound_is_mapped_scoped_and_answered),
	    WORLD_TEST(test_outbound_is_refused_when_it_can_be_read_two_ways),
	    WORLD_TEST(
		test_outbound_is_tagged_with_the_identity_of_its_platform),
	    WORLD_TEST(test_outbound_waits_for_the_link_and_then_says_why),
	    WORLD_TEST(
		test_outbound_not_written_yet_leaves_after_the_reconnect),
	    WORLD_TEST(test_what_finds_the_queue_full_leaves_when_it_empties),
	    WORLD_TEST(test_what_finds_it_full_is_not_told_of_a_lost_link),
	    WORLD_TEST(test_what_waited_before_the_loss_waits_no_longer),
	    WORLD_TEST(test_operator_sends),
	    WORLD_TEST(test_operator_is_answered_when_the_gateway_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
