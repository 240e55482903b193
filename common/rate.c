/* SPDX-License-Identifier: ISC */
/* A token bucket; see rate.h. */
#include "rate.h"

/* In thousandths: per_s of them come back each millisecond. */
#define TOKEN 1000U

static void
refill(struct rate *r, uint64_t now_ms)
{
	uint64_t full = (uint64_t)r->burst * TOKEN, gone;

	if (now_ms <= r->at_ms)
		return;
	gone = now_ms - r->at_ms;
	r->at_ms = now_ms;
	/* No overflow: a longer pause than this has filled it anyway. */
	if (gone > full / r->per_s)
		r->milli = full;
	else if ((r->milli += gone * r->per_s) > full)
		r->milli = full;
}

void
rate_init(struct rate *r, uint32_t per_s, uint32_t burst, uint64_t now_ms)
{
	r->per_s = per_s;
	r->burst = burst;
	r->milli = (uint64_t)burst * TOKEN;
	r->at_ms = now_ms;
}

void
rate_change(struct rate *r, uint32_t per_s, uint32_t burst, uint64_t now_ms)
{
	refill(r, now_ms);
	r->per_s = per_s;
	r->burst = burst;
	if (r->milli > (uint64_t)burst * TOKEN)
		r->milli = (uint64_t)burst * TOKEN;
}

int
rate_take(struct rate *r, uint64_t now_ms)
{
	refill(r, now_ms);
	if (r->milli < TOKEN)
		return 0;
	r->milli -= TOKEN;
	return 1;
}

uint64_t
rate_wait(struct rate *r, uint64_t now_ms)
{
	refill(r, now_ms);
	if (r->milli >= TOKEN)
		return 0;
	return (TOKEN - r->milli + r->per_s - 1) / r->per_s;
}
