/* SPDX-License-Identifier: ISC */
/* Whether relayd and relay-ctl fit each other. */
#ifndef VERSION_H
#define VERSION_H

#include "client.h"

/*
 * Look at the schema and the version that a reply names.  CLIENT_WRONG: it is
 * of a schema that we cannot read; that was said, and the reply printed with
 * --json.  Another version is said once, and does no harm.
 */
enum client_result version_check(const struct ctl *ctl, struct span reply);

#endif
