/* SPDX-License-Identifier: ISC */
/* The journal's pages: which are free, and the words of its head that tell how
 * far they were ever used. */
#include <string.h>

#include "journal_priv.h"

/* So many numbers are reserved in the head at once. */
#define SEQ_STEP 65536

/* Pages in use, 64 to a word. */
void
journal_page_use(struct journal *j, uint32_t page, uint32_t n, int used)
{
	uint64_t bits;
	uint32_t m;

	for (; n > 0; n -= m, page += m) {
		m = 64 - page % 64;
		if (m > n)
			m = n;
		bits = UINT64_MAX >> (64 - m) << (page % 64);
		if (used)
			j->bitmap[page / 64] |= bits;
		else
			j->bitmap[page / 64] &= ~bits;
	}
}

/* The first page from there on that is used, or is not; end without one. */
uint32_t
journal_page_find(
    const struct journal *j, uint32_t page, uint32_t end, int used)
{
	uint64_t w, flip = used ? 0 : UINT64_MAX;

	while (page < end) {
		w = (j->bitmap[page / 64] ^ flip) >> (page % 64);
		if (w != 0) {
			page += (uint32_t)__builtin_ctzll(w);
			break;
		}
		page = (page / 64 + 1) * 64;
	}
	return page < end ? page : end;
}

/* n free pages in a row within [from, end); npage when there are none. */
static uint32_t
find_run(const struct journal *j, uint32_t from, uint32_t end, uint32_t n)
{
	uint32_t next;

	while ((from = journal_page_find(j, from, end, 0)) < end &&
	    n <= end - from) {
		next = journal_page_find(j, from, from + n, 1);
		if (next == from + n)
			return from;
		from = next;
	}
	return j->npage;
}

/*
 * Where n pages are free: from where the last ones were taken, or lower ones
 * given back, on, and then from the start.  So what is used stays low: memory
 * in use is what was ever full, and mostly in a cache.
 */
uint32_t
journal_page_room(const struct journal *j, uint32_t n)
{
	uint32_t at = find_run(j, j->next_page, j->npage, n), end;

	if (at < j->npage || j->next_page == 0)
		return at;
	end = n < j->npage - j->next_page ? j->next_page + n : j->npage;
	return find_run(j, 0, end, n);
}

/* Above all records that ever were: what lies there is not even read. */
void
journal_page_top(struct journal *j, uint32_t top)
{
	struct journal_head *h = head_of(j);

	j->top = top;
	h->top = top;
	h->top_not = ~top;
	in_order();
}

/* The numbers in use are told in the head before they are used, so that none
 * comes again even when no record of it is left. */
void
journal_page_seq(struct journal *j)
{
	struct journal_head *h = head_of(j);

	h->seq = j->next_seq + SEQ_STEP;
	h->seq_not = ~h->seq;
	in_order();
}

/* Its pages are free, and what was said is gone. */
void
journal_page_wipe(struct journal *j, struct record *r)
{
	size_t body = body_len(r), size = size_of(j, body);
	uint32_t page = r->page;

	j->used -= size;
	if (r->mark[0] & MARK_ASIDE)
		j->aside -= size;
	__atomic_store_n(&r->magic, 0, __ATOMIC_RELEASE);
	in_order();
	memset(&r->seq, 0, sizeof(*r) - sizeof(r->magic) + body);
	journal_page_use(j, page, pages_for(body), 0);
	if (page < j->next_page)
		j->next_page = page;
}
