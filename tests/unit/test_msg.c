/* SPDX-License-Identifier: ISC */
/* Messages: every type at its extremes, every wrong form refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <msgpack.h>

#include "buf.h"
#include "msg.h"

#define DOC "docs/pipes.md"

struct field {
	int text;
	uint64_t max;
};

struct type {
	const char *name;
	unsigned num;
	uint32_t from, to;
	enum msg_fd fd;
	unsigned nfields;
	struct field field[16];
};

#define U(name, max, doc)   {0, max},
#define S(name, max, doc)   {1, max},
#define ONE(name, max, doc) +1
#define X(NAME, name, num, from, to, fd, doc)                   \
	{#NAME, num, from, to, fd, MSG_FIELDS_##NAME(ONE, ONE), \
	    {MSG_FIELDS_##NAME(U, S)}},
static const struct type types[] = {MSG_LIST(X)};
#undef X
#define NTYPES (sizeof(types) / sizeof(types[0]))

static enum role
first_role(uint32_t set)
{
	unsigned r = 0;

	while ((set & ROLE_BIT(r)) == 0)
		r++;
	return (enum role)r;
}

/* Fields of a type at v = 0: empty, 1: their greatest, 2: small ones.
 * Returned memory is as a struct msg_* of it. */
static void
fill(const struct type *t, int v, void *out)
{
	static char text[LIMIT_PACKET];
	char *at = out;
	struct span s;
	uint64_t u;
	unsigned i;

	memset(text, 'x', sizeof(text));
	for (i = 0; i < t->nfields; i++) {
		u = v == 0 ? 0 : v == 1 ? t->field[i].max : t->field[i].max & 1;
		s = (struct span){text, v == 2 ? 3 : (size_t)u};
		if (t->field[i].text) {
			memcpy(at, &s, sizeof(s));
			at += sizeof(s);
		} else {
			memcpy(at, &u, sizeof(u));
			at += sizeof(u);
		}
	}
}

static int
encode(const struct type *t, int v, unsigned char *out)
{
	struct msg m;

	memset(&m, 0, sizeof(m));
	fill(t, v, &m.u);
	return msg_encode(out, LIMIT_PACKET, (enum msg_type)t->num,
	    v == 0 ? 0 : UINT32_MAX, &m.u);
}

/* Decode from a copy of its exact size, so that reading past it is seen. */
static const char *
decode(struct msg *m, const struct type *t, const void *p, size_t len)
{
	char *copy = malloc(len == 0 ? 1 : len);
	const char *why;

	assert_non_null(copy);
	memcpy(copy, p, len);
	why = msg_decode(m, copy, len, first_role(t->from), first_role(t->to),
	    t->fd == FD_MUST);
	if (why == NULL) /* spans are looked at by within() only */
		memset(copy, 0x55, len);
	free(copy);
	return why;
}

static void
equal(const struct type *t, const void *x, const void *y)
{
	const char *a = x, *b = y;
	struct span s, z;
	unsigned i;

	for (i = 0; i < t->nfields; i++) {
		if (t->field[i].text) {
			memcpy(&s, a, sizeof(s));
			memcpy(&z, b, sizeof(z));
			assert_true(span_eq(s, z));
			a += sizeof(s);
			b += sizeof(s);
		} else {
			assert_memory_equal(a, b, sizeof(uint64_t));
			a += sizeof(uint64_t);
			b += sizeof(uint64_t);
		}
	}
}

static void
round_trips(void **state)
{
	static unsigned char p[LIMIT_PACKET];
	struct msg m, in;
	unsigned i;
	int v, n;

	(void)state;
	for (i = 0; i < NTYPES; i++)
		for (v = 0; v < 3; v++) {
			memset(&in, 0, sizeof(in));
			fill(&types[i], v, &in.u);
			assert_int_not_equal(n = encode(&types[i], v, p), -1);
			assert_null(msg_decode(&m, p, (size_t)n,
			    first_role(types[i].from), first_role(types[i].to),
			    types[i].fd == FD_MUST));
			assert_int_equal(m.type, types[i].num);
			assert_int_equal(m.corr, v == 0 ? 0 : UINT32_MAX);
			assert_int_equal(m.fd, -1);
			equal(&types[i], &in.u, &m.u);
		}
}

/* What is written is msgpack for others, too. */
static void
is_msgpack(void **state)
{
	static unsigned char p[LIMIT_PACKET];
	msgpack_unpacked u;
	size_t off;
	unsigned i, k;
	int n;

	(void)state;
	for (i = 0; i < NTYPES; i++) {
		n = encode(&types[i], 1, p);
		msgpack_unpacked_init(&u);
		off = 0;
		assert_int_equal(
		    msgpack_unpack_next(&u, (char *)p, (size_t)n, &off),
		    MSGPACK_UNPACK_SUCCESS);
		assert_int_equal(off, n);
		assert_int_equal(u.data.type, MSGPACK_OBJECT_ARRAY);
		assert_int_equal(u.data.via.array.size, types[i].nfields + 2);
		assert_int_equal(u.data.via.array.ptr[0].via.u64, types[i].num);
		for (k = 0; k < types[i].nfields; k++)
			assert_int_equal(u.data.via.array.ptr[k + 2].type,
			    types[i].field[k].text
				? MSGPACK_OBJECT_STR
				: MSGPACK_OBJECT_POSITIVE_INTEGER);
		msgpack_unpacked_destroy(&u);
	}
}

static void
refuses_out_of_bounds_when_encoding(void **state)
{
	static unsigned char p[LIMIT_PACKET];
	struct msg_offence o = {ROLE_COUNT, SPAN_LIT("x")};
	struct msg_dial d = {LIMIT_GATEWAYS};

	(void)state;
	assert_int_equal(msg_encode(p, sizeof(p), MSG_OFFENCE, 0, &o), -1);
	assert_int_equal(msg_encode(p, sizeof(p), MSG_DIAL, 0, &d), -1);
	o.role = 0;
	o.reason = SPAN_LIT("a\0b");
	assert_int_equal(msg_encode(p, sizeof(p), MSG_OFFENCE, 0, &o), -1);
	o.reason = SPAN_LIT("ab");
	assert_int_equal(msg_encode(p, 7, MSG_OFFENCE, 0, &o), 7);
	assert_int_equal(msg_encode(p, 6, MSG_OFFENCE, 0, &o), -1);
	assert_int_equal(msg_encode(p, sizeof(p), (enum msg_type)0, 0, &o), -1);
	assert_int_equal(
	    msg_encode(p, sizeof(p), (enum msg_type)999, 0, &o), -1);
	/* An absent text travels as an empty one. */
	o.reason = span_str(NULL);
	assert_int_equal(msg_encode(p, sizeof(p), MSG_OFFENCE, 0, &o), 5);
}

/* Every message is refused by every role that must not send or get it, and
 * with the descriptor wrong. */
static void
senders_receivers_descriptors(void **state)
{
	static unsigned char p[LIMIT_PACKET];
	const struct type *t;
	struct msg m;
	unsigned f, r;
	int n, fd, ok;

	(void)state;
	for (t = types; t < types + NTYPES; t++) {
		n = encode(t, 2, p);
		for (f = 0; f < ROLE_COUNT; f++)
			for (r = 0; r < ROLE_COUNT; r++)
				for (fd = 0; fd < 2; fd++) {
					ok = (t->from & ROLE_BIT(f)) &&
					    (t->to & ROLE_BIT(r)) &&
					    (fd ? t->fd != FD_NONE
						: t->fd != FD_MUST);
					assert_int_equal(ok,
					    msg_decode(&m, p, (size_t)n,
						(enum role)f, (enum role)r,
						fd) == NULL);
				}
	}
}

static void
truncations_and_trailing_bytes(void **state)
{
	static unsigned char p[LIMIT_PACKET + 1];
	struct msg m;
	unsigned i;
	int v, n, k;

	(void)state;
	for (i = 0; i < NTYPES; i++)
		for (v = 0; v < 3; v++) {
			n = encode(&types[i], v, p);
			for (k = 0; k < n; k += k < 600 ? 1 : 997)
				assert_non_null(
				    decode(&m, &types[i], p, (size_t)k));
			assert_null(decode(&m, &types[i], p, (size_t)n));
			p[n] = 0;
			assert_non_null(
			    decode(&m, &types[i], p, (size_t)n + 1));
			p[n] = 0xc0;
			assert_non_null(
			    decode(&m, &types[i], p, (size_t)n + 1));
		}
}

/* Whatever decodes is within bounds, and encodes to the very same bytes. */
static void
within(const struct msg *m, const unsigned char *p, size_t len)
{
	static unsigned char again[LIMIT_PACKET];
	int n;

	n = msg_encode(again, sizeof(again), m->type, m->corr, &m->u);
	assert_int_equal(n, len);
	assert_memory_equal(again, p, len);
}

static void
every_byte_changed(void **state)
{
	static unsigned char p[LIMIT_PACKET];
	const struct type *t;
	struct msg m;
	unsigned c, was;
	int v, n, k;

	(void)state;
	for (t = types; t < types + NTYPES; t++)
		for (v = 0; v < 3; v++) {
			n = encode(t, v, p);
			for (k = 0; k < n; k += k < 300 ? 1 : 499) {
				was = p[k];
				for (c = 0; c < 256; c++) {
					p[k] = (unsigned char)c;
					if (decode(&m, t, p, (size_t)n) != NULL)
						continue;
					assert_null(msg_decode(&m, p, (size_t)n,
					    first_role(t->from),
					    first_role(t->to),
					    t->fd == FD_MUST));
					within(&m, p, (size_t)n);
				}
				p[k] = (unsigned char)was;
			}
		}
}

static void
refuses(const char *bytes, size_t len)
{
	struct msg m;

	assert_non_null(
	    msg_decode(&m, bytes, len, ROLE_SUPERVISOR, ROLE_ENGINE, 0));
}

#define REFUSES(s) refuses(s, sizeof(s) - 1)

static void
wrong_forms(void **state)
{
	struct msg m;

	(void)state;
	assert_null(msg_decode(
	    &m, "\x93\x01\x05\x07", 4, ROLE_SUPERVISOR, ROLE_ENGINE, 0));
	assert_int_equal(m.u.ping.seq, 7);
	refuses("", 0);
	REFUSES("\x93\x01\x05\xcc\x07"); /* not the shortest */
	REFUSES("\x93\xcc\x01\x05\x07");
	REFUSES("\xdc\x00\x03\x01\x05\x07");	     /* a longer array head */
	REFUSES("\x93\x01\x05\xff");		     /* negative */
	REFUSES("\x93\x01\x05\xd0\x07");	     /* signed */
	REFUSES("\x93\x01\x05\xc0");		     /* nil */
	REFUSES("\x93\x01\x05\xc3");		     /* true */
	REFUSES("\x93\x01\x05\xa1\x37");	     /* text */
	REFUSES("\x93\x01\x05\x91\x07");	     /* nested */
	REFUSES("\x93\x01\x05\xca\0\0\0\0");	     /* a float */
	REFUSES("\x93\x01\x05\xcf\0\0\0\1\0\0\0\0"); /* too great */
	REFUSES("\x93\x01\xcf\0\0\0\1\0\0\0\0\x07"); /* correlation */
	REFUSES("\x92\x01\x05");
	REFUSES("\x94\x01\x05\x07\x07");
	REFUSES("\x83\x01\x05\x07");
	REFUSES("\x93\x00\x05\x07");
	REFUSES("\x93\xcd\xff\xff\x05\x07");
	REFUSES("\x94\x0b\x00\x01\xc4\x01x"); /* CONF_REFUSED is not for it */
	assert_non_null(msg_decode(&m, "\x94\x0b\x00\x01\xc4\x01x", 7,
	    ROLE_ENGINE, ROLE_SUPERVISOR, 0)); /* binary */
	assert_non_null(msg_decode(&m, "\x94\x0b\x00\x01\xd9\x01x", 7,
	    ROLE_ENGINE, ROLE_SUPERVISOR, 0)); /* a longer text head */
	assert_non_null(msg_decode(&m, "\x94\x0b\x00\x01\xa1\0", 6, ROLE_ENGINE,
	    ROLE_SUPERVISOR, 0)); /* NUL */
	assert_null(msg_decode(
	    &m, "\x94\x0b\x00\x01\xa1x", 6, ROLE_ENGINE, ROLE_SUPERVISOR, 0));
}

static void
names(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < NTYPES; i++)
		assert_string_equal(msg_name(types[i].num), types[i].name);
	assert_string_equal(msg_name(0), "?");
	assert_string_equal(msg_name(UINT32_MAX), "?");
}

/* RELAYD_WRITE_DOCS=1 writes the page anew. */
static void
documentation(void **state)
{
	struct buf now;
	char *page;
	size_t len;
	FILE *f;

	(void)state;
	buf_init(&now, 0);
	msg_describe(&now);
	assert_false(now.failed);
	if (getenv("RELAYD_WRITE_DOCS") != NULL) {
		assert_non_null(f = fopen(DOC, "w"));
		fwrite(buf_span(&now).p, 1, buf_len(&now), f);
		fclose(f);
	}
	if ((f = fopen(DOC, "r")) == NULL)
		fail_msg("no %s here: run from the top of the tree", DOC);
	assert_non_null(page = calloc(1, buf_len(&now) + 2));
	len = fread(page, 1, buf_len(&now) + 1, f);
	fclose(f);
	if (!span_eq((struct span){page, len}, buf_span(&now)))
		fail_msg("%s is not what msg.def says; "
			 "run with RELAYD_WRITE_DOCS=1",
		    DOC);
	free(page);
	buf_free(&now);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(round_trips),
	    cmocka_unit_test(is_msgpack),
	    cmocka_unit_test(refuses_out_of_bounds_when_encoding),
	    cmocka_unit_test(senders_receivers_descriptors),
	    cmocka_unit_test(truncations_and_trailing_bytes),
	    cmocka_unit_test(every_byte_changed),
	    cmocka_unit_test(wrong_forms),
	    cmocka_unit_test(names),
	    cmocka_unit_test(documentation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
