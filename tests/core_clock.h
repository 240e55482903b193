/* SPDX-License-Identifier: ISC */
/* Time in the tests' and the fuzzer's worlds around the engine's core. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include "core.h"

struct world;

/* Milliseconds pass, from one deadline of the core to the next; at each, and
 * at the end, the world takes its turn. */
static inline void
core_clock(struct core *c, uint64_t *now, uint64_t ms,
    void (*turn)(struct world *), struct world *w)
{
	uint64_t end = *now + ms, next;

	while ((next = core_deadline(c)) <= end) {
		if (next > *now)
			*now = next;
		core_now(c, *now);
		turn(w);
	}
	*now = end;
	core_now(c, *now);
	turn(w);
}

#endif
