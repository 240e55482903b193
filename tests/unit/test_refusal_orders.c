/* SPDX-License-Identifier: ISC */
/*
 * Whatever the connector and the network answer, in every order: a credential
 * counts as revoked after two refusals that count, with nothing in between
 * that takes the first one back, and never otherwise.
 */
#include "world.h"

#define STEPS 5

enum answer {
	A_REFUSED, /* 4401 */
	A_EXPIRED, /* 4401 "expired" */
	A_SKEWED,  /* 4401, and the clocks differ */
	A_401,	   /* from a proxy in between, perhaps */
	A_NETWORK, /* no connection */
	A_CUT,	   /* lost before the first descriptor */
	A_UP,	   /* a handshake, lost again */
	ANSWERS
};

static const char names[] = "RES4NCU";

static void
answer(struct world *w, enum answer a)
{
	if (a == A_NETWORK) {
		link_event(w->gw, LE_DIAL_FAILED, "no route");
		return;
	}
	if (a == A_401) {
		link_event(w->gw, LE_DIALED_PLAIN, "x");
		link_event(w->gw, LE_TOKEN, "x");
		link_http_status(w->gw, 401);
		link_date(w->gw, core_unix(w->c));
		link_event(w->gw, LE_UPGRADE_REFUSED, "HTTP 401");
		return;
	}
	w->skew = a == A_SKEWED ? 300 : 0;
	world_upgrade(w);
	if (a == A_UP)
		world_descriptor(w, "discord");
	if (a == A_UP || a == A_CUT)
		link_event(w->gw, LE_LOST, "cut");
	else
		world_close(w, 4401, a == A_EXPIRED ? "expired" : "no");
}

/* What the contract says, in its own words. */
static int
is_revoked(const enum answer *seq, int worked)
{
	int i, refused = 0;

	for (i = 0; i < STEPS; i++) {
		if (seq[i] == A_UP)
			worked = 1;
		if (seq[i] == A_UP || seq[i] == A_EXPIRED || seq[i] == A_SKEWED)
			refused = 0;
		if (seq[i] == A_REFUSED && worked && ++refused == 2)
			return 1;
	}
	return 0;
}

static void
run(const enum answer *seq, int worked)
{
	struct world *w = world_new();
	char text[STEPS + 1] = "";
	int i, revoked;

	core_standing(w->gw, worked, 0, "");
	core_credential(w->gw, 1, 1, "x");
	for (i = 0; i < STEPS && w->gw->link.state != LINK_DISABLED; i++) {
		text[i] = names[seq[i]];
		if (w->gw->link.state == LINK_WAIT)
			world_time(w, w->gw->link.next_dial - w->now);
		if (w->gw->link.state != LINK_DIAL)
			fail_msg("%s: no dial", text);
		answer(w, seq[i]);
	}
	revoked = w->gw->link.state == LINK_DISABLED;
	if (revoked != is_revoked(seq, worked) || w->revoked != revoked)
		fail_msg(
		    "%s (%d): %srevoked", text, worked, revoked ? "" : "not ");
	world_free(w);
}

static void
test_every_order(void **state)
{
	enum answer seq[STEPS];
	int n, i, k, all = 1;

	(void)state;
	for (i = 0; i < STEPS; i++)
		all *= ANSWERS;
	for (n = 0; n < all; n++) {
		for (i = 0, k = n; i < STEPS; i++, k /= ANSWERS)
			seq[i] = (enum answer)(k % ANSWERS);
		run(seq, 0);
		run(seq, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
