/* SPDX-License-Identifier: ISC */
/*
 * What the fuzz targets share: a check that ends the run, the input taken
 * apart, and copies in memory of exactly their size, so that the sanitizer
 * sees one byte read too many.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "span.h"

#ifndef CHECK
#define CHECK(cond)                                                        \
	do {                                                               \
		if (!(cond)) {                                             \
			(void)fprintf(stderr, "CHECK failed: %s:%d: %s\n", \
			    __FILE__, __LINE__, #cond);                    \
			abort();                                           \
		}                                                          \
	} while (0)
#endif

/* libFuzzer's entry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of an input. */
struct input {
	const uint8_t *p;
	size_t len;
};

/* The next byte; 0 at the end. */
static inline unsigned
input_byte(struct input *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return *in->p++;
}

/* All that is left. */
static inline struct span
input_rest(const struct input *in)
{
	return (struct span){(const char *)in->p, in->len};
}

/* A copy in memory of exactly that size, to be freed. */
static inline char *
exact(struct span s)
{
	char *p = malloc(s.len);

	CHECK(p != NULL);
	if (s.len > 0)
		memcpy(p, s.p, s.len);
	return p;
}

/* Whether a span lies within another. */
static inline int
within(struct span inner, struct span outer)
{
	return inner.p >= outer.p && inner.len <= outer.len &&
	    (size_t)(inner.p - outer.p) <= outer.len - inner.len;
}

/* A small generator for choices that the input need not spell out. */
static inline uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

#endif
