/* SPDX-License-Identifier: ISC */
/*
 * Which of the connector's ids agents acknowledged lately: so that what is
 * repeated after a reconnect, or a restart of the engine, is recognised.  The
 * ids' keyed hashes stand in a ring in memory that may outlive the process;
 * it is read back as hostile data.
 */
#ifndef SEEN_H
#define SEEN_H

#include <stdint.h>

#include "hash.h"
#include "limit.h"
#include "span.h"

struct seen_memory;

/* Bytes of the memory of so many ids: a header and 16 for each. */
#define SEEN_BYTES(ids) (64 + (size_t)(ids)*16)

struct seen {
	struct seen_memory *mem;    /* SEEN_BYTES(ids); NULL without memory */
	uint32_t ids;		    /* a power of two, LIMIT_SEEN at most */
	uint8_t own;		    /* allocated here */
	uint32_t *index;	    /* open addressing; NULL: not built yet */
	uint32_t places;	    /* of the index: a power of two */
	uint32_t used;		    /* places of it that are not free */
	const struct hash_key *key; /* while there is no memory */
};

/* A ring of ids (a power of two, 65,536 at most) in mem, which has
 * SEEN_BYTES(ids) and is aligned for uint64_t; NULL: memory of our own,
 * allocated here.  Content that is not ours is begun anew. */
void
seen_init(struct seen *s, void *mem, uint32_t ids, const struct hash_key *key);
void seen_free(struct seen *s);
/* An id as it is remembered. */
void seen_hash(const struct seen *s, struct span id, uint64_t hash[2]);
void seen_add(struct seen *s, const uint64_t hash[2]);
/* An id will be asked for or added soon: half is hash[0]. */
void seen_soon(const struct seen *s, uint64_t half);
/* The index is built when it is needed first. */
int seen_has(struct seen *s, const uint64_t hash[2]);

#endif
