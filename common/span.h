/* SPDX-License-Identifier: ISC */
/*
 * A stretch of bytes that somebody else owns.  Never NUL-terminated, valid
 * only as long as its owner says.
 */
#ifndef SPAN_H
#define SPAN_H

#include <stddef.h>
#include <string.h>

struct span {
	const char *p; /* NULL: absent, as opposed to empty */
	size_t len;    /* bytes */
};

/* The span of a string literal. */
#define SPAN_LIT(s) ((struct span){(s), sizeof(s) - 1})

/* The span of a NUL-terminated string; NULL gives an absent span. */
static inline struct span
span_str(const char *s)
{
	return (struct span){s, s == NULL ? 0 : strlen(s)};
}

/* Whether both hold the same bytes. */
static inline int
span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Copy into a C string of cap bytes, cut where it does not fit. */
static inline void
span_copy(char *to, size_t cap, struct span s)
{
	if (s.len >= cap)
		s.len = cap - 1;
	if (s.len > 0)
		memcpy(to, s.p, s.len);
	to[s.len] = '\0';
}

/* At most its last n bytes: a path's end says more than its beginning. */
static inline struct span
span_tail(struct span s, size_t n)
{
	return s.len <= n ? s : (struct span){s.p + s.len - n, n};
}

/* Without the white space around it. */
static inline struct span
span_trim(struct span s)
{
	static const char space[] = " \t\n\v\f\r";

	while (s.len > 0 && memchr(space, s.p[0], sizeof(space) - 1) != NULL) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 &&
	    memchr(space, s.p[s.len - 1], sizeof(space) - 1) != NULL)
		s.len--;
	return s;
}

#endif
