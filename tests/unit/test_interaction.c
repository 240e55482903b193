/* SPDX-License-Identifier: ISC */
/* Discord interactions against the vectors of other implementations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "interaction.h"
#include "limit.h"
#include "vec.h"

static struct interaction in;

static struct span
b64(struct buf *room, struct span body)
{
	char *p;

	buf_reset(room);
	p = buf_reserve(room, BASE64_LEN(body.len) + 1);
	assert_non_null(p);
	buf_commit(room, base64_encode(p, body.p, body.len));
	return buf_span(room);
}

/* Whether each member of `want` stands in `have` with an equal value. */
static void
assert_within(struct span want, struct span have)
{
	struct json_doc *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	char name[64], s[256], t[256];
	int n, m;

	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(json_parse(a, want.p, want.len, 1), 0);
	assert_int_equal(json_parse(b, have.p, have.len, 1), 0);
	for (n = json_first(a, JSON_ROOT); n != -1; n = json_next(a, n)) {
		span_copy(name, sizeof(name),
		    (struct span){a->text + a->node[n].key, a->node[n].keylen});
		if (strcmp(name, "session_key") == 0)
			continue;
		m = json_get(b, JSON_ROOT, name);
		if (m == -1)
			fail_msg("%s is missing", name);
		assert_int_equal(a->node[n].type, b->node[m].type);
		if (a->node[n].type == JSON_OBJECT)
			assert_within(json_raw(a, n), json_raw(b, m));
		else if (a->node[n].type == JSON_STRING &&
		    !span_eq(json_str(a, n, s, sizeof(s)),
			json_str(b, m, t, sizeof(t))))
			fail_msg("%s: %.*s", name, (int)json_raw(b, m).len,
			    json_raw(b, m).p);
	}
	free(a);
	free(b);
}

static void
check_case(struct span body, struct span want)
{
	struct json_doc *doc = malloc(sizeof(*doc));
	char key[LIMIT_SESSION_KEY];
	struct buf out;
	ptrdiff_t n;
	const char *why = interaction_read(&in, body, (struct span){NULL, 0});

	assert_non_null(doc);
	assert_int_equal(json_parse(doc, want.p, want.len, 1), 0);
	if (doc->node[JSON_ROOT].type == JSON_NULL)
		assert_non_null(why);
	else {
		assert_null(why);
		buf_init(&out, 0);
		interaction_put(&in, &out);
		assert_within(want, buf_span(&out));
		n = session_key(&in.src, 1, 0, key, sizeof(key));
		assert_true(n > 0);
		assert_true(span_eq((struct span){key, (size_t)n},
		    json_str_raw(
			doc, json_get(doc, JSON_ROOT, "session_key"))));
		assert_int_equal(
		    json_get(doc, JSON_ROOT, "prompt_response") == -1,
		    in.prompt_id.p == NULL);
		buf_free(&out);
	}
	free(doc);
}

static void
one_case(const struct json_doc *doc)
{
	struct buf room;
	int raw = json_get(doc, JSON_ROOT, "body_b64");
	struct span event = json_raw(doc, json_get(doc, JSON_ROOT, "event"));

	buf_init(&room, 0);
	check_case(raw != -1
		? json_str_raw(doc, raw)
		: b64(&room, json_raw(doc, json_get(doc, JSON_ROOT, "body"))),
	    event);
	buf_free(&room);
}

static void
test_vectors(void **state)
{
	(void)state;
	vec_cases("tests/vectors/interactions.json", 24, one_case);
}

/* Read a body that stands here as JSON; its text must be this. */
static void
check_text(const char *body, const char *text, int command)
{
	struct buf room;

	buf_init(&room, 0);
	assert_null(interaction_read(
	    &in, b64(&room, span_str(body)), (struct span){NULL, 0}));
	assert_true(span_eq(buf_span(&in.text), span_str(text)));
	assert_int_equal(in.command, command);
	buf_free(&room);
}

static void
test_odd_bodies(void **state)
{
	(void)state;
	check_text("{\"type\":2,\"data\":{\"name\":\"b\",\"options\":["
		   "{\"value\":true},{\"value\":1.50},{\"value\":null},"
		   "{\"value\":[1]},7,{}]}}",
	    "/b true 1.50", 1);
	check_text("{\"type\":2,\"data\":{\"name\":\" \"}}", "", 0);
	check_text("{\"type\":2,\"data\":{\"name\":\"\\u00e9\","
		   "\"options\":[{\"value\":\"a\\nb\"}]}}",
	    "/\xc3\xa9 a\nb", 1);
	/* No deeper than Discord nests. */
	check_text("{\"type\":2,\"data\":{\"name\":\"n\",\"options\":["
		   "{\"type\":2,\"name\":\"a\",\"options\":["
		   "{\"type\":1,\"name\":\"b\",\"options\":["
		   "{\"type\":1,\"name\":\"c\",\"options\":["
		   "{\"type\":1,\"name\":\"d\",\"options\":[]}]}]}]}]}}",
	    "/n a b c d", 1);
	check_text(
	    "{\"type\":3,\"data\":{\"custom_id\":\"hp1::x\"}}", "hp1::x", 0);
	check_text(
	    "{\"type\":3,\"data\":{\"custom_id\":\"hp1:x:\"}}", "hp1:x:", 0);
	check_text("{\"type\":3,\"data\":{\"custom_id\":"
		   "\"hp1:123456789012345678901234567890123:x\"}}",
	    "hp1:123456789012345678901234567890123:x", 0);
	check_text("{\"type\":1e0,\"data\":{\"name\":\"x\"}}", "", 0);
}

/* A component's interaction brings its whole message along: hundreds of
 * members must not hide who pressed. */
static void
test_many_members(void **state)
{
	struct buf body, room;
	int i;

	(void)state;
	buf_init(&body, 0);
	buf_init(&room, 0);
	(void)buf_addf(&body, "{\"message\":{\"id\":\"m1\"");
	for (i = 0; i < 200; i++)
		(void)buf_addf(&body, ",\"k%d\":{\"a\":[1,2,3]}", i);
	(void)buf_addf(&body,
	    "},\"type\":3,\"channel_id\":\"c\",\"guild_id\":\"g\","
	    "\"member\":{\"user\":{\"id\":\"u\"}},"
	    "\"data\":{\"custom_id\":\"hp1:p:o\"}}");
	assert_null(interaction_read(
	    &in, b64(&room, buf_span(&body)), SPAN_LIT("work")));
	assert_true(span_eq(in.src.user_id, SPAN_LIT("u")));
	assert_true(span_eq(in.prompt_id, SPAN_LIT("p")));
	assert_true(span_eq(in.prompt_message_id, SPAN_LIT("m1")));
	assert_true(span_eq(in.src.profile, SPAN_LIT("work")));
	buf_free(&body);
	buf_free(&room);
}

static void
test_line(void **state)
{
	static const char line[] =
	    "{\"type\":\"passthrough_forward\",\"forward\":{\"platform\":"
	    "\"discord\",\"bodyB64\":\"eyJ0eXBlIjoyLCJkYXRhIjp7Im5hbWUiOiJh"
	    "In19\"},\"bufferId\":\"e-7\",\"session_key\":\"k\"}";
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_null(interaction_line(&in, span_str(line), &out));
	assert_within(
	    SPAN_LIT("{\"type\":\"inbound\",\"event\":{\"text\":\"/a\""
		     "},\"bufferId\":\"e-7\"}"),
	    buf_span(&out));
	buf_reset(&out);
	assert_non_null(interaction_line(
	    &in, SPAN_LIT("{\"forward\":{\"bodyB64\":\"W10=\"}}"), &out));
	assert_non_null(
	    interaction_line(&in, SPAN_LIT("{\"forward\":{}}"), &out));
	buf_free(&out);
}

static int
set_up(void **state)
{
	(void)state;
	interaction_init(&in);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	interaction_free(&in);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_odd_bodies),
	    cmocka_unit_test(test_many_members),
	    cmocka_unit_test(test_line),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
