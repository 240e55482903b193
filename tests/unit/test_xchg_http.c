/* SPDX-License-Identifier: ISC */
/* The request of an exchange, and answers as they come in and are read: over
 * every split, without a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../relay-xchg/xchg_answer.c"
#include "../../relay-xchg/xchg_http.c"

/* Large: not on the stack. */
static struct xchg_reader reader;
static struct xchg_result result;

static struct msg_xrequest
request(void)
{
	struct msg_xrequest q = {.host = SPAN_LIT("h:1"),
	    .path = SPAN_LIT("/p?a=b"),
	    .bearer = SPAN_LIT("t"),
	    .content_type = SPAN_LIT("a/b"),
	    .body = SPAN_LIT("\0x")};

	return q;
}

static const char *
refused(const struct msg_xrequest *q)
{
	static char out[XCHG_REQUEST_MAX];
	const char *why = NULL;

	assert_int_equal(xchg_http_request(out, q, &why), 0);
	assert_non_null(why);
	return why;
}

static void
requests(void **state)
{
	static const char wanted[] = "POST /p?a=b HTTP/1.1\r\nHost: h:1\r\n"
				     "Authorization: Bearer t\r\n"
				     "Content-Type: a/b\r\n"
				     "Content-Length: 2\r\n"
				     "Accept: application/json\r\n"
				     "User-Agent: relayd/" VERSION "\r\n"
				     "Connection: close\r\n\r\n\0x";
	static char out[XCHG_REQUEST_MAX];
	struct msg_xrequest q = request();
	const char *why;

	(void)state;
	assert_int_equal(xchg_http_request(out, &q, &why), sizeof(wanted) - 1);
	assert_memory_equal(out, wanted, sizeof(wanted) - 1);
	q.body = SPAN_LIT("");
	assert_true(xchg_http_request(out, &q, &why) > 0);
	assert_non_null(strstr(out, "\r\nContent-Length: 0\r\n"));
}

/* Nothing gets a line of its own. */
static void
injections(void **state)
{
	static const struct span bad[] = {SPAN_LIT("/a b"), SPAN_LIT("/a\r\nb"),
	    SPAN_LIT("/\x7f"), SPAN_LIT("/\xc3\xa9"), SPAN_LIT("/a\nb"),
	    SPAN_LIT("/a\tb")};
	struct msg_xrequest q;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		q = request();
		q.path = bad[i];
		assert_non_null(strstr(refused(&q), "path"));
		q = request();
		q.host = bad[i];
		assert_non_null(strstr(refused(&q), "host"));
		q = request();
		q.bearer = bad[i];
		assert_non_null(strstr(refused(&q), "bearer"));
		q = request();
		q.content_type = bad[i];
		assert_non_null(strstr(refused(&q), "content type"));
	}
	q = request();
	q.path = SPAN_LIT("p");
	refused(&q);
	q.path = SPAN_LIT("");
	refused(&q);
}

/* Answers. */

static void
read_cut(const char *p, size_t len, size_t cut)
{
	char *a = malloc(cut + 1), *b = malloc(len - cut + 1);

	assert_true(a != NULL && b != NULL);
	memcpy(a, p, cut);
	memcpy(b, p + cut, len - cut);
	xchg_reader_init(&reader);
	xchg_reader_feed(&reader, a, cut);
	free(a);
	xchg_reader_feed(&reader, b, len - cut);
	free(b);
	xchg_reader_close(&reader);
}

/* Its outcome, in a line. */
static void
outcome(enum xchg_answer kind, char *out, size_t cap)
{
	const struct msg_xanswer *m = &result.m;

	memset(&result, 0, sizeof(result));
	if (reader.status == 0) {
		snprintf(out, cap, "none: %s", reader.err);
		return;
	}
	xchg_answer_http(&result, kind, &reader);
	snprintf(out, cap,
	    "%d %d %d \"%.*s\" \"%.*s\" \"%.*s\" \"%.*s\" \"%.*s\" %s",
	    (int)m->stage, (int)m->status, (int)m->date, (int)m->token.len,
	    m->token.p, (int)m->secret.len, m->secret.p,
	    (int)m->delivery_key.len, m->delivery_key.p, (int)m->tenant.len,
	    m->tenant.p, (int)m->gateway_id.len, m->gateway_id.p,
	    result.reason);
}

static void
every_split(void **state)
{
	static const struct {
		enum xchg_answer kind;
		const char *answer, *outcome;
	} all[] = {
	    {ANSWER_CREDENTIAL,
		"HTTP/1.1 102 Wait\r\nDate: x\r\n\r\n"
		"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
		"Transfer-Encoding: chunked\r\n\r\n"
		"a\r\n{\"secret\":\r\n21\r\n\"\\u00e9\",\"gatewayId\":\"g\","
		"\"tenant\"\r\nd\r\n:\"\\\"\",\"x\":[]}\r\n0\r\nA: "
		"b\r\n\r\nmore",
		"0 200 784111777 \"\" \"\xc3\xa9\" \"\" \"\"\" \"g\" "},
	    {ANSWER_TOKEN, "HTTP/1.0 200\r\n\r\n {\"access_token\" : \"ab\"} ",
		"0 200 0 \"ab\" \"\" \"\" \"\" \"\" "},
	    {ANSWER_STATUS,
		"HTTP/1.1 403 No\r\nContent-Length: 15\r\n\r\n"
		"{\"error\":\"bad\"}",
		"1 403 0 \"\" \"\" \"\" \"\" \"\" bad"},
	    {ANSWER_STATUS, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx",
		"4 200 0 \"\" \"\" \"\" \"\" \"\" closed before the body's "
		"end"},
	    {ANSWER_STATUS, "HTTP/1.1 200 OK\r\nA b\r\n\r\n",
		"none: header without a colon"},
	};
	char got[512];
	size_t i, cut, len;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		len = strlen(all[i].answer);
		for (cut = 0; cut <= len; cut++) {
			read_cut(all[i].answer, len, cut);
			outcome(all[i].kind, got, sizeof(got));
			if (strcmp(got, all[i].outcome) != 0)
				fail_msg("%s cut at %zu: %s, not %s",
				    all[i].answer, cut, got, all[i].outcome);
		}
	}
}

/* Interim answers are skipped, some of them. */
static void
interim(void **state)
{
	static const char one[] = "HTTP/1.1 100 Continue\r\n\r\n",
			  last[] = "HTTP/1.1 200 OK\r\n\r\n";
	char text[512];
	int n, i;

	(void)state;
	for (n = 0; n <= XCHG_INTERIM_MAX + 1; n++) {
		text[0] = '\0';
		for (i = 0; i < n; i++)
			strlcat(text, one, sizeof(text));
		strlcat(text, last, sizeof(text));
		read_cut(text, strlen(text), 0);
		assert_int_equal(reader.state,
		    n <= XCHG_INTERIM_MAX ? READER_DONE : READER_BAD);
	}
}

/* The bounds of what an answer may say. */
static void
bounds(void **state)
{
	static const struct {
		const char *name;
		size_t max;
	} all[] = {{"secret", LIMIT_SECRET}, {"deliveryKey", LIMIT_SECRET},
	    {"tenant", LIMIT_ID}, {"gatewayId", LIMIT_ID}};
	static char text[XCHG_BODY_MAX];
	char value[LIMIT_SECRET + 2];
	size_t i, over;
	int n;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (over = 0; over < 2; over++) {
			memset(value, 'v', sizeof(value));
			value[all[i].max + over] = '\0';
			n = snprintf(text, sizeof(text),
			    "HTTP/1.1 200 OK\r\n\r\n{\"%s\":\"%s\"%s}",
			    all[i].name, value,
			    i == 0 ? "" : ",\"secret\":\"s\"");
			read_cut(text, (size_t)n, 0);
			memset(&result, 0, sizeof(result));
			xchg_answer_http(&result, ANSWER_CREDENTIAL, &reader);
			assert_int_equal(
			    result.m.stage, over ? XSTAGE_ANSWER : XSTAGE_DONE);
			if (over)
				assert_non_null(
				    strstr(result.reason, all[i].name));
		}
}

/* Foreign text is cut between characters, and never ends a line. */
static void
safe_text(void **state)
{
	char out[8];

	(void)state;
	safe(out, sizeof(out), SPAN_LIT("a\nb\x1b[\xc2\x85\xff"));
	assert_string_equal(out, "a?b?[??");
	safe(out, sizeof(out), SPAN_LIT("abcde\xc3\xa9z"));
	assert_string_equal(out, "abcde\xc3\xa9");
	safe(out, sizeof(out), SPAN_LIT("abcdef\xc3\xa9z"));
	assert_string_equal(out, "abcdef");
	safe(out, sizeof(out), SPAN_LIT("\xe2\x82"));
	assert_string_equal(out, "??");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests),
	    cmocka_unit_test(injections),
	    cmocka_unit_test(every_split),
	    cmocka_unit_test(interim),
	    cmocka_unit_test(bounds),
	    cmocka_unit_test(safe_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
