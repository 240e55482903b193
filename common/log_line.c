/* SPDX-License-Identifier: ISC */
/* A line of the log, as logfmt or as JSON. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "log_line.h"
#include "utc.h"

/* Bytes of a short value, NUL included: a gateway's name with escapes. */
#define WORD_MAX (8 * LIMIT_NAME)

/* A line that is being put together.  Everything but msg is bounded far below
 * its end. */
struct put {
	char *out;
	size_t n;
	enum log_form form;
};

static const char *const events[] = {
#define X(name) #name,
#include "log_event.def"
#undef X
};

int
log_line_event(struct span name)
{
	size_t i;

	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (span_eq(name, span_str(events[i])))
			return 1;
	return 0;
}

static void
put(struct put *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
put(struct put *p, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(p->out + p->n, LIMIT_LOG_LINE - p->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		p->n += (size_t)n < LIMIT_LOG_LINE - p->n
		    ? (size_t)n
		    : LIMIT_LOG_LINE - p->n - 1;
}

/* Whether a value of logfmt needs no quotes. */
static int
is_plain(struct span s)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789_-.:/@";
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
			return 0;
	return s.len > 0;
}

static void
key(struct put *p, const char *name, int first)
{
	if (p->form == LOG_FORM_JSON)
		put(p, "%s\"%s\":", first ? "{" : ",", name);
	else
		put(p, "%s%s=", first ? "" : " ", name);
}

static void
number(struct put *p, const char *name, unsigned long long v)
{
	key(p, name, 0);
	put(p, "%llu", v);
}

/* A value that was made visible, in quotation marks; room is left for what
 * ends the line. */
static void
quoted(struct put *p, struct span text, size_t cap)
{
	const size_t end = LIMIT_LOG_LINE - 4;
	const size_t room = p->n < end ? end - p->n : 0;

	put(p, "\"");
	p->n += log_vis_put(p->out + p->n, cap < room ? cap : room, text,
	    VIS_KEEP | (p->form == LOG_FORM_JSON ? VIS_JSON : VIS_QUOTE));
	put(p, "\"");
}

/* A short value; a compromised child says any length. */
static void
word(struct put *p, const char *name, struct span value, int first)
{
	key(p, name, first);
	if (p->form == LOG_FORM_LOGFMT && value.len < WORD_MAX &&
	    is_plain(value))
		put(p, "%.*s", (int)value.len, value.p);
	else
		quoted(p, value, WORD_MAX);
}

static void
stamp(struct put *p)
{
	char text[UTC_TEXT];
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	utc_text(text, (int64_t)ts.tv_sec, (int)(ts.tv_nsec / 1000000));
	word(p, "time", span_str(text), 1);
}

size_t
log_line_put(char out[LIMIT_LOG_LINE], const struct log_line *l,
    enum log_form form, int journal)
{
	struct put p = {out, 0, form};

	if (journal)
		put(&p, "<%d>", l->level & 7);
	stamp(&p);
	word(&p, "level", span_str(log_level_name(l->level)), 0);
	word(&p, "process", span_str(l->name), 0);
	number(&p, "pid", (unsigned)l->pid);
	word(&p, "event", span_str(l->event), 0);
	if (l->subject.len > 0)
		word(&p, "gateway", l->subject, 0);
	if (l->repeated > 0)
		number(&p, "repeated", l->repeated);
	key(&p, "msg", 0);
	quoted(&p, l->text, LIMIT_LOG_LINE);
	put(&p, form == LOG_FORM_JSON ? "}\n" : "\n");
	return p.n;
}
