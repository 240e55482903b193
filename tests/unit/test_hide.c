/* SPDX-License-Identifier: ISC */
/* Secrets that are said back do not stay in a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hide.h"

#define SECRET "0123456789abcdefghijklmnopqrstuvwxyz"

static void
said_back(void **state)
{
	static const struct {
		const char *text, *want;
	} c[] = {
	    {"", ""},
	    {"no", "no"},
	    {SECRET, "[...]"},
	    {"what is " SECRET "?", "what is [...]?"},
	    {SECRET SECRET, "[...][...]"},
	    {"a " SECRET " b " SECRET, "a [...] b [...]"},
	    {"its beginning: 0123456789abcdef, more",
		"its beginning: [...], more"},
	    {"its end: klmnopqrstuvwxyz", "its end: [...]"},
	    {"its middle: 56789abcdefghijklm", "its middle: [...]"},
	    {"fifteen: 0123456789abcde", "fifteen: 0123456789abcde"},
	    {"0123456789abcdeX", "0123456789abcdeX"},
	};
	char text[256];
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		memset(text, 0, sizeof(text));
		strlcpy(text, c[i].text, sizeof(text));
		hide_echo(text, SPAN_LIT(SECRET));
		assert_string_equal(text, c[i].want);
		for (k = strlen(text); k < sizeof(text); k++)
			assert_int_equal(text[k], 0);
	}
}

static void
short_ones(void **state)
{
	char text[] = "the password is hunter22!", no[] = "it is abc";

	(void)state;
	hide_echo(text, SPAN_LIT("hunter22!"));
	assert_string_equal(text, "the password is [...]");
	hide_echo(no, SPAN_LIT("abc"));
	assert_string_equal(no, "it is abc");
	hide_echo(no, (struct span){NULL, 0});
	assert_string_equal(no, "it is abc");
}

static void
begun(void **state)
{
	char text[] = "no dG9rZW4x, nor dG9rZW4xYWJj-_9, but XdG9rZW4xa!";
	char no[] = "dG9rZW4";

	(void)state;
	hide_begun(text, "dG9rZW4x");
	assert_string_equal(text, "no [...], nor [...], but X[...]!");
	hide_begun(no, "dG9rZW4x");
	hide_begun(no, "dG9");
	hide_begun(no, "");
	assert_string_equal(no, "dG9rZW4");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(said_back),
	    cmocka_unit_test(short_ones),
	    cmocka_unit_test(begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
