/* SPDX-License-Identifier: ISC */
/* Members of objects that have more of them than a scanned text keeps. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "hash.h"
#include "json.h"

static const struct hash_key key = {{1, 2}};
static const struct json_want want[] = {
    JSON_WANT("op", JSON_ANY, 0), JSON_WANT("meta", JSON_ANY, 0)};
static struct json_doc doc, part;

/* An object of n members and then `end`, scanned at that depth. */
static void
scan(struct buf *b, int n, const char *end, unsigned depth)
{
	buf_init(b, 0);
	(void)buf_adds(b, SPAN_LIT("{"));
	for (int i = 0; i < n; i++)
		(void)buf_addf(b, "\"k%d\" : [%d,{\"x\":\"}\"}],", i, i);
	(void)buf_addf(b, "%s}", end);
	assert_int_equal(json_parse(&doc, buf_span(b).p, buf_len(b), depth), 0);
}

static const char *
pick(const struct json_doc **d, int *node)
{
	*d = &doc;
	*node = JSON_ROOT;
	return json_pick(d, node, &part, &key, want, 2);
}

static void
test_wanted_members_are_picked_at_any_width(void **state)
{
	static const int n[] = {0, 1, 253, 254, 255, 256, 3000, 20000};
	const struct json_doc *d;
	struct buf b;
	int node, at[2];

	(void)state;
	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++) {
		scan(&b, n[i], "\"\\u006fp\": \"a\\nb\" ,\"meta\":{ } ", 1);
		assert_null(pick(&d, &node));
		assert_ptr_equal(d, n[i] < 254 ? &doc : &part);
		assert_null(json_members(d, node, want, 2, at, NULL));
		assert_true(span_eq(json_raw(d, at[0]), SPAN_LIT("\"a\\nb\"")));
		assert_int_equal(d->node[at[0]].type, JSON_STRING);
		assert_int_equal(
		    d->node[at[0]].esc, JSON_ESC_KEY | JSON_ESC_VAL);
		assert_true(span_eq(json_raw(d, at[1]), SPAN_LIT("{ }")));
		assert_int_equal(json_get(d, node, "op"), at[0]);
		assert_int_equal(json_get(d, node, "none"), -1);
		buf_free(&b);
	}
}

static void
test_none_of_them_is_surely_none(void **state)
{
	const struct json_doc *d;
	struct buf b;
	int node, at[2];

	(void)state;
	scan(&b, 300, "\"x\":1", 1);
	assert_null(pick(&d, &node));
	assert_null(json_members(d, node, want, 2, at, NULL));
	assert_int_equal(at[0], -1);
	assert_int_equal(at[1], -1);
	buf_free(&b);
}

static void
test_what_is_there_twice_is_told_at_any_width(void **state)
{
	static const char *const ends[] = {"\"op\":1,\"op\":1",
	    "\"x\":1,\"\\u0078\":1", "\"\":1,\"\":2", "\"k0\":1",
	    "\"\\u006b0\":1"};
	static const int n[] = {1, 254, 255, 300};
	const struct json_doc *d;
	struct buf b;
	int node;

	(void)state;
	for (size_t i = 0; i < sizeof(n) / sizeof(n[0]); i++)
		for (size_t k = 0; k < sizeof(ends) / sizeof(ends[0]); k++) {
			scan(&b, n[i], ends[k], 1);
			assert_string_equal(
			    pick(&d, &node), "a member is there twice");
			buf_free(&b);
		}
}

static void
test_what_is_no_object_stays(void **state)
{
	const struct json_doc *d = &doc;
	int node = -1;

	(void)state;
	assert_int_equal(json_parse(&doc, "[1,2]", 5, 1), 0);
	assert_null(json_pick(&d, &node, &part, &key, want, 2));
	assert_int_equal(node, -1);
	assert_null(pick(&d, &node));
	assert_ptr_equal(d, &doc);
	assert_int_equal(node, JSON_ROOT);
}

static void
test_each_member_of_nothing_and_of_damage(void **state)
{
	static const char *const damaged[] = {"", "{", "[1]", "{\"a", "{\"a\"",
	    "{\"a\"}", "{\"a\":}", "{1:2}", "{\"a\\", "{\"a\\\"}"};
	struct span k, v;
	size_t pos = 0;

	(void)state;
	assert_int_equal(json_each_member(SPAN_LIT("{ }"), &pos, &k, &v), 0);
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		pos = 0;
		assert_int_equal(
		    json_each_member(span_str(damaged[i]), &pos, &k, &v), -1);
	}
	pos = 0;
	assert_int_equal(
	    json_each_member(
		SPAN_LIT("{ \"a\\\"\" : 1 , \"\":[{}]}"), &pos, &k, &v),
	    1);
	assert_true(span_eq(k, SPAN_LIT("a\\\"")));
	assert_true(span_eq(v, SPAN_LIT("1")));
	assert_int_equal(
	    json_each_member(
		SPAN_LIT("{ \"a\\\"\" : 1 , \"\":[{}]}"), &pos, &k, &v),
	    1);
	assert_int_equal(k.len, 0);
	assert_true(span_eq(v, SPAN_LIT("[{}]")));
	assert_int_equal(
	    json_each_member(
		SPAN_LIT("{ \"a\\\"\" : 1 , \"\":[{}]}"), &pos, &k, &v),
	    0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wanted_members_are_picked_at_any_width),
	    cmocka_unit_test(test_none_of_them_is_surely_none),
	    cmocka_unit_test(test_what_is_there_twice_is_told_at_any_width),
	    cmocka_unit_test(test_what_is_no_object_stays),
	    cmocka_unit_test(test_each_member_of_nothing_and_of_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
