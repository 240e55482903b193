/* SPDX-License-Identifier: ISC */
/*
 * What the supervisor makes in the file system: the run directory with its
 * lock and sockets, and the directories that children are confined to.
 * Functions return -1 with the reason in e->text.
 */
#ifndef SUP_SOCKETS_H
#define SUP_SOCKETS_H

#include <sys/types.h>

#include "conf.h"
#include "sup_made.h"

/* Make (or check) the run directory with agent/ and, as root, empty/.  As root
 * neither may be below a directory that others can write.  made notes what was
 * not there. */
int sup_dir_run(struct sup_made *made, const char *run, struct conf_error *e);
/* Make (or check) the state directory with authd/, which as root belongs to
 * relay-authd's user.  made as above.  Returns a descriptor of that, which
 * keeps another relayd away as long as it is open; or -1. */
int
sup_dir_state(struct sup_made *made, const char *state, struct conf_error *e);
/* Make (or check) journal/ in the state directory: its descriptor. */
int sup_dir_journal(const char *state, struct conf_error *e);
/* As root: the users of all roles exist. */
int sup_users_check(struct conf_error *e);

/* The lock that only one relayd holds per run directory: its descriptor. */
int sup_lock(const char *run, struct conf_error *e);
void sup_unlock(const char *run, int fd);

/* A group's id; NULL gives (gid_t)-1, "as we are". */
int sup_group(const char *name, gid_t *gid);

/*
 * A listening socket at path, of that mode and group.  It appears at its
 * place only when it is ready.  A dead socket in its place is replaced;
 * anything else is left alone.  Returns the descriptor.
 */
int sup_listen(const char *path, mode_t mode, gid_t gid, struct conf_error *e);
/* Give a socket to a group.  0; 1: it had another. */
int sup_listen_group(const char *path, gid_t gid, struct conf_error *e);

#endif
