/* SPDX-License-Identifier: ISC */
/*
 * The JSON scanner: with vectors and without it gives the same, and accepts
 * what a plain reader accepts; what it kept lies within the text and is what
 * stands there.  Input: the text; its length says how many levels are kept.
 */
#include <errno.h>

#include "fuzz.h"
#include "json.h"
#include "json_simple.h"
#include "scalar.h"

/* Members compared with each other, which costs their square. */
#define MEMBERS 24

static struct json_doc *
doc_new(void)
{
	struct json_doc *doc = malloc(sizeof(*doc));

	CHECK(doc != NULL);
	return doc;
}

static struct span
key_of(const struct json_doc *doc, int node)
{
	return (struct span){
	    doc->text + doc->node[node].key, doc->node[node].keylen};
}

static void
check_same(const struct json_doc *a, const struct json_doc *b)
{
	const struct json_node *m, *n;
	uint32_t i;

	CHECK(a->nnodes == b->nnodes && a->full == b->full);
	CHECK(a->fulloff == b->fulloff && a->erroff == b->erroff);
	CHECK((a->err == NULL) == (b->err == NULL));
	if (a->err != NULL)
		CHECK(strcmp(a->err, b->err) == 0);
	for (i = 0; i < a->nnodes; i++) {
		m = &a->node[i];
		n = &b->node[i];
		CHECK(m->key == n->key && m->keylen == n->keylen);
		CHECK(m->val == n->val && m->vallen == n->vallen);
		CHECK(m->parent == n->parent && m->type == n->type &&
		    m->esc == n->esc);
	}
}

/* A string's body decoded, alone in memory: NULL-terminated, to be freed. */
static char *
decode(struct span raw, size_t *len)
{
	char *copy = exact(raw), *out = malloc(raw.len + 1), *tight;
	ptrdiff_t n;

	CHECK(out != NULL);
	n = json_unescape((struct span){copy, raw.len}, out, raw.len);
	CHECK(n >= 0 && (size_t)n <= raw.len);
	CHECK(utf8_valid_prefix(out, (size_t)n) == (size_t)n);
	out[n] = '\0';
	/* Just enough room is enough, less is not. */
	tight = malloc((size_t)n);
	CHECK(tight != NULL);
	CHECK(
	    json_unescape((struct span){copy, raw.len}, tight, (size_t)n) == n);
	if (n > 0)
		CHECK(json_unescape((struct span){copy, raw.len}, tight,
			  (size_t)n - 1) == -1);
	free(tight);
	free(copy);
	*len = (size_t)n;
	return out;
}

/* Written again and read again it is the same. */
static void
check_string(const struct json_doc *doc, int node)
{
	struct span raw = json_str_raw(doc, node), s;
	struct json_doc *again = doc_new();
	struct buf b;
	size_t n, m;
	char *text = decode(raw, &n), *back, *scratch = malloc(n);

	CHECK(scratch != NULL);
	s = json_str(doc, node, scratch, n);
	CHECK(s.p != NULL && span_eq(s, (struct span){text, n}));
	buf_init(&b, 0);
	json_put_str(&b, (struct span){text, n});
	CHECK(!b.failed);
	CHECK(json_parse(again, buf_span(&b).p, buf_len(&b), 0) == 0);
	back = decode(json_str_raw(again, JSON_ROOT), &m);
	CHECK(m == n && memcmp(back, text, n) == 0);
	buf_free(&b);
	free(back);
	free(scratch);
	free(text);
	free(again);
}

static void
check_number(const struct json_doc *doc, int node)
{
	struct span raw = json_raw(doc, node);
	int64_t v = 0;
	char text[32];
	long long want;

	if (json_int(doc, node, INT64_MIN, INT64_MAX, &v) == -1) {
		if (raw.len < sizeof(text) && raw.len < 18)
			CHECK(memchr(raw.p, '.', raw.len) != NULL ||
			    memchr(raw.p, 'e', raw.len) != NULL ||
			    memchr(raw.p, 'E', raw.len) != NULL);
		return;
	}
	CHECK(raw.len < sizeof(text));
	memcpy(text, raw.p, raw.len);
	text[raw.len] = '\0';
	errno = 0;
	want = strtoll(text, NULL, 10);
	CHECK(errno == 0 && want == v);
	if (v < INT64_MAX)
		CHECK(json_int(doc, node, v + 1, INT64_MAX, &v) == -1);
}

/* All elements, each a value; their number is that of the nodes kept. */
static void
check_array(const struct json_doc *doc, int node)
{
	struct span raw = json_raw(doc, node), elem;
	struct json_doc *part = doc_new();
	char *copy = exact(raw);
	size_t pos = 0, n = 0;
	int r, child = json_first(doc, node), kept = child != -1;

	while (
	    (r = json_each((struct span){copy, raw.len}, &pos, &elem)) == 1) {
		n++;
		CHECK(json_parse(part, elem.p, elem.len, 0) == 0);
		if (child != -1) {
			CHECK(span_eq(elem, json_raw(doc, child)));
			child = json_next(doc, child);
		} else
			CHECK(!kept || doc->full);
	}
	CHECK(r == 0 && child == -1);
	free(copy);
	free(part);
}

/* The members of an object, decoded. */
struct members {
	int n, at[MEMBERS];
	char *key[MEMBERS];
	size_t len[MEMBERS], longest;
};

/* How many have the key of member i. */
static int
same_keys(const struct members *m, int i)
{
	int k, n = 0;

	for (k = 0; k < m->n; k++)
		n += m->len[i] == m->len[k] &&
		    memcmp(m->key[i], m->key[k], m->len[i]) == 0;
	return n;
}

/* What is found under the key of member i. */
static void
check_lookup(
    const struct json_doc *doc, int node, const struct members *m, int i)
{
	uint32_t len = (uint32_t)strlen(m->key[i]);
	struct json_want want = {
	    m->key[i], len, JSON_TAG(m->key[i], len), JSON_ANY, 1};
	int found, which;
	const char *why = json_members(doc, node, &want, 1, &found, &which);

	CHECK(json_get(doc, node, m->key[i]) == (why == NULL ? found : -1));
	if (why == NULL)
		CHECK(found == m->at[i]);
	if (!doc->full && m->n < MEMBERS)
		CHECK((why == NULL) == (same_keys(m, i) == 1));
}

/* Each member is found by its decoded key, as a comparison with all would. */
static void
check_object(const struct json_doc *doc, int node)
{
	struct members m;
	int i, twice = 0;

	m.n = 0;
	m.longest = 0;
	for (i = json_first(doc, node); i != -1 && m.n < MEMBERS;
	     i = json_next(doc, i), m.n++) {
		m.at[m.n] = i;
		m.key[m.n] = decode(key_of(doc, i), &m.len[m.n]);
		if (m.len[m.n] > m.longest)
			m.longest = m.len[m.n];
	}
	for (i = 0; i < m.n; i++) {
		twice |= same_keys(&m, i) > 1;
		/* A name is a C string, not empty: one with a NUL is never
		 * wanted. */
		if (m.len[i] > 0 && strlen(m.key[i]) == m.len[i])
			check_lookup(doc, node, &m, i);
	}
	if (twice)
		CHECK(json_twice(doc, node));
	else if (m.n > 0 && m.n < MEMBERS && !doc->full && m.longest <= 250)
		CHECK(!json_twice(doc, node));
	for (i = 0; i < m.n; i++)
		free(m.key[i]);
}

static void
check_node(const struct json_doc *doc, int i, struct span text)
{
	const struct json_node *n = &doc->node[i];
	struct json_doc *part = doc_new();
	struct span raw = json_raw(doc, i);

	CHECK(within(raw, text) && raw.len > 0);
	CHECK(i == JSON_ROOT || n->parent < i);
	if (i != JSON_ROOT) {
		CHECK(within(raw, json_raw(doc, n->parent)));
		CHECK(within(key_of(doc, i), text));
	}
	CHECK(json_parse(part, raw.p, raw.len, 0) == 0);
	CHECK(part->node[JSON_ROOT].type == n->type &&
	    part->node[JSON_ROOT].vallen == n->vallen);
	free(part);
	if (n->type == JSON_STRING)
		check_string(doc, i);
	if (n->type == JSON_NUMBER)
		check_number(doc, i);
	if (n->type == JSON_ARRAY)
		check_array(doc, i);
	if (n->type == JSON_OBJECT)
		check_object(doc, i);
}

/* UTF-8 of any bytes: with and without vectors, whole and cut in two. */
static void
check_utf8(struct span text)
{
	struct utf8_state whole = {0}, cut = {0}, plain = {0};
	size_t good = utf8_valid_prefix(text.p, text.len), at = text.len / 3;
	int r;

	CHECK(scalar_utf8_valid_prefix(text.p, text.len) == good);
	r = utf8_feed(&whole, text.p, text.len);
	CHECK((r == 0 && whole.need == 0) == (good == text.len));
	CHECK(scalar_utf8_feed(&plain, text.p, text.len) == r);
	CHECK((utf8_feed(&cut, text.p, at) == -1 ||
		  utf8_feed(&cut, text.p + at, text.len - at) == -1) ==
	    (r == -1));
	if (r == 0)
		CHECK(cut.need == whole.need && plain.need == whole.need);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	unsigned keep = (unsigned)(size % 5);
	struct json_doc *doc = doc_new(), *plain = doc_new();
	char *copy = exact(text);
	uint32_t i;
	int r;

	text.p = copy;
	r = json_parse(doc, text.p, text.len, keep);
	CHECK(scalar_json_parse(plain, text.p, text.len, keep) == r);
	check_same(doc, plain);
	CHECK(json_simple(text, JSON_MAX_DEPTH) == (r == 0));
	if (r == -1)
		CHECK(doc->nnodes == 0 && doc->erroff <= text.len);
	for (i = 0; i < doc->nnodes; i++)
		check_node(doc, (int)i, text);
	check_utf8(text);
	free(copy);
	free(plain);
	free(doc);
	return 0;
}
