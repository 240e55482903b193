/* SPDX-License-Identifier: ISC */
/* Who sent which prompt; see prompt.h. */
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "prompt.h"

struct prompt {
	struct hnode node;
	TAILQ_ENTRY(prompt) entry;
	struct agent *agent;
	size_t len;
	char id[];
};

void
prompt_init(struct gateway *gw)
{
	TAILQ_INIT(&gw->prompts.list);
}

static void
prompt_drop(struct gateway *gw, struct prompt *p)
{
	htab_del(&gw->prompts.by_id, &p->node);
	TAILQ_REMOVE(&gw->prompts.list, p, entry);
	gw->prompts.n--;
	free(p);
}

void
prompt_free(struct gateway *gw)
{
	struct prompt *p;

	while ((p = TAILQ_FIRST(&gw->prompts.list)) != NULL)
		prompt_drop(gw, p);
	htab_free(&gw->prompts.by_id);
}

static struct prompt *
find(const struct gateway *gw, struct span id)
{
	struct hnode *n;
	struct prompt *p;

	for (n = htab_find(&gw->prompts.by_id, hash_64(&gw->core->key, id));
	     n != NULL; n = htab_next(n)) {
		p = (struct prompt *)(void *)((char *)n -
		    offsetof(struct prompt, node));
		if (span_eq((struct span){p->id, p->len}, id))
			return p;
	}
	return NULL;
}

void
prompt_sent(struct agent *a, struct span id)
{
	struct gateway *gw = a->gw;
	struct prompt *p;

	if (id.len == 0 || id.len > LIMIT_ID)
		return;
	if ((p = find(gw, id)) != NULL)
		prompt_drop(gw, p);
	else if (gw->prompts.n >= LIMIT_PROMPTS)
		prompt_drop(gw, TAILQ_FIRST(&gw->prompts.list));
	if ((p = calloc(1, sizeof(*p) + id.len)) == NULL)
		return;
	p->agent = a;
	p->len = id.len;
	memcpy(p->id, id.p, id.len);
	if (htab_add(&gw->prompts.by_id, &p->node,
		hash_64(&gw->core->key, id)) == -1) {
		free(p);
		return;
	}
	TAILQ_INSERT_TAIL(&gw->prompts.list, p, entry);
	gw->prompts.n++;
}

struct agent *
prompt_agent(const struct gateway *gw, struct span id)
{
	struct prompt *p = id.len == 0 ? NULL : find(gw, id);

	return p == NULL ? NULL : p->agent;
}

void
prompt_agent_gone(struct agent *a)
{
	struct prompt *p, *next;

	TAILQ_FOREACH_SAFE (p, &a->gw->prompts.list, entry, next)
		if (p->agent == a)
			prompt_drop(a->gw, p);
}
