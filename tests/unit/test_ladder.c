/* SPDX-License-Identifier: ISC */
/*
 * The ladder: real children, started as the supervisor starts them, as root
 * and without, climb it and then try what they must not.  The program is its
 * own child: with -R on its command line it climbs.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "ladder.h"
#include "log.h"
#include "ladder_trials.h"
#include "sandbox_landlock.h"

#define NOBODY	  65534
#define CHILD_MAX 20 /* seconds a child may take */

/*
 * The table.  sig: it dies by this signal; else err is the outcome, or err2.
 * Under the sanitizers what they need themselves fails rather than kills.
 */
struct trial {
	enum role role;
	const char *name;
	int (*f)(void);
	int sig, err, err2;
};

#define NAMED(f) #f, try_##f
#define KILLS(r, f)                              \
	{                                        \
		ROLE_##r, NAMED(f), SIGSYS, 0, 0 \
	}
#define IS(r, f, e)                         \
	{                                   \
		ROLE_##r, NAMED(f), 0, e, e \
	}
#define EITHER(r, f, e, e2)                  \
	{                                    \
		ROLE_##r, NAMED(f), 0, e, e2 \
	}
#ifdef RELAYD_SANITIZE
#define BLIND(r, f) IS(r, f, EACCES)
#else
#define BLIND(r, f) KILLS(r, f)
#endif

/* clang-format off */
static const struct trial trials[] = {
	IS(ENGINE, daily_work, 0),
	IS(ENGINE, engine_socket_work, 0),
	{ROLE_ENGINE, NAMED(abort), SIGABRT, 0, 0},
	KILLS(ENGINE, socket),
	KILLS(ENGINE, unix_socket),
	KILLS(ENGINE, socketpair),
	KILLS(ENGINE, connect_pipe),
	KILLS(ENGINE, bind),
	KILLS(ENGINE, listen),
	BLIND(ENGINE, open),
	BLIND(ENGINE, open_old),
	KILLS(ENGINE, openat2),
	KILLS(ENGINE, unlink),
	KILLS(ENGINE, exec),
	KILLS(ENGINE, execveat),
	KILLS(ENGINE, ptrace),
	KILLS(ENGINE, vm_readv),
	KILLS(ENGINE, kill),
	KILLS(ENGINE, tgkill),
	KILLS(ENGINE, fork),
	KILLS(ENGINE, thread),
	KILLS(ENGINE, clone3),
	KILLS(ENGINE, unshare),
	KILLS(ENGINE, mmap_exec),
	KILLS(ENGINE, mprotect_exec),
	KILLS(ENGINE, prctl),
	KILLS(ENGINE, setuid),
	KILLS(ENGINE, setrlimit),
	KILLS(ENGINE, attach_filter),
	KILLS(ENGINE, memfd),
	KILLS(ENGINE, io_uring),
	KILLS(ENGINE, stat_path),

	IS(DIALER, daily_work, 0),
	IS(DIALER, resolve, 0),
	IS(DIALER, kill_own_child, 0),
	IS(DIALER, open_hosts, 0),
	EITHER(DIALER, connect_listed, ECONNREFUSED, 0),
	EITHER(DIALER, connect_dns, ECONNREFUSED, 0),
	IS(DIALER, connect_other, EACCES),
	IS(DIALER, unix_socket, EACCES),
	IS(DIALER, mmap_exec, EACCES),
	IS(DIALER, dlopen, EACCES),
	IS(DIALER, clone3, ENOSYS),
	IS(DIALER, open_proc, EACCES),
	IS(DIALER, kill_parent, EPERM),
	KILLS(DIALER, kill_all),
	KILLS(DIALER, raw_socket),
	KILLS(DIALER, packet_socket),
	KILLS(DIALER, audit_socket),
	KILLS(DIALER, bind),
	KILLS(DIALER, listen),
	KILLS(DIALER, accept),
	KILLS(DIALER, open_write),
	KILLS(DIALER, open_create),
	KILLS(DIALER, open_truncate),
	KILLS(DIALER, openat2),
	KILLS(DIALER, unlink),
	KILLS(DIALER, exec),
	KILLS(DIALER, execveat),
	KILLS(DIALER, ptrace),
	KILLS(DIALER, vm_readv),
	KILLS(DIALER, tgkill),
	KILLS(DIALER, thread),
	KILLS(DIALER, new_user),
	KILLS(DIALER, unshare),
	KILLS(DIALER, mprotect_exec),
	KILLS(DIALER, setuid),
	KILLS(DIALER, setrlimit),
	KILLS(DIALER, attach_filter),
	KILLS(DIALER, memfd),
	KILLS(DIALER, io_uring),

	IS(AUTHD, daily_work, 0),
	IS(AUTHD, store, 0),
	IS(AUTHD, secret, 0),
	EITHER(AUTHD, open, EACCES, ENOENT), /* without, and in a chroot */
	EITHER(AUTHD, open_proc, EACCES, ENOENT),
	{ROLE_AUTHD, NAMED(abort), SIGABRT, 0, 0},
	KILLS(AUTHD, socket),
	KILLS(AUTHD, unix_socket),
	KILLS(AUTHD, socketpair),
	KILLS(AUTHD, connect_pipe),
	KILLS(AUTHD, bind),
	KILLS(AUTHD, listen),
	KILLS(AUTHD, exec),
	KILLS(AUTHD, execveat),
	KILLS(AUTHD, ptrace),
	KILLS(AUTHD, vm_readv),
	KILLS(AUTHD, kill),
	KILLS(AUTHD, fork),
	KILLS(AUTHD, clone3),
	KILLS(AUTHD, unshare),
	KILLS(AUTHD, mmap_exec),
	KILLS(AUTHD, mprotect_exec),
	KILLS(AUTHD, prctl),
	KILLS(AUTHD, setuid),
	KILLS(AUTHD, mknod),
	KILLS(AUTHD, symlink),
	KILLS(AUTHD, openat2),
	KILLS(AUTHD, io_uring),

	IS(XCHG, daily_work, 0),
	{ROLE_XCHG, NAMED(abort), SIGABRT, 0, 0},
	BLIND(XCHG, open),
	BLIND(XCHG, open_old),
	KILLS(XCHG, socket),
	KILLS(XCHG, unix_socket),
	KILLS(XCHG, socketpair),
	KILLS(XCHG, connect_pipe),
	KILLS(XCHG, bind),
	KILLS(XCHG, listen),
	KILLS(XCHG, accept),
	KILLS(XCHG, openat2),
	KILLS(XCHG, unlink),
	KILLS(XCHG, exec),
	KILLS(XCHG, execveat),
	KILLS(XCHG, ptrace),
	KILLS(XCHG, vm_readv),
	KILLS(XCHG, kill),
	KILLS(XCHG, tgkill),
	KILLS(XCHG, fork),
	KILLS(XCHG, thread),
	KILLS(XCHG, clone3),
	KILLS(XCHG, unshare),
	KILLS(XCHG, mmap_exec),
	KILLS(XCHG, mprotect_exec),
	KILLS(XCHG, prctl),
	KILLS(XCHG, setuid),
	KILLS(XCHG, setrlimit),
	KILLS(XCHG, attach_filter),
	KILLS(XCHG, memfd),
	KILLS(XCHG, io_uring),
	KILLS(XCHG, stat_path),
	KILLS(XCHG, mknod),
	KILLS(XCHG, symlink),
};
/* clang-format on */
#define NTRIALS (sizeof(trials) / sizeof(trials[0]))

/* What a child tells when it has climbed, and at its end. */
struct report {
	uint32_t wanted, held;
	char lacking[256];
};

static int
child(struct ladder *l, int level)
{
	const char *n = getenv("LADDER_TRIAL");
	struct report r = {0};
	int e;

	log_init(LOG_TO_PARENT, role_row(l->role)->name, level);
	ladder_begin(l);
	ladder_climb(l);
	r.wanted = l->wanted;
	r.held = l->held;
	memcpy(r.lacking, l->lacking, sizeof(r.lacking));
	if (write(FD_SUPERVISOR, &r, sizeof(r)) != sizeof(r))
		_exit(99);
	e = n == NULL ? try_nothing() : trials[atoi(n)].f();
	(void)!write(FD_SUPERVISOR, &e, sizeof(e));
	_exit(0);
}

/* The parent's side. */

struct start {
	enum role role;
	int as_root;
	const char *trial;  /* index, or NULL */
	const char *parent; /* pid told; NULL: the right one */
	int no_root_dir;    /* leave -C out */
};

struct outcome {
	int climbed; /* the report came */
	struct report report;
	int ended; /* err came */
	int err;
	int status;
	char log[4096];
};

static char empty_dir[] = "/tmp/ladder-empty-XXXXXX";
static char state_dir[] = "/tmp/ladder-state-XXXXXX";
static char nobody_dir[] = "/tmp/ladder-nobody-XXXXXX";

static void
set_fd(int from, int to)
{
	if (from == to)
		fcntl(to, F_SETFD, 0);
	else
		dup2(from, to);
}

/* Become the child: descriptors on their numbers, its command line. */
static void
exec_child(const struct start *s, int self, int log, int sup, int peer)
{
	const struct role_row *row = role_row(s->role);
	const char *dir = s->as_root ? state_dir : nobody_dir;
	char pid[32], ports[32], dirvar[64], trial[64];
	char *argv[16], *env[8],
	    resolver[] = "RES_OPTIONS=timeout:1 attempts:1";
	const char *a[16];
	int n = 0, e = 0;

	snprintf(pid, sizeof(pid), "%d", (int)getppid());
	snprintf(ports, sizeof(ports), "%d,53", PORT);
	snprintf(
	    dirvar, sizeof(dirvar), "LADDER_DIR=%s", s->as_root ? "" : dir);
	snprintf(trial, sizeof(trial), "LADDER_TRIAL=%s",
	    s->trial == NULL ? "" : s->trial);
	a[n++] = row->title;
	a[n++] = "-R";
	a[n++] = row->name;
	a[n++] = "-P";
	a[n++] = s->parent == NULL ? pid : s->parent;
	if (s->as_root && row->root != ROOT_NONE && !s->no_root_dir) {
		a[n++] = "-C";
		a[n++] = row->root == ROOT_EMPTY ? empty_dir : state_dir;
	}
	if (row->root == ROOT_STATE) {
		a[n++] = "-W";
		a[n++] = s->as_root ? "/" : dir;
	}
	if (s->role == ROLE_DIALER) {
		a[n++] = "-p";
		a[n++] = ports;
	}
	a[n] = NULL;
	memcpy(argv, a, sizeof(argv));
	env[e++] = dirvar;
	env[e++] = resolver; /* no server may be there */
	if (s->trial != NULL)
		env[e++] = trial;
	env[e] = NULL;
	self = fcntl(self, F_DUPFD_CLOEXEC, 20);
	log = fcntl(log, F_DUPFD_CLOEXEC, 20);
	sup = fcntl(sup, F_DUPFD_CLOEXEC, 20);
	peer = fcntl(peer, F_DUPFD_CLOEXEC, 20);
	set_fd(log, FD_LOG);
	set_fd(sup, FD_SUPERVISOR);
	set_fd(peer, FD_PEER);
	set_fd(peer, FD_PEER + 1);
	dup2(peer, FD_PEER + 2); /* must be closed by the child */
	if (!s->as_root && geteuid() == 0 &&
	    (setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
		setresuid(NOBODY, NOBODY, NOBODY) == -1))
		_exit(98);
	fexecve(self, argv, env);
	_exit(97);
}

static void
run(const struct start *s, struct outcome *o)
{
	int self, log[2], sup[2], peer[2];
	ssize_t n;
	pid_t pid;

	memset(o, 0, sizeof(*o));
	assert_int_not_equal(
	    self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), -1);
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sup), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peer), 0);
	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0)
		exec_child(s, self, log[1], sup[1], peer[1]);
	close(self);
	close(log[1]);
	close(sup[1]);
	close(peer[1]);
	alarm(CHILD_MAX);
	o->climbed =
	    read(sup[0], &o->report, sizeof(o->report)) == sizeof(o->report);
	o->ended = o->climbed &&
	    read(sup[0], &o->err, sizeof(o->err)) == sizeof(o->err);
	assert_int_equal(waitpid(pid, &o->status, 0), pid);
	alarm(0);
	n = read(log[0], o->log, sizeof(o->log) - 1);
	o->log[n < 0 ? 0 : n] = '\0';
	close(log[0]);
	close(sup[0]);
	close(peer[0]);
}

/* Whether this run can be made here; says so when not. */
static int
possible(enum role role, int as_root)
{
	if (!as_root)
		return 1;
	if (geteuid() == 0 && getpwnam(role_row(role)->user) != NULL)
		return 1;
	print_message("SKIPPED: %s as root: %s\n", role_row(role)->name,
	    geteuid() == 0 ? "no such user" : "we are not root");
	return 0;
}

static void
judge(const struct trial *t, const struct outcome *o, int as_root)
{
	if (!o->climbed)
		fail_msg("%s %s: did not climb: %s", role_row(t->role)->name,
		    t->name, o->log);
	if (t->sig != 0) {
		if (!WIFSIGNALED(o->status) || WTERMSIG(o->status) != t->sig)
			fail_msg("%s %s%s: survived (%s)",
			    role_row(t->role)->name, t->name,
			    as_root ? " as root" : "",
			    o->ended ? strerror(o->err) : "?");
	} else if (!o->ended || (o->err != t->err && o->err != t->err2))
		fail_msg("%s %s%s: %s, status %x, log: %s",
		    role_row(t->role)->name, t->name, as_root ? " as root" : "",
		    o->ended ? strerror(o->err) : "died", o->status, o->log);
}

static void
try_all(int as_root)
{
	struct outcome o;
	struct start s = {.as_root = as_root};
	char num[16];
	size_t i;
	int ok[ROLE_COUNT];

	for (i = ROLE_AUTHD; i < ROLE_COUNT; i++)
		ok[i] = possible((enum role)i, as_root);
	for (i = 0; i < NTRIALS; i++) {
		if (!ok[trials[i].role])
			continue;
		snprintf(num, sizeof(num), "%zu", i);
		s.role = trials[i].role;
		s.trial = num;
		run(&s, &o);
		judge(&trials[i], &o, as_root);
	}
}

static void
forbidden_without_root(void **state)
{
	(void)state;
	try_all(0);
}

static void
forbidden_as_root(void **state)
{
	(void)state;
	try_all(1);
}

/* All layers hold that this kernel has; what lacks is named. */
static void
layers(void **state)
{
	const uint32_t mine = LAYER_BIT(LAYER_SECRET);
	const int abi = sandbox_landlock_abi();
	const struct role_row *row;
	struct outcome o;
	struct start s = {.role = ROLE_AUTHD};
	uint32_t expected;

	(void)state;
	for (; s.role < ROLE_COUNT; s.role = (enum role)(s.role + 1))
		for (s.as_root = 0; s.as_root < 2; s.as_root++) {
			if (!possible(s.role, s.as_root))
				continue;
			row = role_row(s.role);
			run(&s, &o);
			if (!o.climbed)
				fail_msg("%s: %s", row->name, o.log);
			expected = row->layers;
			if (!s.as_root)
				expected &= ~(LAYER_BIT(LAYER_USER) |
				    LAYER_BIT(LAYER_CHROOT));
			assert_int_equal(o.report.wanted, expected);
			if (abi < 6)
				expected &= ~LAYER_BIT(LAYER_SCOPE);
			if (abi < 4)
				expected &= ~LAYER_BIT(LAYER_TCP);
			if (abi < 1)
				expected &= ~LAYER_BIT(LAYER_FILES);
			if (o.report.held != (expected & ~mine))
				fail_msg("%s: %#x held, %s", row->name,
				    o.report.held, o.report.lacking);
			assert_int_equal(o.report.lacking[0] == '\0', abi >= 6);
			assert_string_equal(o.log, "");
		}
}

static void
dies_with_a_reason(const struct start *s, const char *why)
{
	struct outcome o;

	run(s, &o);
	assert_false(o.climbed);
	assert_true(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 1);
	assert_true(strncmp(o.log, "3\tladder\t\tcannot start: ", 24) == 0);
	assert_non_null(strstr(o.log, why));
}

static void
obligatory_layers(void **state)
{
	struct start s = {.role = ROLE_ENGINE, .parent = "1"};

	(void)state;
	dies_with_a_reason(&s, "supervisor (pid 1) is gone");
	s = (struct start){.role = ROLE_ENGINE, .as_root = 1, .no_root_dir = 1};
	if (!possible(ROLE_ENGINE, 1))
		return;
	dies_with_a_reason(&s, "-C");
	s.role = ROLE_AUTHD;
	dies_with_a_reason(&s, "-C");
}

static int
make_dirs(void **state)
{
	const struct passwd *pw = getpwnam(role_row(ROLE_AUTHD)->user);

	(void)state;
	if (mkdtemp(empty_dir) == NULL || mkdtemp(state_dir) == NULL ||
	    mkdtemp(nobody_dir) == NULL || chmod(empty_dir, 0755) == -1)
		return -1;
	if (geteuid() != 0)
		return 0;
	if (chown(nobody_dir, NOBODY, NOBODY) == -1)
		return -1;
	return pw == NULL ? 0 : chown(state_dir, pw->pw_uid, pw->pw_gid);
}

static int
remove_dirs(void **state)
{
	(void)state;
	return rmdir(empty_dir) | rmdir(state_dir) | rmdir(nobody_dir);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(layers),
	    cmocka_unit_test(obligatory_layers),
	    cmocka_unit_test(forbidden_without_root),
	    cmocka_unit_test(forbidden_as_root),
	};
	struct ladder l;
	int level;

	if (ladder_args(&l, argc, argv, &level) == 0)
		return child(&l, level);
	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
