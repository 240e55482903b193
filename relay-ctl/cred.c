/* SPDX-License-Identifier: ISC */
/* relay-ctl enroll and forget, and the row of show credentials. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ask.h"
#include "auth.h"
#include "gwtext.h"
#include "intake.h"
#include "json.h"
#include "show.h"

/* What may stand where a gateway's name does: a token put there by mistake
 * must not be sent, nor come back in a refusal. */
static int
check_name(const char *name)
{
	size_t len = strlen(name);

	if (len > 0 && len <= LIMIT_NAME &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len)
		return 0;
	ctl_usage("enroll",
	    "the argument is no gateway's name: at most %d of a-z, 0-9, _ "
	    "and -",
	    LIMIT_NAME);
	return -1;
}

static void
put_enroll(struct buf *req, const struct ctl *ctl, const struct buf *token)
{
	static const struct {
		enum ctl_opt opt;
		const char *member;
	} more[] = {
	    {OPT_GATEWAY_ID, "gateway_id"},
	    {OPT_CONNECTOR_URL, "connector_url"},
	    {OPT_WAKE_URL, "wake_url"},
	};
	size_t i;

	auth_begin(req, "enroll");
	json_put_member_str(req, "gateway", span_str(ctl->arg[0]));
	if (buf_len(token) > 0)
		json_put_member_str(req, "token", buf_span(token));
	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		if (ctl->opt[more[i].opt] != NULL)
			json_put_member_str(req, more[i].member,
			    span_str(ctl->opt[more[i].opt]));
}

static int
render_enroll(const struct out *o, FILE *f, struct span reply, void *arg)
{
	const char *gateway = arg;
	struct obj root;
	char *id, *tenant;

	(void)o;
	if (f == NULL)
		return CTL_OK;
	obj_parse(&root, reply);
	id = out_safe(field_str(&root, "gateway_id"));
	tenant = out_safe(field_str(&root, "tenant"));
	fprintf(f, "%s is enrolled", gateway);
	if (id != NULL && id[0] != '\0')
		fprintf(f, " as %s", id);
	if (tenant != NULL && tenant[0] != '\0')
		fprintf(f, ", tenant %s", tenant);
	fprintf(f, "; it connects by itself\n");
	free(id);
	free(tenant);
	return CTL_OK;
}

int
cmd_enroll(struct ctl *ctl)
{
	char *gateway = ctl->arg[0];
	struct client c;
	struct span reply = {NULL, 0};
	struct buf token, req;
	int status;

	intake_shield();
	if (check_name(gateway) == -1)
		return CTL_USAGE;
	if ((status = auth_reach(ctl)) != CTL_OK)
		return status;
	buf_init(&token, 0);
	if (intake_token(&token, ctl->opt[OPT_TOKEN_FILE], gateway) == -1) {
		buf_free(&token);
		return CTL_FAILED;
	}
	put_enroll(&req, ctl, &token);
	buf_free(&token);
	status = auth_do(
	    &c, ctl, &req, AUTH_WAIT_ENROLL, "asking the connector", &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render_enroll, gateway);
	else if (reply.p == NULL && c.fd != -1)
		ctl_warn("whether %s was enrolled, and the token used up, "
			 "relay-ctl show credentials tells",
		    gateway);
	if (status == CTL_OK && ctl->opt[OPT_WAKE_URL] != NULL)
		ctl_warn("note: the wake URL is kept, but enrolment does not "
			 "tell the connector of it; only provisioning does");
	client_close(&c);
	return status;
}

static int
render_forget(const struct out *o, FILE *f, struct span reply, void *arg)
{
	const char *gateway = arg;

	(void)o;
	(void)reply;
	if (f != NULL)
		fprintf(f, "the credential of %s is removed\n", gateway);
	return CTL_OK;
}

int
cmd_forget(struct ctl *ctl)
{
	char *gateway = ctl->arg[0];
	struct client c;
	struct span reply;
	struct buf req;
	int status;

	if ((status = auth_reach(ctl)) != CTL_OK)
		return status;
	if (ctl->opt[OPT_YES] == NULL &&
	    !ask_yes("remove the credential of %s?  Only a new "
		     "enrolment or import brings one back.",
		gateway)) {
		ctl_warn("nothing was removed");
		return CTL_FAILED;
	}
	auth_begin(&req, "forget");
	json_put_member_str(&req, "gateway", span_str(gateway));
	status = auth_do(&c, ctl, &req, AUTH_WAIT_STORE, NULL, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render_forget, gateway);
	client_close(&c);
	return status;
}

/* Text of several lines, a note each. */
static void
note_lines(struct table *t, enum tint tint, struct span text)
{
	const char *nl;
	size_t n;

	while (text.len > 0) {
		nl = memchr(text.p, '\n', text.len);
		n = nl == NULL ? text.len : (size_t)(nl - text.p);
		if (n > 0)
			table_note(t, tint, "  %.*s", (int)n, text.p);
		n += nl != NULL;
		text.p += n;
		text.len -= n;
	}
}

/* Seconds since a moment that relay-authd told, by the same clock. */
static const char *
ago(char buf[OUT_AGE], const struct obj *of)
{
	int64_t at = field_int(of, "at", -1), now = (int64_t)time(NULL);

	return out_age(buf, at < 0 ? -1 : at > now ? 0 : now - at);
}

static void
refusal_cell(struct table *t, const struct obj *cred, struct obj *refusal)
{
	char age[OUT_AGE];
	struct span what;

	if (obj_sub(refusal, cred, "last_refusal") == -1) {
		table_text(t, TINT_NONE, SPAN_LIT("never"));
		return;
	}
	what = field_str(refusal, "what");
	table_fmt(t, TINT_WARN, "%.*s %s ago", (int)what.len,
	    what.p == NULL ? "" : what.p, ago(age, refusal));
}

static void
cred_notes(struct table *t, struct obj *cred, struct obj *refusal)
{
	char age[OUT_AGE];
	struct obj revoked;
	struct buf todo;
	struct span s = field_str(cred, "reason");

	if (!field_true(cred, "usable") && s.len > 0)
		table_note(t, TINT_WARN, "%.*s", (int)s.len, s.p);
	s = field_str(refusal, "reason");
	if (s.len > 0)
		table_note(t, TINT_WARN, "last refusal: %.*s", (int)s.len, s.p);
	if (obj_sub(&revoked, cred, "revoked") == -1)
		return;
	buf_init(&todo, 0);
	gwtext_renew(
	    &todo, field_str(cred, "gateway"), field_str(cred, "source"));
	table_note(t, TINT_BAD, "revoked %s ago: %.*s", ago(age, &revoked),
	    (int)buf_len(&todo), buf_span(&todo).p);
	buf_free(&todo);
	note_lines(t, TINT_BAD, field_str(&revoked, "evidence"));
}

void
show_credential(struct show *s, struct obj *cred)
{
	struct table *t = &s->table;
	struct obj refusal;
	char text[OUT_AGE];
	int64_t age = field_int(cred, "age_s", -1);

	table_text(t, TINT_NONE, field_str(cred, "gateway"));
	table_text(t, field_true(cred, "usable") ? TINT_NONE : TINT_WARN,
	    field_str(cred, "source"));
	table_text(t, TINT_NONE, field_str(cred, "gateway_id"));
	table_text(t, TINT_NONE, field_str(cred, "tenant"));
	table_fmt(t, TINT_NONE, "%s", age < 0 ? "-" : out_age(text, age));
	table_fmt(
	    t, TINT_NONE, "%" PRId64, field_int(cred, "tokens_minted", 0));
	refusal_cell(t, cred, &refusal);
	cred_notes(t, cred, &refusal);
}
