/* SPDX-License-Identifier: ISC */
/* Credentials over their life, on a clock that is set: provisioned, kept,
 * enrolled, refused, revoked. */
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../relay-authd/secret.c"
#undef SECRET_SPACE

#include "../../relay-authd/gateway.c"

#include "../../relay-authd/gateway_conf.c"

#include "authd_world.h"

#define NOTHING(w, type) assert_null(world_next(w, type))

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

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "s3cret");
	world_stop(w, 1);
	world_start(w);
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
	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
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
	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "first");
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
	world_stop(w, 1);
	world_start(w);
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
	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "stale");
	world_refuse(w, 403);
	world_engine(w, MSG_REFUSED, 5);
	world_wait(w, RENEWAL_MS);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "fresh");
	world_grant(w, "too");
	assert_true(vault_same(w->secrets.live[0].text, SPAN_LIT("fresh")));
	assert_int_equal(world_credential(w)->skipped, 0);
}

static void
test_added_identity_is_provisioned(void **state)
{
	struct world *w = *state;

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "first");
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
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "s3cret");
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
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "s3cret");
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

static void
test_deadlines(void **state)
{
	struct world *w = *state;
	struct msg late = {.type = MSG_XCONNECTED};
	const struct msg *q;

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
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

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
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

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
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

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
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
	for (int i = 0; i < POLICY_TRIES; i++) {
		world_refuse(w, 500);
		world_wait(w, 60000);
	}
	NOTHING(w, MSG_WANT_EXCHANGE);
	assert_true(span_has(world_credential(w)->policy, "given up"));
	assert_true(world_credential(w)->usable);
}

static void
test_renewed_when_it_never_worked(void **state)
{
	struct world *w = *state;
	uint32_t generation;

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "stale");
	generation = (uint32_t)world_credential(w)->generation;
	for (int round = 0; round < RENEWALS; round++) {
		for (int i = 0; i < 3; i++)
			world_engine(w, MSG_REFUSED, 5);
		world_wait(w, ((uint64_t)RENEWAL_MS << round) - 1);
		NOTHING(w, MSG_WANT_SECRET);
		world_wait(w, 1);
		world_secret(w, WANT_IDENTITY, "id-token", "");
		world_grant(w, "fresh");
	}
	assert_int_equal(
	    world_credential(w)->generation, generation + RENEWALS);
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

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "good");
	world_engine(w, MSG_WORKED, 7);
	assert_true(world_last(w, MSG_STANDING)->u.standing.worked);
	for (int i = 0; i < 100; i++)
		world_engine(w, MSG_REFUSED, 8);
	world_wait(w, 3600000);
	NOTHING(w, MSG_WANT_SECRET);
}

static void
test_mark_outlives_restarts(void **state)
{
	struct world *w = *state;
	const struct msg_standing *st;

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "good");
	world_engine(w, MSG_WORKED, 7);
	world_engine(w, MSG_REVOKED, 8);
	world_stop(w, 0);
	close(w->kept);
	w->kept = -1;
	world_start(w);
	world_commit(w);
	st = &world_last(w, MSG_STANDING)->u.standing;
	assert_true(st->revoked && st->worked);
	assert_int_equal(st->revoked_at, 1700000000);
	assert_true(span_eq(st->evidence, SPAN_LIT("4401 twice\\x0aand more")));
	world_wait(w, 3600000);
	NOTHING(w, MSG_WANT_SECRET);
	world_engine(w, MSG_ENABLE, 0);
	assert_false(world_last(w, MSG_STANDING)->u.standing.revoked);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "new");
	assert_true(world_credential(w)->usable);
}

static void
test_enable_drops_what_was_provisioned(void **state)
{
	struct world *w = *state;

	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "good");
	world_engine(w, MSG_REVOKED, 8);
	assert_true(world_credential(w)->usable);
	world_engine(w, MSG_ENABLE, 0);
	assert_false(world_credential(w)->usable);
	assert_int_equal(w->kept, -1);
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, "new");
	assert_true(vault_same(w->secrets.live[0].text, SPAN_LIT("new")));
}

static void
test_changed_pinned_secret_ends_the_mark(void **state)
{
	struct world *w = *state;

	w->secret = "pinned";
	world_commit(w);
	world_engine(w, MSG_REVOKED, 3);
	world_commit(w);
	assert_true(world_last(w, MSG_STANDING)->u.standing.revoked);
	w->permits.last = 5;
	w->secret = "another";
	world_commit(w);
	assert_false(world_last(w, MSG_STANDING)->u.standing.revoked);
	/* The old one's refusal comes late. */
	world_engine(w, MSG_REVOKED, 5);
	assert_false(world_last(w, MSG_STANDING)->u.standing.revoked);
	world_engine(w, MSG_REVOKED, 6);
	assert_true(world_last(w, MSG_STANDING)->u.standing.revoked);
}

static void
test_pinned_secret_changed_meanwhile(void **state)
{
	struct world *w = *state;

	w->secret = "one";
	world_commit(w);
	world_engine(w, MSG_WORKED, 7);
	world_engine(w, MSG_REVOKED, 8);
	world_stop(w, 0);
	world_start(w);
	world_commit(w);
	assert_true(world_last(w, MSG_STANDING)->u.standing.revoked);
	world_stop(w, 0);
	world_start(w);
	w->secret = "two";
	world_commit(w);
	assert_false(world_last(w, MSG_STANDING)->u.standing.revoked);
	world_stop(w, 0);
	world_start(w);
	w->secret = "one";
	world_commit(w);
	assert_false(world_last(w, MSG_STANDING)->u.standing.revoked);
}

static void
test_pinned_and_not_to_be_had(void **state)
{
	struct world *w = *state;
	const struct span f[CRED_FIELDS] = {[CRED_URL] = span_str(w->url),
	    [CRED_ASKED] = span_str(w->id),
	    [CRED_ID] = span_str(w->id),
	    [CRED_HOW] = SPAN_LIT("imported"),
	    [CRED_SINCE] = SPAN_LIT("1700000000"),
	    [CRED_SECRET] = SPAN_LIT("imported")};

	world_commit(w);
	assert_null(gateway_import(&w->gs, 0, f));
	assert_true(world_credential(w)->usable);
	world_stop(w, 0);
	world_start(w);
	/* What is named goes before: neither its file nor a provisioning takes
	 * its place. */
	w->unusable = "/etc/secret: Permission denied: give it";
	world_commit(w);
	world_wait(w, 3600000);
	assert_false(world_credential(w)->usable);
	assert_int_equal(world_credential(w)->source, CRED_FILE);
	assert_true(
	    span_eq(world_credential(w)->reason, span_str(w->unusable)));
	NOTHING(w, MSG_WANT_SECRET);
	w->unusable = NULL;
	world_commit(w);
	assert_true(world_credential(w)->usable);
}

static void
test_enrols(void **state)
{
	struct world *w = *state;
	const struct msg *q;

	world_commit(w);
	assert_non_null(world_next(w, MSG_WANT_SECRET));
	assert_null(gateway_enroll(&w->gs, 0, 9, SPAN_LIT("one-time"),
	    SPAN_LIT("gw-mine"), SPAN_LIT("https://w")));
	assert_string_equal(gateway_enroll(&w->gs, 0, 9, SPAN_LIT("one-time"),
				SPAN_LIT(""), SPAN_LIT("")),
	    "busy");
	world_secret(w, WANT_IDENTITY, "id-token", "");
	q = world_exchange(w, XCHG_CONNECTOR);
	assert_true(span_eq(q->u.xrequest.path, SPAN_LIT("/relay/enroll")));
	assert_true(span_eq(q->u.xrequest.body,
	    SPAN_LIT("{\"enrollmentToken\":\"one-time\","
		     "\"gatewayId\":\"gw-mine\"}")));
	world_answer(w, q,
	    (struct msg_xanswer){.status = 200, .secret = SPAN_LIT("kept")});
	assert_int_equal(w->enrolments, 1);
	assert_null(w->code);
	assert_int_equal(world_credential(w)->source, CRED_ENROLLED);
	assert_true(span_eq(world_credential(w)->id, SPAN_LIT("gw-mine")));
	/* A new process finds it. */
	world_stop(w, 0);
	world_start(w);
	world_commit(w);
	assert_true(vault_same(w->secrets.live[0].text, SPAN_LIT("kept")));
	assert_null(gateway_forget(&w->gs, 0));
	assert_false(world_credential(w)->usable);
	assert_int_equal(faccessat(w->gs.dir, "credential.main", F_OK, 0), -1);
}

static void
test_enrolment_refused(void **state)
{
	static const struct {
		unsigned status;
		const char *code;
	} cases[] = {{401, "identity_refused"}, {403, "token_refused"},
	    {500, "connector"}};
	struct world *w = *state;

	w->identities = 0;
	world_commit(w);
	for (size_t i = 0; i < 3; i++) {
		assert_null(gateway_enroll(
		    &w->gs, 0, 9, SPAN_LIT("tok"), SPAN_LIT(""), SPAN_LIT("")));
		world_secret(w, WANT_IDENTITY, "id-token", "");
		world_refuse(w, cases[i].status);
		assert_string_equal(w->code, cases[i].code);
		assert_non_null(strstr(w->why, "go away"));
	}
	assert_null(gateway_enroll(
	    &w->gs, 0, 9, (struct span){NULL, 0}, SPAN_LIT(""), SPAN_LIT("")));
	world_secret(w, WANT_ENROLL_TOKEN, NULL, "the variable is not set");
	assert_string_equal(w->code, "bad_request");
	assert_null(gateway_enroll(
	    &w->gs, 0, 9, SPAN_LIT("tok"), SPAN_LIT(""), SPAN_LIT("")));
	world_secret(w, WANT_IDENTITY, NULL, "not there");
	assert_string_equal(w->code, "no_identity_token");
	w->secret = "pinned";
	world_commit(w);
	assert_string_equal(gateway_enroll(&w->gs, 0, 9, SPAN_LIT("tok"),
				SPAN_LIT(""), SPAN_LIT("")),
	    "pinned");
}

static struct span
import(struct world *w, const char *secret)
{
	const struct span f[CRED_FIELDS] = {
	    [CRED_URL] = span_str(w->url),
	    [CRED_ASKED] = SPAN_LIT("gw-host"),
	    [CRED_ID] = SPAN_LIT("gw-old"),
	    [CRED_HOW] = SPAN_LIT("imported"),
	    [CRED_SINCE] = SPAN_LIT("1600000000"),
	    [CRED_SECRET] = span_str(secret),
	};

	assert_null(gateway_import(&w->gs, 0, f));
	return w->secrets.live[0].text;
}

static void
test_import_rotates(void **state)
{
	struct world *w = *state;
	uint64_t generation;

	world_commit(w);
	assert_true(vault_same(import(w, "old"), SPAN_LIT("old")));
	assert_null(job_of(&w->gs.jobs, 0));
	generation = world_credential(w)->generation;
	world_engine(w, MSG_REVOKED, 2);
	assert_true(vault_same(import(w, "new"), SPAN_LIT("new")));
	assert_int_equal(world_credential(w)->generation, generation + 1);
	assert_false(world_last(w, MSG_STANDING)->u.standing.revoked);
	/* The same file again is no change. */
	world_commit(w);
	assert_int_equal(world_credential(w)->generation, generation + 1);
	assert_int_equal(world_credential(w)->since, 1600000000);
	/* For another connector it is no credential. */
	w->url = "https://d.example";
	world_commit(w);
	assert_false(world_credential(w)->usable);
	assert_true(span_has(world_credential(w)->reason, "enroll again"));
	NOTHING(w, MSG_WANT_EXCHANGE);
}

static void
test_damaged_file_at_reload(void **state)
{
	struct world *w = *state;
	int fd;

	world_commit(w);
	import(w, "good");
	fd = openat(w->gs.dir, "credential.main", O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "x\n", 2), 2);
	close(fd);
	world_commit(w);
	assert_true(world_credential(w)->usable);
	world_stop(w, 0);
	world_start(w);
	world_commit(w);
	assert_false(world_credential(w)->usable);
	assert_true(span_has(world_credential(w)->reason, "credential.main"));
	NOTHING(w, MSG_WANT_SECRET);
}

static void
test_settings_change_under_a_job(void **state)
{
	struct world *w = *state;

	world_commit(w);
	assert_null(gateway_enroll(
	    &w->gs, 0, 9, SPAN_LIT("tok"), SPAN_LIT(""), SPAN_LIT("")));
	w->url = "https://d.example";
	world_commit(w);
	assert_string_equal(w->code, "busy");
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
	    WORLD_TEST(test_oauth),
	    WORLD_TEST(test_metadata_and_command),
	    WORLD_TEST(test_deadlines),
	    WORLD_TEST(test_tried_again_after_a_deadline),
	    WORLD_TEST(test_exchange_is_gone),
	    WORLD_TEST(test_offences),
	    WORLD_TEST(test_policy),
	    WORLD_TEST(test_renewed_when_it_never_worked),
	    WORLD_TEST(test_not_renewed_once_it_worked),
	    WORLD_TEST(test_mark_outlives_restarts),
	    WORLD_TEST(test_enable_drops_what_was_provisioned),
	    WORLD_TEST(test_changed_pinned_secret_ends_the_mark),
	    WORLD_TEST(test_pinned_secret_changed_meanwhile),
	    WORLD_TEST(test_pinned_and_not_to_be_had),
	    WORLD_TEST(test_enrols),
	    WORLD_TEST(test_enrolment_refused),
	    WORLD_TEST(test_import_rotates),
	    WORLD_TEST(test_damaged_file_at_reload),
	    WORLD_TEST(test_settings_change_under_a_job),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
