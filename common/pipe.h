/* SPDX-License-Identifier: ISC */
/*
 * A pipe to another of our processes: a SOCK_SEQPACKET socket on the event
 * loop that carries messages.  Never blocks; what the peer does not read
 * waits in a bounded queue.
 */
#ifndef PIPE_H
#define PIPE_H

#include "msg.h"

struct event_base;
struct pipe;

struct pipe_ops {
	/* A message that is right in form, sender and receiver.  Whether the
	 * present state permits it is the handler's to say: it returns NULL,
	 * or a phrase that makes the message an offence. */
	const char *(*message)(struct pipe *p, struct msg *m, void *arg);
	/* Such a message, but for its descriptor (fd is -1): ours are used up,
	 * or the kernel would not hand it over.  That is our lack, not the
	 * sender's offence; it was logged.  Answers as message does.  NULL: it
	 * is dropped, and what waits for it runs into its deadline. */
	const char *(*lacking)(struct pipe *p, struct msg *m, void *arg);
	/* The peer broke the rules (form, or the handler's phrase), or its
	 * queue ran over.  The pipe reads no more; the receiver reports or
	 * kills, and frees the pipe when it is replaced. */
	void (*bad)(struct pipe *p, const char *why, void *arg);
	/* The other end was closed (its process is gone).  Reads no more. */
	void (*gone)(struct pipe *p, void *arg);
};

/* Take over a connected SEQPACKET socket; made non-blocking and
 * close-on-exec, unless NULL is returned (without memory).  base NULL: nothing
 * is watched; pipe_drain reads, and what cannot be sent at once is refused. */
struct pipe *pipe_new(struct event_base *base, int fd, enum role self,
    enum role peer, const struct pipe_ops *ops, void *arg);
/* Close the socket, forget what was queued.  May be called from the ops. */
void pipe_free(struct pipe *p);
int pipe_fd(const struct pipe *p);
enum role pipe_peer(const struct pipe *p);

/*
 * Send a message: fields is the struct msg_* of its type, fd -1 or a
 * descriptor, which is duplicated as needed and stays the caller's.  Returns
 * 0, or -1 when the peer is gone or the queue is full (`bad` follows from the
 * loop).  Fields out of bounds are our own mistake: logged, -1.
 */
int pipe_send(struct pipe *p, enum msg_type type, uint32_t corr,
    const void *fields, int fd);

/* Read and handle what is there now, without waiting: for a receiver that
 * must see one pipe's messages before another's.  Calls the ops. */
void pipe_drain(struct pipe *p);

/* Bytes queued. */
size_t pipe_queued(const struct pipe *p);

/* A pair of connected SEQPACKET sockets, close-on-exec.  0 or -1 (errno). */
int pipe_pair(int fd[2]);

#endif
