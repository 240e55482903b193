/* SPDX-License-Identifier: ISC */
/* One dial; see dial.h. */
#include <sys/socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "dial.h"
#include "proxy.h"
#include "race.h"
#include "resolve.h"

struct attempt {
	struct dial *dial;
	int fd; /* meaningful while ev is there */
	struct event *ev;
};

struct dial {
	const struct dial_env *env;
	const struct dial_target *target;
	dial_cb *cb;
	void *arg;
	uint64_t began_ms;
	struct event *timer;
	void (*on_time)(struct dial *); /* what the timer is for */
	struct resolve *resolve;
	struct resolve_addrs addrs;
	struct race race;
	struct attempt attempt[RESOLVE_MAX]; /* as addrs */
	int fd;				     /* the winner's, -1 */
	struct event *ev;
	char address[64 + 1];
	size_t sent; /* of the proxy's request */
	struct proxy_reader *reader;
};

static void
set_timer(struct dial *d, uint64_t ms, void (*fn)(struct dial *))
{
	struct timeval tv = {
	    (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

	d->on_time = fn;
	event_add(d->timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;

	(void)fd;
	(void)what;
	d->on_time(d);
}

/* Where the socket goes: the proxy, if there is one. */
static const char *
next_host(const struct dial *d)
{
	return d->target->proxy_port != 0 ? d->target->proxy_host
					  : d->target->host;
}

static uint16_t
next_port(const struct dial *d)
{
	return d->target->proxy_port != 0 ? d->target->proxy_port
					  : d->target->port;
}

/* "192.0.2.1:443", "[2001:db8::1]:443" */
static void
address_text(char out[64 + 1], const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *sin6 = (const void *)ss;
	const struct sockaddr_in *sin = (const void *)ss;
	char ip[INET6_ADDRSTRLEN] = "?";

	if (ss->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &sin6->sin6_addr, ip, sizeof(ip));
		snprintf(out, 65, "[%s]:%u", ip, ntohs(sin6->sin6_port));
	} else {
		inet_ntop(AF_INET, &sin->sin_addr, ip, sizeof(ip));
		snprintf(out, 65, "%s:%u", ip, ntohs(sin->sin_port));
	}
}

/* The end of a dial.  It may be no more when these return. */

static void
fail(struct dial *d, enum dial_stage stage, const char *reason)
{
	struct dial_result r = {.fd = -1, .stage = stage};

	event_del(d->timer);
	r.took_ms = (uint32_t)(child_now_ms() - d->began_ms);
	strlcpy(r.reason, reason, sizeof(r.reason));
	d->cb(&r, d->arg);
}

static void
succeed(struct dial *d)
{
	struct dial_result r = {.fd = d->fd};

	event_del(d->timer);
	d->fd = -1;
	if (d->ev != NULL)
		event_free(d->ev);
	d->ev = NULL;
	r.took_ms = (uint32_t)(child_now_ms() - d->began_ms);
	strlcpy(r.address, d->address, sizeof(r.address));
	d->cb(&r, d->arg);
}

/* The proxy. */

static void
proxy_failed(struct dial *d, const char *what)
{
	char why[LIMIT_REASON + 1];

	snprintf(why, sizeof(why), "proxy %.80s:%u %.160s",
	    d->target->proxy_host, d->target->proxy_port, what);
	fail(d, STAGE_PROXY, why);
}

static void
proxy_late(struct dial *d)
{
	proxy_failed(d, "did not answer within 15 s");
}

static void
on_proxy_readable(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	char why[LIMIT_REASON + 1];

	(void)what;
	switch (proxy_read(d->reader, fd, why)) {
	case PROXY_MORE:
		break;
	case PROXY_OPEN:
		succeed(d);
		break;
	case PROXY_REFUSED:
		proxy_failed(d, why);
		break;
	}
}

/* Send what the socket takes.  The request is built anew each time, so that
 * the password does not lie about between two turns. */
static ssize_t
send_request(struct dial *d, size_t *len)
{
	const struct dial_target *t = d->target;
	char *req = d->env->request;
	ssize_t n;
	int saved;

	*len = proxy_request(req, t->host, t->port, t->userpass);
	n = send(d->fd, req + d->sent, *len - d->sent, MSG_NOSIGNAL);
	saved = errno;
	explicit_bzero(req, PROXY_REQUEST_MAX);
	errno = saved;
	return n;
}

static void
on_proxy_writable(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	char why[LIMIT_REASON + 1];
	size_t len;
	ssize_t n;

	(void)what;
	n = send_request(d, &len);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1) {
		snprintf(why, sizeof(why), "broke off: %s", strerror(errno));
		proxy_failed(d, why);
		return;
	}
	d->sent += (size_t)n;
	if (d->sent < len)
		return;
	event_free(d->ev);
	d->ev = event_new(
	    d->env->base, fd, EV_READ | EV_PERSIST, on_proxy_readable, d);
	if (d->ev == NULL || event_add(d->ev, NULL) == -1)
		fail(d, STAGE_PROXY, "out of memory");
}

static void
proxy_begin(struct dial *d)
{
	d->reader = calloc(1, sizeof(*d->reader));
	d->ev = event_new(
	    d->env->base, d->fd, EV_WRITE | EV_PERSIST, on_proxy_writable, d);
	if (d->reader == NULL || d->ev == NULL ||
	    event_add(d->ev, NULL) == -1) {
		fail(d, STAGE_PROXY, "out of memory");
		return;
	}
	set_timer(d, PROXY_MS, proxy_late);
}

/* The race. */

static void race_turn(struct dial *);

static void
attempt_end(struct attempt *a)
{
	if (a->ev == NULL)
		return;
	event_free(a->ev);
	a->ev = NULL;
	close(a->fd);
}

static void
attempts_end(struct dial *d)
{
	for (int i = 0; i < RESOLVE_MAX; i++)
		attempt_end(&d->attempt[i]);
}

static void
won(struct dial *d, unsigned i)
{
	struct attempt *a = &d->attempt[i];
	const int on = 1;

	d->fd = a->fd;
	event_free(a->ev);
	a->ev = NULL;
	attempts_end(d);
	event_del(d->timer);
	/* Best effort: the link works without. */
	(void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(d->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	address_text(d->address, &d->addrs.addr[i]);
	if (d->target->proxy_port != 0)
		proxy_begin(d);
	else
		succeed(d);
}

static void
on_attempt(evutil_socket_t fd, short what, void *arg)
{
	struct attempt *a = arg;
	struct dial *d = a->dial;
	unsigned i = (unsigned)(a - d->attempt);
	socklen_t len = sizeof(int);
	int err = 0;

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err == 0) {
		won(d, i);
		return;
	}
	attempt_end(a);
	race_failed(&d->race, i, err, child_now_ms());
	race_turn(d);
}

/* Begin to connect to an address.  0, or an errno. */
static int
attempt_start(struct dial *d, unsigned i)
{
	struct attempt *a = &d->attempt[i];
	const struct sockaddr *sa = (const void *)&d->addrs.addr[i];
	int err;

	a->fd = socket(
	    sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd == -1)
		return errno;
	a->dial = d;
	a->ev = event_new(d->env->base, a->fd, EV_WRITE, on_attempt, a);
	if (a->ev == NULL) {
		close(a->fd);
		return ENOMEM;
	}
	/* One that connects at once is writable, too. */
	if ((connect(a->fd, sa, d->addrs.len[i]) == -1 &&
		errno != EINPROGRESS) ||
	    event_add(a->ev, NULL) == -1) {
		err = errno;
		attempt_end(a);
		return err;
	}
	return 0;
}

static void
race_lost(struct dial *d)
{
	char why[LIMIT_REASON + 1], where[64 + 1], tried[40] = "";
	unsigned i;
	int err = race_error(&d->race, &i);

	address_text(where, &d->addrs.addr[i]);
	if (d->race.started > 1)
		snprintf(tried, sizeof(tried), " (%u addresses tried)",
		    d->race.started);
	snprintf(why, sizeof(why), "connect to %s%s: %s%s",
	    d->target->proxy_port != 0 ? "proxy " : "", where, strerror(err),
	    tried);
	attempts_end(d);
	fail(d, STAGE_CONNECT, why);
}

static void
race_turn(struct dial *d)
{
	uint64_t now = child_now_ms(), until;
	unsigned i;
	int err;

	for (;;) {
		switch (race_next(&d->race, now, &i, &until)) {
		case RACE_START:
			if ((err = attempt_start(d, i)) != 0)
				race_failed(&d->race, i, err, now);
			break;
		case RACE_WAIT:
			set_timer(d, until - now, race_turn);
			return;
		case RACE_GIVE_UP:
			race_lost(d);
			return;
		}
	}
}

static void
race_begin(struct dial *d)
{
	int family[RESOLVE_MAX];

	for (size_t i = 0; i < d->addrs.n; i++)
		family[i] = d->addrs.addr[i].ss_family;
	race_init(&d->race, family, d->addrs.n, child_now_ms());
	race_turn(d);
}

/* The name. */

static void
on_resolved(const struct resolve_addrs *addrs, const char *why, void *arg)
{
	struct dial *d = arg;

	d->resolve = NULL;
	if (addrs == NULL) {
		fail(d, STAGE_NAME, why);
		return;
	}
	d->addrs = *addrs;
	race_begin(d);
}

static void
begin(struct dial *d)
{
	char why[LIMIT_REASON + 1];

	if (resolve_literal(next_host(d), next_port(d), &d->addrs)) {
		race_begin(d);
		return;
	}
	d->resolve = resolve_start(
	    d->env->resolver, next_host(d), next_port(d), on_resolved, d);
	if (d->resolve == NULL) {
		snprintf(why, sizeof(why), "no process to look up names: %s",
		    strerror(errno));
		fail(d, STAGE_NAME, why);
	}
}

struct dial *
dial_start(const struct dial_env *env, const struct dial_target *target,
    dial_cb *cb, void *arg)
{
	struct dial *d;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		return NULL;
	d->env = env;
	d->target = target;
	d->cb = cb;
	d->arg = arg;
	d->fd = -1;
	d->began_ms = child_now_ms();
	if ((d->timer = evtimer_new(env->base, on_timer, d)) == NULL) {
		free(d);
		return NULL;
	}
	/* From the loop, so that no result comes before we return. */
	set_timer(d, 0, begin);
	return d;
}

void
dial_free(struct dial *d)
{
	resolve_cancel(d->resolve);
	attempts_end(d);
	event_free(d->timer);
	if (d->ev != NULL)
		event_free(d->ev);
	if (d->fd != -1)
		close(d->fd);
	free(d->reader);
	free(d);
}
