/* SPDX-License-Identifier: ISC */
/*
 * Events that agents do not survive: one that an agent ended with, alone in
 * flight, too often is put aside in the journal, acknowledged to the
 * connector, and delivered again only when an operator says so.
 */
#ifndef QUARANTINE_H
#define QUARANTINE_H

#include "delivery.h"

/* An agent ended uncleanly: what it has in flight is suspect. */
void quarantine_suspect(struct agent *a);
/* Put aside what was tried too often, of what is unplaced; where there is no
 * room for it, its session is blocked. */
void quarantine_sort(struct gateway *gw);
/* It was aside when the journal was read. */
void quarantine_found(struct gateway *gw, struct delivery *d);

/* Every event put aside, in the order they were, and those for which there was
 * no room (info->aside is 0), which block their sessions; fn must not change
 * any. */
void quarantine_each(struct gateway *gw,
    void (*fn)(void *arg, const struct record_info *info), void *arg);
/* Deliver it again, with its old bufferId, or give it up.  NULL, or a phrase
 * that says why not. */
const char *quarantine_requeue(struct gateway *gw, struct span buffer_id);
const char *quarantine_drop(struct gateway *gw, struct span buffer_id);

#endif
