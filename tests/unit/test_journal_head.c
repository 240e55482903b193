/* SPDX-License-Identifier: ISC */
/* The head of a journal's file: what is made is accepted, nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "journal_head.h"
#include "limit.h"

#define MIB (1024U * 1024)

static const unsigned char some[16] = "0123456789abcdef";

static void
test_made_is_good(void **state)
{
	struct journal_head h;

	(void)state;
	journal_head_make(&h, 16 * MIB, some);
	assert_null(journal_head_check(&h, 16 * MIB));
	assert_memory_equal(h.magic, "RLYJRNL1", 8);
	assert_memory_equal(h.key, some, 16);
	assert_int_equal(h.off, 0);
	assert_int_equal(h.off_not, UINT32_MAX);
	/* The file may grow, and not shrink. */
	assert_null(journal_head_check(&h, 16 * MIB + 1));
	assert_null(journal_head_check(&h, UINT64_MAX));
	assert_string_equal(journal_head_check(&h, 16 * MIB - 1),
	    "a journal that was cut short");
}

static void
test_ids_take_a_sixteenth(void **state)
{
	static const struct {
		uint64_t size;
		uint32_t ids;
		size_t events;
	} want[] = {
	    {JOURNAL_LEAST, 256, 12288},
	    {JOURNAL_LEAST * 2 - 1, 256, 12288},
	    {JOURNAL_LEAST * 2, 512, 16384},
	    {MIB, 4096, 73728},
	    {16 * MIB - 1, 32768, 532480},
	    {16 * MIB, 65536, 1056768},
	    {1024 * MIB, 65536, 1056768},
	};
	struct journal_head h;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		journal_head_make(&h, want[i].size, some);
		assert_int_equal(h.seen, want[i].ids);
		assert_int_equal(journal_head_events(&h), want[i].events);
		assert_null(journal_head_check(&h, want[i].size));
		assert_true(journal_head_events(&h) < want[i].size / 5);
	}
}

static void
test_each_flipped_byte_is_told(void **state)
{
	struct journal_head h;
	unsigned char *p = (unsigned char *)&h;
	const char *why;
	size_t i;
	unsigned flip;

	(void)state;
	for (i = 0; i < sizeof(h); i++)
		for (flip = 1; flip < 256; flip++) {
			journal_head_make(&h, 16 * MIB, some);
			p[i] ^= (unsigned char)flip;
			why = journal_head_check(&h, 16 * MIB);
			/* what the engine writes is the engine's to judge */
			if (i >= offsetof(struct journal_head, off))
				assert_null(why);
			else if (i < 8)
				assert_string_equal(why, "not a journal");
			else if (i < 12)
				assert_string_equal(why,
				    "a journal of another version of relayd");
			else
				assert_string_equal(
				    why, "a journal whose head is damaged");
		}
}

static void
test_what_is_no_head(void **state)
{
	struct journal_head h;

	(void)state;
	memset(&h, 0, sizeof(h));
	assert_string_equal(
	    journal_head_check(&h, JOURNAL_LEAST), "not a journal");
	assert_string_equal(journal_head_check(&h, JOURNAL_LEAST - 1),
	    "shorter than a journal can be");
	assert_string_equal(
	    journal_head_check(&h, 0), "shorter than a journal can be");
	memset(&h, 0xff, sizeof(h));
	assert_string_equal(
	    journal_head_check(&h, JOURNAL_LEAST), "not a journal");
	/* well made, of a size that nobody makes */
	journal_head_make(&h, JOURNAL_LEAST - 1, some);
	assert_string_equal(journal_head_check(&h, JOURNAL_LEAST),
	    "a journal whose head is damaged");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_made_is_good),
	    cmocka_unit_test(test_ids_take_a_sixteenth),
	    cmocka_unit_test(test_each_flipped_byte_is_told),
	    cmocka_unit_test(test_what_is_no_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
