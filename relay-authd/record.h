/* SPDX-License-Identifier: ISC */
/*
 * Small records kept in files: "key value" lines between a head with a version
 * and "end", every field in its order.  They hold secrets, so the text lies in
 * secret memory of its own, from the descriptor it came by to the one it leaves
 * by.  Files are replaced whole or not at all, and what is read back is
 * believed no more than what a stranger says.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdint.h>

#include "span.h"

/* Bytes of a record's file name, and more than any record has. */
#define RECORD_NAME 96
#define RECORD_MAX  16384

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

struct record {
	char *map; /* NULL: there is none */
	size_t len;
	int fd; /* of the memory */
};

/* Compose one, or take one from its memory (fd is ours in any case).  *r was
 * none.  value gets where the values lie; they are valid UTF-8 without control
 * characters.  NULL, or a phrase without subject ("is cut short or damaged"):
 * *r is none. */
const char *record_make(struct record *r, const struct record_form *f,
    const struct span *from, struct span *value);
const char *record_adopt(
    struct record *r, const struct record_form *f, int fd, struct span *value);
/* Cleanse it, wherever its memory is kept; it is none then. */
void record_free(struct record *r);

/*
 * Load one from its file: a regular one of our user that others cannot use.
 * 1, 0 when there is none, or -1 with why: a sentence that names the file.
 */
int record_load(struct record *r, const struct record_form *f, int dir,
    const char *name, struct span *value, char *why, size_t cap);
/* Put it, in a file of mode 0600, in place of the one there is, or remove that,
 * for good (synced).  0, or -1 with why; it is the old one or the new one
 * then. */
int record_save(
    const struct record *r, int dir, const char *name, char *why, size_t cap);
int record_remove(int dir, const char *name, char *why, size_t cap);

#endif
