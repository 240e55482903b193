/* SPDX-License-Identifier: ISC */
/* Restart policy: backoff and the bound on deaths. */

#include "sup_restart.h"

void
restart_started(struct restart *r, uint64_t now)
{
	r->started = now;
}

int
restart_died(struct restart *r, uint64_t now)
{
	uint64_t oldest;

	if (r->delay_ms == 0 || now - r->started >= RESTART_HEALTH_MS)
		r->delay_ms = RESTART_MIN_MS;
	else if (r->delay_ms > RESTART_MAX_MS / 2)
		r->delay_ms = RESTART_MAX_MS;
	else
		r->delay_ms *= 2;

	r->death[r->ndeaths % RESTART_DEATHS] = now;
	r->ndeaths++;
	if (r->ndeaths < RESTART_DEATHS)
		return (int)r->delay_ms;
	oldest = r->death[r->ndeaths % RESTART_DEATHS];
	if (now - oldest <= RESTART_WINDOW_MS)
		return -1;
	return (int)r->delay_ms;
}
