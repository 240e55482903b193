/* SPDX-License-Identifier: ISC */
/* Actions against a small world: what they leave as, which are refused, and
 * what becomes of their results. */
#include "contract_help.h"

/* All that leaves for an action, after the request id. */
static void
check_leaves(struct world *w, struct world_agent *a, const char *action,
    const char *want)
{
	struct span got;

	buf_reset(&w->lines);
	buf_reset(&a->in);
	agent_says(a, ASK "%s}", action);
	got = buf_span(&w->lines);
	if (!holds(&w->lines, want))
		fail_msg("%s: %.*s %.*s", action, (int)got.len, got.p,
		    (int)buf_len(&a->in), buf_span(&a->in).p);
}

static void
test_what_is_not_named_goes_untouched(void **state)
{
	static const char odd[] =
	    "{ \"chat_id\":\"c1\", \"new\\u0041\": [1.0, {\"b\":-0e1}] ,\"op\":"
	    "\"stream_card\",\"content\":\"abcdefghijkl\\/\",\"metadata\": "
	    "{\"a\" : null ,\"user_id\":7,\"scope_id\":false}}";
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char want[512];

	world_up(w);
	describe(w,
	    "\"platform\":\"discord\",\"max_message_length\":10,"
	    "\"supported_ops\":[\"stream_card\",\"get_chat_info\"]");
	(void)snprintf(want, sizeof(want), "\"action\":%s}\n", odd);
	check_leaves(w, a, odd, want);
	check_leaves(w, a, "{\"op\":\"get_chat_info\",\"chat_id\":\"c1\"}",
	    "\"action\":{\"op\":\"get_chat_info\",\"chat_id\":\"c1\"}}\n");
	/* Of a chat that is known: nothing is overwritten, nothing moved. */
	world_event(w, NULL, "c1", "m1");
	buf_reset(&w->lines);
	agent_says(a, ASK "%s}", odd);
	assert_true(holds(&w->lines,
	    "\"action\":{ \"chat_id\":\"c1\", \"new\\u0041\": [1.0, "
	    "{\"b\":-0e1}] ,\"op\":\"stream_card\",\"content\":"
	    "\"abcdefghijkl\\/\",\"metadata\": {\"a\" : null ,\"user_id\":7,"
	    "\"scope_id\":false}},\"platform\":\"discord\""));
}

/* More members than we keep the places of. */
static void
test_large_actions_are_passed_on(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char many[2048], action[4000];

	world_up(w);
	world_event(w, NULL, "c1", "m1");
	put_numbers(many, sizeof(many), 400);
	(void)snprintf(action, sizeof(action),
	    "{\"op\":\"send\",\"list\":[%s],\"chat_id\":\"c1\"}", many);
	check_leaves(w, a, action,
	    ",399],\"chat_id\":\"c1\",\"metadata\":{\"scope_id\":\"g1\","
	    "\"user_id\":\"u1\"}},\"platform\":\"discord\"");
	(void)snprintf(action, sizeof(action),
	    "{\"op\":\"send\",\"metadata\":{\"a\":{\"b\":1},\"scope_id\":"
	    "\"mine\"},\"list\":[%s],\"chat_id\":\"c1\"}",
	    many);
	check_leaves(w, a, action,
	    "\"metadata\":{\"a\":{\"b\":1},\"scope_id\":\"mine\",\"user_id\":"
	    "\"u1\"},\"list\":[0,1,");
	assert_null(core_send(w->gw, span_str(action), 77));
	world_turn(w);
	assert_int_equal(count(&w->lines, "\"scope_id\":\"mine\""), 2);
	/* What can be read two ways does not leave, here neither. */
	(void)snprintf(action, sizeof(action),
	    "{\"op\":\"send\",\"metadata\":{\"a\":1,\"\\u0061\":2},\"list\":"
	    "[%s],\"chat_id\":\"other\"}",
	    many);
	check_leaves(w, a, action, "");
	assert_true(holds(&a->in, "is there twice"));
	assert_int_equal(buf_len(&w->lines), 0);
}

static void
test_limits_are_the_chats_platforms(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	describe(w, "\"platform\":\"discord\",\"max_message_length\":3");
	describe(w,
	    "\"platform\":\"telegram\",\"max_message_length\":4,"
	    "\"len_unit\":\"utf16\"");
	world_event(w, NULL, "d1", "m1");
	world_message(w,
	    "{\"type\":\"inbound\",\"event\":{\"source\":{\"platform\":"
	    "\"telegram\",\"chat_id\":\"t1\",\"user_id\":\"u\"}}}\n");
	check_leaves(w, a,
	    "{\"op\":\"send\",\"chat_id\":\"t1\",\"content\":\"1234\"}",
	    "\"platform\":\"telegram\",\"botId\":\"99\"}\n");
	check_leaves(w, a,
	    "{\"op\":\"edit\",\"chat_id\":\"t1\",\"content\":"
	    "\"\xf0\x9f\x99\x82\xf0\x9f\x99\x82x\"}",
	    "");
	assert_true(holds(&a->in, "5 UTF-16 units, telegram takes at most 4"));
	check_leaves(w, a,
	    "{\"op\":\"send\",\"chat_id\":\"d1\",\"content\":"
	    "\"\xf0\x9f\x99\x82\xf0\x9f\x99\x82x\"}",
	    "\"platform\":\"discord\"");
	check_leaves(w, a,
	    "{\"op\":\"send\",\"chat_id\":\"d1\",\"content\":\"1234\"}", "");
	assert_true(holds(&a->in, "4 characters, discord takes at most 3"));
	/* Not bounded: an op with other content. */
	check_leaves(w, a,
	    "{\"op\":\"typing\",\"chat_id\":\"d1\",\"content\":\"12345\"}",
	    "12345");
}

/* The connector takes what is not tagged for the first that said hello. */
static void
test_the_default_is_the_first_hello(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	core_skip(w->gw, 1); /* discord is not provisioned */
	core_credential(w->gw, 1, 1, "x");
	world_upgrade(w);
	describe(w, "\"platform\":\"telegram\",\"supported_ops\":[\"react\"]");
	check_leaves(
	    w, a, "{\"op\":\"react\",\"chat_id\":\"?\"}", "\"op\":\"react\"");
	check_leaves(w, a, "{\"op\":\"send\",\"chat_id\":\"?\"}", "");
	assert_true(
	    holds(&a->in, "does not offer op \\\"send\\\" on telegram"));
}

static void
test_operators_are_held_to_the_descriptor(void **state)
{
	struct world *w = *state;
	const char *why;

	world_up(w);
	describe(w,
	    "\"platform\":\"discord\",\"max_message_length\":3,"
	    "\"supported_ops\":[\"send\"]");
	why = core_send(w->gw, SPAN_LIT("{\"op\":\"react\"}"), 77);
	assert_non_null(why);
	assert_non_null(strstr(why, "does not offer op \"react\""));
	why = core_send(
	    w->gw, SPAN_LIT("{\"op\":\"send\",\"content\":\"1234\"}"), 77);
	assert_non_null(why);
	assert_non_null(strstr(why, "at most 3"));
	world_turn(w);
	assert_int_equal(buf_len(&w->lines), 0);
	assert_null(core_send(
	    w->gw, SPAN_LIT("{\"op\":\"send\",\"content\":\"123\"}"), 77));
}

/* An answer that brings much goes to who asked, too. */
static void
test_a_large_answer_goes_to_who_asked(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO),
			   *b = world_agent(w, HELLO), *asks;
	char many[2048], text[4096];

	world_up(w);
	describe(w, "\"platform\":\"discord\",\"supported_ops\":[\"prompt\"]");
	world_event(w, NULL, "c1", "first");
	asks = holds(&a->in, "first") ? b : a;
	agent_says(asks,
	    ASK "{\"op\":\"prompt\",\"chat_id\":\"c1\",\"prompt_id\":\"p7\"}}");
	put_numbers(many, sizeof(many), 400);
	(void)snprintf(text, sizeof(text),
	    "{\"type\":\"inbound\",\"event\":{\"context\":[%s],\"text\":"
	    "\"answer\",\"prompt_response\":{\"prompt_id\":\"p7\"},\"source\":"
	    "{\"platform\":\"discord\",\"chat_id\":\"c1\",\"chat_type\":"
	    "\"group\",\"user_id\":\"u1\"}}}\n",
	    many);
	world_message(w, text);
	assert_true(holds(&asks->in, "\"answer\""));
	assert_true(holds(&asks->in, "\"agent:main:discord:group:c1:u1\""));
}

/* --- actions of any number of members --- */

/* An object that holds a text and n members more. */
static char *
wide(const char *begin, int n, const char *end)
{
	size_t cap = strlen(begin) + strlen(end) + (size_t)n * 16 + 3, len;
	char *text = malloc(cap);
	int i;

	assert_non_null(text);
	len = (size_t)snprintf(text, cap, "{%s", begin);
	for (i = 0; i < n; i++)
		len += (size_t)snprintf(
		    text + len, cap - len, ",\"m%d\":%d", i, i);
	(void)snprintf(text + len, cap - len, "%s}", end);
	return text;
}

/* Says an action; whether it left. */
static int
leaves(struct world *w, struct world_agent *a, const char *action)
{
	size_t cap = strlen(action) + 128;
	char *line = malloc(cap);

	assert_non_null(line);
	(void)snprintf(line, cap, ASK "%s}", action);
	buf_reset(&w->lines);
	buf_reset(&a->in);
	core_agent_line(a->a, line, strlen(line));
	world_turn(w);
	free(line);
	return buf_len(&w->lines) > 0;
}

/* Around the number that a document keeps, of which the line takes some, too.
 */
static void
test_actions_have_any_number_of_members(void **state)
{
	static const int n[] = {240, 245, 246, 247, 248, 249, 250, 251, 252,
	    253, 254, 255, 256, 257, 258, 300, 1000, 60000};
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *action;

	world_up(w);
	world_event(w, NULL, "c1", "m1");
	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		action = wide("\"op\":\"send\"", n[i],
		    ",\"ch\\u0061t_id\":\"c1\",\"metadata\":{\"user_id\":"
		    "\"\"}");
		assert_true(leaves(w, a, action));
		action[strlen(action) - 4] = '\0'; /* up to the empty value */
		assert_true(holds(&w->lines, action));
		assert_true(holds(&w->lines,
		    "\"metadata\":{\"user_id\":\"u1\",\"scope_id\":\"g1\"}},"
		    "\"platform\":\"discord\""));
		free(action);
		action = wide("\"op\":\"send\",\"chat_id\":\"c1\",\"metadata\":"
			      "{\"scope_id\":null",
		    n[i], ",\"user_id\":\"\"} ");
		assert_true(leaves(w, a, action));
		assert_true(holds(&w->lines,
		    "\"metadata\":{\"scope_id\":\"g1\",\"m0\":0,\"m1\":1,"));
		assert_true(holds(&w->lines, ",\"user_id\":\"u1\"} },"));
		free(action);
	}
}

/* A member is looked for among all, and none may be there twice. */
static void
test_wide_actions_are_read_in_one_way(void **state)
{
	static const char *const ends[] = {",\"m7\":1", ",\"\\u006d7\":1",
	    ",\"op\":\"edit\"", ",\"metadata\":{\"a\":1,\"a\":1}",
	    ",\"content\":\"1\",\"content\":\"2\"", ",\"\":1,\"\":2"};
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *action;

	world_up(w);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		action = wide("\"op\":\"send\"", 5000, ends[i]);
		assert_false(leaves(w, a, action));
		assert_true(holds(&a->in, "\"requestId\":\"q\""));
		assert_true(holds(&a->in, "is there twice"));
		assert_non_null(core_send(w->gw, span_str(action), 77));
		free(action);
		action = wide(
		    "\"op\":\"send\",\"metadata\":{\"a\":1", 5000, ",\"a\":1}");
		assert_false(leaves(w, a, action));
		free(action);
	}
	action = wide("\"x\":1", 5000, "");
	assert_false(leaves(w, a, action));
	assert_true(holds(&a->in, "the action has no op"));
	free(action);
}

/* What is checked of an action is checked of a wide one. */
static void
test_wide_actions_are_held_to_the_descriptor(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *action;

	world_up(w);
	describe(w,
	    "\"platform\":\"discord\",\"max_message_length\":3,"
	    "\"supported_ops\":[\"send\",\"prompt\"]");
	action = wide("\"op\":\"send\"", 400, ",\"content\":\"1234\"");
	assert_false(leaves(w, a, action));
	assert_true(holds(&a->in, "discord takes at most 3"));
	free(action);
	action = wide("\"x\":1", 400, ",\"op\":\"react\"");
	assert_false(leaves(w, a, action));
	assert_true(holds(&a->in, "does not offer op \\\"react\\\""));
	free(action);
	action = wide("\"op\":\"prompt\"", 400, ",\"prompt_id\":\"p7\"");
	assert_true(leaves(w, a, action));
	assert_ptr_equal(prompt_agent(w->gw, SPAN_LIT("p7")), a->a);
	assert_null(core_send(w->gw, span_str(action), 77));
	world_turn(w);
	assert_int_equal(count(&w->lines, "\"prompt_id\":\"p7\""), 2);
	free(action);
}

/* The bound is the line's: an action that fills it leaves, if what we add still
 * fits in. */
static void
test_actions_are_bounded_by_the_line(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	struct buf line;

	world_up(w);
	for (int over = 0; over < 2; over++) {
		buf_init(&line, 0);
		(void)buf_adds(&line, SPAN_LIT(ASK "{\"op\":\"send\""));
		for (int i = 0; buf_len(&line) < LIMIT_LINE - 200; i++)
			(void)buf_addf(&line, ",\"%d\":0", i);
		(void)buf_adds(&line, SPAN_LIT(",\"content\":\""));
		while (buf_len(&line) < LIMIT_LINE - 17 - 3 + (size_t)over)
			(void)buf_add(&line, "x", 1);
		(void)buf_adds(&line, SPAN_LIT("\"}}"));
		buf_reset(&w->lines);
		buf_reset(&a->in);
		core_agent_line(a->a, buf_span(&line).p, buf_len(&line));
		world_turn(w);
		buf_free(&line);
		if (over == 0)
			assert_int_equal(buf_len(&w->lines), LIMIT_LINE + 1);
		else
			assert_true(
			    holds(&a->in, "the frame is longer than 1 MiB"));
	}
}

/* --- results --- */

static void
test_results_come_as_they_are(void **state)
{
	static const char result[] =
	    ",\"result\":{ \"success\" :true,\"chat_info\":{\"name\":"
	    "\"\\u0061\",\"type\":\"dm\"},\"x\":[1.0] }";
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char line[512];

	world_up(w);
	describe(w,
	    "\"platform\":\"discord\",\"supported_ops\":[\"get_chat_info\"]");
	agent_says(a, ASK "{\"op\":\"get_chat_info\",\"chat_id\":\"c1\"}}");
	answer_last(w, result);
	(void)snprintf(line, sizeof(line),
	    "{\"type\":\"outbound_result\",\"requestId\":\"q\"%s}\n", result);
	assert_true(holds(&a->in, line));
	assert_int_equal(w->gw->count.outbound_ok, 1);
}

static void
test_large_results_come_as_they_are(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char many[2048], text[4000], *members;

	world_up(w);
	put_numbers(many, sizeof(many), 400);
	agent_says(a, ASK "{\"op\":\"send\"}}");
	(void)snprintf(text, sizeof(text),
	    ",\"result\":{\"x\":[%s],\"success\":true}", many);
	answer_last(w, text);
	assert_true(holds(&a->in, ",399],\"success\":true}}\n"));
	assert_int_equal(w->gw->count.outbound_ok, 1);
	agent_says(a, ASK "{\"op\":\"send\"}}");
	members = wide("\"a\":1", 300, ",\"success\":true");
	(void)snprintf(text, sizeof(text), ",\"result\":%s", members);
	answer_last(w, text);
	assert_true(holds(&a->in, members));
	free(members);
	assert_int_equal(w->gw->count.outbound_ok, 2);
	assert_int_equal(w->gw->count.outbound_failed, 0);
}

/* A result is an object for its agent, whatever the connector sent; that it
 * sent something says that the request came that far. */
static void
test_a_result_that_is_no_object_is_a_failure(void **state)
{
	static const char *const odd[] = {",\"result\":null",
	    ",\"result\":true", ",\"result\":\"done\"",
	    ",\"result\":[{\"success\":true}]", ",\"result\":1e3", "",
	    ",\"success\":true"};
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	size_t i;

	world_up(w);
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		buf_reset(&a->in);
		buf_reset(&w->lines);
		agent_says(a, SEND, "r1");
		answer_last(w, odd[i]);
		assert_true(span_eq(buf_span(&a->in),
		    SPAN_LIT("{\"type\":\"outbound_result\",\"requestId\":"
			     "\"r1\",\"result\":{\"success\":false,\"error\":"
			     "\"the connector's result is no JSON object\","
			     "\"ambiguous\":true}}\n")));
		assert_int_equal(w->gw->outbound.n, 0);
		assert_int_equal(w->gw->count.outbound_ambiguous, i + 1);
	}
	assert_int_equal(w->gw->count.unknown_frames, 0);
	assert_null(core_send(w->gw, SPAN_LIT("{\"op\":\"send\"}"), 77));
	world_turn(w);
	answer_last(w, ",\"result\":7");
	assert_true(
	    holds(&w->result, "is no JSON object\",\"ambiguous\":true"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_what_is_not_named_goes_untouched),
	    WORLD_TEST(test_large_actions_are_passed_on),
	    WORLD_TEST(test_limits_are_the_chats_platforms),
	    WORLD_TEST(test_the_default_is_the_first_hello),
	    WORLD_TEST(test_operators_are_held_to_the_descriptor),
	    WORLD_TEST(test_a_large_answer_goes_to_who_asked),
	    WORLD_TEST(test_actions_have_any_number_of_members),
	    WORLD_TEST(test_wide_actions_are_read_in_one_way),
	    WORLD_TEST(test_wide_actions_are_held_to_the_descriptor),
	    WORLD_TEST(test_actions_are_bounded_by_the_line),
	    WORLD_TEST(test_results_come_as_they_are),
	    WORLD_TEST(test_large_results_come_as_they_are),
	    WORLD_TEST(test_a_result_that_is_no_object_is_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
