/* SPDX-License-Identifier: ISC */
/* Directories, lock and sockets. */

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "role.h"
#include "sup_own.h"
#include "sup_sockets.h"

/* Connections that wait to be accepted: a burst of all agents of a gateway
 * while the engine restarts. */
#define BACKLOG 128

/* What the machine is short of, and for how long nobody knows: not wrong, so
 * that a service manager tries again. */
static const char *
remedy(int error)
{
	switch (error) {
	case EMFILE:
		return ": relayd has no descriptor left: raise its limit of "
		       "open files (LimitNOFILE=, ulimit -n)";
	case ENFILE:
		return ": the system has no descriptor left: end what holds "
		       "many, or raise fs.file-max";
	case ENOSPC:
	case EDQUOT:
		return ": make room on that file system";
	case EROFS:
		return ": name a directory elsewhere, or let the service "
		       "manager leave this one writable (ReadWritePaths=)";
	case EACCES:
	case EPERM:
		return ": give the directory to the user relayd runs as";
	default:
		return "";
	}
}

static int
open_as_owner(const char *path, uid_t owner)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(path, flags);

	if (fd == -1 && errno == EACCES && sup_own_enter(owner) == 0) {
		fd = open(path, flags);
		sup_own_leave();
	}
	return fd;
}

/* Make a directory if there is none and open it.  It must be ours, and no
 * other may write in it. */
static int
dir_open(struct sup_made *made, const char *path, mode_t mode, uid_t owner,
    struct conf_error *e)
{
	struct stat st;
	int fd;

	if (sup_made_dir(made, path, 0700) == 0) {
		if (chmod(path, mode) == -1)
			return conf_error_set(
			    e, "%s: chmod: %s", path, strerror(errno));
	} else if (errno != EEXIST)
		return conf_error_set(e, "%s: cannot make the directory: %s%s",
		    path, strerror(errno), remedy(errno));
	if ((fd = open_as_owner(path, owner)) == -1)
		return conf_error_set(e, "%s: cannot open the directory: %s%s",
		    path, strerror(errno), remedy(errno));
	if (fstat(fd, &st) == -1)
		conf_error_set(e, "%s: %s", path, strerror(errno));
	else if (st.st_uid != geteuid() && st.st_uid != owner)
		conf_error_set(e,
		    "%s: belongs to uid %u, not to us: remove it or name "
		    "another",
		    path, (unsigned)st.st_uid);
	else if ((st.st_mode & 022) != 0)
		conf_error_set(e,
		    "%s: others can write in it (mode %04o): chmod go-w", path,
		    (unsigned)st.st_mode & 07777);
	else
		return fd;
	close(fd);
	return -1;
}

/* Give an open directory its owner and mode, where it has others. */
static int
dir_own(int fd, const char *path, uid_t uid, gid_t gid, mode_t mode,
    struct conf_error *e)
{
	struct stat st;
	int r = fstat(fd, &st);

	if (r == 0 && (st.st_uid != uid || st.st_gid != gid))
		r = fchown(fd, uid, gid);
	if (r == 0 && (st.st_mode & 07777) != mode)
		r = fchmod(fd, mode);
	if (r == -1)
		conf_error_set(e, "%s: cannot set owner and mode: %s%s", path,
		    strerror(errno),
		    errno == EPERM ? ": have it made by systemd-tmpfiles "
				     "--create, or as root"
				   : remedy(errno));
	close(fd);
	return r;
}

/* Whether nothing is in the directory. */
static int
dir_is_empty(int fd)
{
	struct dirent *d;
	int n = 0, copy;
	DIR *dir;

	if ((copy = dup(fd)) == -1)
		return 0;
	if ((dir = fdopendir(copy)) == NULL) {
		close(copy);
		return 0;
	}
	while ((d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			n++;
	closedir(dir);
	return n == 0;
}

/* The directory that a process which needs no file is shut in. */
static int
dir_empty(struct sup_made *made, const char *run, struct conf_error *e)
{
	char path[LIMIT_PATH + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/empty", run);
	if ((fd = dir_open(made, path, 0555, 0, e)) == -1)
		return -1;
	if (!dir_is_empty(fd)) {
		close(fd);
		return conf_error_set(
		    e, "%s: is not empty: remove what is in it", path);
	}
	return dir_own(fd, path, 0, 0, 0555, e);
}

int
sup_dir_run(struct sup_made *made, const char *run, struct conf_error *e)
{
	char path[LIMIT_PATH + 16];
	mode_t mode = geteuid() == 0 ? 0755 : 0700;
	int fd;

	if (geteuid() == 0 && conf_check_parents(run, e) == -1)
		return -1;
	if ((fd = dir_open(made, run, mode, geteuid(), e)) == -1)
		return -1;
	close(fd);
	snprintf(path, sizeof(path), "%s/agent", run);
	if ((fd = dir_open(made, path, 0755, geteuid(), e)) == -1)
		return -1;
	close(fd);
	return geteuid() == 0 ? dir_empty(made, run, e) : 0;
}

/* Two of them would dial with the same ids, and take each other's events.  Who
 * cannot open the directory cannot hold the lock; a file system without such
 * locks has to do without. */
static int
dir_lock(int fd, const char *path, struct conf_error *e)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return 0;
	return conf_error_set(e,
	    "%s: is in use by another relayd: stop that one, or give this one "
	    "another state directory (-s)",
	    path);
}

int
sup_dir_state(struct sup_made *made, const char *state, struct conf_error *e)
{
	char path[LIMIT_PATH + 16];
	struct passwd *pw;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int fd, lock;

	if (uid == 0 && conf_check_parents(state, e) == -1)
		return -1;
	fd = dir_open(made, state, uid == 0 ? 0755 : 0700, uid, e);
	if (fd == -1)
		return -1;
	close(fd);
	if (uid == 0) {
		if ((pw = getpwnam(role_row(ROLE_AUTHD)->user)) == NULL)
			return conf_error_set(e, "user %s does not exist",
			    role_row(ROLE_AUTHD)->user);
		uid = pw->pw_uid;
		gid = pw->pw_gid;
	}
	snprintf(path, sizeof(path), "%s/journal", state);
	sup_made_later(made, path);
	snprintf(path, sizeof(path), "%s/authd", state);
	if ((fd = dir_open(made, path, 0700, uid, e)) == -1)
		return -1;
	if ((lock = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1)
		conf_error_set(
		    e, "%s: %s%s", path, strerror(errno), remedy(errno));
	if (dir_own(fd, path, uid, gid, 0700, e) == 0 && lock != -1 &&
	    dir_lock(lock, path, e) == 0)
		return lock;
	if (lock != -1)
		close(lock);
	return -1;
}

int
sup_dir_journal(const char *state, struct conf_error *e)
{
	char path[LIMIT_PATH + 16];
	int fd;

	snprintf(path, sizeof(path), "%s/journal", state);
	if ((fd = dir_open(NULL, path, 0700, geteuid(), e)) == -1)
		return -1;
	/* What people wrote is in there. */
	if (fchmod(fd, 0700) == 0)
		return fd;
	conf_error_set(e, "%s: cannot set the mode: %s", path, strerror(errno));
	close(fd);
	return -1;
}

int
sup_users_check(struct conf_error *e)
{
	const char *user;
	int r;

	if (geteuid() != 0)
		return 0;
	for (r = 0; r < ROLE_COUNT; r++) {
		user = role_row((enum role)r)->user;
		if (user != NULL && getpwnam(user) == NULL)
			return conf_error_set(e,
			    "user %s does not exist: as root every "
			    "process runs as a user of its own; make them with "
			    "systemd-sysusers or useradd --system",
			    user);
	}
	return 0;
}

/* Who holds the lock, as the file says. */
static int
lock_busy(const char *run, int fd, struct conf_error *e)
{
	char text[16];
	ssize_t n;
	long pid = 0;

	if ((n = pread(fd, text, sizeof(text) - 1, 0)) > 0) {
		text[n] = '\0';
		pid = strtol(text, NULL, 10);
	}
	close(fd);
	return conf_error_set(e,
	    "relayd is already running (pid %ld) in %s: stop it, or "
	    "give this one another run directory (-r)",
	    pid, run);
}

int
sup_lock(const char *run, struct conf_error *e)
{
	char path[LIMIT_PATH + 16];
	struct stat a, b;
	int fd;

	snprintf(path, sizeof(path), "%s/relayd.lock", run);
	for (;;) {
		/* Who can open it can hold the lock: nobody else does. */
		fd =
		    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd == -1)
			return conf_error_set(e, "%s: %s%s", path,
			    strerror(errno), remedy(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
			if (errno == EWOULDBLOCK)
				return lock_busy(run, fd, e);
			conf_error_set(
			    e, "%s: flock: %s", path, strerror(errno));
			break;
		}
		/* The one before us may have removed it just now. */
		if (fstat(fd, &a) == 0 && stat(path, &b) == 0 &&
		    a.st_ino == b.st_ino && a.st_dev == b.st_dev) {
			if (ftruncate(fd, 0) == 0 &&
			    dprintf(fd, "%d\n", (int)getpid()) > 0)
				return fd;
			conf_error_set(
			    e, "%s: cannot write: %s", path, strerror(errno));
			break;
		}
		close(fd);
	}
	close(fd);
	return -1;
}

void
sup_unlock(const char *run, int fd)
{
	char path[LIMIT_PATH + 16];

	if (fd == -1)
		return;
	snprintf(path, sizeof(path), "%s/relayd.lock", run);
	unlink(path);
	close(fd);
}

int
sup_group(const char *name, gid_t *gid)
{
	struct group *gr;

	*gid = (gid_t)-1;
	if (name == NULL)
		return 0;
	if ((gr = getgrnam(name)) == NULL)
		return -1;
	*gid = gr->gr_gid;
	return 0;
}

static int
sock_addr(struct sockaddr_un *a, const char *path, struct conf_error *e)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (strlcpy(a->sun_path, path, sizeof(a->sun_path)) >=
	    sizeof(a->sun_path))
		return conf_error_set(e,
		    "%s: longer than the %zu bytes a socket's path "
		    "may have: use a shorter run directory (-r)",
		    path, sizeof(a->sun_path) - 1);
	return 0;
}

/* Whether the place is free, or holds a socket that nobody listens on. */
static int
place_is_free(const char *path, struct conf_error *e)
{
	struct sockaddr_un a;
	struct stat st;
	int fd, r;

	if (lstat(path, &st) == -1)
		return errno == ENOENT
		    ? 0
		    : conf_error_set(e, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return conf_error_set(e,
		    "%s: something that is no socket is in the way: "
		    "remove it",
		    path);
	if (sock_addr(&a, path, e) == -1)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return conf_error_set(
		    e, "socket: %s%s", strerror(errno), remedy(errno));
	r = connect(fd, (struct sockaddr *)&a, sizeof(a));
	if (r == 0 || errno == EAGAIN)
		r = conf_error_set(
		    e, "%s: another process answers there: stop it", path);
	else if (errno == ECONNREFUSED || errno == ENOENT)
		r = 0;
	else
		r = conf_error_set(e,
		    "%s: a socket is in the way, and whether anybody answers "
		    "there cannot be told: %s: remove it",
		    path, strerror(errno));
	close(fd);
	return r;
}

int
sup_listen_group(const char *path, gid_t gid, struct conf_error *e)
{
	gid_t g = gid == (gid_t)-1 ? getegid() : gid;
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_gid == g)
		return 0;
	if (sup_own_group(path, g) == -1)
		return conf_error_set(e, "%s: cannot give it to group %u: %s",
		    path, (unsigned)g, strerror(errno));
	return 1;
}

/* Bind and listen under a name that nobody looks for, then move into place. */
static int
listen_at(int fd, const char *path, const char *tmp, mode_t mode, gid_t gid,
    struct conf_error *e)
{
	struct sockaddr_un a;
	mode_t old;
	int r;

	if (sock_addr(&a, tmp, e) == -1)
		return -1;
	if (unlink(tmp) == -1 && errno != ENOENT)
		return conf_error_set(e, "%s: %s", tmp, strerror(errno));
	old = umask(0177);
	r = bind(fd, (struct sockaddr *)&a, sizeof(a));
	umask(old);
	if (r == -1)
		return conf_error_set(e, "%s: bind: %s", tmp, strerror(errno));
	if (sup_listen_group(tmp, gid, e) == -1)
		r = -1;
	else if (chmod(tmp, mode) == -1 || listen(fd, BACKLOG) == -1 ||
	    rename(tmp, path) == -1)
		r = conf_error_set(e, "%s: %s", path, strerror(errno));
	if (r == -1)
		unlink(tmp);
	return r;
}

int
sup_listen(const char *path, mode_t mode, gid_t gid, struct conf_error *e)
{
	char tmp[LIMIT_PATH + 64];
	struct sockaddr_un a;
	size_t len = strlen(path);
	int fd;

	if (sock_addr(&a, path, e) == -1 || place_is_free(path, e) == -1)
		return -1;
	/* "….sock" becomes "….tmp", which is no longer. */
	snprintf(tmp, sizeof(tmp), "%.*s.tmp", (int)(len - 5), path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return conf_error_set(
		    e, "socket: %s%s", strerror(errno), remedy(errno));
	if (listen_at(fd, path, tmp, mode, gid, e) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}
