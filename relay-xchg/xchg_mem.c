/* SPDX-License-Identifier: ISC */
/* The secret memory of an exchange; see xchg_mem.h. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "secmem.h"
#include "xchg_mem.h"

/* Bytes for OpenSSL: a TLS connection and the peer's chain of certificates
 * take about a fifth.  What is beyond lies in common memory, and is cleansed
 * all the same. */
#define ARENA ((size_t)512 * 1024)
/* Pieces are of 64, 128, ... bytes; larger than the last come from common
 * memory: nothing of a connection is. */
#define SMALLEST 64
#define CLASSES	 12

/* Before each piece; keeps it aligned for everything. */
union head {
	struct {
		size_t size; /* of the piece, head included */
		unsigned class;
	} is;
	max_align_t align;
};

struct piece {
	union head head;
	struct piece *next; /* while it is free */
};

/* OpenSSL's hooks take no argument of ours. */
static struct {
	char *map;
	size_t maplen;
	char *base; /* of OpenSSL's part */
	size_t used;
	int secret;
	struct piece *free[CLASSES];
} mem;

static int
is_secret(const void *p)
{
	return (uintptr_t)p >= (uintptr_t)mem.base &&
	    (uintptr_t)p < (uintptr_t)mem.base + ARENA;
}

/* The smallest class that holds n bytes; CLASSES: none. */
static unsigned
class_of(size_t n)
{
	unsigned c;

	for (c = 0; c < CLASSES && (size_t)SMALLEST << c < n; c++)
		;
	return c;
}

static union head *
from_arena(size_t n)
{
	const unsigned c = class_of(n);
	struct piece *p;

	if (c == CLASSES)
		return NULL;
	n = (size_t)SMALLEST << c;
	if ((p = mem.free[c]) != NULL)
		mem.free[c] = p->next;
	else if (n <= ARENA - mem.used) {
		p = (struct piece *)(void *)(mem.base + mem.used);
		mem.used += n;
	} else
		return NULL;
	p->next = NULL;
	p->head.is.size = n;
	p->head.is.class = c;
	return &p->head;
}

static void *
mem_malloc(size_t n, const char *file, int line)
{
	union head *h = NULL;

	(void)file;
	(void)line;
	if (n == 0 || n > SIZE_MAX - sizeof(*h))
		return NULL;
	n += sizeof(*h);
	if (mem.secret)
		h = from_arena(n);
	if (h == NULL && (h = malloc(n)) != NULL)
		h->is.size = n;
	return h == NULL ? NULL : h + 1;
}

static void
mem_free(void *p, const char *file, int line)
{
	union head *h;
	struct piece *piece;
	unsigned c;

	(void)file;
	(void)line;
	if (p == NULL)
		return;
	h = (union head *)p - 1;
	if (!is_secret(h)) {
		freezero(h, h->is.size);
		return;
	}
	c = h->is.class;
	explicit_bzero(h, h->is.size);
	piece = (struct piece *)(void *)h;
	piece->next = mem.free[c];
	mem.free[c] = piece;
}

static void *
mem_realloc(void *p, size_t n, const char *file, int line)
{
	union head *h;
	size_t has;
	void *q;

	if (p == NULL)
		return mem_malloc(n, file, line);
	if (n == 0) {
		mem_free(p, file, line);
		return NULL;
	}
	h = (union head *)p - 1;
	has = h->is.size - sizeof(*h);
	if (n <= has)
		return p;
	if ((q = mem_malloc(n, file, line)) == NULL)
		return NULL;
	memcpy(q, p, has);
	mem_free(p, file, line);
	return q;
}

void *
xchg_mem_open(size_t own, unsigned *flags)
{
	own = (own + SMALLEST - 1) & ~(size_t)(SMALLEST - 1);
	mem.maplen = own + ARENA;
	if ((mem.map = secmem_new(mem.maplen, flags)) == NULL)
		return NULL;
	mem.base = mem.map + own;
	if (CRYPTO_set_mem_functions(mem_malloc, mem_realloc, mem_free) != 1) {
		errno = EBUSY; /* it has allocated already */
		return NULL;
	}
	return mem.map;
}

void
xchg_mem_secret(void)
{
	mem.secret = 1;
}

void
xchg_mem_cleanse(void)
{
	explicit_bzero(mem.map, mem.maplen);
	secmem_burn_stack();
}
