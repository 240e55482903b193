/* SPDX-License-Identifier: ISC */
/* json_get.c and json_out.c: members found by their decoded keys, values
 * decoded, JSON written so that it reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "utf8.h"

#define assert_span(s, want) assert_true(span_eq((s), span_str(want)))

static struct json_doc doc;

static void
parse(const char *text, unsigned keep)
{
	if (json_parse(&doc, text, strlen(text), keep) == -1)
		fail_msg("%s: %s at %zu", text, doc.err, doc.erroff);
}

static const struct json_want wanted[] = {
    JSON_WANT("type", JSON_T(JSON_STRING), 1),
    JSON_WANT("event", JSON_T(JSON_OBJECT) | JSON_T(JSON_NULL), 0),
    JSON_WANT("bufferId", JSON_ANY, 0),
};

static void
test_wanted_members_are_found_in_any_order(void **state)
{
	int at[3], which;

	(void)state;
	parse("{\"x\":{\"type\":1},\"bufferId\":7,\"typ\":1,\"types\":1,"
	      "\"type\":\"inbound\",\"\":0}",
	    3);
	assert_null(json_members(&doc, JSON_ROOT, wanted, 3, at, &which));
	assert_int_equal(which, -1);
	assert_span(json_str_raw(&doc, at[0]), "inbound");
	assert_int_equal(at[1], -1);
	assert_span(json_raw(&doc, at[2]), "7");
	assert_int_equal(json_get(&doc, JSON_ROOT, "bufferId"), at[2]);
	assert_true(json_get(&doc, JSON_ROOT, "") > 0);
	assert_int_equal(json_get(&doc, JSON_ROOT, "absent"), -1);
}

static void
test_what_is_wrong_with_members_is_said(void **state)
{
	static const struct {
		const char *text;
		const char *why;
		int which;
	} cases[] = {
	    {"[]", "not an object", -1},
	    {"{}", "a required member is missing", 0},
	    {"{\"event\":{}}", "a required member is missing", 0},
	    {"{\"type\":1}", "a member has the wrong type", 0},
	    {"{\"type\":\"a\",\"event\":[]}", "a member has the wrong type", 1},
	    {"{\"type\":\"a\",\"type\":\"a\"}", "a member is there twice", 0},
	    {"{\"type\":\"a\",\"x\":0,\"ty\\u0070e\":\"b\"}",
		"a member is there twice", 0},
	    {"{\"\\u0074\\u0079\\u0070\\u0065\":\"a\",\"type\":\"b\"}",
		"a member is there twice", 0},
	    {"{\"type\":\"a\",\"bufferId\":1,\"bufferId\":1}",
		"a member is there twice", 2},
	    {"{\"type\":\"a\",\"x\":1,\"x\":2}", NULL, -1},
	    {"{\"type\":\"a\",\"event\":null}", NULL, -1},
	    {"{\"ty\\u0070e\":\"a\"}", NULL, -1},
	    {"{\"typ\\u0000\":\"a\",\"type\\u0000\":1,\"type\":\"b\"}", NULL,
		-1},
	};
	int at[3], which;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].text, 1);
		why = json_members(&doc, JSON_ROOT, wanted, 3, at, &which);
		if ((why == NULL) != (cases[i].why == NULL) ||
		    (why != NULL && strcmp(why, cases[i].why) != 0) ||
		    which != cases[i].which)
			fail_msg("%s: %s, %d", cases[i].text,
			    why == NULL ? "accepted" : why, which);
	}
}

static void
test_a_key_there_twice_is_not_got(void **state)
{
	(void)state;
	parse("{\"a\":1,\"b\":2,\"\\u0061\":3}", 1);
	assert_int_equal(json_get(&doc, JSON_ROOT, "a"), -1);
	assert_int_equal(json_get(&doc, JSON_ROOT, "b"), 2);
	assert_int_equal(json_get(&doc, 1, "a"), -1);
	assert_int_equal(json_get(&doc, -1, "a"), -1);
	assert_true(json_twice(&doc, JSON_ROOT));
	parse("{\"a\":{\"x\":1,\"x\":2},\"b\":[1,1],\"\\u0063\":3}", 2);
	assert_false(json_twice(&doc, JSON_ROOT));
	assert_true(json_twice(&doc, 1));
	assert_false(json_twice(&doc, json_get(&doc, JSON_ROOT, "b")));
	assert_false(json_twice(&doc, -1));
	parse("{\"a\":{\"x\":1}}", 1);
	assert_true(json_twice(&doc, 1)); /* not kept: not to be told */
}

/* Asking for members that were not kept must not look like their absence. */
static void
test_members_below_the_kept_depth_are_in_doubt(void **state)
{
	static const struct json_want one[] = {JSON_WANT("a", JSON_ANY, 0)};
	int at[1];

	(void)state;
	parse("{\"full\":{ \"a\":1},\"empty\":{ \n}}", 1);
	assert_string_equal(json_members(&doc, 1, one, 1, at, NULL),
	    "too many members to be sure");
	assert_null(json_members(&doc, 2, one, 1, at, NULL));
	assert_int_equal(at[0], -1);
}

static void
test_nothing_is_found_in_a_refused_text(void **state)
{
	int at[3];

	(void)state;
	assert_int_equal(json_parse(&doc, "{\"type\":\"a\"", 11, 1), -1);
	assert_string_equal(json_members(&doc, JSON_ROOT, wanted, 3, at, NULL),
	    "not an object");
	assert_int_equal(json_get(&doc, JSON_ROOT, "type"), -1);
	assert_int_equal(json_first(&doc, JSON_ROOT), -1);
	assert_null(json_raw(&doc, JSON_ROOT).p);
}

static void
test_escapes_are_decoded(void **state)
{
	static const struct {
		const char *raw;
		const char *text; /* NULL: refused */
		size_t len;
	} cases[] = {
	    {"", "", 0},
	    {"plain", "plain", 5},
	    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8},
	    {"a\\u0000b", "a\0b", 3},
	    {"\\u001f\\u007F", "\x1f\x7f", 2},
	    {"\\u0080\\u07ff", "\xc2\x80\xdf\xbf", 4},
	    {"\\u0800\\uFFFF", "\xe0\xa0\x80\xef\xbf\xbf", 6},
	    {"\\ud7ff\\ue000", "\xed\x9f\xbf\xee\x80\x80", 6},
	    {"\\ud83d\\ude42", "\xf0\x9f\x99\x82", 4},
	    {"\\uD800\\uDC00", "\xf0\x90\x80\x80", 4},
	    {"\\udbff\\udfff", "\xf4\x8f\xbf\xbf", 4},
	    {"\\ud800", "\xef\xbf\xbd", 3},
	    {"\\udfff!", "\xef\xbf\xbd!", 4},
	    {"\\ud800\\ud800\\udc00", "\xef\xbf\xbd\xf0\x90\x80\x80", 7},
	    {"\\udc00\\udc00", "\xef\xbf\xbd\xef\xbf\xbd", 6},
	    {"\\udc00\\ud800", "\xef\xbf\xbd\xef\xbf\xbd", 6},
	    {"\\ud83d\\n", "\xef\xbf\xbd\n", 4},
	    {"\\ud83dx", "\xef\xbf\xbdx", 4},
	    {"\\", NULL, 0},
	    {"\\x", NULL, 0},
	    {"\\u12", NULL, 0},
	    {"\\u12g4", NULL, 0},
	    {"\\ud83d\\ude4", NULL, 0},
	};
	char out[64];
	size_t i, cap;
	ptrdiff_t n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		n = json_unescape(span_str(cases[i].raw), out, sizeof(out));
		if (cases[i].text == NULL) {
			assert_int_equal(n, -1);
			continue;
		}
		assert_int_equal(n, cases[i].len);
		assert_memory_equal(out, cases[i].text, cases[i].len);
		assert_true(cases[i].len <= strlen(cases[i].raw));
		for (cap = 0; cap < cases[i].len; cap++)
			assert_int_equal(
			    json_unescape(span_str(cases[i].raw), out, cap),
			    -1);
	}
}

static void
test_a_string_is_copied_only_when_it_must(void **state)
{
	static const char text[] = "[\"plain\",\"a\\tb\",5]";
	char scratch[3];

	(void)state;
	parse(text, 1);
	assert_ptr_equal(json_str(&doc, 1, NULL, 0).p, text + 2);
	assert_span(json_str(&doc, 1, NULL, 0), "plain");
	assert_span(json_str_raw(&doc, 2), "a\\tb");
	assert_ptr_equal(json_str(&doc, 2, scratch, 3).p, scratch);
	assert_span(json_str(&doc, 2, scratch, 3), "a\tb");
	assert_null(json_str(&doc, 2, scratch, 2).p);
	assert_null(json_str(&doc, 3, scratch, 3).p);
	assert_null(json_str(&doc, -1, scratch, 3).p);
	assert_null(json_str_raw(&doc, 3).p);
}

static void
test_half_a_character_is_seen(void **state)
{
	static const struct {
		const char *raw;
		int lone;
	} cases[] = {
	    {"", 0},
	    {"a", 0},
	    {"\\n\\\\ud800", 0},
	    {"\\ud83d\\ude00", 0},
	    {"\\uFFFD\\u0000", 0},
	    {"\xef\xbf\xbd", 0},
	    {"\\ud800", 1},
	    {"\\uDFFF", 1},
	    {"x\\ud800y", 1},
	    {"\\ud83d\\ude00\\udc00", 1},
	    {"\\ud800\\ud800\\udc00", 1},
	    {"\\ud800\\\\udc00", 1},
	    {"\\ude00\\ud83d", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (json_lone_surrogate(span_str(cases[i].raw)) !=
		    cases[i].lone)
			fail_msg("%s", cases[i].raw);
	assert_false(json_lone_surrogate((struct span){NULL, 0}));
}

static void
test_texts_are_taken_whole_or_not_at_all(void **state)
{
	static const struct json_want want[] = {
	    JSON_WANT("a", JSON_T(JSON_STRING), 1),
	    JSON_WANT("b", JSON_T(JSON_STRING), 0),
	};
	static const char good[] = "{\"b\":\"\\ud83d\\ude00\",\"a\":\"x\"}",
			  bad[] = "{\"a\":\"x\",\"b\":\"\\ude00\"}",
			  other[] = "{\"a\":\"x\",\"c\":\"\\ude00\"}";
	struct span out[2];
	char room[64];

	(void)state;
	assert_null(json_texts(span_str(good), want, 2, out, room));
	assert_span(out[0], "x");
	assert_span(out[1], "\xf0\x9f\x98\x80");
	assert_non_null(json_texts(span_str(bad), want, 2, out, room));
	assert_null(json_texts(span_str(other), want, 2, out, room));
	assert_null(out[1].p);
}

static void
test_integers(void **state)
{
	static const struct {
		const char *text;
		int64_t min, max, v;
		int ok;
	} cases[] = {
	    {"0", 0, 9, 0, 1},
	    {"-0", 0, 9, 0, 1},
	    {"42", 0, 42, 42, 1},
	    {"43", 0, 42, 0, 0},
	    {"-1", 0, 42, 0, 0},
	    {"1.0", 0, 42, 0, 0},
	    {"1e1", 0, 42, 0, 0},
	    {"\"1\"", 0, 42, 0, 0},
	    {"true", 0, 42, 0, 0},
	    {"9223372036854775807", 0, INT64_MAX, INT64_MAX, 1},
	    {"9223372036854775808", INT64_MIN, INT64_MAX, 0, 0},
	    {"-9223372036854775808", INT64_MIN, 0, INT64_MIN, 1},
	    {"-9223372036854775809", INT64_MIN, INT64_MAX, 0, 0},
	    {"99999999999999999999999", INT64_MIN, INT64_MAX, 0, 0},
	};
	int64_t v;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].text, 0);
		v = 77;
		r = json_int(&doc, 0, cases[i].min, cases[i].max, &v);
		if ((r == 0) != cases[i].ok ||
		    v != (cases[i].ok ? cases[i].v : 77))
			fail_msg("%s", cases[i].text);
	}
	assert_int_equal(json_int(&doc, -1, 0, 1, &v), -1);
}

static void
test_each_steps_through_arrays_of_any_length(void **state)
{
	static const char text[] =
	    " [ 1 , \"a]\\\",[\" ,[ 2,[3]],{\"k\":[4,5]} , null ] ";
	static const char *const elems[] = {
	    "1", "\"a]\\\",[\"", "[ 2,[3]]", "{\"k\":[4,5]}", "null"};
	struct span array, elem;
	size_t pos = 0, n = 0;
	struct buf b;
	int i;

	(void)state;
	parse(text, 0);
	array = json_raw(&doc, JSON_ROOT);
	for (; json_each(array, &pos, &elem) == 1; n++) {
		assert_true(n < 5);
		assert_span(elem, elems[n]);
	}
	assert_int_equal(n, 5);
	assert_int_equal(json_each(array, &pos, &elem), 0);
	buf_init(&b, 0);
	buf_addf(&b, "[");
	for (i = 0; i < 3000; i++)
		buf_addf(&b, "%s[%d]", i == 0 ? "" : ",", i);
	buf_addf(&b, "]");
	for (pos = n = 0; json_each(buf_span(&b), &pos, &elem) == 1; n++)
		assert_int_equal(elem.p[0], '[');
	assert_int_equal(n, 3000);
	buf_free(&b);
}

static void
test_each_of_nothing_and_of_damage(void **state)
{
	static const char *const bad[] = {
	    "", "[", "1", "{}", "[1", "[1,", "[\"a]", "[,]", "[1,]"};
	struct span elem, s;
	size_t i, pos;
	int r;

	(void)state;
	pos = 0;
	assert_int_equal(json_each(SPAN_LIT("[]"), &pos, &elem), 0);
	pos = 0;
	assert_int_equal(json_each(SPAN_LIT("[ \n ]"), &pos, &elem), 0);
	pos = 0;
	assert_int_equal(json_each((struct span){NULL, 0}, &pos, &elem), -1);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		pos = 0;
		s = span_str(bad[i]);
		while ((r = json_each(s, &pos, &elem)) == 1)
			continue;
		if (r != -1)
			fail_msg("%s: %d", bad[i], r);
	}
}

/* What is written reads back, and can stand in a terminal. */
static void
round_trip(const char *p, size_t len, const char *want, size_t wantlen)
{
	static char scratch[1024];
	struct buf b;
	struct span s;
	size_t i;

	buf_init(&b, 0);
	json_put_str(&b, (struct span){p, len});
	assert_int_equal(b.failed, 0);
	s = buf_span(&b);
	for (i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		assert_true(c >= 0x20 && c != 0x7f);
		if (c == 0xc2 && i + 1 < s.len)
			assert_true((unsigned char)s.p[i + 1] >= 0xa0);
	}
	assert_int_equal(json_parse(&doc, s.p, s.len, 0), 0);
	s = json_str(&doc, 0, scratch, sizeof(scratch));
	assert_non_null(s.p);
	assert_int_equal(s.len, wantlen);
	assert_memory_equal(s.p, want, wantlen);
	buf_free(&b);
}

static void
test_every_code_point_survives_writing(void **state)
{
	unsigned c;
	char t[4];
	size_t n;

	(void)state;
	for (c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 61) {
		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		t[0] = (char)(n == 1 ? c : (0xf00U >> n) | c >> (6 * (n - 1)));
		if (n > 1)
			t[n - 1] = (char)(0x80 | (c & 63));
		if (n > 2)
			t[n - 2] = (char)(0x80 | (c >> 6 & 63));
		if (n > 3)
			t[n - 3] = (char)(0x80 | (c >> 12 & 63));
		assert_int_equal(utf8_valid_prefix(t, n), n);
		round_trip(t, n, t, n);
	}
}

static void
test_foreign_bytes_become_replacement_characters(void **state)
{
	unsigned c;
	char t[3];

	(void)state;
	for (c = 0x80; c < 0x100; c++) {
		t[0] = 'a';
		t[1] = (char)c;
		t[2] = 'b';
		round_trip(t, 3,
		    "a\xef\xbf\xbd"
		    "b",
		    5);
	}
	round_trip(
	    "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 9);
	round_trip(
	    "x\xf0\x9f\x99", 4, "x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 10);
	round_trip("", 0, "", 0);
}

static void
test_escapes_are_written_short(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	json_put_str(
	    &b, SPAN_LIT(" ~\"\\/\b\f\n\r\t\0\x1b\x7f\xc2\x9b\xc3\xa9"));
	assert_span(buf_span(&b),
	    "\" "
	    "~\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001b\\u007f\\u009b\xc3\xa9\"");
	buf_free(&b);
}

static void
test_objects_are_built_member_by_member(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	buf_addf(&b, "{");
	json_put_member_str(&b, "type", SPAN_LIT("x\"y"));
	json_put_member_str(&b, "none", (struct span){NULL, 0});
	json_put_member_int(&b, "min", INT64_MIN);
	json_put_member_bool(&b, "on", 5);
	json_put_member_bool(&b, "off", 0);
	json_put_member_raw(&b, "raw", SPAN_LIT("[1]"));
	json_put_member_raw(&b, "noraw", (struct span){NULL, 0});
	json_put_key(&b, "sub");
	buf_addf(&b, "{");
	json_put_member_int(&b, "a\n", 1);
	buf_addf(&b, "}}");
	assert_span(buf_span(&b),
	    "{\"type\":\"x\\\"y\",\"none\":null,\"min\":-9223372036854775808,"
	    "\"on\":true,\"off\":false,\"raw\":[1],\"noraw\":null,"
	    "\"sub\":{\"a\\n\":1}}");
	buf_free(&b);
}

static void
test_a_writer_looks_once_at_the_end(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 12);
	buf_addf(&b, "{");
	json_put_member_str(&b, "key", SPAN_LIT("longer than that"));
	buf_addf(&b, "}");
	assert_int_equal(b.failed, 1);
	assert_true(buf_len(&b) <= 12);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wanted_members_are_found_in_any_order),
	    cmocka_unit_test(test_what_is_wrong_with_members_is_said),
	    cmocka_unit_test(test_a_key_there_twice_is_not_got),
	    cmocka_unit_test(test_members_below_the_kept_depth_are_in_doubt),
	    cmocka_unit_test(test_nothing_is_found_in_a_refused_text),
	    cmocka_unit_test(test_escapes_are_decoded),
	    cmocka_unit_test(test_a_string_is_copied_only_when_it_must),
	    cmocka_unit_test(test_half_a_character_is_seen),
	    cmocka_unit_test(test_texts_are_taken_whole_or_not_at_all),
	    cmocka_unit_test(test_integers),
	    cmocka_unit_test(test_each_steps_through_arrays_of_any_length),
	    cmocka_unit_test(test_each_of_nothing_and_of_damage),
	    cmocka_unit_test(test_every_code_point_survives_writing),
	    cmocka_unit_test(test_foreign_bytes_become_replacement_characters),
	    cmocka_unit_test(test_escapes_are_written_short),
	    cmocka_unit_test(test_objects_are_built_member_by_member),
	    cmocka_unit_test(test_a_writer_looks_once_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
