/* SPDX-License-Identifier: ISC */
/* relay-ctl check: whether relayd would take this configuration. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "ctl.h"
#include "json.h"

#define HOST_MAX 256 /* the kernel holds host names to 64 bytes */

static void
warn(void *arg, const char *text)
{
	(void)arg;
	ctl_warn("warning: %s", text);
}

/* relayd's own default. */
static int
default_path(char *path, size_t cap)
{
	const char *dir = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n;

	if (geteuid() == 0)
		n = snprintf(path, cap, "/etc/relayd/relayd.yaml");
	else if (dir != NULL && dir[0] == '/')
		n = snprintf(path, cap, "%s/relayd/relayd.yaml", dir);
	else
		n = snprintf(path, cap, "%s/.config/relayd/relayd.yaml",
		    home == NULL ? "" : home);
	return n < 0 || (size_t)n >= cap ? -1 : 0;
}

/* What --json prints: relayd is not asked, so the form is ours. */
static void
put_json(const char *path, const char *error, size_t ngateway)
{
	struct buf b;

	buf_init(&b, 0);
	buf_add(&b, "{", 1);
	json_put_member_bool(&b, "ok", error == NULL);
	json_put_member_str(&b, "file", span_str(path));
	if (error == NULL)
		json_put_member_int(&b, "gateways", (int64_t)ngateway);
	else
		json_put_member_str(&b, "error", span_str(error));
	buf_add(&b, "}\n", 2);
	fwrite(buf_span(&b).p, 1, buf_len(&b), stdout);
	buf_free(&b);
}

int
cmd_check(struct ctl *ctl)
{
	char path[LIMIT_PATH + 1], host[HOST_MAX];
	const char *given = ctl->opt[OPT_FILE];
	struct conf_error e;
	struct conf *c = NULL;

	if (given != NULL ? strlcpy(path, given, sizeof(path)) >= sizeof(path)
			  : default_path(path, sizeof(path)) == -1)
		return ctl_usage("check", "the path is too long");
	if (gethostname(host, sizeof(host)) == -1)
		strlcpy(host, "localhost", sizeof(host));
	host[sizeof(host) - 1] = '\0';
	/* As root, relayd refuses what others could have written. */
	if (geteuid() != 0 || access(path, F_OK) == -1 ||
	    conf_check_owner(path, &e) == 0)
		c = conf_load(
		    path, given != NULL, environ, host, warn, NULL, &e);
	if (ctl->out.json)
		put_json(path, c == NULL ? e.text : NULL,
		    c == NULL ? 0 : c->ngateway);
	else if (c == NULL)
		ctl_warn("%s", e.text);
	else
		printf("OK\n");
	if (c == NULL)
		return CTL_FAILED;
	conf_free(c);
	return CTL_OK;
}
