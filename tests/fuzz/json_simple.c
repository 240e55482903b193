/* SPDX-License-Identifier: ISC */
/* A second, plain reader of JSON: recursive, by the grammar of RFC 8259. */
#include "json_simple.h"

struct at {
	const char *p, *end;
	unsigned depth, max;
};

static int value(struct at *a);

static int
peek(const struct at *a)
{
	return a->p < a->end ? (unsigned char)*a->p : -1;
}

static int
accept(struct at *a, int c)
{
	if (peek(a) != c)
		return 0;
	a->p++;
	return 1;
}

static void
space(struct at *a)
{
	while (accept(a, ' ') || accept(a, '\t') || accept(a, '\n') ||
	    accept(a, '\r'))
		continue;
}

static int
digits(struct at *a)
{
	int n = 0;

	for (; peek(a) >= '0' && peek(a) <= '9'; n++)
		a->p++;
	return n;
}

static int
number(struct at *a)
{
	(void)accept(a, '-');
	if (!accept(a, '0') && digits(a) == 0)
		return 0;
	if (accept(a, '.') && digits(a) == 0)
		return 0;
	if (accept(a, 'e') || accept(a, 'E')) {
		if (!accept(a, '+'))
			(void)accept(a, '-');
		return digits(a) > 0;
	}
	return 1;
}

static int
word(struct at *a, const char *w)
{
	for (; *w != '\0'; w++)
		if (!accept(a, *w))
			return 0;
	return 1;
}

static int
hex(struct at *a)
{
	int c = peek(a);

	a->p++;
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	    (c >= 'A' && c <= 'F');
}

static int
escape(struct at *a)
{
	int c = peek(a);

	if (c == -1)
		return 0;
	a->p++;
	if (c == 'u')
		return a->end - a->p >= 4 && hex(a) && hex(a) && hex(a) &&
		    hex(a);
	return strchr("\"\\/bfnrt", c) != NULL && c != '\0';
}

/* One code point of two to four bytes, by its value. */
static int
wide(struct at *a)
{
	unsigned c = (unsigned char)*a->p++, n, least;

	if ((c & 0xe0) == 0xc0) {
		n = 1;
		least = 0x80;
		c &= 0x1f;
	} else if ((c & 0xf0) == 0xe0) {
		n = 2;
		least = 0x800;
		c &= 0x0f;
	} else if ((c & 0xf8) == 0xf0) {
		n = 3;
		least = 0x10000;
		c &= 0x07;
	} else
		return 0;
	for (; n > 0; n--) {
		if ((peek(a) & 0xc0) != 0x80 || a->p == a->end)
			return 0;
		c = c << 6 | ((unsigned char)*a->p++ & 0x3f);
	}
	return c >= least && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

static int
string(struct at *a)
{
	int c;

	if (!accept(a, '"'))
		return 0;
	while ((c = peek(a)) != -1) {
		if (c >= 0x80) {
			if (!wide(a))
				return 0;
			continue;
		}
		a->p++;
		if (c == '"')
			return 1;
		if (c < 0x20 || (c == '\\' && !escape(a)))
			return 0;
	}
	return 0;
}

static int
container(struct at *a, int object)
{
	int close = object ? '}' : ']';

	a->p++;
	if (a->depth++ == a->max)
		return 0;
	space(a);
	if (!accept(a, close)) {
		do {
			space(a);
			if (object) {
				if (!string(a))
					return 0;
				space(a);
				if (!accept(a, ':'))
					return 0;
				space(a);
			}
			if (!value(a))
				return 0;
			space(a);
		} while (accept(a, ','));
		if (!accept(a, close))
			return 0;
	}
	a->depth--;
	return 1;
}

static int
value(struct at *a)
{
	switch (peek(a)) {
	case '{':
		return container(a, 1);
	case '[':
		return container(a, 0);
	case '"':
		return string(a);
	case 'n':
		return word(a, "null");
	case 't':
		return word(a, "true");
	case 'f':
		return word(a, "false");
	default:
		return number(a);
	}
}

int
json_simple(struct span text, unsigned max_depth)
{
	struct at a = {text.p, text.p + text.len, 0, max_depth};

	space(&a);
	if (!value(&a))
		return 0;
	space(&a);
	return a.p == a.end;
}
