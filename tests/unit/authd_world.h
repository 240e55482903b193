/* SPDX-License-Identifier: ISC */
/* relay-authd's gateways without processes: a clock that is set, messages that
 * are put in, and those that come out. */
#ifndef AUTHD_WORLD_H
#define AUTHD_WORLD_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway.h"
#include "secmem.h"
#include "token.h"

#define WORLD_OUT 512

#define NOTHING(w, type) assert_null(world_next(w, type))

struct world {
	struct secrets secrets;
	struct permits permits;
	struct gateways gs;
	struct {
		enum role to;
		struct msg_kept *k;
		uint8_t fd;
	} out[WORLD_OUT];
	size_t nout, seen; /* looked at so far */
	char dir[64];
	int kept; /* what the supervisor keeps, or -1 */
	int gone; /* the exchange ended before it was asked */
	/* the last enrolment's end */
	unsigned enrolments;
	const char *code;
	char why[LIMIT_REASON + 1];
	/* configuration of gateway 0 */
	const char *id, *url, *policy, *secret;
	const char *unusable; /* why the pinned secret cannot be opened */
	enum token_source source;
	unsigned identities, reversed;
	uint32_t kept_skipped; /* beside what is kept */
};

static inline int
world_send(enum role to, enum msg_type type, uint32_t corr, const void *fields,
    int fd, void *arg)
{
	struct world *w = ((struct gateways *)arg)->owner;
	static char text[LIMIT_PACKET];
	int len = msg_encode(text, sizeof(text), type, corr, fields);
	struct msg_kept *k;

	if (to == ROLE_XCHG && w->gone)
		return -1;
	assert_true(len > 0);
	assert_true(w->nout < WORLD_OUT);
	k = malloc(sizeof(*k) + (size_t)len);
	assert_non_null(k);
	memcpy(k->packet, text, (size_t)len);
	assert_null(msg_decode(
	    &k->m, k->packet, (size_t)len, ROLE_AUTHD, to, fd != -1));
	w->out[w->nout].to = to;
	w->out[w->nout].fd = fd != -1;
	w->out[w->nout++].k = k;
	if (type != MSG_KEEP)
		return 0;
	if (w->kept != -1)
		close(w->kept);
	w->kept = fd == -1 ? -1 : dup(fd);
	w->kept_skipped = (uint32_t)k->m.u.keep.skipped;
	return 0;
}

static inline int
world_open(uint32_t corr, int fd, void *arg)
{
	(void)corr;
	(void)arg;
	close(fd);
	return 0;
}

static inline void
world_close(uint32_t corr, void *arg)
{
	(void)corr;
	(void)arg;
}

static inline void
world_enrolled(const struct job *j, struct gateways *gs)
{
	struct world *w = gs->owner;

	w->enrolments++;
	w->code = j->good > 0 ? NULL : j->code;
	snprintf(w->why, sizeof(w->why), "%s", j->why);
}

/* The next message of a type that was not looked at; NULL: there is none. */
static inline const struct msg *
world_next(struct world *w, enum msg_type type)
{
	for (; w->seen < w->nout; w->seen++)
		if (w->out[w->seen].k->m.type == type)
			return &w->out[w->seen++].k->m;
	return NULL;
}

/* The last one of a type. */
static inline const struct msg *
world_last(const struct world *w, enum msg_type type)
{
	for (size_t i = w->nout; i > 0; i--)
		if (w->out[i - 1].k->m.type == type)
			return &w->out[i - 1].k->m;
	return NULL;
}

static inline const struct msg_credential *
world_credential(const struct world *w)
{
	const struct msg *m = world_last(w, MSG_CREDENTIAL);

	assert_non_null(m);
	return &m->u.credential;
}

static inline int
span_has(struct span s, const char *part)
{
	return memmem(s.p, s.len, part, strlen(part)) != NULL;
}

/* A file with this text. */
static inline int
world_file(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd != -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static inline void
world_item(struct world *w, enum msg_type type, const void *fields, size_t len)
{
	struct msg m = {.type = type, .fd = -1};

	memcpy(&m.u, fields, len);
	assert_null(gateway_item(&w->gs, &m));
}

static inline void
world_items(struct world *w)
{
	struct msg_conf_provision p = {.url = span_str(w->url),
	    .tls = 1,
	    .host = SPAN_LIT("c.example"),
	    .path = SPAN_LIT("/relay"),
	    .server_name = SPAN_LIT("c.example"),
	    .endpoint = SPAN_LIT(""),
	    .route_keys = SPAN_LIT("[\"r1\"]"),
	    .instance_id = SPAN_LIT(""),
	    .wake_url = SPAN_LIT("https://wake.example"),
	    .display_name = SPAN_LIT("")};
	struct msg_conf_token t = {.source = w->source,
	    .label = SPAN_LIT("/etc/token"),
	    .tls = 1,
	    .host = SPAN_LIT("idp.example"),
	    .path = SPAN_LIT("/token"),
	    .server_name = SPAN_LIT("idp.example"),
	    .client_id = SPAN_LIT("c&1"),
	    .scope = SPAN_LIT("a b")};
	static const char *const platform[] = {"discord", "slack", "telegram"};

	world_item(w, MSG_CONF_PROVISION, &p, sizeof(p));
	world_item(w, MSG_CONF_TOKEN, &t, sizeof(t));
	for (unsigned i = 0; i < w->identities; i++) {
		unsigned at = w->reversed ? w->identities - 1 - i : i;
		struct msg_conf_fronted f = {.platform = span_str(platform[at]),
		    .bot_id = SPAN_LIT("b1"),
		    .policy = span_str(w->policy)};

		world_item(w, MSG_CONF_FRONTED, &f, sizeof(f));
	}
}

/* Live by the configuration in w. */
static inline void
world_commit(struct world *w)
{
	struct msg_conf_credential c = {.name = SPAN_LIT("main"),
	    .id = span_str(w->id),
	    .source = w->secret == NULL && w->unusable == NULL ? CRED_NONE
							       : CRED_FILE,
	    .label = span_str(
		w->unusable == NULL ? "no secret: set one" : w->unusable)};
	struct msg kept = {.type = MSG_CONF_KEPT, .fd = -1};
	int fd = w->secret == NULL ? -1 : world_file(w->secret);

	secret_stage(&w->secrets);
	gateway_stage(&w->gs);
	assert_null(secret_add(&w->secrets, &c, fd));
	if (fd != -1)
		close(fd);
	world_items(w);
	if (w->kept != -1 && w->secrets.live[0].present == 0) {
		kept.fd = dup(w->kept);
		kept.u.conf_kept.skipped = w->kept_skipped;
		assert_null(gateway_item(&w->gs, &kept));
	}
	gateway_prepare(&w->gs);
	secret_commit(&w->secrets, w->gs.now, w->gs.now_ms);
	gateway_settle(&w->gs);
	gateway_tick(&w->gs);
}

/* Some time later; what is due is done. */
static inline void
world_wait(struct world *w, uint64_t ms)
{
	w->gs.now_ms += ms;
	w->gs.now += (int64_t)(ms / 1000);
	gateway_tick(&w->gs);
}

/* The supervisor opens what was asked for, or not. */
static inline void
world_secret(struct world *w, enum want_secret what, const char *text,
    const char *reason)
{
	const struct msg *q = world_next(w, MSG_WANT_SECRET);
	struct msg m = {.type = MSG_SECRET, .fd = -1};

	assert_non_null(q);
	assert_int_equal(q->u.want_secret.what, what);
	m.corr = q->corr;
	m.fd = text == NULL ? -1 : world_file(text);
	m.u.secret.what = what;
	m.u.secret.reason = span_str(reason);
	assert_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
	gateway_tick(&w->gs);
}

/* An exchange starts and its connection stands: it is asked, and has the
 * socket to itself.  NULL: it is gone. */
static inline const struct msg *
world_exchange(struct world *w, enum xchg_kind kind)
{
	const struct msg *q = world_next(w, MSG_WANT_EXCHANGE);
	struct msg m = {.type = MSG_EXCHANGE};
	int sock;

	assert_non_null(q);
	assert_int_equal(q->u.want_exchange.kind, kind);
	m.corr = q->corr;
	m.fd = world_file("pipe");
	assert_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
	if (kind != XCHG_COMMAND) {
		const struct msg *d = world_next(w, MSG_XDIAL);

		assert_non_null(d);
		assert_int_equal(d->corr, m.corr);
		m.type = MSG_XCONNECTED;
		m.fd = sock = world_file("socket");
		m.u.xconnected.address = SPAN_LIT("1.2.3.4:443");
		assert_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
		assert_int_equal(fcntl(sock, F_GETFD), -1);
	}
	if (w->gone)
		return NULL;
	q = world_next(w, MSG_XREQUEST);
	assert_non_null(q);
	assert_int_equal(q->corr, m.corr);
	assert_int_equal(w->out[w->seen - 1].fd, kind != XCHG_COMMAND);
	return q;
}

/* An exchange that was asked for is not started. */
static inline void
world_no_exchange(struct world *w, unsigned busy, const char *why)
{
	const struct msg *q = world_next(w, MSG_WANT_EXCHANGE);
	struct msg m = {.type = MSG_EXCHANGE_FAILED, .fd = -1};

	assert_non_null(q);
	m.corr = q->corr;
	m.u.exchange_failed.busy = busy;
	m.u.exchange_failed.reason = span_str(why);
	assert_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
}

static inline void
world_answer(struct world *w, const struct msg *q, struct msg_xanswer a)
{
	struct msg m = {.type = MSG_XANSWER, .fd = -1, .corr = q->corr};

	m.u.xanswer = a;
	assert_null(job_message(&w->gs.jobs, &m, w->gs.now_ms));
	gateway_tick(&w->gs);
}

static inline void
world_grant(struct world *w, const char *secret)
{
	world_answer(w, world_exchange(w, XCHG_CONNECTOR),
	    (struct msg_xanswer){.status = 200,
		.secret = span_str(secret),
		.delivery_key = SPAN_LIT("dk"),
		.tenant = SPAN_LIT("t1"),
		.gateway_id = SPAN_LIT("gw-given")});
}

static inline void
world_refuse(struct world *w, unsigned status)
{
	world_answer(w, world_exchange(w, XCHG_CONNECTOR),
	    (struct msg_xanswer){.stage = XSTAGE_REFUSED,
		.status = status,
		.reason = SPAN_LIT("go away")});
}

/* The identity token is there, and the connector gives this; or also a
 * configuration before. */
static inline void
world_again(struct world *w, const char *secret)
{
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_grant(w, secret);
}

static inline void
world_begin(struct world *w)
{
	world_commit(w);
	world_secret(w, WANT_IDENTITY, "id-token", "");
}

static inline void
world_provision(struct world *w, const char *secret)
{
	world_begin(w);
	world_grant(w, secret);
}

/* The engine says something of gateway 0. */
static inline void
world_engine(struct world *w, enum msg_type type, uint64_t conn)
{
	struct msg m = {.type = type, .fd = -1};

	if (type == MSG_REVOKED) {
		m.u.revoked.conn = conn;
		m.u.revoked.evidence = SPAN_LIT("4401 twice\nand more");
	} else if (type == MSG_REFUSED) {
		m.u.refused.conn = conn;
		m.u.refused.reason = SPAN_LIT("4401");
	} else if (type == MSG_WORKED)
		m.u.worked.conn = conn;
	assert_null(gateway_message(&w->gs, &m));
	gateway_tick(&w->gs);
}

static inline void
world_start(struct world *w)
{
	memset(&w->gs, 0, sizeof(w->gs));
	memset(&w->permits, 0, sizeof(w->permits));
	assert_int_equal(
	    secret_open(&w->secrets, sizeof(struct token_work), &(unsigned){0}),
	    0);
	w->gs.owner = w;
	w->gs.secrets = &w->secrets;
	w->gs.permits = &w->permits;
	w->gs.dir = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->gs.dir != -1);
	w->gs.now_ms = 1000000;
	w->gs.now = 1700000000;
	w->gs.ops.send = world_send;
	w->gs.ops.open = world_open;
	w->gs.ops.close = world_close;
	w->gs.enrolled = world_enrolled;
	assert_int_equal(gateway_init(&w->gs), 0);
}

/* The process ends; with crash nothing is cleansed. */
static inline void
world_stop(struct world *w, int crash)
{
	for (uint32_t g = 0; g < LIMIT_EXCHANGES; g++)
		if (w->gs.jobs.job[g].state != JOB_FREE)
			job_cancel(&w->gs.jobs, w->gs.jobs.job[g].gateway, "");
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++) {
		struct record *r = &w->gs.all[g].own.r;

		plan_free(&w->gs.all[g].plan);
		plan_free(&w->gs.all[g].next);
		if (crash && r->map != NULL) {
			munmap(r->map, r->len);
			close(r->fd);
		} else
			cred_free(&w->gs.all[g].own);
	}
	free(w->gs.all);
	secret_close(&w->secrets);
	close(w->gs.dir);
	for (size_t i = 0; i < w->nout; i++)
		free(w->out[i].k);
	w->nout = w->seen = 0;
}

/* It ends so, and the next one begins. */
static inline void
world_restart(struct world *w, int crash)
{
	world_stop(w, crash);
	world_start(w);
}

static inline int
world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	strlcpy(w->dir, "/tmp/relayd-authd-XXXXXX", sizeof(w->dir));
	assert_non_null(mkdtemp(w->dir));
	w->kept = -1;
	w->id = "gw-host";
	w->url = "https://c.example";
	w->policy = "";
	w->source = TOKEN_FILE;
	w->identities = 1;
	world_start(w);
	*state = w;
	return 0;
}

static inline int
world_teardown(void **state)
{
	struct world *w = *state;
	struct dirent *e;
	DIR *d = opendir(w->dir);

	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(w->gs.dir, e->d_name, 0);
	if (d != NULL)
		closedir(d);
	world_stop(w, 0);
	rmdir(w->dir);
	if (w->kept != -1)
		close(w->kept);
	free(w);
	return 0;
}

#define WORLD_TEST(f) \
	cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

#endif
