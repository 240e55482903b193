/* SPDX-License-Identifier: ISC */
/* Directories that a start made: one that fails before it serves takes them
 * away again. */
#ifndef SUP_MADE_H
#define SUP_MADE_H

#include <sys/types.h>

/* Those of relayd's own are six; the rest are parents of the state directory,
 * of which a home has two. */
#define SUP_MADE_MAX 16

struct sup_made {
	char *path[SUP_MADE_MAX];
	unsigned n;
};

/* mkdir(2), and note what was made.  What is too much to note, and
 * with NULL all, stays. */
int sup_made_dir(struct sup_made *m, const char *path, mode_t mode);
/* Note a directory that is not there yet, and may be made later. */
void sup_made_later(struct sup_made *m, const char *path);
/* Remove what was noted, the last first, where it is empty. */
void sup_made_undo(struct sup_made *m);
/* It is served: what was made stays. */
void sup_made_keep(struct sup_made *m);

#endif
