/* SPDX-License-Identifier: ISC */
/* For tests that read the shared vectors: whole files, and their cases one by
 * one.  Include after cmocka.h. */
#ifndef VEC_H
#define VEC_H

#include <stdio.h>
#include <stdlib.h>

#include "json.h"

/* A file's bytes in memory of exactly that size, to be freed. */
static inline struct span
vec_load(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct span s = {NULL, 0};
	long size;
	char *p;

	if (f == NULL)
		fail_msg(
		    "%s: cannot be opened (run from the top directory)", path);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	rewind(f);
	assert_true(size >= 0);
	p = malloc(size > 0 ? (size_t)size : 1);
	assert_non_null(p);
	assert_int_equal(fread(p, 1, (size_t)size, f), size);
	fclose(f);
	s.p = p;
	s.len = (size_t)size;
	return s;
}

static inline void
vec_free(struct span s)
{
	free((void *)(uintptr_t)s.p);
}

/* Call `check` with each element of the file's "cases", whose places are kept
 * three levels deep.  Fewer than `least` cases are a failure. */
static inline void
vec_cases(const char *path, int least, void (*check)(const struct json_doc *))
{
	static struct json_doc doc, one;
	struct span file = vec_load(path), cases, elem;
	size_t pos = 0;
	int r, n = 0;

	assert_int_equal(json_parse(&doc, file.p, file.len, 1), 0);
	cases = json_raw(&doc, json_get(&doc, JSON_ROOT, "cases"));
	while ((r = json_each(cases, &pos, &elem)) == 1) {
		assert_int_equal(json_parse(&one, elem.p, elem.len, 3), 0);
		check(&one);
		n++;
	}
	assert_int_equal(r, 0);
	assert_true(n >= least);
	vec_free(file);
}

#endif
