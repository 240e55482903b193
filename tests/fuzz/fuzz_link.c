/* SPDX-License-Identifier: ISC */
/*
 * A whole link: the engine's core between a connector and agents.  The input
 * is a script, one step a line: a letter (see link_steps.c), then its argument.
 * In free text the byte 1 stands for a newline.  After each step the core's
 * books are audited; at the end everything is taken, answered and stopped, and
 * nothing may be left.
 */
#include "link_world.h"
#include "quarantine.h"

#define STEPS 2000 /* of one input */

/* Every request that somebody waits for gets its answer in time: 30 s after it
 * was handed over, and 10 s more when it had not left by the link's end. */
static void
settle_requests(struct world *w)
{
	uint32_t i;

	world_time(w, 40000);
	audit(w);
	CHECK(w->gw->outbound.n == 0);
	for (i = 0; i < w->nrequest; i++)
		CHECK(w->request[i].answered ||
		    (w->request[i].slot == -1 && !w->request[i].operator));
}

static void
keep_last(void *arg, const struct record_info *info)
{
	*(struct record_info *)arg = *info;
}

/* One agent takes all there is; what is aside is given up. */
static void
settle_events(struct world *w)
{
	struct record_info last;
	char id[CORE_ID];
	uint32_t i;

	for (i = 0; i < AGENTS; i++)
		link_step(
		    w, (struct span){(const char[]){'g', (char)('0' + i)}, 2});
	agents_join(w, 0, SPAN_LIT("{\"type\":\"hello\",\"window\":4096}"));
	audit(w);
	do {
		last.seq = 0;
		quarantine_each(w->gw, keep_last, &last);
		if (last.seq != 0) {
			id[core_put_id(last.epoch, last.seq, id) - 1] = '\0';
			agents_dropped(w, last.seq, last.line);
			CHECK(quarantine_drop(w->gw, span_str(id + 1)) == NULL);
		}
		world_turn(w);
	} while (last.seq != 0);
	while (w->slot[0].nheld > 0)
		agents_ack(&w->slot[0], 0);
	audit(w);
	CHECK(w->gw->delivery.n == 0 && w->gw->delivery.bytes == 0);
	CHECK(TAILQ_EMPTY(&w->gw->delivery.order) || w->stalled);
	CHECK(w->gw->delivery.journal.used == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world *w = world_new();
	struct span rest = {(const char *)data, size}, line;
	const char *nl;
	int n = 0;

	while (rest.len > 0 && n++ < STEPS) {
		nl = memchr(rest.p, '\n', rest.len);
		line = rest;
		line.len = nl == NULL ? rest.len : (size_t)(nl - rest.p);
		link_step(w, line);
		if (nl == NULL)
			break;
		rest.p += line.len + 1;
		rest.len -= line.len + 1;
	}
	w->stalled = 0;
	settle_requests(w);
	settle_events(w);
	core_stop(w->c, 5000);
	world_time(w, 5000);
	CHECK(core_stopped(w->c));
	audit(w);
	world_free(w);
	return 0;
}
