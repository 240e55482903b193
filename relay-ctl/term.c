/* SPDX-License-Identifier: ISC */
/* Taking a terminal over, and giving it back. */
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "term.h"

/* The other screen, without a cursor; and back. */
#define ENTER "\033[?1049h\033[?25l\033[2J"
#define LEAVE "\033[?25h\033[?1049l"

/* A terminal that does not tell its size. */
#define ROWS	24
#define COLUMNS 80

/* What a terminal's user, or its end, does to a program, and what else would
 * end it; its size; and that it goes on, having been stopped without a word:
 * the terminal may be somebody else's meanwhile. */
static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM,
    SIGTSTP, SIGWINCH, SIGCONT, SIGUSR1, SIGUSR2, SIGPIPE, SIGXCPU};

static void
measure(struct term *t)
{
	struct winsize ws;

	t->rows = ROWS;
	t->columns = COLUMNS;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == -1)
		return;
	if (ws.ws_row > 0)
		t->rows = ws.ws_row;
	if (ws.ws_col > 0)
		t->columns = ws.ws_col;
}

static int
take(struct term *t)
{
	struct termios raw = t->was;

	sigprocmask(SIG_BLOCK, &t->taken, NULL);
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	measure(t);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == -1)
		return -1;
	fputs(ENTER, stdout);
	return fflush(stdout);
}

/* Signals that came meanwhile act now. */
static void
give(struct term *t)
{
	fputs(LEAVE, stdout);
	(void)fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->was);
	sigprocmask(SIG_SETMASK, &t->mask, NULL);
}

int
term_open(struct term *t)
{
	size_t i;

	memset(t, 0, sizeof(*t));
	t->sigs = -1;
	if (tcgetattr(STDIN_FILENO, &t->was) == -1)
		return -1;
	sigprocmask(SIG_BLOCK, NULL, &t->mask);
	sigemptyset(&t->taken);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!sigismember(&t->mask, signals[i]))
			sigaddset(&t->taken, signals[i]);
	t->sigs = signalfd(-1, &t->taken, SFD_CLOEXEC | SFD_NONBLOCK);
	if (t->sigs == -1)
		return -1;
	if (take(t) == 0)
		return 0;
	term_close(t);
	return -1;
}

void
term_close(struct term *t)
{
	give(t);
	close(t->sigs);
	t->sigs = -1;
}

int
term_signal(struct term *t)
{
	struct signalfd_siginfo info;

	if (read(t->sigs, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	if (info.ssi_signo == SIGWINCH) {
		measure(t);
		return 1;
	}
	raise((int)info.ssi_signo); /* acts when the terminal is given back */
	give(t);
	(void)take(t);
	return 1;
}
