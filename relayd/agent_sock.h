/* SPDX-License-Identifier: ISC */
/* The agents' sockets: bytes in, lines to the core; lines out, bytes. */
#ifndef AGENT_SOCK_H
#define AGENT_SOCK_H

#include "engine.h"

struct listener;

/* Once per engine (e->agents).  0, or -1 without memory or descriptors. */
int agent_sock_init(struct engine *e);
/* Closes what is left; the core has no agents any more. */
void agent_sock_fini(struct engine *e);

/* Serve a listening socket (ours from now on, also on failure) for a gateway.
 * NULL without memory. */
struct listener *agent_sock_listen(struct engine_gw *eg, int fd);
/* Accept from another one from now on; who is connected stays. */
void agent_sock_replace(struct listener *l, int fd);
/* No more of it; connections that the core closed still get what was sent. */
void agent_sock_close(struct listener *l);

/* struct core_io's agent_send, agent_room and agent_close. */
int
agent_sock_send(void *arg, struct agent *a, const struct span *piece, int n);
int agent_sock_room(void *arg, struct agent *a, size_t len);
void agent_sock_end(void *arg, struct agent *a, const char *reason);

/* relayd stops: agents are taken from the core and get what goes at once. */
void agent_sock_stop(struct engine *e);

/* The end of a turn: write what was queued, tell the core who was lost.
 * Returns whether the core was called. */
int agent_sock_turn(struct engine *e);
/* Whether something is still to be written to anyone. */
int agent_sock_pending(const struct engine *e);

#endif
