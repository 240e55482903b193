/* SPDX-License-Identifier: ISC */
/*
 * Arrival of events: what they tell of their conversation, and the line that
 * an agent gets of them.
 */
#ifndef ARRIVAL_H
#define ARRIVAL_H

#include "json.h"
#include "limit.h"

struct cid;
struct gateway;
struct session;

/* How the session key of a forwarded webhook begins that is no event. */
#define ARRIVAL_RAW "passthrough:"

/* A line that brings an event or a forward, and nodes of the core's doc, where
 * it was scanned; -1: absent. */
struct arrival {
	struct span line;
	int event, forward; /* one of them */
	int buffer_id;
	int session_key, redelivered; /* ours replace them */
};

/* The connector's bufferId at a node of doc (-1: none, which gives an empty
 * text): a string, or a number to be acknowledged as one, of at most cap bytes,
 * perhaps unescaped into scratch.  0, or -1 when it is none. */
int arrival_cid(struct gateway *gw, const struct json_doc *doc, int node,
    char *scratch, size_t cap, struct cid *cid);
/* An event arrived: delivered, or recognised.  NULL, or why the line is bad. */
const char *arrival_event(struct gateway *gw, const struct arrival *in);
/* Learn from an event's line, found in the journal, what an answer to it needs
 * to know of its chat (CONTRACT 7). */
void arrival_learn(struct gateway *gw, struct span line, struct session *s);

#endif
