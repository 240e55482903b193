/* SPDX-License-Identifier: ISC */
/*
 * Every state of the link against every event, and against what agents,
 * operators and the supervisor do: nothing is forgotten.
 */
#include "world.h"

#define ACK "{\"type\":\"going_idle_ack\"}\n"

/* States that wait for something have a deadline for it; the others wait for
 * nothing that could fail to come. */
static const uint8_t waits[LINK_STATES] = {
    [LINK_WAIT] = 1,
    [LINK_DIAL] = 1,
    [LINK_TLS] = 1,
    [LINK_TOKEN] = 1,
    [LINK_UPGRADE] = 1,
    [LINK_ASK] = 1,
    [LINK_HELLO] = 1,
    [LINK_IDLING] = 1,
    [LINK_DRAIN] = 1,
    [LINK_CLOSE] = 1,
    [LINK_DORMANT] = 1,
};

static enum link_state
state_of(const struct world *w)
{
	return w->gw->link.state;
}

static void
wish(struct world *w, enum link_wish what)
{
	assert_null(core_wish(w->gw, what, 5, "uid 0"));
	world_turn(w);
}

/* As far as a dial comes without a handshake. */
static void
dialled(struct world *w, int steps)
{
	static const enum link_event path[] = {
	    LE_DIALED, LE_TLS_UP, LE_TOKEN, LE_UPGRADED};
	int i;

	core_credential(w->gw, 1, 1, "x");
	ws_decoder_init(&w->dec, WS_SERVER, 1 << 24, 1);
	for (i = 0; i < steps; i++)
		link_event(w->gw, path[i], "x");
	world_turn(w);
}

/* Refused twice by a connector that tells no time. */
static void
asking(struct world *w)
{
	w->skew = INT64_MIN;
	world_up(w);
	world_close(w, 4401, "no");
	world_upgrade(w);
	world_close(w, 4401, "no");
	link_event(w->gw, LE_DIALED, "x");
	link_event(w->gw, LE_TLS_UP, "x");
}

static void
hushed(struct world *w)
{
	world_up(w);
	link_pressure(w->gw, 1);
	world_turn(w);
	world_message(w, ACK);
}

static void
asleep(struct world *w, enum link_wish what)
{
	world_up(w);
	wish(w, what);
	world_message(w, ACK);
	world_close(w, 1000, "");
}

static void
reach(struct world *w, enum link_state s)
{
	switch (s) {
	case LINK_WAIT:
		world_up(w);
		link_event(w->gw, LE_LOST, "x");
		break;
	case LINK_DIAL:
	case LINK_TLS:
	case LINK_TOKEN:
	case LINK_UPGRADE:
		dialled(w, (int)s - LINK_DIAL);
		break;
	case LINK_HELLO:
		dialled(w, 4);
		break;
	case LINK_ASK:
		asking(w);
		break;
	case LINK_UP:
		world_up(w);
		break;
	case LINK_IDLING:
		world_up(w);
		wish(w, WISH_IDLE);
		break;
	case LINK_HUSHED:
		hushed(w);
		break;
	case LINK_DRAIN:
	case LINK_CLOSE:
		world_up(w);
		core_gateway_change(w->gw, &w->conf);
		world_turn(w);
		if (s == LINK_CLOSE)
			world_message(w, ACK);
		break;
	case LINK_IDLE:
		asleep(w, WISH_IDLE);
		break;
	case LINK_DORMANT:
		asleep(w, WISH_DORMANT);
		break;
	case LINK_DISABLED:
		asleep(w, WISH_DISABLE);
		break;
	case LINK_STOPPED:
		core_stop(w->c, 4500);
		break;
	default:
		break;
	}
	assert_int_equal(state_of(w), s);
}

/* Of a test that fails: where. */
static char at[128];

static void
holds_true(int true_, const char *what)
{
	if (!true_)
		fail_msg("%s: %s", at, what);
}

#define IS(cond) holds_true((cond) != 0, #cond)

static void
check(const struct world *w)
{
	const struct gateway *gw = w->gw;
	const struct link *l = &gw->link;
	enum link_state s = l->state;

	IS(s > LINK_NONE && s < LINK_STATES);
	IS(timer_armed(&l->timer) == waits[s]);
	IS(gw->wire.open == (s >= LINK_HELLO && s <= LINK_CLOSE));
	IS(timer_armed(&l->ping_timer) == gw->wire.open);
	/* Nothing changes without being told. */
	IS(w->state[0] == '\0' || strcmp(w->state, link_public(gw)) == 0);
	IS(strcmp(l->told, link_public(gw)) == 0);
	if (l->off || l->revoked)
		IS(s >= LINK_UP && s != LINK_IDLE && s != LINK_DORMANT);
	if (gw->core->stopping)
		IS(s == LINK_STOPPED || s == LINK_DRAIN || s == LINK_CLOSE);
	/* The link is quiet when it may be, or will be. */
	if ((s == LINK_UP || s == LINK_HUSHED) && !gw->conf.hold &&
	    gw->nagent == 0)
		IS(timer_armed(&l->quiet_timer));
	if (s == LINK_HUSHED && !l->pressure)
		IS(timer_armed(&l->quiet_timer));
	IS(l->nwished == 0 || s == LINK_IDLING || s == LINK_DRAIN ||
	    s == LINK_CLOSE);
}

/* What is disabled, stopped or without credential does not dial, however long;
 * all else gets somewhere; operators are answered. */
static void
check_later(struct world *w)
{
	int still = state_of(w) == LINK_DISABLED ||
	    state_of(w) == LINK_STOPPED || state_of(w) == LINK_IDLE ||
	    state_of(w) == LINK_UNPROVISIONED;
	int i, dials = w->dials;

	for (i = 0; i < 100; i++) {
		world_time(w, 1000);
		check(w);
	}
	IS(!still || w->dials == dials);
	IS(w->gw->link.nwished == 0);
}

static void
world_anew(struct world **w, enum link_state s)
{
	if (*w != NULL)
		world_free(*w);
	*w = world_new();
	reach(*w, s);
	check(*w);
}

/* Events that do not come by themselves come with what they mean. */
static void
happen(struct world *w, enum link_event ev)
{
	if (ev == LE_NO_CREDENTIAL)
		core_credential(w->gw, 0, 0, "gone");
	else if (ev == LE_REVOKED)
		link_mark(&w->gw->link, "evidence");
	else if (ev == LE_UPGRADED && state_of(w) == LINK_ASK)
		return; /* refusal_answered() is called instead */
	link_event(w->gw, ev, "happened");
	world_turn(w);
}

static void
test_every_state_and_event(void **state)
{
	struct world *w = NULL;
	int s, ev;

	(void)state;
	for (s = LINK_UNPROVISIONED; s < LINK_STATES; s++)
		for (ev = 0; ev < LINK_EVENTS; ev++) {
			(void)snprintf(
			    at, sizeof(at), "state %d, event %d", s, ev);
			world_anew(&w, (enum link_state)s);
			if (s == LINK_UNPROVISIONED && ev == LE_CREDENTIAL)
				w->gw->link.usable = 1;
			happen(w, (enum link_event)ev);
			if (ev == LE_REVOKED && link_is_up(w->gw))
				w->gw->link.revoked = 0;
			check(w);
			check_later(w);
		}
	world_free(w);
}

/* What is done to a link from outside. */

static void
do_stop(struct world *w)
{
	core_stop(w->c, 4500);
}
static void
do_reload(struct world *w)
{
	core_gateway_change(w->gw, &w->conf);
}
static void
do_adjust(struct world *w)
{
	w->conf.hold = 0;
	core_gateway_adjust(w->gw, &w->conf);
}
static void
do_revoke(struct world *w)
{
	core_standing(w->gw, 1, 1, "evidence");
	core_credential(w->gw, 1, 0, "x");
}
static void
do_lack(struct world *w)
{
	core_credential(w->gw, 0, 0, "gone");
}
static void
do_replace(struct world *w)
{
	core_credential(w->gw, 1, 1, "another");
}
static void
do_skip(struct world *w)
{
	core_skip(w->gw, 1);
	core_skip(w->gw, 0);
}
static void
do_sleep(struct world *w)
{
	core_slept(w->c);
}
static void
do_agent(struct world *w)
{
	(void)world_agent(w, HELLO);
}
static void
do_agent_idle(struct world *w)
{
	w->gw->conf.hold = 0;
	agent_says(world_agent(w, HELLO), "{\"type\":\"going_idle\"}");
}
static void
do_request(struct world *w)
{
	agent_says(world_agent(w, HELLO), SEND, "r1");
}
static void
do_pressure(struct world *w)
{
	link_pressure(w->gw, !w->gw->link.pressure);
}
static void
do_ack(struct world *w)
{
	link_idle_ack(w->gw);
}
static void
do_idle(struct world *w)
{
	(void)core_wish(w->gw, WISH_IDLE, 5, "uid 0");
}
static void
do_wake(struct world *w)
{
	(void)core_wish(w->gw, WISH_WAKE, 5, "uid 0");
}
static void
do_dormant(struct world *w)
{
	(void)core_wish(w->gw, WISH_DORMANT, 5, "uid 0");
}
static void
do_disable(struct world *w)
{
	(void)core_wish(w->gw, WISH_DISABLE, 5, "uid 0");
}
static void
do_enable(struct world *w)
{
	(void)core_wish(w->gw, WISH_ENABLE, 5, "uid 0");
}
static void
do_reconnect(struct world *w)
{
	(void)core_wish(w->gw, WISH_RECONNECT, 5, "uid 0");
}
static void
do_lose(struct world *w)
{
	link_event(w->gw, LE_LOST, "cut");
}

static const struct {
	const char *name;
	void (*fn)(struct world *w);
} acts[] = {
    {"stop", do_stop},
    {"reload", do_reload},
    {"adjust", do_adjust},
    {"revoke", do_revoke},
    {"lack", do_lack},
    {"replace", do_replace},
    {"skip", do_skip},
    {"sleep", do_sleep},
    {"agent", do_agent},
    {"agent idle", do_agent_idle},
    {"request", do_request},
    {"pressure", do_pressure},
    {"ack", do_ack},
    {"idle", do_idle},
    {"wake", do_wake},
    {"dormant", do_dormant},
    {"disable", do_disable},
    {"enable", do_enable},
    {"reconnect", do_reconnect},
    {"lose", do_lose},
};
#define NACTS (sizeof(acts) / sizeof(acts[0]))

/* Two of them, one after the other, in every state. */
static void
test_every_state_and_two_acts(void **state)
{
	struct world *w = NULL;
	size_t a, b;
	int s;

	(void)state;
	for (s = LINK_UNPROVISIONED; s < LINK_STATES; s++)
		for (a = 0; a < NACTS; a++)
			for (b = 0; b < NACTS; b++) {
				(void)snprintf(at, sizeof(at),
				    "state %d, %s, %s", s, acts[a].name,
				    acts[b].name);
				world_anew(&w, (enum link_state)s);
				w->gw->link.revoked = 0;
				acts[a].fn(w);
				world_turn(w);
				if (w->gw->link.revoked && link_is_up(w->gw))
					w->gw->link.revoked = 0;
				check(w);
				acts[b].fn(w);
				world_turn(w);
				if (w->gw->link.revoked && link_is_up(w->gw))
					w->gw->link.revoked = 0;
				check(w);
				check_later(w);
				if (acts[a].fn == do_stop ||
				    acts[b].fn == do_stop)
					IS(core_stopped(w->c));
			}
	world_free(w);
}

/* A stop during a reload's drain is told, and is the last word. */
static void
test_stop_during_a_reload(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	int dials;

	world_up(w);
	dials = w->dials;
	core_gateway_change(w->gw, &w->conf);
	world_turn(w);
	assert_string_equal(w->state, "connecting");
	buf_reset(&a->in);
	core_stop(w->c, 4500);
	world_turn(w);
	assert_string_equal(w->state, "stopping");
	assert_true(holds(&a->in, "\"state\":\"stopping\""));
	core_gateway_change(w->gw, &w->conf);
	assert_string_equal(w->state, "stopping");
	assert_string_equal(link_public(w->gw), "stopping");
	assert_int_equal(count(&w->lines, "going_idle"), 1);
	world_time(w, 4500);
	assert_true(core_stopped(w->c));
	assert_int_equal(w->dials, dials);
}

/* Wherever it is when the stop comes, who waits is answered before the end. */
static void
test_requests_are_answered_at_a_stop(void **state)
{
	struct world_agent *a;
	struct world *w = NULL;
	int s;

	(void)state;
	for (s = LINK_WAIT; s < LINK_DISABLED; s++) {
		(void)snprintf(at, sizeof(at), "state %d", s);
		world_anew(&w, (enum link_state)s);
		a = world_agent(w, HELLO);
		agent_says(a, SEND, "r1");
		agent_says(a, SEND, "r2");
		core_stop(w->c, 4500);
		world_time(w, 4500);
		IS(core_stopped(w->c));
		IS(!a->closed);
		assert_int_equal(count(&a->in, "outbound_result"), 2);
		assert_true(holds(&a->in, "\"state\":\"stopping\""));
	}
	world_free(w);
}

/* The same when the gateway is taken out of the configuration. */
static void
test_requests_are_answered_at_a_removal(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	agent_says(a, SEND, "r1");
	core_gateway_remove(w->gw);
	assert_true(holds(&a->in, "\"ambiguous\":true"));
	assert_true(a->closed);
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_state_and_event),
	    cmocka_unit_test(test_every_state_and_two_acts),
	    WORLD_TEST(test_stop_during_a_reload),
	    cmocka_unit_test(test_requests_are_answered_at_a_stop),
	    WORLD_TEST(test_requests_are_answered_at_a_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
