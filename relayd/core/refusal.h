/* SPDX-License-Identifier: ISC */
/*
 * What a close with 4401 says of the credential (CONTRACT 3): nothing before
 * it ever worked, nothing while the clocks differ; after that, two in a row,
 * the second to a fresh token, say that it was revoked.
 */
#ifndef REFUSAL_H
#define REFUSAL_H

#include <stddef.h>
#include <stdint.h>

#include "span.h"

struct gateway;
struct link;

/* The reason of a close frame has at most 123 bytes (RFC 6455 5.5); made
 * visible, so that it may be kept and shown. */
#define REFUSAL_REASON 160

/* One 4401. */
struct refusal {
	int64_t at;	      /* Unix seconds */
	int64_t token_age_ms; /* since its token was minted */
	int64_t skew_s;	      /* peer's clock minus ours; INT64_MIN: unknown */
	char reason[REFUSAL_REASON];
};

struct refusals {
	uint8_t strike; /* `first` stands: the next answer decides */
	uint8_t asking; /* the dial under way asks for the peer's time alone */
	uint64_t hurried; /* core time of the last dial at once; 0: never */
	struct refusal first, second;
};

/* The connector closed with 4401 and this reason: what follows happens by
 * link_event(). */
void refusal_closed(struct gateway *gw, struct span reason);
/* The peer answered the dial that asked for its time; link_date() was told, if
 * the answer had one. */
void refusal_answered(struct gateway *gw);
/* What was refused so far says nothing any more. */
void refusal_forget(struct link *l);

/* Whether the clocks are known, by an answer to the present dial, to differ by
 * so much that every token is stale. */
int refusal_skewed(const struct link *l);
/* The same in words, to end a reason with: "; the connector's clock is …", or
 * "" when they are not. */
#define REFUSAL_CLOCK 96
const char *refusal_clock(const struct link *l, char out[REFUSAL_CLOCK]);

/* Both refusals in words: times, reasons, ages of the tokens, clocks.  No
 * foreign text in it needs escaping; shorter than LIMIT_EVIDENCE. */
void refusal_evidence(const struct refusals *r, char *out, size_t cap);

#endif
