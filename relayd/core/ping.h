/* SPDX-License-Identifier: ISC */
/* Keepalive of a link: a ping now and then, and the time its pong may take. */
#ifndef PING_H
#define PING_H

struct gateway;

void ping_init(struct gateway *gw);
/* The connection is there; it ended. */
void ping_begin(struct gateway *gw);
void ping_end(struct gateway *gw);
/* A pong came. */
void ping_pong(struct gateway *gw);

#endif
