/* SPDX-License-Identifier: ISC */
/* Descriptors; see descriptor.h. */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "descriptor.h"
#include "utf8.h"

/* CONTRACT 4: what a bound that is none means. */
#define DEFAULT_LENGTH 4096
/* Bytes of an op's name, and of all names together: there are some ten. */
#define OP_MAX	64
#define OPS_MAX 4096

/* CONTRACT 4: what a descriptor without a list allows. */
static const char old_ops[] = ",send,edit,typing,follow_up,";

void
descriptor_free(struct descriptor *d)
{
	free(d->text);
	free(d->ops);
	memset(d, 0, sizeof(*d));
}

/* A name that can stand in our list. */
static int
is_op(struct span op)
{
	return json_is_word(op) && memchr(op.p, ',', op.len) == NULL;
}

/* The names of supported_ops; what is no name is not looked at.  NULL where
 * there are none. */
static char *
take_ops(struct span list)
{
	struct json_doc one;
	char scratch[OP_MAX], *ops;
	struct span elem, op;
	struct buf b;
	size_t pos = 0;

	buf_init(&b, OPS_MAX);
	while (json_each(list, &pos, &elem) == 1) {
		if (json_parse(&one, elem.p, elem.len, 0) == -1)
			break;
		op = json_str(&one, JSON_ROOT, scratch, sizeof(scratch));
		if (op.p == NULL || !is_op(op))
			continue;
		if (buf_len(&b) == 0)
			(void)buf_add(&b, ",", 1);
		(void)buf_adds(&b, op);
		(void)buf_add(&b, ",", 1);
	}
	ops = buf_len(&b) > 0 ? strndup(buf_span(&b).p, buf_len(&b)) : NULL;
	buf_free(&b);
	return ops;
}

const char *
descriptor_take(
    struct descriptor *d, const struct json_doc *doc, int node, int *news)
{
	static const struct json_want want[] = {
	    JSON_WANT("max_message_length", JSON_ANY, 0),
	    JSON_WANT("len_unit", JSON_ANY, 0),
	    JSON_WANT("supported_ops", JSON_ANY, 0),
	};
	struct span raw = json_raw(doc, node);
	const char *why;
	int64_t max;
	char *text;
	int at[3];

	if ((why = json_members(doc, node, want, 3, at, NULL)) != NULL)
		return why;
	*news = d->text == NULL || !span_eq(span_str(d->text), raw);
	if (!*news)
		return NULL;
	if ((text = strndup(raw.p, raw.len)) == NULL)
		return "no memory";
	descriptor_free(d);
	d->text = text;
	if (json_int(doc, at[0], 1, UINT32_MAX, &max) == -1)
		max = DEFAULT_LENGTH;
	d->max_length = (uint32_t)max;
	d->utf16 = span_eq(json_str_raw(doc, at[1]), SPAN_LIT("utf16")) != 0;
	d->ops = take_ops(json_raw(doc, at[2]));
	return NULL;
}

static const char *
ops_of(const struct descriptor *d)
{
	return d->ops != NULL ? d->ops : old_ops;
}

int
descriptor_allows(const struct descriptor *d, struct span op)
{
	const char *at, *ops = ops_of(d);
	size_t len = strlen(ops);

	if (d->text == NULL)
		return 1;
	if (op.len == 0 || memchr(op.p, ',', op.len) != NULL)
		return 0;
	/* Names are joined by commas, and hold none. */
	for (at = ops;
	     (at = memmem(at, len - (size_t)(at - ops), op.p, op.len)) != NULL;
	     at++)
		if (at[-1] == ',' && at[op.len] == ',')
			return 1;
	return 0;
}

void
descriptor_ops(const struct descriptor *d, char *out, size_t cap)
{
	const char *p = ops_of(d) + 1;
	size_t n = 0;

	for (; *p != '\0' && p[1] != '\0' && n + 3 < cap; p++) {
		out[n++] = *p;
		if (*p == ',')
			out[n++] = ' ';
	}
	out[n] = '\0';
}

size_t
descriptor_length(const struct descriptor *d, struct span text)
{
	return d->utf16 ? utf8_utf16(text) : utf8_chars(text);
}
