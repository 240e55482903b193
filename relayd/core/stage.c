/* SPDX-License-Identifier: ISC */
/*
 * Stages of events: noting them is on the path of every event, so that it is a
 * few stores into a ring; all else is done when somebody asks.
 */
#include <stdlib.h>

#include "core.h"
#include "stage_note.h"

/* Those that an agent has to do with. */
#define OF_AGENT                                                  \
	(STAGE_BIT(STAGE_DELIVERED) | STAGE_BIT(STAGE_RETURNED) | \
	    STAGE_BIT(STAGE_ACKNOWLEDGED) | STAGE_BIT(STAGE_DISCARDED))

void
stage_init(struct gateway *gw)
{
	gw->stages.began = core_unix_ms(gw->core);
}

void
stage_free(struct gateway *gw)
{
	free(gw->stages.mark);
	gw->stages.mark = NULL;
}

int
stage_begin(struct stages *s)
{
	s->mark = calloc(LIMIT_STAGES, sizeof(*s->mark));
	return s->mark == NULL ? -1 : 0;
}

static struct stage_step
step_of(const struct stage_mark *m)
{
	return (struct stage_step){.stage = (enum stage)m->stage,
	    .at = m->at,
	    .epoch = m->epoch,
	    .seq = m->seq,
	    .key = m->key,
	    .agent = m->agent,
	    .attempt = m->attempt,
	    .tried = (m->more & STAGE_TRIED) != 0};
}

/* Hand a step and those that followed with it to fn.  What arrived was written
 * down before anything else happened. */
static void
hand(const struct gateway *gw, const struct stage_step *step, unsigned more,
    void (*fn)(void *arg, const struct stage_step *step), void *arg)
{
	struct stage_step one = *step;
	unsigned stage;

	more |= STAGE_BIT(step->stage);
	if (step->stage == STAGE_ARRIVED && gw->delivery.journal.mem != NULL)
		more |= STAGE_BIT(STAGE_JOURNALLED);
	for (stage = 0; stage < STAGE_COUNT; stage++) {
		if ((more & STAGE_BIT(stage)) == 0)
			continue;
		one.stage = (enum stage)stage;
		one.agent =
		    (OF_AGENT & STAGE_BIT(stage)) != 0 ? step->agent : 0;
		one.agent_name = one.agent != 0 ? step->agent_name : NULL;
		fn(arg, &one);
	}
}

static void
tell_world(void *arg, const struct stage_step *step)
{
	struct gateway *gw = arg;

	gw->core->io->stage(gw->core->arg, gw, step);
}

void
stage_tell(struct gateway *gw, enum stage stage, struct span cid,
    const struct agent *a)
{
	const struct stages *s = &gw->stages;
	struct stage_step step =
	    step_of(&s->mark[(s->count - 1) & (LIMIT_STAGES - 1)]);

	step.stage = stage;
	step.cid = cid;
	step.agent_name = a == NULL ? NULL : a->name;
	hand(gw, &step, 0, tell_world, gw);
}

void
stage_note(struct gateway *gw, enum stage stage, const struct delivery *d,
    const struct agent *a)
{
	stage_reach(gw, stage, d, a);
}

void
stage_note_cid(struct gateway *gw, enum stage stage, const struct cid *cid)
{
	struct stages *s = &gw->stages;

	if (cid->text.len == 0 || (s->mark == NULL && stage_begin(s) == -1))
		return;
	s->mark[s->count++ & (LIMIT_STAGES - 1)] =
	    (struct stage_mark){.at = core_unix_ms(gw->core),
		.key = cid->hash[0],
		.stage = (uint8_t)stage};
	if (gw->followers > 0)
		stage_tell(gw, stage, cid->text, NULL);
}

void
stage_note_found(struct gateway *gw, const struct delivery *d,
    const struct record_info *info)
{
	struct stages *s = &gw->stages;
	uint64_t first = s->count, i;
	struct stage_mark *m;

	stage_note(gw, STAGE_ARRIVED, d, NULL);
	if (info->aside_at != 0)
		stage_note(gw, STAGE_ASIDE, d, NULL);
	if (info->aside_at != 0 && !info->aside)
		stage_note(gw, STAGE_REQUEUED, d, NULL);
	for (i = first; i < s->count; i++) {
		m = &s->mark[i & (LIMIT_STAGES - 1)];
		m->at = i == first ? info->arrived : info->aside_at;
		m->more &= (uint16_t)~STAGE_TRIED;
	}
	stage_note(gw, STAGE_RECOVERED, d, NULL);
}

/* Marks of the ring, the oldest first. */
static uint64_t
oldest(const struct stages *s)
{
	return s->count > LIMIT_STAGES ? s->count - LIMIT_STAGES : 0;
}

static const struct stage_mark *
mark_at(const struct stages *s, uint64_t i)
{
	return &s->mark[i & (LIMIT_STAGES - 1)];
}

static int
same(const struct stage_id *id, uint64_t epoch, uint64_t seq, uint64_t key)
{
	if (id->seq != 0 && seq == id->seq && epoch == id->epoch)
		return 1;
	return id->key != 0 && key == id->key;
}

int
stage_is_of(struct stage_id *id, const struct stage_step *step)
{
	if (!same(id, step->epoch, step->seq, step->key))
		return 0;
	if (step->seq != 0) {
		id->epoch = step->epoch;
		id->seq = step->seq;
	}
	if (step->key != 0)
		id->key = step->key;
	return 1;
}

/* What the ring knows of it, the last that came under the connector's id.
 * Whether it knows something. */
static int
find_mark(const struct stages *s, struct stage_id *id)
{
	const struct stage_mark *m;
	uint64_t i, end = oldest(s);
	int found = 0;

	for (i = s->count; i > end; i--) {
		m = mark_at(s, i - 1);
		if (!same(id, m->epoch, m->seq, m->key))
			continue;
		found = 1;
		if (id->key == 0)
			id->key = m->key;
		if (id->seq == 0) {
			id->seq = m->seq;
			id->epoch = m->epoch;
		}
		if (id->seq != 0 && id->key != 0)
			break;
	}
	return found;
}

/* What waits under the connector's id.  What was put aside stands in no table
 * of such ids. */
static struct delivery *
find_cid(const struct gateway *gw, const uint64_t hash[2])
{
	const struct htab *t = &gw->delivery.by_id;
	struct delivery *d;
	struct hnode *n;
	uint32_t i;

	for (i = 0; i < t->nbucket; i++)
		for (n = t->bucket[i]; n != NULL; n = n->next) {
			d = (struct delivery *)(void *)((char *)n -
			    offsetof(struct delivery, by_id));
			if (d->cidlen > 0 && d->by_cid.hash == hash[0] &&
			    d->cid_rest == hash[1])
				return d;
		}
	return NULL;
}

static int
is_cid(struct span text)
{
	return text.len > 0 && text.len <= LIMIT_BUFFER_ID;
}

int
stage_find(const struct gateway *gw, struct span text, struct stage_id *id)
{
	uint64_t hash[2];

	*id = (struct stage_id){.seq = 0};
	if (core_parse_id(text, &id->epoch, &id->seq) == 0) {
		if ((id->d = delivery_find(gw, text)) != NULL)
			id->key = id->d->by_cid.hash;
		if (id->d != NULL || find_mark(&gw->stages, id))
			return 1;
	}
	if (!is_cid(text))
		return 0;
	seen_hash(&gw->delivery.journal.seen, text, hash);
	*id = (struct stage_id){.key = hash[0], .d = find_cid(gw, hash)};
	if (id->d == NULL)
		return find_mark(&gw->stages, id);
	id->epoch = id->d->epoch;
	id->seq = id->d->seq;
	return 1;
}

struct reading {
	const struct gateway *gw;
	const struct stage_id *id;
	void (*fn)(void *arg, const struct stage_step *step);
	void *arg;
};

/* What the record of an event tells that the ring has no more. */
static void
each_of_record(const struct reading *r, int has_aside)
{
	const struct delivery *d = r->id->d;
	const struct journal *j = &r->gw->delivery.journal;
	struct record_info info;
	struct stage_step step = {.epoch = d->epoch,
	    .seq = d->seq,
	    .key = r->id->key,
	    .attempt = d->attempts};

	journal_info(d->rec, &info);
	step.cid = info.cid;
	step.at = info.arrived;
	hand(r->gw, &step, 0, r->fn, r->arg);
	if (d->epoch != j->epoch) {
		step.stage = STAGE_RECOVERED;
		step.at = r->gw->stages.began;
		step.tried = d->tried;
		r->fn(r->arg, &step);
	}
	if (d->aside_at == 0 || has_aside)
		return;
	step.stage = STAGE_ASIDE;
	step.at = d->aside_at;
	r->fn(r->arg, &step);
}

static const char *
name_of(const struct gateway *gw, uint32_t number)
{
	const struct agent *a;

	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->number == number)
			return a->name;
	return NULL;
}

static void
each_of_ring(const struct reading *r)
{
	const struct stages *s = &r->gw->stages;
	const struct stage_mark *m;
	struct stage_step step;
	uint64_t i;

	for (i = oldest(s); i < s->count; i++) {
		m = mark_at(s, i);
		if (!same(r->id, m->epoch, m->seq, m->key))
			continue;
		step = step_of(m);
		if (m->agent != 0)
			step.agent_name = name_of(r->gw, m->agent);
		hand(r->gw, &step, m->more, r->fn, r->arg);
	}
}

/* Whether the ring has a stage of it. */
static int
has(const struct stages *s, const struct stage_id *id, enum stage stage)
{
	const struct stage_mark *m;
	uint64_t i;

	for (i = oldest(s); i < s->count; i++) {
		m = mark_at(s, i);
		if ((m->stage == stage || (m->more & STAGE_BIT(stage)) != 0) &&
		    same(id, m->epoch, m->seq, m->key))
			return 1;
	}
	return 0;
}

int
stage_each(const struct gateway *gw, const struct stage_id *id,
    void (*fn)(void *arg, const struct stage_step *step), void *arg)
{
	const struct reading r = {gw, id, fn, arg};
	const struct stages *s = &gw->stages;
	int whole = has(s, id, STAGE_ARRIVED);

	if (!whole && id->d != NULL)
		each_of_record(&r, has(s, id, STAGE_ASIDE));
	each_of_ring(&r);
	return whole || s->count <= LIMIT_STAGES;
}

enum stage_past
stage_past(struct gateway *gw, struct span text)
{
	struct journal *j = &gw->delivery.journal;
	uint64_t epoch, seq, hash[2];

	if (core_parse_id(text, &epoch, &seq) == 0)
		return epoch == j->epoch && seq < j->next_seq ? PAST_OURS
							      : PAST_OTHER;
	if (!is_cid(text))
		return PAST_NEVER;
	seen_hash(&j->seen, text, hash);
	return seen_has(&j->seen, hash) ? PAST_TAKEN : PAST_NEVER;
}
