/* SPDX-License-Identifier: ISC */
/* The head of a journal's file: made and checked by the supervisor, checked
 * again by the engine. */
#include <string.h>

#include "hash.h"
#include "journal_head.h"
#include "limit.h"

#define VERSION_1 1
/* Of the file at most this part is for ids. */
#define SEEN_PART 16
/* Bytes of an id, and of the header before the ids (seen.c). */
#define SEEN_ID	    16
#define SEEN_HEADER 64

static const char magic[8] = {'R', 'L', 'Y', 'J', 'R', 'N', 'L', '1'};

_Static_assert(sizeof(struct journal_head) == 80 &&
	offsetof(struct journal_head, sum) == 40,
    "layout of a file that outlives a version");

static uint64_t
sum_of(const struct journal_head *h)
{
	struct hash_key key = {{h->key[0], h->key[1]}};

	return hash_64(&key,
	    (struct span){(const char *)h, offsetof(struct journal_head, sum)});
}

/* How many ids a file of that size remembers. */
static uint32_t
ids_for(uint64_t size)
{
	uint32_t ids = 1;

	while (
	    ids < LIMIT_SEEN && (uint64_t)ids * 2 * SEEN_ID <= size / SEEN_PART)
		ids *= 2;
	return ids;
}

void
journal_head_make(
    struct journal_head *h, uint64_t size, const unsigned char random[16])
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, magic, sizeof(magic));
	h->version = VERSION_1;
	h->seen = ids_for(size);
	h->size = size;
	memcpy(h->key, random, sizeof(h->key));
	h->sum = sum_of(h);
	h->off_not = ~h->off;
	h->top_not = ~h->top;
	h->seq_not = ~h->seq;
}

const char *
journal_head_check(const struct journal_head *h, uint64_t size)
{
	if (size < JOURNAL_LEAST)
		return "shorter than a journal can be";
	if (memcmp(h->magic, magic, sizeof(magic)) != 0)
		return "not a journal";
	if (h->version != VERSION_1)
		return "a journal of another version of relayd";
	if (h->sum != sum_of(h) || h->size < JOURNAL_LEAST ||
	    h->seen != ids_for(h->size))
		return "a journal whose head is damaged";
	if (h->size > size)
		return "a journal that was cut short";
	return NULL;
}

size_t
journal_head_events(const struct journal_head *h)
{
	size_t end = JOURNAL_HEAD + SEEN_HEADER + (size_t)h->seen * SEEN_ID;

	return (end + JOURNAL_HEAD - 1) / JOURNAL_HEAD * JOURNAL_HEAD;
}
