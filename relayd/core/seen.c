/* SPDX-License-Identifier: ISC */
/* Ids acknowledged lately: a ring of keyed hashes with an index over it. */
#include <stdlib.h>
#include <string.h>

#include "seen.h"

#define SEEN_MAGIC 0x314e454559414c52ULL /* "RLAYEEN1", little endian */
/* The least index: what few ids need, so that a gateway with little to do
 * has little memory. */
#define PLACES_LEAST 256U
/* The ring's slot stands in half a place. */
#define IDS_MOST 65536U

struct seen_memory {
	uint64_t magic;
	struct hash_key key; /* of the hashes: made by who began the memory */
	uint64_t count;	     /* ids ever added: count modulo ids is next */
	uint64_t unused[4];
	uint64_t id[][2];
};

_Static_assert(sizeof(struct seen_memory) == SEEN_BYTES(0) &&
	LIMIT_SEEN_BYTES == SEEN_BYTES(LIMIT_SEEN),
    "layout of memory that outlives a version");
_Static_assert((LIMIT_SEEN & (LIMIT_SEEN - 1)) == 0 && LIMIT_SEEN <= IDS_MOST,
    "a ring that can be had");

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
	uint32_t i = (uint32_t)id[0] & (s->places - 1), at, slot;
	uint32_t tag = place_of(id, 0);

	for (;; i = (i + 1) & (s->places - 1)) {
		if ((at = s->index[i]) == 0)
			return i;
		slot = at & (s->ids - 1);
		if ((at & 0xffff0000) == tag && s->mem->id[slot][0] == id[0] &&
		    s->mem->id[slot][1] == id[1])
			return i;
	}
}

/* Places in use, stale ones included, at which the index is built anew. */
static inline uint32_t
full(const struct seen *s)
{
	return s->places / 4 * 3;
}

/* From the ring alone, with twice as many places as ids: stale ones are gone
 * then.  0, or -1 without memory: it is as it was. */
static int
build_index(struct seen *s)
{
	uint32_t n = s->mem->count < s->ids ? (uint32_t)s->mem->count : s->ids;
	uint32_t i, at, places = PLACES_LEAST, *index;

	while (places < n * 2)
		places *= 2;
	if ((index = calloc(places, sizeof(*index))) == NULL)
		return -1;
	free(s->index);
	s->index = index;
	s->places = places;
	s->used = 0;
	for (i = 0; i < n; i++) {
		at = probe(s, s->mem->id[i]);
		s->used += s->index[at] == 0;
		s->index[at] = place_of(s->mem->id[i], i);
	}
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
seen_init(struct seen *s, void *mem, uint32_t ids, const struct hash_key *key)
{
	memset(s, 0, sizeof(*s));
	s->key = key;
	s->ids = ids;
	s->mem = mem;
	if (mem == NULL) {
		if ((s->mem = calloc(1, SEEN_BYTES(ids))) == NULL)
			return;
		s->own = 1;
	}
	if (s->mem->magic != SEEN_MAGIC)
		begin(s, key);
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

/* Whether there is an index to look into: there is none over no ids. */
static int
has_index(struct seen *s)
{
	return s->index != NULL ||
	    (s->mem != NULL && s->mem->count > 0 && build_index(s) == 0);
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
	slot = (uint32_t)(s->mem->count & (s->ids - 1));
	s->mem->id[slot][0] = hash[0];
	s->mem->id[slot][1] = hash[1];
	s->mem->count++;
	/* Without memory for a larger one the index takes what leaves a place
	 * free; the id is in the ring, and found after a restart. */
	if (s->used >= full(s) && build_index(s) == 0)
		return;
	if (s->used < s->places - 1) {
		s->index[at] = place_of(hash, slot);
		s->used++;
	}
}

void
seen_soon(const struct seen *s, uint64_t half)
{
	if (s->index != NULL)
		__builtin_prefetch(&s->index[half & (s->places - 1)]);
}

int
seen_has(struct seen *s, const uint64_t hash[2])
{
	return has_index(s) && s->index[probe(s, hash)] != 0;
}
