/* SPDX-License-Identifier: ISC */
/* One seed: its profile, its steps, and the quiet time in which everything
 * must come to its end. */
#include <stdarg.h>

#include "books.h"
#include "invariant.h"
#include "sim.h"

#define QUIET_MS 900000 /* longer than any deadline and backoff together */

uint32_t
pick(struct world *w, uint32_t n)
{
	uint64_t z = w->rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) >> 32) % n;
}

int
chance(struct world *w, uint32_t percent)
{
	return pick(w, 100) < percent;
}

void
trace(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->verbose)
		return;
	printf("%5u %9llu  ", w->step, (unsigned long long)(w->now - BEGIN_MS));
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
}

void
violated(struct world *w, const char *invariant, const char *fmt, ...)
{
	va_list ap;

	(void)snprintf(w->violation, sizeof(w->violation), "%s", invariant);
	va_start(ap, fmt);
	(void)vsnprintf(w->what, sizeof(w->what), fmt, ap);
	va_end(ap);
	longjmp(*w->out, 1);
}

/* The one world whose books are looked at. */
static struct world *auditing;

void
books_violated(const char *what)
{
	violated(auditing, "books_are_right", "%s", what);
}

void
books_are_right(struct world *w)
{
	struct books b = {.c = w->c,
	    .gw = w->gw,
	    .now = w->now,
	    .connected = w->connected,
	    .reading = w->reading,
	    .asked = (int)w->asked};
	uint32_t k;
	int i;

	for (i = 0; i < SLOTS; i++) {
		b.agent[i] = w->slot[i].a;
		b.held[i] = w->slot[i].nheld;
	}
	for (k = 0; k < w->nwish; k++)
		b.wishes += w->wish[k].open;
	auditing = w;
	books_audit(&b);
}

/* Each seed has its own mixture: most faults are absent from most seeds. */
void
profile_choose(struct world *w)
{
	struct profile *p = &w->profile;
	unsigned i, rate = 1 + pick(w, 3);

	memset(p, 0, sizeof(*p));
	p->steps = 60 + pick(w, 300);
	for (i = 0; i < step_count; i++) {
		p->weight[i] = (uint8_t)step_weight(i);
		if (!step_is_fault(i))
			continue;
		if (pick(w, 4) >= rate)
			p->weight[i] = 0;
		else
			p->weight[i] = (uint8_t)(step_weight(i) << pick(w, 3));
	}
	if (pick(w, 4) == 0) /* one kind above all others */
		p->weight[pick(w, step_count)] = 120;
	p->plain = pick(w, 4) == 0;
	p->gate = (uint8_t)(pick(w, 3) == 0 ? 0 : 1 + pick(w, 3));
	p->no_id = (uint8_t)(pick(w, 3) == 0 ? 30 : 0);
	p->batch = (uint8_t)(1 + pick(w, BATCH));
	p->eager = (uint8_t)(pick(w, 3) * 30);
	p->stubborn = (uint8_t)(pick(w, 3) == 0 ? 90 : 30);
	p->forgetful = pick(w, 2) == 0;
	p->date = pick(w, 4) != 0;
	p->poison = (uint8_t)(pick(w, 4) == 0 ? 10 : 0);
	p->off = pick(w, 8) == 0;
	p->journal = pick(w, 3) == 0 ? MEMORY : JOURNAL_LEAST;
	p->abrupt = pick(w, 5) == 0;
	p->window = 1 + pick(w, 8);
	p->padding = pick(w, 3) == 0 ? PADDING : pick(w, 2) * 200;
	p->full = (uint8_t)(pick(w, 6) == 0 ? 1 + pick(w, 2) : 0);
	p->short_ms = pick(w, 2) == 0 ? 50 : 2000;
	p->long_ms = pick(w, 2) == 0 ? 20000 : 150000;
}

static void
do_one(struct world *w)
{
	unsigned i, sum = 0, at;

	for (i = 0; i < step_count; i++)
		sum += w->profile.weight[i];
	at = pick(w, sum);
	for (i = 0; at >= w->profile.weight[i]; i++)
		at -= w->profile.weight[i];
	step_do(w, i);
	nothing_given_is_forgotten(w);
	nobody_waits_in_vain(w);
	quarantine_is_as_known(w);
	memory_is_bounded(w);
	if (w->books)
		books_are_right(w);
}

/* No faults any more; all that are there do what they should. */
static void
calm_down(struct world *w)
{
	unsigned i;

	w->calm = 1;
	w->doom = 0;
	w->doing = "quiet time";
	trace(w, "quiet time");
	w->mood = MOOD_GOOD;
	w->skew = 0;
	w->profile.stubborn = 0;
	w->stalled = w->silent = 0;
	w->authd.usable = 1;
	w->authd.revoked = 0;
	engine_credential(w, 0);
	for (i = 0; i < SLOTS; i++) {
		w->slot[i].deaf = 0;
		w->slot[i].nature = NATURE_GOOD;
		agents_hello(&w->slot[i]);
	}
}

static int
is_done(const struct world *w)
{
	const struct event *e;

	for (e = w->event; e < w->event + w->nevent; e++)
		if ((e->has_id && !e->acked) ||
		    (e->reached && !e->taken && !e->aside))
			return 0;
	return w->gw->outbound.n == 0 && w->gw->link.state == LINK_UP;
}

static void
come_to_an_end(struct world *w)
{
	uint64_t end = w->now + QUIET_MS;
	unsigned i, k;

	while (w->now < end && !is_done(w)) {
		w->step++;
		step_enable(w);
		step_clear(w);
		operator_wakes(w);
		for (k = 0; k < 10; k++) {
			for (i = 0; i < SLOTS; i++) {
				agents_join(w, i);
				agents_work(&w->slot[i]);
				agents_flush(&w->slot[i], 1);
			}
			for (i = 0; i < w->nrequest; i++)
				connector_result(w, i);
			step_progress(w);
		}
		engine_time(w, 500);
	}
	link_comes_back(w);
	nothing_is_lost(w);
	everything_is_acked(w);
	nothing_is_left(w);
	if (w->books)
		books_are_right(w);
}

static void
stop(struct world *w)
{
	uint64_t end = w->now + 5000;

	w->doom = 0;
	w->doing = "stop";
	core_stop(w->c, 5000);
	w->stopped = 1;
	while (w->now < end && !core_stopped(w->c)) {
		step_progress(w);
		engine_time(w, 100);
	}
	stops_in_time(w);
	engine_time(w, 100000);
}

static void
world_init(struct world *w)
{
	unsigned i;

	w->rng = w->seed * UINT64_C(0xd1342543de82ef95) + 1;
	profile_choose(w);
	w->now = BEGIN_MS;
	w->authd.usable = 1;
	memset(w->memory, 0, MEMORY);
	journal_head_make((struct journal_head *)(void *)w->memory,
	    w->profile.journal, (const unsigned char *)"0123456789abcdef");
	for (i = 0; i < SLOTS; i++)
		w->slot[i].w = w;
	for (i = 0; i < SESSIONS; i++)
		w->talk[i].slot = NOTHING;
	engine_conf(w, pick(w, 4));
	engine_begin(w);
}

int
run_seed(struct world *w)
{
	jmp_buf out;

	w->out = &out;
	if (setjmp(out) != 0)
		return -1;
	world_init(w);
	for (w->step = 1; w->step <= w->profile.steps; w->step++)
		do_one(w);
	if (!w->profile.abrupt) {
		calm_down(w);
		come_to_an_end(w);
	}
	stop(w);
	connector_end(w);
	engine_free(w);
	buf_free(&w->from_core);
	return 0;
}
