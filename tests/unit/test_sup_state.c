/* SPDX-License-Identifier: ISC */
/* sup_state: what state.json says, and that it is replaced at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relayd/sup_own.c"
#include "../../relayd/sup_state.c"

static const struct sup_state_process processes[] = {
    {"supervisor", 10, 0, 1700000000, -1},
    {"engine", 0, 3, 1700000100, 400},
};
static const struct sup_state_gateway gateways[] = {
    {"main", "connected", "\x1b[31m \"quoted\"", 1700000200, 0},
};

static void
test_render(void **state)
{
	struct sup_state st = {10, 1700000300, PHASE_RELOADING, processes, 2,
	    gateways, 1, "/etc/relayd/relayd.yaml", "/var/lib/relayd"};
	struct json_doc doc;
	struct span text;
	struct buf b;
	int64_t n;
	int list, at;

	(void)state;
	buf_init(&b, 0);
	sup_state_render(&b, &st);
	assert_false(b.failed);
	text = buf_span(&b);
	assert_int_equal(text.p[text.len - 1], '\n');
	assert_null(memchr(text.p, 0x1b, text.len));
	assert_int_equal(json_parse(&doc, text.p, text.len, 3), 0);
	at = json_get(&doc, JSON_ROOT, "schema");
	assert_true(
	    span_eq(json_str_raw(&doc, at), SPAN_LIT("relayd.state/1")));
	at = json_get(&doc, JSON_ROOT, "phase");
	assert_true(span_eq(json_str_raw(&doc, at), SPAN_LIT("reloading")));
	at = json_get(&doc, JSON_ROOT, "configuration");
	assert_true(span_eq(
	    json_str_raw(&doc, at), SPAN_LIT("/etc/relayd/relayd.yaml")));
	at = json_get(&doc, JSON_ROOT, "state_directory");
	assert_true(
	    span_eq(json_str_raw(&doc, at), SPAN_LIT("/var/lib/relayd")));
	list = json_get(&doc, JSON_ROOT, "processes");
	at = json_next(&doc, json_first(&doc, list));
	assert_true(span_eq(json_str_raw(&doc, json_get(&doc, at, "state")),
	    SPAN_LIT("restarting")));
	assert_int_equal(json_int(&doc, json_get(&doc, at, "next_start_in_ms"),
			     0, 10000, &n),
	    0);
	assert_int_equal(n, 400);
	at = json_first(&doc, list);
	assert_int_equal(json_get(&doc, at, "next_start_in_ms"), -1);
	buf_free(&b);
}

static void
test_empty(void **state)
{
	struct sup_state st = {
	    1, 0, PHASE_STARTING, NULL, 0, NULL, 0, NULL, NULL};
	struct json_doc doc;
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	sup_state_render(&b, &st);
	assert_int_equal(json_parse(&doc, buf_span(&b).p, buf_len(&b), 3), 0);
	buf_free(&b);
}

/* The content of a file of at most 63 bytes. */
static void
expect_file(const char *path, const char *want)
{
	char got[64] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_int_equal(fread(got, 1, sizeof(got) - 1, f), strlen(want));
	fclose(f);
	assert_string_equal(got, want);
}

static void
test_write(void **state)
{
	char dir[] = "/tmp/test_sup_state.XXXXXX", path[64], tmp[64];
	struct stat st;
	FILE *old;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state.json", dir);
	snprintf(tmp, sizeof(tmp), "%s/state.json.tmp", dir);
	assert_int_equal(sup_state_write(path, (gid_t)-1, "one", 3), 0);
	expect_file(path, "one");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* Who has it open keeps the old one; what a crash left does not
	 * matter. */
	assert_non_null(old = fopen(path, "r"));
	assert_int_equal(symlink("/nonexistent", tmp), 0);
	assert_int_equal(sup_state_write(path, (gid_t)-1, "second", 6), 0);
	assert_int_equal(fgetc(old), 'o');
	fclose(old);
	expect_file(path, "second");
	assert_int_equal(lstat(tmp, &st), -1);
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(sup_state_write(path, (gid_t)-1, "x", 1), -1);
	assert_int_equal(errno, ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_render),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
