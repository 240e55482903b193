/* SPDX-License-Identifier: ISC */
/*
 * The journal (docs/journal.md).  A process may be killed between any two of
 * the stores here, so their order matters: a record counts from the store of
 * its magic, which comes last, until the store that takes it away, which comes
 * first.
 */
#include <stdlib.h>
#include <string.h>

#include "journal_priv.h"

int
journal_init(struct journal *j, void *mem, size_t len, uint64_t epoch,
    const struct hash_key *key)
{
	memset(j, 0, sizeof(*j));
	j->epoch = epoch;
	j->next_seq = 1;
	if (mem != NULL && len >= JOURNAL_LEAST) {
		j->mem = mem;
		if (journal_read(j, len, key) == 0)
			return 0;
		journal_free(j);
		return -1;
	}
	j->capacity = LIMIT_PENDING_MAX;
	seen_init(&j->seen, NULL, LIMIT_SEEN, key);
	return 0;
}

static void
loose_free(struct loose *l)
{
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	free(l);
}

void
journal_free(struct journal *j)
{
	while (j->loose != NULL)
		loose_free(j->loose);
	free(j->bitmap);
	seen_free(&j->seen);
	memset(j, 0, sizeof(*j));
}

int
journal_room(const struct journal *j, size_t len)
{
	size_t size = size_of(j, len);

	if (len > j->capacity || size > j->capacity - j->used)
		return 0;
	/* Above top all is free. */
	return j->mem == NULL || pages_for(len) <= j->npage - j->top ||
	    journal_page_room(j, pages_for(len)) < j->npage;
}

static struct record *
take_loose(struct journal *j, size_t body)
{
	struct loose *l;
	size_t size = size_of(j, body);

	if (size > j->capacity - j->used ||
	    (l = malloc(sizeof(*l) + size)) == NULL)
		return NULL;
	if ((l->next = j->loose) != NULL)
		l->next->prev = &l->next;
	l->prev = &j->loose;
	j->loose = l;
	return record_of(l);
}

/* Pages for a record that does not count yet. */
static struct record *
take_pages(struct journal *j, uint32_t n)
{
	uint32_t page = journal_page_room(j, n);
	struct record *r;

	if (page >= j->npage)
		return NULL;
	journal_page_use(j, page, n, 1);
	j->next_page = page + n;
	if (j->next_page > j->top)
		journal_page_top(j, j->next_page);
	r = record_at(j, page);
	/* Above top nobody has looked. */
	__atomic_store_n(&r->magic, 0, __ATOMIC_RELEASE);
	in_order();
	r->page = page;
	return r;
}

/* From cid to line, one behind the other. */
static void
write_body(struct record *r, const struct record_info *info,
    const struct span *piece, int n)
{
	const struct span part[] = {info->cid, info->session, info->platform};
	char *p = r->data;
	int i;

	for (i = 0; i < 3; p += part[i++].len)
		if (part[i].len > 0)
			memcpy(p, part[i].p, part[i].len);
	for (i = 0; i < n; p += piece[i++].len)
		if (piece[i].len > 0)
			memcpy(p, piece[i].p, piece[i].len);
}

static void
write_header(const struct journal *j, struct record *r,
    const struct record_info *info, size_t linelen)
{
	r->seq = j->next_seq;
	r->epoch = j->epoch;
	r->arrived = info->arrived;
	r->linelen = (uint32_t)linelen;
	r->cidlen = (uint16_t)info->cid.len;
	r->sessionlen = (uint16_t)info->session.len;
	r->platformlen = (uint16_t)info->platform.len;
	r->flags = (uint8_t)((info->plain ? RECORD_PLAIN : 0) |
	    (info->forward ? RECORD_FORWARD : 0));
	r->zero = 0;
}

/* As the lowest bits of the first word of the marks. */
static uint32_t
flags_of(const struct record_info *info)
{
	return (info->tried ? MARK_TRIED : 0) |
	    (info->suspect ? MARK_SUSPECT : 0) |
	    (info->aside ? MARK_ASIDE | MARK_KEPT : 0) |
	    (uint32_t)info->attempts << MARK_ATTEMPTS;
}

/* From here on it counts. */
static void
seal(struct journal *j, struct record *r, size_t body)
{
	if (j->next_seq >= head_of(j)->seq)
		journal_page_seq(j);
	r->body = journal_record_sum(r->data, body);
	r->check = journal_record_check(j, r);
	__atomic_store_n(&r->magic, j->magic, __ATOMIC_RELEASE);
}

struct record *
journal_put(struct journal *j, const struct record_info *info,
    const struct span *piece, int n)
{
	size_t line = 0, body;
	struct record *r;
	int i;

	for (i = 0; i < n; i++)
		line += piece[i].len;
	body = info->cid.len + info->session.len + info->platform.len + line;
	if (line > JOURNAL_LINE || info->cid.len > LIMIT_BUFFER_ID ||
	    info->session.len > LIMIT_SESSION_KEY ||
	    info->platform.len > LIMIT_PLATFORM)
		return NULL;
	r = j->mem == NULL ? take_loose(j, body)
			   : take_pages(j, pages_for(body));
	if (r == NULL)
		return NULL;
	write_body(r, info, piece, n);
	write_header(j, r, info, line);
	journal_record_mark(j, r, flags_of(info), info->aside_at);
	if (j->mem != NULL)
		seal(j, r, body);
	j->next_seq++;
	j->used += size_of(j, body);
	if (info->aside)
		j->aside += size_of(j, body);
	j->dirty = 1;
	return r;
}

void
journal_info(const struct record *r, struct record_info *info)
{
	uint64_t marks = r->mark[0];
	const char *p = r->data;

	*info = (struct record_info){.epoch = r->epoch,
	    .seq = r->seq,
	    .arrived = r->arrived,
	    .cid = {p, r->cidlen},
	    .session = {p + r->cidlen, r->sessionlen},
	    .platform = {p + r->cidlen + r->sessionlen, r->platformlen},
	    .line = journal_line(r),
	    .plain = (r->flags & RECORD_PLAIN) != 0,
	    .forward = (r->flags & RECORD_FORWARD) != 0,
	    .tried = (marks & MARK_TRIED) != 0,
	    .suspect = (marks & MARK_SUSPECT) != 0,
	    .aside = (marks & MARK_ASIDE) != 0,
	    .attempts = (uint8_t)(marks >> MARK_ATTEMPTS),
	    .aside_at = (int64_t)(r->mark[1] & AT_MASK)};
}

struct span
journal_line(const struct record *r)
{
	return (struct span){
	    r->data + r->cidlen + r->sessionlen + r->platformlen, r->linelen};
}

void
journal_mark(
    struct journal *j, struct record *r, const struct record_info *info)
{
	uint32_t was = (uint32_t)r->mark[0];
	uint32_t flags = flags_of(info) | (was & MARK_KEPT);
	size_t size;

	j->dirty = 1;
	if (((was | flags) & MARK_ASIDE) == 0 &&
	    info->aside_at == (int64_t)(r->mark[1] & AT_MASK)) {
		journal_record_flags(j, r, flags);
		return;
	}
	size = size_of(j, body_len(r));
	if (was & MARK_ASIDE)
		j->aside -= size;
	if (info->aside)
		j->aside += size;
	journal_record_mark(j, r, flags, info->aside_at);
}

void
journal_done(struct journal *j, struct record *r, const uint64_t hash[2])
{
	size_t size;

	if (hash != NULL)
		seen_add(&j->seen, hash);
	j->dirty = 1;
	if (j->mem != NULL) {
		journal_page_wipe(j, r);
		return;
	}
	size = size_of(j, body_len(r));
	j->used -= size;
	if (r->mark[0] & MARK_ASIDE)
		j->aside -= size;
	loose_free((struct loose *)(void *)((char *)r - sizeof(struct loose)));
}

int
journal_is_off(const struct journal *j)
{
	const struct journal_head *h = head_of(j);

	return j->mem == NULL ? j->off : h->off == 1 && h->off_not == ~h->off;
}

void
journal_set_off(struct journal *j, int off)
{
	struct journal_head *h = head_of(j);

	j->dirty = 1;
	j->off = off != 0;
	if (j->mem == NULL)
		return;
	h->off = j->off;
	h->off_not = ~h->off;
}

int
journal_synced(struct journal *j)
{
	int dirty = j->dirty;

	j->dirty = 0;
	return dirty;
}
