/* SPDX-License-Identifier: ISC */
/*
 * Whether the connectors take the credentials: relay-authd alone has them, so
 * the running relayd is asked how they fared.
 */
#include <sys/stat.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "client.h"
#include "explain.h"
#include "field.h"
#include "gwtext.h"
#include "json.h"

#define C STEP_CREDENTIAL

/* Seconds within which relayd has taken a secret that is changed: it looks
 * every two, and wants to see it at rest. */
#define TAKEN_S 8
/* Seconds that may be lost where times are told in whole ones. */
#define SLACK_S 2

struct fared {
	struct check *k;
	const char *name; /* of the configuration, or NULL */
	char *own, *state, *source, *lacks, *evidence, *phase, *why;
	int code, http;
	int64_t ago, handshake, age;
	int usable, worked, off, revoked, repeats;
};

static char *
text(struct obj *o, const char *key)
{
	struct span s = field_str(o, key);

	return out_safe(s.p == NULL ? SPAN_LIT("") : s);
}

static void
read_one(struct fared *f, struct obj *g)
{
	struct facts facts;
	struct obj o;

	f->own = text(g, "name");
	f->state = text(g, "state");
	f->handshake = field_int(g, "last_handshake_s", -1);
	f->off = field_true(g, "switched_off");
	obj_sub(&o, g, "credential");
	f->source = text(&o, "source");
	f->lacks = text(&o, "reason");
	f->usable = field_true(&o, "usable");
	f->worked = field_true(&o, "worked");
	f->age = field_int(&o, "age_s", -1);
	f->revoked = obj_sub(&o, g, "revoked") == 0;
	f->evidence = text(&o, "evidence");
	f->ago = -1;
	if (obj_sub(&o, g, "last_failure") == 0)
		f->ago = field_int(&o, "ago_s", -1);
	f->phase = text(&o, "phase");
	f->why = text(&o, "reason");
	f->code = (int)field_int(&o, "code", 0);
	f->http = (int)field_int(&o, "http_status", 0);
	f->repeats = facts_read(&facts, g) == 0 && (facts.is & F_REPEATS) != 0;
	facts_free(&facts);
}

static void
free_one(struct fared *f)
{
	free(f->own);
	free(f->state);
	free(f->source);
	free(f->lacks);
	free(f->evidence);
	free(f->phase);
	free(f->why);
}

/* The connector's own refusals: by close code and by HTTP status. */
#define CLOSE_REFUSED 4401
#define HTTP_REFUSED  401

/* It came after the last handshake: what that shows, it does not. */
static int
is_untried(const struct fared *f)
{
	return !f->worked && f->age >= 0 && f->handshake >= f->age;
}

/* A refusal of the credential that is there now. */
static int
is_refused(const struct fared *f)
{
	return strcmp(f->state, "connected") != 0 &&
	    (f->code == CLOSE_REFUSED || f->http == HTTP_REFUSED) &&
	    !(is_untried(f) && f->ago > f->age);
}

static void
untried(struct fared *f)
{
	char age[OUT_AGE], shaken[OUT_AGE];

	if (strcmp(f->state, "connected") == 0)
		check_add(f->k, CHECK_WARN, C, f->name,
		    "not tried yet (%s): it was taken %s ago, and this link's "
		    "handshake, %s ago, was made with the one before it\n"
		    "relay-ctl reconnect %s tries it, then relay-ctl check "
		    "again",
		    f->source, out_age(age, f->age),
		    out_age(shaken, f->handshake), f->own);
	else
		check_add(f->k, CHECK_WARN, C, f->name,
		    "not shown yet (%s): it was taken %s ago, and the last "
		    "handshake, %s ago, was made with the one before it; now "
		    "%s\nrelay-ctl reconnect %s tries it, then relay-ctl check "
		    "again",
		    f->source, out_age(age, f->age),
		    out_age(shaken, f->handshake), f->state, f->own);
}

/*
 * A secret's file that was changed after what relayd has was taken.  It is
 * looked at, and not opened: relayd, which takes a good one by itself, alone
 * can tell whether it holds the same or was refused.
 */
static void
look_at_file(struct fared *f)
{
	const struct conf *c = f->k->conf;
	const char *path = NULL;
	char changed[OUT_AGE], age[OUT_AGE];
	struct stat st;
	int64_t ago;
	size_t i;

	for (i = 0; c != NULL && f->name != NULL && i < c->ngateway; i++)
		if (strcmp(c->gateway[i].name, f->name) == 0)
			path = c->gateway[i].secret.file;
	if (path == NULL || strcmp(f->source, "file") != 0 || f->age < 0 ||
	    stat(path, &st) == -1)
		return;
	ago = (int64_t)time(NULL) - (int64_t)st.st_mtim.tv_sec;
	if (ago < TAKEN_S || ago + SLACK_S > f->age)
		return;
	check_add(f->k, CHECK_WARN, C, f->name,
	    "%s was changed %s ago, and relayd lives by what it took %s ago: "
	    "the file holds the same, or was refused\nrelayd's log tells which "
	    "(event=credential); if it was refused, put a good secret there "
	    "before relayd is started again",
	    path, out_age(changed, ago), out_age(age, f->age));
}

static void
judge(struct fared *f)
{
	struct check *k = f->k;
	char age[OUT_AGE];

	if (f->revoked)
		check_add(k, CHECK_FAIL, C, f->name,
		    "revoked, by this evidence: %s\nask who runs the "
		    "connector; then relay-ctl enroll gets a new one, or "
		    "relay-ctl enable tries the old one",
		    f->evidence);
	else if (!f->usable)
		check_add(k, CHECK_FAIL, C, f->name,
		    "there is none that can be used (%s): %s\nmend that and "
		    "relay-ctl reload, or get one with relay-ctl enroll or "
		    "relay-ctl import",
		    f->source, f->lacks);
	else if (is_refused(f))
		check_add(k, CHECK_FAIL, C, f->name,
		    "refused (%s) %s ago, code %d: %s\nsee relay-ctl explain: "
		    "which credential it is, and whether it ever worked",
		    f->source, out_age(age, f->ago),
		    f->code != 0 ? f->code : f->http, f->why);
	else if (is_untried(f))
		untried(f);
	else if (f->repeats)
		check_add(k, CHECK_WARN, C, f->name,
		    "accepted (%s), the last handshake was %s ago; but the "
		    "connections end soon after their handshakes; now %s\n"
		    "see whether another relayd, on a cloned host for "
		    "instance, uses the id of this gateway: each takes the "
		    "link from the other",
		    f->source, out_age(age, f->handshake), f->state);
	else if (strcmp(f->state, "connected") == 0)
		check_add(k, CHECK_OK, C, f->name,
		    "accepted (%s): connected, the handshake was %s ago",
		    f->source, out_age(age, f->handshake));
	else if (f->handshake >= 0)
		check_add(k, CHECK_OK, C, f->name,
		    "accepted (%s): the last handshake was %s ago; now %s",
		    f->source, out_age(age, f->handshake), f->state);
	else if (f->ago >= 0)
		check_add(k, CHECK_WARN, C, f->name,
		    "not shown since relayd's engine started (%s): each dial "
		    "fails, the last %s ago at %s: %s; %s\nsee relay-ctl "
		    "explain",
		    f->source, out_age(age, f->ago), f->phase, f->why,
		    f->worked ? "it has worked earlier" : "it never worked");
	else
		check_add(k, CHECK_SKIP, C, f->name,
		    "not tried so far (%s): %s; %s", f->source,
		    f->off ? "switched off" : f->state,
		    f->worked ? "it has worked earlier" : "it never worked");
}

/* The name as the configuration has it, which outlives the reply. */
static const char *
own_name(const struct check *k, struct span name)
{
	size_t i;

	if (k->only != NULL)
		return k->only;
	for (i = 0; k->conf != NULL && i < k->conf->ngateway; i++)
		if (span_eq(span_str(k->conf->gateway[i].name), name))
			return k->conf->gateway[i].name;
	return NULL;
}

static void
one(struct obj *g, void *arg)
{
	struct fared f = {.k = arg};

	f.name = own_name(f.k, field_str(g, "name"));
	read_one(&f, g);
	look_at_file(&f);
	judge(&f);
	free_one(&f);
}

/* Nobody answers: say who did not, and what one could do. */
static void
silent(struct check *k, enum client_result r)
{
	char how[STATE_TEXT];
	struct state st;

	if (r == CLIENT_DENIED) {
		check_add(k, CHECK_SKIP, C, NULL,
		    "relayd's sockets are not for us\nask as root, or as a "
		    "member of control.group");
		return;
	}
	if (state_read(&st, k->ctl) == 0 && st.alive) {
		state_describe(&st, "the engine", how);
		check_add(k, CHECK_FAIL, C, NULL,
		    "relayd runs and does not answer: %s\ntry again, then look "
		    "at relayd's log",
		    how);
	} else {
		check_add(k, CHECK_SKIP, C, NULL,
		    "relayd is not running: whether a connector takes a "
		    "credential it alone can tell, since nobody else has the "
		    "secret\nstart it, and relay-ctl check again");
	}
	state_free(&st);
}

void
check_credentials(struct check *k)
{
	struct client c;
	struct span reply;
	enum client_result r;
	struct buf req;
	struct obj o;

	client_begin(&req, "status");
	client_gateway(&req, k->only);
	r = client_ask(&c, k->ctl, &req, 1, CLIENT_WAIT_STATUS, &reply);
	if (r != CLIENT_OK)
		silent(k, r);
	else if (obj_parse(&o, reply) == -1 || !field_true(&o, "ok"))
		check_add(k, CHECK_FAIL, C, k->only,
		    "relayd refused to tell its status\nsee relay-ctl status");
	else
		gwtext_each(reply, k->only, one, k);
	client_close(&c);
}
