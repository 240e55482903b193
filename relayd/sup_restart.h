/* SPDX-License-Identifier: ISC */
/*
 * When a dead child is started again: 100 ms doubling to 10 s, back to 100 ms
 * after a minute of health; ten deaths in five minutes are too many.  Pure:
 * the time comes in.
 */
#ifndef SUP_RESTART_H
#define SUP_RESTART_H

#include <stdint.h>

#define RESTART_MIN_MS	  100
#define RESTART_MAX_MS	  10000
#define RESTART_HEALTH_MS 60000	 /* that long alive: the delay falls back */
#define RESTART_DEATHS	  10	 /* so many … */
#define RESTART_WINDOW_MS 300000 /* … within this are given up on */

struct restart {
	uint64_t death[RESTART_DEATHS]; /* the latest, a ring; ms */
	uint32_t ndeaths;		/* all there were */
	uint32_t delay_ms;		/* the last delay; 0: none yet */
	uint64_t started;		/* ms of the last start */
};

/* A child was started at now (monotonic ms). */
void restart_started(struct restart *r, uint64_t now);
/* It died.  Returns the delay in ms, or -1 when it died too often. */
int restart_died(struct restart *r, uint64_t now);

#endif
