/* SPDX-License-Identifier: ISC */
/*
 * JSON (RFC 8259): a scanner that validates all of a text, allocates nothing
 * and keeps the places of the members of its upper levels; and what is needed
 * to write JSON.
 */
#ifndef JSON_H
#define JSON_H

#include <stdint.h>

#include "buf.h"
#include "span.h"

struct hash_key;

enum json_type {
	JSON_NONE, /* absent */
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};

/* Deeper is refused: bounds any reader's recursion. */
#define JSON_MAX_DEPTH 64
/* Kept places; an event with its source needs about 40. */
#define JSON_MAX_NODES 256
/* The node of the text's outermost value. */
#define JSON_ROOT 0

/* One kept place: the root, a member of a kept object, an element of a kept
 * array.  Offsets are from the beginning of the text. */
struct json_node {
	uint32_t key; /* first byte inside the key's quotes */
	uint32_t keylen;
	uint32_t val; /* first byte of the value, quotes or brackets included */
	uint32_t vallen;
	uint32_t tag;	 /* JSON_TAG of the key as it stands */
	uint16_t parent; /* node of the container; JSON_ROOT for the root */
	uint16_t next;	 /* node of the next in the container; 0: none */
	uint8_t type;	 /* enum json_type */
	uint8_t esc;	 /* JSON_ESC_* */
};

/* What tells most keys apart in one comparison: length modulo 64 KiB, first and
 * last byte. */
#define JSON_TAG(text, len)                                          \
	((uint32_t)(len) << 16 | (uint32_t)(uint8_t)(text)[0] << 8 | \
	    (uint8_t)(text)[(len)-1])

#define JSON_ESC_KEY 0x01 /* the key holds a backslash */
#define JSON_ESC_VAL 0x02 /* the string value holds a backslash */

struct json_doc {
	const char *text; /* the caller's, must outlive the doc */
	uint32_t nnodes;
	uint8_t full;	  /* the node table ran out: lookups may miss members */
	uint8_t picked;	  /* by json_pick: the root's wanted members alone */
	uint32_t fulloff; /* when full: the first value that has no node */
	const char *err;  /* why json_parse failed, a static English phrase */
	size_t erroff;	  /* at which byte */
	struct json_node node[JSON_MAX_NODES];
};

/*
 * Validate text[0..len) as exactly one JSON value (white space around it
 * allowed) and keep the places of everything down to keep_depth: 0 keeps the
 * root alone, 1 its members, 2 theirs.  Deeper parts are validated all the
 * same.  Returns 0, or -1 with doc->err and doc->erroff set and no node.  len
 * is at most UINT32_MAX.  Nothing is allocated; the text is not changed.
 */
int json_parse(
    struct json_doc *doc, const char *text, size_t len, unsigned keep_depth);

/* A wanted member for json_members, made by JSON_WANT. */
struct json_want {
	const char *name; /* decoded key, not empty */
	uint32_t len;	  /* of the name, bytes */
	uint32_t tag;	  /* JSON_TAG of the name */
	uint32_t types;	  /* accepted types, bits 1 << enum json_type */
	uint8_t required;
};

#define JSON_WANT(name, types, required)                                    \
	{                                                                   \
		(name), sizeof(name) - 1, JSON_TAG(name, sizeof(name) - 1), \
		    (types), (required)                                     \
	}

#define JSON_T(t) (1U << (t))
#define JSON_ANY  0xffffffffU

/*
 * Find the wanted members of the object at node `parent` in one pass; those
 * that are required stand first.  at[i]
 * becomes the node of want[i], or -1 when absent.  Keys are compared after
 * unescaping.  Returns NULL, or a static phrase that says what is wrong: not
 * an object, a wanted key twice, a type that is not accepted, a required
 * member missing, too many members to be sure.  *which (may be NULL) gets the
 * index of the want that was at fault, or -1.  An object whose members were not
 * all kept (doc->full, or below keep_depth) is always refused, even when what
 * is wanted was found: a second member of that name may follow.
 */
const char *json_members(const struct json_doc *doc, int parent,
    const struct json_want *want, size_t nwant, int *at, int *which);

/* Take the wanted strings of the one object that the text is; absent ones give
 * absent spans.  room has text.len bytes for what is decoded.  NULL, or a
 * phrase as of json_members; a lone surrogate is refused. */
const char *json_texts(struct span text, const struct json_want *want,
    size_t nwant, struct span *out, char *room);
/* Whether a text is not empty and holds neither white space nor controls. */
int json_is_word(struct span s);

/*
 * Have the members of the object at a node: where the doc keeps not all of
 * them (it ran full, or did not go so deep), the object is scanned into `part`,
 * and *doc and *node lead there.  Returns 0, or -1 when that does not keep them
 * either.  What is no object stays where it is.
 */
int json_enter(const struct json_doc **doc, int *node, struct json_doc *part);

/*
 * The same for an object of any number of members, none of which may be there
 * twice.  Where there are more than a doc keeps, `part` has those of the wanted
 * names and says of all others that they are absent.  The key is for hashing
 * the names; memory is needed for the time of the call, a few bytes for each
 * byte of the object.  NULL, or a phrase: twice, no memory.  What is no object
 * stays where it is.
 */
const char *
json_pick(const struct json_doc **doc, int *node, struct json_doc *part,
    const struct hash_key *key, const struct json_want *want, size_t nwant);

/* One member by its decoded key, or -1: absent, there twice, or not to be
 * told because the node table ran out within the object. */
int json_get(const struct json_doc *doc, int parent, const char *name);

/* Whether a key stands twice in the object at a kept node, after unescaping;
 * also when that cannot be told, because not all members were kept.  0 for
 * what is no object. */
int json_twice(const struct json_doc *doc, int parent);

/* First child of a kept container, and the next sibling; -1 at the end. */
int json_first(const struct json_doc *doc, int parent);
int json_next(const struct json_doc *doc, int node);

/*
 * Step through the elements of an array that json_parse has accepted, without
 * a limit on their number.  *pos is 0 before the first step.  Returns 1 with
 * *elem set, 0 at the end, -1 when `array` is no array or is damaged.
 */
int json_each(struct span array, size_t *pos, struct span *elem);
/* The same of the members of an object: the bytes between the key's quotes,
 * still escaped, and the value. */
int json_each_member(
    struct span object, size_t *pos, struct span *key, struct span *value);

/* The raw bytes of a node's value; absent span for node -1. */
struct span json_raw(const struct json_doc *doc, int node);

/* The bytes between the quotes of a string value, still escaped; absent span
 * when node is -1 or no string. */
struct span json_str_raw(const struct json_doc *doc, int node);

/*
 * The decoded text of a string value, as a span: into the text itself when it
 * holds no escape, else into scratch (cap bytes).  A lone surrogate escape
 * becomes U+FFFD.  Absent span when node is -1, no string, or scratch is too
 * small.
 */
struct span
json_str(const struct json_doc *doc, int node, char *scratch, size_t cap);

/* Whether an escape in an escaped string body is a lone surrogate, for which
 * U+FFFD would stand: what was meant cannot be told. */
int json_lone_surrogate(struct span raw);

/* Decode an escaped string body.  Returns bytes written (at most raw.len), or
 * -1 when cap is too small or an escape is bad. */
ptrdiff_t json_unescape(struct span raw, char *out, size_t cap);

/* An integer value.  Returns 0 and sets *out, or -1: not a number, a fraction
 * or exponent, out of range. */
int json_int(const struct json_doc *doc, int node, int64_t min, int64_t max,
    int64_t *out);

/* Append a string with quotes and escapes; bytes that are not valid UTF-8
 * become U+FFFD.  Control characters, DEL and C1 controls are escaped, so that
 * the output can stand in a terminal. */
void json_put_str(struct buf *b, struct span text);
/* Append "key": — with a comma first unless the last byte is { or [. */
void json_put_key(struct buf *b, const char *key);
/* Append a member.  An absent span is written as null. */
void json_put_member_str(struct buf *b, const char *key, struct span text);
void json_put_member_int(struct buf *b, const char *key, int64_t v);
void json_put_member_bool(struct buf *b, const char *key, int v);
/* Append a member whose value is JSON already; an absent span gives null. */
void json_put_member_raw(struct buf *b, const char *key, struct span json);

#endif
