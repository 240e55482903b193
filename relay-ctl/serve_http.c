/* SPDX-License-Identifier: ISC */
/* Which requests are taken: GET and HEAD, for this host's own name. */
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdarg.h>
#include <stdlib.h>

#include "log.h"
#include "serve.h"

/* Bytes of a request's line and headers: browsers send one or two thousand. */
#define HEAD_MAX 8192
/* A body means nothing here; a small one is read so that its sender gets an
 * answer and not an error. */
#define BODY_MAX 8192
/* Seconds in which nothing is read or written. */
#define STILL_S 15

static const struct {
	const char *name, *value;
} headers[] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},
    {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
    /* One request each: so the bounds of a connection are those of a request.
     */
    {"Connection", "close"},
};

void
serve_headers(struct evhttp_request *req, const char *type)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);
	size_t i;

	for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		evhttp_add_header(out, headers[i].name, headers[i].value);
	evhttp_add_header(out, "Content-Type", type);
}

static const char *
phrase(int code)
{
	switch (code) {
	case HTTP_OK:
		return "OK";
	case HTTP_BADREQUEST:
		return "Bad Request";
	case HTTP_NOTFOUND:
		return "Not Found";
	case HTTP_BADMETHOD:
		return "Method Not Allowed";
	case 421:
		return "Misdirected Request";
	default:
		return "Service Unavailable";
	}
}

void
serve_reply(
    struct evhttp_request *req, int code, const char *type, struct span body)
{
	struct evbuffer *b = evbuffer_new();
	char length[24];

	serve_headers(req, type);
	snprintf(length, sizeof(length), "%zu", body.len);
	if (evhttp_request_get_command(req) != EVHTTP_REQ_HEAD && b != NULL)
		evbuffer_add(b, body.p, body.len);
	else if (strcmp(type, "text/event-stream") != 0)
		evhttp_add_header(evhttp_request_get_output_headers(req),
		    "Content-Length", length);
	evhttp_send_reply(req, code, phrase(code), b);
	if (b != NULL)
		evbuffer_free(b);
}

void
serve_text(struct evhttp_request *req, int code, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	serve_reply(req, code, "text/plain; charset=utf-8", span_str(text));
}

/*
 * The request's one Host header names us.  A page on another site could have
 * its name resolve to 127.0.0.1, and read what is told here as its own.
 */
static int
host_ok(const struct serve *s, struct evhttp_request *req)
{
	const struct evkeyvalq *in = evhttp_request_get_input_headers(req);
	const struct evkeyval *h;
	const char *host = NULL;

	TAILQ_FOREACH (h, in, next) {
		if (evutil_ascii_strcasecmp(h->key, "Host") != 0)
			continue;
		if (host != NULL)
			return 0;
		host = h->value;
	}
	return !s->loopback || (host != NULL && serve_host_ok(host));
}

static void
handle(struct evhttp_request *req, void *arg)
{
	struct serve *s = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const struct serve_page *page;
	const char *path;

	s->own.requests++;
	serve_conn_asked(s, req, 0);
	if (!host_ok(s, req)) {
		serve_text(req, 421,
		    "the Host header must name this host as localhost, "
		    "127.0.0.1 or [::1]\n");
		return;
	}
	if (evhttp_request_get_command(req) != EVHTTP_REQ_GET &&
	    evhttp_request_get_command(req) != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req),
		    "Allow", "GET, HEAD");
		serve_text(req, HTTP_BADMETHOD, "only GET and HEAD\n");
		return;
	}
	path = uri == NULL || evhttp_uri_get_host(uri) != NULL
	    ? NULL
	    : evhttp_uri_get_path(uri);
	page = path == NULL ? NULL : serve_page(path);
	if (page == NULL)
		serve_text(req, path == NULL ? HTTP_BADREQUEST : HTTP_NOTFOUND,
		    "there are /metrics, /healthz, /readyz, /status.json and "
		    "/events\n");
	else if (page->now != NULL)
		page->now(s, req);
	else
		serve_ask(s, req, page->answer);
}

/* A descriptor is missing, perhaps; the next tick listens again. */
static void
cannot_accept(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	evconnlistener_disable(listener);
}

int
serve_http(struct serve *s, int fd)
{
	if ((s->http = evhttp_new(s->base)) == NULL)
		return -1;
	evhttp_set_max_headers_size(s->http, HEAD_MAX);
	evhttp_set_max_body_size(s->http, BODY_MAX);
	evhttp_set_timeout(s->http, STILL_S);
	/* All are answered: those that are not served, with what is. */
	evhttp_set_allowed_methods(s->http,
	    EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
		EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
		EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
	evhttp_set_bevcb(s->http, serve_conn_new, s);
	evhttp_set_gencb(s->http, handle, s);
	s->listener = evconnlistener_new(s->base, NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (s->listener == NULL ||
	    evhttp_bind_listener(s->http, s->listener) == NULL)
		return -1;
	evconnlistener_set_error_cb(s->listener, cannot_accept);
	return 0;
}
