/* SPDX-License-Identifier: ISC */
/*
 * Secrets as the supervisor handles them: never read, never mapped.  What came
 * by environment is sealed before anything else runs; what lies in files is
 * opened and passed on.
 */
#ifndef SUP_SECRET_H
#define SUP_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "msg.h"
#include "proxy_env.h"
#include "sup_slot.h"

/* Secrets that come by environment: each rests in a descriptor of sealed
 * memory (secmem_seal), or is -1. */
enum sup_sealed {
	SEALED_SECRET,
	SEALED_DELIVERY_KEY,
	SEALED_ENROLL_TOKEN,
	SEALED_IDP_SECRET,
	SEALED_PROXY, /* SEALED_PROXY + i: user:password of proxy_env_vars[i] */
	SEALED_PROXIES = PROXY_ENV_VARS,
	SEALED_COUNT = SEALED_PROXY + SEALED_PROXIES
};

/* A variable that the configuration names. */
struct sup_named {
	char *name;
	int fd; /* sealed; -1: it was not set */
};

/* What relayd looks at in the environment, without the secrets. */
struct sup_env {
	char **var; /* in the form of environ, NULL at the end */
	size_t nvar;
	int sealed[SEALED_COUNT];
	struct sup_named *named; /* variables that may hold identity tokens */
	size_t nnamed;
	unsigned flags;	    /* SECMEM_FALLBACK when memfd_secret is missing */
	const char *failed; /* NULL, or the variable that could not be sealed */
};

/*
 * Take the environment over: seal the secrets, and the variables in names (n
 * of them: what the configuration says holds an identity token), copy the
 * variables that are relayd's business, overwrite every string where the kernel
 * put it (so that /proc/PID/environ shows nothing) and leave the vector empty.
 * Returns 0, or -1 without memory or sealed memory (what is there is wiped all
 * the same).
 */
int sup_env_take(struct sup_env *e, char **env, char *const *names, size_t n);
void sup_env_free(struct sup_env *e);
/* The sealed identity token of a variable that was named at the start: a
 * descriptor that stays ours; -1 when it was not set, -2 when it was not
 * named. */
int sup_env_named(const struct sup_env *e, const char *name);
/* A variable's value, NULL when not set or empty. */
const char *sup_env_get(const struct sup_env *e, const char *name);

/* Where a gateway's proxy is, and what opens it. */
struct sup_proxy {
	char host[URL_HOST_MAX + 1]; /* "": none */
	uint16_t port;
	int sealed;	  /* index into sup_env.sealed, or -1 */
	const char *file; /* credentials file of the configuration, or NULL */
};

/* The proxy of a gateway on the way to a URL (its connector's, its token
 * URL's), from its settings or the environment.  Returns NULL, or what is
 * wrong with the variable (*var gets its name). */
const char *sup_proxy(struct sup_proxy *p, const struct sup_env *e,
    const struct conf_gateway *g, const struct url *to, const char **var);

/* A secret's descriptor for one message. */
struct sup_cred {
	int fd;	      /* -1: none */
	int borrowed; /* the descriptor is sealed memory and stays ours */
	int bad;      /* a file is there, or named, that cannot be used */
	enum cred_source source;    /* also of one that cannot be used */
	char label[LIMIT_PATH + 1]; /* path; or why there is none */
};

/* Find a gateway's secret.  Never fails: label says why there is none, and
 * what to do. */
void sup_cred_open(
    struct sup_cred *c, const struct sup_env *e, const struct conf_gateway *g);
/* The same for a gateway whose secret is not looked for: that there is none. */
void sup_cred_none(struct sup_cred *c, const struct conf_gateway *g);
/* How the file stands in which sup_cred_open would find it, through symbolic
 * links.  Whether it may lie in one at all. */
int sup_cred_stamp(struct sup_stamp *stamp, const struct sup_env *e,
    const struct conf_gateway *g);
/* Where the service manager laid the identity token of a gateway ready that is
 * configured without one: 1 with path filled, or 0. */
int sup_cred_identity(char path[LIMIT_PATH + 1], const struct sup_env *e,
    const struct conf_gateway *g);
/* Whether there is a delivery key for a gateway. */
int
sup_cred_delivery_key(const struct sup_env *e, const struct conf_gateway *g);
/*
 * Open what relay-authd wants anew: a file, or sealed memory of the
 * environment.  Never fails: without a descriptor label, of at most
 * LIMIT_REASON bytes, says why, and what to do.
 */
void sup_secret_want(struct sup_cred *c, const struct sup_env *e,
    const struct conf_gateway *g, enum want_secret what);
/* Close what these opened. */
void sup_cred_close(struct sup_cred *c);

/*
 * Open a file that holds a secret, unread: a regular file of ours (or root's;
 * as root also of `user`, may be NULL) that others cannot read.  A symbolic
 * link may lead to it from beside it or above.  Returns the descriptor or -1
 * with why filled.
 */
int
sup_secret_open(const char *path, const char *user, char *why, size_t whylen);

#endif
