/* SPDX-License-Identifier: ISC */
/* The egress scope against the vectors of other implementations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "egress.h"
#include "limit.h"
#include "vec.h"

static const struct hash_key key = {{1, 2}};
static struct json_doc part;

static struct span
str(const struct json_doc *doc, int parent, const char *name)
{
	return json_str_raw(doc, json_get(doc, parent, name));
}

/* What an action for the chat with this metadata leaves as. */
static void
act(struct egress *e, struct span chat_id, struct span metadata,
    struct buf *out, struct chat **chat)
{
	static struct json_doc doc;
	struct buf in;

	buf_init(&in, 0);
	buf_init(out, 0);
	(void)buf_adds(&in, SPAN_LIT("{\"op\":\"send\",\"chat_id\":"));
	json_put_str(&in, chat_id);
	(void)buf_addf(&in, ",\"metadata\":%.*s,\"content\":\"hi\"}",
	    (int)metadata.len, metadata.p);
	assert_int_equal(json_parse(&doc, buf_span(&in).p, buf_len(&in), 2), 0);
	assert_null(egress_action(e, &doc, JSON_ROOT, &part, out, chat));
	buf_free(&in);
}

/* Whether two objects have the same members (string values). */
static int
same_members(const struct json_doc *a, int na, const struct json_doc *b, int nb)
{
	char name[64];
	int c, d, n = 0, m = 0;

	for (c = json_first(a, na); c != -1; c = json_next(a, c), n++) {
		(void)snprintf(name, sizeof(name), "%.*s",
		    (int)a->node[c].keylen, a->text + a->node[c].key);
		d = json_get(b, nb, name);
		if (d == -1 || !span_eq(json_raw(a, c), json_raw(b, d)))
			return 0;
	}
	for (c = nb == -1 ? -1 : json_first(b, nb); c != -1;
	     c = json_next(b, c))
		m++;
	return n == m;
}

static void
check_outbound(struct egress *e, struct span text)
{
	static struct json_doc got, one, *doc = &one;
	int node = JSON_ROOT;
	struct chat *chat;
	struct buf out;
	struct span want;
	int meta;

	assert_int_equal(json_parse(doc, text.p, text.len, 2), 0);
	want = str(doc, node, "platform");
	act(e, str(doc, node, "chat_id"),
	    json_raw(doc, json_get(doc, node, "metadata")), &out, &chat);
	assert_int_equal(
	    json_parse(&got, buf_span(&out).p, buf_len(&out), 2), 0);
	meta = json_get(&got, JSON_ROOT, "metadata");
	if (got.node[meta].type == JSON_NULL)
		meta = -1;
	if (!same_members(doc, json_get(doc, node, "metadata_out"), &got, meta))
		fail_msg("%.*s became %.*s", (int)json_raw(doc, node).len,
		    json_raw(doc, node).p, (int)buf_len(&out),
		    buf_span(&out).p);
	if (want.p == NULL)
		assert_true(chat == NULL || chat->platform.p == NULL);
	else
		assert_true(chat->platform.len == want.len &&
		    memcmp(chat->platform.p, want.p, want.len) == 0);
	buf_free(&out);
}

static void
check_case(const struct json_doc *doc)
{
	struct chat_hint hint = {NULL, 0};
	struct egress e;
	int list, n;

	egress_init(&e, &key);
	list = json_get(doc, JSON_ROOT, "inbound_sources");
	for (n = json_first(doc, list); n != -1; n = json_next(doc, n))
		egress_learn(&e, &hint, str(doc, n, "platform"),
		    str(doc, n, "chat_id"), str(doc, n, "scope_id"),
		    str(doc, n, "user_id"));
	list = json_get(doc, JSON_ROOT, "outbound");
	for (n = json_first(doc, list); n != -1; n = json_next(doc, n))
		check_outbound(&e, json_raw(doc, n));
	egress_free(&e);
}

static void
test_vectors(void **state)
{
	(void)state;
	vec_cases("tests/vectors/egress_scope.json", 6, check_case);
}

static void
test_metadata_is_made_when_there_is_none(void **state)
{
	static const char action[] = "{\"op\":\"x\",\"chat_id\":\"c\"}";
	static struct json_doc doc;
	struct chat_hint hint = {NULL, 0};
	struct egress e;
	struct chat *chat;
	struct buf out;

	(void)state;
	egress_init(&e, &key);
	egress_learn(&e, &hint, SPAN_LIT("discord"), SPAN_LIT("c"),
	    SPAN_LIT("g\"1"), (struct span){NULL, 0});
	buf_init(&out, 0);
	assert_int_equal(json_parse(&doc, action, sizeof(action) - 1, 2), 0);
	assert_null(egress_action(&e, &doc, JSON_ROOT, &part, &out, &chat));
	assert_true(span_eq(buf_span(&out),
	    SPAN_LIT("{\"op\":\"x\",\"chat_id\":"
		     "\"c\",\"metadata\":{\"scope_id\":\"g\\\"1\"}}")));
	buf_free(&out);
	egress_free(&e);
}

static void
test_doubled_keys_are_refused(void **state)
{
	static const char *const bad[] = {"{\"op\":\"a\",\"op\":\"b\"}",
	    "{\"op\":\"a\",\"chat_id\":\"c\",\"chat_id\":\"d\"}",
	    "{\"op\":\"a\",\"chat_id\":\"c\",\"metadata\":{\"scope_id\":\"1\","
	    "\"scope\\u005fid\":\"2\"}}",
	    "{\"op\":\"a\",\"metadata\":[]}", "{\"op\":1}", "7"};
	static struct json_doc doc;
	struct chat_hint hint = {NULL, 0};
	struct egress e;
	struct chat *chat;
	struct buf out;
	size_t i;

	(void)state;
	egress_init(&e, &key);
	egress_learn(&e, &hint, SPAN_LIT("discord"), SPAN_LIT("c"),
	    SPAN_LIT("g"), SPAN_LIT("u"));
	buf_init(&out, 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
		    json_parse(&doc, bad[i], strlen(bad[i]), 2), 0);
		assert_non_null(
		    egress_action(&e, &doc, JSON_ROOT, &part, &out, &chat));
	}
	buf_free(&out);
	egress_free(&e);
}

static void
test_memory_is_bounded_least_recent_goes(void **state)
{
	struct chat_hint hint = {NULL, 0};
	struct egress e;
	char id[32];
	int i;

	(void)state;
	egress_init(&e, &key);
	for (i = 0; i < LIMIT_CHATS + 500; i++) {
		(void)snprintf(id, sizeof(id), "c%d", i);
		egress_learn(&e, &hint, SPAN_LIT("x"), span_str(id),
		    SPAN_LIT("g"), SPAN_LIT("u"));
		assert_non_null(egress_find(&e, SPAN_LIT("c0"))); /* in use */
	}
	assert_int_equal(e.n, LIMIT_CHATS);
	assert_null(egress_find(&e, SPAN_LIT("c1")));
	assert_non_null(egress_find(&e, span_str(id)));
	egress_free(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_metadata_is_made_when_there_is_none),
	    cmocka_unit_test(test_doubled_keys_are_refused),
	    cmocka_unit_test(test_memory_is_bounded_least_recent_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
