/* SPDX-License-Identifier: ISC */
/* What agent_sock.c (connections) and agent_accept.c (listeners) share. */
#ifndef AGENT_SOCK_PRIV_H
#define AGENT_SOCK_PRIV_H

#include <sys/queue.h>
#include <stdint.h>

#include "agent_sock.h"
#include "buf.h"

/* Bytes read of one agent before the others have their turn. */
#define AGENT_SCRATCH (256U * 1024)
/* Output buffers kept for the next that needs one, and the largest of them:
 * what a large window of common events leaves for an agent. */
#define AGENT_SPARE	4
#define AGENT_SPARE_MAX (2U * 1024 * 1024)

struct event;
struct framing;

struct agent_sock;
TAILQ_HEAD(sock_list, agent_sock);

struct agent_socks {
	struct engine *e;
	struct sock_list dirty;	  /* to be looked at when the turn ends */
	struct sock_list orphans; /* their listener is gone */
	uint32_t n;		  /* connections */
	uint32_t nfull;		  /* of these, with something to write */
	int reserve;		  /* given up to refuse in order; -1: none */
	uint64_t said; /* when it was last logged that there is none */
	unsigned nspare;
	struct buf spare[AGENT_SPARE];
	char scratch[AGENT_SCRATCH];
};

struct listener {
	struct agent_socks *set;
	struct engine_gw *eg;
	struct event *ev, *resume;
	int fd;
	struct sock_list socks;
};

struct agent_sock {
	TAILQ_ENTRY(agent_sock) entry; /* of its listener, or an orphan */
	TAILQ_ENTRY(agent_sock) dirty_entry;
	struct agent_socks *set;
	struct listener *listener; /* NULL: gone */
	struct agent *agent;	   /* NULL: gone for the core */
	const struct framing *framing;
	int fd;
	uint32_t uid;
	struct event *rd, *wr, *linger;
	struct buf in;	/* a line that is not whole yet */
	struct buf out; /* to be written; without memory when empty */
	char head[4];	/* its first bytes tell a stranger's protocol */
	uint8_t nhead;
	uint8_t dirty;	 /* in set->dirty */
	uint8_t full;	 /* the core was told to wait with events */
	uint8_t overrun; /* it does not read: to be cut off */
	uint8_t broken;	 /* writing failed */
};

/* agent_sock.c */

/* A connection of a listener, read from the loop.  Without an agent yet.
 * NULL without memory; fd is then still the caller's. */
struct agent_sock *agent_sock_new(struct listener *l, int fd, uint32_t uid);
/* Forget it at once; fd is closed. */
void agent_sock_free(struct agent_sock *s);

#endif
