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

struct seen {
	struct seen_memory *mem;    /* LIMIT_SEEN_BYTES; NULL without memory */
	uint8_t own;		    /* allocated here */
	uint32_t *index;	    /* open addressing */
	uint32_t used;		    /* places of it that are not free */
	const struct hash_key *key; /* while there is no memory */
};

/* mem NULL: memory of our own, allocated here.  Content that
 * is not ours is begun anew. */
void seen_init(struct seen *s, void *mem, const struct hash_key *key);
void seen_free(struct seen *s);
/* An id as it is remembered. */
void seen_hash(const struct seen *s, struct span id, uint64_t hash[2]);
void seen_add(struct seen *s, const uint64_t hash[2]);
/* An id will be asked for or added soon: half is hash[0]. */
void seen_soon(const struct seen *s, uint64_t half);
int seen_has(const struct seen *s, const uint64_t hash[2]);

#endif
