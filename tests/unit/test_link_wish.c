/* SPDX-License-Identifier: ISC */
/* What operators ask of a link, and when they are answered. */
#include "world.h"

#define ACK "{\"type\":\"going_idle_ack\"}\n"

static const char *
wish(struct world *w, enum link_wish what)
{
	const char *why;

	w->wishes = 0;
	w->wish_error[0] = '\0';
	why = core_wish(w->gw, what, 5, "uid 0");
	world_turn(w);
	return why;
}

/* It is over, and was done. */
static void
granted(struct world *w)
{
	assert_int_equal(w->wishes, 1);
	assert_int_equal(w->wish, 5);
	assert_string_equal(w->wish_error, "");
}

static void
failed(struct world *w, const char *text)
{
	assert_int_equal(w->wishes, 1);
	if (strstr(w->wish_error, text) == NULL)
		fail_msg("%s: not %s", w->wish_error, text);
}

/* To a link that waits to dial. */
static void
waiting(struct world *w)
{
	world_up(w);
	link_event(w->gw, LE_LOST, "reset");
	assert_int_equal(w->gw->link.state, LINK_WAIT);
}

static void
test_idle_and_wake(void **state)
{
	struct world *w = *state;
	struct world_agent *a;
	int dials;

	world_up(w);
	a = world_agent(w, HELLO); /* it does not matter */
	assert_null(wish(w, WISH_IDLE));
	assert_int_equal(w->wishes, 0);
	world_message(w, ACK);
	assert_int_equal(w->wishes, 0);
	world_close(w, 1000, "");
	granted(w);
	assert_string_equal(w->state, "idle");
	assert_string_equal(w->gw->link.reason, "as uid 0 asked");
	assert_null(wish(w, WISH_IDLE));
	granted(w);
	/* One agent that goes is none that needs it. */
	core_agent_gone(a->a, "closed");
	a->a = NULL;
	assert_string_equal(w->state, "idle");
	dials = w->dials;
	assert_null(wish(w, WISH_WAKE));
	granted(w);
	assert_int_equal(w->dials, dials + 1);
	assert_null(wish(w, WISH_WAKE)); /* it is awake */
	granted(w);
	assert_int_equal(w->dials, dials + 1);
}

static void
test_idle_not_possible(void **state)
{
	struct world *w = *state;

	assert_string_equal(wish(w, WISH_IDLE), "it has no usable credential");
	waiting(w);
	assert_non_null(strstr(wish(w, WISH_IDLE), "not connected"));
	world_up(w);
	assert_null(wish(w, WISH_IDLE));
	world_time(w, 10000);
	failed(w, "no going_idle_ack");
	assert_string_equal(w->state, "connected");
	core_gateway_change(w->gw, &w->conf);
	assert_non_null(strstr(wish(w, WISH_IDLE), "try again"));
	assert_int_equal(w->wishes, 0);
}

static void
test_dormant(void **state)
{
	struct world *w = *state;
	int dials;

	world_up(w);
	assert_null(wish(w, WISH_DORMANT));
	assert_int_equal(w->gw->link.state, LINK_IDLING);
	world_message(w, ACK);
	assert_int_equal(w->wishes, 0);
	world_close(w, 1000, "");
	granted(w);
	assert_string_equal(w->state, "dormant");
	dials = w->dials;
	/* Nothing but an operator and the time ends it. */
	(void)world_agent(w, HELLO);
	core_credential(w->gw, 1, 1, "a new one");
	core_gateway_change(w->gw, &w->conf);
	world_time(w, 59999);
	assert_string_equal(w->state, "dormant");
	assert_int_equal(w->dials, dials);
	world_time(w, 1);
	assert_string_equal(w->state, "connecting");
	assert_int_equal(w->dials, dials + 1);
}

static void
test_dormant_is_woken(void **state)
{
	struct world *w = *state;
	int i, dials;

	world_up(w);
	for (i = 0; i < 2; i++) {
		assert_null(wish(w, WISH_DORMANT));
		world_message(w, ACK);
		world_close(w, 1000, "");
		granted(w);
		dials = w->dials;
		world_time(w, 1000);
		if (i == 0)
			core_slept(w->c);
		else {
			assert_null(wish(w, WISH_WAKE));
			granted(w);
		}
		assert_int_equal(w->dials, dials + 1);
		assert_string_equal(w->state, "connecting");
		world_up(w);
	}
}

static void
test_dormant_without_ack(void **state)
{
	struct world *w = *state;

	world_up(w);
	assert_null(wish(w, WISH_DORMANT));
	world_time(w, 9999);
	assert_int_equal(w->wishes, 0);
	world_time(w, 1);
	failed(w, "it is connected: no going_idle_ack within 10 s");
	assert_string_equal(w->state, "connected");
	assert_int_equal(w->closes, 0);
}

/* Not connected: at once, from wherever it is. */
static void
test_dormant_at_once(void **state)
{
	static const enum link_event path[] = {LE_DIALED, LE_TLS_UP, LE_TOKEN};
	struct world *w;
	size_t i, j;
	int dials;

	(void)state;
	for (i = 0; i <= 4; i++) {
		w = world_new();
		core_credential(w->gw, 1, 1, "x");
		for (j = 0; j < i && j < 3; j++)
			link_event(w->gw, path[j], "x");
		if (i == 4) {
			link_event(w->gw, LE_LOST, "x");
			assert_int_equal(w->gw->link.state, LINK_WAIT);
		}
		dials = w->dials;
		assert_null(wish(w, WISH_DORMANT));
		granted(w);
		assert_string_equal(w->state, "dormant");
		world_time(w, 59999);
		assert_int_equal(w->dials, dials);
		world_time(w, 1);
		assert_int_equal(w->dials, dials + 1);
		world_free(w);
	}
}

/* A link that closes for new settings was acknowledged nothing. */
static void
test_dormant_while_replaced(void **state)
{
	struct world *w = *state;

	world_up(w);
	core_gateway_change(w->gw, &w->conf);
	assert_int_equal(w->gw->link.state, LINK_DRAIN);
	assert_non_null(strstr(wish(w, WISH_DORMANT), "try again"));
	assert_int_equal(w->wishes, 0);
	world_time(w, 2000); /* no ack came */
	assert_int_equal(w->gw->link.state, LINK_CLOSE);
	assert_non_null(strstr(wish(w, WISH_DORMANT), "try again"));
	world_close(w, 1000, "");
	assert_string_equal(w->state, "connecting");
	assert_null(wish(w, WISH_DORMANT)); /* nothing is connected */
	granted(w);
}

/* What happens while its ack is waited for. */
static void
test_dormant_meanwhile(void **state)
{
	struct world *w = *state;

	world_up(w);
	assert_null(wish(w, WISH_DORMANT));
	link_event(w->gw, LE_LOST, "reset"); /* as good as closed */
	granted(w);
	assert_string_equal(w->state, "dormant");
	assert_null(wish(w, WISH_WAKE));
	world_up(w);
	assert_null(wish(w, WISH_DORMANT));
	core_slept(w->c);
	failed(w, "the host slept");
	assert_string_equal(w->state, "retrying");
	world_up(w);
	assert_null(wish(w, WISH_DORMANT));
	assert_null(core_wish(w->gw, WISH_WAKE, 6, "uid 0"));
	assert_int_equal(w->wishes, 2);
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_string_equal(w->state, "connecting");
	world_up(w);
	/* New settings wait for the next dial. */
	assert_null(wish(w, WISH_DORMANT));
	core_gateway_change(w->gw, &w->conf);
	world_message(w, ACK);
	world_close(w, 1000, "");
	granted(w);
	assert_string_equal(w->state, "dormant");
	assert_null(wish(w, WISH_WAKE));
	world_up(w);
	/* Or are taken when it does not come to that. */
	assert_null(wish(w, WISH_DORMANT));
	core_gateway_change(w->gw, &w->conf);
	world_time(w, 10000);
	failed(w, "no going_idle_ack");
	assert_int_equal(w->gw->link.state, LINK_DRAIN);
	assert_string_equal(w->state, "connecting");
}

static void
test_disable_and_enable(void **state)
{
	struct world *w = *state;
	int dials;

	world_up(w);
	assert_string_equal(wish(w, WISH_ENABLE), "it is not switched off");
	assert_null(wish(w, WISH_DISABLE));
	assert_string_equal(w->state, "stopping");
	world_message(w, ACK);
	world_close(w, 1000, "");
	granted(w);
	assert_string_equal(w->state, "disabled");
	assert_string_equal(w->gw->link.reason, "switched off by uid 0");
	dials = w->dials;
	assert_non_null(strstr(wish(w, WISH_WAKE), "enable it first"));
	assert_non_null(strstr(wish(w, WISH_RECONNECT), "enable it first"));
	assert_non_null(strstr(wish(w, WISH_DORMANT), "enable it first"));
	(void)world_agent(w, HELLO);
	core_credential(w->gw, 0, 0, "none");
	core_credential(w->gw, 1, 1, "another");
	core_standing(w->gw, 1, 1, "evidence");
	core_credential(w->gw, 1, 0, "x");
	assert_non_null(strstr(w->gw->link.reason, "revoked"));
	core_standing(w->gw, 1, 0, "");
	core_credential(w->gw, 1, 0, "x");
	assert_string_equal(w->gw->link.reason, "switched off by uid 0");
	core_gateway_change(w->gw, &w->conf);
	core_slept(w->c);
	world_time(w, 600000);
	assert_int_equal(w->dials, dials);
	assert_string_equal(w->state, "disabled");
	assert_null(wish(w, WISH_DISABLE));
	granted(w);
	assert_null(wish(w, WISH_ENABLE));
	granted(w);
	assert_int_equal(w->dials, dials + 1);
	assert_string_equal(w->state, "connecting");
}

/* An operator's switch is not undone by what ends a revocation, nor the other
 * way round. */
static void
test_disabled_twice(void **state)
{
	struct world *w = *state;

	waiting(w);
	core_standing(w->gw, 1, 1, "evidence");
	core_credential(w->gw, 1, 0, "x");
	assert_string_equal(w->state, "disabled");
	assert_null(wish(w, WISH_DISABLE));
	granted(w);
	assert_null(wish(w, WISH_ENABLE));
	assert_string_equal(w->state, "disabled");
	assert_non_null(strstr(w->gw->link.reason, "revoked"));
	assert_null(wish(w, WISH_DISABLE));
	core_standing(w->gw, 1, 0, "");
	core_credential(w->gw, 1, 0, "x");
	assert_string_equal(w->state, "disabled");
	assert_null(wish(w, WISH_ENABLE));
	assert_int_equal(w->gw->link.state, LINK_DIAL);
}

static void
test_switched_on_without_credential(void **state)
{
	struct world *w = *state;

	assert_null(wish(w, WISH_DISABLE));
	granted(w);
	core_credential(w->gw, 0, 0, "/x: no such file");
	assert_null(wish(w, WISH_ENABLE));
	assert_string_equal(w->state, "unprovisioned");
	assert_string_equal(w->gw->link.reason, "/x: no such file");
}

/* Switched on again before it was down. */
static void
test_enable_on_the_way_down(void **state)
{
	struct world *w = *state;
	int dials;

	world_up(w);
	dials = w->dials;
	assert_null(wish(w, WISH_DISABLE));
	assert_null(core_wish(w->gw, WISH_ENABLE, 6, "uid 0"));
	assert_int_equal(w->wishes, 2); /* both are over */
	assert_string_equal(w->state, "connecting");
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_int_equal(w->dials, dials + 1);
}

static void
test_reconnect(void **state)
{
	struct world *w = *state;
	int dials;

	waiting(w);
	dials = w->dials;
	assert_null(wish(w, WISH_RECONNECT));
	granted(w);
	assert_int_equal(w->dials, dials + 1);
	world_up(w);
	assert_null(wish(w, WISH_RECONNECT));
	assert_string_equal(w->state, "connecting");
	assert_int_equal(w->wishes, 0);
	world_time(w, 2000); /* no ack */
	world_time(w, 500);  /* no close */
	granted(w);
	assert_int_equal(w->dials, dials + 2);
	assert_int_equal(w->gw->link.last_close.code, 1000);
	world_up(w);
	assert_null(wish(w, WISH_IDLE));
	world_message(w, ACK);
	world_close(w, 1000, "");
	assert_null(wish(w, WISH_RECONNECT));
	granted(w);
	assert_string_equal(w->state, "connecting");
	assert_null(wish(w, WISH_DORMANT));
	assert_non_null(strstr(wish(w, WISH_RECONNECT), "dormant"));
}

/* A later wish has the last word; a stop has it for good. */
static void
test_one_after_the_other(void **state)
{
	struct world *w = *state;

	world_up(w);
	assert_null(wish(w, WISH_IDLE));
	assert_null(core_wish(w->gw, WISH_DORMANT, 6, "uid 0"));
	assert_int_equal(w->wish, 5);
	failed(w, "something else was wanted");
	world_message(w, ACK);
	assert_null(core_wish(w->gw, WISH_DISABLE, 7, "uid 0"));
	assert_int_equal(w->wish, 6);
	assert_int_equal(w->wishes, 2);
	assert_string_equal(w->state, "stopping");
	core_stop(w->c, 4500);
	assert_int_equal(w->wish, 7);
	assert_int_equal(w->wishes, 3);
	world_close(w, 1000, "");
	assert_true(core_stopped(w->c));
	assert_string_equal(wish(w, WISH_IDLE), "relayd is stopping");
}

static void
test_too_many_and_taken_away(void **state)
{
	struct world *w = *state;
	int i;

	world_up(w);
	for (i = 0; i < LINK_WISHES; i++)
		assert_null(core_wish(w->gw, WISH_IDLE, 6, "uid 0"));
	assert_non_null(strstr(wish(w, WISH_DORMANT), "try again"));
	assert_null(wish(w, WISH_WAKE)); /* needs no place */
	assert_int_equal(w->wishes, 1 + LINK_WISHES);
	assert_null(wish(w, WISH_IDLE));
	core_gateway_remove(w->gw);
	failed(w, "taken out");
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
}

static void
test_interrupt(void **state)
{
	struct world *w = *state;
	struct world_agent *a, *b, *has;
	struct span key;
	char text[256];

	world_up(w);
	assert_string_equal(
	    core_interrupt(w->gw, SPAN_LIT("k"), "uid 0"), "no agent is there");
	a = world_agent(w, HELLO);
	b = world_agent(w, HELLO);
	assert_null(core_interrupt(w->gw, SPAN_LIT("k\""), "uid 0"));
	assert_true(holds(&a->in, "\"session_key\":\"k\\\"\""));
	assert_true(holds(&b->in, "\"session_key\":\"k\\\"\""));
	world_event(w, "e1", "c1", "one");
	has = holds(&a->in, "one") ? a : b;
	key = buf_span(&has->in);
	key.p = memmem(key.p, key.len, "\"one\"", 5);
	key.p = strstr(key.p, "\"session_key\":\"") + 15;
	key.len = (size_t)(strchr(key.p, '"') - key.p);
	(void)snprintf(text, sizeof(text), "%.*s", (int)key.len, key.p);
	buf_reset(&a->in);
	buf_reset(&b->in);
	assert_null(core_interrupt(w->gw, span_str(text), "uid 0"));
	assert_true(holds(&has->in, "\"chat_id\":\"c1\""));
	assert_int_equal(buf_len(has == a ? &b->in : &a->in), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_idle_and_wake),
	    WORLD_TEST(test_idle_not_possible),
	    WORLD_TEST(test_dormant),
	    WORLD_TEST(test_dormant_is_woken),
	    WORLD_TEST(test_dormant_without_ack),
	    cmocka_unit_test(test_dormant_at_once),
	    WORLD_TEST(test_dormant_while_replaced),
	    WORLD_TEST(test_dormant_meanwhile),
	    WORLD_TEST(test_disable_and_enable),
	    WORLD_TEST(test_disabled_twice),
	    WORLD_TEST(test_switched_on_without_credential),
	    WORLD_TEST(test_enable_on_the_way_down),
	    WORLD_TEST(test_reconnect),
	    WORLD_TEST(test_one_after_the_other),
	    WORLD_TEST(test_too_many_and_taken_away),
	    WORLD_TEST(test_interrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
