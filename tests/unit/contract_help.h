/* SPDX-License-Identifier: ISC */
/* What tests of the contract's frames share: descriptors, long lists, the id
 * that a request left with. */
#ifndef CONTRACT_HELP_H
#define CONTRACT_HELP_H

#include "world.h"

/* A request of an agent, up to its action. */
#define ASK "{\"type\":\"outbound\",\"requestId\":\"q\",\"action\":"

static inline void
describe(struct world *w, const char *fields)
{
	char text[8192];

	(void)snprintf(text, sizeof(text),
	    "{\"type\":\"descriptor\",\"descriptor\":{%s}}\n", fields);
	world_message(w, text);
}

/* n numbers with commas between them. */
static inline void
put_numbers(char *to, size_t cap, int n)
{
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++)
		len += (size_t)snprintf(
		    to + len, cap - len, "%s%d", i > 0 ? "," : "", i);
}

/* The connector answers the request that left last: what follows its id. */
static inline void
answer_last(struct world *w, const char *rest)
{
	static const char before[] = "\"requestId\":\"";
	struct span sent = buf_span(&w->lines);
	const char *p = sent.p, *end = p + sent.len, *id = NULL;
	size_t cap = strlen(rest) + 128;
	char *line = malloc(cap);

	assert_non_null(line);
	while ((p = memmem(p, (size_t)(end - p), before, sizeof(before) - 1)) !=
	    NULL)
		id = p += sizeof(before) - 1;
	assert_non_null(id);
	(void)snprintf(line, cap,
	    "{\"type\":\"outbound_result\",\"requestId\":\"%.*s\"%s}\n",
	    (int)strcspn(id, "\""), id, rest);
	world_message(w, line);
	free(line);
}

#endif
