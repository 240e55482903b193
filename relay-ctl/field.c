/* SPDX-License-Identifier: ISC */
/* Members of replies. */
#include <stdlib.h>
#include <string.h>

#include "field.h"

int
obj_parse(struct obj *o, struct span text)
{
	if (text.p != NULL && text.len <= UINT32_MAX &&
	    json_parse(&o->doc, text.p, text.len, 1) == 0 &&
	    o->doc.node[JSON_ROOT].type == JSON_OBJECT)
		return 0;
	json_parse(&o->doc, "{}", 2, 1);
	return -1;
}

int
obj_sub(struct obj *o, const struct obj *of, const char *key)
{
	return obj_parse(o, field_raw(of, key));
}

struct span
field_str(struct obj *o, const char *key)
{
	return json_str(&o->doc, json_get(&o->doc, JSON_ROOT, key), o->scratch,
	    sizeof(o->scratch));
}

int64_t
field_int(const struct obj *o, const char *key, int64_t none)
{
	int64_t v;

	if (json_int(&o->doc, json_get(&o->doc, JSON_ROOT, key), INT64_MIN,
		INT64_MAX, &v) == -1)
		return none;
	return v;
}

double
field_num(const struct obj *o, const char *key, double none)
{
	struct span raw = field_raw(o, key);
	char num[40];

	if (raw.p == NULL || raw.len >= sizeof(num) ||
	    (raw.p[0] != '-' && (raw.p[0] < '0' || raw.p[0] > '9')))
		return none;
	memcpy(num, raw.p, raw.len);
	num[raw.len] = '\0';
	return strtod(num, NULL);
}

int
field_true(const struct obj *o, const char *key)
{
	int at = json_get(&o->doc, JSON_ROOT, key);

	return at != -1 && o->doc.node[at].type == JSON_TRUE;
}

struct span
field_raw(const struct obj *o, const char *key)
{
	return json_raw(&o->doc, json_get(&o->doc, JSON_ROOT, key));
}

char *
field_dup(const struct obj *o, const char *key)
{
	int at = json_get(&o->doc, JSON_ROOT, key);
	struct span raw = json_raw(&o->doc, at), s = {NULL, 0};
	char *text;

	if (raw.p == NULL || (text = malloc(raw.len + 1)) == NULL)
		return NULL;
	if (o->doc.node[at].type == JSON_NUMBER)
		s = raw;
	else if (o->doc.node[at].type == JSON_STRING)
		s = json_str(&o->doc, at, text, raw.len);
	if (s.p == NULL || memchr(s.p, '\0', s.len) != NULL) {
		free(text);
		return NULL;
	}
	memmove(text, s.p, s.len);
	text[s.len] = '\0';
	return text;
}
