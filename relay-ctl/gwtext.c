/* SPDX-License-Identifier: ISC */
/* A gateway's state in words. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "gwtext.h"

/* Seconds of difference between the clocks from which tokens are in danger:
 * they live for 300. */
#define SKEW_TOLD 60

static const struct {
	const char *state;
	int status;
	enum tint tint;
} states[] = {
    {"connected", CTL_OK, TINT_GOOD},
    {"idle", CTL_OK, TINT_NONE},
    {"dormant", CTL_OK, TINT_NONE},
    {"connecting", CTL_UNSETTLED, TINT_WARN},
    {"retrying", CTL_UNSETTLED, TINT_BAD},
    {"stopping", CTL_UNSETTLED, TINT_WARN},
    {"disabled", CTL_DISABLED, TINT_DIM},
    {"unprovisioned", CTL_UNPROVISIONED, TINT_WARN},
};
#define NSTATES (sizeof(states) / sizeof(states[0]))
_Static_assert(NSTATES == GWTEXT_STATES, "a state is missing, or not counted");

const struct ctl_words gwtext_words = {
    "STATE", states, NSTATES, sizeof(states[0])};

static size_t
find(struct span state)
{
	size_t i;

	for (i = 0; i < NSTATES; i++)
		if (state.p != NULL &&
		    span_eq(state, span_str(states[i].state)))
			break;
	return i;
}

int
gwtext_match(const char *given)
{
	return ctl_match(
	    "the states", given, states, NSTATES, sizeof(states[0]));
}

int
gwtext_index(struct span state)
{
	size_t i = find(state);

	return i == NSTATES ? -1 : (int)i;
}

const char *
gwtext_state(int i)
{
	return states[i].state;
}

int
gwtext_gravity(int i)
{
	static const int order[] = {[TINT_NONE] = 1,
	    [TINT_GOOD] = 0,
	    [TINT_WARN] = 3,
	    [TINT_BAD] = 4,
	    [TINT_DIM] = 2};

	return i < 0 ? 5 : order[states[i].tint];
}

int
gwtext_exit(struct span state)
{
	size_t i = find(state);

	return i == NSTATES ? CTL_UNSETTLED : states[i].status;
}

enum tint
gwtext_tint(struct span state)
{
	size_t i = find(state);

	return i == NSTATES ? TINT_WARN : states[i].tint;
}

/* The attempts of a gateway that dials no more are history. */
static int
dials(struct span state)
{
	return span_eq(state, SPAN_LIT("connecting")) ||
	    span_eq(state, SPAN_LIT("retrying"));
}

static void
note_link(struct table *t, struct obj *g, enum tint tint)
{
	int64_t attempt =
	    dials(field_str(g, "state")) ? field_int(g, "attempt", 0) : 0;
	double next = field_num(g, "next_attempt_in_s", -1);
	char when[OUT_AGE];
	struct span reason;

	if (next >= 0)
		table_note(t, tint, "attempt %" PRId64 ", the next in %s",
		    attempt, out_delay(when, next));
	else if (attempt > 0 &&
	    gwtext_exit(field_str(g, "state")) == CTL_UNSETTLED)
		table_note(
		    t, tint, "attempt %" PRId64 " is under way", attempt);
	reason = field_str(g, "reason");
	if (reason.len > 0)
		table_note(t, tint, "%.*s", (int)reason.len, reason.p);
}

/* Why there is none, unless the state's reason says so already. */
static void
note_credential(struct table *t, struct obj *g)
{
	struct obj sub;
	struct span why;

	if (obj_sub(&sub, g, "credential") != 0 || field_true(&sub, "usable"))
		return;
	why = field_str(&sub, "reason");
	if (why.len > 0 && !span_eq(why, field_str(g, "reason")))
		table_note(
		    t, TINT_WARN, "credential: %.*s", (int)why.len, why.p);
}

/* Identities that the link does without: each has the words for all. */
static void
note_skipped(struct table *t, struct obj *g)
{
	struct span all = field_raw(g, "identities"), elem, why;
	struct obj id;
	size_t pos = 0;

	while (json_each(all, &pos, &elem) == 1) {
		if (obj_parse(&id, elem) == -1 ||
		    (why = field_str(&id, "skipped")).len == 0)
			continue;
		table_note(t, TINT_WARN, "not all identities are fronted: %.*s",
		    (int)why.len, why.p);
		break;
	}
}

#define OLD \
	"; or relay-ctl enable $g when the connector takes the old one again"

/* What ends a revocation, $g being the gateway.  The last is for all others. */
static const struct {
	const char *source, *todo;
} renewals[] = {
    {"file",
	"put the new secret into its file, where it is taken by itself" OLD},
    {"directory",
	"restart relayd with the new secret in its credential directory" OLD},
    {"environment",
	"restart relayd with the new secret in its environment" OLD},
    {"provisioned", "relay-ctl enable $g has a new credential provisioned"},
    {"", "relay-ctl enroll $g for a new credential" OLD},
};
#define RENEWALS (sizeof(renewals) / sizeof(renewals[0]))

void
gwtext_renew(struct buf *b, struct span gateway, struct span source)
{
	const char *p;
	size_t i = 0, n;

	while (
	    i < RENEWALS - 1 && !span_eq(source, span_str(renewals[i].source)))
		i++;
	buf_adds(b, SPAN_LIT("ask who runs the connector; then "));
	for (p = renewals[i].todo; *p != '\0'; p += n) {
		n = strcspn(p, "$");
		buf_add(b, p, n);
		if (p[n] == '\0')
			continue;
		buf_adds(b, gateway);
		n += 2;
	}
}

/* What ends it: a restart alone does not. */
static void
note_disabled(struct table *t, struct obj *g)
{
	struct span name = field_str(g, "name"), source = {NULL, 0};
	struct obj credential;
	struct buf todo;

	if (span_eq(field_raw(g, "revoked"), SPAN_LIT("null"))) {
		table_note(t, TINT_DIM,
		    "it stays so, over restarts too, until relay-ctl enable "
		    "%.*s",
		    (int)name.len, name.p == NULL ? "" : name.p);
		return;
	}
	if (obj_sub(&credential, g, "credential") == 0)
		source = field_str(&credential, "source");
	buf_init(&todo, 0);
	gwtext_renew(&todo, name, source);
	table_note(t, TINT_DIM, "it stays so, over restarts too: %.*s",
	    (int)buf_len(&todo), buf_span(&todo).p);
	buf_free(&todo);
}

void
gwtext_notes(struct table *t, struct obj *g)
{
	struct span state = field_str(g, "state");
	size_t i = find(state);
	double skew = field_num(g, "clock_skew_s", 0);
	char age[OUT_AGE];
	struct obj sub;

	if (i == NSTATES || states[i].tint == TINT_BAD ||
	    states[i].tint == TINT_WARN || states[i].tint == TINT_DIM)
		note_link(t, g, gwtext_tint(state));
	if (i < NSTATES && states[i].status == CTL_DISABLED)
		note_disabled(t, g);
	note_credential(t, g);
	note_skipped(t, g);
	if (skew < 0)
		skew = -skew;
	if (skew > SKEW_TOLD)
		table_note(t, TINT_WARN,
		    "our clock and the connector's differ by %s: a wrong clock "
		    "looks like a wrong key",
		    out_age(age, (int64_t)skew));
	if (obj_sub(&sub, g, "journal") == 0 && field_int(&sub, "aside", 0) > 0)
		table_note(t, TINT_WARN,
		    "%" PRId64 " put aside, since agents do not survive them: "
		    "relay-ctl show quarantine",
		    field_int(&sub, "aside", 0));
	if (obj_sub(&sub, g, "queue") == -1)
		return;
	if (field_true(&sub, "paused"))
		table_note(t, TINT_BAD,
		    "too many events wait for agents: nothing is read from the "
		    "connector");
	else if (field_true(&sub, "hushed"))
		table_note(t, TINT_WARN,
		    "too many events wait for agents: the connector was asked "
		    "to keep what comes");
}

int
gwtext_each(struct span reply, const char *name,
    void (*fn)(struct obj *g, void *arg), void *arg)
{
	struct span elem;
	struct obj *o;
	size_t pos = 0;
	int n = 0;

	if ((o = malloc(2 * sizeof(*o))) == NULL)
		return 0;
	obj_parse(&o[0], reply);
	while (json_each(field_raw(&o[0], "gateways"), &pos, &elem) == 1) {
		if (obj_parse(&o[1], elem) == -1)
			continue;
		if (name != NULL &&
		    !span_eq(field_str(&o[1], "name"), span_str(name)))
			continue;
		fn(&o[1], arg);
		n++;
	}
	free(o);
	return n;
}
