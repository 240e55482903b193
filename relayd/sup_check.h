/* SPDX-License-Identifier: ISC */
/* What a check of the configuration finds beside what keeps it from being
 * loaded. */
#ifndef SUP_CHECK_H
#define SUP_CHECK_H

#include "supervisor.h"

/* Whether the files of secrets that are there, or must be, can be used (a start
 * goes on without, and their gateways wait), and whether there is room for the
 * journals that a start would make.  Nothing is made.  0, or -1 with e filled.
 */
int sup_check(
    const struct supervisor *s, const struct sup_plan *p, struct conf_error *e);

#endif
