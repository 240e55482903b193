/* SPDX-License-Identifier: ISC */
/* One run of the agent's program: start, pipes, end. */
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"

/* Bytes of one environment variable: the kernel takes 128 KiB at most. */
#define ENV_MAX (100U * 1024)

static const struct {
	const char *name, *member;
	int of_source; /* else of the event itself */
} variables[] = {
    {"RELAY_TEXT", "text", 0},
    {"RELAY_MESSAGE_ID", "message_id", 0},
    {"RELAY_PLATFORM", "platform", 1},
    {"RELAY_CHAT_ID", "chat_id", 1},
    {"RELAY_CHAT_TYPE", "chat_type", 1},
    {"RELAY_THREAD_ID", "thread_id", 1},
    {"RELAY_USER_ID", "user_id", 1},
    {"RELAY_USER_NAME", "user_name", 1},
};

static void
put_env(const char *name, const char *value)
{
	if (value == NULL || strlen(value) > ENV_MAX)
		unsetenv(name); /* not that of some other event */
	else
		setenv(name, value, 1);
}

static void
fill_environment(const struct agent *a, const struct turn *t)
{
	struct obj event, source;
	char *value;
	size_t i;

	put_env("RELAY_GATEWAY", a->gateway);
	put_env("RELAY_SESSION_KEY", t->session);
	put_env("RELAY_BUFFER_ID", t->id);
	obj_parse(&event, (struct span){t->event, t->eventlen});
	obj_sub(&source, &event, "source");
	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		value = field_dup(variables[i].of_source ? &source : &event,
		    variables[i].member);
		put_env(variables[i].name, value);
		free(value);
	}
}

/* In the child. */
static _Noreturn void
become(const struct agent *a, const struct turn *t, int in, int out)
{
	sigset_t none;

	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fill_environment(a, t);
	if (dup2(in, STDIN_FILENO) != -1 && dup2(out, STDOUT_FILENO) != -1)
		execvp(a->argv[0], a->argv);
	dprintf(STDERR_FILENO, "relay-ctl: cannot run %s: %s\n", a->argv[0],
	    strerror(errno));
	_exit(127);
}

int
job_start(struct job *j, const struct agent *a, const struct turn *t)
{
	int in[2], out[2];

	memset(j, 0, sizeof(*j));
	j->in = j->out = -1;
	buf_init(&j->text, AGENT_REPLY_MAX + 2);
	if (pipe2(in, O_CLOEXEC) == -1)
		return -1;
	if (pipe2(out, O_CLOEXEC) == -1) {
		close(in[0]);
		close(in[1]);
		return -1;
	}
	fflush(NULL);
	if ((j->pid = fork()) == 0)
		become(a, t, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	j->in = in[1];
	j->out = out[0];
	if (j->pid == -1) {
		j->pid = 0;
		job_free(j);
		return -1;
	}
	setpgid(j->pid, j->pid); /* in whichever of both comes first */
	fcntl(j->in, F_SETFL, O_NONBLOCK);
	fcntl(j->out, F_SETFL, O_NONBLOCK);
	j->deadline = client_now() + a->timeout_s * 1000;
	return 0;
}

static void
shut(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void
job_writable(struct job *j, const struct turn *t)
{
	ssize_t n;

	n = write(j->in, t->event + j->written, t->eventlen - j->written);
	if (n > 0)
		j->written += (size_t)n;
	else if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	else
		shut(&j->in); /* it does not want to read it all */
	if (j->written == t->eventlen)
		shut(&j->in);
}

void
job_readable(struct job *j)
{
	char *p, waste[4096];
	size_t room;
	ssize_t n;

	room = AGENT_REPLY_MAX + 2 - buf_len(&j->text);
	p = room == 0 ? waste : buf_reserve(&j->text, room);
	if (p == NULL || room == 0) {
		j->overflow = 1;
		p = waste;
		room = sizeof(waste);
	}
	n = read(j->out, p, room);
	if (n > 0 && p != waste)
		buf_commit(&j->text, (size_t)n);
	else if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		shut(&j->out);
	if (j->overflow)
		job_end(j);
}

void
job_signal(const struct job *j, int sig)
{
	if (j->pid > 0)
		kill(-j->pid, sig);
}

void
job_end(struct job *j)
{
	if (j->told)
		return;
	j->told = 1;
	j->deadline = client_now() + AGENT_KILL_MS;
	job_signal(j, SIGTERM);
}

int
job_reap(struct job *j, int *status)
{
	size_t before;
	pid_t r;

	if (j->pid == 0 || (r = waitpid(j->pid, status, WNOHANG)) == 0)
		return 0;
	if (r == -1)
		*status = 127 << 8; /* somebody else took its status */
	/* What it printed before it ended is in the pipe; what its own
	 * children print later is nothing of ours. */
	do {
		before = buf_len(&j->text);
		if (j->out != -1)
			job_readable(j);
	} while (j->out != -1 && !j->overflow && buf_len(&j->text) > before);
	j->pid = 0;
	shut(&j->in);
	shut(&j->out);
	return 1;
}

void
job_free(struct job *j)
{
	shut(&j->in);
	shut(&j->out);
	buf_free(&j->text);
}
