/* SPDX-License-Identifier: ISC */
/* What is logged, and how: the configuration's level, -d's, or the one that an
 * operator asked for. */
#ifndef SUP_LEVEL_H
#define SUP_LEVEL_H

#include "supervisor.h"

struct msg;

/* The form of the configuration's lines. */
void sup_level_form(const struct conf *c);
/* The level that holds now, for all processes. */
int sup_level(const struct supervisor *s);
/* Begin with the configuration's; from here on repeats are counted. */
void sup_level_first(struct supervisor *s);
/* Another configuration: its form and its level, whatever was asked for. */
void sup_level_reset(struct supervisor *s);
/* WANT_LEVEL: take it, tell all children, answer.  NULL, or a phrase: the
 * message is not permitted. */
const char *sup_level_want(struct sup_child *c, struct msg *m);

#endif
