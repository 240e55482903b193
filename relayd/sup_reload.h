/* SPDX-License-Identifier: ISC */
/*
 * A configuration becomes the one lived by in two phases: every child gets
 * its slice and says whether it can take it; then all commit, relay-authd
 * first and the engine last.  At the first start, at a reload, and for one
 * child alone after a restart.
 */
#ifndef SUP_RELOAD_H
#define SUP_RELOAD_H

#include "supervisor.h"

/* Load the configuration anew.  asked: the engine waits for RELOAD_DONE with
 * this correlation; else it was a signal, which waits for children that are
 * being restarted, and for a reload under way. */
void sup_reload_begin(struct supervisor *s, int asked, uint32_t corr);
/* relay-authd, which lives by the plan, is given those secrets that are due. */
void sup_reload_secrets(struct supervisor *s);
/* A child runs: its slice. */
void sup_reload_started(struct sup_child *c);
/* A child can, or cannot, take its slice. */
void sup_reload_ready(struct sup_child *c);
void sup_reload_refused(struct sup_child *c, const char *why);
/* A child died: a reload that has not committed yet is off. */
void sup_reload_child_gone(struct sup_child *c, const char *words);
/* Give up a reload that has not committed yet, if there is one. */
void sup_reload_abort(struct supervisor *s, const char *why);
int sup_reload_init(struct supervisor *s);
void sup_reload_free(struct supervisor *s);

#endif
