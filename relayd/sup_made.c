/* SPDX-License-Identifier: ISC */
/* Directories that a start made. */

#include <sys/stat.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sup_made.h"

static void
note(struct sup_made *m, const char *path)
{
	if (m != NULL && m->n < SUP_MADE_MAX &&
	    (m->path[m->n] = strdup(path)) != NULL)
		m->n++;
}

int
sup_made_dir(struct sup_made *m, const char *path, mode_t mode)
{
	if (mkdir(path, mode) == -1)
		return -1;
	note(m, path);
	return 0;
}

void
sup_made_later(struct sup_made *m, const char *path)
{
	struct stat st;

	if (lstat(path, &st) == -1 && errno == ENOENT)
		note(m, path);
}

void
sup_made_undo(struct sup_made *m)
{
	while (m->n > 0) {
		(void)rmdir(m->path[--m->n]);
		free(m->path[m->n]);
	}
}

void
sup_made_keep(struct sup_made *m)
{
	while (m->n > 0)
		free(m->path[--m->n]);
}
