/* SPDX-License-Identifier: ISC */
/* A bundle of certificates is told from another file, wherever in it the first
 * certificate begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "ca_file.h"
#include "limit.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define MARK	  "-----BEGIN CERTIFICATE-----\n"

/* Of a file: so many letters, a line's end at will, a text. */
struct bundle {
	size_t before;
	int line;
	const char *text;
};

/* Open a file with that in it: as ca_file_open does. */
static int
open_it(const struct bundle *b, char *why, size_t whylen)
{
	char path[] = "/tmp/test_ca_file.XXXXXX", label[LIMIT_PATH + 1];
	int fd = mkstemp(path), got;
	FILE *f;
	size_t i;

	assert_true(fd != -1);
	f = fdopen(fd, "w");
	assert_non_null(f);
	for (i = 0; i < b->before; i++)
		fputc('a', f);
	if (b->line)
		fputc('\n', f);
	fputs(b->text, f);
	assert_int_equal(fclose(f), 0);
	why[0] = '\0';
	got = ca_file_open(path, label, sizeof(label), why, whylen);
	assert_string_equal(label, path);
	if (got == -1)
		assert_memory_equal(why, path, strlen(path));
	unlink(path);
	return got;
}

static void
test_a_certificate_begins(void **state)
{
	static const struct bundle good[] = {
	    {0, 0, MARK},
	    {0, 0, "-----BEGIN CERTIFICATE-----"},
	    {0, 0, "-----BEGIN CERTIFICATE-----\r\n"},
	    {0, 0, "-----BEGIN X509 CERTIFICATE-----\n"},
	    {0, 0, "-----BEGIN TRUSTED CERTIFICATE-----\n"},
	    {0, 0, "# An authority\n\n" MARK},
	    {0, 0, "-----BEGIN PRIVATE KEY-----\n" MARK},
	    {1000000, 1, MARK},
	};
	char why[LIMIT_REASON];
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < LENGTH(good); i++) {
		fd = open_it(&good[i], why, sizeof(why));
		assert_string_equal(why, "");
		assert_true(fd != -1);
		/* Who gets it reads it from its begin. */
		assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
		close(fd);
	}
}

/* What is read at a time may end anywhere in it. */
static void
test_wherever_it_begins(void **state)
{
	struct bundle b = {0, 1, MARK};
	char why[LIMIT_REASON];
	int fd;

	(void)state;
	for (b.before = 3900; b.before < 4300; b.before++) {
		fd = open_it(&b, why, sizeof(why));
		assert_true(fd != -1);
		close(fd);
	}
}

static void
test_no_certificate(void **state)
{
	static const struct bundle bad[] = {
	    {0, 0, ""},
	    {0, 0, "s3cret\n"},
	    {0, 0, "-----BEGIN PRIVATE KEY-----\n"},
	    {0, 0, "-----BEGIN CERTIFICATE REQUEST-----\n"},
	    {0, 0, "-----BEGIN CERTIFICATE----\n"},
	    {0, 0, "-----begin certificate-----\n"},
	    {0, 0, "-----END CERTIFICATE-----\n"},
	    {1, 0, MARK},
	    {4096, 0, MARK},
	    {100000, 1, "nothing\n"},
	};
	char why[LIMIT_REASON];
	size_t i;

	(void)state;
	for (i = 0; i < LENGTH(bad); i++) {
		assert_int_equal(open_it(&bad[i], why, sizeof(why)), -1);
		assert_non_null(strstr(why, ": holds no certificate (PEM): "));
	}
}

static void
test_no_file(void **state)
{
	char label[LIMIT_PATH + 1], why[LIMIT_REASON];

	(void)state;
	assert_int_equal(
	    ca_file_open("/dev/null", label, sizeof(label), why, sizeof(why)),
	    -1);
	assert_non_null(strstr(why, "not a file of at most"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_certificate_begins),
	    cmocka_unit_test(test_wherever_it_begins),
	    cmocka_unit_test(test_no_certificate),
	    cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
