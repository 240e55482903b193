/* SPDX-License-Identifier: ISC */
/* Reading the configuration file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conffile.h"

#define HOST_MAX 256 /* the kernel holds host names to 64 bytes */

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

struct conf *
conffile_load(const char *given, char path[LIMIT_PATH + 1], conf_warn_fn *warn,
    struct conf_error *e)
{
	char host[HOST_MAX];

	if (given != NULL
		? strlcpy(path, given, LIMIT_PATH + 1) >= LIMIT_PATH + 1
		: default_path(path, LIMIT_PATH + 1) == -1) {
		strlcpy(
		    e->text, "the file's path is too long", sizeof(e->text));
		return NULL;
	}
	if (gethostname(host, sizeof(host)) == -1)
		strlcpy(host, "localhost", sizeof(host));
	host[sizeof(host) - 1] = '\0';
	/* As root, relayd refuses what others could have written. */
	if (geteuid() == 0 && access(path, F_OK) == 0 &&
	    conf_check_owner(path, e) == -1)
		return NULL;
	return conf_load(path, given != NULL, environ, host, warn, NULL, e);
}
