/* SPDX-License-Identifier: ISC */
/* wshake: the RFC's example, the request we send, the answers we take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wshake.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455 1.3 */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define assert_span(s, want) assert_true(span_eq((s), span_str(want)))

static struct http_head head;

static void
test_the_example_of_the_rfc(void **state)
{
	char key[WSHAKE_KEY_LEN + 1], accept[WSHAKE_ACCEPT_LEN + 1];

	(void)state;
	wshake_key(key, (const unsigned char *)"the sample nonce");
	assert_string_equal(key, KEY);
	wshake_accept(accept, span_str(key));
	assert_string_equal(accept, ACCEPT);
	wshake_accept(accept, SPAN_LIT("too short"));
	assert_string_equal(accept, "");
}

static void
test_the_request_is_good_http(void **state)
{
	struct buf b;
	struct url u;

	(void)state;
	buf_init(&b, 0);
	assert_null(url_parse(&u, SPAN_LIT("https://c.example:8443/base")));
	assert_int_equal(
	    wshake_request(&b, &u, KEY, SPAN_LIT("Z3c6MTpm_-")), 0);
	assert_int_equal(http_parse_request(&head, buf_span(&b).p, buf_len(&b)),
	    buf_len(&b));
	assert_span(head.method, "GET");
	assert_span(head.target, "/base/relay");
	assert_int_equal(head.minor, 1);
	assert_span(http_header(&head, "Host", NULL), "c.example:8443");
	assert_true(http_has_token(&head, "Upgrade", "websocket"));
	assert_true(http_has_token(&head, "Connection", "upgrade"));
	assert_span(http_header(&head, "Sec-WebSocket-Key", NULL), KEY);
	assert_span(http_header(&head, "Sec-WebSocket-Version", NULL), "13");
	assert_span(
	    http_header(&head, "Authorization", NULL), "Bearer Z3c6MTpm_-");
	buf_reset(&b);
	assert_int_equal(
	    wshake_request(&b, &u, KEY, (struct span){NULL, 0}), 0);
	assert_int_equal(http_parse_request(&head, buf_span(&b).p, buf_len(&b)),
	    buf_len(&b));
	assert_null(http_header(&head, "Authorization", NULL).p);
	buf_free(&b);
}

static void
test_a_request_that_cannot_be_leaves_nothing(void **state)
{
	struct span bad[] = {SPAN_LIT(""), SPAN_LIT("a b"), SPAN_LIT(" "),
	    SPAN_LIT("a\r\nX: y"), SPAN_LIT("a\0b"), SPAN_LIT("\xc3\xa9")};
	struct buf b;
	struct url u;
	size_t i;

	(void)state;
	assert_null(url_parse(&u, SPAN_LIT("https://c.example")));
	buf_init(&b, 0);
	buf_addf(&b, "before");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(wshake_request(&b, &u, KEY, bad[i]), -1);
	assert_span(buf_span(&b), "before");
	buf_free(&b);
	/* Whatever the bound, it is all or nothing. */
	for (i = 0; i < 260; i++) {
		buf_init(&b, 6 + i);
		buf_addf(&b, "before");
		if (wshake_request(&b, &u, KEY, SPAN_LIT("token")) == 0)
			break;
		assert_span(buf_span(&b), "before");
		buf_free(&b);
	}
	assert_true(i > 200 && i < 260);
	buf_free(&b);
}

static void
test_answers(void **state)
{
#define OK101	"HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE "Upgrade: WebSocket\r\n"
#define CONN	"Connection: Upgrade\r\n"
#define ACC	"Sec-WebSocket-Accept: " ACCEPT "\r\n"
	static const struct {
		const char *text;
		const char *why;
	} cases[] = {
	    {OK101 UPGRADE CONN ACC, NULL},
	    {OK101 ACC "connection: keep-alive, upgrade\r\n"
		       "upgrade: websocket\r\nDate: x\r\n",
		NULL},
	    {"HTTP/1.1 200 OK\r\n" UPGRADE CONN ACC, "the upgrade was refused"},
	    {"HTTP/1.1 401 Unauthorized\r\n", "the upgrade was refused"},
	    {"HTTP/1.0 101 Ok\r\n" UPGRADE CONN ACC,
		"the upgrade was answered in HTTP/1.0"},
	    {OK101 CONN ACC, "the answer does not upgrade to websocket"},
	    {OK101 "Upgrade: h2c\r\n" CONN ACC,
		"the answer does not upgrade to websocket"},
	    {OK101 UPGRADE ACC, "the answer's Connection header lacks upgrade"},
	    {OK101 UPGRADE "Connection: close\r\n" ACC,
		"the answer's Connection header lacks upgrade"},
	    {OK101 UPGRADE CONN,
		"the Sec-WebSocket-Accept does not answer our key"},
	    {OK101 UPGRADE CONN ACC ACC,
		"the Sec-WebSocket-Accept does not answer our key"},
	    {OK101 UPGRADE CONN
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n",
		"the Sec-WebSocket-Accept does not answer our key"},
	    {OK101 UPGRADE CONN
		"Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n",
		"the Sec-WebSocket-Accept does not answer our key"},
	    {OK101 UPGRADE CONN "Sec-WebSocket-Accept:\r\n",
		"the Sec-WebSocket-Accept does not answer our key"},
	    {OK101 UPGRADE CONN ACC
		"Sec-WebSocket-Extensions: permessage-deflate\r\n",
		"the answer has an extension that was not offered"},
	    {OK101 UPGRADE CONN ACC
		"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n",
		"the answer has a subprotocol that was not offered"},
	};
	char text[512];
	const char *why;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		n = snprintf(text, sizeof(text), "%s\r\n", cases[i].text);
		assert_int_equal(
		    http_parse_response(&head, text, (size_t)n), n);
		why = wshake_check(&head, KEY);
		if ((why == NULL) != (cases[i].why == NULL) ||
		    (why != NULL && strcmp(why, cases[i].why) != 0))
			fail_msg("%s%s", text, why == NULL ? "taken" : why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_example_of_the_rfc),
	    cmocka_unit_test(test_the_request_is_good_http),
	    cmocka_unit_test(test_a_request_that_cannot_be_leaves_nothing),
	    cmocka_unit_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
