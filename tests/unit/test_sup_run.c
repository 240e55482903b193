/* SPDX-License-Identifier: ISC */
/*
 * The supervisor against children that misbehave: the real relayd, with this
 * very program in the place of its children.  What each does stands in a file
 * ROLE.mode beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "msg.h"

#define NOBODY	  65534 /* root would need users of its own */
#define TIMEOUT_S 20	/* much longer than anything here takes */
#define OUT_MAX	  65536

/* The part of a child. */

static enum role me;

static void
tell(enum msg_type type, const void *fields)
{
	char packet[LIMIT_PACKET];
	int n = msg_encode(packet, sizeof(packet), type, 0, fields);

	if (n == -1 || send(FD_SUPERVISOR, packet, (size_t)n, 0) == -1)
		_exit(9);
}

/* What this role is to do: the content of its file, "" without one. */
static void
read_mode(char *mode, size_t cap)
{
	char path[512] = "";
	ssize_t n;
	int fd;

	if (readlink("/proc/self/exe", path, sizeof(path) - 32) == -1)
		_exit(9);
	strlcpy(strrchr(path, '/') + 1, role_row(me)->name, 16);
	strlcat(path, ".mode", sizeof(path));
	mode[0] = '\0';
	if ((fd = open(path, O_RDONLY)) == -1)
		return;
	n = read(fd, mode, cap - 1);
	mode[n > 0 ? n : 0] = '\0';
	close(fd);
}

static void
answer_slice(const struct msg *m, const char *mode, unsigned commits)
{
	struct msg_conf_ready ready = {.generation = m->u.conf_end.generation};
	struct msg_conf_refused refused = {
	    .generation = m->u.conf_end.generation,
	    .reason = SPAN_LIT("it is not to my taste")};

	if (strcmp(mode, "refuse") == 0 ||
	    (strcmp(mode, "refuse reload") == 0 && commits > 0))
		tell(MSG_CONF_REFUSED, &refused);
	else if (strcmp(mode, "die on reload") == 0 && commits > 0)
		_exit(3);
	else
		tell(MSG_CONF_READY, &ready);
}

/* Mischief, once there is a configuration. */
static void
misbehave(const char *mode)
{
	struct msg_offence accuse = {.reason = SPAN_LIT("it made a face")};
	struct msg_gateway_state state = {
	    .state = SPAN_LIT("connected"), .reason = SPAN_LIT("well")};
	struct msg_pong pong = {.seq = 77};

	if (me == ROLE_ENGINE)
		tell(MSG_GATEWAY_STATE, &state);
	if (strcmp(mode, "sigsys") == 0)
		raise(SIGSYS);
	else if (strcmp(mode, "garbage") == 0)
		(void)send(FD_SUPERVISOR, "garbage", 7, 0);
	else if (strcmp(mode, "pong") == 0)
		tell(MSG_PONG, &pong);
	else if (strcmp(mode, "accuse dialer") == 0) {
		accuse.role = ROLE_DIALER;
		tell(MSG_OFFENCE, &accuse);
	} else if (strcmp(mode, "accuse supervisor") == 0) {
		accuse.role = ROLE_SUPERVISOR;
		tell(MSG_OFFENCE, &accuse);
	}
}

/* Mischief is done once: the next one behaves. */
static void
once(const char *mode)
{
	char path[512] = "";

	if (strcmp(mode, "refuse reload") == 0 ||
	    readlink("/proc/self/exe", path, sizeof(path) - 32) == -1)
		return;
	strlcpy(strrchr(path, '/') + 1, role_row(me)->name, 16);
	strlcat(path, ".mode", sizeof(path));
	unlink(path);
}

static void
heed(const struct msg *m, unsigned *commits)
{
	char mode[32];
	struct msg_pong pong = {.seq = m->u.ping.seq};

	read_mode(mode, sizeof(mode));
	switch (m->type) {
	case MSG_PING:
		tell(MSG_PONG, &pong);
		break;
	case MSG_CONF_END:
		answer_slice(m, mode, *commits);
		break;
	case MSG_CONF_COMMIT:
		if ((*commits)++ == 0) {
			once(mode);
			misbehave(mode);
		}
		break;
	case MSG_STOP:
		_exit(0);
	default:
		break;
	}
}

static int
fake_child(const char *name)
{
	static char packet[LIMIT_PACKET];
	char ctl[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {packet, sizeof(packet)};
	struct msg_started started = {.lacking = SPAN_LIT("")};
	struct msghdr mh;
	struct cmsghdr *c;
	struct msg m;
	unsigned commits = 0;
	ssize_t n;
	int fd;

	me = role_by_name(name);
	tell(MSG_STARTED, &started);
	for (;;) {
		mh = (struct msghdr){.msg_iov = &iov,
		    .msg_iovlen = 1,
		    .msg_control = ctl,
		    .msg_controllen = sizeof(ctl)};
		if ((n = recvmsg(FD_SUPERVISOR, &mh, 0)) <= 0)
			return 0;
		fd = -1;
		if ((c = CMSG_FIRSTHDR(&mh)) != NULL)
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		if (msg_decode(&m, packet, (size_t)n, ROLE_SUPERVISOR, me,
			fd != -1) != NULL)
			return 8;
		if (fd != -1)
			close(fd);
		heed(&m, &commits);
	}
}

/* The part of the test. */

struct world {
	char dir[64], relayd[512];
	pid_t pid; /* of the supervisor; 0: none runs */
	int notify;
	char told[4096]; /* what the service manager was told */
};

static void
path_in(const struct world *w, char *out, size_t cap, const char *name)
{
	snprintf(out, cap, "%s/%s", w->dir, name);
}

static void
put_file(const struct world *w, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	path_in(w, path, sizeof(path), name);
	assert_non_null(f = fopen(path, "w"));
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0644), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(path, NOBODY, NOBODY), 0);
}

static void
get_file(const struct world *w, const char *name, char *out, size_t cap)
{
	char path[128];
	size_t n = 0;
	FILE *f;

	path_in(w, path, sizeof(path), name);
	if ((f = fopen(path, "r")) != NULL) {
		n = fread(out, 1, cap - 1, f);
		fclose(f);
	}
	out[n] = '\0';
}

static void
copy_program(const char *from, const char *to)
{
	char part[65536];
	FILE *in, *out;
	size_t n;

	assert_non_null(in = fopen(from, "r"));
	assert_non_null(out = fopen(to, "w"));
	while ((n = fread(part, 1, sizeof(part), in)) > 0)
		assert_int_equal(fwrite(part, 1, n, out), n);
	fclose(in);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(to, 0755), 0);
}

/* Wait until the log (or, with a file's name, that) contains text. */
static void
wait_for(const struct world *w, const char *file, const char *text)
{
	static char all[OUT_MAX];
	time_t end = time(NULL) + TIMEOUT_S;

	for (;;) {
		get_file(w, file, all, sizeof(all));
		if (strstr(all, text) != NULL)
			return;
		if (time(NULL) >= end)
			fail_msg("no \"%s\" in %s:\n%s", text, file, all);
		poll(NULL, 0, 10);
	}
}

static void
start(struct world *w)
{
	char sup[128], conf[128], run[128], st[128], log[128], *env[2];
	char notify[128];
	int fd;

	path_in(w, sup, sizeof(sup), "sup");
	path_in(w, conf, sizeof(conf), "r.yaml");
	path_in(w, run, sizeof(run), "run");
	path_in(w, st, sizeof(st), "state");
	path_in(w, log, sizeof(log), "log");
	snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s/notify", w->dir);
	env[0] = notify;
	env[1] = NULL;
	fflush(NULL);
	if ((w->pid = fork()) != 0)
		return;
	fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd == -1 || dup2(fd, 2) == -1 ||
	    (geteuid() == 0 &&
		(setgroups(0, NULL) == -1 || setgid(NOBODY) == -1 ||
		    setuid(NOBODY) == -1)))
		_exit(99);
	execle(sup, "relayd", "-d", "-f", conf, "-r", run, "-s", st,
	    (char *)NULL, env);
	_exit(99);
}

/* The exit status within the time there is. */
static int
ended(struct world *w)
{
	time_t end = time(NULL) + TIMEOUT_S;
	int status;

	while (waitpid(w->pid, &status, WNOHANG) == 0) {
		if (time(NULL) >= end)
			fail_msg("the supervisor does not end");
		poll(NULL, 0, 10);
	}
	w->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int
stop(struct world *w)
{
	kill(w->pid, SIGTERM);
	return ended(w);
}

/* All that the service manager has been told so far. */
static const char *
told(struct world *w)
{
	size_t len = strlen(w->told);
	ssize_t n;

	while ((n = recv(w->notify, w->told + len, sizeof(w->told) - len - 2,
		    MSG_DONTWAIT)) > 0) {
		len += (size_t)n;
		w->told[len++] = '|';
		w->told[len] = '\0';
	}
	return w->told;
}

static void
make_notify(struct world *w)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	path_in(w, a.sun_path, sizeof(a.sun_path), "notify");
	w->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
	    bind(w->notify, (const struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(chmod(a.sun_path, 0666), 0);
}

static const char conf[] = "gateways:\n"
			   "  main:\n"
			   "    url: http://127.0.0.1:9\n"
			   "    identities: [{platform: discord}]\n";

static int
setup(void **state)
{
	char self[512] = "", path[128];
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	*state = w;
	assert_int_not_equal(
	    readlink("/proc/self/exe", self, sizeof(self) - 1), -1);
	strlcpy(w->relayd, self, sizeof(w->relayd));
	strlcpy(
	    strrchr(w->relayd, '/'), "/../../relayd", sizeof(w->relayd) - 400);
	strlcpy(w->dir, "/tmp/test_sup_run.XXXXXX", sizeof(w->dir));
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chmod(w->dir, 0755), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(w->dir, NOBODY, NOBODY), 0);
	make_notify(w);
	if (access(w->relayd, X_OK) == -1)
		return 0; /* each test says so */
	path_in(w, path, sizeof(path), "sup");
	copy_program(w->relayd, path);
	path_in(w, path, sizeof(path), "relayd");
	copy_program(self, path);
	path_in(w, path, sizeof(path), "relay-authd");
	copy_program(self, path);
	put_file(w, "r.yaml", conf);
	return 0;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static int
teardown(void **state)
{
	struct world *w = *state;

	if (w->pid > 0) {
		kill(w->pid, SIGKILL);
		waitpid(w->pid, NULL, 0);
	}
	close(w->notify);
	nftw(w->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* Start it with one child that misbehaves. */
static struct world *
begin(void **state, const char *role, const char *mode)
{
	struct world *w = *state;
	char name[32];

	if (access(w->relayd, X_OK) == -1) {
		print_message("%s is not built\n", w->relayd);
		skip();
	}
	if (role != NULL) {
		snprintf(name, sizeof(name), "%s.mode", role);
		put_file(w, name, mode);
	}
	start(w);
	return w;
}

static void
test_start_and_stop(void **state)
{
	struct world *w = begin(state, NULL, NULL);
	char path[128];

	wait_for(w, "run/state.json", "\"state\":\"connected\"");
	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	assert_int_equal(stop(w), 0);
	assert_non_null(strstr(told(w), "READY=1"));
	assert_non_null(strstr(told(w), "STATUS=1 of 1 gateways connected"));
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
