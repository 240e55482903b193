/* SPDX-License-Identifier: ISC */
/* Bodies of HTTP answers: what is taken, what is refused, and that it does not
 * depend on how they arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http_body.h"

#define CAP 16 /* bytes of the longest body */

/* What came of a body. */
struct got {
	enum http_body_state state;
	const char *err;
	size_t len, taken;
	char text[CAP];
};

static void
begin(struct http_body *b, const char *headers, char *out)
{
	static struct http_head head;
	char text[512] = "HTTP/1.1 200 OK\r\n";

	strlcat(text, headers, sizeof(text));
	strlcat(text, "\r\n", sizeof(text));
	assert_int_equal(
	    http_parse_response(&head, text, strlen(text)), strlen(text));
	http_body_begin(b, &head, out, CAP);
}

/* In two pieces, each alone in memory of its size; then the end. */
static struct got
feed(const char *headers, const char *p, size_t len, size_t cut, int closes)
{
	struct got g = {0};
	struct http_body b;
	const size_t part[2] = {cut, len - cut};
	char *piece;
	int i;

	begin(&b, headers, g.text);
	for (i = 0; i < 2; i++) {
		assert_non_null(piece = malloc(part[i] + 1));
		memcpy(piece, p + (i == 0 ? 0 : cut), part[i]);
		g.taken += http_body_feed(&b, piece, part[i]);
		free(piece);
	}
	if (closes)
		http_body_close(&b);
	g.state = b.state;
	g.err = b.err;
	g.len = b.len;
	return g;
}

struct trial {
	const char *headers, *bytes;
	enum http_body_state state; /* at the end of the bytes */
	const char *text;	    /* the body, or what is wrong */
	size_t left;		    /* bytes that are not the body's */
};

#define CHUNKED "Transfer-Encoding: chunked\r\n"
#define L(n)	"Content-Length: " n "\r\n"

/* clang-format off */
static const struct trial trials[] = {
	{L("5"), "hello", HTTP_BODY_DONE, "hello", 0},
	{L("5"), "helloHTTP", HTTP_BODY_DONE, "hello", 4},
	{L("5"), "hell", HTTP_BODY_MORE, "hell", 0},
	{L("0"), "", HTTP_BODY_DONE, "", 0},
	{L("0"), "x", HTTP_BODY_DONE, "", 1},
	{L("16"), "0123456789abcdef", HTTP_BODY_DONE, "0123456789abcdef", 0},
	{L("17"), "", HTTP_BODY_BAD, "body too long", 0},
	{L("999999999999999999"), "", HTTP_BODY_BAD, "body too long", 0},
	{"", "to the end", HTTP_BODY_MORE, "to the end", 0},
	{"", "0123456789abcdef", HTTP_BODY_MORE, "0123456789abcdef", 0},
	{CHUNKED, "5\r\nhello\r\n0\r\n\r\n", HTTP_BODY_DONE, "hello", 0},
	{CHUNKED, "2\r\nhe\r\n003\r\nllo\r\n0\r\n\r\nx", HTTP_BODY_DONE, "hello", 1},
	{CHUNKED, "A;a=b;c\r\n0123456789\r\n00000000;\r\n\r\n", HTTP_BODY_DONE,
	    "0123456789", 0},
	{CHUNKED, "0\r\nA: b\r\nDate: x\t\r\n\r\n", HTTP_BODY_DONE, "", 0},
	{CHUNKED, "5\r\nhello\r\n0\r\n", HTTP_BODY_MORE, "hello", 0},
	{CHUNKED, "\r\n", HTTP_BODY_BAD, "chunk without a size", 0},
	{CHUNKED, ";x\r\n", HTTP_BODY_BAD, "chunk without a size", 0},
	{CHUNKED, "-1\r\n", HTTP_BODY_BAD, "chunk without a size", 0},
	{CHUNKED, "0x5\r\n", HTTP_BODY_BAD, "chunk without a size", 0},
	{CHUNKED, " 5\r\n", HTTP_BODY_BAD, "chunk without a size", 0},
	{CHUNKED, "5 ;a\r\n", HTTP_BODY_BAD, "chunk without a size", 0},
	{CHUNKED, "5\nhello", HTTP_BODY_BAD, "chunk without a size", 0},
	{CHUNKED, "5\rhello", HTTP_BODY_BAD,
	    "carriage return without its line feed", 0},
	{CHUNKED, "5;\n", HTTP_BODY_BAD,
	    "control character in a chunk's extension", 0},
	{CHUNKED, "000000000\r\n", HTTP_BODY_BAD, "chunk too large", 0},
	{CHUNKED, "11\r\n", HTTP_BODY_BAD, "body too long", 0},
	{CHUNKED, "ffffffff\r\n", HTTP_BODY_BAD, "body too long", 0},
	{CHUNKED, "a\r\n0123456789\r\n7\r\n", HTTP_BODY_BAD, "body too long", 0},
	{CHUNKED, "2\r\nhello\r\n", HTTP_BODY_BAD, "chunk longer than its size", 0},
	{CHUNKED, "2\r\nhe\n", HTTP_BODY_BAD, "chunk longer than its size", 0},
	{CHUNKED, "2\r\nhe\rx", HTTP_BODY_BAD,
	    "carriage return without its line feed", 0},
	{CHUNKED, "0\r\n x: y\r\n\r\n", HTTP_BODY_BAD, "malformed trailer", 0},
	{CHUNKED, "0\r\n: y\r\n\r\n", HTTP_BODY_BAD, "malformed trailer", 0},
	{CHUNKED, "0\r\nA\r\n\r\n", HTTP_BODY_BAD, "malformed trailer", 0},
	{CHUNKED, "0\r\nA: \n\r\n", HTTP_BODY_BAD, "malformed trailer", 0},
	{CHUNKED, "0\r\nA: b\r\n\n", HTTP_BODY_BAD, "malformed trailer", 0},
	{CHUNKED, "0\r\n\rx", HTTP_BODY_BAD,
	    "carriage return without its line feed", 0},
};
/* clang-format on */

static void
check(const struct trial *t, const struct got *g, size_t cut)
{
	const size_t n = strlen(t->text);

	if (g->state != t->state)
		fail_msg("%s%s cut at %zu: state %d (%s)", t->headers, t->bytes,
		    cut, (int)g->state, g->err);
	if (t->state == HTTP_BODY_BAD) {
		assert_string_equal(g->err, t->text);
		return;
	}
	assert_int_equal(g->len, n);
	assert_memory_equal(g->text, t->text, n);
	assert_int_equal(g->taken, strlen(t->bytes) - t->left);
}

static void
every_split(void **state)
{
	struct got g;
	size_t i, cut, len;

	(void)state;
	for (i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		len = strlen(trials[i].bytes);
		for (cut = 0; cut <= len; cut++) {
			g = feed(
			    trials[i].headers, trials[i].bytes, len, cut, 0);
			check(&trials[i], &g, cut);
		}
	}
}

static void
byte_by_byte(void **state)
{
	struct http_body b;
	struct got g;
	size_t i, at;

	(void)state;
	for (i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
		memset(&g, 0, sizeof(g));
		begin(&b, trials[i].headers, g.text);
		for (at = 0; trials[i].bytes[at] != '\0'; at++)
			g.taken += http_body_feed(&b, trials[i].bytes + at, 1);
		g.state = b.state;
		g.err = b.err;
		g.len = b.len;
		check(&trials[i], &g, 1);
	}
}

/* Only what has no other end ends with the connection. */
static void
closed(void **state)
{
	struct got g;

	(void)state;
	g = feed("", "all", 3, 1, 1);
	assert_int_equal(g.state, HTTP_BODY_DONE);
	assert_int_equal(g.len, 3);
	g = feed(L("5"), "hell", 4, 1, 1);
	assert_int_equal(g.state, HTTP_BODY_BAD);
	g = feed(L("4"), "hell", 4, 1, 1);
	assert_int_equal(g.state, HTTP_BODY_DONE);
	g = feed(CHUNKED, "4\r\nhell\r\n0\r\n\r", 13, 1, 1);
	assert_int_equal(g.state, HTTP_BODY_BAD);
	assert_string_equal(g.err, "closed before the body's end");
	g = feed("", "0123456789abcdefg", 17, 3, 1);
	assert_int_equal(g.state, HTTP_BODY_BAD);
	assert_string_equal(g.err, "body too long");
}

/* Bounds of what means nothing to us. */
static void
bounds(void **state)
{
	char line[8192] = "0;", *p;

	(void)state;
	memset(line + 2, 'x', 254);
	memcpy(line + 255, "\r\n\r\n", 4);
	assert_int_equal(feed(CHUNKED, line, 259, 0, 0).state, HTTP_BODY_DONE);
	memset(line + 255, 'x', 10);
	assert_string_equal(feed(CHUNKED, line, 265, 7, 0).err,
	    "line of a chunk's size too long");
	p = line + 3;
	memcpy(line, "0\r\n", 3);
	memset(p, 'x', 5000);
	memcpy(p, "A: ", 3);
	assert_string_equal(
	    feed(CHUNKED, line, 5000, 7, 0).err, "trailers too long");
}

/* Statuses that have no body, whatever their head says. */
static void
bodiless(void **state)
{
	static const int status[] = {100, 204, 304};
	struct http_head head = {.minor = 1};
	struct http_body b;
	char out[CAP];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(status) / sizeof(status[0]); i++) {
		head.status = status[i];
		http_body_begin(&b, &head, out, sizeof(out));
		assert_int_equal(b.state, HTTP_BODY_DONE);
		assert_int_equal(http_body_feed(&b, "x", 1), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_split),
	    cmocka_unit_test(byte_by_byte),
	    cmocka_unit_test(closed),
	    cmocka_unit_test(bounds),
	    cmocka_unit_test(bodiless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
