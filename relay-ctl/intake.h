/* SPDX-License-Identifier: ISC */
/*
 * Files and tokens that people hand to relay-ctl.  Secrets among them are kept
 * in one buffer (buf_free wipes it), never in stdio's, and nowhere where
 * another process could look.
 */
#ifndef INTAKE_H
#define INTAKE_H

#include <stddef.h>

#include "buf.h"

/* Before the first secret is read: no core, no tracer of the same user. */
void intake_shield(void);

/* How others' access to a file with a secret is taken; as ssh(1) takes it of a
 * key, what is our own must be nobody else's. */
enum intake_access {
	INTAKE_REFUSE, /* refuse ours when others may use it */
	INTAKE_WARN    /* say so, and read it: it is to be emptied anyway */
};
/* Read a descriptor to its end, at most max bytes; people know it as name.  0,
 * or -1 after saying why not. */
int intake_all(struct buf *b, int fd, const char *name, size_t max);
/* Read all of a file, "-" being standard input; at most max bytes.  0, or -1
 * after saying why not. */
int intake_file(
    struct buf *b, const char *path, size_t max, enum intake_access access);

/*
 * The enrollment token: from a file when one is named ("-": standard input),
 * else from the environment, which is wiped in any case, else typed at the
 * terminal that standard input is.  0 with the token, or with nothing where
 * there is none of these: relayd's own is meant.  -1 after saying what is
 * wrong.
 */
int intake_token(struct buf *token, const char *file, const char *gateway);

#endif
