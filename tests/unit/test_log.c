/* SPDX-License-Identifier: ISC */
/* The log: lines whole, foreign text visible, nothing forged. */
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "limit.h"
#include "log.h"

/* Standard error goes to a pipe while f is called; returns what came. */
static const char *
capture(void (*f)(void *), void *arg)
{
	static char got[65536];
	int end[2], was;
	ssize_t n;

	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	assert_int_not_equal(fcntl(end[1], F_SETPIPE_SZ, 65536), -1);
	was = dup(2);
	dup2(end[1], 2);
	f(arg);
	dup2(was, 2);
	close(was);
	close(end[1]);
	n = read(end[0], got, sizeof(got) - 1);
	close(end[0]);
	assert_int_not_equal(n, -1);
	got[n] = '\0';
	return got;
}

static void
matches(const char *text, const char *pattern)
{
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, text, 0, NULL, 0) != 0)
		fail_msg("\"%s\" does not match \"%s\"", text, pattern);
	regfree(&re);
}

#define STAMP                                                                  \
	"^time=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{" \
	"3}Z "

static void
say(void *arg)
{
	errno = EPERM;
	log_info("link", "main", "it is %s", (const char *)arg);
	log_debug("link", "main", "not shown");
	log_warn("start", NULL, "no subject");
	assert_int_equal(errno, EPERM);
}

static void
people(void **state)
{
	char foreign[] = "a\n\"b\"\\\t\x1b[31m\xff\xc2\x80\xe2\x80\xaexé€";

	(void)state;
	log_init(LOG_TO_PEOPLE, "relayd", LOG_INFO);
	assert_true(log_on(LOG_INFO));
	assert_false(log_on(LOG_DEBUG));
	matches(capture(say, foreign),
	    STAMP
	    "level=info process=relayd pid=[0-9]+ event=link gateway=main "
	    "msg=\"it is a\\\\x0a\\\\\"b\\\\\"\\\\\\\\\\\\x09\\\\x1b"
	    "\\[31m\\\\xff\\\\xc2\\\\x80\\\\xe2\\\\x80\\\\xaexé€\"\n"
	    "[^ ]* level=warn process=relayd pid=[0-9]+ event=start "
	    "msg=\"no subject\"\n$");
}

static void
child_line(void **state)
{
	char foreign[] = "a\tb\nc\\";

	(void)state;
	log_init(LOG_TO_PARENT, "engine", LOG_ERR);
	assert_false(log_on(LOG_INFO));
	log_level(LOG_INFO);
	assert_string_equal(capture(say, foreign),
	    "6\tlink\tmain\tit is a\\x09b\\x0ac\\\\\n"
	    "4\tstart\t\tno subject\n");
}

/* A child's line, read back, is what the supervisor would have said. */
struct feed {
	const char *p;
	size_t len, step;
};

static void
collect(void *arg)
{
	const struct feed *f = arg;
	struct log_collector c = {.name = "engine", .pid = 77};
	size_t i, n;

	for (i = 0; i < f->len; i += n) {
		n = f->len - i < f->step ? f->len - i : f->step;
		log_collect(&c, f->p + i, n);
	}
	buf_free(&c.line);
}

static const char *
collected(const char *p, size_t len, size_t step)
{
	struct feed f = {p, len, step};

	log_init(LOG_TO_PEOPLE, "relayd", LOG_INFO);
	return capture(collect, &f);
}

#define COLLECTED(s) collected(s, sizeof(s) - 1, sizeof(s))

static void
childs_line_is_printed(void **state)
{
	static const char line[] =
	    "6\tlink\tmain\tsaid \"x\" \\x0a \\\\ é\n4\tstart\t\tok\n";
	size_t step;

	(void)state;
	for (step = 1; step < sizeof(line); step += 5)
		matches(collected(line, sizeof(line) - 1, step),
		    STAMP
		    "level=info process=engine pid=77 event=link gateway=main "
		    "msg=\"said \\\\\"x\\\\\" \\\\x0a \\\\\\\\ é\"\n"
		    "[^ ]* level=warn process=engine pid=77 event=start "
		    "msg=\"ok\"\n$");
}

static void
childs_line_cannot_forge(void **state)
{
	(void)state;
	matches(COLLECTED("6\tlink\tx\" msg=\"y\tz\n"),
	    "gateway=\"x\\\\\" msg=\\\\\"y\" msg=\"z\"\n$");
	matches(COLLECTED("6\tlink\tmain\tend\\\"\x1b\r\\q\\x1\\xZZ\\\n"),
	    "msg=\"end\\\\\\\\\\\\\"\\\\x1b\\\\x0d\\\\\\\\q\\\\\\\\x1"
	    "\\\\\\\\xZZ\\\\\\\\\"\n$");
	matches(COLLECTED("6\tlink\t\xff\ta\0b\n"),
	    "gateway=\"\\\\xff\" msg=\"a\\\\x00b\"\n$");
}

static void
other_lines(void **state)
{
	static const char *const line[] = {"==1==ERROR: AddressSanitizer\n",
	    "8\tlink\t\tlevel\n", "66\tlink\t\tlevel\n", "6\tLink\t\tcase\n",
	    "6\t\t\tempty\n", "6\tlink\tno text\n", "6\tlink\n", "6\n", "\t\n",
	    "6\tabcdefghijklmnopqrstuvwxyzabcdefghijklmn\t\tlong\n",
	    "6\tinvented\t\tno event of ours\n"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(line) / sizeof(line[0]); i++)
		matches(collected(line[i], strlen(line[i]), 7),
		    STAMP "level=warn process=engine pid=77 event=stderr "
			  "msg=\"[^\"]+\"\n$");
	assert_string_equal(COLLECTED("\n\n\n"), "");
	assert_string_equal(COLLECTED("6\tlink\tmain\tnot ended"), "");
}

static void
overlong_lines(void **state)
{
	static char line[5 * LIMIT_LOG_LINE];
	const char *got;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "6\tlink\tmain\t", 12);
	memcpy(line + sizeof(line) - 14, "\n6\tstart\t\tend\n", 14);
	got = collected(line, sizeof(line), 1000);
	assert_true(strcspn(got, "\n") < LIMIT_LOG_LINE);
	matches(got,
	    STAMP "level=info process=engine pid=77 event=link gateway=main "
		  "msg=\"x+\\.\\.\\.\"\n[^ ]* level=info process=engine pid=77 "
		  "event=start "
		  "msg=\"end\"\n$");
}

/* A child that says any length of gateway: the line stays within its bound,
 * and whole. */
static void
overlong_subjects(void **state)
{
	static char line[LIMIT_LOG_LINE];
	const char *got;
	size_t n;

	(void)state;
	for (n = LIMIT_NAME; n < LIMIT_LOG_LINE - 16; n++) {
		memset(line, '\x01', sizeof(line));
		memcpy(line, "6\tlink\t", 7);
		memset(line + 7, 'x', n);
		line[7 + n] = '\t';
		line[sizeof(line) - 1] = '\n';
		got = collected(line, sizeof(line), sizeof(line));
		assert_true(strcspn(got, "\n") < LIMIT_LOG_LINE);
		matches(got, " gateway=(x+|\"x+\\.\\.\\.\") msg=\"[^\"]+\"\n$");
	}
}

static void
refuse(void *arg)
{
	log_refused("%s is missing", (const char *)arg);
}

/* A path may hold anything; what was made visible stays as it is. */
static void
refused_on_one_line(void **state)
{
	char path[] = "/run/a\n<0>relayd: \x1b[31m\\x0a";

	(void)state;
	log_init(LOG_TO_PEOPLE, "relayd", LOG_INFO);
	assert_string_equal(capture(refuse, path),
	    "relayd: /run/a\\x0a<0>relayd: \\x1b[31m\\x0a is missing\n");
}

static void
overlong_own(void **state)
{
	static char text[3 * LIMIT_LOG_LINE];
	const char *got;

	(void)state;
	memset(text, '\n', sizeof(text) - 1);
	log_init(LOG_TO_PEOPLE, "relayd", LOG_INFO);
	got = capture(say, text);
	assert_true(strcspn(got, "\n") < LIMIT_LOG_LINE);
	matches(got, "msg=\"it is (\\\\x0a)+\\.\\.\\.\"\n");
	log_init(LOG_TO_PARENT, "engine", LOG_INFO);
	got = capture(say, text);
	assert_true(strcspn(got, "\n") < LIMIT_LOG_LINE);
	matches(got, "^6\tlink\tmain\tit is (\\\\x0a)+\\.\\.\\.\n");
}

/* A child that floods the log: so much, then a count. */
static void
flood(void *arg)
{
	struct log_collector *c = arg;
	int i;

	for (i = 0; i < 1000; i++)
		log_collect(c, "6\tlink\tmain\tagain\n", 18);
	log_collect_flush(c);
	log_collect_flush(c); /* once is enough */
}

static unsigned
lines_of(const char *text, const char *with)
{
	unsigned n = 0;

	for (; (text = strstr(text, with)) != NULL; text++)
		n++;
	return n;
}

static void
flood_is_bounded(void **state)
{
	struct log_collector c = {.name = "engine", .pid = 77};
	unsigned said, left_out = 0;
	const char *got, *count;

	(void)state;
	log_init(LOG_TO_PEOPLE, "relayd", LOG_INFO);
	log_collect_bound(&c, 1, 20);
	got = capture(flood, &c);
	said = lines_of(got, "msg=\"again\"");
	assert_in_range(said, 20, 30); /* a slow machine's seconds */
	matches(got,
	    "level=warn process=engine pid=77 event=log_suppressed "
	    "msg=\"[0-9]+ lines are "
	    "left out here: more than 20 at once and 1 a second after "
	    "that\"\n");
	count = strstr(got, "event=log_suppressed msg=\"");
	while (count != NULL) {
		count = strchr(count, '"') + 1;
		left_out += (unsigned)strtoul(count, NULL, 10);
		count = strstr(count, "event=log_suppressed msg=\"");
	}
	assert_int_equal(said + left_out, 1000);
	buf_free(&c.line);
}

/* Another bound, as after a reload that asks for debug. */
static void
bound_changes(void **state)
{
	struct log_collector c = {.name = "engine", .pid = 77};

	(void)state;
	log_init(LOG_TO_PEOPLE, "relayd", LOG_INFO);
	log_collect_bound(&c, 1000, 500);
	log_collect_bound(&c, 1, 20);
	assert_in_range(lines_of(capture(flood, &c), "msg=\"again\""), 20, 30);
	buf_free(&c.line);
}

/* At every capacity: terminated, within it, no half escape or character. */
static void
vis_is_cut_whole(void **state)
{
	static const char in[] = "aé\n€\\\xf0\x9f\x98\x80\xff.";
	static const char whole[] = "aé\\x0a€\\\\\xf0\x9f\x98\x80\\xff.";
	char out[64];
	size_t cap, n;

	(void)state;
	assert_string_equal(log_vis(out, sizeof(out), SPAN_LIT(in)), whole);
	assert_string_equal(log_vis(out, sizeof(whole), SPAN_LIT(in)), whole);
	for (cap = 1; cap < sizeof(whole); cap++) {
		memset(out, 'Z', sizeof(out));
		n = strlen(log_vis(out, cap, SPAN_LIT(in)));
		assert_true(n < cap);
		assert_int_equal(out[cap], 'Z');
		if (n < 3)
			continue;
		assert_string_equal(out + n - 3, "...");
		assert_memory_equal(out, whole, n - 3);
		/* where it was cut, a character or an escape began */
		assert_true(((unsigned char)whole[n - 3] & 0xc0) != 0x80);
		assert_null(strchr("x0f", whole[n - 3]));
	}
}

/* Who does not read loses lines, is told how many, and holds up nobody. */
static void
nobody_reads(void **state)
{
	char got[65536];
	int end[2], was, i;
	ssize_t n;

	(void)state;
	log_init(LOG_TO_PEOPLE, "relayd", LOG_INFO);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	assert_int_not_equal(fcntl(end[1], F_SETPIPE_SZ, 8192), -1);
	was = dup(2);
	dup2(end[1], 2);
	for (i = 0; i < 100; i++)
		log_info("link", NULL, "line %d %0*d", i, 200, 0);
	assert_int_not_equal(n = read(end[0], got, sizeof(got) - 1), -1);
	log_info("link", NULL, "read again");
	n = read(end[0], got, sizeof(got) - 1);
	dup2(was, 2);
	close(was);
	close(end[0]);
	close(end[1]);
	assert_int_not_equal(n, -1);
	got[n] = '\0';
	matches(got,
	    "event=log_lost msg=\"[0-9]+ lines are lost here: nobody read "
	    "them\"\n.*msg=\"read again\"\n$");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(people),
	    cmocka_unit_test(child_line),
	    cmocka_unit_test(childs_line_is_printed),
	    cmocka_unit_test(childs_line_cannot_forge),
	    cmocka_unit_test(other_lines),
	    cmocka_unit_test(overlong_lines),
	    cmocka_unit_test(overlong_subjects),
	    cmocka_unit_test(refused_on_one_line),
	    cmocka_unit_test(overlong_own),
	    cmocka_unit_test(flood_is_bounded),
	    cmocka_unit_test(bound_changes),
	    cmocka_unit_test(vis_is_cut_whole),
	    cmocka_unit_test(nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
