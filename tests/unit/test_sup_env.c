/* SPDX-License-Identifier: ISC */
/* sup_env, sup_proxy: secrets leave the environment, and which proxy is
 * taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include "../../relayd/sup_env.c"
#include "../../relayd/sup_proxy.c"

/* An environment as the kernel lays it: strings one after the other. */
struct block {
	char bytes[2048];
	size_t len;
	char *env[16];
	size_t n;
};

static void
put(struct block *b, const char *entry)
{
	size_t len = strlen(entry) + 1;

	assert_true(b->n + 1 < 16 && b->len + len < sizeof(b->bytes));
	memcpy(b->bytes + b->len, entry, len);
	b->env[b->n++] = b->bytes + b->len;
	b->env[b->n] = NULL;
	b->len += len;
}

/* What rests in a sealed descriptor. */
static void
expect_sealed(int fd, const char *want)
{
	uint32_t len;
	char *p;

	assert_int_not_equal(fd, -1);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	memcpy(&len, p, sizeof(len));
	assert_int_equal(len, strlen(want));
	assert_memory_equal(p + sizeof(len), want, len);
	munmap(p, 4096);
}

static void
test_nothing_is_left(void **state)
{
	struct block b = {0};
	struct sup_env e;
	size_t i;

	(void)state;
	put(&b, "PATH=/bin");
	put(&b, "GATEWAY_RELAY_SECRET=s3cret");
	put(&b, "GATEWAY_RELAY_DELIVERY_KEY= \t");
	put(&b, "GATEWAY_RELAY_ENROLL_TOKEN=tok");
	put(&b, "GATEWAY_RELAY_IDP_CLIENT_SECRET=idp");
	put(&b, "HTTPS_PROXY=http://us%65r:p%40ss@proxy:3128/");
	put(&b, "GATEWAY_RELAY_URL=https://c.example");
	put(&b, "DISCORD_ALLOW_BOTS=all");
	put(&b, "UNRELATED_API_KEY=abc");
	put(&b, "GATEWAY_RELAY_SECRET=another");
	assert_int_equal(sup_env_take(&e, b.env, NULL, 0), 0);
	for (i = 0; i < b.len; i++)
		assert_int_equal(b.bytes[i], 0);
	assert_null(b.env[0]);

	expect_sealed(e.sealed[SEALED_SECRET], "s3cret");
	expect_sealed(e.sealed[SEALED_ENROLL_TOKEN], "tok");
	expect_sealed(e.sealed[SEALED_IDP_SECRET], "idp");
	assert_int_equal(e.sealed[SEALED_DELIVERY_KEY], -1);
	expect_sealed(e.sealed[SEALED_PROXY + 1], "user:p@ss");
	assert_string_equal(
	    sup_env_get(&e, "HTTPS_PROXY"), "http://proxy:3128/");
	assert_string_equal(
	    sup_env_get(&e, "GATEWAY_RELAY_URL"), "https://c.example");
	assert_string_equal(sup_env_get(&e, "DISCORD_ALLOW_BOTS"), "all");
	/* That there was one is known, and no more. */
	assert_string_equal(sup_env_get(&e, "GATEWAY_RELAY_SECRET"), "sealed");
	assert_null(sup_env_get(&e, "GATEWAY_RELAY_DELIVERY_KEY"));
	assert_null(sup_env_get(&e, "UNRELATED_API_KEY"));
	assert_null(sup_env_get(&e, "PATH"));
	sup_env_free(&e);
}

/* Variables that the configuration names are secrets like the others; what it
 * did not name is forgotten. */
static void
test_named(void **state)
{
	char *names[] = {"TOKEN_A", "TOKEN_B", "TOKEN_A", "BLANK"};
	struct block b = {0};
	struct sup_env e;
	size_t i;

	(void)state;
	put(&b, "TOKEN_A=first");
	put(&b, "TOKEN_AB=no");
	put(&b, "BLANK= ");
	put(&b, "TOKEN_A=second");
	assert_int_equal(sup_env_take(&e, b.env, names, 4), 0);
	for (i = 0; i < b.len; i++)
		assert_int_equal(b.bytes[i], 0);
	expect_sealed(sup_env_named(&e, "TOKEN_A"), "first");
	assert_int_equal(sup_env_named(&e, "TOKEN_B"), -1);
	assert_int_equal(sup_env_named(&e, "BLANK"), -1);
	assert_int_equal(sup_env_named(&e, "TOKEN_AB"), -2);
	assert_int_equal(e.nnamed, 3);
	assert_null(sup_env_get(&e, "TOKEN_A"));
	sup_env_free(&e);
}

static void
test_empty(void **state)
{
	char *none[] = {NULL};
	struct sup_env e;

	(void)state;
	assert_int_equal(sup_env_take(&e, none, NULL, 0), 0);
	assert_null(sup_env_get(&e, "HOME"));
	assert_null(e.var[0]);
	sup_env_free(&e);
}

static void
test_no_proxy(void **state)
{
	static const struct {
		const char *list, *host;
		uint16_t port;
		int covered;
	} t[] = {
	    {NULL, "a.example", 443, 0},
	    {"", "a.example", 443, 0},
	    {"*", "a.example", 443, 1},
	    {"example", "a.example", 443, 1},
	    {".example", "a.example", 443, 1},
	    {".example", "example", 443, 1},
	    {"*.example", "a.EXAMPLE", 443, 1},
	    {"ample", "a.example", 443, 0},
	    {"x, a.example ,y", "a.example", 443, 1},
	    {"b.a.example", "a.example", 443, 0},
	    {"a.example:443", "a.example", 443, 1},
	    {"a.example:8443", "a.example", 443, 0},
	    {"10.0.0.1", "10.0.0.1", 443, 1},
	    {"::1", "::1", 443, 1},
	    {",,", "a", 443, 0},
	    {":443", "a", 443, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (proxy_env_excepts(t[i].list, t[i].host, t[i].port) !=
		    t[i].covered)
			fail_msg("\"%s\" and %s:%u",
			    t[i].list == NULL ? "" : t[i].list, t[i].host,
			    t[i].port);
}

/* The proxy of a gateway under an environment of at most two variables. */
static const char *
proxy_of(struct sup_proxy *p, const char *url, int set, const char *one,
    const char *two)
{
	struct conf_gateway g = {0};
	struct block b = {0};
	struct sup_env e;
	const char *why, *var;

	assert_null(url_parse(&g.url, span_str(url)));
	g.proxy.set = set;
	if (one != NULL)
		put(&b, one);
	if (two != NULL)
		put(&b, two);
	b.env[b.n] = NULL;
	assert_int_equal(sup_env_take(&e, b.env, NULL, 0), 0);
	why = sup_proxy(p, &e, &g, &g.url, &var);
	if (why != NULL)
		assert_non_null(var);
	sup_env_free(&e);
	return why;
}

static void
test_proxy(void **state)
{
	struct sup_proxy p;

	(void)state;
	assert_null(proxy_of(&p, "https://c.example", 0, NULL, NULL));
	assert_string_equal(p.host, "");
	assert_null(proxy_of(&p, "https://c.example", 0,
	    "HTTPS_PROXY=http://b:1", "https_proxy=a:3128"));
	assert_string_equal(p.host, "a");
	assert_int_equal(p.port, 3128);
	assert_int_equal(p.sealed, -1);
	assert_null(proxy_of(
	    &p, "https://c.example", 0, "ALL_PROXY=http://u:p@b:81", NULL));
	assert_string_equal(p.host, "b");
	assert_int_equal(p.sealed, SEALED_PROXY + 3);
	/* Not for plain links, nor against "none", nor HTTP_PROXY. */
	assert_null(proxy_of(
	    &p, "http://c.example", 0, "HTTPS_PROXY=http://b:1", NULL));
	assert_string_equal(p.host, "");
	assert_null(proxy_of(
	    &p, "https://c.example", -1, "HTTPS_PROXY=http://b:1", NULL));
	assert_string_equal(p.host, "");
	assert_null(proxy_of(
	    &p, "https://c.example", 0, "HTTP_PROXY=http://b:1", NULL));
	assert_string_equal(p.host, "");
	assert_null(proxy_of(&p, "https://c.example", 0,
	    "HTTPS_PROXY=http://b:1", "NO_PROXY=.example"));
	assert_string_equal(p.host, "");
	/* A proxy that cannot be used is not passed over in silence. */
	assert_non_null(proxy_of(
	    &p, "https://c.example", 0, "ALL_PROXY=socks5://b:1", NULL));
	assert_non_null(proxy_of(
	    &p, "https://c.example", 0, "ALL_PROXY=https://b:1", NULL));
}

/* A token URL: by the gateway's proxy, but for what is this machine's or
 * beside it. */
static void
test_proxy_of_token(void **state)
{
	struct conf_gateway g = {0};
	struct sup_env e = {0};
	struct sup_proxy p;
	const char *var;

	(void)state;
	assert_null(url_parse(&g.url, SPAN_LIT("https://c.example")));
	assert_null(url_parse(&g.proxy.url, SPAN_LIT("http://p.example:81")));
	assert_null(url_parse(&g.token.oidc, SPAN_LIT("https://i.example")));
	g.proxy.set = 1;
	assert_null(sup_proxy(&p, &e, &g, &g.token.oidc, &var));
	assert_string_equal(p.host, "p.example");
	assert_null(url_parse(&g.token.oidc, SPAN_LIT("http://169.254.1.1")));
	assert_null(sup_proxy(&p, &e, &g, &g.token.oidc, &var));
	assert_string_equal(p.host, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_nothing_is_left),
	    cmocka_unit_test(test_named),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_no_proxy),
	    cmocka_unit_test(test_proxy),
	    cmocka_unit_test(test_proxy_of_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
