/* SPDX-License-Identifier: ISC */
/* The dialer process; see dialer.h. */
#include <sys/queue.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "child.h"
#include "dial.h"
#include "dialer.h"
#include "log.h"
#include "proxy.h"
#include "rate.h"
#include "resolve.h"
#include "secmem.h"
#include "vault.h"

/* How long the engine may not yet have read that a gateway was removed. */
#define REMOVED_MS 10000
/* Dials at work at once; more wait.  Each may have a resolver's child, and a
 * socket for each address: within the usual 1024 descriptors when addresses
 * answer or fail within a second. */
#define DIALS_AT_WORK 256
/* Bytes of all proxies' user:password together. */
#define PROXY_SPACE ((size_t)LIMIT_GATEWAYS * 128)

/* A dial that the engine asked for. */
struct job {
	TAILQ_ENTRY(job) entry;
	struct dialer *dialer;
	uint32_t gateway;
	uint32_t corr;
	struct dial *dial; /* NULL: waits for its turn */
};
TAILQ_HEAD(job_list, job);

struct dialer {
	struct child child;
	struct vault vault;
	struct dial_env env;
	struct dial_target *live[LIMIT_GATEWAYS], *stage[LIMIT_GATEWAYS];
	uint64_t removed_ms[LIMIT_GATEWAYS]; /* 0: never */
	uint32_t stage_rate;		     /* 0: not given */
	struct job *job[LIMIT_GATEWAYS];     /* a gateway has one at a time */
	struct job_list waiting, working;
	unsigned nworking;
	struct rate rate;   /* from the first commit on */
	struct event *turn; /* when the next waiting one may begin */
	uint64_t conn;	    /* number of the last connection */
	uint64_t dials, connected;
	char why[LIMIT_REASON + 1]; /* of a refusal, composed */
};

/* Jobs. */

static void queue_turn(struct dialer *);

static void
job_free(struct job *j)
{
	struct dialer *d = j->dialer;

	if (j->dial != NULL) {
		dial_free(j->dial);
		TAILQ_REMOVE(&d->working, j, entry);
		d->nworking--;
	} else
		TAILQ_REMOVE(&d->waiting, j, entry);
	d->job[j->gateway] = NULL;
	free(j);
}

static void
tell_failed(struct dialer *d, uint32_t corr, uint32_t gateway,
    enum dial_stage stage, const char *reason)
{
	struct msg_dial_failed m = {
	    .gateway = gateway, .stage = stage, .reason = span_str(reason)};

	log_info("dial", NULL,
	    "gateway #%u: %s (%" PRIu64 " of %" PRIu64 " dials connected)",
	    gateway, reason, d->connected, d->dials);
	child_send(&d->child, ROLE_ENGINE, MSG_DIAL_FAILED, corr, &m, -1);
}

static void
job_fail(struct job *j, enum dial_stage stage, const char *reason)
{
	tell_failed(j->dialer, j->corr, j->gateway, stage, reason);
	job_free(j);
}

/*
 * Report to relay-authd, so that it is in its pipe before the engine can ask
 * for a token.  What the kernel has not taken might come later than that, so
 * then there is no connection.
 */
static int
report(struct dialer *d, uint32_t gateway, uint64_t conn)
{
	struct msg_report m = {.gateway = gateway, .conn = conn};

	if (child_send(&d->child, ROLE_AUTHD, MSG_REPORT, 0, &m, -1) == -1)
		return -1;
	return child_queued(&d->child, ROLE_AUTHD) == 0 ? 0 : -1;
}

static void
job_connected(struct job *j, const struct dial_result *r)
{
	struct dialer *d = j->dialer;
	struct msg_connected m = {.gateway = j->gateway,
	    .conn = ++d->conn,
	    .address = span_str(r->address),
	    .took_ms = r->took_ms};

	if (report(d, j->gateway, m.conn) == -1) {
		job_fail(j, STAGE_CONNECT,
		    "relay-authd cannot be told of the connection: it is "
		    "being restarted");
		return;
	}
	d->connected++;
	log_info("dial", NULL,
	    "gateway #%u: connected to %s in %u ms (%" PRIu64 " of %" PRIu64
	    " dials connected)",
	    j->gateway, r->address, r->took_ms, d->connected, d->dials);
	child_send(&d->child, ROLE_ENGINE, MSG_CONNECTED, j->corr, &m, r->fd);
	job_free(j);
}

static void
on_dialled(const struct dial_result *r, void *arg)
{
	struct job *j = arg;
	struct dialer *d = j->dialer;

	if (r->fd == -1)
		job_fail(j, r->stage, r->reason);
	else {
		job_connected(j, r);
		close(r->fd);
	}
	queue_turn(d);
}

static void
job_begin(struct job *j)
{
	struct dialer *d = j->dialer;

	d->dials++;
	j->dial = dial_start(&d->env, d->live[j->gateway], on_dialled, j);
	if (j->dial == NULL) {
		job_fail(j, STAGE_CONNECT, "out of memory");
		return;
	}
	TAILQ_REMOVE(&d->waiting, j, entry);
	TAILQ_INSERT_TAIL(&d->working, j, entry);
	d->nworking++;
}

/* Begin what the budget allows; the others wait their turn. */
static void
queue_turn(struct dialer *d)
{
	struct timeval tv = {0, 0};
	struct job *j;
	uint64_t wait, now = child_now_ms();

	while ((j = TAILQ_FIRST(&d->waiting)) != NULL &&
	    d->nworking < DIALS_AT_WORK) {
		if (!rate_take(&d->rate, now)) {
			wait = rate_wait(&d->rate, now);
			tv.tv_sec = (time_t)(wait / 1000);
			tv.tv_usec = (suseconds_t)(wait % 1000 * 1000);
			event_add(d->turn, &tv);
			return;
		}
		job_begin(j);
	}
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	queue_turn(arg);
}

static void
jobs_drop(struct dialer *d)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		if (d->job[g] != NULL)
			job_free(d->job[g]);
}

/* Configuration. */

static void
target_free(struct dial_target **t)
{
	free(*t);
	*t = NULL;
}

static void
conf_abort(void *arg)
{
	struct dialer *d = arg;

	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		target_free(&d->stage[g]);
	d->stage_rate = 0;
	vault_abort(&d->vault);
}

static void
copy_text(char *out, size_t cap, struct span text)
{
	size_t n = text.len < cap ? text.len : cap - 1;

	memcpy(out, text.p, n);
	out[n] = '\0';
}

static const char *
take_userpass(struct dialer *d, struct dial_target *t, int fd)
{
	const char *why;

	t->userpass = vault_read(&d->vault, fd, PROXY_USERPASS_MAX, &why);
	if (t->userpass.p == NULL) {
		snprintf(d->why, sizeof(d->why),
		    "what should hold the credentials of proxy %.80s %s",
		    t->proxy_host, why);
		return d->why;
	}
	if (memchr(t->userpass.p, ':', t->userpass.len) == NULL)
		return "the proxy's credentials are not of the form "
		       "user:password";
	return NULL;
}

static const char *
take_endpoint(struct dialer *d, const struct msg_conf_endpoint *m, int fd)
{
	struct dial_target *t;

	if (d->stage[m->gateway] != NULL)
		return "two endpoints for one gateway";
	if (m->host.len == 0 || m->port == 0 ||
	    (m->proxy_host.len == 0) != (m->proxy_port == 0) ||
	    (fd != -1 && m->proxy_port == 0))
		return "an endpoint that is not whole";
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return "the dialer is out of memory";
	d->stage[m->gateway] = t;
	copy_text(t->host, sizeof(t->host), m->host);
	copy_text(t->proxy_host, sizeof(t->proxy_host), m->proxy_host);
	t->port = (uint16_t)m->port;
	t->proxy_port = (uint16_t)m->proxy_port;
	return fd == -1 ? NULL : take_userpass(d, t, fd);
}

static const char *
conf_item(struct msg *m, void *arg)
{
	struct dialer *d = arg;
	const char *why = NULL;

	if (m->type == MSG_CONF_ENDPOINT)
		why = take_endpoint(d, &m->u.conf_endpoint, m->fd);
	else if (m->type == MSG_CONF_DIALER)
		d->stage_rate = (uint32_t)m->u.conf_dialer.dials_per_second;
	else
		why = "an item that is not for the dialer";
	if (m->fd != -1)
		close(m->fd);
	return why;
}

static const char *
conf_check(void *arg)
{
	struct dialer *d = arg;

	return d->stage_rate == 0 ? "a budget of no dials per second" : NULL;
}

static int
same_target(const struct dial_target *a, const struct dial_target *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a->host, b->host) == 0 && a->port == b->port &&
	    strcmp(a->proxy_host, b->proxy_host) == 0 &&
	    a->proxy_port == b->proxy_port &&
	    (a->userpass.p == NULL) == (b->userpass.p == NULL) &&
	    (a->userpass.p == NULL || vault_same(a->userpass, b->userpass));
}

/* A dial under way goes on when its target stayed the same. */
static void
settle(struct dialer *d, uint32_t g)
{
	struct dial_target *was = d->live[g], *is = d->stage[g];

	d->stage[g] = NULL;
	if (was != NULL && same_target(was, is)) {
		was->userpass = is->userpass;
		free(is);
		return;
	}
	if (d->job[g] != NULL)
		job_fail(d->job[g], STAGE_CONF,
		    "the gateway's settings have changed");
	if (was != NULL && is == NULL)
		d->removed_ms[g] = child_now_ms();
	free(was);
	d->live[g] = is;
}

static void
conf_commit(void *arg)
{
	struct dialer *d = arg;
	uint64_t now = child_now_ms();

	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		settle(d, g);
	vault_commit(&d->vault);
	if (d->rate.per_s == 0)
		rate_init(&d->rate, d->stage_rate, d->stage_rate, now);
	else
		rate_change(&d->rate, d->stage_rate, d->stage_rate, now);
	d->stage_rate = 0;
	queue_turn(d);
}

/* Messages of the engine. */

static struct job *
find_job(const struct dialer *d, uint32_t corr)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		if (d->job[g] != NULL && d->job[g]->corr == corr)
			return d->job[g];
	return NULL;
}

/* A dial for nothing crosses with a commit, or is an offence. */
static const char *
no_target(struct dialer *d, uint32_t gateway, uint32_t corr)
{
	uint64_t at = d->removed_ms[gateway];

	if (at == 0 || child_now_ms() - at >= REMOVED_MS)
		return "a dial for a gateway that there is not";
	tell_failed(d, corr, gateway, STAGE_CONF,
	    "the gateway was removed from the configuration");
	return NULL;
}

static const char *
on_dial(struct dialer *d, uint32_t gateway, uint32_t corr)
{
	struct job *j;

	if (d->live[gateway] == NULL)
		return no_target(d, gateway, corr);
	if (d->job[gateway] != NULL)
		return "two dials at once for one gateway";
	if (find_job(d, corr) != NULL)
		return "two dials of one number";
	if ((j = calloc(1, sizeof(*j))) == NULL) {
		tell_failed(d, corr, gateway, STAGE_CONNECT, "out of memory");
		return NULL;
	}
	j->dialer = d;
	j->gateway = gateway;
	j->corr = corr;
	d->job[gateway] = j;
	TAILQ_INSERT_TAIL(&d->waiting, j, entry);
	queue_turn(d);
	return NULL;
}

static const char *
on_cancel(struct dialer *d, uint32_t gateway, uint32_t corr)
{
	struct job *j = find_job(d, corr);

	if (j == NULL) /* it crossed with the answer */
		return NULL;
	if (j->gateway != gateway)
		return "the end of another gateway's dial";
	job_free(j);
	queue_turn(d);
	return NULL;
}

static const char *
peer_message(enum role peer, struct msg *m, void *arg)
{
	struct dialer *d = arg;

	(void)peer; /* the message's type has one sender */
	if (m->type == MSG_DIAL)
		return on_dial(d, (uint32_t)m->u.dial.gateway, m->corr);
	if (m->type == MSG_DIAL_CANCEL)
		return on_cancel(
		    d, (uint32_t)m->u.dial_cancel.gateway, m->corr);
	return "a message that the dialer does not take";
}

/* Nobody waits for a dead engine's dials. */
static void
peer_gone(enum role peer, void *arg)
{
	if (peer == ROLE_ENGINE)
		jobs_drop(arg);
}

/* Start and end. */

static const struct child_ops ops = {
    .conf_item = conf_item,
    .conf_check = conf_check,
    .conf_commit = conf_commit,
    .conf_abort = conf_abort,
    .peer_message = peer_message,
    .peer_gone = peer_gone,
};

static int
dialer_open(struct dialer *d)
{
	unsigned flags = 0;

	TAILQ_INIT(&d->waiting);
	TAILQ_INIT(&d->working);
	if (vault_open(&d->vault, PROXY_SPACE, PROXY_REQUEST_MAX, &flags) ==
	    -1) {
		log_err(
		    "secmem", NULL, "memory for secrets: %s", strerror(errno));
		return -1;
	}
	if (flags & SECMEM_FALLBACK)
		log_warn("secmem", NULL,
		    "the kernel gives no memfd_secret: proxy passwords lie in "
		    "locked memory kept out of dumps");
	d->env.base = d->child.base;
	d->env.request = d->vault.work;
	d->env.resolver = resolver_new(d->child.base);
	d->turn = evtimer_new(d->child.base, on_turn, d);
	if (d->env.resolver == NULL || d->turn == NULL) {
		log_err("dialer", NULL, "events: %s", strerror(errno));
		return -1;
	}
	/* Numbers are not used twice, not even after a restart; half of the
	 * range is left to count up in. */
	arc4random_buf(&d->conn, sizeof(d->conn));
	d->conn >>= 1;
	return 0;
}

static void
dialer_close(struct dialer *d)
{
	jobs_drop(d);
	conf_abort(d);
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		target_free(&d->live[g]);
	vault_close(&d->vault);
	event_free(d->turn);
	resolver_free(d->env.resolver);
	child_end(&d->child);
}

int
dialer_main(int argc, char *argv[])
{
	struct dialer *d;
	int status;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		return EX_OSERR;
	if (child_begin(&d->child, argc, argv) == -1 ||
	    d->child.role != ROLE_DIALER) {
		free(d);
		return EX_USAGE;
	}
	if (dialer_open(d) == -1)
		return EX_OSERR;
	child_enter(&d->child, &ops, d);
	status = child_loop(&d->child);
	dialer_close(d);
	free(d);
	return status;
}
