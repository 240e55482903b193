/* SPDX-License-Identifier: ISC */
/* What the connector sent arrives: what it means for the books. */
#include "invariant.h"
#include "sim.h"

static void
arrive_events(struct world *w, struct frame_out *f)
{
	struct event *e;
	int i;

	for (i = 0; i < f->n; i++) {
		e = &w->event[f->what[i]];
		if (e->sent++ == 0 && e->has_id)
			e->rank = ++w->ranks;
		f->fresh[i] = !e->reached && !e->taken && !e->aside &&
		    e->kind != KIND_BROKEN;
		if (f->fresh[i]) {
			e->reached = 1;
			e->arriving = 1;
			e->asker = agents_asker(w, e) != NULL;
			w->talk[e->session].answers |= e->answers > 0;
			if (e->order == 0)
				e->order = ++w->arrivals;
		}
	}
}

/* The refusal counts, as CONTRACT 3 has it. */
static void
arrive_close(struct world *w, const struct frame_out *f)
{
	enum link_state s = w->gw->link.state;
	int skewed = w->told && connector_skewed(w);

	if (f->what[0] != 4401)
		return;
	w->in_close = s == LINK_HELLO || link_serves(w->gw);
	if (f->expired || skewed || !w->in_close)
		w->strikes = 0;
	else if (!w->other && w->worked)
		w->strikes++;
}

uint32_t
connector_ready(struct world *w)
{
	uint32_t ready = 0;
	int i;

	for (i = 0; i < SLOTS; i++) {
		w->slot[i].interrupts = 0;
		if (w->slot[i].a != NULL && w->slot[i].ready)
			ready |= 1U << i;
	}
	return ready;
}

/* The last of them stayed with the connector, for want of room. */
static void
unreach(struct world *w, const struct frame_out *f, uint64_t left)
{
	int i;

	for (i = f->n - 1; i >= 0 && left > 0; i--) {
		if (w->event[f->what[i]].kind == KIND_BROKEN)
			continue;
		if (f->fresh[i])
			w->event[f->what[i]].reached = 0;
		left--;
		w->sum.left++;
	}
}

/* The engine died before it looked at all of them. */
static void
unlook(struct world *w, const struct frame_out *f, uint64_t looked)
{
	int i;

	for (i = 0; i < f->n; i++)
		if (w->event[f->what[i]].kind == KIND_BROKEN)
			continue;
		else if (looked > 0)
			looked--;
		else if (f->fresh[i])
			w->event[f->what[i]].reached = 0;
}

/* A frame is at hand: what it means is there from now on. */
static void
hand_over(struct world *w, struct frame_out *f)
{
	uint64_t left = w->gw->count.events_left;
	uint64_t looked = w->gw->count.events_in;
	uint32_t ready = connector_ready(w), connection = w->connections;
	int i;

	w->heard_at = w->now;
	if (f->kind == FRAME_EVENTS)
		arrive_events(w, f);
	if (f->kind == FRAME_CLOSE)
		arrive_close(w, f);
	w->idle_told |= f->kind == FRAME_IDLE_ACK;
	w->arriving = w->mortal = f->kind == FRAME_EVENTS;
	(void)wire_input(w->gw, f->bytes, f->len, ROOM);
	w->arriving = w->mortal = 0;
	agents_shed(w);
	for (i = 0; f->kind == FRAME_EVENTS && i < f->n; i++)
		w->event[f->what[i]].arriving = 0;
	if (w->dying) {
		unlook(w, f, w->done_at_death - looked);
		engine_crash(w);
		return;
	}
	unreach(w, f, w->gw->count.events_left - left);
	if (f->kind == FRAME_INTERRUPT && w->connections == connection)
		interrupt_once(w, (unsigned)f->what[0], ready);
	if (f->kind == FRAME_CLOSE && f->what[0] == 4401)
		revocation_is_believed(w);
	w->in_close = 0;
}

void
connector_pump(struct world *w)
{
	struct frame_out *f = &w->frame[0], done;

	if (!w->connected || !w->reading || w->nframe == 0)
		return;
	done = *f;
	memmove(f, f + 1, --w->nframe * sizeof(*f));
	hand_over(w, &done);
	free(done.bytes);
}
