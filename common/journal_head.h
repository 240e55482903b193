/* SPDX-License-Identifier: ISC */
/*
 * The head of a journal's file (docs/journal.md): what the supervisor writes
 * when it makes one, and checks, without reading further, when it finds one.
 */
#ifndef JOURNAL_HEAD_H
#define JOURNAL_HEAD_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the head, a page; the ids acknowledged lately follow, then the
 * events, in pages of JOURNAL_PAGE bytes. */
#define JOURNAL_HEAD 4096
#define JOURNAL_PAGE 512

struct journal_head {
	char magic[8];	  /* "RLYJRNL1" */
	uint32_t version; /* 1 */
	uint32_t seen;	  /* ids remembered, a power of two */
	uint64_t size;	  /* of the file when it was made; it may grow */
	uint64_t key[2];  /* of the checksums and hashes in it: random */
	uint64_t sum;	  /* SipHash of what stands above, under key */
	/* What the engine writes. */
	uint32_t off;	  /* an operator switched the gateway off */
	uint32_t off_not; /* its complement */
};

/* Fill in the head of a journal of size bytes; random: 16 bytes. */
void journal_head_make(
    struct journal_head *h, uint64_t size, const unsigned char random[16]);
/* NULL, or what is wrong with the head of a file that has size bytes. */
const char *journal_head_check(const struct journal_head *h, uint64_t size);

#endif
