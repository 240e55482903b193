/* SPDX-License-Identifier: ISC */
/* relay-ctl's text: ages, widths, tables, and what must not reach a terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relay-ctl/field.c"
#include "../../relay-ctl/out.c"

static void
test_age(void **state)
{
	static const struct {
		int64_t s;
		const char *text;
	} cases[] = {
	    {-1, "never"},
	    {0, "0s"},
	    {59, "59s"},
	    {60, "1m00s"},
	    {192, "3m12s"},
	    {3599, "59m59s"},
	    {3600, "1h00m"},
	    {86399, "23h59m"},
	    {86400, "1d00h"},
	    {1000000, "11d13h"},
	    {INT64_MAX, "106751991167300d15h"},
	};
	char buf[OUT_AGE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(out_age(buf, cases[i].s), cases[i].text);
}

static void
test_delay(void **state)
{
	char buf[OUT_AGE];

	(void)state;
	assert_string_equal(out_delay(buf, -1), "0 ms");
	assert_string_equal(out_delay(buf, 0.4), "400 ms");
	assert_string_equal(out_delay(buf, 0.9999), "1.0 s");
	assert_string_equal(out_delay(buf, 12.34), "12.3 s");
	assert_string_equal(out_delay(buf, 59.96), "1m00s");
	assert_string_equal(out_delay(buf, 1e300), "106751991167300d15h");
}

static void
test_size_ordinal(void **state)
{
	char buf[OUT_AGE];

	(void)state;
	assert_string_equal(out_size(buf, 0), "0 B");
	assert_string_equal(out_size(buf, 10239), "10239 B");
	assert_string_equal(out_size(buf, 10240), "10 KiB");
	assert_string_equal(out_size(buf, 64 * 1024 * 1024), "64 MiB");
	assert_string_equal(out_ordinal(buf, 1), "1st");
	assert_string_equal(out_ordinal(buf, 2), "2nd");
	assert_string_equal(out_ordinal(buf, 3), "3rd");
	assert_string_equal(out_ordinal(buf, 4), "4th");
	assert_string_equal(out_ordinal(buf, 11), "11th");
	assert_string_equal(out_ordinal(buf, 112), "112th");
	assert_string_equal(out_ordinal(buf, 21), "21st");
}

static void
test_cut(void **state)
{
	(void)state;
	assert_int_equal(out_cut("hello", 10), 5);
	assert_int_equal(out_cut("hello", 3), 3);
	assert_int_equal(out_cut("hello\nyou", 10), 5);
	assert_int_equal(out_cut("", 3), 0);
	/* Colours take no room, and are never cut. */
	assert_int_equal(out_cut("\033[31mred\033[0m x", 3), 12);
	assert_int_equal(out_cut("\033[31m", 0), 5);
	/* A wide character fits whole or not at all. */
	assert_int_equal(out_cut("a\xe6\xbc\xa2", 2), 1);
	assert_int_equal(out_cut("a\xe6\xbc\xa2", 3), 4);
}

static void
test_time(void **state)
{
	char buf[OUT_TIME];

	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	assert_string_equal(
	    out_time(buf, 1795341600.25), "2026-11-22 10:00:00.250 +0000");
	assert_string_equal(
	    out_second(buf, 1795341600.75), "2026-11-22 10:00:00 +0000");
	assert_string_equal(out_time(buf, -1), "?");
	assert_string_equal(out_second(buf, -1), "?");
	assert_string_equal(out_time(buf, 1e300), "?");
	/* The zone is that of the time told, not of today. */
	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	assert_string_equal(
	    out_time(buf, 1795341600.25), "2026-11-22 11:00:00.250 +0100");
	assert_string_equal(
	    out_second(buf, 1779969600), "2026-05-28 14:00:00 +0200");
}

static void
test_width(void **state)
{
	(void)state;
	assert_int_equal(out_width(""), 0);
	assert_int_equal(out_width("abc"), 3);
	assert_int_equal(out_width("\xc3\xa4"), 1);		    /* ä */
	assert_int_equal(out_width("\xe6\x97\xa5\xe6\x9c\xac"), 4); /* 日本 */
	assert_int_equal(out_width("\xf0\x9f\x94\x8c"), 2);	    /* a plug */
	assert_int_equal(out_width("e\xcc\x81"), 1); /* combining accent */
}

static void
check_safe(const char *in, size_t len, const char *want)
{
	char *s = out_safe((struct span){in, len});

	assert_non_null(s);
	assert_string_equal(s, want);
	free(s);
}

static void
test_safe(void **state)
{
	(void)state;
	check_safe("plain", 5, "plain");
	check_safe("\033[2J", 4, "\\x1b[2J");
	check_safe("a\0b\n", 4, "a\\x00b\\x0a");
	check_safe("\xc2\x9b", 2, "\\xc2\\x9b");
	check_safe("\xff", 1, "\\xff");
	/* What turns text around: U+202E, U+2067, U+061C. */
	check_safe("\xe2\x80\xae", 3, "\\xe2\\x80\\xae");
	check_safe("\xe2\x81\xa7", 3, "\\xe2\\x81\\xa7");
	check_safe("\xd8\x9c", 2, "\\xd8\\x9c");
	/* Letters that nobody sees: a tag, U+E0041. */
	check_safe("\xf3\xa0\x81\x81", 4, "\\xf3\\xa0\\x81\\x81");
	/* What only looks strange stays: emoji, combining, Arabic. */
	check_safe("\xf0\x9f\x94\x8c", 4, "\xf0\x9f\x94\x8c");
	check_safe("e\xcc\x81", 3, "e\xcc\x81");
	check_safe("\xd8\xb9", 2, "\xd8\xb9");
	check_safe("a\\b", 3, "a\\b");
	check_safe(NULL, 0, "");
}

/* What a table prints, to be compared whole. */
static char *
printed(struct table *t)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	table_print(t, f);
	fclose(f);
	return text;
}

static void
test_table(void **state)
{
	static const char *const head[] = {"NAME", "N", "WHY"};
	struct out o = {0};
	struct table t;
	char *text;

	(void)state;
	table_init(&t, &o, head, 3, 1U << 1);
	table_text(
	    &t, TINT_BAD, SPAN_LIT("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"));
	table_fmt(&t, TINT_NONE, "%d", 12345);
	table_text(&t, TINT_NONE, SPAN_LIT("x"));
	table_note(&t, TINT_WARN, "note %d", 1);
	table_text(&t, TINT_NONE, SPAN_LIT("b"));
	table_fmt(&t, TINT_NONE, "%d", 1);
	table_text(&t, TINT_NONE, (struct span){NULL, 0});
	text = printed(&t);
	assert_string_equal(text,
	    "NAME        N  WHY\n"
	    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e  12345  x\n"
	    "        note 1\n"
	    "b           1  -\n");
	free(text);
}

static void
test_table_colour(void **state)
{
	static const char *const head[] = {"A", "B"};
	struct out o = {.colour = 1};
	struct table t;
	char *text;

	(void)state;
	table_init(&t, &o, head, 2, 0);
	table_text(&t, TINT_GOOD, SPAN_LIT("up"));
	table_text(&t, TINT_NONE, SPAN_LIT("\033[31m"));
	text = printed(&t);
	assert_string_equal(text,
	    "\033[2mA\033[0m   \033[2mB\033[0m\n"
	    "\033[32mup\033[0m  \\x1b[31m\n");
	free(text);
}

static void
test_fields(void **state)
{
	static const char text[] = "{\"s\":\"a\\u00e4\",\"i\":-5,\"n\":1.5,"
				   "\"t\":true,\"o\":{\"x\":1},\"z\":null,"
				   "\"nul\":\"a\\u0000b\"}";
	struct obj o, sub;
	char *s;

	(void)state;
	assert_int_equal(obj_parse(&o, SPAN_LIT(text)), 0);
	assert_true(span_eq(field_str(&o, "s"), SPAN_LIT("a\xc3\xa4")));
	assert_int_equal(field_int(&o, "i", 0), -5);
	assert_int_equal(field_int(&o, "n", 7), 7);
	assert_true(field_num(&o, "n", 0) > 1.4 && field_num(&o, "n", 0) < 1.6);
	assert_int_equal(field_num(&o, "z", 3), 3);
	assert_true(field_true(&o, "t"));
	assert_false(field_true(&o, "absent"));
	assert_int_equal(obj_sub(&sub, &o, "o"), 0);
	assert_int_equal(field_int(&sub, "x", 0), 1);
	assert_int_equal(obj_sub(&sub, &o, "z"), -1);
	assert_int_equal(field_int(&sub, "x", 9), 9);
	assert_int_equal(obj_parse(&sub, SPAN_LIT("[1]")), -1);
	assert_null(field_str(&sub, "x").p);
	s = field_dup(&o, "i");
	assert_string_equal(s, "-5");
	free(s);
	s = field_dup(&o, "s");
	assert_string_equal(s, "a\xc3\xa4");
	free(s);
	assert_null(field_dup(&o, "nul"));
	assert_null(field_dup(&o, "o"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_age),
	    cmocka_unit_test(test_delay),
	    cmocka_unit_test(test_size_ordinal),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_width),
	    cmocka_unit_test(test_safe),
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_table_colour),
	    cmocka_unit_test(test_fields),
	};
	struct out o;

	out_init(&o); /* the locale */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
