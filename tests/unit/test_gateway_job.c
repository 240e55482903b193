/* SPDX-License-Identifier: ISC */
/* What gateways have done by exchanges, step by step: tokens from each source,
 * policies, deadlines, and what breaks the rules. */
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authd_world.h"

static void
test_oauth(void **state)
{
	struct world *w = *state;
	const struct msg *q;

	w->source = TOKEN_OAUTH;
	world_commit(w);
	world_secret(w, WANT_CLIENT_SECRET, "p+ss", "");
	q = world_exchange(w, XCHG_IDP);
	assert_int_equal(q->u.xrequest.answer, ANSWER_TOKEN);
	assert_int_equal(q->u.xrequest.bearer.len, 0);
	assert_true(span_eq(q->u.xrequest.body,
	    SPAN_LIT("grant_type=client_credentials&client_id=c%261&"
		     "client_secret=p%2Bss&scope=a%20b")));
	world_answer(w, q,
	    (struct msg_xanswer){.status = 200, .token = SPAN_LIT("jwt")});
	q = world_exchange(w, XCHG_CONNECTOR);
	assert_true(span_eq(q->u.xrequest.bearer, SPAN_LIT("jwt")));
}

static void
test_metadata_and_command(void **state)
{
	struct world *w = *state;
	const struct msg *q;

	w->source = TOKEN_METADATA;
	world_commit(w);
	q = world_exchange(w, XCHG_IDP);
	assert_int_equal(q->u.xrequest.content_type.len, 0);
	assert_int_equal(q->u.xrequest.body.len, 0);
	world_answer(w, q,
	    (struct msg_xanswer){.stage = XSTAGE_TLS,
		.reason = SPAN_LIT("certificate has expired")});
	assert_true(span_has(world_credential(w)->reason,
	    "no identity token: certificate has expired"));
	w->source = TOKEN_COMMAND;
	world_commit(w);
	q = world_exchange(w, XCHG_COMMAND);
	assert_int_equal(q->u.xrequest.answer, ANSWER_COMMAND);
	world_answer(w, q, (struct msg_xanswer){.token = SPAN_LIT("cmd")});
	q = world_exchange(w, XCHG_CONNECTOR);
	assert_true(span_eq(q->u.xrequest.bearer, SPAN_LIT("cmd")));
}

static unsigned
told_refusals(const struct world *w)
{
	return (unsigned)world_last(w, MSG_STANDING)->u.standing.refusals;
}

/* A refusal is told when it comes, not with what is told next. */
static void
test_refusals_are_told_at_once(void **state)
{
	struct world *w = *state;

	w->identities = 2;
	world_begin(w);
	assert_int_equal(told_refusals(w), 0);
	world_refuse(w, 403); /* the second identity's turn is to come */
	assert_non_null(job_of(&w->gs.jobs, 0));
	assert_int_equal(told_refusals(w), 1);
	world_grant(w, "good");
	assert_int_equal(told_refusals(w), 1);
	w->identities = 0;
	world_commit(w);
	assert_null(gateway_enroll(
	    &w->gs, 0, 9, SPAN_LIT("one-time"), SPAN_LIT(""), SPAN_LIT("")));
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_refuse(w, 403);
	assert_int_equal(told_refusals(w), 2);
	/* Whoever gives identity tokens is not the connector. */
	w->source = TOKEN_OAUTH;
	world_commit(w);
	assert_null(gateway_enroll(
	    &w->gs, 0, 9, SPAN_LIT("one-time"), SPAN_LIT(""), SPAN_LIT("")));
	world_secret(w, WANT_CLIENT_SECRET, "pass", "");
	world_answer(w, world_exchange(w, XCHG_IDP),
	    (struct msg_xanswer){.stage = XSTAGE_REFUSED,
		.status = 401,
		.reason = SPAN_LIT("go away")});
	assert_string_equal(w->code, "no_identity_token");
	assert_int_equal(told_refusals(w), 2);
}

static void
test_deadlines(void **state)
{
	struct world *w = *state;
	struct msg late = {.type = MSG_XCONNECTED};
	const struct msg *q;

	world_begin(w);
	q = world_next(w, MSG_WANT_EXCHANGE);
	assert_non_null(q);
	world_wait(w, JOB_EXCHANGE_MS - 1);
	assert_non_null(job_of(&w->gs.jobs, 0));
	world_wait(w, 1);
	assert_null(job_of(&w->gs.jobs, 0));
	assert_non_null(world_last(w, MSG_XDIAL_CANCEL));
	assert_true(span_has(world_credential(w)->reason, "no answer in time"));
	/* What comes now crossed: its descriptor is closed. */
	late.corr = q->corr;
	late.fd = world_file("socket");
	int fd = late.fd;
	assert_null(job_message(&w->gs.jobs, &late, w->gs.now_ms));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void
test_tried_again_after_a_deadline(void **state)
{
	struct world *w = *state;

	world_begin(w);
	w->gs.now_ms += JOB_EXCHANGE_MS;
	/* Nothing else will come that would have it looked at again. */
	assert_int_equal(gateway_tick(&w->gs), w->gs.now_ms + 1000);
	assert_null(job_of(&w->gs.jobs, 0));
	world_wait(w, 1000);
	world_secret(w, WANT_IDENTITY, "id-token", "");
}

static void
test_exchange_is_gone(void **state)
{
	struct world *w = *state;

	world_begin(w);
	w->gone = 1;
	assert_null(world_exchange(w, XCHG_CONNECTOR));
	assert_true(
	    span_has(world_credential(w)->reason, "the exchange ended"));
}

static void
test_offences(void **state)
{
	struct world *w = *state;
	struct msg m = {.type = MSG_XANSWER, .fd = -1};
	const struct msg *q;

	world_begin(w);
	q = world_next(w, MSG_WANT_EXCHANGE);
	m.corr = q->corr;
	assert_non_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
	m.type = MSG_SECRET;
	assert_non_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
	m.type = MSG_XCONNECTED;
	m.fd = world_file("one");
	assert_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
	m.fd = world_file("two");
	assert_non_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
}

static void
test_policy(void **state)
{
	struct world *w = *state;
	const struct msg *q;

	w->secret = "pinned";
	w->policy = "{\"platform\":\"discord\"}";
	world_commit(w);
	q = world_exchange(w, XCHG_CONNECTOR);
	assert_true(span_eq(q->u.xrequest.path, SPAN_LIT("/relay/policy")));
	assert_true(span_eq(q->u.xrequest.body, span_str(w->policy)));
	assert_true(q->u.xrequest.bearer.len > 64);
	world_answer(w, q, (struct msg_xanswer){.status = 200});
	assert_true(span_eq(world_credential(w)->policy, SPAN_LIT("accepted")));
	world_commit(w);
	NOTHING(w, MSG_WANT_EXCHANGE);
	w->policy = "{\"platform\":\"slack\"}";
	world_commit(w);
	for (int i = 0; i < GATEWAY_POLICY_TRIES; i++) {
		world_refuse(w, 500);
		world_wait(w, 60000);
	}
	NOTHING(w, MSG_WANT_EXCHANGE);
	assert_true(span_has(world_credential(w)->policy, "given up"));
	assert_true(world_credential(w)->usable);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_oauth),
	    WORLD_TEST(test_metadata_and_command),
	    WORLD_TEST(test_refusals_are_told_at_once),
	    WORLD_TEST(test_deadlines),
	    WORLD_TEST(test_tried_again_after_a_deadline),
	    WORLD_TEST(test_exchange_is_gone),
	    WORLD_TEST(test_offences),
	    WORLD_TEST(test_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
