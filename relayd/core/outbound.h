/* SPDX-License-Identifier: ISC */
/*
 * Requests from agents and operators to the connector: ids are mapped, so
 * that nobody's clash; each is answered exactly once, by the connector or by
 * us (CONTRACT 3, "in flight when the link drops").
 */
#ifndef OUTBOUND_H
#define OUTBOUND_H

#include <sys/queue.h>
#include <stdint.h>

#include "hash.h"
#include "span.h"
#include "timer.h"

struct agent;
struct gateway;

struct outbound {
	struct hnode by_id;
	TAILQ_ENTRY(outbound) entry; /* oldest first: deadlines in order */
	uint64_t id;
	struct agent *agent; /* NULL: an operator, or the agent is gone */
	uint64_t cookie;     /* an operator's; 0: none */
	uint64_t deadline;   /* core time */
	uint64_t at;	     /* stream position where it begins to leave */
	uint8_t queued;	     /* handed to the wire */
	uint16_t ridlen;     /* the agent's requestId, JSON with quotes */
	uint32_t linelen;    /* the frame, kept until it is handed over */
	char data[];	     /* requestId, then the line */
};
TAILQ_HEAD(outbound_queue, outbound);

struct outbound_state {
	struct htab by_id;
	struct outbound_queue waiting; /* for the link */
	struct outbound_queue sent;
	uint64_t next_id;
	uint32_t n;
	uint64_t bytes; /* of their lines */
	struct timer timer;
};

void outbound_init(struct gateway *gw);
/* No request goes out any more: answer those that there are. */
void outbound_end(struct gateway *gw, const char *why);
void outbound_free(struct gateway *gw);
/* An agent's outbound line, scanned in the core's doc: nodes of its requestId
 * and action, -1 for none.  NULL, or what is wrong with it, when not even its
 * requestId can be answered. */
const char *outbound_request(struct agent *a, int request_id, int action);
/* An operator's action. */
const char *
outbound_operator(struct gateway *gw, struct span action, uint64_t cookie);
/* A result, scanned in the core's doc: nodes of requestId and result. */
void outbound_result(struct gateway *gw, int request_id, int result);
/* The link is up, or has room again: what waited goes out. */
void outbound_link_up(struct gateway *gw);
/* It is gone after `written` bytes: what left is answered as ambiguous. */
void outbound_link_lost(struct gateway *gw, uint64_t written);
void outbound_agent_gone(struct agent *a);

#endif
