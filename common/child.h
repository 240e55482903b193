/* SPDX-License-Identifier: ISC */
/*
 * What all children of the supervisor have in common: start, the pipes to
 * the supervisor and the peers, and the two phases of a new configuration.
 * A program gives its callbacks; what the protocol with the supervisor asks
 * of every child is done here.
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdint.h>

#include "ladder.h"
#include "msg.h"
#include "role.h"

struct event_base;
struct pipe;

/* All are called from the loop; arg is child_enter's.  A callback that is
 * NULL is skipped.  Phrases are static or live until the next call. */
struct child_ops {
	/* A slice begins: start with an empty stage. */
	void (*conf_begin)(void *arg);
	/* An item of the slice.  m->fd is the callback's to close or keep.
	 * NULL, or why the slice cannot be taken (told at its end; further
	 * items of it are then dropped). */
	const char *(*conf_item)(struct msg *m, void *arg);
	/* The slice is whole.  NULL, or why it cannot be taken. */
	const char *(*conf_check)(void *arg);
	/* Live by the stage / forget it (also after a refusal).  Peers can be
	 * sent to from the first commit on, this callback included. */
	void (*conf_commit)(void *arg);
	void (*conf_abort)(void *arg);
	/* Another message of the supervisor (RELOAD_DONE, PROCESS).  NULL, or
	 * a phrase: its mistake, the process exits. */
	const char *(*message)(struct msg *m, void *arg);
	/* A message of a peer, right in form and sender.  m->fd is the
	 * callback's.  NULL, or a phrase that makes it an offence, which is
	 * reported; the pipe reads no more.  What the supervisor had said
	 * before was handled before (a commit, a PEER). */
	const char *(*peer_message)(enum role peer, struct msg *m, void *arg);
	/* Such a message, whose descriptor could not be received (m->fd is
	 * -1): ours are used up.  NULL: dropped; what waits for it has a
	 * deadline. */
	const char *(*peer_lacking)(enum role peer, struct msg *m, void *arg);
	/* The peer was restarted; a new pipe to it stands.  Not before the
	 * first commit. */
	void (*peer_new)(enum role peer, void *arg);
	/* The peer's process or its pipe is gone; peer_new follows some time.
	 */
	void (*peer_gone)(enum role peer, void *arg);
	/* End within budget_ms, then child_quit.  NULL: quits at once. */
	void (*stop)(uint32_t budget_ms, void *arg);
};

enum child_stage { CHILD_IDLE, CHILD_FILLING, CHILD_READY, CHILD_REFUSED };

struct child_peer {
	enum role role;
	int fd;		   /* its fixed number */
	uint8_t usable;	   /* neither gone nor bad */
	struct pipe *pipe; /* NULL: not before the first commit */
	struct child *child;
};

struct child {
	enum role role;
	struct event_base *base;
	struct ladder ladder;
	const struct child_ops *ops;
	void *arg;
	/* private */
	struct pipe *sup;
	struct child_peer peer[ROLE_PEERS];
	int npeer;
	uint8_t in_sup;	   /* within a handler of the supervisor's pipe */
	uint8_t committed; /* lives by a configuration; talks to its peers */
	enum child_stage stage;
	uint32_t generation; /* of the stage */
	char refusal[LIMIT_REASON + 1];
	uint32_t layers_wanted, layers_held; /* child_layer's */
	char layers_lacking[128];
};

/*
 * First thing in a child's main: the command line, log, first rung, event
 * base (signal events may be added to it now).  Returns 0, or -1 when this
 * is no child's command line (nothing was done then).
 */
int child_begin(struct child *c, int argc, char *argv[]);

/* A layer that the program itself sees to (LAYER_SECRET), to be told with
 * STARTED: held, or why not (a phrase).  Before child_enter. */
void child_layer(struct child *c, enum layer layer, int held, const char *why);

/* The rest of the ladder, the pipes, STARTED.  Does not return on failure. */
void child_enter(struct child *c, const struct child_ops *ops, void *arg);

/* Run until child_quit.  Returns the exit status. */
int child_loop(struct child *c);
/* Let child_loop return. */
void child_quit(struct child *c);
/* Close the pipes and the event base (all events of the program are freed
 * before). */
void child_end(struct child *c);

/* To the supervisor, and to a peer.  fields is the struct msg_* of the type.
 * fd stays the caller's; -1: none.  child_send takes ROLE_SUPERVISOR, too, for
 * what has a descriptor.  0, or -1 when the peer is not there. */
int child_tell(
    struct child *c, enum msg_type type, uint32_t corr, const void *fields);
int child_send(struct child *c, enum role peer, enum msg_type type,
    uint32_t corr, const void *fields, int fd);
/* Whether there is a pipe to the peer that works. */
int child_has_peer(const struct child *c, enum role peer);
/* Bytes for the peer that the kernel has not taken yet. */
size_t child_queued(const struct child *c, enum role peer);
/* Handle now what the peer has sent; see pipe_drain. */
void child_drain(struct child *c, enum role peer);
/* Report an offence found outside of peer_message; the caller stops heeding
 * the peer's messages (peer_message is no longer called). */
void child_offend(struct child *c, enum role peer, const char *why);

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t child_now_ms(void);

#endif
