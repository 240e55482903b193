/* SPDX-License-Identifier: ISC */
/* The link against a small world: its states, deadlines, backoff, how it
 * stops, how ends are told. */
#include "world.h"

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
	uint64_t most = 0, least = 30000, ms;
	int i;

	core_credential(w->gw, 1, 1, "x");
	for (i = 0; i < 200; i++) {
		link_event(w->gw, LE_DIAL_FAILED, "refused");
		ms = w->gw->link.next_dial - w->now;
		assert_in_range(ms, 1, 30000);
		if (i < 5) /* it doubles */
			assert_in_range(ms, 1, 1000U << i);
		else if (ms < least)
			least = ms;
		if (ms > most)
			most = ms;
		world_time(w, ms);
		assert_int_equal(w->gw->link.state, LINK_DIAL);
	}
	assert_in_range(most, 20000, 30000);
	assert_in_range(least, 1, 3000); /* full jitter */
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

/* However a healthy link ends, its dials are forgotten. */
static void
test_health_is_remembered_at_any_end(void **state)
{
	struct world *w = *state;
	int i, end;

	for (end = 0; end < 2; end++) {
		core_credential(w->gw, 1, 1, "x");
		for (i = 0; i < 5; i++) {
			link_event(w->gw, LE_DIAL_FAILED, "refused");
			world_time(w, 31000);
		}
		w->gw->link.attempt = 50;
		world_up(w);
		for (i = 0; i < 7; i++) {
			world_time(w, 10000);
			world_message(w, "\n");
		}
		if (end == 0)
			world_close(w, 4401, "unauthorized");
		else {
			core_gateway_change(w->gw, &w->conf);
			world_message(w, "{\"type\":\"going_idle_ack\"}\n");
			world_close(w, 1000, "");
		}
		assert_int_equal(w->gw->link.state, LINK_DIAL);
		assert_int_equal(w->gw->link.attempt, 1);
		world_up(w);
		link_event(w->gw, LE_LOST, "reset");
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
	assert_int_equal(w->pings, 1); /* no other before the pong */
	world_time(w, 1000);
	assert_int_equal(w->pings, 2);
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

/* No hello for who is not provisioned; when he is, the link is made anew. */
static void
test_skipped_identities(void **state)
{
	struct world *w = *state;
	int dials;

	core_skip(w->gw, 1);
	core_credential(w->gw, 1, 1, "secret taken");
	world_upgrade(w);
	assert_true(holds(&w->lines,
	    "{\"type\":\"hello\",\"platform\":\"telegram\","
	    "\"botId\":\"99\"}\n"));
	assert_false(holds(&w->lines, "discord"));
	/* Told of before the first descriptor, and after it. */
	core_skip(w->gw, 1);
	assert_int_equal(w->gw->link.state, LINK_HELLO);
	world_descriptor(w, "telegram");
	assert_string_equal(w->state, "connected");
	core_skip(w->gw, 1);
	core_skip(w->gw, 3);
	assert_string_equal(w->state, "connecting");
	assert_int_equal(w->gw->link.state, LINK_DRAIN);
	world_message(w, "{\"type\":\"going_idle_ack\"}\n");
	dials = w->dials;
	world_close(w, 1000, "");
	assert_int_equal(w->dials, dials + 1);
	world_up(w);
	/* One that is no longer known has had its hello. */
	core_skip(w->gw, 2);
	assert_string_equal(w->state, "connected");
	core_skip(w->gw, 0);
	assert_string_equal(w->state, "connected");
}

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_first_connection),
	    WORLD_TEST(test_every_waiting_state_has_a_deadline),
	    WORLD_TEST(test_no_credential_waits_for_one),
	    WORLD_TEST(test_the_reason_is_the_credentials),
	    WORLD_TEST(test_backoff_grows_and_is_forgiven),
	    WORLD_TEST(test_health_is_remembered_at_any_end),
	    WORLD_TEST(test_keepalive),
	    WORLD_TEST(test_authd_gone_voids_a_dial_without_token),
	    WORLD_TEST(test_orderly_stop),
	    WORLD_TEST(test_stop_without_an_ack_still_ends),
	    WORLD_TEST(test_changed_settings_dial_again),
	    WORLD_TEST(test_skipped_identities),
	    WORLD_TEST(test_lost_connections_are_told_as_the_last_close),
	    WORLD_TEST(test_refused_upgrade_is_not_our_close),
	    WORLD_TEST(test_output_that_fails_ends_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
