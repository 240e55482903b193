/* SPDX-License-Identifier: ISC */
/* Text for people: widths, ages, colours, tables. */
#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "log.h"
#include "out.h"
#include "utf8.h"

struct table_cell {
	char *text;
	enum tint tint;
	int note; /* a line of its own */
};

static const char *const tint_code[] = {
    [TINT_NONE] = "",
    [TINT_GOOD] = "\033[32m",
    [TINT_WARN] = "\033[33m",
    [TINT_BAD] = "\033[31m",
    [TINT_DIM] = "\033[2m",
};
#define TINT_END "\033[0m"

void
out_init(struct out *o)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	/* Widths need a locale that knows characters.  What we print is UTF-8
	 * whatever the environment says: it is relayd's, not its. */
	setlocale(LC_CTYPE, "C.UTF-8");
	o->colour = isatty(STDOUT_FILENO) && (no == NULL || no[0] == '\0') &&
	    (term == NULL || strcmp(term, "dumb") != 0);
}

char *
out_safe(struct span text)
{
	size_t cap = text.len * 4 + 1, i, n = 0;
	char *s;

	if ((s = malloc(cap)) == NULL)
		return NULL;
	log_vis(s, cap, text);
	/* A backslash does nothing to a terminal, and what was made visible
	 * once already stays readable: take the doubling back. */
	for (i = 0; s[i] != '\0'; i++) {
		if (s[i] == '\\' && s[i + 1] == '\\')
			i++;
		s[n++] = s[i];
	}
	s[n] = '\0';
	return s;
}

/* The code point of a valid sequence of n bytes. */
static wchar_t
code_point(const char *p, unsigned n)
{
	static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	wchar_t c = (unsigned char)p[0] & lead[n];
	unsigned i;

	for (i = 1; i < n; i++)
		c = (wchar_t)(c << 6 | ((unsigned char)p[i] & 0x3f));
	return c;
}

size_t
out_width(const char *text)
{
	size_t len = strlen(text), i = 0, width = 0;
	unsigned n;
	int w;

	while (i < len) {
		n = utf8_seq(text + i, len - i);
		w = n == 0 ? 1 : wcwidth(code_point(text + i, n));
		width += w < 0 ? 1 : (size_t)w;
		i += n == 0 ? 1 : n;
	}
	return width;
}

size_t
out_cut(const char *line, size_t columns)
{
	size_t len = strcspn(line, "\n"), i = 0, width = 0, w;
	char one[8];
	unsigned n;

	while (i < len) {
		if (line[i] == '\033') { /* a colour of ours, no width */
			i += strcspn(line + i, "m\n");
			i += line[i] == 'm';
			continue;
		}
		n = utf8_seq(line + i, len - i);
		if (n == 0)
			n = 1;
		memcpy(one, line + i, n);
		one[n] = '\0';
		w = out_width(one);
		if (width + w > columns)
			break;
		width += w;
		i += n;
	}
	return i;
}

const char *
out_age(char buf[OUT_AGE], int64_t s)
{
	if (s < 0)
		strlcpy(buf, "never", OUT_AGE);
	else if (s < 60)
		snprintf(buf, OUT_AGE, "%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(
		    buf, OUT_AGE, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, OUT_AGE, "%" PRId64 "h%02" PRId64 "m", s / 3600,
		    s / 60 % 60);
	else
		snprintf(buf, OUT_AGE, "%" PRId64 "d%02" PRId64 "h", s / 86400,
		    s / 3600 % 24);
	return buf;
}

const char *
out_delay(char buf[OUT_AGE], double s)
{
	if (s < 0)
		s = 0;
	if (s < 0.9995)
		snprintf(buf, OUT_AGE, "%.0f ms", s * 1000);
	else if (s < 59.95)
		snprintf(buf, OUT_AGE, "%.1f s", s);
	else
		out_age(buf, s > 1e12 ? INT64_MAX : (int64_t)(s + 0.5));
	return buf;
}

const char *
out_size(char buf[OUT_AGE], int64_t bytes)
{
	if (bytes < 10240)
		snprintf(buf, OUT_AGE, "%" PRId64 " B", bytes);
	else if (bytes < (int64_t)10240 * 1024)
		snprintf(buf, OUT_AGE, "%" PRId64 " KiB", bytes / 1024);
	else
		snprintf(
		    buf, OUT_AGE, "%" PRId64 " MiB", bytes / (1024 * 1024));
	return buf;
}

static const char *
put_time(char buf[OUT_TIME], double at, int with_ms)
{
	time_t t = at >= 0 && at < 2e11 ? (time_t)at : -1;
	struct tm tm;
	size_t n;
	int ms;

	if (t == -1 || localtime_r(&t, &tm) == NULL) {
		strlcpy(buf, "?", OUT_TIME);
		return buf;
	}
	n = strftime(buf, OUT_TIME, "%Y-%m-%d %H:%M:%S", &tm);
	/* Milliseconds came in decimal: the nearest are meant. */
	ms = (int)((at - (double)t) * 1000 + 0.5);
	if (with_ms)
		n += (size_t)snprintf(
		    buf + n, OUT_TIME - n, ".%03d", ms > 999 ? 999 : ms);
	strftime(buf + n, OUT_TIME - n, " %z", &tm);
	return buf;
}

const char *
out_time(char buf[OUT_TIME], double at)
{
	return put_time(buf, at, 1);
}

const char *
out_second(char buf[OUT_TIME], double at)
{
	return put_time(buf, at, 0);
}

const char *
out_ordinal(char buf[OUT_AGE], int64_t n)
{
	static const char *const ending[] = {"th", "st", "nd", "rd"};
	int64_t last = n % 10, teen = n / 10 % 10;

	snprintf(buf, OUT_AGE, "%" PRId64 "%s", n,
	    teen == 1 || last < 0 || last > 3 ? "th" : ending[last]);
	return buf;
}

void
table_init(struct table *t, const struct out *o, const char *const *head,
    size_t ncol, uint32_t right)
{
	memset(t, 0, sizeof(*t));
	t->out = o;
	t->head = head;
	t->ncol = ncol;
	t->right = right;
}

/* Takes the text over. */
static void
add(struct table *t, enum tint tint, char *text, int note)
{
	struct table_cell *cell;
	size_t cap;

	if (text != NULL && t->n == t->cap) {
		cap = t->cap == 0 ? 64 : 2 * t->cap;
		cell = reallocarray(t->cell, cap, sizeof(*cell));
		if (cell == NULL) {
			free(text);
			text = NULL;
		} else {
			t->cell = cell;
			t->cap = cap;
		}
	}
	if (text == NULL) {
		t->failed = 1;
		return;
	}
	t->cell[t->n++] = (struct table_cell){text, tint, note};
}

void
table_text(struct table *t, enum tint tint, struct span text)
{
	add(t, tint, out_safe(text.len == 0 ? SPAN_LIT("-") : text), 0);
}

static void add_fmt(struct table *t, enum tint tint, int note, const char *fmt,
    va_list ap) __attribute__((format(printf, 4, 0)));

static void
add_fmt(struct table *t, enum tint tint, int note, const char *fmt, va_list ap)
{
	char *text;

	if (vasprintf(&text, fmt, ap) == -1) {
		t->failed = 1;
		return;
	}
	add(t, tint, out_safe(span_str(text)), note);
	free(text);
}

void
table_fmt(struct table *t, enum tint tint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_fmt(t, tint, 0, fmt, ap);
	va_end(ap);
}

void
table_note(struct table *t, enum tint tint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_fmt(t, tint, 1, fmt, ap);
	va_end(ap);
}

static void
pad(FILE *f, size_t n)
{
	while (n-- > 0)
		putc(' ', f);
}

/* One cell; the last column is not padded on its right. */
static void
put_cell(const struct table *t, FILE *f, const char *text, enum tint tint,
    size_t col, const size_t *width)
{
	size_t room = width[col] - out_width(text);
	int right = (t->right >> col & 1) != 0;
	const char *code = t->out->colour ? tint_code[tint] : "";

	if (right)
		pad(f, room);
	fprintf(f, "%s%s%s", code, text, code[0] == '\0' ? "" : TINT_END);
	if (col + 1 == t->ncol)
		putc('\n', f);
	else
		pad(f, (right ? 0 : room) + 2);
}

static void
put_note(const struct table *t, FILE *f, const struct table_cell *c,
    const size_t *width)
{
	const char *code = t->out->colour ? tint_code[c->tint] : "";

	pad(f, width[0] + 2);
	fprintf(f, "%s%s%s\n", code, c->text, code[0] == '\0' ? "" : TINT_END);
}

#define COLUMNS_MAX 16 /* more would fit on no terminal */

static void
measure(const struct table *t, size_t width[COLUMNS_MAX])
{
	size_t i, w, col = 0;

	for (i = 0; i < t->ncol; i++)
		width[i] = out_width(t->head[i]);
	for (i = 0; i < t->n; i++) {
		if (t->cell[i].note)
			continue;
		if ((w = out_width(t->cell[i].text)) > width[col])
			width[col] = w;
		col = (col + 1) % t->ncol;
	}
}

void
table_print(struct table *t, FILE *f)
{
	size_t width[COLUMNS_MAX] = {0}, i, col = 0;

	if (!t->failed && t->ncol > 0 && t->ncol <= COLUMNS_MAX && f != NULL) {
		measure(t, width);
		for (i = 0; i < t->ncol; i++)
			put_cell(t, f, t->head[i], TINT_DIM, i, width);
		for (i = 0; i < t->n; i++) {
			if (t->cell[i].note)
				put_note(t, f, &t->cell[i], width);
			else {
				put_cell(t, f, t->cell[i].text, t->cell[i].tint,
				    col, width);
				col = (col + 1) % t->ncol;
			}
		}
	}
	for (i = 0; i < t->n; i++)
		free(t->cell[i].text);
	free(t->cell);
	t->cell = NULL;
	t->n = t->cap = 0;
}
