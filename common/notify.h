/* SPDX-License-Identifier: ISC */
/* The service manager's notification socket (sd_notify(3)'s protocol). */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>
#include <stdint.h>

/* A datagram of ours, with its end. */
#define NOTIFY_TEXT 512
/* Kept ones but for status: READY=1 of the start, a reload's two. */
#define NOTIFY_KEPT 3

struct notify {
	int fd; /* -1: nobody wants to know */
	struct sockaddr_un to;
	socklen_t tolen;
	uint64_t watchdog_ms; /* feed it this often; 0: none */
	/* What there was no room for, in order. */
	char kept[NOTIFY_KEPT][64];
	unsigned nkept;
	char status[NOTIFY_TEXT]; /* "": none */
};

/* From the values of NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, each may
 * be NULL.  Returns NULL, or a phrase: the socket's name is no good. */
const char *notify_init(
    struct notify *n, const char *path, const char *usec, const char *pid);
void notify_free(struct notify *n);
/* Send lines "NAME=value\n…"; never waits, a failure is not ours to mend. */
void notify_send(const struct notify *n, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/*
 * Send READY=1, RELOADING=1 (with its time), STOPPING=1 or STATUS=, which does
 * not get lost when the manager's queue is full: it is kept, behind what is
 * kept already, and not if something later makes it meaningless (an older
 * status, an older reload, all before a stop).  Never waits.  1: something is
 * kept, and notify_again() is to be called in a moment; 0: nothing is.
 */
int notify_tell(struct notify *n, const char *text);
/* Send what is kept, as far as there is room.  1: something still is. */
int notify_again(struct notify *n);
/* Give up what is kept. */
void notify_forget(struct notify *n);

#endif
