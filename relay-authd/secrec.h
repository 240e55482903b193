/* SPDX-License-Identifier: ISC */
/* A record (record.h) that holds secrets: its text lies in secret memory of
 * its own, from the descriptor it came by to the one it leaves by. */
#ifndef SECREC_H
#define SECREC_H

#include "record.h"

/* More than any record of secrets has. */
#define SECREC_MAX 16384

struct secrec {
	char *map; /* NULL: there is none */
	size_t len;
	int fd; /* of the memory */
};

/* Compose one, take one from its memory (fd is ours in any case), or load one
 * from an open file (which stays the caller's).  *r was none.  value gets where
 * the values lie.  NULL, or a phrase without subject: *r is none. */
const char *secrec_make(struct secrec *r, const struct record_form *f,
    const struct span *from, struct span *value);
const char *secrec_adopt(
    struct secrec *r, const struct record_form *f, int fd, struct span *value);
const char *secrec_load(struct secrec *r, const struct record_form *f, int fd,
    size_t len, struct span *value);
/* Cleanse it, wherever its memory is kept; it is none then. */
void secrec_free(struct secrec *r);

#endif
