/* SPDX-License-Identifier: ISC */
/* Asking the person at the terminal. */
#ifndef ASK_H
#define ASK_H

#include "buf.h"

/* Bytes of a line that a terminal hands over at most, newline included. */
#define ASK_LINE_MAX 4096

/*
 * Ask for a line, which is not shown while it is typed, and append it without
 * its newline.  Whatever ends or stops us meanwhile, the terminal is as it was
 * before.  0; -1 with errno: ENOTTY, no terminal; ECANCELED, ^D; EMSGSIZE, the
 * line may have been cut.
 */
int ask_quietly(struct buf *line, const char *prompt);

/* Whether the person says yes; without a terminal as standard input, 1. */
int ask_yes(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
