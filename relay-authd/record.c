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

size_t
record_len(const struct record_form *f, const struct span *value)
{
	size_t len = strlen(f->head) + 1 + strlen(TAIL);

	for (size_t i = 0; i < f->nfield; i++)
		len += strlen(f->field[i].key) + value[i].len + 2;
	return len;
}

void
record_write(const struct record_form *f, const struct span *value, char *out)
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

const char *
record_read(const struct record_form *f, struct span text, struct span *value)
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

/* Files. */

int
record_fail(char *why, size_t cap, const char *name, const char *what)
{
	snprintf(why, cap, "%s: %s", name, what);
	return -1;
}

int
record_open(
    int dir, const char *name, size_t max, size_t *len, char *why, size_t cap)
{
	const char *wrong = NULL;
	struct stat st;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT
		    ? RECORD_NONE
		    : record_fail(why, cap, name, strerror(errno));
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		wrong = "is not a regular file";
	else if (st.st_uid != geteuid())
		wrong = "belongs to another user: chown it to relay-authd's";
	else if ((st.st_mode & 077) != 0)
		wrong = "others can use it: chmod it to 600";
	else if (st.st_size <= 0 || st.st_size > (off_t)max)
		wrong = "is empty or too long";
	if (wrong == NULL) {
		*len = (size_t)st.st_size;
		return fd;
	}
	close(fd);
	return record_fail(why, cap, name, wrong);
}

int
record_fill(int fd, char *p, size_t len)
{
	ssize_t n;

	for (size_t got = 0; got < len; got += (size_t)n) {
		do
			n = read(fd, p + got, len - got);
		while (n == -1 && errno == EINTR);
		if (n <= 0)
			return -1;
	}
	return 0;
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

int
record_replace(
    int dir, const char *name, const char *p, size_t len, char *why, size_t cap)
{
	char temp[RECORD_NAME + 8];
	int fd, r, saved;

	snprintf(temp, sizeof(temp), "new.%s", name);
	unlinkat(dir, temp, 0);
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		return record_fail(why, cap, name, strerror(errno));
	r = write_synced(fd, p, len);
	saved = errno;
	close(fd);
	errno = saved;
	if (r == 0 && renameat(dir, temp, dir, name) == 0 && fsync(dir) == 0)
		return 0;
	saved = errno;
	unlinkat(dir, temp, 0);
	return record_fail(why, cap, name, strerror(saved));
}

int
record_remove(int dir, const char *name, char *why, size_t cap)
{
	if ((unlinkat(dir, name, 0) == -1 && errno != ENOENT) ||
	    fsync(dir) == -1)
		return record_fail(why, cap, name, strerror(errno));
	return 0;
}
