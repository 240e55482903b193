/* SPDX-License-Identifier: ISC */
/* Lines from status.sock, as they come. */
#include <sys/un.h>
#include <errno.h>
#include <unistd.h>

#include "client.h"
#include "serve.h"

/* Bytes read at once: replies have megabytes. */
#define CHUNK 65536

void
serve_line_close(struct serve_line *l)
{
	if (l->event == NULL)
		return;
	event_free(l->event);
	l->event = NULL;
	close(l->fd);
	buf_free(&l->in);
}

static void
end(struct serve_line *l, const char *why)
{
	serve_line_close(l);
	l->end(l->serve, why);
}

/* Hand out whole lines; `seen` bytes are known to have no newline. */
static void
hand_out(struct serve_line *l, size_t seen)
{
	struct span in, line;
	const char *nl;

	while (l->event != NULL) {
		in = buf_span(&l->in);
		if (in.len <= seen ||
		    (nl = memchr(in.p + seen, '\n', in.len - seen)) == NULL)
			break;
		line = (struct span){in.p, (size_t)(nl - in.p)};
		seen = 0;
		l->line(l->serve, line);
		if (l->event != NULL)
			buf_drain(&l->in, line.len + 1);
	}
}

static void
readable(evutil_socket_t fd, short what, void *arg)
{
	struct serve_line *l = arg;
	size_t seen = buf_len(&l->in);
	ssize_t n;
	char *p;

	(void)what;
	if ((p = buf_reserve(&l->in, CHUNK)) == NULL) {
		end(l, "what answers on status.sock sends too long a line");
		return;
	}
	n = read(fd, p, CHUNK);
	if (n > 0) {
		buf_commit(&l->in, (size_t)n);
		hand_out(l, seen);
	} else if (n == 0)
		end(l, "relayd's engine closed the connection");
	else if (errno != EAGAIN && errno != EINTR)
		end(l, "the connection to relayd's engine was lost");
}

static const char *
why_not(int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
	case ENOTDIR:
		return "relayd is not running: nobody answers on status.sock";
	case EACCES:
	case EPERM:
		return "permission denied on status.sock: run this as a user "
		       "of its group";
	case EAGAIN:
		return "relayd's engine takes no connections: it is busy, "
		       "restarting or hung";
	default:
		return "status.sock cannot be connected to";
	}
}

static int
ask(struct serve_line *l)
{
	struct buf req;
	ssize_t n;

	client_begin(&req, l->cmd);
	buf_adds(&req, SPAN_LIT("}\n"));
	n = send(l->fd, buf_span(&req).p, buf_len(&req), MSG_NOSIGNAL);
	/* Who hung up may have said why before. */
	n = n == (ssize_t)buf_len(&req) || (n == -1 && errno == EPIPE) ? 0 : -1;
	buf_free(&req);
	return (int)n;
}

const char *
serve_line_open(struct serve_line *l)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int error;

	/* serve.c has seen that it fits. */
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%.95s/status.sock",
	    l->serve->ctl->rundir);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd == -1)
		return "no descriptor is left for status.sock";
	if (connect(l->fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    ask(l) == -1) {
		error = errno;
		close(l->fd);
		return why_not(error);
	}
	l->event =
	    event_new(l->serve->base, l->fd, EV_READ | EV_PERSIST, readable, l);
	if (l->event == NULL || event_add(l->event, NULL) == -1) {
		if (l->event != NULL)
			event_free(l->event);
		l->event = NULL;
		close(l->fd);
		return "no memory is left for status.sock";
	}
	buf_init(&l->in, l->max);
	l->since = client_now();
	return NULL;
}
