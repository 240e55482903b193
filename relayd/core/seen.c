/* SPDX-License-Identifier: ISC */
/* Ids acknowledged lately: a ring of keyed hashes with an index over it. */
#include <stdlib.h>
#include <string.h>

#include "seen.h"

#define SEEN_MAGIC 0x314e454559414c52ULL /* "RLAYEEN1", little endian */
/* Twice the entries, so that probes stay short; a power of two. */
#define SEEN_INDEX (LIMIT_SEEN * 2)

_Static_assert((LIMIT_SEEN & (LIMIT_SEEN - 1)) == 0, "ring is a power of two");

struct seen_memory {
	uint64_t magic;
	struct hash_key key; /* of the hashes: made by who began the memory */
	uint64_t count;	     /* ids ever added: count % LIMIT_SEEN is next */
	uint64_t unused[4];
	uint64_t id[LIMIT_SEEN][2];
};

_Static_assert(sizeof(struct seen_memory) == LIMIT_SEEN_BYTES,
    "layout of memory that outlives a version");

/* Where an id stands in the index, or the free place where it would. */
static uint32_t
probe(const struct seen *s, const uint64_t id[2])
{
	uint32_t i = (uint32_t)id[0] & (SEEN_INDEX - 1), slot;

	for (;; i = (i + 1) & (SEEN_INDEX - 1)) {
		if ((slot = s->index[i]) == 0)
			return i;
		if (s->mem->id[slot - 1][0] == id[0] &&
		    s->mem->id[slot - 1][1] == id[1])
			return i;
	}
}

/* Take the entry at place i out and close the gap behind it. */
static void
unindex(struct seen *s, uint32_t i)
{
	uint32_t j = i, home;

	for (;;) {
		s->index[i] = 0;
		do {
			j = (j + 1) & (SEEN_INDEX - 1);
			if (s->index[j] == 0)
				return;
			home = (uint32_t)s->mem->id[s->index[j] - 1][0] &
			    (SEEN_INDEX - 1);
			/* stays when its home lies cyclically in (i, j] */
		} while (
		    i <= j ? (i < home && home <= j) : (i < home || home <= j));
		s->index[i] = s->index[j];
		i = j;
	}
}

static int
build_index(struct seen *s)
{
	uint32_t i, n, at;

	if ((s->index = calloc(SEEN_INDEX, sizeof(*s->index))) == NULL)
		return -1;
	n = s->mem->count < LIMIT_SEEN ? (uint32_t)s->mem->count : LIMIT_SEEN;
	for (i = 0; i < n; i++) {
		at = probe(s, s->mem->id[i]);
		s->index[at] = i + 1; /* one of two equal ids is enough */
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
seen_init(struct seen *s, void *mem, const struct hash_key *key)
{
	memset(s, 0, sizeof(*s));
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
seen_add(struct seen *s, struct span id)
{
	uint64_t h[2];
	uint32_t slot, at;

	if (s->mem == NULL || (s->index == NULL && build_index(s) == -1))
		return;
	hash_128(&s->mem->key, id, h);
	if (s->index[probe(s, h)] != 0)
		return;
	slot = (uint32_t)(s->mem->count & (LIMIT_SEEN - 1));
	if (s->mem->count >= LIMIT_SEEN) {
		at = probe(s, s->mem->id[slot]);
		if (s->index[at] == slot + 1)
			unindex(s, at);
	}
	s->mem->id[slot][0] = h[0];
	s->mem->id[slot][1] = h[1];
	s->mem->count++;
	s->index[probe(s, h)] = slot + 1;
}

int
seen_has(const struct seen *s, struct span id)
{
	uint64_t h[2];

	if (s->index == NULL)
		return 0;
	hash_128(&s->mem->key, id, h);
	return s->index[probe(s, h)] != 0;
}
