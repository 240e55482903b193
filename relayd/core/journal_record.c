/* SPDX-License-Identifier: ISC */
/* One record of the journal: its checksums and marks. */
#include <string.h>

#include "journal_priv.h"

/* Two words that the processor adds side by side. */
typedef uint64_t lanes __attribute__((vector_size(16)));

/* Two running sums in each of four lanes. */
struct sums {
	lanes a[2], b[2];
};

/* The next 32 bytes. */
static inline void
sums_add(struct sums *s, const char *p)
{
	lanes w, v;

	memcpy(&w, p, sizeof(w));
	memcpy(&v, p + sizeof(w), sizeof(v));
	s->a[0] += w;
	s->a[1] += v;
	s->b[0] += s->a[0];
	s->b[1] += s->a[1];
}

/* One lane's part of the whole. */
static inline uint64_t
sums_mix(uint64_t sum, uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 32 ^ b) * 0xc2b2ae3d27d4eb4fULL;
	return (sum << 13 | sum >> 51) + (x ^ x >> 32);
}

/* What tells a body from what it was torn to. */
uint64_t
journal_record_sum(const char *p, size_t len)
{
	struct sums s = {{{1, 2}, {3, 4}}, {{0, 0}, {0, 0}}};
	char last[32] = {0};
	uint64_t sum = len;

	for (; len >= 2 * sizeof(last); len -= 2 * sizeof(last)) {
		sums_add(&s, p);
		sums_add(&s, p + sizeof(last));
		p += 2 * sizeof(last);
	}
	if (len >= sizeof(last)) {
		sums_add(&s, p);
		p += sizeof(last);
		len -= sizeof(last);
	}
	memcpy(last, p, len);
	sums_add(&s, last);
	sum = sums_mix(sum, s.a[0][0], s.b[0][0]);
	sum = sums_mix(sum, s.a[0][1], s.b[0][1]);
	sum = sums_mix(sum, s.a[1][0], s.b[1][0]);
	return sums_mix(sum, s.a[1][1], s.b[1][1]);
}

uint64_t
journal_record_check(const struct journal *j, const struct record *r)
{
	return hash_64(&j->key,
	    (struct span){(const char *)&r->seq,
		offsetof(struct record, check) - offsetof(struct record, seq)});
}

/* 32 bits that go with a word of the marks of that record. */
static uint32_t
mark_check(const struct journal *j, const struct record *r, uint64_t word)
{
	uint64_t x = (word ^ j->key.k[0]) * 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 32 ^ r->seq ^ j->key.k[1]) * 0xc2b2ae3d27d4eb4fULL;
	return (uint32_t)(x >> 32);
}

static uint64_t
flags_word(const struct journal *j, const struct record *r, uint32_t flags)
{
	return (uint64_t)mark_check(j, r, flags) << 32 | flags;
}

static uint64_t
at_word(const struct journal *j, const struct record *r, int64_t at)
{
	uint64_t v = at < 0 ? 0 : (uint64_t)at & AT_MASK;

	return (uint64_t)mark_check(j, r, v | UINT64_C(1) << 63) << AT_BITS | v;
}

void
journal_record_flags(const struct journal *j, struct record *r, uint32_t flags)
{
	__atomic_store_n(
	    &r->mark[0], flags_word(j, r, flags), __ATOMIC_RELEASE);
}

/* Each word is whole by itself, whenever we are killed. */
void
journal_record_mark(
    const struct journal *j, struct record *r, uint32_t flags, int64_t at)
{
	__atomic_store_n(&r->mark[1], at_word(j, r, at), __ATOMIC_RELEASE);
	journal_record_flags(j, r, flags);
}

/* A mark that does not bear its check says nothing: then an agent may have
 * had the event, and it may have been aside. */
void
journal_record_mend(const struct journal *j, struct record *r)
{
	uint32_t flags = (uint32_t)r->mark[0];
	int64_t at = (int64_t)(r->mark[1] & AT_MASK);

	if (r->mark[0] != flags_word(j, r, flags))
		flags = MARK_TRIED | MARK_KEPT;
	if (r->mark[1] != at_word(j, r, at))
		at = 0;
	journal_record_mark(j, r, flags, at);
}

/* Pages of a record that is whole; 0: it is none. */
uint32_t
journal_record_pages(
    const struct journal *j, const struct record *r, uint32_t page)
{
	size_t body = body_len(r);
	uint32_t n = pages_for(body);

	if (r->page != page || n > j->npage - page || r->zero != 0 ||
	    r->linelen > JOURNAL_LINE || r->cidlen > LIMIT_BUFFER_ID ||
	    r->sessionlen > LIMIT_SESSION_KEY ||
	    r->platformlen > LIMIT_PLATFORM || r->seq == 0 ||
	    r->seq > SEQ_MOST || r->check != journal_record_check(j, r) ||
	    r->body != journal_record_sum(r->data, body))
		return 0;
	return n;
}
