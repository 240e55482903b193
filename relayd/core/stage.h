/* SPDX-License-Identifier: ISC */
/*
 * What became of recent events, and when: a small ring per gateway of the
 * stages that events went through.  Who is asked of an event that is older
 * than the ring looks into the journal.
 */
#ifndef STAGE_H
#define STAGE_H

#include <stdint.h>

#include "span.h"

struct agent;
struct cid;
struct delivery;
struct gateway;
struct record_info;
struct stage_mark;

enum stage {
	STAGE_ARRIVED,
	STAGE_JOURNALLED,   /* stands in memory that outlives the engine */
	STAGE_RECOVERED,    /* found there by this engine when it started */
	STAGE_DELIVERED,    /* given to an agent */
	STAGE_RETURNED,	    /* the agent ended, or was sent away, with it */
	STAGE_ACKNOWLEDGED, /* by the agent */
	STAGE_DISCARDED,    /* the agent could not use it: taken for it */
	STAGE_TOLD,	    /* acknowledged to the connector */
	STAGE_ASIDE,	    /* put aside */
	STAGE_REQUEUED,
	STAGE_DROPPED,
	STAGE_REPLAYED, /* came again, and was recognised */
	STAGE_SKIPPED,	/* could never be taken */
	STAGE_LEFT,	/* no room: left with the connector */
	STAGE_COUNT
};

/* All zero is an empty ring. */
struct stages {
	struct stage_mark *mark; /* LIMIT_STAGES; NULL: no event came yet */
	uint64_t count;		 /* ever noted */
	int64_t began;		 /* Unix ms when the gateway appeared */
};

/* One stage of one event. */
struct stage_step {
	enum stage stage;
	int64_t at;		/* Unix ms */
	uint64_t epoch, seq;	/* our bufferId; seq 0: it has none */
	uint64_t key;		/* hash of the connector's; 0: it has none */
	struct span cid;	/* the connector's, when it is at hand */
	uint32_t agent;		/* its number; 0: none has to do with it */
	const char *agent_name; /* foreign text; NULL: it is gone */
	uint8_t attempt; /* DELIVERED: which one, as far as this engine knows;
			  * else agents that ended with it alone in flight */
	uint8_t tried;	 /* an agent had it before */
};

/* An event that was asked for. */
struct stage_id {
	uint64_t epoch, seq, key;
	struct delivery *d; /* NULL: it does not wait; not to be kept */
};

/* What an event has come to. */
enum stage_state {
	STATE_NONE,
	STATE_WAITING, /* for an agent */
	STATE_WITH_AGENT,
	STATE_ACKNOWLEDGED, /* the connector is yet to be told */
	STATE_DONE,
	STATE_ASIDE,
	STATE_DROPPED,
	STATE_LEFT, /* the connector sends it again */
	STATE_COUNT
};

struct stage_sum {
	enum stage_state state;
	uint8_t told; /* the connector has, or surely gets, an answer */
};

/* How stages and states are called in documents. */
const char *stage_word(enum stage stage);
const char *stage_state_word(enum stage_state state);

void stage_init(struct gateway *gw);
void stage_free(struct gateway *gw);

/* For the core's own files: note that an event reached a stage now.  a: the
 * agent that has to do with it; may be NULL. */
void stage_note(struct gateway *gw, enum stage stage, const struct delivery *d,
    const struct agent *a);
/* The same of what has no delivery; without an id nothing is noted. */
void
stage_note_cid(struct gateway *gw, enum stage stage, const struct cid *cid);
/* What the journal held at the start. */
void stage_note_found(struct gateway *gw, const struct delivery *d,
    const struct record_info *info);

/* Find an event by our bufferId or the connector's.  Whether it is known. */
int stage_find(const struct gateway *gw, struct span text, struct stage_id *id);
/* Tell its stages, the oldest first.  Whether none is missing. */
int stage_each(const struct gateway *gw, const struct stage_id *id,
    void (*fn)(void *arg, const struct stage_step *step), void *arg);
/* Whether a stage is of that event; it may tell us more of its ids. */
int stage_is_of(struct stage_id *id, const struct stage_step *step);

/* Go one stage on; begin with zeros. */
void stage_add(struct stage_sum *sum, const struct stage_step *step);
/* What it has come to, by what is there rather than by what is remembered. */
void stage_look(struct stage_sum *sum, const struct stage_id *id);
/* Whether it stays there until somebody acts. */
int stage_is_end(const struct stage_sum *sum);
/* A sentence on why it is there, or NULL: the state says it all. */
#define STAGE_WHY 160
const char *stage_why(const struct gateway *gw, const struct stage_id *id,
    const struct stage_sum *sum, char out[STAGE_WHY]);

/* What may be said of an id that stage_find() does not know. */
enum stage_past {
	PAST_NEVER, /* never came, or very long ago */
	PAST_OURS,  /* this engine gave it out: it is done with */
	PAST_OTHER, /* of our form: of another start, or gateway */
	PAST_TAKEN  /* the connector's, acknowledged lately */
};
enum stage_past stage_past(struct gateway *gw, struct span text);

#endif
