/* SPDX-License-Identifier: ISC */
/*
 * The limits, of which those of the engine's core are so small that a short
 * input comes to them.  tests/fuzz/run has this file found before
 * common/limit.h by all but the files in common/.
 */
#ifndef SMALL_LIMIT_H
#define SMALL_LIMIT_H

#include "../../../common/limit.h"

#undef LIMIT_LINE
#define LIMIT_LINE (48U * 1024)
#undef LIMIT_AGENT_QUEUE
#define LIMIT_AGENT_QUEUE (128U * 1024)
#undef LIMIT_PENDING_MAX
#define LIMIT_PENDING_MAX (256U * 1024)
#undef LIMIT_OUTBOUND_AGENT
#define LIMIT_OUTBOUND_AGENT 6
#undef LIMIT_OUTBOUND
#define LIMIT_OUTBOUND 10
#undef LIMIT_LINK_QUEUE
#define LIMIT_LINK_QUEUE (256U * 1024)
#undef LIMIT_CHATS
#define LIMIT_CHATS 3
#undef LIMIT_SEEN
#define LIMIT_SEEN 256
#undef LIMIT_STAGES
#define LIMIT_STAGES 32
#undef LIMIT_SESSIONS
#define LIMIT_SESSIONS 6

#endif
