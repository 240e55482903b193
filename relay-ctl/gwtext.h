/* SPDX-License-Identifier: ISC */
/* What status and show say alike of a gateway's state. */
#ifndef GWTEXT_H
#define GWTEXT_H

#include "buf.h"
#include "field.h"
#include "out.h"

/* The number of the state that a word names or abbreviates; -1: told what could
 * stand there. */
int gwtext_match(const char *given);
/* The number of a state as relayd names it, healthy ones first; -1: a later
 * version's. */
int gwtext_index(struct span state);
const char *gwtext_state(int i);
/* How many there are. */
#define GWTEXT_STATES 8
/* How much that state wants to be looked at: the more, the greater. */
int gwtext_gravity(int i);
/* The exit status that a state stands for (relay-ctl(8)). */
int gwtext_exit(struct span state);
enum tint gwtext_tint(struct span state);
/* What is worth saying below a gateway's row; g is its object. */
void gwtext_notes(struct table *t, struct obj *g);
/* Append what a person can do about a gateway whose credential was revoked: it
 * depends on where that is from, as the status names it. */
void gwtext_renew(struct buf *b, struct span gateway, struct span source);

/*
 * Call fn for each gateway of a status reply; name (NULL: any) picks one.
 * Returns how many there were.
 */
int gwtext_each(struct span reply, const char *name,
    void (*fn)(struct obj *g, void *arg), void *arg);

#endif
