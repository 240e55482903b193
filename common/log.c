/* SPDX-License-Identifier: ISC */
/* Logging: one line per event, foreign text made visible. */
#include <sys/stat.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "limit.h"
#include "log_line.h"
#include "log_repeat.h"
#include "role.h"

/* What was left out of a child's log is said at most so often. */
#define SUPPRESSED_MS 1000

static const char *const levels[LOG_DEBUG + 1] = {[LOG_ERR] = "error",
    [LOG_WARNING] = "warn",
    [LOG_NOTICE] = "notice",
    [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug"};

/* What log_init was told.  One per process by nature: it describes standard
 * error and the process that writes there. */
static struct {
	enum log_mode mode;
	const char *name;
	int level;
	enum log_form form;
	int journal;		  /* standard error is the service manager's */
	struct log_repeats *fold; /* NULL: repeats are printed */
	unsigned lost;		  /* lines since standard error took one */
} self = {.mode = LOG_TO_PEOPLE, .name = "relayd", .level = LOG_INFO};

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

const char *
log_level_name(int level)
{
	return levels[level < LOG_ERR ? LOG_ERR : level & 7];
}

int
log_level_of(struct span word)
{
	int i;

	/* One does not ask for notices: they come with info. */
	for (i = LOG_ERR; i <= LOG_DEBUG; i++)
		if (i != LOG_NOTICE && span_eq(word, span_str(levels[i])))
			return i;
	return -1;
}

int
log_on(int level)
{
	return level <= self.level;
}

void
log_form(enum log_form form)
{
	self.form = form;
}

void
log_journal(const char *stream)
{
	char here[64];
	struct stat st;

	self.journal = 0;
	if (stream == NULL || isatty(FD_LOG) || fstat(FD_LOG, &st) == -1)
		return;
	snprintf(here, sizeof(here), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	self.journal = strcmp(stream, here) == 0;
}

void
log_fold(struct log_repeats *repeats)
{
	self.fold = repeats;
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Lines. */

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
put(const struct log_line *l)
{
	char out[LIMIT_LOG_LINE];

	write_all(out, log_line_put(out, l, self.form, self.journal));
}

static void
put_or_lose(const struct log_line *l)
{
	struct log_line gap = {.name = self.name,
	    .pid = (int)getpid(),
	    .level = LOG_WARNING,
	    .event = "log_lost"};
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

static void
print(const struct log_line *l)
{
	struct log_repeat r;
	struct log_line sum = {.event = NULL};
	int wanted = 1;

	/* Who asked for everything gets every line with its time. */
	if (self.fold != NULL && !log_on(LOG_DEBUG))
		wanted = log_repeat_take(self.fold, l, now_ms(), &r, &sum);
	if (sum.event != NULL)
		put_or_lose(&sum);
	if (wanted)
		put_or_lose(l);
}

void
log_fold_flush(int all)
{
	struct log_repeat r;
	struct log_line sum;
	unsigned from = 0;

	while (self.fold != NULL &&
	    log_repeat_due(self.fold, now_ms(), all, &from, &r, &sum))
		put_or_lose(&sum);
}

/* A child's line, for its supervisor. */
static void
tell(int level, const char *event, const char *subject, struct span text)
{
	char out[LIMIT_LOG_LINE], shown[LIMIT_NAME + 1];
	int n;

	log_vis(shown, sizeof(shown), span_str(subject));
	n = snprintf(out, sizeof(out), "%d\t%.*s\t%s\t", level & 7,
	    LOG_EVENT_MAX, event, subject == NULL ? "" : shown);
	if (text.len > sizeof(out) - 1 - (size_t)n)
		text.len = sizeof(out) - 1 - (size_t)n;
	memcpy(out + n, text.p, text.len);
	n += (int)text.len;
	out[n++] = '\n';
	write_all(out, (size_t)n);
}

static void
say(int level, const char *event, const char *subject, const char *fmt,
    va_list ap)
{
	char raw[LIMIT_LOG_LINE], text[LIMIT_LOG_LINE - 128];
	struct span shown = {text, 0};
	struct log_line l;
	int saved = errno;

	if (vsnprintf(raw, sizeof(raw), fmt, ap) < 0)
		raw[0] = '\0';
	shown.len = log_vis_put(text, sizeof(text), span_str(raw), 0);
	if (self.mode == LOG_TO_PARENT)
		tell(level, event, subject, shown);
	else {
		l = (struct log_line){.name = self.name,
		    .pid = (int)getpid(),
		    .level = level,
		    .event = event,
		    .subject = span_str(subject),
		    .text = shown};
		print(&l);
	}
	errno = saved;
}

void
log_say(int level, const char *event, const char *subject, const char *fmt, ...)
{
	va_list ap;

	if (!log_on(level))
		return;
	va_start(ap, fmt);
	say(level, event, subject, fmt, ap);
	va_end(ap);
}

void
log_always(const char *event, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(LOG_NOTICE, event, NULL, fmt, ap);
	va_end(ap);
}

void
log_refused(const char *fmt, ...)
{
	char text[LIMIT_LOG_LINE], shown[LIMIT_LOG_LINE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (self.form == LOG_FORM_JSON) {
		log_err("refused", NULL, "%s", text);
		return;
	}
	/* What comes from the configuration was made visible before. */
	(void)log_vis_put(shown, sizeof(shown), span_str(text), VIS_KEEP);
	fprintf(stderr, "%srelayd: %s\n", self.journal ? "<3>" : "", shown);
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
	char event[LOG_EVENT_MAX + 1] = "stderr", shown[LIMIT_LOG_LINE];
	struct span rest = s, level, name;
	struct log_line l = {.name = c->name,
	    .pid = c->pid,
	    .level = LOG_WARNING,
	    .event = event};

	if (s.len == 0 || !within_rate(c))
		return;
	if (c->subject == NULL && cut_field(&rest, &level) == 0 &&
	    level.len == 1 && level.p[0] >= '0' && level.p[0] <= '7' &&
	    cut_field(&rest, &name) == 0 && log_line_event(name) &&
	    cut_field(&rest, &l.subject) == 0) {
		l.level = level.p[0] - '0';
		memcpy(event, name.p, name.len);
		event[name.len] = '\0';
		l.text = rest;
	} else {
		l.subject = span_str(c->subject == NULL ? "" : c->subject);
		l.text.p = shown;
		l.text.len = log_vis_put(shown, sizeof(shown), s, 0);
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
	struct log_line l = {.name = c->name,
	    .pid = c->pid,
	    .level = LOG_WARNING,
	    .event = "log_suppressed"};
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
