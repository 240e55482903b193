/* SPDX-License-Identifier: ISC */
/* relay-ctl watch on a terminal: a line per gateway, renewed each second and
 * with each change of state. */
#ifndef SCREEN_H
#define SCREEN_H

#include "ctl.h"

/* Whether standard input and output are a terminal that can do it. */
int screen_fits(void);
/* Until q, or until the terminal ends.  Returns the exit status. */
int screen_run(struct ctl *ctl);

#endif
