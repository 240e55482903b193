/* SPDX-License-Identifier: ISC */
/* A forwarded Discord interaction as the inbound event it stands for
 * (CONTRACT 6). */
#ifndef INTERACTION_H
#define INTERACTION_H

#include <stdint.h>

#include "buf.h"
#include "json.h"
#include "session.h"
#include "span.h"

/* One at a time; what it tells points into it, and into the line read. */
struct interaction {
	struct json_doc doc;
	struct buf body; /* decoded from base64 */
	struct buf text; /* of the event */
	char room[1024]; /* decoded values */
	size_t used;
	struct source src;
	struct span user_name, message_id;
	struct span prompt_id, option_id; /* absent: no answer to a prompt */
	struct span prompt_message_id;
	uint8_t command; /* message_type: command, else text */
};

void interaction_init(struct interaction *in);
void interaction_free(struct interaction *in);

/*
 * Read the body of a forward (base64, as it stands in the frame) and what the
 * frame says of its profile (may be absent).  NULL, or a phrase: why it becomes
 * no event.
 */
const char *interaction_read(
    struct interaction *in, struct span body_b64, struct span profile);
/* Append the event, a JSON object, of what was read. */
void interaction_put(const struct interaction *in, struct buf *out);

/*
 * The `inbound` that an agent gets in the place of a passthrough_forward:
 * bufferId and session_key as they stand in `line`, where the forward lies
 * ready for an agent.  Appended to out.  NULL, or why it becomes none.
 */
const char *
interaction_line(struct interaction *in, struct span line, struct buf *out);

#endif
