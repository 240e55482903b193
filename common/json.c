/* SPDX-License-Identifier: ISC */
/*
 * The JSON scanner: one pass with an explicit stack over a text that must be
 * valid to the last byte.  Every frame of the link passes through here, so
 * strings are scanned by vectors, and what a short string needs is inline.
 */
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(CODEC_SCALAR)
#include <emmintrin.h>
#endif

#include "json.h"
#include "utf8.h"

#define IS_SPACE   0x01
#define IS_DIGIT   0x02
#define IS_HEX	   0x04
#define IS_ESCAPE  0x08 /* may follow a backslash */
#define IS_SPECIAL 0x10 /* must be looked at inside a string */

/* An open container. */
struct level {
	struct json_node *node;
	uint16_t *link;	 /* where the next child's number goes */
	uint16_t number; /* of the node */
	uint8_t object;
	uint8_t keeps; /* its children have nodes */
};

struct scan {
	const char *text;
	const char *end;
	struct json_doc *doc;
	unsigned keep;	       /* levels whose places are kept */
	unsigned depth;	       /* containers open */
	struct level top;      /* the innermost, when one is */
	struct json_node sink; /* what is not kept goes there */
	uint16_t unlinked;     /* as does the number of a first child */
	struct level outer[JSON_MAX_DEPTH];
};

/* clang-format off */
#define S IS_SPACE
#define C IS_SPECIAL
static const uint8_t class[256] = {
	C, C, C, C, C, C, C, C, C, C | S, C | S, C, C, C | S, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	[' '] = S, ['"'] = IS_SPECIAL | IS_ESCAPE, ['/'] = IS_ESCAPE,
	['0'] = 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, /* IS_DIGIT | IS_HEX */
	['A'] = 4, 4, 4, 4, 4, 4, ['\\'] = IS_SPECIAL | IS_ESCAPE,
	['a'] = 4, 4 | IS_ESCAPE, 4, 4, 4, 4 | IS_ESCAPE,
	['n'] = IS_ESCAPE, ['r'] = IS_ESCAPE, ['t'] = IS_ESCAPE,
	['u'] = IS_ESCAPE,
	[0x80] =
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
};
#undef S
#undef C
/* clang-format on */

static inline int
is(char c, unsigned what)
{
	return (class[(unsigned char)c] & what) != 0;
}

__attribute__((cold, noinline)) static const char *
fail(const struct scan *s, const char *p, const char *why)
{
	s->doc->err = why;
	s->doc->erroff = (size_t)(p - s->text);
	return NULL;
}

static const char *
skip_more(const char *p, const char *end)
{
	while (p < end && is(*p, IS_SPACE))
		p++;
	return p;
}

/* There is mostly none. */
static inline const char *
skip_space(const char *p, const char *end)
{
	return p < end && (unsigned char)*p <= ' ' ? skip_more(p, end) : p;
}

/*
 * The first byte of p[0..end) that a string cannot just contain: quote,
 * backslash, control character, non-ASCII.
 */
#if defined(__SSE2__) && !defined(CODEC_SCALAR)
/* Those among the sixteen bytes at p, as bits. */
static inline unsigned
special16(const char *p)
{
	__m128i v = _mm_loadu_si128((const void *)p), bad;

	/* Signed: bytes from 0x80 on are below the space as well. */
	bad = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
	    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
		_mm_cmplt_epi8(v, _mm_set1_epi8(' '))));
	return (unsigned)_mm_movemask_epi8(bad);
}

static const char *
find_far(const char *p, const char *end)
{
	unsigned mask;

	for (; end - p >= 16; p += 16)
		if ((mask = special16(p)) != 0)
			return p + __builtin_ctz(mask);
	while (p < end && !is(*p, IS_SPECIAL))
		p++;
	return p;
}

/* Most strings are short. */
static inline const char *
find_special(const char *p, const char *end)
{
	unsigned mask;

	if (end - p >= 16 && (mask = special16(p)) != 0)
		return p + __builtin_ctz(mask);
	return find_far(p, end);
}
#else
static const char *
find_special(const char *p, const char *end)
{
	while (end - p >= 4) {
		if (is(p[0], IS_SPECIAL))
			return p;
		if (is(p[1], IS_SPECIAL))
			return p + 1;
		if (is(p[2], IS_SPECIAL))
			return p + 2;
		if (is(p[3], IS_SPECIAL))
			return p + 3;
		p += 4;
	}
	while (p < end && !is(*p, IS_SPECIAL))
		p++;
	return p;
}
#endif

/* After the escape sequence whose backslash is at p. */
static const char *
scan_escape(const struct scan *s, const char *p)
{
	if (s->end - p < 2)
		return fail(s, p, "string not ended");
	if (!is(p[1], IS_ESCAPE))
		return fail(s, p, "unknown escape in a string");
	if (p[1] != 'u')
		return p + 2;
	if (s->end - p < 6 || !is(p[2], IS_HEX) || !is(p[3], IS_HEX) ||
	    !is(p[4], IS_HEX) || !is(p[5], IS_HEX))
		return fail(s, p, "\\u without four hexadecimal digits");
	return p + 6;
}

/* The closing quote, from the first special byte on. */
static const char *
scan_string_rest(const struct scan *s, const char *p, uint8_t *esc)
{
	unsigned n;

	for (; p < s->end; p = find_special(p, s->end)) {
		if (*p == '"')
			return p;
		if (*p == '\\') {
			*esc = 1;
			if ((p = scan_escape(s, p)) == NULL)
				return NULL;
			continue;
		}
		if ((unsigned char)*p < ' ')
			return fail(s, p, "control character in a string");
		do {
			n = utf8_seq(p, (size_t)(s->end - p));
			if (n == 0)
				return fail(s, p, "string is not UTF-8");
			p += n;
		} while (p < s->end && (unsigned char)*p >= 0x80);
	}
	return fail(s, p, "string not ended");
}

/* The closing quote of the string whose first byte inside is p. */
static inline const char *
scan_string(const struct scan *s, const char *p, uint8_t *esc)
{
	*esc = 0;
	p = find_special(p, s->end);
	if (p < s->end && *p == '"')
		return p;
	return scan_string_rest(s, p, esc);
}

static const char *
scan_digits(const struct scan *s, const char *p)
{
	if (p == s->end || !is(*p, IS_DIGIT))
		return fail(s, p, "digit missing in a number");
	do
		p++;
	while (p < s->end && is(*p, IS_DIGIT));
	return p;
}

static const char *
scan_number(const struct scan *s, const char *p)
{
	if (*p == '-')
		p++;
	if (p < s->end && *p == '0') {
		if (++p < s->end && is(*p, IS_DIGIT))
			return fail(s, p, "number begins with a zero");
	} else if ((p = scan_digits(s, p)) == NULL)
		return NULL;
	if (p < s->end && *p == '.') {
		if ((p = scan_digits(s, p + 1)) == NULL)
			return NULL;
	}
	if (p < s->end && (*p == 'e' || *p == 'E')) {
		if (++p < s->end && (*p == '+' || *p == '-'))
			p++;
		p = scan_digits(s, p);
	}
	return p;
}

static const char *
scan_word(const struct scan *s, const char *p, uint8_t *type)
{
	size_t left = (size_t)(s->end - p);

	if (left >= 4 && memcmp(p, "null", 4) == 0) {
		*type = JSON_NULL;
		return p + 4;
	}
	if (left >= 4 && memcmp(p, "true", 4) == 0) {
		*type = JSON_TRUE;
		return p + 4;
	}
	if (left >= 5 && memcmp(p, "false", 5) == 0) {
		*type = JSON_FALSE;
		return p + 5;
	}
	return fail(s, p, "no JSON value");
}

/* After the scalar value at p; its type goes to the node. */
static inline const char *
scan_scalar(const struct scan *s, const char *p, struct json_node *n)
{
	uint8_t esc;

	if (*p == '"') {
		n->type = JSON_STRING;
		if ((p = scan_string(s, p + 1, &esc)) == NULL)
			return NULL;
		n->esc |= esc ? JSON_ESC_VAL : 0;
		return p + 1;
	}
	if (*p == '-' || is(*p, IS_DIGIT)) {
		n->type = JSON_NUMBER;
		return scan_number(s, p);
	}
	return scan_word(s, p, &n->type);
}

/* The key at p and its colon; returns where the value begins. */
static inline const char *
scan_key(const struct scan *s, const char *p, struct json_node *n)
{
	const char *q;
	uint8_t esc;

	if (p == s->end || *p != '"')
		return fail(s, p, "object without a key where one must be");
	if ((q = scan_string(s, ++p, &esc)) == NULL)
		return NULL;
	n->key = (uint32_t)(p - s->text);
	n->keylen = (uint32_t)(q - p);
	n->esc = esc ? JSON_ESC_KEY : 0;
	/* Of an empty key it takes the quotes beside it. */
	n->tag = JSON_TAG(p, q - p);
	if (++q == s->end || *q != ':') {
		q = skip_more(q, s->end);
		if (q == s->end || *q != ':')
			return fail(s, q, "key without a colon");
	}
	return skip_space(q + 1, s->end);
}

/* The node of the element at p when its place is kept, else the sink. */
static inline struct json_node *
node_new(struct scan *s, const char *p)
{
	struct json_doc *doc = s->doc;
	struct json_node *n;

	if (!s->top.keeps)
		return &s->sink;
	if (doc->nnodes == JSON_MAX_NODES) {
		if (!doc->full) {
			doc->full = 1;
			doc->fulloff = (uint32_t)(p - s->text);
		}
		return &s->sink;
	}
	n = &doc->node[doc->nnodes];
	n->parent = s->top.number;
	n->next = 0;
	*s->top.link = (uint16_t)doc->nnodes++;
	s->top.link = &n->next;
	return n;
}

/* Enter the container at p; returns what follows its bracket. */
static inline const char *
open_container(struct scan *s, const char *p, struct json_node *n)
{
	if (s->depth == JSON_MAX_DEPTH)
		return fail(s, p, "nested too deeply");
	s->outer[s->depth++] = s->top;
	n->type = *p == '{' ? JSON_OBJECT : JSON_ARRAY;
	n->vallen = 0;
	s->top.node = n;
	s->top.link = &s->unlinked;
	s->top.number = (uint16_t)(s->doc->nnodes - 1); /* unless sunk */
	s->top.object = *p == '{';
	s->top.keeps = n != &s->sink && s->depth <= s->keep;
	return skip_space(p + 1, s->end);
}

/*
 * After a value: leave the containers that end here, and pass the comma that
 * leads to the next element.  At depth 0 the outermost value has ended.
 */
static const char *
after_value(struct scan *s, const char *p)
{
	struct json_node *n;

	while (s->depth > 0) {
		p = skip_space(p, s->end);
		if (p == s->end)
			return fail(s, p, "text ends inside a container");
		if (*p == ',')
			return skip_space(p + 1, s->end);
		if (*p != (s->top.object ? '}' : ']'))
			return fail(s, p, "neither comma nor closing bracket");
		n = s->top.node;
		n->vallen = (uint32_t)(++p - s->text) - n->val;
		s->top = s->outer[--s->depth];
	}
	return p;
}

/* The element at p, or the beginning of one that is a container. */
static inline const char *
scan_element(struct scan *s, const char *p)
{
	struct json_node *n = node_new(s, p);
	const char *q;

	if (!s->top.object) {
		n->key = n->keylen = n->tag = 0;
		n->esc = 0;
	} else if ((p = scan_key(s, p, n)) == NULL)
		return NULL;
	if (p == s->end)
		return fail(s, p, "value missing");
	n->val = (uint32_t)(p - s->text);
	if (*p == '{' || *p == '[') {
		if ((q = open_container(s, p, n)) == NULL)
			return NULL;
		/* Not closed at once: its first element comes next. */
		if (q == s->end || *q != (*p == '{' ? '}' : ']'))
			return q;
		return after_value(s, q);
	}
	if ((q = scan_scalar(s, p, n)) == NULL)
		return NULL;
	n->vallen = (uint32_t)(q - p);
	if (q < s->end && *q == ',' && s->depth > 0)
		return skip_space(q + 1, s->end);
	return after_value(s, q);
}

/* The whole text; 0, or -1 when it is refused. */
static int
scan_text(struct scan *s)
{
	const char *p = skip_space(s->text, s->end);

	do
		p = scan_element(s, p);
	while (p != NULL && s->depth > 0);
	if (p == NULL)
		return -1;
	if ((p = skip_space(p, s->end)) != s->end) {
		fail(s, p, "more after the value");
		return -1;
	}
	return 0;
}

int
json_parse(
    struct json_doc *doc, const char *text, size_t len, unsigned keep_depth)
{
	struct scan s;

	doc->text = text;
	doc->nnodes = 0;
	doc->full = 0;
	doc->picked = 0;
	doc->fulloff = 0;
	doc->err = NULL;
	doc->erroff = 0;
	if (len == 0 || len > UINT32_MAX) {
		doc->err = len == 0 ? "value missing" : "text too long";
		return -1;
	}
	s.text = text;
	s.end = text + len;
	s.doc = doc;
	s.keep = keep_depth;
	s.depth = 0;
	/* The text is the only element of a list that has no node. */
	s.top = (struct level){.node = &s.sink,
	    .link = &s.unlinked,
	    .number = JSON_ROOT,
	    .keeps = 1};
	if (scan_text(&s) == -1) {
		doc->nnodes = 0; /* nothing of a bad text is to be had */
		return -1;
	}
	return 0;
}
