/* SPDX-License-Identifier: ISC */
/*
 * WebSocket framing (RFC 6455), without I/O, for both roles: bytes in,
 * frames and messages out.  The upgrade is in wshake.h.
 */
#ifndef WS_H
#define WS_H

#include <stdint.h>

#include "span.h"
#include "utf8.h"

enum ws_role { WS_CLIENT, WS_SERVER };

enum ws_opcode {
	WS_CONT = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa
};

#define WS_CONTROL_MAX 125 /* payload of a control frame (RFC 6455 5.5) */
#define WS_HEAD_MAX    14  /* 2 + 8 (length) + 4 (mask) (RFC 6455 5.2) */

/* Close codes (RFC 6455 7.4.1) that we send or name. */
#define WS_CLOSE_NORMAL	     1000
#define WS_CLOSE_AWAY	     1001
#define WS_CLOSE_PROTOCOL    1002
#define WS_CLOSE_NOSTATUS    1005 /* never on the wire */
#define WS_CLOSE_ABNORMAL    1006 /* never on the wire */
#define WS_CLOSE_BAD_PAYLOAD 1007
#define WS_CLOSE_TOO_BIG     1009

enum ws_event_type {
	WS_EV_MORE, /* all input looked at; give more */
	WS_EV_DATA, /* a piece of a text or binary message */
	WS_EV_PING, /* answer with a pong of the same payload */
	WS_EV_PONG,
	WS_EV_CLOSE, /* code and reason are set; no more input is looked at */
	WS_EV_ERROR  /* the peer broke the protocol: close with code, say why */
};

struct ws_event {
	enum ws_event_type type;
	enum ws_opcode opcode; /* DATA: WS_TEXT or WS_BINARY, of the message */
	uint8_t first;	       /* DATA: first piece of its message */
	uint8_t last;	       /* DATA: last piece of its message */
	uint16_t code;	 /* CLOSE: as received (1005 if none); ERROR: to send */
	const char *why; /* ERROR: a static phrase */
	struct span payload; /* unmasked, inside the input; CLOSE: the reason */
};

/* One direction of a connection.  ws_decoder_init sets it up. */
struct ws_decoder {
	enum ws_role role;  /* ours: a client insists on unmasked frames */
	uint64_t max_frame; /* longest frame payload taken, bytes */
	uint8_t check_utf8; /* text messages that are not UTF-8 are errors */
	/* private */
	uint8_t in_message; /* a fragmented message is open */
	uint8_t msg_opcode;
	uint8_t in_payload; /* inside a data frame whose head was read */
	uint8_t fin;
	uint8_t started; /* a piece of this message was handed out */
	uint8_t closed;
	uint8_t masked;
	uint8_t mask[4];
	uint64_t left; /* payload bytes of the open frame still to come */
	uint64_t pos;  /* payload bytes of it handed out: mask phase */
	struct utf8_state utf8;
};

void ws_decoder_init(struct ws_decoder *d, enum ws_role role,
    uint64_t max_frame, int check_utf8);

/*
 * Look at in[0..len) and report the next event; *used gets the bytes that are
 * done with (to be dropped by the caller; for DATA the payload lies within
 * them and stays valid until the caller overwrites its buffer).  Masked
 * payload is unmasked in place, which is why `in` is not const.
 *
 * A frame that lies whole in the input is one event, without a copy.  Of a
 * data frame that is longer than `room` (the input buffer's size: it can never
 * lie whole in it), the bytes at hand are handed out as a piece; a shorter
 * one is waited for (WS_EV_MORE with *used up to its head's beginning).
 * Control frames are always waited for.  Lengths are checked against
 * max_frame when the head is read, before any of the payload is waited for.
 */
void ws_decode(struct ws_decoder *d, char *in, size_t len, size_t room,
    size_t *used, struct ws_event *ev);

/* Write a frame's head to out[WS_HEAD_MAX]; returns its length.  mask is NULL
 * for a server. */
size_t ws_head(
    char *out, enum ws_opcode op, int fin, uint64_t len, const uint8_t mask[4]);

/* XOR p[0..len) with the mask, whose first byte applies to payload position
 * pos.  By words or vectors; in place. */
void ws_mask(char *p, size_t len, const uint8_t mask[4], uint64_t pos);

/* Whether a close code may stand on the wire (RFC 6455 7.4). */
int ws_close_code_ok(unsigned code);

#endif
