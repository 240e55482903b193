/* SPDX-License-Identifier: ISC */
/* Lines that repeat themselves: counted, said in time, and no other line with
 * them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "log_repeat.h"

static struct log_repeats *table;
static struct log_repeat kept;
static struct log_line sum;

static int
setup(void **state)
{
	(void)state;
	table = log_repeats_new();
	return table == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(table);
	return 0;
}

/* Whether it is printed; what was said before it is in sum. */
static int
printed(const char *event, const char *gateway, const char *text, uint64_t now)
{
	const struct log_line l = {.name = "engine",
	    .pid = 7,
	    .level = LOG_INFO,
	    .event = event,
	    .subject = span_str(gateway),
	    .text = span_str(text)};

	return log_repeat_take(table, &l, now, &kept, &sum);
}

static void
said(uint32_t count, const char *text)
{
	assert_non_null(sum.event);
	assert_string_equal(sum.event, "link");
	assert_int_equal(sum.repeated, count);
	assert_int_equal(sum.level, LOG_INFO);
	assert_int_equal(sum.pid, 7);
	assert_int_equal(sum.text.len, strlen(text));
	assert_memory_equal(sum.text.p, text, sum.text.len);
}

static void
counted_until_another(void **state)
{
	(void)state;
	assert_true(printed("link", "a", "down", 1000));
	assert_false(printed("link", "a", "down", 2000));
	assert_false(printed("link", "a", "down", 3000));
	assert_null(sum.event);
	assert_true(printed("link", "a", "up", 4000));
	said(2, "repeated 2 times in 3 s: down");
	/* Back and forth is news each time. */
	assert_true(printed("link", "a", "down", 5000));
	assert_null(sum.event);
	assert_true(printed("link", "a", "up", 6000));
	assert_null(sum.event);
}

/* Another gateway, event or level is another line. */
static void
only_the_same(void **state)
{
	struct log_line l = {.name = "engine",
	    .pid = 7,
	    .level = LOG_WARNING,
	    .event = "link",
	    .subject = SPAN_LIT("a"),
	    .text = SPAN_LIT("x")};

	(void)state;
	assert_true(printed("link", "a", "x", 0));
	assert_true(printed("link", "b", "x", 0));
	assert_true(printed("link", NULL, "x", 0));
	assert_true(printed("dial", "a", "x", 0));
	assert_false(printed("link", "b", "x", 0));
	assert_true(log_repeat_take(table, &l, 0, &kept, &sum));
	assert_false(log_repeat_take(table, &l, 0, &kept, &sum));
	l.name = "dialer";
	assert_true(log_repeat_take(table, &l, 0, &kept, &sum));
}

/* Numbers count only where they stand in the parenthesis at its end. */
static void
numbers(void **state)
{
	(void)state;
	assert_true(printed("link", "a", "no (1 of 2)", 0));
	assert_false(printed("link", "a", "no (31 of 42)", 0));
	assert_true(printed("link", "a", "no (pid 1) again", 0));
	said(1, "repeated 1 time in 0 s: no (31 of 42)");
	assert_true(printed("link", "a", "no (pid 2) again", 0));
	assert_true(printed("link", "a", "no 403 (1)", 0));
	assert_true(printed("link", "a", "no 500 (1)", 0));
	assert_true(printed("link", "a", "no 500 (one)", 0));
	assert_true(printed("link", "a", "1)", 0));
	assert_true(printed("link", "a", ")", 0));
	assert_true(printed("link", "a", "", 0));
	assert_false(printed("link", "a", "", 0));
}

/* How often is said after a minute, then after ever longer; at most an hour;
 * and what came once a while ago is printed again. */
static void
said_in_time(void **state)
{
	uint64_t now = 5, wait = LOG_REPEAT_MS;
	unsigned from, i;

	(void)state;
	assert_true(printed("link", "a", "x", now));
	for (i = 0; i < 10; i++) {
		assert_false(printed("link", "a", "x", now + wait / 2));
		from = 0;
		assert_false(log_repeat_due(
		    table, now + wait - 1, 0, &from, &kept, &sum));
		from = 0;
		assert_true(
		    log_repeat_due(table, now + wait, 0, &from, &kept, &sum));
		assert_int_equal(sum.repeated, 1);
		assert_false(
		    log_repeat_due(table, now + wait, 0, &from, &kept, &sum));
		now += wait;
		wait =
		    2 * wait > LOG_REPEAT_MAX_MS ? LOG_REPEAT_MAX_MS : 2 * wait;
	}
	assert_int_equal(wait, LOG_REPEAT_MAX_MS);
	assert_true(printed("link", "a", "x", now + wait));
	/* And then begins with a minute. */
	assert_false(printed("link", "a", "x", now + wait + 1));
	assert_false(printed("link", "a", "x", now + wait + LOG_REPEAT_MS));
	said(2, "repeated 2 times in 60 s: x");
}

/* Nothing that was not printed is forgotten: those whose place another took
 * are said when it comes. */
static void
all_at_the_end(void **state)
{
	char gateway[16];
	unsigned i, from = 0, n = 0;

	(void)state;
	for (i = 0; i < 6 * LOG_REPEAT_PLACES; i++) {
		snprintf(gateway, sizeof(gateway), "g%u", i / 2);
		n += !printed("link", gateway, "x", 0);
		n -= sum.event != NULL ? sum.repeated : 0;
	}
	assert_true(n > 0);
	while (log_repeat_due(table, 1, 1, &from, &kept, &sum))
		n -= sum.repeated;
	assert_int_equal(n, 0);
	from = 0;
	assert_false(log_repeat_due(table, 1, 1, &from, &kept, &sum));
}

/* Of a long message the beginning, cut whole. */
static void
long_text(void **state)
{
	char text[LIMIT_LOG_LINE];
	unsigned from = 0;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_true(printed("link", "a", text, 0));
	text[sizeof(text) - 2] = 'y';
	assert_true(printed("link", "a", text, 0));
	assert_false(printed("link", "a", text, 0));
	assert_true(log_repeat_due(table, 0, 1, &from, &kept, &sum));
	assert_true(sum.text.len < LOG_REPEAT_TEXT);
	assert_memory_equal(sum.text.p + sum.text.len - 3, "...", 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(counted_until_another),
	    T(only_the_same),
	    T(numbers),
	    T(said_in_time),
	    T(all_at_the_end),
	    T(long_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
