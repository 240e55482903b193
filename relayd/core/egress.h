/* SPDX-License-Identifier: ISC */
/*
 * The egress scope (CONTRACT 7): what inbound events told of each chat, to be
 * filled into actions for it.  Bounded; the least recently used goes.
 */
#ifndef EGRESS_H
#define EGRESS_H

#include <sys/queue.h>
#include <stdint.h>

#include "buf.h"
#include "hash.h"
#include "json.h"
#include "span.h"

/* A value that was told, no C string; p NULL: none was. */
struct told {
	char *p;
	size_t len;
};

struct chat {
	struct hnode node;
	TAILQ_ENTRY(chat) lru;
	struct told id, platform, scope, user;
};
TAILQ_HEAD(chat_list, chat);

struct egress {
	const struct hash_key *key;
	struct htab chats;
	struct chat_list lru; /* least recent first */
	uint32_t n;
	uint64_t forgotten; /* chats, ever */
};

/* Where a chat was found before; zeroed: nowhere. */
struct chat_hint {
	struct chat *chat; /* good as long as none was forgotten since: */
	uint64_t forgotten;
};

void egress_init(struct egress *e, const struct hash_key *key);
void egress_free(struct egress *e);
/* Learn from an event's source (decoded values; absent spans allowed).  The
 * hint, of the chat that was learned of with it last, spares a search. */
void
egress_learn(struct egress *e, struct chat_hint *hint, struct span platform,
    struct span chat_id, struct span scope_id, struct span user_id);
/* What is known of a chat, made most recent; NULL. */
struct chat *egress_find(struct egress *e, struct span chat_id);
/*
 * Append the action at node `action` of doc with what is missing filled into
 * its metadata, of which part is to hold what the doc does not keep.
 * *chat gets what is known of its chat, or NULL.  Returns
 * NULL, or a phrase: not an object, a key twice, ….
 */
const char *egress_action(struct egress *e, const struct json_doc *doc,
    int action, struct json_doc *part, struct buf *out, struct chat **chat);

#endif
