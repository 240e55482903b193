/* SPDX-License-Identifier: ISC */
/* The contract's frames against a small world: lines and what is salvaged from
 * them, hellos and descriptors, what actions leave as, whom interrupts reach.
 */
#include "world.h"

#define ACK(id) "{\"type\":\"inbound_ack\",\"bufferId\":\"" id "\"}\n"
#define ASK	"{\"type\":\"outbound\",\"requestId\":\"q\",\"action\":"

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
describe(struct world *w, const char *fields)
{
	char text[8192];

	(void)snprintf(text, sizeof(text),
	    "{\"type\":\"descriptor\",\"descriptor\":{%s}}\n", fields);
	world_message(w, text);
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

/* n numbers with commas between them. */
static void
put_numbers(char *to, size_t cap, int n)
{
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++)
		len += (size_t)snprintf(
		    to + len, cap - len, "%s%d", i > 0 ? "," : "", i);
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

/* --- actions --- */

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
	    "\"abcdefghijkl\\/\",\"metadata\": {\"a\" : null,\"user_id\":7,"
	    "\"scope_id\":false}},\"platform\":\"discord\""));
}

static void
test_results_come_as_they_are(void **state)
{
	static const char result[] =
	    "{ \"success\" :true,\"chat_info\":{\"name\":\"\\u0061\","
	    "\"type\":\"dm\"},\"x\":[1.0] }";
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char line[512], id[64];

	world_up(w);
	describe(w,
	    "\"platform\":\"discord\",\"supported_ops\":[\"get_chat_info\"]");
	agent_says(a, ASK "{\"op\":\"get_chat_info\",\"chat_id\":\"c1\"}}");
	(void)snprintf(line, sizeof(line), "%.*s", (int)buf_len(&w->lines),
	    buf_span(&w->lines).p);
	assert_int_equal(
	    sscanf(strstr(line, "requestId"), "requestId\":\"%63[^\"]", id), 1);
	(void)snprintf(line, sizeof(line),
	    "{\"type\":\"outbound_result\",\"requestId\":\"%s\",\"result\":%s}"
	    "\n",
	    id, result);
	world_message(w, line);
	(void)snprintf(line, sizeof(line),
	    "{\"type\":\"outbound_result\",\"requestId\":\"q\",\"result\":%s}"
	    "\n",
	    result);
	assert_true(holds(&a->in, line));
	assert_int_equal(w->gw->count.outbound_ok, 1);
}

static void
test_large_results_come_as_they_are(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char many[2048], text[4096], line[512], id[64];

	world_up(w);
	put_numbers(many, sizeof(many), 400);
	agent_says(a, ASK "{\"op\":\"send\"}}");
	(void)snprintf(line, sizeof(line), "%.*s", (int)buf_len(&w->lines),
	    buf_span(&w->lines).p);
	assert_int_equal(
	    sscanf(strstr(line, "requestId"), "requestId\":\"%63[^\"]", id), 1);
	(void)snprintf(text, sizeof(text),
	    "{\"type\":\"outbound_result\",\"requestId\":\"%s\",\"result\":{"
	    "\"x\":[%s],\"success\":true}}\n",
	    id, many);
	world_message(w, text);
	assert_true(holds(&a->in, ",399],\"success\":true}}\n"));
	assert_int_equal(w->gw->count.outbound_ok, 1);
	assert_int_equal(w->gw->count.outbound_failed, 0);
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
	    WORLD_TEST(test_what_is_not_named_goes_untouched),
	    WORLD_TEST(test_results_come_as_they_are),
	    WORLD_TEST(test_large_results_come_as_they_are),
	    WORLD_TEST(test_large_actions_are_passed_on),
	    WORLD_TEST(test_limits_are_the_chats_platforms),
	    WORLD_TEST(test_the_default_is_the_first_hello),
	    WORLD_TEST(test_operators_are_held_to_the_descriptor),
	    WORLD_TEST(test_a_large_answer_goes_to_who_asked),
	    WORLD_TEST(test_interrupts_find_who_had_the_session),
	    WORLD_TEST(test_an_interrupt_that_cannot_leave_is_told),
	    WORLD_TEST(test_agents_are_told_of_a_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
