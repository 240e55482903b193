/* SPDX-License-Identifier: ISC */
/* sup_command: token commands, run for real: what they see, what they may
 * leave behind, and how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../relayd/sup_command.c"
#include "../../relayd/sup_log.c"
#include "../../relayd/sup_spawn.c"

#include <poll.h>
#include <time.h>

#define TIMEOUT_S 20
#define OUT_MAX	  8192

struct world {
	struct event_base *base;
	struct sup_command command;
	struct sup_user nobody;
	char out[OUT_MAX]; /* what it printed, and how it ended */
	size_t len;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char why[LIMIT_REASON];

	assert_non_null(w);
	assert_non_null(w->base = event_base_new());
	assert_int_equal(sup_command_init(&w->command, w->base), 0);
	assert_int_equal(
	    sup_command_user(&w->nobody, "nobody", why, sizeof(why)), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	sup_command_free(&w->command);
	event_base_free(w->base);
	free(w);
	return 0;
}

/* As root a user is obligatory; otherwise it runs as we do. */
static const struct sup_user *
user(const struct world *w)
{
	return geteuid() == 0 ? &w->nobody : NULL;
}

static int
start_shell(struct world *w, const char *script, unsigned ms)
{
	char sh[] = "/bin/sh", c[] = "-c", text[512], why[LIMIT_REASON] = "";
	char *argv[] = {sh, c, text, NULL};
	struct sup_command_line line = {"main", argv, user(w), "/home/of", ms};
	int fd;

	strlcpy(text, script, sizeof(text));
	fd = sup_command_start(&w->command, w->base, &line, why, sizeof(why));
	if (fd == -1)
		fail_msg("%s", why);
	return fd;
}

/* As the supervisor does on SIGCHLD. */
static void
reap(struct world *w)
{
	siginfo_t info = {0};
	int status;

	if (w->command.pid == 0 ||
	    waitid(P_PID, (id_t)w->command.pid, &info,
		WEXITED | WNOHANG | WNOWAIT) == -1 ||
	    info.si_pid == 0)
		return;
	sup_command_ended(&w->command);
	assert_int_equal(waitpid(info.si_pid, &status, 0), info.si_pid);
	sup_command_reaped(&w->command, status);
}

/* Run it to the end of its output. */
static void
run(struct world *w, const char *script, unsigned ms)
{
	const time_t end = time(NULL) + TIMEOUT_S;
	struct pollfd p = {start_shell(w, script, ms), POLLIN, 0};
	ssize_t n = -1;

	w->len = 0;
	while (n != 0 || w->command.pid != 0) {
		assert_true(time(NULL) < end);
		event_base_loop(w->base, EVLOOP_NONBLOCK);
		reap(w);
		if (n == 0 || poll(&p, 1, 10) == 0)
			continue;
		n = read(p.fd, w->out + w->len, OUT_MAX - 1 - w->len);
		assert_true(n >= 0);
		w->len += (size_t)n;
	}
	w->out[w->len] = '\0';
	close(p.fd);
}

static void
test_prints(void **state)
{
	struct world *w = *state;

	run(w, "echo to; echo ken", COMMAND_MS);
	assert_string_equal(w->out, "to\nken\n");
	assert_int_equal(w->len, 7);
	/* And again. */
	run(w, "printf x", COMMAND_MS);
	assert_int_equal(w->len, 1);
}

/* Nothing of ours: environment, directory, descriptors, input, signals. */
static void
test_surroundings(void **state)
{
	struct world *w = *state;
	int extra = open("/dev/null", O_RDONLY);

	assert_int_equal(setenv("CANARY", "x", 1), 0);
	signal(SIGPIPE, SIG_IGN);
	run(w, "exec env -u PWD -u OLDPWD -u SHLVL -u _ env", COMMAND_MS);
	assert_non_null(strstr(w->out, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"));
	assert_non_null(strstr(w->out, "HOME=/home/of\n"));
	assert_non_null(strstr(w->out, "LANG=C\n"));
	assert_null(strstr(w->out, "CANARY"));
	assert_int_equal(strlen(w->out),
	    strlen("PATH=/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/home/of\n"
		   "LANG=C\n"));
	run(w,
	    "pwd; cat; for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17; "
	    "do [ -e /proc/self/fd/$i ] && echo $i; done; true",
	    COMMAND_MS);
	assert_string_equal(w->out, "/\n0\n1\n2\n");
	run(w, "grep SigIgn /proc/self/status", COMMAND_MS);
	/* Those that the C library keeps for itself are its own affair. */
	assert_memory_equal(w->out, "SigIgn:\t", 8);
	assert_int_equal(strtoull(w->out + 8, NULL, 16) & 0x7fffffff, 0);
	run(w, "grep NoNewPrivs /proc/self/status", COMMAND_MS);
	assert_string_equal(w->out, "NoNewPrivs:\t1\n");
	close(extra);
}

static void
expect_failure(const struct world *w, const char *printed, const char *words)
{
	size_t n = strlen(printed);

	assert_memory_equal(w->out, printed, n + 1);
	assert_string_equal(w->out + n + 1, words);
	assert_int_equal(w->len, n + 1 + strlen(words));
}

/* Who reads the output is told, so that half a token is none. */
static void
test_fails(void **state)
{
	struct world *w = *state;

	run(w, "printf half; exit 3", COMMAND_MS);
	expect_failure(w, "half", "the token command: exited with status 3");
	run(w, "kill -SEGV $$", COMMAND_MS);
	expect_failure(w, "", "the token command: killed by signal SIGSEGV");
}

static void
test_cannot_be_executed(void **state)
{
	struct world *w = *state;
	char path[] = "/nonexistent/token", why[LIMIT_REASON];
	char *argv[] = {path, NULL};
	struct sup_command_line line = {"main", argv, user(w), "/", COMMAND_MS};
	const time_t end = time(NULL) + TIMEOUT_S;
	int fd;

	fd = sup_command_start(&w->command, w->base, &line, why, sizeof(why));
	assert_int_not_equal(fd, -1);
	while (w->command.pid != 0 && time(NULL) < end) {
		poll(NULL, 0, 10);
		reap(w);
	}
	w->len = (size_t)read(fd, w->out, OUT_MAX - 1);
	w->out[w->len] = '\0';
	expect_failure(w, "", "the token command: could not be executed");
	close(fd);
}

static void
test_too_late(void **state)
{
	struct world *w = *state;

	run(w, "printf x; sleep 1000", 50);
	expect_failure(
	    w, "x", "the token command: took too long and was killed");
}

/* What it left in the background would hold the output open. */
static void
test_leaves_nothing(void **state)
{
	struct world *w = *state;
	char path[64];
	long pid;

	run(w, "sleep 1000 & echo $!", COMMAND_MS);
	pid = strtol(w->out, NULL, 10);
	assert_true(pid > 1);
	snprintf(path, sizeof(path), "/proc/%ld/root", pid);
	/* Killed; a zombie at most, for whoever inherits it. */
	for (int i = 0; i < 1000 && access(path, F_OK) == 0; i++)
		poll(NULL, 0, 10);
	assert_int_equal(access(path, F_OK), -1);
}

/* A pipe that nobody reads holds up nobody. */
static void
test_full(void **state)
{
	struct world *w = *state;
	const time_t end = time(NULL) + TIMEOUT_S;
	int fd = start_shell(w,
	    "(trap '' PIPE; exec setsid head -c 65536 /dev/zero); exit 1",
	    COMMAND_MS);

	while (w->command.pid != 0 && time(NULL) < end) {
		event_base_loop(w->base, EVLOOP_NONBLOCK);
		reap(w);
		poll(NULL, 0, 10);
	}
	assert_int_equal(w->command.pid, 0);
	close(fd);
}

static void
test_user(void **state)
{
	struct world *w = *state;
	char sh[] = "/bin/true", why[LIMIT_REASON];
	char *argv[] = {sh, NULL};
	struct sup_command_line line = {"main", argv, NULL, "/", COMMAND_MS};
	char want[64];

	assert_int_equal(
	    sup_command_user(&w->nobody, "root", why, sizeof(why)), -1);
	assert_non_null(strstr(why, "root"));
	assert_int_equal(
	    sup_command_user(&w->nobody, "no-such-one", why, sizeof(why)), -1);
	if (geteuid() != 0)
		skip();
	assert_int_equal(
	    sup_command_user(&w->nobody, "nobody", why, sizeof(why)), 0);
	run(w, "id -u; id -ru; id -G; grep '^Cap[EP]' /proc/self/status",
	    COMMAND_MS);
	snprintf(want, sizeof(want), "%u\n%u\n%u\n", (unsigned)w->nobody.uid,
	    (unsigned)w->nobody.uid, (unsigned)w->nobody.gid);
	assert_memory_equal(w->out, want, strlen(want));
	assert_string_equal(w->out + strlen(want),
	    "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
	/* Never as root. */
	assert_int_equal(
	    sup_command_start(&w->command, w->base, &line, why, sizeof(why)),
	    -1);
	assert_int_equal(w->command.pid, 0);
}

/* Its standard error is the log's, and nothing in it is believed. */
static void
test_stderr(void **state)
{
	struct world *w = *state;
	char name[] = "/tmp/test_sup_command.XXXXXX", text[4096];
	int saved = dup(2), fd = mkstemp(name);
	ssize_t n;

	assert_int_not_equal(fd, -1);
	assert_int_equal(dup2(fd, 2), 2);
	log_init(LOG_TO_PEOPLE, "supervisor", LOG_INFO);
	run(w,
	    "printf '3\\tlink\\tother\\tforged\\n\\033[2J\\n' >&2;"
	    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 "
	    "22 23 24 25; do echo again >&2; done",
	    COMMAND_MS);
	assert_int_equal(dup2(saved, 2), 2);
	close(saved);
	n = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	assert_null(strstr(text, "event=link"));
	assert_non_null(strstr(text, " level=warn process=token-command pid="));
	assert_non_null(strstr(text, "event=stderr gateway=main "));
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "event=log_suppressed"));
	close(fd);
	unlink(name);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_prints),
	    T(test_surroundings),
	    T(test_fails),
	    T(test_cannot_be_executed),
	    T(test_too_late),
	    T(test_leaves_nothing),
	    T(test_full),
	    T(test_user),
	    T(test_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
