/* SPDX-License-Identifier: ISC */
/*
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF",
 * 2012) with 64 and 128 bits of output, and an intrusive hash table.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

/* Rounds for each word, and at the end: the variant that hash tables commonly
 * use; nothing here leaves the machine under this key. */
#define SIP_C 1
#define SIP_D 3

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t
rotl(uint64_t x, int n)
{
	return (x << n) | (x >> (64 - n));
}

static inline void
sip_rounds(struct sip *s, int n)
{
	while (n-- > 0) {
		s->v0 += s->v1;
		s->v1 = rotl(s->v1, 13) ^ s->v0;
		s->v0 = rotl(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotl(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotl(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotl(s->v1, 17) ^ s->v2;
		s->v2 = rotl(s->v2, 32);
	}
}

/* The bytes behind the last whole word, the first one lowest. */
static inline uint64_t
sip_tail(struct span in, size_t left)
{
	uint64_t w = 0;

	if (left == 0)
		return 0;
	if (in.len >= sizeof(w)) { /* with some of the word before */
		memcpy(&w, in.p + in.len - sizeof(w), sizeof(w));
		return le64toh(w) >> (64 - 8 * left);
	}
	memcpy(&w, in.p, left);
	return le64toh(w);
}

static inline void
sip_word(struct sip *s, uint64_t w)
{
	s->v3 ^= w;
	sip_rounds(s, SIP_C);
	s->v0 ^= w;
}

/* Absorb key and text; what is left are the final rounds.  v1mark is 0xee for
 * the variant with 128 bits. */
static inline __attribute__((always_inline)) void
sip_absorb(
    struct sip *s, const struct hash_key *key, uint64_t v1mark, struct span in)
{
	uint64_t w;
	size_t i, left = in.len & 7, whole = in.len - left;

	s->v0 = key->k[0] ^ 0x736f6d6570736575ULL;
	s->v1 = key->k[1] ^ 0x646f72616e646f6dULL ^ v1mark;
	s->v2 = key->k[0] ^ 0x6c7967656e657261ULL;
	s->v3 = key->k[1] ^ 0x7465646279746573ULL;
	for (i = 0; i < whole; i += 8) {
		memcpy(&w, in.p + i, 8);
		sip_word(s, le64toh(w));
	}
	sip_word(s, sip_tail(in, left) | (uint64_t)in.len << 56);
}

static inline uint64_t
sip_fold(const struct sip *s)
{
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t
hash_64(const struct hash_key *key, struct span in)
{
	struct sip s;

	sip_absorb(&s, key, 0, in);
	s.v2 ^= 0xff;
	sip_rounds(&s, SIP_D);
	return sip_fold(&s);
}

void
hash_128(const struct hash_key *key, struct span in, uint64_t out[2])
{
	struct sip s;

	sip_absorb(&s, key, 0xee, in);
	s.v2 ^= 0xee;
	sip_rounds(&s, SIP_D);
	out[0] = sip_fold(&s);
	s.v1 ^= 0xdd;
	sip_rounds(&s, SIP_D);
	out[1] = sip_fold(&s);
}

static inline void
chain(struct hnode **at, struct hnode *n)
{
	n->next = *at;
	n->prev = at;
	if (n->next != NULL)
		n->next->prev = &n->next;
	*at = n;
}

/* Twice as many buckets as nodes at most; begins with 64. */
static int
htab_grow(struct htab *t)
{
	struct hnode **b, *n, *next;
	uint32_t i, want = t->nbucket == 0 ? 64 : t->nbucket * 2;

	if ((b = calloc(want, sizeof(*b))) == NULL)
		return -1;
	for (i = 0; i < t->nbucket; i++)
		for (n = t->bucket[i]; n != NULL; n = next) {
			next = n->next;
			chain(&b[n->hash & (want - 1)], n);
		}
	free(t->bucket);
	t->bucket = b;
	t->nbucket = want;
	return 0;
}

int
htab_add(struct htab *t, struct hnode *n, uint64_t hash)
{
	/* Growing may fail as long as there are buckets: chains get longer. */
	if (t->n >= t->nbucket && htab_grow(t) == -1 && t->nbucket == 0)
		return -1;
	n->hash = hash;
	chain(&t->bucket[hash & (t->nbucket - 1)], n);
	t->n++;
	return 0;
}

struct hnode *
htab_find(const struct htab *t, uint64_t hash)
{
	struct hnode *n;

	if (t->nbucket == 0)
		return NULL;
	for (n = t->bucket[hash & (t->nbucket - 1)]; n != NULL; n = n->next)
		if (n->hash == hash)
			return n;
	return NULL;
}

struct hnode *
htab_next(const struct hnode *n)
{
	uint64_t hash = n->hash;
	struct hnode *m;

	for (m = n->next; m != NULL; m = m->next)
		if (m->hash == hash)
			return m;
	return NULL;
}

void
htab_del(struct htab *t, struct hnode *n)
{
	*n->prev = n->next;
	if (n->next != NULL)
		n->next->prev = n->prev;
	n->next = NULL;
	n->prev = NULL;
	t->n--;
}

void
htab_free(struct htab *t)
{
	free(t->bucket);
	memset(t, 0, sizeof(*t));
}
