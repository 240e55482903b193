/* SPDX-License-Identifier: ISC */
/* The WebSocket opening handshake on a gateway's connection. */
#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "http.h"
#include "upgrade.h"
#include "wshake.h"

/* Bytes of a request: path, host and token at their longest and the fixed
 * header lines.  Reserved at once, so that the token is never moved about. */
#define REQUEST_MAX (URL_PATH_MAX + URL_HOST_MAX + LIMIT_TOKEN + 1024)

/* Bytes of a reason phrase that are shown: room is left for the clock's. */
#define REASON_SHOWN 96

struct upgrade {
	struct engine_gw *eg;
	const struct conn_ops *then;
	struct buf request; /* holds the token until it is written */
	uint8_t sent;
	uint8_t asks; /* no upgrade: for the Date of the answer alone */
	char key[WSHAKE_KEY_LEN + 1];
};

static size_t on_input(void *, char *, size_t, size_t);
static struct span on_output(void *);
static void on_written(void *, size_t);
static void on_ended(void *, const char *);

static const struct conn_ops ops = {
    .input = on_input,
    .output = on_output,
    .written = on_written,
    .ended = on_ended,
};

static struct upgrade *
upgrade_new(struct engine_gw *eg)
{
	struct upgrade *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return NULL;
	u->eg = eg;
	buf_init(&u->request, REQUEST_MAX);
	eg->upgrade = u;
	return u;
}

static int
begin(struct upgrade *u)
{
	conn_set_ops(u->eg->conn, &ops, u);
	conn_want_write(u->eg->conn);
	return 0;
}

int
upgrade_begin(
    struct engine_gw *eg, struct span token, const struct conn_ops *then)
{
	unsigned char random[16];
	struct upgrade *u;

	upgrade_end(eg);
	if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
	    (u = upgrade_new(eg)) == NULL)
		return -1;
	u->then = then;
	wshake_key(u->key, random);
	if (buf_reserve(&u->request, REQUEST_MAX) == NULL ||
	    wshake_request(&u->request, &eg->url, u->key, token) == -1) {
		upgrade_end(eg);
		return -1;
	}
	return begin(u);
}

int
upgrade_ask(struct engine_gw *eg)
{
	char path[URL_PATH_MAX + sizeof("/relay")];
	struct upgrade *u;

	upgrade_end(eg);
	if ((u = upgrade_new(eg)) == NULL)
		return -1;
	u->asks = 1;
	if (url_path(&eg->url, URL_DIAL, path, sizeof(path)) == -1 ||
	    buf_addf(&u->request,
		"GET %s HTTP/1.1\r\n"
		"Host: %s\r\n"
		"Connection: close\r\n"
		"User-Agent: relayd\r\n"
		"\r\n",
		path, eg->url.authority) == -1) {
		upgrade_end(eg);
		return -1;
	}
	return begin(u);
}

void
upgrade_end(struct engine_gw *eg)
{
	struct upgrade *u = eg->upgrade;

	if (u == NULL)
		return;
	eg->upgrade = NULL;
	buf_free(&u->request); /* wipes it */
	free(u);
}

static struct span
on_output(void *arg)
{
	struct upgrade *u = arg;

	return buf_span(&u->request);
}

static void
on_written(void *arg, size_t n)
{
	struct upgrade *u = arg;

	buf_drain(&u->request, n);
	if (buf_len(&u->request) == 0) {
		buf_free(&u->request);
		u->sent = 1;
	}
}

static void
on_ended(void *arg, const char *why)
{
	struct upgrade *u = arg;

	engine_now(u->eg->e);
	link_event(u->eg->gw, LE_LOST, "while the %s: %s",
	    u->asks ? "connector's time was asked for"
		    : "upgrade was under way",
	    why);
}

/* How far the peer's clock is from ours. */
static void
note_date(struct engine_gw *eg, const struct http_head *head)
{
	struct span date = http_header(head, "Date", NULL);
	long long t;

	if (date.p == NULL || (t = http_date(date)) == -1)
		return;
	link_date(eg->gw, (int64_t)t);
}

/* The peer answered with a status of its own; link_event makes its reason safe
 * to print. */
static void
refused(struct engine_gw *eg, const struct http_head *head)
{
	int n = (int)(head->reason.len < REASON_SHOWN ? head->reason.len
						      : REASON_SHOWN);
	char clock[REFUSAL_CLOCK];

	link_http_status(eg->gw, head->status);
	link_event(eg->gw, LE_UPGRADE_REFUSED,
	    "the upgrade was answered with HTTP %d%s%.*s%s", head->status,
	    n > 0 ? " " : "", n, head->reason.p,
	    refusal_clock(&eg->gw->link, clock));
}

/* A whole head is there. */
static void
answered(struct upgrade *u, const struct http_head *head)
{
	struct engine_gw *eg = u->eg;
	const char *why;

	note_date(eg, head);
	if (u->asks) {
		refusal_answered(eg->gw);
		return;
	}
	if (head->status != 101) {
		refused(eg, head);
		return;
	}
	if ((why = wshake_check(head, u->key)) != NULL) {
		link_http_status(eg->gw, head->status);
		link_event(eg->gw, LE_UPGRADE_REFUSED, "%s", why);
		return;
	}
	conn_set_ops(eg->conn, u->then, eg);
	upgrade_end(eg);
	link_event(eg->gw, LE_UPGRADED, "upgraded");
}

static size_t
on_input(void *arg, char *p, size_t len, size_t room)
{
	struct upgrade *u = arg;
	struct http_head head;
	ptrdiff_t n;

	(void)room;
	engine_now(u->eg->e);
	n = http_parse_response(&head, p, len);
	if (n == 0)
		return 0;
	if (n == -1)
		link_event(u->eg->gw, LE_UPGRADE_REFUSED,
		    "the upgrade was answered with something else than HTTP: "
		    "%s",
		    head.err);
	else if (!u->sent)
		link_event(u->eg->gw, LE_UPGRADE_REFUSED,
		    "the upgrade was answered before it was asked for");
	else
		answered(u, &head);
	return n > 0 ? (size_t)n : len;
}
