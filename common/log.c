/* SPDX-License-Identifier: ISC */
/* Logging: one line per event, foreign text made visible. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "limit.h"
#include "log.h"
#include "role.h"
#include "utc.h"
#include "utf8.h"

#define EVENT_MAX 32 /* longest event name taken from a child */
/* What was left out of a child's log is said at most so often. */
#define SUPPRESSED_MS 1000

/* What log_init was told.  One per process by nature: it describes standard
 * error and the process that writes there. */
static struct {
	enum log_mode mode;
	const char *name;
	int level;
	unsigned lost; /* lines since standard error took one */
} self = {LOG_TO_PEOPLE, "relayd", LOG_INFO, 0};

void
log_init(enum log_mode mode, const char *name, int level)
{
	self.mode = mode;
	self.name = name;
	self.level = level;
}

void
log_level(int level)
{
	self.level = level;
}

int
log_on(int level)
{
	return level <= self.level;
}

/* Making text visible. */

enum vis_flag {
	VIS_QUOTE = 0x01, /* the quotation mark, too */
	VIS_KEEP = 0x02	  /* it was made visible before: keep its escapes */
};

static int
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Length of the escape, as log_vis writes it, at the beginning of s; or 0. */
static size_t
escape_len(struct span s)
{
	if (s.len >= 2 && s.p[0] == '\\' && s.p[1] == '\\')
		return 2;
	if (s.len >= 4 && s.p[0] == '\\' && s.p[1] == 'x' && is_hex(s.p[2]) &&
	    is_hex(s.p[3]))
		return 4;
	return 0;
}

/*
 * Whether the sequence of n bytes at p does something to a terminal or to the
 * order of what it shows, rather than show something: the C0 and C1 controls,
 * line separators, bidirectional marks and overrides, the byte order mark.
 */
static int
is_control(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	if (n == 1)
		return u[0] < 0x20 || u[0] == 0x7f;
	if (n == 2)
		return (u[0] == 0xc2 && u[1] < 0xa0) ||
		    (u[0] == 0xd8 && u[1] == 0x9c);
	if (n == 4) /* tags: letters that nobody sees */
		return u[0] == 0xf3 && u[1] == 0xa0 && u[2] <= 0x81;
	if (n == 3 && u[0] == 0xe2 && u[1] == 0x80)
		return (u[2] >= 0x8b && u[2] <= 0x8f) ||
		    (u[2] >= 0xa8 && u[2] <= 0xae);
	if (n == 3 && u[0] == 0xe2 && u[1] == 0x81)
		return u[2] >= 0xa0 && u[2] <= 0xaf;
	return n == 3 && u[0] == 0xef && u[1] == 0xbb && u[2] == 0xbf;
}

/* Make what begins s visible in unit[16]; *n gets the bytes that are done
 * with.  Returns the length written. */
static size_t
vis_unit(char *unit, struct span s, unsigned flags, size_t *n)
{
	static const char hex[] = "0123456789abcdef";
	size_t i, len, escape;

	escape = (flags & VIS_KEEP) != 0 ? escape_len(s) : 0;
	*n = len = escape > 0 ? escape : utf8_seq(s.p, s.len);
	if (escape == 0 &&
	    (s.p[0] == '\\' || ((flags & VIS_QUOTE) != 0 && s.p[0] == '"'))) {
		unit[0] = '\\';
		unit[1] = s.p[0];
		return 2;
	}
	if (len > 0 && !is_control(s.p, len)) {
		memcpy(unit, s.p, len);
		return len;
	}
	if (len == 0)
		*n = len = 1;
	for (i = 0; i < len; i++) {
		unit[4 * i] = '\\';
		unit[4 * i + 1] = 'x';
		unit[4 * i + 2] = hex[(unsigned char)s.p[i] >> 4];
		unit[4 * i + 3] = hex[(unsigned char)s.p[i] & 15];
	}
	return 4 * len;
}

/* Never splits an escape or a character; text that is cut ends in "...". */
static size_t
vis(char *out, size_t cap, struct span s, unsigned flags)
{
	char unit[16];
	size_t o = 0, mark = 0, n, len;

	if (cap == 0)
		return 0;
	while (s.len > 0) {
		len = vis_unit(unit, s, flags, &n);
		if (o + len > cap - 1) {
			if (cap > 3) {
				memcpy(out + mark, "...", 3);
				o = mark + 3;
			}
			break;
		}
		memcpy(out + o, unit, len);
		o += len;
		if (o + 3 <= cap - 1)
			mark = o;
		s.p += n;
		s.len -= n;
	}
	out[o] = '\0';
	return o;
}

char *
log_vis(char *out, size_t cap, struct span text)
{
	vis(out, cap, text, 0);
	return out;
}

/* Lines. */

/* An event as it is printed; subject and text are as log_vis makes them. */
struct line {
	const char *name;
	int pid;
	int level;
	const char *event;
	struct span subject; /* empty: none */
	struct span text;
};

static void
write_all(const char *p, size_t len)
{
	ssize_t n;

	/* One write for a line; a second one only for what it left. */
	while (len > 0) {
		n = write(FD_LOG, p, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static size_t
stamp(char out[UTC_TEXT])
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return strlen(
	    utc_text(out, (int64_t)ts.tv_sec, (int)(ts.tv_nsec / 1000000)));
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
put(const struct line *l)
{
	static const char *const level[] = {"error", "error", "error", "error",
	    "warn", "notice", "info", "debug"};
	char out[LIMIT_LOG_LINE], subject[2 * LIMIT_NAME + 1];
	const size_t cap = sizeof(out) - 2; /* the closing quote, newline */
	size_t n;

	n = stamp(out);
	n += (size_t)snprintf(out + n, cap - n, " %s %.32s[%d] event=%.*s",
	    level[l->level & 7], l->name, l->pid, EVENT_MAX, l->event);
	if (l->subject.len > 0) {
		vis(subject, sizeof(subject), l->subject, VIS_QUOTE | VIS_KEEP);
		n += (size_t)snprintf(out + n, cap - n,
		    is_plain(l->subject) ? " gateway=%s" : " gateway=\"%s\"",
		    subject);
	}
	n += (size_t)snprintf(out + n, cap - n, " msg=\"");
	n += vis(out + n, cap - n, l->text, VIS_QUOTE | VIS_KEEP);
	out[n++] = '"';
	out[n++] = '\n';
	write_all(out, n);
}

/* Whether standard error takes a line now: a pipe with any room takes one
 * whole.  Who has stopped reading is waited for once. */
static int
writable(void)
{
	struct pollfd p = {.fd = FD_LOG, .events = POLLOUT};
	int n;

	do
		n = poll(&p, 1, self.lost > 0 ? 0 : LOG_READER_MS);
	while (n == -1 && errno == EINTR);
	return n == 1;
}

static void
print(const struct line *l)
{
	struct line gap = {self.name, (int)getpid(), LOG_WARNING, "log_lost",
	    {"", 0}, {"", 0}};
	char text[64];

	if (self.lost > 0 && writable()) {
		snprintf(text, sizeof(text),
		    "%u lines are lost here: nobody read them", self.lost);
		gap.text = span_str(text);
		self.lost = 0;
		put(&gap);
	}
	if (writable())
		put(l);
	else
		self.lost++;
}

/* A child's line, for its supervisor. */
static void
tell(int level, const char *event, const char *subject, struct span text)
{
	char out[LIMIT_LOG_LINE], shown[LIMIT_NAME + 1];
	int n;

	log_vis(shown, sizeof(shown), span_str(subject));
	n = snprintf(out, sizeof(out), "%d\t%.*s\t%s\t", level & 7, EVENT_MAX,
	    event, subject == NULL ? "" : shown);
	if (text.len > sizeof(out) - 1 - (size_t)n)
		text.len = sizeof(out) - 1 - (size_t)n;
	memcpy(out + n, text.p, text.len);
	n += (int)text.len;
	out[n++] = '\n';
	write_all(out, (size_t)n);
}

void
log_say(int level, const char *event, const char *subject, const char *fmt, ...)
{
	char raw[LIMIT_LOG_LINE], text[LIMIT_LOG_LINE - 128];
	struct span shown = {text, 0};
	struct line l;
	va_list ap;
	int saved = errno;

	if (!log_on(level))
		return;
	va_start(ap, fmt);
	if (vsnprintf(raw, sizeof(raw), fmt, ap) < 0)
		raw[0] = '\0';
	va_end(ap);
	shown.len = vis(text, sizeof(text), span_str(raw), 0);
	if (self.mode == LOG_TO_PARENT)
		tell(level, event, subject, shown);
	else {
		l = (struct line){self.name, (int)getpid(), level, event,
		    span_str(subject), shown};
		print(&l);
	}
	errno = saved;
}

void
log_die(void (*end)(void), const char *event, const char *fmt, ...)
{
	char why[LIMIT_REASON];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	log_err(event, NULL, "%s", why);
	if (end != NULL)
		end();
	_exit(1);
}

/* The supervisor's side. */

/* Cut what comes before the first tab off *s. */
static int
cut_field(struct span *s, struct span *field)
{
	const char *tab = s->len == 0 ? NULL : memchr(s->p, '\t', s->len);

	if (tab == NULL)
		return -1;
	*field = (struct span){s->p, (size_t)(tab - s->p)};
	s->len -= field->len + 1;
	s->p = tab + 1;
	return 0;
}

static int
is_event(struct span s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.p[i] != '_' && (s.p[i] < 'a' || s.p[i] > 'z'))
			return 0;
	return s.len > 0 && s.len <= EVENT_MAX;
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Whether a line may be printed; else it is counted. */
static int
within_rate(struct log_collector *c)
{
	uint64_t now;

	if (c->rate.per_s == 0)
		return 1;
	now = now_ms();
	if (!rate_take(&c->rate, now)) {
		if (c->left_out == 0)
			c->said_ms = now;
		if (c->left_out < UINT32_MAX)
			c->left_out++;
		return 0;
	}
	if (c->left_out > 0 && now - c->said_ms >= SUPPRESSED_MS)
		log_collect_flush(c);
	return 1;
}

static void
print_child(struct log_collector *c, struct span s)
{
	char event[EVENT_MAX + 1] = "stderr", shown[LIMIT_LOG_LINE];
	struct span rest = s, level, name;
	struct line l = {c->name, c->pid, LOG_WARNING, event, {"", 0}, {"", 0}};

	if (s.len == 0 || !within_rate(c))
		return;
	if (c->subject == NULL && cut_field(&rest, &level) == 0 &&
	    level.len == 1 && level.p[0] >= '0' && level.p[0] <= '7' &&
	    cut_field(&rest, &name) == 0 && is_event(name) &&
	    cut_field(&rest, &l.subject) == 0) {
		l.level = level.p[0] - '0';
		memcpy(event, name.p, name.len);
		event[name.len] = '\0';
		l.text = rest;
	} else {
		l.subject = span_str(c->subject == NULL ? "" : c->subject);
		l.text.p = shown;
		l.text.len = vis(shown, sizeof(shown), s, 0);
	}
	print(&l);
}

/* Print the line held, and with it its beginning's last part. */
static void
end_line(struct log_collector *c)
{
	if (!c->cut)
		print_child(c, buf_span(&c->line));
	buf_reset(&c->line);
	c->cut = 0;
}

void
log_collect(struct log_collector *c, const char *p, size_t len)
{
	const char *nl;
	size_t n, room;

	for (; len > 0; p += n, len -= n) {
		nl = memchr(p, '\n', len);
		n = nl == NULL ? len : (size_t)(nl - p);
		room = LIMIT_LOG_LINE - buf_len(&c->line);
		if (!c->cut && buf_add(&c->line, p, n < room ? n : room) == -1)
			buf_reset(&c->line);
		if (!c->cut && n > room) {
			print_child(c, buf_span(&c->line));
			buf_reset(&c->line);
			c->cut = 1;
		}
		if (nl != NULL) {
			end_line(c);
			n++;
		}
	}
}

void
log_collect_bound(struct log_collector *c, uint32_t per_s, uint32_t burst)
{
	if (c->rate.per_s == 0)
		rate_init(&c->rate, per_s, burst, now_ms());
	else
		rate_change(&c->rate, per_s, burst, now_ms());
}

void
log_collect_flush(struct log_collector *c)
{
	struct line l = {
	    c->name, c->pid, LOG_WARNING, "log_suppressed", {"", 0}, {"", 0}};
	char text[128];

	if (c->left_out == 0)
		return;
	snprintf(text, sizeof(text),
	    "%u lines are left out here: more than %u at once and %u a second "
	    "after that",
	    c->left_out, c->rate.burst, c->rate.per_s);
	l.text = span_str(text);
	c->left_out = 0;
	c->said_ms = now_ms();
	print(&l);
}
