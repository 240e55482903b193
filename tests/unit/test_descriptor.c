/* SPDX-License-Identifier: ISC */
/* Descriptors and lengths against the vectors of other implementations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "descriptor.h"
#include "vec.h"

static void
check_ops(const struct descriptor *d, const struct json_doc *doc)
{
	int ops = json_get(doc, JSON_ROOT, "ops"), n;

	assert_int_not_equal(ops, -1);
	for (n = json_first(doc, ops); n != -1; n = json_next(doc, n))
		assert_int_equal(descriptor_allows(d,
				     (struct span){doc->text + doc->node[n].key,
					 doc->node[n].keylen}),
		    doc->node[n].type == JSON_TRUE);
}

static void
one_descriptor(const struct json_doc *doc)
{
	struct descriptor d = {.text = NULL};
	int node = json_get(doc, JSON_ROOT, "wire"), news,
	    norm = json_get(doc, JSON_ROOT, "normalized");
	int64_t max;

	assert_null(descriptor_take(&d, doc, node, &news));
	assert_int_equal(news, 1);
	assert_null(descriptor_take(&d, doc, node, &news));
	assert_int_equal(news, 0);
	assert_int_equal(
	    json_int(doc, json_get(doc, norm, "max_message_length"), 0,
		INT64_MAX, &max),
	    0);
	assert_int_equal(d.max_length, max);
	assert_int_equal(d.utf16,
	    span_eq(json_str_raw(doc, json_get(doc, norm, "len_unit")),
		SPAN_LIT("utf16")));
	check_ops(&d, doc);
	descriptor_free(&d);
}

static void
test_vectors(void **state)
{
	(void)state;
	vec_cases("tests/vectors/descriptors.json", 8, one_descriptor);
}

static void
one_length(const struct json_doc *doc)
{
	struct descriptor d = {.utf16 = 0};
	int node = json_get(doc, JSON_ROOT, "text");
	size_t cap = json_raw(doc, node).len;
	char *scratch = malloc(cap);
	struct span text;
	int64_t want;

	assert_non_null(scratch);
	text = json_str(doc, node, scratch, cap);
	assert_int_equal(json_int(doc, json_get(doc, JSON_ROOT, "chars"), 0,
			     INT64_MAX, &want),
	    0);
	assert_int_equal(descriptor_length(&d, text), want);
	assert_int_equal(json_int(doc, json_get(doc, JSON_ROOT, "utf16"), 0,
			     INT64_MAX, &want),
	    0);
	d.utf16 = 1;
	assert_int_equal(descriptor_length(&d, text), want);
	free(scratch);
}

static void
test_lengths(void **state)
{
	(void)state;
	vec_cases("tests/vectors/lengths.json", 6, one_length);
}

static void
test_names_are_whole(void **state)
{
	struct descriptor d = {.text = NULL};
	static struct json_doc doc;
	static const char text[] =
	    "{\"supported_ops\":[\"send_media\",\"a,b\",\"x y\",\"react\"]}";
	char list[64];
	int news;

	(void)state;
	assert_true(descriptor_allows(&d, SPAN_LIT("anything")));
	assert_int_equal(json_parse(&doc, text, sizeof(text) - 1, 2), 0);
	assert_null(descriptor_take(&d, &doc, JSON_ROOT, &news));
	assert_false(descriptor_allows(&d, SPAN_LIT("send")));
	assert_false(descriptor_allows(&d, SPAN_LIT("media")));
	assert_false(descriptor_allows(&d, SPAN_LIT("send_media,react")));
	assert_false(descriptor_allows(&d, SPAN_LIT(",")));
	assert_false(descriptor_allows(&d, SPAN_LIT("")));
	assert_true(descriptor_allows(&d, SPAN_LIT("react")));
	descriptor_ops(&d, list, sizeof(list));
	assert_string_equal(list, "send_media, react");
	descriptor_ops(&d, list, 8);
	assert_true(strlen(list) < 8);
	descriptor_free(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_names_are_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
