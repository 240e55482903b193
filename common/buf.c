/* SPDX-License-Identifier: ISC */
/* A growable, bounded run of bytes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define BUF_MIN 256 /* first allocation: a short line fits without growing */

static size_t
limit(const struct buf *b)
{
	return b->max == 0 || b->max > BUF_MAX ? BUF_MAX : b->max;
}

/*
 * Move the content into memory of its own size `cap`.  Not realloc: bearers
 * pass through buffers, so memory that is left is cleared.
 */
static int
move(struct buf *b, size_t cap)
{
	size_t len = buf_len(b);
	char *p;

	if ((p = malloc(cap)) == NULL)
		return -1;
	if (len > 0)
		memcpy(p, b->p + b->off, len);
	if (b->p != NULL)
		freezero(b->p, b->cap);
	b->p = p;
	b->off = 0;
	b->end = len;
	b->cap = cap;
	return 0;
}

/*
 * Room for n bytes and one more, which vsnprintf's NUL needs.  What was
 * consumed is reclaimed by moving only when at least as much was consumed as
 * is moved, or when growing is not possible; so the cost per byte stays
 * constant.
 */
static int
make_room(struct buf *b, size_t n)
{
	size_t len = buf_len(b), max = limit(b), cap;

	if (n > max || len > max - n)
		return -1;
	if (b->p != NULL && b->cap - b->end > n)
		return 0;
	if (b->cap > len + n && (b->off >= len || b->cap > max)) {
		if (len > 0)
			memmove(b->p, b->p + b->off, len);
		b->off = 0;
		b->end = len;
		return 0;
	}
	cap = b->cap < BUF_MIN ? BUF_MIN : b->cap;
	while (cap <= len + n)
		cap *= 2;
	return move(b, cap > max + 1 ? max + 1 : cap);
}

void
buf_init(struct buf *b, size_t max)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
}

/* make_room finds no need to move: what would need more memory is beyond the
 * bound. */
void
buf_over(struct buf *b, void *p, size_t size)
{
	buf_init(b, size - 1);
	b->p = p;
	b->cap = size;
	b->fixed = 1;
}

void
buf_free(struct buf *b)
{
	if (b->fixed) {
		explicit_bzero(b->p, b->cap);
		buf_reset(b);
		return;
	}
	if (b->p != NULL)
		freezero(b->p, b->cap);
	buf_init(b, b->max);
}

void
buf_reset(struct buf *b)
{
	b->off = b->end = 0;
	b->failed = 0;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	if (make_room(b, n) == -1) {
		b->failed = 1;
		return NULL;
	}
	return b->p + b->end;
}

void
buf_commit(struct buf *b, size_t n)
{
	b->end += n;
}

int
buf_add_grow(struct buf *b, const void *p, size_t n)
{
	char *to;

	if (n == 0)
		return 0;
	if ((to = buf_reserve(b, n)) == NULL)
		return -1;
	memcpy(to, p, n);
	b->end += n;
	return 0;
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	char *to;
	int n = -1;

	va_start(ap, fmt);
	va_copy(again, ap);
	if ((n = vsnprintf(NULL, 0, fmt, ap)) < 0)
		b->failed = 1;
	else if ((to = buf_reserve(b, (size_t)n)) == NULL)
		n = -1;
	else {
		vsnprintf(to, (size_t)n + 1, fmt, again);
		b->end += (size_t)n;
	}
	va_end(again);
	va_end(ap);
	return n < 0 ? -1 : 0;
}

void
buf_drain(struct buf *b, size_t n)
{
	if (n >= buf_len(b))
		b->off = b->end = 0;
	else
		b->off += n;
}

void
buf_shrink(struct buf *b)
{
	size_t len = buf_len(b), max = b->max;
	uint8_t failed = b->failed;

	if (b->fixed)
		return;
	if (len == 0) {
		buf_free(b);
		b->failed = failed;
	} else if (b->cap > len + 1)
		(void)move(b, len + 1); /* without memory for less: as it was */
	b->max = max;
}
