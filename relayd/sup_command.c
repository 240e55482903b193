/* SPDX-License-Identifier: ISC */
/* Token commands. */

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sup_command.h"
#include "sup_spawn.h"

/* Its lines in the log: a program that explains itself needs a few. */
#define LOG_AT_ONCE 20
#define LOG_PER_S   2

int
sup_command_user(struct sup_user *u, const char *name, char *why, size_t whylen)
{
	struct passwd *pw;

	/* The supervisor has one thread: nobody else uses the buffer that the
	 * C library has for this, which grows to what an entry needs, however
	 * long.  Ours would need a bound that refuses some user. */
	if ((pw = getpwnam(name)) == NULL) {
		snprintf(why, whylen,
		    "no user \"%s\" on this machine: make it (useradd) or "
		    "name another",
		    name);
		return -1;
	}
	if (pw->pw_uid == 0) {
		snprintf(why, whylen,
		    "%s is root by another name: name another user", name);
		return -1;
	}
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	strlcpy(u->home, pw->pw_dir, sizeof(u->home));
	u->ngroup = SPAWN_GROUPS;
	/* Too many of them: the first must do. */
	if (getgrouplist(name, u->gid, u->group, &u->ngroup) == -1)
		u->ngroup = SPAWN_GROUPS;
	return 0;
}

static void
kill_group(const struct sup_command *c)
{
	/* Its group is there from its first steps on; before, it is alone. */
	(void)kill(-c->pid, SIGKILL);
	(void)kill(c->pid, SIGKILL);
}

static void
too_late(int fd, short what, void *arg)
{
	struct sup_command *c = arg;

	(void)fd;
	(void)what;
	c->late = 1;
	kill_group(c);
}

int
sup_command_init(struct sup_command *c, struct event_base *base)
{
	memset(c, 0, sizeof(*c));
	c->out = -1;
	sup_log_init(&c->log);
	c->timer = evtimer_new(base, too_late, c);
	return c->timer == NULL ? -1 : 0;
}

static void
close_out(struct sup_command *c)
{
	if (c->out != -1)
		close(c->out);
	c->out = -1;
}

void
sup_command_free(struct sup_command *c)
{
	if (c->pid != 0)
		kill_group(c);
	c->pid = 0;
	close_out(c);
	sup_log_close(&c->log);
	if (c->timer != NULL)
		event_free(c->timer);
	c->timer = NULL;
}

/* A way of our own into the pipe, on which we never wait: the command's is
 * shared by what it started. */
static int
open_again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

static int
start(struct sup_command *c, struct event_base *base,
    const struct sup_command_line *line, int out)
{
	const struct timeval tv = {
	    line->ms / 1000, (suseconds_t)(line->ms % 1000) * 1000};
	int log_fd;

	if ((c->out = open_again(out)) == -1)
		return -1;
	c->pid =
	    sup_spawn_program(line->argv, line->user, line->home, out, &log_fd);
	if (c->pid == -1) {
		c->pid = 0;
		close_out(c);
		return -1;
	}
	c->late = 0;
	strlcpy(c->gateway, line->gateway, sizeof(c->gateway));
	sup_log_open(
	    &c->log, base, log_fd, "token-command", (int)c->pid, c->gateway);
	log_collect_bound(&c->log.col, LOG_PER_S, LOG_AT_ONCE);
	event_add(c->timer, &tv);
	log_debug("token_command", c->gateway, "%s is process %d",
	    line->argv[0], (int)c->pid);
	return 0;
}

int
sup_command_start(struct sup_command *c, struct event_base *base,
    const struct sup_command_line *line, char *why, size_t whylen)
{
	int fd[2] = {-1, -1};

	if (line->user == NULL && geteuid() == 0) {
		strlcpy(why, "the token command has no user to run as", whylen);
		return -1;
	}
	if (pipe2(fd, O_CLOEXEC) == -1 || start(c, base, line, fd[1]) == -1) {
		snprintf(why, whylen, "the token command cannot be started: %s",
		    strerror(errno));
		if (fd[0] != -1) {
			close(fd[0]);
			close(fd[1]);
		}
		return -1;
	}
	close(fd[1]);
	return fd[0];
}

void
sup_command_kill(struct sup_command *c)
{
	if (c->pid != 0)
		kill_group(c);
}

void
sup_command_ended(struct sup_command *c)
{
	/* Its number is still its own, so the group's is, too. */
	kill_group(c);
}

/* Tell who reads the output, who knows no token with a NUL in it.  A pipe that
 * is full holds more than a token already. */
static void
tell_failure(const struct sup_command *c, const char *words)
{
	char text[LIMIT_REASON] = "";
	ssize_t n;

	snprintf(text + 1, sizeof(text) - 1, "the token command: %s", words);
	_Static_assert(sizeof(text) <= PIPE_BUF, "may be written in parts");
	n = write(c->out, text, 1 + strlen(text + 1));
	if (n == -1)
		log_debug("token_command", c->gateway,
		    "what reads its output is not told: %s", strerror(errno));
}

void
sup_command_reaped(struct sup_command *c, int status)
{
	char words[128];

	event_del(c->timer);
	sup_log_close(&c->log);
	if (c->late)
		strlcpy(words, "took too long and was killed", sizeof(words));
	else
		sup_spawn_words(status, words, sizeof(words));
	if (c->late || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		log_warn("token_command", c->gateway, "the token command: %s",
		    words);
		tell_failure(c, words);
	}
	c->pid = 0;
	close_out(c);
}
