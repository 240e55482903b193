/* SPDX-License-Identifier: ISC */
/*
 * The supervisor against children that misbehave: the real relayd, with this
 * very program in the place of its children.
 */
#include "sup_world.h"

static void
test_start_and_stop(void **state)
{
	struct world *w = begin(state, NULL, NULL);
	char path[128];

	wait_for(w, "run/state.json", "\"state\":\"connected\"");
	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	assert_int_equal(stop(w), 0);
	assert_non_null(strstr(told(w), "READY=1"));
	assert_non_null(strstr(told(w), "STATUS=main connected"));
	assert_non_null(strstr(told(w), "STOPPING=1"));
	path_in(w, path, sizeof(path), "run/agent");
	assert_int_equal(rmdir(path), 0);
	path_in(w, path, sizeof(path), "run");
	assert_int_equal(rmdir(path), 0);
}

static void
test_refused_at_start(void **state)
{
	struct world *w = begin(state, "dialer", "refuse");

	assert_int_equal(ended(w), 78);
	wait_for(w, "log", "it is not to my taste");
}

/* The package was upgraded under a relayd that runs. */
static void
test_other_version(void **state)
{
	struct world *w = begin(state, "dialer", "older");

	wait_for(w, "log",
	    "dialer is of version \\\"0.0.9\\\", the supervisor of " VERSION);
	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	assert_int_equal(stop(w), 0);
}

/* Nobody heeds a stop: all are killed, and it is over. */
static void
test_deaf_to_stop(void **state)
{
	struct world *w;

	put_file(*state, "authd.mode", "deaf");
	put_file(*state, "dialer.mode", "deaf");
	w = begin(state, "engine", "deaf");
	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	assert_int_equal(stop(w), 0);
	wait_for(w, "log", "engine (pid ");
	wait_for(w, "log", "its time to stop is over: killed");
}

/* A child that talks without end fills no disk. */
static void
test_flood(void **state)
{
	struct world *w = begin_quiet(state, "engine", "flood");

	wait_for(w, "log", "event=log_suppressed msg=");
	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	assert_int_equal(stop(w), 0);
}

/* One misdeed, and what the log says of it; then all is well again. */
static void
expect_killed(void **state, const char *culprit, const char *mode,
    const char *victim, const char *words)
{
	struct world *w = begin(state, culprit, mode);
	char text[64];

	wait_for(w, "log", words);
	snprintf(text, sizeof(text), "%s starts again in 100 ms", victim);
	wait_for(w, "log", text);
	wait_for(w, "run/state.json", "\"restarts\":1");
	assert_int_equal(stop(w), 0);
}

static void
test_sigsys(void **state)
{
	expect_killed(state, "authd", "sigsys", "authd",
	    "killed by signal SIGSYS (by the kernel, for a system call");
}

static void
test_garbage(void **state)
{
	expect_killed(state, "engine", "garbage", "engine",
	    "it broke the rules of its pipe");
}

static void
test_wrong_answer(void **state)
{
	expect_killed(state, "dialer", "pong", "dialer", "PONG without PING");
}

static void
test_accused(void **state)
{
	expect_killed(state, "engine", "accuse dialer", "dialer",
	    "it sent engine what it must not (it made a face): killed");
}

static void
test_false_accuser(void **state)
{
	expect_killed(state, "engine", "accuse supervisor", "engine",
	    "OFFENCE of one it does not talk with");
}

static void
test_reload(void **state)
{
	struct world *w = begin(state, NULL, NULL);

	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	put_file(w, "r.yaml", "gateways: [");
	kill(w->pid, SIGHUP);
	wait_for(w, "log", "not reloaded: ");
	/* Port 10 is not the dialer's: it is replaced. */
	put_file(w, "r.yaml",
	    "gateways:\n"
	    "  main: {url: 'http://127.0.0.1:9', identities: [{platform: a}]}\n"
	    "  two: {url: 'http://127.0.0.1:10', identities: [{platform: "
	    "a}]}\n");
	kill(w->pid, SIGHUP);
	wait_for(w, "log", "reloaded: 1 added, 1 changed, 0 removed");
	wait_for(w, "run/state.json", "\"name\":\"two\"");
	put_file(w, "r.yaml", conf);
	kill(w->pid, SIGHUP);
	wait_for(w, "log", "reloaded: 0 added, 1 changed, 1 removed");
	assert_int_equal(stop(w), 0);
	assert_non_null(strstr(told(w), "RELOADING=1\nMONOTONIC_USEC="));
}

static void
test_reload_refused(void **state)
{
	struct world *w = begin(state, "authd", "refuse reload");

	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	kill(w->pid, SIGHUP);
	wait_for(w, "log",
	    "not reloaded: authd cannot take it: it is not to my taste");
	/* Nobody minds the abort, and the next reload is a new one. */
	put_file(w, "authd.mode", "");
	kill(w->pid, SIGHUP);
	wait_for(w, "log", "reloaded: 0 added, 0 changed, 0 removed");
	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	assert_int_equal(stop(w), 0);
}

static void
test_death_in_reload(void **state)
{
	struct world *w = begin(state, NULL, NULL);

	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	put_file(w, "engine.mode", "die on reload");
	kill(w->pid, SIGHUP);
	wait_for(w, "log",
	    "not reloaded: engine exited with status 3 during the reload");
	wait_for(w, "run/state.json", "\"restarts\":1");
	assert_int_equal(stop(w), 0);
}

static void
test_second_start(void **state)
{
	struct world *w = begin(state, NULL, NULL), second;

	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	second = *w;
	start(&second);
	assert_int_equal(ended(&second), 1);
	wait_for(w, "log", "already running");
	/* What a killed one leaves behind is in nobody's way. */
	kill(w->pid, SIGKILL);
	assert_int_equal(ended(w), -SIGKILL);
	start(w);
	wait_for(w, "log", "event=ready");
	assert_int_equal(stop(w), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    T(test_start_and_stop),
	    T(test_refused_at_start),
	    T(test_other_version),
	    T(test_deaf_to_stop),
	    T(test_flood),
	    T(test_sigsys),
	    T(test_garbage),
	    T(test_wrong_answer),
	    T(test_accused),
	    T(test_false_accuser),
	    T(test_reload),
	    T(test_reload_refused),
	    T(test_death_in_reload),
	    T(test_second_start),
	};

	if (argc > 2 && strcmp(argv[1], "-R") == 0)
		return fake_child(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
