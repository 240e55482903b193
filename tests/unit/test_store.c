/* SPDX-License-Identifier: ISC */
/* Credentials and standings on disk: what is written comes back, and what
 * others may have written is refused in words. */
#include <sys/resource.h>
#include <sys/stat.h>
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "store.h"

#define FILE_NAME "credential.main"

struct place {
	char path[64];
	int dir;
	char why[256];
};

static int
setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strlcpy(p->path, "/tmp/relayd-store-XXXXXX", sizeof(p->path));
	assert_non_null(mkdtemp(p->path));
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dir != -1);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct place *p = *state;
	struct dirent *e;
	DIR *d = opendir(p->path);

	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(p->dir, e->d_name, 0);
	closedir(d);
	close(p->dir);
	rmdir(p->path);
	free(p);
	return 0;
}

static void
fields(struct span f[CRED_FIELDS], const char *secret)
{
	memset(f, 0, CRED_FIELDS * sizeof(*f));
	f[CRED_URL] = SPAN_LIT("https://c.example");
	f[CRED_ASKED] = SPAN_LIT("gw-host");
	f[CRED_ID] = SPAN_LIT("gw:1");
	f[CRED_TENANT] = SPAN_LIT("t\xc3\xa4nant");
	f[CRED_HOW] = SPAN_LIT("enrolled");
	f[CRED_SINCE] = SPAN_LIT("1700000000");
	f[CRED_SECRET] = span_str(secret);
}

static void
save(struct place *p, const char *secret)
{
	struct span f[CRED_FIELDS];
	struct cred c;

	fields(f, secret);
	assert_null(cred_make(&c, f));
	assert_int_equal(
	    cred_save(&c, p->dir, "main", p->why, sizeof(p->why)), 0);
	cred_free(&c);
	assert_null(c.r.map);
}

static int
load(struct place *p, struct cred *c)
{
	return cred_load(c, p->dir, "main", p->why, sizeof(p->why));
}

/* Put these bytes where the credential is. */
static void
put(struct place *p, const char *text, size_t len)
{
	int fd;

	unlinkat(p->dir, FILE_NAME, 0);
	fd = openat(p->dir, FILE_NAME, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd != -1);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static size_t
get(struct place *p, char *text, size_t cap)
{
	int fd = openat(p->dir, FILE_NAME, O_RDONLY);
	ssize_t n = read(fd, text, cap);

	close(fd);
	assert_true(n > 0);
	return (size_t)n;
}

static void
refused(struct place *p, const char *why)
{
	struct cred c;

	assert_int_equal(load(p, &c), -1);
	assert_null(c.r.map);
	assert_memory_equal(p->why, FILE_NAME ": ", strlen(FILE_NAME) + 2);
	if (strstr(p->why, why) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", p->why, why);
	/* It stays for who wants to look at it. */
	assert_int_equal(
	    faccessat(p->dir, FILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

static void
test_comes_back(void **state)
{
	struct place *p = *state;
	struct span f[CRED_FIELDS];
	struct stat st;
	struct cred c;

	assert_int_equal(load(p, &c), 0);
	save(p, "s3cret with  spaces ");
	assert_int_equal(fstatat(p->dir, FILE_NAME, &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(load(p, &c), 1);
	fields(f, "s3cret with  spaces ");
	for (int i = 0; i < CRED_FIELDS; i++)
		assert_true(span_eq(c.f[i], f[i]));
	cred_free(&c);
	assert_int_equal(
	    cred_forget(p->dir, "main", p->why, sizeof(p->why)), 0);
	assert_int_equal(load(p, &c), 0);
	assert_int_equal(
	    cred_forget(p->dir, "main", p->why, sizeof(p->why)), 0);
}

static void
test_every_truncation(void **state)
{
	struct place *p = *state;
	char text[1024];
	size_t len;

	save(p, "s3cret");
	len = get(p, text, sizeof(text));
	for (size_t n = 0; n < len; n++) {
		put(p, text, n);
		refused(p, n == 0 ? "is empty" : "");
	}
	text[len] = '\n';
	put(p, text, len + 1);
	refused(p, "goes on after its end");
}

static void
test_damage(void **state)
{
	static const struct {
		const char *from, *to, *why;
	} cases[] = {
	    {"relayd-credential 1", "relayd-credential 2",
		"is of another version of relayd"},
	    {"relayd-credential 1", "RELAYD-credential 1", "none of relayd's"},
	    {"gw:1", "gw\t1", "no text"},
	    {"gw:1",
		"gw\xff"
		"1",
		"no text"},
	    {"secret s3cret", "secret 3cret\n", "damaged"},
	    {"secret s3cret", "sceret s3cret", "damaged"},
	};
	struct place *p = *state;
	char text[1024], *at;
	size_t len;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		save(p, "s3cret");
		len = get(p, text, sizeof(text));
		text[len] = '\0';
		at = strstr(text, cases[i].from);
		assert_non_null(at);
		memcpy(at, cases[i].to, strlen(cases[i].to));
		put(p, text, len);
		refused(p, cases[i].why);
	}
}

static void
test_too_long(void **state)
{
	struct place *p = *state;
	static char text[RECORD_MAX + 1];
	char secret[LIMIT_SECRET + 2];
	struct span f[CRED_FIELDS];
	struct cred c;

	memset(text, 'a', sizeof(text));
	put(p, text, sizeof(text));
	refused(p, "too long");
	memset(secret, 'a', sizeof(secret));
	secret[LIMIT_SECRET + 1] = '\0';
	fields(f, secret);
	assert_non_null(cred_make(&c, f));
	assert_null(c.r.map);
	secret[LIMIT_SECRET] = '\0';
	f[CRED_SECRET] = span_str(secret);
	assert_null(cred_make(&c, f));
	cred_free(&c);
	/* A second line would be a field of its own. */
	f[CRED_TENANT] = SPAN_LIT("t\nid gw-other");
	assert_non_null(cred_make(&c, f));
}

static void
test_modes_and_owners(void **state)
{
	struct place *p = *state;
	struct cred c;

	for (mode_t m = 01; m <= 040; m <<= 1) {
		save(p, "s3cret");
		assert_int_equal(fchmodat(p->dir, FILE_NAME, 0600 | m, 0), 0);
		refused(p, "others can use it");
	}
	save(p, "s3cret");
	if (geteuid() == 0) {
		assert_int_equal(
		    fchownat(p->dir, FILE_NAME, 12345, 12345, 0), 0);
		refused(p, "belongs to another user");
	}
	unlinkat(p->dir, FILE_NAME, 0);
	assert_int_equal(symlinkat("/etc/passwd", p->dir, FILE_NAME), 0);
	refused(p, "");
	unlinkat(p->dir, FILE_NAME, 0);
	assert_int_equal(mkdirat(p->dir, FILE_NAME, 0700), 0);
	refused(p, "not a regular file");
	unlinkat(p->dir, FILE_NAME, AT_REMOVEDIR);
	assert_int_equal(mkfifoat(p->dir, FILE_NAME, 0600), 0);
	refused(p, "not a regular file");
	unlinkat(p->dir, FILE_NAME, 0);
	assert_int_equal(load(p, &c), 0);
}

/* With room for so many bytes the old one stays, and no rest of the new. */
static void
test_no_room(void **state)
{
	struct place *p = *state;
	struct rlimit was, now;
	struct span f[CRED_FIELDS];
	struct cred c, back;
	int r;

	save(p, "old");
	fields(f, "new");
	assert_null(cred_make(&c, f));
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	for (rlim_t room = 0; room < c.r.len; room++) {
		now = was;
		now.rlim_cur = room;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
		r = cred_save(&c, p->dir, "main", p->why, sizeof(p->why));
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
		assert_int_equal(r, -1);
		assert_int_equal(load(p, &back), 1);
		assert_true(span_eq(back.f[CRED_SECRET], SPAN_LIT("old")));
		cred_free(&back);
		assert_int_equal(
		    faccessat(p->dir, "new." FILE_NAME, F_OK, 0), -1);
	}
	assert_int_equal(
	    cred_save(&c, p->dir, "main", p->why, sizeof(p->why)), 0);
	cred_free(&c);
	assert_int_equal(load(p, &back), 1);
	assert_true(span_eq(back.f[CRED_SECRET], SPAN_LIT("new")));
	cred_free(&back);
}

/* What an end by SIGKILL left behind is in nobody's way. */
static void
test_rest_of_a_crash(void **state)
{
	struct place *p = *state;
	struct cred c;
	int fd = openat(p->dir, "new." FILE_NAME, O_WRONLY | O_CREAT, 0644);

	assert_int_equal(write(fd, "relayd-cred", 11), 11);
	close(fd);
	assert_int_equal(load(p, &c), 0);
	save(p, "s3cret");
	assert_int_equal(load(p, &c), 1);
	cred_free(&c);
}

static void
test_kept_memory(void **state)
{
	struct span f[CRED_FIELDS];
	struct cred c, again;
	int fd;

	(void)state;
	fields(f, "s3cret");
	assert_null(cred_make(&c, f));
	fd = dup(c.r.fd);
	assert_null(cred_adopt(&again, dup(fd)));
	assert_true(span_eq(again.f[CRED_SECRET], SPAN_LIT("s3cret")));
	cred_free(&again);
	/* Cleansed for all who keep it. */
	assert_non_null(cred_adopt(&again, fd));
	cred_free(&c);
	assert_non_null(cred_adopt(&again, open("/dev/null", O_RDWR)));
}

static void
test_standings(void **state)
{
	struct place *p = *state;
	const struct span url = SPAN_LIT("https://c.example/a b"),
			  id = SPAN_LIT("../gw"), other = SPAN_LIT("gw");
	const struct span secret = SPAN_LIT("secret"), more = SPAN_LIT("secre");
	struct standing s = {.worked = 1}, back;
	struct token_work work;

	assert_int_equal(
	    standing_load(&back, p->dir, url, id, p->why, sizeof(p->why)), 0);
	s.revoked_at = 1700000000;
	strlcpy(s.evidence, "4401 twice", sizeof(s.evidence));
	standing_seal(&s, &work, secret);
	assert_int_equal(
	    standing_save(&s, p->dir, url, id, p->why, sizeof(p->why)), 0);
	assert_int_equal(
	    standing_load(&back, p->dir, url, id, p->why, sizeof(p->why)), 1);
	assert_true(back.worked);
	assert_int_equal(back.revoked_at, 1700000000);
	assert_string_equal(back.evidence, "4401 twice");
	assert_false(standing_other(&back, &work, secret));
	assert_true(standing_other(&back, &work, more));
	/* The seal is salted, and goes with the mark. */
	standing_seal(&s, &work, secret);
	assert_string_not_equal(s.seal, back.seal);
	s.revoked_at = 0;
	assert_int_equal(
	    standing_save(&s, p->dir, url, id, p->why, sizeof(p->why)), 0);
	assert_int_equal(
	    standing_load(&back, p->dir, url, id, p->why, sizeof(p->why)), 1);
	assert_string_equal(back.seal, "");
	assert_false(standing_other(&back, &work, more));
	assert_int_equal(
	    standing_load(&back, p->dir, url, other, p->why, sizeof(p->why)),
	    0);
	/* Nothing to say leaves no file. */
	memset(&s, 0, sizeof(s));
	assert_int_equal(
	    standing_save(&s, p->dir, url, id, p->why, sizeof(p->why)), 0);
	assert_int_equal(
	    standing_load(&back, p->dir, url, id, p->why, sizeof(p->why)), 0);
	assert_int_equal(rmdir(p->path), 0);
	assert_int_equal(mkdir(p->path, 0700), 0);
}

#define PLACE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    PLACE_TEST(test_comes_back),
	    PLACE_TEST(test_every_truncation),
	    PLACE_TEST(test_damage),
	    PLACE_TEST(test_too_long),
	    PLACE_TEST(test_modes_and_owners),
	    PLACE_TEST(test_no_room),
	    PLACE_TEST(test_rest_of_a_crash),
	    PLACE_TEST(test_kept_memory),
	    PLACE_TEST(test_standings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
