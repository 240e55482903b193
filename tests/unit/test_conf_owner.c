/* SPDX-License-Identifier: ISC */
/* Configuration: who may be able to write it. */
#include "conf_help.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void
touch(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	close(fd);
	assert_int_equal(chmod(path, mode), 0);
}

static void
refused(const char *path, const char *has)
{
	struct conf_error e;

	assert_int_equal(conf_check_owner(path, &e), -1);
	if (strstr(e.text, has) == NULL)
		fail_msg("%s: told %s", has, e.text);
}

static void
refused_parents(const char *path, const char *has)
{
	struct conf_error e;

	assert_int_equal(conf_check_parents(path, &e), -1);
	if (strstr(e.text, has) == NULL)
		fail_msg("%s: told %s", has, e.text);
}

static void
test_owner(void **state)
{
	/* Directories that root alone can write, and that others can. */
	char dir[] = "/run/test_conf.XXXXXX", tmp[] = "/tmp/test_conf.XXXXXX";
	struct conf_error e;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	assert_non_null(mkdtemp(tmp));
	assert_int_equal(chdir(dir), 0);
	touch("good", 0644);
	assert_int_equal(symlink("good", "link"), 0);
	assert_int_equal(symlink("loop", "loop"), 0);
	assert_int_equal(mkdir("open", 0755), 0);
	assert_int_equal(mkdir("closed", 0755), 0);
	assert_int_equal(chmod("open", 0775), 0);
	assert_int_equal(symlink("../good", "open/back"), 0);
	assert_int_equal(symlink("open/back", "through"), 0);
	touch("group", 0664);
	touch("world", 0602);
	touch("other", 0600);
	assert_int_equal(chown("other", 1, 0), 0);
	assert_int_equal(symlink(tmp, "out"), 0);
	touch("closed/x", 0600);
	if (conf_check_owner(dir, &e) == -1)
		skip();

	assert_int_equal(conf_check_owner("good", &e), 0);
	assert_int_equal(conf_check_owner("link", &e), 0);
	assert_int_equal(conf_check_owner("./closed/../closed/x", &e), 0);
	refused("loop", "one symbolic link too many");
	refused("group", "/group can be written by others than root");
	refused("world", "/world can be written by others than root");
	refused("other", "/other belongs to another user than root");
	refused("open/back", "/open can be written by others");
	/* The link's end is well kept, but not a directory on the way. */
	refused("through", "/open can be written by others");
	refused("out/x", "/tmp can be written by others");
	refused("none", "cannot be examined: No such file");
	refused("good/x", "/good is no directory");
	refused("/tmp/x", "/tmp can be written by others");

	/* A path that is told is told once. */
	assert_int_equal(conf_check_owner("/tmp", &e), -1);
	assert_ptr_equal(
	    strstr(e.text, "/tmp can be written by others"), e.text);

	/* The last part may be what it likes, or not there. */
	assert_int_equal(conf_check_parents("none", &e), 0);
	assert_int_equal(conf_check_parents("closed/none//", &e), 0);
	assert_int_equal(conf_check_parents("open", &e), 0);
	assert_int_equal(conf_check_parents("/none", &e), 0);
	refused_parents("open/none",
	    "/open can be written by others than "
	    "root, who could exchange the directory");
	refused_parents("/tmp/x", "/tmp can be written by others");
	refused_parents("out/x", "/tmp can be written by others");
	refused_parents("none/x", "cannot be examined: No such file");
}

/* Leave the directory as it was found, whatever the test did. */
static int
setup_owner(void **state)
{
	static char home[4096];

	*state = getcwd(home, sizeof(home));
	return *state == NULL ? -1 : 0;
}

static int
teardown_owner(void **state)
{
	static const char *const names[] = {"good", "link", "loop", "open/back",
	    "through", "group", "world", "other", "out", "closed/x"};
	char here[4096];

	if (getcwd(here, sizeof(here)) == NULL || strcmp(here, *state) == 0)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char target[256];
		ssize_t n = readlink(names[i], target, sizeof(target) - 1);

		if (n > 0 && target[0] == '/') {
			target[n] = '\0';
			rmdir(target);
		}
		unlink(names[i]);
	}
	rmdir("open");
	rmdir("closed");
	if (chdir(*state) == -1)
		return -1;
	return rmdir(here);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_owner, setup_owner, teardown_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
