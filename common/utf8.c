/* SPDX-License-Identifier: ISC */
/* UTF-8 (RFC 3629): validity over whole and split texts, and lengths. */
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(CODEC_SCALAR)
#include <emmintrin.h>
#endif

#include "utf8.h"

/* Skip the ASCII at p: by vectors or words, the last few bytes singly. */
static const char *
skip_ascii(const char *p, const char *end)
{
#if defined(__SSE2__) && !defined(CODEC_SCALAR)
	while (end - p >= 16) {
		unsigned high = (unsigned)_mm_movemask_epi8(
		    _mm_loadu_si128((const void *)p));

		if (high != 0)
			return p + __builtin_ctz(high);
		p += 16;
	}
#else
	while (end - p >= 8) {
		uint64_t w;

		memcpy(&w, p, sizeof(w));
		if ((w & 0x8080808080808080U) != 0)
			break;
		p += 8;
	}
#endif
	while (p < end && (unsigned char)*p < 0x80)
		p++;
	return p;
}

size_t
utf8_valid_prefix(const char *p, size_t len)
{
	const char *begin = p, *end;
	unsigned n;

	if (len == 0)
		return 0;
	end = p + len;
	for (;;) {
		p = skip_ascii(p, end);
		while (p < end && (unsigned char)*p >= 0x80) {
			if ((n = utf8_seq(p, (size_t)(end - p))) == 0)
				return (size_t)(p - begin);
			p += n;
		}
		if (p == end)
			return len;
	}
}

/* The state after one more byte, which continues a sequence or begins one that
 * is not ASCII. */
static int
step(struct utf8_state *st, uint8_t c)
{
	if (st->need > 0) {
		if (c < st->lo || c > st->hi)
			return -1;
		st->need--;
		st->lo = 0x80;
		st->hi = 0xbf;
		return 0;
	}
	if (c < 0xc2 || c > 0xf4)
		return -1;
	st->need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	st->lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	st->hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	return 0;
}

int
utf8_feed(struct utf8_state *st, const char *p, size_t len)
{
	size_t i = 0;

	while (i < len && st->need > 0)
		if (step(st, (uint8_t)p[i++]) == -1)
			return -1;
	if (i < len)
		i += utf8_valid_prefix(p + i, len - i);
	while (i < len) /* a sequence the piece cuts, or one that is bad */
		if (step(st, (uint8_t)p[i++]) == -1)
			return -1;
	return 0;
}

size_t
utf8_chars(struct span text)
{
	size_t i, n = 0;

	for (i = 0; i < text.len; i++)
		n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return n;
}

size_t
utf8_utf16(struct span text)
{
	size_t i, n = 0;

	/* A sequence of four bytes becomes a surrogate pair. */
	for (i = 0; i < text.len; i++)
		n += (unsigned char)text.p[i] >= 0xf0;
	return utf8_chars(text) + n;
}
