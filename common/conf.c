/* SPDX-License-Identifier: ISC */
/* Configuration: loading, comparing and freeing as a whole (conf.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_priv.h"

static const char example[] =
    "gateways: {main: {url: https://connector.example.com, identities: "
    "[{platform: discord, bot_id: \"1234\"}]}}";

/* The file's part of a load: tree and tables.  *root is to be freed. */
static int
load_text(struct conf_ctx *x, const char *text, size_t len,
    struct conf_node **root, int *empty)
{
	*root = conf_yaml(x, text, len, empty);
	if (*root == NULL)
		return *empty ? 0 : -1;
	if ((*root)->bad != NULL)
		return conf_fail(x, *root, "%s", (*root)->bad);
	if ((*root)->kind != CONF_MAP)
		return conf_fail(
		    x, *root, "expected keys and values, such as %s", example);
	return conf_walk(x, *root, conf_schema_root(), x->conf);
}

/* text NULL: no file. */
static int
load(struct conf_ctx *x, const char *text, size_t len, char *const env[])
{
	struct conf_node *root = NULL;
	int r = 0, empty = 0;

	if (text != NULL)
		r = load_text(x, text, len, &root, &empty);
	if (r == 0)
		r = conf_env(x, env);
	if (r == 0 && empty && x->conf->ngateway == 0)
		r = conf_fail(x, NULL,
		    "the file is empty; it needs at least a gateway, such as "
		    "%s",
		    example);
	if (r == 0)
		r = conf_check(x, root);
	conf_yaml_free(root);
	return r;
}

static struct conf *
parse(const char *name, int has_file, const char *text, size_t len,
    char *const env[], const char *hostname, conf_warn_fn *warn, void *arg,
    struct conf_error *e)
{
	struct conf_ctx x = {.name = name,
	    .hostname = hostname,
	    .warn = warn,
	    .arg = arg,
	    .e = e};

	e->text[0] = '\0';
	e->passing = 0;
	if ((x.conf = calloc(1, sizeof(*x.conf))) == NULL ||
	    conf_schema_defaults(conf_schema_root(), x.conf) == -1 ||
	    (has_file && (x.conf->path = strdup(name)) == NULL)) {
		conf_free(x.conf);
		conf_fail_memory(&x);
		return NULL;
	}
	if (load(&x, text, len, env) == -1) {
		conf_free(x.conf);
		return NULL;
	}
	return x.conf;
}

struct conf *
conf_parse(const char *name, const char *text, size_t len, char *const env[],
    const char *hostname, conf_warn_fn *warn, void *arg, struct conf_error *e)
{
	return parse(name, 1, text, len, env, hostname, warn, arg, e);
}

/* Read from fd at most max bytes; the length, -1 with errno (EFBIG: more). */
static ssize_t
read_all(int fd, char *p, size_t max)
{
	size_t len = 0;
	ssize_t n;

	while (len <= max) {
		n = read(fd, p + len, max + 1 - len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			return (ssize_t)len;
		len += (size_t)n;
	}
	errno = EFBIG;
	return -1;
}

/* The text of the file, to be freed; NULL with the error told. */
static char *
read_file(struct conf_ctx *x, int fd, size_t *len)
{
	struct stat st;
	ssize_t n;
	char *p;

	if (fstat(fd, &st) == -1) {
		x->e->passing = conf_error_passes(errno);
		conf_fail(x, NULL, "cannot be examined: %s", strerror(errno));
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		conf_fail(x, NULL,
		    "is not a regular file; name the configuration file");
		return NULL;
	}
	if ((p = malloc(LIMIT_CONF_FILE + 1)) == NULL) {
		conf_fail_memory(x);
		return NULL;
	}
	if ((n = read_all(fd, p, LIMIT_CONF_FILE)) == -1) {
		if (errno == EFBIG)
			conf_fail(x, NULL,
			    "is larger than %u bytes; divide the gateways "
			    "among several relayd",
			    LIMIT_CONF_FILE);
		else {
			x->e->passing = conf_error_passes(errno);
			conf_fail(
			    x, NULL, "cannot be read: %s", strerror(errno));
		}
		free(p);
		return NULL;
	}
	*len = (size_t)n;
	return p;
}

struct conf *
conf_load(const char *path, int must_exist, char *const env[],
    const char *hostname, conf_warn_fn *warn, void *arg, struct conf_error *e)
{
	struct conf_ctx x = {.name = path, .e = e};
	struct conf *c;
	size_t len;
	char *text;
	int fd;

	if (path == NULL)
		return parse(
		    "environment", 0, NULL, 0, env, hostname, warn, arg, e);
	/* Not blocking: a FIFO by mistake must not hold up the start. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1 && errno == ENOENT && !must_exist &&
	    conf_env_get(env, "GATEWAY_RELAY_URL", &len) != NULL)
		return parse(
		    "environment", 0, NULL, 0, env, hostname, warn, arg, e);
	e->passing = fd == -1 && conf_error_passes(errno);
	if (fd == -1) {
		conf_fail(&x, NULL, "cannot be opened: %s%s", strerror(errno),
		    errno == ENOENT
			? "; create it (relayd.yaml(5) has an example), name "
			  "another with -f, or set GATEWAY_RELAY_URL"
			: errno == EACCES
			? "; start relayd as a user who may read it, or name "
			  "another with -f"
			: "");
		return NULL;
	}
	text = read_file(&x, fd, &len);
	close(fd);
	if (text == NULL)
		return NULL;
	c = parse(path, 1, text, len, env, hostname, warn, arg, e);
	free(text);
	return c;
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->ngateway; i++)
		free(c->gateway[i].name);
	conf_schema_free(conf_schema_root(), c);
	free(c->from_env);
	free(c->path);
	free(c);
}

int
conf_link_equal(const struct conf_gateway *a, const struct conf_gateway *b)
{
	return strcmp(a->name, b->name) == 0 && a->proxy.set == b->proxy.set &&
	    strcmp(a->proxy.url.authority, b->proxy.url.authority) == 0 &&
	    conf_schema_equal(conf_schema_gateway(), a, b, CF_APART);
}

int
conf_gateway_equal(const struct conf_gateway *a, const struct conf_gateway *b)
{
	return conf_link_equal(a, b) &&
	    a->secret.from_env == b->secret.from_env &&
	    a->token.oidc_secret_from_env == b->token.oidc_secret_from_env &&
	    conf_schema_equal(conf_schema_gateway(), a, b, 0);
}
