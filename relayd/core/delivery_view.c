/* SPDX-License-Identifier: ISC */
/* What people are shown of what waits. */
#include <stddef.h>

#include "core.h"

uint64_t
delivery_oldest(const struct gateway *gw)
{
	const struct delivery *d, *first = TAILQ_FIRST(&gw->delivery.unplaced);
	const struct agent *a;
	uint64_t at = first == NULL ? UINT64_MAX : first->arrived;

	TAILQ_FOREACH (a, &gw->agents, entry) {
		TAILQ_FOREACH (d, &a->inflight, entry)
			if (d->arrived < at)
				at = d->arrived;
		d = TAILQ_FIRST(&a->queued);
		if (d != NULL && d->arrived < at)
			at = d->arrived;
	}
	return at == UINT64_MAX ? 0 : gw->core->now - at;
}

void
delivery_sessions(struct gateway *gw,
    void (*fn)(void *arg, const struct session *s), void *arg)
{
	const struct delivery_state *ds = &gw->delivery;
	struct session *s;
	struct delivery *d;
	struct hnode *n;
	uint32_t i;

	for (i = 0; i < ds->by_id.nbucket; i++)
		for (n = ds->by_id.bucket[i]; n != NULL; n = n->next) {
			d = (struct delivery *)(void *)((char *)n -
			    offsetof(struct delivery, by_id));
			if (d->session != NULL &&
			    d->arrived < d->session->oldest)
				d->session->oldest = d->arrived;
		}
	for (i = 0; i < ds->sessions.nbucket; i++)
		for (n = ds->sessions.bucket[i]; n != NULL; n = n->next) {
			s = (struct session *)(void *)((char *)n -
			    offsetof(struct session, node));
			fn(arg, s);
			s->oldest = UINT64_MAX;
		}
}
