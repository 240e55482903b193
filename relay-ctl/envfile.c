/* SPDX-License-Identifier: ISC */
/*
 * Reading environment files.  Only what every shell takes for the same is
 * taken; where a reader could be of two minds the line is refused, since a
 * secret that is nearly right is found out late.
 */
#include <string.h>

#include "envfile.h"

static const char no_assignment[] =
    "this is no assignment NAME=VALUE, and nothing is run here";
static const char second_word[] =
    "a second word stands behind the value; a value with blanks needs quotes";
static const char computed[] =
    "a shell would compute this value ($(...), ${...} or backticks), and "
    "nothing is run here; write the value itself, in single quotes";
static const char open_quote[] = "the quote that begins here is never closed";
static const char meta[] =
    "one of ; & | < > ( ) stands outside quotes; put the value in single "
    "quotes";
static const char control[] = "a control character stands in the value";
static const char cut[] = "the file ends in a backslash";

/* A value while it is decoded. */
struct sink {
	char *p;
	size_t n;
};

void
envfile_init(struct envfile *e, char *text, size_t len)
{
	memset(e, 0, sizeof(*e));
	e->p = text;
	e->len = len;
	e->line = 1;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		e->at = 3; /* an editor's mark */
}

static int
wrong(struct envfile *e, unsigned line, const char *why)
{
	e->line = line;
	e->why = why;
	return -1;
}

/* The byte that is n further on, or NUL behind the end. */
static char
peek(const struct envfile *e, size_t n)
{
	return n < e->len - e->at ? e->p[e->at + n] : '\0';
}

static int
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static int
is_name(char c, int first)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
	    (!first && c >= '0' && c <= '9');
}

/* Bytes of the line's end that stands n further on; 0: there is none. */
static size_t
eol(const struct envfile *e, size_t n)
{
	if (peek(e, n) == '\n')
		return 1;
	if (peek(e, n) != '\r')
		return 0;
	if (peek(e, n + 1) == '\n')
		return 2;
	return e->len - e->at == n + 1 ? 1 : 0;
}

static int
at_end(const struct envfile *e)
{
	return e->at == e->len || eol(e, 0) > 0;
}

static void
skip_blanks(struct envfile *e)
{
	while (is_blank(peek(e, 0)))
		e->at++;
}

/* Over the end of a line, if we are there. */
static void
next_line(struct envfile *e)
{
	size_t n = eol(e, 0);

	e->at += n;
	if (n > 0)
		e->line++;
}

static struct span
take_name(struct envfile *e)
{
	struct span name = {e->p + e->at, 0};

	while (is_name(peek(e, 0), name.len == 0)) {
		e->at++;
		name.len++;
	}
	return name;
}

static void
put(struct envfile *e, struct sink *out)
{
	if (e->p[e->at] == '\n')
		e->line++;
	out->p[out->n++] = e->p[e->at++];
}

/*
 * A dollar sign, or a backtick.  A plain $NAME or ${NAME} is taken as it
 * stands and noted: a variable that nobody wants may have one.  What may hold
 * quotes of its own cannot be told from the rest.
 */
static int
expansion(
    struct envfile *e, struct envfile_var *v, struct sink *out, int quoted)
{
	char next = peek(e, 1);
	size_t n = 2;

	if (next == '{') {
		while (is_name(peek(e, n), 0))
			n++;
		if (peek(e, n) != '}')
			next = '(';
	}
	if (peek(e, 0) == '`' || next == '(' ||
	    (!quoted && (next == '\'' || next == '"')))
		return wrong(e, e->line, computed);
	if (v->expands == 0)
		v->expands = e->line;
	put(e, out);
	return 0;
}

/* A backslash; within double quotes it acts on few characters only. */
static int
escape(struct envfile *e, struct sink *out, int quoted)
{
	char next = peek(e, 1);

	if (eol(e, 1) > 0) {
		e->at++;
		next_line(e);
		return 0;
	}
	if (e->at + 1 == e->len)
		return wrong(e, e->line, cut);
	if (next == '\0')
		return wrong(e, e->line, control);
	if (!quoted || strchr("$`\"\\", next) != NULL)
		e->at++;
	put(e, out);
	return 0;
}

static int
single_quoted(struct envfile *e, struct sink *out)
{
	unsigned line = e->line;

	e->at++;
	while (e->at < e->len && peek(e, 0) != '\'') {
		if (peek(e, 0) == '\0')
			return wrong(e, e->line, control);
		put(e, out);
	}
	if (e->at == e->len)
		return wrong(e, line, open_quote);
	e->at++;
	return 0;
}

static int
double_quoted(struct envfile *e, struct envfile_var *v, struct sink *out)
{
	unsigned line = e->line;
	int r = 0;
	char c;

	e->at++;
	while (r == 0 && e->at < e->len && (c = peek(e, 0)) != '"') {
		if (c == '\0')
			r = wrong(e, e->line, control);
		else if (c == '\\')
			r = escape(e, out, 1);
		else if (c == '$' || c == '`')
			r = expansion(e, v, out, 1);
		else
			put(e, out);
	}
	if (r == -1)
		return -1;
	if (e->at == e->len)
		return wrong(e, line, open_quote);
	e->at++;
	return 0;
}

/* One byte outside quotes. */
static int
plain(struct envfile *e, struct envfile_var *v, struct sink *out)
{
	char c = peek(e, 0);

	if ((unsigned char)c < 0x20 || c == 0x7f)
		return wrong(e, e->line, control);
	if (strchr(";&|<>()", c) != NULL)
		return wrong(e, e->line, meta);
	/* A home directory, for shells. */
	if (c == '~' && v->expands == 0 &&
	    (e->p[e->at - 1] == '=' || e->p[e->at - 1] == ':'))
		v->expands = e->line;
	put(e, out);
	return 0;
}

static int
take_value(struct envfile *e, struct envfile_var *v)
{
	struct sink out = {e->p + e->at, 0};
	int r = 0;
	char c;

	while (r == 0 && !at_end(e) && !is_blank(c = peek(e, 0))) {
		if (c == '\'')
			r = single_quoted(e, &out);
		else if (c == '"')
			r = double_quoted(e, v, &out);
		else if (c == '\\')
			r = escape(e, &out, 0);
		else if (c == '$' || c == '`')
			r = expansion(e, v, &out, 0);
		else
			r = plain(e, v, &out);
	}
	if (r == -1)
		return -1;
	v->value = (struct span){out.p, out.n};
	v->last = e->line;
	skip_blanks(e);
	if (!at_end(e) && peek(e, 0) != '#')
		return wrong(e, e->line, second_word);
	return 1;
}

/* What stands on a line.  1; 0: names that are exported without a value. */
static int
assignment(struct envfile *e, struct envfile_var *v)
{
	int exported;

	memset(v, 0, sizeof(*v));
	v->first = e->line;
	v->name = take_name(e);
	exported = span_eq(v->name, SPAN_LIT("export")) && is_blank(peek(e, 0));
	while (exported) {
		skip_blanks(e);
		if (at_end(e) || peek(e, 0) == '#')
			return 0;
		v->name = take_name(e);
		if (!is_blank(peek(e, 0)) && !at_end(e))
			break;
		if (v->name.len == 0)
			break;
	}
	if (v->name.len == 0 || peek(e, 0) != '=')
		return wrong(e, e->line, no_assignment);
	e->at++;
	return take_value(e, v);
}

int
envfile_next(struct envfile *e, struct envfile_var *v)
{
	int r;

	while (e->why == NULL && e->at < e->len) {
		skip_blanks(e);
		if (peek(e, 0) == '#')
			while (!at_end(e))
				e->at++;
		if (e->at == e->len)
			break;
		if (eol(e, 0) > 0)
			next_line(e);
		else if ((r = assignment(e, v)) != 0)
			return r;
	}
	return e->why == NULL ? 0 : -1;
}
