/* SPDX-License-Identifier: ISC */
/* Whom serve becomes when root started it: nobody, in the group that may open
 * status.sock, so that auth.sock is out of reach. */
#include <sys/stat.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "serve.h"

/* The group of etc/relayd.sysusers that the manual gives to dashboards. */
#define OPERATORS "relay-operators"

/* The groups that may open status.sock: its own; while there is none, relayd's
 * default, which is root's, and the usual one.  How many. */
static size_t
find_groups(const struct ctl *ctl, gid_t gid[2])
{
	char path[sizeof(ctl->rundir) + sizeof("/status.sock")];
	const struct group *gr;
	struct stat st;

	snprintf(path, sizeof(path), "%s/status.sock", ctl->rundir);
	if (stat(path, &st) == 0) {
		gid[0] = st.st_gid;
		return 1;
	}
	gid[0] = 0;
	if ((gr = getgrnam(OPERATORS)) == NULL)
		return 1;
	gid[1] = gr->gr_gid;
	return 2;
}

int
serve_user_leave_root(const struct ctl *ctl)
{
	const struct passwd *pw;
	gid_t gid[2];
	size_t n;

	if (geteuid() != 0 && getuid() != 0)
		return 0;
	n = find_groups(ctl, gid);
	if ((pw = getpwnam("nobody")) == NULL || pw->pw_uid == 0) {
		ctl_warn("started as root, and there is no user nobody to "
			 "become: start it as a user of status.sock's group");
		return -1;
	}
	if (setgroups(n, gid) == -1 ||
	    setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) == -1 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) == -1) {
		ctl_warn("cannot become the user nobody: %s", strerror(errno));
		return -1;
	}
	if (setuid(0) != -1 || setresuid((uid_t)-1, 0, (uid_t)-1) != -1) {
		ctl_warn("root can be had back");
		return -1;
	}
	return 0;
}
