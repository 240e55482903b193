/* SPDX-License-Identifier: ISC */
/* Writing JSON that can stand in a terminal and on a line of its own. */
#include <inttypes.h>
#include <stdint.h>
#include <string.h>

#include "json.h"
#include "utf8.h"

/* Whether the byte stands for itself within a string. */
static int
is_plain(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x20 && u < 0x7f && u != '"' && u != '\\';
}

/*
 * Whether all of eight bytes stand for themselves; may also say no when they
 * do, which costs time alone.
 */
static int
are_plain(const char *p)
{
	const uint64_t ones = 0x0101010101010101, tops = ones << 7;
	uint64_t v, quote, slash, del;

	memcpy(&v, p, sizeof(v));
	quote = v ^ ones * '"';
	slash = v ^ ones * '\\';
	del = v ^ ones * 0x7f;
	return ((v | (v - ones * 0x20) | (quote - ones) | (slash - ones) |
		    (del - ones)) &
		   tops) == 0;
}

static void
put_escaped(struct buf *b, unsigned c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *at = c == 0 || c >= 0x7f ? NULL : strchr(from, (int)c);

	if (at != NULL)
		buf_addf(b, "\\%c", to[at - from]);
	else
		buf_addf(b, "\\u%04x", c);
}

/* One character that is not plain; returns the bytes taken. */
static size_t
put_char(struct buf *b, const char *p, size_t left)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned n = utf8_seq(p, left);

	if (n == 0) {
		buf_adds(b, SPAN_LIT("\xef\xbf\xbd"));
		return 1;
	}
	if (n == 1)
		put_escaped(b, u[0]);
	else if (n == 2 && u[0] == 0xc2 && u[1] < 0xa0)
		put_escaped(b, u[1]); /* C1: U+0080 to U+009F */
	else
		buf_add(b, p, n);
	return n;
}

void
json_put_str(struct buf *b, struct span text)
{
	size_t i = 0, run;

	buf_add(b, "\"", 1);
	while (i < text.len) {
		run = i;
		while (text.len - i >= 8 && are_plain(text.p + i))
			i += 8;
		while (i < text.len && is_plain(text.p[i]))
			i++;
		if (i > run)
			buf_add(b, text.p + run, i - run);
		else
			i += put_char(b, text.p + i, text.len - i);
	}
	buf_add(b, "\"", 1);
}

void
json_put_key(struct buf *b, const char *key)
{
	char last = buf_len(b) > 0 ? b->p[b->end - 1] : '{';

	if (last != '{' && last != '[')
		buf_add(b, ",", 1);
	json_put_str(b, span_str(key));
	buf_add(b, ":", 1);
}

void
json_put_member_str(struct buf *b, const char *key, struct span text)
{
	json_put_key(b, key);
	if (text.p == NULL)
		buf_adds(b, SPAN_LIT("null"));
	else
		json_put_str(b, text);
}

void
json_put_member_int(struct buf *b, const char *key, int64_t v)
{
	json_put_key(b, key);
	buf_addf(b, "%" PRId64, v);
}

void
json_put_member_bool(struct buf *b, const char *key, int v)
{
	json_put_key(b, key);
	buf_adds(b, v ? SPAN_LIT("true") : SPAN_LIT("false"));
}

void
json_put_member_raw(struct buf *b, const char *key, struct span json)
{
	json_put_key(b, key);
	buf_adds(b, json.p == NULL ? SPAN_LIT("null") : json);
}
