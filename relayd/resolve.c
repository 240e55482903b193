/* SPDX-License-Identifier: ISC */
/* Names to addresses; see resolve.h. */
#include <sys/types.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

#include "resolve.h"
#include "url.h"

/* What the child writes: one packet, below PIPE_BUF and so in one piece. */
struct answer {
	int32_t gai; /* getaddrinfo's result */
	int32_t err; /* errno, when that is EAI_SYSTEM */
	uint32_t n;  /* addresses that follow */
	struct answer_addr {
		uint32_t six;	/* an IPv6 address */
		uint32_t scope; /* its scope */
		uint8_t bytes[16];
	} addr[RESOLVE_MAX];
};

struct resolve {
	LIST_ENTRY(resolve) entry;
	pid_t pid; /* 0: it has ended, the number may be another's */
	int fd;
	uint16_t port;
	struct event *ev;
	resolve_cb *cb;
	void *arg;
	char host[URL_HOST_MAX + 1];
};

struct resolver {
	struct event_base *base;
	struct event *sigchld;
	LIST_HEAD(, resolve) list;
};

static void
reap(evutil_socket_t sig, short what, void *arg)
{
	struct resolver *rs = arg;
	struct resolve *r;
	pid_t pid;

	(void)sig;
	(void)what;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		LIST_FOREACH (r, &rs->list, entry)
			if (r->pid == pid)
				r->pid = 0;
}

struct resolver *
resolver_new(struct event_base *base)
{
	struct resolver *rs;

	if ((rs = calloc(1, sizeof(*rs))) == NULL)
		return NULL;
	rs->base = base;
	LIST_INIT(&rs->list);
	rs->sigchld = evsignal_new(base, SIGCHLD, reap, rs);
	if (rs->sigchld == NULL || event_add(rs->sigchld, NULL) == -1) {
		if (rs->sigchld != NULL)
			event_free(rs->sigchld);
		free(rs);
		return NULL;
	}
	return rs;
}

void
resolver_free(struct resolver *rs)
{
	event_free(rs->sigchld);
	free(rs);
}

static void
put(struct resolve_addrs *out, int six, const void *bytes, uint32_t scope,
    uint16_t port)
{
	struct sockaddr_in6 *sin6 = (void *)&out->addr[out->n];
	struct sockaddr_in *sin = (void *)&out->addr[out->n];

	memset(&out->addr[out->n], 0, sizeof(out->addr[0]));
	if (six) {
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(port);
		sin6->sin6_scope_id = scope;
		memcpy(&sin6->sin6_addr, bytes, sizeof(sin6->sin6_addr));
	} else {
		sin->sin_family = AF_INET;
		sin->sin_port = htons(port);
		memcpy(&sin->sin_addr, bytes, sizeof(sin->sin_addr));
	}
	out->len[out->n++] = six ? sizeof(*sin6) : sizeof(*sin);
}

int
resolve_literal(const char *host, uint16_t port, struct resolve_addrs *out)
{
	uint8_t bytes[16];
	int six;

	out->n = 0;
	six = inet_pton(AF_INET6, host, bytes) == 1;
	if (!six && inet_pton(AF_INET, host, bytes) != 1)
		return 0;
	put(out, six, bytes, 0, port);
	return 1;
}

/* The child. */

static int
pack(struct answer_addr *a, const struct addrinfo *ai)
{
	if (ai->ai_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)ai->ai_addr;

		a->six = 1;
		a->scope = sin6->sin6_scope_id;
		memcpy(a->bytes, &sin6->sin6_addr, 16);
		return 1;
	}
	if (ai->ai_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)ai->ai_addr;

		memcpy(a->bytes, &sin->sin_addr, 4);
		return 1;
	}
	return 0;
}

/* The first of each family come first in any case: an answer with many
 * addresses of one must not push the other out. */
static void
collect(struct answer *a, const struct addrinfo *list)
{
	size_t room[2] = {RESOLVE_MAX / 2, RESOLVE_MAX / 2};

	for (; list != NULL && a->n < RESOLVE_MAX; list = list->ai_next) {
		size_t *left = &room[list->ai_family == AF_INET6];

		if (*left > 0 && pack(&a->addr[a->n], list)) {
			a->n++;
			(*left)--;
		}
	}
}

static _Noreturn void
child(const char *host, int fd)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;
	struct answer a = {0};

	/* Nothing of the dialer's: no pipe, no connection. */
	if (dup3(fd, 0, 0) == -1)
		_exit(1);
	close_range(1 + STDERR_FILENO, ~0U, 0);
	/* Its end, should the dialer not live to see to it. */
	alarm(RESOLVE_MS / 1000 + 1);
	a.gai = getaddrinfo(host, NULL, &hints, &list);
	a.err = a.gai == EAI_SYSTEM ? errno : 0;
	if (a.gai == 0)
		collect(&a, list);
	_exit(write(0, &a, sizeof(a)) == sizeof(a) ? 0 : 1);
}

/* The parent. */

void
resolve_cancel(struct resolve *r)
{
	if (r == NULL)
		return;
	if (r->pid != 0)
		kill(r->pid, SIGKILL);
	LIST_REMOVE(r, entry);
	event_free(r->ev);
	close(r->fd);
	free(r);
}

static void
failed(struct resolve *r, const char *what)
{
	char why[LIMIT_REASON + 1], host[URL_HOST_MAX + 1];
	resolve_cb *cb = r->cb;
	void *arg = r->arg;

	strlcpy(host, r->host, sizeof(host));
	resolve_cancel(r);
	/* The phrase stays whole, whatever the name's length. */
	snprintf(why, sizeof(why), "no address for %.150s: %s", host, what);
	cb(NULL, why, arg);
}

static int
unpack(const struct answer *a, uint16_t port, struct resolve_addrs *out)
{
	out->n = 0;
	if (a->n > RESOLVE_MAX)
		return -1;
	for (uint32_t i = 0; i < a->n; i++) {
		if (a->addr[i].six > 1)
			return -1;
		put(out, (int)a->addr[i].six, a->addr[i].bytes,
		    a->addr[i].scope, port);
	}
	return 0;
}

static void
answered(struct resolve *r, const struct answer *a)
{
	struct resolve_addrs addrs;
	resolve_cb *cb = r->cb;
	void *arg = r->arg;

	if (a->gai == EAI_SYSTEM)
		failed(r, strerror(a->err));
	else if (a->gai != 0)
		failed(r, gai_strerror(a->gai));
	else if (unpack(a, r->port, &addrs) == -1)
		failed(r, "the resolver's child gave a damaged answer");
	else if (addrs.n == 0)
		failed(r, "it has none of a kind we can use");
	else {
		resolve_cancel(r);
		cb(&addrs, NULL, arg);
	}
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct resolve *r = arg;
	struct answer a;
	ssize_t n;

	if (what & EV_TIMEOUT) {
		failed(r, "the name servers did not answer within 10 s");
		return;
	}
	n = read(fd, &a, sizeof(a));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != sizeof(a))
		failed(r, "the resolver's child ended without an answer");
	else
		answered(r, &a);
}

static struct resolve *
start_child(struct resolver *rs, const char *host, int fd[2])
{
	const struct timeval deadline = {RESOLVE_MS / 1000, 0};
	struct resolve *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	r->fd = fd[0];
	strlcpy(r->host, host, sizeof(r->host));
	r->ev = event_new(rs->base, fd[0], EV_READ | EV_PERSIST, on_event, r);
	if (r->ev == NULL || event_add(r->ev, &deadline) == -1 ||
	    (r->pid = fork()) == -1) {
		if (r->ev != NULL)
			event_free(r->ev);
		free(r);
		return NULL;
	}
	if (r->pid == 0)
		child(r->host, fd[1]);
	LIST_INSERT_HEAD(&rs->list, r, entry);
	return r;
}

struct resolve *
resolve_start(struct resolver *rs, const char *host, uint16_t port,
    resolve_cb *cb, void *arg)
{
	struct resolve *r;
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) == -1)
		return NULL;
	if (fcntl(fd[0], F_SETFL, O_NONBLOCK) == -1 ||
	    (r = start_child(rs, host, fd)) == NULL) {
		close(fd[0]);
		close(fd[1]);
		return NULL;
	}
	close(fd[1]);
	r->port = port;
	r->cb = cb;
	r->arg = arg;
	return r;
}
