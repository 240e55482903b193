/* SPDX-License-Identifier: ISC */
/*
 * The journal (docs/journal.md).  A process may be killed between any two of
 * the stores here, so their order matters: a record counts from the store of
 * its magic, which comes last, until the store that takes it away, which comes
 * first.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "journal_head.h"

/* More than a configuration can ask for; so that page numbers can be added. */
#define PAGES_MOST (1U << 24)
/* Numbers of events beyond this are nobody's: so that one that is read leaves
 * room for those to come. */
#define SEQ_MOST (UINT64_MAX / 4)
/* So many numbers are reserved in the head at once. */
#define SEQ_STEP 65536

#define RECORD_PLAIN   1
#define RECORD_FORWARD 2

/* In the first word of the marks, above them their check. */
#define MARK_TRIED    1U
#define MARK_SUSPECT  2U
#define MARK_ASIDE    4U
#define MARK_KEPT     8U /* was aside once: its id tells nothing */
#define MARK_ATTEMPTS 8	 /* their first bit */

/* The second one: when, in milliseconds, and 16 bits of its check. */
#define AT_BITS 48
#define AT_MASK ((UINT64_C(1) << AT_BITS) - 1)

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
	lanes w[2];

	memcpy(w, p, sizeof(w));
	s->a[0] += w[0];
	s->a[1] += w[1];
	s->b[0] += s->a[0];
	s->b[1] += s->a[1];
}

/* What tells a body from what it was torn to. */
static uint64_t
body_sum(const char *p, size_t len)
{
	struct sums s = {{{1, 2}, {3, 4}}, {{0, 0}, {0, 0}}};
	char last[32] = {0};
	uint64_t sum = len, x;
	int i;

	for (; len >= sizeof(last); p += sizeof(last), len -= sizeof(last))
		sums_add(&s, p);
	memcpy(last, p, len);
	sums_add(&s, last);
	for (i = 0; i < 4; i++) {
		x = s.a[i / 2][i % 2] * 0x9e3779b97f4a7c15ULL;
		x = (x ^ x >> 32 ^ s.b[i / 2][i % 2]) * 0xc2b2ae3d27d4eb4fULL;
		sum = (sum << 13 | sum >> 51) + (x ^ x >> 32);
	}
	return sum;
}

static uint64_t
check_of(const struct journal *j, const struct record *r)
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

/* Each word is whole by itself, whenever we are killed. */
static void
write_marks(
    const struct journal *j, struct record *r, uint32_t flags, int64_t at)
{
	__atomic_store_n(&r->mark[1], at_word(j, r, at), __ATOMIC_RELEASE);
	__atomic_store_n(
	    &r->mark[0], flags_word(j, r, flags), __ATOMIC_RELEASE);
}

/* A mark that does not bear its check says nothing: then an agent may have
 * had the event, and it may have been aside. */
static void
mend_marks(const struct journal *j, struct record *r)
{
	uint32_t flags = (uint32_t)r->mark[0];
	int64_t at = (int64_t)(r->mark[1] & AT_MASK);

	if (r->mark[0] != flags_word(j, r, flags))
		flags = MARK_TRIED | MARK_KEPT;
	if (r->mark[1] != at_word(j, r, at))
		at = 0;
	write_marks(j, r, flags, at);
}

/* Pages in use, 64 to a word. */
static void
set_used(struct journal *j, uint32_t page, uint32_t n, int used)
{
	for (; n > 0; n--, page++)
		if (used)
			j->bitmap[page / 64] |= UINT64_C(1) << (page % 64);
		else
			j->bitmap[page / 64] &= ~(UINT64_C(1) << (page % 64));
}

/* The first page from there on that is used, or is not; end without one. */
static uint32_t
find_page(const struct journal *j, uint32_t page, uint32_t end, int used)
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

	while ((from = find_page(j, from, end, 0)) < end && n <= end - from) {
		next = find_page(j, from, from + n, 1);
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
static uint32_t
find_room(const struct journal *j, uint32_t n)
{
	uint32_t at = find_run(j, j->next_page, j->npage, n), end;

	if (at < j->npage || j->next_page == 0)
		return at;
	end = n < j->npage - j->next_page ? j->next_page + n : j->npage;
	return find_run(j, 0, end, n);
}

/* Above all records that ever were: what lies there is not even read. */
static void
raise_top(struct journal *j, uint32_t top)
{
	struct journal_head *h = head_of(j);

	j->top = top;
	h->top = top;
	h->top_not = ~top;
	in_order();
}

/* The numbers in use are told in the head before they are used, so that none
 * comes again even when no record of it is left. */
static void
reserve_seq(struct journal *j)
{
	struct journal_head *h = head_of(j);

	h->seq = j->next_seq + SEQ_STEP;
	h->seq_not = ~h->seq;
	in_order();
}

/* Pages of a record that is whole; 0: it is none. */
static uint32_t
check_record(const struct journal *j, const struct record *r, uint32_t page)
{
	size_t body = body_len(r);
	uint32_t n = pages_for(body);

	if (r->page != page || n > j->npage - page || r->zero != 0 ||
	    r->linelen > JOURNAL_LINE || r->cidlen > LIMIT_BUFFER_ID ||
	    r->sessionlen > LIMIT_SESSION_KEY ||
	    r->platformlen > LIMIT_PLATFORM || r->seq == 0 ||
	    r->seq > SEQ_MOST || r->check != check_of(j, r) ||
	    r->body != body_sum(r->data, body))
		return 0;
	return n;
}

/* Its pages are free, and what was said is gone. */
static void
wipe(struct journal *j, struct record *r)
{
	size_t body = body_len(r), size = size_of(j, body);
	uint32_t page = r->page;

	j->used -= size;
	if (r->mark[0] & MARK_ASIDE)
		j->aside -= size;
	__atomic_store_n(&r->magic, 0, __ATOMIC_RELEASE);
	in_order();
	memset(&r->seq, 0, sizeof(*r) - sizeof(r->magic) + body);
	set_used(j, page, pages_for(body), 0);
	if (page < j->next_page)
		j->next_page = page;
}

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
		if ((n = check_record(j, r, page)) == 0) {
			r->magic = 0;
			j->torn++;
			n = 1;
			continue;
		}
		mend_marks(j, r);
		set_used(j, page, n, 1);
		j->used += (size_t)n * JOURNAL_PAGE;
		if (r->mark[0] & MARK_ASIDE)
			j->aside += (size_t)n * JOURNAL_PAGE;
		top = page + n;
	}
	raise_top(j, top);
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

	if ((*page = find_page(j, *page, j->npage, 1)) == j->npage)
		return NULL;
	r = record_at(j, *page);
	*page += pages_for(body_len(r));
	return r;
}

static inline struct record *
record_of(const struct loose *l)
{
	return (struct record *)(void *)((char *)(uintptr_t)l + sizeof(*l));
}

/* All records in order.  NULL without memory. */
static struct found *
collect(const struct journal *j, size_t *count)
{
	const struct loose *l;
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
			wipe(j, f[i].r);
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

static int
init_memory(struct journal *j, size_t len, const struct hash_key *key)
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
	reserve_seq(j);
	return 0;
}

int
journal_init(struct journal *j, void *mem, size_t len, uint64_t epoch,
    const struct hash_key *key)
{
	memset(j, 0, sizeof(*j));
	j->epoch = epoch;
	j->next_seq = 1;
	if (mem != NULL && len >= JOURNAL_LEAST) {
		j->mem = mem;
		if (init_memory(j, len, key) == 0)
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

int
journal_room(const struct journal *j, size_t len)
{
	size_t size = size_of(j, len);

	if (len > j->capacity || size > j->capacity - j->used)
		return 0;
	return j->mem == NULL || find_room(j, pages_for(len)) < j->npage;
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
	uint32_t page = find_room(j, n);
	struct record *r;

	if (page >= j->npage)
		return NULL;
	set_used(j, page, n, 1);
	j->next_page = page + n;
	if (j->next_page > j->top)
		raise_top(j, j->next_page);
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
		reserve_seq(j);
	r->body = body_sum(r->data, body);
	r->check = check_of(j, r);
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
	write_marks(j, r, flags_of(info), info->aside_at);
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

	memset(info, 0, sizeof(*info));
	info->epoch = r->epoch;
	info->seq = r->seq;
	info->arrived = r->arrived;
	info->cid = (struct span){p, r->cidlen};
	p += r->cidlen;
	info->session = (struct span){p, r->sessionlen};
	p += r->sessionlen;
	info->platform = (struct span){p, r->platformlen};
	info->line = (struct span){p + r->platformlen, r->linelen};
	info->plain = (r->flags & RECORD_PLAIN) != 0;
	info->forward = (r->flags & RECORD_FORWARD) != 0;
	info->tried = (marks & MARK_TRIED) != 0;
	info->suspect = (marks & MARK_SUSPECT) != 0;
	info->aside = (marks & MARK_ASIDE) != 0;
	info->attempts = (uint8_t)(marks >> MARK_ATTEMPTS);
	info->aside_at = (int64_t)(r->mark[1] & AT_MASK);
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
	size_t size = size_of(j, body_len(r));

	if (r->mark[0] & MARK_ASIDE)
		j->aside -= size;
	if (info->aside)
		j->aside += size;
	write_marks(j, r, flags_of(info) | ((uint32_t)r->mark[0] & MARK_KEPT),
	    info->aside_at);
	j->dirty = 1;
}

void
journal_done(struct journal *j, struct record *r, const uint64_t hash[2])
{
	size_t size;

	if (hash != NULL)
		seen_add(&j->seen, hash);
	j->dirty = 1;
	if (j->mem != NULL) {
		wipe(j, r);
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
