/* SPDX-License-Identifier: ISC */
/* The contract's frames against a small world: lines and what is salvaged from
 * them, hellos and descriptors, whom interrupts reach. */
#include "contract_help.h"

#define ACK(id) "{\"type\":\"inbound_ack\",\"bufferId\":\"" id "\"}\n"

/* --- lines --- */

/* A line that cannot be taken, and what is acknowledged for it. */
static void
test_what_is_salvaged(void **state)
{
	static const struct {
		const char *line, *acks;
	} cases[] = {
	    {"{\"bufferId\":17,\"event\":{]}", ACK("17")},
	    {"{\"event\":{],\"bufferId\" : 17}", ACK("17")},
	    {"{\"event\":{],\"bufferId\":\t-1.5e3 }", ACK("-1.5e3")},
	    {"{\"event\":{],\"bufferId\":17", ""}, /* more may follow */
	    {"{\"event\":{],\"bufferId\":1x}", ""},
	    {"{\"event\":{],\"bufferId\":\"1\"", ACK("1")},
	    {"{\"event\":{],\"bufferId\":01}", ""},
	    {"{\"event\":{],\"bufferId\":null}", ""},
	    {"{\"event\":{],\"bufferId\":[\"a\"]}", ""},
	    {"{\"event\":{],\"bufferId\":\"a\\\"b\\u00e9\"}",
		ACK("a\\\"b\xc3\xa9")},
	    {"{\"event\":{],\"bufferId\":\"a\\x\"}", ""},
	    {"{\"event\":{],\"bufferId\":\"a\\\"}", ""},
	    {"{\"event\":{],\"bufferId\"", ""},
	    {"{\"event\":{],\"bufferId\":", ""},
	    /* Read well, though it is no event: its own member counts. */
	    {"{\"type\":\"inbound\",\"bufferId\":\"b\",\"event\":{\"source\":"
	     "7,\"raw\":{\"bufferId\":\"x\"}}}",
		ACK("b")},
	    {"{\"type\":\"inbound\",\"bufferId\":8,\"event\":{\"source\":7}}",
		ACK("8")},
	    {"{\"type\":\"inbound\",\"event\":{\"raw\":{\"bufferId\":\"x\"}}}",
		""},
	    {"{\"type\":\"inbound\",\"bufferId\":true,\"event\":{}}", ""},
	    {"{\"type\":7,\"bufferId\":\"b\"}", ACK("b")},
	    {"{\"bufferId\":\"b\"}", ACK("b")},
	};
	struct world *w = *state;
	char line[512];
	size_t i;

	world_up(w);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&w->lines);
		(void)snprintf(line, sizeof(line), "%s\n", cases[i].line);
		world_message(w, line);
		if (!span_eq(buf_span(&w->lines), span_str(cases[i].acks)))
			fail_msg("%s: %.*s", cases[i].line,
			    (int)buf_len(&w->lines), buf_span(&w->lines).p);
		assert_int_equal(w->gw->count.lines_bad, i + 1);
	}
}

/* A kept entry of a later version: without an ack nothing comes after it. */
static void
test_unknown_frames_are_acknowledged_where_they_can_be(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_message(w, "{\"type\":\"from_the_future\",\"x\":1}\n");
	world_message(w, "{\"type\":\"going_idle_ack\",\"bufferId\":\"no\"}\n");
	assert_int_equal(buf_len(&w->lines), 0);
	world_event(w, "b1", "c1", "m1");
	world_message(
	    w, "{\"type\":\"from_the_future\",\"x\":1,\"bufferId\":\"b2\"}\n");
	world_message(w, "{\"type\":\"later\",\"bufferId\":3}\n");
	assert_int_equal(w->gw->count.unknown_frames, 3);
	assert_int_equal(w->gw->count.lines_bad, 0);
	assert_int_equal(buf_len(&w->lines), 0); /* in their order */
	agent_acks(a, "m1");
	assert_true(span_eq(
	    buf_span(&w->lines), SPAN_LIT(ACK("b1") ACK("b2") ACK("3"))));
	assert_false(holds(&a->in, "future"));
}

static void
test_numeric_ids_are_acknowledged_as_strings(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_message(w,
	    "{\"type\":\"inbound\",\"bufferId\":12,\"event\":{\"text\":\"m1\","
	    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c\"}}}\n");
	agent_acks(a, "m1");
	assert_true(span_eq(buf_span(&w->lines), SPAN_LIT(ACK("12"))));
}

/* A line of len bytes: an event, or one of a byte too many. */
static char *
long_line(size_t len)
{
	static const char head[] =
	    "{\"type\":\"inbound\",\"bufferId\":\"b\",\"event\":{\"source\":{"
	    "\"platform\":\"discord\",\"chat_id\":\"c\"},\"text\":\"";
	char *line = malloc(len + 2);

	assert_non_null(line);
	memset(line, 'x', len);
	memcpy(line, head, sizeof(head) - 1);
	memcpy(line + len - 3, "\"}}\n", 5);
	return line;
}

static void
test_a_line_has_a_mebibyte_at_most(void **state)
{
	static const size_t cuts[] = {0, 1, 1000, LIMIT_LINE - 1, LIMIT_LINE};
	struct world *w;
	struct world_agent *a;
	char *line, *first = malloc(LIMIT_LINE + 1);
	size_t i, over;

	(void)state;
	for (i = 0; i < 2 * sizeof(cuts) / sizeof(cuts[0]); i++) {
		w = world_new();
		a = world_agent(w, HELLO);
		world_up(w);
		over = i % 2;
		line = long_line(LIMIT_LINE + over);
		if (cuts[i / 2] > 0) {
			memcpy(first, line, cuts[i / 2]);
			first[cuts[i / 2]] = '\0';
			world_message(w, first);
		}
		world_message(w, line + cuts[i / 2]);
		assert_int_equal(w->gw->count.lines_bad, over);
		assert_int_equal(count(&a->in, "\"type\":\"inbound\""), !over);
		world_event(w, NULL, "c2", "after it");
		assert_true(holds(&a->in, "after it"));
		free(line);
		world_free(w);
	}
	free(first);
}

/* A line that is too long, in pieces of step bytes. */
static void
oversized(struct world *w, const char *head, const char *end, size_t step)
{
	size_t len = LIMIT_LINE * 2, hlen = strlen(head), at, n;
	char *line = malloc(len + strlen(end) + 1), *piece = malloc(step + 1);

	assert_true(line != NULL && piece != NULL);
	memset(line, 'x', len);
	memcpy(line, head, hlen);
	(void)strcpy(line + len, end);
	len += strlen(end);
	for (at = 0; at < len; at += n) {
		n = len - at < step ? len - at : step;
		memcpy(piece, line + at, n);
		piece[n] = '\0';
		world_message(w, piece);
	}
	free(line);
	free(piece);
}

static void
test_oversized_lines_are_salvaged_at_both_ends(void **state)
{
	static const size_t steps[] = {
	    7, 600, 65536, LIMIT_LINE, LIMIT_LINE + 1, LIMIT_LINE * 3};
	struct world *w = *state;
	size_t i;

	world_up(w);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		buf_reset(&w->lines);
		oversized(w, "{\"bufferId\":\"first\",\"event\":\"", "\"}\n",
		    steps[i]);
		oversized(w, "{\"event\":\"", "\",\"bufferId\":7}\n", steps[i]);
		oversized(w, "{\"event\":\"", "\"}\n", steps[i]);
		if (!span_eq(
			buf_span(&w->lines), SPAN_LIT(ACK("first") ACK("7"))))
			fail_msg("%zu: %.*s", steps[i], (int)buf_len(&w->lines),
			    buf_span(&w->lines).p);
		assert_int_equal(w->gw->count.lines_bad, 3 * (i + 1));
		assert_int_equal(buf_len(&w->gw->wire.line), 0);
	}
	world_event(w, NULL, "c", "after it");
	assert_int_equal(w->gw->count.lines_bad, 3 * i);
}

static void
test_binary_messages_are_text(void **state)
{
	static const char text[] =
	    "\n\r\n{\"type\":\"inbound\",\"event\":{\"text\":\"\xc3\xa9\","
	    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c\"}}}\n";
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char frame[sizeof(text) + WS_HEAD_MAX];
	size_t n = ws_head(frame, WS_BINARY, 1, sizeof(text) - 1, NULL);

	world_up(w);
	memcpy(frame + n, text, sizeof(text) - 1);
	(void)wire_input(w->gw, frame, n + sizeof(text) - 1, 1 << 20);
	world_turn(w);
	assert_true(holds(&a->in, "\"text\":\"\xc3\xa9\""));
	assert_int_equal(w->gw->count.lines_bad, 0);
}

/* --- hellos and descriptors --- */

static void
test_each_identity_has_its_hello(void **state)
{
	static char manifest[] = "[{\"name\":\"x\",\"description\":\"y\"}]";
	struct world *w = *state;

	w->conf.identity[0].manifest = manifest;
	core_gateway_change(w->gw, &w->conf);
	core_credential(w->gw, 1, 1, "x");
	world_upgrade(w);
	assert_true(span_eq(buf_span(&w->lines),
	    SPAN_LIT("{\"type\":\"hello\",\"platform\":\"discord\",\"botId\":"
		     "\"1234\",\"command_manifest\":[{\"name\":\"x\","
		     "\"description\":\"y\"}]}\n{\"type\":\"hello\","
		     "\"platform\":\"telegram\",\"botId\":\"99\"}\n")));
}

static void
test_descriptors_go_by_platform(void **state)
{
	struct world *w = *state;

	core_credential(w->gw, 1, 1, "x");
	world_upgrade(w);
	describe(w, "\"platform\":\"slack\",\"max_message_length\":1");
	describe(w, "\"platform\":7");
	describe(w, "\"max_message_length\":1");
	assert_int_equal(w->gw->count.lines_bad, 3);
	assert_int_equal(w->gw->link.state, LINK_HELLO);
	assert_null(w->gw->conf.identity[0].descriptor.text);
	/* The first completes the handshake, whichever it is. */
	describe(w, "\"platform\":\"telegram\",\"max_message_length\":11");
	assert_string_equal(w->state, "connected");
	describe(w, "\"platform\":\"discord\",\"max_message_length\":12");
	assert_int_equal(w->gw->conf.identity[0].descriptor.max_length, 12);
	assert_int_equal(w->gw->conf.identity[1].descriptor.max_length, 11);
}

static void
test_descriptors_are_renewed_at_each_handshake(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	describe(w, "\"platform\":\"discord\",\"supported_ops\":[\"react\"]");
	buf_reset(&a->in);
	agent_says(a, ASK "{\"op\":\"send\"}}");
	assert_true(holds(&a->in, "does not offer op"));
	link_event(w->gw, LE_LOST, "reset");
	buf_reset(&a->in);
	world_up(w);
	assert_int_equal(count(&a->in, "\"type\":\"descriptor\""), 1);
	agent_says(a, ASK "{\"op\":\"send\"}}");
	assert_true(holds(&w->lines, "\"op\":\"send\""));
}

static void
test_a_descriptor_with_many_parts(void **state)
{
	struct world *w = *state;
	char text[8000], many[2048];

	put_numbers(many, sizeof(many), 400);
	core_credential(w->gw, 1, 1, "x");
	world_upgrade(w);
	(void)snprintf(text, sizeof(text),
	    "\"future\":[%s],\"platform\":\"discord\",\"supported_ops\":"
	    "[\"send\",%s,\"react\"],\"max_message_length\":12",
	    many, many);
	describe(w, text);
	assert_int_equal(w->gw->count.lines_bad, 0);
	assert_string_equal(w->state, "connected");
	assert_int_equal(w->gw->conf.identity[0].descriptor.max_length, 12);
	assert_true(descriptor_allows(
	    &w->gw->conf.identity[0].descriptor, SPAN_LIT("react")));
}

/* --- interrupts --- */

/* A turn goes on after its event was acknowledged. */
static void
test_interrupts_find_who_had_the_session(void **state)
{
	static const char stop[] =
	    "{\"type\":\"interrupt_inbound\",\"session_key\":"
	    "\"agent:main:discord:group:c1:u1\",\"chat_id\":\"c1\"}\n";
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO),
			   *b = world_agent(w, HELLO), *has, *other;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	has = holds(&a->in, "m1") ? a : b;
	other = has == a ? b : a;
	agent_acks(has, "m1");
	world_message(w, stop);
	assert_true(holds(&has->in, stop)); /* as it came */
	assert_false(holds(&other->in, "interrupt_inbound"));
	assert_null(core_interrupt(
	    w->gw, SPAN_LIT("agent:main:discord:group:c1:u1"), "uid 0"));
	assert_int_equal(count(&has->in, "interrupt_inbound"), 2);
	assert_false(holds(&other->in, "interrupt_inbound"));
	assert_int_equal(w->gw->count.interrupts, 2);
}

static void
test_an_interrupt_that_cannot_leave_is_told(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	agent_says(a, "{\"type\":\"interrupt\",\"session_key\":\"k\"}");
	assert_true(holds(&a->in, "it was not sent"));
	/* The line was good. */
	assert_int_equal(w->gw->count.agent_lines_bad, 0);
	world_up(w);
	assert_false(holds(&w->lines, "interrupt"));
	agent_says(a, "{\"type\":\"interrupt\",\"session_key\":\"k\"}");
	assert_true(holds(&w->lines, "\"session_key\":\"k\",\"reason\":null"));
}

/* --- stopping --- */

static void
test_agents_are_told_of_a_stop(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	core_stop(w->c, 4500);
	world_turn(w);
	assert_true(holds(&a->in, "{\"type\":\"link\",\"state\":\"stopping\""));
	/* Live until the ack: taken, and acknowledged on this connection. */
	world_event(w, "b1", "c1", "live still");
	agent_acks(a, "live still");
	assert_true(holds(&w->lines, ACK("b1")));
	buf_reset(&a->in);
	agent_says(a, SEND, "r1");
	assert_true(holds(&a->in, "\"success\":false"));
	assert_false(holds(&a->in, "ambiguous"));
	world_time(w, 4500);
	assert_true(core_stopped(w->c));
	core_gateway_remove(w->gw);
	assert_true(a->closed);
	assert_string_equal(a->why, "relayd is stopping");
	assert_true(holds(&a->in, "\"error\":\"relayd is stopping\""));
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_what_is_salvaged),
	    WORLD_TEST(test_unknown_frames_are_acknowledged_where_they_can_be),
	    WORLD_TEST(test_numeric_ids_are_acknowledged_as_strings),
	    cmocka_unit_test(test_a_line_has_a_mebibyte_at_most),
	    WORLD_TEST(test_oversized_lines_are_salvaged_at_both_ends),
	    WORLD_TEST(test_binary_messages_are_text),
	    WORLD_TEST(test_each_identity_has_its_hello),
	    WORLD_TEST(test_descriptors_go_by_platform),
	    WORLD_TEST(test_descriptors_are_renewed_at_each_handshake),
	    WORLD_TEST(test_a_descriptor_with_many_parts),
	    WORLD_TEST(test_interrupts_find_who_had_the_session),
	    WORLD_TEST(test_an_interrupt_that_cannot_leave_is_told),
	    WORLD_TEST(test_agents_are_told_of_a_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
