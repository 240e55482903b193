/* SPDX-License-Identifier: ISC */
/* A token bucket on a millisecond clock, without I/O. */
#ifndef RATE_H
#define RATE_H

#include <stdint.h>

struct rate {
	uint32_t per_s; /* tokens that come back each second */
	uint32_t burst; /* tokens it holds when full */
	uint64_t milli; /* what it holds, in thousandths of a token */
	uint64_t at_ms; /* as of then */
};

/* A full bucket; per_s and burst are at least 1. */
void rate_init(struct rate *r, uint32_t per_s, uint32_t burst, uint64_t now_ms);
/* Other bounds from now on; what it holds stays, up to the new burst. */
void
rate_change(struct rate *r, uint32_t per_s, uint32_t burst, uint64_t now_ms);
/* Take a token: 1, or 0 when there is none. */
int rate_take(struct rate *r, uint64_t now_ms);
/* Milliseconds until there is a token; 0: now. */
uint64_t rate_wait(struct rate *r, uint64_t now_ms);

#endif
