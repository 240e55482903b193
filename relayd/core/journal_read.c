/* SPDX-License-Identifier: ISC */
/* What a journal's memory holds when it is found: read as hostile data. */
#include <stdlib.h>
#include <string.h>

#include "journal_priv.h"

/* More than a configuration can ask for; so that page numbers can be added. */
#define PAGES_MOST (1U << 24)
/* Find what is whole; what is not will not be found again. */
static void
scan(struct journal *j)
{
	uint32_t page, n, top = 0;
	struct record *r;

	for (page = 0; page < j->top; page += n) {
		r = record_at(j, page);
		n = 1;
		if (r->magic != j->magic)
			continue;
		if ((n = journal_record_pages(j, r, page)) == 0) {
			r->magic = 0;
			j->torn++;
			n = 1;
			continue;
		}
		journal_record_mend(j, r);
		journal_page_use(j, page, n, 1);
		j->used += (size_t)n * JOURNAL_PAGE;
		if (r->mark[0] & MARK_ASIDE)
			j->aside += (size_t)n * JOURNAL_PAGE;
		top = page + n;
	}
	journal_page_top(j, top);
}

struct found {
	uint64_t seq;
	struct record *r;
};

static int
by_seq(const void *va, const void *vb)
{
	const struct found *a = va, *b = vb;

	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return (uintptr_t)a->r < (uintptr_t)b->r ? -1 : 1;
}

/* The next record from that page on; NULL behind the last. */
static struct record *
next_record(const struct journal *j, uint32_t *page)
{
	struct record *r;

	if ((*page = journal_page_find(j, *page, j->npage, 1)) == j->npage)
		return NULL;
	r = record_at(j, *page);
	*page += pages_for(body_len(r));
	return r;
}

/* All records in order.  NULL without memory. */
static struct found *
collect(const struct journal *j, size_t *count)
{
	struct loose *l;
	struct found *f;
	struct record *r;
	uint32_t page = 0;
	size_t n = 0, i = 0;

	for (l = j->loose; l != NULL; l = l->next)
		n++;
	while (j->mem != NULL && next_record(j, &page) != NULL)
		n++;
	*count = n;
	if ((f = reallocarray(NULL, n + 1, sizeof(*f))) == NULL)
		return NULL;
	for (l = j->loose; l != NULL; l = l->next)
		f[i++].r = record_of(l);
	for (page = 0; i < n && (r = next_record(j, &page)) != NULL;)
		f[i++].r = r;
	for (i = 0; i < n; i++)
		f[i].seq = f[i].r->seq;
	qsort(f, n, sizeof(*f), by_seq);
	return f;
}

/* Whether an agent had acknowledged it when we were stopped. */
static int
is_done(struct journal *j, const struct record *r)
{
	uint64_t hash[2];

	if (r->cidlen == 0 || (r->mark[0] & (MARK_ASIDE | MARK_KEPT)) != 0)
		return 0;
	seen_hash(&j->seen, (struct span){r->data, r->cidlen}, hash);
	return seen_has(&j->seen, hash);
}

/* Of what was found: what is done goes, and what has another's number.  0, or
 * -1 without memory. */
static int
sift(struct journal *j)
{
	size_t n, i;
	uint64_t last = 0;
	struct found *f = collect(j, &n);

	if (f == NULL)
		return -1;
	for (i = 0; i < n; i++)
		if (f[i].seq == last || is_done(j, f[i].r)) {
			j->torn += f[i].seq == last;
			journal_page_wipe(j, f[i].r);
		} else
			last = f[i].seq;
	if (n > 0 && j->next_seq <= f[n - 1].seq)
		j->next_seq = f[n - 1].seq + 1;
	free(f);
	j->next_page = 0;
	return 0;
}

/* From a head that is good. */
static void
read_head(struct journal *j, size_t len)
{
	const struct journal_head *h = head_of(j);
	size_t events = journal_head_events(h);
	size_t npage = (len - events) / JOURNAL_PAGE;

	j->key = (struct hash_key){{h->key[0], h->key[1]}};
	/* No text of an event can hold this but by chance. */
	j->magic = hash_64(&j->key, SPAN_LIT("record")) | 1;
	j->page = j->mem + events;
	j->npage = npage > PAGES_MOST ? PAGES_MOST : (uint32_t)npage;
	j->capacity = (size_t)j->npage * JOURNAL_PAGE;
	j->top = j->npage;
	if (h->top == ~h->top_not && h->top < j->npage)
		j->top = h->top;
	if (h->seq == ~h->seq_not && h->seq > 0 && h->seq <= SEQ_MOST)
		j->next_seq = h->seq;
}

int
journal_read(struct journal *j, size_t len, const struct hash_key *key)
{
	struct journal_head *h = head_of(j);

	if (journal_head_check(h, len) != NULL) {
		/* Under a new key nothing that stands there counts. */
		journal_head_make(h, len, (const unsigned char *)key->k);
		memset(j->mem + JOURNAL_HEAD, 0, SEEN_BYTES(0));
	}
	read_head(j, len);
	j->bitmap = calloc(j->npage / 64 + 1, sizeof(*j->bitmap));
	if (j->bitmap == NULL)
		return -1;
	seen_init(&j->seen, j->mem + JOURNAL_HEAD, h->seen, &j->key);
	scan(j);
	if (sift(j) == -1)
		return -1;
	journal_page_seq(j);
	return 0;
}

int
journal_each(const struct journal *j,
    void (*fn)(void *arg, struct record *r, const struct record_info *info),
    void *arg)
{
	struct record_info info;
	size_t n, i;
	struct found *f = collect(j, &n);

	if (f == NULL)
		return -1;
	for (i = 0; i < n; i++) {
		journal_info(f[i].r, &info);
		fn(arg, f[i].r, &info);
	}
	free(f);
	return 0;
}
