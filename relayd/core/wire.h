/* SPDX-License-Identifier: ISC */
/*
 * The link's bytes: WebSocket frames to lines, lines to their handlers, and
 * what is to be sent into masked frames.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>

#include "buf.h"
#include "span.h"
#include "ws.h"

struct gateway;

struct wire {
	struct ws_decoder dec;
	struct buf line;  /* the beginning of a line that is not whole yet; of
			   * one being skipped, its first bytes */
	uint8_t skipping; /* inside a line longer than LIMIT_LINE */
	struct buf lines; /* lines of this turn, to leave as one message */
	struct buf out;	  /* frames to be written */
	uint64_t written; /* bytes of out that were, on this connection */
	uint8_t open;	  /* between upgrade and drop */
	uint8_t dirty;	  /* in the core's list of those with lines to frame */
	char tail[512];	  /* the last bytes of a line being skipped */
	uint16_t taillen;
	uint8_t close_sent;
};

/* A new connection: forget the old one's bytes. */
void wire_open(struct gateway *gw);
/* The connection is no more.  What was not written stays until wire_free():
 * the world may try once to send a close frame. */
void wire_shut(struct gateway *gw);
/* Give the buffers back. */
void wire_free(struct gateway *gw);

/*
 * Bytes arrived, in a buffer of size room that the core may change (masking).
 * Returns how many are done with; the rest must be there again, with more
 * behind, at the next call.  Stops early when the connection came to its end
 * within (gw->wire.open is 0 then).
 */
size_t wire_input(struct gateway *gw, char *p, size_t len, size_t room);

/* What is to be written now, and how much of it was. */
struct span wire_output(struct gateway *gw);
void wire_written(struct gateway *gw, size_t n);

/* Queue one line (newline added); it leaves with the others of this turn.
 * *at (may be NULL) gets the stream position at which it begins to leave, to
 * be compared with gw->wire.written.  0, or -1 when the queue is full. */
int
wire_line(struct gateway *gw, const struct span *piece, int n, uint64_t *at);
/* Frame what wire_line queued. */
void wire_flush(struct gateway *gw);
void wire_ping(struct gateway *gw);
void wire_close(struct gateway *gw, uint16_t code, const char *reason);

#endif
