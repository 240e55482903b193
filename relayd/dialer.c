/* SPDX-License-Identifier: ISC */
/* The dialer process; see dialer.h. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "child.h"
#include "dial_jobs.h"
#include "dialer.h"
#include "log.h"
#include "proxy.h"
#include "resolve.h"
#include "secmem.h"
#include "vault.h"

/* How long a peer may not yet have read that an endpoint was removed. */
#define REMOVED_MS 10000
#define ENDPOINTS  (ENDPOINT_LAST + 1)
/* Bytes of all proxies' user:password together. */
#define PROXY_SPACE ((size_t)LIMIT_GATEWAYS * ENDPOINTS * 128)

/* Where gateways' dials may go. */
struct targets {
	struct dial_target *of[LIMIT_GATEWAYS][ENDPOINTS];
};

struct dialer {
	struct child child;
	struct vault vault;
	struct dial_env env;
	struct targets live, stage;
	uint64_t removed_ms[LIMIT_GATEWAYS][ENDPOINTS]; /* 0: never */
	uint32_t stage_rate;				/* 0: not given */
	struct dial_jobs *jobs;
	char why[LIMIT_REASON + 1]; /* of a refusal, composed */
};

/* Configuration. */

static void
targets_free(struct targets *t)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		for (unsigned e = 0; e < ENDPOINTS; e++) {
			free(t->of[g][e]);
			t->of[g][e] = NULL;
		}
}

static void
conf_abort(void *arg)
{
	struct dialer *d = arg;

	targets_free(&d->stage);
	d->stage_rate = 0;
	vault_abort(&d->vault);
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
	struct dial_target **at = &d->stage.of[m->gateway][m->endpoint], *t;

	if (*at != NULL)
		return "one endpoint of a gateway twice";
	if (m->host.len == 0 || m->port == 0 ||
	    (m->proxy_host.len == 0) != (m->proxy_port == 0) ||
	    (fd != -1 && m->proxy_port == 0))
		return "an endpoint that is not whole";
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return "the dialer is out of memory";
	*at = t;
	span_copy(t->name, sizeof(t->name), m->name);
	span_copy(t->host, sizeof(t->host), m->host);
	span_copy(t->proxy_host, sizeof(t->proxy_host), m->proxy_host);
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
settle(struct dialer *d, uint32_t g, unsigned e)
{
	struct dial_target *was = d->live.of[g][e], *is = d->stage.of[g][e];

	d->stage.of[g][e] = NULL;
	if (was != NULL && same_target(was, is)) {
		was->userpass = is->userpass;
		memcpy(was->name, is->name, sizeof(was->name));
		free(is);
		return;
	}
	if (was != NULL)
		dial_jobs_fail(d->jobs, was, STAGE_CONF,
		    "the gateway's settings have changed");
	if (was != NULL && is == NULL)
		d->removed_ms[g][e] = child_now_ms();
	free(was);
	d->live.of[g][e] = is;
}

static void
conf_commit(void *arg)
{
	struct dialer *d = arg;

	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		for (unsigned e = 0; e < ENDPOINTS; e++)
			settle(d, g, e);
	vault_commit(&d->vault);
	dial_jobs_rate(d->jobs, d->stage_rate);
	d->stage_rate = 0;
}

/* Messages of the engine and of relay-authd. */

/* A dial for nothing crosses with a commit, or is an offence. */
static const char *
no_target(struct dialer *d, enum dial_owner owner, uint32_t gateway, unsigned e,
    uint32_t corr)
{
	uint64_t at = d->removed_ms[gateway][e];

	if (at == 0 || child_now_ms() - at >= REMOVED_MS)
		return e == ENDPOINT_CONNECTOR
		    ? "a dial for a gateway that there is not"
		    : "a dial for an endpoint that there is not";
	dial_jobs_refuse(d->jobs, owner, gateway, NULL, corr, STAGE_CONF,
	    "where this goes was removed from the configuration");
	return NULL;
}

static const char *
on_dial(struct dialer *d, enum dial_owner owner, uint64_t gateway, uint64_t e,
    uint32_t corr)
{
	const struct dial_target *t = d->live.of[gateway][e];

	if (t == NULL)
		return no_target(
		    d, owner, (uint32_t)gateway, (unsigned)e, corr);
	return dial_jobs_add(d->jobs, owner, (uint32_t)gateway, corr, t);
}

/* Each type of message has one sender. */
static const char *
peer_message(enum role peer, struct msg *m, void *arg)
{
	struct dialer *d = arg;

	(void)peer;
	switch (m->type) {
	case MSG_DIAL:
		return on_dial(d, OWNER_ENGINE, m->u.dial.gateway,
		    ENDPOINT_CONNECTOR, m->corr);
	case MSG_XDIAL:
		return on_dial(d, OWNER_AUTHD, m->u.xdial.gateway,
		    m->u.xdial.endpoint, m->corr);
	case MSG_DIAL_CANCEL:
		return dial_jobs_cancel(d->jobs, OWNER_ENGINE,
		    (uint32_t)m->u.dial_cancel.gateway, m->corr);
	case MSG_XDIAL_CANCEL:
		return dial_jobs_cancel(d->jobs, OWNER_AUTHD,
		    (uint32_t)m->u.xdial_cancel.gateway, m->corr);
	default:
		return "a message that the dialer does not take";
	}
}

/* Nobody waits for the dials of the dead. */
static void
peer_gone(enum role peer, void *arg)
{
	struct dialer *d = arg;

	dial_jobs_drop(
	    d->jobs, peer == ROLE_ENGINE ? OWNER_ENGINE : OWNER_AUTHD);
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

	if (vault_open(&d->vault, PROXY_SPACE, PROXY_REQUEST_MAX, &flags) ==
	    -1) {
		log_err("secmem", NULL,
		    "memory for secrets: %s: raise the limit of locked memory "
		    "(LimitMEMLOCK=, ulimit -l)",
		    strerror(errno));
		return -1;
	}
	if (flags & SECMEM_FALLBACK)
		log_warn("secmem", NULL,
		    "the kernel gives no memfd_secret: proxy passwords lie in "
		    "locked memory kept out of dumps");
	d->env.base = d->child.base;
	d->env.request = d->vault.work;
	d->env.resolver = resolver_new(d->child.base);
	if (d->env.resolver == NULL) {
		log_err("dialer", NULL, "no resolver: %s", strerror(errno));
		return -1;
	}
	if ((d->jobs = dial_jobs_new(&d->child, &d->env)) == NULL) {
		log_err("dialer", NULL, "no events: %s", strerror(errno));
		return -1;
	}
	return 0;
}

static void
dialer_close(struct dialer *d)
{
	dial_jobs_free(d->jobs);
	conf_abort(d);
	targets_free(&d->live);
	vault_close(&d->vault);
	resolver_free(d->env.resolver);
	child_end(&d->child);
}

int
dialer_main(int argc, char *argv[])
{
	struct dialer *d;
	int status;

	/* The log has not begun: the supervisor logs these lines as they are.
	 */
	if ((d = calloc(1, sizeof(*d))) == NULL)
		err(EX_OSERR, "the dialer's memory");
	if (child_begin(&d->child, argc, argv) == -1 ||
	    d->child.role != ROLE_DIALER)
		errx(EX_USAGE, "the dialer is started by relayd alone");
	if (dialer_open(d) == -1) {
		log_err("dialer", NULL, "it cannot begin: it ends");
		return EX_OSERR;
	}
	child_enter(&d->child, &ops, d);
	status = child_loop(&d->child);
	dialer_close(d);
	free(d);
	return status;
}
