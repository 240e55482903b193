/* SPDX-License-Identifier: ISC */
/*
 * Secrets that come with a configuration, in secret memory (secmem.h): those
 * lived by and those staged lie in two halves of one mapping, so that a
 * commit is a change of sides and the old half is cleansed as a whole.
 * Forked children do not inherit the mapping.
 */
#ifndef VAULT_H
#define VAULT_H

#include "span.h"

struct vault {
	char *map;
	size_t len;    /* of the mapping */
	void *work;    /* the owner's own space in it, zeroed at first */
	char *scratch; /* what is being read */
	char *half[2];
	size_t halflen; /* bytes of one half */
	size_t used[2];
	int live;      /* which half is lived by */
	char why[160]; /* vault_read's last phrase */
};

/* A vault whose halves hold half bytes each, with work bytes of space for the
 * owner.  *flags gets SECMEM_FALLBACK.  0, or -1 with errno. */
int vault_open(struct vault *v, size_t half, size_t work, unsigned *flags);
/* Cleanse and unmap all. */
void vault_close(struct vault *v);

/*
 * Read a secret into the stage: from a file's descriptor, or from one that
 * secmem_seal made.  White space around it is dropped.  Returns it, or an
 * absent span with *why: a phrase without subject ("holds only white space",
 * "is longer than 4096 bytes"), valid until the next call.  It must be valid
 * UTF-8 without control characters, of 1 to max bytes.  fd stays the caller's.
 */
struct span vault_read(struct vault *v, int fd, size_t max, const char **why);

/* Copy a text into the stage under the same rules, but for white space. */
struct span
vault_put(struct vault *v, struct span text, size_t max, const char **why);

/* Copy a text that is lived by into the stage; one that is absent stays so, and
 * is no failure. */
struct span vault_carry(struct vault *v, struct span text, const char **why);

/* Live by the stage: the old half is cleansed, and is the next stage. */
void vault_commit(struct vault *v);
/* Cleanse the stage. */
void vault_abort(struct vault *v);

/* Whether two secrets are the same, in time that depends on length alone. */
int vault_same(struct span a, struct span b);

#endif
