/* SPDX-License-Identifier: ISC */
/*
 * The engine is killed after each of its instructions: another process works
 * on a shared journal step by step, and whenever memory changed, a copy of it
 * is what the next engine finds.
 */
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

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

#include "journal_world.h"

#define LINE 600

static void
act_put(struct world *w)
{
	(void)world_put(w, 3, LINE);
}

static void
act_done(struct world *w)
{
	world_done(w, 0);
}

static void
act_aside(struct world *w)
{
	uint64_t hash[2];

	w->info[0].attempts = 5;
	w->info[0].aside = 1;
	w->info[0].aside_at = 1700000000001;
	journal_mark(&w->j, w->r[0], &w->info[0]);
	seen_hash(&w->j.seen, w->info[0].cid, hash);
	seen_add(&w->j.seen, hash);
}

/* Two events in memory that another process shares. */
static void
begin_shared(struct world *w)
{
	void *p = mmap(NULL, JOURNAL_LEAST, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	memset(w, 0, sizeof(*w));
	w->mem = p;
	w->len = JOURNAL_LEAST;
	journal_head_make(p, w->len, (const unsigned char *)"sixteen bytes...");
	world_start(w);
	assert_non_null(world_put(w, 1, LINE));
	assert_non_null(world_put(w, 2, LINE));
	world_look(w);
}

static void
end_shared(struct world *w)
{
	journal_free(&w->j);
	(void)munmap(w->mem, w->len);
}

static pid_t
begin_steps(struct world *w, void (*run)(struct world *w))
{
	int status;
	pid_t pid = fork();

	assert_true(pid != -1);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
			_exit(1);
		(void)raise(SIGSTOP);
		run(w);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

/* Whether it goes on after another instruction. */
static int
step(pid_t pid)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSTOPPED(status))
		return 1;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}

/* What is found after each change: check() looks at it, gets how far it came
 * before and says how far it is now.  How many changes there were. */
static size_t
kill_everywhere(void (*run)(struct world *w),
    int (*check)(struct world *got, int before), int *end)
{
	struct world w, got;
	unsigned char *copy = malloc(JOURNAL_LEAST);
	size_t changes = 0;
	pid_t pid;

	assert_non_null(copy);
	begin_shared(&w);
	world_begin(&got, JOURNAL_LEAST);
	memcpy(copy, w.mem, w.len);
	*end = 0;
	pid = begin_steps(&w, run);
	while (step(pid)) {
		if (memcmp(copy, w.mem, w.len) == 0)
			continue;
		changes++;
		memcpy(copy, w.mem, w.len);
		memcpy(got.mem, copy, w.len);
		journal_free(&got.j);
		world_start(&got);
		assert_int_equal(got.j.torn, 0);
		*end = check(&got, *end);
	}
	free(copy);
	world_end(&got);
	end_shared(&w);
	return changes;
}

/* Nothing, or all of it. */
static int
check_put(struct world *got, int before)
{
	world_expect(got, 0, 1, LINE);
	world_expect(got, 1, 2, LINE);
	if (got->n == 3)
		world_expect(got, 2, 3, LINE);
	else
		assert_int_equal(got->n, 2);
	assert_true((int)got->n - 2 >= before);
	return (int)got->n - 2;
}

/* There until its id is known. */
static int
check_done(struct world *got, int before)
{
	int gone = world_knows(got, 1);

	assert_int_equal(got->n, gone ? 1 : 2);
	world_expect(got, got->n - 1, 2, LINE);
	assert_true(gone >= before);
	return gone;
}

/* There, and aside before its id is known. */
static int
check_aside(struct world *got, int before)
{
	assert_int_equal(got->n, 2);
	world_expect(got, 0, 1, LINE);
	if (got->info[0].aside) {
		assert_int_equal(got->info[0].attempts, 5);
		assert_int_equal(got->info[0].aside_at, 1700000000001);
	} else
		assert_false(world_knows(got, 1));
	assert_true(got->info[0].aside >= before);
	return got->info[0].aside;
}

static void
test_put(void **state)
{
	int end;

	(void)state;
	assert_true(kill_everywhere(act_put, check_put, &end) > 10);
	assert_int_equal(end, 1);
}

static void
test_done(void **state)
{
	int end;

	(void)state;
	assert_true(kill_everywhere(act_done, check_done, &end) > 5);
	assert_int_equal(end, 1);
}

static void
test_aside(void **state)
{
	int end;

	(void)state;
	assert_true(kill_everywhere(act_aside, check_aside, &end) > 3);
	assert_int_equal(end, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_put),
	    cmocka_unit_test(test_done),
	    cmocka_unit_test(test_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
