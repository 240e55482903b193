/* SPDX-License-Identifier: ISC */
/* What is answered at each path. */
#include <stdlib.h>

#include "gwtext.h"
#include "log.h"
#include "serve.h"

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
#define HTML "text/html; charset=utf-8"

static const char index_page[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<meta charset=\"utf-8\">\n"
    "<title>relayd</title>\n"
    "<h1>relayd</h1>\n"
    "<ul>\n"
    "<li><a href=\"/metrics\">/metrics</a>: for Prometheus\n"
    "<li><a href=\"/healthz\">/healthz</a>: this server lives\n"
    "<li><a href=\"/readyz\">/readyz</a>: every gateway is connected, idle or "
    "dormant\n"
    "<li><a href=\"/status.json\">/status.json</a>: the status of relayd\n"
    "<li><a href=\"/events\">/events</a>: its changes, as they happen\n"
    "</ul>\n"
    "</html>\n";

static void
page_index(struct serve *s, struct evhttp_request *req)
{
	(void)s;
	serve_reply(req, HTTP_OK, HTML,
	    (struct span){index_page, sizeof(index_page) - 1});
}

/* Whoever asks whether we live does not wait for relayd: what is known is
 * told, and found out anew for the next. */
static void
page_healthz(struct serve *s, struct evhttp_request *req)
{
	serve_ask_look(s);
	if (s->up == 1)
		serve_text(req, HTTP_OK, "ok\nrelayd answers\n");
	else
		serve_text(req, HTTP_OK, "ok\nrelayd does not answer: %s\n",
		    s->up == -1 ? "it was not asked yet" : s->why);
}

static void
page_metrics(
    struct serve *s, struct evhttp_request *req, const struct serve_told *told)
{
	struct buf b;

	buf_init(&b, 0);
	metrics_write(
	    &b, told->ok ? told->reply : (struct span){NULL, 0}, &s->own);
	if (b.failed)
		serve_text(req, HTTP_SERVUNAVAIL, "no memory\n");
	else
		serve_reply(req, HTTP_OK, METRICS_TYPE, buf_span(&b));
	buf_free(&b);
}

static void
page_status(
    struct serve *s, struct evhttp_request *req, const struct serve_told *told)
{
	struct buf b;

	(void)s;
	buf_init(&b, 0);
	if (told->reply.p != NULL)
		buf_adds(&b, told->reply);
	else {
		buf_adds(&b, SPAN_LIT("{\"ok\":false"));
		json_put_member_str(&b, "code", SPAN_LIT("not_running"));
		json_put_member_str(&b, "error", span_str(told->why));
		buf_adds(&b, SPAN_LIT("}"));
	}
	buf_adds(&b, SPAN_LIT("\n"));
	if (b.failed)
		serve_text(req, HTTP_SERVUNAVAIL, "no memory\n");
	else
		serve_reply(req, told->ok ? HTTP_OK : HTTP_SERVUNAVAIL, JSON,
		    buf_span(&b));
	buf_free(&b);
}

struct readiness {
	struct buf text;
	int ready;
};

/* One line: its name and state, and why when that is not well. */
static void
judge(struct obj *g, void *arg)
{
	struct readiness *r = arg;
	char vis[SERVE_WHY];
	int ok = gwtext_exit(field_str(g, "state")) == CTL_OK;

	buf_addf(
	    &r->text, "%s", log_vis(vis, sizeof(vis), field_str(g, "name")));
	buf_addf(
	    &r->text, ": %s", log_vis(vis, sizeof(vis), field_str(g, "state")));
	if (!ok) {
		r->ready = 0;
		if (field_str(g, "reason").len > 0)
			buf_addf(&r->text, ": %s",
			    log_vis(vis, sizeof(vis), field_str(g, "reason")));
	}
	buf_addf(&r->text, "\n");
}

/* That is no reason to send nobody here: an older configuration serves. */
static void
put_refused(struct buf *b, struct span status)
{
	struct obj o, conf;

	if (obj_parse(&o, status) == 0 &&
	    obj_sub(&conf, &o, "configuration") == 0 &&
	    field_int(&conf, "refused_at", -1) != -1)
		buf_addf(b,
		    "a new configuration was refused, and an older one "
		    "stays\n");
}

static void
page_readyz(
    struct serve *s, struct evhttp_request *req, const struct serve_told *told)
{
	struct readiness r = {.ready = told->ok};

	(void)s;
	buf_init(&r.text, 0);
	if (told->ok)
		gwtext_each(told->reply, NULL, judge, &r);
	else
		buf_addf(&r.text, "relayd does not answer: %s\n", told->why);
	if (told->ok && buf_len(&r.text) == 0)
		buf_addf(&r.text, "no gateways\n");
	if (told->ok)
		put_refused(&r.text, told->reply);
	serve_reply(req, r.ready && !r.text.failed ? HTTP_OK : HTTP_SERVUNAVAIL,
	    TEXT, buf_span(&r.text));
	buf_free(&r.text);
}

const struct serve_page *
serve_page(const char *path)
{
	static const struct serve_page pages[] = {
	    {"/", page_index, NULL},
	    {"/metrics", NULL, page_metrics},
	    {"/healthz", page_healthz, NULL},
	    {"/readyz", NULL, page_readyz},
	    {"/status.json", NULL, page_status},
	    {"/events", serve_feed, NULL},
	};
	size_t i;

	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (strcmp(pages[i].path, path) == 0)
			return &pages[i];
	return NULL;
}
