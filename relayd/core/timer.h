/* SPDX-License-Identifier: ISC */
/* Timers on a clock that is handed in: a binary heap of deadlines. */
#ifndef TIMER_H
#define TIMER_H

#include <stdint.h>

struct timer {
	uint64_t when; /* milliseconds on the caller's clock */
	void (*fn)(void *arg);
	void *arg;
	uint32_t slot; /* place in the heap plus one; 0: not armed */
};

struct timers {
	struct timer **heap;
	uint32_t n, cap;
};

#define TIMER_NEVER UINT64_MAX

/* Say what a timer does; it is not armed. */
void timer_init(struct timer *t, void (*fn)(void *), void *arg);
/* Arm, or move when armed.  Aborts the process without memory: a lost deadline
 * would be a wait without end. */
void timer_set(struct timers *ts, struct timer *t, uint64_t when);
void timer_clear(struct timers *ts, struct timer *t);
static inline int
timer_armed(const struct timer *t)
{
	return t->slot != 0;
}
/* The earliest deadline, or TIMER_NEVER. */
uint64_t timers_next(const struct timers *ts);
/* Run what is due at now; returns how many ran. */
unsigned timers_run(struct timers *ts, uint64_t now);
void timers_free(struct timers *ts);

#endif
