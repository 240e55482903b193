/* SPDX-License-Identifier: ISC */
/* The live screen's rows: rates, order, and how they fit a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relay-ctl/field.c"
#include "../../relay-ctl/gwtext.c"
#include "../../relay-ctl/out.c"
#include "../../relay-ctl/rows.c"

/* Only words given by a person are matched with it. */
int
ctl_match(const char *what, const char *given, const void *words, size_t n,
    size_t stride)
{
	(void)what;
	(void)given;
	(void)words;
	(void)n;
	(void)stride;
	return -1;
}

static const struct out plain, coloured = {.colour = 1};

#define GATEWAY(name, state, age, unacked, agents, in, out)             \
	"{\"name\":\"" name "\",\"state\":\"" state "\",\"for_s\":" age \
	",\"reason\":\"why " name "\",\"unacknowledged\":" unacked      \
	",\"agents\":" agents ",\"counters\":{\"events_in\":" in        \
	",\"outbound\":" out "}}"
#define REPLY(now, gateways) \
	"{\"ok\":true,\"now\":" now ",\"gateways\":[" gateways "]}"

static void
take_ok(struct rows *r, const char *reply)
{
	assert_int_equal(rows_take(r, span_str(reply)), 0);
}

/* What is drawn (free). */
static char *
drawn(const struct rows *r, const struct out *o, const char *note, size_t lines,
    size_t columns)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	rows_draw(r, o, note, lines, columns, f);
	fclose(f);
	return text;
}

static size_t
count_lines(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void
test_rates(void **state)
{
	struct rows r = {.n = 0};

	(void)state;
	take_ok(&r,
	    REPLY(
		"100.0", GATEWAY("a", "connected", "1", "0", "1", "10", "5")));
	assert_true(r.row[0].in < 0 && r.row[0].out < 0);
	take_ok(&r,
	    REPLY(
		"102.0", GATEWAY("a", "connected", "3", "0", "1", "14", "5")));
	assert_true(r.row[0].in > 1.99 && r.row[0].in < 2.01);
	assert_true(r.row[0].out >= 0 && r.row[0].out < 0.01);
	/* A look soon after does not make a rate of milliseconds... */
	take_ok(&r,
	    REPLY(
		"102.1", GATEWAY("a", "connected", "3", "0", "1", "24", "5")));
	assert_true(r.row[0].in > 1.99 && r.row[0].in < 2.01);
	/* ... and what came then is counted by the next. */
	take_ok(&r,
	    REPLY(
		"104.0", GATEWAY("a", "connected", "5", "0", "1", "24", "5")));
	assert_true(r.row[0].in > 4.99 && r.row[0].in < 5.01);
	/* An engine that was restarted counts from nothing. */
	take_ok(&r,
	    REPLY("106.0", GATEWAY("a", "connected", "1", "0", "1", "0", "0")));
	assert_true(r.row[0].in < 0);
	/* So does a gateway that is new. */
	take_ok(&r,
	    REPLY("108.0", GATEWAY("b", "connected", "1", "0", "1", "9", "0")));
	assert_true(r.row[0].in < 0);
	rows_free(&r);
}

static void
test_bad_replies(void **state)
{
	struct rows r = {.n = 0};

	(void)state;
	take_ok(&r,
	    REPLY("1.0", GATEWAY("a", "connected", "1", "0", "1", "1", "1")));
	assert_int_equal(rows_take(&r, SPAN_LIT("nonsense")), -1);
	assert_int_equal(rows_take(&r, SPAN_LIT("[]")), -1);
	assert_int_equal(
	    rows_take(&r, SPAN_LIT("{\"ok\":false,\"error\":\"x\"}")), -1);
	assert_int_equal(r.n, 1);
	/* What is missing or of another type is as nothing. */
	take_ok(&r, REPLY("\"x\"", "{},7,{\"name\":7,\"state\":[]}"));
	assert_int_equal(r.n, 3);
	take_ok(&r, "{\"ok\":true}");
	assert_int_equal(r.n, 0);
	rows_free(&r);
}

static void
order(struct rows *r, enum rows_key key, const char *names)
{
	size_t i;

	rows_sort(r, key);
	assert_int_equal(r->n, strlen(names));
	for (i = 0; i < r->n; i++)
		assert_int_equal(r->row[i].name[0], names[i]);
}

static void
test_sort(void **state)
{
	struct rows r = {.n = 0};

	(void)state;
	take_ok(&r,
	    REPLY("1.0",
		GATEWAY("c", "connected", "50", "0", "3", "0", "0") "," GATEWAY(
		    "a", "retrying", "9", "0", "0", "0", "0") "," GATEWAY("b",
		    "disabled", "70", "4", "1", "0", "0") "," GATEWAY("d",
		    "from the future", "60", "0", "1", "0", "0")));
	take_ok(&r,
	    REPLY("2.0",
		GATEWAY("c", "connected", "51", "0", "3", "1", "9") "," GATEWAY(
		    "a", "retrying", "10", "0", "0", "2", "0") "," GATEWAY("b",
		    "disabled", "71", "4", "1", "3", "0") "," GATEWAY("d",
		    "from the future", "61", "0", "1", "4", "0")));
	order(&r, ROWS_NAME, "abcd");
	order(&r, ROWS_STATE, "dabc");
	order(&r, ROWS_AGE, "acdb");
	order(&r, ROWS_IN, "dbac");
	order(&r, ROWS_OUT, "cabd");
	order(&r, ROWS_UNACKED, "bacd");
	order(&r, ROWS_AGENTS, "cbda");
	rows_free(&r);
}

static void
test_draw(void **state)
{
	struct rows r = {.n = 0};
	char *text;

	(void)state;
	take_ok(&r,
	    REPLY("1.0",
		GATEWAY("a", "connected", "192", "2", "1", "0",
		    "0") "," GATEWAY("b", "retrying", "5", "0", "0", "0",
		    "0")));
	text = drawn(&r, &plain, "", 24, 100);
	assert_string_equal(text,
	    "2 gateways, sorted by name; s sorts otherwise, q quits\n"
	    "NAME  STATE        FOR  IN/S  OUT/S  UNACKED  AGENTS  REASON\n"
	    "a     connected  3m12s     -      -        2       1  -\n"
	    "b     retrying      5s     -      -        0       0  why b\n");
	free(text);
	text = drawn(&r, &plain, "relayd is gone", 24, 100);
	assert_memory_equal(text, "relayd is gone\nNAME", 19);
	free(text);
	text = drawn(&r, &coloured, "", 24, 100);
	assert_non_null(strstr(text, "\033[31mretrying\033[0m"));
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
	rows_free(&r);
}

/* Whatever the size, nothing is wider or higher, nor cut within a character. */
static void
test_fits(void **state)
{
	struct rows r = {.n = 0};
	size_t lines, columns, len;
	char *text, *p;

	(void)state;
	take_ok(&r,
	    REPLY("1.0",
		GATEWAY("\xe6\xbc\xa2\xe5\xad\x97", "connected", "1", "0", "1",
		    "0", "0") "," GATEWAY("b", "retrying", "5", "0", "0", "0",
		    "0") "," GATEWAY("c", "idle", "5", "0", "0", "0", "0")));
	for (lines = 1; lines < 8; lines++) {
		for (columns = 1; columns < 70; columns++) {
			text = drawn(&r, &plain, "", lines, columns);
			assert_in_range(count_lines(text), 1, lines);
			for (p = text; *p != '\0'; p += len + 1) {
				len = strcspn(p, "\n");
				p[len] = '\0';
				if (strncmp(p, "...", 3) != 0)
					assert_in_range(
					    out_width(p), 0, columns);
				assert_int_equal(
				    utf8_valid_prefix(p, len), len);
			}
			free(text);
		}
	}
	text = drawn(&r, &plain, "", 4, 80);
	assert_non_null(strstr(text, "... 2 more\n"));
	free(text);
	rows_free(&r);
}

static void
test_foreign_text(void **state)
{
	struct rows r = {.n = 0};
	char *text;

	(void)state;
	take_ok(&r,
	    "{\"ok\":true,\"now\":1,\"gateways\":[{\"name\":\"a\","
	    "\"state\":\"retrying\",\"reason\":\"\\u001b[2J\\u009b1m\\n\"}]}");
	text = drawn(&r, &plain, "", 24, 100);
	assert_null(strchr(text, '\033'));
	assert_null(strstr(text, "\xc2\x9b"));
	assert_int_equal(count_lines(text), 3);
	free(text);
	rows_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rates),
	    cmocka_unit_test(test_bad_replies),
	    cmocka_unit_test(test_sort),
	    cmocka_unit_test(test_draw),
	    cmocka_unit_test(test_fits),
	    cmocka_unit_test(test_foreign_text),
	};
	struct out o;

	out_init(&o); /* the locale */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
