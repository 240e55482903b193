/* SPDX-License-Identifier: ISC */
/* The metrics: their text, and that each is in the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relay-ctl/field.c"
#include "../../relay-ctl/gwtext.c"
#include "../../relay-ctl/metrics.c"
#include "../../relay-ctl/metrics_table.c"
#include "../../relay-ctl/out.c"
#include "vec.h"

#define MANUAL "docs/relay-ctl.8"

/* Only words given by a person are matched with it. */
int
ctl_match(const char *what, const char *given, const void *words, size_t n,
    size_t stride)
{
	(void)what;
	(void)given;
	(void)words;
	(void)n;
	(void)stride;
	return -1;
}

static const struct metrics_own own = {1, 5, 4, 3, 2, 1};

/* What is written of a status (NULL: none); free. */
static char *
written(const char *status)
{
	struct buf b;
	char *text;

	buf_init(&b, 0);
	metrics_write(&b, span_str(status), &own);
	assert_false(b.failed);
	text = strndup(buf_span(&b).p, buf_len(&b));
	assert_non_null(text);
	buf_free(&b);
	return text;
}

/* Whether the text has the line. */
static int
has(const char *text, const char *line)
{
	size_t len = strlen(line);
	const char *at = text;

	while ((at = strstr(at, line)) != NULL) {
		if ((at == text || at[-1] == '\n') && at[len] == '\n')
			return 1;
		at += len;
	}
	return 0;
}

static void
expect(const char *status, const char *const *lines, const char *const *never)
{
	char *text = written(status);

	for (; *lines != NULL; lines++)
		if (!has(text, *lines))
			fail_msg("%s is not in:\n%s", *lines, text);
	for (; *never != NULL; never++)
		if (strstr(text, *never) != NULL)
			fail_msg("%s is in:\n%s", *never, text);
	free(text);
}

#define GATEWAY(name, more) \
	"{\"name\":\"" name "\",\"state\":\"connected\"" more "}"
#define STATUS(gateways)                                    \
	"{\"ok\":true,\"version\":\"1.2\",\"now\":1000.75," \
	"\"started\":900,\"gateways\":[" gateways "],"      \
	"\"processes\":[{\"role\":\"engine\",\"state\":"    \
	"\"restarting\",\"restarts\":7,\"since\":null,"     \
	"\"pss_kb\":2,\"layers\":{\"user\":\"lacking\","    \
	"\"nnp\":\"held\",\"tcp\":\"lacking\"}}]}"

static void
test_without_relayd(void **state)
{
	static const char *const lines[] = {
	    "# HELP relayd_up Whether relayd answered with its status.",
	    "# TYPE relayd_up gauge", "relayd_up 1",
	    "# TYPE relayd_serve_requests_total counter",
	    "relayd_serve_requests_total 5",
	    "relayd_serve_status_requests_total 4",
	    "relayd_serve_status_failures_total 3",
	    "relayd_serve_event_clients 2",
	    "relayd_serve_event_clients_dropped_total 1",
	    "relayd_serve_build_info{version=\"" VERSION "\"} 1", NULL};
	static const char *const never[] = {
	    "gateway", "relayd_process", "relayd_build", NULL};

	(void)state;
	expect(NULL, lines, never);
	expect("rubbish", lines, never);
}

static void
test_escaping(void **state)
{
	static const char *const lines[] = {
	    "relayd_gateway_state{gateway=\"a\\\"b\\\\c\\nd\","
	    "state=\"connected\"} 1",
	    "relayd_gateway_last_failure{gateway=\"a\\\"b\\\\c\\nd\","
	    "phase=\"x\\\\\\\"\"} 1",
	    NULL};
	static const char *const never[] = {NULL};

	(void)state;
	expect(STATUS(GATEWAY("a\\\"b\\\\c\\nd",
		   ",\"last_failure\":{\"phase\":\"x\\\\\\\"\",\"at\":5}")),
	    lines, never);
}

/* Whatever a label says, the line ends where it should, and a terminal does
 * nothing. */
static void
test_controls(void **state)
{
	static const char *const lines[] = {
	    "relayd_gateway_state{gateway=\"a\xef\xbf\xbd"
	    "b\","
	    "state=\"connected\"} 1",
	    "relayd_gateway_last_failure{gateway=\"a\xef\xbf\xbd"
	    "b\","
	    "phase=\"\xef\xbf\xbd[1m\xef\xbf\xbd"
	    "1m\xc3\x89\"} 1",
	    NULL};
	static const char *const never[] = {"\x1b", "\xc2\x9b", NULL};

	(void)state;
	expect(STATUS(GATEWAY("a\\u0000b",
		   ",\"last_failure\":{\"phase\":"
		   "\"\\u001b[1m\\u009b1m\\u00c9\",\"at\":5}")),
	    lines, never);
}

static void
test_absent(void **state)
{
	static const char *const lines[] = {
	    "relayd_gateway_last_pong_timestamp_seconds{gateway=\"b\"} 990",
	    "relayd_gateway_next_attempt_seconds{gateway=\"b\"} 2.500",
	    "relayd_gateway_ping_seconds{gateway=\"b\"} 0.012",
	    "relayauthd_credential_timestamp_seconds{gateway=\"b\"} 995",
	    "relayd_gateway_last_close{gateway=\"b\",code=\"4401\"} 1",
	    "relayd_gateway_last_close_timestamp_seconds{gateway=\"b\"} 980",
	    "relayd_process_running{process=\"engine\"} 0",
	    "relayd_process_restarts_total{process=\"engine\"} 7",
	    "relayd_process_memory_bytes{process=\"engine\"} 2048",
	    "relayd_process_layers_lacking{process=\"engine\"} 2", NULL};
	static const char *const never[] = {"_timestamp_seconds{gateway=\"a\"}",
	    "last_close{gateway=\"a\"",
	    "relayd_gateway_ping_seconds{gateway=\"a\"}",
	    "relayd_gateway_next_attempt_seconds{gateway=\"a\"}",
	    "relayd_process_start_timestamp_seconds", " nan", " inf", NULL};

	(void)state;
	expect(STATUS(GATEWAY("a",
		   ",\"last_pong_at\":null,\"rtt_ms\":null,"
		   "\"last_close\":null,\"next_attempt_in_s\":1e999,"
		   "\"credential\":{\"age_s\":null}") "," GATEWAY("b",
		   ",\"last_pong_at\":990,\"rtt_ms\":12,"
		   "\"next_attempt_in_s\":2.5,"
		   "\"last_close\":{\"code\":4401,\"http_status\":null,"
		   "\"at\":980},\"credential\":{\"age_s\":5}")),
	    lines, never);
}

/* A start counts as the first reload, as in Prometheus itself. */
static void
test_reload(void **state)
{
	static const char *const taken[] = {
	    "relayd_config_last_reload_successful 1",
	    "relayd_config_last_reload_success_timestamp_seconds 900", NULL};
	static const char *const refused[] = {
	    "relayd_config_last_reload_successful 0",
	    "relayd_config_last_reload_success_timestamp_seconds 900",
	    "relayd_config_last_reload_refused_timestamp_seconds 950", NULL};
	static const char *const lines[] = {"relayd_up 1", NULL};
	static const char *const none[] = {NULL};
	static const char *const no_refusal[] = {"refused_timestamp", NULL};
	static const char *const no_reload[] = {"relayd_config", NULL};

	(void)state;
	expect("{\"configuration\":{\"taken\":900,\"refused_at\":null}}", taken,
	    no_refusal);
	expect("{\"configuration\":{\"taken\":900,\"refused_at\":950}}",
	    refused, none);
	/* An older relayd's. */
	expect("{\"now\":1}", lines, no_reload);
}

static void
test_arrays_and_labels(void **state)
{
	static const char *const lines[] = {
	    "relayd_gateway_agents{gateway=\"a\"} 2",
	    "relayd_gateway_agents_queued_events{gateway=\"a\"} 7",
	    "relayd_gateway_agents_oldest_event_seconds{gateway=\"a\"} 9",
	    "relayauthd_identities{gateway=\"a\"} 2",
	    "relayauthd_identities_skipped{gateway=\"a\"} 1",
	    "relayd_gateway_results_total{gateway=\"a\",result=\"ok\"} 3",
	    "relayd_gateway_results_total{gateway=\"a\",result=\"failed\"} 4",
	    "relayd_gateway_state{gateway=\"b\",state=\"connected\"} 0",
	    "relayd_gateway_state{gateway=\"b\",state=\"later\"} 1",
	    "relayd_gateway_agents{gateway=\"b\"} 0", NULL};
	static const char *const never[] = {
	    "oldest_event_seconds{gateway=\"b\"}", "bot", "Ann", NULL};

	(void)state;
	expect(STATUS(GATEWAY("a",
		   ",\"agents\":[{\"queued\":3,\"oldest_s\":null,"
		   "\"name\":\"Ann\"},{\"queued\":4,\"oldest_s\":9}],"
		   "\"identities\":[{\"skipped\":null},"
		   "{\"skipped\":\"x\",\"bot_id\":\"bot\"}],"
		   "\"counters\":{\"outbound_ok\":3,"
		   "\"outbound_failed\":4}") ","
					     "{\"name\":\"b\",\"state\":"
					     "\"later\",\"agents\":[]}"),
	    lines, never);
}

/* HELP and TYPE once, before all samples of a metric. */
static void
test_grouped(void **state)
{
	char *text = written(STATUS(GATEWAY("a",
		 ",\"attempt\":1,\"counters\":{\"outbound_ok\":"
		 "1,\"outbound_failed\":2}") "," GATEWAY("b",
		 ",\"attempt\":2,\"counters\":{\"outbound_ok\":"
		 "3,\"outbound_failed\":4}"))),
	     *next = text, *line;
	char helped[128] = "", name[128];

	(void)state;
	while ((line = strsep(&next, "\n")) != NULL && *line != '\0') {
		if (sscanf(line, "# HELP %127s", name) == 1) {
			assert_string_not_equal(name, helped);
			strlcpy(helped, name, sizeof(helped));
		} else if (line[0] != '#') {
			span_copy(name, sizeof(name),
			    (struct span){line, strcspn(line, "{ ")});
			assert_string_equal(name, helped);
		}
	}
	free(text);
}

/* As Prometheus' conventions have it. */
static void
test_names(void **state)
{
	const struct metric *m = metrics_table;
	const char *total, *seen = "";
	size_t i, j;

	(void)state;
	for (i = 0; i < metrics_count; i++) {
		assert_true(strncmp(m[i].name, "relayd_", 7) == 0 ||
		    strncmp(m[i].name, "relayauthd_", 11) == 0);
		total = strstr(m[i].name, "_total");
		assert_int_equal(
		    total != NULL && total[6] == '\0', m[i].counter);
		assert_int_equal(
		    m[i].help == NULL, strcmp(m[i].name, seen) == 0);
		for (j = 0; j < i && m[i].help != NULL; j++)
			assert_string_not_equal(m[j].name, m[i].name);
		seen = m[i].name;
	}
}

static int
is_metric(const char *name)
{
	size_t i;

	for (i = 0; i < metrics_count; i++)
		if (strcmp(metrics_table[i].name, name) == 0)
			return 1;
	return 0;
}

static void
test_documented(void **state)
{
	struct span file = vec_load(MANUAL);
	char *text = strndup(file.p, file.len), *line, *next = text;
	char want[128];
	size_t i;

	(void)state;
	vec_free(file);
	for (i = 0; i < metrics_count; i++) {
		snprintf(
		    want, sizeof(want), "\n.It Va %s\n", metrics_table[i].name);
		if (strstr(text, want) == NULL)
			fail_msg("%s is not in " MANUAL, metrics_table[i].name);
	}
	while ((line = strsep(&next, "\n")) != NULL)
		if (strncmp(line, ".It Va relay", 12) == 0 &&
		    !is_metric(line + 7))
			fail_msg("%s is in " MANUAL " alone", line + 7);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_without_relayd),
	    cmocka_unit_test(test_escaping),
	    cmocka_unit_test(test_controls),
	    cmocka_unit_test(test_absent),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_arrays_and_labels),
	    cmocka_unit_test(test_grouped),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
