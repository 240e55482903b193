/* SPDX-License-Identifier: ISC */
/* Standard errors as log lines. */

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <unistd.h>

#include "limit.h"
#include "sup_log.h"

/* At most so many bytes are taken from a process before the loop looks at
 * others, and when it ended. */
#define LOG_TURN 65536

/* What was written.  Returns 0 at its end. */
static int
take(struct sup_log *l)
{
	char text[8192];
	size_t total = 0;
	ssize_t n;

	while (total < LOG_TURN) {
		n = read(l->fd, text, sizeof(text));
		if (n == -1)
			return errno == EAGAIN || errno == EINTR;
		if (n == 0)
			return 0;
		log_collect(&l->col, text, (size_t)n);
		total += (size_t)n;
	}
	return 1;
}

static void
readable(int fd, short what, void *arg)
{
	struct sup_log *l = arg;

	(void)fd;
	(void)what;
	if (!take(l))
		event_del(l->ev);
}

void
sup_log_init(struct sup_log *l)
{
	memset(l, 0, sizeof(*l));
	l->fd = -1;
}

void
sup_log_open(struct sup_log *l, struct event_base *base, int fd,
    const char *name, int pid, const char *subject)
{
	l->fd = fd;
	l->col.name = name;
	l->col.pid = pid;
	l->col.subject = subject;
	l->col.cut = 0;
	buf_init(&l->col.line, LIMIT_LOG_LINE);
	l->ev = event_new(base, fd, EV_READ | EV_PERSIST, readable, l);
	if (l->ev == NULL || event_add(l->ev, NULL) == -1)
		log_err("start", subject, "%s: its log lines are lost: %s",
		    name, strerror(errno));
}

void
sup_log_close(struct sup_log *l)
{
	if (l->ev != NULL)
		event_free(l->ev);
	l->ev = NULL;
	if (l->fd != -1) {
		(void)take(l);
		close(l->fd);
	}
	l->fd = -1;
	if (buf_len(&l->col.line) > 0)
		log_collect(&l->col, "\n", 1);
	log_collect_flush(&l->col);
	buf_free(&l->col.line);
}
