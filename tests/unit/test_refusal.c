/* SPDX-License-Identifier: ISC */
/* What a close with 4401 says of the credential, in each order of events. */
#include "refusal_help.h"

static void
test_before_any_success_it_is_retried(void **state)
{
	struct world *w = *state;
	int i;

	core_standing(w->gw, 0, 0, "");
	core_credential(w->gw, 1, 1, "x");
	for (i = 1; i < 6; i++) {
		refuse(w, "unknown gateway");
		assert_int_equal(w->gw->link.state, LINK_WAIT);
		assert_string_equal(w->state, "retrying");
		assert_true(says(w, "4401 unknown gateway"));
		assert_int_equal(w->gw->link.last_close.code, 4401);
		assert_int_equal(w->refused, i); /* provisioned: once more */
	}
	assert_int_equal(w->revoked, 0);
}

static void
test_a_success_is_told(void **state)
{
	struct world *w = *state;

	world_up(w);
	assert_int_equal(w->worked, 1);
	link_event(w->gw, LE_LOST, "cut");
	world_up(w);
	assert_int_equal(w->worked, 2); /* once per connection */
	assert_int_equal(w->refused, 0);
}

static void
test_twice_after_a_success_is_a_revocation(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_close(w, 4401, "unauthorized");
	assert_int_equal(w->gw->link.state, LINK_DIAL); /* at once */
	assert_string_equal(w->state, "retrying");
	refuse(w, "unauthorized");
	assert_int_equal(w->asks, 0); /* the upgrades told the time */
	assert_disabled(w);
}

/* A success of an earlier run counts as one. */
static void
test_a_success_of_an_earlier_run(void **state)
{
	struct world *w = *state;

	core_standing(w->gw, 1, 0, "");
	core_credential(w->gw, 1, 0, "x");
	refuse(w, "unauthorized");
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	refuse(w, "unauthorized");
	assert_disabled(w);
	assert_int_equal(w->refused, 0);
}

static void
test_a_success_in_between_clears_it(void **state)
{
	struct world *w = *state;
	int i;

	for (i = 0; i < 4; i++) {
		world_up(w);
		stay(w);
		world_close(w, 4401, "unauthorized");
		assert_int_equal(w->gw->link.state, LINK_DIAL);
	}
	assert_int_equal(w->revoked, 0);
}

/* A connector that takes a token and refuses it right after is not dialled
 * without delay. */
static void
test_at_once_only_now_and_then(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_close(w, 4401, "unauthorized");
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	world_up(w);
	world_close(w, 4401, "unauthorized");
	assert_int_equal(w->gw->link.state, LINK_WAIT);
	refuse(w, "unauthorized"); /* decides all the same */
	assert_disabled(w);
}

static void
test_network_failures_decide_nothing(void **state)
{
	static const struct {
		enum link_event path[4], ev;
	} fail[] = {
	    {{0}, LE_DIAL_FAILED},
	    {{LE_DIALED}, LE_TLS_FAILED},
	    {{LE_DIALED, LE_TLS_UP}, LE_TOKEN_REFUSED},
	    {{LE_DIALED, LE_TLS_UP}, LE_AUTHD_GONE},
	    {{LE_DIALED, LE_TLS_UP, LE_TOKEN}, LE_LOST},
	    {{LE_DIALED, LE_TLS_UP, LE_TOKEN}, LE_UPGRADE_REFUSED},
	    {{LE_DIALED, LE_TLS_UP, LE_TOKEN, LE_UPGRADED}, LE_LOST},
	};
	struct world *w = *state;
	size_t i, j;

	world_up(w);
	world_close(w, 4401, "unauthorized");
	for (i = 0; i < sizeof(fail) / sizeof(fail[0]); i++) {
		assert_int_equal(w->gw->link.state, LINK_DIAL);
		for (j = 0; j < 4 && fail[i].path[j] != 0; j++)
			link_event(w->gw, fail[i].path[j], "x");
		world_turn(w);
		link_event(w->gw, fail[i].ev, "network");
		assert_int_equal(w->gw->link.state, LINK_WAIT);
		assert_string_equal(w->state, "retrying");
		world_time(w, w->gw->link.next_dial - w->now);
	}
	refuse(w, "unauthorized"); /* the next answer does */
	assert_disabled(w);
}

/* A proxy may have said it. */
static void
test_http_401_is_no_refusal(void **state)
{
	struct world *w = *state;
	int i;

	world_up(w);
	link_event(w->gw, LE_LOST, "cut");
	for (i = 0; i < 5; i++) {
		world_time(w, w->gw->link.next_dial - w->now);
		link_event(w->gw, LE_DIALED, "x");
		link_event(w->gw, LE_TLS_UP, "x");
		link_event(w->gw, LE_TOKEN, "x");
		link_http_status(w->gw, 401);
		link_event(w->gw, LE_UPGRADE_REFUSED, "HTTP 401 Go away");
		assert_int_equal(w->gw->link.state, LINK_WAIT);
		assert_string_equal(w->gw->link.reason, "HTTP 401 Go away");
		assert_int_equal(w->gw->link.last_close.status, 401);
	}
	assert_int_equal(w->refused + w->revoked, 0);
	world_up(w);
}

static void
test_expired_is_never_a_revocation(void **state)
{
	struct world *w = *state;
	int i;

	for (i = 0; i < 4; i++) {
		world_up(w);
		world_close(w, 4401, "expired");
		assert_string_equal(w->state, "retrying");
		refuse(w, "expired");
		refuse(w, "expired");
		assert_int_equal(w->gw->link.state, LINK_WAIT); /* patiently */
		assert_true(says(w, "4401 expired"));
	}
	assert_int_equal(w->revoked, 0);
}

/* It is an answer, and not the one that revokes. */
static void
test_expired_clears_a_refusal(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "expired");
	refuse(w, "unauthorized");
	assert_string_equal(w->state, "retrying");
	refuse(w, "unauthorized");
	assert_disabled(w);
}

static void
test_expired_before_any_success(void **state)
{
	struct world *w = *state;

	core_credential(w->gw, 1, 1, "x");
	refuse(w, "expired");
	assert_int_equal(w->gw->link.state, LINK_WAIT);
	assert_int_equal(w->refused, 0);
}

static void
test_evidence(void **state)
{
	struct world *w = *state;

	w->skew = 1;
	world_up(w);
	world_time(w, 20000);
	world_close(w, 4401, "you\x1b[2J \"are\" out");
	world_upgrade(w);
	world_time(w, 1500);
	world_close(w, 4401, "unauthorized");
	assert_string_equal(w->evidence,
	    "refused twice: "
	    "2023-11-14T22:13:40Z 4401 \"you\\x1b[2J \"are\" out\" to a token "
	    "20.000 s old, connector's clock +1 s; "
	    "2023-11-14T22:13:41Z 4401 \"unauthorized\" to a token 1.500 s "
	    "old, connector's clock +1 s");
	assert_disabled(w);
}

static void
test_evidence_has_the_date(void **state)
{
	static const struct {
		int64_t at;
		const char *text;
	} date[] = {
	    {0, "1970-01-01T00:00:00Z"},
	    {951782399, "2000-02-28T23:59:59Z"},
	    {951782400, "2000-02-29T00:00:00Z"},
	    {951868800, "2000-03-01T00:00:00Z"},
	    {1735689599, "2024-12-31T23:59:59Z"},
	    {1735689600, "2025-01-01T00:00:00Z"},
	    {4107542400, "2100-03-01T00:00:00Z"},
	    {-1, "before 1970"},
	};
	struct refusals r;
	char text[LIMIT_EVIDENCE], want[64];
	size_t i;

	(void)state;
	memset(&r, 0, sizeof(r));
	for (i = 0; i < sizeof(date) / sizeof(date[0]); i++) {
		r.first.at = date[i].at;
		refusal_evidence(&r, text, sizeof(text));
		(void)snprintf(
		    want, sizeof(want), "refused twice: %s 4401", date[i].text);
		assert_memory_equal(text, want, strlen(want));
	}
}

/* The longest there can be fits. */
static void
test_evidence_is_bounded(void **state)
{
	struct world *w = *state;
	char reason[124];

	memset(reason, 1, sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	w->skew = INT64_MIN;
	world_up(w);
	world_time(w, 20000);
	world_close(w, 4401, reason);
	refuse(w, reason);
	answer(w, -50);
	assert_disabled(w);
	assert_in_range(strlen(w->evidence), 300, LIMIT_EVIDENCE);
	assert_true(strstr(w->evidence, "clock -50 s") != NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_before_any_success_it_is_retried),
	    WORLD_TEST(test_a_success_is_told),
	    WORLD_TEST(test_twice_after_a_success_is_a_revocation),
	    WORLD_TEST(test_a_success_of_an_earlier_run),
	    WORLD_TEST(test_a_success_in_between_clears_it),
	    WORLD_TEST(test_at_once_only_now_and_then),
	    WORLD_TEST(test_network_failures_decide_nothing),
	    WORLD_TEST(test_http_401_is_no_refusal),
	    WORLD_TEST(test_expired_is_never_a_revocation),
	    WORLD_TEST(test_expired_clears_a_refusal),
	    WORLD_TEST(test_expired_before_any_success),
	    WORLD_TEST(test_evidence),
	    cmocka_unit_test(test_evidence_has_the_date),
	    WORLD_TEST(test_evidence_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
