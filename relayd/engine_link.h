/* SPDX-License-Identifier: ISC */
/* A gateway's dials, tokens and connections: what the core asks of the dialer,
 * relay-authd and the network, and what they answer. */
#ifndef ENGINE_LINK_H
#define ENGINE_LINK_H

#include "engine.h"

/* The part of struct core_io that is about the link. */
void engine_link_dial(void *arg, struct gateway *gw);
void engine_link_tls(void *arg, struct gateway *gw);
void engine_link_mint(void *arg, struct gateway *gw);
void engine_link_upgrade(void *arg, struct gateway *gw);
void engine_link_ask(void *arg, struct gateway *gw);
void engine_link_drop(void *arg, struct gateway *gw);
void engine_link_output(void *arg, struct gateway *gw);
void engine_link_read(void *arg, struct gateway *gw, int on);

/* As child_ops' peer_message, peer_lacking and peer_new; arg is the engine. */
const char *engine_link_message(enum role peer, struct msg *m, void *arg);
const char *engine_link_lacking(enum role peer, struct msg *m, void *arg);
void engine_link_peer_new(enum role peer, void *arg);

#endif
