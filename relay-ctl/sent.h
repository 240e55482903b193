/* SPDX-License-Identifier: ISC */
/* What send and action say alike. */
#ifndef SENT_H
#define SENT_H

#include "span.h"

/* A failure of which nobody knows how far it came must not look like one that
 * can simply be repeated: say so of a reply that is one. */
void sent_ambiguous(struct span reply);

#endif
