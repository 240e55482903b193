/* SPDX-License-Identifier: ISC */
/* Secrets that another machine says back to us in a text for people. */
#ifndef HIDE_H
#define HIDE_H

#include "span.h"

/* Bytes of a secret that are taken for it; of a shorter one, all. */
#define HIDE_PIECE 16

/*
 * Put "[...]" into the text wherever it repeats HIDE_PIECE bytes of the secret
 * or more; what is shorter than half of that is no secret.  The text only gets
 * shorter, and nothing is left behind its end.
 */
void hide_echo(char *text, struct span secret);

/* The same for each word of the URL's base64 alphabet that begins with head:
 * for who does not keep the token that it has sent. */
void hide_begun(char *text, const char *head);

#endif
