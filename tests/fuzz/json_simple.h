/* SPDX-License-Identifier: ISC */
/* A second, plain reader of JSON, to compare the scanner with. */
#ifndef JSON_SIMPLE_H
#define JSON_SIMPLE_H

#include "span.h"

/* Whether a text is one JSON value of at most max_depth levels.  Strings are
 * looked at byte by byte; UTF-8 by code points. */
int json_simple(struct span text, unsigned max_depth);

#endif
