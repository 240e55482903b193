/* SPDX-License-Identifier: ISC */
/* Datagrams to the service manager. */

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "notify.h"

/* A decimal number or 0. */
static uint64_t
number(const char *text)
{
	unsigned long long v;
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	v = strtoull(text, &end, 10);
	return *end != '\0' || errno != 0 ? 0 : v;
}

const char *
notify_init(
    struct notify *n, const char *path, const char *usec, const char *pid)
{
	size_t len;

	memset(n, 0, sizeof(*n));
	n->fd = -1;
	if (path == NULL)
		return NULL;
	len = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || len < 2)
		return "neither a path nor an abstract name (@…)";
	if (len >= sizeof(n->to.sun_path))
		return "too long for a socket's name";
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, path, len);
	if (path[0] == '@')
		n->to.sun_path[0] = '\0';
	n->tolen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd == -1)
		return strerror(errno);
	if (pid == NULL || number(pid) == (uint64_t)getpid())
		n->watchdog_ms = number(usec) / 2000;
	return NULL;
}

void
notify_free(struct notify *n)
{
	if (n->fd != -1)
		close(n->fd);
	n->fd = -1;
}

void
notify_send(const struct notify *n, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int len;

	if (n->fd == -1)
		return;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len <= 0 || (size_t)len >= sizeof(text))
		return;
	(void)sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL,
	    (const struct sockaddr *)&n->to, n->tolen);
}
