/* SPDX-License-Identifier: ISC */
/* WebSocket framing (RFC 6455 5), for both roles. */
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(CODEC_SCALAR)
#include <emmintrin.h>
#endif

#include "ws.h"

#define BIT_FIN	     0x80
#define BITS_RSV     0x70 /* no extension of ours gives them a meaning */
#define BITS_OPCODE  0x0f
#define BIT_CONTROL  0x08 /* of the opcode */
#define BIT_MASK     0x80
#define BITS_LENGTH  0x7f
#define LENGTH_16    126 /* length is in the next 2 bytes */
#define LENGTH_64    127 /* length is in the next 8 bytes */
#define UNKNOWN_HEAD 0	 /* more bytes are needed */

/* A frame's head, taken apart. */
struct head {
	uint8_t fin;
	uint8_t opcode;
	uint8_t masked;
	uint8_t mask[4];
	uint64_t len;
	size_t size; /* of the head itself */
};

void
ws_decoder_init(
    struct ws_decoder *d, enum ws_role role, uint64_t max_frame, int check_utf8)
{
	memset(d, 0, sizeof(*d));
	d->role = role;
	d->max_frame = max_frame;
	d->check_utf8 = check_utf8 != 0;
}

static void
set_error(
    struct ws_decoder *d, struct ws_event *ev, uint16_t code, const char *why)
{
	memset(ev, 0, sizeof(*ev));
	ev->type = WS_EV_ERROR;
	ev->code = code;
	ev->why = why;
	d->closed = 1;
}

/* What the first two bytes alone show to be wrong, or NULL. */
static const char *
check_first(
    const struct ws_decoder *d, const struct head *h, uint8_t b0, uint8_t len7)
{
	if ((b0 & BITS_RSV) != 0)
		return "reserved bit set";
	if ((h->opcode & BIT_CONTROL) != 0) {
		if (h->opcode > WS_PONG)
			return "unknown opcode";
		if (!h->fin)
			return "fragmented control frame";
		if (len7 > WS_CONTROL_MAX)
			return "control frame longer than 125 bytes";
	} else {
		if (h->opcode > WS_BINARY)
			return "unknown opcode";
		if (h->opcode == WS_CONT && !d->in_message)
			return "continuation of no message";
		if (h->opcode != WS_CONT && d->in_message)
			return "new message inside a fragmented one";
	}
	if (d->role == WS_CLIENT && h->masked)
		return "masked frame from a server";
	if (d->role == WS_SERVER && !h->masked)
		return "unmasked frame from a client";
	return NULL;
}

/* The length that n bytes spell, most significant first. */
static uint64_t
read_length(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* Read the head at p[0..len).  NULL when it is good, or not all there
 * (h->size 0); else what is wrong. */
static const char *
read_head(
    const struct ws_decoder *d, const uint8_t *p, size_t len, struct head *h)
{
	uint8_t len7;
	const char *why;
	size_t n;

	h->size = UNKNOWN_HEAD;
	if (len < 2)
		return NULL;
	h->fin = (p[0] & BIT_FIN) != 0;
	h->opcode = p[0] & BITS_OPCODE;
	h->masked = (p[1] & BIT_MASK) != 0;
	h->len = len7 = p[1] & BITS_LENGTH;
	if ((why = check_first(d, h, p[0], len7)) != NULL)
		return why;
	n = len7 == LENGTH_64 ? 8 : len7 == LENGTH_16 ? 2 : 0;
	if (len < 2 + n)
		return NULL;
	if (n > 0) {
		h->len = read_length(p + 2, n);
		if (n == 8 && h->len >> 63 != 0)
			return "length with its top bit set";
		if (h->len < LENGTH_16 || (n == 8 && h->len <= UINT16_MAX))
			return "length not in its shortest form";
	}
	n += 2;
	if (h->masked) {
		if (len < n + sizeof(h->mask))
			return NULL;
		memcpy(h->mask, p + n, sizeof(h->mask));
		n += sizeof(h->mask);
	}
	h->size = n;
	return NULL;
}

static void
set_close(struct ws_decoder *d, char *payload, size_t len, struct ws_event *ev)
{
	const uint8_t *p = (const uint8_t *)payload;
	unsigned code = WS_CLOSE_NOSTATUS;

	if (len == 1) {
		set_error(d, ev, WS_CLOSE_PROTOCOL, "close code of one byte");
		return;
	}
	if (len >= 2) {
		code = (unsigned)p[0] << 8 | p[1];
		if (!ws_close_code_ok(code)) {
			set_error(d, ev, WS_CLOSE_PROTOCOL,
			    "close code that must not be sent");
			return;
		}
		payload += 2;
		len -= 2;
		if (utf8_valid_prefix(payload, len) != len) {
			set_error(d, ev, WS_CLOSE_BAD_PAYLOAD,
			    "close reason is not UTF-8");
			return;
		}
	}
	ev->type = WS_EV_CLOSE;
	ev->code = (uint16_t)code;
	ev->payload = (struct span){payload, len};
	d->closed = 1;
}

static void
set_control(struct ws_decoder *d, const struct head *h, char *payload,
    struct ws_event *ev)
{
	if (h->masked)
		ws_mask(payload, (size_t)h->len, h->mask, 0);
	if (h->opcode == WS_CLOSE) {
		set_close(d, payload, (size_t)h->len, ev);
		return;
	}
	ev->type = h->opcode == WS_PING ? WS_EV_PING : WS_EV_PONG;
	ev->payload = (struct span){payload, (size_t)h->len};
}

/* The head of a data frame was read: its payload is what comes next. */
static void
begin_payload(struct ws_decoder *d, const struct head *h)
{
	if (h->opcode != WS_CONT) {
		d->msg_opcode = h->opcode;
		d->in_message = 1;
		d->started = 0;
		memset(&d->utf8, 0, sizeof(d->utf8));
	}
	d->in_payload = 1;
	d->fin = h->fin;
	d->masked = h->masked;
	memcpy(d->mask, h->mask, sizeof(d->mask));
	d->left = h->len;
	d->pos = 0;
}

/* Hand out n payload bytes of the open frame. */
static void
set_data(struct ws_decoder *d, char *payload, size_t n, struct ws_event *ev)
{
	if (d->masked)
		ws_mask(payload, n, d->mask, d->pos);
	d->left -= n;
	d->pos += n;
	ev->type = WS_EV_DATA;
	ev->opcode = (enum ws_opcode)d->msg_opcode;
	ev->first = !d->started;
	ev->last = d->fin && d->left == 0;
	ev->payload = (struct span){payload, n};
	d->started = 1;
	d->in_payload = d->left > 0;
	if (ev->last)
		d->in_message = 0;
	if (d->msg_opcode == WS_TEXT && d->check_utf8 &&
	    (utf8_feed(&d->utf8, payload, n) == -1 ||
		(ev->last && d->utf8.need > 0)))
		set_error(
		    d, ev, WS_CLOSE_BAD_PAYLOAD, "text message is not UTF-8");
}

static size_t
at_hand(uint64_t left, size_t len)
{
	return left < len ? (size_t)left : len;
}

/* The frame whose head is at `in`; returns the bytes done with. */
static size_t
decode_frame(struct ws_decoder *d, char *in, size_t len, size_t room,
    struct ws_event *ev)
{
	struct head h = {0};
	const char *why;
	size_t n;

	if ((why = read_head(d, (const uint8_t *)in, len, &h)) != NULL) {
		set_error(d, ev, WS_CLOSE_PROTOCOL, why);
		return 0;
	}
	if (h.size == UNKNOWN_HEAD)
		return 0;
	if (h.len > d->max_frame && (h.opcode & BIT_CONTROL) == 0) {
		set_error(d, ev, WS_CLOSE_TOO_BIG, "frame too long");
		return 0;
	}
	n = at_hand(h.len, len - h.size);
	if (n < h.len &&
	    ((h.opcode & BIT_CONTROL) != 0 ||
		(room >= h.size && h.len <= room - h.size)))
		return 0;
	if ((h.opcode & BIT_CONTROL) != 0)
		set_control(d, &h, in + h.size, ev);
	else {
		begin_payload(d, &h);
		if (n > 0 || h.len == 0)
			set_data(d, in + h.size, n, ev);
	}
	return h.size + n;
}

void
ws_decode(struct ws_decoder *d, char *in, size_t len, size_t room, size_t *used,
    struct ws_event *ev)
{
	memset(ev, 0, sizeof(*ev));
	ev->type = WS_EV_MORE;
	if (d->closed)
		*used = len;
	else if (!d->in_payload)
		*used = decode_frame(d, in, len, room, ev);
	else if ((*used = at_hand(d->left, len)) > 0)
		set_data(d, in, *used, ev);
}

size_t
ws_head(
    char *out, enum ws_opcode op, int fin, uint64_t len, const uint8_t mask[4])
{
	uint8_t *p = (uint8_t *)out;
	unsigned shift = len <= WS_CONTROL_MAX ? 0
	    : len <= UINT16_MAX		       ? 16
					       : 64;

	*p++ = (uint8_t)((fin ? BIT_FIN : 0) | (unsigned)op);
	*p = mask != NULL ? BIT_MASK : 0;
	if (shift == 0)
		*p++ |= (uint8_t)len;
	else
		*p++ |= shift == 16 ? LENGTH_16 : LENGTH_64;
	while (shift > 0) {
		shift -= 8;
		*p++ = (uint8_t)(len >> shift);
	}
	if (mask != NULL) {
		memcpy(p, mask, 4);
		p += 4;
	}
	return (size_t)(p - (uint8_t *)out);
}

void
ws_mask(char *p, size_t len, const uint8_t mask[4], uint64_t pos)
{
	uint8_t m[8];
	uint64_t key, w;
	size_t i;

	/* Turned so that m[0] is for p[0]; any multiple of 4 keeps the turn. */
	for (i = 0; i < sizeof(m); i++)
		m[i] = mask[(pos + i) & 3];
	memcpy(&key, m, sizeof(key));
#if defined(__SSE2__) && !defined(CODEC_SCALAR)
	{
		const __m128i wide = _mm_set1_epi64x((long long)key);
		__m128i v;

		for (; len >= 16; len -= 16, p += 16) {
			v = _mm_loadu_si128((const void *)p);
			_mm_storeu_si128((void *)p, _mm_xor_si128(v, wide));
		}
	}
#endif
	for (; len >= sizeof(w); len -= sizeof(w), p += sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		w ^= key;
		memcpy(p, &w, sizeof(w));
	}
	for (i = 0; i < len; i++)
		p[i] = (char)((uint8_t)p[i] ^ m[i]);
}

/*
 * 1004 to 1006 and 1015 are reserved, the rest below 3000 is for later
 * editions; 1012 to 1014 were registered since.
 */
int
ws_close_code_ok(unsigned code)
{
	return (code >= 1000 && code <= 1003) ||
	    (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
