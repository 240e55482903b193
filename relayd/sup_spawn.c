/* SPDX-License-Identifier: ISC */
/* Fork and exec of a child with its descriptors on their numbers. */

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipe.h"
#include "sup_spawn.h"

#define NFDS	(FD_PEER + ROLE_PEERS)
#define FD_SAFE 16 /* above every number that a child is given */
#define NARGS	16 /* seven options with a value at most, and the title */
/* "65535," for every gateway and the name service's. */
#define PORTS_MAX ((LIMIT_GATEWAYS + 1) * 6 + 1)

/* All that the forked process needs: nothing is allocated there. */
struct spawn {
	char path[LIMIT_PATH + 32];
	char root[LIMIT_PATH + 16];
	char ppid[16], level[16];
	char ports[PORTS_MAX];
	const char *arg[NARGS];
	int narg;
	char *const *env;
	int fd[NFDS]; /* what becomes 0, 1, 2, …; -1: nothing */
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
command_line(struct spawn *sp, const struct sup_child *c)
{
	const struct role_row *row = role_row(c->role);
	const struct supervisor *s = c->sup;

	snprintf(
	    sp->path, sizeof(sp->path), "%s/%s", s->paths.bin, row->program);
	snprintf(sp->ppid, sizeof(sp->ppid), "%d", (int)getpid());
	snprintf(sp->level, sizeof(sp->level), "%d",
	    s->debug ? LOG_DEBUG : s->plan->conf->log_level);
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
	if (c->role == ROLE_DIALER) {
		port_list(sp, s->plan);
		add(sp, "-p", sp->ports);
	}
	add(sp, "-l", sp->level);
	sp->arg[sp->narg] = NULL;
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

/* In the new process: descriptors, signals, terminal, program. */
static _Noreturn void
become(struct spawn *sp)
{
	union {
		const char **from;
		char **to;
	} argv = {.from = sp->arg};
	sigset_t none;
	int i, sig;

	for (sig = 1; sig < NSIG; sig++)
		if (sig != SIGPIPE)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A terminal's ^C is for the supervisor alone. */
	setsid();
	for (i = 0; i < NFDS; i++)
		if (sp->fd[i] != -1 &&
		    (sp->fd[i] = fcntl(sp->fd[i], F_DUPFD, FD_SAFE)) == -1)
			_exit(SPAWN_EXEC_FAILED);
	for (i = 0; i < NFDS; i++) {
		if (sp->fd[i] == -1)
			close(i);
		else if (dup2(sp->fd[i], i) == -1)
			_exit(SPAWN_EXEC_FAILED);
	}
	close_range(NFDS, ~0U, 0);
	execve(sp->path, argv.to, sp->env);
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

/* Descriptors for both sides: mine[0] the log's reading end, mine[1] our end
 * of the pipe. */
static int
make_fds(struct spawn *sp, struct sup_child *c, int mine[2])
{
	const struct role_row *row = role_row(c->role);
	int i, log[2], sup[2];

	for (i = 0; i < NFDS; i++)
		sp->fd[i] = -1;
	if (pipe2(log, O_CLOEXEC) == -1)
		return -1;
	if (pipe_pair(sup) == -1) {
		close_all(log, 2);
		return -1;
	}
	(void)fcntl(log[0], F_SETFL, O_NONBLOCK);
	mine[0] = log[0];
	mine[1] = sup[0];
	sp->fd[FD_LOG] = log[1];
	sp->fd[FD_SUPERVISOR] = sup[1];
	for (i = 0; i < row->npeer; i++) {
		sp->fd[FD_PEER + i] = c->sup->end[c->role][row->peer[i]];
		c->sup->end[c->role][row->peer[i]] = -1;
	}
	sp->fd[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sp->fd[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (sp->fd[0] != -1 && sp->fd[1] != -1)
		return 0;
	close_all(mine, 2);
	close_all(sp->fd, NFDS);
	return -1;
}

int
sup_spawn(struct sup_child *c, const struct pipe_ops *ops)
{
	struct spawn sp;
	char *env[4];
	int mine[2];
	pid_t pid;

	memset(&sp, 0, sizeof(sp));
	command_line(&sp, c);
	sp.env = child_env(c->sup, env);
	if (remember_ports(c) == -1 || make_fds(&sp, c, mine) == -1)
		return -1;
	if ((pid = fork_quietly()) == 0)
		become(&sp);
	close_all(sp.fd, NFDS);
	if (pid == -1) {
		close_all(mine, 2);
		return -1;
	}
	c->pid = pid;
	c->log_fd = mine[0];
	c->pipe =
	    pipe_new(c->sup->base, mine[1], ROLE_SUPERVISOR, c->role, ops, c);
	if (c->pipe == NULL) {
		/* Without a pipe it ends by itself; the death is counted. */
		close(mine[1]);
		kill(pid, SIGKILL);
	}
	return 0;
}
