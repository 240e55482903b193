/* SPDX-License-Identifier: ISC */
/* Session keys (CONTRACT 5): which conversation an event belongs to. */
#ifndef SESSION_H
#define SESSION_H

#include "json.h"
#include "span.h"

/* The members of an event's source that we read, decoded. */
struct source {
	struct span platform, chat_id, chat_type, user_id, thread_id, scope_id,
	    user_id_alt, profile, prospective_thread_id;
};

/*
 * Read the source at a node.  Values that need unescaping are decoded into
 * scratch (cap bytes).  Returns NULL, or a phrase: not an object, a key twice,
 * wrong type, too long.
 */
const char *session_source(const struct json_doc *doc, int node,
    struct source *src, char *scratch, size_t cap);

/* Build the key into out (cap bytes, not terminated).  Returns its length, or
 * -1 when it does not fit. */
ptrdiff_t session_key(const struct source *src, int group_per_user,
    int thread_per_user, char *out, size_t cap);

#endif
