/* SPDX-License-Identifier: ISC */
/* base64: RFC 4648's vectors, and every byte against OpenSSL's encoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include <cmocka.h>

#include "base64.h"

static void
test_rfc_4648_vectors(void **state)
{
	static const struct {
		const char *in, *plain, *url;
	} cases[] = {
	    {"", "", ""},
	    {"f", "Zg==", "Zg"},
	    {"fo", "Zm8=", "Zm8"},
	    {"foo", "Zm9v", "Zm9v"},
	    {"foob", "Zm9vYg==", "Zm9vYg"},
	    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
	    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
	    {"\xfb\xff\xbf", "+/+/", "-_-_"},
	};
	char out[BASE64_LEN(6) + 1];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].in);

		assert_int_equal(
		    base64_encode(out, cases[i].in, n), strlen(cases[i].plain));
		assert_string_equal(out, cases[i].plain);
		assert_int_equal(base64url_encode(out, cases[i].in, n),
		    strlen(cases[i].url));
		assert_string_equal(out, cases[i].url);
	}
}

static void
test_all_bytes_and_lengths_agree_with_openssl(void **state)
{
	unsigned char in[300], want[BASE64_LEN(300) + 1];
	size_t len, i, n;
	char *out;

	(void)state;
	for (len = 0; len <= sizeof(in); len++) {
		for (i = 0; i < len; i++)
			in[i] = (unsigned char)(i * 151 + len * 7);
		EVP_EncodeBlock(want, in, (int)len);
		/* Exactly the room that is asked for. */
		out = malloc(BASE64_LEN(len) + 1);
		assert_non_null(out);
		assert_int_equal(base64_encode(out, in, len), BASE64_LEN(len));
		assert_string_equal(out, (char *)want);
		n = base64url_encode(out, in, len);
		assert_int_equal(n, (len * 4 + 2) / 3);
		for (i = 0; i < n; i++)
			assert_int_equal(out[i],
			    want[i] == '+'	 ? '-'
				: want[i] == '/' ? '_'
						 : want[i]);
		assert_int_equal(out[n], '\0');
		free(out);
	}
}

/* What is decoded is what was encoded; and what is not base64 is told. */
static void
test_decode(void **state)
{
	static const char *const bad[] = {"Zg", "Zg=", "Zg===", "Z===", "=",
	    "====", "Zm9v\n", "Zm 9", "Zm9-", "Zg==Zg==", "Z=g="};
	unsigned char in[64];
	char text[BASE64_LEN(64) + 1], out[BASE64_LEN(64)];
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 151 + 7);
	for (n = 0; n <= sizeof(in); n++) {
		i = base64_encode(text, in, n);
		assert_int_equal(base64_decode(out, (struct span){text, i}), n);
		assert_memory_equal(out, in, n);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(out, span_str(bad[i])), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rfc_4648_vectors),
	    cmocka_unit_test(test_decode),
	    cmocka_unit_test(test_all_bytes_and_lengths_agree_with_openssl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
