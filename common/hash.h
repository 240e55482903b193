/* SPDX-License-Identifier: ISC */
/* Keyed hashing (SipHash-1-3) of foreign strings, and an intrusive hash table
 * over such hashes. */
#ifndef HASH_H
#define HASH_H

#include <stdint.h>

#include "span.h"

struct hash_key {
	uint64_t k[2]; /* random: so that nobody outside can aim at a bucket */
};

/* 64 and 128 bits of SipHash-1-3. */
uint64_t hash_64(const struct hash_key *key, struct span s);
void hash_128(const struct hash_key *key, struct span s, uint64_t out[2]);

struct hnode {
	struct hnode *next, **prev; /* prev: what points to us */
	uint64_t hash;
};

/* All zero is an empty table. */
struct htab {
	struct hnode **bucket;
	uint32_t nbucket; /* power of two, or 0 */
	uint32_t n;
};

/* Add a node (its hash is set by the caller's argument).  0, or -1 without
 * memory. */
int htab_add(struct htab *t, struct hnode *n, uint64_t hash);
/* First node of that hash, and the next with the same: the caller compares
 * keys.  NULL at the end. */
struct hnode *htab_find(const struct htab *t, uint64_t hash);
struct hnode *htab_next(const struct hnode *n);
/* Take a node out; it must be in. */
void htab_del(struct htab *t, struct hnode *n);
/* Give the buckets back; the nodes are the caller's. */
void htab_free(struct htab *t);

#endif
