/* SPDX-License-Identifier: ISC */
/* What send and action say alike. */
#ifndef SENT_H
#define SENT_H

#include "client.h"

/*
 * Have relayd carry out what the request says, and show what came of it.  A
 * failure of which nobody knows how far it came must not look like one that can
 * simply be repeated: that is said of one.  Returns the exit status.
 */
int sent(const struct ctl *ctl, struct buf *req, out_render *render);

#endif
