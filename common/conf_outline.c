/* SPDX-License-Identifier: ISC */
/* A configuration for others' eyes. */
#include <inttypes.h>
#include <string.h>

#include "conf_outline.h"
#include "conf_priv.h"

struct outline {
	struct buf *out;
	conf_outline_fn *fn;
	void *arg;
};

static void put_keys(const struct outline *o, const struct conf_key *keys,
    const void *base, const char *prefix, unsigned depth);

static void
put_word(const struct outline *o, const struct conf_key *k, int value)
{
	const struct conf_word *w = k->words;

	while (w->name != NULL && w->value != value)
		w++;
	buf_adds(o->out, span_str(w->name == NULL ? "(unset)" : w->name));
}

/* A value that is not made of others. */
static void
put_value(const struct outline *o, const struct conf_key *k, const char *at,
    const char *noff, const char *path)
{
	static const char *const tri[] = {"(unset)", "false", "true"};
	const char *text;
	uint32_t number;
	uint64_t size;
	size_t n;
	int i;

	switch (k->type) {
	case CT_BOOL:
	case CT_TRI:
	case CT_WORD:
		memcpy(&i, at, sizeof(i));
		if (k->type == CT_WORD)
			put_word(o, k, i);
		else if (k->type == CT_TRI)
			buf_adds(o->out, span_str(tri[i < 0 || i > 2 ? 0 : i]));
		else
			buf_adds(o->out, span_str(i ? "true" : "false"));
		break;
	case CT_UINT:
	case CT_MS:
	case CT_SEC:
		memcpy(&number, at, sizeof(number));
		buf_addf(o->out, "%" PRIu32 "%s", number,
		    k->type == CT_MS	    ? " ms"
			: k->type == CT_SEC ? " s"
					    : "");
		break;
	case CT_SIZE:
		memcpy(&size, at, sizeof(size));
		buf_addf(o->out, "%" PRIu64 " bytes", size);
		break;
	case CT_LIST:
		memcpy(&n, noff, sizeof(n));
		buf_addf(o->out, "%zu in a list", n);
		break;
	default:
		memcpy(&text, at, sizeof(text));
		if (text == NULL)
			buf_adds(o->out, SPAN_LIT("(unset)"));
		else
			o->fn(o->arg, o->out, path, text);
	}
}

static void
indent(const struct outline *o, unsigned depth)
{
	while (depth-- > 0)
		buf_adds(o->out, SPAN_LIT("  "));
}

/* An array of structs with the keys of sub. */
static void
put_members(const struct outline *o, const struct conf_key *k, const char *base,
    size_t size, const char *path, unsigned depth)
{
	const char *list;
	size_t n, i;

	memcpy(&list, base + k->off, sizeof(list));
	memcpy(&n, base + k->noff, sizeof(n));
	buf_addf(o->out, "%zu\n", n);
	for (i = 0; i < n; i++) {
		indent(o, depth);
		if (k->type == CT_GATEWAYS)
			o->fn(o->arg, o->out, "gateways.name",
			    ((const struct conf_gateway *)(const void *)(list +
				 i * size))
				->name);
		else
			buf_adds(o->out, SPAN_LIT("-"));
		buf_adds(o->out, SPAN_LIT(":\n"));
		put_keys(o, k->sub, list + i * size, path, depth + 1);
	}
}

static void
put_keys(const struct outline *o, const struct conf_key *keys, const void *base,
    const char *prefix, unsigned depth)
{
	char path[CONF_KEYPATH];
	const char *b = base;

	for (; keys->name != NULL; keys++) {
		strlcpy(path, prefix, sizeof(path));
		if (path[0] != '\0')
			strlcat(path, ".", sizeof(path));
		strlcat(path, keys->name, sizeof(path));
		indent(o, depth);
		buf_addf(o->out, "%s: ", keys->name);
		if (keys->type == CT_OBJECT) {
			buf_adds(o->out, SPAN_LIT("\n"));
			put_keys(o, keys->sub, base, path, depth + 1);
		} else if (keys->type == CT_GATEWAYS) {
			put_members(o, keys, b, sizeof(struct conf_gateway),
			    path, depth + 1);
		} else if (keys->type == CT_IDENTITIES) {
			put_members(o, keys, b, sizeof(struct conf_identity),
			    path, depth + 1);
		} else if (keys->off == CONF_NOWHERE) {
			buf_adds(o->out, SPAN_LIT("(not shown)\n"));
		} else {
			put_value(o, keys, b + keys->off,
			    keys->type == CT_LIST ? b + keys->noff : b, path);
			buf_adds(o->out, SPAN_LIT("\n"));
		}
	}
}

void
conf_outline(
    struct buf *out, const struct conf *c, conf_outline_fn *fn, void *arg)
{
	const struct outline o = {out, fn, arg};

	put_keys(&o, conf_schema_root(), c, "", 0);
}
