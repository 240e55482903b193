/* SPDX-License-Identifier: ISC */
/* The version of relayd, and the schema of what it says. */
#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "out.h"
#include "schema.h"
#include "version.h"

/* Bytes of a foreign name that are shown. */
#define SHOWN_MAX 64

static const char *const known[] = {
    SCHEMA_STATUS, SCHEMA_CONTROL, SCHEMA_CREDENTIALS};

/* Up to what follows the major version: "relayd.status/1.2" is read as
 * "relayd.status/1". */
static int
is_known(struct span schema)
{
	size_t i, len;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		len = strlen(known[i]);
		if (schema.len >= len && memcmp(schema.p, known[i], len) == 0 &&
		    (schema.len == len || schema.p[len] == '.'))
			return 1;
	}
	return 0;
}

/* Foreign text that can be shown (free); NULL: none, or no memory. */
static char *
shown(struct span s)
{
	if (s.len > SHOWN_MAX)
		s.len = SHOWN_MAX;
	return s.p == NULL ? NULL : out_safe(s);
}

/* A refusal tells the versions itself, if they are why. */
static int
is_refusal(struct obj *o)
{
	return !field_true(o, "ok") &&
	    span_eq(field_str(o, "code"), SPAN_LIT("refused"));
}

enum client_result
version_check(const struct ctl *ctl, struct span reply)
{
	enum client_result r = CLIENT_OK;
	char *version, *schema = NULL;
	struct span named;
	struct obj o;

	if (obj_parse(&o, reply) == -1)
		return CLIENT_OK; /* told by who reads it */
	version = shown(field_str(&o, "version"));
	named = field_str(&o, "schema");
	if (named.p == NULL)
		named = field_raw(&o, "schema");
	if (named.p != NULL && !is_known(named)) {
		schema = shown(named);
		ctl_warn("relayd is %s and speaks %s, which this relay-ctl %s "
			 "does not know; use the one that came with it",
		    version == NULL ? "another" : version,
		    schema == NULL ? "another schema" : schema, VERSION);
		if (ctl->out.json)
			(void)out_json(reply);
		r = CLIENT_WRONG;
	} else if (version != NULL && strcmp(version, VERSION) != 0 &&
	    !*ctl->told && !is_refusal(&o)) {
		*ctl->told = 1;
		ctl_warn("relayd is %s, this relay-ctl %s: fields may be "
			 "missing; use the one that came with it",
		    version, VERSION);
	}
	free(version);
	free(schema);
	return r;
}
