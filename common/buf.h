/* SPDX-License-Identifier: ISC */
/*
 * A growable run of bytes with a bound: bytes are added at its end and
 * consumed at its beginning.  An addition that fails (bound reached, or no
 * memory) changes nothing and marks the buffer, so that a writer may add many
 * pieces and look once.
 */
#ifndef BUF_H
#define BUF_H

#include <stddef.h>
#include <stdint.h>

#include "span.h"

struct buf {
	char *p;
	size_t off;	/* first byte not consumed */
	size_t end;	/* one past the last byte */
	size_t cap;	/* bytes allocated */
	size_t max;	/* bound of end - off; 0: the limit of BUF_MAX */
	uint8_t failed; /* an addition did not fit; sticky until buf_reset */
	uint8_t fixed;	/* its memory is the caller's: buf_over */
};

#define BUF_MAX (64U * 1024 * 1024) /* nothing of ours needs more at once */

/* An empty buffer that will hold at most max bytes. */
void buf_init(struct buf *b, size_t max);
/* An empty buffer over size bytes of the caller's memory, for what must lie
 * nowhere else.  It holds at most size - 1 bytes; buf_free cleanses them all,
 * and leaves the memory to the caller. */
void buf_over(struct buf *b, void *p, size_t size);
/* Give the memory back; the buffer is empty and usable again. */
void buf_free(struct buf *b);
/* Forget the content and the failure, keep the memory. */
void buf_reset(struct buf *b);
/* Bytes held. */
static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->off;
}
/* What is held, as a span. */
static inline struct span
buf_span(const struct buf *b)
{
	return (struct span){
	    b->p == NULL ? "" : b->p + b->off, b->end - b->off};
}
/* Make room for n more bytes after the end and return where they go, or NULL
 * (marked failed).  buf_commit says how many were written there. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
/* The part of buf_add that needs more memory. */
int buf_add_grow(struct buf *b, const void *p, size_t n);
/* Append.  0, or -1 when it did not fit. */
static inline int
buf_add(struct buf *b, const void *p, size_t n)
{
	/* Never more than max + 1 is allocated, so what has room is within
	 * the bound. */
	if (b->cap - b->end <= n)
		return buf_add_grow(b, p, n);
	if (n > 0)
		memcpy(b->p + b->end, p, n);
	b->end += n;
	return 0;
}
static inline int
buf_adds(struct buf *b, struct span s)
{
	return buf_add(b, s.p, s.len);
}
int buf_addf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Consume n bytes (at most buf_len) from the front. */
void buf_drain(struct buf *b, size_t n);
/* Memory not needed for the content is given back (for idle connections). */
void buf_shrink(struct buf *b);

#endif
