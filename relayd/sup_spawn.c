/* SPDX-License-Identifier: ISC */
/* Fork and exec of a child with its descriptors on their numbers. */

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipe.h"
#include "sup_level.h"
#include "sup_spawn.h"

#define FD_SAFE 16 /* above every number that a child is given */
#define NARGS	16 /* seven options with a value at most, and the title */
/* "65535," for both endpoints of every gateway and the name service's. */
#define PORTS_MAX ((LIMIT_GATEWAYS * 2 + 1) * 6 + 1)
/* Where a foreign program finds others. */
#define PROGRAM_PATH "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

/* All that the forked process needs: nothing is allocated there. */
struct spawn {
	char path[LIMIT_PATH + 32];
	pid_t parent;
	int foreign;		     /* not a program of ours … */
	const struct sup_user *user; /* … who runs it, NULL: as we are */
	char root[LIMIT_PATH + 16];
	char ppid[16], level[16];
	char ports[PORTS_MAX];
	const char *arg[NARGS];
	int narg;
	char *const *argv;
	char *const *env;
	int fd[SPAWN_FDS]; /* what becomes 0, 1, 2, …; -1: nothing */
};

static void
add(struct spawn *sp, const char *option, const char *value)
{
	sp->arg[sp->narg++] = option;
	sp->arg[sp->narg++] = value;
}

/* "53,443,8443". */
static void
port_list(struct spawn *sp, const struct sup_plan *plan)
{
	size_t i, len = 0;

	for (i = 0; i < plan->nport && len + 7 < sizeof(sp->ports); i++)
		len +=
		    (size_t)snprintf(sp->ports + len, sizeof(sp->ports) - len,
			"%s%u", i == 0 ? "" : ",", plan->port[i]);
}

/* The command line, as ladder_args() takes it apart. */
static void
command_line(struct spawn *sp, const struct supervisor *s, enum role role)
{
	const struct role_row *row = role_row(role);
	union {
		const char **from;
		char *const *to;
	} argv = {.from = sp->arg};

	snprintf(
	    sp->path, sizeof(sp->path), "%s/%s", s->paths.bin, row->program);
	snprintf(sp->ppid, sizeof(sp->ppid), "%d", (int)getpid());
	snprintf(sp->level, sizeof(sp->level), "%d", sup_level_of(s, role));
	sp->arg[sp->narg++] = row->title;
	add(sp, "-R", row->name);
	add(sp, "-P", sp->ppid);
	if (row->root == ROOT_STATE)
		snprintf(
		    sp->root, sizeof(sp->root), "%s/authd", s->paths.state);
	else
		snprintf(sp->root, sizeof(sp->root), "%s/empty", s->paths.run);
	if (geteuid() == 0 && row->root != ROOT_NONE)
		add(sp, "-C", sp->root);
	if (row->root == ROOT_STATE)
		add(sp, "-W", geteuid() == 0 ? "/" : sp->root);
	if (role == ROLE_DIALER) {
		port_list(sp, s->plan);
		add(sp, "-p", sp->ports);
	}
	add(sp, "-l", sp->level);
	sp->arg[sp->narg] = NULL;
	sp->argv = argv.to;
}

/* A dialer can never reach more than it was started with. */
static int
remember_ports(struct sup_child *c)
{
	const struct sup_plan *plan = c->sup->plan;
	uint16_t *copy;

	if (c->role != ROLE_DIALER)
		return 0;
	if ((copy = calloc(plan->nport + 1, sizeof(*copy))) == NULL)
		return -1;
	memcpy(copy, plan->port, plan->nport * sizeof(*copy));
	free(c->port);
	c->port = copy;
	c->nport = plan->nport;
	return 0;
}

static _Noreturn void
exec_failed(const struct spawn *sp)
{
	dprintf(FD_LOG, "cannot execute %s: %s\n", sp->path, strerror(errno));
	_exit(SPAWN_EXEC_FAILED);
}

/* A foreign program's process becomes its user, for good, and ends with us.
 * Privilege that a program of its would gain would also keep it from being
 * killed. */
static void
leave(const struct spawn *sp)
{
	const struct sup_user *u = sp->user;
	const char *what = "chdir /";
	int r = chdir("/");

	umask(077);
	if (r == 0 && u != NULL) {
		what = "change of user";
		r = setgroups((size_t)u->ngroup, u->group) == -1 ||
			setresgid(u->gid, u->gid, u->gid) == -1 ||
			setresuid(u->uid, u->uid, u->uid) == -1
		    ? -1
		    : 0;
		if (r == 0 && setuid(0) != -1) {
			errno = EPERM;
			r = -1;
		}
	}
	if (r == 0) {
		what = "prctl";
		r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1
		    ? -1
		    : prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	if (r == 0 && getppid() == sp->parent)
		return;
	dprintf(FD_LOG, "cannot execute %s: %s: %s\n", sp->path, what,
	    strerror(errno));
	_exit(SPAWN_EXEC_FAILED);
}

/* In the new process: descriptors, signals, terminal, program. */
static _Noreturn void
become(struct spawn *sp)
{
	sigset_t none;
	int i, sig;

	for (sig = 1; sig < NSIG; sig++)
		if (sig != SIGPIPE || sp->foreign)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A terminal's ^C is for the supervisor alone. */
	setsid();
	for (i = 0; i < SPAWN_FDS; i++)
		if (sp->fd[i] != -1 &&
		    (sp->fd[i] = fcntl(sp->fd[i], F_DUPFD, FD_SAFE)) == -1)
			_exit(SPAWN_EXEC_FAILED);
	for (i = 0; i < SPAWN_FDS; i++) {
		if (sp->fd[i] == -1)
			close(i);
		else if (dup2(sp->fd[i], i) == -1)
			_exit(SPAWN_EXEC_FAILED);
	}
	closefrom(SPAWN_FDS);
	if (sp->foreign)
		leave(sp);
	execve(sp->path, sp->argv, sp->env);
	exec_failed(sp);
}

/* Fork with signals blocked, so that no handler of ours runs in the child. */
static pid_t
fork_quietly(void)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (pid != 0)
		sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static void
close_all(const int *fd, int n)
{
	int i, saved = errno;

	for (i = 0; i < n; i++)
		if (fd[i] != -1)
			close(fd[i]);
	errno = saved;
}

/* The environment of a child: none, but what a sanitizer needs. */
static char *const *
child_env(const struct supervisor *s, char *out[4])
{
#ifdef RELAYD_SANITIZE
	static const char *const names[] = {
	    "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS="};
	size_t i, j, n = 0;

	for (i = 0; i < 3; i++)
		for (j = 0; j < s->env.nvar; j++)
			if (strncmp(s->env.var[j], names[i],
				strlen(names[i])) == 0 &&
			    n == i)
				out[n++] = s->env.var[j];
	out[n] = NULL;
#else
	(void)s;
	out[0] = NULL;
#endif
	return out;
}

/* Its standard error; the log's reading end is *log_fd then. */
static int
log_pipe(struct spawn *sp, int *log_fd)
{
	int log[2];

	if (pipe2(log, O_CLOEXEC) == -1)
		return -1;
	(void)fcntl(log[0], F_SETFL, O_NONBLOCK);
	*log_fd = log[0];
	sp->fd[FD_LOG] = log[1];
	return 0;
}

/* Fork and exec; what the process gets is closed here in any case. */
static pid_t
launch(struct spawn *sp, int *log_fd)
{
	pid_t pid = -1;

	*log_fd = -1;
	sp->parent = getpid();
	sp->fd[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (sp->fd[1] == -1)
		sp->fd[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (sp->fd[0] != -1 && sp->fd[1] != -1 && log_pipe(sp, log_fd) == 0 &&
	    (pid = fork_quietly()) == 0)
		become(sp);
	close_all(sp->fd, SPAWN_FDS);
	if (pid == -1)
		close_all(log_fd, 1);
	return pid;
}

pid_t
sup_spawn_role(struct supervisor *s, enum role role,
    const int fd[SPAWN_FDS - FD_SUPERVISOR], int *log_fd)
{
	struct spawn sp;
	char *env[4];
	int i;

	memset(&sp, 0, sizeof(sp));
	command_line(&sp, s, role);
	sp.env = child_env(s, env);
	for (i = 0; i < SPAWN_FDS; i++)
		sp.fd[i] = i < FD_SUPERVISOR ? -1 : fd[i - FD_SUPERVISOR];
	return launch(&sp, log_fd);
}

pid_t
sup_spawn_program(char *const argv[], const struct sup_user *user,
    const char *home, int out, int *log_fd)
{
	char path[] = PROGRAM_PATH, lang[] = "LANG=C";
	char set_home[LIMIT_PATH + 8];
	char *env[] = {path, set_home, lang, NULL};
	struct spawn sp;
	int i;

	memset(&sp, 0, sizeof(sp));
	snprintf(set_home, sizeof(set_home), "HOME=%s", home);
	strlcpy(sp.path, argv[0], sizeof(sp.path));
	sp.foreign = 1;
	sp.user = user;
	sp.argv = argv;
	sp.env = env;
	for (i = 0; i < SPAWN_FDS; i++)
		sp.fd[i] = -1;
	if ((sp.fd[1] = fcntl(out, F_DUPFD_CLOEXEC, 0)) == -1)
		return -1;
	return launch(&sp, log_fd);
}

int
sup_spawn(struct sup_child *c, const struct pipe_ops *ops, int *log_fd)
{
	const struct role_row *row = role_row(c->role);
	int i, sup[2], fd[SPAWN_FDS - FD_SUPERVISOR];
	pid_t pid;

	if (remember_ports(c) == -1 || pipe_pair(sup) == -1)
		return -1;
	fd[0] = sup[1];
	for (i = 0; i < ROLE_PEERS; i++)
		fd[1 + i] = -1;
	for (i = 0; i < row->npeer; i++) {
		fd[1 + i] = c->sup->end[c->role][row->peer[i]];
		c->sup->end[c->role][row->peer[i]] = -1;
	}
	if ((pid = sup_spawn_role(c->sup, c->role, fd, log_fd)) == -1) {
		close_all(sup, 1);
		return -1;
	}
	c->pid = pid;
	c->pipe =
	    pipe_new(c->sup->base, sup[0], ROLE_SUPERVISOR, c->role, ops, c);
	if (c->pipe == NULL) {
		/* Without a pipe it ends by itself; the death is counted. */
		close(sup[0]);
		kill(pid, SIGKILL);
	}
	return 0;
}

const char *
sup_spawn_words(int status, char *out, size_t cap)
{
	const char *abbrev;
	int sig;

	if (WIFEXITED(status) && WEXITSTATUS(status) == SPAWN_EXEC_FAILED)
		strlcpy(out, "could not be executed", cap);
	else if (WIFEXITED(status))
		snprintf(
		    out, cap, "exited with status %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status)) {
		sig = WTERMSIG(status);
		abbrev = sigabbrev_np(sig);
		snprintf(out, cap, "killed by signal SIG%s%s",
		    abbrev == NULL ? "?" : abbrev,
		    sig == SIGSYS ? " (by the kernel, for a system call it may "
				    "not make)"
				  : "");
	} else
		strlcpy(out, "ended in an unknown way", cap);
	return out;
}
