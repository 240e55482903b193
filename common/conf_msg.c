/* SPDX-License-Identifier: ISC */
/* Configuration: messages with the place, the key's path and what to do. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"

void
conf_show(char *out, size_t cap, const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t i, o = 0;

	for (i = 0; i < len && o + 8 < cap; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x20 && c < 0x7f) {
			out[o++] = (char)c;
			continue;
		}
		out[o++] = '\\';
		out[o++] = 'x';
		out[o++] = hex[c >> 4];
		out[o++] = hex[c & 15];
	}
	out[o] = '\0';
	if (i < len)
		strlcat(out, "...", cap);
}

size_t
conf_path_key(struct conf_ctx *x, const char *key, size_t len)
{
	size_t old = strlen(x->path);
	char shown[CONF_SHOWN];

	conf_show(shown, sizeof(shown), key, len);
	if (old > 0)
		strlcat(x->path, ".", sizeof(x->path));
	strlcat(x->path, shown, sizeof(x->path));
	return old;
}

size_t
conf_path_index(struct conf_ctx *x, unsigned i)
{
	size_t old = strlen(x->path);

	snprintf(x->path + old, sizeof(x->path) - old, "[%u]", i);
	return old;
}

void
conf_path_cut(struct conf_ctx *x, size_t len)
{
	x->path[len] = '\0';
}

/* "FILE:LINE:COLUMN: path: what". */
static void
compose(struct conf_error *e, const char *name, unsigned line, unsigned column,
    const char *path, const char *fmt, va_list ap)
{
	char shown[256], place[32] = "";
	size_t n;

	conf_show(shown, sizeof(shown), name, strlen(name));
	if (line > 0)
		snprintf(place, sizeof(place), ":%u:%u", line, column);
	snprintf(e->text, sizeof(e->text), "%s%s: %s%s", shown, place, path,
	    path[0] == '\0' ? "" : ": ");
	n = strlen(e->text);
	vsnprintf(e->text + n, sizeof(e->text) - n, fmt, ap);
}

int
conf_error_set(struct conf_error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}

int
conf_fail(struct conf_ctx *x, const struct conf_node *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	compose(x->e, x->name, at == NULL ? 0 : at->line,
	    at == NULL ? 0 : at->column, x->path, fmt, ap);
	va_end(ap);
	return -1;
}

int
conf_fail_at(
    struct conf_ctx *x, unsigned line, unsigned column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	compose(x->e, x->name, line, column, x->path, fmt, ap);
	va_end(ap);
	return -1;
}

int
conf_fail_env(struct conf_ctx *x, const char *var, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	compose(x->e, "environment", 0, 0, var, fmt, ap);
	va_end(ap);
	return -1;
}

int
conf_fail_memory(struct conf_ctx *x)
{
	x->e->passing = 1;
	return conf_fail(x, NULL, "not enough memory to load it");
}

int
conf_error_passes(int error)
{
	static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EAGAIN,
	    EINTR, EIO, ESTALE, ETIMEDOUT};
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i] == error)
			return 1;
	return 0;
}

void
conf_warning(
    struct conf_ctx *x, const struct conf_node *at, const char *fmt, ...)
{
	struct conf_error e = {.text = ""};
	va_list ap;

	if (x->warn == NULL)
		return;
	va_start(ap, fmt);
	compose(&e, x->name, at == NULL ? 0 : at->line,
	    at == NULL ? 0 : at->column, x->path, fmt, ap);
	va_end(ap);
	x->warn(x->arg, e.text);
}

void
conf_warning_env(struct conf_ctx *x, const char *var, const char *fmt, ...)
{
	struct conf_error e;
	va_list ap;

	if (x->warn == NULL)
		return;
	va_start(ap, fmt);
	compose(&e, "environment", 0, 0, var, fmt, ap);
	va_end(ap);
	x->warn(x->arg, e.text);
}

void
conf_warn_unused(struct conf_ctx *x, const void *id, const struct conf_node *at,
    const char *var)
{
	static const char text[] =
	    "is accepted but has no effect in this version";
	size_t i;

	for (i = 0; i < x->ntold; i++)
		if (x->told[i] == id)
			return;
	if (x->ntold < CONF_KEYS)
		x->told[x->ntold++] = id;
	if (var != NULL)
		conf_warning_env(x, var, "%s", text);
	else
		conf_warning(x, at, "%s", text);
}
