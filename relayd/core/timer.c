/* SPDX-License-Identifier: ISC */
/* Timers on a clock that is handed in: a binary heap of deadlines. */
#include <stdlib.h>

#include "timer.h"

void
timer_init(struct timer *t, void (*fn)(void *), void *arg)
{
	t->when = TIMER_NEVER;
	t->fn = fn;
	t->arg = arg;
	t->slot = 0;
}

static void
put(struct timers *ts, uint32_t i, struct timer *t)
{
	ts->heap[i] = t;
	t->slot = i + 1;
}

/* Move the timer at i towards the root while it is earlier than its parent. */
static void
sift_up(struct timers *ts, uint32_t i)
{
	struct timer *t = ts->heap[i];
	uint32_t up;

	for (; i > 0; i = up) {
		up = (i - 1) / 2;
		if (ts->heap[up]->when <= t->when)
			break;
		put(ts, i, ts->heap[up]);
	}
	put(ts, i, t);
}

/* Move it towards the leaves while a child is earlier. */
static void
sift_down(struct timers *ts, uint32_t i)
{
	struct timer *t = ts->heap[i];
	uint32_t c;

	while ((c = 2 * i + 1) < ts->n) {
		if (c + 1 < ts->n && ts->heap[c + 1]->when < ts->heap[c]->when)
			c++;
		if (ts->heap[c]->when >= t->when)
			break;
		put(ts, i, ts->heap[c]);
		i = c;
	}
	put(ts, i, t);
}

static void
grow(struct timers *ts)
{
	uint32_t cap = ts->cap == 0 ? 64 : ts->cap * 2;
	struct timer **h;

	if ((h = realloc(ts->heap, cap * sizeof(*h))) == NULL)
		abort();
	ts->heap = h;
	ts->cap = cap;
}

void
timer_set(struct timers *ts, struct timer *t, uint64_t when)
{
	uint32_t i;

	if (t->slot != 0) {
		i = t->slot - 1;
		t->when = when;
		sift_up(ts, i);
		sift_down(ts, t->slot - 1);
		return;
	}
	if (ts->n == ts->cap)
		grow(ts);
	t->when = when;
	ts->heap[ts->n] = t;
	sift_up(ts, ts->n++);
}

void
timer_clear(struct timers *ts, struct timer *t)
{
	struct timer *last;
	uint32_t i;

	if (t->slot == 0)
		return;
	i = t->slot - 1;
	t->slot = 0;
	last = ts->heap[--ts->n];
	if (last == t)
		return;
	put(ts, i, last);
	sift_up(ts, i);
	sift_down(ts, last->slot - 1);
}

uint64_t
timers_next(const struct timers *ts)
{
	return ts->n == 0 ? TIMER_NEVER : ts->heap[0]->when;
}

unsigned
timers_run(struct timers *ts, uint64_t now)
{
	struct timer *t;
	unsigned ran = 0;

	while (ts->n > 0 && ts->heap[0]->when <= now) {
		t = ts->heap[0];
		timer_clear(ts, t);
		t->fn(t->arg);
		ran++;
	}
	return ran;
}

void
timers_free(struct timers *ts)
{
	free(ts->heap);
	ts->heap = NULL;
	ts->n = ts->cap = 0;
}
