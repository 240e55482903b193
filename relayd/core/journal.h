/* SPDX-License-Identifier: ISC */
/*
 * The journal of a gateway (docs/journal.md): what arrived and no agent has
 * acknowledged, what was put aside, and which ids were acknowledged lately.
 * It lies in memory of fixed size that outlives the engine (a file, or memory
 * that the supervisor keeps) and is read back as hostile data; without such
 * memory each event has some of its own, which ends with the engine.
 *
 * The line of an event stands in the journal alone: who delivers it reads it
 * there.
 */
#ifndef JOURNAL_H
#define JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "hash.h"
#include "limit.h"
#include "seen.h"
#include "span.h"

/* An event's place in the journal. */
struct record;

/* What is kept of an event.  Spans that are read point into the journal and
 * live as long as the record. */
struct record_info {
	uint64_t epoch;	 /* with seq: our bufferId */
	uint64_t seq;	 /* order of arrival; above all before */
	int64_t arrived; /* Unix milliseconds */
	struct span cid; /* the connector's bufferId, decoded; may be empty */
	struct span session; /* key of its session */
	struct span platform;
	struct span line; /* as an agent gets it */
	uint8_t plain;	  /* cid needs no escape in JSON */
	uint8_t forward;  /* a passthrough_forward, not an inbound */
	/* These may change while it waits. */
	uint8_t tried;	  /* an agent had it before */
	uint8_t suspect;  /* in flight when an agent ended uncleanly */
	uint8_t attempts; /* of these, alone in flight */
	uint8_t aside;	  /* put aside */
	int64_t aside_at; /* Unix milliseconds, when it was */
};

/* The most an event's line may have: what came, and what we add to it. */
#define JOURNAL_LINE (2 * LIMIT_LINE)

struct loose;

struct journal {
	unsigned char *mem;    /* NULL: none that outlives us */
	size_t used, capacity; /* bytes of records, and of the room for them */
	size_t aside;	       /* bytes of these that are put aside */
	uint64_t next_seq;
	uint64_t epoch; /* of ids given from now on: random at each start */
	uint32_t torn;	/* records found bad when it was read */
	uint8_t dirty;	/* changed since journal_synced() */
	struct seen seen;
	/* Private to journal.c. */
	uint8_t off; /* without memory */
	uint32_t npage, next_page, top;
	unsigned char *page; /* the first */
	uint64_t *bitmap;    /* pages in use */
	uint64_t magic;
	struct hash_key key;
	struct loose *loose; /* records without memory that outlives us */
};

/*
 * Begin with memory of a journal (len bytes, aligned for uint64_t, begun by
 * journal_head_make()) or without (mem NULL, or too short for a journal).
 * epoch: random.  Memory that is no journal is begun anew.  key must live as
 * long as the journal.  0, or -1 without memory.
 */
int journal_init(struct journal *j, void *mem, size_t len, uint64_t epoch,
    const struct hash_key *key);
/* mem stays as it is, for who comes next. */
void journal_free(struct journal *j);

/* Each record there is, in order of seq; at the start, what was found: those
 * whose id stands among the acknowledged ones are gone already.  fn must not
 * put or drop.  0, or -1 without memory. */
int journal_each(const struct journal *j,
    void (*fn)(void *arg, struct record *r, const struct record_info *info),
    void *arg);

/* Whether an event whose parts (cid, session, platform, line) together have
 * len bytes finds room now. */
int journal_room(const struct journal *j, size_t len);
/*
 * Write an event: info's line is not looked at, it comes in n pieces; its
 * epoch and seq become j->epoch and j->next_seq, which then grows.  NULL: no
 * room, or longer than JOURNAL_LINE or another limit of its parts.
 */
struct record *journal_put(struct journal *j, const struct record_info *info,
    const struct span *piece, int n);
/* What the record says, lengths already checked when it was found or put. */
void journal_info(const struct record *r, struct record_info *info);
/* Its line alone. */
struct span journal_line(const struct record *r);
/*
 * Write tried, suspect, attempts (255 at most), aside and aside_at of info.
 * What is put aside must be marked before its id goes to seen_add(); from then
 * on a start keeps the record though its id is among the acknowledged ones,
 * also when it is no longer aside.
 */
void journal_mark(
    struct journal *j, struct record *r, const struct record_info *info);
/* An agent has taken it (hash: seen_hash() of its cid, NULL without cid): the
 * id is remembered, and only then the record overwritten. */
void journal_done(struct journal *j, struct record *r, const uint64_t hash[2]);

/* What an operator switched off stays so (`relay-ctl disable`). */
int journal_is_off(const struct journal *j);
void journal_set_off(struct journal *j, int off);

/* For `journal: {sync: true}`: whether anything changed since the last call. */
int journal_synced(struct journal *j);

#endif
