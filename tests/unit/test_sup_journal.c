/* SPDX-License-Identifier: ISC */
/* sup_journal: files that are begun, grown, locked, put aside and removed;
 * memory that keeps its size. */
#include "../../relayd/sup_journal.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <dirent.h>
#include <signal.h>

#include "remove_tree.h"

struct world {
	char dir[64]; /* the state directory */
	struct conf_gateway g;
	struct sup_journal j;
	struct conf_error e;
	char name[8];
};

/* In the place of sup_sockets.c's. */
int
sup_dir_journal(const char *state, struct conf_error *e)
{
	char path[128];
	int fd;

	(void)e;
	snprintf(path, sizeof(path), "%s/journal", state);
	(void)mkdir(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	return fd;
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	strlcpy(w->dir, "/tmp/test_sup_journal.XXXXXX", sizeof(w->dir));
	assert_non_null(mkdtemp(w->dir));
	strlcpy(w->name, "main", sizeof(w->name));
	w->g.name = w->name;
	w->g.journal.where = JOURNAL_DISK;
	w->g.journal.size = JOURNAL_LEAST;
	sup_journal_init(&w->j);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	sup_journal_close(&w->j, w->dir, "main", 0);
	remove_tree(w->dir);
	free(w);
	return 0;
}

static const char *
path_of(const struct world *w)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/journal/main.journal", w->dir);
	return path;
}

/* Files in journal/ whose name begins so. */
static int
count(const struct world *w, const char *begin)
{
	struct dirent *d;
	char path[128];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/journal", w->dir);
	assert_non_null(dir = opendir(path));
	while ((d = readdir(dir)) != NULL)
		n += strncmp(d->d_name, begin, strlen(begin)) == 0;
	closedir(dir);
	return n;
}

static int
reopen(struct world *w)
{
	w->j.kept = 1;
	sup_journal_close(&w->j, w->dir, "main", 0);
	return sup_journal_open(&w->j, w->dir, &w->g, &w->e);
}

static struct journal_head
head_of(int fd)
{
	struct journal_head h;

	assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
	return h;
}

static uint64_t
size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

static void
test_begun(void **state)
{
	struct world *w = *state;
	struct journal_head h;
	struct stat st;

	w->g.journal.size = JOURNAL_LEAST + 1; /* a page more */
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	assert_true(w->j.made);
	assert_int_equal(w->j.size, JOURNAL_LEAST + PAGE);
	assert_int_equal(fstat(w->j.fd, &st), 0);
	assert_int_equal(st.st_size, w->j.size);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true((uint64_t)st.st_blocks * 512 >= w->j.size);
	h = head_of(w->j.fd);
	assert_null(journal_head_check(&h, w->j.size));
	/* Once is enough. */
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
}

static void
test_found(void **state)
{
	struct world *w = *state;
	struct journal_head a, b;

	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	a = head_of(w->j.fd);
	assert_int_equal(reopen(w), 0);
	assert_false(w->j.made);
	b = head_of(w->j.fd);
	assert_memory_equal(&a, &b, sizeof(a));
	/* It grows, and does not shrink. */
	w->g.journal.size = 4 * JOURNAL_LEAST;
	assert_int_equal(reopen(w), 0);
	assert_int_equal(w->j.size, 4 * JOURNAL_LEAST);
	assert_int_equal(size_of(w->j.fd), w->j.size);
	w->g.journal.size = JOURNAL_LEAST;
	assert_int_equal(reopen(w), 0);
	assert_int_equal(w->j.size, 4 * JOURNAL_LEAST);
	b = head_of(w->j.fd);
	assert_memory_equal(&a, &b, sizeof(a));
}

/* One that is too small for every line that may come is not used when it
 * cannot grow; a larger one is. */
static void
test_cannot_grow(void **state)
{
	struct world *w = *state;
	struct rlimit old, least = {JOURNAL_CONF_LEAST, JOURNAL_CONF_LEAST};

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	least.rlim_max = old.rlim_max;
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	w->g.journal.size = 2 * JOURNAL_CONF_LEAST;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &least), 0);
	assert_int_equal(reopen(w), -1);
	assert_non_null(
	    strstr(w->e.text, "has only 65536 bytes and cannot grow"));
	w->g.journal.size = JOURNAL_CONF_LEAST;
	assert_int_equal(reopen(w), 0);
	w->g.journal.size = 2 * JOURNAL_CONF_LEAST;
	assert_int_equal(reopen(w), 0);
	assert_int_equal(w->j.size, JOURNAL_CONF_LEAST);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

/* Two within a second have names of their own. */
static void
test_aside(void **state)
{
	struct world *w = *state;
	struct journal_head h;
	int i;

	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	for (i = 1; i <= 3; i++) {
		h = head_of(w->j.fd);
		h.version++;
		assert_int_equal(pwrite(w->j.fd, &h, sizeof(h), 0), sizeof(h));
		assert_int_equal(reopen(w), 0);
		assert_true(w->j.made);
		assert_int_equal(count(w, "main.journal.bad-"), i);
		h = head_of(w->j.fd);
		assert_null(journal_head_check(&h, w->j.size));
	}
}

static void
test_locked(void **state)
{
	struct world *w = *state;
	struct sup_journal other;

	sup_journal_init(&other);
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	assert_int_equal(sup_journal_open(&other, w->dir, &w->g, &w->e), -1);
	assert_non_null(strstr(w->e.text, "in use by another relayd"));
	assert_non_null(strstr(w->e.text, path_of(w)));
	assert_int_equal(other.fd, -1);
	assert_false(other.open);
	/* And what could not be had is not taken away. */
	sup_journal_close(&other, w->dir, "main", 1);
	assert_int_equal(count(w, "main.journal"), 1);
}

/* Taken away is what is not there, and not what cannot be looked at. */
static void
test_look(void **state)
{
	struct world *w = *state;
	const uid_t uid = geteuid();
	char elsewhere[128];

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", w->dir);
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	assert_int_equal(chmod(w->dir, 0), 0);
	if (uid == 0)
		assert_int_equal(seteuid(65534), 0);
	sup_journal_look(&w->j, w->dir, "main");
	assert_int_equal(seteuid(uid), 0);
	assert_int_equal(chmod(w->dir, 0700), 0);
	assert_false(w->j.away);
	assert_int_equal(rename(path_of(w), elsewhere), 0);
	sup_journal_look(&w->j, w->dir, "main");
	assert_true(w->j.away);
	assert_int_equal(rename(elsewhere, path_of(w)), 0);
	sup_journal_look(&w->j, w->dir, "main");
	assert_false(w->j.away);
}

static void
test_removed(void **state)
{
	struct world *w = *state;

	/* One made for a gateway that is never lived by. */
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	sup_journal_close(&w->j, w->dir, "main", 1);
	assert_int_equal(count(w, "main.journal"), 0);
	/* One that is. */
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	sup_journal_keep(&w->j, &w->g);
	sup_journal_close(&w->j, w->dir, "main", 1);
	assert_int_equal(count(w, "main.journal"), 1);
	/* One that was there before. */
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	sup_journal_close(&w->j, w->dir, "main", 1);
	assert_int_equal(count(w, "main.journal"), 1);
	assert_int_equal(w->j.fd, -1);
	assert_false(w->j.open);
}

static void
test_memory(void **state)
{
	struct world *w = *state;
	struct journal_head h;

	w->g.journal.where = JOURNAL_MEMORY;
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	assert_int_equal(size_of(w->j.fd), JOURNAL_LEAST);
	h = head_of(w->j.fd);
	assert_null(journal_head_check(&h, JOURNAL_LEAST));
	assert_int_equal(ftruncate(w->j.fd, 0), -1);
	assert_int_equal(ftruncate(w->j.fd, 2 * JOURNAL_LEAST), -1);
	assert_int_equal(access(path_of(w), F_OK), -1);
}

static void
test_off(void **state)
{
	struct world *w = *state;

	w->g.journal.where = JOURNAL_OFF;
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	assert_int_equal(w->j.fd, -1);
	/* A reload's other settings wait. */
	w->g.journal.where = JOURNAL_DISK;
	assert_int_equal(sup_journal_open(&w->j, w->dir, &w->g, &w->e), 0);
	assert_int_equal(w->j.fd, -1);
	assert_int_equal(access(path_of(w), F_OK), -1);
}

/* Asked of a directory that is there, above those that are not. */
static void
test_room(void **state)
{
	struct world *w = *state;
	char below[128], why[512] = "";
	uint64_t want = 0, many = (uint64_t)1 << 60;

	snprintf(below, sizeof(below), "%s/a/b", w->dir);
	assert_int_equal(
	    sup_journal_room(below, &w->g, &want, why, sizeof(why)), 0);
	assert_int_equal(want, JOURNAL_LEAST);
	assert_string_equal(why, "");
	assert_int_equal(
	    sup_journal_room(below, &w->g, &many, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "make room"));
	assert_int_equal(rmdir(w->dir), 0);
	/* Without a state directory, or a file, there is nothing to ask. */
	assert_int_equal(
	    sup_journal_room("", &w->g, &many, why, sizeof(why)), 0);
	w->g.journal.where = JOURNAL_MEMORY;
	assert_int_equal(
	    sup_journal_room(below, &w->g, &many, why, sizeof(why)), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_begun, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_found, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_cannot_grow, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_aside, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_locked, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_look, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_off, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
