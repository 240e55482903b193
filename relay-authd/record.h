/* SPDX-License-Identifier: ISC */
/*
 * Small records kept in files: "key value" lines between a head with a version
 * and "end", every field in its order.  Files are replaced whole or not at
 * all, and what is read back is believed no more than what a stranger says.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdint.h>

#include "span.h"

/* Bytes of a record's file name. */
#define RECORD_NAME 96

struct record_field {
	const char *key;
	size_t max;	  /* bytes of its value */
	uint8_t required; /* the value is not empty */
};

struct record_form {
	const char *head; /* first line, version included */
	const struct record_field *field;
	size_t nfield;
};

/* Bytes of the record with these values, and write it into so many. */
size_t record_len(const struct record_form *f, const struct span *value);
void
record_write(const struct record_form *f, const struct span *value, char *out);

/* Take a record apart; the values stay in the text.  They are valid UTF-8
 * without control characters.  NULL, or a phrase without subject ("is cut
 * short or damaged"). */
const char *
record_read(const struct record_form *f, struct span text, struct span *value);

/*
 * Open a record's file: a regular one of our user, of 1 to max bytes, that
 * others cannot use.  Returns the descriptor with *len, -1 with why (a
 * sentence that names the file), or RECORD_NONE when there is none.
 */
#define RECORD_NONE (-2)
int record_open(
    int dir, const char *name, size_t max, size_t *len, char *why, size_t cap);
/* Read exactly so many bytes.  0 or -1. */
int record_fill(int fd, char *p, size_t len);

/* Put a file of mode 0600 in place of the one there is, or remove it, for good
 * (synced).  0, or -1 with why; it is the old one or the new one then. */
int record_replace(int dir, const char *name, const char *p, size_t len,
    char *why, size_t cap);
int record_remove(int dir, const char *name, char *why, size_t cap);
/* Compose why: "NAME: what".  Returns -1. */
int record_fail(char *why, size_t cap, const char *name, const char *what);

#endif
