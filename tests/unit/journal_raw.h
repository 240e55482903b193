/* SPDX-License-Identifier: ISC */
/* A record as docs/journal.md describes it, written without the code that is
 * tested: what somebody could leave in a journal who knows its key. */
#ifndef JOURNAL_RAW_H
#define JOURNAL_RAW_H

#include <stdint.h>
#include <string.h>

#include "hash.h"
#include "journal_head.h"

#define RAW_MAGIC    0
#define RAW_SEQ	     8
#define RAW_EPOCH    16
#define RAW_ARRIVED  24
#define RAW_LINELEN  32
#define RAW_PAGE     36
#define RAW_CIDLEN   40
#define RAW_SESSION  42
#define RAW_PLATFORM 44
#define RAW_FLAGS    46
#define RAW_ZERO     47
#define RAW_BODY     48
#define RAW_CHECK    56
#define RAW_MARK     64
#define RAW_AT	     72
#define RAW_DATA     80

static inline uint64_t
raw_get(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return v;
}

static inline void
raw_put(unsigned char *p, size_t n, uint64_t v)
{
	memcpy(p, &v, n);
}

static inline uint64_t
raw_sum(const unsigned char *p, size_t len)
{
	uint64_t a[4] = {1, 2, 3, 4}, b[4] = {0}, sum = len, x;
	size_t i, n;

	for (i = 0; i < len / 32 * 4 + 4; i++) {
		n = i * 8 >= len ? 0 : len - i * 8 < 8 ? len - i * 8 : 8;
		a[i % 4] += raw_get(p + i * 8, n);
		b[i % 4] += a[i % 4];
	}
	for (i = 0; i < 4; i++) {
		x = a[i] * 0x9e3779b97f4a7c15ULL;
		x = (x ^ x >> 32 ^ b[i]) * 0xc2b2ae3d27d4eb4fULL;
		sum = (sum << 13 | sum >> 51) + (x ^ x >> 32);
	}
	return sum;
}

static inline struct hash_key
raw_key(const unsigned char *mem)
{
	return (struct hash_key){{raw_get(mem + 24, 8), raw_get(mem + 32, 8)}};
}

/* Where the first page is. */
static inline unsigned char *
raw_pages(unsigned char *mem)
{
	return mem +
	    (4096 + 64 + raw_get(mem + 12, 4) * 16 + 4095) / 4096 * 4096;
}

/* Have the record at p count, whatever it says; its lengths must stay within
 * room bytes from p, or the checksum of the body is left as it is. */
static inline void
raw_seal(const unsigned char *mem, unsigned char *p, size_t room)
{
	struct hash_key key = raw_key(mem);
	size_t body = raw_get(p + RAW_LINELEN, 4) + raw_get(p + RAW_CIDLEN, 2) +
	    raw_get(p + RAW_SESSION, 2) + raw_get(p + RAW_PLATFORM, 2);

	raw_put(
	    p + RAW_MAGIC, 8, hash_64(&key, (struct span){"record", 6}) | 1);
	if (body <= room - RAW_DATA)
		raw_put(p + RAW_BODY, 8, raw_sum(p + RAW_DATA, body));
	raw_put(p + RAW_CHECK, 8,
	    hash_64(&key,
		(struct span){(const char *)p + RAW_SEQ, RAW_CHECK - RAW_SEQ}));
}

#endif
