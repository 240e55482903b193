/* SPDX-License-Identifier: ISC */
/* Credentials over their life, on a clock that is set: enrolled, imported,
 * refused, revoked. */
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authd_world.h"

/* NULL, or a code. */
static const char *
enroll(struct world *w, const char *token)
{
	return gateway_enroll(
	    &w->gs, 0, 9, span_str(token), SPAN_LIT(""), SPAN_LIT(""));
}

static void
test_mark_outlives_restarts(void **state)
{
	struct world *w = *state;
	const struct msg_standing *st;

	world_provision(w, "good");
	world_engine(w, MSG_WORKED, 7);
	world_engine(w, MSG_REVOKED, 8);
	st = &world_last(w, MSG_STANDING)->u.standing;
	assert_int_equal(st->refusals, 1);
	assert_int_equal(st->refused_at, 1700000000);
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
	world_again(w, "new");
	assert_true(world_credential(w)->usable);
}

static void
test_enable_drops_what_was_provisioned(void **state)
{
	struct world *w = *state;

	world_provision(w, "good");
	world_engine(w, MSG_REVOKED, 8);
	assert_true(world_credential(w)->usable);
	world_engine(w, MSG_ENABLE, 0);
	assert_false(world_credential(w)->usable);
	assert_int_equal(w->kept, -1);
	world_again(w, "new");
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
	world_restart(w, 0);
	world_commit(w);
	assert_true(world_last(w, MSG_STANDING)->u.standing.revoked);
	world_restart(w, 0);
	w->secret = "two";
	world_commit(w);
	assert_false(world_last(w, MSG_STANDING)->u.standing.revoked);
	world_restart(w, 0);
	w->secret = "one";
	world_commit(w);
	assert_false(world_last(w, MSG_STANDING)->u.standing.revoked);
}

/* Import a secret; the one lived by then. */
static struct span
import(struct world *w, const char *secret)
{
	assert_null(gateway_import(&w->gs, 0, SPAN_LIT("gw-old"),
	    span_str(secret), SPAN_LIT(""), SPAN_LIT("")));
	return w->secrets.live[0].text;
}

static void
test_pinned_and_not_to_be_had(void **state)
{
	struct world *w = *state;

	world_commit(w);
	import(w, "imported");
	assert_true(world_credential(w)->usable);
	world_restart(w, 0);
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
	assert_string_equal(enroll(w, "one-time"), "busy");
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
	world_restart(w, 0);
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
		assert_null(enroll(w, "tok"));
		world_secret(w, WANT_IDENTITY, "id-token", "");
		world_refuse(w, cases[i].status);
		assert_string_equal(w->code, cases[i].code);
		assert_non_null(strstr(w->why, "go away"));
	}
	assert_null(gateway_enroll(
	    &w->gs, 0, 9, (struct span){NULL, 0}, SPAN_LIT(""), SPAN_LIT("")));
	world_secret(w, WANT_ENROLL_TOKEN, NULL, "the variable is not set");
	assert_string_equal(w->code, "bad_request");
	assert_null(enroll(w, "tok"));
	world_secret(w, WANT_IDENTITY, NULL, "not there");
	assert_string_equal(w->code, "no_identity_token");
	w->source = TOKEN_COMMAND;
	world_commit(w);
	for (unsigned busy = 0; busy < 2; busy++) {
		assert_null(enroll(w, "tok"));
		world_no_exchange(w, busy, "too early");
		assert_string_equal(
		    w->code, busy ? "busy" : "no_identity_token");
		assert_string_equal(w->why, "no identity token: too early");
	}
	w->secret = "pinned";
	world_commit(w);
	assert_string_equal(enroll(w, "tok"), "pinned");
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
	world_wait(w, 5000);
	world_commit(w);
	assert_int_equal(world_credential(w)->generation, generation + 1);
	assert_int_equal(world_credential(w)->since, 1700000000);
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
	world_restart(w, 0);
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
	assert_null(enroll(w, "tok"));
	w->url = "https://d.example";
	world_commit(w);
	assert_string_equal(w->code, "busy");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
