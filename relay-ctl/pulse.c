/* SPDX-License-Identifier: ISC */
/* Signs of life. */
#include <poll.h>
#include <string.h>

#include "json.h"
#include "pulse.h"
#include "state.h"

/* Milliseconds between two questions, and that an answer may take: silence is
 * said within two seconds. */
#define EVERY_MS 900

void
pulse_begin(struct pulse *p, const struct ctl *ctl, const struct client *stream)
{
	memset(p, 0, sizeof(*p));
	p->ctl = ctl;
	p->next = client_now() + EVERY_MS;
	/* The socket that let us in lets us in again. */
	if (client_open(&p->ask, ctl, strrchr(stream->path, '/') + 1) !=
	    CLIENT_OK)
		client_close(&p->ask);
}

void
pulse_end(struct pulse *p)
{
	client_close(&p->ask);
}

static void
ask(struct pulse *p)
{
	struct buf req;

	/* What answers best costs least: there is no such gateway. */
	client_begin(&req, "counters");
	client_gateway(&req, "");
	buf_adds(&req, SPAN_LIT("}\n"));
	p->asked = client_now();
	if (client_write(&p->ask, buf_span(&req), 0) != CLIENT_OK)
		client_close(&p->ask);
	buf_free(&req);
}

/* Any answer will do. */
static void
answered(struct pulse *p)
{
	struct span line;

	if (client_line(&p->ask, &line, 0) != CLIENT_OK) {
		client_close(&p->ask);
		return;
	}
	p->asked = 0;
	p->next = client_now() + EVERY_MS;
	if (p->silent)
		ctl_warn("relayd answers again");
	p->silent = 0;
}

static void
say_silent(struct pulse *p)
{
	struct client none = {.fd = -1, .who = "the engine"};

	if (p->progress != NULL)
		progress_end(p->progress);
	state_warn(p->ctl, none.who);
	p->silent = 1;
}

/* Milliseconds until there is something to do. */
static int
until_next(const struct pulse *p)
{
	int64_t at = p->asked == 0 ? p->next : p->asked + EVERY_MS, ms;

	if (p->ask.fd == -1 || (p->asked != 0 && p->silent))
		return -1;
	ms = at - client_now();
	return ms < 0 ? 0 : (int)ms;
}

static int
least(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

enum client_result
pulse_line(
    struct pulse *p, struct client *stream, struct span *line, int wait_ms)
{
	int64_t until = wait_ms < 0 ? -1 : client_now() + wait_ms;
	enum client_result r;
	int left;

	for (;;) {
		struct pollfd fds[] = {
		    {stream->fd, POLLIN, 0}, {p->ask.fd, POLLIN, 0}};

		/* What is there already, and what came. */
		r = client_line(stream, line, 0);
		left = until == -1 ? -1 : (int)(until - client_now());
		if (r != CLIENT_SILENT || (until != -1 && left <= 0))
			break;
		left = least(left, until_next(p));
		if (p->progress != NULL)
			left = progress_step(p->progress, left);
		(void)poll(fds, 2, left);
		if (fds[1].revents != 0)
			answered(p);
		else if (until_next(p) == 0 && p->asked == 0)
			ask(p);
		else if (until_next(p) == 0)
			say_silent(p);
		if (p->progress != NULL)
			progress_show(p->progress, p->doing);
	}
	if (p->progress != NULL)
		progress_end(p->progress);
	return r;
}
