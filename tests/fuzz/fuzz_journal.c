/* SPDX-License-Identifier: ISC */
/*
 * A journal's memory in which anything may stand: what is read lies within it
 * and its bounds, each number once, and then it can be used as ever.
 *
 * Input: a byte of choices (1: the head is what the input says; 2: the ids
 * begin with their magic; 4: what the engine keeps in the head is the
 * input's; 8: it
 * says that few pages were used), then steps of a page number, an offset and a
 * length, whose bytes are laid there.  A page at which a step's first byte is
 * odd is sealed, so that it counts as a record, whatever it says.
 */
#include "fuzz.h"
#include "journal.h"
#include "journal_head.h"
#include "../unit/journal_raw.h"

#define PAGES_MOST 96 /* of those that a step can name */

enum { HEAD_FOREIGN = 1, IDS_OURS = 2, WORDS_FOREIGN = 4, TOP_FOREIGN = 8 };

struct view {
	const struct journal *j;
	struct span mem;
	uint64_t last;
	size_t n, bytes;
	struct record *first;
	struct record_info info;
};

/* Each record found is within bounds, above the one before. */
static void
see(void *arg, struct record *r, const struct record_info *info)
{
	struct view *v = arg;
	const struct span part[] = {
	    info->cid, info->session, info->platform, info->line};
	size_t i;
	unsigned sum = 0;

	CHECK(info->seq > v->last && info->seq < v->j->next_seq);
	CHECK(info->line.len <= JOURNAL_LINE &&
	    info->cid.len <= LIMIT_BUFFER_ID &&
	    info->session.len <= LIMIT_SESSION_KEY &&
	    info->platform.len <= LIMIT_PLATFORM);
	for (i = 0; i < 4; i++) {
		CHECK(within(part[i], v->mem));
		v->bytes += part[i].len;
		if (part[i].len > 0)
			sum += (unsigned char)part[i].p[0] +
			    (unsigned char)part[i].p[part[i].len - 1];
	}
	CHECK(sum <= 4 * 2 * 255);
	CHECK(span_eq(journal_line(r), info->line));
	v->last = info->seq;
	if (v->n++ == 0) {
		v->first = r;
		v->info = *info;
	}
}

static struct view
look(const struct journal *j, unsigned char *mem, size_t len)
{
	struct view v = {.j = j, .mem = {(const char *)mem, len}};

	CHECK(journal_each(j, see, &v) == 0);
	CHECK(v.bytes <= j->used && j->used <= j->capacity);
	CHECK(j->aside <= j->used);
	return v;
}

/* A step: bytes of the input laid into memory. */
static void
lay(struct input *in, unsigned char *mem, size_t len)
{
	size_t at = (size_t)input_byte(in) * JOURNAL_PAGE, n;
	unsigned kind = input_byte(in);

	at += kind >> 1;
	n = input_byte(in);
	if (n > in->len)
		n = in->len;
	if (at + n > len)
		return;
	if (n > 0)
		memcpy(mem + at, in->p, n);
	in->p += n;
	in->len -= n;
}

/* Where records are: the same, and sealed when the input asks for it. */
static void
lay_record(struct input *in, unsigned char *mem, size_t len)
{
	unsigned char *page;
	unsigned number = input_byte(in) % PAGES_MOST;
	unsigned kind = input_byte(in);
	size_t n = input_byte(in);

	page = raw_pages(mem) + (size_t)number * JOURNAL_PAGE;
	if (n > in->len)
		n = in->len;
	if (n > 0)
		memcpy(page + RAW_SEQ, in->p, n);
	in->p += n;
	in->len -= n;
	if (kind & 2) {
		raw_put(page + RAW_PAGE, 4, number);
		page[RAW_ZERO] = 0;
		page[RAW_LINELEN + 3] = 0;
		page[RAW_SEQ + 7] = 0;
		page[RAW_CIDLEN + 1] = page[RAW_PLATFORM + 1] = 0;
	}
	if (kind & 1)
		raw_seal(mem, page, (size_t)(mem + len - page));
}

static void
fill(struct input *in, unsigned char *mem, size_t len)
{
	struct journal_head *h = (struct journal_head *)(void *)mem;
	unsigned choice = input_byte(in);

	journal_head_make(h, len, (const unsigned char *)"0123456789abcdef");
	if (choice & IDS_OURS)
		memcpy(mem + JOURNAL_HEAD, "RLAYEEN1", 8);
	/* raw_pages() goes by the head, so what changes that comes last */
	while (in->len > 2)
		if (input_byte(in) & 1)
			lay(in, mem + JOURNAL_HEAD, len - JOURNAL_HEAD);
		else
			lay_record(in, mem, len);
	if (choice & TOP_FOREIGN) {
		h->top = choice >> 4;
		h->top_not = ~h->top;
	}
	if (choice & WORDS_FOREIGN)
		memset(&h->off, (int)choice,
		    sizeof(*h) - offsetof(struct journal_head, off));
	if (choice & HEAD_FOREIGN)
		mem[choice >> 3] ^= (unsigned char)(choice | 1);
}

/* What any journal can do. */
static void
use(struct journal *j, unsigned char *mem, size_t len)
{
	struct record_info info = {.arrived = 5,
	    .cid = SPAN_LIT("some id of the connector"),
	    .session = SPAN_LIT("a session")};
	struct span line = SPAN_LIT("{\"type\":\"inbound\"}");
	struct view v = look(j, mem, len), w;
	uint64_t hash[2];

	if (v.n > 0) {
		v.info.attempts++;
		v.info.aside ^= 1;
		journal_mark(j, v.first, &v.info);
		w = look(j, mem, len);
		CHECK(w.n == v.n && w.info.aside == v.info.aside);
		journal_done(j, v.first, NULL);
		CHECK(journal_room(j, v.info.line.len));
	}
	if (!journal_room(j, 100))
		return;
	v = look(j, mem, len);
	w.first = journal_put(j, &info, &line, 1);
	CHECK(w.first != NULL && span_eq(journal_line(w.first), line));
	CHECK(look(j, mem, len).n == v.n + 1);
	seen_hash(&j->seen, info.cid, hash);
	journal_done(j, w.first, hash);
	CHECK(look(j, mem, len).n == v.n && seen_has(&j->seen, hash));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct hash_key key = {{3, 4}};
	struct input in = {data, size};
	size_t len = JOURNAL_LEAST;
	unsigned char *mem = calloc(1, len);
	struct journal j;
	size_t before;

	CHECK(mem != NULL);
	fill(&in, mem, len);
	CHECK(journal_init(&j, mem, len, 9, &key) == 0);
	use(&j, mem, len);
	/* and all of it is found again */
	before = look(&j, mem, len).n;
	journal_free(&j);
	CHECK(journal_init(&j, mem, len, 10, &key) == 0);
	CHECK(j.torn == 0 && look(&j, mem, len).n <= before);
	use(&j, mem, len);
	journal_free(&j);
	free(mem);
	return 0;
}
