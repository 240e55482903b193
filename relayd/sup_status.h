/* SPDX-License-Identifier: ISC */
/* The line that the service manager shows of relayd (STATUS=). */
#ifndef SUP_STATUS_H
#define SUP_STATUS_H

#include "sup_state.h"

/* Bytes of the line, NUL included: a terminal's width several times over, and
 * with "STATUS=" within NOTIFY_TEXT. */
#define SUP_STATUS_MAX 448

/*
 * "main connected; other retrying: …, next try at 10:00:00 UTC": every gateway,
 * or, where these do not fit, how many are connected and, of the others, as
 * many as fit.  One line, whatever the reasons say.
 */
void sup_status_line(
    char out[SUP_STATUS_MAX], const struct sup_state_gateway *g, unsigned n);

#endif
