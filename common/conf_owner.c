/* SPDX-License-Identifier: ISC */
/*
 * Configuration: who could change it.  The way to the file is walked by hand,
 * since every directory that is looked at on it, those of symbolic links
 * included, decides what the name means.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_priv.h"

#define OWNER_LINKS 40 /* symbolic links on one way, as in the kernel */

/* A way half gone. */
struct way {
	const char *name;	    /* as given, for messages */
	char here[LIMIT_PATH];	    /* where we are, without links; "" is / */
	char ahead[LIMIT_PATH * 2]; /* still to go */
	unsigned links;
	const char *harm; /* what who can write there could do */
	const char *move; /* how else to be safe from that */
	struct conf_error *e;
};

static int __attribute__((format(printf, 3, 4)))
refuse(struct way *w, const char *at, const char *fmt, ...)
{
	char name[200], shown[300];
	va_list ap;
	size_t n;

	conf_show(name, sizeof(name), w->name, strlen(w->name));
	conf_show(shown, sizeof(shown), at, strlen(at));
	if (strcmp(name, shown) == 0)
		snprintf(w->e->text, sizeof(w->e->text), "%s ", name);
	else
		snprintf(
		    w->e->text, sizeof(w->e->text), "%s: %s ", name, shown);
	n = strlen(w->e->text);
	va_start(ap, fmt);
	vsnprintf(w->e->text + n, sizeof(w->e->text) - n, fmt, ap);
	va_end(ap);
	return -1;
}

/* Whether only root can change what st describes. */
static int
only_root(struct way *w, const char *at, const struct stat *st)
{
	const char *kind = S_ISDIR(st->st_mode) ? "directory" : "file";

	if (st->st_uid != 0)
		return refuse(w, at,
		    "belongs to another user than root, who could %s of a "
		    "relayd that runs as root; give the %s to root",
		    w->harm, kind);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return refuse(w, at,
		    "can be written by others than root, who could %s of a "
		    "relayd that runs as root; chmod go-w the %s, or %s",
		    w->harm, kind, w->move);
	return 0;
}

/* Put a link's target before what is still ahead. */
static int
follow(struct way *w, const char *at)
{
	char target[LIMIT_PATH], rest[sizeof(w->ahead)];
	ssize_t n = readlink(at, target, sizeof(target) - 1);

	if (n == -1)
		return refuse(w, at, "cannot be read: %s", strerror(errno));
	target[n] = '\0';
	if (++w->links > OWNER_LINKS)
		return refuse(w, at,
		    "is one symbolic link too many; name the file "
		    "itself");
	strlcpy(rest, w->ahead, sizeof(rest));
	if (target[0] == '/')
		w->here[0] = '\0';
	if ((size_t)n == sizeof(target) - 1 ||
	    (size_t)snprintf(w->ahead, sizeof(w->ahead), "%s/%s", target,
		rest) >= sizeof(w->ahead))
		return refuse(
		    w, at, "leads to a path that is too long; shorten it");
	return 0;
}

/* Take the next component out of what is ahead. */
static void
next_part(struct way *w, char *part, size_t cap)
{
	char *p = w->ahead + strspn(w->ahead, "/");
	size_t n = strcspn(p, "/");

	strlcpy(part, p, n + 1 < cap ? n + 1 : cap);
	p += n;
	p += strspn(p, "/");
	memmove(w->ahead, p, strlen(p) + 1);
}

/* Go one component on.  1: at the end; 0: further; -1: refused. */
static int
step(struct way *w)
{
	char part[LIMIT_PATH], at[LIMIT_PATH * 2 + 2];
	const char *dir = w->here[0] == '\0' ? "/" : w->here;
	struct stat st;

	if (lstat(dir, &st) == -1)
		return refuse(
		    w, dir, "cannot be examined: %s", strerror(errno));
	if (only_root(w, dir, &st) == -1)
		return -1;
	next_part(w, part, sizeof(part));
	if (part[0] == '\0')
		return 1;
	if (strcmp(part, ".") == 0)
		return 0;
	if (strcmp(part, "..") == 0) {
		char *slash = strrchr(w->here, '/');

		if (slash != NULL)
			*slash = '\0';
		return 0;
	}
	snprintf(at, sizeof(at), "%s/%s", w->here, part);
	if (lstat(at, &st) == -1)
		return refuse(w, at, "cannot be examined: %s", strerror(errno));
	if (S_ISLNK(st.st_mode))
		return follow(w, at);
	if (only_root(w, at, &st) == -1)
		return -1;
	if (strlcpy(w->here, at, sizeof(w->here)) >= sizeof(w->here))
		return refuse(w, at, "is a path that is too long; shorten it");
	return !S_ISDIR(st.st_mode) || w->ahead[0] == '\0';
}

/* Walk as far as len bytes of the name go.  0, or -1: refused. */
static int
walk(struct way *w, size_t len)
{
	char cwd[LIMIT_PATH];
	const char *path = w->name;
	int r;

	if (path[0] == '/')
		cwd[0] = '\0';
	else if (getcwd(cwd, sizeof(cwd)) == NULL)
		return refuse(w, ".", "cannot be found: %s", strerror(errno));
	if ((size_t)snprintf(w->ahead, sizeof(w->ahead), "%s/%.*s", cwd,
		(int)len, path) >= sizeof(w->ahead))
		return refuse(
		    w, path, "is a path that is too long; shorten it");
	while ((r = step(w)) == 0)
		;
	if (r == 1 && w->ahead[0] != '\0')
		return refuse(w, w->here, "is no directory; correct the path");
	return r == 1 ? 0 : -1;
}

int
conf_check_owner(const char *path, struct conf_error *e)
{
	struct way w = {.name = path,
	    .harm = "change the configuration",
	    .move = "move the configuration",
	    .e = e};

	return walk(&w, strlen(path));
}

int
conf_check_parents(const char *path, struct conf_error *e)
{
	struct way w = {.name = path,
	    .harm = "exchange the directory",
	    .move = "name a directory elsewhere (-r, -s)",
	    .e = e};
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	while (len > 0 && path[len - 1] != '/')
		len--;
	return walk(&w, len);
}
