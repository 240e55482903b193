/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl check: findings about this machine, the configuration, the way to
 * the connectors and the credentials, in the order in which a start would come
 * by them.
 */
#ifndef CHECK_H
#define CHECK_H

#include <sys/types.h>
#include <stdint.h>

#include "conf.h"
#include "ctl.h"
#include "state.h"

enum check_result { CHECK_OK, CHECK_WARN, CHECK_FAIL, CHECK_SKIP };

enum check_step {
	STEP_CONFIGURATION,
	STEP_PERMISSIONS,
	STEP_USERS,
	STEP_KERNEL,
	STEP_NAME,
	STEP_CONNECT,
	STEP_CERTIFICATE,
	STEP_CLOCK,
	STEP_CREDENTIAL,
	CHECK_STEPS
};

struct check_finding {
	enum check_result result;
	enum check_step step;
	const char *gateway; /* of the configuration; NULL: of none */
	char *what;
	char *todo; /* NULL: nothing */
};

struct check {
	struct ctl *ctl;
	const char *only; /* the gateway asked for; NULL: all */
	/* Whether what is inserted into texts is left out but for numbers and
	 * phrases that are known: for a bundle. */
	int guarded;
	/* What is looked at. */
	char conf_path[LIMIT_PATH + 1];	 /* "": none */
	char state_path[LIMIT_PATH + 1]; /* the state directory */
	struct conf *conf;		 /* NULL: it cannot be taken */
	uid_t owner;			 /* whom relayd runs as, or would */
	int alive;			 /* there is a relayd here */
	/* What was found. */
	struct check_finding *finding;
	size_t n, cap;
	int failed; /* no memory */
};

/* Look at everything.  given: the configuration's path as on the command line,
 * or NULL.  0, or -1 when a path is too long; check_free in any case. */
int check_run(struct check *k, const char *given);
void check_free(struct check *k);

/* Print: a table, or with --json one object.  Returns the exit status. */
int check_put(const struct check *k, FILE *f);
/* "ok", "warn", "fail", "skip"; "configuration", … */
const char *check_result_name(enum check_result r);
const char *check_step_name(enum check_step s);

/*
 * One finding; the text is "what was looked at\nwhat to do", the second part
 * optional.  It knows %s and %.*s, and %d, %u, %o and %x, also with l, ll, z
 * and flags.
 */
void check_add(struct check *k, enum check_result r, enum check_step s,
    const char *gateway, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* The finding number i holds for another gateway too. */
void check_copy(struct check *k, size_t i, const char *gateway);

/* The parts, each adds its findings. */
void check_permissions(struct check *k);
void check_users(struct check *k);
void check_kernel(struct check *k);
void check_links(struct check *k); /* name, connect, certificate, clock */
void check_credentials(struct check *k);

/* The steps of one gateway's connector; and of its token URL, as far as the
 * certificate: what asked for more would want a token. */
void check_connector(struct check *k, const struct conf_gateway *g);
void check_token_url(struct check *k, const struct conf_gateway *g);

#endif
