/* SPDX-License-Identifier: ISC */
/* Configuration: values, defaults, what equality sees, files, the shipped
 * example and the manual page. */
#include "conf_help.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

static void
test_defaults(void **state)
{
	struct conf *c = good(GOOD);
	const struct conf_gateway *g = &c->gateway[0];

	(void)state;
	assert_string_equal(c->path, "t.yaml");
	assert_int_equal(c->ngateway, 1);
	assert_string_equal(g->name, "main");
	assert_int_equal(g->line, 2);
	assert_string_equal(g->url_text, "https://c.example");
	assert_string_equal(g->url.host, "c.example");
	assert_int_equal(g->url.port, 443);
	assert_string_equal(g->id, "gw-host");
	assert_int_equal(g->nidentity, 1);
	assert_string_equal(g->identity[0].platform, "discord");
	assert_string_equal(g->identity[0].bot_id, "b");
	assert_null(g->identity[0].username);
	assert_int_equal(g->identity[0].require_mention, CONF_UNSET);
	assert_int_equal(g->identity[0].allow_bots, BOTS_UNSET);
	assert_null(g->secret.file);
	assert_int_equal(g->secret.from_env, 0);
	assert_int_equal(g->agents.window, 64);
	assert_int_equal(g->agents.ack_timeout, 120);
	assert_int_equal(g->agents.when_no_agent, NO_AGENT_IDLE);
	assert_int_equal(g->agents.idle_after, 60);
	assert_int_equal(g->agents.overlong, OVERLONG_REFUSE);
	assert_int_equal(g->proxy.set, 0);
	assert_int_equal(g->reconnect.min_ms, 1000);
	assert_int_equal(g->reconnect.max_ms, 30000);
	assert_int_equal(g->sessions.group_per_user, 1);
	assert_int_equal(g->sessions.thread_per_user, 0);
	assert_int_equal(g->journal.where, JOURNAL_DISK);
	assert_int_equal(g->journal.size, 16 * 1024 * 1024);
	assert_int_equal(c->log_level, LOG_INFO);
	assert_int_equal(c->log_format, LOG_LOGFMT);
	assert_int_equal(c->dials_per_second, 50);
	assert_null(g->command_manifest);
	conf_free(c);
}

/* Every key with a value that is not its default. */
static const char everything[] =
    HEAD "    url: ws://c.example:8080/x/relay\n"
	 "    id: 42\n"
	 "    identities:\n"
	 "      - {platform: discord, bot_id: 1234, username: u}\n"
	 "      - platform: slack\n"
	 "        require_mention: no\n"
	 "        free_response_channels: \"c1, c2 ,\"\n"
	 "        allow_bots: mentions\n"
	 "    identity_token: {command: [/bin/tok, -x], user: nobody}\n"
	 "    instance_id: i\n"
	 "    wake_url: https://me.example/wake?x=1\n"
	 "    display_name: \"  Me  \"\n"
	 "    endpoint: e\n"
	 "    route_keys: [a, b]\n"
	 "    agents: {group: g, window: 4096, ack_timeout: 1h,\n"
	 "      when_no_agent: hold, idle_after: 1s, overlong: pass}\n"
	 "    secret: {file: /s}\n"
	 "    tls: {ca_file: /ca, server_name: n.example, plaintext: yes}\n"
	 "    proxy: {url: \"http://p.example:3128/\", credentials: {file: "
	 "/c}}\n"
	 "    sessions: {group_per_user: off, thread_per_user: on}\n"
	 "    command_manifest:\n"
	 "      - {name: ping, description: \"is \\\"it\\\"\"}\n"
	 "      - name: \"true\"\n"
	 "        description: 7\n"
	 "        options: [{type: 3, required: true, name: x, s: \"3\",\n"
	 "          min: -1.5e3, nul: ~, word: yes, list: []}]\n"
	 "    journal: {where: memory, size: 1GiB, sync: true}\n"
	 "    reconnect: {min: 10ms, max: 10m}\n"
	 "control: {group: ops}\n"
	 "log: {level: warning, format: json}\n"
	 "limits: {dials_per_second: 1000}\n";

static void
check_everything(const struct conf_gateway *g)
{
	const struct conf_identity *id = g->identity;

	assert_string_equal(g->id, "42");
	assert_string_equal(g->url.base, "/x");
	assert_int_equal(g->url.port, 8080);
	assert_int_equal(g->nidentity, 2);
	assert_string_equal(id[0].bot_id, "1234");
	assert_string_equal(id[0].username, "u");
	assert_string_equal(id[1].bot_id, "");
	assert_int_equal(id[1].require_mention, CONF_NO);
	assert_int_equal(id[1].nfree_response_channels, 2);
	assert_string_equal(id[1].free_response_channels[1], "c2");
	assert_int_equal(id[1].allow_bots, BOTS_MENTIONS);
	assert_int_equal(g->token.ncommand, 2);
	assert_string_equal(g->token.command[0], "/bin/tok");
	assert_string_equal(g->token.command_user, "nobody");
	assert_string_equal(g->display_name, "Me");
	assert_int_equal(g->nroute_keys, 2);
	assert_string_equal(g->agents.group, "g");
	assert_int_equal(g->agents.window, 4096);
	assert_int_equal(g->agents.ack_timeout, 3600);
	assert_int_equal(g->agents.when_no_agent, NO_AGENT_HOLD);
	assert_int_equal(g->agents.idle_after, 1);
	assert_int_equal(g->agents.overlong, OVERLONG_PASS);
	assert_string_equal(g->secret.file, "/s");
	assert_string_equal(g->tls.ca_file, "/ca");
	assert_string_equal(g->tls.server_name, "n.example");
	assert_int_equal(g->tls.plaintext, 1);
	assert_int_equal(g->proxy.set, 1);
	assert_string_equal(g->proxy.url.host, "p.example");
	assert_int_equal(g->proxy.url.port, 3128);
	assert_string_equal(g->proxy.credentials_file, "/c");
	assert_int_equal(g->sessions.group_per_user, 0);
	assert_int_equal(g->sessions.thread_per_user, 1);
	assert_int_equal(g->journal.where, JOURNAL_MEMORY);
	assert_int_equal(g->journal.size, 1024 * 1024 * 1024);
	assert_int_equal(g->journal.sync, 1);
	assert_int_equal(g->reconnect.min_ms, 10);
	assert_int_equal(g->reconnect.max_ms, 600000);
	assert_string_equal(g->command_manifest,
	    "[{\"name\":\"ping\",\"description\":\"is \\\"it\\\"\"},"
	    "{\"name\":\"true\",\"description\":\"7\",\"options\":[{\"type\":3,"
	    "\"required\":true,\"name\":\"x\",\"s\":\"3\",\"min\":-1.5e3,"
	    "\"nul\":null,\"word\":\"yes\",\"list\":[]}]}]");
}

static void
test_everything(void **state)
{
	struct warnings w;
	struct conf *c = good_env(everything, NULL, &w);

	(void)state;
	check_everything(&c->gateway[0]);
	assert_string_equal(c->control_group, "ops");
	assert_int_equal(c->log_level, LOG_WARNING);
	assert_int_equal(c->log_format, LOG_JSON);
	assert_int_equal(c->dials_per_second, 1000);
	assert_int_equal(w.n, 0);
	conf_free(c);
}

/* Token URLs: where they are, and which may go without TLS. */
static void
test_token_urls(void **state)
{
	static const struct {
		const char *oidc, *host, *target;
		int tls;
		uint16_t port;
	} t[] = {
	    {"url: https://I.example/t?a=b@c", "i.example", "/t?a=b@c", 1, 443},
	    {"url: 'https://i.example?x', client_id: i, "
	     "client_secret_file: /x",
		"i.example", "?x", 1, 443},
	    {"url: https://i.example:8443/relay", "i.example", "/relay", 1,
		8443},
	    {"url: http://169.254.169.254/latest", "169.254.169.254", "/latest",
		0, 80},
	    {"url: 'http://[::1]:81/t', client_id: i, client_secret_file: /x",
		"::1", "/t", 0, 81},
	};
	char text[400];
	struct conf *c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(text, sizeof(text),
		    GOOD "    identity_token: {oidc: {%s}}\n", t[i].oidc);
		c = good(text);
		assert_string_equal(c->gateway[0].token.oidc.host, t[i].host);
		assert_string_equal(
		    c->gateway[0].token.oidc_target, t[i].target);
		assert_int_equal(c->gateway[0].token.oidc.tls, t[i].tls);
		assert_int_equal(c->gateway[0].token.oidc.port, t[i].port);
		conf_free(c);
	}
}

/* Configurations that are right at an edge. */
static void
test_good_edges(void **state)
{
	static const char *const texts[] = {
	    HEAD "    url: http://127.0.0.1:8080\n" ID_LINE,
	    HEAD "    url: ws://[::1]:8080/x\n" ID_LINE,
	    HEAD "    url: http://localhost\n" ID_LINE
		 "    tls: {plaintext: true}\n",
	    GOOD "    proxy: none\n",
	    GOOD "    proxy: {url: \"http://[::1]:3128\"}\n",
	    GOOD "    tls: {}\n",
	    GOOD "    reconnect: {min: 1m, max: 60s}\n",
	    GOOD "    command_manifest: []\n",
	    GOOD "  two:\n" URL_LINE ID_LINE "    id: other\n",
	    "\xef\xbb\xbf" GOOD,
	    "%YAML 1.1\n---\n" GOOD "...\n",
	    "{\"gateways\": {\"main\": {\"url\": \"https://c.example\", "
	    "\"identities\": [{\"platform\": \"x\"}]}}}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		conf_free(good(texts[i]));
}

/* A change of any setting is seen; none is not. */
static void
test_equal(void **state)
{
	static const char *const changed[] = {
	    "    id: x\n",
	    "    agents: {window: 63}\n",
	    "    agents: {group: x}\n",
	    "    secret: {file: /x}\n",
	    "    tls: {ca_file: /x}\n",
	    "    proxy: none\n",
	    "    proxy: {url: \"http://h:1\"}\n",
	    "    proxy: {url: \"http://h:2\"}\n",
	    "    sessions: {thread_per_user: true}\n",
	    "    command_manifest: [{name: a, description: b}]\n",
	    "    reconnect: {min: 10ms}\n",
	    "    journal: {size: 8MiB}\n",
	    "    route_keys: [a]\n",
	    "    route_keys: [b]\n",
	    "    identity_token: {env: A}\n",
	};
	struct conf *c[17];
	struct warnings w;
	char text[400];
	size_t i, j, n = sizeof(changed) / sizeof(changed[0]);

	(void)state;
	c[0] = good("# a line more\n" GOOD);
	for (i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%s%s", GOOD, changed[i]);
		c[i + 1] = good_env(text, NULL, &w);
	}
	c[n + 1] = good_env(HEAD URL_LINE
	    "    identities: [{platform: discord, bot_id: c}]\n",
	    NULL, &w);
	for (i = 0; i < n + 2; i++)
		for (j = 0; j < n + 2; j++)
			assert_int_equal(
			    conf_gateway_equal(c[i]->gateway, c[j]->gateway),
			    i == j);
	for (i = 0; i < n + 2; i++)
		conf_free(c[i]);
	c[0] = good(GOOD);
	c[1] = good("\n" GOOD);
	assert_true(conf_gateway_equal(c[0]->gateway, c[1]->gateway));
	conf_free(c[0]);
	conf_free(c[1]);
}

/* A link outlives a change of what it does not depend on. */
static void
test_link_equal(void **state)
{
	static const struct {
		const char *more, *identity;
		int same;
	} all[] = {
	    {"", "require_mention: true", 1},
	    {"", "free_response_channels: [c]", 1},
	    {"", "allow_bots: all", 1},
	    {"", "username: u", 1},
	    {"", "bot_id: x", 0},
	    {"    identity_token: {env: A}\n", "", 1},
	    {"    secret: {file: /x}\n", "", 1},
	    {"    instance_id: x\n", "", 1},
	    {"    wake_url: \"https://w\"\n", "", 1},
	    {"    display_name: x\n", "", 1},
	    {"    endpoint: x\n", "", 1},
	    {"    route_keys: [a]\n", "", 1},
	    {"    agents: {group: x}\n", "", 1},
	    {"    agents: {window: 63}\n", "", 1},
	    {"    agents: {ack_timeout: 1s}\n", "", 1},
	    {"    agents: {when_no_agent: hold}\n", "", 1},
	    {"    agents: {idle_after: 1s}\n", "", 1},
	    {"    sessions: {thread_per_user: on}\n", "", 1},
	    {"    reconnect: {min: 10ms}\n", "", 1},
	    {"    id: x\n", "", 0},
	    {"    tls: {ca_file: /x}\n", "", 0},
	    {"    proxy: none\n", "", 0},
	    {"    command_manifest: [{name: a, description: b}]\n", "", 0},
	};
	static const char form[] =
	    HEAD URL_LINE "    identities: [{platform: discord, %s}]\n%s";
	struct conf *was, *is;
	struct warnings w;
	char text[400];

	(void)state;
	snprintf(text, sizeof(text), form, "", "");
	was = good_env(text, NULL, &w);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		snprintf(
		    text, sizeof(text), form, all[i].identity, all[i].more);
		is = good_env(text, NULL, &w);
		assert_false(conf_gateway_equal(was->gateway, is->gateway));
		if (conf_link_equal(was->gateway, is->gateway) != all[i].same)
			fail_msg("%s%s", all[i].more, all[i].identity);
		conf_free(is);
	}
	conf_free(was);
}

static void
test_load(void **state)
{
	char path[] = "/tmp/test_conf.XXXXXX", *const none[] = {NULL};
	char *const env[] = {(char[]){E_URL}, (char[]){DISCORD}, NULL};
	struct conf_error e;
	struct conf *c;
	int fd = mkstemp(path);

	(void)state;
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, GOOD, sizeof(GOOD) - 1), sizeof(GOOD) - 1);
	c = conf_load(path, 1, none, "h", NULL, NULL, &e);
	assert_non_null(c);
	assert_string_equal(c->path, path);
	conf_free(c);
	assert_int_equal(ftruncate(fd, LIMIT_CONF_FILE + 1), 0);
	assert_null(conf_load(path, 1, none, "h", NULL, NULL, &e));
	assert_non_null(strstr(e.text, "is larger than 4194304 bytes"));
	close(fd);
	unlink(path);
	assert_null(conf_load(path, 1, env, "h", NULL, NULL, &e));
	assert_non_null(strstr(e.text, "cannot be opened: No such file"));
	assert_null(conf_load(path, 0, none, "h", NULL, NULL, &e));
	assert_non_null(strstr(e.text, "or set GATEWAY_RELAY_URL"));
	c = conf_load(path, 0, env, "h", NULL, NULL, &e);
	assert_non_null(c);
	assert_null(c->path);
	conf_free(c);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(conf_load(path, 1, none, "h", NULL, NULL, &e));
	assert_non_null(strstr(e.text, "is not a regular file"));
	unlink(path);
	assert_null(conf_load("/tmp", 1, none, "h", NULL, NULL, &e));
	assert_non_null(strstr(e.text, "/tmp: is not a regular file"));
}

/* A whole file, to be freed. */
static char *
slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *p;

	if (f == NULL)
		fail_msg("%s: run the tests where the Makefile is", path);
	p = calloc(1, 128 * 1024);
	assert_non_null(p);
	assert_true(fread(p, 1, 128 * 1024 - 1, f) > 0);
	fclose(f);
	return p;
}

/* The example loads as it is, and with every setting it shows. */
static void
test_example(void **state)
{
	char *text = slurp("etc/relayd.yaml"), *p;
	struct warnings w;
	struct conf *c = good(text), *d;
	const struct conf_gateway *g = c->gateway;

	(void)state;
	d = good("gateways: {main: {url: https://connector.example.com, "
		 "identities: [{platform: discord, bot_id: 1234}]}}");
	assert_true(conf_gateway_equal(g, d->gateway));
	conf_free(d);
	conf_free(c);
	for (p = text; (p = strchr(p, '#')) != NULL; p++)
		if (p[1] >= 'a' && p[1] <= 'z')
			*p = ' ';
	/* The settings were one column too far in. */
	for (p = text; (p = strchr(p, '\n')) != NULL; p++)
		if (p[1] == ' ' && strspn(p + 1, " ") % 2 == 1)
			memmove(p + 1, p + 2, strlen(p + 2) + 1);
	c = good_env(text, NULL, &w);
	assert_non_null(c->gateway->proxy.credentials_file);
	assert_non_null(c->gateway->command_manifest);
	assert_non_null(c->gateway->display_name);
	assert_non_null(c->control_group);
	conf_free(c);
	free(text);
}

/* The samples in the manual page load. */
static void
test_manual_samples(void **state)
{
	char *manual = slurp("docs/relayd.yaml.5"), *p = manual, *end;
	unsigned n = 0;

	(void)state;
	while ((p = strstr(p, "\n.Bd -literal")) != NULL) {
		p = strchr(p + 1, '\n') + 1;
		end = strstr(p, "\n.Ed");
		assert_non_null(end);
		end[0] = '\0';
		conf_free(good(p));
		p = end + 1;
		n++;
	}
	assert_int_equal(n, 2);
	free(manual);
}

/* Every key stands in the example and in the manual page, with its default. */
static void
test_documented(void **state)
{
	char *example = slurp("etc/relayd.yaml");
	char *manual = slurp("docs/relayd.yaml.5");
	char *line, *rest, *path, *key, want[64];
	struct buf b;
	unsigned n = 0;

	(void)state;
	buf_init(&b, 0);
	conf_describe(&b);
	assert_int_equal(buf_add(&b, "", 1), 0);
	for (rest = b.p + b.off; (line = strsep(&rest, "\n")) != NULL;) {
		if (*line == '\0')
			continue;
		path = strsep(&line, "\t");
		key =
		    strrchr(path, '.') == NULL ? path : strrchr(path, '.') + 1;
		snprintf(want, sizeof(want), "%s:", key);
		if (strstr(example, want) == NULL)
			fail_msg("etc/relayd.yaml lacks %s", path);
		snprintf(want, sizeof(want), "\n.It Ic %s ", key);
		if (strstr(manual, want) == NULL)
			fail_msg("docs/relayd.yaml.5 lacks %s", path);
		n++;
	}
	assert_true(n > 50);
	buf_free(&b);
	free(example);
	free(manual);
}

static void
test_distance(void **state)
{
	(void)state;
	assert_int_equal(conf_hint_distance("url", "url"), 0);
	assert_int_equal(conf_hint_distance("url", "ulr"), 1);
	assert_int_equal(conf_hint_distance("bot_id", "Bot-ID"), 0);
	assert_int_equal(conf_hint_distance("bot_id", "botid"), 1);
	assert_int_equal(conf_hint_distance("", "abc"), 3);
	assert_int_equal(conf_hint_distance("agents", "urls"), 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_everything),
	    cmocka_unit_test(test_token_urls),
	    cmocka_unit_test(test_good_edges),
	    cmocka_unit_test(test_equal),
	    cmocka_unit_test(test_link_equal),
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_example),
	    cmocka_unit_test(test_manual_samples),
	    cmocka_unit_test(test_documented),
	    cmocka_unit_test(test_distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
