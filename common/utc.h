/* SPDX-License-Identifier: ISC */
/*
 * Times as text, in UTC.  The C library's functions look at the time zone and
 * may open files for that, which not all of us may.
 */
#ifndef UTC_H
#define UTC_H

#include <stdint.h>

#define UTC_TEXT 64 /* bytes that are enough, NUL included */

/* "2026-11-22T10:00:00Z" of Unix seconds (RFC 3339), with milliseconds unless
 * ms is -1; "before 1970" of less.  Returns out. */
char *utc_text(char out[UTC_TEXT], int64_t at, int ms);

#endif
