/* SPDX-License-Identifier: ISC */
/* Environment files: what a shell would make of them, or the line that is
 * refused and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relay-ctl/envfile.c"

/* Read a text: "name=value" of each variable in brackets, then "!LINE" of a
 * failure.  The text stands alone in memory. */
static char *
read_all(const char *text, size_t len, char *out, size_t cap, const char **why)
{
	char *copy = malloc(len + (len == 0));
	struct envfile_var v;
	struct envfile e;
	size_t n = 0;
	int r;

	assert_non_null(copy);
	if (len > 0)
		memcpy(copy, text, len);
	out[0] = '\0';
	envfile_init(&e, copy, len);
	while ((r = envfile_next(&e, &v)) == 1)
		n += (size_t)snprintf(out + n, cap - n, "[%.*s=%.*s]",
		    (int)v.name.len, v.name.p, (int)v.value.len, v.value.p);
	if (r == -1)
		snprintf(out + n, cap - n, "!%u", e.line);
	*why = e.why;
	free(copy);
	return out;
}

static void
test_values(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
	    {"", ""},
	    {"\n \n\t\r\n", ""},
	    {"# only this\n  # and this", ""},
	    {"A=1", "[A=1]"},
	    {"A=1\nB=2\n", "[A=1][B=2]"},
	    {"A=1\r\nB='2'\r\n", "[A=1][B=2]"},
	    {"A=1\r", "[A=1]"},
	    {"\xef\xbb\xbf"
	     "A=1",
		"[A=1]"},
	    {"A=\nB=\"\"\nC=''", "[A=][B=][C=]"},
	    {"  A=1  \n", "[A=1]"},
	    {"export A=1\nexport\tB=2", "[A=1][B=2]"},
	    {"export=1\nexported=2", "[export=1][exported=2]"},
	    {"export A B # both\nexport C D=1", "[D=1]"},
	    {"export A\\\n", "!1"},
	    {"A=1 # remark\nB=1#none\nC=#none", "[A=1][B=1#none][C=#none]"},
	    {"A='a b' # it's\n", "[A=a b]"},
	    {"A=a'b'\"c\"d", "[A=abcd]"},
	    {"A='\\n\"$x`'", "[A=\\n\"$x`]"},
	    {"A='it'\\''s'", "[A=it's]"},
	    {"A=\"a\\\"b\\\\c\\$d\\`e\\n\"", "[A=a\"b\\c$d`e\\n]"},
	    {"A=a\\ b\\$c\\\\", "[A=a b$c\\]"},
	    {"A='a\nb'\nB=1", "[A=a\nb][B=1]"},
	    {"A=\"a\\\nb\\\r\nc\"\nB=1", "[A=abc][B=1]"},
	    {"A=a\\\nb\nB=1", "[A=ab][B=1]"},
	    {"_a9=x=y", "[_a9=x=y]"},
	    {"A=\xc3\xa4!*?[{%^+-@", "[A=\xc3\xa4!*?[{%^+-@]"},
	    {"A=$B ${C}x \n", "!1"},
	    {"A=$B\nB=\"${C}x$\"\n", "[A=$B][B=${C}x$]"},
	};
	char out[256];
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
		    read_all(cases[i].text, strlen(cases[i].text), out,
			sizeof(out), &why),
		    cases[i].want);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *text, *want, *why;
	} cases[] = {
	    {"A=1\nnonsense\nB=2", "[A=1]!2", "no assignment"},
	    {"A = 1", "!1", "no assignment"},
	    {"A+=1", "!1", "no assignment"},
	    {"1A=1", "!1", "no assignment"},
	    {"A[0]=1", "!1", "no assignment"},
	    {"=1", "!1", "no assignment"},
	    {"export -p", "!1", "no assignment"},
	    {"export", "!1", "no assignment"},
	    {"export =1", "!1", "no assignment"},
	    {"set -a", "!1", "no assignment"},
	    {". ./other", "!1", "no assignment"},
	    {"A=1 B=2", "!1", "second word"},
	    {"A=\"1\" x", "!1", "second word"},
	    {"A=\\\n x", "!2", "second word"},
	    {"A=1\nB='2\n3\n", "[A=1]!2", "never closed"},
	    {"A=\"2\n3\n", "!1", "never closed"},
	    {"A=\"\\", "!1", "backslash"},
	    {"A=\\", "!1", "backslash"},
	    {"A=$(id)", "!1", "compute"},
	    {"A=\"$(id)\"", "!1", "compute"},
	    {"A=`id`", "!1", "compute"},
	    {"A='\n'\nB=\"\n`id`\"", "[A=\n]!4", "compute"},
	    {"A=${B:-x}", "!1", "compute"},
	    {"A=${B", "!1", "compute"},
	    {"A=$'x'", "!1", "compute"},
	    {"A=$\"x\"", "!1", "compute"},
	    {"A=1;id", "!1", "outside quotes"},
	    {"A=a&b", "!1", "outside quotes"},
	    {"A=(1)", "!1", "outside quotes"},
	    {"A=a\rb", "!1", "control"},
	    {"A=\x01", "!1", "control"},
	};
	char out[256];
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_string_equal(
		    read_all(cases[i].text, strlen(cases[i].text), out,
			sizeof(out), &why),
		    cases[i].want);
		assert_non_null(strstr(why, cases[i].why));
	}
}

static void
test_nul(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} cases[] = {{"A=\0", 3}, {"A='\0'", 5}, {"A=\"\0\"", 5}, {"A=\\\0", 4},
	    {"A=\"\\\0\"", 6}, {"\0", 1}, {"A\0", 2}};
	char out[64];
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(read_all(cases[i].text, cases[i].len, out,
					sizeof(out), &why),
		    "!1");
}

/* After a failure nothing follows. */
static void
test_stays_failed(void **state)
{
	char text[] = "A=1;\nB=2";
	struct envfile_var v;
	struct envfile e;

	(void)state;
	envfile_init(&e, text, sizeof(text) - 1);
	assert_int_equal(envfile_next(&e, &v), -1);
	assert_int_equal(envfile_next(&e, &v), -1);
	assert_int_equal(e.line, 1);
}

static void
test_lines(void **state)
{
	char text[] = "\n# x\nA='1\n2\n3'\nB=\"a\\\nb\"\r\n\nC=$x\n"
		      "D=\"\n\n$y$z\"\nE=~\nF=a:~b\nG='~$'\nH=\\~\\$";
	static const unsigned want[][3] = {{3, 5, 0}, {6, 7, 0}, {9, 9, 9},
	    {10, 12, 12}, {13, 13, 13}, {14, 14, 14}, {15, 15, 0}, {16, 16, 0}};
	struct envfile_var v;
	struct envfile e;
	size_t i;

	(void)state;
	envfile_init(&e, text, sizeof(text) - 1);
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(envfile_next(&e, &v), 1);
		assert_int_equal(v.name.p[0], 'A' + (int)i);
		assert_int_equal(v.first, want[i][0]);
		assert_int_equal(v.last, want[i][1]);
		assert_int_equal(v.expands, want[i][2]);
	}
	assert_int_equal(envfile_next(&e, &v), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_stays_failed),
	    cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
