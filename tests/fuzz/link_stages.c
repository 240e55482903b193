/* SPDX-License-Identifier: ISC */
/* What the core tells of the stages of events. */
#include "link_world.h"

struct account {
	struct stage_sum sum;
	unsigned n;
};

static void
hear_stage(void *arg, const struct stage_step *step)
{
	struct account *t = arg;

	CHECK(stage_word(step->stage)[0] != '\0');
	stage_add(&t->sum, step);
	t->n++;
}

void
stages_asked(struct world *w, struct span id)
{
	struct account t = {.n = 0};
	char why[STAGE_WHY];
	struct stage_id at;

	if (!stage_find(w->gw, id, &at)) {
		CHECK(stage_past(w->gw, id) <= PAST_TAKEN);
		return;
	}
	(void)stage_each(w->gw, &at, hear_stage, &t);
	CHECK(t.n > 0);
	stage_look(&t.sum, &at);
	CHECK(stage_state_word(t.sum.state)[0] != '\0');
	(void)stage_why(w->gw, &at, &t.sum, why);
	/* What waits is not done with; what does not, is not in a hand. */
	if (at.d != NULL)
		CHECK(
		    t.sum.state != STATE_DONE && t.sum.state != STATE_DROPPED);
}
