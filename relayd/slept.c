/* SPDX-License-Identifier: ISC */
/* Whether the host slept; see slept.h. */
#include <sys/timerfd.h>

#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "slept.h"

/* Milliseconds: the clocks are read one after the other, and a process may be
 * stopped in between; a suspend takes longer. */
#define TOLERANCE_MS 1000

int
slept_noticed(struct slept *s, uint64_t boot_ms, uint64_t mono_ms)
{
	uint64_t ahead = boot_ms > mono_ms ? boot_ms - mono_ms : 0;
	int slept = ahead > s->ahead + TOLERANCE_MS;

	/* Not followed down: one read that was late is no sleep, nor is the
	 * return from it. */
	if (slept)
		s->ahead = ahead;
	return slept;
}

static uint64_t
read_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int
slept_now(struct slept *s)
{
	uint64_t boot = read_ms(CLOCK_BOOTTIME);

	/* In this order a pause between the two makes the difference less. */
	return slept_noticed(s, boot, read_ms(CLOCK_MONOTONIC));
}

/* A timer far away, which ends early with ECANCELED when the clock is set: the
 * kernel sets it at each resume. */
static void
arm(struct slept *s)
{
	const struct itimerspec never = {.it_value = {.tv_sec = INT32_MAX}};

	(void)timerfd_settime(
	    s->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

/* That the loop turns is all that is wanted. */
static void
on_set(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what;
	(void)!read((int)fd, &n, sizeof(n));
	arm(arg);
}

int
slept_init(struct slept *s, struct event_base *base)
{
	s->ev = NULL;
	s->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->fd == -1)
		return -1;
	s->ahead = read_ms(CLOCK_BOOTTIME) - read_ms(CLOCK_MONOTONIC);
	arm(s);
	s->ev = event_new(base, s->fd, EV_READ | EV_PERSIST, on_set, s);
	return s->ev == NULL ? -1 : event_add(s->ev, NULL);
}

void
slept_fini(struct slept *s)
{
	if (s->ev != NULL)
		event_free(s->ev);
	if (s->fd != -1)
		close(s->fd);
}
