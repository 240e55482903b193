/* SPDX-License-Identifier: ISC */
/* Configuration: the environment. */
#include "conf_help.h"

/* Environment in, and what comes of it. */
#define ENV(...)                  \
	(char *const[])           \
	{                         \
		__VA_ARGS__, NULL \
	}

static void
test_env_alone(void **state)
{
	struct warnings w;
	struct conf *c = good_env(NULL,
	    ENV((char[]){"GATEWAY_RELAY_URL= wss://c.example/relay "},
		(char[]){"GATEWAY_RELAY_ID=gw:1"},
		(char[]){"GATEWAY_RELAY_SECRET=xx"},
		(char[]){"GATEWAY_RELAY_PLATFORM=discord"},
		(char[]){"GATEWAY_RELAY_BOT_ID=77"},
		(char[]){"GATEWAY_RELAY_ENDPOINT="}),
	    &w);
	const struct conf_gateway *g = &c->gateway[0];

	(void)state;
	assert_int_equal(w.n, 0);
	assert_null(c->path);
	assert_string_equal(g->name, "main");
	assert_int_equal(g->line, 0);
	assert_string_equal(g->url_text, "wss://c.example/relay");
	assert_string_equal(g->id, "gw:1");
	assert_int_equal(g->secret.from_env, 1);
	assert_int_equal(g->nidentity, 1);
	assert_string_equal(g->identity[0].bot_id, "77");
	assert_int_equal(g->agents.window, 64);
	assert_null(g->endpoint);
	conf_free(c);
}

static void
test_env_over_file(void **state)
{
	static const char text[] =
	    HEAD URL_LINE "    id: f\n"
			  "    identities:\n"
			  "      - {platform: discord, bot_id: f1}\n"
			  "      - {platform: slack, bot_id: f2, username: u}\n"
			  "    identity_token: {file: /x}\n";
	struct warnings w;
	struct conf *c = good_env(text,
	    ENV((char[]){"GATEWAY_RELAY_URL=http://localhost:1"},
		(char[]){"GATEWAY_RELAY_PLATFORMS=slack, telegram ,x-y"},
		(char[]){"GATEWAY_RELAY_BOT_IDS={\"telegram\":{\"botId\":"
			 "\"t\\u0041\",\"username\":\"n\"},\"x-y\":{\"botId\":"
			 "9007199254740993}}"},
		(char[]){"X_Y_ALLOW_BOTS=all"},
		(char[]){"GATEWAY_RELAY_ROUTE_KEYS=a,b"},
		(char[]){"GATEWAY_RELAY_IDP_TOKEN_URL=https://i.example"},
		(char[]){"GATEWAY_RELAY_IDP_CLIENT_ID=i"},
		(char[]){"GATEWAY_RELAY_IDP_CLIENT_SECRET=s"}),
	    &w);
	const struct conf_gateway *g = &c->gateway[0];

	(void)state;
	assert_string_equal(g->url.host, "localhost");
	assert_string_equal(g->id, "f");
	assert_int_equal(g->nidentity, 3);
	assert_string_equal(g->identity[0].platform, "slack");
	assert_string_equal(g->identity[0].bot_id, "f2");
	assert_string_equal(g->identity[0].username, "u");
	assert_string_equal(g->identity[1].bot_id, "tA");
	assert_string_equal(g->identity[1].username, "n");
	assert_string_equal(g->identity[2].bot_id, "9007199254740993");
	assert_int_equal(g->identity[2].allow_bots, BOTS_ALL);
	assert_int_equal(g->nroute_keys, 2);
	assert_null(g->token.file);
	assert_string_equal(g->token.oidc_url, "https://i.example");
	assert_int_equal(g->token.oidc_secret_from_env, 1);
	assert_int_equal(g->secret.from_env, 0);
	assert_string_equal(g->token.oidc.host, "i.example");
	assert_string_equal(g->token.oidc_target, "");
	assert_int_equal(w.n, 0);
	conf_free(c);
}

static void
test_env_completes_file(void **state)
{
	struct warnings w;
	struct conf *c = good_env("gateways:\n  main: {tls: {ca_file: /x}}\n",
	    ENV((char[]){"GATEWAY_RELAY_URL=https://e.example"},
		(char[]){"GATEWAY_RELAY_PLATFORM=slack"}),
	    &w);

	(void)state;
	assert_string_equal(c->gateway[0].tls.ca_file, "/x");
	assert_string_equal(c->gateway[0].identity[0].bot_id, "");
	conf_free(c);
	c = good_env("# all remarks\n",
	    ENV((char[]){"GATEWAY_RELAY_URL=https://e.example"},
		(char[]){"GATEWAY_RELAY_PLATFORM=slack"}),
	    &w);
	assert_string_equal(c->gateway[0].name, "main");
	conf_free(c);
}

static void
test_env_bot_ids(void **state)
{
	static const struct {
		const char *value, *warning;
	} cases[] = {
	    {"{", "is not a JSON object"},
	    {"[]", "is not a JSON object"},
	    {"{\"discord\":1}", "what it says of discord"},
	    {"{\"discord\":{\"botId\":true}}", "what it says of discord"},
	    {"{\"discord\":{\"botId\":\"\\u0000\"}}", "of discord"},
	    {"{\"discord\":{\"botId\":\"\\n\"}}", "of discord"},
	    {"{\"slack\":{}}", "the platform slack, which"},
	    {"{\"\\u001b[2J\":{}}", "does not front"},
	};
	struct warnings w;
	struct conf *c;
	char var[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(var, sizeof(var), "GATEWAY_RELAY_BOT_IDS=%s",
		    cases[i].value);
		c = good_env(NULL,
		    ENV((char[]){"GATEWAY_RELAY_URL=https://e.example"},
			(char[]){"GATEWAY_RELAY_PLATFORMS=discord"}, var),
		    &w);
		assert_string_equal(c->gateway[0].identity[0].bot_id, "");
		assert_int_equal(w.n, 1);
		assert_true(is_printable(w.text[0]));
		if (strncmp(w.text[0],
			"environment: GATEWAY_RELAY_BOT_IDS: ", 36) != 0 ||
		    strstr(w.text[0], cases[i].warning) == NULL)
			fail_msg("%s: %s", cases[i].value, w.text[0]);
		conf_free(c);
	}
}

/* It was to override the file's ids, which may be another bot's; the only
 * one's own variable is another matter. */
static void
test_env_bot_ids_over_file(void **state)
{
	struct warnings w;
	struct conf *c;

	(void)state;
	c = good_env(GOOD, ENV((char[]){"GATEWAY_RELAY_BOT_IDS={"}), &w);
	assert_string_equal(c->gateway[0].identity[0].bot_id, "");
	assert_int_equal(w.n, 1);
	conf_free(c);
	c = good_env(GOOD,
	    ENV((char[]){"GATEWAY_RELAY_BOT_IDS={"},
		(char[]){"GATEWAY_RELAY_BOT_ID=e"}),
	    &w);
	assert_string_equal(c->gateway[0].identity[0].bot_id, "e");
	conf_free(c);
}

#define TWO GOOD "  two:\n" URL_LINE ID_LINE "    id: other\n"

static void
test_env_bad(void **state)
{
	static const struct {
		const char *text, *env[3];
		const char *begin, *has;
	} cases[] = {
	    {TWO, {"GATEWAY_RELAY_ID=x"},
		"environment: GATEWAY_RELAY_ID: ", "names 2 gateways"},
	    {TWO, {"GATEWAY_RELAY_SECRET=x"},
		"environment: GATEWAY_RELAY_SECRET: ", "unset it"},
	    {TWO, {"GATEWAY_RELAY_ENROLL_TOKEN=x"},
		"environment: GATEWAY_RELAY_ENROLL_TOKEN: ", "unset it"},
	    {TWO, {"DISCORD_ALLOW_BOTS=all"},
		"environment: DISCORD_ALLOW_BOTS: ", "unset it"},
	    {NULL, {"GATEWAY_RELAY_ID=x"}, "environment: GATEWAY_RELAY_URL: ",
		"is not set although GATEWAY_RELAY_ID is"},
	    {NULL, {"HOME=/"},
		"environment: gateways: ", "there is no gateway"},
	    {NULL, {E_URL},
		"environment: GATEWAY_RELAY_PLATFORM: ", "is not set"},
	    {NULL, {"GATEWAY_RELAY_URL=x", DISCORD},
		"environment: GATEWAY_RELAY_URL: ", ""},
	    {NULL, {"GATEWAY_RELAY_URL=http://e.example", DISCORD},
		"environment: GATEWAY_RELAY_URL: ", "without TLS"},
	    {NULL, {E_URL, "GATEWAY_RELAY_PLATFORM=a,b"},
		"environment: GATEWAY_RELAY_PLATFORM: ",
		"GATEWAY_RELAY_PLATFORMS for several"},
	    {NULL, {E_URL, "GATEWAY_RELAY_PLATFORMS=A"},
		"environment: GATEWAY_RELAY_PLATFORMS: ", "lower-case"},
	    {NULL, {E_URL, "GATEWAY_RELAY_PLATFORMS=,"},
		"environment: GATEWAY_RELAY_PLATFORMS: ", "no platform"},
	    {NULL, {E_URL, "GATEWAY_RELAY_PLATFORMS=a,a"},
		"environment: GATEWAY_RELAY_PLATFORMS: ", "names a twice"},
	    {NULL,
		{E_URL, "GATEWAY_RELAY_PLATFORMS=a,b",
		    "GATEWAY_RELAY_BOT_ID=1"},
		"environment: GATEWAY_RELAY_BOT_ID: ",
		"set GATEWAY_RELAY_BOT_IDS"},
	    {NULL, {E_URL, "GATEWAY_RELAY_BOT_ID=1"},
		"environment: GATEWAY_RELAY_BOT_ID: ",
		"set GATEWAY_RELAY_PLATFORM too"},
	    {NULL, {E_URL, DISCORD, "DISCORD_ALLOW_BOTS=mention"},
		"environment: DISCORD_ALLOW_BOTS: ", "did you mean mentions?"},
	    {NULL, {E_URL, DISCORD, "GATEWAY_RELAY_ID=\xff"},
		"environment: GATEWAY_RELAY_ID: ", "UTF-8"},
	    {GOOD,
		{"GATEWAY_RELAY_IDP_TOKEN_URL=http://i.example/t",
		    "GATEWAY_RELAY_IDP_CLIENT_ID=x",
		    "GATEWAY_RELAY_IDP_CLIENT_SECRET=x"},
		"environment: GATEWAY_RELAY_IDP_*: ", "without TLS"},
	    {GOOD,
		{"GATEWAY_RELAY_IDP_TOKEN_URL=https://i.example/t",
		    "GATEWAY_RELAY_IDP_CLIENT_SECRET=x"},
		"environment: GATEWAY_RELAY_IDP_*: ",
		"a client secret without client_id"},
	    {GOOD, {"GATEWAY_RELAY_IDP_TOKEN_URL=https://i.example/t#f"},
		"environment: GATEWAY_RELAY_IDP_TOKEN_URL: ", "fragment"},
	    {GOOD, {"GATEWAY_RELAY_IDP_CLIENT_ID=x"},
		"environment: GATEWAY_RELAY_IDP_*: ", "token URL"},
	};
	struct warnings w;
	struct conf_error e;
	char env[3][80], *vec[4];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = 0;

		for (; n < 3 && cases[i].env[n] != NULL; n++) {
			strlcpy(env[n], cases[i].env[n], sizeof(env[n]));
			vec[n] = env[n];
		}
		vec[n] = NULL;
		assert_null(parse_env(cases[i].text, vec, &w, &e));
		if (strncmp(e.text, cases[i].begin, strlen(cases[i].begin)) !=
			0 ||
		    strstr(e.text, cases[i].has) == NULL)
			fail_msg("told: %s\nexpected: %s%s", e.text,
			    cases[i].begin, cases[i].has);
	}
}

static void
test_env_unknown(void **state)
{
	struct warnings w;
	struct conf *c = good_env(GOOD,
	    ENV((char[]){"GATEWAY_RELAY_ULR=x"}, (char[]){"HTTPS_PROXY=x"}),
	    &w);

	(void)state;
	assert_int_equal(w.n, 1);
	assert_non_null(strstr(w.text[0], "did you mean GATEWAY_RELAY_URL?"));
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_env_alone),
	    cmocka_unit_test(test_env_over_file),
	    cmocka_unit_test(test_env_completes_file),
	    cmocka_unit_test(test_env_bot_ids),
	    cmocka_unit_test(test_env_bot_ids_over_file),
	    cmocka_unit_test(test_env_bad),
	    cmocka_unit_test(test_env_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
