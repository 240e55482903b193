/* SPDX-License-Identifier: ISC */
/* The service manager's notification socket (sd_notify(3)'s protocol). */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>
#include <stdint.h>

struct notify {
	int fd; /* -1: nobody wants to know */
	struct sockaddr_un to;
	socklen_t tolen;
	uint64_t watchdog_ms; /* feed it this often; 0: none */
};

/* From the values of NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, each may
 * be NULL.  Returns NULL, or a phrase: the socket's name is no good. */
const char *notify_init(
    struct notify *n, const char *path, const char *usec, const char *pid);
void notify_free(struct notify *n);
/* Send lines "NAME=value\n…"; never waits, a failure is not ours to mend. */
void notify_send(const struct notify *n, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
