/* SPDX-License-Identifier: ISC */
/* Files of other users and groups, by their identity. */

#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <errno.h>
#include <unistd.h>

#include "sup_own.h"

/* The kernel makes who changes identity dumpable as it is set for set-uid
 * programs. */
static void
not_dumpable(int error)
{
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	errno = error;
}

int
sup_own_enter(uid_t uid)
{
	const int error = errno;

	if (geteuid() != 0 || uid == 0)
		return -1;
	(void)setfsuid(uid);
	not_dumpable(error);
	return 0;
}

void
sup_own_leave(void)
{
	const int error = errno;

	(void)setfsuid(geteuid());
	not_dumpable(error);
}

/* An owner may give a file to a group that he is in. */
static void
join(gid_t gid)
{
	const int error = errno;

	(void)setfsgid(gid);
	not_dumpable(error);
}

int
sup_own_group(const char *path, gid_t gid)
{
	int r = lchown(path, (uid_t)-1, gid);

	if (r == 0 || errno != EPERM || geteuid() != 0)
		return r;
	join(gid);
	r = lchown(path, (uid_t)-1, gid);
	join(getegid());
	return r;
}

int
sup_own_group_fd(int fd, gid_t gid)
{
	int r = fchown(fd, (uid_t)-1, gid);

	if (r == 0 || errno != EPERM || geteuid() != 0)
		return r;
	join(gid);
	r = fchown(fd, (uid_t)-1, gid);
	join(getegid());
	return r;
}
