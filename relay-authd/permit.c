/* SPDX-License-Identifier: ISC */
/* The permit table; see permit.h. */
#include <stddef.h>

#include "permit.h"

void
permit_retire(struct permits *t, uint32_t gateway)
{
	for (int i = 0; i < PERMIT_KEEP; i++) {
		struct permit *p = &t->gateway[gateway].slot[i];

		if (p->state == PERMIT_OPEN)
			p->state = PERMIT_RETIRED;
	}
}

void
permit_restart(struct permits *t, uint64_t now_ms)
{
	for (uint32_t g = 0; g < LIMIT_GATEWAYS; g++)
		permit_retire(t, g);
	t->first = t->last = 0;
	t->since_ms = now_ms;
}

int
permit_report(struct permits *t, uint32_t gateway, uint64_t conn, int void_now,
    uint64_t now_ms)
{
	struct permit *p;
	unsigned next = t->gateway[gateway].next;

	if (conn <= t->last)
		return -1;
	t->last = conn;
	if (t->first == 0)
		t->first = conn;
	p = &t->gateway[gateway].slot[next];
	t->gateway[gateway].next = (next + 1) % PERMIT_KEEP;
	p->conn = conn;
	p->at_ms = now_ms;
	p->state = void_now ? PERMIT_RETIRED : PERMIT_OPEN;
	return 0;
}

static int
find(const struct permits *t, uint32_t gateway, uint64_t conn)
{
	for (int i = 0; i < PERMIT_KEEP; i++) {
		const struct permit *p = &t->gateway[gateway].slot[i];

		if (p->state != PERMIT_FREE && p->conn == conn)
			return i;
	}
	return -1;
}

/* A number that is not one of the present dialer's, soon after its start or
 * ours, may be one that was reported to the last relay-authd or by the last
 * dialer. */
static int
from_before(const struct permits *t, uint64_t conn, uint64_t now_ms)
{
	if (now_ms - t->since_ms >= PERMIT_TTL_MS)
		return 0;
	return conn < t->first || conn > t->last;
}

enum permit_answer
permit_ask(
    const struct permits *t, uint32_t gateway, uint64_t conn, uint64_t now_ms)
{
	const struct permit *p;
	int i = find(t, gateway, conn);

	if (i == -1)
		return from_before(t, conn, now_ms) ? PERMIT_GONE
						    : PERMIT_UNKNOWN;
	p = &t->gateway[gateway].slot[i];
	if (p->state == PERMIT_USED)
		return PERMIT_AGAIN;
	if (p->state == PERMIT_RETIRED || now_ms - p->at_ms >= PERMIT_TTL_MS)
		return PERMIT_GONE;
	return PERMIT_GRANTED;
}

void
permit_use(struct permits *t, uint32_t gateway, uint64_t conn)
{
	int i = find(t, gateway, conn);

	if (i != -1)
		t->gateway[gateway].slot[i].state = PERMIT_USED;
}
