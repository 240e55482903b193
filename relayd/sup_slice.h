/* SPDX-License-Identifier: ISC */
/* A child's slice of the configuration: what it needs, and nothing else. */
#ifndef SUP_SLICE_H
#define SUP_SLICE_H

#include "supervisor.h"

/*
 * Send the plan's slice, from CONF_BEGIN to CONF_END; the child's answer is
 * awaited then.  fresh: it lives by none so far, so everything is new to it.
 * Secrets and bundles are opened for this.  0, or -1 with why it could not be
 * sent.
 */
int sup_slice_send(struct sup_child *c, const struct sup_plan *p, int fresh,
    struct conf_error *e);
/*
 * Send relay-authd the plan that it lives by once more, with those secrets that
 * are due (sup_slot): the others stay as they are, and one that cannot be taken
 * costs none that works.  0 or -1 as above.
 */
int sup_slice_refresh(
    struct sup_child *c, const struct sup_plan *p, struct conf_error *e);
/* CONF_COMMIT, CONF_ABORT of what was sent. */
void sup_slice_commit(struct sup_child *c);
void sup_slice_abort(struct sup_child *c);

#endif
