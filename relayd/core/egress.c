/* SPDX-License-Identifier: ISC */
/* The egress scope (CONTRACT 7): learned from inbound events, filled into
 * actions. */
#include <stdlib.h>
#include <string.h>

#include "egress.h"
#include "limit.h"

void
egress_init(struct egress *e, const struct hash_key *key)
{
	memset(e, 0, sizeof(*e));
	e->key = key;
	TAILQ_INIT(&e->lru);
}

static struct span
told_span(const struct told *t)
{
	return (struct span){t->p, t->len};
}

static void
chat_free(struct egress *e, struct chat *c)
{
	htab_del(&e->chats, &c->node);
	TAILQ_REMOVE(&e->lru, c, lru);
	e->n--;
	e->forgotten++;
	free(c->id.p);
	free(c->platform.p);
	free(c->scope.p);
	free(c->user.p);
	free(c);
}

void
egress_free(struct egress *e)
{
	struct chat *c;

	while ((c = TAILQ_FIRST(&e->lru)) != NULL)
		chat_free(e, c);
	htab_free(&e->chats);
}

static struct chat *
find(const struct egress *e, struct span id, uint64_t hash)
{
	struct hnode *n;
	struct chat *c;

	for (n = htab_find(&e->chats, hash); n != NULL; n = htab_next(n)) {
		c = (struct chat *)(void *)((char *)n -
		    offsetof(struct chat, node));
		if (span_eq(told_span(&c->id), id))
			return c;
	}
	return NULL;
}

struct chat *
egress_find(struct egress *e, struct span id)
{
	struct chat *c;

	if (id.len == 0 || id.len > LIMIT_ID)
		return NULL;
	if ((c = find(e, id, hash_64(e->key, id))) != NULL) {
		TAILQ_REMOVE(&e->lru, c, lru);
		TAILQ_INSERT_TAIL(&e->lru, c, lru);
	}
	return c;
}

/* Keep a value when it is new and fits; what is known stays when it is not
 * told again. */
static void
keep(struct told *known, struct span v)
{
	char *s;

	if (v.len == 0 || v.len > LIMIT_ID || span_eq(told_span(known), v))
		return;
	if ((s = malloc(v.len)) == NULL)
		return;
	memcpy(s, v.p, v.len);
	free(known->p);
	known->p = s;
	known->len = v.len;
}

static struct chat *
chat_new(struct egress *e, struct span id, uint64_t hash)
{
	struct chat *c;

	if (e->n >= LIMIT_CHATS)
		chat_free(e, TAILQ_FIRST(&e->lru));
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	keep(&c->id, id);
	if (c->id.p == NULL || htab_add(&e->chats, &c->node, hash) == -1) {
		free(c->id.p);
		free(c);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&e->lru, c, lru);
	e->n++;
	return c;
}

/* The chat, made when it is not known, and the most recent now. */
static struct chat *
chat_get(struct egress *e, struct chat_hint *hint, struct span id)
{
	struct chat *c = hint->chat;
	uint64_t hash;

	if (c == NULL || hint->forgotten != e->forgotten ||
	    !span_eq(told_span(&c->id), id)) {
		hash = hash_64(e->key, id);
		if ((c = find(e, id, hash)) == NULL &&
		    (c = chat_new(e, id, hash)) == NULL)
			return NULL;
		hint->chat = c;
		hint->forgotten = e->forgotten;
	}
	TAILQ_REMOVE(&e->lru, c, lru);
	TAILQ_INSERT_TAIL(&e->lru, c, lru);
	return c;
}

void
egress_learn(struct egress *e, struct chat_hint *hint, struct span platform,
    struct span chat_id, struct span scope_id, struct span user_id)
{
	struct chat *c;

	if (chat_id.len == 0 || chat_id.len > LIMIT_ID ||
	    (c = chat_get(e, hint, chat_id)) == NULL)
		return;
	if (!span_eq(platform, SPAN_LIT("relay")))
		keep(&c->platform, platform);
	keep(&c->scope, scope_id);
	keep(&c->user, user_id);
}

/* Whether a metadata member has a value of its own. */
static int
brought(const struct json_doc *doc, int node)
{
	return node != -1 && doc->node[node].type != JSON_NULL &&
	    !(doc->node[node].type == JSON_STRING &&
		doc->node[node].vallen == 2);
}

/* Append text[from..to) of the document. */
static void
copy(const struct json_doc *doc, struct buf *out, size_t from, size_t to)
{
	(void)buf_add(out, doc->text + from, to - from);
}

static size_t
value_end(const struct json_doc *doc, int node)
{
	return (size_t)doc->node[node].val + doc->node[node].vallen;
}

/* What we fill into metadata. */
static const struct json_want filled[] = {
    JSON_WANT("scope_id", JSON_ANY, 0), JSON_WANT("user_id", JSON_ANY, 0)};
#define NFILLED (sizeof(filled) / sizeof(filled[0]))

/* The object at a node, none or empty: with scope and user filled in.  An empty
 * value makes room for ours. */
static void
put_metadata(
    const struct json_doc *doc, int node, struct buf *out, const struct chat *c)
{
	const struct told *value[NFILLED] = {&c->scope, &c->user};
	size_t from = doc->node[node].val, end = value_end(doc, node) - 1, i;
	int at[NFILLED], n;

	(void)json_members(doc, node, filled, NFILLED, at, NULL);
	for (n = json_first(doc, node); n != -1; n = json_next(doc, n))
		for (i = 0; i < NFILLED; i++)
			if (n == at[i] && value[i]->p != NULL &&
			    !brought(doc, n)) {
				copy(doc, out, from, doc->node[n].val);
				json_put_str(out, told_span(value[i]));
				from = value_end(doc, n);
			}
	/* Without the spaces of one that is empty. */
	while (memchr(" \t\r\n", doc->text[end - 1], 4) != NULL)
		end--;
	copy(doc, out, from, end);
	for (i = 0; i < NFILLED; i++)
		if (value[i]->p != NULL && at[i] == -1)
			json_put_member_str(
			    out, filled[i].name, told_span(value[i]));
	(void)buf_add(out, "}", 1);
}

const char *
egress_action(struct egress *e, const struct json_doc *doc, int action,
    struct json_doc *part, struct buf *out, struct chat **chat)
{
	static const struct json_want want[] = {
	    JSON_WANT("op", JSON_T(JSON_STRING), 1),
	    JSON_WANT("chat_id", JSON_ANY, 0),
	    JSON_WANT("metadata", JSON_T(JSON_NULL) | JSON_T(JSON_OBJECT), 0),
	};
	char scratch[LIMIT_ID];
	const struct json_doc *mdoc = doc;
	const char *why;
	size_t from, to;
	int at[3], which, meta;
	struct chat *c;

	*chat = NULL;
	if ((why = json_members(doc, action, want, 3, at, &which)) != NULL)
		return which == 0 ? "the action has no op"
		    : which == -1 ? "the action must be an object"
				  : why;
	meta = at[2];
	if ((why = json_pick(&mdoc, &meta, part, e->key, filled, NFILLED)) !=
	    NULL)
		return why;
	c = egress_find(e, json_str(doc, at[1], scratch, sizeof(scratch)));
	*chat = c;
	if (c == NULL || (c->scope.p == NULL && c->user.p == NULL)) {
		(void)buf_adds(out, json_raw(doc, action));
		return NULL;
	}
	/* Where metadata's value stands, or is to stand. */
	from = at[2] == -1 ? value_end(doc, action) - 1 : doc->node[at[2]].val;
	to = at[2] == -1 ? from : value_end(doc, at[2]);
	copy(doc, out, doc->node[action].val, from);
	if (at[2] == -1)
		json_put_key(out, "metadata");
	if (meta == -1 || mdoc->node[meta].type != JSON_OBJECT) {
		(void)json_parse(part, "{}", 2, 1);
		mdoc = part;
		meta = JSON_ROOT;
	}
	put_metadata(mdoc, meta, out, c);
	copy(doc, out, to, value_end(doc, action));
	return NULL;
}
