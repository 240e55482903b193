/* SPDX-License-Identifier: ISC */
/* Secrets of a configuration in secret memory; see vault.h. */
#include <sys/mman.h>
#include <sys/stat.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "limit.h"
#include "secmem.h"
#include "utf8.h"
#include "vault.h"

/* What is read at most: the longest secret, its seal, and white space around
 * it as editors leave it. */
#define SCRATCH (LIMIT_BEARER + 512)
#define SEAL	4 /* bytes of length before a sealed text */

static size_t
round_up(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

int
vault_open(struct vault *v, size_t half, size_t work, unsigned *flags)
{
	int saved;

	memset(v, 0, sizeof(*v));
	v->halflen = round_up(half);
	v->len = round_up(work) + round_up(SCRATCH) + 2 * v->halflen;
	if ((v->map = secmem_new(v->len, flags)) == NULL)
		return -1;
	if (madvise(v->map, v->len, MADV_DONTFORK) == -1) {
		saved = errno;
		vault_close(v);
		errno = saved;
		return -1;
	}
	v->work = v->map;
	v->scratch = v->map + round_up(work);
	v->half[0] = v->scratch + round_up(SCRATCH);
	v->half[1] = v->half[0] + v->halflen;
	return 0;
}

void
vault_close(struct vault *v)
{
	if (v->map != NULL)
		secmem_unmap(v->map, v->len);
	memset(v, 0, sizeof(*v));
}

static ptrdiff_t
fail(struct vault *v, const char *what)
{
	snprintf(v->why, sizeof(v->why), "%s", what);
	return -1;
}

static ptrdiff_t
fail_errno(struct vault *v)
{
	snprintf(v->why, sizeof(v->why), "cannot be read: %s", strerror(errno));
	return -1;
}

/* Secret memory cannot be read, only mapped; shared with who keeps it, so it
 * must not be cleansed here. */
static ptrdiff_t
copy_mapped(struct vault *v, int fd, off_t size)
{
	size_t len = size > SCRATCH ? SCRATCH : (size_t)size;
	void *p;

	if (len == 0)
		return 0;
	if ((p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
		return fail_errno(v);
	memcpy(v->scratch, p, len);
	munmap(p, len);
	return (ptrdiff_t)len;
}

/* Fill the scratch space from the descriptor's beginning, whose offset may be
 * shared with others.  Returns bytes, or -1. */
static ptrdiff_t
fill(struct vault *v, int fd)
{
	size_t got = 0;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == -1)
		return fail_errno(v);
	if (!S_ISREG(st.st_mode))
		return fail(v, "is not a regular file");
	while (got < SCRATCH) {
		n = pread(fd, v->scratch + got, SCRATCH - got, (off_t)got);
		if (n == 0)
			break;
		if (n > 0)
			got += (size_t)n;
		else if ((errno == ESPIPE || errno == EINVAL) && got == 0)
			return copy_mapped(v, fd, st.st_size);
		else if (errno != EINTR)
			return fail_errno(v);
	}
	return (ptrdiff_t)got;
}

/* What lies behind the seal's length, or all of it.  A text holds no NUL, the
 * length of one that fits always does. */
static int
unseal(struct vault *v, struct span *s)
{
	uint32_t len;

	if (s->len < SEAL || memchr(s->p, '\0', SEAL) == NULL)
		return 0;
	memcpy(&len, s->p, sizeof(len));
	if (len > s->len - SEAL)
		return (int)fail(v, "holds what is no text");
	s->p += SEAL;
	s->len = len;
	return 0;
}

/* NULL, or what is wrong with the text. */
static const char *
wrong_text(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\0')
			return "holds a NUL byte";
		if (c < ' ' || c == 0x7f)
			return "holds a control character or a second line";
	}
	if (utf8_valid_prefix(s.p, s.len) != s.len)
		return "is not valid UTF-8";
	return NULL;
}

/* Put it into the stage. */
static struct span
keep(struct vault *v, struct span s)
{
	int side = !v->live;
	char *to = v->half[side] + v->used[side];

	if (s.len > v->halflen - v->used[side]) {
		snprintf(v->why, sizeof(v->why),
		    "finds no room: all secrets together have at most %zu "
		    "bytes",
		    v->halflen);
		return (struct span){NULL, 0};
	}
	memcpy(to, s.p, s.len);
	v->used[side] += s.len;
	return (struct span){to, s.len};
}

static struct span
take(struct vault *v, int fd, size_t max)
{
	const struct span none = {NULL, 0};
	struct span s;
	const char *wrong;
	ptrdiff_t n;
	int cut;

	if ((n = fill(v, fd)) == -1)
		return none;
	s = (struct span){v->scratch, (size_t)n};
	if (unseal(v, &s) == -1)
		return none;
	if (s.len == 0) {
		fail(v, "is empty");
		return none;
	}
	cut = n == SCRATCH && s.p == v->scratch;
	s = span_trim(s);
	if (cut || s.len > max) {
		snprintf(
		    v->why, sizeof(v->why), "is longer than %zu bytes", max);
		return none;
	}
	if (s.len == 0)
		wrong = "holds only white space";
	else
		wrong = wrong_text(s);
	if (wrong != NULL) {
		fail(v, wrong);
		return none;
	}
	return keep(v, s);
}

struct span
vault_read(struct vault *v, int fd, size_t max, const char **why)
{
	struct span s = take(v, fd, max);

	explicit_bzero(v->scratch, SCRATCH);
	*why = s.p == NULL ? v->why : NULL;
	return s;
}

struct span
vault_carry(struct vault *v, struct span text, const char **why)
{
	const struct span s = text.p == NULL ? text : keep(v, text);

	*why = s.p == NULL && text.p != NULL ? v->why : NULL;
	return s;
}

struct span
vault_put(struct vault *v, struct span text, size_t max, const char **why)
{
	struct span s = {NULL, 0};

	if (text.len == 0)
		fail(v, "is empty");
	else if (text.len > max)
		snprintf(
		    v->why, sizeof(v->why), "is longer than %zu bytes", max);
	else if ((*why = wrong_text(text)) != NULL)
		fail(v, *why);
	else
		s = keep(v, text);
	*why = s.p == NULL ? v->why : NULL;
	return s;
}

static void
cleanse(struct vault *v, int side)
{
	explicit_bzero(v->half[side], v->used[side]);
	v->used[side] = 0;
}

void
vault_commit(struct vault *v)
{
	cleanse(v, v->live);
	v->live = !v->live;
}

void
vault_abort(struct vault *v)
{
	cleanse(v, !v->live);
}

int
vault_same(struct span a, struct span b)
{
	volatile unsigned char differ = 0;

	if (a.len != b.len)
		return 0;
	for (size_t i = 0; i < a.len; i++)
		differ |= (unsigned char)(a.p[i] ^ b.p[i]);
	return differ == 0;
}
