/* SPDX-License-Identifier: ISC */
/*
 * relay-authd: alone holds the gateways' secrets, and mints the tokens that
 * the engine may use for connections that the dialer made.  It parses nothing
 * that came from the network.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "log.h"
#include "permit.h"
#include "secmem.h"
#include "secret.h"
#include "token.h"

/* Mints of all gateways together: the greatest dials_per_second there can be,
 * and each dial has one token.  A dialer within its bounds never meets it. */
#define MINTS_PER_SECOND 1000
/* How long the others may not yet have read that a gateway was removed. */
#define REMOVED_MS 10000

struct authd {
	struct child child;
	struct secrets secrets;
	struct permits permits;
	struct rate rate;	    /* of mints, all together */
	unsigned engines;	    /* new engines there were */
	int started;		    /* lives by a configuration */
	char why[LIMIT_REASON + 1]; /* of a refusal, composed */
};

/* What the engine may know of a credential.  The generation counts the commits
 * of this process at which the credential was another one, so after a restart
 * of relay-authd it begins anew although nothing changed, and nothing derived
 * from the secret may leave to tell: the receiver takes the first generation
 * after a new pipe as the one it knew. */
static void
tell_credential(struct authd *a, uint32_t gateway)
{
	const struct secret *s = secret_get(&a->secrets, gateway);
	struct msg_credential m = {.gateway = gateway};

	if (s == NULL)
		return;
	m.usable = s->text.p != NULL;
	m.generation = a->secrets.history[gateway].generation;
	m.source = s->source;
	m.id = span_str(s->id);
	m.since = (uint64_t)s->since;
	m.minted = s->minted;
	m.reason = span_str(s->reason);
	child_send(&a->child, ROLE_ENGINE, MSG_CREDENTIAL, 0, &m, -1);
}

static void
tell_all(struct authd *a)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		tell_credential(a, g);
}

/* Configuration. */

static void
conf_begin(void *arg)
{
	struct authd *a = arg;

	secret_stage(&a->secrets);
}

static const char *
conf_item(struct msg *m, void *arg)
{
	struct authd *a = arg;
	const char *why;

	if (m->type != MSG_CONF_CREDENTIAL)
		return "an item that is not for relay-authd";
	why = secret_add(&a->secrets, &m->u.conf_credential, m->fd);
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

static void
conf_commit(void *arg)
{
	struct authd *a = arg;

	/* A connection made for the old one gets no token of the new. */
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		if (secret_other(&a->secrets, g))
			permit_retire(&a->permits, g);
	secret_commit(&a->secrets, (int64_t)time(NULL), child_now_ms());
	a->started = 1;
	tell_all(a);
}

static void
conf_abort(void *arg)
{
	struct authd *a = arg;

	secret_abort(&a->secrets);
}

/* Messages of peers. */

static const char *
on_report(struct authd *a, const struct msg_report *m)
{
	uint32_t g = (uint32_t)m->gateway;
	uint64_t now = child_now_ms();
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
	log_info(
	    "mint", s->name, "token for the link, number %" PRIu64, s->minted);
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

	(void)peer; /* the message's type has one sender */
	if (m->type == MSG_REPORT)
		return on_report(a, &m->u.report);
	if (m->type == MSG_MINT)
		return on_mint(a, m);
	return "a message that relay-authd does not take";
}

static void
peer_new(enum role peer, void *arg)
{
	struct authd *a = arg;

	if (peer == ROLE_ENGINE) {
		a->engines++;
		tell_all(a);
	} else if (peer == ROLE_DIALER)
		permit_restart(&a->permits, child_now_ms());
}

/* Start. */

static const struct child_ops ops = {
    .conf_begin = conf_begin,
    .conf_item = conf_item,
    .conf_check = conf_check,
    .conf_commit = conf_commit,
    .conf_abort = conf_abort,
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
static void
check_state(const struct ladder *l)
{
	int fd;

	if (l->writable == NULL)
		return;
	fd = open(l->writable, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1) {
		log_err("state", NULL,
		    "state directory: %s: give it to the "
		    "user of relay-authd",
		    strerror(errno));
		exit(1);
	}
	close(fd);
}

static int
usage(void)
{
	fprintf(stderr,
	    "relay-authd: relayd starts this program; to run it "
	    "by hand has no use.\n");
	return EX_USAGE;
}

int
main(int argc, char *argv[])
{
	struct authd *a;
	int status;

	if (argc == 2 && strcmp(argv[1], "-v") == 0) {
		printf("relay-authd %s\n", VERSION);
		return 0;
	}
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return EX_OSERR;
	if (child_begin(&a->child, argc, argv) == -1 ||
	    a->child.role != ROLE_AUTHD) {
		free(a);
		return usage();
	}
	open_secrets(a);
	rate_init(&a->rate, MINTS_PER_SECOND, MINTS_PER_SECOND, child_now_ms());
	permit_restart(&a->permits, child_now_ms());
	child_enter(&a->child, &ops, a);
	check_state(&a->child.ladder);
	status = child_loop(&a->child);
	child_end(&a->child);
	secret_close(&a->secrets);
	free(a);
	return status;
}
