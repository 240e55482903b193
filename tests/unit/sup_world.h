/* SPDX-License-Identifier: ISC */
/*
 * A supervisor whose children are this very test program: what each does
 * stands in a file ROLE.mode beside it.
 */
#ifndef SUP_WORLD_H
#define SUP_WORLD_H

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
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "msg.h"
#include "remove_tree.h"

#define NOBODY	  65534 /* root would need users of its own */
#define TIMEOUT_S 20	/* much longer than anything here takes */
#define OUT_MAX	  65536

/* The part of a child. */

static enum role me;

/* What a test's children do beside; either may be NULL. */
static struct {
	/* The first configuration is lived by. */
	void (*begin)(const char *mode);
	/* A message came; fd is closed afterwards. */
	void (*message)(const struct msg *m, int fd, const char *mode);
} role_part;

static void
tell_fd(enum msg_type type, uint32_t corr, const void *fields, int fd)
{
	char packet[LIMIT_PACKET], ctl[CMSG_SPACE(sizeof(int))] = {0};
	int n = msg_encode(packet, sizeof(packet), type, corr, fields);
	struct iovec iov = {packet, n == -1 ? 0 : (size_t)n};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd != -1) {
		mh.msg_control = ctl;
		mh.msg_controllen = sizeof(ctl);
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	if (n == -1 || sendmsg(FD_SUPERVISOR, &mh, 0) == -1)
		_exit(9);
}

static void
tell(enum msg_type type, const void *fields)
{
	tell_fd(type, 0, fields, -1);
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
	else if (strcmp(mode, "flood") == 0)
		for (int i = 0; i < 1000; i++)
			dprintf(FD_LOG, "6\tlink\tmain\tagain\n");
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

	if (strcmp(mode, "refuse reload") == 0 || strcmp(mode, "deaf") == 0 ||
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
			if (role_part.begin != NULL)
				role_part.begin(mode);
		}
		break;
	case MSG_STOP:
		if (strcmp(mode, "deaf") != 0)
			_exit(0);
		break;
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
	struct msg_started started = {
	    .lacking = SPAN_LIT(""), .version = SPAN_LIT(VERSION)};
	struct msghdr mh;
	struct cmsghdr *c;
	struct msg m;
	char mode[32];
	unsigned commits = 0;
	ssize_t n;
	int fd;

	me = role_by_name(name);
	read_mode(mode, sizeof(mode));
	if (strcmp(mode, "older") == 0)
		started.version = SPAN_LIT("0.0.9");
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
		if (role_part.message != NULL)
			role_part.message(&m, fd, mode);
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
	int quiet;	 /* not at debug level */
	char *variable;	 /* of its environment; NULL: none */
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
	char sup[128], conf[128], run[128], st[128], log[128], *env[3];
	char notify[128];
	int fd;

	path_in(w, sup, sizeof(sup), "sup");
	path_in(w, conf, sizeof(conf), "r.yaml");
	path_in(w, run, sizeof(run), "run");
	path_in(w, st, sizeof(st), "state");
	path_in(w, log, sizeof(log), "log");
	snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s/notify", w->dir);
	env[0] = notify;
	env[1] = w->variable;
	env[2] = NULL;
	fflush(NULL);
	if ((w->pid = fork()) != 0)
		return;
	fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd == -1 || dup2(fd, 2) == -1 ||
	    (geteuid() == 0 &&
		(setgroups(0, NULL) == -1 || setgid(NOBODY) == -1 ||
		    setuid(NOBODY) == -1)))
		_exit(99);
	execle(sup, "relayd", w->quiet ? "-f" : "-df", conf, "-r", run, "-s",
	    st, (char *)NULL, env);
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
static inline const char *
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
	path_in(w, path, sizeof(path), "relay-xchg");
	copy_program(self, path);
	put_file(w, "r.yaml", conf);
	return 0;
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
	remove_tree(w->dir);
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

static inline struct world *
begin_quiet(void **state, const char *role, const char *mode)
{
	struct world *w = *state;

	w->quiet = 1;
	return begin(state, role, mode);
}

#endif
