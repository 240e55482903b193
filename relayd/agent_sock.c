/* SPDX-License-Identifier: ISC */
/* The agents' sockets: bytes in, lines to the core; lines out, bytes. */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent_sock_priv.h"
#include "log.h"

/* Reads to hear out one that cannot be written to: its socket's buffer holds
 * less. */
#define LAST_READS 4
/* Seconds that a closed agent has to take what was sent to it. */
#define LINGER_S 2

/* Bytes waiting for an agent above which it is given no events, only what
 * answers and interrupts it; and at which it is given events again. */
#define EVENTS_HIGH (LIMIT_AGENT_QUEUE / 2)
#define EVENTS_LOW  (LIMIT_AGENT_QUEUE / 8)

/* How lines are put into bytes, and found in them. */
struct framing {
	/* Hand out the lines in p[0..len), keep an incomplete rest.  NULL, or
	 * why the agent cannot be served. */
	const char *(*feed)(struct agent_sock *s, const char *p, size_t len);
	/* Append one line to s->out.  0, or -1 when it does not fit. */
	int (*wrap)(struct agent_sock *s, const struct span *piece, int n);
};

static void
mark(struct agent_sock *s)
{
	if (s->dirty)
		return;
	s->dirty = 1;
	TAILQ_INSERT_TAIL(&s->set->dirty, s, dirty_entry);
}

/* Output buffers. */

static void
out_begin(struct agent_sock *s)
{
	struct agent_socks *set = s->set;

	if (buf_len(&s->out) > 0)
		return;
	set->nfull++;
	if (s->out.p == NULL && set->nspare > 0)
		s->out = set->spare[--set->nspare];
}

/* All is written, or nobody will read it. */
static void
out_end(struct agent_sock *s)
{
	struct agent_socks *set = s->set;

	if (s->out.p != NULL && s->out.cap <= AGENT_SPARE_MAX &&
	    set->nspare < AGENT_SPARE) {
		buf_reset(&s->out);
		set->spare[set->nspare++] = s->out;
		buf_init(&s->out, LIMIT_AGENT_QUEUE);
	} else
		buf_free(&s->out);
}

static void
out_drop(struct agent_sock *s)
{
	if (buf_len(&s->out) > 0)
		s->set->nfull--;
	out_end(s);
}

/* Newline framing: one JSON object per line. */

static void
hand_out(struct agent_sock *s, const char *p, size_t len)
{
	if (len > 0)
		core_agent_line(s->agent, p, len);
}

static const char *
lines_feed(struct agent_sock *s, const char *p, size_t len)
{
	const char *nl;
	size_t part;

	/* The core may close the agent at any line. */
	for (; len > 0 && s->agent != NULL; p += part, len -= part) {
		nl = memchr(p, '\n', len);
		part = nl == NULL ? len : (size_t)(nl - p);
		if (nl == NULL || buf_len(&s->in) > 0) {
			if (buf_len(&s->in) + part > LIMIT_LINE)
				return "a line may have at most 1 MiB";
			if (buf_add(&s->in, p, part) == -1)
				return "out of memory";
		}
		if (nl == NULL)
			continue;
		if (buf_len(&s->in) > 0) {
			hand_out(s, s->in.p + s->in.off, buf_len(&s->in));
			buf_free(&s->in);
		} else
			hand_out(s, p, part);
		part++;
	}
	return NULL;
}

static int
lines_wrap(struct agent_sock *s, const struct span *piece, int n)
{
	size_t len = 1;
	char *p;
	int i;

	for (i = 0; i < n; i++)
		len += piece[i].len;
	if ((p = buf_reserve(&s->out, len)) == NULL)
		return -1;
	for (i = 0; i < n; i++) {
		if (piece[i].len > 0)
			memcpy(p, piece[i].p, piece[i].len);
		p += piece[i].len;
	}
	*p = '\n';
	buf_commit(&s->out, len);
	return 0;
}

static const struct framing lines = {lines_feed, lines_wrap};

/* The end of a connection. */

void
agent_sock_free(struct agent_sock *s)
{
	struct sock_list *list =
	    s->listener != NULL ? &s->listener->socks : &s->set->orphans;

	out_drop(s);
	buf_free(&s->in);
	if (s->dirty)
		TAILQ_REMOVE(&s->set->dirty, s, dirty_entry);
	TAILQ_REMOVE(list, s, entry);
	s->set->n--;
	event_free(s->rd);
	event_free(s->wr);
	event_free(s->linger);
	close(s->fd);
	free(s);
}

static void
on_linger(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	agent_sock_free(arg);
}

/* The core has no more to do with it: what was sent may still be taken. */
static void
part(struct agent_sock *s)
{
	const struct timeval tv = {LINGER_S, 0};

	s->agent = NULL;
	event_del(s->rd);
	buf_free(&s->in);
	event_add(s->linger, &tv);
	mark(s);
}

/* Its connection ended. */
static void
gone(struct agent_sock *s, const char *why)
{
	struct agent *a = s->agent;

	part(s);
	if (a != NULL)
		core_agent_gone(a, why);
}

/* Reading. */

/* What speaks something else is told so before its bytes are taken for a
 * broken line.  NULL, or what to say. */
static const char *
stranger(struct agent_sock *s, const char *p, size_t len)
{
	static const struct {
		const char *head;
		size_t len;
		const char *why;
	} known[] = {
	    {"GET ", 4,
		"this socket does not speak HTTP: send one JSON "
		"object per line, a hello first"},
	    {"POST", 4,
		"this socket does not speak HTTP: send one JSON "
		"object per line, a hello first"},
	    {"\x16\x03", 2,
		"this socket does not speak TLS: send one JSON "
		"object per line, a hello first"},
	    {"SSH-", 4,
		"this socket does not speak SSH: send one JSON object "
		"per line, a hello first"},
	};
	size_t i, n = sizeof(s->head) - s->nhead;

	if (n == 0)
		return NULL;
	n = len < n ? len : n;
	memcpy(s->head + s->nhead, p, n);
	s->nhead = (uint8_t)(s->nhead + n);
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (s->nhead >= known[i].len &&
		    memcmp(s->head, known[i].head, known[i].len) == 0)
			return known[i].why;
	return NULL;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct agent_sock *s = arg;
	char *p = s->set->scratch;
	const char *why;
	ssize_t n;

	(void)what;
	engine_now(s->set->e);
	do
		n = recv((int)fd, p, AGENT_SCRATCH, MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n == -1 || s->agent == NULL) {
		s->broken = 1;
		gone(s, n == -1 ? strerror(errno) : "closed");
		return;
	}
	if (n == 0) {
		gone(s, "it closed its connection");
		return;
	}
	why = stranger(s, p, (size_t)n);
	if (why == NULL)
		why = s->framing->feed(s, p, (size_t)n);
	if (why != NULL && s->agent != NULL)
		core_agent_refuse(s->agent, why);
}

/* Writing. */

static void
flush(struct agent_sock *s)
{
	struct span o;
	ssize_t n;

	while ((o = buf_span(&s->out)).len > 0) {
		n = send(s->fd, o.p, o.len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			event_add(s->wr, NULL);
			return;
		}
		if (n == -1) {
			s->broken = 1;
			return;
		}
		buf_drain(&s->out, (size_t)n);
		if (buf_len(&s->out) == 0)
			s->set->nfull--;
	}
	out_end(s);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	mark(arg);
}

int
agent_sock_send(void *arg, struct agent *a, const struct span *piece, int n)
{
	struct agent_sock *s = a->io;

	(void)arg;
	if (s->overrun || s->broken)
		return -1;
	out_begin(s);
	if (s->framing->wrap(s, piece, n) == 0) {
		/* While it does not read, the loop says when it goes on. */
		if (!event_pending(s->wr, EV_WRITE, NULL))
			mark(s);
		return 0;
	}
	if (buf_len(&s->out) == 0)
		s->set->nfull--;
	s->overrun = 1;
	mark(s);
	return -1;
}

int
agent_sock_room(void *arg, struct agent *a, size_t len)
{
	struct agent_sock *s = a->io;

	(void)arg;
	if (buf_len(&s->out) + len <= EVENTS_HIGH)
		return 1;
	s->full = 1;
	return 0;
}

void
agent_sock_end(void *arg, struct agent *a, const char *reason)
{
	(void)arg;
	(void)reason;
	part(a->io);
}

/* What it had sent before it was lost counts: an event acknowledged there is
 * not to be given to another. */
static void
hear_out(struct agent_sock *s)
{
	char *p = s->set->scratch;
	ssize_t n;
	int i;

	for (i = 0; i < LAST_READS && s->agent != NULL; i++) {
		n = recv(s->fd, p, AGENT_SCRATCH, MSG_DONTWAIT);
		if (n <= 0 || s->framing->feed(s, p, (size_t)n) != NULL)
			return;
	}
}

/* One connection at the turn's end.  Returns whether the core was called. */
static int
settle(struct agent_sock *s)
{
	struct agent *a;

	if (!s->overrun && !s->broken)
		flush(s);
	if (s->overrun || s->broken)
		hear_out(s);
	a = s->agent;
	if (s->overrun || s->broken) {
		s->agent = NULL;
		if (a != NULL)
			core_agent_gone(a,
			    s->overrun ? "it does not read what it is sent"
				       : "its connection broke");
		agent_sock_free(s);
		return a != NULL;
	}
	if (a == NULL && buf_len(&s->out) == 0) {
		agent_sock_free(s);
		return 0;
	}
	if (a == NULL || !s->full || buf_len(&s->out) > EVENTS_LOW)
		return 0;
	s->full = 0;
	core_agent_room(a);
	return 1;
}

int
agent_sock_turn(struct engine *e)
{
	struct agent_socks *set = e->agents;
	struct agent_sock *s;
	int called = 0;

	while ((s = TAILQ_FIRST(&set->dirty)) != NULL) {
		TAILQ_REMOVE(&set->dirty, s, dirty_entry);
		s->dirty = 0;
		called |= settle(s);
	}
	return called;
}

int
agent_sock_pending(const struct engine *e)
{
	return e->agents->nfull > 0;
}

struct agent_sock *
agent_sock_new(struct listener *l, int fd, uint32_t uid)
{
	struct event_base *base = l->set->e->base;
	struct agent_sock *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->set = l->set;
	s->listener = l;
	s->fd = fd;
	s->uid = uid;
	s->framing = &lines;
	buf_init(&s->in, LIMIT_LINE);
	buf_init(&s->out, LIMIT_AGENT_QUEUE);
	s->rd = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, s);
	s->wr = event_new(base, fd, EV_WRITE, on_writable, s);
	s->linger = event_new(base, -1, 0, on_linger, s);
	if (s->rd == NULL || s->wr == NULL || s->linger == NULL ||
	    event_add(s->rd, NULL) == -1) {
		if (s->rd != NULL)
			event_free(s->rd);
		if (s->wr != NULL)
			event_free(s->wr);
		if (s->linger != NULL)
			event_free(s->linger);
		free(s);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&l->socks, s, entry);
	l->set->n++;
	return s;
}

/* The whole. */

int
agent_sock_init(struct engine *e)
{
	struct agent_socks *set = calloc(1, sizeof(*set));

	if (set == NULL)
		return -1;
	set->e = e;
	TAILQ_INIT(&set->dirty);
	TAILQ_INIT(&set->orphans);
	set->reserve = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	e->agents = set;
	return set->reserve == -1 ? -1 : 0;
}

void
agent_sock_stop(struct engine *e)
{
	struct agent_sock *s;
	unsigned i;

	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (e->gw[i] == NULL || e->gw[i]->listener == NULL)
			continue;
		/* None is given at the last moment what another had. */
		TAILQ_FOREACH (s, &e->gw[i]->listener->socks, entry)
			if (s->agent != NULL)
				s->agent->draining = 1;
		TAILQ_FOREACH (s, &e->gw[i]->listener->socks, entry)
			if (s->agent != NULL)
				gone(s, "relayd is stopping");
	}
	(void)agent_sock_turn(e);
}

void
agent_sock_fini(struct engine *e)
{
	struct agent_socks *set = e->agents;
	struct agent_sock *s;

	while ((s = TAILQ_FIRST(&set->orphans)) != NULL)
		agent_sock_free(s);
	while (set->nspare > 0)
		buf_free(&set->spare[--set->nspare]);
	if (set->reserve != -1)
		close(set->reserve);
	free(set);
	e->agents = NULL;
}
