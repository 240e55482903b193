/* SPDX-License-Identifier: ISC */
/* The forms of a log line: what is foreign stays escaped in both, JSON is one
 * valid object, the priority stands where the journal reads it. */
#include <sys/stat.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "json.h"
#include "log_line.h"
#include "utf8.h"

static char out[LIMIT_LOG_LINE];

static const char *
line_of(const struct log_line *l, enum log_form form, int journal)
{
	size_t n;

	memset(out, 'Z', sizeof(out));
	n = log_line_put(out, l, form, journal);
	assert_true(n > 0 && n < sizeof(out));
	assert_int_equal(out[n - 1], '\n');
	assert_null(memchr(out, '\n', n - 1));
	out[n - 1] = '\0';
	return out;
}

/* What a reader of the object finds under a key; "" without one. */
static const char *
value_of(const char *line, const char *key)
{
	static char scratch[LIMIT_LOG_LINE], value[LIMIT_LOG_LINE];
	struct json_doc doc;
	int at;

	if (json_parse(&doc, line, strlen(line), 1) == -1)
		fail_msg("%s: %s at %u", line, doc.err, (unsigned)doc.erroff);
	assert_int_equal(doc.node[JSON_ROOT].type, JSON_OBJECT);
	if ((at = json_get(&doc, JSON_ROOT, key)) == -1)
		return "";
	if (doc.node[at].type == JSON_STRING)
		span_copy(value, sizeof(value),
		    json_str(&doc, at, scratch, sizeof(scratch)));
	else
		span_copy(value, sizeof(value), json_raw(&doc, at));
	return value;
}

static struct log_line
a_line(const char *subject, const char *text)
{
	return (struct log_line){.name = "engine",
	    .pid = 77,
	    .level = LOG_INFO,
	    .event = "link",
	    .subject = span_str(subject),
	    .text = span_str(text)};
}

static void
same_keys(void **state)
{
	struct log_line l = a_line("main", "all is well");
	const char *s;

	(void)state;
	l.repeated = 3;
	s = strchr(line_of(&l, LOG_FORM_LOGFMT, 0), ' ');
	assert_string_equal(s,
	    " level=info process=engine pid=77 event=link gateway=main "
	    "repeated=3 msg=\"all is well\"");
	s = strchr(line_of(&l, LOG_FORM_JSON, 0), ',');
	assert_string_equal(s,
	    ",\"level\":\"info\",\"process\":\"engine\",\"pid\":77,"
	    "\"event\":\"link\",\"gateway\":\"main\",\"repeated\":3,"
	    "\"msg\":\"all is well\"}");
	assert_memory_equal(out, "{\"time\":\"20", 11);
	l = a_line(NULL, "");
	assert_string_equal(
	    value_of(line_of(&l, LOG_FORM_JSON, 0), "gateway"), "");
	assert_null(strstr(out, "repeated"));
	assert_non_null(strstr(out, "\"msg\":\"\"}"));
}

/* Every byte alone, and what acts on a terminal: the line is printable, whole,
 * and what a reader of JSON gets is what log_vis shows. */
static void
foreign_bytes(void **state)
{
	static const char *const hard[] = {"\x1b[31m", "\x1b]0;t\x07",
	    "a\nlevel=error event=forged", "a\",\"event\":\"forged\"", "\\",
	    "\"", "\\\"", "\\x0", "\xc2\x9b", "\xe2\x80\xae", "\xed\xa0\x80",
	    "\xc0\xaf", "\xf5\x80\x80\x80", "\xf0\x9f\x98",
	    "é€\xf0\x9f\x98\x80"};
	const size_t n = sizeof(hard) / sizeof(hard[0]);
	char raw[64], vis[256];
	struct log_line l;
	size_t i, k;
	const char *s;

	(void)state;
	for (i = 1; i < 256 + n; i++) {
		snprintf(raw, sizeof(raw), "%s", i < 256 ? "?" : hard[i - 256]);
		if (i < 256)
			raw[0] = (char)i;
		log_vis(vis, sizeof(vis), span_str(raw));
		l = a_line(vis, vis);
		s = line_of(&l, LOG_FORM_JSON, 0);
		assert_string_equal(value_of(s, "msg"), vis);
		assert_string_equal(value_of(s, "gateway"), vis);
		assert_string_equal(value_of(s, "event"), "link");
		for (k = 0; k < 2; k++) {
			s = line_of(&l, k ? LOG_FORM_LOGFMT : LOG_FORM_JSON, 0);
			for (; *s != '\0'; s += utf8_seq(s, strlen(s))) {
				assert_true((unsigned char)*s >= 0x20);
				assert_true(utf8_seq(s, strlen(s)) > 0);
			}
			assert_null(strstr(out, "\x1b"));
			assert_null(strstr(out, "\xe2\x80\xae"));
		}
	}
}

/* However long: cut within msg, and still an object. */
static void
cut_whole(void **state)
{
	static const char *const unit[] = {"x", "\\x0a", "\\\\", "\"", "é"};
	char text[3 * LIMIT_LOG_LINE];
	struct log_line l;
	const char *msg;
	size_t i, n, len;

	(void)state;
	for (i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
		for (n = LIMIT_LOG_LINE / 3; n < LIMIT_LOG_LINE; n += 7) {
			len = strlen(unit[i]);
			memset(text, 'y', n);
			for (size_t at = n % 8; at + len < n; at += len)
				memcpy(text + at, unit[i], len);
			text[n - n % len] = '\0';
			l = a_line("main", text);
			msg =
			    value_of(line_of(&l, LOG_FORM_JSON, 1) + 3, "msg");
			if (strcmp(msg, text) != 0)
				assert_string_equal(
				    msg + strlen(msg) - 3, "...");
			line_of(&l, LOG_FORM_LOGFMT, 1);
			assert_int_equal(out[strlen(out) - 1], '"');
		}
}

static void
priorities(void **state)
{
	static const struct {
		int level;
		const char *begin, *word;
	} want[] = {{LOG_ERR, "<3>", "error"}, {LOG_WARNING, "<4>", "warn"},
	    {LOG_NOTICE, "<5>", "notice"}, {LOG_INFO, "<6>", "info"},
	    {LOG_DEBUG, "<7>", "debug"}};
	struct log_line l = a_line("main", "x");
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		l.level = want[i].level;
		line_of(&l, LOG_FORM_LOGFMT, 1);
		assert_memory_equal(out, want[i].begin, 3);
		assert_memory_equal(out + 3, "time=", 5);
		line_of(&l, LOG_FORM_JSON, 1);
		assert_memory_equal(out, want[i].begin, 3);
		assert_string_equal(value_of(out + 3, "level"), want[i].word);
		assert_string_equal(
		    log_level_name(want[i].level), want[i].word);
	}
	assert_int_equal(log_level_of(SPAN_LIT("error")), LOG_ERR);
	assert_int_equal(log_level_of(SPAN_LIT("debug")), LOG_DEBUG);
	assert_int_equal(log_level_of(SPAN_LIT("notice")), -1);
	assert_int_equal(log_level_of(SPAN_LIT("")), -1);
	assert_int_equal(log_level_of((struct span){NULL, 0}), -1);
}

/* The first byte that is written with this JOURNAL_STREAM. */
static char
first_byte(const char *fmt, int more)
{
	int end[2], was;
	char stream[64], got[4096];
	struct stat st;
	ssize_t n;

	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	assert_int_equal(fstat(end[1], &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino + (unsigned)more);
	was = dup(2);
	dup2(end[1], 2);
	log_journal(fmt == NULL ? stream : fmt[0] == '-' ? NULL : fmt);
	log_info("link", "main", "x");
	log_journal(NULL);
	dup2(was, 2);
	close(was);
	close(end[1]);
	n = read(end[0], got, sizeof(got));
	close(end[0]);
	assert_true(n > 0);
	return got[0];
}

static void
only_for_the_journal(void **state)
{
	(void)state;
	log_init(LOG_TO_PEOPLE, "relayd", LOG_INFO);
	assert_int_equal(first_byte(NULL, 0), '<');
	assert_int_equal(first_byte(NULL, 1), 't');
	assert_int_equal(first_byte("-", 0), 't');
	assert_int_equal(first_byte("", 0), 't');
	assert_int_equal(first_byte("1", 0), 't');
}

static void
names(void **state)
{
	static const char *const event[] = {
#define X(name) #name,
#include "log_event.def"
#undef X
	};
	const size_t n = sizeof(event) / sizeof(event[0]);
	size_t i;

	(void)state;
	for (i = 0; i < n; i++) {
		assert_true(strlen(event[i]) <= LOG_EVENT_MAX);
		assert_int_equal(
		    strspn(event[i], "abcdefghijklmnopqrstuvwxyz_"),
		    strlen(event[i]));
		assert_true(log_line_event(span_str(event[i])));
		if (i > 0)
			assert_true(strcmp(event[i - 1], event[i]) < 0);
	}
	assert_false(log_line_event(SPAN_LIT("")));
	assert_false(log_line_event(SPAN_LIT("lin")));
	assert_false(log_line_event(SPAN_LIT("links")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(same_keys),
	    cmocka_unit_test(foreign_bytes),
	    cmocka_unit_test(cut_whole),
	    cmocka_unit_test(priorities),
	    cmocka_unit_test(only_for_the_journal),
	    cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
