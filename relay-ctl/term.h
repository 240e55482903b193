/* SPDX-License-Identifier: ISC */
/*
 * A terminal that is taken over for a live screen: another screen, keys as they
 * are typed.  Signals are read from a descriptor meanwhile, so that the
 * terminal is given back before any of them acts.
 */
#ifndef TERM_H
#define TERM_H

#include <signal.h>
#include <stddef.h>
#include <termios.h>

struct term {
	struct termios was;
	sigset_t mask;	/* of signals, before */
	sigset_t taken; /* what is read from sigs */
	int sigs;
	size_t rows, columns;
};

/* Take standard input and output over.  0, or -1 with errno. */
int term_open(struct term *t);
/* Give them back as they were. */
void term_close(struct term *t);

/*
 * Readable when t->sigs is: 1 when the size has changed, 0 when there was
 * nothing to do.  Any other signal acts here, with the terminal given back: it
 * ends us, or it stops us, and the terminal is taken again afterwards (1).
 */
int term_signal(struct term *t);

#endif
