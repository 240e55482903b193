/* SPDX-License-Identifier: ISC */
/* The status document, schema relayd.status/1 (docs/relayd-control.5). */
#ifndef STATUS_H
#define STATUS_H

#include "engine.h"

/*
 * Append the document and a newline.  only: that gateway alone; NULL: all.
 * When it does not fit, out is marked failed and holds a piece of it.
 */
void status_document(
    struct engine *e, const struct engine_gw *only, struct buf *out);

/* Append the member "counters" of a gateway. */
void status_put_counters(struct buf *out, const struct gateway *gw);

/*
 * Append JSON text that a peer wrote and json_parse accepted, such that it can
 * stand in a terminal: DEL and C1 controls, which it may only hold within
 * strings, are escaped.  An absent span gives null.
 */
void status_put_json(struct buf *out, struct span json);

#endif
