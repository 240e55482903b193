/* SPDX-License-Identifier: ISC */
/*
 * What relay-authd tells of a credential, and is told: words that cross, come
 * early, or come from a relay-authd that was restarted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../idle_io.h"

#include "../../relayd/engine_cred.c"

/* What was sent to relay-authd. */
static struct {
	int worked, refused, revoked, enable, lost;
	uint64_t conn;
	char text[LIMIT_EVIDENCE + 1];
} sent;

double
engine_wall(void)
{
	return 1795341600.5;
}

int
child_send(struct child *c, enum role peer, enum msg_type type, uint32_t corr,
    const void *fields, int fd)
{
	const struct msg_revoked *r = fields;

	(void)c;
	(void)corr;
	assert_int_equal(peer, ROLE_AUTHD);
	assert_int_equal(fd, -1);
	if (sent.lost)
		return -1;
	sent.worked += type == MSG_WORKED;
	sent.refused += type == MSG_REFUSED;
	sent.revoked += type == MSG_REVOKED;
	sent.enable += type == MSG_ENABLE;
	if (type == MSG_REVOKED) {
		assert_int_equal(r->gateway, 0);
		sent.conn = r->conn;
		span_copy(sent.text, sizeof(sent.text), r->evidence);
	}
	return 0;
}

static const struct core_io io = {IDLE_IO, .fared = engine_cred_fared};

struct fixture {
	struct engine e;
	struct engine_gw eg;
	struct gateway *gw;
	uint32_t generation, skipped;
};

static void
add_gateway(struct fixture *f)
{
	struct gateway_conf gc = {
	    .reconnect_min_ms = 10, .reconnect_max_ms = 100, .nidentity = 2};

	strlcpy(gc.name, "main", sizeof(gc.name));
	strlcpy(gc.identity[0].platform, "discord",
	    sizeof(gc.identity[0].platform));
	strlcpy(
	    gc.identity[1].platform, "slack", sizeof(gc.identity[1].platform));
	f->eg.e = &f->e;
	strlcpy(f->eg.name, "main", sizeof(f->eg.name));
	f->gw = f->eg.gw = core_gateway_add(f->e.core, 0, &gc, NULL, &f->eg);
	assert_non_null(f->gw);
	f->e.gw[0] = &f->eg;
}

static int
setup(void **state)
{
	static const unsigned char random[32] = {1};
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&sent, 0, sizeof(sent));
	f->e.core = core_new(&io, NULL, random, 1000);
	assert_non_null(f->e.core);
	f->generation = 1;
	add_gateway(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	core_free(f->e.core);
	engine_cred_forget(&f->e);
	free(f->eg.standing.evidence);
	free(f);
	return 0;
}

static void
tell_credential(struct fixture *f, int usable)
{
	struct msg m = {.type = MSG_CREDENTIAL, .fd = -1};

	m.u.credential.usable = usable != 0;
	m.u.credential.generation = f->generation;
	m.u.credential.source = CRED_ENROLLED;
	m.u.credential.id = SPAN_LIT("gw-1");
	m.u.credential.tenant = SPAN_LIT("t1");
	m.u.credential.policy = SPAN_LIT("taken");
	m.u.credential.reason = usable ? SPAN_LIT("") : SPAN_LIT("none");
	m.u.credential.skipped = f->skipped;
	m.u.credential.skipped_why = SPAN_LIT("403");
	assert_null(engine_cred_told(&f->e, f->e.gw[0], &m));
}

static void
tell_standing(struct fixture *f, int worked, int revoked)
{
	struct msg m = {.type = MSG_STANDING, .fd = -1};

	m.u.standing.worked = worked != 0;
	m.u.standing.revoked = revoked != 0;
	m.u.standing.revoked_at = revoked ? 1700000000 : 0;
	m.u.standing.evidence = revoked ? SPAN_LIT("of disk") : SPAN_LIT("");
	assert_null(engine_cred_standing(&f->e, f->e.gw[0], &m));
}

static void
tell(struct fixture *f, int worked, int revoked)
{
	tell_credential(f, 1);
	tell_standing(f, worked, revoked);
}

/* As engine_link.c does for a new pipe. */
static void
restart_authd(struct fixture *f)
{
	engine_cred_forget(&f->e);
	f->eg.cred_first = 1;
	f->generation = 1;
}

static enum link_state
state_of(const struct fixture *f)
{
	return f->gw->link.state;
}

/* A handshake with a token for this connection. */
static void
up(struct fixture *f, uint64_t conn)
{
	if (state_of(f) == LINK_WAIT)
		link_event(f->gw, LE_TIMER, "x");
	assert_int_equal(state_of(f), LINK_DIAL);
	link_event(f->gw, LE_DIALED_PLAIN, "x");
	f->eg.token_conn = conn;
	link_event(f->gw, LE_TOKEN, "x");
	link_date(f->gw, core_unix(f->e.core));
	link_event(f->gw, LE_UPGRADED, "x");
	assert_int_equal(state_of(f), LINK_HELLO);
}

static void
revoke(struct fixture *f)
{
	up(f, 6);
	link_closed(f->gw, 4401, SPAN_LIT("no"));
	up(f, 7);
	link_closed(f->gw, 4401, SPAN_LIT("no"));
	assert_int_equal(state_of(f), LINK_DISABLED);
}

static void
test_a_credential_waits_for_its_standing(void **state)
{
	struct fixture *f = *state;

	tell_credential(f, 1);
	assert_int_equal(state_of(f), LINK_UNPROVISIONED);
	tell_standing(f, 0, 1);
	assert_int_equal(state_of(f), LINK_DISABLED);
	assert_string_equal(f->gw->link.reason, "credential revoked: of disk");
	assert_int_equal(f->eg.standing.revoked_at, 1700000000);
	assert_int_equal(f->gw->count.dials, 0);
	assert_string_equal(f->eg.cred.tenant, "t1");
	assert_string_equal(f->eg.cred.policy, "taken");
}

static void
test_skipped_identities(void **state)
{
	struct fixture *f = *state;

	f->skipped = 2;
	tell(f, 0, 0);
	assert_string_equal(f->eg.cred.skipped_why, "403");
	up(f, 5);
	assert_int_equal(f->gw->greeted, 1);
	tell(f, 0, 0);
	assert_int_equal(state_of(f), LINK_HELLO);
	f->skipped = 0;
	tell(f, 0, 0);
	assert_int_equal(state_of(f), LINK_CLOSE);
	/* All of them is as none. */
	f->skipped = 3;
	tell(f, 0, 0);
	assert_int_equal(f->gw->skipped, 0);
}

/* A relay-authd that ends between the two has said nothing. */
static void
test_half_a_word_is_none(void **state)
{
	struct fixture *f = *state;

	tell_credential(f, 1);
	restart_authd(f);
	tell_credential(f, 0);
	tell_standing(f, 0, 0);
	assert_int_equal(state_of(f), LINK_UNPROVISIONED);
	assert_string_equal(f->gw->link.reason, "none");
}

static void
test_told_before_the_gateway_is_there(void **state)
{
	struct fixture *f = *state;

	f->e.gw[0] = NULL;
	tell(f, 1, 1);
	assert_int_equal(state_of(f), LINK_UNPROVISIONED);
	f->e.gw[0] = &f->eg;
	engine_cred_early(&f->eg);
	assert_int_equal(state_of(f), LINK_DISABLED);
	tell_standing(f, 1, 0); /* alone: of the same credential */
	assert_int_equal(state_of(f), LINK_DIAL);
}

static void
test_the_gateway_is_there_between_the_two(void **state)
{
	struct fixture *f = *state;

	f->e.gw[0] = NULL;
	tell_credential(f, 1);
	f->e.gw[0] = &f->eg;
	engine_cred_early(&f->eg);
	assert_int_equal(state_of(f), LINK_UNPROVISIONED);
	tell_standing(f, 1, 0);
	assert_int_equal(state_of(f), LINK_DIAL);
}

/* What was complete is not, when more is told. */
static void
test_told_again_in_part(void **state)
{
	struct fixture *f = *state;

	f->e.gw[0] = NULL;
	tell(f, 1, 0);
	tell_credential(f, 1);
	f->e.gw[0] = &f->eg;
	engine_cred_early(&f->eg);
	assert_int_equal(state_of(f), LINK_UNPROVISIONED);
	tell_standing(f, 1, 1);
	assert_int_equal(state_of(f), LINK_DISABLED);
}

static void
test_a_standing_of_nothing(void **state)
{
	struct fixture *f = *state;
	struct msg m = {.type = MSG_STANDING, .fd = -1};

	m.u.standing.evidence = SPAN_LIT("");
	assert_non_null(engine_cred_standing(&f->e, &f->eg, &m));
}

static void
test_success_is_told_until_it_is_kept(void **state)
{
	struct fixture *f = *state;

	tell(f, 0, 0);
	up(f, 5);
	link_event(f->gw, LE_DESCRIPTOR, "x");
	assert_int_equal(sent.worked, 1);
	link_event(f->gw, LE_LOST, "x");
	tell(f, 1, 0);
	up(f, 6);
	link_event(f->gw, LE_DESCRIPTOR, "x");
	assert_int_equal(sent.worked, 1);
}

static void
test_refusal_before_success_is_told(void **state)
{
	struct fixture *f = *state;

	tell(f, 0, 0);
	up(f, 5);
	link_closed(f->gw, 4401, SPAN_LIT("no"));
	assert_int_equal(sent.refused, 1);
	assert_int_equal(sent.revoked, 0);
}

static void
test_revocation_is_told_and_confirmed(void **state)
{
	struct fixture *f = *state;

	tell(f, 1, 0);
	revoke(f);
	assert_int_equal(sent.revoked, 1);
	assert_int_equal(sent.conn, 7);
	assert_non_null(strstr(sent.text, "refused twice"));
	assert_string_equal(f->eg.standing.evidence, sent.text);
	assert_int_equal(f->eg.standing.revoked_at, 1795341600);
	tell(f, 1, 1);
	assert_int_equal(state_of(f), LINK_DISABLED);
	tell(f, 1, 0); /* it was taken away */
	assert_int_equal(state_of(f), LINK_DIAL);
}

/* relay-authd told us again what it knew, while our word was on its way. */
static void
test_a_word_that_crosses_ours(void **state)
{
	struct fixture *f = *state;

	tell(f, 1, 0);
	revoke(f);
	tell(f, 1, 0);
	assert_int_equal(state_of(f), LINK_DISABLED);
	assert_int_equal(sent.revoked, 1);
	tell(f, 1, 1);
	assert_int_equal(state_of(f), LINK_DISABLED);
}

/* It died with our word unread, or before we could say it. */
static void
test_a_mark_that_was_lost_is_told_again(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 2; i++) {
		restart_authd(f);
		tell(f, 1, 0);
		sent.lost = i;
		revoke(f);
		sent.lost = 0;
		sent.revoked = 0;
		restart_authd(f);
		tell(f, 1, 0);
		assert_int_equal(state_of(f), LINK_DISABLED);
		assert_int_equal(sent.revoked, 1);
		assert_int_equal(sent.conn, 7);
		tell(f, 1, 1);
		tell(f, 1, 0); /* enabled */
		assert_int_equal(state_of(f), LINK_DIAL);
	}
}

/* It was kept, and is no more: that was done while relay-authd was away. */
static void
test_a_mark_that_was_kept_is_believed(void **state)
{
	struct fixture *f = *state;

	tell(f, 1, 0);
	revoke(f);
	tell(f, 1, 1);
	restart_authd(f);
	tell(f, 1, 1);
	assert_int_equal(state_of(f), LINK_DISABLED);
	restart_authd(f);
	tell(f, 1, 0);
	assert_int_equal(state_of(f), LINK_DIAL);
	assert_int_equal(sent.revoked, 1);
}

static void
test_another_credential_ends_it(void **state)
{
	struct fixture *f = *state;

	tell(f, 1, 0);
	revoke(f);
	f->generation++;
	tell(f, 0, 0);
	assert_int_equal(state_of(f), LINK_DIAL);
	assert_false(f->eg.standing.unsure);
}

static void
test_enable(void **state)
{
	struct fixture *f = *state;

	tell(f, 1, 0);
	revoke(f);
	sent.lost = 1;
	assert_int_equal(engine_cred_enable(&f->eg, 0, 1), -1);
	sent.lost = 0;
	assert_int_equal(engine_cred_enable(&f->eg, 0, 1), 0);
	assert_int_equal(sent.enable, 1);
	assert_int_equal(state_of(f), LINK_DISABLED);
	tell_standing(f, 1, 0);
	assert_int_equal(state_of(f), LINK_DIAL);
}

/* The first word of another relay-authd may be of another secret: what was
 * refused before it counts no more, nor what worked, unless it says so. */
static void
test_a_restart_forgets_what_was_seen(void **state)
{
	struct fixture *f = *state;

	tell(f, 0, 0);
	up(f, 5);
	link_event(f->gw, LE_DESCRIPTOR, "x");
	link_closed(f->gw, 4401, SPAN_LIT("no"));
	restart_authd(f);
	tell(f, 0, 0);
	up(f, 6);
	link_closed(f->gw, 4401, SPAN_LIT("no"));
	assert_int_equal(sent.revoked, 0);
	assert_int_equal(sent.refused, 1);
	assert_int_equal(state_of(f), LINK_WAIT);
	tell(f, 1, 0);
	up(f, 7);
	link_closed(f->gw, 4401, SPAN_LIT("no")); /* the first */
	restart_authd(f);
	tell(f, 1, 0);
	up(f, 8);
	link_closed(f->gw, 4401, SPAN_LIT("no")); /* the first, again */
	assert_int_equal(sent.revoked, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_a_credential_waits_for_its_standing),
	    T(test_skipped_identities),
	    T(test_half_a_word_is_none),
	    T(test_told_before_the_gateway_is_there),
	    T(test_the_gateway_is_there_between_the_two),
	    T(test_told_again_in_part),
	    T(test_a_standing_of_nothing),
	    T(test_success_is_told_until_it_is_kept),
	    T(test_refusal_before_success_is_told),
	    T(test_revocation_is_told_and_confirmed),
	    T(test_a_word_that_crosses_ours),
	    T(test_a_mark_that_was_lost_is_told_again),
	    T(test_a_mark_that_was_kept_is_believed),
	    T(test_another_credential_ends_it),
	    T(test_enable),
	    T(test_a_restart_forgets_what_was_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
