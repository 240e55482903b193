/* SPDX-License-Identifier: ISC */
/* url: the contract's vectors; what is refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "url.h"
#include "vec.h"

static void
check_vector(const struct json_doc *doc)
{
	static const struct {
		const char *name;
		enum url_use use;
	} uses[] = {
	    {"dial", URL_DIAL},
	    {"provision", URL_PROVISION},
	    {"enroll", URL_ENROLL},
	    {"policy", URL_POLICY},
	    {"media", URL_MEDIA},
	};
	char out[2048];
	struct span want, path;
	struct url u;
	size_t i;
	int n;

	want = json_str_raw(doc, json_get(doc, JSON_ROOT, "url"));
	assert_null(url_parse(&u, want));
	for (i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		want =
		    json_str_raw(doc, json_get(doc, JSON_ROOT, uses[i].name));
		assert_non_null(want.p);
		n = url_text(&u, uses[i].use, out, sizeof(out));
		assert_int_equal(n, want.len);
		assert_memory_equal(out, want.p, want.len);
		/* The path is the end of the URL. */
		n = url_path(&u, uses[i].use, out, sizeof(out));
		assert_true(n > 0 && (size_t)n < want.len);
		path = (struct span){want.p + want.len - n, (size_t)n};
		assert_true(span_eq(path, span_str(out)));
		/* Exactly enough room, and one byte less. */
		assert_int_equal(
		    url_path(&u, uses[i].use, out, (size_t)n + 1), n);
		assert_int_equal(url_path(&u, uses[i].use, out, (size_t)n), -1);
	}
}

static void
test_the_vectors_derive_as_written(void **state)
{
	(void)state;
	vec_cases("tests/vectors/urls.json", 10, check_vector);
}

static void
test_parts(void **state)
{
	static const struct {
		const char *url, *host, *authority, *base;
		unsigned tls, port, ipv6, loopback;
	} cases[] = {
	    {"https://C.Example", "c.example", "C.Example", "", 1, 443, 0, 0},
	    {"HTTP://c.example", "c.example", "c.example", "", 0, 80, 0, 0},
	    {"wss://c.example:8443/x/y/", "c.example", "c.example:8443", "/x/y",
		1, 8443, 0, 0},
	    {"ws://[::1]:65535/relay", "::1", "[::1]:65535", "", 0, 65535, 1,
		1},
	    {"https://[2001:DB8::1]/", "2001:db8::1", "[2001:DB8::1]", "", 1,
		443, 1, 0},
	    {"http://127.255.0.1:1/", "127.255.0.1", "127.255.0.1:1", "", 0, 1,
		0, 1},
	    {"http://128.0.0.1", "128.0.0.1", "128.0.0.1", "", 0, 80, 0, 0},
	    {"http://LocalHost", "localhost", "LocalHost", "", 0, 80, 0, 1},
	    {"http://localhost.example", "localhost.example",
		"localhost.example", "", 0, 80, 0, 0},
	    {"http://127.example", "127.example", "127.example", "", 0, 80, 0,
		0},
	    {"\t https://a_b-c.d:443/p%20q/~r/relay/\r\n", "a_b-c.d",
		"a_b-c.d:443", "/p%20q/~r", 1, 443, 0, 0},
	    {"https://c/relay/relay", "c", "c", "/relay", 1, 443, 0, 0},
	    {"https://c/myrelay", "c", "c", "/myrelay", 1, 443, 0, 0},
	    {"https://c/a//relay//", "c", "c", "/a", 1, 443, 0, 0},
	};
	struct url u;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if ((why = url_parse(&u, span_str(cases[i].url))) != NULL)
			fail_msg("%s: %s", cases[i].url, why);
		assert_string_equal(u.host, cases[i].host);
		assert_string_equal(u.authority, cases[i].authority);
		assert_string_equal(u.base, cases[i].base);
		assert_int_equal(u.tls, cases[i].tls);
		assert_int_equal(u.port, cases[i].port);
		assert_int_equal(u.ipv6, cases[i].ipv6);
		assert_int_equal(url_is_loopback(&u), cases[i].loopback);
	}
}

static void
test_what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *url;
		const char *word; /* of the phrase */
	} cases[] = {
	    {"", "empty"},
	    {" \n", "empty"},
	    {"c.example", "begin with"},
	    {"ftp://c.example", "begin with"},
	    {"https:/c.example", "begin with"},
	    {"https//c.example", "begin with"},
	    {"https://", "no host"},
	    {"https:///relay", "no host"},
	    {"https://:443", "no host"},
	    {"https://u:p@c.example", "user name"},
	    {"https://c.example/@", "user name"},
	    {"https://c.example?x=1", "query"},
	    {"https://c.example/relay?", "query"},
	    {"https://c.example/#f", "fragment"},
	    {"https://c.example:", "port"},
	    {"https://c.example:0", "port"},
	    {"https://c.example:080", "port"},
	    {"https://c.example:65536", "port"},
	    {"https://c.example:123456", "port"},
	    {"https://c.example:8o80", "port"},
	    {"https://c.example:-1", "port"},
	    {"https://a:1:2", "port"},
	    {"https://::1", "no host"},
	    {"https://[", "bracket"},
	    {"https://[::1", "bracket"},
	    {"https://[::1]8080", "other than a port"},
	    {"https://[]", "no host"},
	    {"https://[::g]", "IPv6"},
	    {"https://[fe80::1%25eth0]", "IPv6"},
	    {"https://[127.0.0.1]", "IPv6"},
	    {"https://a..b", "label"},
	    {"https://.a", "label"},
	    {"https://a.", "label"},
	    {"https://-a.b", "begins or ends with -"},
	    {"https://a-.b", "begins or ends with -"},
	    {"https://1.2.3", "IPv4"},
	    {"https://256.1.1.1", "IPv4"},
	    {"https://1.2.3.4.5", "IPv4"},
	    {"https://2130706433", "IPv4"},
	    {"https://a,b", "character"},
	    {"https://a%41", "character"},
	    {"https://c\\d", "character"},
	    {"https://b\xc3\xbc"
	     "cher.example",
		"ASCII"},
	    {"https://c.example/a b", "space"},
	    {"https://c.example/a\tb", "control"},
	    {"https://c.example/\x7f", "control"},
	    {"https://c.example/a\r\nHost: evil", "control"},
	    {"https://c.example/a\"b", "%XX"},
	    {"https://c.example/a\\b", "%XX"},
	    {"https://c.example/a%2", "hexadecimal"},
	    {"https://c.example/a%g0", "hexadecimal"},
	    {"https://c.example/../x", "segments"},
	    {"https://c.example/x/./y", "segments"},
	    {"https://c.example/x/..", "segments"},
	};
	struct url u;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = url_parse(&u, span_str(cases[i].url));
		if (why == NULL || strstr(why, cases[i].word) == NULL)
			fail_msg("%s: %s", cases[i].url,
			    why == NULL ? "accepted" : why);
	}
	/* A NUL is a control character too. */
	why = url_parse(&u, SPAN_LIT("https://c.example\0.evil"));
	assert_non_null(why);
	assert_non_null(url_parse(&u, (struct span){NULL, 0}));
}

static void
test_bounds(void **state)
{
	char host[URL_HOST_MAX + 2], text[URL_PATH_MAX + 400];
	struct url u;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < sizeof(host) - 1; i++)
		host[i] = i % 60 == 59 ? '.' : 'a';
	host[URL_HOST_MAX + 1] = '\0';
	snprintf(text, sizeof(text), "https://%s", host);
	assert_non_null(url_parse(&u, span_str(text)));
	host[URL_HOST_MAX] = '\0';
	snprintf(text, sizeof(text), "https://%s:65535", host);
	assert_null(url_parse(&u, span_str(text)));
	assert_string_equal(u.host, host);
	memset(host, 'a', 64);
	snprintf(text, sizeof(text), "https://%s", host);
	assert_non_null(url_parse(&u, span_str(text)));
	n = snprintf(text, sizeof(text), "https://c/");
	memset(text + n, 'p', URL_PATH_MAX);
	text[n + URL_PATH_MAX] = '\0';
	assert_non_null(url_parse(&u, span_str(text)));
	text[n + URL_PATH_MAX - 1] = '\0';
	assert_null(url_parse(&u, span_str(text)));
	assert_int_equal(strlen(u.base), URL_PATH_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_vectors_derive_as_written),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_what_is_wrong_is_said),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
