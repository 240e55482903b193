/* SPDX-License-Identifier: ISC */
/* What is logged, and how: the configuration's level, -d's, or the one that an
 * operator asked for. */
#ifndef SUP_LEVEL_H
#define SUP_LEVEL_H

#include "supervisor.h"

struct msg;

/* The form of the configuration's lines. */
void sup_level_form(const struct conf *c);
/* The level that holds now. */
int sup_level(const struct supervisor *s);
/* And for one process: an operator, or a compromised engine in his name, can
 * have more from the supervisor, relay-authd and the exchanges, and not less
 * than is configured: they are what tells of it. */
int sup_level_of(const struct supervisor *s, enum role role);
/* Begin with the configuration's; from here on repeats are counted. */
void sup_level_first(struct supervisor *s);
/* Another configuration: its form and its level, whatever was asked for. */
void sup_level_reset(struct supervisor *s);
/* WANT_LEVEL: take it, unless there were too many, tell all children, answer
 * with what holds.  NULL, or a phrase: the
 * message is not permitted. */
const char *sup_level_want(struct sup_child *c, struct msg *m);

#endif
