/* SPDX-License-Identifier: ISC */
/* Time in the tests' and the fuzzer's worlds around the engine's core. */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include "core.h"

/* Set the clock to the core's next deadline, at most to end.  0: the end is
 * reached, and there is no deadline up to it; otherwise the turn may make new
 * ones. */
static inline int
core_clock(struct core *c, uint64_t *now, uint64_t end)
{
	uint64_t next = core_deadline(c);
	int more = next <= end;

	if (!more)
		*now = end;
	else if (next > *now)
		*now = next;
	core_now(c, *now);
	return more;
}

#endif
