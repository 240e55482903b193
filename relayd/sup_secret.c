/* SPDX-License-Identifier: ISC */
/* Files that hold secrets: found, opened, and never read. */

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "role.h"
#include "secret_file.h"
#include "sup_own.h"
#include "sup_secret.h"

/* Look as the user whose secrets these are, after we could not: 0, or -1. */
static int
enter(const char *user)
{
	struct passwd *pw;

	if (errno == EACCES && user != NULL && geteuid() == 0 &&
	    (pw = getpwnam(user)) != NULL)
		return sup_own_enter(pw->pw_uid);
	return -1;
}

static int
open_checked(
    const char *path, const char *user, mode_t mask, char *why, size_t whylen)
{
	int fd = secret_file_open(path, user, mask, why, whylen);

	if (fd == -1 && enter(user) == 0) {
		fd = secret_file_open(path, user, mask, why, whylen);
		sup_own_leave();
	}
	return fd;
}

int
sup_secret_open(const char *path, const char *user, char *why, size_t whylen)
{
	return open_checked(path, user, SECRET_FILE_OWN, why, whylen);
}

/* "PATH: why", within what a reason may have. */
static void
failed(struct sup_cred *c, const char *path, const char *why)
{
	const struct span end = span_tail(span_str(path), LIMIT_REASON / 2);

	c->fd = -1;
	snprintf(c->label, LIMIT_REASON + 1, "%s%.*s: %s",
	    end.p > path ? "…" : "", (int)end.len, end.p, why);
}

/* The place of the file that the service manager laid ready, if it did. */
static int
in_directory(char path[LIMIT_PATH + 1], const struct sup_env *e,
    const char *gateway, const char *what)
{
	static const char *const prefix[] = {"", "relayd."};
	const char *dir = sup_env_get(e, "CREDENTIALS_DIRECTORY");
	size_t i;
	int n;

	for (i = 0; dir != NULL && i < 2; i++) {
		n = snprintf(path, LIMIT_PATH + 1, "%s/%s%s.%s", dir, prefix[i],
		    gateway, what);
		if (n >= 0 && n <= LIMIT_PATH &&
		    (faccessat(AT_FDCWD, path, F_OK, 0) == 0 ||
			errno != ENOENT))
			return 1;
	}
	return 0;
}

/* A file is there, or is named: it counts, good or bad. */
static void
take_file(struct sup_cred *c, enum cred_source source, const char *path, int fd,
    const char *why)
{
	c->fd = fd;
	c->source = source;
	if (fd != -1) {
		strlcpy(c->label, path, sizeof(c->label));
		return;
	}
	c->bad = 1;
	failed(c, path, why);
}

void
sup_cred_none(struct sup_cred *c, const struct conf_gateway *g)
{
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->source = CRED_NONE;
	snprintf(c->label, sizeof(c->label),
	    "no secret: set secret.file, or GATEWAY_RELAY_SECRET, or put "
	    "%s.secret into the service's credential directory",
	    g->name);
}

static int
in_environment(const struct sup_env *e, const struct conf_gateway *g)
{
	return g->secret.from_env && e->sealed[SEALED_SECRET] != -1;
}

void
sup_cred_open(
    struct sup_cred *c, const struct sup_env *e, const struct conf_gateway *g)
{
	const char *user = role_row(ROLE_AUTHD)->user;
	char path[LIMIT_PATH + 1], why[LIMIT_REASON];
	int fd;

	sup_cred_none(c, g);
	if (in_environment(e, g)) {
		c->fd = e->sealed[SEALED_SECRET];
		c->borrowed = 1;
		c->source = CRED_ENV;
		strlcpy(c->label, "environment: GATEWAY_RELAY_SECRET",
		    sizeof(c->label));
	} else if (g->secret.file != NULL) {
		fd = sup_secret_open(g->secret.file, user, why, sizeof(why));
		take_file(c, CRED_FILE, g->secret.file, fd, why);
	} else if (in_directory(path, e, g->name, "secret")) {
		fd = secret_file_laid(path, user, why, sizeof(why));
		take_file(c, CRED_DIRECTORY, path, fd, why);
	}
}

static int
stat_it(const char *path, struct stat *st)
{
	int r = stat(path, st);

	if (r == -1 && enter(role_row(ROLE_AUTHD)->user) == 0) {
		r = stat(path, st);
		sup_own_leave();
	}
	return r;
}

int
sup_cred_stamp(struct sup_stamp *stamp, const struct sup_env *e,
    const struct conf_gateway *g)
{
	char found[LIMIT_PATH + 1];
	const char *path = g->secret.file;
	struct stat st;

	memset(stamp, 0, sizeof(*stamp));
	if (in_environment(e, g))
		return 0;
	if (path == NULL && in_directory(found, e, g->name, "secret"))
		path = found;
	if (path != NULL && stat_it(path, &st) == 0)
		*stamp = (struct sup_stamp){
		    st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
	return path != NULL || sup_env_get(e, "CREDENTIALS_DIRECTORY") != NULL;
}

void
sup_cred_close(struct sup_cred *c)
{
	if (c->fd != -1 && !c->borrowed)
		close(c->fd);
	c->fd = -1;
}

int
sup_cred_identity(char path[LIMIT_PATH + 1], const struct sup_env *e,
    const struct conf_gateway *g)
{
	return in_directory(path, e, g->name, "identity-token");
}

int
sup_cred_delivery_key(const struct sup_env *e, const struct conf_gateway *g)
{
	char path[LIMIT_PATH + 1];

	return e->sealed[SEALED_DELIVERY_KEY] != -1 ||
	    in_directory(path, e, g->name, "delivery-key");
}

/* A file of the credential directory, which is there. */
static void
want_directory(struct sup_cred *c, const char *path)
{
	char why[LIMIT_REASON];

	c->fd = secret_file_laid(
	    path, role_row(ROLE_AUTHD)->user, why, sizeof(why));
	if (c->fd == -1)
		failed(c, path, why);
}

/* Sealed memory, which stays ours. */
static void
want_sealed(struct sup_cred *c, int fd, const char *var)
{
	c->fd = fd;
	c->borrowed = 1;
	if (fd < 0)
		failed(c, var,
		    "the environment variable was not set when relayd "
		    "started: set it and restart relayd");
}

static void
want_identity(
    struct sup_cred *c, const struct sup_env *e, const struct conf_gateway *g)
{
	char why[LIMIT_REASON], path[LIMIT_PATH + 1];

	if (g->token.env != NULL)
		want_sealed(c, sup_env_named(e, g->token.env), g->token.env);
	else if (g->token.file == NULL && sup_cred_identity(path, e, g))
		want_directory(c, path);
	else if (g->token.file == NULL)
		failed(c, "identity_token",
		    "neither a file nor a variable of the environment");
	else if ((c->fd =
			 open_checked(g->token.file, role_row(ROLE_AUTHD)->user,
			     SECRET_FILE_TOKEN, why, sizeof(why))) == -1)
		failed(c, g->token.file, why);
}

static void
want_client_secret(
    struct sup_cred *c, const struct sup_env *e, const struct conf_gateway *g)
{
	const char *file = g->token.oidc_client_secret_file;
	char why[LIMIT_REASON];

	if (g->token.oidc_secret_from_env || file == NULL) {
		want_sealed(c, e->sealed[SEALED_IDP_SECRET],
		    "GATEWAY_RELAY_IDP_CLIENT_SECRET");
		return;
	}
	c->fd =
	    sup_secret_open(file, role_row(ROLE_AUTHD)->user, why, sizeof(why));
	if (c->fd == -1)
		failed(c, file, why);
}

/* What the environment holds, else the credential directory. */
static void
want_either(struct sup_cred *c, const struct sup_env *e,
    const struct conf_gateway *g, enum sup_sealed where, const char *var,
    const char *what)
{
	char path[LIMIT_PATH + 1];

	if (e->sealed[where] == -1 && in_directory(path, e, g->name, what))
		want_directory(c, path);
	else
		want_sealed(c, e->sealed[where], var);
}

void
sup_secret_want(struct sup_cred *c, const struct sup_env *e,
    const struct conf_gateway *g, enum want_secret what)
{
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	switch (what) {
	case WANT_IDENTITY:
		want_identity(c, e, g);
		break;
	case WANT_CLIENT_SECRET:
		want_client_secret(c, e, g);
		break;
	case WANT_ENROLL_TOKEN:
		want_either(c, e, g, SEALED_ENROLL_TOKEN,
		    "GATEWAY_RELAY_ENROLL_TOKEN", "enroll-token");
		break;
	case WANT_DELIVERY_KEY:
		want_either(c, e, g, SEALED_DELIVERY_KEY,
		    "GATEWAY_RELAY_DELIVERY_KEY", "delivery-key");
		break;
	}
}
