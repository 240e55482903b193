/* SPDX-License-Identifier: ISC */
/* UTF-8 (RFC 3629): validity and length in the two units descriptors name. */
#ifndef UTF8_H
#define UTF8_H

#include <stdint.h>

#include "span.h"

/*
 * State of a validation that goes on over several pieces (a text message in
 * fragments).  All zero is the beginning.
 */
struct utf8_state {
	uint8_t need; /* continuation bytes still to come, 0 to 3 */
	uint8_t lo;   /* range the next byte must lie in, when need > 0 */
	uint8_t hi;
};

/* Length of the well-formed sequence at p[0..len), len at least 1: 1 to 4, or 0
 * when it is ill-formed or cut short. */
static inline unsigned
utf8_seq(const char *p, size_t len)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned c = u[0];

	if (c < 0x80)
		return 1;
	if (c < 0xc2)
		return 0;
	if (c < 0xe0)
		return len >= 2 && (u[1] & 0xc0) == 0x80 ? 2 : 0;
	if (c < 0xf0) {
		if (len < 3 || (u[1] & 0xc0) != 0x80 || (u[2] & 0xc0) != 0x80)
			return 0;
		return (c == 0xe0 && u[1] < 0xa0) || (c == 0xed && u[1] > 0x9f)
		    ? 0
		    : 3;
	}
	if (c > 0xf4 || len < 4 || (u[1] & 0xc0) != 0x80 ||
	    (u[2] & 0xc0) != 0x80 || (u[3] & 0xc0) != 0x80)
		return 0;
	return (c == 0xf0 && u[1] < 0x90) || (c == 0xf4 && u[1] > 0x8f) ? 0 : 4;
}

/* Bytes of p[0..len) before the first that is not well-formed UTF-8: len when
 * all is valid.  No surrogates, no overlong forms, nothing past U+10FFFF. */
size_t utf8_valid_prefix(const char *p, size_t len);

/* Feed the next piece.  Returns 0, or -1 at the first ill-formed byte.  The
 * text is whole when st->need is 0 after the last piece. */
int utf8_feed(struct utf8_state *st, const char *p, size_t len);

/* Lengths of valid UTF-8: code points, and UTF-16 code units. */
size_t utf8_chars(struct span text);
size_t utf8_utf16(struct span text);

#endif
