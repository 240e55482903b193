/* SPDX-License-Identifier: ISC */
/* Configuration: mistakes, and what is said of them. */
#include "conf_help.h"

/* Text, and what the message must begin with and contain. */
static const struct bad {
	const char *text, *begin, *has;
} bads[] = {
    /* Not a configuration at all. */
    {"", "t.yaml: ", "the file is empty; it needs at least a gateway"},
    {"# nothing\n", "t.yaml: ", "the file is empty"},
    {"hello\n", "t.yaml:1:1: ", "expected keys and values, such as"},
    {"- a\n", "t.yaml:1:1: ", "expected keys and values"},
    {"log: {level: info}\n", "t.yaml: gateways: ", "there is no gateway"},
    {"gateways: {}\n", "t.yaml:1:1: gateways: ", "there is no gateway"},
    {"gateways: [a]\n", "t.yaml:1:11: gateways: ", "a name for each"},
    {"gateways:\n", "t.yaml:1:1: gateways: ", "has no value"},
    /* YAML that is none, or is not taken. */
    {HEAD "\turl: x\n", "t.yaml:3:1: ", "a tab where only spaces"},
    {HEAD "    url: @x\n", "t.yaml:3:10: ", "put the value in quotes"},
    {HEAD "    url: a: b\n", "t.yaml:3:11: ", "a \":\" stands where"},
    {HEAD "    url: \"a\n", "t.yaml:4:1: ", "a quoted value is not closed"},
    {HEAD "    url: [a\n    id: b\n", "t.yaml:4:7: ", "\"[\" is not closed"},
    {"\"a\" b\n", "t.yaml:1:5: ", "in one pair of quotes"},
    {HEAD "    url: \"\\q\"\n", "t.yaml:3:11: ", "backslash"},
    {HEAD "    url: x\n   id: y\n", "t.yaml:4:4: ", "indentation"},
    {HEAD "    url: \"\xff\"\n", "t.yaml:3:11: ", "not UTF-8"},
    {HEAD "    url: \"\001\"\n", "t.yaml:3:11: ", "control character"},
    {HEAD "    url: &a x\n", "t.yaml:3:10: gateways.main.url: ", "anchors"},
    {HEAD "    url: *a\n", "t.yaml:3:10: gateways.main.url: ", "aliases"},
    {HEAD "    url: !!str x\n", "t.yaml:3:10: gateways.main.url: ", "tags"},
    {HEAD "    <<: {url: x}\n", "t.yaml:3:5: gateways.main.<<: ", "merge"},
    {"gateways:\n  <<: {}\n", "t.yaml:2:3: gateways.<<: ", "merge keys"},
    {"gateways: &x {}\n", "t.yaml:1:11: gateways: ", "anchors"},
    {"? [a]\n: b\n", "t.yaml:1:3: ", "a key must be a word"},
    {GOOD "---\nlog: {}\n", "t.yaml:5:1: ", "a second document begins"},
    {HEAD "    url: \"a\\0b\"\n",
	"t.yaml:3:10: gateways.main.url: ", "a NUL byte"},
    {"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
	"t.yaml:1:27: ", "nested deeper than 24 levels"},
    /* Keys. */
    {GOOD URL_LINE,
	"t.yaml:5:5: gateways.main.url: ", "stands twice, first on line 3"},
    {GOOD "  main:\n" URL_LINE,
	"t.yaml:5:3: gateways.main: ", "stands twice, first on line 2"},
    {HEAD "    ulr: x\n",
	"t.yaml:3:5: gateways.main.ulr: ", "did you mean url?"},
    {GOOD "    botId: x\n", "t.yaml:5:5: gateways.main.botId: ",
	"here may stand: url, id, identities,"},
    {GOOD "    ca_file: /x\n", "t.yaml:5:5: gateways.main.ca_file: ",
	"it belongs at gateways.<name>.tls.ca_file"},
    {GOOD "    tls: {cafile: /x}\n",
	"t.yaml:5:11: gateways.main.tls.cafile: ", "did you mean ca_file?"},
    {GOOD "    tls: {verify: false}\n",
	"t.yaml:5:11: gateways.main.tls.verify: ", "cannot be switched off"},
    {GOOD "    insecure_skip_verify: true\n",
	"t.yaml:5:5: gateways.main.insecure_skip_verify: ",
	"cannot be switched off"},
    {GOOD "logs: {}\n", "t.yaml:5:1: logs: ", "did you mean log?"},
    {GOOD "\"\\e[2Jx\": {}\n", "t.yaml:5:1: \\x1b[2Jx: ",
	"here may stand: gateways, control, log, limits"},
    {"gateways:\n  Main:\n" URL_LINE,
	"t.yaml:2:3: gateways.Main: ", "is no name for a gateway"},
    {"gateways:\n  a12345678901234567890123456789012:\n" URL_LINE,
	"t.yaml:2:3: gateways.a1234567890", "at most 32 characters"},
    {"gateways:\n  main: x\n",
	"t.yaml:2:9: gateways.main: ", "at least url and identities"},
    {"gateways:\n  main:\n",
	"t.yaml:2:3: gateways.main: ", "at least url and identities"},
    {HEAD ID_LINE, "t.yaml:2:3: gateways.main.url: ", "is missing"},
    {HEAD URL_LINE, "t.yaml:2:3: gateways.main.identities: ",
	"is missing; add it, such as identities: ["},
    /* Values. */
    {HEAD "    url: ftp://x\n", "t.yaml:3:10: gateways.main.url: ", ""},
    {HEAD "    url: {}\n", "t.yaml:3:10: gateways.main.url: ",
	"expected a single value (string), not a mapping"},
    {HEAD "    url: ~\n", "t.yaml:3:5: gateways.main.url: ", "has no value"},
    {GOOD "    id: \"\"\n", "t.yaml:5:9: gateways.main.id: ", "is empty"},
    {GOOD "    id: \"a\\tb\"\n",
	"t.yaml:5:9: gateways.main.id: ", "control character"},
    {GOOD "    id: \"a\\x85\"\n",
	"t.yaml:5:9: gateways.main.id: ", "control character"},
    {GOOD "    agents: {window: 0}\n",
	"t.yaml:5:22: gateways.main.agents.window: ",
	"expected a whole number from 1 to 4096"},
    {GOOD "    agents: {window: 99999999999999999999999}\n",
	"t.yaml:5:22: gateways.main.agents.window: ",
	"expected a whole number from 1 to 4096"},
    {GOOD "    agents: {window: 010}\n",
	"t.yaml:5:22: gateways.main.agents.window: ",
	"expected a whole number"},
    {GOOD "    agents: {ack_timeout: 120}\n",
	"t.yaml:5:27: gateways.main.agents.ack_timeout: ",
	"its unit (ms, s, m, h), such as 120s"},
    {GOOD "    agents: {ack_timeout: 1500ms}\n",
	"t.yaml:5:27: gateways.main.agents.ack_timeout: ",
	"expected whole seconds"},
    {GOOD "    agents: {ack_timeout: 2h}\n",
	"t.yaml:5:27: gateways.main.agents.ack_timeout: ",
	"expected a duration from 1s to 1h"},
    {GOOD "    agents: {when_no_agent: idel}\n",
	"t.yaml:5:29: gateways.main.agents.when_no_agent: ",
	"expected one of idle, hold; did you mean idle?"},
    {GOOD "    agents: {group: -x}\n",
	"t.yaml:5:21: gateways.main.agents.group: ", "name of a group"},
    {GOOD "    sessions: {group_per_user: maybe}\n",
	"t.yaml:5:32: gateways.main.sessions.group_per_user: ",
	"expected one of true, false, yes, no, on, off"},
    {GOOD "    journal: {size: 16MB}\n",
	"t.yaml:5:21: gateways.main.journal.size: ",
	"KiB, MiB or GiB, such as 16MiB"},
    {GOOD "    journal: {size: 2GiB}\n",
	"t.yaml:5:21: gateways.main.journal.size: ",
	"expected a size from 4MiB to 1GiB"},
    {GOOD "    journal: {size: 4095KiB}\n",
	"t.yaml:5:21: gateways.main.journal.size: ",
	"expected a size from 4MiB to 1GiB"},
    {GOOD "    reconnect: {min: 40s}\n",
	"t.yaml:5:22: gateways.main.reconnect: ",
	"min (40000 ms) is longer than max (30000 ms)"},
    {GOOD "    reconnect: {max: 5ms}\n",
	"t.yaml:5:22: gateways.main.reconnect.max: ",
	"expected a duration from 10ms to 10m"},
    {GOOD "    secret: s3cret\n", "t.yaml:5:13: gateways.main.secret: ",
	"a secret itself does not belong in this file"},
    {GOOD "    secret: {file: s}\n",
	"t.yaml:5:20: gateways.main.secret.file: ", "absolute path"},
    {GOOD "    secret: {}\n",
	"t.yaml:5:5: gateways.main.secret.file: ", "is missing"},
    {GOOD "    tls: x\n", "t.yaml:5:10: gateways.main.tls: ",
	"expected a mapping with keys such as ca_file"},
    {GOOD "    tls: {server_name: \"https://x\"}\n",
	"t.yaml:5:24: gateways.main.tls.server_name: ", "host name"},
    {GOOD "    display_name: "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "\n",
	"t.yaml:5:19: gateways.main.display_name: ",
	"longer than 64 characters"},
    {GOOD "    wake_url: wake.example\n",
	"t.yaml:5:15: gateways.main.wake_url: ", "https://"},
    {GOOD "    route_keys: {a: b}\n",
	"t.yaml:5:17: gateways.main.route_keys: ", "expected a list"},
    {GOOD "    route_keys: [a, [b]]\n",
	"t.yaml:5:21: gateways.main.route_keys[1]: ", "single value"},
    {GOOD "log: {level: verbose}\n", "t.yaml:5:14: log.level: ",
	"expected one of error, warn, info, debug, err, warning"},
    {GOOD "limits: {dials_per_second: 1001}\n",
	"t.yaml:5:28: limits.dials_per_second: ", "from 1 to 1000"},
    /* Identities. */
    {HEAD URL_LINE "    identities: {platform: x}\n",
	"t.yaml:4:17: gateways.main.identities: ", "begin each identity"},
    {HEAD URL_LINE "    identities: [discord]\n",
	"t.yaml:4:18: gateways.main.identities[0]: ", "expected a mapping"},
    {HEAD URL_LINE "    identities: [{bot_id: x}]\n",
	"t.yaml:4:18: gateways.main.identities[0].platform: ", "is missing"},
    {HEAD URL_LINE "    identities: [{platform: Discord}]\n",
	"t.yaml:4:29: gateways.main.identities[0].platform: ", "lower-case"},
    {HEAD URL_LINE "    identities:\n      - platform: a\n"
		   "        botid: 1\n",
	"t.yaml:6:9: gateways.main.identities[0].botid: ",
	"did you mean bot_id?"},
    {HEAD URL_LINE "    identities:\n      - platform: a\n"
		   "      - platform: a\n",
	"t.yaml:6:19: gateways.main.identities[1].platform: ",
	"one identity for each platform, and identities[0]"},
    {HEAD URL_LINE "    identities: []\n",
	"t.yaml:2:3: gateways.main.identities: ", "is missing"},
    /* What hangs together. */
    {HEAD "    url: http://c.example\n" ID_LINE,
	"t.yaml:3:10: gateways.main.url: ", "or set tls: {plaintext: true}"},
    {HEAD "    url: ws://c.example\n" ID_LINE,
	"t.yaml:3:10: gateways.main.url: ", "without TLS"},
    {GOOD "    tls: {plaintext: true}\n",
	"t.yaml:5:22: gateways.main.tls.plaintext: ", "contradicts the URL"},
    {GOOD "    proxy: {url: \"http://u:p@h:1\"}\n",
	"t.yaml:5:18: gateways.main.proxy.url: ",
	"belong into a file, so that relayd's supervisor keeps no secret"},
    {GOOD "    proxy: {url: \"https://h:1\"}\n",
	"t.yaml:5:18: gateways.main.proxy.url: ", "http://HOST:PORT"},
    {GOOD "    proxy: {url: \"http://h\"}\n",
	"t.yaml:5:18: gateways.main.proxy.url: ", "http://HOST:PORT"},
    {GOOD "    proxy: {url: \"http://h:1/relay\"}\n",
	"t.yaml:5:18: gateways.main.proxy.url: ", "http://HOST:PORT"},
    {GOOD "    proxy: off\n", "t.yaml:5:12: gateways.main.proxy: ",
	"expected a mapping with keys such as url, credentials"},
    {GOOD "    proxy: {credentials: {file: /x}}\n",
	"t.yaml:5:5: gateways.main.proxy.url: ", "is missing"},
    {GOOD "    identity_token: {}\n",
	"t.yaml:5:5: gateways.main.identity_token: ",
	"has none of file, env, command and oidc"},
    {GOOD "    identity_token: {file: /x, env: Y}\n",
	"t.yaml:5:5: gateways.main.identity_token: ", "has several of"},
    {GOOD "    identity_token: {env: 1A}\n",
	"t.yaml:5:27: gateways.main.identity_token.env: ",
	"environment variable"},
    {GOOD "    identity_token: {env: GATEWAY_RELAY_SECRET}\n",
	"t.yaml:5:27: gateways.main.identity_token.env: ",
	"a meaning of its own"},
    {GOOD "    identity_token: {command: [x], user: u}\n",
	"t.yaml:5:31: gateways.main.identity_token: ", "absolute path"},
    {GOOD "    identity_token: {command: [/x], user: root}\n",
	"t.yaml:5:43: gateways.main.identity_token.user: ", "must not be root"},
    {GOOD "    identity_token: {file: /x, user: u}\n",
	"t.yaml:5:38: gateways.main.identity_token: ",
	"user goes with command"},
    {GOOD "    identity_token: {oidc: {client_id: x}}\n",
	"t.yaml:5:22: gateways.main.identity_token.oidc: ",
	"the token URL is missing"},
    {GOOD "    identity_token: {oidc: {url: https://i.example, "
	  "client_id: x}}\n",
	"t.yaml:5:22: gateways.main.identity_token.oidc: ",
	"client_id without a client secret"},
    {GOOD "    identity_token: {oidc: {url: https://i.example, "
	  "client_secret_file: /x}}\n",
	"t.yaml:5:22: gateways.main.identity_token.oidc: ",
	"a client secret without client_id"},
    {GOOD "    identity_token: {oidc: {url: http://i.example, "
	  "client_id: x, client_secret_file: /x}}\n",
	"t.yaml:5:22: gateways.main.identity_token.oidc: ", "without TLS"},
    {GOOD "    identity_token: {oidc: {url: https://i.example:0/}}\n",
	"t.yaml:5:34: gateways.main.identity_token.oidc.url: ", "the port"},
    {GOOD "    identity_token: {oidc: {url: 'https://i.example/a#b'}}\n",
	"t.yaml:5:34: gateways.main.identity_token.oidc.url: ", "fragment"},
    {GOOD "    identity_token: {oidc: {url: ftp://i.example/a}}\n",
	"t.yaml:5:34: gateways.main.identity_token.oidc.url: ", "https://"},
    {GOOD "  two:\n" URL_LINE ID_LINE, "t.yaml:5:3: gateways.two.id: ",
	"the same gateway id as gateways.main on line 2"},
    /* The manifest. */
    {GOOD "    command_manifest: x\n",
	"t.yaml:5:23: gateways.main.command_manifest: ",
	"expected a list of commands"},
    {GOOD "    command_manifest: [{name: a}]\n",
	"t.yaml:5:24: gateways.main.command_manifest[0].description: ",
	"is missing"},
    {GOOD "    command_manifest: [{nmae: a}]\n",
	"t.yaml:5:25: gateways.main.command_manifest[0].nmae: ",
	"did you mean name?"},
    {GOOD "    command_manifest: [{name: a, description: b, "
	  "options: [{x: 1, x: 2}]}]\n",
	"t.yaml:5:67: gateways.main.command_manifest[0].options[0].x: ",
	"stands twice"},
    {GOOD "    command_manifest: [{name: a, description: b, "
	  "options: [*x]}]\n",
	"t.yaml:5:60: gateways.main.command_manifest[0].options[0]: ",
	"aliases"},
    /* Of several mistakes the first. */
    {HEAD "    url: x y\n    agents: {window: 0}\n    uuu: 1\n",
	"t.yaml:3:10: gateways.main.url: ", ""},
};

static void
test_bad(void **state)
{
	struct warnings w;
	struct conf_error e;
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const struct bad *b = &bads[i];
		struct conf *c = parse_env(b->text, NULL, &w, &e);

		if (c == NULL &&
		    strncmp(e.text, b->begin, strlen(b->begin)) == 0 &&
		    strstr(e.text, b->has) != NULL && is_printable(e.text) &&
		    strstr(e.text, "s3cret") == NULL &&
		    strstr(e.text, "u:p") == NULL)
			continue;
		print_error("%s\n  is told as: %s\n  expected:   %s...%s\n",
		    b->text, e.text, b->begin, b->has);
		conf_free(c);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* Bounds that need a long text. */
static void
test_bounds(void **state)
{
	struct buf b;
	struct warnings w;
	struct conf_error e;
	unsigned i;

	(void)state;
	buf_init(&b, 0);
	buf_addf(&b, "gateways:\n");
	for (i = 0; i <= LIMIT_GATEWAYS; i++)
		buf_addf(&b, "  g%u:\n" URL_LINE "    id: g%u\n" ID_LINE, i, i);
	buf_add(&b, "", 1);
	assert_null(parse_env(buf_span(&b).p, NULL, &w, &e));
	assert_non_null(strstr(e.text, "1025 gateways; one relayd serves at"));
	buf_reset(&b);
	buf_addf(&b, GOOD "    command_manifest: [");
	for (i = 0; i < 2000; i++)
		buf_addf(&b, "{name: n%u, description: some more words}, ", i);
	buf_addf(&b, "]\n%c", '\0');
	assert_null(parse_env(buf_span(&b).p, NULL, &w, &e));
	assert_non_null(strstr(e.text, "65536 bytes as JSON"));
	buf_reset(&b);
	buf_addf(&b, "a: [");
	for (i = 0; i < CONF_NODES; i++)
		buf_addf(&b, "b,\n");
	buf_addf(&b, "]\n%c", '\0');
	assert_null(parse_env(buf_span(&b).p, NULL, &w, &e));
	assert_non_null(strstr(e.text, "keys and values in one file"));
	buf_reset(&b);
	buf_addf(&b, GOOD "    route_keys: [");
	for (i = 0; i < CONF_LIST + 1; i++)
		buf_addf(&b, "b,\n");
	buf_addf(&b, "]\n%c", '\0');
	assert_null(parse_env(buf_span(&b).p, NULL, &w, &e));
	assert_non_null(strstr(e.text, "more than 1024 elements"));
	buf_free(&b);
}

static void
test_nul_byte(void **state)
{
	static const char text[] = "gateways:\n  m\0in:\n";
	struct conf_error e;

	(void)state;
	assert_null(conf_parse(
	    "t.yaml", text, sizeof(text) - 1, NULL, "h", NULL, NULL, &e));
	assert_non_null(strstr(e.text, "t.yaml:2:4: a NUL byte"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_nul_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
