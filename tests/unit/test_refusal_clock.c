/* SPDX-License-Identifier: ISC */
/* Clocks that differ: no refusal counts, and the time is asked for. */
#include "refusal_help.h"

static void
test_clocks_apart_decide_nothing(void **state)
{
	static const struct {
		int64_t skew;
		const char *text;
	} c[] = {{61, "61 s ahead of ours"}, {-61, "61 s behind ours"},
	    {-86400, "86400 s behind ours"}};
	struct world *w = *state;
	size_t i, j;

	world_up(w);
	link_event(w->gw, LE_LOST, "cut");
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		for (j = 0; j < 4; j++) {
			w->skew = c[i].skew;
			refuse(w, "unauthorized");
			assert_int_equal(w->gw->link.state, LINK_WAIT);
			assert_true(says(w, c[i].text));
			assert_int_equal(w->gw->link.clock_skew_s, c[i].skew);
		}
	assert_int_equal(w->revoked, 0);
}

/* A minute is not more than a minute. */
static void
test_clocks_a_minute_apart(void **state)
{
	struct world *w = *state;

	w->skew = -60;
	world_up(w);
	world_close(w, 4401, "unauthorized");
	w->skew = 60;
	refuse(w, "unauthorized");
	assert_disabled(w);
	assert_true(strstr(w->evidence, "connector's clock -60 s") != NULL);
	assert_true(strstr(w->evidence, "connector's clock +60 s") != NULL);
}

/* Neither does it before a success: another secret would not be taken. */
static void
test_clocks_apart_before_any_success(void **state)
{
	struct world *w = *state;

	w->skew = 100;
	core_credential(w->gw, 1, 1, "x");
	refuse(w, "unauthorized");
	assert_true(says(w, "100 s ahead"));
	assert_int_equal(w->refused, 0);
}

static void
test_clocks_apart_at_the_second(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_close(w, 4401, "unauthorized");
	w->skew = 90;
	refuse(w, "unauthorized");
	assert_string_equal(w->state, "retrying");
	w->skew = 0; /* set right: counted from the beginning */
	refuse(w, "unauthorized");
	assert_string_equal(w->state, "retrying");
	refuse(w, "unauthorized");
	assert_disabled(w);
}

static void
test_time_is_asked_for_where_none_is_told(void **state)
{
	struct world *w = *state;

	w->skew = INT64_MIN;
	refused_twice(w);
	assert_int_equal(w->revoked, 0);
	assert_string_equal(w->state, "retrying");
	answer(w, 7);
	assert_disabled(w);
	assert_true(strstr(w->evidence, "connector's clock +7 s") != NULL);
}

static void
test_time_asked_for_is_far_away(void **state)
{
	struct world *w = *state;
	int i;

	w->skew = INT64_MIN;
	for (i = 0; i < 3; i++) {
		world_up(w);
		stay(w);
		world_close(w, 4401, "unauthorized");
		refuse(w, "unauthorized");
		answer(w, -300);
		assert_int_equal(w->gw->link.state, LINK_WAIT);
		assert_true(says(w, "300 s behind"));
	}
	assert_int_equal(w->revoked, 0);
	w->skew = 0; /* set right: counted from the beginning */
	refuse(w, "unauthorized");
	assert_int_equal(w->revoked, 0);
	refuse(w, "unauthorized");
	assert_disabled(w);
}

/* Who tells no time even when asked is believed: the clocks are not known to
 * differ. */
static void
test_time_asked_for_is_not_told(void **state)
{
	struct world *w = *state;

	w->skew = INT64_MIN;
	refused_twice(w);
	answer(w, INT64_MIN);
	assert_disabled(w);
	assert_true(strstr(w->evidence, "not told") != NULL);
}

/* Not to be asked is no answer: a token is tried again before. */
static void
test_asking_fails(void **state)
{
	static const enum link_event ev[] = {
	    LE_LOST, LE_UPGRADE_REFUSED, LE_TIMER};
	struct world *w = *state;
	size_t i;

	w->skew = INT64_MIN;
	refused_twice(w);
	link_event(w->gw, LE_DIAL_FAILED, "network");
	for (i = 0; i < sizeof(ev) / sizeof(ev[0]); i++) {
		refuse(w, "unauthorized");
		link_event(w->gw, LE_DIALED_PLAIN, "x");
		assert_int_equal(w->gw->link.state, LINK_ASK);
		if (ev[i] == LE_TIMER)
			world_time(w, 15000);
		else
			link_event(w->gw, ev[i], "network");
		assert_int_equal(w->gw->link.state, LINK_WAIT);
		assert_int_equal(w->revoked, 0);
	}
	refuse(w, "unauthorized");
	answer(w, 0);
	assert_disabled(w);
}

/* What the clocks were like long ago says nothing of now. */
static void
test_an_old_time_is_no_answer(void **state)
{
	struct world *w = *state;

	w->skew = 0;
	world_up(w);
	w->skew = INT64_MIN;
	stay(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
	assert_int_equal(w->revoked, 0);
	answer(w, 4000);
	assert_string_equal(w->state, "retrying");
	assert_int_equal(w->revoked, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_clocks_apart_decide_nothing),
	    WORLD_TEST(test_clocks_a_minute_apart),
	    WORLD_TEST(test_clocks_apart_before_any_success),
	    WORLD_TEST(test_clocks_apart_at_the_second),
	    WORLD_TEST(test_time_is_asked_for_where_none_is_told),
	    WORLD_TEST(test_time_asked_for_is_far_away),
	    WORLD_TEST(test_time_asked_for_is_not_told),
	    WORLD_TEST(test_asking_fails),
	    WORLD_TEST(test_an_old_time_is_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
