/* SPDX-License-Identifier: ISC */
/* utf8: both builds of the validator against a decoder written naively from
 * RFC 3629, and the lengths that descriptors are about. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* The same source without vectors, under other names. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define CODEC_SCALAR
#define utf8_valid_prefix scalar_valid_prefix
#define utf8_feed	  scalar_feed
#define utf8_chars	  scalar_chars
#define utf8_utf16	  scalar_utf16
#include "../../common/utf8.c"
#undef utf8_valid_prefix
#undef utf8_feed
#undef utf8_chars
#undef utf8_utf16
#pragma GCC diagnostic pop

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "vec.h"

static const struct build {
	const char *name;
	size_t (*valid_prefix)(const char *, size_t);
	int (*feed)(struct utf8_state *, const char *, size_t);
} builds[] = {
    {"default", utf8_valid_prefix, utf8_feed},
    {"scalar", scalar_valid_prefix, scalar_feed},
};
#define NBUILDS 2

/* Decode one sequence bit by bit; its length, or 0 when it is no good. */
static size_t
naive_one(const unsigned char *p, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n, i;
	uint32_t c;

	if ((p[0] & 0x80) == 0)
		return 1;
	if ((p[0] & 0xe0) == 0xc0)
		n = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		n = 3;
	else if ((p[0] & 0xf8) == 0xf0)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	c = p[0] & (0xffU >> (n + 1));
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

static size_t
naive_prefix(const unsigned char *p, size_t len)
{
	size_t i = 0, n;

	while (i < len && (n = naive_one(p + i, len - i)) > 0)
		i += n;
	return i;
}

/* The validators' word on p against the naive one. */
static void
compare(const unsigned char *p, size_t len)
{
	size_t want = naive_prefix(p, len), got, i;
	struct utf8_state st;
	int fed;

	for (i = 0; i < NBUILDS; i++) {
		got = builds[i].valid_prefix((const char *)p, len);
		memset(&st, 0, sizeof(st));
		fed = builds[i].feed(&st, (const char *)p, len);
		if (got != want || (fed == 0 && st.need == 0) != (want == len))
			fail_msg("%s: %02x %02x %02x…: %zu, not %zu; feed %d",
			    builds[i].name, p[0], p[1], p[2], got, want, fed);
	}
}

static void
test_every_pair_of_bytes(void **state)
{
	unsigned char p[3] = {0};
	unsigned v;

	(void)state;
	for (v = 0; v < 0x10000; v++) {
		p[0] = (unsigned char)(v >> 8);
		p[1] = (unsigned char)v;
		compare(p, 2);
	}
}

/* With an ASCII byte first it is the pair again, so from 0x80 on. */
static void
test_every_triple_of_bytes(void **state)
{
	unsigned char p[3];
	unsigned v;

	(void)state;
	for (v = 0x800000; v < 0x1000000; v++) {
		p[0] = (unsigned char)(v >> 16);
		p[1] = (unsigned char)(v >> 8);
		p[2] = (unsigned char)v;
		compare(p, 3);
	}
}

/* Edges of every range, at every place relative to a vector, cut or not. */
static void
test_edges_at_every_alignment(void **state)
{
	static const char *const edges[] = {"\xf0\x8f\xbf\xbf",
	    "\xf0\x90\x80\x80", "\xf0\xbf\xbf\xbf", "\xf1\x80\x80\x80",
	    "\xf3\xbf\xbf\xbf", "\xf4\x80\x80\x80", "\xf4\x8f\xbf\xbf",
	    "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x90\x80\x7f",
	    "\xf0\x90\xc0\x80", "\xf0\xc0\x80\x80", "\xf8\x88\x80\x80",
	    "\xed\x9f\xbf", "\xed\xa0\x80", "\xee\x80\x80", "\xe0\x9f\xbf",
	    "\xe0\xa0\x80", "\xef\xbf\xbf", "\xc1\xbf", "\xc2\x80", "\xdf\xbf",
	    "\x80", "\xff", "\x7f"};
	size_t e, at, cut, tail, n, len;
	unsigned char *p;

	(void)state;
	for (e = 0; e < sizeof(edges) / sizeof(edges[0]); e++)
		for (at = 0; at < 40; at++)
			for (tail = 0; tail < 20; tail += 19) {
				n = strlen(edges[e]);
				for (cut = 1; cut <= n; cut++) {
					len = at + cut + tail;
					/* Its own size, for the sanitizer. */
					p = malloc(len);
					assert_non_null(p);
					memset(p, 'a', len);
					memcpy(p + at, edges[e], cut);
					if (len >= 3)
						compare(p, len);
					free(p);
				}
			}
}

/* A message may be cut anywhere: the pieces' verdict is the whole's. */
static void
test_pieces_give_the_verdict_of_the_whole(void **state)
{
	static const char *const texts[] = {
	    "caf\xc3\xa9 \xe2\x80\x93 \xf0\x9f\x99\x82 and some more ASCII",
	    "sixteen letters: \xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
	    "bad \xed\xa0\x80 surrogate", "cut short \xf0\x9f\x99",
	    "overlong \xe0\x80\x80"};
	size_t t, i, a, b, len;
	struct utf8_state st;
	int bad, want;

	(void)state;
	for (t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
		len = strlen(texts[t]);
		want =
		    naive_prefix((const unsigned char *)texts[t], len) == len;
		for (i = 0; i < NBUILDS; i++)
			for (a = 0; a <= len; a++)
				for (b = a; b <= len; b++) {
					memset(&st, 0, sizeof(st));
					bad = builds[i].feed(&st, texts[t], a);
					bad |= builds[i].feed(
					    &st, texts[t] + a, b - a);
					bad |= builds[i].feed(
					    &st, texts[t] + b, len - b);
					assert_int_equal(
					    bad == 0 && st.need == 0, want);
				}
	}
}

static void
test_a_cut_sequence_says_how_much_is_missing(void **state)
{
	struct utf8_state st = {0, 0, 0};

	(void)state;
	assert_int_equal(utf8_feed(&st, "\xf0", 1), 0);
	assert_int_equal(st.need, 3);
	assert_int_equal(utf8_feed(&st, "\x9f\x99", 2), 0);
	assert_int_equal(st.need, 1);
	assert_int_equal(utf8_feed(&st, "\x82", 1), 0);
	assert_int_equal(st.need, 0);
	assert_int_equal(utf8_feed(&st, "\x82", 1), -1);
}

static void
check_length(const struct json_doc *doc)
{
	static char scratch[8192];
	struct span text;
	int64_t chars, utf16;

	text = json_str(
	    doc, json_get(doc, JSON_ROOT, "text"), scratch, sizeof(scratch));
	assert_non_null(text.p);
	assert_int_equal(json_int(doc, json_get(doc, JSON_ROOT, "chars"), 0,
			     INT32_MAX, &chars),
	    0);
	assert_int_equal(json_int(doc, json_get(doc, JSON_ROOT, "utf16"), 0,
			     INT32_MAX, &utf16),
	    0);
	/* A lead byte behind the text does not count. */
	memmove(scratch, text.p, text.len);
	scratch[text.len] = (char)0xf0;
	text.p = scratch;
	assert_int_equal(utf8_chars(text), chars);
	assert_int_equal(utf8_utf16(text), utf16);
}

static void
test_lengths_are_those_of_the_vectors(void **state)
{
	(void)state;
	vec_cases("tests/vectors/lengths.json", 6, check_length);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_pair_of_bytes),
	    cmocka_unit_test(test_every_triple_of_bytes),
	    cmocka_unit_test(test_edges_at_every_alignment),
	    cmocka_unit_test(test_pieces_give_the_verdict_of_the_whole),
	    cmocka_unit_test(test_a_cut_sequence_says_how_much_is_missing),
	    cmocka_unit_test(test_lengths_are_those_of_the_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
