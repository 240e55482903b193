/* SPDX-License-Identifier: ISC */
/* Files that hold secrets: found, checked, opened, and never read. */

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "role.h"
#include "sup_secret.h"

/* A service manager shows a reader's access as group bits (they are the mask
 * of an access list), so its own directory may have those. */
#define MODE_FILE      077
#define MODE_DIRECTORY 037
/* Of a path in a label that also says what is wrong. */
#define LABEL_PATH (LIMIT_PATH - LIMIT_REASON - 2)

/* Whether the owner of a secret may be believed to be the one who should. */
static int
owner_ok(uid_t owner, const char *user)
{
	struct passwd *pw;

	if (owner == 0 || owner == geteuid())
		return 1;
	return geteuid() == 0 && user != NULL &&
	    (pw = getpwnam(user)) != NULL && pw->pw_uid == owner;
}

/* What is wrong with an open secret file, in why; 0 when nothing is. */
static int
file_ok(int fd, const char *user, mode_t mask, char *why, size_t whylen)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		strlcpy(why, strerror(errno), whylen);
	else if (!S_ISREG(st.st_mode))
		strlcpy(why, "not a regular file: name one", whylen);
	else if (!owner_ok(st.st_uid, user))
		snprintf(why, whylen, "owned by uid %u: chown it to %s",
		    (unsigned)st.st_uid,
		    geteuid() == 0 ? "root" : "the user relayd runs as");
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

	if (error == ELOOP) {
		strlcpy(why, "is a symbolic link: name the file", whylen);
		return;
	}
	if (error == ENOENT)
		todo = ": put the file there, or correct the path";
	else if (error == EACCES)
		todo = ": give it to the user relayd runs as, with the way "
		       "to it";
	snprintf(why, whylen, "%s%s", strerror(error), todo);
}

static int
open_checked(const char *path, int flags, const char *user, mode_t mask,
    char *why, size_t whylen)
{
	int fd;

	/* Not blocking: it might be a FIFO. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	if (fd == -1) {
		open_failed(errno, why, whylen);
		return -1;
	}
	if (file_ok(fd, user, mask, why, whylen))
		return fd;
	close(fd);
	return -1;
}

int
sup_secret_open(const char *path, const char *user, char *why, size_t whylen)
{
	return open_checked(path, O_NOFOLLOW, user, MODE_FILE, why, whylen);
}

static void
bad(struct sup_cred *c, const char *path, const char *why)
{
	c->bad = 1;
	snprintf(c->label, sizeof(c->label), "%.*s: %s", LABEL_PATH, path, why);
}

/* What the service manager laid ready.  1 when there was a file, good or
 * bad. */
static int
from_directory(struct sup_cred *c, const char *dir, const char *gateway)
{
	static const char *const prefix[] = {"", "relayd."};
	char path[LIMIT_PATH + 1], why[LIMIT_REASON];
	size_t i;
	int n;

	for (i = 0; i < 2; i++) {
		n = snprintf(path, sizeof(path), "%s/%s%s.secret", dir,
		    prefix[i], gateway);
		if (n < 0 || (size_t)n >= sizeof(path) ||
		    (faccessat(AT_FDCWD, path, F_OK, 0) == -1 &&
			errno == ENOENT))
			continue;
		c->fd = open_checked(path, 0, role_row(ROLE_AUTHD)->user,
		    MODE_DIRECTORY, why, sizeof(why));
		if (c->fd != -1) {
			c->source = CRED_DIRECTORY;
			strlcpy(c->label, path, sizeof(c->label));
		} else
			bad(c, path, why);
		return 1;
	}
	return 0;
}

void
sup_cred_open(
    struct sup_cred *c, const struct sup_env *e, const struct conf_gateway *g)
{
	char why[LIMIT_REASON];
	const char *dir;

	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->source = CRED_NONE;
	if (g->secret.from_env && e->sealed[SEALED_SECRET] != -1) {
		c->fd = e->sealed[SEALED_SECRET];
		c->borrowed = 1;
		c->source = CRED_ENV;
		strlcpy(c->label, "environment: GATEWAY_RELAY_SECRET",
		    sizeof(c->label));
		return;
	}
	if (g->secret.file != NULL) {
		c->fd = sup_secret_open(g->secret.file,
		    role_row(ROLE_AUTHD)->user, why, sizeof(why));
		if (c->fd != -1) {
			c->source = CRED_FILE;
			strlcpy(c->label, g->secret.file, sizeof(c->label));
		} else
			bad(c, g->secret.file, why);
		return;
	}
	if ((dir = sup_env_get(e, "CREDENTIALS_DIRECTORY")) != NULL &&
	    from_directory(c, dir, g->name))
		return;
	snprintf(c->label, sizeof(c->label),
	    "no secret: set secret.file, or GATEWAY_RELAY_SECRET, or put "
	    "%s.secret into the service's credential directory",
	    g->name);
}

void
sup_cred_close(struct sup_cred *c)
{
	if (c->fd != -1 && !c->borrowed)
		close(c->fd);
	c->fd = -1;
}
