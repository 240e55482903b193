/* SPDX-License-Identifier: ISC */
/* sup_slot: places are stable by name, and a free one is reused last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

#include "../../relayd/sup_slot.c"

static int
setup(void **state)
{
	struct sup_slots *s = malloc(sizeof(*s));

	if (s == NULL)
		return -1;
	sup_slots_init(s);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static void
test_stable(void **state)
{
	struct sup_slots *s = *state;
	int a, b;

	a = sup_slot_take(s, "main");
	b = sup_slot_take(s, "other");
	assert_true(a >= 0 && b >= 0 && a != b);
	assert_int_equal(sup_slot_take(s, "main"), a);
	assert_int_equal(sup_slot_find(s, "other"), b);
	assert_int_equal(sup_slot_find(s, "none"), -1);
	sup_slot_free(s, (unsigned)a);
	assert_false(sup_slot_used(s, (unsigned)a));
	assert_int_equal(sup_slot_find(s, "main"), -1);
	assert_int_equal(sup_slot_find(s, "other"), b);
}

static void
test_reused_last(void **state)
{
	struct sup_slots *s = *state;
	char name[16];
	int first, i;

	first = sup_slot_take(s, "gone");
	sup_slot_free(s, (unsigned)first);
	for (i = 0; i < LIMIT_GATEWAYS - 1; i++) {
		snprintf(name, sizeof(name), "g%d", i);
		assert_int_not_equal(sup_slot_take(s, name), first);
	}
	assert_int_equal(sup_slot_take(s, "last"), first);
	assert_int_equal(sup_slot_take(s, "toomany"), -1);
	assert_int_equal(sup_slot_take(s, "g7"), sup_slot_find(s, "g7"));
}

static void
test_names(void **state)
{
	struct sup_slots *s = *state;
	char name[LIMIT_NAME + 2];

	memset(name, 'a', sizeof(name));
	name[LIMIT_NAME + 1] = '\0';
	assert_int_equal(sup_slot_take(s, name), -1);
	name[LIMIT_NAME] = '\0';
	assert_int_not_equal(sup_slot_take(s, name), -1);
	assert_int_equal(sup_slot_take(s, ""), -1);
	assert_false(sup_slot_used(s, LIMIT_GATEWAYS));
}

static void
test_descriptors_close(void **state)
{
	struct sup_slots *s = *state;
	int i = sup_slot_take(s, "main"), fd = open("/dev/null", O_RDONLY);

	int kept = open("/dev/null", O_RDONLY);

	s->slot[i].sock.now.fd = fd;
	s->slot[i].kept_fd = kept;
	sup_slot_free(s, (unsigned)i);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(fcntl(kept, F_GETFD), -1);
	assert_int_equal(s->slot[i].sock.now.fd, -1);
	assert_int_equal(s->slot[i].kept_fd, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_stable, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reused_last, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_names, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_descriptors_close, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
