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

/* 0, or 1: there is no room for it now.  What else fails is not mended by
 * trying again. */
static int
put(const struct notify *n, const char *text)
{
	ssize_t r = sendto(n->fd, text, strlen(text), MSG_NOSIGNAL,
	    (const struct sockaddr *)&n->to, n->tolen);

	return r == -1 &&
	    (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM);
}

void
notify_send(const struct notify *n, const char *fmt, ...)
{
	char text[NOTIFY_TEXT];
	va_list ap;
	int len;

	if (n->fd == -1)
		return;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len <= 0 || (size_t)len >= sizeof(text))
		return;
	(void)put(n, text);
}

static int
is_a(const char *text, const char *name)
{
	return strncmp(text, name, strlen(name)) == 0;
}

static void
keep(struct notify *n, const char *text)
{
	unsigned i;

	for (i = 0; i < n->nkept; i++)
		if (is_a(text, "STOPPING=") ||
		    (is_a(text, "RELOADING=") &&
			is_a(n->kept[i], "RELOADING=")))
			n->nkept = i;
	if (n->nkept < NOTIFY_KEPT)
		strlcpy(n->kept[n->nkept++], text, sizeof(n->kept[0]));
}

int
notify_tell(struct notify *n, const char *text)
{
	const int status = is_a(text, "STATUS=");

	if (status)
		n->status[0] = '\0';
	if (n->fd == -1 || (notify_again(n) == 0 && put(n, text) == 0))
		return 0;
	if (status)
		strlcpy(n->status, text, sizeof(n->status));
	else
		keep(n, text);
	return 1;
}

int
notify_again(struct notify *n)
{
	unsigned i = 0;

	if (n->fd == -1)
		return 0;
	while (i < n->nkept && put(n, n->kept[i]) == 0)
		i++;
	n->nkept -= i;
	memmove(n->kept[0], n->kept[i], n->nkept * sizeof(n->kept[0]));
	if (n->nkept > 0)
		return 1;
	if (n->status[0] != '\0' && put(n, n->status) == 0)
		n->status[0] = '\0';
	return n->status[0] != '\0';
}

void
notify_forget(struct notify *n)
{
	n->nkept = 0;
	n->status[0] = '\0';
}
