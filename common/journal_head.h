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
/* The least a journal may have: head and ids take a sixth of it. */
#define JOURNAL_LEAST 65536
/* The least that can be configured: beside the quarter that events put aside
 * may fill, the longest line of the link (1 MiB) finds room twice.  An event
 * that an empty journal cannot hold could never be delivered. */
#define JOURNAL_CONF_LEAST (4UL * 1024 * 1024)
/* And the most that can be configured. */
#define JOURNAL_MOST (1024UL * 1024 * 1024)

struct journal_head {
	char magic[8];	  /* "RLYJRNL1" */
	uint32_t version; /* 1 */
	uint32_t seen;	  /* ids remembered, a power of two */
	uint64_t size;	  /* of the file when it was made; it may grow */
	uint64_t key[2];  /* of the checksums and hashes in it: random */
	uint64_t sum;	  /* SipHash of what stands above, under key */
	/* What the engine writes, each beside its complement: a pair that does
	 * not agree says nothing. */
	uint32_t off; /* an operator switched the gateway off */
	uint32_t off_not;
	uint32_t top; /* no event ever lay in this page or above */
	uint32_t top_not;
	uint64_t seq; /* no event ever had this number or a higher one */
	uint64_t seq_not;
};

/* Fill in the head of a journal of size bytes, JOURNAL_LEAST or more; random:
 * 16 bytes.  The rest of the file must be zeros. */
void journal_head_make(
    struct journal_head *h, uint64_t size, const unsigned char random[16]);
/* NULL, or what is wrong with the head of a file that has size bytes: a
 * phrase for "FILE: ...". */
const char *journal_head_check(const struct journal_head *h, uint64_t size);
/* Where the events begin, in bytes; the head is a good one. */
size_t journal_head_events(const struct journal_head *h);

#endif
