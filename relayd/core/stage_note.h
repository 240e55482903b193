/* SPDX-License-Identifier: ISC */
/*
 * How a stage is noted.  Every event comes by here four times: it is some
 * loads and stores, and what the caller knows (which stage, whether an agent)
 * is settled when it is compiled.
 */
#ifndef STAGE_NOTE_H
#define STAGE_NOTE_H

#include "core.h"
#include "stage.h"

_Static_assert(
    (LIMIT_STAGES & (LIMIT_STAGES - 1)) == 0, "the ring's index is masked");

/*
 * A stage, and which others (bits) followed at the same moment: a common event
 * comes and goes with two or three marks.
 */
struct stage_mark {
	int64_t at;
	uint64_t epoch, seq, key;
	uint32_t agent;
	uint16_t more; /* and STAGE_TRIED */
	uint8_t stage, attempt;
};

#define STAGE_BIT(stage) (1U << (stage))
/* An agent had it before. */
#define STAGE_TRIED STAGE_BIT(15)
_Static_assert(STAGE_COUNT <= 15, "the highest bit of more is another");
/* What may stand in the mark of one before it, which is one of the others: no
 * two of these are told with different attempts. */
#define STAGE_FOLDED                                                  \
	(STAGE_BIT(STAGE_DELIVERED) | STAGE_BIT(STAGE_ACKNOWLEDGED) | \
	    STAGE_BIT(STAGE_TOLD))
#define STAGE_FOLDS                                              \
	(STAGE_BIT(STAGE_ARRIVED) | STAGE_BIT(STAGE_DELIVERED) | \
	    STAGE_BIT(STAGE_ACKNOWLEDGED))

/* Seldom done, and out of line: else it would cost every event the registers
 * that it needs. */
#define STAGE_SELDOM __attribute__((noinline, cold))

/* The ring's memory.  0, or -1 without. */
int stage_begin(struct stages *s) STAGE_SELDOM;
/* Tell of the last mark: of a stage that it has. */
void stage_tell(struct gateway *gw, enum stage stage, struct span cid,
    const struct agent *a) STAGE_SELDOM;

/* The last mark, when the stage can stand in it: it is of that event, and of
 * now. */
static inline int
stage_folds(const struct stage_mark *m, enum stage stage,
    const struct delivery *d, const struct agent *a, int64_t now)
{
	return (STAGE_FOLDED & STAGE_BIT(stage)) != 0 && m->seq == d->seq &&
	    m->at == now && m->epoch == d->epoch &&
	    (STAGE_FOLDS & STAGE_BIT(m->stage)) != 0 && m->stage < stage &&
	    (m->more & ~STAGE_TRIED) < STAGE_BIT(stage) &&
	    (a == NULL || m->agent == 0 || m->agent == a->number);
}

/* An event reached a stage now; as stage_note(). */
static inline void
stage_reach(struct gateway *gw, enum stage stage, const struct delivery *d,
    const struct agent *a)
{
	int64_t now = gw->core->wall + (int64_t)gw->core->now;
	struct stages *s = &gw->stages;
	struct stage_mark *m;

	if (s->mark == NULL && stage_begin(s) == -1)
		return;
	m = &s->mark[(s->count - 1) & (LIMIT_STAGES - 1)];
	if (stage_folds(m, stage, d, a, now)) {
		m->more |= (uint16_t)STAGE_BIT(stage);
		if (a != NULL)
			m->agent = a->number;
	} else {
		m = &s->mark[s->count++ & (LIMIT_STAGES - 1)];
		m->at = now;
		m->epoch = d->epoch;
		m->seq = d->seq;
		m->key = d->by_cid.hash;
		m->agent = a == NULL ? 0 : a->number;
		m->more = (uint16_t)(d->tried * STAGE_TRIED);
		m->stage = (uint8_t)stage;
		m->attempt = d->attempts;
	}
	if (stage == STAGE_DELIVERED)
		m->attempt = d->gives;
	if (gw->followers > 0)
		stage_tell(gw, stage, (struct span){d->cid, d->cidlen}, a);
}

#endif
