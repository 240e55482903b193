/* SPDX-License-Identifier: ISC */
/* Looking things up in a scanned JSON text, and decoding its values. */
#include <stdint.h>
#include <string.h>

#include "hex.h"
#include "json.h"
#include "utf8.h"

static const struct span absent = {NULL, 0};

static const struct json_node *
node_at(const struct json_doc *doc, int node)
{
	if (node < 0 || (uint32_t)node >= doc->nnodes)
		return NULL;
	return &doc->node[node];
}

static int
hex4(const char *p, unsigned *out)
{
	unsigned i, v = 0;
	int c;

	for (i = 0; i < 4; i++) {
		if ((c = hex_value(p[i])) == -1)
			return -1;
		v = v << 4 | (unsigned)c;
	}
	*out = v;
	return 0;
}

/* Write a code point; returns its length. */
static unsigned
put_utf8(unsigned c, char out[4])
{
	unsigned i, n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (i = n - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	out[0] = (char)(lead[n] | c);
	return n;
}

/*
 * Decode the \u escape at p, with the low surrogate after it when it is a high
 * one.  Returns the bytes taken, or 0 when it is bad.
 */
static size_t
decode_unicode(const char *p, size_t left, unsigned *c)
{
	unsigned low;

	if (left < 6 || hex4(p + 2, c) == -1)
		return 0;
	if (*c < 0xd800 || *c > 0xdfff)
		return 6;
	if (*c < 0xdc00 && left >= 12 && p[6] == '\\' && p[7] == 'u' &&
	    hex4(p + 8, &low) == 0 && low >= 0xdc00 && low <= 0xdfff) {
		*c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
		return 12;
	}
	*c = 0xfffd;
	return 6;
}

/*
 * Decode the escape at p[0..left), left at least 1, to out.  Returns the bytes
 * taken, or 0 when it is bad.
 */
static size_t
decode_escape(const char *p, size_t left, char out[4], unsigned *outlen)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	unsigned c = 0;
	size_t n;

	if (left < 2)
		return 0;
	if (p[1] == 'u') {
		n = decode_unicode(p, left, &c);
		*outlen = n == 0 ? 0 : put_utf8(c, out);
		return n;
	}
	if ((at = memchr(from, p[1], sizeof(from) - 1)) == NULL)
		return 0;
	out[0] = to[at - from];
	*outlen = 1;
	return 2;
}

ptrdiff_t
json_unescape(struct span raw, char *out, size_t cap)
{
	const char *slash;
	char piece[4];
	size_t i = 0, n = 0, run, taken;
	unsigned len;

	while (i < raw.len) {
		slash = memchr(raw.p + i, '\\', raw.len - i);
		run = slash == NULL ? raw.len - i : (size_t)(slash - raw.p) - i;
		if (run > cap - n)
			return -1;
		if (run > 0)
			memcpy(out + n, raw.p + i, run);
		n += run;
		if ((i += run) == raw.len)
			break;
		taken = decode_escape(raw.p + i, raw.len - i, piece, &len);
		if (taken == 0 || len > cap - n)
			return -1;
		memcpy(out + n, piece, len);
		n += len;
		i += taken;
	}
	return (ptrdiff_t)n;
}

int
json_lone_surrogate(struct span raw)
{
	unsigned c, whole;
	size_t i = 0, taken;

	while (raw.p != NULL && i < raw.len) {
		taken = 1;
		if (raw.p[i] == '\\')
			taken = 2;
		if (taken == 2 && raw.len - i >= 6 && raw.p[i + 1] == 'u' &&
		    hex4(raw.p + i + 2, &c) == 0) {
			taken = decode_unicode(raw.p + i, raw.len - i, &whole);
			if (taken == 6 && c >= 0xd800 && c <= 0xdfff)
				return 1;
		}
		i += taken;
	}
	return 0;
}

/* Whether an escaped key spells the name. */
static int
escaped_key_is(const char *p, size_t len, const char *name)
{
	size_t i = 0, taken, left = strlen(name);
	char piece[4];
	unsigned n;

	while (i < len) {
		if (p[i] == '\\') {
			taken = decode_escape(p + i, len - i, piece, &n);
			if (taken == 0)
				return 0;
		} else {
			piece[0] = p[i];
			taken = n = 1;
		}
		if (n > left || memcmp(name, piece, n) != 0)
			return 0;
		name += n;
		left -= n;
		i += taken;
	}
	return left == 0;
}

static inline int
key_is(const struct json_doc *doc, const struct json_node *n, const char *name)
{
	const char *key = doc->text + n->key;

	if ((n->esc & JSON_ESC_KEY) != 0)
		return escaped_key_is(key, n->keylen, name);
	return strlen(name) == n->keylen && memcmp(key, name, n->keylen) == 0;
}

int
json_first(const struct json_doc *doc, int parent)
{
	const struct json_node *n = node_at(doc, parent + 1);

	if (n == NULL || parent < 0 || n->parent != parent)
		return -1;
	return parent + 1;
}

int
json_next(const struct json_doc *doc, int node)
{
	const struct json_node *n = node_at(doc, node);

	return n == NULL || n->next == 0 ? -1 : n->next;
}

static int
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Whether every member of the object has its node. */
static int
is_complete(const struct json_doc *doc, int parent)
{
	const struct json_node *n = &doc->node[parent];
	const char *p;

	if (doc->full && n->val + n->vallen > doc->fulloff)
		return 0;
	if (doc->picked && parent == JSON_ROOT)
		return 1;
	if (json_first(doc, parent) != -1)
		return 1;
	/* No member: because there is none, or below keep_depth. */
	for (p = doc->text + n->val + 1; is_space(*p); p++)
		continue;
	return *p == '}';
}

int
json_enter(const struct json_doc **doc, int *node, struct json_doc *part)
{
	const struct json_node *n = node_at(*doc, *node);
	struct span raw = json_raw(*doc, *node);

	if (n == NULL || n->type != JSON_OBJECT || is_complete(*doc, *node))
		return 0;
	if (json_parse(part, raw.p, raw.len, 1) == -1 || part->full)
		return -1;
	*doc = part;
	*node = JSON_ROOT;
	return 0;
}

static const char *
blame(int *which, size_t i, const char *why)
{
	if (which != NULL)
		*which = (int)i;
	return why;
}

/* The want that a key with escapes spells; nwant: none. */
static size_t
find_escaped(
    const char *key, size_t len, const struct json_want *want, size_t nwant)
{
	size_t w;

	for (w = 0; w < nwant; w++)
		if (escaped_key_is(key, len, want[w].name))
			break;
	return w;
}

/* Whether two short texts of one length are the same. */
static inline int
same_text(const char *a, const char *b, size_t len)
{
	uint64_t x, y;
	uint32_t v, w;

	if (len >= sizeof(v) && len < sizeof(x)) {
		memcpy(&v, a, sizeof(v));
		memcpy(&w, b, sizeof(w));
		if (v != w)
			return 0;
		memcpy(&v, a + len - sizeof(v), sizeof(v));
		memcpy(&w, b + len - sizeof(w), sizeof(w));
		return v == w;
	}
	if (len < sizeof(x) || len > 2 * sizeof(x))
		return memcmp(a, b, len) == 0;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	if (x != y)
		return 0;
	/* The last eight, which may overlap the first. */
	memcpy(&x, a + len - sizeof(x), sizeof(x));
	memcpy(&y, b + len - sizeof(y), sizeof(y));
	return x == y;
}

/* The want among want[from..to) that a member's key is, or `to`. */
static inline size_t
find_want(const struct json_doc *doc, const struct json_node *n,
    const struct json_want *want, size_t from, size_t to)
{
	const char *key = doc->text + n->key;
	uint32_t tag = n->tag;
	size_t w;

	for (w = from; w < to; w++)
		if (want[w].tag == tag && want[w].len == n->keylen &&
		    same_text(key, want[w].name, n->keylen))
			break;
	return w;
}

const char *
json_members(const struct json_doc *doc, int parent,
    const struct json_want *want, size_t nwant, int *at, int *which)
{
	const struct json_node *n = node_at(doc, parent);
	size_t w, from = 0;
	int i;

	for (w = 0; w < nwant; w++)
		at[w] = -1;
	if (which != NULL)
		*which = -1;
	if (n == NULL || n->type != JSON_OBJECT)
		return "not an object";
	if (!is_complete(doc, parent))
		return "too many members to be sure";
	for (i = json_first(doc, parent); i > 0; i = n->next) {
		n = &doc->node[i];
		if ((n->esc & JSON_ESC_KEY) != 0)
			w = find_escaped(
			    doc->text + n->key, n->keylen, want, nwant);
		else if ((w = find_want(doc, n, want, from, nwant)) == nwant &&
		    (w = find_want(doc, n, want, 0, from)) == from)
			continue;
		if (w == nwant)
			continue;
		if (at[w] != -1)
			return blame(which, w, "a member is there twice");
		if ((want[w].types & JSON_T(n->type)) == 0)
			return blame(which, w, "a member has the wrong type");
		at[w] = i;
		/* Members mostly come in the order in which they are wanted. */
		from = w + 1;
	}
	for (w = 0; w < nwant && want[w].required; w++)
		if (at[w] == -1)
			return blame(which, w, "a required member is missing");
	return NULL;
}

int
json_get(const struct json_doc *doc, int parent, const char *name)
{
	const struct json_node *n = node_at(doc, parent);
	int i, found = -1;

	if (n == NULL || n->type != JSON_OBJECT || !is_complete(doc, parent))
		return -1;
	for (i = json_first(doc, parent); i != -1; i = json_next(doc, i))
		if (key_is(doc, &doc->node[i], name)) {
			if (found != -1)
				return -1;
			found = i;
		}
	return found;
}

/* Bytes of a decoded key that are compared; of two longer ones that hold
 * escapes it is not told whether they differ.  No name has nearly as many. */
#define KEY_MAX 256

/* Whether two keys are, or may be, the same. */
static int
same_key(const struct json_doc *doc, const struct json_node *a,
    const struct json_node *b)
{
	const char *pa = doc->text + a->key, *pb = doc->text + b->key;
	char da[KEY_MAX], db[KEY_MAX];
	ptrdiff_t na, nb;

	if (((a->esc | b->esc) & JSON_ESC_KEY) == 0)
		return a->keylen == b->keylen && memcmp(pa, pb, a->keylen) == 0;
	na = json_unescape((struct span){pa, a->keylen}, da, sizeof(da));
	nb = json_unescape((struct span){pb, b->keylen}, db, sizeof(db));
	return na == nb && (na == -1 || memcmp(da, db, (size_t)na) == 0);
}

int
json_twice(const struct json_doc *doc, int parent)
{
	const struct json_node *n = node_at(doc, parent);
	int i, k;

	if (n == NULL || n->type != JSON_OBJECT)
		return 0;
	if (!is_complete(doc, parent))
		return 1;
	for (i = json_first(doc, parent); i != -1; i = json_next(doc, i))
		for (k = json_next(doc, i); k != -1; k = json_next(doc, k))
			if (same_key(doc, &doc->node[i], &doc->node[k]))
				return 1;
	return 0;
}

struct span
json_raw(const struct json_doc *doc, int node)
{
	const struct json_node *n = node_at(doc, node);

	if (n == NULL)
		return absent;
	return (struct span){doc->text + n->val, n->vallen};
}

struct span
json_str_raw(const struct json_doc *doc, int node)
{
	const struct json_node *n = node_at(doc, node);

	if (n == NULL || n->type != JSON_STRING)
		return absent;
	return (struct span){doc->text + n->val + 1, n->vallen - 2};
}

struct span
json_str(const struct json_doc *doc, int node, char *scratch, size_t cap)
{
	struct span raw = json_str_raw(doc, node);
	ptrdiff_t n;

	if (raw.p == NULL || (doc->node[node].esc & JSON_ESC_VAL) == 0)
		return raw;
	if ((n = json_unescape(raw, scratch, cap)) < 0)
		return absent;
	return (struct span){scratch, (size_t)n};
}

int
json_int(const struct json_doc *doc, int node, int64_t min, int64_t max,
    int64_t *out)
{
	const struct json_node *n = node_at(doc, node);
	int64_t v = 0;
	const char *p, *end;
	int neg, d;

	if (n == NULL || n->type != JSON_NUMBER)
		return -1;
	p = doc->text + n->val;
	end = p + n->vallen;
	if ((neg = *p == '-'))
		p++;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return -1;
		/* Towards the sign's side, so that INT64_MIN fits. */
		d = neg ? '0' - *p : *p - '0';
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return -1;
	}
	if (v < min || v > max)
		return -1;
	*out = v;
	return 0;
}

/* After the string, container or scalar at p of a valid text; NULL when it
 * does not end before `end`. */
static const char *
skip_value(const char *p, const char *end)
{
	size_t depth = 0;
	int in_string = 0;

	for (; p < end; p++) {
		if (in_string) {
			if (*p == '\\')
				p++;
			else if (*p == '"')
				in_string = 0;
		} else if (*p == '"')
			in_string = 1;
		else if (*p == '[' || *p == '{')
			depth++;
		else if (*p == ']' || *p == '}' || *p == ',') {
			if (depth == 0)
				return p;
			depth -= *p != ',';
		}
	}
	return NULL;
}

/* The next element of the container, which is of the kind of those brackets.
 * A member's element begins with its key. */
static int
each(struct span text, const char brackets[2], size_t *pos, struct span *elem)
{
	const char *p, *end, *q;

	if (text.len < 2 || text.p[0] != brackets[0] || *pos >= text.len)
		return -1;
	p = text.p + *pos;
	end = text.p + text.len;
	if (*pos > 0 && *p == brackets[1])
		return 0;
	/* At the opening bracket or the comma that the last step stopped at. */
	for (p++; p < end && is_space(*p); p++)
		continue;
	if (p < end && *pos == 0 && *p == brackets[1])
		return 0;
	if (p == end || (q = skip_value(p, end)) == NULL || q == p)
		return -1;
	*pos = (size_t)(q - text.p);
	while (is_space(q[-1]))
		q--;
	*elem = (struct span){p, (size_t)(q - p)};
	return 1;
}

int
json_each(struct span array, size_t *pos, struct span *elem)
{
	return each(array, "[]", pos, elem);
}

int
json_each_member(
    struct span object, size_t *pos, struct span *key, struct span *value)
{
	struct span member;
	const char *p, *end;
	int got = each(object, "{}", pos, &member);

	if (got != 1)
		return got;
	p = member.p + 1;
	end = member.p + member.len;
	while (p < end && *p != '"')
		p += *p == '\\' ? 2 : 1;
	if (member.p[0] != '"' || p >= end)
		return -1;
	*key = (struct span){member.p + 1, (size_t)(p - member.p) - 1};
	for (p++; p < end && (is_space(*p) || *p == ':'); p++)
		continue;
	*value = (struct span){p, (size_t)(end - p)};
	return p == end ? -1 : 1;
}

/* More wanted strings than any command has. */
#define TEXTS_MAX 32

const char *
json_texts(struct span text, const struct json_want *want, size_t nwant,
    struct span *out, char *room)
{
	const char *wrong = "no JSON object";
	struct json_doc doc;
	int at[TEXTS_MAX];
	size_t used = 0;

	if (nwant > TEXTS_MAX || json_parse(&doc, text.p, text.len, 1) == -1)
		return wrong;
	wrong = json_members(&doc, JSON_ROOT, want, nwant, at, NULL);
	for (size_t i = 0; i < nwant && wrong == NULL; i++) {
		out[i] = json_str(&doc, at[i], room + used, text.len - used);
		used += out[i].len;
		if (json_lone_surrogate(json_str_raw(&doc, at[i])))
			wrong = "half a character (a lone surrogate) in a text";
	}
	return wrong;
}

int
json_is_word(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return 0;
	return s.len > 0;
}
