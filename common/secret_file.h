/* SPDX-License-Identifier: ISC */
/*
 * Files that hold secrets: opened unread, or only looked at.  Whose they may
 * be and who may read them is decided here alone.
 */
#ifndef SECRET_FILE_H
#define SECRET_FILE_H

#include <sys/types.h>
#include <stddef.h>

/* Access of others that makes a file no secret any more. */
#define SECRET_FILE_OWN 077
/* An identity token is refreshed by another program, which may share a group
 * with relayd; as any bearer it is not for others. */
#define SECRET_FILE_TOKEN 037

/*
 * Open a regular file of ours (or root's; as root also of `user`, may be NULL)
 * that nobody has access to by the bits in mask.  A symbolic link may lead to
 * it from beside it or above.  Returns the descriptor, or -1 with what is wrong
 * in why, and what to do; errno is EACCES when we may not open it.
 */
int secret_file_open(
    const char *path, const char *user, mode_t mask, char *why, size_t whylen);
/* The same for what a service manager laid ready in its own directory. */
int
secret_file_laid(const char *path, const char *user, char *why, size_t whylen);

enum secret_file_look {
	SECRET_FILE_GOOD,
	SECRET_FILE_BAD,     /* why says what is wrong, and what to do */
	SECRET_FILE_MISSING, /* why says so */
	SECRET_FILE_HIDDEN   /* we may not look; why says so */
};
/* Whether a relayd that runs as `owner` would take the file, without opening
 * it. */
enum secret_file_look secret_file_look(const char *path, uid_t owner,
    const char *user, mode_t mask, char *why, size_t whylen);

#endif
