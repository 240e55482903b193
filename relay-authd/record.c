/* SPDX-License-Identifier: ISC */
/* Small records kept in files; see record.h. */
#include <sys/types.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "record.h"
#include "secmem.h"
#include "utf8.h"

#define TAIL "end\n"

/* The form. */

static char *
put(char *p, const char *text, size_t len)
{
	if (len > 0)
		memcpy(p, text, len);
	return p + len;
}

static size_t
text_len(const struct record_form *f, const struct span *value)
{
	size_t len = strlen(f->head) + 1 + strlen(TAIL);

	for (size_t i = 0; i < f->nfield; i++)
		len += strlen(f->field[i].key) + value[i].len + 2;
	return len;
}

static void
write_text(const struct record_form *f, const struct span *value, char *out)
{
	char *p = put(out, f->head, strlen(f->head));

	p = put(p, "\n", 1);
	for (size_t i = 0; i < f->nfield; i++) {
		p = put(p, f->field[i].key, strlen(f->field[i].key));
		p = put(p, " ", 1);
		p = put(p, value[i].p, value[i].len);
		p = put(p, "\n", 1);
	}
	put(p, TAIL, strlen(TAIL));
}

/* Take the next line off the text. */
static int
next_line(struct span *text, struct span *line)
{
	const char *nl = memchr(text->p, '\n', text->len);

	if (nl == NULL)
		return -1;
	*line = (struct span){text->p, (size_t)(nl - text->p)};
	text->len -= line->len + 1;
	text->p = nl + 1;
	return 0;
}

/* A line's value, when it has this key. */
static int
value_of(struct span line, const char *key, struct span *value)
{
	size_t n = strlen(key);

	if (line.len <= n || memcmp(line.p, key, n) != 0 || line.p[n] != ' ')
		return -1;
	*value = (struct span){line.p + n + 1, line.len - n - 1};
	return 0;
}

static int
value_ok(const struct record_field *f, struct span v)
{
	for (size_t i = 0; i < v.len; i++)
		if ((unsigned char)v.p[i] < ' ' || v.p[i] == 0x7f)
			return 0;
	return v.len <= f->max && (v.len > 0 || !f->required) &&
	    utf8_valid_prefix(v.p, v.len) == v.len;
}

static const char *
read_text(const struct record_form *f, struct span text, struct span *value)
{
	size_t name = strcspn(f->head, " ");
	struct span line;

	if (next_line(&text, &line) == -1)
		return "is cut short, or none of relayd's";
	if (!span_eq(line, span_str(f->head)))
		return line.len > name && memcmp(line.p, f->head, name) == 0
		    ? "is of another version of relayd"
		    : "is none of relayd's";
	for (size_t i = 0; i < f->nfield; i++) {
		if (next_line(&text, &line) == -1 ||
		    value_of(line, f->field[i].key, &value[i]) == -1)
			return "is cut short or damaged";
		if (!value_ok(&f->field[i], value[i]))
			return "has a value that is empty, too long, or no "
			       "text";
	}
	if (!span_eq(text, SPAN_LIT(TAIL)))
		return "is cut short, or goes on after its end";
	return NULL;
}

/* Memory. */

/* Map secret memory, whose descriptor is ours then. */
static const char *
map(struct record *r, int fd, size_t len)
{
	memset(r, 0, sizeof(*r));
	if (fd != -1 && (r->map = secmem_map(fd, len)) != NULL) {
		r->fd = fd;
		r->len = len;
		return NULL;
	}
	if (fd != -1)
		close(fd);
	return "finds no memory for secrets";
}

static const char *
take(struct record *r, const struct record_form *f, struct span *value)
{
	const char *why = read_text(f, (struct span){r->map, r->len}, value);

	if (why != NULL)
		record_free(r);
	return why;
}

const char *
record_make(struct record *r, const struct record_form *f,
    const struct span *from, struct span *value)
{
	size_t len = text_len(f, from);
	const char *why = map(r, secmem_fd(len, NULL), len);

	if (why != NULL)
		return why;
	write_text(f, from, r->map);
	return take(r, f, value);
}

const char *
record_adopt(
    struct record *r, const struct record_form *f, int fd, struct span *value)
{
	struct stat st;
	const char *why;

	if (fstat(fd, &st) == -1 || st.st_size <= 0 || st.st_size > RECORD_MAX)
		st.st_size = 1; /* which holds no record */
	why = map(r, fd, (size_t)st.st_size);
	return why != NULL ? why : take(r, f, value);
}

void
record_free(struct record *r)
{
	if (r->map == NULL)
		return;
	secmem_unmap(r->map, r->len);
	close(r->fd);
	memset(r, 0, sizeof(*r));
}

/* Files. */

/* Compose why: "NAME: what". */
static int
fail(char *why, size_t cap, const char *name, const char *what)
{
	snprintf(why, cap, "%s: %s", name, what);
	return -1;
}

/* What is wrong with the file, or NULL with its length. */
static const char *
wrong_file(int fd, size_t *len)
{
	struct stat st;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return "is not a regular file";
	if (st.st_uid != geteuid())
		return "belongs to another user: chown it to relay-authd's";
	if ((st.st_mode & 077) != 0)
		return "others can use it: chmod it to 600";
	if (st.st_size <= 0 || st.st_size > RECORD_MAX)
		return "is empty or too long";
	*len = (size_t)st.st_size;
	return NULL;
}

static const char *
read_file(
    struct record *r, const struct record_form *f, int fd, struct span *value)
{
	size_t len = 0;
	ssize_t n;
	const char *why = wrong_file(fd, &len);

	if (why == NULL)
		why = map(r, secmem_fd(len, NULL), len);
	if (why != NULL)
		return why;
	for (size_t got = 0; got < len; got += (size_t)n) {
		do
			n = read(fd, r->map + got, len - got);
		while (n == -1 && errno == EINTR);
		if (n <= 0) {
			record_free(r);
			return "cannot be read";
		}
	}
	return take(r, f, value);
}

int
record_load(struct record *r, const struct record_form *f, int dir,
    const char *name, struct span *value, char *why, size_t cap)
{
	const char *wrong;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT ? 0
				       : fail(why, cap, name, strerror(errno));
	wrong = read_file(r, f, fd, value);
	close(fd);
	return wrong == NULL ? 1 : fail(why, cap, name, wrong);
}

static int
write_synced(int fd, const char *p, size_t len)
{
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		do
			n = write(fd, p, len);
		while (n == -1 && errno == EINTR);
		if (n == -1)
			return -1;
	}
	return fsync(fd);
}

/* What it is written as before it has its name. */
#define TEMP_NAME (RECORD_NAME + 8)

static void
temp_name(char out[TEMP_NAME], const char *name)
{
	snprintf(out, TEMP_NAME, "new.%s", name);
}

int
record_save(
    const struct record *r, int dir, const char *name, char *why, size_t cap)
{
	char temp[TEMP_NAME];
	int fd, wrote, saved;

	temp_name(temp, name);
	unlinkat(dir, temp, 0);
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		return fail(why, cap, name, strerror(errno));
	wrote = write_synced(fd, r->map, r->len);
	saved = errno;
	close(fd);
	errno = saved;
	if (wrote == 0 && renameat(dir, temp, dir, name) == 0 &&
	    fsync(dir) == 0)
		return 0;
	saved = errno;
	unlinkat(dir, temp, 0);
	return fail(why, cap, name, strerror(saved));
}

int
record_remove(int dir, const char *name, char *why, size_t cap)
{
	char temp[TEMP_NAME];

	/* What a crash left of it is as secret. */
	temp_name(temp, name);
	if ((unlinkat(dir, temp, 0) == -1 && errno != ENOENT) ||
	    (unlinkat(dir, name, 0) == -1 && errno != ENOENT) ||
	    fsync(dir) == -1)
		return fail(why, cap, name, strerror(errno));
	return 0;
}
