/* SPDX-License-Identifier: ISC */
/* What explain makes of a gateway's status: the facts, and the row that holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relay-ctl/explain_facts.c"
#include "../../relay-ctl/explain_table.c"
#include "../../relay-ctl/field.c"
#include "../../relay-ctl/out.c"

static void
facts_of(struct facts *f, const char *json)
{
	struct obj o;

	assert_int_equal(obj_parse(&o, span_str(json)), 0);
	assert_int_equal(facts_read(f, &o), 0);
}

#define FAILURE(phase, reason, more)                                     \
	"\"last_failure\":{\"phase\":\"" phase "\",\"reason\":\"" reason \
	"\",\"at\":5,\"ago_s\":3" more "}"
#define RETRYING(members)  "{\"state\":\"retrying\"," members "}"
#define AGENT(more)	   "{\"number\":1,\"platforms\":[\"x\"]" more "}"
#define CONNECTED(members) "{\"state\":\"connected\"," members "}"
#define ENDED(attempt, shaken)                                 \
	"\"attempt\":" attempt ",\"last_handshake_s\":" shaken \
	",\"counters\":{\"losses\":2}"
#define SKEWED ",\"clock_skew_s\":-61"
#define WORKED ",\"credential\":{\"worked\":true}"
#define PINNED ",\"credential\":{\"source\":\"file\"}"

static const struct {
	const char *status;
	enum layer layer;
	const char *what; /* stands in it */
} cases[] = {
    {"{\"state\":\"stopping\"}", AT_NOTHING, "stopping"},
    {"{\"state\":\"disabled\",\"revoked\":{\"evidence\":\"e\"}}", AT_CREDENTIAL,
	"revoked"},
    {"{\"state\":\"disabled\",\"revoked\":null}", AT_NOTHING,
	"switched it off"},
    {"{\"state\":\"unprovisioned\"}", AT_CREDENTIAL, "no credential"},
    {"{\"state\":\"disabled\",\"revoked\":{\"evidence\":\"e\"}" PINNED "}",
	AT_CREDENTIAL, "revoked"},
    {"{\"state\":\"unprovisioned\"" PINNED "}", AT_CREDENTIAL, "no credential"},
    {RETRYING(FAILURE("handshake", "x", ",\"code\":4401") PINNED),
	AT_CREDENTIAL, "never did"},
    {RETRYING(FAILURE("handshake", "x",
	 ",\"code\":4401") ",\"last_handshake_s\":9,\"credential\":"
			   "{\"source\":\"file\",\"age_s\":4}"),
	AT_CREDENTIAL, "took the one before it"},
    {"{\"state\":\"dormant\"}", AT_NOTHING, "suspend"},
    {"{\"state\":\"idle\",\"reason\":\"as uid 0 asked\"}", AT_NOTHING,
	"as asked"},
    {"{\"state\":\"idle\",\"reason\":\"no agent for 60 s\"}", AT_AGENTS,
	"nobody takes events"},
    {"{\"state\":\"connecting\"}", AT_NOTHING, "first dial"},
    {CONNECTED("\"queue\":{\"hushed\":true}"), AT_AGENTS,
	"no agent is attached, and too much waits"},
    {CONNECTED("\"queue\":{\"hushed\":true},\"agents\":[" AGENT("") "]"),
	AT_AGENTS, "more waits than the agents take"},
    {CONNECTED("\"clock_skew_s\":-61,\"agents\":[" AGENT("") "]"), AT_NOTHING,
	"the clocks differ"},
    {RETRYING(FAILURE("name", "x", "")), AT_NAME, "does not resolve"},
    {RETRYING(FAILURE("proxy", "x", "")), AT_CONNECT, "proxy"},
    {RETRYING(FAILURE("connect", "Connection refused", "")), AT_CONNECT,
	"nobody listens"},
    {RETRYING(FAILURE("connect", "Network is unreachable", "")), AT_CONNECT,
	"no way"},
    {RETRYING(FAILURE("connect", "No route to host", "")), AT_CONNECT,
	"no way"},
    {RETRYING(FAILURE("connect", "Connection timed out", "")), AT_CONNECT,
	"nothing answers"},
    {RETRYING(FAILURE("connect", "x", "")), AT_CONNECT, "no connection"},
    {RETRYING(FAILURE("dialling", "x", "")), AT_CONNECT, "no end"},
    {RETRYING(FAILURE("configuration", "x", "")), AT_CONFIGURATION, "changed"},
    {RETRYING(FAILURE("tls", "certificate has expired", "")), AT_TLS,
	"expired"},
    {RETRYING(FAILURE("tls", "certificate is not yet valid", "")), AT_TLS,
	"not valid yet"},
    {RETRYING(FAILURE("tls", "hostname mismatch", "")), AT_TLS, "another name"},
    {RETRYING(FAILURE("tls", "self-signed certificate", "")), AT_TLS,
	"authority"},
    {RETRYING(FAILURE("tls", "wrong version number", "")), AT_TLS,
	"something else"},
    {RETRYING(FAILURE("token", "x", "")), AT_CREDENTIAL, "no token"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":401")), AT_UPGRADE,
	"unauthorized"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":401") SKEWED),
	AT_CREDENTIAL, "clocks"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":403")), AT_UPGRADE,
	"forbidden"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":308")), AT_UPGRADE,
	"redirections"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":404")), AT_UPGRADE,
	"no such path"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":400")), AT_UPGRADE,
	"such a request"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":429")), AT_UPGRADE,
	"too often"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":200")), AT_UPGRADE,
	"web server"},
    {RETRYING(FAILURE("upgrade", "no answer to the upgrade", "")), AT_UPGRADE,
	"nothing is answered"},
    {RETRYING(FAILURE("upgrade", "connection closed by the peer", "")),
	AT_UPGRADE, "cut"},
    {RETRYING("\"url\":\"http://h\"," FAILURE(
	 "upgrade", "connection reset by the peer", "")),
	AT_UPGRADE, "may want TLS"},
    {RETRYING(FAILURE("upgrade", "the Sec-WebSocket-Accept", "")), AT_UPGRADE,
	"another request"},
    {RETRYING(FAILURE("upgrade", "x", ",\"http_status\":503")), AT_UPGRADE,
	"in trouble"},
    {RETRYING(FAILURE("upgrade", "x", "")), AT_UPGRADE, "not be a connector"},
    {RETRYING(FAILURE("asking the time", "x", "")), AT_CREDENTIAL,
	"tell its time"},
    {RETRYING(FAILURE("handshake", "no descriptor within 30 s", "")),
	AT_HANDSHAKE, "descriptor"},
    {RETRYING(FAILURE("handshake", "x", "")), AT_HANDSHAKE, "before"},
    {RETRYING(FAILURE("handshake", "x", ",\"code\":4401")), AT_CREDENTIAL,
	"never did"},
    {RETRYING(FAILURE("connected", "4401 expired", ",\"code\":4401")),
	AT_CREDENTIAL, "expired"},
    {RETRYING(FAILURE("connected", "x", ",\"code\":4401") WORKED),
	AT_CREDENTIAL, "worked before"},
    {RETRYING(FAILURE("connected", "x", ",\"code\":4401") WORKED SKEWED),
	AT_CREDENTIAL, "clocks"},
    {RETRYING(FAILURE("handshake", "x", ",\"code\":1008")), AT_HANDSHAKE,
	"policy"},
    {RETRYING(FAILURE("connected", "x", ",\"code\":1008")), AT_HANDSHAKE,
	"policy"},
    {RETRYING(FAILURE("handshake", "x", ",\"code\":1012")), AT_HANDSHAKE,
	"restarted"},
    {RETRYING(FAILURE("connected", "x", ",\"code\":1013")), AT_HANDSHAKE,
	"later"},
    {RETRYING(FAILURE("connected", "x", ",\"code\":1009")), AT_LINK,
	"too long"},
    {RETRYING(FAILURE("connected", "broke the WebSocket protocol", "")),
	AT_LINK, "no WebSocket any more"},
    {RETRYING(FAILURE("connected", "no pong within 60 s", "")), AT_LINK,
	"dead"},
    {RETRYING(FAILURE("connected", "x", "")), AT_LINK, "and ended"},
    {RETRYING("\"phase\":\"waiting\"," ENDED("2", "8") "," FAILURE(
	 "connected", "x", "")),
	AT_LINK, "several times in a row"},
    {CONNECTED(ENDED("3", "4") "," FAILURE("connected", "x", "")), AT_NOTHING,
	"the connections before ended soon"},
    /* A first end, one after a minute, an end before the handshake. */
    {RETRYING("\"phase\":\"waiting\"," ENDED("1", "8") "," FAILURE(
	 "connected", "x", "")),
	AT_LINK, "up and ended"},
    {RETRYING("\"phase\":\"waiting\"," ENDED("2", "63") "," FAILURE(
	 "connected", "x", "")),
	AT_LINK, "up and ended"},
    {RETRYING(ENDED("9", "4") "," FAILURE("handshake", "x", "")), AT_HANDSHAKE,
	"before the handshake"},
    {CONNECTED(ENDED("3", "60") ",\"agents\":[" AGENT("") "]," FAILURE(
	 "connected", "x", "")),
	AT_NOTHING, "nothing fails"},
    {CONNECTED("\"agents\":[]"), AT_AGENTS, "no agent is attached"},
    {CONNECTED("\"agents\":[],\"when_no_agent\":\"hold\""), AT_AGENTS,
	"kept here"},
    {CONNECTED("\"agents\":[{\"platforms\":[]}]"), AT_AGENTS, "no agent takes"},
    {CONNECTED("\"agents\":[" AGENT(",\"draining\":true") "]"), AT_AGENTS,
	"no agent takes"},
    {CONNECTED("\"agents\":[" AGENT(",\"oldest_s\":10") "]"), AT_AGENTS,
	"does not acknowledge"},
    {CONNECTED("\"agents\":[" AGENT(",\"oldest_s\":9") "]"), AT_NOTHING,
	"nothing fails"},
    {CONNECTED("\"agents\":[" AGENT("") "],\"queue\":{\"paused\":true}"),
	AT_AGENTS, "more waits"},
    {CONNECTED("\"agents\":[" AGENT("") "],\"identities\":[{\"skipped\":"
					"null},{\"skipped\":\"x\"}]"),
	AT_CONFIGURATION, "not for all"},
    /* Newer than the handshake, and it did not work so far. */
    {CONNECTED("\"last_handshake_s\":9,\"credential\":{\"age_s\":2},"
	       "\"agents\":[" AGENT("") "]"),
	AT_NOTHING, "was not tried"},
    {CONNECTED("\"last_handshake_s\":9,\"credential\":{\"age_s\":2,"
	       "\"worked\":true},\"agents\":[" AGENT("") "]"),
	AT_NOTHING, "nothing fails"},
    {CONNECTED("\"last_handshake_s\":2,\"credential\":{\"age_s\":9},"
	       "\"agents\":[" AGENT("") "]"),
	AT_NOTHING, "nothing fails"},
    /* What failed before says nothing of a link that is up. */
    {CONNECTED("\"agents\":[" AGENT("") "]," FAILURE("name", "x", "")),
	AT_NOTHING, "nothing fails"},
    {"{\"state\":\"from the future\",\"agents\":[" AGENT("") "]}", AT_NOTHING,
	"nothing fails"},
};

static void
test_table(void **state)
{
	const struct finding *found;
	struct facts f;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		facts_of(&f, cases[i].status);
		found = explain_find(&f);
		if (found->layer != cases[i].layer ||
		    strstr(found->what, cases[i].what) == NULL)
			fail_msg("%s: %d, %s", cases[i].status,
			    (int)found->layer, found->what);
		facts_free(&f);
	}
}

/* Each row is of some use: one of the cases meets it. */
static void
test_every_row_is_met(void **state)
{
	uint8_t met[sizeof(rows) / sizeof(rows[0])] = {0};
	struct facts f;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		facts_of(&f, cases[i].status);
		met[explain_find(&f) - rows] = 1;
		facts_free(&f);
	}
	for (i = 0; i < sizeof(met); i++)
		if (!met[i])
			fail_msg("no case meets: %s", rows[i].what);
}

static void
test_facts(void **state)
{
	struct facts f;

	(void)state;
	facts_of(&f,
	    "{\"name\":\"a\\u001b[2J\",\"state\":\"connected\","
	    "\"url\":\"wss://[2001:db8::1]:443/x\",\"agents\":["
	    "{\"number\":3,\"pid\":7,\"name\":\"\\u009bx\",\"platforms\":"
	    "[\"d\"],\"unacknowledged\":2,\"oldest_s\":34,"
	    "\"ack_timeout_s\":120.000},"
	    "{\"number\":4,\"platforms\":[\"d\"],\"oldest_s\":33}]}");
	assert_string_equal(f.name, "a\\x1b[2J");
	assert_string_equal(f.host, "2001:db8::1");
	assert_int_equal(f.agents, 2);
	assert_int_equal(f.unacked, 2);
	assert_non_null(strstr(f.slow, "#3 "));
	assert_non_null(strstr(f.slow, "for 34s of the 2m00s"));
	assert_null(strstr(f.slow, "\xc2\x9b"));
	assert_int_equal(f.shaken_s, -1);
	facts_free(&f);
	facts_of(&f, "{\"url\":\"https://connector.example/base\"}");
	assert_string_equal(f.host, "connector.example");
	facts_free(&f);
	facts_of(&f, "{}");
	assert_string_equal(f.host, "");
	assert_string_equal(f.state, "");
	facts_free(&f);
}

/* Only the placeholders that explain knows stand in the words. */
static void
test_placeholders(void **state)
{
	const char *text[3], *p;
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		text[0] = rows[i].what;
		text[1] = rows[i].next;
		text[2] = rows[i].todo;
		for (k = 0; k < 3; k++)
			for (p = text[k]; p != NULL && *p != '\0'; p++)
				if (*p == '$')
					assert_non_null(strchr("guhasr", p[1]));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_every_row_is_met),
	    cmocka_unit_test(test_facts),
	    cmocka_unit_test(test_placeholders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
