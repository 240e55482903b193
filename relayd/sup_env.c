/* SPDX-License-Identifier: ISC */
/*
 * The environment at start: secrets into sealed memory, the rest of what is
 * relayd's business copied, everything overwritten where it stood.
 */

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hex.h"
#include "proxy_env.h"
#include "secmem.h"
#include "sup_secret.h"

/* Variables whose value is a secret as a whole. */
static const struct {
	const char *name;
	enum sup_sealed where;
} sealed_vars[] = {
    {"GATEWAY_RELAY_SECRET", SEALED_SECRET},
    {"GATEWAY_RELAY_DELIVERY_KEY", SEALED_DELIVERY_KEY},
    {"GATEWAY_RELAY_ENROLL_TOKEN", SEALED_ENROLL_TOKEN},
    {"GATEWAY_RELAY_IDP_CLIENT_SECRET", SEALED_IDP_SECRET},
};

/* What else is kept (patterns); the rest of the environment is forgotten. */
static const char *const kept[] = {
    "GATEWAY_RELAY_*",
    "*_ALLOW_BOTS",
    "no_proxy",
    "NO_PROXY",
    "NOTIFY_SOCKET",
    "JOURNAL_STREAM",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
    "SSL_CERT_FILE",
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
#ifdef RELAYD_SANITIZE
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
    "LSAN_OPTIONS",
#endif
};

#define NELEM(a) (sizeof(a) / sizeof((a)[0]))

/* Whether entry is "name=…"; its value's place. */
static char *
env_value(char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '=' ? entry + n + 1
							       : NULL;
}

static int
is_blank(const char *p)
{
	return p[strspn(p, " \t\r\n\v\f")] == '\0';
}

/* Remember "name=value". */
static int
env_keep(struct sup_env *e, const char *entry, size_t len)
{
	if ((e->var[e->nvar] = strndup(entry, len)) == NULL)
		return -1;
	e->nvar++;
	return 0;
}

/* Seal a value and leave word that the variable was there. */
static int
env_seal(struct sup_env *e, enum sup_sealed where, const char *name,
    char *value, size_t len)
{
	if (e->sealed[where] != -1)
		return 0; /* set twice: as getenv(3), the first one */
	if ((e->sealed[where] = secmem_seal(value, len, &e->flags)) == -1) {
		e->failed = name;
		return -1;
	}
	return 0;
}

/* Undo %XX in place (userinfo is percent-encoded, Basic wants it plain).
 * Returns the new length; %00 and what is no escape stay as they are. */
static size_t
unescape(char *p, size_t len)
{
	size_t i, o;
	int hi, lo;

	for (i = o = 0; i < len; i++, o++) {
		p[o] = p[i];
		if (p[i] != '%' || i + 2 >= len)
			continue;
		hi = hex_value(p[i + 1]);
		lo = hex_value(p[i + 2]);
		if (hi == -1 || lo == -1 || (hi | lo) == 0)
			continue;
		p[o] = (char)(hi << 4 | lo);
		i += 2;
	}
	explicit_bzero(p + o, len - o);
	return o;
}

/* "scheme://user:password@host…": the part before @ is sealed, the rest kept
 * as the variable. */
static int
env_proxy(struct sup_env *e, unsigned i, char *entry)
{
	char *url, *host, *end, *at, *p, *copy;
	size_t head;

	url = strchr(entry, '=') + 1;
	host = (p = strstr(url, "://")) != NULL ? p + 3 : url;
	end = host + strcspn(host, "/?#");
	for (at = NULL, p = host; p < end; p++)
		if (*p == '@')
			at = p;
	if (at == NULL)
		return env_keep(e, entry, strlen(entry));
	head = (size_t)(host - entry);
	if ((copy = malloc(head + strlen(at + 1) + 1)) == NULL)
		return -1;
	memcpy(copy, entry, head);
	memcpy(copy + head, at + 1, strlen(at + 1) + 1);
	e->var[e->nvar++] = copy;
	return env_seal(e, (enum sup_sealed)(SEALED_PROXY + i),
	    proxy_env_vars[i], host, unescape(host, (size_t)(at - host)));
}

/* A variable that the configuration says holds an identity token: as
 * env_secret. */
static int
env_token(struct sup_env *e, char *entry)
{
	char *value;
	size_t i;

	for (i = 0; i < e->nnamed; i++) {
		if ((value = env_value(entry, e->named[i].name)) == NULL)
			continue;
		if (is_blank(value) || e->named[i].fd != -1)
			return 1;
		e->named[i].fd = secmem_seal(value, strlen(value), &e->flags);
		if (e->named[i].fd != -1)
			return 1;
		e->failed = e->named[i].name;
		return -1;
	}
	return 0;
}

/* The names, each once. */
static int
env_names(struct sup_env *e, char *const *names, size_t n)
{
	struct sup_named *to;

	if ((e->named = calloc(n + 1, sizeof(*e->named))) == NULL)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (sup_env_named(e, names[i]) != -2)
			continue;
		to = &e->named[e->nnamed];
		to->fd = -1;
		if ((to->name = strdup(names[i])) == NULL)
			return -1;
		e->nnamed++;
	}
	return 0;
}

/* One secret variable: 1 when entry was one, 0 when not, -1 on failure. */
static int
env_secret(struct sup_env *e, char *entry)
{
	char *value, mark[64];
	unsigned i;

	for (i = 0; i < NELEM(sealed_vars); i++) {
		if ((value = env_value(entry, sealed_vars[i].name)) == NULL)
			continue;
		if (is_blank(value))
			return 1;
		if (env_seal(e, sealed_vars[i].where, sealed_vars[i].name,
			value, strlen(value)) == -1)
			return -1;
		/* The loader wants to know that it is there. */
		strlcpy(mark, sealed_vars[i].name, sizeof(mark));
		strlcat(mark, "=sealed", sizeof(mark));
		return env_keep(e, mark, strlen(mark)) == -1 ? -1 : 1;
	}
	for (i = 0; i < SEALED_PROXIES; i++)
		if (env_value(entry, proxy_env_vars[i]) != NULL)
			return env_proxy(e, i, entry) == -1 ? -1 : 1;
	return env_token(e, entry);
}

/* Whether a variable that is no secret is ours to look at. */
static int
env_is_kept(const char *entry)
{
	char name[64]; /* none of ours is longer */
	size_t i, len = strcspn(entry, "=");

	if (len >= sizeof(name) || entry[len] != '=')
		return 0;
	memcpy(name, entry, len);
	name[len] = '\0';
	for (i = 0; i < NELEM(kept); i++)
		if (fnmatch(kept[i], name, 0) == 0)
			return 1;
	return 0;
}

int
sup_env_take(struct sup_env *e, char **env, char *const *names, size_t nnames)
{
	size_t i, n, len;
	int r, rv = 0;

	memset(e, 0, sizeof(*e));
	for (i = 0; i < SEALED_COUNT; i++)
		e->sealed[i] = -1;
	for (n = 0; env[n] != NULL; n++)
		;
	if ((e->var = calloc(n + 1, sizeof(*e->var))) == NULL ||
	    env_names(e, names, nnames) == -1)
		rv = -1;
	/* Secrets first: nothing else may look before they are gone. */
	for (i = 0; i < n && rv == 0; i++) {
		len = strlen(env[i]); /* before sealing puts NULs in */
		if ((r = env_secret(e, env[i])) != 0)
			explicit_bzero(env[i], len);
		if (r == -1)
			rv = -1;
	}
	for (i = 0; i < n; i++) {
		if (rv == 0 && env_is_kept(env[i]) &&
		    env_keep(e, env[i], strlen(env[i])) == -1)
			rv = -1;
		explicit_bzero(env[i], strlen(env[i]));
	}
	env[0] = NULL;
	return rv;
}

void
sup_env_free(struct sup_env *e)
{
	size_t i;

	for (i = 0; i < e->nvar; i++)
		free(e->var[i]);
	free(e->var);
	for (i = 0; i < SEALED_COUNT; i++)
		if (e->sealed[i] != -1)
			close(e->sealed[i]);
	for (i = 0; i < e->nnamed; i++) {
		free(e->named[i].name);
		if (e->named[i].fd != -1)
			close(e->named[i].fd);
	}
	free(e->named);
	memset(e, 0, sizeof(*e));
}

int
sup_env_named(const struct sup_env *e, const char *name)
{
	size_t i;

	for (i = 0; i < e->nnamed; i++)
		if (strcmp(e->named[i].name, name) == 0)
			return e->named[i].fd;
	return -2;
}

const char *
sup_env_get(const struct sup_env *e, const char *name)
{
	const char *v;
	size_t i;

	for (i = 0; i < e->nvar; i++) {
		if ((v = env_value(e->var[i], name)) != NULL)
			return *v == '\0' ? NULL : v;
	}
	return NULL;
}
