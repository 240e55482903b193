/* SPDX-License-Identifier: ISC */
/* Provisioning on a clock that is set: for each identity, kept, tried again,
 * renewed. */
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authd_world.h"

static void
test_provisions_and_keeps(void **state)
{
	struct world *w = *state;
	const struct msg *q;

	world_commit(w);
	assert_false(world_credential(w)->usable);
	world_secret(w, WANT_IDENTITY, "id-token\n", "");
	q = world_exchange(w, XCHG_CONNECTOR);
	assert_true(span_eq(q->u.xrequest.path, SPAN_LIT("/relay/provision")));
	assert_true(span_eq(q->u.xrequest.bearer, SPAN_LIT("id-token")));
	assert_true(span_eq(q->u.xrequest.body,
	    SPAN_LIT("{\"gatewayId\":\"gw-host\",\"platform\":\"discord\","
		     "\"botId\":\"b1\",\"gatewayEndpoint\":\"\","
		     "\"routeKeys\":[\"r1\"],"
		     "\"wakeUrl\":\"https://wake.example\"}")));
	world_answer(w, q,
	    (struct msg_xanswer){.status = 200,
		.secret = SPAN_LIT("s3cret"),
		.tenant = SPAN_LIT("t1"),
		.gateway_id = SPAN_LIT("gw-given")});
	assert_true(world_credential(w)->usable);
	assert_int_equal(world_credential(w)->source, CRED_PROVISIONED);
	assert_true(span_eq(world_credential(w)->id, SPAN_LIT("gw-given")));
	assert_true(span_eq(world_credential(w)->tenant, SPAN_LIT("t1")));
	assert_true(w->kept != -1);
	assert_null(job_of(&w->gs.jobs, 0));
	assert_int_equal(w->gs.all[0].uses[USE_JOB + JOB_PROVISION], 1);
}

static void
test_kept_is_taken_back(void **state)
{
	struct world *w = *state;

	world_provision(w, "s3cret");
	world_restart(w, 1);
	world_commit(w);
	assert_true(world_credential(w)->usable);
	assert_true(vault_same(w->secrets.live[0].text, SPAN_LIT("s3cret")));
	NOTHING(w, MSG_WANT_SECRET);
	/* Not when the gateway's id is another one now. */
	w->id = "gw-other";
	world_commit(w);
	assert_false(world_credential(w)->usable);
	assert_int_equal(w->kept, -1);
	assert_non_null(world_last(w, MSG_WANT_SECRET));
}

static void
test_partial_failure(void **state)
{
	struct world *w = *state;

	w->identities = 3;
	world_begin(w);
	world_refuse(w, 500);
	world_grant(w, "first");
	/* Whoever connects finds all that could be told told. */
	assert_false(world_credential(w)->usable);
	world_grant(w, "second");
	assert_true(world_credential(w)->usable);
	assert_true(vault_same(w->secrets.live[0].text, SPAN_LIT("first")));
	assert_string_equal(
	    w->gs.all[0].refused_why, "discord: connector: HTTP 500: go away");
	assert_int_equal(world_credential(w)->skipped, 1);
	assert_true(span_has(world_credential(w)->skipped_why,
	    "discord: connector: HTTP 500: go away; again in 1 s"));
}

/* One identity is asked for, which this is. */
static const struct msg *
asks_for(struct world *w, const char *platform)
{
	const struct msg *q;
	char text[64];

	world_secret(w, WANT_IDENTITY, "id-token", "");
	q = world_exchange(w, XCHG_CONNECTOR);
	snprintf(text, sizeof(text), "\"platform\":\"%s\"", platform);
	assert_true(span_has(q->u.xrequest.body, text));
	return q;
}

static void
test_skipped_are_tried_again(void **state)
{
	static const struct msg_xanswer no = {
	    .stage = XSTAGE_REFUSED, .status = 403, .reason = SPAN_LIT("no")};
	static const struct msg_xanswer yes = {.status = 200,
	    .secret = SPAN_LIT("later"),
	    .gateway_id = SPAN_LIT("gw-given")};
	struct world *w = *state;

	w->identities = 2;
	w->policy = "{\"a\":1}";
	world_provision(w, "first");
	world_refuse(w, 403);
	assert_int_equal(world_credential(w)->skipped, 2);
	/* The policy of one alone. */
	world_answer(w, world_exchange(w, XCHG_CONNECTOR),
	    (struct msg_xanswer){.status = 200});
	world_wait(w, 1000);
	world_answer(w, asks_for(w, "slack"), no);
	assert_int_equal(world_credential(w)->skipped, 2);
	assert_true(span_has(world_credential(w)->skipped_why, "again in 2 s"));
	/* The next relay-authd knows of it. */
	world_restart(w, 1);
	world_commit(w);
	assert_true(world_credential(w)->usable);
	assert_int_equal(world_credential(w)->skipped, 2);
	world_answer(w, asks_for(w, "slack"), yes);
	assert_int_equal(world_credential(w)->skipped, 0);
	assert_int_equal(world_credential(w)->skipped_why.len, 0);
	assert_int_equal(w->kept_skipped, 0);
	world_wait(w, 3600000);
	NOTHING(w, MSG_WANT_SECRET);
}

static void
test_renewal_is_for_all(void **state)
{
	struct world *w = *state;

	w->identities = 2;
	world_provision(w, "stale");
	world_refuse(w, 403);
	world_engine(w, MSG_REFUSED, 5);
	world_wait(w, GATEWAY_RENEWAL_MS);
	world_again(w, "fresh");
	world_grant(w, "too");
	assert_true(vault_same(w->secrets.live[0].text, SPAN_LIT("fresh")));
	assert_int_equal(world_credential(w)->skipped, 0);
}

static void
test_added_identity_is_provisioned(void **state)
{
	struct world *w = *state;

	world_provision(w, "first");
	w->identities = 3;
	world_commit(w);
	assert_true(world_credential(w)->usable);
	assert_int_equal(world_credential(w)->skipped, 6);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_refuse(w, 403);
	world_grant(w, "second");
	assert_int_equal(world_credential(w)->skipped, 2);
	/* Its place is another now. */
	w->reversed = 1;
	world_commit(w);
	assert_int_equal(world_credential(w)->skipped, 2);
	w->identities = 2;
	world_commit(w);
	assert_int_equal(world_credential(w)->skipped, 1);
}

static void
test_backs_off(void **state)
{
	static const unsigned s[] = {1, 2, 4, 8, 16, 30, 30};
	struct world *w = *state;
	char text[64];

	world_commit(w);
	for (size_t i = 0; i < sizeof(s) / sizeof(s[0]); i++) {
		world_secret(w, WANT_IDENTITY, "id-token", "");
		world_refuse(w, 401);
		snprintf(text, sizeof(text), "go away; again in %u s", s[i]);
		assert_true(span_has(world_credential(w)->reason, text));
		world_wait(w, s[i] * 1000 - 1);
		NOTHING(w, MSG_WANT_SECRET);
		world_wait(w, 1);
	}
	world_again(w, "s3cret");
	assert_true(world_credential(w)->usable);
}

static void
test_waits_for_the_token_file(void **state)
{
	struct world *w = *state;

	world_commit(w);
	for (int i = 0; i < 10; i++) {
		world_secret(w, WANT_IDENTITY, NULL,
		    "/etc/token: No such file or directory");
		assert_true(span_has(world_credential(w)->reason,
		    "no identity token: /etc/token: No such file"));
		world_wait(w, 4999);
		NOTHING(w, MSG_WANT_SECRET);
		world_wait(w, 1);
	}
	world_again(w, "s3cret");
	assert_true(world_credential(w)->usable);
}

static void
test_no_source_is_skipped(void **state)
{
	struct world *w = *state;

	w->source = TOKEN_NONE;
	world_commit(w);
	world_wait(w, 3600000);
	NOTHING(w, MSG_WANT_SECRET);
	assert_true(span_has(world_credential(w)->reason, "no identity_token"));
}

static void
test_renewed_when_it_never_worked(void **state)
{
	struct world *w = *state;
	uint32_t generation;

	world_provision(w, "stale");
	generation = (uint32_t)world_credential(w)->generation;
	for (int round = 0; round < GATEWAY_RENEWALS; round++) {
		for (int i = 0; i < 3; i++)
			world_engine(w, MSG_REFUSED, 5);
		world_wait(w, ((uint64_t)GATEWAY_RENEWAL_MS << round) - 1);
		NOTHING(w, MSG_WANT_SECRET);
		world_wait(w, 1);
		world_again(w, "fresh");
	}
	assert_int_equal(
	    world_credential(w)->generation, generation + GATEWAY_RENEWALS);
	for (int i = 0; i < 100; i++)
		world_engine(w, MSG_REFUSED, 5);
	world_wait(w, 3600000);
	NOTHING(w, MSG_WANT_SECRET);
	assert_string_equal(w->gs.all[0].refused_what, "link");
}

static void
test_not_renewed_once_it_worked(void **state)
{
	struct world *w = *state;

	world_provision(w, "good");
	world_engine(w, MSG_WORKED, 7);
	assert_true(world_last(w, MSG_STANDING)->u.standing.worked);
	for (int i = 0; i < 100; i++)
		world_engine(w, MSG_REFUSED, 8);
	world_wait(w, 3600000);
	NOTHING(w, MSG_WANT_SECRET);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_provisions_and_keeps),
	    WORLD_TEST(test_kept_is_taken_back),
	    WORLD_TEST(test_partial_failure),
	    WORLD_TEST(test_skipped_are_tried_again),
	    WORLD_TEST(test_renewal_is_for_all),
	    WORLD_TEST(test_added_identity_is_provisioned),
	    WORLD_TEST(test_backs_off),
	    WORLD_TEST(test_waits_for_the_token_file),
	    WORLD_TEST(test_no_source_is_skipped),
	    WORLD_TEST(test_renewed_when_it_never_worked),
	    WORLD_TEST(test_not_renewed_once_it_worked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
