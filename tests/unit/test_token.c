/* SPDX-License-Identifier: ISC */
/* Tokens: the contract's vectors, RFC 4231's for HMAC, and what is never
 * minted.  Run from the top of the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../../relay-authd/token.c"
#include "json.h"

#define VECTORS "tests/vectors/tokens.json"

static struct token_work work;

static struct span
read_vectors(void)
{
	static char text[65536];
	FILE *f = fopen(VECTORS, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text), f);
	assert_true(n > 0 && n < sizeof(text));
	fclose(f);
	return (struct span){text, n};
}

static void
check_case(struct span text)
{
	static struct json_doc doc;
	char id[TOKEN_ID_MAX + 1], secret[LIMIT_SECRET + 1],
	    want[LIMIT_TOKEN + 1];
	char out[LIMIT_TOKEN + 1];
	struct span i, s, t;
	int64_t exp;
	size_t n;

	assert_int_equal(json_parse(&doc, text.p, text.len, 1), 0);
	i = json_str(
	    &doc, json_get(&doc, JSON_ROOT, "gateway_id"), id, sizeof(id));
	s = json_str(
	    &doc, json_get(&doc, JSON_ROOT, "secret"), secret, sizeof(secret));
	t = json_str(
	    &doc, json_get(&doc, JSON_ROOT, "token"), want, sizeof(want));
	assert_true(i.p != NULL && s.p != NULL && t.p != NULL);
	assert_int_equal(json_int(&doc, json_get(&doc, JSON_ROOT, "exp"), 0,
			     INT64_MAX, &exp),
	    0);
	n = token_build(&work, s, i, exp, out);
	assert_int_equal(n, t.len);
	assert_memory_equal(out, t.p, n);
	assert_int_equal(out[n], '\0');
}

static void
contract_vectors(void **state)
{
	static struct json_doc doc;
	struct span text = read_vectors(), cases, elem;
	size_t pos = 0;
	int n = 0;

	(void)state;
	assert_int_equal(json_parse(&doc, text.p, text.len, 1), 0);
	cases = json_raw(&doc, json_get(&doc, JSON_ROOT, "cases"));
	assert_non_null(cases.p);
	while (json_each(cases, &pos, &elem) == 1) {
		check_case(elem);
		n++;
	}
	assert_true(n >= 5);
}

/* RFC 4231, cases 1 to 4, 6 and 7. */
static void
hmac_vectors(void **state)
{
	static const char big_key[131] = {[0 ... 130] = (char)0xaa};
	static const char key1[20] = {[0 ... 19] = 0x0b};
	static const char key3[20] = {[0 ... 19] = (char)0xaa};
	static const char data3[50] = {[0 ... 49] = (char)0xdd};
	static const char data4[50] = {[0 ... 49] = (char)0xcd};
	static const char key4[25] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	    14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25};
	static const struct {
		struct span key, text;
		const char *mac;
	} v[] = {
	    {{key1, 20}, {"Hi There", 8},
		"b0344c61d8db38535ca8afceaf0bf12b"
		"881dc200c9833da726e9376c2e32cff7"},
	    {{"Jefe", 4}, {"what do ya want for nothing?", 28},
		"5bdcc146bf60754e6a042426089575c7"
		"5a003f089d2739839dec58b964ec3843"},
	    {{key3, 20}, {data3, 50},
		"773ea91e36800e46854db8ebd09181a7"
		"2959098b3ef8c122d9635514ced565fe"},
	    {{key4, 25}, {data4, 50},
		"82558a389a443c0ea4cc819899f2083a"
		"85f0faa3e578f8077a2e3ff46729665b"},
	    {{big_key, 131},
		{"Test Using Larger Than Block-Size Key - Hash Key First", 54},
		"60e431591ee0b67f0d8a26aacbf5b77f"
		"8e0bc6213728c5140546040f0ee37f54"},
	    {{big_key, 131},
		{"This is a test using a larger than block-size key and a "
		 "larger than block-size data. The key needs to be hashed "
		 "before being used by the HMAC algorithm.",
		    152},
		"9b09ffa71b942fcb27635fbcd5b0e944"
		"bfdc63644f0713938a7f51535c3a35e2"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		char got[65] = "";

		token_hmac(&work, v[i].key, v[i].text);
		for (int b = 0; b < 32; b++)
			snprintf(got + 2 * b, 3, "%02x", work.mac[b]);
		assert_string_equal(got, v[i].mac);
	}
}

/* A key of exactly one block, and one byte more. */
static void
keys_around_a_block(void **state)
{
	char key[65];
	uint8_t a[32];

	(void)state;
	memset(key, 'k', sizeof(key));
	token_hmac(&work, (struct span){key, 64}, SPAN_LIT("x"));
	memcpy(a, work.mac, sizeof(a));
	token_hmac(&work, (struct span){key, 65}, SPAN_LIT("x"));
	assert_memory_not_equal(a, work.mac, sizeof(a));
}

static void
hex_digits(void **state)
{
	const char *digits = "0123456789abcdef";

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(hex(i), digits[i]);
}

static void
longest_id(void **state)
{
	char id[TOKEN_ID_MAX + 1], out[LIMIT_TOKEN + 1];
	size_t n;

	(void)state;
	memset(id, 'i', sizeof(id));
	n = token_build(&work, SPAN_LIT("s"), (struct span){id, TOKEN_ID_MAX},
	    INT64_MAX, out);
	assert_true(n > 0 && n <= LIMIT_TOKEN);
	n = token_build(&work, SPAN_LIT("s"),
	    (struct span){id, TOKEN_ID_MAX + 1}, INT64_MAX, out);
	assert_int_equal(n, 0);
}

static void
minted_tokens_expire(void **state)
{
	char out[LIMIT_TOKEN + 1], same[LIMIT_TOKEN + 1];
	int64_t exp = -1;
	size_t n;

	(void)state;
	n = token_mint(&work, SPAN_LIT("s"), SPAN_LIT("g"), 1000, &exp, out);
	assert_int_equal(exp, 1300);
	assert_int_equal(
	    n, token_build(&work, SPAN_LIT("s"), SPAN_LIT("g"), 1300, same));
	assert_memory_equal(out, same, n);
	assert_int_equal(
	    token_mint(&work, SPAN_LIT("s"), SPAN_LIT("g"), 0, &exp, out), 0);
	assert_int_equal(
	    token_mint(&work, SPAN_LIT("s"), SPAN_LIT("g"), -300, &exp, out),
	    0);
}

static void
work_is_wiped(void **state)
{
	static const struct token_work zero;
	char out[LIMIT_TOKEN + 1];

	(void)state;
	memset(&work, 0xff, sizeof(work));
	token_build(&work, SPAN_LIT("secret"), SPAN_LIT("g"), 1, out);
	assert_memory_equal(&work, &zero, sizeof(work));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(contract_vectors),
	    cmocka_unit_test(hmac_vectors),
	    cmocka_unit_test(keys_around_a_block),
	    cmocka_unit_test(hex_digits),
	    cmocka_unit_test(longest_id),
	    cmocka_unit_test(minted_tokens_expire),
	    cmocka_unit_test(work_is_wiped),
	};

	return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
