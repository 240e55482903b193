/* SPDX-License-Identifier: ISC */
/* The client's end of relayd's sockets. */
#include <sys/socket.h>
#include <sys/un.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "field.h"
#include "json.h"
#include "progress.h"
#include "version.h"

/* Milliseconds between tries while the listener's backlog is full. */
#define BACKLOG_PAUSE 20

int64_t
client_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait for the descriptor until a moment (-1: for ever).  0, or -1 when it
 * came first. */
static int
wait_for(int fd, short events, int64_t until)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left;
	int n;

	do {
		left = until == -1 ? -1 : until - client_now();
		if (until != -1 && left < 0)
			left = 0;
		n = poll(&p, 1, (int)left);
	} while (n == -1 && errno == EINTR);
	return n > 0 ? 0 : -1;
}

static int64_t
until_of(int wait_ms)
{
	return wait_ms == CLIENT_WAIT_EVER ? -1 : client_now() + wait_ms;
}

int
client_is_auth(const struct client *c)
{
	const char *slash = strrchr(c->path, '/');

	return slash != NULL && strcmp(slash, "/auth.sock") == 0;
}

enum client_result
client_open(struct client *c, const struct ctl *ctl, const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int64_t until = until_of(CLIENT_WAIT_STATUS);
	int n;

	memset(c, 0, sizeof(*c));
	buf_init(&c->in, CLIENT_REPLY_MAX);
	n = snprintf(c->path, sizeof(c->path), "%s/%s", ctl->rundir, name);
	c->fd = -1;
	c->who = client_is_auth(c) ? "relay-authd" : "the engine";
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path)) {
		ctl_warn("%s: longer than the %zu bytes a socket's path may "
			 "have",
		    c->path, sizeof(sun.sun_path) - 1);
		return CLIENT_WRONG;
	}
	memcpy(sun.sun_path, c->path, (size_t)n + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd == -1) {
		ctl_warn("socket: %s", strerror(errno));
		return CLIENT_WRONG;
	}
	while (connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		if (errno == EACCES || errno == EPERM)
			return CLIENT_DENIED;
		if (errno != EAGAIN && errno != EINTR)
			return CLIENT_ABSENT;
		if (client_now() >= until)
			return CLIENT_SILENT;
		poll(NULL, 0, BACKLOG_PAUSE);
	}
	return CLIENT_OK;
}

void
client_close(struct client *c)
{
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
	buf_free(&c->in);
}

enum client_result
client_write(struct client *c, struct span line, int wait_ms)
{
	int64_t until = until_of(wait_ms);
	ssize_t n;

	while (line.len > 0) {
		n = send(c->fd, line.p, line.len, MSG_NOSIGNAL);
		if (n >= 0) {
			line.p += n;
			line.len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (wait_for(c->fd, POLLOUT, until) == -1)
				return CLIENT_SILENT;
		} else if (errno == EPIPE)
			break; /* why, relayd may have said before it went */
		else if (errno != EINTR)
			return CLIENT_ENDED;
	}
	return CLIENT_OK;
}

enum client_result
client_line(struct client *c, struct span *line, int wait_ms)
{
	int64_t until = until_of(wait_ms);
	struct span in;
	const char *nl;
	size_t seen = 0;
	ssize_t n;
	char *p;

	buf_drain(&c->in, c->line);
	c->line = 0;
	for (;;) {
		in = buf_span(&c->in);
		nl = in.len == seen ? NULL
				    : memchr(in.p + seen, '\n', in.len - seen);
		if (nl != NULL) {
			*line = (struct span){in.p, (size_t)(nl - in.p)};
			c->line = line->len + 1;
			return CLIENT_OK;
		}
		seen = in.len;
		if ((p = buf_reserve(&c->in, 65536)) == NULL) {
			ctl_warn("%s: a line longer than %u bytes", c->path,
			    CLIENT_REPLY_MAX);
			return CLIENT_WRONG;
		}
		if (wait_for(c->fd, POLLIN, until) == -1)
			return CLIENT_SILENT;
		n = read(c->fd, p, 65536);
		if (n > 0)
			buf_commit(&c->in, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return CLIENT_ENDED;
	}
}

void
client_begin(struct buf *req, const char *cmd)
{
	buf_init(req, LIMIT_CONTROL_LINE);
	buf_add(req, "{", 1);
	json_put_member_str(req, "cmd", span_str(cmd));
	json_put_member_str(req, "client", span_str(VERSION));
}

void
client_gateway(struct buf *req, const char *name)
{
	if (name != NULL)
		json_put_member_str(req, "gateway", span_str(name));
}

enum client_result
client_await(
    struct client *c, struct span *reply, int wait_ms, const char *doing)
{
	int64_t until = client_now() + wait_ms, left = wait_ms;
	struct progress p;
	enum client_result r;

	progress_begin(&p);
	for (;;) {
		r = client_line(c, reply, progress_step(&p, (int)left));
		left = until - client_now();
		if (r != CLIENT_SILENT || left <= 0)
			break;
		progress_show(&p, doing);
	}
	progress_end(&p);
	return r;
}

enum client_result
client_ask(struct client *c, const struct ctl *ctl, struct buf *req,
    int read_only, int wait_ms, struct span *reply)
{
	enum client_result r;

	buf_adds(req, SPAN_LIT("}\n"));
	r = client_open(c, ctl, "control.sock");
	if (r == CLIENT_DENIED && read_only) {
		client_close(c);
		r = client_open(c, ctl, "status.sock");
		/* The one that is there is what can be told about. */
		if (r == CLIENT_ABSENT) {
			client_close(c);
			r = client_open(c, ctl, "control.sock");
		}
	}
	if (r == CLIENT_OK && req->failed) {
		ctl_warn("the request is longer than the %u bytes relayd takes",
		    LIMIT_CONTROL_LINE);
		r = CLIENT_WRONG;
	}
	if (r == CLIENT_OK)
		r = client_write(c, buf_span(req), wait_ms);
	if (r == CLIENT_OK)
		r = client_await(
		    c, reply, wait_ms, "waiting for relayd's answer");
	if (r == CLIENT_OK)
		r = version_check(ctl, *reply);
	buf_free(req);
	return r;
}

int
client_refused(const struct client *c, const struct ctl *ctl, struct span reply)
{
	struct span error;
	struct obj o;
	int theirs;
	char *safe;

	if (obj_parse(&o, reply) == -1) {
		ctl_warn("%s: what answers there is no relayd", c->path);
		return CTL_FAILED;
	}
	if (ctl->out.json) {
		(void)out_json(reply);
		return CTL_FAILED;
	}
	error = field_str(&o, "error");
	safe = out_safe(error.p == NULL ? SPAN_LIT("refused") : error);
	theirs = span_eq(field_str(&o, "by"), SPAN_LIT("connector"));
	ctl_warn("%s%s", theirs ? "the connector says: " : "",
	    safe == NULL ? "refused" : safe);
	free(safe);
	return CTL_FAILED;
}

int
client_do(struct client *c, const struct ctl *ctl, struct buf *req,
    int read_only, int wait_ms, struct span *reply)
{
	enum client_result r;
	struct obj o;

	r = client_ask(c, ctl, req, read_only, wait_ms, reply);
	if (r != CLIENT_OK)
		return client_explain(c, ctl, r);
	if (obj_parse(&o, *reply) == 0 && field_true(&o, "ok"))
		return CTL_OK;
	return client_refused(c, ctl, *reply);
}
