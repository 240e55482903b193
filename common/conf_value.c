/* SPDX-License-Identifier: ISC */
/*
 * Configuration: single values, from text to their place in a struct.  The
 * same for the file, the environment and the defaults.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"
#include "utf8.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first, so that a value is shown in the largest that divides it. */
static const struct unit durations[] = {
    {"h", 3600000},
    {"m", 60000},
    {"s", 1000},
    {"ms", 1},
    {NULL, 0},
};
static const struct unit sizes[] = {
    {"GiB", 1024ULL * 1024 * 1024},
    {"MiB", 1024ULL * 1024},
    {"KiB", 1024},
    {"", 1},
    {NULL, 0},
};
static const struct conf_word bool_words[] = {
    {"true", 1, 0},
    {"false", 0, 0},
    {"yes", 1, 0},
    {"no", 0, 0},
    {"on", 1, 0},
    {"off", 0, 0},
    {NULL, 0, 0},
};

static int __attribute__((format(printf, 2, 3)))
wrong(struct conf_error *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return -1;
}

static void *
target(const struct conf_key *k, void *base)
{
	return (char *)base + k->off;
}

/* A value with the largest unit that divides it. */
static void
show_unit(const struct unit *u, uint64_t v, char *out, size_t cap)
{
	while (u->factor > 1 && v % u->factor != 0)
		u++;
	snprintf(out, cap, "%" PRIu64 "%s", v / u->factor, u->name);
}

static void
list_words(const struct conf_word *w, char *out, size_t cap)
{
	for (out[0] = '\0'; w->name != NULL; w++) {
		strlcat(out, w->name, cap);
		if (w[1].name != NULL)
			strlcat(out, ", ", cap);
	}
}

void
conf_value_type(const struct conf_key *k, char *out, size_t cap)
{
	static const char *const names[CT_TYPES] = {
	    [CT_STRING] = "string",
	    [CT_BOOL] = "true or false",
	    [CT_TRI] = "true or false",
	    [CT_UINT] = "whole number",
	    [CT_MS] = "duration",
	    [CT_SEC] = "duration",
	    [CT_SIZE] = "size",
	    [CT_WORD] = "one of",
	    [CT_LIST] = "list",
	    [CT_OBJECT] = "mapping",
	    [CT_GATEWAYS] = "mapping",
	    [CT_IDENTITIES] = "list of mappings",
	    [CT_MANIFEST] = "list of mappings",
	};
	const struct unit *u = k->type == CT_SIZE ? sizes : durations;
	char lo[32], hi[32], words[128];

	strlcpy(out, names[k->type], cap);
	if (k->type == CT_WORD) {
		list_words(k->words, words, sizeof(words));
		snprintf(out, cap, "one of %s", words);
	} else if (k->type == CT_UINT) {
		snprintf(out, cap, "whole number from %" PRIu64 " to %" PRIu64,
		    k->min, k->max);
	} else if (k->type == CT_MS || k->type == CT_SEC ||
	    k->type == CT_SIZE) {
		show_unit(u, k->min, lo, sizeof(lo));
		show_unit(u, k->max, hi, sizeof(hi));
		snprintf(out, cap, "%s from %s to %s", names[k->type], lo, hi);
	}
}

/* Digits to a number, at most UINT64_MAX / 10.  The rest of the text, or
 * NULL when there is no number (or one with a leading zero). */
static const char *
digits(const char *s, uint64_t *v)
{
	const char *p = s;

	for (*v = 0; *p >= '0' && *p <= '9'; p++) {
		if (*v < UINT64_MAX / 100)
			*v = *v * 10 + (uint64_t)(*p - '0');
		else
			*v = UINT64_MAX / 10;
	}
	return p == s || (*s == '0' && p > s + 1) ? NULL : p;
}

/* Number with unit; 0, or -1 when there is no such number or unit. */
static int
with_unit(const struct unit *u, const char *text, uint64_t *v)
{
	const char *rest = digits(text, v);

	if (rest == NULL)
		return -1;
	while (*rest == ' ')
		rest++;
	for (; u->name != NULL; u++) {
		if (strcmp(u->name, rest) != 0)
			continue;
		*v = *v > UINT64_MAX / u->factor ? UINT64_MAX : *v * u->factor;
		return 0;
	}
	return -1;
}

static int
set_uint(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	uint64_t v;
	const char *rest = digits(text, &v);
	uint32_t *to = target(k, base);
	char type[64];

	if (rest == NULL || *rest != '\0' || v < k->min || v > k->max) {
		conf_value_type(k, type, sizeof(type));
		return wrong(why, "expected a %s", type);
	}
	*to = (uint32_t)v;
	return 0;
}

/* A number with its unit, within the key's range; units: their names. */
static int
quantity(const struct conf_key *k, const struct unit *u, const char *units,
    const char *text, uint64_t *v, struct conf_error *why)
{
	char type[64];

	conf_value_type(k, type, sizeof(type));
	if (with_unit(u, text, v) == -1)
		return wrong(why,
		    "expected a %s: a whole number and %s, such as %s", type,
		    units, k->def);
	if (*v < k->min || *v > k->max)
		return wrong(why, "out of range; expected a %s", type);
	return 0;
}

static int
set_duration(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	uint64_t v;
	uint32_t *to = target(k, base);

	if (quantity(k, durations, "its unit (ms, s, m, h)", text, &v, why) ==
	    -1)
		return -1;
	if (k->type == CT_SEC && v % 1000 != 0)
		return wrong(why, "expected whole seconds, such as %s", k->def);
	*to = (uint32_t)(k->type == CT_SEC ? v / 1000 : v);
	return 0;
}

static int
set_size(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	uint64_t v;
	uint64_t *to = target(k, base);

	if (quantity(k, sizes, "KiB, MiB or GiB", text, &v, why) == -1)
		return -1;
	*to = v;
	return 0;
}

static const struct conf_word *
find_word(const struct conf_word *w, const char *text)
{
	for (; w->name != NULL; w++)
		if (strcasecmp(w->name, text) == 0)
			return w;
	return NULL;
}

static int
set_word(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	const struct conf_word *words =
	    k->type == CT_WORD ? k->words : bool_words;
	const struct conf_word *w = find_word(words, text);
	const char *near;
	char all[128];
	int v;

	if (w == NULL) {
		near = conf_hint_word(words, text);
		list_words(words, all, sizeof(all));
		return wrong(why, "expected one of %s%s%s%s", all,
		    near == NULL ? "" : "; did you mean ",
		    near == NULL ? "" : near, near == NULL ? "" : "?");
	}
	v = w->value;
	if (k->type == CT_TRI)
		v = v ? CONF_YES : CONF_NO;
	/* The target is an int or an enum, which are of one size here. */
	_Static_assert(sizeof(enum conf_tri) == sizeof(int), "enum");
	memcpy(target(k, base), &v, sizeof(v));
	return 0;
}

/* Whether there are control characters (C0, DEL, C1) in valid UTF-8. */
static int
has_control(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	for (; *p != '\0'; p++)
		if (*p < 0x20 || *p == 0x7f ||
		    (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f))
			return 1;
	return 0;
}

/* A checked copy of a string, or NULL with what is wrong. */
static char *
string(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	size_t len = strlen(text);
	const char *bad = NULL;
	char *s;

	if (len == 0 && !(k->flags & CF_EMPTY))
		bad = "is empty; give a value or remove the key";
	else if (utf8_valid_prefix(text, len) != len)
		bad = "is not valid UTF-8; write it in UTF-8";
	else if (has_control(text))
		bad = "contains a control character; remove it";
	if (bad != NULL) {
		wrong(why, "%s", bad);
		return NULL;
	}
	if (len > k->max) {
		wrong(why, "is %zu bytes long; at most %" PRIu64 " are taken",
		    len, k->max);
		return NULL;
	}
	if ((s = strdup(text)) == NULL) {
		wrong(why, "not enough memory");
		return NULL;
	}
	if (k->check != NULL && (bad = k->check(s, base)) != NULL) {
		wrong(why, "%s%s", bad,
		    k->check == conf_form_url
			? "; write it such as https://connector.example.com"
			: "");
		free(s);
		return NULL;
	}
	return s;
}

static int
set_string(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	char **to, *s;

	if ((s = string(k, base, text, why)) == NULL)
		return -1;
	if (k->off == CONF_NOWHERE) {
		free(s);
		return 0;
	}
	to = target(k, base);
	free(*to);
	*to = s;
	return 0;
}

int
conf_value_add(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	char ***list = target(k, base);
	size_t *n = (void *)((char *)base + k->noff);
	char **grown, *s;

	if (*n == CONF_LIST)
		return wrong(
		    why, "more than %d elements; shorten the list", CONF_LIST);
	if ((s = string(k, base, text, why)) == NULL)
		return -1;
	if ((grown = reallocarray(*list, *n + 1, sizeof(**list))) == NULL) {
		free(s);
		return wrong(why, "not enough memory");
	}
	*list = grown;
	grown[(*n)++] = s;
	return 0;
}

/* "a, b": elements between commas, blanks around them not counted. */
static int
set_list(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	char *copy, *rest, *item;
	int r = 0;

	if ((copy = rest = strdup(text)) == NULL)
		return wrong(why, "not enough memory");
	conf_value_clear(k, base);
	while (r == 0 && (item = strsep(&rest, ",")) != NULL) {
		size_t len;

		item += strspn(item, " \t");
		len = strlen(item);
		while (
		    len > 0 && (item[len - 1] == ' ' || item[len - 1] == '\t'))
			item[--len] = '\0';
		if (len > 0)
			r = conf_value_add(k, base, item, why);
	}
	free(copy);
	return r;
}

int
conf_value_set(const struct conf_key *k, void *base, const char *text,
    struct conf_error *why)
{
	static int (*const set[CT_TYPES])(const struct conf_key *, void *,
	    const char *, struct conf_error *) = {
	    [CT_STRING] = set_string,
	    [CT_BOOL] = set_word,
	    [CT_TRI] = set_word,
	    [CT_UINT] = set_uint,
	    [CT_MS] = set_duration,
	    [CT_SEC] = set_duration,
	    [CT_SIZE] = set_size,
	    [CT_WORD] = set_word,
	    [CT_LIST] = set_list,
	};

	if (set[k->type] == NULL)
		return wrong(why, "expected a %s", "mapping or list");
	return set[k->type](k, base, text, why);
}

void
conf_value_clear(const struct conf_key *k, void *base)
{
	char **s, ***list;
	size_t *n;

	if (k->off == CONF_NOWHERE)
		return;
	if (k->type == CT_STRING || k->type == CT_MANIFEST) {
		s = target(k, base);
		free(*s);
		*s = NULL;
	} else if (k->type == CT_LIST) {
		list = target(k, base);
		n = (void *)((char *)base + k->noff);
		for (size_t i = 0; i < *n; i++)
			free((*list)[i]);
		free(*list);
		*list = NULL;
		*n = 0;
	}
}

/* The first word is the one that is shown. */
static const char *
name_of(const struct conf_word *w, int value)
{
	while (w->name != NULL && w->value != value)
		w++;
	return w->name;
}

int
conf_value_text(
    const struct conf_key *k, const void *base, char *out, size_t cap)
{
	const char *at = (const char *)base + k->off, *name;
	int v;

	if (k->type == CT_SIZE) {
		show_unit(sizes, *(const uint64_t *)(const void *)at, out, cap);
		return 1;
	}
	if (k->type == CT_MS || k->type == CT_SEC) {
		show_unit(durations,
		    (uint64_t) * (const uint32_t *)(const void *)at *
			(k->type == CT_SEC ? 1000 : 1),
		    out, cap);
		return 1;
	}
	memcpy(&v, at, sizeof(v));
	if (k->type == CT_UINT) {
		(void)snprintf(out, cap, "%u", (unsigned)v);
		return 1;
	}
	if (k->type == CT_TRI && v == CONF_UNSET)
		return 0;
	if (k->type == CT_TRI)
		v = v == CONF_YES;
	name = name_of(k->type == CT_WORD ? k->words : bool_words, v);
	strlcpy(out, name == NULL ? "" : name, cap);
	return name != NULL;
}
