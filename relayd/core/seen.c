/* SPDX-License-Identifier: ISC */
/* Ids acknowledged lately: a ring of keyed hashes with an index over it. */
#include <stdlib.h>
#include <string.h>

#include "seen.h"

#define SEEN_MAGIC 0x314e454559414c52ULL /* "RLAYEEN1", little endian */
/* Twice the entries, so that probes stay short; a power of two. */
#define SEEN_INDEX (LIMIT_SEEN * 2)
/* Places in use, stale ones included, at which the index is built anew. */
#define SEEN_FULL (SEEN_INDEX / 4 * 3)

_Static_assert((LIMIT_SEEN & (LIMIT_SEEN - 1)) == 0, "ring is a power of two");
_Static_assert(LIMIT_SEEN <= 65536, "a slot stands in half a place");

struct seen_memory {
	uint64_t magic;
	struct hash_key key; /* of the hashes: made by who began the memory */
	uint64_t count;	     /* ids ever added: count % LIMIT_SEEN is next */
	uint64_t unused[4];
	uint64_t id[LIMIT_SEEN][2];
};

_Static_assert(sizeof(struct seen_memory) == LIMIT_SEEN_BYTES,
    "layout of memory that outlives a version");

/*
 * A place of the index is 0 when it is free, else a slot of the ring and above
 * it 16 bits of the id's hash, so that a search looks into the ring, which is
 * larger than a cache, only for what it finds.  The place of an id that was
 * overwritten is left as it is: it leads to another id, and so to nothing.
 */
static inline uint32_t
place_of(const uint64_t id[2], uint32_t slot)
{
	return (uint32_t)(id[1] >> 48 | 0x8000) << 16 | slot;
}

/* Where an id stands in the index, or the free place where it would. */
static uint32_t
probe(const struct seen *s, const uint64_t id[2])
{
	uint32_t i = (uint32_t)id[0] & (SEEN_INDEX - 1), at, slot;
	uint32_t tag = place_of(id, 0);

	for (;; i = (i + 1) & (SEEN_INDEX - 1)) {
		if ((at = s->index[i]) == 0)
			return i;
		slot = at & (LIMIT_SEEN - 1);
		if ((at & 0xffff0000) == tag && s->mem->id[slot][0] == id[0] &&
		    s->mem->id[slot][1] == id[1])
			return i;
	}
}

/* From the ring alone: stale places are gone then. */
static void
fill_index(struct seen *s)
{
	uint32_t i, n, at;

	memset(s->index, 0, SEEN_INDEX * sizeof(*s->index));
	s->used = 0;
	n = s->mem->count < LIMIT_SEEN ? (uint32_t)s->mem->count : LIMIT_SEEN;
	for (i = 0; i < n; i++) {
		at = probe(s, s->mem->id[i]);
		s->used += s->index[at] == 0;
		s->index[at] = place_of(s->mem->id[i], i);
	}
}

static int
build_index(struct seen *s)
{
	s->index = malloc(SEEN_INDEX * sizeof(*s->index));
	if (s->index == NULL)
		return -1;
	fill_index(s);
	return 0;
}

static void
begin(struct seen *s, const struct hash_key *key)
{
	s->mem->magic = SEEN_MAGIC;
	s->mem->key = *key;
	s->mem->count = 0;
}

void
seen_init(struct seen *s, void *mem, const struct hash_key *key)
{
	memset(s, 0, sizeof(*s));
	s->key = key;
	s->mem = mem;
	if (mem == NULL) {
		if ((s->mem = calloc(1, sizeof(*s->mem))) == NULL)
			return;
		s->own = 1;
	}
	if (s->mem->magic != SEEN_MAGIC)
		begin(s, key);
	else if (s->mem->count > 0)
		(void)build_index(s);
}

void
seen_free(struct seen *s)
{
	free(s->index);
	if (s->own)
		free(s->mem);
	memset(s, 0, sizeof(*s));
}

void
seen_hash(const struct seen *s, struct span id, uint64_t hash[2])
{
	hash_128(s->mem == NULL ? s->key : &s->mem->key, id, hash);
}

void
seen_add(struct seen *s, const uint64_t hash[2])
{
	uint32_t slot, at;

	if (s->mem == NULL || (s->index == NULL && build_index(s) == -1))
		return;
	at = probe(s, hash);
	if (s->index[at] != 0)
		return;
	slot = (uint32_t)(s->mem->count & (LIMIT_SEEN - 1));
	s->mem->id[slot][0] = hash[0];
	s->mem->id[slot][1] = hash[1];
	s->mem->count++;
	s->index[at] = place_of(hash, slot);
	if (++s->used >= SEEN_FULL)
		fill_index(s);
}

void
seen_soon(const struct seen *s, uint64_t half)
{
	if (s->index != NULL)
		__builtin_prefetch(&s->index[half & (SEEN_INDEX - 1)]);
}

int
seen_has(const struct seen *s, const uint64_t hash[2])
{
	return s->index != NULL && s->index[probe(s, hash)] != 0;
}
