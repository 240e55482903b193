/* SPDX-License-Identifier: ISC */
/* relay-authd's word: the mark of a revocation, and other credentials. */
#include "refusal_help.h"

static void
test_the_mark_holds_over_restarts(void **state)
{
	struct world *w = *state;

	core_standing(w->gw, 1, 1, "refused twice: a; b");
	core_credential(w->gw, 1, 0, "x");
	assert_string_equal(w->state, "disabled");
	assert_string_equal(
	    w->gw->link.reason, "credential revoked: refused twice: a; b");
	world_time(w, 3600000);
	core_credential(w->gw, 1, 0, "x");
	core_credential(w->gw, 0, 0, "provisioning is off: revoked");
	core_gateway_change(w->gw, &w->conf);
	assert_string_equal(w->state, "disabled");
	assert_int_equal(w->dials, 0);
}

/* Without any credential it is `disabled` too. */
static void
test_the_mark_goes_before_a_lack(void **state)
{
	struct world *w = *state;

	core_credential(w->gw, 0, 0, "no identity token");
	assert_string_equal(w->state, "unprovisioned");
	core_standing(w->gw, 1, 1, "e");
	core_credential(w->gw, 0, 0, "revoked");
	assert_string_equal(w->state, "disabled");
	core_standing(w->gw, 1, 0, "");
	core_credential(w->gw, 0, 0, "no identity token");
	assert_string_equal(w->state, "unprovisioned");
	assert_string_equal(w->gw->link.reason, "no identity token");
}

static void
test_enabling_dials(void **state)
{
	struct world *w = *state;

	refused_twice(w);
	assert_disabled(w);
	core_standing(w->gw, 1, 0, "");
	core_credential(w->gw, 1, 0, "enabled");
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	assert_string_equal(w->state, "connecting");
	assert_int_equal(w->gw->link.attempt, 1);
	refuse(w, "unauthorized"); /* counted from the beginning */
	assert_string_equal(w->state, "retrying");
}

static void
test_another_credential_dials(void **state)
{
	struct world *w = *state;

	refused_twice(w);
	assert_disabled(w);
	core_standing(w->gw, 0, 0, "");
	core_credential(w->gw, 1, 1, "another");
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	refuse(w, "unauthorized"); /* it never worked */
	assert_int_equal(w->refused, 1);
	refuse(w, "unauthorized");
	assert_string_equal(w->state, "retrying");
}

/* Another one, of which the mark is known. */
static void
test_another_credential_with_a_mark(void **state)
{
	struct world *w = *state;

	core_credential(w->gw, 1, 1, "x");
	link_event(w->gw, LE_DIALED, "x");
	core_standing(w->gw, 1, 1, "of old");
	core_credential(w->gw, 1, 1, "another");
	assert_string_equal(w->state, "disabled");
}

/* A rotation: the live link goes on; what befalls it says nothing of the new
 * secret. */
static void
test_a_refusal_of_the_credential_before(void **state)
{
	struct world *w = *state;

	world_up(w);
	core_standing(w->gw, 0, 0, "");
	core_credential(w->gw, 1, 1, "another");
	assert_string_equal(w->state, "connected");
	world_close(w, 4401, "unauthorized");
	assert_int_equal(w->gw->link.state, LINK_DIAL); /* with the new one */
	assert_int_equal(w->refused, 0);
	refuse(w, "unauthorized");
	assert_int_equal(w->gw->link.state, LINK_WAIT); /* never worked */
	assert_int_equal(w->refused, 1);
	refuse(w, "unauthorized");
	assert_int_equal(w->revoked, 0);
}

/* Nor is its handshake a success of the new one. */
static void
test_a_success_of_the_credential_before(void **state)
{
	struct world *w = *state;

	core_credential(w->gw, 1, 1, "x");
	world_upgrade(w);
	core_standing(w->gw, 0, 0, "");
	core_credential(w->gw, 1, 1, "another");
	world_descriptor(w, "discord");
	assert_string_equal(w->state, "connected");
	assert_int_equal(w->worked, 0);
	assert_false(link_worked(&w->gw->link));
}

static void
test_another_credential_while_asking(void **state)
{
	struct world *w = *state;

	w->skew = INT64_MIN;
	refused_twice(w);
	link_event(w->gw, LE_DIALED_PLAIN, "x");
	assert_int_equal(w->gw->link.state, LINK_ASK);
	core_standing(w->gw, 0, 0, "");
	core_credential(w->gw, 1, 1, "another");
	refusal_answered(w->gw); /* too late */
	assert_int_equal(w->revoked, 0);
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	world_up(w);
}

/* The mark is told while the link is up: the link shows that it is of something
 * else, and ends with it. */
static void
test_a_mark_while_connected(void **state)
{
	struct world *w = *state;

	world_up(w);
	core_standing(w->gw, 1, 1, "of old");
	core_credential(w->gw, 1, 0, "x");
	assert_string_equal(w->state, "connected");
	core_gateway_change(w->gw, &w->conf);
	world_message(w, "{\"type\":\"going_idle_ack\"}\n");
	world_close(w, 1000, "");
	assert_string_equal(w->state, "disabled");
	assert_string_equal(w->gw->link.reason, "credential revoked: of old");
}

/* A refusal of before the mark is none after it. */
static void
test_enabling_begins_anew(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_close(w, 4401, "unauthorized");
	core_standing(w->gw, 1, 1, "told");
	core_credential(w->gw, 1, 0, "x");
	assert_string_equal(w->state, "disabled");
	core_standing(w->gw, 1, 0, "");
	core_credential(w->gw, 1, 0, "x");
	refuse(w, "unauthorized");
	assert_int_equal(w->revoked, 0);
}

static void
test_the_credential_goes_while_asking(void **state)
{
	struct world *w = *state;

	w->skew = INT64_MIN;
	refused_twice(w);
	link_event(w->gw, LE_DIALED_PLAIN, "x");
	assert_int_equal(w->gw->link.state, LINK_ASK);
	core_credential(w->gw, 0, 0, "none");
	assert_string_equal(w->state, "unprovisioned");
	core_credential(w->gw, 1, 0, "x");
	link_event(w->gw, LE_DIALED_PLAIN, "x");
	assert_int_equal(w->gw->link.state, LINK_TOKEN);
}

/* Perhaps another connector: relay-authd says how it fared there. */
static void
test_changed_settings_clear_a_refusal(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_close(w, 4401, "unauthorized");
	core_gateway_change(w->gw, &w->conf);
	refuse(w, "unauthorized");
	assert_int_equal(w->refused, 1);
	core_standing(w->gw, 1, 0, "");
	core_credential(w->gw, 1, 0, "x");
	refuse(w, "unauthorized");
	core_gateway_change(w->gw, &w->conf);
	refuse(w, "unauthorized");
	assert_int_equal(w->revoked, 0);
}

/* The link is being closed for that: its end says nothing of what follows. */
static void
test_refused_while_settings_change(void **state)
{
	struct world *w = *state;

	core_standing(w->gw, 1, 0, "");
	world_up(w);
	core_gateway_change(w->gw, &w->conf);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
	assert_int_equal(w->revoked, 0);
	refuse(w, "unauthorized");
	assert_disabled(w);
}

/* On the way down it is of no interest. */
static void
test_refused_while_stopping(void **state)
{
	struct world *w = *state;

	world_up(w);
	core_stop(w->c, 4500);
	world_close(w, 4401, "unauthorized");
	assert_true(core_stopped(w->c));
	assert_int_equal(w->refused + w->revoked, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_the_mark_holds_over_restarts),
	    WORLD_TEST(test_the_mark_goes_before_a_lack),
	    WORLD_TEST(test_enabling_dials),
	    WORLD_TEST(test_another_credential_dials),
	    WORLD_TEST(test_another_credential_with_a_mark),
	    WORLD_TEST(test_a_refusal_of_the_credential_before),
	    WORLD_TEST(test_a_success_of_the_credential_before),
	    WORLD_TEST(test_another_credential_while_asking),
	    WORLD_TEST(test_changed_settings_clear_a_refusal),
	    WORLD_TEST(test_a_mark_while_connected),
	    WORLD_TEST(test_enabling_begins_anew),
	    WORLD_TEST(test_the_credential_goes_while_asking),
	    WORLD_TEST(test_refused_while_settings_change),
	    WORLD_TEST(test_refused_while_stopping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
