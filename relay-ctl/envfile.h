/* SPDX-License-Identifier: ISC */
/*
 * Environment files as shells write them: NAME=VALUE lines with single and
 * double quotes, backslashes, `export`, comments, CRLF.  Nothing is expanded.
 * Bytes in, variables out; nothing is allocated.
 */
#ifndef ENVFILE_H
#define ENVFILE_H

#include "span.h"

/* Bytes of a file: a host's settings take a few kilobytes, and a secret that
 * was read by mistake with something else should not lie about for long. */
#define ENVFILE_MAX (64U * 1024)

struct envfile {
	char *p; /* the text; a value is decoded where it stands */
	size_t len, at;
	unsigned line;	 /* of `at`, from 1; after a failure, of what failed */
	const char *why; /* after a failure: a static phrase */
};

struct envfile_var {
	struct span name, value; /* within the text */
	unsigned first, last;	 /* lines that it stands on */
	unsigned expands; /* the first line on which a shell would put something
			   * in the place of what stands there; 0: none */
};

/* Begin with a text, which is changed as it is read. */
void envfile_init(struct envfile *e, char *text, size_t len);
/*
 * The next variable that is given a value.  1; 0 at the end; -1 where the text
 * cannot be read for certain, with `why` and `line` set.
 */
int envfile_next(struct envfile *e, struct envfile_var *v);

#endif
