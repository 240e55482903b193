/* SPDX-License-Identifier: ISC */
/* relay-ctl import: a credential from the environment file of a host that ran
 * something else. */
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "envfile.h"
#include "field.h"
#include "intake.h"
#include "json.h"
#include "utf8.h"

static const struct {
	const char *name, *member;
	size_t max; /* bytes of the value */
	int required;
} wanted[] = {
    {"GATEWAY_RELAY_ID", "id", LIMIT_ID, 1},
    {"GATEWAY_RELAY_SECRET", "secret", LIMIT_SECRET, 1},
    {"GATEWAY_RELAY_DELIVERY_KEY", "delivery_key", LIMIT_SECRET, 0},
    {"GATEWAY_RELAY_URL", "url", LIMIT_PATH, 0},
    {"GATEWAY_RELAY_WAKE_URL", "wake_url", LIMIT_PATH, 0},
};
#define NWANTED (sizeof(wanted) / sizeof(wanted[0]))

/* Places at which wanted variables stand in a file; more is no settings file
 * of anyone's. */
#define PLACES_MAX 64

#define STDIN "standard input"

struct import {
	const char *path;	    /* for people */
	struct span value[NWANTED]; /* the last counts, as in a shell */
	struct {
		size_t which;
		unsigned first, last; /* lines */
	} place[PLACES_MAX];
	size_t nplace;
};

/* Why a value cannot be taken, or NULL. */
static const char *
bad_value(const struct envfile_var *v, size_t max)
{
	size_t i;

	if (v->expands != 0)
		return "a shell would put something else where the $ or ~ "
		       "stands, and nothing is expanded here; put the value "
		       "in single quotes if it is meant as it stands, else "
		       "write it out";
	if (v->value.len > max)
		return "the value is too long";
	for (i = 0; i < v->value.len; i++)
		if ((unsigned char)v->value.p[i] < ' ' || v->value.p[i] == 0x7f)
			return "a control character or a newline stands in the "
			       "value";
	if (utf8_valid_prefix(v->value.p, v->value.len) < v->value.len)
		return "the value is not UTF-8";
	return NULL;
}

/* One variable of the file.  0, or -1 after saying why it cannot be taken. */
static int
take(struct import *im, const struct envfile_var *v)
{
	const char *why;
	size_t i;

	for (i = 0; i < NWANTED; i++)
		if (span_eq(v->name, span_str(wanted[i].name)))
			break;
	if (i == NWANTED)
		return 0;
	if ((why = bad_value(v, wanted[i].max)) != NULL) {
		ctl_warn("%s:%u: %s: %s", im->path,
		    v->expands != 0 ? v->expands : v->first, wanted[i].name,
		    why);
		return -1;
	}
	if (im->nplace == PLACES_MAX) {
		ctl_warn("%s: more than %d lines that set GATEWAY_RELAY_...",
		    im->path, PLACES_MAX);
		return -1;
	}
	im->value[i] = v->value;
	im->place[im->nplace].which = i;
	im->place[im->nplace].first = v->first;
	im->place[im->nplace].last = v->last;
	im->nplace++;
	return 0;
}

/* 0 with all that is wanted, or -1 after saying what is wrong where. */
static int
parse(struct import *im, struct buf *text)
{
	struct envfile_var v;
	struct envfile e;
	size_t i;
	int r;

	envfile_init(&e, text->p + text->off, buf_len(text));
	while ((r = envfile_next(&e, &v)) == 1)
		if (take(im, &v) == -1)
			return -1;
	if (r == -1) {
		ctl_warn("%s:%u: %s", im->path, e.line, e.why);
		return -1;
	}
	for (i = 0; i < NWANTED; i++)
		if (wanted[i].required && im->value[i].len == 0) {
			ctl_warn("%s sets no %s, without which there is no "
				 "credential",
			    im->path, wanted[i].name);
			return -1;
		}
	return 0;
}

static void
put_import(struct buf *req, const struct ctl *ctl, const struct import *im)
{
	size_t i;

	auth_begin(req, "import");
	json_put_member_str(req, "gateway", span_str(ctl->arg[0]));
	for (i = 0; i < NWANTED; i++)
		if (im->value[i].len > 0)
			json_put_member_str(
			    req, wanted[i].member, im->value[i]);
}

/* Which lines the file may lose. */
static void
tell_lines(const struct import *im, FILE *f)
{
	size_t i;

	if (strcmp(im->path, STDIN) == 0)
		return; /* nobody knows what file it is */
	fprintf(f,
	    "%s still holds the secret; relayd needs these lines of it no "
	    "more, and they may be deleted:\n",
	    im->path);
	for (i = 0; i < im->nplace; i++) {
		fprintf(f, "  line%s %u",
		    im->place[i].first == im->place[i].last ? "" : "s",
		    im->place[i].first);
		if (im->place[i].last != im->place[i].first)
			fprintf(f, "-%u", im->place[i].last);
		fprintf(f, ": %s\n", wanted[im->place[i].which].name);
	}
}

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	(void)o;
	(void)reply;
	if (f != NULL)
		fprintf(f, "%s has the credential now; it connects by itself\n",
		    (const char *)arg);
	return CTL_OK;
}

/* Read the file and make the request of it.  0, or -1 after saying why. */
static int
prepare(struct import *im, const struct ctl *ctl, struct buf *req)
{
	struct buf text;
	int r = -1;

	buf_init(&text, 0);
	if (intake_file(&text, ctl->arg[1], ENVFILE_MAX, INTAKE_WARN) == 0 &&
	    parse(im, &text) == 0) {
		put_import(req, ctl, im);
		r = 0;
	}
	memset(im->value, 0, sizeof(im->value));
	buf_free(&text);
	return r;
}

int
cmd_import(struct ctl *ctl)
{
	struct import im = {0};
	struct client c;
	struct span reply;
	struct buf req;
	int status;

	im.path = strcmp(ctl->arg[1], "-") == 0 ? STDIN : ctl->arg[1];
	intake_shield();
	if (prepare(&im, ctl, &req) == -1)
		return CTL_FAILED;
	status = auth_do(&c, ctl, &req, AUTH_WAIT_STORE, NULL, &reply);
	if (status == CTL_OK) {
		status = out_show(&ctl->out, reply, render, ctl->arg[0]);
		tell_lines(&im, ctl->out.json ? stderr : stdout);
	}
	client_close(&c);
	return status;
}
