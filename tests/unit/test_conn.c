/* SPDX-License-Identifier: ISC */
/* conn: bytes both ways, plain and with TLS; leftovers, pauses, ends. */
#include "conn_fixture.h"

/* Data. */

static void
exchange(struct fixture *f, size_t n, size_t piece)
{
	char *p = pattern(n), *got = malloc(n);

	f->o.out = p;
	f->o.outlen = n;
	f->o.piece = piece;
	conn_want_write(f->o.c);
	peer_reads(f, got, n);
	assert_memory_equal(got, p, n);
	assert_int_equal(f->o.outlen, 0);
	peer_writes(f, p, n);
	UNTIL(f, f->o.inlen == n);
	assert_memory_equal(f->o.in, p, n);
	assert_int_equal(f->o.ends, 0);
	free(got);
	free(p);
}

static void
test_plain(void **state)
{
	exchange(*state, 3 * 1024 * 1024, 0);
}

static void
test_plain_small(void **state)
{
	small_buffers(*state);
	exchange(*state, 300000, 1000);
}

static void
test_plain_bytes(void **state)
{
	exchange(*state, 2000, 1);
}

static void
test_tls(void **state)
{
	struct fixture *f = *state;

	assert_null(conn_tls_text(f->o.c));
	tls_good(f);
	assert_non_null(strstr(conn_tls_text(f->o.c), "TLSv1.3"));
	exchange(f, 3 * 1024 * 1024, 0);
}

static void
test_tls12(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:" NAME, NAME, -60, 3600, TLS1_2_VERSION);
	UNTIL(f, f->o.ups == 1 && f->p.up);
	assert_non_null(strstr(conn_tls_text(f->o.c), "TLSv1.2"));
	exchange(f, 100000, 0);
}

static void
test_tls_small(void **state)
{
	struct fixture *f = *state;

	small_buffers(f);
	tls_good(f);
	exchange(f, 300000, 0);
}

static void
test_tls_bytes(void **state)
{
	struct fixture *f = *state;
	size_t i;

	tls_good(f);
	exchange(f, 500, 1);
	/* A record for each byte, all of them read ahead at once. */
	for (i = 0; i < 500; i++)
		peer_writes(f, "x", 1);
	UNTIL(f, f->o.inlen == 1000);
}

/* What is not taken comes again, with more behind it; between, an idle conn
 * holds only what is left. */
static void
leftover(struct fixture *f)
{
	char *p = pattern(70000);

	f->o.frame = 7000;
	peer_writes(f, p, 6999);
	UNTIL(f, f->o.largest == 6999);
	assert_int_equal(f->o.inlen, 0);
	assert_true(f->o.c->big); /* too much to be moved about */
	peer_writes(f, p + 6999, 1001);
	UNTIL(f, f->o.inlen == 7000);
	UNTIL(f, f->o.c->len == 1000);
	assert_false(f->o.c->big);
	peer_writes(f, p + 8000, 62000);
	UNTIL(f, f->o.inlen == 70000);
	assert_memory_equal(f->o.in, p, 70000);
	UNTIL(f, f->o.c->buf == NULL);
	free(p);
}

static void
test_leftover(void **state)
{
	leftover(*state);
}

static void
test_leftover_tls(void **state)
{
	tls_good(*state);
	leftover(*state);
}

/* A message that can never lie in the buffer ends the connection. */
static void
test_never_taken(void **state)
{
	struct fixture *f = *state;
	char *p = pattern(CONN_BUFFER);

	f->o.frame = CONN_BUFFER + 1;
	peer_writes(f, p, CONN_BUFFER);
	UNTIL(f, f->o.ends == 1);
	assert_string_equal(
	    f->o.why, "the peer sent 256 KiB that make no message");
	free(p);
}

/* Nothing is handed out while reading is off, also of what TLS had read. */
static void
test_read_off(void **state)
{
	struct fixture *f = *state;
	char *p = pattern(600000);
	size_t held;
	int i;

	tls_good(f);
	f->o.stop_after = 1;
	SSL_set_mode(f->p.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	UNTIL(f, f->p.up);
	for (i = 0; i < 40; i++)
		(void)!SSL_write(f->p.ssl, p + i * 1000, 1000);
	UNTIL(f, f->o.inlen > 0);
	held = f->o.inlen;
	for (i = 0; i < 50; i++)
		step(f);
	assert_int_equal(f->o.inlen, held);
	conn_read(f->o.c, 1);
	UNTIL(f, f->o.inlen == 40000);
	assert_memory_equal(f->o.in, p, 40000);
	free(p);
}

/* The handlers may be changed within input: the new ones get the rest. */
static size_t
swap_input(void *arg, char *p, size_t len, size_t room)
{
	struct owner *o = arg;

	(void)room;
	if (len < 4)
		return 0;
	assert_memory_equal(p, "head", 4);
	conn_set_ops(o->c, &owner_ops, o);
	return 4;
}

static void
test_swap(void **state)
{
	struct fixture *f = *state;
	struct conn_ops ops = owner_ops;

	ops.input = swap_input;
	conn_set_ops(f->o.c, &ops, &f->o);
	peer_writes(f, "he", 2);
	step(f);
	step(f);
	peer_writes(f, "adbody", 6);
	UNTIL(f, f->o.inlen == 4);
	assert_memory_equal(f->o.in, "body", 4);
}

static void
test_free_in_input(void **state)
{
	struct fixture *f = *state;

	tls_good(f);
	f->o.free_in_input = 1;
	peer_writes(f, "bye", 3);
	UNTIL(f, f->o.c == NULL);
	step(f);
	assert_int_equal(f->o.ends, 0);
}

/* Last words that the owner pushes out before it frees the conn arrive. */
static void
test_push(void **state)
{
	struct fixture *f = *state;
	char got[9];
	size_t n;

	tls_good(f);
	f->o.out = "last words";
	f->o.outlen = 10;
	conn_push(f->o.c);
	assert_int_equal(f->o.outlen, 0);
	conn_free(f->o.c);
	f->o.c = NULL;
	assert_int_equal(SSL_read_ex(f->p.ssl, got, sizeof(got), &n), 1);
	assert_memory_equal(got, "last word", 9);
	assert_int_equal(SSL_read_ex(f->p.ssl, got, 1, &n), 1);
	/* and a TLS goodbye, not just an end */
	assert_int_equal(SSL_read_ex(f->p.ssl, got, 1, &n), 0);
	assert_int_equal(SSL_get_error(f->p.ssl, 0), SSL_ERROR_ZERO_RETURN);
}

/* Ends. */

static void
test_eof(void **state)
{
	struct fixture *f = *state;

	peer_writes(f, "last", 4);
	peer_goes(f);
	ends_with(f, "connection closed by the peer");
	assert_int_equal(f->o.inlen, 4); /* the last words went before */
}

/* What the peer said before it went is heard, even when a write fails first. */
static void
write_after_close(struct fixture *f)
{
	peer_writes(f, "refused", 7);
	peer_goes(f);
	f->o.out = "x";
	f->o.outlen = 1;
	conn_want_write(f->o.c);
	(void)conn_turn(&f->e);
	assert_int_equal(f->o.inlen, 7);
}

static void
test_write_after_close(void **state)
{
	struct fixture *f = *state;

	write_after_close(f);
	ends_with(f, "connection closed by the peer");
}

static void
test_write_after_close_tls(void **state)
{
	struct fixture *f = *state;

	tls_good(f);
	write_after_close(f);
	assert_int_equal(f->o.ends, 1);
}

static void
test_tls_goodbye(void **state)
{
	struct fixture *f = *state;

	tls_good(f);
	SSL_shutdown(f->p.ssl);
	ends_with(f, "connection closed by the peer");
}

static void
test_tls_cut(void **state)
{
	struct fixture *f = *state;

	tls_good(f);
	peer_goes(f);
	ends_with(f, "connection closed by the peer");
}

static void
test_handshake_cut(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:" NAME, NAME, -60, 3600, 0);
	SSL_free(f->p.ssl);
	f->p.ssl = NULL;
	(void)conn_turn(&f->e);
	shutdown(f->p.fd, SHUT_WR);
	UNTIL(f, f->o.ends == 1);
	assert_string_equal(
	    f->o.why, "connection closed by the peer during the TLS handshake");
}

static void
test_not_tls(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:" NAME, NAME, -60, 3600, 0);
	SSL_free(f->p.ssl);
	f->p.ssl = NULL;
	peer_writes(f, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	ends_with(f, "the peer does not speak TLS on this port");
}

static void
test_old_tls(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:" NAME, NAME, -60, 3600, TLS1_1_VERSION);
	UNTIL(f, f->o.ends == 1);
	assert_int_equal(strncmp(f->o.why, "TLS: ", 5), 0);
	assert_int_equal(f->o.ups, 0);
}

static void
test_fail(void **state)
{
	struct fixture *f = *state;

	conn_fail(f->o.c, "because");
	assert_int_equal(f->o.ends, 0);
	ends_with(f, "because");
}

/* A sated owner is given a little at a time, but given; one that is not any
 * more, the rest. */
static void
rests(struct fixture *f)
{
	char *p = pattern(150000);
	size_t rests;

	f->o.sated = 1;
	peer_writes(f, p, 75000);
	UNTIL(f, f->o.inlen == 75000);
	UNTIL(f, !f->o.c->resting);
	assert_true(f->o.rests > 0);
	assert_in_range(f->o.largest, 1, READ_BYTES);
	rests = f->o.rests;
	peer_writes(f, p + 75000, 75000);
	UNTIL(f, f->o.rests > rests);
	f->o.sated = 0;
	UNTIL(f, f->o.inlen == 150000);
	assert_memory_equal(f->o.in, p, 150000);
	UNTIL(f, !f->o.c->resting);
	free(p);
}

static void
test_rest(void **state)
{
	rests(*state);
}

static void
test_rest_tls(void **state)
{
	tls_good(*state);
	rests(*state);
}

/* Reading that is turned off stays off after a rest; and a rest ends with the
 * conn. */
static void
test_rest_ends(void **state)
{
	struct fixture *f = *state;
	char *p = pattern(150000);
	size_t seen;

	f->o.sated = 1;
	peer_writes(f, p, 1); /* without a step */
	UNTIL(f, f->o.c->resting);
	conn_read(f->o.c, 0);
	f->o.sated = 0;
	UNTIL(f, !f->o.c->resting);
	seen = f->o.inlen;
	peer_writes(f, p, 150000);
	step(f);
	step(f);
	assert_int_equal(f->o.inlen, seen);
	f->o.sated = 1;
	conn_read(f->o.c, 1);
	UNTIL(f, f->o.c->resting);
	conn_free(f->o.c);
	f->o.c = NULL;
	step(f);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_plain),
	    TEST(test_plain_small),
	    TEST(test_plain_bytes),
	    TEST(test_tls),
	    TEST(test_tls12),
	    TEST(test_tls_small),
	    TEST(test_tls_bytes),
	    TEST(test_leftover),
	    TEST(test_leftover_tls),
	    TEST(test_never_taken),
	    TEST(test_read_off),
	    TEST(test_rest),
	    TEST(test_rest_tls),
	    TEST(test_rest_ends),
	    TEST(test_swap),
	    TEST(test_free_in_input),
	    TEST(test_push),
	    TEST(test_eof),
	    TEST(test_write_after_close),
	    TEST(test_write_after_close_tls),
	    TEST(test_tls_goodbye),
	    TEST(test_tls_cut),
	    TEST(test_handshake_cut),
	    TEST(test_not_tls),
	    TEST(test_old_tls),
	    TEST(test_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
