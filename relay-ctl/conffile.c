/* SPDX-License-Identifier: ISC */
/* Reading the configuration file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conffile.h"

#define HOST_MAX 256 /* the kernel holds host names to 64 bytes */

/* $var/name, or $HOME/rest/name. */
static int
xdg(char *path, size_t cap, const char *var, const char *rest, const char *name)
{
	const char *dir = getenv(var), *home = getenv("HOME");
	int n;

	if (dir != NULL && dir[0] == '/')
		n = snprintf(path, cap, "%s/%s", dir, name);
	else
		n = snprintf(path, cap, "%s/%s/%s", home == NULL ? "" : home,
		    rest, name);
	return n < 0 || (size_t)n >= cap ? -1 : 0;
}

int
conffile_default(char *path, size_t cap, int of_system)
{
	if (!of_system)
		return xdg(path, cap, "XDG_CONFIG_HOME", ".config",
		    "relayd/relayd.yaml");
	return strlcpy(path, "/etc/relayd/relayd.yaml", cap) < cap ? 0 : -1;
}

int
conffile_state(char *path, size_t cap, int of_system)
{
	if (!of_system)
		return xdg(
		    path, cap, "XDG_STATE_HOME", ".local/state", "relayd");
	return strlcpy(path, "/var/lib/relayd", cap) < cap ? 0 : -1;
}

struct conf *
conffile_read(const char *path, int must_exist, uid_t owner, conf_warn_fn *warn,
    void *arg, struct conf_error *e)
{
	char host[HOST_MAX];

	if (gethostname(host, sizeof(host)) == -1)
		strlcpy(host, "localhost", sizeof(host));
	host[sizeof(host) - 1] = '\0';
	/* As root, relayd refuses what others could have written. */
	if (owner == 0 && access(path, F_OK) == 0 &&
	    conf_check_owner(path, e) == -1)
		return NULL;
	return conf_load(path, must_exist, environ, host, warn, arg, e);
}

struct conf *
conffile_load(const char *given, char path[LIMIT_PATH + 1], conf_warn_fn *warn,
    struct conf_error *e)
{
	if (given == NULL
		? conffile_default(path, LIMIT_PATH + 1, geteuid() == 0) == -1
		: strlcpy(path, given, LIMIT_PATH + 1) >= LIMIT_PATH + 1) {
		strlcpy(
		    e->text, "the file's path is too long", sizeof(e->text));
		return NULL;
	}
	return conffile_read(path, given != NULL, geteuid(), warn, NULL, e);
}
