/* SPDX-License-Identifier: ISC */
/* The configuration file as relayd would read it, without relayd. */
#ifndef CONFFILE_H
#define CONFFILE_H

#include "conf.h"
#include "limit.h"

/*
 * Load it; given: which, or NULL for the one relayd reads by itself.  path gets
 * its name.  A conf (conf_free), or NULL with e filled.
 */
struct conf *conffile_load(const char *given, char path[LIMIT_PATH + 1],
    conf_warn_fn *warn, struct conf_error *e);

#endif
