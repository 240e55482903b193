/* SPDX-License-Identifier: ISC */
/*
 * Files that are another user's or group's, for a root that may change its
 * users and groups but has no power over files (the service manager's unit
 * leaves it none): what its own identity may not do, that of the owner or of
 * the group may.
 */
#ifndef SUP_OWN_H
#define SUP_OWN_H

#include <sys/types.h>

/* Look at files as that user, from here to sup_own_leave(), when we are root
 * and they are not.  0, or -1: that changes nothing.  errno stays. */
int sup_own_enter(uid_t uid);
void sup_own_leave(void);
/* Give a file of ours to a group: lchown(2), fchown(2) of the group alone. */
int sup_own_group(const char *path, gid_t gid);
int sup_own_group_fd(int fd, gid_t gid);

#endif
