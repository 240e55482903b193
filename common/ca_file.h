/* SPDX-License-Identifier: ISC */
/* The file of certificates that a connector is verified by. */
#ifndef CA_FILE_H
#define CA_FILE_H

#include <stddef.h>

/*
 * Open a bundle: the one that is named, or with path NULL the system's, where
 * distributions keep it.  It is a regular file of at most LIMIT_CA_FILE bytes,
 * searched for a line with which a certificate begins, and not parsed; the
 * descriptor's offset stays 0.  label gets its path.  Returns the descriptor,
 * or -1 with a sentence in why.
 */
int ca_file_open(
    const char *path, char *label, size_t labellen, char *why, size_t whylen);

#endif
