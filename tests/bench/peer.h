/* SPDX-License-Identifier: ISC */
/*
 * The connector's end of one link, as far as a load driver needs it: listens
 * on loopback, takes the upgrade, splits text into lines, answers hello,
 * going_idle and pings.  Framing is its own, not relayd's codec, so that both
 * ends of a measurement do not share a mistake.
 */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdint.h>

struct bytes {
	char *p;
	size_t off, end, cap;
};

enum peer_state { PEER_NONE, PEER_HTTP, PEER_OPEN };

struct peer {
	int lfd, fd;
	enum peer_state state;
	unsigned hellos;   /* on this connection */
	unsigned lost;	   /* connections that ended since the beginning */
	char why[128];	   /* the last one's end */
	struct bytes in;   /* undecoded */
	struct bytes line; /* one that goes on in the next message */
	struct bytes out;  /* answers and single events */
	/* Frames to be written without a copy: before what out holds, and
	 * asked for anew when written.  NULL: none. */
	const char *block;
	size_t blocklen;
	size_t (*refill)(void *arg, const char **p);
	/* A line that is not answered here; at is when it was read. */
	void (*on_line)(void *arg, const char *p, size_t n, uint64_t at);
	void *arg;
};

/* Nanoseconds, monotonic. */
uint64_t peer_now(void);
/* Memory or the end of the program. */
void *peer_alloc(size_t n);

/* Listen on 127.0.0.1; port 0 takes any free one.  Returns the port. */
uint16_t peer_listen(struct peer *p, uint16_t port);
/* For who waits for many peers by itself: a socket that listens on 127.0.0.1
 * (*port 0: any, which it then is); take the next link there (p NULL, or one
 * that has a link: refuse it; -1 then); serve what came or can be written;
 * whether there is something to write; end the link at once. */
int peer_socket(uint16_t *port);
int peer_accept(struct peer *p, int lfd);
void peer_serve(struct peer *p, int readable, int writable);
int peer_pending(const struct peer *p);
void peer_lose(struct peer *p, const char *why);
/* Wait up to timeout_ns and serve what came; also look at `other` (a
 * descriptor, or -1).  Returns whether `other` is readable. */
int peer_turn(struct peer *p, uint64_t timeout_ns, int other);
/* Write what is pending as far as it goes. */
void peer_flush(struct peer *p);
/* Queue bytes that are whole frames already. */
void peer_queue(struct peer *p, const void *data, size_t n);
/* Head of an unmasked text frame.  Returns its length, at most 10. */
size_t peer_head(unsigned char *h, unsigned op, size_t len);
/* Close in order; waits shortly for the other end. */
void peer_end(struct peer *p);

/* The raw string value of a member of the upper level of a line that is JSON
 * (not verified); NULL.  *len gets its length. */
const char *
peer_member(const char *line, size_t n, const char *name, size_t *len);

#endif
