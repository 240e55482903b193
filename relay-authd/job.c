/* SPDX-License-Identifier: ISC */
/* Jobs by HTTP exchanges; see job.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "form.h"
#include "job.h"
#include "json.h"

/* What a job keeps secret: two tokens and OAuth's client secret. */
#define JOB_SPACE (2 * LIMIT_BEARER + LIMIT_SECRET)
#define BODY_MAX  36864 /* as XREQUEST's */

static void put_provision(struct buf *b, const struct job *j);
static void put_enroll(struct buf *b, const struct job *j);
static void put_policy(struct buf *b, const struct job *j);

static const struct kind {
	const char *use; /* what for, in words */
	const char *path;
	enum xchg_answer answer;
	uint8_t enrolls; /* with an enrolment token */
	uint8_t mints;	 /* the bearer is our own, not the identity's */
	uint8_t each;	 /* once per identity */
	void (*put)(struct buf *b, const struct job *j);
} kinds[JOB_KINDS] = {
    [JOB_PROVISION] = {"provision", "/provision", ANSWER_CREDENTIAL, 0, 0, 1,
	put_provision},
    [JOB_ENROLL] = {"enroll", "/enroll", ANSWER_CREDENTIAL, 1, 0, 0,
	put_enroll},
    [JOB_POLICY] = {"policy", "/policy", ANSWER_STATUS, 0, 1, 1, put_policy},
};

/* How identity tokens are had. */
static const struct {
	uint8_t secret;	  /* WANT_… first (want) */
	uint8_t exchange; /* and then, or else, by an exchange (with) */
	enum want_secret want;
	enum xchg_kind with;
} sources[TOKEN_LAST + 1] = {
    [TOKEN_FILE] = {1, 0, WANT_IDENTITY, 0},
    [TOKEN_ENV] = {1, 0, WANT_IDENTITY, 0},
    [TOKEN_COMMAND] = {0, 1, 0, XCHG_COMMAND},
    [TOKEN_OAUTH] = {1, 1, WANT_CLIENT_SECRET, XCHG_IDP},
    [TOKEN_METADATA] = {0, 1, 0, XCHG_IDP},
};

static void next(struct jobs *js, struct job *j, uint64_t now);

static const struct msg_conf_fronted *
fronted(const struct job *j)
{
	return &j->plan->fronted[j->item]->m.u.conf_fronted;
}

/* Bodies. */

static void
put_set(struct buf *b, const char *key, struct span text)
{
	if (text.len > 0)
		json_put_member_str(b, key, text);
}

static void
put_provision(struct buf *b, const struct job *j)
{
	const struct msg_conf_provision *p =
	    &j->plan->provision->m.u.conf_provision;

	buf_add(b, "{", 1);
	json_put_member_str(b, "gatewayId", span_str(j->id));
	json_put_member_str(b, "platform", fronted(j)->platform);
	json_put_member_str(b, "botId", fronted(j)->bot_id);
	json_put_member_str(b, "gatewayEndpoint", p->endpoint);
	json_put_member_raw(b, "routeKeys",
	    p->route_keys.len > 0 ? p->route_keys : SPAN_LIT("[]"));
	put_set(b, "instanceId", p->instance_id);
	put_set(b, "wakeUrl", p->wake_url);
	put_set(b, "displayName", p->display_name);
	buf_add(b, "}", 1);
}

static void
put_enroll(struct buf *b, const struct job *j)
{
	buf_add(b, "{", 1);
	json_put_member_str(b, "enrollmentToken", j->enroll);
	json_put_member_str(b, "gatewayId", span_str(j->id));
	buf_add(b, "}", 1);
}

static void
put_policy(struct buf *b, const struct job *j)
{
	buf_adds(b, fronted(j)->policy);
}

/* Steps. */

static void
step_end(struct jobs *js, struct job *j)
{
	struct msg_xdial_cancel m = {.gateway = j->gateway};

	if (j->state == JOB_EXCHANGE) {
		if (j->piped)
			js->ops->close(j->corr, js->arg);
		if (j->dialled)
			js->ops->send(ROLE_DIALER, MSG_XDIAL_CANCEL, j->corr,
			    &m, -1, js->arg);
		if (j->sock != -1)
			close(j->sock);
	}
	j->sock = -1;
	j->corr = 0;
	j->piped = j->dialled = j->asked = 0;
}

static void
job_end(struct jobs *js, struct job *j)
{
	step_end(js, j);
	vault_close(&j->vault);
	j->enroll = j->client = j->identity = (struct span){NULL, 0};
	j->state = JOB_FREE;
	js->ops->done(j, js->arg);
}

/* Names the step: an answer to an older one is no answer. */
static void
step_begin(struct jobs *js, struct job *j, int state, uint64_t deadline)
{
	j->state = state;
	j->corr = ++js->seq * LIMIT_EXCHANGES + (uint32_t)(j - js->job);
	j->deadline = deadline;
}

static void
want(struct jobs *js, struct job *j, enum want_secret what, uint64_t now)
{
	struct msg_want_secret m = {.gateway = j->gateway, .what = what};

	j->want = what;
	step_begin(js, j, JOB_SECRET, now + JOB_SECRET_MS);
	js->ops->send(
	    ROLE_SUPERVISOR, MSG_WANT_SECRET, j->corr, &m, -1, js->arg);
}

static void
exchange(struct jobs *js, struct job *j, enum xchg_kind with, uint64_t now)
{
	struct msg_want_exchange m = {.gateway = j->gateway, .kind = with};
	struct msg_xdial d = {.gateway = j->gateway,
	    .endpoint = with == XCHG_IDP ? ENDPOINT_IDP : ENDPOINT_CONNECTOR};

	j->with = with;
	step_begin(js, j, JOB_EXCHANGE, now + JOB_EXCHANGE_MS);
	js->ops->send(
	    ROLE_SUPERVISOR, MSG_WANT_EXCHANGE, j->corr, &m, -1, js->arg);
	if (with == XCHG_COMMAND)
		return;
	j->dialled = 1;
	js->ops->send(ROLE_DIALER, MSG_XDIAL, j->corr, &d, -1, js->arg);
}

/* What the identity token is needed for cannot be: the job ends.  One identity
 * that fails leaves the others their turn. */
__attribute__((format(printf, 5, 6))) static void
fail(struct jobs *js, struct job *j, uint64_t now, const char *code,
    const char *fmt, ...)
{
	const int post = j->state == JOB_EXCHANGE && j->with == XCHG_CONNECTOR;
	size_t n = 0;
	va_list ap;

	if (post && kinds[j->kind].each)
		n = (size_t)snprintf(j->why, sizeof(j->why),
		    "%.*s: ", (int)fronted(j)->platform.len,
		    fronted(j)->platform.p);
	va_start(ap, fmt);
	vsnprintf(j->why + n, sizeof(j->why) - n, fmt, ap);
	va_end(ap);
	j->code = code;
	if (!post) {
		job_end(js, j);
		return;
	}
	step_end(js, j);
	js->ops->used(j, kinds[j->kind].use, j->why, js->arg);
	j->item++;
	next(js, j, now);
}

/* Whom a failure is told of. */
static const char *
whom(const struct job *j)
{
	if (j->state == JOB_SECRET)
		return j->want == WANT_ENROLL_TOKEN ? "no enrolment token"
						    : "no identity token";
	return j->with == XCHG_CONNECTOR ? "connector" : "no identity token";
}

static void
next(struct jobs *js, struct job *j, uint64_t now)
{
	const struct kind *k = &kinds[j->kind];
	const struct msg_conf_token *t =
	    j->plan->token == NULL ? NULL : &j->plan->token->m.u.conf_token;
	unsigned source = t == NULL ? TOKEN_NONE : (unsigned)t->source;

	while (k->mints && j->item < j->plan->nfronted &&
	    fronted(j)->policy.len == 0)
		j->item++;
	if (j->item >= (k->each ? j->plan->nfronted : 1)) {
		job_end(js, j);
		return;
	}
	if (k->enrolls && j->enroll.p == NULL)
		want(js, j, WANT_ENROLL_TOKEN, now);
	else if (k->mints || j->identity.p != NULL)
		exchange(js, j, XCHG_CONNECTOR, now);
	else if (sources[source].secret && j->client.p == NULL)
		want(js, j, sources[source].want, now);
	else if (sources[source].exchange)
		exchange(js, j, sources[source].with, now);
	else {
		snprintf(j->why, sizeof(j->why),
		    "no identity token: set identity_token");
		j->code = "no_identity_token";
		job_end(js, j);
	}
}

/* The code of a failure to reach whom the step needs. */
static const char *
lost_code(const struct job *j)
{
	if (j->state == JOB_SECRET && j->want == WANT_ENROLL_TOKEN)
		return "bad_request";
	return j->state == JOB_EXCHANGE && j->with == XCHG_CONNECTOR
	    ? "unreachable"
	    : "no_identity_token";
}

/* What is asked in an exchange. */

static void
ask_idp(struct msg_xrequest *m, struct buf *body, const struct job *j)
{
	const struct msg_conf_token *t = &j->plan->token->m.u.conf_token;

	m->answer = ANSWER_TOKEN;
	m->tls = t->tls;
	m->host = t->host;
	m->server_name = t->server_name;
	m->path = t->path;
	if (t->source == TOKEN_METADATA)
		return;
	m->content_type = SPAN_LIT("application/x-www-form-urlencoded");
	form_put(body, "grant_type", SPAN_LIT("client_credentials"));
	form_put(body, "client_id", t->client_id);
	form_put(body, "client_secret", j->client);
	if (t->scope.len > 0)
		form_put(body, "scope", t->scope);
}

static void
ask_connector(struct msg_xrequest *m, struct buf *body, const struct job *j,
    char *path, size_t cap)
{
	const struct msg_conf_provision *p =
	    &j->plan->provision->m.u.conf_provision;

	m->answer = kinds[j->kind].answer;
	m->tls = p->tls;
	m->host = p->host;
	m->server_name = p->server_name;
	m->path.p = path;
	m->path.len = (size_t)snprintf(path, cap, "%.*s%s", (int)p->path.len,
	    p->path.p, kinds[j->kind].path);
	m->bearer = j->identity;
	m->content_type = SPAN_LIT("application/json");
	kinds[j->kind].put(body, j);
}

/* The request, when all that it needs has come. */
static void
ask(struct jobs *js, struct job *j, uint64_t now)
{
	char path[URL_PATH_MAX + 16], token[LIMIT_TOKEN + 1];
	struct msg_xrequest m = {.answer = ANSWER_COMMAND};
	struct buf body;
	int r = -1;

	if (!j->piped || (j->with != XCHG_COMMAND && j->sock == -1))
		return;
	buf_init(&body, BODY_MAX);
	if (j->with == XCHG_IDP)
		ask_idp(&m, &body, j);
	else if (j->with == XCHG_CONNECTOR)
		ask_connector(&m, &body, j, path, sizeof(path));
	if (j->with == XCHG_CONNECTOR && kinds[j->kind].mints)
		m.bearer = (struct span){
		    token, js->ops->mint(j->gateway, token, js->arg)};
	m.body = buf_span(&body);
	j->asked = 1;
	if (!body.failed)
		r = js->ops->send(
		    ROLE_XCHG, MSG_XREQUEST, j->corr, &m, j->sock, js->arg);
	buf_free(&body);
	explicit_bzero(token, sizeof(token));
	if (r == -1)
		fail(js, j, now, "connector",
		    "the request is too long, or the exchange ended");
}

/* What is answered. */

static const char *
on_secret(struct jobs *js, struct job *j, struct msg *m, uint64_t now)
{
	const struct msg_secret *s = &m->u.secret;
	const char *code = lost_code(j), *why = NULL;
	struct span *to, text = {NULL, 0};

	if (j->state != JOB_SECRET || s->what != j->want)
		return "a secret that was not asked for";
	to = j->want == WANT_ENROLL_TOKEN   ? &j->enroll
	    : j->want == WANT_CLIENT_SECRET ? &j->client
					    : &j->identity;
	j->absent = m->fd == -1;
	if (m->fd != -1)
		text = vault_read(&j->vault, m->fd, LIMIT_BEARER, &why);
	*to = text;
	if (text.p != NULL)
		next(js, j, now);
	else if (why != NULL)
		fail(js, j, now, code, "%s: what holds it %s", whom(j), why);
	else
		fail(js, j, now, code, "%s: %.*s", whom(j), (int)s->reason.len,
		    s->reason.p);
	return NULL;
}

static const char *
on_exchange(struct jobs *js, struct job *j, struct msg *m, uint64_t now)
{
	if (j->state != JOB_EXCHANGE || j->piped)
		return "an exchange that was not asked for";
	if (js->ops->open(j->corr, m->fd, js->arg) == -1) {
		fail(js, j, now, "busy", "no pipe to the exchange");
		return NULL;
	}
	m->fd = -1;
	j->piped = 1;
	ask(js, j, now);
	return NULL;
}

static const char *
on_socket(struct jobs *js, struct job *j, struct msg *m, uint64_t now)
{
	if (!j->dialled)
		return "a connection that was not asked for";
	j->dialled = 0;
	j->sock = m->fd;
	m->fd = -1;
	ask(js, j, now);
	return NULL;
}

static const char *
on_failed(struct jobs *js, struct job *j, struct msg *m, uint64_t now)
{
	struct span why = m->u.exchange_failed.reason;

	if (j->state != JOB_EXCHANGE)
		return "the failure of an exchange that was not asked for";
	fail(js, j, now, "busy", "%s: %.*s", whom(j), (int)why.len, why.p);
	return NULL;
}

static const char *
on_dial_failed(struct jobs *js, struct job *j, struct msg *m, uint64_t now)
{
	struct span why = m->u.xdial_failed.reason;

	if (!j->dialled)
		return "a connection's failure that was not asked for";
	j->dialled = 0;
	fail(
	    js, j, now, lost_code(j), "%s: %.*s", whom(j), (int)why.len, why.p);
	return NULL;
}

/* The code of an answer that is none of success. */
static const char *
code_of(const struct job *j, const struct msg_xanswer *a)
{
	if (j->with != XCHG_CONNECTOR || a->stage == XSTAGE_TLS ||
	    a->stage == XSTAGE_IO)
		return lost_code(j);
	if (a->stage != XSTAGE_REFUSED || kinds[j->kind].mints)
		return "connector";
	return a->status == 401 ? "identity_refused"
	    : a->status == 403	? "token_refused"
				: "connector";
}

/* What an exchange brought; its step is over. */
static void
answered(
    struct jobs *js, struct job *j, const struct msg_xanswer *a, uint64_t now)
{
	const struct kind *k = &kinds[j->kind];
	const char *why = NULL;

	step_end(js, j);
	if (j->with != XCHG_CONNECTOR) {
		j->identity =
		    vault_put(&j->vault, a->token, LIMIT_BEARER, &why);
		if (why == NULL)
			next(js, j, now);
		else
			fail(js, j, now, "no_identity_token",
			    "no identity token: what was answered %s", why);
		return;
	}
	if (k->answer == ANSWER_CREDENTIAL && j->good == 0)
		why = js->ops->take(j, a, js->arg);
	if (why != NULL) {
		fail(js, j, now, "storage", "%s", why);
		return;
	}
	js->ops->used(j, k->use, "accepted", js->arg);
	j->good++;
	j->item++;
	next(js, j, now);
}

static const char *
on_answer(struct jobs *js, struct job *j, struct msg *m, uint64_t now)
{
	const struct msg_xanswer *a = &m->u.xanswer;
	char status[32] = "";

	if (!j->asked)
		return "an answer to what was not asked";
	if (a->stage == XSTAGE_DONE) {
		answered(js, j, a, now);
		return NULL;
	}
	if (a->status != 0)
		snprintf(
		    status, sizeof(status), "HTTP %u: ", (unsigned)a->status);
	fail(js, j, now, code_of(j, a), "%s: %s%.*s", whom(j), status,
	    (int)a->reason.len, a->reason.p);
	return NULL;
}

/* From outside. */

static const struct {
	enum msg_type type;
	const char *(*fn)(struct jobs *, struct job *, struct msg *, uint64_t);
} messages[] = {
    {MSG_SECRET, on_secret},
    {MSG_EXCHANGE, on_exchange},
    {MSG_EXCHANGE_FAILED, on_failed},
    {MSG_XCONNECTED, on_socket},
    {MSG_XDIAL_FAILED, on_dial_failed},
    {MSG_XANSWER, on_answer},
};

static struct job *
find(struct jobs *js, uint32_t corr)
{
	struct job *j = &js->job[corr % LIMIT_EXCHANGES];

	return j->state != JOB_FREE && j->corr == corr ? j : NULL;
}

const char *
job_message(struct jobs *js, struct msg *m, uint64_t now_ms)
{
	struct job *j = find(js, m->corr);
	const char *why = NULL;
	size_t i, n = sizeof(messages) / sizeof(messages[0]);

	for (i = 0; i < n && messages[i].type != m->type; i++)
		;
	if (i == n)
		why = "a message that relay-authd does not take";
	else if (j != NULL) /* else it crossed the end of its step */
		why = messages[i].fn(js, j, m, now_ms);
	if (m->fd != -1)
		close(m->fd);
	m->fd = -1;
	return why;
}

void
job_lost(struct jobs *js, uint32_t corr, const char *why, uint64_t now_ms)
{
	struct job *j = find(js, corr);

	if (j != NULL)
		fail(js, j, now_ms, lost_code(j), "%s: the exchange ended: %s",
		    whom(j), why);
}

const struct job *
job_of(const struct jobs *js, uint32_t gateway)
{
	for (size_t i = 0; i < LIMIT_EXCHANGES; i++)
		if (js->job[i].state != JOB_FREE &&
		    js->job[i].gateway == gateway)
			return &js->job[i];
	return NULL;
}

const char *
job_start(struct jobs *js, const struct job *wanted, struct span token,
    uint64_t now_ms)
{
	const char *why = NULL;
	struct job *j = js->job;
	unsigned flags;

	if (job_of(js, wanted->gateway) != NULL)
		return "busy with another exchange of this gateway";
	while (j < js->job + LIMIT_EXCHANGES && j->state != JOB_FREE)
		j++;
	if (j == js->job + LIMIT_EXCHANGES)
		return "busy with exchanges of other gateways";
	*j = *wanted;
	j->sock = -1;
	if (vault_open(&j->vault, JOB_SPACE, 0, &flags) == -1)
		return "busy: no memory for secrets is left";
	if (token.len > 0)
		j->enroll = vault_put(&j->vault, token, LIMIT_SECRET, &why);
	if (why != NULL) {
		vault_close(&j->vault);
		return "the enrolment token is too long, or no text";
	}
	next(js, j, now_ms);
	return NULL;
}

void
job_cancel(struct jobs *js, uint32_t gateway, const char *why)
{
	struct job *j = js->job;

	while (j < js->job + LIMIT_EXCHANGES &&
	    (j->state == JOB_FREE || j->gateway != gateway))
		j++;
	if (j == js->job + LIMIT_EXCHANGES)
		return;
	j->code = "busy";
	span_copy(j->why, sizeof(j->why), span_str(why));
	job_end(js, j);
}

uint64_t
job_tick(struct jobs *js, uint64_t now_ms)
{
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < LIMIT_EXCHANGES; i++) {
		struct job *j = &js->job[i];

		if (j->state != JOB_FREE && now_ms >= j->deadline)
			fail(js, j, now_ms, lost_code(j),
			    "%s: no answer in time", whom(j));
		if (j->state != JOB_FREE && j->deadline < first)
			first = j->deadline;
	}
	return first;
}
