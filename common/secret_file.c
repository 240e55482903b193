/* SPDX-License-Identifier: ISC */
/* Files that hold secrets: opened unread, or only looked at. */
#include <sys/stat.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "limit.h"
#include "secret_file.h"

/* A service manager shows a reader's access as group bits (they are the mask
 * of an access list), so its own directory may have those. */
#define MODE_LAID 037

/* Not blocking: it might be a FIFO. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* Whether a secret's owner may be believed to be the one who should. */
static int
owner_ok(uid_t uid, uid_t owner, const char *user)
{
	struct passwd *pw;

	if (uid == 0 || uid == owner)
		return 1;
	return owner == 0 && user != NULL && (pw = getpwnam(user)) != NULL &&
	    pw->pw_uid == uid;
}

/* What is wrong with an open secret file, in why; 0 when nothing is. */
static int
file_ok(int fd, uid_t owner, const char *user, mode_t mask, char *why,
    size_t whylen)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		strlcpy(why, strerror(errno), whylen);
	else if (!S_ISREG(st.st_mode))
		strlcpy(why, "not a regular file: name one", whylen);
	else if (!owner_ok(st.st_uid, owner, user))
		snprintf(why, whylen, "owned by uid %u: chown it to %s",
		    (unsigned)st.st_uid,
		    owner == 0 ? "root" : "the user relayd runs as");
	else if ((st.st_mode & mask) != 0)
		snprintf(why, whylen,
		    "others can use it (mode %04o): chmod 600",
		    (unsigned)st.st_mode & 07777);
	else
		return 1;
	return 0;
}

/* Why a file could not be opened, and what to do. */
static void
open_failed(int error, char *why, size_t whylen)
{
	const char *todo = "";

	if (error == ENOENT)
		todo = ": put the file there, or correct the path";
	else if (error == EACCES)
		todo = ": give it to the user relayd runs as, with the way "
		       "to it";
	else if (error == EXDEV) {
		strlcpy(why,
		    "is a symbolic link to another directory: name the file",
		    whylen);
		return;
	}
	snprintf(why, whylen, "%s%s", strerror(error), todo);
}

/* A descriptor that was opened, or not: -1 with errno. */
static int
checked(int fd, const char *user, mode_t mask, char *why, size_t whylen)
{
	const int error = errno;

	if (fd == -1)
		open_failed(error, why, whylen);
	else if (file_ok(fd, geteuid(), user, mask, why, whylen))
		return fd;
	else
		close(fd);
	errno = fd == -1 ? error : EPERM;
	return -1;
}

/*
 * Who replaces a file as a whole directory (projected volumes do) has a
 * symbolic link at its place: that may lead to a file beside or below it, and
 * nowhere else.
 */
static int
open_beside(const char *path, int flags)
{
	struct open_how how = {.flags = (unsigned)flags,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	char dir[LIMIT_PATH + 1];
	int fd, dirfd, saved;
	char *base;

	strlcpy(dir, path, sizeof(dir));
	base = strrchr(dir, '/');
	*base++ = '\0';
	dirfd =
	    open(dir[0] == '\0' ? "/" : dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd == -1)
		return -1;
	fd = (int)syscall(SYS_openat2, dirfd, base, &how, sizeof(how));
	saved = errno;
	close(dirfd);
	errno = saved;
	return fd;
}

int
secret_file_open(
    const char *path, const char *user, mode_t mask, char *why, size_t whylen)
{
	return checked(open_beside(path, OPEN_FLAGS), user, mask, why, whylen);
}

int
secret_file_laid(const char *path, const char *user, char *why, size_t whylen)
{
	return checked(open(path, OPEN_FLAGS), user, MODE_LAID, why, whylen);
}

enum secret_file_look
secret_file_look(const char *path, uid_t owner, const char *user, mode_t mask,
    char *why, size_t whylen)
{
	int fd = open_beside(path, O_PATH | O_CLOEXEC), ok;

	if (fd == -1) {
		ok = errno;
		open_failed(ok, why, whylen);
		if (ok == EACCES && geteuid() != 0 && geteuid() != owner)
			return SECRET_FILE_HIDDEN;
		return ok == ENOENT ? SECRET_FILE_MISSING : SECRET_FILE_BAD;
	}
	ok = file_ok(fd, owner, user, mask, why, whylen);
	close(fd);
	return ok ? SECRET_FILE_GOOD : SECRET_FILE_BAD;
}
