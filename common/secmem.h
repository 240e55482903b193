/* SPDX-License-Identifier: ISC */
/*
 * Memory for secrets: memfd_secret(2) where the kernel has it (not even the
 * kernel maps it, ptrace and /proc/PID/mem cannot read it), else a memfd whose
 * pages are locked and kept out of dumps.
 */
#ifndef SECMEM_H
#define SECMEM_H

#include <stddef.h>

#define SECMEM_FALLBACK 0x01 /* memfd_secret was not to be had */

/* A descriptor of len bytes of such memory, close-on-exec; *flags (may be
 * NULL) gets SECMEM_FALLBACK.  -1 with errno. */
int secmem_fd(size_t len, unsigned *flags);
/* Map it, locked and undumpable.  NULL with errno; ENOMEM: it is more than
 * RLIMIT_MEMLOCK permits. */
void *secmem_map(int fd, size_t len);
/* Both, for memory that nobody else gets: no descriptor is left. */
void *secmem_new(size_t len, unsigned *flags);
/* Cleanse and unmap; the descriptor's content is gone, too. */
void secmem_unmap(void *p, size_t len);

/*
 * Move text into a fresh descriptor and wipe it where it stood: for the
 * environment.  The descriptor's first 4 bytes are the length (host order),
 * the text follows.  Returns the descriptor, left unmapped, or -1 with errno;
 * the text is wiped in both cases.
 */
int secmem_seal(char *text, size_t len, unsigned *flags);

/* Overwrite the part of the stack that returned functions may have left
 * secrets in. */
void secmem_burn_stack(void);

#endif
