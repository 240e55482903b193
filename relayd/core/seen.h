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
	struct seen_memory
	    *mem;    /* LIMIT_SEEN_BYTES; NULL until first used, when ours */
	uint8_t own; /* allocated here */
	uint32_t *index; /* open addressing: slot plus one */
};

/* mem NULL: memory of our own, allocated at the first addition.  Content that
 * is not ours is begun anew. */
void seen_init(struct seen *s, void *mem, const struct hash_key *key);
void seen_free(struct seen *s);
void seen_add(struct seen *s, struct span id);
int seen_has(const struct seen *s, struct span id);

#endif
