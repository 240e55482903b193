/* SPDX-License-Identifier: ISC */
/* Messages between our processes: a table made from msg.def, and one encoder
 * and one decoder that walk it. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "buf.h"
#include "msg.h"

struct field {
	const char *name;
	const char *doc;
	uint64_t max; /* greatest value, or greatest number of bytes */
	enum { KIND_U, KIND_S } kind;
};

struct row {
	const char *name; /* NULL: no message has this number */
	const char *doc;
	const struct field *fields;
	unsigned nfields;
	uint32_t from, to; /* ROLE_BITs */
	enum msg_fd fd;
};

#define FIELD_U(name, max, doc) {#name, doc, max, KIND_U},
#define FIELD_S(name, max, doc) {#name, doc, max, KIND_S},
#define X(NAME, name, num, from, to, fd, doc)         \
	static const struct field fields_##name[] = { \
	    MSG_FIELDS_##NAME(FIELD_U, FIELD_S)};
MSG_LIST(X)
#undef X

#define X(NAME, name, num, from, to, fd, doc) \
	[num] = {#NAME, doc, fields_##name,   \
	    sizeof(fields_##name) / sizeof(fields_##name[0]), from, to, fd},
static const struct row rows[] = {MSG_LIST(X)};
#undef X

/*
 * A struct msg_* is walked field by field, so its members must follow each
 * other without padding; and [type, correlation, fields...] must fit the
 * msgpack array head of one byte.
 */
#define SIZE_U(name, max, doc) +sizeof(uint64_t)
#define SIZE_S(name, max, doc) +sizeof(struct span)
#define COUNT(name, max, doc)  +1
#define X(NAME, name, num, from, to, fd, doc)                               \
	_Static_assert(                                                     \
	    sizeof(struct msg_##name) == MSG_FIELDS_##NAME(SIZE_U, SIZE_S), \
	    "padding in struct msg_" #name);                                \
	_Static_assert(2 MSG_FIELDS_##NAME(COUNT, COUNT) <= 15,             \
	    "too many fields in " #NAME);
MSG_LIST(X)
#undef X

#define NROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row *
row_of(uint64_t type)
{
	return type < NROWS && rows[type].name != NULL ? &rows[type] : NULL;
}

const char *
msg_name(unsigned type)
{
	const struct row *row = row_of(type);

	return row == NULL ? "?" : row->name;
}

const char *
msg_check(unsigned type, enum role from, enum role to, int has_fd)
{
	const struct row *row = row_of(type);

	if (row == NULL)
		return "no such message";
	if ((row->from & ROLE_BIT(from)) == 0)
		return "message not from this sender";
	if ((row->to & ROLE_BIT(to)) == 0)
		return "message not for this receiver";
	if (has_fd && row->fd == FD_NONE)
		return "a descriptor with a message that has none";
	if (!has_fd && row->fd == FD_MUST)
		return "a message without its descriptor";
	return NULL;
}

/* Encoding: msgpack's packer writes into the caller's memory. */

struct out {
	char *p;
	size_t len, cap;
};

static int
out_write(void *arg, const char *p, size_t n)
{
	struct out *o = arg;

	if (n > o->cap - o->len)
		return -1;
	if (n > 0)
		memcpy(o->p + o->len, p, n);
	o->len += n;
	return 0;
}

static int
text_ok(struct span s, uint64_t max)
{
	return s.len <= max && (s.len == 0 || memchr(s.p, '\0', s.len) == NULL);
}

/* Pack the field that stands at `at`; returns where the next one stands, or
 * NULL. */
static const char *
pack_field(msgpack_packer *pk, const struct field *f, const char *at)
{
	struct span s;
	uint64_t u;

	if (f->kind == KIND_U) {
		memcpy(&u, at, sizeof(u));
		if (u > f->max || msgpack_pack_uint64(pk, u) != 0)
			return NULL;
		return at + sizeof(u);
	}
	memcpy(&s, at, sizeof(s));
	if (!text_ok(s, f->max) || msgpack_pack_str(pk, s.len) != 0 ||
	    msgpack_pack_str_body(pk, s.len == 0 ? "" : s.p, s.len) != 0)
		return NULL;
	return at + sizeof(s);
}

int
msg_encode(void *out, size_t cap, enum msg_type type, uint32_t corr,
    const void *fields)
{
	const struct row *row = row_of(type);
	struct out o = {out, 0, cap > LIMIT_PACKET ? LIMIT_PACKET : cap};
	msgpack_packer pk;
	const char *at = fields;
	unsigned i;

	if (row == NULL)
		return -1;
	msgpack_packer_init(&pk, &o, out_write);
	if (msgpack_pack_array(&pk, row->nfields + 2) != 0 ||
	    msgpack_pack_uint32(&pk, (uint32_t)type) != 0 ||
	    msgpack_pack_uint32(&pk, corr) != 0)
		return -1;
	for (i = 0; i < row->nfields; i++)
		if ((at = pack_field(&pk, &row->fields[i], at)) == NULL)
			return -1;
	return (int)o.len;
}

/*
 * Decoding.  Of msgpack only what the encoder writes is read: arrays of up to
 * 15, numbers and strings in their shortest form.  So each message has one
 * form, nothing nests and nothing is allocated.
 */

struct in {
	const uint8_t *p;
	size_t len;
};

static int
get_byte(struct in *in, unsigned *b)
{
	if (in->len == 0)
		return -1;
	*b = *in->p++;
	in->len--;
	return 0;
}

/* n bytes, most significant first, whose value must be at least min: less
 * would have had a shorter form. */
static int
get_number(struct in *in, unsigned n, uint64_t min, uint64_t *v)
{
	uint64_t u = 0;

	if (in->len < n)
		return -1;
	for (in->len -= n; n > 0; n--)
		u = u << 8 | *in->p++;
	*v = u;
	return u < min ? -1 : 0;
}

static int
get_u(struct in *in, uint64_t max, uint64_t *v)
{
	unsigned b;
	int r = -1;

	if (get_byte(in, &b) == -1)
		return -1;
	if (b <= 0x7f) {
		*v = b;
		r = 0;
	} else if (b == 0xcc)
		r = get_number(in, 1, 0x80, v);
	else if (b == 0xcd)
		r = get_number(in, 2, UINT8_MAX + 1, v);
	else if (b == 0xce)
		r = get_number(in, 4, UINT16_MAX + 1, v);
	else if (b == 0xcf)
		r = get_number(in, 8, (uint64_t)UINT32_MAX + 1, v);
	return r == -1 || *v > max ? -1 : 0;
}

static int
get_s(struct in *in, uint64_t max, struct span *s)
{
	uint64_t n = 0;
	unsigned b;
	int r = -1;

	if (get_byte(in, &b) == -1)
		return -1;
	if ((b & 0xe0) == 0xa0) {
		n = b & 0x1f;
		r = 0;
	} else if (b == 0xd9)
		r = get_number(in, 1, 32, &n);
	else if (b == 0xda)
		r = get_number(in, 2, UINT8_MAX + 1, &n);
	else if (b == 0xdb)
		r = get_number(in, 4, UINT16_MAX + 1, &n);
	if (r == -1 || n > in->len)
		return -1;
	*s = (struct span){(const char *)in->p, (size_t)n};
	in->p += n;
	in->len -= (size_t)n;
	return text_ok(*s, max) ? 0 : -1;
}

/* Read all fields to where the struct msg_* of the row begins. */
static int
get_fields(struct in *in, const struct row *row, char *at)
{
	const struct field *f = row->fields;
	struct span s;
	uint64_t u;

	for (; f < row->fields + row->nfields; f++) {
		if (f->kind == KIND_U) {
			if (get_u(in, f->max, &u) == -1)
				return -1;
			memcpy(at, &u, sizeof(u));
			at += sizeof(u);
		} else {
			if (get_s(in, f->max, &s) == -1)
				return -1;
			memcpy(at, &s, sizeof(s));
			at += sizeof(s);
		}
	}
	return 0;
}

const char *
msg_decode(struct msg *m, const void *p, size_t len, enum role from,
    enum role to, int has_fd)
{
	struct in in = {p, len};
	const struct row *row;
	const char *why;
	uint64_t type, corr;
	unsigned head;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	if (len > LIMIT_PACKET)
		return "packet too long";
	if (get_byte(&in, &head) == -1 || (head & 0xf0) != 0x90)
		return "not an array";
	if (get_u(&in, UINT16_MAX, &type) == -1)
		return "no message number";
	if ((why = msg_check((unsigned)type, from, to, has_fd)) != NULL)
		return why;
	row = row_of(type);
	if ((head & 0x0f) != row->nfields + 2)
		return "wrong number of fields";
	if (get_u(&in, UINT32_MAX, &corr) == -1)
		return "no correlation";
	if (get_fields(&in, row, (char *)&m->u) == -1)
		return "a field of the wrong type or out of bounds";
	if (in.len > 0)
		return "bytes after the message";
	m->type = (enum msg_type)type;
	m->corr = (uint32_t)corr;
	return NULL;
}

/* Keeping: what was encoded is decoded again, where it stays. */

struct msg_kept *
msg_keep(const struct msg *m, enum role from, enum role to)
{
	char *tmp = malloc(LIMIT_PACKET);
	struct msg_kept *k = NULL;
	int len = -1;

	if (tmp != NULL)
		len = msg_encode(tmp, LIMIT_PACKET, m->type, m->corr, &m->u);
	if (len > 0)
		k = malloc(sizeof(*k) + (size_t)len);
	if (k != NULL) {
		k->len = (size_t)len;
		memcpy(k->packet, tmp, k->len);
		if (msg_decode(&k->m, k->packet, k->len, from, to,
			rows[m->type].fd == FD_MUST) != NULL) {
			free(k);
			k = NULL;
		}
	}
	free(tmp);
	return k;
}

int
msg_same(const struct msg_kept *a, const struct msg_kept *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->len == b->len && memcmp(a->packet, b->packet, a->len) == 0;
}

/* Documentation. */

static void
describe_roles(struct buf *out, uint32_t roles)
{
	const char *sep = "";
	unsigned r;

	if (roles == FROM_CHILD) {
		buf_addf(out, "any child");
		return;
	}
	for (r = 0; r < ROLE_COUNT; r++)
		if (roles & ROLE_BIT(r)) {
			buf_addf(out, "%s%s", sep, role_row(r)->name);
			sep = ", ";
		}
}

static void
describe_row(struct buf *out, unsigned num, const struct row *row)
{
	static const char *const fd[] = {
	    "none", "may come along", "comes along"};
	const struct field *f;

	buf_addf(out, "\n## %s (%u)\n\n", row->name, num);
	describe_roles(out, row->from);
	buf_addf(out, " → ");
	describe_roles(out, row->to);
	buf_addf(out, "; descriptor: %s.\n\n%s\n\n", fd[row->fd], row->doc);
	buf_addf(out,
	    "| field | type | at most | meaning |\n"
	    "| --- | --- | --- | --- |\n");
	for (f = row->fields; f < row->fields + row->nfields; f++)
		buf_addf(out, "| `%s` | %s | %llu%s | %s |\n", f->name,
		    f->kind == KIND_U ? "number" : "text",
		    (unsigned long long)f->max,
		    f->kind == KIND_U ? "" : " bytes", f->doc);
}

void
msg_describe(struct buf *out)
{
	unsigned i;

	buf_addf(out,
	    "# Messages between the processes\n\n"
	    "Generated from `common/msg.def`; a test compares.\n\n"
	    "A packet on a pipe is one msgpack array `[number, correlation, "
	    "fields…]`, each number\nand text in its shortest form, of at most "
	    "%d bytes, with at most one descriptor.\nText holds no NUL.  An "
	    "answer carries its question's correlation.\n",
	    LIMIT_PACKET);
	for (i = 0; i < NROWS; i++)
		if (rows[i].name != NULL)
			describe_row(out, i, &rows[i]);
}
