/* SPDX-License-Identifier: ISC */
/* Credentials: what is taken for a secret, what is refused in which words,
 * and when a credential counts as another one. */
#include <sys/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../relay-authd/secret.c"
#include "secmem.h"

#define NOW 1700000000

static struct secrets all;

static int
setup(void **state)
{
	unsigned flags;

	(void)state;
	return secret_open(&all, 64, &flags);
}

static int
teardown(void **state)
{
	(void)state;
	secret_close(&all);
	return 0;
}

/* A file with this content, its offset at the end. */
static int
file_of(const char *p, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd != -1);
	assert_int_equal(write(fd, p, len), len);
	return fd;
}

/* That of gateway 0, main. */
static struct msg_conf_credential
credential(enum cred_source source, const char *label)
{
	return (struct msg_conf_credential){.name = SPAN_LIT("main"),
	    .id = SPAN_LIT("gw"),
	    .source = source,
	    .label = span_str(label)};
}

static void
add(uint32_t gateway, const char *id, const char *p, size_t len)
{
	struct msg_conf_credential m = credential(CRED_FILE, "/etc/s");
	int fd = file_of(p, len);

	m.gateway = gateway;
	m.id = span_str(id);
	assert_null(secret_add(&all, &m, fd));
	close(fd);
}

static void
add_text(uint32_t gateway, const char *id, const char *text)
{
	add(gateway, id, text, strlen(text));
}

/* What becomes of a file with this content. */
static struct secret *
take(const char *p, size_t len)
{
	struct secret *s;

	secret_stage(&all);
	add(0, "gw", p, len);
	secret_commit(&all, NOW, 1);
	s = secret_get(&all, 0);
	assert_non_null(s);
	return s;
}

static void
check_taken(const char *p, size_t len, const char *want)
{
	const struct secret *s = take(p, len);

	assert_non_null(s->text.p);
	assert_string_equal(s->reason, "");
	assert_int_equal(s->text.len, strlen(want));
	assert_memory_equal(s->text.p, want, s->text.len);
}

static void
check_refused(const char *p, size_t len, const char *want)
{
	const struct secret *s = take(p, len);

	assert_null(s->text.p);
	assert_string_equal(s->reason, want);
}

static void
taken(void **state)
{
	char longest[LIMIT_SECRET + 3];

	(void)state;
	check_taken("abc", 3, "abc");
	check_taken(" \t\r\n a b \n\n", 11, "a b");
	check_taken("s\xc3\xa9"
		    "cret",
	    7,
	    "s\xc3\xa9"
	    "cret");
	memset(longest, 'x', sizeof(longest));
	longest[0] = ' ';
	longest[LIMIT_SECRET + 1] = '\0';
	check_taken(longest, LIMIT_SECRET + 1, longest + 1);
}

static void
refused(void **state)
{
	static char big[LIMIT_SECRET * 3];

	(void)state;
	check_refused("", 0, "/etc/s: is empty");
	check_refused(" \n\t ", 4, "/etc/s: holds only white space");
	check_refused("abcd\0ef", 7, "/etc/s: holds a NUL byte");
	check_refused(
	    "a\nb", 3, "/etc/s: holds a control character or a second line");
	check_refused("a\x7f"
		      "b",
	    3, "/etc/s: holds a control character or a second line");
	check_refused("a\xff"
		      "b",
	    3, "/etc/s: is not valid UTF-8");
	memset(big, 'x', sizeof(big));
	check_refused(
	    big, LIMIT_SECRET + 1, "/etc/s: is longer than 4096 bytes");
	check_refused(big, sizeof(big), "/etc/s: is longer than 4096 bytes");
	/* A seal whose length is not true. */
	check_refused("\xff\xff\0\0abc", 7, "/etc/s: holds what is no text");
}

static void
sealed(void **state)
{
	struct msg_conf_credential m = credential(CRED_ENV, "environment");
	char text[] = " from the environment\n";
	unsigned flags = 0;
	int fd = secmem_seal(text, strlen(text), &flags);

	(void)state;
	assert_true(fd != -1);
	/* Twice: what the supervisor keeps must outlive the first reading. */
	for (int i = 0; i < 2; i++) {
		secret_stage(&all);
		assert_null(secret_add(&all, &m, fd));
		secret_commit(&all, NOW, 1);
		assert_int_equal(all.live[0].text.len, 20);
		assert_memory_equal(
		    all.live[0].text.p, "from the environment", 20);
	}
	close(fd);
}

static void
no_regular_file(void **state)
{
	struct msg_conf_credential m = credential(CRED_FILE, "/etc/s");
	int fd[2];

	(void)state;
	assert_return_code(pipe(fd), 0);
	secret_stage(&all);
	assert_null(secret_add(&all, &m, fd[0]));
	assert_string_equal(
	    all.stage[0].reason, "/etc/s: is not a regular file");
	close(fd[0]);
	close(fd[1]);
}

static void
items_that_must_not_be(void **state)
{
	struct msg_conf_credential m =
	    credential(CRED_NONE, "no secret: set one");

	(void)state;
	secret_stage(&all);
	assert_null(secret_add(&all, &m, -1));
	assert_string_equal(all.stage[0].reason, "no secret: set one");
	assert_non_null(secret_add(&all, &m, -1));
	/* One that is named and cannot be opened is pinned all the same. */
	assert_false(all.stage[0].pinned);
	m.gateway = 1;
	m.source = CRED_FILE;
	assert_null(secret_add(&all, &m, -1));
	assert_true(all.stage[1].pinned);
	assert_null(all.stage[1].text.p);
	m.gateway = 2;
	m.source = CRED_NONE;
	assert_non_null(secret_add(&all, &m, 0));
	m.id = SPAN_LIT("");
	assert_non_null(secret_add(&all, &m, -1));
}

static uint32_t
commit(const char *id, const char *text, int64_t now)
{
	secret_stage(&all);
	add_text(0, id, text);
	secret_commit(&all, now, 1);
	return all.history[0].generation;
}

static void
generations(void **state)
{
	uint32_t first;

	(void)state;
	first = commit("gw", "one", NOW);
	all.live[0].minted = 7;
	assert_int_equal(commit("gw", " one\n", NOW + 5), first);
	assert_int_equal(all.live[0].since, NOW);
	assert_int_equal(all.live[0].minted, 7);
	assert_int_equal(commit("gw", "two", NOW + 9), first + 1);
	assert_int_equal(all.live[0].since, NOW + 9);
	assert_int_equal(all.live[0].minted, 0);
	assert_int_equal(commit("gx", "two", NOW), first + 2);
	assert_int_equal(commit("gx", " ", NOW), first + 3);
	assert_int_equal(commit("gx", "", NOW), first + 3);
	/* It went and came: it may not look like the old one. */
	secret_stage(&all);
	secret_commit(&all, NOW, 50);
	assert_null(secret_get(&all, 0));
	assert_true(secret_just_removed(&all, 0, 59, 10));
	assert_false(secret_just_removed(&all, 0, 60, 10));
	assert_false(secret_just_removed(&all, 1, 59, 10));
	assert_int_equal(commit("gx", "two", NOW), first + 4);
	assert_false(secret_just_removed(&all, 0, 59, 10));
}

static void
other_credentials_are_known_before_commit(void **state)
{
	(void)state;
	commit("gw", "one", NOW);
	secret_stage(&all);
	assert_true(secret_other(&all, 0));
	assert_false(secret_other(&all, 1));
	add_text(0, "gw", "one");
	assert_false(secret_other(&all, 0));
	secret_stage(&all);
	add_text(0, "gw", "onf");
	assert_true(secret_other(&all, 0));
	secret_stage(&all);
	assert_memory_equal(all.live[0].text.p, "one", 3);
}

static int
holds(const char *p, size_t len, const char *needle)
{
	return memmem(p, len, needle, strlen(needle)) != NULL;
}

static void
old_secrets_are_cleansed(void **state)
{
	const struct vault *v = &all.vault;

	(void)state;
	commit("gw", "needle-one", NOW);
	assert_true(holds(v->map, v->len, "needle-one"));
	commit("gw", "needle-two", NOW);
	assert_false(holds(v->map, v->len, "needle-one"));
	secret_stage(&all);
	add_text(0, "gw", "needle-three");
	secret_stage(&all);
	assert_false(holds(v->map, v->len, "needle-three"));
	secret_stage(&all);
	add_text(0, "gw", "needle-four\x01");
	assert_false(holds(v->map, v->len, "needle-four"));
	assert_true(holds(v->map, v->len, "needle-two"));
}

static void
room_has_an_end(void **state)
{
	static char big[LIMIT_SECRET];
	uint32_t g;

	(void)state;
	memset(big, 'x', sizeof(big));
	secret_stage(&all);
	for (g = 0; g < SECRET_SPACE / LIMIT_SECRET; g++)
		add(g, "gw", big, sizeof(big));
	assert_non_null(all.stage[g - 1].text.p);
	add(g, "gw", "x", 1);
	assert_null(all.stage[g].text.p);
	assert_non_null(strstr(all.stage[g].reason, "finds no room"));
}

/* A secret that is to take the place of another, or not. */
static void
offer(enum cred_keep keep, const char *text)
{
	struct msg_conf_credential m = credential(
	    text == NULL ? CRED_NONE : CRED_FILE, text == NULL ? "none" : "/s");
	int fd = text == NULL ? -1 : file_of(text, strlen(text));

	m.keep = keep;
	assert_null(secret_add(&all, &m, fd));
	if (fd != -1)
		close(fd);
}

static void
check_kept(enum cred_keep keep, const char *text, const char *want)
{
	const uint32_t generation = all.history[0].generation;
	const struct secret *s = secret_get(&all, 0);
	const struct secret was = *s;
	const int same = was.text.p != NULL && want != NULL &&
	    span_eq(was.text, span_str(want));

	secret_stage(&all);
	offer(keep, text);
	assert_null(
	    secret_check(&all, (char[LIMIT_REASON + 1]){""}, LIMIT_REASON + 1));
	assert_int_equal(secret_other(&all, 0), !same);
	secret_commit(&all, NOW + 9, 2);
	s = secret_get(&all, 0);
	assert_true(span_eq(s->text, span_str(want)));
	assert_int_equal(s->since, same ? was.since : NOW + 9);
	assert_int_equal(all.history[0].generation, generation + !same);
	assert_int_equal(s->source, want == NULL ? was.source : CRED_FILE);
	/* What it was before lies nowhere. */
	for (size_t i = 0; i < all.vault.halflen; i++)
		assert_int_equal(all.vault.half[!all.vault.live][i], 0);
}

static void
what_works_is_kept(void **state)
{
	(void)state;
	take("abc", 3);
	check_kept(KEEP_AS_IS, NULL, "abc");
	check_kept(KEEP_WORKING, "", "abc");
	check_kept(KEEP_WORKING, "two\nlines", "abc");
	check_kept(KEEP_WORKING, NULL, "abc");
	check_kept(KEEP_WORKING, "abc", "abc");
	check_kept(KEEP_WORKING, "other", "other");
	check_kept(KEEP_WORKING, " \n", "other");
}

static void
what_does_not_work_is_not_kept(void **state)
{
	const struct secret *s = take("", 0);

	(void)state;
	assert_string_equal(s->reason, "/etc/s: is empty");
	secret_stage(&all);
	offer(KEEP_AS_IS, NULL);
	secret_commit(&all, NOW, 1);
	s = secret_get(&all, 0);
	assert_true(s->pinned);
	assert_string_equal(s->reason, "/etc/s: is empty");
	secret_stage(&all);
	offer(KEEP_WORKING, " ");
	secret_commit(&all, NOW, 1);
	assert_string_equal(
	    secret_get(&all, 0)->reason, "/s: holds only white space");
	secret_stage(&all);
	offer(KEEP_WORKING, NULL);
	secret_commit(&all, NOW, 1);
	assert_false(secret_get(&all, 0)->pinned);
	assert_string_equal(secret_get(&all, 0)->reason, "none");
}

/* A longer one must not cost another gateway's. */
static void
what_is_kept_needs_room(void **state)
{
	static char big[LIMIT_SECRET];
	struct msg_conf_credential m = credential(CRED_NONE, "none");
	char why[LIMIT_REASON + 1];
	uint32_t g;

	(void)state;
	memset(big, 'x', sizeof(big));
	secret_stage(&all);
	add_text(0, "gw", "abc");
	for (g = 1; g < SECRET_SPACE / LIMIT_SECRET; g++)
		add(g, "gw", big, sizeof(big));
	secret_commit(&all, NOW, 1);
	secret_stage(&all);
	add(0, "gw", big, sizeof(big));
	for (m.keep = KEEP_AS_IS; g-- > 1;) {
		m.gateway = g;
		assert_null(secret_add(&all, &m, -1));
	}
	assert_null(secret_check(&all, why, sizeof(why)));
	m.gateway = SECRET_SPACE / LIMIT_SECRET;
	secret_stage(&all);
	for (g = 0; g < SECRET_SPACE / LIMIT_SECRET; g++)
		add(g == 1 ? (uint32_t)m.gateway : g, "gw", big, sizeof(big));
	m.gateway = 1;
	assert_null(secret_add(&all, &m, -1));
	assert_ptr_equal(secret_check(&all, why, sizeof(why)), why);
	assert_non_null(strstr(why, "finds no room"));
}

/* What a reload must not take. */
static void
checked(void **state)
{
	struct msg_conf_credential none = credential(CRED_NONE, "no secret");
	char why[LIMIT_REASON + 1];

	(void)state;
	none.gateway = 1;
	none.name = SPAN_LIT("other");
	secret_stage(&all);
	add_text(0, "gw", "abc");
	assert_null(secret_add(&all, &none, -1));
	assert_null(secret_check(&all, why, sizeof(why)));
	secret_stage(&all);
	add_text(0, "gw", " \n");
	assert_ptr_equal(secret_check(&all, why, sizeof(why)), why);
	assert_string_equal(
	    why, "the secret of gateway main: /etc/s: holds only white space");
	secret_stage(&all);
	assert_null(secret_check(&all, why, sizeof(why)));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(checked),
	    TEST(taken),
	    TEST(refused),
	    TEST(sealed),
	    TEST(no_regular_file),
	    TEST(items_that_must_not_be),
	    TEST(generations),
	    TEST(other_credentials_are_known_before_commit),
	    TEST(old_secrets_are_cleansed),
	    TEST(room_has_an_end),
	    TEST(what_works_is_kept),
	    TEST(what_does_not_work_is_not_kept),
	    TEST(what_is_kept_needs_room),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
