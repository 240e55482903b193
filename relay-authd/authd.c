/* SPDX-License-Identifier: ISC */
/*
 * relay-authd: alone holds the gateways' secrets, and mints the tokens that
 * the engine may use for connections that the dialer made.  It parses nothing
 * that came from the network.
 */
#include <sys/stat.h>
#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "authsock.h"
#include "child.h"
#include "log.h"
#include "pipe.h"
#include "secmem.h"
#include "token.h"

/* Mints of all gateways together: the greatest dials_per_second there can be,
 * and each dial has one token.  A dialer within its bounds never meets it. */
#define MINTS_PER_SECOND 1000
/* How long the others may not yet have read that a gateway was removed. */
#define REMOVED_MS 10000

/* The pipe to an exchange process; the place of one is its correlation modulo
 * LIMIT_EXCHANGES. */
struct xchg {
	struct authd *a;
	struct pipe *pipe;
	uint32_t corr;
};

struct authd {
	struct child child;
	struct secrets secrets;
	struct permits permits;
	struct gateways gs;
	struct authsock auth;
	struct xchg xchg[LIMIT_EXCHANGES];
	struct event *timer;
	struct rate rate;	    /* of mints, all together */
	unsigned engines;	    /* new engines there were */
	int started;		    /* lives by a configuration */
	int listener;		    /* staged, or -1 */
	ino_t listening;	    /* the one served */
	char why[LIMIT_REASON + 1]; /* of a refusal, composed */
};

/* Time. */

static void
look_at_clock(void *arg)
{
	struct authd *a = arg;

	a->gs.now_ms = child_now_ms();
	a->gs.now = (int64_t)time(NULL);
}

/* Do what is due, and be back when more is. */
static void
go_on(void *arg)
{
	struct authd *a = arg;
	uint64_t next = gateway_tick(&a->gs), ms;
	struct timeval tv;

	evtimer_del(a->timer);
	if (next == UINT64_MAX)
		return;
	ms = next > a->gs.now_ms ? next - a->gs.now_ms : 0;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	evtimer_add(a->timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	look_at_clock(arg);
	go_on(arg);
}

/* Exchanges. */

static const char *message(struct msg *m, void *arg);

static const char *
xchg_message(struct pipe *p, struct msg *m, void *arg)
{
	const struct xchg *x = arg;

	(void)p;
	m->corr = x->corr;
	return message(m, x->a);
}

/* It broke a rule.  The job closes the pipe, which ends the exchange. */
static void
xchg_bad(struct pipe *p, const char *why, void *arg)
{
	const struct xchg *x = arg;

	(void)p;
	look_at_clock(x->a);
	job_lost(&x->a->gs.jobs, x->corr, why, x->a->gs.now_ms);
	go_on(x->a);
}

static void
xchg_gone(struct pipe *p, void *arg)
{
	xchg_bad(p, "the exchange ended", arg);
}

static const struct pipe_ops xchg_ops = {
    .message = xchg_message, .bad = xchg_bad, .gone = xchg_gone};

static struct xchg *
xchg_at(uint32_t corr, void *arg)
{
	struct authd *a = ((struct gateways *)arg)->owner;

	return &a->xchg[corr % LIMIT_EXCHANGES];
}

static int
xchg_open(uint32_t corr, int fd, void *arg)
{
	struct xchg *x = xchg_at(corr, arg);

	x->a = ((struct gateways *)arg)->owner;
	x->corr = corr;
	x->pipe =
	    pipe_new(x->a->child.base, fd, ROLE_AUTHD, ROLE_XCHG, &xchg_ops, x);
	return x->pipe == NULL ? -1 : 0;
}

static void
xchg_close(uint32_t corr, void *arg)
{
	struct xchg *x = xchg_at(corr, arg);

	pipe_free(x->pipe);
	x->pipe = NULL;
}

static int
send_to(enum role to, enum msg_type type, uint32_t corr, const void *fields,
    int fd, void *arg)
{
	struct authd *a = ((struct gateways *)arg)->owner;
	struct pipe *p = xchg_at(corr, arg)->pipe;

	if (to != ROLE_XCHG)
		return child_send(&a->child, to, type, corr, fields, fd);
	return p == NULL ? -1 : pipe_send(p, type, corr, fields, fd);
}

static void
enrolled(const struct job *j, struct gateways *gs)
{
	authsock_enrolled(&((struct authd *)gs->owner)->auth, j);
}

/* Configuration. */

static void
drop_listener(struct authd *a)
{
	if (a->listener != -1)
		close(a->listener);
	a->listener = -1;
}

static void
conf_begin(void *arg)
{
	struct authd *a = arg;

	secret_stage(&a->secrets);
	gateway_stage(&a->gs);
	drop_listener(a);
}

static const char *
conf_item(struct msg *m, void *arg)
{
	struct authd *a = arg;
	const char *why = NULL;

	if (m->type == MSG_CONF_LISTENER) {
		if (m->u.conf_listener.kind != LISTEN_AUTH || a->listener != -1)
			why = "a listener that is not for relay-authd";
		else {
			a->listener = m->fd;
			m->fd = -1;
		}
	} else if (m->type == MSG_CONF_CREDENTIAL)
		why = secret_add(&a->secrets, &m->u.conf_credential, m->fd);
	else
		why = gateway_item(&a->gs, m);
	if (m->fd != -1)
		close(m->fd);
	return why;
}

/* At a start a gateway without a usable secret waits for one; a reload does
 * not take a credential away by mistake. */
static const char *
conf_check(void *arg)
{
	struct authd *a = arg;

	return a->started ? secret_check(&a->secrets, a->why, sizeof(a->why))
			  : NULL;
}

/* Who made the socket started relayd: its descriptor's owner. */
static void
serve(struct authd *a)
{
	struct stat st;

	if (a->listener == -1 || fstat(a->listener, &st) == -1)
		return;
	if (a->auth.sock != NULL && st.st_ino == a->listening) {
		drop_listener(a);
		return;
	}
	if (authsock_serve(&a->auth, a->child.base, a->listener, st.st_uid) ==
	    -1) {
		log_err("auth", NULL, "auth.sock is not served: %s%s",
		    strerror(errno),
		    errno == ENOMEM
			? "; raise the limit on locked memory (LimitMEMLOCK= "
			  "of the service, ulimit -l)"
			: "");
		return;
	}
	a->listener = -1;
	a->listening = st.st_ino;
}

static void
conf_commit(void *arg)
{
	struct authd *a = arg;

	look_at_clock(a);
	gateway_prepare(&a->gs);
	/* A connection made for the old one gets no token of the new. */
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		if (secret_other(&a->secrets, g))
			permit_retire(&a->permits, g);
	secret_commit(&a->secrets, a->gs.now, a->gs.now_ms);
	a->started = 1;
	gateway_settle(&a->gs);
	serve(a);
	go_on(a);
}

/* Messages of peers. */

static const char *
on_report(struct authd *a, const struct msg_report *m)
{
	uint32_t g = (uint32_t)m->gateway;
	uint64_t now = a->gs.now_ms;
	int removed = secret_just_removed(&a->secrets, g, now, REMOVED_MS);

	if (secret_get(&a->secrets, g) == NULL && !removed)
		return "a connection for a gateway that there is not";
	if (permit_report(&a->permits, g, m->conn, removed, now) == -1)
		return "a connection's number that was used before";
	return NULL;
}

/*
 * May there be a token?  The dialer reported the connection to us before it
 * handed it to the engine, so when the engine asks, the report is at least in
 * our pipe (and if the dialer is a new one, its pipe is in the supervisor's,
 * which was read before this message was handled).
 */
static enum permit_answer
ask(struct authd *a, uint32_t gateway, uint64_t conn)
{
	enum permit_answer answer;

	answer = permit_ask(&a->permits, gateway, conn, child_now_ms());
	if (answer != PERMIT_UNKNOWN && answer != PERMIT_GONE)
		return answer;
	child_drain(&a->child, ROLE_DIALER);
	return permit_ask(&a->permits, gateway, conn, child_now_ms());
}

static void
refuse(struct authd *a, const struct msg *q, enum mint_refusal code,
    const char *name, const char *why)
{
	struct msg_mint_refused m = {.gateway = q->u.mint.gateway,
	    .conn = q->u.mint.conn,
	    .code = code,
	    .reason = span_str(why)};

	log_info("mint_refused", name, "%s", why);
	child_send(&a->child, ROLE_ENGINE, MSG_MINT_REFUSED, q->corr, &m, -1);
}

static void
mint(struct authd *a, const struct msg *q, struct secret *s)
{
	struct msg_token m = {
	    .gateway = q->u.mint.gateway, .conn = q->u.mint.conn};
	char token[LIMIT_TOKEN + 1];
	int64_t exp;

	m.token.len = token_mint(a->secrets.vault.work, s->text,
	    span_str(s->id), (int64_t)time(NULL), &exp, token);
	if (m.token.len == 0) {
		refuse(a, q, MINT_RATE, s->name,
		    "the system clock is before 1970: set it");
		return;
	}
	permit_use(&a->permits, (uint32_t)m.gateway, m.conn);
	s->minted++;
	m.token.p = token;
	m.exp = (uint64_t)exp;
	child_send(&a->child, ROLE_ENGINE, MSG_TOKEN, q->corr, &m, -1);
	explicit_bzero(token, sizeof(token));
	log_info("mint", s->name, "token for the link (number %" PRIu64 ")",
	    s->minted);
	a->gs.all[m.gateway].uses[USE_LINK]++;
}

static const char *
on_mint(struct authd *a, const struct msg *q)
{
	uint32_t g = (uint32_t)q->u.mint.gateway;
	const unsigned engines = a->engines;
	enum permit_answer answer = ask(a, g, q->u.mint.conn);
	struct secret *s = secret_get(&a->secrets, g);
	uint64_t now = child_now_ms();

	/* While the dialer was heard a new engine came, which has not asked. */
	if (engines != a->engines)
		return NULL;
	if (answer == PERMIT_AGAIN)
		return "a second token for one connection";
	if (answer == PERMIT_UNKNOWN)
		return "a token for a connection that nobody made";
	if (answer == PERMIT_GONE || s == NULL)
		refuse(a, q, MINT_GONE, s == NULL ? NULL : s->name,
		    "the connection is too old, or was made before a "
		    "restart or a change of settings");
	else if (s->text.p == NULL)
		refuse(a, q, MINT_NO_CREDENTIAL, s->name, s->reason);
	else if (!rate_take(&s->rate, now) || !rate_take(&a->rate, now))
		refuse(a, q, MINT_RATE, s->name, "too many tokens at once");
	else
		mint(a, q, s);
	return NULL;
}

static const char *
peer_message(enum role peer, struct msg *m, void *arg)
{
	struct authd *a = arg;
	const char *why;

	look_at_clock(a);
	if (m->type == MSG_REPORT)
		why = on_report(a, &m->u.report);
	else if (m->type == MSG_MINT)
		why = on_mint(a, m);
	else if (peer == ROLE_ENGINE)
		why = gateway_message(&a->gs, m);
	else /* the supervisor's, the dialer's and an exchange's own */
		why = job_message(&a->gs.jobs, m, a->gs.now_ms);
	go_on(a);
	return why;
}

static const char *
message(struct msg *m, void *arg)
{
	return peer_message(ROLE_SUPERVISOR, m, arg);
}

static void
peer_new(enum role peer, void *arg)
{
	struct authd *a = arg;

	if (peer == ROLE_ENGINE) {
		a->engines++;
		gateway_tell_all(&a->gs);
	} else if (peer == ROLE_DIALER) {
		permit_restart(&a->permits, child_now_ms());
		/* Its connections are numbered anew. */
		for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
			a->gs.all[g].before = 0;
	}
}

/* Start. */

static const struct child_ops ops = {
    .conf_begin = conf_begin,
    .conf_item = conf_item,
    .conf_check = conf_check,
    .conf_commit = conf_commit,
    .conf_abort = conf_begin,
    .message = message,
    .peer_message = peer_message,
    .peer_new = peer_new,
};

static void
open_secrets(struct authd *a)
{
	const char *lacking = "the kernel gives no memfd_secret";
	unsigned flags = 0;

	if (secret_open(&a->secrets, sizeof(struct token_work), &flags) == -1) {
		log_err("secmem", NULL,
		    "memory for secrets: %s; is the limit on locked memory "
		    "(ulimit -l) below 1 MiB?",
		    strerror(errno));
		exit(1);
	}
	if (flags & SECMEM_FALLBACK)
		log_warn("secmem", NULL,
		    "%s: secrets lie in locked memory kept out of dumps",
		    lacking);
	child_layer(
	    &a->child, LAYER_SECRET, !(flags & SECMEM_FALLBACK), lacking);
}

/* The state directory is part of what relay-authd was promised. */
static int
open_state(const struct ladder *l)
{
	int fd;

	if (l->writable == NULL)
		return -1;
	fd = open(l->writable, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1) {
		log_err("state", NULL,
		    "state directory: %s: give it to relay-authd's user",
		    strerror(errno));
		exit(1);
	}
	return fd;
}

/* NULL, or what there is no memory for. */
static const char *
set_up(struct authd *a)
{
	a->listener = -1;
	a->gs.owner = a;
	a->gs.secrets = &a->secrets;
	a->gs.permits = &a->permits;
	a->gs.enrolled = enrolled;
	a->gs.ops.send = send_to;
	a->gs.ops.open = xchg_open;
	a->gs.ops.close = xchg_close;
	a->auth = (struct authsock){
	    .gs = &a->gs, .before = look_at_clock, .after = go_on, .arg = a};
	if ((a->timer = evtimer_new(a->child.base, on_timer, a)) == NULL)
		return "the timer";
	return gateway_init(&a->gs) == -1 ? "the table of gateways" : NULL;
}

int
main(int argc, char *argv[])
{
	struct authd *a;
	const char *lacking;
	int status;

	if (argc == 2 && strcmp(argv[1], "-v") == 0) {
		printf("relay-authd %s\n", VERSION);
		return 0;
	}
	if ((a = calloc(1, sizeof(*a))) == NULL)
		err(EX_OSERR, "relay-authd");
	if (child_begin(&a->child, argc, argv) == -1 ||
	    a->child.role != ROLE_AUTHD)
		errx(EX_USAGE,
		    "relayd starts this program; to run it by hand has no "
		    "use.");
	if ((lacking = set_up(a)) != NULL) {
		log_err("start", NULL, "%s: no memory", lacking);
		return EX_OSERR;
	}
	open_secrets(a);
	rate_init(&a->rate, MINTS_PER_SECOND, MINTS_PER_SECOND, child_now_ms());
	permit_restart(&a->permits, child_now_ms());
	child_enter(&a->child, &ops, a);
	a->gs.dir = open_state(&a->child.ladder);
	status = child_loop(&a->child);
	authsock_close(&a->auth);
	event_free(a->timer);
	child_end(&a->child);
	secret_close(&a->secrets);
	free(a);
	return status;
}
