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

#define NO_NODE	   UINT16_MAX /* a container whose place is not kept */
#define IS_SPACE   0x01
#define IS_DIGIT   0x02
#define IS_HEX	   0x04
#define IS_ESCAPE  0x08 /* may follow a backslash */
#define IS_SPECIAL 0x10 /* must be looked at inside a string */

struct level {
	uint16_t node; /* of the container, or NO_NODE */
	uint8_t object;
};

struct key {
	uint32_t off;
	uint32_t len;
	uint8_t esc;
};

struct scan {
	const char *text;
	const char *end;
	struct json_doc *doc;
	unsigned keep;	/* levels whose places are kept */
	unsigned depth; /* containers open */
	struct level stack[JSON_MAX_DEPTH];
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

static inline const char *
skip_space(const char *p, const char *end)
{
	while (p < end && is(*p, IS_SPACE))
		p++;
	return p;
}

/*
 * The first byte of p[0..end) that a string cannot just contain: quote,
 * backslash, control character, non-ASCII.
 */
static inline const char *
find_special(const char *p, const char *end)
{
#if defined(__SSE2__) && !defined(CODEC_SCALAR)
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i slash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');

	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const void *)p), bad;
		unsigned mask;

		/* Signed: bytes from 0x80 on are below the space as well. */
		bad = _mm_or_si128(_mm_cmpeq_epi8(v, quote),
		    _mm_or_si128(
			_mm_cmpeq_epi8(v, slash), _mm_cmplt_epi8(v, space)));
		if ((mask = (unsigned)_mm_movemask_epi8(bad)) != 0)
			return p + __builtin_ctz(mask);
		p += 16;
	}
#else
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
#endif
	while (p < end && !is(*p, IS_SPECIAL))
		p++;
	return p;
}

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
	static const struct {
		char text[6];
		uint8_t len;
		uint8_t type;
	} words[] = {
	    {"null", 4, JSON_NULL},
	    {"true", 4, JSON_TRUE},
	    {"false", 5, JSON_FALSE},
	};
	size_t i, left = (size_t)(s->end - p);

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (left >= words[i].len &&
		    memcmp(p, words[i].text, words[i].len) == 0) {
			*type = words[i].type;
			return p + words[i].len;
		}
	return fail(s, p, "no JSON value");
}

/* After the scalar value at p, with its type. */
static inline const char *
scan_scalar(const struct scan *s, const char *p, uint8_t *type, uint8_t *esc)
{
	*esc = 0;
	if (*p == '"') {
		*type = JSON_STRING;
		if ((p = scan_string(s, p + 1, esc)) == NULL)
			return NULL;
		return p + 1;
	}
	if (*p == '-' || is(*p, IS_DIGIT)) {
		*type = JSON_NUMBER;
		return scan_number(s, p);
	}
	return scan_word(s, p, type);
}

/* The key at p and its colon; returns where the value begins. */
static inline const char *
scan_key(const struct scan *s, const char *p, struct key *key)
{
	const char *q;

	if (p == s->end || *p != '"')
		return fail(s, p, "object without a key where one must be");
	if ((q = scan_string(s, ++p, &key->esc)) == NULL)
		return NULL;
	key->off = (uint32_t)(p - s->text);
	key->len = (uint32_t)(q - p);
	q = skip_space(q + 1, s->end);
	if (q == s->end || *q != ':')
		return fail(s, q, "key without a colon");
	return skip_space(q + 1, s->end);
}

/*
 * Keep the place of the value at p when its level is kept and its container
 * has one itself.  Returns the node, or NO_NODE.
 */
static inline uint16_t
keep_value(struct scan *s, const char *p, const struct key *key, uint8_t type)
{
	struct json_doc *doc = s->doc;
	struct json_node *n;
	uint16_t parent = JSON_ROOT;

	if (s->depth > s->keep)
		return NO_NODE;
	if (s->depth > 0 && (parent = s->stack[s->depth - 1].node) == NO_NODE)
		return NO_NODE;
	if (doc->nnodes == JSON_MAX_NODES) {
		if (!doc->full) {
			doc->full = 1;
			doc->fulloff = (uint32_t)(p - s->text);
		}
		return NO_NODE;
	}
	n = &doc->node[doc->nnodes];
	n->key = key->off;
	n->keylen = key->len;
	n->val = (uint32_t)(p - s->text);
	n->vallen = 0;
	n->parent = parent;
	n->type = type;
	n->esc = key->esc;
	return (uint16_t)doc->nnodes++;
}

/* The value of a kept node ends before p. */
static inline void
end_value(const struct scan *s, uint16_t node, const char *p)
{
	struct json_node *n;

	if (node != NO_NODE) {
		n = &s->doc->node[node];
		n->vallen = (uint32_t)(p - s->text) - n->val;
	}
}

/* Enter the container at p; returns what follows its bracket. */
static inline const char *
open_container(struct scan *s, const char *p, const struct key *key)
{
	uint8_t object = *p == '{';
	uint16_t node;

	if (s->depth == JSON_MAX_DEPTH)
		return fail(s, p, "nested too deeply");
	node = keep_value(s, p, key, object ? JSON_OBJECT : JSON_ARRAY);
	s->stack[s->depth].node = node;
	s->stack[s->depth].object = object;
	s->depth++;
	return skip_space(p + 1, s->end);
}

/*
 * After a value: leave the containers that end here, and pass the comma that
 * leads to the next element.  At depth 0 the outermost value has ended.
 */
static inline const char *
after_value(struct scan *s, const char *p)
{
	const struct level *top;

	while (s->depth > 0) {
		top = &s->stack[s->depth - 1];
		p = skip_space(p, s->end);
		if (p == s->end)
			return fail(s, p, "text ends inside a container");
		if (*p == ',')
			return skip_space(p + 1, s->end);
		if (*p != (top->object ? '}' : ']'))
			return fail(s, p, "neither comma nor closing bracket");
		end_value(s, top->node, ++p);
		s->depth--;
	}
	return p;
}

/* The value at p, or the beginning of one that is a container. */
static inline const char *
scan_element(struct scan *s, const char *p)
{
	struct key key = {0, 0, 0};
	uint8_t type, esc;
	uint16_t node;
	const char *q;

	if (s->depth > 0 && s->stack[s->depth - 1].object) {
		if ((p = scan_key(s, p, &key)) == NULL)
			return NULL;
		key.esc = key.esc ? JSON_ESC_KEY : 0;
	}
	if (p == s->end)
		return fail(s, p, "value missing");
	if (*p == '{' || *p == '[') {
		if ((q = open_container(s, p, &key)) == NULL)
			return NULL;
		/* Not closed at once: its first element comes next. */
		if (q == s->end || *q != (*p == '{' ? '}' : ']'))
			return q;
		return after_value(s, q);
	}
	if ((q = scan_scalar(s, p, &type, &esc)) == NULL)
		return NULL;
	key.esc |= esc ? JSON_ESC_VAL : 0;
	node = keep_value(s, p, &key, type);
	end_value(s, node, q);
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
	if (scan_text(&s) == -1) {
		doc->nnodes = 0; /* nothing of a bad text is to be had */
		return -1;
	}
	return 0;
}
