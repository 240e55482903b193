/* SPDX-License-Identifier: ISC */
/* The link going idle: without agents, for a suspend, under pressure; each
 * moment of the way down; the host that slept. */
#include "world.h"

#define ACK	   "{\"type\":\"going_idle_ack\"}\n"
#define GOING_IDLE "{\"type\":\"going_idle\"}\n"

static int
sent_idle(struct world *w)
{
	return count(&w->lines, "\"going_idle\"");
}

/* A link that may go idle. */
static void
idle_world(struct world *w)
{
	w->gw->conf.hold = 0;
	world_up(w);
}

/* Time passes on a link that is healthy. */
static void
healthy(struct world *w, uint64_t ms)
{
	while (ms > 0) {
		world_time(w, ms < 10000 ? ms : 10000);
		ms -= ms < 10000 ? ms : 10000;
		if (link_is_up(w->gw))
			world_message(w, "\n");
	}
}

static void
asleep(struct world *w)
{
	idle_world(w);
	healthy(w, 60000);
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_int_equal(w->gw->link.state, LINK_IDLE);
}

static void
test_no_agent_for_a_minute(void **state)
{
	struct world *w = *state;
	int dials;

	idle_world(w);
	healthy(w, 59990);
	assert_int_equal(sent_idle(w), 0);
	healthy(w, 10);
	assert_int_equal(sent_idle(w), 1);
	assert_string_equal(w->state, "connected");
	assert_int_equal(w->closes, 0);
	world_message(w, ACK);
	assert_int_equal(w->closes, 1);
	assert_int_equal(w->close_code, 1000);
	assert_string_equal(w->state, "connected");
	dials = w->dials;
	world_close(w, 1000, "");
	assert_string_equal(w->state, "idle");
	assert_string_equal(w->gw->link.reason, "no agent for 60 s");
	assert_int_equal(w->gw->link.last_close.code, 1000);
	assert_true(w->gw->link.last_close.by_us);
	assert_int_equal(w->gw->count.losses, 0); /* it was our wish */
	world_time(w, 86400000);		  /* it waits for nothing */
	assert_int_equal(w->dials, dials);
	assert_int_equal(core_deadline(w->c), TIMER_NEVER);
}

static void
test_hold_and_another_time(void **state)
{
	struct world *w = *state;

	world_up(w);
	healthy(w, 600000);
	assert_int_equal(sent_idle(w), 0);
	w->conf.hold = 0;
	w->conf.idle_after_ms = 5000;
	core_gateway_adjust(w->gw, &w->conf);
	assert_int_equal(w->dials, 1);
	healthy(w, 4999);
	assert_int_equal(sent_idle(w), 0);
	healthy(w, 1);
	assert_int_equal(sent_idle(w), 1);
}

/* The minute begins when the last one that serves is gone, or the link is up.
 */
static void
test_agents_put_it_off(void **state)
{
	struct world *w = *state;
	struct world_agent *a, *b;

	idle_world(w);
	healthy(w, 50000);
	(void)world_agent(w, NULL); /* without hello: none */
	healthy(w, 5000);
	a = world_agent(w, HELLO);
	b = world_agent(w, HELLO);
	healthy(w, 600000);
	core_agent_gone(a->a, "closed");
	a->a = NULL;
	healthy(w, 600000);
	core_agent_gone(b->a, "closed");
	b->a = NULL;
	healthy(w, 59999);
	assert_int_equal(sent_idle(w), 0);
	healthy(w, 1);
	assert_int_equal(sent_idle(w), 1);
}

static void
test_the_last_agent_goes_idle(void **state)
{
	struct world *w = *state;
	struct world_agent *a, *b;

	idle_world(w);
	a = world_agent(w, HELLO);
	b = world_agent(w, HELLO);
	world_event(w, "e1", "c1", "one");
	agent_says(a, GOING_IDLE);
	healthy(w, 100000);
	assert_int_equal(sent_idle(w), 0);
	agent_says(b, GOING_IDLE);
	assert_int_equal(sent_idle(w), 1);
	world_message(w, ACK);
	/* What it took is acknowledged on this connection. */
	assert_int_equal(w->closes, 0);
	agent_acks(holds(&a->in, "one") ? a : b, "one");
	assert_true(holds(&w->lines, "\"e1\""));
	assert_int_equal(w->closes, 1);
	world_close(w, 1000, "");
	assert_string_equal(w->state, "idle");
	assert_string_equal(w->gw->link.reason,
	    "no agent takes events: the last one said going_idle");
	agent_says(b, HELLO);
	assert_int_equal(w->gw->link.state, LINK_DIAL);
}

/* An event that nobody acknowledges does not keep it up for long. */
static void
test_in_flight_has_an_end(void **state)
{
	struct world *w = *state;
	struct world_agent *a;

	idle_world(w);
	a = world_agent(w, HELLO);
	world_event(w, "e1", "c1", "one");
	agent_says(a, GOING_IDLE);
	world_message(w, ACK);
	world_time(w, 3500);
	assert_string_equal(w->state, "idle");
	assert_int_equal(w->gw->link.last_close.code, 1000);
}

static void
test_no_ack_stays_connected(void **state)
{
	struct world *w = *state;

	idle_world(w);
	healthy(w, 60000);
	healthy(w, 9999);
	assert_int_equal(w->gw->link.state, LINK_IDLING);
	healthy(w, 1);
	assert_int_equal(w->gw->link.state, LINK_UP);
	assert_int_equal(w->closes, 0);
	assert_non_null(strstr(w->gw->link.reason, "no going_idle_ack"));
	assert_int_equal(w->gw->count.handshakes, 1);
	/* It is asked again, not at once. */
	healthy(w, 59999);
	assert_int_equal(sent_idle(w), 1);
	healthy(w, 1);
	assert_int_equal(sent_idle(w), 2);
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_string_equal(w->state, "idle");
}

/* Nothing comes on that connection any more: it is of no use. */
static void
test_a_late_ack(void **state)
{
	struct world *w = *state;
	int dials;

	idle_world(w);
	healthy(w, 70000);
	assert_int_equal(w->gw->link.state, LINK_UP);
	(void)world_agent(w, HELLO);
	dials = w->dials;
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_int_equal(w->dials, dials + 1);
	world_up(w);
	world_message(w, ACK); /* nobody asked */
	assert_int_equal(w->gw->link.state, LINK_UP);
}

static void
test_a_late_ack_without_agent(void **state)
{
	struct world *w = *state;

	idle_world(w);
	healthy(w, 70000);
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_string_equal(w->state, "idle");
}

/* An agent that comes at each moment of the way down: the close finishes, and
 * a dial follows at once. */
static void
test_an_agent_on_the_way_down(void **state)
{
	struct world *w;
	int at, dials;

	(void)state;
	for (at = 0; at < 5; at++) {
		w = world_new();
		idle_world(w);
		dials = w->dials;
		if (at == 0) {
			healthy(w, 59999);
			(void)world_agent(w, HELLO);
			healthy(w, 600000);
			assert_int_equal(sent_idle(w), 0);
			assert_int_equal(w->dials, dials);
			world_free(w);
			continue;
		}
		healthy(w, 60000);
		if (at == 1)
			(void)world_agent(w, HELLO);
		assert_string_equal(w->state, "connected");
		if (at == 2) { /* no ack, an agent: as if nothing was */
			(void)world_agent(w, HELLO);
			healthy(w, 600000);
			assert_int_equal(w->gw->link.state, LINK_UP);
			assert_int_equal(w->dials, dials);
			world_free(w);
			continue;
		}
		world_message(w, ACK);
		assert_int_equal(w->gw->link.state, LINK_CLOSE);
		if (at == 3) {
			(void)world_agent(w, HELLO);
			assert_string_equal(w->state, "connecting");
		}
		world_close(w, 1000, "");
		if (at == 4) {
			assert_int_equal(w->gw->link.state, LINK_IDLE);
			(void)world_agent(w, HELLO);
		}
		assert_int_equal(w->gw->link.state, LINK_DIAL);
		assert_int_equal(w->dials, dials + 1);
		assert_string_equal(w->state, "connecting");
		world_up(w);
		healthy(w, 600000);
		assert_string_equal(w->state, "connected");
		world_free(w);
	}
}

/* While it waits for the ack it serves as before. */
static void
test_serves_until_the_ack(void **state)
{
	struct world *w = *state;
	struct world_agent *a;

	idle_world(w);
	a = world_agent(w, HELLO);
	agent_says(a, GOING_IDLE);
	assert_int_equal(w->gw->link.state, LINK_IDLING);
	world_event(w, "e1", "c1", "live still");
	assert_int_equal(w->gw->delivery.n, 1);
	agent_says(a, SEND, "r1");
	assert_true(holds(&w->lines, "\"outbound\""));
	agent_says(a,
	    "{\"type\":\"interrupt\",\"session_key\":\"k\",\"reason\":null}");
	assert_true(holds(&w->lines, "\"interrupt\""));
	world_time(w, 9000);
	assert_int_equal(w->gw->link.state, LINK_IDLING);
	/* The result is waited for before the close. */
	world_message(w, ACK);
	assert_int_equal(w->closes, 0);
	world_time(w, 3000);
	assert_int_equal(w->closes, 1);
}

static void
test_a_request_wakes(void **state)
{
	struct world *w = *state;
	struct world_agent *a;

	idle_world(w);
	a = world_agent(w, HELLO);
	agent_says(a, GOING_IDLE);
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_string_equal(w->state, "idle");
	agent_says(a, SEND, "r1");
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	world_upgrade(w);
	world_descriptor(w, "discord");
	assert_true(holds(&w->lines, "\"outbound\""));
	/* Who goes idle and sends may send more. */
	healthy(w, 59999);
	assert_int_equal(w->gw->link.state, LINK_UP);
	healthy(w, 1);
	assert_int_equal(w->gw->link.state, LINK_IDLING);
}

static void
test_an_operators_request_wakes(void **state)
{
	struct world *w = *state;

	asleep(w);
	assert_null(core_send(w->gw,
	    span_str("{\"op\":\"send\",\"chat_id\":\"c\",\"content\":\"x\"}"),
	    77));
	assert_int_equal(w->gw->link.state, LINK_DIAL);
}

/* Lost before the ack: the connector does not know that we sleep. */
static void
test_lost_on_the_way(void **state)
{
	struct world *w = *state;

	idle_world(w);
	healthy(w, 60000);
	link_event(w->gw, LE_LOST, "reset");
	assert_int_equal(w->gw->link.state, LINK_WAIT);
	assert_string_equal(w->state, "retrying");
	world_up(w);
	healthy(w, 60000);
	world_message(w, ACK);
	link_event(w->gw, LE_LOST, "reset"); /* after it, it does */
	assert_string_equal(w->state, "idle");
}

/* What is dialled by, or with, has changed: idle or not, it is tried. */
static void
test_changes_while_idle(void **state)
{
	struct world *w = *state;

	asleep(w);
	core_credential(w->gw, 1, 0, "as before");
	assert_string_equal(w->state, "idle");
	core_slept(w->c); /* nothing to make anew, and nobody needs it */
	assert_string_equal(w->state, "idle");
	core_credential(w->gw, 1, 1, "a new one");
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	world_up(w);
	healthy(w, 60000);
	world_message(w, ACK);
	world_close(w, 1000, "");
	core_gateway_change(w->gw, &w->conf);
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	world_free(w);

	*state = w = world_new();
	asleep(w);
	core_credential(w->gw, 0, 0, "gone");
	assert_string_equal(w->state, "unprovisioned");
	(void)world_agent(w, HELLO);
	assert_string_equal(w->state, "unprovisioned");
	world_free(w);

	*state = w = world_new();
	asleep(w);
	core_standing(w->gw, 1, 1, "evidence");
	core_credential(w->gw, 1, 0, "x");
	assert_string_equal(w->state, "disabled");
	(void)world_agent(w, HELLO);
	assert_string_equal(w->state, "disabled");
}

/* --- pressure --- */

static void
test_pressure(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	int dials;

	idle_world(w);
	link_pressure(w->gw, 1);
	link_pressure(w->gw, 1);
	world_turn(w);
	assert_int_equal(sent_idle(w), 1);
	assert_string_equal(w->state, "connected");
	world_event(w, "e1", "c1", "before the ack");
	assert_true(holds(&a->in, "before the ack"));
	world_message(w, ACK);
	assert_int_equal(w->gw->link.state, LINK_HUSHED);
	/* Everything but new events flows, for as long as it takes. */
	healthy(w, 100000);
	assert_int_equal(w->closes, 0);
	assert_int_equal(w->pings, 1); /* whose pong is not here */
	agent_says(a, SEND, "r1");
	assert_true(holds(&w->lines, "\"outbound\""));
	agent_acks(a, "before the ack");
	assert_true(holds(&w->lines, "\"inbound_ack\""));
	world_message(w,
	    "{\"type\":\"interrupt_inbound\",\"session_key\":\"k\","
	    "\"chat_id\":\"c\"}\n");
	assert_true(holds(&a->in, "interrupt_inbound"));
	dials = w->dials;
	link_pressure(w->gw, 0);
	world_turn(w);
	world_time(w, 4000); /* the result does not come */
	assert_int_equal(sent_idle(w), 1);
	assert_int_equal(w->closes, 1);
	world_close(w, 1000, "");
	assert_int_equal(w->dials, dials + 1);
	assert_string_equal(w->state, "connecting");
}

static void
test_pressure_that_passes_before_the_ack(void **state)
{
	struct world *w = *state;
	int dials;

	(void)world_agent(w, HELLO);
	idle_world(w);
	dials = w->dials;
	link_pressure(w->gw, 1);
	world_turn(w);
	link_pressure(w->gw, 0);
	world_turn(w);
	assert_int_equal(w->gw->link.state, LINK_IDLING);
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_int_equal(w->dials, dials + 1);
}

static void
test_pressure_without_an_ack(void **state)
{
	struct world *w = *state;

	(void)world_agent(w, HELLO);
	idle_world(w);
	link_pressure(w->gw, 1);
	healthy(w, 10000);
	assert_int_equal(w->gw->link.state, LINK_UP);
	healthy(w, 60000);
	assert_int_equal(sent_idle(w), 2);
	world_message(w, ACK);
	assert_int_equal(w->gw->link.state, LINK_HUSHED);
}

/* It lasts longer than a connection. */
static void
test_pressure_on_a_new_connection(void **state)
{
	struct world *w = *state;

	(void)world_agent(w, HELLO);
	idle_world(w);
	link_pressure(w->gw, 1);
	world_turn(w);
	world_message(w, ACK);
	link_event(w->gw, LE_LOST, "reset");
	assert_string_equal(w->state, "retrying");
	if (w->gw->link.state == LINK_WAIT)
		world_time(w, 30000);
	world_upgrade(w);
	world_descriptor(w, "discord");
	assert_int_equal(sent_idle(w), 1);
	assert_int_equal(w->gw->link.state, LINK_IDLING);
}

static void
test_hushed_without_agents(void **state)
{
	struct world *w = *state;

	idle_world(w);
	link_pressure(w->gw, 1);
	world_turn(w);
	world_message(w, ACK);
	assert_int_equal(w->gw->link.state, LINK_HUSHED);
	healthy(w, 60000);
	world_close(w, 1000, "");
	assert_string_equal(w->state, "idle");
	link_pressure(w->gw, 0);
	world_time(w, 600000);
	assert_string_equal(w->state, "idle");
}

/* --- the host slept --- */

static void
test_slept(void **state)
{
	struct world *w = *state;
	int dials;

	world_up(w);
	dials = w->dials;
	w->gw->link.attempt = 40;
	core_slept(w->c);
	assert_int_equal(w->dials, dials + 1);
	assert_string_equal(w->state, "retrying");
	assert_string_equal(w->gw->link.last_close.reason, "the host slept");
	assert_true(w->gw->link.last_close.by_us);
	link_event(w->gw, LE_DIAL_FAILED, "no network yet");
	assert_in_range(w->gw->link.next_dial - w->now, 1, 1000);
	core_slept(w->c); /* also from the wait */
	assert_int_equal(w->dials, dials + 2);
	core_slept(w->c); /* and from a dial */
	assert_int_equal(w->dials, dials + 3);
}

/* A link that fell silent was healthy until then, and no longer. */
static void
test_silence_is_no_health(void **state)
{
	struct world *w = *state;

	core_credential(w->gw, 1, 1, "x");
	w->gw->link.attempt = 40;
	world_up(w);
	world_time(w, 95000); /* a ping after 30 s, and no pong */
	assert_non_null(strstr(w->gw->link.reason, "no pong"));
	assert_true(w->gw->link.attempt >= 40);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_no_agent_for_a_minute),
	    WORLD_TEST(test_hold_and_another_time),
	    WORLD_TEST(test_agents_put_it_off),
	    WORLD_TEST(test_the_last_agent_goes_idle),
	    WORLD_TEST(test_in_flight_has_an_end),
	    WORLD_TEST(test_no_ack_stays_connected),
	    WORLD_TEST(test_a_late_ack),
	    WORLD_TEST(test_a_late_ack_without_agent),
	    cmocka_unit_test(test_an_agent_on_the_way_down),
	    WORLD_TEST(test_serves_until_the_ack),
	    WORLD_TEST(test_a_request_wakes),
	    WORLD_TEST(test_an_operators_request_wakes),
	    WORLD_TEST(test_lost_on_the_way),
	    WORLD_TEST(test_changes_while_idle),
	    WORLD_TEST(test_pressure),
	    WORLD_TEST(test_pressure_that_passes_before_the_ack),
	    WORLD_TEST(test_pressure_without_an_ack),
	    WORLD_TEST(test_pressure_on_a_new_connection),
	    WORLD_TEST(test_hushed_without_agents),
	    WORLD_TEST(test_slept),
	    WORLD_TEST(test_silence_is_no_health),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
