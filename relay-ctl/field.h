/* SPDX-License-Identifier: ISC */
/*
 * Reading the members of a reply.  A document may be far larger than one
 * json_doc keeps places for: it is read one object at a time.
 */
#ifndef FIELD_H
#define FIELD_H

#include <stdint.h>

#include "json.h"

struct obj {
	struct json_doc doc;
	char scratch[2048]; /* of the last field_str */
};

/* Take an object apart.  0, or -1 when it is none (all fields are absent). */
int obj_parse(struct obj *o, struct span text);
/* The object that is a member; absent or no object: an empty one, -1. */
int obj_sub(struct obj *o, const struct obj *of, const char *key);

/* A string's text; absent when it is no string.  Valid until the next call on
 * this object. */
struct span field_str(struct obj *o, const char *key);
/* An integer, or what is given for none. */
int64_t field_int(const struct obj *o, const char *key, int64_t none);
/* A number, or what is given for none. */
double field_num(const struct obj *o, const char *key, double none);
/* Whether it is true. */
int field_true(const struct obj *o, const char *key);
/* The JSON text; absent when there is no such member. */
struct span field_raw(const struct obj *o, const char *key);
/* A string decoded, or a number as it stands, in memory of its own (free).
 * NULL: neither, no memory, or there is a NUL in it. */
char *field_dup(const struct obj *o, const char *key);

#endif
