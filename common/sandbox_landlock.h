/* SPDX-License-Identifier: ISC */
/* Landlock: files, TCP ports, signals and abstract sockets, as far as the
 * kernel offers them. */
#ifndef SANDBOX_LANDLOCK_H
#define SANDBOX_LANDLOCK_H

#include <stddef.h>
#include <stdint.h>

struct sandbox_landlock {
	const char *writable;	     /* a directory, or NULL */
	const char *const *readable; /* directories, NULL at the end; or NULL */
	const uint16_t *port;	     /* TCP ports it may connect to */
	size_t nport;
};

/* The kernel's Landlock ABI; 0: it has none. */
int sandbox_landlock_abi(void);

/* Restrict this process, for good, to what *s names; nothing else of what the
 * ABI can restrict remains.  no_new_privs is set already.  Directories that
 * are not there are left out, the writable one excepted.  0, or -1 with
 * errno. */
int sandbox_landlock(const struct sandbox_landlock *s, int abi);

#endif
