/* SPDX-License-Identifier: ISC */
/*
 * Stages of events: noting them is on the path of every event, so that it is a
 * few stores into a ring; all else is done when somebody asks.
 */
#include <stdlib.h>

#include "core.h"
#include "stage.h"

_Static_assert(
    (LIMIT_STAGES & (LIMIT_STAGES - 1)) == 0, "the ring's index is masked");

struct stage_mark {
	int64_t at;
	uint64_t epoch, seq, key;
	uint32_t agent;
	uint8_t stage, attempt, tried;
	uint8_t kept; /* ARRIVED: and it stands in the journal */
};

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

/* The next place of the ring; NULL without memory. */
static struct stage_mark *
next_mark(struct stages *s)
{
	if (s->mark == NULL &&
	    (s->mark = calloc(LIMIT_STAGES, sizeof(*s->mark))) == NULL)
		return NULL;
	return &s->mark[s->count++ & (LIMIT_STAGES - 1)];
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
	    .tried = m->tried};
}

/* Hand it to fn; that it arrived and that it was written down are one mark. */
static void
hand(const struct stage_step *step, int kept,
    void (*fn)(void *arg, const struct stage_step *step), void *arg)
{
	struct stage_step second = *step;

	fn(arg, step);
	if (step->stage != STAGE_ARRIVED || !kept)
		return;
	second.stage = STAGE_JOURNALLED;
	fn(arg, &second);
}

static void
tell_world(void *arg, const struct stage_step *step)
{
	struct gateway *gw = arg;

	gw->core->io->stage(gw->core->arg, gw, step);
}

static void
tell(struct gateway *gw, const struct stage_mark *m, struct span cid,
    const struct agent *a)
{
	struct stage_step step = step_of(m);

	step.cid = cid;
	step.agent_name = a == NULL ? NULL : a->name;
	hand(&step, m->kept, tell_world, gw);
}

void
stage_note(struct gateway *gw, enum stage stage, const struct delivery *d,
    const struct agent *a)
{
	struct stage_mark *m = next_mark(&gw->stages);

	if (m == NULL)
		return;
	m->at = core_unix_ms(gw->core);
	m->epoch = d->epoch;
	m->seq = d->seq;
	m->key = d->by_cid.hash;
	m->agent = a == NULL ? 0 : a->number;
	m->stage = (uint8_t)stage;
	m->attempt = stage == STAGE_DELIVERED ? d->gives : d->attempts;
	m->tried = d->tried;
	m->kept = gw->delivery.journal.mem != NULL;
	if (gw->followers > 0)
		tell(gw, m, (struct span){d->cid, d->cidlen}, a);
}

void
stage_note_cid(struct gateway *gw, enum stage stage, const struct cid *cid)
{
	struct stage_mark *m;

	if (cid->text.len == 0 || (m = next_mark(&gw->stages)) == NULL)
		return;
	*m = (struct stage_mark){.at = core_unix_ms(gw->core),
	    .key = cid->hash[0],
	    .stage = (uint8_t)stage};
	if (gw->followers > 0)
		tell(gw, m, cid->text, NULL);
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
		m->tried = 0;
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
	hand(&step, j->mem != NULL, r->fn, r->arg);
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
		hand(&step, m->kept, r->fn, r->arg);
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
		if (m->stage == stage && same(id, m->epoch, m->seq, m->key))
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
