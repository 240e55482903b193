/* SPDX-License-Identifier: ISC */
/* What the connector sends, against a small world: lines, events given to
 * agents, their order, replay, acknowledgement, pressure. */
#include "pressure.h"
#include "world.h"

/* Of the bufferIds b1, b2, b3. */
#define ACKS_IN_ORDER                                               \
	"\"b1\"}\n{\"type\":\"inbound_ack\",\"bufferId\":\"b2\"}\n" \
	"{\"type\":\"inbound_ack\",\"bufferId\":\"b3\"}\n"

/* --- lines and messages --- */

static void
test_lines_across_messages_and_several_in_one(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	static const char two[] =
	    "{\"type\":\"inbound\",\"event\":{\"text\":\"one\",\"source\":{"
	    "\"platform\":\"discord\",\"chat_id\":\"c\"}}}\n\n"
	    "{\"type\":\"inbound\",\"event\":{\"text\":\"two\",\"source\":{"
	    "\"platform\":\"discord\",\"chat_id\":\"c\"}}}\n"
	    "{\"type\":\"inb";
	static const char rest[] =
	    "ound\",\"event\":{\"text\":\"three\",\"source\":{"
	    "\"platform\":\"discord\",\"chat_id\":\"c\"}}}\n";

	world_up(w);
	world_message(w, two);
	assert_true(holds(&a->in, "\"one\""));
	assert_true(holds(&a->in, "\"two\""));
	assert_false(holds(&a->in, "three"));
	world_message(w, rest);
	assert_true(holds(&a->in, "three"));
	assert_int_equal(w->gw->count.lines_bad, 0);
}

static void
test_event_with_more_members_than_a_doc_holds(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char text[16384];
	int n, i;

	world_up(w);
	n = snprintf(text, sizeof(text),
	    "{\"type\":\"inbound\",\"event\":{"
	    "\"context\":[");
	for (i = 0; i < 400; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%d,", i);
	(void)snprintf(text + n, sizeof(text) - (size_t)n,
	    "0],\"text\":\"long\","
	    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c9\"}},"
	    "\"bufferId\":\"b9\"}\n");
	world_message(w, text);
	assert_int_equal(w->gw->count.lines_bad, 0);
	assert_true(
	    holds(&a->in, "\"session_key\":\"agent:main:discord:dm:c9\""));
	agent_acks(a, "\"long\"");
	assert_true(holds(&w->lines, "\"b9\""));
}

/* --- delivery --- */

static void
test_delivery_splices_and_acknowledges(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char want[512];

	world_up(w);
	world_event(w, "buf-1", "c1", "hi \\\"you\\\"");
	(void)snprintf(want, sizeof(want),
	    "{\"type\":\"inbound\",\"bufferId\":\"%s\",\"event\":{\"text\":"
	    "\"hi \\\"you\\\"\",\"message_type\":\"text\",\"source\":{"
	    "\"platform\":\"discord\",\"chat_id\":\"c1\",\"chat_type\":"
	    "\"group\","
	    "\"user_id\":\"u1\",\"scope_id\":\"g1\",\"thread_id\":null}},"
	    "\"session_key\":\"agent:main:discord:group:c1:u1\"}\n",
	    id_of(a, "hi "));
	assert_true(holds(&a->in, want));
	assert_false(holds(&w->lines, "inbound_ack"));
	agent_acks(a, "hi ");
	assert_true(holds(
	    &w->lines, "{\"type\":\"inbound_ack\",\"bufferId\":\"buf-1\"}\n"));
	agent_acks(a, "hi "); /* twice: an error, in words */
	assert_true(holds(&a->in, "\"type\":\"error\""));
	assert_int_equal(count(&w->lines, "buf-1"), 1);
	assert_int_equal(w->gw->delivery.bytes, 0);
}

/* The event line that the agent got, scanned. */
static const struct json_doc *
agent_event(struct world_agent *a)
{
	static struct json_doc doc;
	struct span in = buf_span(&a->in);
	const char *line = memmem(in.p, in.len, "{\"type\":\"inbound\"", 17);
	const char *end;

	assert_non_null(line);
	end = memchr(line, '\n', (size_t)(in.p + in.len - line));
	assert_non_null(end);
	assert_int_equal(json_parse(&doc, line, (size_t)(end - line), 1), 0);
	assert_false(json_twice(&doc, JSON_ROOT));
	return &doc;
}

static void
test_keys_of_ours_replace_those_that_came(void **state)
{
	static const char *const lines[] = {
	    "{\"type\":\"inbound\",\"session_key\":\"theirs\",\"event\":{"
	    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c\"}},"
	    "\"bufferId\":\"b1\",\"more\":[1]}\n",
	    "{\"type\":\"inbound\",\"event\":{\"source\":{\"platform\":"
	    "\"discord\",\"chat_id\":\"c\"}},\"redelivered\":\"theirs\","
	    "\"more\":[1]}\n",
	    "{\"type\":\"inbound\",\"event\":{\"source\":{\"platform\":"
	    "\"discord\",\"chat_id\":\"c\"}},\"more\":[1],"
	    "\"session\\u005fkey\":\"theirs\",\"r\\u0065delivered\":1,"
	    "\"bufferI\\u0064\":\"theirs\"}\n"};
	static const char key[] = "\"agent:main:discord:dm:c\"";
	struct world *w = *state;
	struct world_agent *a;
	const struct json_doc *doc;
	size_t i;

	world_up(w);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		a = world_agent(w, HELLO);
		world_message(w, lines[i]);
		doc = agent_event(a);
		assert_false(holds(&a->in, "theirs"));
		assert_int_equal(json_get(doc, JSON_ROOT, "redelivered"), -1);
		assert_true(span_eq(
		    json_raw(doc, json_get(doc, JSON_ROOT, "session_key")),
		    SPAN_LIT(key)));
		assert_true(
		    span_eq(json_raw(doc, json_get(doc, JSON_ROOT, "more")),
			SPAN_LIT("[1]")));
		core_agent_gone(a->a, "closed");
		a->a = NULL;
		a = world_agent(w, HELLO);
		doc = agent_event(a);
		assert_true(span_eq(
		    json_raw(doc, json_get(doc, JSON_ROOT, "redelivered")),
		    SPAN_LIT("true")));
		agent_acks(a, "inbound");
		core_agent_gone(a->a, "closed");
		a->a = NULL;
	}
	assert_int_equal(w->gw->count.lines_bad, 0);
}

static void
test_acks_leave_in_order_of_arrival(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_event(w, "b2", "c2", "m2");
	world_event(w, "b3", "c3", "m3");
	agent_acks(a, "m3");
	agent_acks(a, "m2");
	assert_false(holds(&w->lines, "inbound_ack"));
	agent_acks(a, "m1");
	assert_true(holds(&w->lines, ACKS_IN_ORDER));
}

static void
test_replay_is_recognised(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_event(w, "b1", "c1", "m1"); /* stays in flight */
	world_event(w, "b2", "c1", "m2"); /* acknowledged behind it */
	agent_acks(a, "m2");
	link_event(w->gw, LE_LOST, "reset");
	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_event(w, "b2", "c1", "m2");
	world_event(w, "b3", "c1", "m3");
	assert_int_equal(count(&a->in, "\"m1\""), 1);
	assert_int_equal(count(&a->in, "\"m2\""), 1);
	assert_int_equal(w->gw->count.replays, 2);
	agent_acks(a, "\"m1\"");
	agent_acks(a, "\"m3\"");
	assert_true(holds(&w->lines, ACKS_IN_ORDER));
	assert_int_equal(count(&w->lines, "inbound_ack"), 3);
}

static void
test_replay_is_recognised_by_the_next_engine(void **state)
{
	struct world *w = *state, *v = world_new();
	struct world_agent *a = world_agent(w, HELLO), *b;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_event(w, "b2", "c1", "m2");
	agent_acks(a, "m2"); /* never reached the connector */
	/* another engine, the same memory */
	core_gateway_remove(v->gw);
	v->gw = core_gateway_add(v->c, 3, &v->conf, &w->journal, v);
	b = world_agent(v, HELLO);
	world_up(v);
	world_event(v, "b1", "c1", "m1");
	world_event(v, "b2", "c1", "m2");
	assert_true(holds(&b->in, "\"m1\""));
	assert_false(holds(&b->in, "\"m2\""));
	agent_acks(b, "\"m1\"");
	assert_int_equal(count(&v->lines, "inbound_ack"), 2);
	world_free(v);
}

static void
test_agent_dies_and_another_goes_on_in_order(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(
			       w, "{\"type\":\"hello\",\"window\":2}"),
			   *b;
	char id[64];

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_event(w, "b2", "c1", "m2");
	world_event(w, "b3", "c1", "m3");
	assert_false(holds(&a->in, "\"m3\"")); /* the window is full */
	(void)strlcpy(id, id_of(a, "\"m1\""), sizeof(id));
	core_agent_gone(a->a, "killed");
	a->a = NULL;
	b = world_agent(w, HELLO);
	assert_string_equal(id_of(b, "\"m1\""), id); /* stable */
	assert_false(holds(&b->in, "\"m2\"")); /* suspects come one by one */
	agent_acks(b, "\"m1\"");
	assert_true(holds(&b->in, "\"m2\""));
	assert_false(holds(&b->in, "\"m3\""));
	agent_acks(b, "\"m2\"");
	assert_int_equal(count(&b->in, "\"redelivered\":true"), 2);
	agent_acks(b, "\"m3\"");
	assert_int_equal(count(&b->in, "\"redelivered\":true"), 2);
	assert_int_equal(count(&w->lines, "inbound_ack"), 3);
}

static void
test_sessions_stick_and_load_is_shared(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO),
			   *b = world_agent(w, HELLO);
	char chat[16];
	int i;

	world_up(w);
	for (i = 0; i < 40; i++) {
		(void)snprintf(chat, sizeof(chat), "c%d", i % 4);
		world_event(w, NULL, chat, "x");
	}
	for (i = 0; i < 4; i++) {
		(void)snprintf(chat, sizeof(chat), "\"c%d\"", i);
		assert_true(
		    count(&a->in, chat) == 0 || count(&a->in, chat) == 10);
		assert_int_equal(count(&a->in, chat) + count(&b->in, chat), 10);
	}
	assert_int_equal(count(&a->in, "\"inbound\""), 20);
}

static void
test_no_agent_keeps_events_until_one_comes(void **state)
{
	struct world *w = *state;
	struct world_agent *a;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	assert_int_equal(w->gw->delivery.n, 1);
	a = world_agent(w, "{\"type\":\"hello\",\"platforms\":[\"telegram\"]}");
	assert_false(holds(&a->in, "\"m1\""));
	agent_says(a, "{\"type\":\"hello\",\"platform\":\"discord\"}");
	assert_true(holds(&a->in, "\"m1\""));
}

static void
test_ack_timeout_hands_events_on(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(
			       w, "{\"type\":\"hello\",\"ack_timeout\":5}"),
			   *b;

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_time(w, 4900);
	assert_false(a->closed);
	b = world_agent(w, HELLO);
	world_time(w, 200);
	assert_true(a->closed);
	assert_true(holds(&a->in, "no inbound_ack within 5 s"));
	assert_true(holds(&b->in, "\"m1\""));
	assert_true(holds(&b->in, "\"redelivered\":true"));
}

/* No time of theirs has passed: what one works on is not given to another. */
static void
test_agents_sleep_with_the_host(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(
			       w, "{\"type\":\"hello\",\"ack_timeout\":5}"),
			   *b = world_agent(w, NULL);

	world_up(w);
	world_event(w, "b1", "c1", "m1");
	world_time(w, 4900);
	w->now += 3600000;
	core_now(w->c, w->now);
	core_slept(w->c);
	world_time(w, 4900);
	assert_false(a->closed);
	assert_false(b->closed);
	world_time(w, 200);
	assert_true(holds(&a->in, "no inbound_ack within 5 s"));
	world_time(w, 30000);
	assert_true(b->closed);
}

/* Events of half a megabyte until the link is not read any more. */
static void
flood(struct world *w)
{
	char *big = malloc(600000);
	int i, n;

	assert_non_null(big);
	for (i = 0; i < 40 && w->reading; i++) {
		n = snprintf(big, 600000,
		    "{\"type\":\"inbound\",\"event\":{"
		    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c\"},"
		    "\"text\":\"");
		memset(big + n, 'y', 500000);
		(void)strcpy(big + n + 500000, "\"}}\n");
		world_message(w, big);
	}
	free(big);
	assert_false(w->reading);
}

/* The agent acknowledges the line that holds a text, and forgets it. */
static void
take_one(struct world_agent *a, const char *text)
{
	struct span s;

	agent_acks(a, text);
	s = buf_span(&a->in);
	buf_drain(
	    &a->in, (size_t)((const char *)memchr(s.p, '\n', s.len) - s.p) + 1);
	while (!holds(&a->in, text) && buf_len(&a->in) > 0)
		buf_drain(&a->in, 1);
}

static void
test_pressure_stops_reading_the_link(void **state)
{
	struct world *w = *state;
	struct world_agent *a;
	size_t room;

	world_up(w);
	flood(w);
	/* At three quarters of what it can hold. */
	room = pressure_capacity(w->gw);
	assert_in_range(
	    w->gw->delivery.bytes, room / 4 * 3 - 10000, room / 4 * 3 + 600000);
	a = world_agent(w, "{\"type\":\"hello\",\"window\":1}");
	while (!w->reading)
		take_one(a, "yyy");
	assert_in_range(w->gw->delivery.bytes, 1, room / 2);
}

/* A connection that replaces one that was not read is not read either. */
static void
test_pressure_outlasts_the_connection(void **state)
{
	struct world *w = *state;

	world_up(w);
	flood(w);
	link_event(w->gw, LE_LOST, "cut");
	w->reading = 1; /* as a new connection begins */
	world_up(w);
	assert_true(w->reading);
	/* It is read: when it falls silent, that is noticed. */
	assert_false(w->gw->delivery.paused);
	world_event(w, "b1", "c1", "one more");
	assert_false(w->reading);
}

/* Lines of half a megabyte with a bufferId, whether or not the link should be
 * read: as from buffers that were full already. */
static void
spill(struct world *w, int from, int to)
{
	char *big = malloc(600000);
	int i, n;

	assert_non_null(big);
	for (i = from; i < to; i++) {
		n = snprintf(big, 600000,
		    "{\"type\":\"inbound\",\"bufferId\":\"s%d\",\"event\":{"
		    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c\"},"
		    "\"text\":\"",
		    i);
		memset(big + n, 'z', 500000);
		(void)strcpy(big + n + 500000, "\"}}\n");
		world_message(w, big);
	}
	free(big);
}

/* Nothing is taken above the ceiling, by however many connections; what was
 * left, and all that came after it, is asked for again when there is room. */
static void
test_above_the_ceiling_events_are_left(void **state)
{
	struct world *w = *state;
	struct world_agent *a;
	uint64_t had;
	int i, dials;

	for (i = 0; i < 5; i++) {
		world_up(w);
		w->reading = 1;
		spill(w, i * 20, i * 20 + 20);
		assert_in_range(
		    w->gw->delivery.bytes, 1, pressure_capacity(w->gw));
		if (i < 4)
			link_event(w->gw, LE_LOST, "cut");
	}
	assert_false(w->reading);
	had = w->gw->delivery.n;
	assert_int_equal(w->gw->link.state, LINK_IDLING); /* much waits */
	buf_reset(&w->lines);
	assert_int_equal(w->gw->count.events_left + had, 100);
	world_event(w, "small", "c1", "would fit");
	assert_int_equal(w->gw->delivery.n, had); /* but comes after */
	world_message(w, "{not json \"bufferId\":\"bad\"}\n");
	dials = w->dials;
	a = world_agent(w, "{\"type\":\"hello\",\"window\":1}");
	while (link_serves(w->gw))
		take_one(a, "zzz");
	assert_true(w->gw->delivery.bytes <= pressure_capacity(w->gw) / 4);
	while (w->gw->delivery.n > 0)
		take_one(a, "zzz");
	assert_false(holds(&w->lines, "small"));
	assert_false(holds(&w->lines, "bad"));
	world_message(w, "{\"type\":\"going_idle_ack\"}\n");
	world_close(w, 1000, "");
	assert_int_equal(w->dials, dials + 1);
	world_up(w);
	had = w->gw->delivery.n;
	world_event(w, "small", "c1", "would fit");
	assert_int_equal(w->gw->delivery.n, had + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_lines_across_messages_and_several_in_one),
	    WORLD_TEST(test_event_with_more_members_than_a_doc_holds),
	    WORLD_TEST(test_delivery_splices_and_acknowledges),
	    WORLD_TEST(test_keys_of_ours_replace_those_that_came),
	    WORLD_TEST(test_acks_leave_in_order_of_arrival),
	    WORLD_TEST(test_replay_is_recognised),
	    WORLD_TEST(test_replay_is_recognised_by_the_next_engine),
	    WORLD_TEST(test_agent_dies_and_another_goes_on_in_order),
	    WORLD_TEST(test_sessions_stick_and_load_is_shared),
	    WORLD_TEST(test_no_agent_keeps_events_until_one_comes),
	    WORLD_TEST(test_ack_timeout_hands_events_on),
	    WORLD_TEST(test_agents_sleep_with_the_host),
	    WORLD_TEST(test_pressure_stops_reading_the_link),
	    WORLD_TEST(test_pressure_outlasts_the_connection),
	    WORLD_TEST(test_above_the_ceiling_events_are_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
