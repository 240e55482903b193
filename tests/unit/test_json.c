/* SPDX-License-Identifier: ISC */
/* json.c: what is JSON and what is not, in both builds of the scanner; which
 * places are kept; what happens at the bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* The same scanner without vectors, under another name. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define CODEC_SCALAR
#define json_parse scalar_json_parse
#include "../../common/json.c"
#undef json_parse
#pragma GCC diagnostic pop

#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "vec.h"

#define VECTORS "tests/vectors/json"

static const char event[] =
    "{\"type\":\"inbound\",\"event\":{\"text\":\"so I asked \\\"what?\\\" "
    "and\\nnobody knew \xe2\x80\x93 the caf\xc3\xa9 \xf0\x9f\x99\x82 "
    "closes\\u00e9\",\"n\":[-1.5e+3,0,true,false,null,{},[]],\"source\":"
    "{\"platform\":\"discord\",\"chat_id\":\"1187654321098765432\","
    "\"thread_id\":null}} , \"bufferId\" : \"buf-1\" }\n";

/* Both builds agree about a text to the last node; what they say. */
static int
verdict(const char *text, size_t len, unsigned keep)
{
	static struct json_doc a, b;
	int r = json_parse(&a, text, len, keep);
	int s = scalar_json_parse(&b, text, len, keep);
	uint32_t i;

	assert_int_equal(r, s);
	assert_int_equal(a.erroff, b.erroff);
	assert_int_equal(a.nnodes, b.nnodes);
	assert_int_equal(a.err == NULL, r == 0);
	assert_true(a.erroff <= len);
	for (i = 0; i < a.nnodes; i++) {
		assert_memory_equal(&a.node[i], &b.node[i],
		    offsetof(struct json_node, esc) + 1);
		if (r == 0)
			assert_true(a.node[i].val + a.node[i].vallen <= len);
	}
	return r;
}

/* The verdict on a copy of its own size, where the sanitizer sees a read
 * beyond the end. */
static int
verdict_alone(const char *text, size_t len, unsigned keep)
{
	char *copy = malloc(len > 0 ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, text, len);
	r = verdict(copy, len, keep);
	free(copy);
	return r;
}

static int
verdict_str(const char *text)
{
	return verdict_alone(text, strlen(text), 2);
}

static void
test_the_vectors_are_judged_as_they_are_named(void **state)
{
	DIR *dir = opendir(VECTORS);
	char path[PATH_MAX];
	struct dirent *d;
	struct span s;
	int n = 0, r;

	(void)state;
	assert_non_null(dir);
	while ((d = readdir(dir)) != NULL) {
		if (strlen(d->d_name) < 6 ||
		    strcmp(d->d_name + strlen(d->d_name) - 5, ".json") != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", VECTORS, d->d_name);
		s = vec_load(path);
		r = verdict(s.p, s.len, 3);
		vec_free(s);
		if ((d->d_name[0] == 'y' && r != 0) ||
		    (d->d_name[0] == 'n' && r != -1))
			fail_msg("%s: %d", d->d_name, r);
		n++;
	}
	closedir(dir);
	if (n < 300)
		fail_msg("only %d vectors in %s", n, VECTORS);
}

static void
test_a_byte_order_mark_is_refused(void **state)
{
	(void)state;
	assert_int_equal(verdict_str("{}"), 0);
	assert_int_equal(verdict_str("\xef\xbb\xbf{}"), -1);
}

static void
test_a_cut_text_is_refused_wherever_it_is_cut(void **state)
{
	size_t n, whole = strlen(event) - 1; /* without the line feed */

	(void)state;
	for (n = 0; n < whole; n++)
		if (verdict_alone(event, n, 3) == 0)
			fail_msg("accepted when cut to %zu bytes", n);
	assert_int_equal(verdict_alone(event, whole, 3), 0);
	assert_int_equal(verdict_alone(event, strlen(event), 3), 0);
}

/* One byte changed: the builds agree (verdict insists), whatever they say. */
static void
test_both_builds_agree_on_damaged_texts(void **state)
{
	char copy[sizeof(event)];
	size_t i, len = strlen(event), refused = 0;
	unsigned c;

	(void)state;
	memcpy(copy, event, sizeof(event));
	for (i = 0; i < len; i++) {
		for (c = 0; c < 256; c++) {
			copy[i] = (char)c;
			refused += verdict(copy, len, 3) == -1;
		}
		copy[i] = event[i];
	}
	assert_true(refused > len * 100);
}

/* Every byte at every place of a string, relative to a vector's edges. */
static void
test_each_byte_inside_a_string(void **state)
{
	char text[64];
	size_t at, len = 50;
	unsigned c;
	int want;

	(void)state;
	for (at = 1; at < len - 1; at++)
		for (c = 0; c < 256; c++) {
			memset(text, 'x', len);
			text[0] = text[len - 1] = '"';
			text[at] = (char)c;
			/* A backslash before x, or before the last quote. */
			want = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
			if ((verdict(text, len, 0) == 0) != want)
				fail_msg("byte %02x at %zu", c, at);
		}
}

static void
test_utf8_inside_strings_is_checked(void **state)
{
	static const struct {
		const char *bytes;
		int ok;
	} cases[] = {
	    {"\xc2\x80", 1},
	    {"\xdf\xbf", 1},
	    {"\xe0\xa0\x80", 1},
	    {"\xed\x9f\xbf", 1},
	    {"\xee\x80\x80", 1},
	    {"\xf0\x90\x80\x80", 1},
	    {"\xf4\x8f\xbf\xbf", 1},
	    {"\xc1\xbf", 0},
	    {"\xe0\x9f\xbf", 0},
	    {"\xed\xa0\x80", 0},
	    {"\xf0\x8f\xbf\xbf", 0},
	    {"\xf4\x90\x80\x80", 0},
	    {"\xf5\x80\x80\x80", 0},
	    {"\x80", 0},
	    {"\xc3", 0},
	    {"\xe2\x80", 0},
	    {"\xf0\x9f\x99", 0},
	    {"\xff", 0},
	};
	char text[64];
	size_t i, at, n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (at = 1; at < 40; at++) {
			n = strlen(cases[i].bytes);
			memset(text, 'x', sizeof(text));
			text[0] = '"';
			memcpy(text + at, cases[i].bytes, n);
			text[at + n] = '"';
			if ((verdict_alone(text, at + n + 1, 0) == 0) !=
			    cases[i].ok)
				fail_msg("case %zu at %zu", i, at);
		}
}

static void
test_numbers_follow_the_grammar(void **state)
{
	static const char *const good[] = {"0", "-0", "7", "-12", "1.0", "0.5",
	    "-0.0e0", "1e5", "1E+05", "12.34e-56",
	    "123456789012345678901234567890"};
	static const char *const bad[] = {"", "-", "+1", "01", "-01", "00",
	    "1.", ".5", "-.5", "1e", "1e+", "1.e1", "0x10", "1 2", "1a", "Inf",
	    "NaN", "-Infinity", "1e1.5", "--1", "1_000"};
	char text[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(verdict_str(good[i]), 0);
		snprintf(
		    text, sizeof(text), "[%s ,{\"a\":%s}]", good[i], good[i]);
		assert_int_equal(verdict_str(text), 0);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (verdict_str(bad[i]) == 0)
			fail_msg("%s accepted", bad[i]);
		snprintf(text, sizeof(text), "[%s]", bad[i]);
		if (i > 0 && verdict_str(text) == 0)
			fail_msg("%s accepted", text);
	}
}

static void
test_depth_is_bounded(void **state)
{
	char text[2 * JSON_MAX_DEPTH + 2];

	(void)state;
	memset(text, '[', JSON_MAX_DEPTH);
	memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
	assert_int_equal(verdict(text, 2 * JSON_MAX_DEPTH, 70), 0);
	memset(text, '[', JSON_MAX_DEPTH + 1);
	memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
	assert_int_equal(verdict(text, 2 * JSON_MAX_DEPTH + 2, 0), -1);
	/* Depth counts what is open, not what was. */
	assert_int_equal(verdict_str("[[[]],[[]],[[]],{\"a\":{}}]"), 0);
}

static void
test_a_refusal_says_what_and_where(void **state)
{
	static const struct {
		const char *text;
		const char *err;
		size_t off;
	} cases[] = {
	    {"", "value missing", 0},
	    {"[1,", "value missing", 3},
	    {"{\"a\" 1}", "key without a colon", 5},
	    {"{a:1}", "object without a key where one must be", 1},
	    {"[1 2]", "neither comma nor closing bracket", 3},
	    {"[1}", "neither comma nor closing bracket", 2},
	    {"[1", "text ends inside a container", 2},
	    {"\"abc", "string not ended", 4},
	    {"\"a\\x\"", "unknown escape in a string", 2},
	    {"\"\\ug234\"", "\\u without four hexadecimal digits", 1},
	    {"\"\\u1G34\"", "\\u without four hexadecimal digits", 1},
	    {"\"\\u123:\"", "\\u without four hexadecimal digits", 1},
	    {"\"\\u12g4\"", "\\u without four hexadecimal digits", 1},
	    {"\"a\tb\"", "control character in a string", 2},
	    {"\"a\xff\"", "string is not UTF-8", 2},
	    {"[nul]", "no JSON value", 1},
	    {"[01]", "number begins with a zero", 2},
	    {"{} x", "more after the value", 3},
	};
	struct json_doc doc;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
		    json_parse(&doc, cases[i].text, strlen(cases[i].text), 3),
		    -1);
		assert_string_equal(doc.err, cases[i].err);
		assert_int_equal(doc.erroff, cases[i].off);
	}
}

static void
test_places_are_kept_down_to_the_depth_asked_for(void **state)
{
	static const char text[] =
	    "{\"a\":{\"b\":{\"c\":[1,2]}},\"d\":[3,[4]]}";
	static const uint32_t nodes[] = {1, 3, 6, 8, 10};
	struct json_doc doc;
	unsigned keep;
	int a, d, n;

	(void)state;
	for (keep = 0; keep < 5; keep++) {
		assert_int_equal(json_parse(&doc, text, strlen(text), keep), 0);
		assert_int_equal(doc.nnodes, nodes[keep]);
		assert_true(span_eq(json_raw(&doc, JSON_ROOT), span_str(text)));
	}
	a = json_first(&doc, JSON_ROOT);
	d = json_next(&doc, a);
	assert_true(
	    span_eq(json_raw(&doc, a), span_str("{\"b\":{\"c\":[1,2]}}")));
	assert_true(span_eq(json_raw(&doc, d), span_str("[3,[4]]")));
	assert_int_equal(json_next(&doc, d), -1);
	assert_int_equal(json_next(&doc, JSON_ROOT), -1);
	n = json_first(&doc, d);
	assert_true(span_eq(json_raw(&doc, n), span_str("3")));
	assert_int_equal(json_first(&doc, n), -1);
	n = json_next(&doc, n);
	assert_true(span_eq(json_raw(&doc, n), span_str("[4]")));
	assert_int_equal(json_next(&doc, n), -1);
	assert_null(json_raw(&doc, -1).p);
	assert_null(json_raw(&doc, (int)doc.nnodes).p);
}

/* The first JSON_MAX_NODES places are kept, the text is judged to its end, and
 * only what was passed over is in doubt. */
static void
test_a_full_table_is_owned_up_to(void **state)
{
	static const struct json_want want[] = {JSON_WANT("k1", JSON_ANY, 0)};
	static struct json_doc doc;
	struct buf b;
	int at[1], i, early;

	(void)state;
	buf_init(&b, 0);
	buf_addf(&b, "{\"early\":{\"k1\":1},\"many\":{");
	for (i = 0; i < JSON_MAX_NODES; i++)
		buf_addf(&b, "%s\"k%d\":%d", i == 0 ? "" : ",", i, i);
	buf_addf(&b, "},\"late\":{\"k1\":1}}");
	assert_int_equal(verdict(buf_span(&b).p, buf_len(&b), 2), 0);
	assert_int_equal(json_parse(&doc, buf_span(&b).p, buf_len(&b), 2), 0);
	assert_int_equal(doc.full, 1);
	assert_int_equal(doc.nnodes, JSON_MAX_NODES);
	early = json_first(&doc, JSON_ROOT);
	assert_null(json_members(&doc, early, want, 1, at, NULL));
	assert_true(json_get(&doc, early, "k1") > 0);
	assert_int_equal(json_get(&doc, early, "k2"), -1);
	assert_string_equal(
	    json_members(&doc, json_next(&doc, early), want, 1, at, NULL),
	    "too many members to be sure");
	assert_int_equal(json_get(&doc, json_next(&doc, early), "k1"), -1);
	assert_int_equal(json_get(&doc, JSON_ROOT, "early"), -1);
	/* With less kept the outermost members are found. */
	assert_int_equal(json_parse(&doc, buf_span(&b).p, buf_len(&b), 1), 0);
	assert_int_equal(doc.full, 0);
	assert_true(json_get(&doc, JSON_ROOT, "late") > 0);
	/* An error behind the kept part is an error. */
	b.end--;
	assert_int_equal(verdict(buf_span(&b).p, buf_len(&b), 2), -1);
	buf_free(&b);
}

static void
test_exactly_as_many_places_as_there_are(void **state)
{
	static struct json_doc doc;
	struct buf b;
	int i;

	(void)state;
	buf_init(&b, 0);
	buf_addf(&b, "[0");
	for (i = 2; i < JSON_MAX_NODES; i++)
		buf_addf(&b, ",%d", i);
	buf_addf(&b, "]");
	assert_int_equal(json_parse(&doc, buf_span(&b).p, buf_len(&b), 1), 0);
	assert_int_equal(doc.nnodes, JSON_MAX_NODES);
	assert_int_equal(doc.full, 0);
	b.end--;
	buf_addf(&b, ",1]");
	assert_int_equal(json_parse(&doc, buf_span(&b).p, buf_len(&b), 1), 0);
	assert_int_equal(doc.full, 1);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_vectors_are_judged_as_they_are_named),
	    cmocka_unit_test(test_a_byte_order_mark_is_refused),
	    cmocka_unit_test(test_a_cut_text_is_refused_wherever_it_is_cut),
	    cmocka_unit_test(test_both_builds_agree_on_damaged_texts),
	    cmocka_unit_test(test_each_byte_inside_a_string),
	    cmocka_unit_test(test_utf8_inside_strings_is_checked),
	    cmocka_unit_test(test_numbers_follow_the_grammar),
	    cmocka_unit_test(test_depth_is_bounded),
	    cmocka_unit_test(test_a_refusal_says_what_and_where),
	    cmocka_unit_test(test_places_are_kept_down_to_the_depth_asked_for),
	    cmocka_unit_test(test_a_full_table_is_owned_up_to),
	    cmocka_unit_test(test_exactly_as_many_places_as_there_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
