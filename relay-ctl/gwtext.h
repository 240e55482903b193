/* SPDX-License-Identifier: ISC */
/* What status and show say alike of a gateway's state. */
#ifndef GWTEXT_H
#define GWTEXT_H

#include "field.h"
#include "out.h"

/* The exit status that a state stands for (relay-ctl(8)). */
int gwtext_exit(struct span state);
enum tint gwtext_tint(struct span state);
/* What is worth saying below a gateway's row; g is its object. */
void gwtext_notes(struct table *t, struct obj *g);

/*
 * Call fn for each gateway of a status reply; name (NULL: any) picks one.
 * Returns how many there were.
 */
int gwtext_each(struct span reply, const char *name,
    void (*fn)(struct obj *g, void *arg), void *arg);

#endif
