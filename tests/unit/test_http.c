/* SPDX-License-Identifier: ISC */
/* http: good heads are taken apart, doubtful ones refused, bounds kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "buf.h"
#include "http.h"

#define assert_span(s, want) assert_true(span_eq((s), span_str(want)))

static struct http_head head;

typedef ptrdiff_t parser(struct http_head *, const char *, size_t);

/* Parse a copy of its own size, where the sanitizer sees a read beyond. */
static ptrdiff_t
parse_alone(parser *parse, const char *text, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	ptrdiff_t r;

	assert_non_null(copy);
	memcpy(copy, text, len);
	r = parse(&head, copy, len);
	free(copy);
	return r;
}

/* A good head wants more until its last byte, and leaves what follows. */
static void
check_good(parser *parse, const char *text)
{
	size_t n, len = strlen(text);
	char more[2048];

	for (n = 0; n < len; n++)
		if (parse_alone(parse, text, n) != 0)
			fail_msg("%s: cut to %zu: %s", text, n, head.err);
	snprintf(more, sizeof(more), "%s\x01 body", text);
	assert_int_equal(parse_alone(parse, more, len + 6), len);
	if (parse(&head, text, len) != (ptrdiff_t)len)
		fail_msg("%s: %s", text, head.err);
}

static void
check_bad(parser *parse, const char *text, const char *err)
{
	ptrdiff_t r = parse_alone(parse, text, strlen(text));

	if (r != -1 || head.err == NULL || strcmp(head.err, err) != 0)
		fail_msg("%s: %td %s", text, r, head.err);
}

static void
test_a_response_is_taken_apart(void **state)
{
	int dup;

	(void)state;
	check_good(http_parse_response,
	    "HTTP/1.1 404 Not Fo\xc3\xbcnd\r\n"
	    "Content-Length: 12\r\n"
	    "X-Empty:\r\n"
	    "x-odd!#$%&'*+-.^_`|~name:\t a  b \t\r\n"
	    "Set-Cookie: a=b\r\n"
	    "set-cookie: c=d\r\n"
	    "\r\n");
	assert_int_equal(head.minor, 1);
	assert_int_equal(head.status, 404);
	assert_span(head.reason, "Not Fo\xc3\xbcnd");
	assert_null(head.method.p);
	assert_int_equal(head.nheaders, 5);
	assert_span(http_header(&head, "content-length", &dup), "12");
	assert_int_equal(dup, 0);
	assert_span(http_header(&head, "X-EMPTY", NULL), "");
	assert_non_null(http_header(&head, "x-empty", NULL).p);
	assert_span(
	    http_header(&head, "X-odd!#$%&'*+-.^_`|~NAME", NULL), "a  b");
	assert_null(http_header(&head, "Set-Cookie", &dup).p);
	assert_int_equal(dup, 1);
	assert_null(http_header(&head, "Absent", &dup).p);
	assert_int_equal(dup, 0);
}

static void
test_a_reason_may_be_empty_or_missing(void **state)
{
	(void)state;
	check_good(http_parse_response, "HTTP/1.0 200 \r\n\r\n");
	assert_int_equal(head.minor, 0);
	assert_int_equal(head.reason.len, 0);
	check_good(http_parse_response, "HTTP/1.1 200\r\n\r\n");
	assert_int_equal(head.status, 200);
	check_good(http_parse_response, "HTTP/1.1 100 Continue\r\n\r\n");
	check_good(http_parse_response, "HTTP/1.1 599 x\r\n\r\n");
	check_good(http_parse_response,
	    "HTTP/1.1 200 OK\r\n"
	    "Transfer-Encoding: Chunked\r\n\r\n");
}

static void
test_a_request_is_taken_apart(void **state)
{
	(void)state;
	check_good(http_parse_request,
	    "GET /relay?a=b HTTP/1.1\r\n"
	    "Host: c.example\r\n\r\n");
	assert_span(head.method, "GET");
	assert_span(head.target, "/relay?a=b");
	assert_int_equal(head.minor, 1);
	check_good(http_parse_request, "OPTIONS * HTTP/1.0\r\n\r\n");
	assert_span(head.target, "*");
}

static void
test_malformed_first_lines_are_refused(void **state)
{
	static const struct {
		const char *text;
		const char *err;
	} responses[] =
	    {
		{"\r\nHTTP/1.1 200 OK\r\n", "not HTTP"},
		{"SSH-2.0-OpenSSH\r\n", "not HTTP"},
		{"http/1.1 200 OK\r\n", "not HTTP"},
		{"HTTP/2.0 200 OK\r\n", "HTTP version is neither 1.0 nor 1.1"},
		{"HTTP/1.2 200 OK\r\n", "HTTP version is neither 1.0 nor 1.1"},
		{"HTTP/1.1\t200 OK\r\n", "malformed status line"},
		{"HTTP/1.1  200 OK\r\n", "malformed status line"},
		{"HTTP/1.1 20 OK\r\n", "malformed status line"},
		{"HTTP/1.1 2000 OK\r\n", "malformed status line"},
		{"HTTP/1.1 +20 OK\r\n", "malformed status line"},
		{"HTTP/1.1 2000\r\n", "malformed status line"},
		{"HTTP/1.1 2\r\n", "malformed status line"},
		{"HTTP/1.1 099 OK\r\n", "status code out of range"},
		{"HTTP/1.1 600 OK\r\n", "status code out of range"},
		{"HTTP/1.1 200 O\x1bK\r\n", "control character in the head"},
		{"HTTP/1.1 200 OK\n", "line ends without carriage return"},
		{"HTTP/1.1 200 OK\rX", "carriage return inside a line"},
	    },
	  requests[] = {
	      {"\r\nGET / HTTP/1.1\r\n", "malformed request line"},
	      {"GET\r\n", "malformed request line"},
	      {"GET / \r\n", "malformed request line"},
	      {"GET /\r\n", "malformed request line"},
	      {"GET  / HTTP/1.1\r\n", "malformed request line"},
	      {"GET / HTTP/1.1 \r\n", "malformed request line"},
	      {"GET /a b HTTP/1.1\r\n", "malformed request line"},
	      {" GET / HTTP/1.1\r\n", "malformed method"},
	      {"G(T / HTTP/1.1\r\n", "malformed method"},
	      {"GET /\x80 HTTP/1.1\r\n", "request target is not plain ASCII"},
	      {"GET /\ta HTTP/1.1\r\n", "request target is not plain ASCII"},
	      {"GET / HTTP/1.3\r\n", "HTTP version is neither 1.0 nor 1.1"},
	      {"GET / HTCP/1.1\r\n", "not HTTP"},
	  };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(responses) / sizeof(responses[0]); i++)
		check_bad(
		    http_parse_response, responses[i].text, responses[i].err);
	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		check_bad(
		    http_parse_request, requests[i].text, requests[i].err);
}

static void
test_doubtful_headers_are_refused(void **state)
{
	static const struct {
		const char *lines;
		const char *err;
	} cases[] = {
	    {"A : b\r\n", "malformed header name"},
	    {": b\r\n", "malformed header name"},
	    {"A(: b\r\n", "malformed header name"},
	    {"A\xc3: b\r\n", "malformed header name"},
	    {" A: b\r\n", "folded header line"},
	    {"A: b\r\n c\r\n", "folded header line"},
	    {"A: b\r\n\tc\r\n", "folded header line"},
	    {"A b\r\n", "header without a colon"},
	    {"A: b\n", "line ends without carriage return"},
	    {"A: b\r\n\n", "line ends without carriage return"},
	    {"A: b\rc\r\n", "carriage return inside a line"},
	    {"A: b\r\r\n", "carriage return inside a line"},
	    {"A: b\x01\r\n", "control character in the head"},
	    {"A: b\x7f\r\n", "control character in the head"},
	    {"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"Content-Length or Transfer-Encoding there twice"},
	    {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"Content-Length or Transfer-Encoding there twice"},
	    {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"Content-Length beside Transfer-Encoding"},
	    {"Transfer-Encoding: gzip, chunked\r\n\r\n",
		"Transfer-Encoding is not chunked"},
	    {"Transfer-Encoding: xchunked\r\n\r\n",
		"Transfer-Encoding is not chunked"},
	    {"Transfer-Encoding:\r\n\r\n", "Transfer-Encoding is not chunked"},
	    {"Content-Length: 1, 1\r\n\r\n", "Content-Length is not a number"},
	    {"Content-Length: +1\r\n\r\n", "Content-Length is not a number"},
	    {"Content-Length: -1\r\n\r\n", "Content-Length is not a number"},
	    {"Content-Length: 0x1\r\n\r\n", "Content-Length is not a number"},
	    {"Content-Length:\r\n\r\n", "Content-Length is not a number"},
	    {"Content-Length: 1234567890123456789\r\n\r\n",
		"Content-Length is not a number"},
	};
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s",
		    cases[i].lines);
		check_bad(http_parse_response, text, cases[i].err);
		snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nHost: a\r\n%s",
		    cases[i].lines);
		check_bad(http_parse_request, text, cases[i].err);
	}
	check_bad(http_parse_response,
	    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "Transfer-Encoding is not chunked");
	check_bad(
	    http_parse_request, "GET / HTTP/1.1\r\n\r\n", "Host is missing");
	check_bad(http_parse_request,
	    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "Host there twice");
	/* strlen cannot carry this one. */
	assert_int_equal(parse_alone(http_parse_response,
			     "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", 27),
	    -1);
}

static void
add_response(struct buf *b, size_t value, size_t times)
{
	size_t i;

	buf_reset(b);
	buf_addf(b, "HTTP/1.1 200 OK\r\n");
	for (i = 0; i < times; i++)
		buf_addf(b, "A: %0*d\r\n", (int)value, 0);
	buf_addf(b, "\r\n");
}

static ptrdiff_t
parse_buf(const struct buf *b)
{
	return http_parse_response(&head, buf_span(b).p, buf_len(b));
}

static void
test_bounds(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	add_response(&b, 1, HTTP_HEADERS_MAX);
	assert_int_equal(parse_buf(&b), buf_len(&b));
	add_response(&b, 1, HTTP_HEADERS_MAX + 1);
	assert_int_equal(parse_buf(&b), -1);
	assert_string_equal(head.err, "too many headers");
	add_response(&b, HTTP_LINE_MAX - 3, 1);
	assert_int_equal(parse_buf(&b), buf_len(&b));
	add_response(&b, HTTP_LINE_MAX - 2, 1);
	assert_int_equal(parse_buf(&b), -1);
	assert_string_equal(head.err, "line of the head too long");
	/* 17 + 2 * (3 + v + 2) + 2 bytes: exactly the bound, and one more. */
	add_response(&b, (HTTP_HEAD_MAX - 17 - 2 - 4 * 5) / 4, 3);
	b.end -= 2;
	buf_addf(
	    &b, "A: %0*d\r\n\r\n", (int)(HTTP_HEAD_MAX - buf_len(&b) - 7), 0);
	assert_int_equal(buf_len(&b), HTTP_HEAD_MAX);
	assert_int_equal(parse_buf(&b), HTTP_HEAD_MAX);
	b.end -= 4;
	buf_addf(&b, "0\r\n\r\n");
	assert_int_equal(parse_buf(&b), -1);
	assert_string_equal(head.err, "head too long");
	buf_free(&b);
}

static void
test_tokens_of_lists(void **state)
{
	static const char text[] = "HTTP/1.1 101 Switching Protocols\r\n"
				   "Connection: keep-alive ,\tUpGrade\r\n"
				   "Upgrade: websocket2, web socket\r\n"
				   "UPGRADE: ,, h2c,WebSocket\r\n"
				   "Vary:\r\n\r\n";

	(void)state;
	assert_true(http_parse_response(&head, text, strlen(text)) > 0);
	assert_true(http_has_token(&head, "connection", "upgrade"));
	assert_true(http_has_token(&head, "Connection", "Keep-Alive"));
	assert_true(http_has_token(&head, "Upgrade", "websocket"));
	assert_false(http_has_token(&head, "Upgrade", "socket"));
	assert_false(http_has_token(&head, "Connection", "keep"));
	assert_false(http_has_token(&head, "Vary", "x"));
	assert_false(http_has_token(&head, "Absent", "x"));
}

static void
test_dates(void **state)
{
	static const struct {
		const char *text;
		long long t;
	} cases[] = {
	    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
	    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
	    {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
	    {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
	    {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
	    {"", -1},
	    {"Mon, 06 Nov 1994 08:49:37 GMT", -1}, /* was a Sunday */
	    {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
	    {"Sun, 06 nov 1994 08:49:37 GMT", -1},
	    {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
	    {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
	    {"Sun. 06 Nov 1994 08:49:37 GMT", -1},
	    {"Sun, 06-Nov 1994 08:49:37 GMT", -1},
	    {"Sun, 06 Nov-1994 08:49:37 GMT", -1},
	    {"Sun, 06 Nov 1994T08:49:37 GMT", -1},
	    {"Sun, 06 Nov 1994 08.49:37 GMT", -1},
	    {"Sun, 06 Nov 1994 08:49.37 GMT", -1},
	    {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
	    {"Sun, 06 Nov 1994 08:60:00 GMT", -1},
	    {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
	    {"Sun, 06 Nov 1994 08:49:3x GMT", -1},
	    {"Sun, 06 Nov -994 08:49:37 GMT", -1},
	    {"Wed, 29 Feb 2023 00:00:00 GMT", -1},
	    {"Sun, 00 Jan 2023 00:00:00 GMT", -1},
	    {"Tue, 31 Nov 2023 00:00:00 GMT", -1},
	    {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
	    {"Sunday, 06-Nov-94 08:49:37 GMT", -1},
	    {"Sun Nov  6 08:49:37 1994", -1},
	};
	char text[64];
	struct tm tm;
	size_t i;
	time_t t;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (http_date(span_str(cases[i].text)) != cases[i].t)
			fail_msg("%s", cases[i].text);
	assert_int_equal(http_date((struct span){NULL, 0}), -1);
	/* Every day of a cycle of leap years, as the C library spells it. */
	for (t = 12345; t < 400LL * 366 * 86400; t += 86400) {
		assert_non_null(gmtime_r(&t, &tm));
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		if (http_date(span_str(text)) != t)
			fail_msg("%s", text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_response_is_taken_apart),
	    cmocka_unit_test(test_a_reason_may_be_empty_or_missing),
	    cmocka_unit_test(test_a_request_is_taken_apart),
	    cmocka_unit_test(test_malformed_first_lines_are_refused),
	    cmocka_unit_test(test_doubtful_headers_are_refused),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_tokens_of_lists),
	    cmocka_unit_test(test_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
