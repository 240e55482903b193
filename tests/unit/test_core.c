/* SPDX-License-Identifier: ISC */
/* The engine's core against a small world: the link's states, delivery,
 * acknowledgement, requests. */
#include "world.h"

#define HELLO "{\"type\":\"hello\",\"agent\":\"t\"}"

static int
setup(void **state)
{
	*state = world_new();
	return 0;
}

static int
teardown(void **state)
{
	world_free(*state);
	return 0;
}

/* --- the link --- */

static void
test_first_connection(void **state)
{
	struct world *w = *state;

	assert_string_equal(link_public(w->gw), "unprovisioned");
	core_credential(w->gw, 1, 1, "secret taken");
	assert_string_equal(w->state, "connecting");
	assert_int_equal(w->dials, 1);
	link_event(w->gw, LE_DIALED, "x");
	assert_int_equal(w->tls, 1);
	assert_int_equal(w->mints, 0); /* not before TLS is up */
	link_event(w->gw, LE_TLS_UP, "x");
	assert_int_equal(w->mints, 1);
	link_event(w->gw, LE_TOKEN, "x");
	assert_int_equal(w->upgrades, 1);
	ws_decoder_init(&w->dec, WS_SERVER, 1 << 24, 1);
	link_event(w->gw, LE_UPGRADED, "x");
	world_turn(w);
	assert_true(holds(&w->lines,
	    "{\"type\":\"hello\",\"platform\":\"discord\",\"botId\":\"1234\"}\n"
	    "{\"type\":\"hello\",\"platform\":\"telegram\",\"botId\":\"99\"}"
	    "\n"));
	assert_string_equal(w->state, "connecting");
	world_descriptor(w, "discord");
	assert_string_equal(w->state, "connected");
}

static void
test_every_waiting_state_has_a_deadline(void **state)
{
	static const enum link_event path[] = {
	    LE_DIALED, LE_TLS_UP, LE_TOKEN, LE_UPGRADED};
	struct world *w = *state;
	size_t i, j;

	core_credential(w->gw, 1, 1, "x");
	for (i = 0; i <= sizeof(path) / sizeof(path[0]); i++) {
		for (j = 0; j < i; j++)
			link_event(w->gw, path[j], "x");
		assert_true(timer_armed(&w->gw->link.timer));
		world_time(w, 61000); /* it passes */
		assert_string_equal(w->state, "retrying");
		while (w->gw->link.state != LINK_DIAL)
			world_time(w, 10);
	}
}

static void
test_no_credential_waits_for_one(void **state)
{
	struct world *w = *state;

	core_credential(w->gw, 0, 0, "/x: holds only white space");
	assert_string_equal(w->gw->link.reason, "/x: holds only white space");
	world_time(w, 100000);
	assert_int_equal(w->dials, 0);
	core_credential(w->gw, 1, 1, "x");
	assert_int_equal(w->dials, 1);
}

/* How the last link ended is not why there is none. */
static void
test_the_reason_is_the_credentials(void **state)
{
	struct world *w = *state;

	world_up(w);
	core_credential(w->gw, 0, 0, "/x: No such file or directory");
	assert_string_equal(w->state, "connected");
	link_event(w->gw, LE_LOST, "connection reset");
	assert_string_equal(w->state, "unprovisioned");
	assert_string_equal(
	    w->gw->link.reason, "/x: No such file or directory");
	assert_string_equal(w->gw->link.last_close.reason, "connection reset");
	core_credential(w->gw, 0, 0, "/x: holds only white space");
	assert_string_equal(w->gw->link.reason, "/x: holds only white space");
}

static void
test_backoff_grows_and_is_forgiven(void **state)
{
	struct world *w = *state;
	uint64_t most = 0, ms;
	int i;

	core_credential(w->gw, 1, 1, "x");
	for (i = 0; i < 200; i++) {
		link_event(w->gw, LE_DIAL_FAILED, "refused");
		ms = w->gw->link.next_dial - w->now;
		assert_in_range(ms, 1, 30000);
		if (i == 0)
			assert_in_range(ms, 1, 1000);
		if (ms > most)
			most = ms;
		world_time(w, ms);
		assert_int_equal(w->gw->link.state, LINK_DIAL);
	}
	assert_in_range(most, 20000, 30000);
	world_up(w);
	world_time(w, 10000); /* ten seconds are no health */
	link_event(w->gw, LE_LOST, "reset");
	assert_true(w->gw->link.attempt > 100);
	world_up(w);
	for (i = 0; i < 7; i++) {
		world_time(w, 10000);
		world_message(w, "\n");
	}
	link_event(w->gw, LE_LOST, "reset");
	assert_int_equal(w->gw->link.attempt, 0);
	assert_in_range(w->gw->link.next_dial - w->now, 1, 1000);
}

static void
test_4401_before_success_retries(void **state)
{
	struct world *w = *state;
	int i;

	core_credential(w->gw, 1, 1, "x");
	for (i = 0; i < 5; i++) {
		world_upgrade(w);
		world_close(w, 4401, "unknown gateway");
		assert_string_equal(w->state, "retrying");
		assert_int_equal(w->gw->link.last_close.code, 4401);
		world_time(w, 31000);
		while (w->gw->link.state != LINK_DIAL)
			world_time(w, 100);
	}
}

static void
test_4401_twice_after_success_disables(void **state)
{
	struct world *w = *state;
	int dials;

	world_up(w);
	world_close(w, 4401, "revoked");
	assert_int_equal(w->gw->link.state, LINK_DIAL); /* at once */
	link_event(w->gw, LE_DIAL_FAILED, "network");	/* decides nothing */
	assert_string_equal(w->state, "retrying");
	world_time(w, 60000);
	world_upgrade(w);
	world_close(w, 4401, "revoked");
	assert_string_equal(w->state, "disabled");
	dials = w->dials;
	world_time(w, 3600000);
	core_credential(w->gw, 1, 0, "same");
	assert_int_equal(w->dials, dials);
	core_credential(w->gw, 1, 1, "another");
	assert_int_equal(w->dials, dials + 1);
}

static void
test_expired_and_skewed_clocks_never_disable(void **state)
{
	struct world *w = *state;
	int i;

	for (i = 0; i < 4; i++) {
		world_up(w);
		world_close(w, 4401, "expired");
		assert_string_equal(w->state, "retrying");
	}
	w->gw->link.clock_skew_s = -61;
	for (i = 0; i < 4; i++) {
		world_up(w);
		world_close(w, 4401, "revoked");
		assert_string_equal(w->state, "retrying");
	}
}

static void
test_keepalive(void **state)
{
	struct world *w = *state;
	char pong[16];
	size_t n;

	world_up(w);
	world_time(w, 30000);
	assert_int_equal(w->pings, 1);
	world_time(w, 59000); /* slow, not dead */
	assert_string_equal(w->state, "connected");
	n = ws_head(pong, WS_PONG, 1, 6, NULL);
	memcpy(pong + n, "relayd", 6);
	(void)wire_input(w->gw, pong, n + 6, 1 << 20);
	assert_int_equal(w->gw->link.rtt_ms, 59000);
	world_time(w, 62000); /* dead */
	assert_string_equal(w->state, "retrying");
	assert_non_null(strstr(w->gw->link.reason, "no pong"));
}

static void
test_authd_gone_voids_a_dial_without_token(void **state)
{
	struct world *w = *state;

	core_credential(w->gw, 1, 1, "x");
	link_event(w->gw, LE_DIALED, "x");
	link_event(w->gw, LE_TLS_UP, "x");
	link_event(w->gw, LE_AUTHD_GONE, "relay-authd was restarted");
	assert_int_equal(w->gw->link.state, LINK_WAIT);
	world_up(w);
	link_event(w->gw, LE_AUTHD_GONE, "relay-authd was restarted");
	assert_int_equal(w->gw->link.state, LINK_UP);
}

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
test_bad_lines_are_skipped_and_salvaged(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *big = malloc(LIMIT_LINE + 200);

	world_up(w);
	world_event(w, "b1", "c1", "first");
	world_message(
	    w, "{\"type\":\"inbound\",\"event\":{]},\"bufferId\":\"b2\"}\n");
	world_message(w, "{\"type\":\"inbound\",\"type\":\"x\"}\n");
	memset(big, 'x', LIMIT_LINE + 100);
	memcpy(big, "{\"type\":\"inbound\",\"event\":\"", 27);
	strcpy(big + LIMIT_LINE + 100, "\",\"bufferId\":\"b3\"}\n");
	world_message(w, big);
	free(big);
	assert_int_equal(w->gw->count.lines_bad, 3);
	assert_int_equal(w->remarks, 3);
	/* in order of arrival: b2 and b3 wait for b1 */
	assert_false(holds(&w->lines, "b2"));
	agent_acks(a, "first");
	assert_true(holds(&w->lines,
	    "\"b1\"}\n{\"type\":\"inbound_ack\","
	    "\"bufferId\":\"b2\"}\n{\"type\":\"inbound_ack\",\"bufferId\":"
	    "\"b3\"}\n"));
	world_event(w, NULL, "c1", "still works");
	assert_true(holds(&a->in, "still works"));
}

static void
test_salvaged_is_only_what_can_be_an_id(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_message(w, "{\"bufferId\":\"b\xff\"\n");
	world_message(w, "{\"bufferId\":\"b\x01\"\n");
	world_message(w, "{\"bufferId\":\"\"\n");
	assert_int_equal(w->gw->count.lines_bad, 3);
	assert_false(holds(&w->lines, "inbound_ack"));
}

static void
test_salvage_leaves_what_an_agent_has(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_event(w, "b1", "c1", "first");
	world_message(w, "{\"type\":\"inbound\",\"bufferId\":\"b1\"\n");
	assert_int_equal(w->gw->count.lines_bad, 1);
	assert_false(holds(&w->lines, "inbound_ack"));
	agent_acks(a, "first");
	assert_int_equal(count(&w->lines, "inbound_ack"), 1);
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
	assert_true(holds(&w->lines,
	    "\"b1\"}\n{\"type\":\"inbound_ack\","
	    "\"bufferId\":\"b2\"}\n{\"type\":\"inbound_ack\",\"bufferId\":"
	    "\"b3\"}\n"));
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
	assert_true(holds(&w->lines,
	    "\"b1\"}\n{\"type\":\"inbound_ack\","
	    "\"bufferId\":\"b2\"}\n{\"type\":\"inbound_ack\",\"bufferId\":"
	    "\"b3\"}\n"));
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
	v->gw = core_gateway_add(v->c, 3, &v->conf, w->seen, v);
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
	struct span got;
	const char *p;
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
	got = buf_span(&b->in);
	p = memmem(got.p, got.len, "\"m1\"", 4);
	assert_non_null(p);
	assert_string_equal(id_of(b, "\"m1\""), id); /* stable */
	assert_true((size_t)(p - got.p) < got.len);
	p = memmem(p, got.len - (size_t)(p - got.p), "\"m2\"", 4);
	assert_non_null(p);
	assert_non_null(memmem(p, got.len - (size_t)(p - got.p), "\"m3\"", 4));
	assert_int_equal(count(&b->in, "\"redelivered\":true"), 2);
	agent_acks(b, "\"m1\"");
	agent_acks(b, "\"m2\"");
	agent_acks(b, "\"m3\"");
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

static void
test_pressure_stops_reading_the_link(void **state)
{
	struct world *w = *state;
	struct world_agent *a;
	char *big = malloc(600000);
	int i;

	world_up(w);
	for (i = 0; i < 40 && w->reading; i++) {
		int n = snprintf(big, 600000,
		    "{\"type\":\"inbound\",\"event\":{"
		    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c\"},"
		    "\"text\":\"");
		memset(big + n, 'y', 500000);
		(void)strcpy(big + n + 500000, "\"}}\n");
		world_message(w, big);
	}
	free(big);
	assert_false(w->reading);
	assert_in_range(w->gw->delivery.bytes, LIMIT_PENDING_HIGH,
	    LIMIT_PENDING_HIGH + 600000);
	a = world_agent(w, "{\"type\":\"hello\",\"window\":1}");
	while (!w->reading) {
		agent_acks(a, "yyy");
		i--;
		buf_drain(&a->in,
		    (size_t)((char *)memchr(
				 buf_span(&a->in).p, '\n', buf_len(&a->in)) -
			buf_span(&a->in).p) +
			1);
		while (!holds(&a->in, "yyy") && buf_len(&a->in) > 0)
			buf_drain(&a->in, 1);
	}
	assert_true(w->gw->delivery.bytes <= LIMIT_PENDING_LOW);
}

/* A connection that replaces one that was not read is not read either. */
static void
test_pressure_outlasts_the_connection(void **state)
{
	struct world *w = *state;
	char *big = malloc(600000);
	int i;

	world_up(w);
	for (i = 0; i < 40 && w->reading; i++) {
		int n = snprintf(big, 600000,
		    "{\"type\":\"inbound\",\"event\":{"
		    "\"source\":{\"platform\":\"discord\",\"chat_id\":\"c\"},"
		    "\"text\":\"");
		memset(big + n, 'y', 500000);
		(void)strcpy(big + n + 500000, "\"}}\n");
		world_message(w, big);
	}
	free(big);
	assert_false(w->reading);
	link_event(w->gw, LE_LOST, "cut");
	w->reading = 1; /* as a new connection begins */
	world_up(w);
	assert_true(w->reading);
	world_event(w, "b1", "c1", "one more");
	assert_false(w->reading);
}

/* --- requests --- */

#define SEND                                                       \
	"{\"type\":\"outbound\",\"requestId\":\"%s\",\"action\":{" \
	"\"op\":\"send\",\"chat_id\":\"c1\",\"content\":\"yo\"}}"

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
	agent_says(a, ASK "{\"op\":\"x\"},\"platform\":\"discord\"}");
	agent_says(a,
	    ASK "{\"op\":\"x\"},\"botId\":\"other\",\"future\":1,"
		"\"platform\":\"discord\"}");
	assert_int_equal(
	    count(&w->lines, "\"platform\":\"discord\",\"botId\":\"1234\"}\n"),
	    2);
	assert_true(holds(&w->lines, "\"future\":1"));
	agent_says(a, ASK "{\"op\":\"z\"},\"pl\\u0061tform\":\"discord\"}");
	assert_false(holds(&w->lines, "u0061"));
	agent_says(a, ASK "{\"op\":\"y\"},\"botId\":\"1234\"}");
	assert_true(holds(&w->lines, "\"action\":{\"op\":\"y\"}}\n"));
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
		    "{\"op\":\"send\",\"content\":\"",
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
	assert_non_null(core_send(w->gw, SPAN_LIT("[]"), 77));
}

/* --- agents --- */

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

/* --- stopping --- */

static void
test_orderly_stop(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	agent_says(a, SEND, "r1");
	core_stop(w->c, 4500);
	world_turn(w);
	assert_true(holds(&w->lines, "{\"type\":\"going_idle\"}"));
	assert_string_equal(w->state, "stopping");
	world_message(w, "{\"type\":\"going_idle_ack\"}\n");
	assert_int_equal(w->closes, 0); /* a result is outstanding */
	assert_false(core_stopped(w->c));
	world_time(w, 4000);
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->close_code, 1000);
	world_time(w, 500);
	assert_true(core_stopped(w->c));
}

static void
test_stop_without_an_ack_still_ends(void **state)
{
	struct world *w = *state;

	world_up(w);
	core_stop(w->c, 4500);
	world_time(w, 2000);
	assert_int_equal(w->closes, 1);
	world_close(w, 1000, "");
	assert_true(core_stopped(w->c));
}

static void
test_changed_settings_dial_again(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	int dials;

	world_up(w);
	dials = w->dials;
	w->conf.reconnect_min_ms = 2000;
	core_gateway_change(w->gw, &w->conf);
	world_turn(w);
	world_message(w, "{\"type\":\"going_idle_ack\"}\n");
	assert_int_equal(w->closes, 1);
	world_close(w, 1000, "");
	assert_int_equal(w->dials, dials + 1);
	assert_false(a->closed);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_first_connection),
	    T(test_every_waiting_state_has_a_deadline),
	    T(test_no_credential_waits_for_one),
	    T(test_the_reason_is_the_credentials),
	    T(test_backoff_grows_and_is_forgiven),
	    T(test_4401_before_success_retries),
	    T(test_4401_twice_after_success_disables),
	    T(test_expired_and_skewed_clocks_never_disable),
	    T(test_keepalive),
	    T(test_authd_gone_voids_a_dial_without_token),
	    T(test_lines_across_messages_and_several_in_one),
	    T(test_bad_lines_are_skipped_and_salvaged),
	    T(test_salvaged_is_only_what_can_be_an_id),
	    T(test_salvage_leaves_what_an_agent_has),
	    T(test_event_with_more_members_than_a_doc_holds),
	    T(test_delivery_splices_and_acknowledges),
	    T(test_acks_leave_in_order_of_arrival),
	    T(test_replay_is_recognised),
	    T(test_replay_is_recognised_by_the_next_engine),
	    T(test_agent_dies_and_another_goes_on_in_order),
	    T(test_sessions_stick_and_load_is_shared),
	    T(test_no_agent_keeps_events_until_one_comes),
	    T(test_ack_timeout_hands_events_on),
	    T(test_pressure_stops_reading_the_link),
	    T(test_pressure_outlasts_the_connection),
	    T(test_outbound_is_mapped_scoped_and_answered),
	    T(test_outbound_is_refused_when_it_can_be_read_two_ways),
	    T(test_outbound_is_tagged_with_the_identity_of_its_platform),
	    T(test_outbound_waits_for_the_link_and_then_says_why),
	    T(test_outbound_not_written_yet_leaves_after_the_reconnect),
	    T(test_what_finds_the_queue_full_leaves_when_it_empties),
	    T(test_what_finds_it_full_is_not_told_of_a_lost_link),
	    T(test_what_waited_before_the_loss_waits_no_longer),
	    T(test_operator_sends),
	    T(test_agents_are_told_in_words),
	    T(test_agent_gets_descriptors_at_once_and_new_ones),
	    T(test_interrupts),
	    T(test_orderly_stop),
	    T(test_stop_without_an_ack_still_ends),
	    T(test_changed_settings_dial_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
