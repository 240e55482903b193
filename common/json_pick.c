/* SPDX-License-Identifier: ISC */
/* Finding wanted members among more of them than a scanned text keeps, and
 * telling whether any is there twice. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "json.h"

/* Bytes that the shortest member takes with its comma: "":0, */
#define MEMBER_MIN 5

struct pick {
	struct json_doc *part;
	const struct json_want *want;
	size_t nwant;
	const struct hash_key *key;
	uint64_t
	    *seen;   /* hashes of decoded keys, by open addressing; 0: none */
	size_t mask; /* of its index */
	char *room;  /* for a decoded key */
};

/* Whether the key was not there before.  The hash is taken for the key: 64 bits
 * of it are the same for two others once in many more lines than are sent. */
static int
is_new(struct pick *p, struct span key)
{
	uint64_t h = hash_64(p->key, key) | 1;
	size_t i = (size_t)(h >> 1) & p->mask;

	for (; p->seen[i] != 0; i = (i + 1) & p->mask)
		if (p->seen[i] == h)
			return 0;
	p->seen[i] = h;
	return 1;
}

static int
is_wanted(const struct pick *p, struct span key)
{
	for (size_t i = 0; i < p->nwant; i++)
		if (span_eq(
			key, (struct span){p->want[i].name, p->want[i].len}))
			return 1;
	return 0;
}

static uint8_t
type_of(char first)
{
	switch (first) {
	case '"':
		return JSON_STRING;
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case 'n':
		return JSON_NULL;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	default:
		return JSON_NUMBER;
	}
}

static void
add_node(struct json_doc *doc, struct span key, struct span value)
{
	uint32_t number = doc->nnodes++;
	struct json_node *n = &doc->node[number];

	memset(n, 0, sizeof(*n));
	n->key = (uint32_t)(key.p - doc->text);
	n->keylen = (uint32_t)key.len;
	n->val = (uint32_t)(value.p - doc->text);
	n->vallen = (uint32_t)value.len;
	n->tag = JSON_TAG(key.p, key.len);
	n->parent = JSON_ROOT;
	n->type = type_of(value.p[0]);
	if (key.len > 0 && memchr(key.p, '\\', key.len) != NULL)
		n->esc |= JSON_ESC_KEY;
	if (n->type == JSON_STRING && memchr(value.p, '\\', value.len) != NULL)
		n->esc |= JSON_ESC_VAL;
	if (number > 1)
		n[-1].next = (uint16_t)number;
}

static const char *
walk(struct pick *p, struct span object)
{
	struct span key, value, name;
	size_t pos = 0;
	ptrdiff_t n;

	while (json_each_member(object, &pos, &key, &value) == 1) {
		n = json_unescape(key, p->room, object.len);
		name = (struct span){p->room, n < 0 ? 0 : (size_t)n};
		if (!is_new(p, name))
			return "a member is there twice";
		if (is_wanted(p, name))
			add_node(p->part, key, value);
	}
	return NULL;
}

/* part has scanned the object and is full: of its nodes the root stays. */
static const char *
pick(struct pick *p)
{
	struct span object = {p->part->text, p->part->node[JSON_ROOT].vallen};
	size_t slots = 1;
	const char *why = "no memory";

	/* At least half of them stay free. */
	while (slots < 2 * (object.len / MEMBER_MIN + 1))
		slots *= 2;
	p->mask = slots - 1;
	p->part->nnodes = 1;
	p->part->full = 0;
	p->part->picked = 1;
	p->seen = calloc(slots, sizeof(*p->seen));
	p->room = malloc(object.len);
	if (p->seen != NULL && p->room != NULL)
		why = walk(p, object);
	free(p->seen);
	free(p->room);
	return why;
}

const char *
json_pick(const struct json_doc **doc, int *node, struct json_doc *part,
    const struct hash_key *key, const struct json_want *want, size_t nwant)
{
	struct pick p = {
	    .part = part, .want = want, .nwant = nwant, .key = key};

	if (json_enter(doc, node, part) == 0)
		return json_twice(*doc, *node) ? "a member is there twice"
					       : NULL;
	if (part->nnodes == 0)
		return part->err;
	*doc = part;
	*node = JSON_ROOT;
	return pick(&p);
}
