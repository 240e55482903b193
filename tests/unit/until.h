/* SPDX-License-Identifier: ISC */
#ifndef UNTIL_H
#define UNTIL_H

/*
 * step(f) until the condition holds.  Each step does what can be done, so that
 * their number, not time, is the bound: STEPS, which the includer defines, is
 * more than any of its tests needs.
 */
#define UNTIL(f, cond)                             \
	do {                                       \
		int left_ = STEPS;                 \
		while (!(cond) && left_-- > 0)     \
			step(f);                   \
		if (!(cond))                       \
			fail_msg("never: " #cond); \
	} while (0)

#endif
