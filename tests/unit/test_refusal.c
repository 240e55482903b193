/* SPDX-License-Identifier: ISC */
/* What a close with 4401 says of the credential, in each order of events. */
#include "world.h"

/* The present dial comes as far as a hello, and is refused. */
static void
refuse(struct world *w, const char *reason)
{
	if (w->gw->link.state == LINK_WAIT)
		world_time(w, w->gw->link.next_dial - w->now);
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	world_upgrade(w);
	world_close(w, 4401, reason);
}

/* The present dial asks for the time; skew INT64_MIN: it is not told. */
static void
answer(struct world *w, int64_t skew)
{
	int mints = w->mints, asks = w->asks;

	assert_int_equal(w->gw->link.state, LINK_DIAL);
	link_event(w->gw, LE_DIALED, "x");
	link_event(w->gw, LE_TLS_UP, "x");
	assert_int_equal(w->gw->link.state, LINK_ASK);
	assert_int_equal(w->asks, asks + 1);
	assert_int_equal(w->mints, mints); /* no token is spent on it */
	if (skew != INT64_MIN)
		link_date(w->gw, core_unix(w->c) + skew);
	refusal_answered(w->gw);
	world_turn(w);
}

static int
says(const struct world *w, const char *text)
{
	return strstr(w->gw->link.reason, text) != NULL;
}

/* No dial for an hour. */
static void
assert_disabled(struct world *w)
{
	int dials = w->dials;

	assert_string_equal(w->state, "disabled");
	assert_true(says(w, "credential revoked: refused twice"));
	world_time(w, 3600000);
	assert_int_equal(w->dials, dials);
	assert_int_equal(w->revoked, 1);
}

/* Healthy for long enough that the next dial may be made at once. */
static void
stay(struct world *w)
{
	int i;

	for (i = 0; i < 7; i++) {
		world_time(w, 10000);
		world_message(w, "\n");
	}
}

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
	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
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
	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
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
	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
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

/* --- relay-authd's word --- */

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

	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
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

	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
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
	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
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
	world_up(w);
	world_close(w, 4401, "unauthorized");
	refuse(w, "unauthorized");
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
	    WORLD_TEST(test_clocks_apart_decide_nothing),
	    WORLD_TEST(test_clocks_a_minute_apart),
	    WORLD_TEST(test_clocks_apart_before_any_success),
	    WORLD_TEST(test_clocks_apart_at_the_second),
	    WORLD_TEST(test_time_is_asked_for_where_none_is_told),
	    WORLD_TEST(test_time_asked_for_is_far_away),
	    WORLD_TEST(test_time_asked_for_is_not_told),
	    WORLD_TEST(test_asking_fails),
	    WORLD_TEST(test_an_old_time_is_no_answer),
	    WORLD_TEST(test_evidence),
	    cmocka_unit_test(test_evidence_has_the_date),
	    WORLD_TEST(test_evidence_is_bounded),
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
