/* SPDX-License-Identifier: ISC */
/* Base64 (RFC 4648), encoded without look-ups by the bytes. */
#include <stdint.h>

#include "base64.h"

struct alphabet {
	unsigned c62; /* the two characters in which alphabets differ */
	unsigned c63;
	int pad;
};

/* All bits set when a > b, for values below 2^31. */
static unsigned
gt(unsigned a, unsigned b)
{
	return 0U - ((b - a) >> 31);
}

/* The character of a six-bit value, chosen without a branch. */
static char
character(unsigned v, const struct alphabet *a)
{
	unsigned c;

	c = 'A' + v;
	c += gt(v, 25) & ('a' - 'A' - 26U);
	c -= gt(v, 51) & ('a' + 26U - '0');
	c = (c & ~gt(v, 61)) | (a->c62 & gt(v, 61) & ~gt(v, 62)) |
	    (a->c63 & gt(v, 62));
	return (char)c;
}

static size_t
encode(char *out, const uint8_t *p, size_t len, const struct alphabet *a)
{
	char *begin = out;
	size_t i, n;
	unsigned v;

	for (; len > 0; len -= n, p += n) {
		n = len < 3 ? len : 3;
		v = (unsigned)p[0] << 16;
		v |= n > 1 ? (unsigned)p[1] << 8 : 0;
		v |= n > 2 ? p[2] : 0;
		for (i = 0; i < 4; i++) {
			if (i <= n)
				*out++ = character(v >> 18 & 63, a);
			else if (a->pad)
				*out++ = '=';
			v <<= 6;
		}
	}
	*out = '\0';
	return (size_t)(out - begin);
}

size_t
base64_encode(char *out, const void *in, size_t len)
{
	static const struct alphabet plain = {'+', '/', 1};

	return encode(out, in, len, &plain);
}

size_t
base64url_encode(char *out, const void *in, size_t len)
{
	static const struct alphabet url = {'-', '_', 0};

	return encode(out, in, len, &url);
}

/* The six-bit value of a character, or -1.  What is decoded is no secret. */
static int
value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ptrdiff_t
base64_decode(char *out, struct span in)
{
	char *begin = out;
	unsigned group = 0, have = 0;
	size_t i, pad = 0;
	int v;

	if (in.len % 4 != 0)
		return -1;
	while (pad < 2 && in.len > 0 && in.p[in.len - 1] == '=') {
		in.len--;
		pad++;
	}
	for (i = 0; i < in.len; i++) {
		if ((v = value(in.p[i])) == -1)
			return -1;
		group = group << 6 | (unsigned)v;
		if ((have += 6) >= 8) {
			have -= 8;
			*out++ = (char)(group >> have & 0xff);
		}
	}
	return have == 6 ? -1 : out - begin;
}
