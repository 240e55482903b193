/* SPDX-License-Identifier: ISC */
/*
 * The secret memory of an exchange: a part for its own buffers, the rest for
 * whatever OpenSSL allocates, whose keys and plaintext lie about in it.
 */
#ifndef XCHG_MEM_H
#define XCHG_MEM_H

#include <stddef.h>

/*
 * Map it (once per process, before OpenSSL's first call), and let OpenSSL
 * allocate by us: what it frees is cleansed.  own bytes, zeroed, are returned
 * for the caller, or NULL with errno.  *flags gets SECMEM_FALLBACK.
 */
void *xchg_mem_open(size_t own, unsigned *flags);

/* From now on OpenSSL's memory is secret memory, as long as there is some;
 * before, while bundles are read, it is common memory. */
void xchg_mem_secret(void);

/* Cleanse all of it.  OpenSSL cannot be called any more. */
void xchg_mem_cleanse(void);

#endif
