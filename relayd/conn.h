/* SPDX-License-Identifier: ISC */
/*
 * A byte stream to the connector over a connected socket, with TLS or plain:
 * non-blocking, one input buffer taken from a pool while it is needed.
 */
#ifndef CONN_H
#define CONN_H

#include <stddef.h>
#include <stdint.h>

#include "span.h"

struct conn;
struct engine;
struct ca;

struct conn_ops {
	/* TLS is up. */
	void (*up)(void *arg);
	/*
	 * Bytes are there, in a buffer of size room that may be changed.
	 * Returns how many are done with; the rest comes again with more
	 * behind it.  May call conn_free().
	 */
	size_t (*input)(void *arg, char *p, size_t len, size_t room);
	/* What is to be written now; empty: nothing.  Then how much was. */
	struct span (*output)(void *arg);
	void (*written)(void *arg, size_t n);
	/* Whether too much of what was handed out is still worked on: then
	 * reading rests, for some milliseconds at most, so that what is in
	 * work stays in the processor's cache.  NULL: never. */
	int (*sated)(void *arg);
	/* It ended or broke; why in words (TLS verification failures by their
	 * reason).  The conn reads and writes no more; free it. */
	void (*ended)(void *arg, const char *why);
};

/* Once per engine (e->conns): the pool of input buffers, and the list of what
 * is due.  0, or -1 without memory. */
int conn_init(struct engine *e);
void conn_fini(struct engine *e);
/* The end of a turn: do what is due (writes, reads put off).  Returns whether
 * there is more, to be done after the loop looked at the others. */
int conn_turn(struct engine *e);

/* Take over a connected socket (also on failure: NULL without memory). */
struct conn *
conn_new(struct engine *e, int fd, const struct conn_ops *ops, void *arg);
/* Begin TLS as a client: the peer's certificate must be valid for the name (a
 * DNS name or an address literal) by that CA.  -1: it could not begin; ended()
 * is called from conn_turn() and says why. */
int conn_tls(struct conn *c, struct ca *ca, const char *name);
/* Other handlers from now on (after the upgrade); they are given what is left
 * of the input. */
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *arg);
/* There is something to write: it goes out when the turn ends. */
void conn_want_write(struct conn *c);
void conn_read(struct conn *c, int on);
/* Write now what goes without waiting: for last words.  Calls nothing but
 * output() and written(). */
void conn_push(struct conn *c);
/* It shall end for this reason: ended() is called from conn_turn(). */
void conn_fail(struct conn *c, const char *why);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", or NULL when plain. */
const char *conn_tls_text(const struct conn *c);
/* Close it; nothing is called afterwards. */
void conn_free(struct conn *c);

#endif
