/* SPDX-License-Identifier: ISC */
/*
 * HTTP heads, as a response and as a request: what is accepted does not depend
 * on what follows it nor on how it arrives, and what is refused stays refused.
 * A good response is also judged as the answer to a WebSocket upgrade.
 */
#include <time.h>

#include "fuzz.h"
#include "http.h"
#include "wshake.h"

/* Heads up to this size are cut at every byte, larger ones at some. */
#define CUT_ALL 256
#define CUTS	64

typedef ptrdiff_t parse_fn(struct http_head *, const char *, size_t);

/* Parse the first n bytes, alone in memory. */
static ptrdiff_t
parse_cut(parse_fn *parse, struct span text, size_t n)
{
	char *copy = exact((struct span){text.p, n});
	struct http_head *head = malloc(sizeof(*head));
	ptrdiff_t r;

	CHECK(head != NULL);
	r = parse(head, copy, n);
	CHECK((r == -1) == (head->err != NULL));
	CHECK(r <= (ptrdiff_t)n);
	free(head);
	free(copy);
	return r;
}

/* A date is written one way only. */
static void
check_date(struct span value)
{
	long long t = http_date(value);
	time_t when = (time_t)t;
	char text[64];
	struct tm tm;

	CHECK(t >= -1);
	/* A leap second is the next minute's first. */
	if (t == -1 || memcmp(value.p + 23, "60", 2) == 0)
		return;
	CHECK(gmtime_r(&when, &tm) != NULL);
	CHECK(strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) ==
	    value.len);
	CHECK(memcmp(text, value.p, value.len) == 0);
}

static void
check_header(const struct http_head *head, const struct http_header *h,
    struct span whole)
{
	char name[HTTP_LINE_MAX + 1];
	struct span found;
	size_t i;
	int dup;

	CHECK(h->name.len > 0 && h->name.len < sizeof(name));
	CHECK(within(h->name, whole) && within(h->value, whole));
	for (i = 0; i < h->value.len; i++)
		CHECK((unsigned char)h->value.p[i] >= 0x20 ||
		    h->value.p[i] == '\t');
	memcpy(name, h->name.p, h->name.len);
	name[h->name.len] = '\0';
	found = http_header(head, name, &dup);
	CHECK(dup ? found.p == NULL : span_eq(found, h->value));
	if (h->value.len > 0 && memchr(h->value.p, ',', h->value.len) == NULL &&
	    h->value.len < sizeof(name)) {
		char token[HTTP_LINE_MAX + 1];

		memcpy(token, h->value.p, h->value.len);
		token[h->value.len] = '\0';
		CHECK(http_has_token(head, name, token));
	}
	check_date(h->value);
}

static void
check_good(
    const struct http_head *head, struct span whole, parse_fn *parse, size_t n)
{
	size_t i, step = n <= CUT_ALL ? 1 : n / CUTS;

	CHECK(n <= HTTP_HEAD_MAX && head->nheaders <= HTTP_HEADERS_MAX);
	CHECK(n >= 4 && memcmp(whole.p + n - 4, "\r\n\r\n", 4) == 0);
	for (i = 0; i < head->nheaders; i++)
		check_header(head, &head->header[i], whole);
	CHECK(parse_cut(parse, whole, n) == (ptrdiff_t)n);
	for (i = 0; i < n; i += step)
		CHECK(parse_cut(parse, whole, i) == 0);
	CHECK(parse_cut(parse, whole, n - 1) == 0);
	if (parse == http_parse_response) {
		CHECK(head->status >= 100 && head->status <= 599);
		CHECK(within(head->reason, whole));
		if (wshake_check(head, "dGhlIHNhbXBsZSBub25jZQ==") == NULL)
			CHECK(head->status == 101);
	} else {
		CHECK(within(head->method, whole) && head->method.len > 0);
		CHECK(within(head->target, whole) && head->target.len > 0);
	}
}

static void
check(parse_fn *parse, struct span text)
{
	char *copy = exact(text);
	struct http_head *head = malloc(sizeof(*head));
	size_t i, step = text.len <= CUT_ALL ? 1 : text.len / CUTS;
	ptrdiff_t r;

	CHECK(head != NULL);
	r = parse(head, copy, text.len);
	CHECK((r == -1) == (head->err != NULL));
	if (r > 0)
		check_good(
		    head, (struct span){copy, text.len}, parse, (size_t)r);
	else if (r == 0)
		for (i = 0; i < text.len; i += step)
			CHECK(parse_cut(parse, text, i) == 0);
	else
		/* Never accepted by less. */
		for (i = 0; i < text.len; i += step)
			CHECK(parse_cut(parse, text, i) <= 0);
	free(head);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};

	check(http_parse_response, text);
	check(http_parse_request, text);
	return 0;
}
