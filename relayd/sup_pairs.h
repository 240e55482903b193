/* SPDX-License-Identifier: ISC */
/*
 * Pipes between children.  Both ends of a new pair are held until their
 * owners can be given them: one that runs by PEER, one that does not by its
 * start.
 */
#ifndef SUP_PAIRS_H
#define SUP_PAIRS_H

#include "supervisor.h"

void sup_pairs_init(struct supervisor *s);
/* Make the pairs that a child to be started lacks.  0, or -1 with errno. */
int sup_pairs_make(struct supervisor *s, enum role r);
/*
 * Give the running peers of r their ends, relay-authd first: nobody gets an
 * end before relay-authd's PEER has left our queue, so that no request can
 * refer to a report on a pipe which it has not been given.  Returns 1 when
 * done, 0 to be called again shortly.
 */
int sup_pairs_give(struct supervisor *s, enum role r);
/* A child is gone: what was held for and towards it is worthless. */
void sup_pairs_drop(struct supervisor *s, enum role r);

#endif
