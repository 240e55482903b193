/* SPDX-License-Identifier: ISC */
/*
 * Whether the host slept: the boot-time clock goes on meanwhile, the monotonic
 * one does not.
 */
#ifndef SLEPT_H
#define SLEPT_H

#include <stdint.h>

struct event;
struct event_base;

struct slept {
	uint64_t ahead; /* ms that the boot-time clock is ahead */
	int fd;		/* rings when the clocks were set, as at a resume */
	struct event *ev;
};

/* What both clocks say now, in milliseconds.  Whether the host slept since the
 * last call: the boot-time clock gained more than a second. */
int slept_noticed(struct slept *s, uint64_t boot_ms, uint64_t mono_ms);
/* The same by the system's clocks. */
int slept_now(struct slept *s);
/* Begin; the loop wakes at a resume.  0, or -1 with errno. */
int slept_init(struct slept *s, struct event_base *base);
void slept_fini(struct slept *s);

#endif
