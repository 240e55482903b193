/* SPDX-License-Identifier: ISC */
/*
 * Questions and answers.  Signals are read from a descriptor while the
 * terminal does not echo, so that none is missed between two steps, and acted
 * on once it echoes again.
 */
#include <sys/signalfd.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "ask.h"

struct ask {
	int tty, sigs;
	struct termios was;
	sigset_t mask;	/* of signals, before */
	sigset_t taken; /* what is read from sigs */
};

/* What a terminal's user, or its end, does to a program.  Not those of a
 * background process: it is stopped before the terminal is changed. */
static const int signals[] = {
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGTSTP};

static int
ask_open(struct ask *a)
{
	size_t i;

	a->sigs = -1;
	a->tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (a->tty == -1 || tcgetattr(a->tty, &a->was) == -1)
		return -1;
	sigprocmask(SIG_BLOCK, NULL, &a->mask);
	sigemptyset(&a->taken);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigismember(&a->mask, signals[i]))
			sigaddset(&a->taken, signals[i]);
	a->sigs = signalfd(-1, &a->taken, SFD_CLOEXEC | SFD_NONBLOCK);
	return a->sigs == -1 ? -1 : 0;
}

static void
ask_close(struct ask *a)
{
	if (a->tty != -1)
		close(a->tty);
	if (a->sigs != -1)
		close(a->sigs);
}

/* From here on signals wait, and what is typed is not shown. */
static int
hush(struct ask *a)
{
	struct termios quiet = a->was;

	sigprocmask(SIG_BLOCK, &a->taken, NULL);
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	quiet.c_lflag |= ICANON | ISIG;
	return tcsetattr(a->tty, TCSAFLUSH, &quiet);
}

/* As before; signals that came since then act now. */
static void
unhush(struct ask *a)
{
	dprintf(a->tty, "\n");
	tcsetattr(a->tty, TCSAFLUSH, &a->was);
	sigprocmask(SIG_SETMASK, &a->mask, NULL);
}

/* Wait for a line (0) or a signal, which is made to come again (1). */
static int
wait_line(struct ask *a, int *sig)
{
	struct pollfd p[] = {{a->tty, POLLIN, 0}, {a->sigs, POLLIN, 0}};
	struct signalfd_siginfo info;

	while (poll(p, 2, -1) == -1)
		if (errno != EINTR)
			return 0; /* reading will tell */
	if (read(a->sigs, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	*sig = (int)info.ssi_signo;
	return 1;
}

static int
read_line(struct ask *a, struct buf *line)
{
	char *p = buf_reserve(line, ASK_LINE_MAX);
	ssize_t n;

	if (p == NULL) {
		errno = ENOMEM;
		return -1;
	}
	do
		n = read(a->tty, p, ASK_LINE_MAX);
	while (n == -1 && errno == EINTR);
	if (n > 0)
		buf_commit(line, (size_t)n);
	if (n == 0)
		errno = ECANCELED;
	else if (n == ASK_LINE_MAX)
		errno = EMSGSIZE;
	if (n <= 0 || n == ASK_LINE_MAX)
		return -1;
	if (line->p[line->end - 1] == '\n')
		line->end--;
	return 0;
}

int
ask_quietly(struct buf *line, const char *prompt)
{
	int r = -1, sig = 0, error, signalled = 1;
	struct ask a;

	if (ask_open(&a) == -1)
		errno = ENOTTY;
	else {
		while (signalled && hush(&a) == 0) {
			dprintf(a.tty, "%s", prompt);
			signalled = wait_line(&a, &sig);
			if (signalled)
				raise(sig); /* acts when we are done */
			else
				r = read_line(&a, line);
			error = errno;
			unhush(&a);
			errno = error;
		}
	}
	error = errno;
	ask_close(&a);
	errno = error;
	return r;
}

int
ask_yes(const char *fmt, ...)
{
	char line[16];
	va_list ap;
	ssize_t n;

	if (!isatty(STDIN_FILENO))
		return 1;
	fputs("relay-ctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" [y/N] ", stderr);
	do
		n = read(STDIN_FILENO, line, sizeof(line));
	while (n == -1 && errno == EINTR);
	return n > 0 && (line[0] == 'y' || line[0] == 'Y');
}
