/* SPDX-License-Identifier: ISC */
/* Where serve listens: on loopback, unless told otherwise in so many words. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve.h"

#define LISTEN_DEFAULT "127.0.0.1:9464"
#define BACKLOG	       64
/* The first descriptor that a service manager hands over (sd_listen_fds(3)). */
#define INHERITED 3

static int
is_loopback(const struct sockaddr_storage *ss)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (ss->ss_family == AF_INET) {
		memcpy(&in, ss, sizeof(in));
		return ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	if (ss->ss_family != AF_INET6)
		return 0;
	memcpy(&in6, ss, sizeof(in6));
	return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ||
	    (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) &&
		in6.sin6_addr.s6_addr[12] == 127);
}

const char *
serve_name(const struct serve *s, char name[SERVE_NAME])
{
	char host[INET6_ADDRSTRLEN + 20], port[8];

	if (getnameinfo((const struct sockaddr *)&s->addr, s->addrlen, host,
		sizeof(host), port, sizeof(port),
		NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(name, SERVE_NAME, "a socket");
	else
		snprintf(name, SERVE_NAME,
		    s->addr.ss_family == AF_INET6 ? "http://[%s]:%s"
						  : "http://%s:%s",
		    host, port);
	return name;
}

int
serve_host_ok(const char *host)
{
	static const char *const ours[] = {"localhost", "127.0.0.1", "[::1]"};
	const char *port;
	size_t i, len;

	len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
	len += host[len] == ']';
	port = host + len;
	if (*port != '\0' &&
	    (*port != ':' || port[1 + strspn(port + 1, "0123456789")] != '\0'))
		return 0;
	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strlen(ours[i]) == len &&
		    strncasecmp(ours[i], host, len) == 0)
			return 1;
	return 0;
}

/* "127.0.0.1:9464", "[::1]:9464", "localhost:9464". */
static int
parse(struct serve *s, const char *text)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	const char *colon = strrchr(text, ':'), *bad;
	struct addrinfo *ai;
	char host[64];
	size_t len = colon == NULL ? 0 : (size_t)(colon - text);

	if (len == 0 || len >= sizeof(host))
		return -1;
	(void)strtonum(colon + 1, 0, UINT16_MAX, &bad);
	if (bad != NULL)
		return -1;
	span_copy(host, sizeof(host), (struct span){text, len});
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	} else if (strchr(host, ':') != NULL)
		return -1;
	if (getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
		colon + 1, &hints, &ai) != 0)
		return -1;
	memcpy(&s->addr, ai->ai_addr, ai->ai_addrlen);
	s->addrlen = ai->ai_addrlen;
	freeaddrinfo(ai);
	return 0;
}

/* Whether others than this host may come to the address, and may. */
static int
is_allowed(struct serve *s, const char *address)
{
	s->loopback = is_loopback(&s->addr);
	if (s->loopback || s->addr.ss_family == AF_UNIX ||
	    s->ctl->opt[OPT_ALLOW_REMOTE] != NULL)
		return 1;
	ctl_warn("%s is open to other hosts, and whoever comes is told "
		 "relayd's status: without a password and unencrypted; listen "
		 "on 127.0.0.1 or [::1], or add --allow-remote if that is "
		 "meant",
	    address);
	return 0;
}

static int
bind_to(struct serve *s)
{
	const int yes = 1;
	int fd, error;

	fd = socket(
	    s->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&s->addr, s->addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* How many descriptors the service manager handed us. */
static int
inherited(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	const char *bad;
	int count;

	if (pid == NULL || n == NULL ||
	    (int)strtonum(pid, 1, INT32_MAX, &bad) != (int)getpid())
		return 0;
	count = (int)strtonum(n, 1, INT32_MAX, &bad);
	return bad == NULL ? count : 0;
}

static int
take_inherited(struct serve *s, int *status)
{
	socklen_t len = sizeof(int);
	int listens = 0;

	*status = CTL_USAGE;
	if (inherited() != 1 ||
	    getsockopt(INHERITED, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) ==
		-1 ||
	    !listens) {
		ctl_warn("LISTEN_FDS: one listening stream socket is wanted");
		return -1;
	}
	s->addrlen = sizeof(s->addr);
	if (getsockname(INHERITED, (struct sockaddr *)&s->addr, &s->addrlen) ==
		-1 ||
	    evutil_make_socket_nonblocking(INHERITED) == -1 ||
	    evutil_make_socket_closeonexec(INHERITED) == -1) {
		ctl_warn("LISTEN_FDS: %s", strerror(errno));
		return -1;
	}
	return is_allowed(s, "the socket of LISTEN_FDS") ? INHERITED : -1;
}

int
serve_listen(struct serve *s, int *status)
{
	const char *text = s->ctl->opt[OPT_LISTEN];
	int fd;

	if (inherited() > 0)
		return take_inherited(s, status);
	*status = CTL_USAGE;
	if (text == NULL)
		text = LISTEN_DEFAULT;
	if (parse(s, text) == -1) {
		ctl_warn("--listen takes an address and a port, as "
			 "127.0.0.1:9464 or [::1]:9464");
		return -1;
	}
	if (!is_allowed(s, text))
		return -1;
	*status = CTL_FAILED;
	if ((fd = bind_to(s)) == -1) {
		ctl_warn("cannot listen on %s: %s%s", text, strerror(errno),
		    errno == EADDRINUSE
			? "; see who does (ss -ltnp), or name another with "
			  "--listen"
			: "");
		return -1;
	}
	s->addrlen = sizeof(s->addr);
	if (getsockname(fd, (struct sockaddr *)&s->addr, &s->addrlen) == -1)
		ctl_warn("getsockname: %s", strerror(errno));
	return fd;
}
