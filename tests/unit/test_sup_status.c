/* SPDX-License-Identifier: ISC */
/* What the service manager is shown of the gateways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "utf8.h"

#include "../../relayd/sup_status.c"

static void
test_every_gateway(void **state)
{
	const struct sup_state_gateway g[] = {
	    {"main", "connected", "well", 0, 0},
	    {"other", "retrying", "connector refused (HTTP 503)", 0,
		1700000000},
	    {"third", "disabled", "", 0, 0},
	};
	char line[SUP_STATUS_MAX];

	(void)state;
	sup_status_line(line, g, 3);
	assert_string_equal(line,
	    "main connected; other retrying: connector refused (HTTP 503), "
	    "next try at 22:13:20 UTC; third disabled");
	sup_status_line(line, g, 0);
	assert_string_equal(line, "");
}

/* A newline in a reason would begin another assignment. */
static void
test_foreign_text_stays_in_its_line(void **state)
{
	const struct sup_state_gateway g = {
	    "main", "retrying", "no\nMAINPID=1\x1b[2J\xff", 0, 0};
	char line[SUP_STATUS_MAX];

	(void)state;
	sup_status_line(line, &g, 1);
	assert_null(strchr(line, '\n'));
	assert_null(strchr(line, '\x1b'));
	assert_int_equal(utf8_valid_prefix(line, strlen(line)), strlen(line));
	assert_non_null(strstr(line, "MAINPID=1"));
}

/* Too many for the line: how many are well, and who is not. */
static void
test_many(void **state)
{
	struct sup_state_gateway g[LIMIT_GATEWAYS];
	char line[SUP_STATUS_MAX], reason[LIMIT_REASON + 1];
	int i;

	(void)state;
	for (i = 0; i < LIMIT_GATEWAYS; i++)
		g[i] = (struct sup_state_gateway){
		    "gateway", "connected", "well", 0, 0};
	sup_status_line(line, g, LIMIT_GATEWAYS);
	assert_string_equal(line, "1024 of 1024 gateways connected");
	g[1000].name = "sick";
	g[1000].state = "retrying";
	g[1000].reason = "refused";
	sup_status_line(line, g, LIMIT_GATEWAYS);
	assert_string_equal(
	    line, "1023 of 1024 gateways connected; sick retrying: refused");
	/* The longest there are, of characters of three bytes. */
	for (i = 0; i + 3 < LIMIT_REASON; i += 3)
		memcpy(reason + i, "\xe2\x82\xac", 3);
	reason[LIMIT_REASON - 1] = '\0';
	for (i = 0; i < LIMIT_GATEWAYS; i++)
		g[i] = (struct sup_state_gateway){
		    "abcdefghijklmnopqrstuvwxyzabcdef",
		    "abcdefghijklmnopqrstuvwxyzabcdef", reason, 0, 1700000000};
	sup_status_line(line, g, LIMIT_GATEWAYS);
	assert_true(strlen(line) < SUP_STATUS_MAX);
	assert_int_equal(utf8_valid_prefix(line, strlen(line)), strlen(line));
	assert_int_equal(
	    strncmp(line, "0 of 1024 gateways connected; abc", 33), 0);
	assert_non_null(
	    strstr(line, "next try at 22:13:20 UTC; and 1022 more"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_gateway),
	    cmocka_unit_test(test_foreign_text_stays_in_its_line),
	    cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
