/* SPDX-License-Identifier: ISC */
/* What the files of the journal share: a record as it lies in memory, and the
 * pages that records take (docs/journal.md). */
#ifndef JOURNAL_PRIV_H
#define JOURNAL_PRIV_H

#include <stdatomic.h>

#include "journal.h"
#include "journal_head.h"

/* Numbers of events beyond this are nobody's: so that one that is read leaves
 * room for those to come. */
#define SEQ_MOST (UINT64_MAX / 4)

#define RECORD_PLAIN   1
#define RECORD_FORWARD 2

/* In the first word of the marks, above them their check. */
#define MARK_TRIED    1U
#define MARK_SUSPECT  2U
#define MARK_ASIDE    4U
#define MARK_KEPT     8U /* was aside once: its id tells nothing */
#define MARK_ATTEMPTS 8	 /* their first bit */

struct record {
	uint64_t magic; /* of this journal; 0 while it does not count */
	uint64_t seq;
	uint64_t epoch;
	int64_t arrived;
	uint32_t linelen;
	uint32_t page; /* its own first: a copy elsewhere is none */
	uint16_t cidlen, sessionlen, platformlen;
	uint8_t flags, zero;
	uint64_t body;	/* checksum of data */
	uint64_t check; /* SipHash from seq to body */
	uint64_t mark[2];
	char data[]; /* cid, session, platform, line */
};

/* Without memory that outlives us each record has some of its own. */
struct loose {
	struct loose *next, **prev;
	/* the record follows */
};

_Static_assert(sizeof(struct record) == 80 &&
	offsetof(struct record, check) == 56 &&
	offsetof(struct record, mark) == 64,
    "layout of a file that outlives a version");

/* What is written above is written before what is written below. */
static inline void
in_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static inline struct journal_head *
head_of(const struct journal *j)
{
	return (struct journal_head *)(void *)j->mem;
}

static inline struct record *
record_at(const struct journal *j, uint32_t page)
{
	return (struct record *)(void *)(j->page + (size_t)page * JOURNAL_PAGE);
}

static inline size_t
body_len(const struct record *r)
{
	return (size_t)r->cidlen + r->sessionlen + r->platformlen + r->linelen;
}

static inline uint32_t
pages_for(size_t body)
{
	return (uint32_t)((sizeof(struct record) + body + JOURNAL_PAGE - 1) /
	    JOURNAL_PAGE);
}

/* Bytes that a record takes. */
static inline size_t
size_of(const struct journal *j, size_t body)
{
	return j->mem == NULL ? sizeof(struct record) + body
			      : (size_t)pages_for(body) * JOURNAL_PAGE;
}

static inline struct record *
record_of(struct loose *l)
{
	return (struct record *)(void *)((char *)l + sizeof(*l));
}

/* The second one: when, in milliseconds, and 16 bits of its check. */
#define AT_BITS 48
#define AT_MASK ((UINT64_C(1) << AT_BITS) - 1)

/* journal_record.c: one record. */

/* The checksum of a body. */
uint64_t journal_record_sum(const char *p, size_t len);
/* The hash of a header. */
uint64_t journal_record_check(const struct journal *j, const struct record *r);
/* Pages of the record at that page, if it is whole; 0: it is none. */
uint32_t journal_record_pages(
    const struct journal *j, const struct record *r, uint32_t page);
/* Write the marks: MARK_ bits with the attempts, and when it was put aside. */
void journal_record_mark(
    const struct journal *j, struct record *r, uint32_t flags, int64_t at);
/* The same while it was not and is not put aside. */
void
journal_record_flags(const struct journal *j, struct record *r, uint32_t flags);
/* Have marks that do not bear their checks say nothing. */
void journal_record_mend(const struct journal *j, struct record *r);

/* journal_page.c: where records lie. */

/* The first page from there on that is used, or is not; end without one. */
uint32_t journal_page_find(
    const struct journal *j, uint32_t page, uint32_t end, int used);
/* Where n pages are free; npage when they are nowhere. */
uint32_t journal_page_room(const struct journal *j, uint32_t n);
void journal_page_use(struct journal *j, uint32_t page, uint32_t n, int used);
/* Take a record away: its pages are free, and what it said is gone. */
void journal_page_wipe(struct journal *j, struct record *r);
/* Write the head's words. */
void journal_page_top(struct journal *j, uint32_t top);
void journal_page_seq(struct journal *j);

/* journal_read.c: begin with memory of len bytes.  0, or -1 without memory. */
int journal_read(struct journal *j, size_t len, const struct hash_key *key);

#endif
