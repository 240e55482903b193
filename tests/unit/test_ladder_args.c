/* SPDX-License-Identifier: ISC */
/* What a child is told on its command line, and the table of roles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ladder.h"
#include "log.h"

static int
args(struct ladder *l, int *level, const char *line)
{
	static char text[512];
	char *argv[32], *p = text;
	int argc = 0;

	snprintf(text, sizeof(text), "title %s", line);
	while ((argv[argc] = strsep(&p, " ")) != NULL)
		argc++;
	return ladder_args(l, argc, argv, level);
}

static void
test_command_line(void **state)
{
	static const char *const bad[] = {"", "-n", "-f x", "-R", "-R engine",
	    "-R nobody -P 5", "-R supervisor -P 5", "-P 5 -R engine",
	    "-R engine -P 0", "-R engine -P x", "-R engine -P 5 x",
	    "-R engine -P 5 -x", "-R dialer -P 5 -p 0",
	    "-R dialer -P 5 -p 1,,2", "-R dialer -P 5 -p 65536",
	    "-R dialer -P 5 -p 1 -p 2", "-R dialer -P 5 -l 2",
	    "-R dialer -P 5 -l 8"};
	struct ladder l;
	int level;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (args(&l, &level, bad[i]) != -1)
			fail_msg("taken: %s", bad[i]);
		free((void *)(uintptr_t)l.port);
	}
	assert_int_equal(args(&l, &level, "-R engine -P 5"), 0);
	assert_int_equal(l.role, ROLE_ENGINE);
	assert_int_equal(l.parent, 5);
	assert_int_equal(level, LOG_INFO);
	assert_null(l.root);
	assert_int_equal(
	    args(&l, &level, "-R dialer -P 5 -C /x -W /y -p 443,53,65535 -l 7"),
	    0);
	assert_string_equal(l.root, "/x");
	assert_string_equal(l.writable, "/y");
	assert_int_equal(l.nport, 3);
	assert_int_equal(l.port[0], 443);
	assert_int_equal(l.port[2], 65535);
	assert_int_equal(level, LOG_DEBUG);
	free((void *)(uintptr_t)l.port);
}

static void
test_role_table(void **state)
{
	unsigned r, q;

	(void)state;
	for (r = 0; r < ROLE_COUNT; r++)
		assert_int_equal(role_by_name(role_row((enum role)r)->name), r);
	assert_int_equal(role_by_name("x"), ROLE_COUNT);
	/* Peers are mutual. */
	for (r = ROLE_AUTHD; r < ROLE_KEPT; r++) {
		assert_int_equal(
		    role_peer_fd((enum role)r, ROLE_SUPERVISOR), FD_SUPERVISOR);
		assert_int_equal(role_peer_fd((enum role)r, (enum role)r), -1);
		for (q = ROLE_AUTHD; q < ROLE_KEPT; q++)
			assert_int_equal(
			    role_peer_fd((enum role)r, (enum role)q) == -1,
			    role_peer_fd((enum role)q, (enum role)r) == -1);
	}
	assert_int_equal(role_peer_fd(ROLE_SUPERVISOR, ROLE_ENGINE), -1);
	assert_string_equal(layer_name(LAYER_SCOPE), "scope");
	assert_string_equal(layer_name(LAYER_COUNT), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_command_line),
	    cmocka_unit_test(test_role_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
