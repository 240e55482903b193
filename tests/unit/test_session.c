/* SPDX-License-Identifier: ISC */
/* Session keys against the vectors of other implementations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "limit.h"
#include "session.h"
#include "vec.h"

static int
flag(const struct json_doc *doc, const char *name)
{
	int n = json_get(doc, JSON_ROOT, name);

	assert_int_not_equal(n, -1);
	return doc->node[n].type == JSON_TRUE;
}

static void
check_case(const struct json_doc *doc)
{
	struct source src;
	char scratch[LIMIT_SESSION_KEY], out[LIMIT_SESSION_KEY], want[512];
	struct span w;
	ptrdiff_t n;

	assert_null(session_source(doc, json_get(doc, JSON_ROOT, "source"),
	    &src, scratch, sizeof(scratch)));
	n = session_key(&src, flag(doc, "group_sessions_per_user"),
	    flag(doc, "thread_sessions_per_user"), out, sizeof(out));
	w = json_str(
	    doc, json_get(doc, JSON_ROOT, "session_key"), want, sizeof(want));
	assert_non_null(w.p);
	if (!span_eq((struct span){out, (size_t)n}, w))
		fail_msg("wanted %.*s, got %.*s", (int)w.len, w.p, (int)n, out);
}

static void
test_vectors(void **state)
{
	(void)state;
	vec_cases("tests/vectors/session_keys.json", 200, check_case);
}

static struct source
source_of(const char *text)
{
	static struct json_doc doc;
	static char scratch[LIMIT_SESSION_KEY];
	struct source src;

	assert_int_equal(json_parse(&doc, text, strlen(text), 1), 0);
	assert_null(
	    session_source(&doc, JSON_ROOT, &src, scratch, sizeof(scratch)));
	return src;
}

static void
check_key(const char *source, const char *want)
{
	struct source src = source_of(source);
	char out[64];
	ptrdiff_t n = session_key(&src, 1, 0, out, sizeof(out));

	assert_true(n >= 0);
	assert_true(span_eq((struct span){out, (size_t)n}, span_str(want)));
}

static void
test_escapes_are_decoded(void **state)
{
	(void)state;
	check_key("{\"platform\":\"d\\u0069scord\",\"chat_id\":\"a\\/b\","
		  "\"chat_type\":\"dm\"}",
	    "agent:main:discord:dm:a/b");
}

static void
test_wrong_types_count_as_absent(void **state)
{
	(void)state;
	check_key("{\"platform\":\"x\",\"chat_id\":7,\"user_id\":\"u\","
		  "\"thread_id\":[],\"chat_type\":{}}",
	    "agent:main:x:dm:u");
}

static void
test_keys_are_bounded(void **state)
{
	struct source src =
	    source_of("{\"platform\":\"x\",\"chat_id\":"
		      "\"0123456789\",\"chat_type\":\"group\"}");
	char out[32];

	(void)state;
	/* agent:main:x:group:0123456789 */
	assert_int_equal(session_key(&src, 1, 0, out, 28), -1);
	assert_int_equal(session_key(&src, 1, 0, out, 29), 29);
}

static void
test_doubled_keys_are_refused(void **state)
{
	static struct json_doc doc;
	static const char text[] =
	    "{\"chat_id\":\"a\",\"chat\\u005fid\":\"b\"}";
	struct source src;
	char scratch[64];

	(void)state;
	assert_int_equal(json_parse(&doc, text, sizeof(text) - 1, 1), 0);
	assert_non_null(
	    session_source(&doc, JSON_ROOT, &src, scratch, sizeof(scratch)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_escapes_are_decoded),
	    cmocka_unit_test(test_wrong_types_count_as_absent),
	    cmocka_unit_test(test_keys_are_bounded),
	    cmocka_unit_test(test_doubled_keys_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
