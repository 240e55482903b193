/* SPDX-License-Identifier: ISC */
/* The configuration file as relayd would read it, without relayd. */
#ifndef CONFFILE_H
#define CONFFILE_H

#include <sys/types.h>

#include "conf.h"
#include "limit.h"

/* Where relayd looks by itself: a system's, or that of this user.  0, or -1:
 * the path is too long. */
int conffile_default(char *path, size_t cap, int of_system);
/* Its state directory, in the same way. */
int conffile_state(char *path, size_t cap, int of_system);
/* Load a file as a relayd of that user would.  A conf (conf_free), or NULL with
 * e filled. */
struct conf *conffile_read(const char *path, int must_exist, uid_t owner,
    conf_warn_fn *warn, void *arg, struct conf_error *e);
/*
 * The same as this user; given: which, or NULL for the one relayd reads by
 * itself.  path gets its name.
 */
struct conf *conffile_load(const char *given, char path[LIMIT_PATH + 1],
    conf_warn_fn *warn, struct conf_error *e);

#endif
