/* SPDX-License-Identifier: ISC */
/* What a bundle lets through, and the findings of a check that go into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relay-ctl/bundle_hide.c"
#include "../../relay-ctl/bundle_json.c"
#undef DEPTH
#undef M
#include "../../relay-ctl/check_list.c"
#include "../../relay-ctl/field.c"
#include "../../relay-ctl/out.c"
#include "conf_outline.h"

void
ctl_warn(const char *fmt, ...)
{
	(void)fmt;
}

static void
expect(struct buf *b, const char *want)
{
	buf_add(b, "", 1);
	assert_string_equal(buf_span(b).p, want);
	buf_reset(b);
}

static void
test_phrases(void **state)
{
	static const struct {
		const char *text, *shown;
	} t[] = {
	    {"", ""},
	    {"expired", "expired"},
	    {"expiredx", "…"},
	    {"xexpired", "…"},
	    {"Ann", "…"},
	    {"connect to 192.0.2.1:443: Connection refused",
		"connect to … Connection refused"},
	    {"closed by the connector: 1008 Ann said so",
		"closed by the connector 1008 …"},
	    {"credential refused (4401 Ann)", "credential refused 4401 …"},
	    /* the longest counts */
	    {"credential refused again", "credential refused again"},
	    {"discord: connector: HTTP 403: enrol instead; again in 1 s",
		"… connector HTTP 403 enrol instead again in 1 s"},
	    {"HTTP 4031", "…"},
	    {"HTTP Ann", "…"},
	    {"no address for c.example: Name or service not known",
		"no address for … Name or service not known"},
	    {"certificate verify failed: certificate has expired, or",
		"certificate verify failed certificate has expired …"},
	    {"3m12s", "3m12s"},
	    {"400 ms", "400 ms"},
	    {"77", "…"},
	    {"1234 5s", "… 5s"},
	    {"5 Ann", "…"},
	    {"12345678s", "…"},
	    {"\x1b[31m\xff", "…"},
	    {"Ann, expired, Bob", "… expired …"},
	};
	struct buf b;
	size_t i;

	(void)state;
	buf_init(&b, 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		bundle_phrases(&b, span_str(t[i].text));
		expect(&b, t[i].shown);
	}
	buf_free(&b);
}

static void
test_names(void **state)
{
	struct bundle_names names = {0};
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	bundle_name(&names, &b, "gateway", SPAN_LIT("main"));
	expect(&b, "gateway-1");
	bundle_name(&names, &b, "gateway", SPAN_LIT("other"));
	expect(&b, "gateway-2");
	bundle_name(&names, &b, "bot", SPAN_LIT("main"));
	expect(&b, "bot-1");
	bundle_name(&names, &b, "gateway", SPAN_LIT("main"));
	expect(&b, "gateway-1");
	bundle_name(&names, &b, "gateway", SPAN_LIT(""));
	expect(&b, "");
	bundle_url(&names, &b, SPAN_LIT("wss://c.example:8443/tenant-x/relay"));
	expect(&b, "wss://host-1/…");
	bundle_url(&names, &b, SPAN_LIT("https://u:p@c.example?q#f"));
	expect(&b, "https://host-2/…");
	bundle_url(&names, &b, SPAN_LIT("gopher://c.example:8443"));
	expect(&b, "host-3/…");
	assert_false(names.failed);
	bundle_names_free(&names);
	buf_free(&b);
}

static void
hide(struct buf *b, const char *json, unsigned left_out)
{
	struct bundle_names names = {0};

	assert_int_equal(
	    bundle_json(&names, b, DOC_STATUS, span_str(json)), left_out);
	bundle_names_free(&names);
	b->end--; /* the newline */
}

static void
test_json(void **state)
{
	struct json_doc doc;
	struct buf b;
	char long_key[200];

	(void)state;
	buf_init(&b, 0);
	hide(&b, "{\"ok\":true,\"new\":\"secret\"}", 1);
	expect(&b, "{\n  \"ok\": true\n}");
	hide(&b, "{\"pid\":\"7\",\"now\":1.5,\"started\":null}", 0);
	expect(&b,
	    "{\n  \"pid\": \"…\",\n  \"now\": 1.5,\n  \"started\": null\n}");
	/* a key that is written otherwise is another one */
	hide(&b, "{\"p\\u0069d\":7,\"Pid\":7,\"pid \":7}", 3);
	expect(&b, "{\n}");
	hide(&b, "{\"version\":\"0.1.0\",\"schema\":\"a\\u001b[b\"}", 0);
	expect(&b, "{\n  \"version\": \"0.1.0\",\n  \"schema\": \"…\"\n}");
	hide(&b, "{\"version\":\"0.1-ann\",\"schema\":\"relayd.status/1\"}", 0);
	expect(&b,
	    "{\n  \"version\": \"…\",\n  \"schema\": \"relayd.status/1\"\n}");
	/* what is to have members and has none */
	hide(&b, "{\"gateways\":\"x\",\"processes\":5}", 0);
	expect(&b, "{\n  \"gateways\": \"…\",\n  \"processes\": 5\n}");
	hide(&b, "{\"gateways\":[[\"x\"],{\"name\":[\"x\",{\"y\":1}]}]}", 0);
	assert_null(memmem(buf_span(&b).p, buf_len(&b), "x", 1));
	assert_int_equal(json_parse(&doc, buf_span(&b).p, buf_len(&b), 1), 0);
	buf_reset(&b);
	memset(long_key, 'a', sizeof(long_key));
	long_key[0] = '{';
	long_key[1] = '"';
	strlcpy(long_key + 190, "\":1}", 10);
	hide(&b, long_key, 1);
	expect(&b, "{\n}");
	hide(&b, "no json", 0);
	expect(&b, "{}");
	buf_free(&b);
}

static void
show_nothing(void *arg, struct buf *out, const char *key, const char *text)
{
	int *n = arg;

	assert_non_null(key);
	assert_non_null(text);
	(*n)++;
	buf_adds(out, SPAN_LIT("*"));
}

/* All keys, and of the texts nothing that the reader does not let through. */
static void
test_outline(void **state)
{
	static const char text[] =
	    "gateways:\n"
	    "  canary-name:\n"
	    "    url: https://canary.example/canary\n"
	    "    id: canary-id\n"
	    "    identities:\n"
	    "      - {platform: canary, bot_id: canary, username: canary,\n"
	    "         free_response_channels: [canary, canary]}\n"
	    "    identity_token: {command: [/canary, canary], user: canary}\n"
	    "    instance_id: canary\n"
	    "    wake_url: https://canary.example\n"
	    "    display_name: canary\n"
	    "    endpoint: canary\n"
	    "    route_keys: [canary]\n"
	    "    secret: {file: /canary}\n"
	    "    agents: {group: canary, window: 7}\n"
	    "    tls: {ca_file: /canary, server_name: canary.example}\n"
	    "    proxy: {url: \"http://canary:1\", credentials: {file: "
	    "/canary}}\n"
	    "control: {group: canary}\n";
	char *const env[] = {NULL};
	struct conf_error e;
	struct conf *c;
	struct buf b, keys;
	const char *line, *tab, *dot;
	int n = 0;

	(void)state;
	c = conf_parse(
	    "x", text, sizeof(text) - 1, env, "host", NULL, NULL, &e);
	assert_non_null(c);
	buf_init(&b, 0);
	conf_outline(&b, c, show_nothing, &n);
	buf_add(&b, "", 1);
	assert_null(strstr(buf_span(&b).p, "canary"));
	assert_non_null(strstr(buf_span(&b).p, "window: 7\n"));
	assert_non_null(
	    strstr(buf_span(&b).p, "free_response_channels: 2 in a list\n"));
	assert_true(n >= 15);
	buf_init(&keys, 0);
	conf_describe(&keys);
	buf_add(&keys, "", 1);
	for (line = buf_span(&keys).p; *line != '\0';
	     line = strchr(line, '\n') + 1) {
		char key[64];

		tab = strchr(line, '\t');
		for (dot = tab; dot > line && dot[-1] != '.'; dot--)
			;
		snprintf(key, sizeof(key), "%.*s:", (int)(tab - dot), dot);
		assert_non_null(strstr(buf_span(&b).p, key));
	}
	buf_free(&keys);
	buf_free(&b);
	conf_free(c);
}

static void
test_findings(void **state)
{
	struct ctl ctl = {.out = {0, 0}};
	struct check k = {.ctl = &ctl};
	struct check g = {.ctl = &ctl, .guarded = 1};
	struct check *both[] = {&k, &g};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		check_add(both[i], CHECK_FAIL, STEP_NAME, "main",
		    "%s: %d of %zu, mode %04o, 100%%, %.*s\nask %s, %u", "Ann",
		    -3, (size_t)7, 0640U, 3, "Bobby", "Connection refused", 5U);
		check_add(both[i], CHECK_OK, STEP_CLOCK, NULL, "%s differs %ld",
		    "\x1b[1m", 9L);
	}
	assert_string_equal(
	    k.finding[0].what, "Ann: -3 of 7, mode 0640, 100%, Bob");
	assert_string_equal(k.finding[0].todo, "ask Connection refused, 5");
	assert_string_equal(
	    g.finding[0].what, "…: -3 of 7, mode 0640, 100%, …");
	assert_string_equal(g.finding[0].todo, "ask Connection refused, 5");
	assert_string_equal(k.finding[1].what, "\\x1b[1m differs 9");
	assert_string_equal(g.finding[1].what, "… differs 9");
	assert_null(g.finding[1].todo);
	check_copy(&k, 0, "other");
	assert_string_equal(k.finding[2].todo, k.finding[0].todo);
	assert_string_equal(k.finding[2].gateway, "other");
	assert_int_equal(count(&k, CHECK_FAIL), 2);
	assert_false(k.failed);
	check_free(&k);
	check_free(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_phrases),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_outline),
	    cmocka_unit_test(test_findings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
