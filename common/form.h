/* SPDX-License-Identifier: ISC */
/* Bodies of type application/x-www-form-urlencoded. */
#ifndef FORM_H
#define FORM_H

#include "buf.h"

/* Append a pair, with & before it when the buffer is not empty. */
void form_put(struct buf *b, const char *key, struct span value);

#endif
