/* SPDX-License-Identifier: ISC */
/* What a descriptor says of its platform (CONTRACT 4), as far as we obey it:
 * which ops may be used, and how long content may be. */
#ifndef DESCRIPTOR_H
#define DESCRIPTOR_H

#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "span.h"

struct descriptor {
	char *text;	     /* as it came, JSON; NULL: none yet */
	char *ops;	     /* names joined by commas, one before and one
			      * behind; NULL: the set of old */
	uint32_t max_length; /* of content */
	uint8_t utf16;	     /* counted in UTF-16 units, not code points */
};

void descriptor_free(struct descriptor *d);
/*
 * Take the descriptor at a node (its platform is looked at by the caller).
 * *news: it is not as the one before.  NULL, or why it is bad; then *d is as it
 * was.
 */
const char *descriptor_take(
    struct descriptor *d, const struct json_doc *doc, int node, int *news);
/* Whether an op may be used; without a descriptor none is refused. */
int descriptor_allows(const struct descriptor *d, struct span op);
/* The ops that may be used, for people: "send, edit". */
void descriptor_ops(const struct descriptor *d, char *out, size_t cap);
/* Length of a decoded text in the descriptor's unit. */
size_t descriptor_length(const struct descriptor *d, struct span text);

#endif
