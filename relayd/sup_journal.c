/* SPDX-License-Identifier: ISC */
/*
 * Journals: files of a directory that is the supervisor's alone, or memory.
 * What lies in the directory may all the same be anything: it is looked at
 * before it is touched.
 */
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "journal_head.h"
#include "log.h"
#include "sup_journal.h"
#include "sup_sockets.h"

/* Sizes are whole pages of the machine's. */
#define PAGE 4096
/* The engine of a relayd that was killed holds the lock until it has ended,
 * which it does at once; for another relayd's there is no use in waiting. */
#define LOCK_MS	     2000
#define LOCK_STEP_MS 20
/* A file may be put aside between our opening and locking it: once by each
 * relayd that starts then. */
#define LOCK_TRIES 8
/* NAME.journal.bad-YYYYMMDDTHHMMSS */
#define FILE_NAME (LIMIT_NAME + 64)
#define PATH_SIZE (LIMIT_PATH + FILE_NAME + 16)

/* A file being opened. */
struct opening {
	int dir;	/* journal/ below the state directory */
	const char *at; /* its path, for messages */
	const char *gateway;
	char name[FILE_NAME];
	struct conf_error *e;
};

/* Each gateway has descriptors of its own: what the kernel's words do not say.
 */
static const char *
remedy(int error)
{
	return error == EMFILE
	    ? "; raise the limit of open files (LimitNOFILE= of the service, "
	      "ulimit -n)"
	    : "";
}

/* As conf_error_set(), after the file's path. */
static int refuse(const struct opening *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static int
refuse(const struct opening *o, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return conf_error_set(o->e, "%.480s/%.80s: %s", o->at, o->name, why);
}

static void
file_name(char out[FILE_NAME], const char *gateway)
{
	snprintf(out, FILE_NAME, "%s.journal", gateway);
}

static void
full_path(char out[PATH_SIZE], const char *state, const char *name)
{
	char file[FILE_NAME];

	file_name(file, name);
	snprintf(out, PATH_SIZE, "%s/journal/%s", state, file);
}

static uint64_t
whole_pages(uint64_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

/* Is it one of ours?  0, or -1: refused. */
static int
check_file(const struct opening *o, const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return refuse(o,
		    "is a symbolic link, not a journal: remove "
		    "it, or move the journal here");
	if (S_ISDIR(st->st_mode))
		return refuse(o,
		    "is a directory, not a journal: move it "
		    "away");
	if (!S_ISREG(st->st_mode))
		return refuse(o, "is no regular file: remove it");
	if (st->st_uid != geteuid())
		return refuse(o,
		    "belongs to uid %u, not to us: remove it, or "
		    "give it to uid %u",
		    (unsigned)st->st_uid, (unsigned)geteuid());
	if (st->st_nlink > 1)
		return refuse(o,
		    "has another name beside this one (a hard "
		    "link): remove one of the two");
	return 0;
}

/* Open it, making an empty one when there is none. */
static int
open_file(const struct opening *o, int *made)
{
	const int flags =
	    O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	struct stat st;
	int fd;

	*made = 0;
	if (fstatat(o->dir, o->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (check_file(o, &st) == -1)
			return -1;
		fd = openat(o->dir, o->name, flags);
	} else {
		fd = openat(o->dir, o->name, flags | O_CREAT | O_EXCL, 0600);
		*made = fd != -1;
	}
	if (fd == -1)
		return refuse(o, "cannot be opened: %s%s", strerror(errno),
		    remedy(errno));
	if (fstat(fd, &st) == -1)
		refuse(o, "cannot be looked at: %s", strerror(errno));
	else if (check_file(o, &st) == 0) {
		if (fchmod(fd, 0600) == 0)
			return fd;
		refuse(o, "cannot be given mode 0600: %s", strerror(errno));
	}
	close(fd);
	return -1;
}

/* Hold the lock, also through the engine that maps the file.  0, or -1:
 * refused. */
static int
lock_file(const struct opening *o, int fd)
{
	int waited;

	for (waited = 0; flock(fd, LOCK_EX | LOCK_NB) == -1;
	     waited += LOCK_STEP_MS) {
		if (errno != EWOULDBLOCK)
			return refuse(o, "flock: %s", strerror(errno));
		if (waited >= LOCK_MS)
			return refuse(o,
			    "is in use by another relayd: stop that one, or "
			    "give this one another state directory (-s)");
		(void)poll(NULL, 0, LOCK_STEP_MS);
	}
	return 0;
}

static int
is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the name still stands for what was opened. */
static int
is_there(const struct opening *o, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 &&
	    fstatat(o->dir, o->name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	    is_same(&a, &b);
}

/* Open and lock. */
static int
take_file(const struct opening *o, int *made)
{
	int fd, tries;

	for (tries = 0; tries < LOCK_TRIES; tries++) {
		if ((fd = open_file(o, made)) == -1)
			return -1;
		if (lock_file(o, fd) == -1) {
			close(fd);
			return -1;
		}
		if (is_there(o, fd))
			return fd;
		close(fd);
	}
	return refuse(o, "is replaced again and again by somebody else");
}

/* Write the head of a new journal.  0, or -1 with errno set. */
static int
write_head(int fd, uint64_t size)
{
	struct journal_head h;
	unsigned char random[16];
	ssize_t n;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -1;
	memset(&h, 0, sizeof(h));
	journal_head_make(&h, size, random);
	n = pwrite(fd, &h, sizeof(h), 0);
	if (n == sizeof(h))
		return 0;
	if (n != -1)
		errno = EIO;
	return -1;
}

/* Have all blocks at hand, since a mapping cannot be told of a full disk but
 * by a signal.  0, or -1 with errno set. */
static int
have_blocks(int fd, uint64_t size)
{
	do
		errno = posix_fallocate(fd, 0, (off_t)size);
	while (errno == EINTR);
	return errno == 0 ? 0 : -1;
}

/* Begin a journal in an empty file.  0, or -1: refused. */
static int
begin_file(const struct opening *o, int fd, uint64_t size)
{
	if (ftruncate(fd, 0) == -1 || have_blocks(fd, size) == -1)
		return refuse(o,
		    "cannot have %llu bytes: %s; make room, or set a smaller "
		    "size or another place (size, where)",
		    (unsigned long long)size, strerror(errno));
	if (write_head(fd, size) == -1 || fsync(fd) == -1 ||
	    fsync(o->dir) == -1)
		return refuse(o, "cannot be written: %s", strerror(errno));
	return 0;
}

/* What is wrong with a file that has size bytes, or NULL. */
static const char *
look(int fd, uint64_t size)
{
	struct journal_head h;

	if (size < JOURNAL_LEAST)
		return "shorter than a journal can be";
	if (size > JOURNAL_MOST)
		return "longer than a journal can be";
	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		return "its head cannot be read";
	return journal_head_check(&h, size);
}

/* A file that we do not understand is not overwritten.  0, or -1: refused. */
static int
put_aside(const struct opening *o, const char *why)
{
	char name[FILE_NAME], stamp[32];
	time_t now = time(NULL);
	struct tm tm;

	do {
		if (gmtime_r(&now, &tm) == NULL)
			memset(&tm, 0, sizeof(tm));
		strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
		snprintf(name, sizeof(name), "%.*s.bad-%s", LIMIT_NAME + 8,
		    o->name, stamp);
		now++;
	} while (faccessat(o->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	if (renameat(o->dir, o->name, o->dir, name) == -1)
		return refuse(o, "%s, and it cannot be put aside: %s", why,
		    strerror(errno));
	log_warn("journal", o->gateway,
	    "%s/%s: %s; it is put aside as %s, and a new one begun: what "
	    "waited "
	    "in it is not delivered",
	    o->at, o->name, why, name);
	return 0;
}

/* A good journal, of the size that it has or, if that is larger, of the one
 * that is configured. */
static uint64_t
grow(const struct opening *o, int fd, uint64_t has, uint64_t want)
{
	const unsigned long long a = has, b = want;

	if (has > want)
		log_info("journal", o->gateway,
		    "%s/%s has %llu bytes and keeps them, though %llu are "
		    "configured; to have it shrink, stop relayd when nothing "
		    "waits in it, remove it, and start relayd",
		    o->at, o->name, a, b);
	/* One that was copied may have holes. */
	if (have_blocks(fd, has > want ? has : want) == 0) {
		if (has < want)
			log_info("journal", o->gateway,
			    "%s/%s has grown from %llu to %llu bytes", o->at,
			    o->name, a, b);
		return has > want ? has : want;
	}
	if (has < want && has < JOURNAL_CONF_LEAST) {
		refuse(o,
		    "has only %llu bytes and cannot grow to %llu: %s; make "
		    "room",
		    a, b, strerror(errno));
		return 0;
	}
	if (has < want)
		log_warn("journal", o->gateway,
		    "%s/%s cannot grow to %llu bytes: %s; it keeps its %llu",
		    o->at, o->name, b, strerror(errno), a);
	if (ftruncate(fd, (off_t)has) == 0 && have_blocks(fd, has) == 0)
		return has;
	refuse(o, "cannot have the %llu bytes it says: %s", a, strerror(errno));
	return 0;
}

/* What the file becomes: as it is, begun, or (1) put aside. */
static int
settle(const struct opening *o, struct sup_journal *j, uint64_t want)
{
	struct stat st;
	const char *why;

	if (fstat(j->fd, &st) == -1)
		return refuse(o, "cannot be looked at: %s", strerror(errno));
	j->size = (uint64_t)st.st_size;
	if (j->size == 0) {
		j->size = want;
		return begin_file(o, j->fd, want);
	}
	if ((why = look(j->fd, j->size)) != NULL)
		return put_aside(o, why) == -1 ? -1 : 1;
	j->size = grow(o, j->fd, j->size, want);
	return j->size == 0 ? -1 : 0;
}

static void
close_fd(struct sup_journal *j)
{
	if (j->fd != -1)
		close(j->fd);
	j->fd = -1;
}

static int
open_disk(const struct opening *o, struct sup_journal *j, uint64_t want)
{
	int r, made;

	do {
		if ((j->fd = take_file(o, &made)) == -1)
			return -1;
		j->made = made != 0;
		if ((r = settle(o, j, want)) == 0)
			return 0;
		if (r == -1 && made)
			unlinkat(o->dir, o->name, 0);
		close_fd(j);
	} while (r == 1);
	return -1;
}

static int
open_memory(struct sup_journal *j, uint64_t size, struct conf_error *e)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

	j->size = size;
	j->fd = memfd_create("relayd journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (j->fd == -1)
		return conf_error_set(
		    e, "memfd_create: %s%s", strerror(errno), remedy(errno));
	if (ftruncate(j->fd, (off_t)size) == 0 &&
	    write_head(j->fd, size) == 0 &&
	    fcntl(j->fd, F_ADD_SEALS, seals) == 0)
		return 0;
	conf_error_set(e, "memory for it: %s", strerror(errno));
	close_fd(j);
	return -1;
}

static int
open_below(struct sup_journal *j, const char *state,
    const struct conf_gateway *g, uint64_t size, struct conf_error *e)
{
	char at[LIMIT_PATH + 16];
	struct opening o = {.at = at, .gateway = g->name, .e = e};
	int r;

	snprintf(at, sizeof(at), "%s/journal", state);
	file_name(o.name, g->name);
	if ((o.dir = sup_dir_journal(state, e)) == -1)
		return -1;
	r = open_disk(&o, j, size);
	close(o.dir);
	return r;
}

void
sup_journal_init(struct sup_journal *j)
{
	memset(j, 0, sizeof(*j));
	j->fd = -1;
}

int
sup_journal_open(struct sup_journal *j, const char *state,
    const struct conf_gateway *g, struct conf_error *e)
{
	const uint64_t size = whole_pages(g->journal.size);
	int r = 0;

	if (j->open)
		return 0;
	if (g->journal.where == JOURNAL_DISK)
		r = open_below(j, state, g, size, e);
	else if (g->journal.where == JOURNAL_MEMORY)
		r = open_memory(j, size, e);
	if (r == -1)
		return -1;
	j->open = 1;
	j->where = g->journal.where;
	j->asked = g->journal.size;
	return 0;
}

/* The file system that a path is on, or will be. */
static int
file_system(char *path, struct statvfs *fs)
{
	char *end;

	while ((end = strrchr(path, '/')) != NULL && end > path) {
		*end = '\0';
		if (statvfs(path, fs) == 0)
			return 0;
		if (errno != ENOENT)
			return -1;
	}
	return statvfs("/", fs);
}

int
sup_journal_room(const char *state, const struct conf_gateway *g,
    uint64_t *want, char *why, size_t whylen)
{
	char path[PATH_SIZE];
	struct statvfs fs;
	struct stat st;
	uint64_t room;

	full_path(path, state, g->name);
	/* One that is there has its room, or does without more. */
	if (g->journal.where != JOURNAL_DISK || state[0] == '\0' ||
	    (lstat(path, &st) == 0 && st.st_size > 0))
		return 0;
	*want += whole_pages(g->journal.size);
	/* What cannot be looked at, or does not tell, is not judged. */
	if (file_system(path, &fs) == -1 || fs.f_blocks == 0)
		return 0;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (room >= *want)
		return 0;
	snprintf(why, whylen,
	    "%s/journal has room for %llu bytes, and the journals to be made "
	    "there need %llu: make room, or set a smaller size or another "
	    "place (size, where)",
	    state, (unsigned long long)room, (unsigned long long)*want);
	return -1;
}

void
sup_journal_keep(struct sup_journal *j, const struct conf_gateway *g)
{
	static const char *const words[] = {
	    [JOURNAL_DISK] = "disk",
	    [JOURNAL_MEMORY] = "memory",
	    [JOURNAL_OFF] = "off",
	};

	j->kept = 1;
	if (g->journal.where == j->where && g->journal.size == j->asked)
		return;
	log_info("journal", g->name,
	    "where and size of the journal take effect when relayd is started "
	    "anew; until then it is as it was (%s, %llu bytes), and nothing "
	    "that waits in it is lost",
	    words[j->where], (unsigned long long)j->size);
}

void
sup_journal_look(struct sup_journal *j, const char *state, const char *name)
{
	struct stat a, b;
	char path[PATH_SIZE];
	int r, there;

	if (j->fd == -1 || j->where != JOURNAL_DISK || fstat(j->fd, &a) == -1)
		return;
	full_path(path, state, name);
	r = lstat(path, &b);
	if (r == -1 && errno != ENOENT && errno != ENOTDIR)
		return; /* it cannot be looked at now */
	there = r == 0 && is_same(&a, &b);
	if (!there && !j->away)
		log_err("journal", name,
		    "%s was taken away while it is in use: what is in it will "
		    "be gone when relayd ends; have agents take what waits "
		    "(relay-ctl show gateways, relay-ctl requeue), then start "
		    "relayd anew",
		    path);
	j->away = !there;
}

void
sup_journal_close(
    struct sup_journal *j, const char *state, const char *name, int gone)
{
	char path[PATH_SIZE];

	full_path(path, state, name);
	if (j->fd != -1 && j->where == JOURNAL_DISK) {
		if (j->made && !j->kept)
			unlink(path);
		else if (j->kept && gone)
			log_info("journal", name,
			    "%s stays: what waits in it is delivered if the "
			    "gateway comes back; remove it otherwise",
			    path);
	}
	close_fd(j);
	sup_journal_init(j);
}
