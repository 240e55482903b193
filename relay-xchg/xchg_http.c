/* SPDX-License-Identifier: ISC */
/* The request and the answer; see xchg_http.h. */
#include <stdio.h>
#include <string.h>

#include "xchg_http.h"

/* The request. */

static int
is_visible(struct span s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.p[i] < '!' || s.p[i] > '~')
			return 0;
	return 1;
}

/* What could end its line early would let who wrote it write others. */
static const char *
check(const struct msg_xrequest *q)
{
	if (q->path.len == 0 || q->path.p[0] != '/' || !is_visible(q->path))
		return "the path cannot stand in a request";
	if (q->host.len == 0 || !is_visible(q->host))
		return "the host cannot stand in a request";
	if (!is_visible(q->bearer))
		return "the identity token holds white space, or characters "
		       "that are not ASCII: it cannot be a bearer";
	if (!is_visible(q->content_type))
		return "the content type cannot stand in a request";
	return NULL;
}

struct out {
	char *p;
	size_t len, cap;
};

static void
put(struct out *o, struct span s)
{
	if (s.len > o->cap - o->len) {
		o->len = o->cap; /* full: it does not fit */
		return;
	}
	memcpy(o->p + o->len, s.p, s.len);
	o->len += s.len;
}

static void
put_line(struct out *o, const char *name, struct span value)
{
	if (value.len == 0)
		return;
	put(o, span_str(name));
	put(o, value);
	put(o, SPAN_LIT("\r\n"));
}

size_t
xchg_http_request(
    char out[XCHG_REQUEST_MAX], const struct msg_xrequest *q, const char **why)
{
	struct out o = {out, 0, XCHG_REQUEST_MAX};
	const int posts = q->content_type.len > 0;
	char len[24];

	if ((*why = check(q)) != NULL)
		return 0;
	snprintf(len, sizeof(len), "%zu", q->body.len);
	put(&o, posts ? SPAN_LIT("POST ") : SPAN_LIT("GET "));
	put(&o, q->path);
	put(&o, SPAN_LIT(" HTTP/1.1\r\n"));
	put_line(&o, "Host: ", q->host);
	put_line(&o, "Authorization: Bearer ", q->bearer);
	if (posts) {
		put_line(&o, "Content-Type: ", q->content_type);
		put_line(&o, "Content-Length: ", span_str(len));
	}
	put(&o,
	    SPAN_LIT("Accept: application/json\r\n"
		     "User-Agent: relayd/" VERSION "\r\n"
		     "Connection: close\r\n\r\n"));
	if (posts)
		put(&o, q->body);
	if (o.len < o.cap)
		return o.len;
	*why = "the request is too long";
	return 0;
}

/* The answer. */

static void
bad(struct xchg_reader *r, const char *why)
{
	r->state = READER_BAD;
	r->err = why;
}

void
xchg_reader_init(struct xchg_reader *r)
{
	r->state = READER_HEAD;
	r->err = NULL;
	r->status = 0;
	r->interim = 0;
	r->headlen = 0;
	memset(&r->parsed, 0, sizeof(r->parsed));
	memset(&r->body, 0, sizeof(r->body));
}

/* How the body stands is how the answer does. */
static void
follow_body(struct xchg_reader *r)
{
	if (r->body.state == HTTP_BODY_DONE)
		r->state = READER_DONE;
	else if (r->body.state == HTTP_BODY_BAD)
		bad(r, r->body.err);
}

/* A head of n bytes is there; behind it, what came with it. */
static void
take_head(struct xchg_reader *r, size_t n)
{
	const size_t rest = r->headlen - n;

	if (r->parsed.status == 101) {
		bad(r, "another protocol, which nobody asked for");
		return;
	}
	if (r->parsed.status < 200) {
		if (++r->interim > XCHG_INTERIM_MAX)
			bad(r, "one interim answer after the other");
		memmove(r->head, r->head + n, rest);
		r->headlen = rest;
		return;
	}
	r->status = r->parsed.status;
	r->state = READER_BODY;
	http_body_begin(&r->body, &r->parsed, r->content, sizeof(r->content));
	(void)http_body_feed(&r->body, r->head + n, rest);
	follow_body(r);
}

/* As many heads as are there. */
static void
take_heads(struct xchg_reader *r)
{
	ptrdiff_t n;

	while (r->state == READER_HEAD) {
		n = http_parse_response(&r->parsed, r->head, r->headlen);
		if (n == 0)
			return;
		if (n == -1)
			bad(r, r->parsed.err);
		else
			take_head(r, (size_t)n);
	}
}

void
xchg_reader_feed(struct xchg_reader *r, const char *p, size_t n)
{
	size_t some;

	while (n > 0 && r->state == READER_HEAD) {
		some = sizeof(r->head) - r->headlen;
		if (some > n)
			some = n;
		memcpy(r->head + r->headlen, p, some);
		r->headlen += some;
		p += some;
		n -= some;
		take_heads(r);
	}
	if (r->state != READER_BODY)
		return;
	(void)http_body_feed(&r->body, p, n);
	follow_body(r);
}

void
xchg_reader_close(struct xchg_reader *r)
{
	if (r->state == READER_HEAD)
		bad(r,
		    r->headlen == 0 ? "nothing at all"
				    : "closed within the head");
	if (r->state != READER_BODY)
		return;
	http_body_close(&r->body);
	follow_body(r);
}
