/* SPDX-License-Identifier: ISC */
/*
 * Pressure: how much waits for agents, in bytes of the journal, and what the
 * connector is told of it.  Its marks are parts of what the journal has besides
 * what was put aside.
 */
#ifndef PRESSURE_H
#define PRESSURE_H

#include "delivery.h"

void pressure_init(struct gateway *gw);
void pressure_free(struct gateway *gw);
/* Bytes of the journal that are there for what waits. */
size_t pressure_capacity(const struct gateway *gw);
/* What waits became more or less. */
void pressure_check(struct gateway *gw);
/* The same, when the turn ends. */
void pressure_look(struct gateway *gw);
/* The connection is gone: the next one brings what was left. */
void pressure_link_lost(struct gateway *gw);
/*
 * Whether there is room for one more event of len bytes.  If not, this and all
 * that follow on the present connection stay with the connector, which repeats
 * them in order after the next handshake; that is sought when there is room
 * again.
 */
int pressure_room(struct gateway *gw, size_t len);
/* There was none. */
void pressure_leave(struct gateway *gw, size_t len);
/* Whether an event of len bytes would not even fit into an empty journal. */
int pressure_too_long(const struct gateway *gw, size_t len);

#endif
