/* SPDX-License-Identifier: ISC */
/* Operators' commands about credentials; see authsock.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authsock.h"
#include "json.h"
#include "log.h"
#include "schema.h"
#include "secmem.h"

#define ANSWER_MAX (4U * 1024 * 1024) /* a line for each gateway */

enum field {
	F_CMD,
	F_GATEWAY,
	F_TOKEN,
	F_GATEWAY_ID,
	F_CONNECTOR_URL,
	F_WAKE_URL,
	F_ID,
	F_SECRET,
	F_DELIVERY_KEY,
	F_URL,
	FIELDS
};

#define TEXT(name, needed) JSON_WANT(name, JSON_T(JSON_STRING), needed)
static const struct json_want wants[FIELDS] = {
    [F_CMD] = TEXT("cmd", 1),
    [F_GATEWAY] = TEXT("gateway", 0),
    [F_TOKEN] = TEXT("token", 0),
    [F_GATEWAY_ID] = TEXT("gateway_id", 0),
    [F_CONNECTOR_URL] = TEXT("connector_url", 0),
    [F_WAKE_URL] = TEXT("wake_url", 0),
    [F_ID] = TEXT("id", 0),
    [F_SECRET] = TEXT("secret", 0),
    [F_DELIVERY_KEY] = TEXT("delivery_key", 0),
    [F_URL] = TEXT("url", 0),
};

struct command {
	struct authsock *as;
	const struct linesock_client *c;
	uint32_t g;
	struct span f[FIELDS]; /* absent: not given */
};

/* Answers. */

static void
answer(struct authsock *as, uint32_t client, struct buf *b)
{
	buf_add(b, "}", 1);
	linesock_answer(as->sock, client,
	    b->failed ? SPAN_LIT("{\"ok\":false,\"code\":\"storage\","
				 "\"error\":\"no memory for the answer\"}")
		      : buf_span(b));
	buf_free(b);
}

static void
begin(struct buf *b, int ok)
{
	buf_init(b, ANSWER_MAX);
	buf_add(b, "{", 1);
	json_put_member_bool(b, "ok", ok);
	json_put_member_str(b, "version", span_str(VERSION));
}

static void
say_no(struct authsock *as, uint32_t client, const char *code, const char *text)
{
	struct buf b;

	begin(&b, 0);
	json_put_member_str(&b, "code", span_str(code));
	json_put_member_str(&b, "error", span_str(text));
	answer(as, client, &b);
}

/* What a gateway has now. */
static void
confirm(struct authsock *as, uint32_t client, uint32_t g)
{
	const struct secret *s = secret_get(as->gs->secrets, g);
	const struct gateway *gw = &as->gs->all[g];
	struct buf b;

	begin(&b, 1);
	json_put_member_str(&b, "gateway", span_str(s->name));
	if (gw->own.r.map != NULL) {
		json_put_member_str(&b, "gateway_id", span_str(s->id));
		json_put_member_str(&b, "tenant", gw->own.f[CRED_TENANT]);
		if (gw->own.f[CRED_WAKE_URL].len > 0)
			json_put_member_bool(&b, "wake_url_note", 1);
	}
	answer(as, client, &b);
}

void
authsock_enrolled(struct authsock *as, const struct job *j)
{
	if (j->good > 0)
		confirm(as, j->cookie, j->gateway);
	else
		say_no(as, j->cookie, j->code, j->why);
}

/* Commands.  NULL: answered, or will be; else a code, with gs->text. */

static const char *
cmd_enroll(struct command *m)
{
	return gateway_enroll(m->as->gs, m->g, m->c->id, m->f[F_TOKEN],
	    m->f[F_GATEWAY_ID], m->f[F_WAKE_URL]);
}

static const char *
confirmed(struct command *m, const char *code)
{
	if (code == NULL)
		confirm(m->as, m->c->id, m->g);
	return code;
}

static const char *
cmd_import(struct command *m)
{
	return confirmed(m,
	    gateway_import(m->as->gs, m->g, m->f[F_ID], m->f[F_SECRET],
		m->f[F_DELIVERY_KEY], m->f[F_WAKE_URL]));
}

static const char *
cmd_forget(struct command *m)
{
	return confirmed(m, gateway_forget(m->as->gs, m->g));
}

static void
put_time(struct buf *b, const char *key, int64_t at, int64_t value)
{
	if (at == 0)
		json_put_member_raw(b, key, (struct span){NULL, 0});
	else
		json_put_member_int(b, key, value);
}

static void
put_event(struct buf *b, const char *key, int64_t at, const char *what,
    const char *name, const char *text)
{
	json_put_key(b, key);
	if (at == 0) {
		buf_add(b, "null", 4);
		return;
	}
	buf_addf(b, "{\"at\":%" PRId64, at);
	if (what != NULL)
		json_put_member_str(b, "what", span_str(what));
	json_put_member_str(b, name, span_str(text));
	buf_add(b, "}", 1);
}

static void
put_events(struct buf *b, const struct gateway *gw)
{
	const struct standing *st = &gw->standing;

	put_event(b, "last_refusal", gw->refused_at, gw->refused_what, "reason",
	    gw->refused_why);
	put_event(b, "revoked", st->revoked_at, NULL, "evidence", st->evidence);
	json_put_member_bool(b, "worked", st->worked);
}

static void
put_credential(struct buf *b, const struct gateways *gs, uint32_t g)
{
	static const char *const source[] = {[CRED_NONE] = "none",
	    [CRED_FILE] = "file",
	    [CRED_DIRECTORY] = "directory",
	    [CRED_ENV] = "environment",
	    [CRED_ENROLLED] = "enrolled",
	    [CRED_PROVISIONED] = "provisioned"};
	const struct secret *s = secret_get(gs->secrets, g);
	const struct gateway *gw = &gs->all[g];
	const struct span *own = gw->own.f;
	int64_t since = s->text.p == NULL ? 0 : s->since;

	buf_addf(b, "%s{", b->p[b->end - 1] == '[' ? "" : ",");
	json_put_member_str(b, "gateway", span_str(s->name));
	json_put_member_str(b, "source", span_str(source[s->source]));
	json_put_member_str(b, "gateway_id", span_str(s->id));
	json_put_member_str(b, "tenant", own[CRED_TENANT]);
	put_time(b, "since", since, since);
	put_time(b, "age_s", since, gs->now > since ? gs->now - since : 0);
	json_put_member_bool(b, "usable", s->text.p != NULL);
	json_put_member_str(b, "reason", span_str(s->reason));
	json_put_member_str(b, "policy", span_str(gw->policy));
	json_put_member_int(b, "tokens_minted", (int64_t)s->minted);
	buf_addf(b,
	    ",\"uses\":{\"link\":%" PRIu64 ",\"provision\":%" PRIu64
	    ",\"enroll\":%" PRIu64 ",\"policy\":%" PRIu64 "}",
	    gw->uses[USE_LINK], gw->uses[USE_JOB + JOB_PROVISION],
	    gw->uses[USE_JOB + JOB_ENROLL], gw->uses[USE_JOB + JOB_POLICY]);
	put_events(b, gw);
	json_put_member_bool(b, "delivery_key",
	    own[CRED_DELIVERY_KEY].len > 0 || s->delivery_key);
	json_put_member_str(b, "url", plan_url(&gw->plan));
	buf_add(b, "}", 1);
}

static const char *
cmd_credentials(struct command *m)
{
	const struct gateways *gs = m->as->gs;
	struct buf b;

	begin(&b, 1);
	json_put_member_str(&b, "schema", SPAN_LIT(SCHEMA_CREDENTIALS));
	json_put_member_raw(&b, "credentials", SPAN_LIT("["));
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		if (secret_get(gs->secrets, g) != NULL && !b.failed)
			put_credential(&b, gs, g);
	buf_add(&b, "]", 1);
	answer(m->as, m->c->id, &b);
	return NULL;
}

static const struct {
	const char *name;
	uint8_t changes; /* a gateway: logged */
	const char *(*fn)(struct command *m);
} commands[] = {
    {"enroll", 1, cmd_enroll},
    {"import", 1, cmd_import},
    {"forget", 1, cmd_forget},
    {"credentials", 0, cmd_credentials},
};

/* There is no gateway of this name: which there are, as far as the sentence
 * has room. */
static const char *
no_gateway(struct gateways *gs, struct span name)
{
	char text[LIMIT_NAME + 1], seen[4 * LIMIT_NAME + 1];
	const size_t cap = sizeof(gs->text);
	const struct secret *s;
	const char *before = "configured: ";
	size_t n, left = 0;

	span_copy(text, sizeof(text), name);
	log_vis(seen, sizeof(seen), span_str(text));
	n = (size_t)snprintf(gs->text, cap, "there is no gateway %s; ", seen);
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++) {
		if ((s = secret_get(gs->secrets, g)) == NULL)
			continue;
		/* A name, and how many more there are. */
		if (left > 0 || n + strlen(s->name) + 40 > cap) {
			left++;
			continue;
		}
		n += (size_t)snprintf(
		    gs->text + n, cap - n, "%s%s", before, s->name);
		before = ", ";
	}
	if (left > 0)
		snprintf(gs->text + n, cap - n, " and %zu more", left);
	else if (before[0] != ',')
		snprintf(gs->text + n, cap - n, "none is configured");
	return "no_gateway";
}

/* The gateway that a command names, and the URL it may name. */
static const char *
find_gateway(struct command *m)
{
	struct gateways *gs = m->as->gs;
	struct span at,
	    url = m->f[F_URL].p != NULL ? m->f[F_URL] : m->f[F_CONNECTOR_URL];
	const struct secret *s = NULL;

	for (m->g = 0; m->g < LIMIT_GATEWAYS; m->g++)
		if ((s = secret_get(gs->secrets, m->g)) != NULL &&
		    span_eq(span_str(s->name), m->f[F_GATEWAY]))
			break;
	if (m->g == LIMIT_GATEWAYS)
		return no_gateway(gs, m->f[F_GATEWAY]);
	at = plan_url(&gs->all[m->g].plan);
	if (url.p == NULL || url_same(url, at))
		return NULL;
	snprintf(gs->text, sizeof(gs->text),
	    "gateway %s is configured for %.*s: set url to %.*s and reload, "
	    "then enroll again",
	    s->name, at.len < 80 ? (int)at.len : 80, at.p,
	    url.len < 80 ? (int)url.len : 80, url.p);
	return "url_mismatch";
}

static const char *
run(struct command *m)
{
	size_t i, n = sizeof(commands) / sizeof(commands[0]);
	const char *code;

	for (i = 0; i < FIELDS; i++)
		if (m->f[i].p != NULL && !json_is_word(m->f[i])) {
			snprintf(m->as->gs->text, sizeof(m->as->gs->text),
			    "%s is empty, or holds white space", wants[i].name);
			return "bad_request";
		}
	for (i = 0; i < n; i++)
		if (span_eq(span_str(commands[i].name), m->f[F_CMD]))
			break;
	if (i == n) {
		snprintf(m->as->gs->text, sizeof(m->as->gs->text),
		    "there is no such command");
		return "bad_request";
	}
	if (commands[i].changes && (code = find_gateway(m)) != NULL)
		return code;
	if (commands[i].changes)
		log_info("auth", secret_get(m->as->gs->secrets, m->g)->name,
		    "%s by uid %u, pid %d", commands[i].name,
		    (unsigned)m->c->uid, (int)m->c->pid);
	return commands[i].fn(m);
}

static void
on_line(const struct linesock_client *c, struct span line, void *arg)
{
	struct authsock *as = arg;
	struct command m = {.as = as, .c = c};
	const char *code = "bad_request", *wrong;

	as->before(as->arg);
	wrong = json_texts(line, wants, FIELDS, m.f, as->room);
	if (wrong == NULL) {
		code = run(&m);
		wrong = as->gs->text;
	}
	if (code != NULL)
		say_no(as, c->id, code, wrong);
	explicit_bzero(as->room, line.len);
	as->after(as->arg);
}

int
authsock_serve(
    struct authsock *as, struct event_base *base, int fd, uid_t owner)
{
	if (as->room == NULL &&
	    (as->room = secmem_new(AUTHSOCK_LINE, NULL)) == NULL)
		return -1;
	if (as->sock != NULL)
		return linesock_listen(as->sock, fd, owner);
	as->sock = linesock_new(base, fd, owner, AUTHSOCK_LINE, on_line, as);
	return as->sock == NULL ? -1 : 0;
}

void
authsock_close(struct authsock *as)
{
	linesock_free(as->sock);
	secmem_unmap(as->room, AUTHSOCK_LINE);
	as->sock = NULL;
	as->room = NULL;
}
