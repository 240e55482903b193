/* SPDX-License-Identifier: ISC */
/* The frame of a request to the connector (CONTRACT 7). */
#ifndef OUTBOUND_FRAME_H
#define OUTBOUND_FRAME_H

#include <stdint.h>

#include "buf.h"
#include "limit.h"
#include "span.h"

struct gateway;

/* The id of the prompt that an action is; absent when it is none. */
struct outbound_prompt {
	struct span id;
	char scratch[LIMIT_ID];
};

/*
 * Build the frame into b: our request id, the action with its scope filled in,
 * what else the agent's frame brought, and platform with its botId when it
 * brought that or the chat's platform is known (CONTRACT 3).  root and action
 * are nodes of the core's doc; root -1: there is no frame but the action.  An
 * action has as many members as fit into a line.  NULL, or a phrase for who
 * asked (perhaps in the core's `why`): why it is not sent.
 */
const char *outbound_frame(struct gateway *gw, int root, int action,
    uint64_t id, struct buf *b, struct outbound_prompt *prompt);

#endif
