/* SPDX-License-Identifier: ISC */
/* Jobs by HTTP exchanges; see job.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "job.h"
#include "xrequest.h"

#define BACKOFF_MS  1000 /* doubling … */
#define BACKOFF_MAX 30000
#define ABSENT_MS   5000 /* for a file that is not there */

#define SECRET_MS 5000 /* for the supervisor to open a file */
/* What a job keeps secret: two tokens and OAuth's client secret.  A request's
 * body, which may hold one of them, is composed in the vault's work space. */
#define JOB_SPACE (2 * LIMIT_BEARER + LIMIT_SECRET)

static const struct kind {
	const char *path;
	enum xchg_answer answer;
	uint8_t enrolls; /* with an enrolment token */
	uint8_t mints;	 /* the bearer is our own, not the identity's */
	uint8_t each;	 /* once per identity */
} kinds[JOB_KINDS] = {
    [JOB_PROVISION] = {"/provision", ANSWER_CREDENTIAL, 0, 0, 1},
    [JOB_ENROLL] = {"/enroll", ANSWER_CREDENTIAL, 1, 0, 0},
    [JOB_POLICY] = {"/policy", ANSWER_STATUS, 0, 1, 1},
};

/* How identity tokens are had. */
static const struct {
	uint8_t secret;	  /* something is opened first */
	uint8_t exchange; /* and then, or else, there is an exchange */
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

static int
posts(const struct job *j)
{
	return j->state == JOB_EXCHANGE && j->with == XCHG_CONNECTOR;
}

/* Steps. */

/* Be done with the exchange, whatever it has come to. */
static void
exchange_end(struct jobs *js, struct job *j)
{
	struct msg_xdial_cancel m = {.gateway = j->gateway};

	if (j->piped)
		js->ops->close(j->corr, js->arg);
	if (j->dialled)
		js->ops->send(
		    ROLE_DIALER, MSG_XDIAL_CANCEL, j->corr, &m, -1, js->arg);
	if (j->sock != -1)
		close(j->sock);
	j->sock = -1;
	j->piped = j->dialled = j->asked = 0;
}

static void
job_end(struct jobs *js, struct job *j)
{
	exchange_end(js, j);
	vault_close(&j->vault);
	j->state = JOB_FREE;
	js->ops->done(j, js->arg);
}

static void
note_failure(struct job *j)
{
	size_t n = strlen(j->failures);

	snprintf(j->failures + n, sizeof(j->failures) - n, "%s%s",
	    n == 0 ? "" : "; ", j->why);
	if (posts(j))
		j->failed |= UINT32_C(1) << j->item;
}

/* Without a token the job ends; an identity that fails leaves the others their
 * turn. */
__attribute__((format(printf, 5, 6))) static void
fail(struct jobs *js, struct job *j, uint64_t now, const char *code,
    const char *fmt, ...)
{
	int n = 0;
	va_list ap;

	if (posts(j) && kinds[j->kind].each)
		n = snprintf(j->why, sizeof(j->why),
		    "%.*s: ", (int)fronted(j)->platform.len,
		    fronted(j)->platform.p);
	va_start(ap, fmt);
	vsnprintf(j->why + n, sizeof(j->why) - (size_t)n, fmt, ap);
	va_end(ap);
	j->code = code;
	note_failure(j);
	if (!posts(j)) {
		job_end(js, j);
		return;
	}
	exchange_end(js, j);
	js->ops->used(j, j->why, js->arg);
	j->item++;
	next(js, j, now);
}

/* The code of not getting what the step needs, and its subject. */
static const char *
lost_code(const struct job *j, const char **whom)
{
	int enrols = j->state == JOB_SECRET && j->want == WANT_ENROLL_TOKEN;

	*whom = enrols ? "no enrolment token"
	    : posts(j) ? "connector"
		       : "no identity token";
	return enrols  ? "bad_request"
	    : posts(j) ? "unreachable"
		       : "no_identity_token";
}

static void
lost(struct jobs *js, struct job *j, struct span why, uint64_t now)
{
	const char *whom, *code = lost_code(j, &whom);

	fail(js, j, now, code, "%s: %.*s", whom, (int)why.len, why.p);
}

/* Names the step: an answer to an older one is no answer. */
static void
name_step(struct jobs *js, struct job *j)
{
	j->corr = ++js->seq * LIMIT_EXCHANGES + (uint32_t)(j - js->job);
}

static void
want(struct jobs *js, struct job *j, enum want_secret what, uint64_t now)
{
	struct msg_want_secret m = {.gateway = j->gateway, .what = what};

	name_step(js, j);
	j->state = JOB_SECRET;
	j->want = what;
	j->deadline = now + SECRET_MS;
	js->ops->send(
	    ROLE_SUPERVISOR, MSG_WANT_SECRET, j->corr, &m, -1, js->arg);
}

static void
exchange(struct jobs *js, struct job *j, enum xchg_kind with, uint64_t now)
{
	struct msg_want_exchange m = {.gateway = j->gateway, .kind = with};
	struct msg_xdial d = {.gateway = j->gateway,
	    .endpoint = with == XCHG_IDP ? ENDPOINT_IDP : ENDPOINT_CONNECTOR};

	name_step(js, j);
	j->state = JOB_EXCHANGE;
	j->with = with;
	j->deadline = now + JOB_EXCHANGE_MS;
	j->dialled = with != XCHG_COMMAND;
	/* What cannot be sent runs into the deadline. */
	js->ops->send(
	    ROLE_SUPERVISOR, MSG_WANT_EXCHANGE, j->corr, &m, -1, js->arg);
	if (j->dialled)
		js->ops->send(ROLE_DIALER, MSG_XDIAL, j->corr, &d, -1, js->arg);
}

/* Whether the job is not about the next identity. */
static int
left_out(const struct job *j)
{
	return (j->skip >> j->item & 1) != 0 ||
	    (kinds[j->kind].mints && fronted(j)->policy.len == 0);
}

static void
next(struct jobs *js, struct job *j, uint64_t now)
{
	const struct kind *k = &kinds[j->kind];
	struct span label;
	enum token_source source = plan_source(j->plan, &label);

	while (k->each && j->item < j->plan->nfronted && left_out(j))
		j->item++;
	if (j->item >= (k->each ? j->plan->nfronted : 1))
		job_end(js, j);
	else if (k->enrolls && j->enroll.p == NULL)
		want(js, j, WANT_ENROLL_TOKEN, now);
	else if (k->mints || j->identity.p != NULL)
		exchange(js, j, XCHG_CONNECTOR, now);
	else if (sources[source].secret && j->client.p == NULL)
		want(js, j, sources[source].want, now);
	else if (sources[source].exchange)
		exchange(js, j, sources[source].with, now);
	else {
		j->state = JOB_SECRET;
		j->want = WANT_IDENTITY;
		lost(js, j, label, now);
	}
}

static void
put_body(struct buf *b, const struct job *j)
{
	const struct msg_conf_provision *p =
	    &j->plan->provision->m.u.conf_provision;

	if (j->kind == JOB_PROVISION)
		xrequest_put_provision(b, p, fronted(j), span_str(j->id));
	else if (j->kind == JOB_ENROLL)
		xrequest_put_enroll(b, j->enroll, span_str(j->id));
	else
		buf_adds(b, fronted(j)->policy);
}

/* Hand the request over, and the socket with it: it is the exchange's alone
 * from now on.  0, or -1 when the exchange is no more. */
static int
hand_over(struct jobs *js, struct job *j, const struct msg_xrequest *m)
{
	int r = js->ops->send(
	    ROLE_XCHG, MSG_XREQUEST, j->corr, m, j->sock, js->arg);

	j->asked = 1;
	if (j->sock != -1)
		close(j->sock);
	j->sock = -1;
	return r;
}

/* Ask, when all that the request needs has come. */
static void
ask(struct jobs *js, struct job *j, uint64_t now)
{
	char path[XREQUEST_PATH], token[LIMIT_TOKEN + 1];
	struct msg_xrequest m = {.answer = ANSWER_COMMAND};
	const struct kind *k = &kinds[j->kind];
	struct span why = {NULL, 0};
	struct buf body;

	if (!j->piped || (j->sock == -1 && j->with != XCHG_COMMAND))
		return;
	buf_over(&body, j->vault.work, XREQUEST_BODY + 1);
	if (j->with == XCHG_IDP)
		xrequest_token(
		    &m, &body, &j->plan->token->m.u.conf_token, j->client);
	else if (posts(j)) {
		xrequest_connector(
		    &m, &j->plan->provision->m.u.conf_provision, k->path, path);
		put_body(&body, j);
		m.answer = k->answer;
		m.bearer = j->identity;
	}
	if (posts(j))
		js->ops->used(j, NULL, js->arg);
	if (posts(j) && k->mints)
		m.bearer = (struct span){
		    token, js->ops->mint(j->gateway, token, js->arg)};
	m.body = buf_span(&body);
	if (body.failed)
		why = SPAN_LIT("the request is too long");
	else if (hand_over(js, j, &m) == -1)
		why = SPAN_LIT("the exchange ended");
	buf_free(&body);
	explicit_bzero(token, sizeof(token));
	if (why.p != NULL)
		lost(js, j, why, now);
}

/* Answers. */

static const char *
on_secret(struct jobs *js, struct job *j, struct msg *m, uint64_t now)
{
	const char *why = NULL, *whom, *code = lost_code(j, &whom);
	struct span text;

	if (j->state != JOB_SECRET || m->u.secret.what != j->want)
		return "a secret that was not asked for";
	j->absent = m->fd == -1;
	if (m->fd == -1) {
		lost(js, j, m->u.secret.reason, now);
		return NULL;
	}
	text = vault_read(&j->vault, m->fd, LIMIT_BEARER, &why);
	if (why != NULL) {
		fail(js, j, now, code, "%s: it %s", whom, why);
		return NULL;
	}
	if (j->want == WANT_ENROLL_TOKEN)
		j->enroll = text;
	else if (j->want == WANT_CLIENT_SECRET)
		j->client = text;
	else
		j->identity = text;
	next(js, j, now);
	return NULL;
}

/* What was asked for came: a token, or the connector's yes. */
static void
succeeded(
    struct jobs *js, struct job *j, const struct msg_xanswer *a, uint64_t now)
{
	const char *why = NULL;

	if (!posts(j)) {
		j->identity =
		    vault_put(&j->vault, a->token, LIMIT_BEARER, &why);
		if (why != NULL) {
			lost(js, j, span_str(why), now);
			return;
		}
	} else {
		if (kinds[j->kind].answer == ANSWER_CREDENTIAL && j->good == 0)
			why = js->ops->take(j, a, js->arg);
		if (why != NULL) {
			fail(js, j, now, "storage", "%s", why);
			return;
		}
		js->ops->used(j, "accepted", js->arg);
		j->good++;
		j->item++;
	}
	exchange_end(js, j);
	next(js, j, now);
}

static void
answered(
    struct jobs *js, struct job *j, const struct msg_xanswer *a, uint64_t now)
{
	const char *whom, *code = lost_code(j, &whom);
	char status[32] = "";

	if (a->stage == XSTAGE_DONE) {
		succeeded(js, j, a, now);
		return;
	}
	if (posts(j) && a->stage != XSTAGE_TLS && a->stage != XSTAGE_IO)
		code = "connector";
	if (posts(j) && !kinds[j->kind].mints && a->status == 401)
		code = "identity_refused";
	if (posts(j) && kinds[j->kind].enrolls && a->status == 403)
		code = "token_refused";
	if (a->status != 0)
		snprintf(
		    status, sizeof(status), "HTTP %u: ", (unsigned)a->status);
	fail(js, j, now, code, "%s: %s%.*s", whom, status, (int)a->reason.len,
	    a->reason.p);
}

/* A message of the exchange under way. */
static const char *
on_exchange(struct jobs *js, struct job *j, struct msg *m, uint64_t now)
{
	const struct msg_exchange_failed *none = &m->u.exchange_failed;
	const char *whom, *code = lost_code(j, &whom);

	if (m->type == MSG_EXCHANGE && !j->piped) {
		if (js->ops->open(j->corr, m->fd, js->arg) == -1) {
			lost(js, j,
			    SPAN_LIT("no memory for a pipe to the exchange"),
			    now);
			return NULL;
		}
		m->fd = -1;
		j->piped = 1;
		ask(js, j, now);
	} else if (m->type == MSG_XCONNECTED && j->dialled) {
		j->dialled = 0;
		j->sock = m->fd;
		m->fd = -1;
		ask(js, j, now);
	} else if (m->type == MSG_XANSWER && j->asked)
		answered(js, j, &m->u.xanswer, now);
	else if (m->type == MSG_EXCHANGE_FAILED && !j->piped)
		fail(js, j, now, none->busy ? "busy" : code, "%s: %.*s", whom,
		    (int)none->reason.len, none->reason.p);
	else if (m->type == MSG_XDIAL_FAILED && j->dialled) {
		j->dialled = 0;
		lost(js, j, m->u.xdial_failed.reason, now);
	} else
		return "a message about an exchange that is not so far";
	return NULL;
}

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
	const char *phrase = NULL;

	/* Without a job: it crossed the end of its step. */
	if (j != NULL && m->type == MSG_SECRET)
		phrase = on_secret(js, j, m, now_ms);
	else if (j != NULL && j->state == JOB_EXCHANGE)
		phrase = on_exchange(js, j, m, now_ms);
	if (m->fd != -1)
		close(m->fd);
	return phrase;
}

void
job_lost(struct jobs *js, uint32_t corr, const char *why, uint64_t now_ms)
{
	struct job *j = find(js, corr);

	if (j != NULL)
		lost(js, j, span_str(why), now_ms);
}

uint64_t
job_retry(const struct job *j, unsigned tries[JOB_KINDS],
    uint64_t due[JOB_KINDS], uint64_t now_ms)
{
	unsigned n = tries[j->kind]++;
	uint64_t ms = n < 5 ? (uint64_t)BACKOFF_MS << n : BACKOFF_MAX;

	if (j->absent)
		ms = ABSENT_MS;
	due[j->kind] = now_ms + ms;
	return ms / 1000;
}

struct job *
job_of(struct jobs *js, uint32_t gateway)
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
	struct job *j = js->job;
	const char *why = NULL;

	if (job_of(js, wanted->gateway) != NULL)
		return "another exchange of this gateway is under way";
	while (j < js->job + LIMIT_EXCHANGES && j->state != JOB_FREE)
		j++;
	if (j == js->job + LIMIT_EXCHANGES)
		return "exchanges of other gateways are under way";
	*j = *wanted;
	j->sock = -1;
	if (vault_open(
		&j->vault, JOB_SPACE, XREQUEST_BODY + 1, &(unsigned){0}) == -1)
		return "no memory for secrets is left";
	if (token.p != NULL)
		j->enroll = vault_put(&j->vault, token, LIMIT_BEARER, &why);
	if (why != NULL) {
		vault_close(&j->vault);
		return "the enrolment token is empty, too long, or no text";
	}
	next(js, j, now_ms);
	return NULL;
}

void
job_cancel(struct jobs *js, uint32_t gateway, const char *why)
{
	struct job *j = job_of(js, gateway);

	if (j == NULL)
		return;
	j->cancelled = 1;
	j->code = "busy";
	strlcpy(j->why, why, sizeof(j->why));
	job_end(js, j);
}

uint64_t
job_tick(struct jobs *js, uint64_t now_ms)
{
	uint64_t first = UINT64_MAX;

	for (struct job *j = js->job; j < js->job + LIMIT_EXCHANGES; j++) {
		if (j->state != JOB_FREE && now_ms >= j->deadline)
			lost(js, j, SPAN_LIT("no answer in time"), now_ms);
		if (j->state != JOB_FREE && j->deadline < first)
			first = j->deadline;
	}
	return first;
}
