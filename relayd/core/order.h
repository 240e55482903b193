/* SPDX-License-Identifier: ISC */
/* The order of acknowledgements to the connector: that of arrival on the
 * present connection. */
#ifndef ORDER_H
#define ORDER_H

#include "delivery.h"

/* It arrived, perhaps again: its acknowledgement has its place. */
void order_enter(struct gateway *gw, struct delivery *d);
/* So has that of an id without event: it is known, or cannot be taken. */
void order_place(struct gateway *gw, const struct cid *cid);
/* An agent took it: send its acknowledgement, or keep a copy of its cid for
 * later.  Returns whether it is still in the order; then it is done and its
 * record may go. */
int order_taken(struct gateway *gw, struct delivery *d);
/* It needs no agent any more: something else keeps its place. */
void order_replace(struct gateway *gw, struct delivery *d);
/* Acknowledge what is done at the head of the order, as the wire has room. */
void order_flush(struct gateway *gw);
/* The connection is gone, and the order with it. */
void order_lost(struct gateway *gw);

#endif
