/* SPDX-License-Identifier: ISC */
/* Bodies of HTTP/1.1 answers; see http_body.h. */
#include <string.h>

#include "hex.h"
#include "http_body.h"

/* Digits of a chunk's size: 4 GiB are beyond every bound of ours. */
#define SIZE_DIGITS 8
/* Bytes of the line of a chunk's size: its extensions mean nothing to us. */
#define SIZE_LINE 256
/* Bytes of all trailers: they mean nothing to us either. */
#define TRAILERS 4096

static enum http_body_state
bad(struct http_body *b, const char *why)
{
	b->err = why;
	return HTTP_BODY_BAD;
}

static int
is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static enum http_body_state
part(struct http_body *b, enum http_body_part next)
{
	b->part = next;
	return HTTP_BODY_MORE;
}

static enum http_body_state
size_begins(struct http_body *b)
{
	b->left = 0;
	b->line = 0;
	b->digits = b->beyond = 0;
	return part(b, BODY_SIZE);
}

/* Extensions begin with a semicolon, without white space before it. */
static enum http_body_state
size_byte(struct http_body *b, char c)
{
	int v;

	if (++b->line > SIZE_LINE)
		return bad(b, "line of a chunk's size too long");
	if (c == '\r' && b->digits > 0)
		return part(b, BODY_SIZE_LF);
	if (b->beyond)
		return is_control(c)
		    ? bad(b, "control character in a chunk's extension")
		    : HTTP_BODY_MORE;
	if (c == ';' && b->digits > 0) {
		b->beyond = 1;
		return HTTP_BODY_MORE;
	}
	if ((v = hex_value(c)) == -1)
		return bad(b, "chunk without a size");
	if (++b->digits > SIZE_DIGITS)
		return bad(b, "chunk too large");
	b->left = b->left * 16 + (uint64_t)v;
	return HTTP_BODY_MORE;
}

static enum http_body_state
size_ends(struct http_body *b)
{
	if (b->left == 0)
		return part(b, BODY_TRAILER);
	if (b->left > b->cap - b->len)
		return bad(b, "body too long");
	return part(b, BODY_CHUNK);
}

/* The first byte of a trailer, or of the empty line after the last one. */
static enum http_body_state
trailer_begins(struct http_body *b, char c)
{
	if (c == '\r')
		return part(b, BODY_LAST_LF);
	return http_is_token(c) ? part(b, BODY_TRAILER_NAME)
				: bad(b, "malformed trailer");
}

static enum http_body_state
trailer_name(struct http_body *b, char c)
{
	if (c == ':')
		return part(b, BODY_TRAILER_VALUE);
	return http_is_token(c) ? HTTP_BODY_MORE : bad(b, "malformed trailer");
}

static enum http_body_state
trailer_value(struct http_body *b, char c)
{
	if (c == '\r')
		return part(b, BODY_TRAILER_LF);
	return is_control(c) ? bad(b, "malformed trailer") : HTTP_BODY_MORE;
}

static enum http_body_state
expect(struct http_body *b, char c, char wanted, const char *why)
{
	return c == wanted ? HTTP_BODY_MORE : bad(b, why);
}

/* One byte of what frames the chunks. */
static enum http_body_state
framing_byte(struct http_body *b, char c)
{
	static const char line[] = "carriage return without its line feed";
	enum http_body_state s;

	if (b->part >= BODY_TRAILER && ++b->tail > TRAILERS)
		return bad(b, "trailers too long");
	switch (b->part) {
	case BODY_SIZE:
		return size_byte(b, c);
	case BODY_SIZE_LF:
		s = expect(b, c, '\n', line);
		return s == HTTP_BODY_MORE ? size_ends(b) : s;
	case BODY_CHUNK_CR:
		s = expect(b, c, '\r', "chunk longer than its size");
		return s == HTTP_BODY_MORE ? part(b, BODY_CHUNK_LF) : s;
	case BODY_CHUNK_LF:
		s = expect(b, c, '\n', line);
		return s == HTTP_BODY_MORE ? size_begins(b) : s;
	case BODY_TRAILER:
		return trailer_begins(b, c);
	case BODY_TRAILER_NAME:
		return trailer_name(b, c);
	case BODY_TRAILER_VALUE:
		return trailer_value(b, c);
	case BODY_TRAILER_LF:
		s = expect(b, c, '\n', line);
		return s == HTTP_BODY_MORE ? part(b, BODY_TRAILER) : s;
	case BODY_LAST_LF:
		s = expect(b, c, '\n', line);
		return s == HTTP_BODY_MORE ? HTTP_BODY_DONE : s;
	default:
		return bad(b, "body");
	}
}

/* Bytes of the body itself.  Returns how many were taken. */
static size_t
content(struct http_body *b, const char *p, size_t n)
{
	if (b->part != BODY_CLOSE && n > b->left)
		n = (size_t)b->left;
	if (n > b->cap - b->len) {
		b->state = bad(b, "body too long");
		return 0;
	}
	memcpy(b->out + b->len, p, n);
	b->len += n;
	if (b->part == BODY_CLOSE)
		return n;
	b->left -= n;
	if (b->left == 0 && b->part == BODY_FIXED)
		b->state = HTTP_BODY_DONE;
	else if (b->left == 0)
		b->part = BODY_CHUNK_CR;
	return n;
}

size_t
http_body_feed(struct http_body *b, const char *p, size_t n)
{
	size_t at = 0;

	while (at < n && b->state == HTTP_BODY_MORE) {
		if (b->part == BODY_FIXED || b->part == BODY_CLOSE ||
		    b->part == BODY_CHUNK)
			at += content(b, p + at, n - at);
		else
			b->state = framing_byte(b, p[at++]);
	}
	return at;
}

void
http_body_close(struct http_body *b)
{
	if (b->state != HTTP_BODY_MORE)
		return;
	b->state = b->part == BODY_CLOSE
	    ? HTTP_BODY_DONE
	    : bad(b, "closed before the body's end");
}

/* The parser of the head has seen to it that these are digits, and few. */
static uint64_t
length(struct span s)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < s.len; i++)
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	return v;
}

void
http_body_begin(
    struct http_body *b, const struct http_head *head, char *out, size_t cap)
{
	struct span told = http_header(head, "Content-Length", NULL);

	memset(b, 0, sizeof(*b));
	b->out = out;
	b->cap = cap;
	b->state = HTTP_BODY_MORE;
	b->part = BODY_CLOSE;
	if (head->status < 200 || head->status == 204 || head->status == 304)
		b->state = HTTP_BODY_DONE;
	else if (http_header(head, "Transfer-Encoding", NULL).p != NULL)
		(void)size_begins(b);
	else if (told.p != NULL) {
		b->part = BODY_FIXED;
		b->left = length(told);
		if (b->left > cap)
			b->state = bad(b, "body too long");
		else if (b->left == 0)
			b->state = HTTP_BODY_DONE;
	}
}
