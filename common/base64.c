/* SPDX-License-Identifier: ISC */
/* Base64 (RFC 4648) without look-ups by the bytes encoded. */
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
