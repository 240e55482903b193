/* SPDX-License-Identifier: ISC */
/* Records in secret memory; see secrec.h. */
#include <sys/stat.h>
#include <string.h>
#include <unistd.h>

#include "secmem.h"
#include "secrec.h"

/* Map secret memory, whose descriptor is ours then. */
static const char *
map(struct secrec *r, int fd, size_t len)
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
take(struct secrec *r, const struct record_form *f, struct span *value)
{
	const char *why = record_read(f, (struct span){r->map, r->len}, value);

	if (why != NULL)
		secrec_free(r);
	return why;
}

const char *
secrec_make(struct secrec *r, const struct record_form *f,
    const struct span *from, struct span *value)
{
	size_t len = record_len(f, from);
	const char *why = map(r, secmem_fd(len, NULL), len);

	if (why != NULL)
		return why;
	record_write(f, from, r->map);
	return take(r, f, value);
}

const char *
secrec_adopt(
    struct secrec *r, const struct record_form *f, int fd, struct span *value)
{
	struct stat st;
	const char *why;

	if (fstat(fd, &st) == -1 || st.st_size <= 0 || st.st_size > SECREC_MAX)
		st.st_size = 1; /* which holds no record */
	why = map(r, fd, (size_t)st.st_size);
	return why != NULL ? why : take(r, f, value);
}

const char *
secrec_load(struct secrec *r, const struct record_form *f, int fd, size_t len,
    struct span *value)
{
	const char *why = map(r, secmem_fd(len, NULL), len);

	if (why != NULL)
		return why;
	if (record_fill(fd, r->map, len) == 0)
		return take(r, f, value);
	secrec_free(r);
	return "cannot be read";
}

void
secrec_free(struct secrec *r)
{
	if (r->map == NULL)
		return;
	secmem_unmap(r->map, r->len);
	close(r->fd);
	memset(r, 0, sizeof(*r));
}
