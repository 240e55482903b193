/* SPDX-License-Identifier: ISC */
/* A child of a check, behind the dialer's walls: a name becomes addresses, and
 * one of them a connection. */
#include <sys/socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check_child.h"
#include "client.h"

/* Names are asked for over TCP too, when an answer is long. */
#define DNS_PORT 53
/* Addresses that are tried, as many as the dialer takes. */
#define TRIED 8

static void
put_address(char *out, const struct addrinfo *ai, uint16_t port)
{
	const struct sockaddr_in6 *in6 = (const void *)ai->ai_addr;
	const struct sockaddr_in *in = (const void *)ai->ai_addr;
	char text[INET6_ADDRSTRLEN] = "?";
	int six = ai->ai_family == AF_INET6;

	if (six)
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
	snprintf(out, CHECK_ADDRESS, six ? "[%s]:%u" : "%s:%u", text,
	    (unsigned)port);
}

static void
set_port(struct addrinfo *ai, uint16_t port)
{
	struct sockaddr_in6 *in6 = (void *)ai->ai_addr;
	struct sockaddr_in *in = (void *)ai->ai_addr;

	if (ai->ai_family == AF_INET6)
		in6->sin6_port = htons(port);
	else
		in->sin_port = htons(port);
}

/* Wait for a connection that was begun.  0, or an errno. */
static int
finish(int fd, int64_t until)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int64_t left = until - client_now();
	int err = 0;

	if (left <= 0 || poll(&p, 1, (int)left) <= 0)
		return ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1 ? errno
								      : err;
}

/* The connection; or -1, and *err says why not. */
static int
connect_to(const struct addrinfo *ai, int64_t until, int32_t *err)
{
	int fd;

	fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1) {
		*err = errno;
		return -1;
	}
	*err = connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 ? 0 : errno;
	if (*err == EINPROGRESS)
		*err = finish(fd, until);
	if (*err == 0)
		return fd;
	close(fd);
	return -1;
}

static int
is_usable(const struct addrinfo *ai)
{
	return ai->ai_family == AF_INET || ai->ai_family == AF_INET6;
}

void
check_find(const void *arg)
{
	const struct check_find *want = arg;
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_ADDRCONFIG};
	const uint16_t ports[] = {want->port, DNS_PORT};
	struct addrinfo *list = NULL, *ai;
	struct check_found found = {0};
	int64_t until, left;
	int fd = -1, n = 0;

	check_child_confine(ROLE_DIALER, ports, want->port == DNS_PORT ? 1 : 2);
	found.gai = getaddrinfo(want->host, NULL, &hints, &list);
	found.err = found.gai == EAI_SYSTEM ? errno : 0;
	for (ai = list; found.gai == 0 && ai != NULL; ai = ai->ai_next)
		if (is_usable(ai) && found.n++ == 0)
			put_address(found.first, ai, want->port);
	check_child_tell(&found, sizeof(found), -1);
	if (found.n == 0)
		return;
	until = client_now() + CHECK_CONNECT_MS;
	for (ai = list; fd == -1 && ai != NULL && n < TRIED; ai = ai->ai_next) {
		if (!is_usable(ai))
			continue;
		set_port(ai, want->port);
		put_address(found.first, ai, want->port);
		/* What is left of the time is shared by those still there. */
		left = (until - client_now()) /
		    ((found.n < TRIED ? found.n : TRIED) - n++);
		fd = connect_to(ai, client_now() + left, &found.err);
	}
	check_child_tell(&found, sizeof(found), fd);
}
