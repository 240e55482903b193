/* SPDX-License-Identifier: ISC */
/*
 * For the tests of conn and ca: a conn over a socket pair, its owner, a peer
 * that may be a real TLS server, and certificates.  Included by one program
 * each; the sources under test come with it.
 */
#ifndef CONN_FIXTURE_H
#define CONN_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "../../relayd/ca.c"
#include "../../relayd/conn.c"
#include "../../relayd/conn_tls.c"
#include "certs.h"
#include "until.h"

#define NAME  "connector.example"
#define STEPS 200000 /* more turns of the loop than any test needs */

/* What the conn's owner sees, and does. */
struct owner {
	struct conn *c;
	struct conn_ops ops;
	int ups, ends;
	char why[512];
	char *in; /* taken so far */
	size_t inlen;
	size_t calls;	/* of input */
	size_t largest; /* input seen at once */
	const char *out;
	size_t outlen, piece; /* piece: at most so many bytes at once; 0: all */
	size_t frame;	   /* take only whole frames of so many bytes; 0: all */
	size_t stop_after; /* turn reading off after so many bytes; 0: never */
	int free_in_input;
	int sated;
	size_t
	    rests; /* begun: the conn may be awake again when it is looked at */
};

/* The other end. */
struct peer {
	int fd;
	SSL *ssl;
	int up;
};

struct fixture {
	struct engine e;
	struct ca_set *cas;
	struct owner o;
	struct peer p;
	EVP_PKEY *cakey;
	X509 *cacert;
};

HELPER struct ca *
ca_of(struct fixture *f, X509 *x)
{
	char why[LIMIT_REASON + 1] = "";
	int fd = pem_file(x);
	struct ca *ca = ca_load(f->cas, fd, "test CA", why, sizeof(why));

	close(fd);
	assert_string_equal(why, "");
	assert_non_null(ca);
	return ca;
}

/* The owner's handlers. */

HELPER void
on_up(void *arg)
{
	struct owner *o = arg;

	o->ups++;
}

HELPER size_t
on_input(void *arg, char *p, size_t len, size_t room)
{
	struct owner *o = arg;
	size_t n = o->frame == 0 ? len : len / o->frame * o->frame;

	assert_true(len <= room);
	o->calls++;
	if (len > o->largest)
		o->largest = len;
	o->in = realloc(o->in, o->inlen + n + 1);
	assert_non_null(o->in);
	memcpy(o->in + o->inlen, p, n);
	/* It may be changed: nothing of it may come again. */
	memset(p, '!', n);
	o->inlen += n;
	if (o->stop_after != 0 && o->inlen >= o->stop_after) {
		conn_read(o->c, 0);
		o->stop_after = 0;
	}
	if (o->free_in_input) {
		conn_free(o->c);
		o->c = NULL;
	}
	return n;
}

HELPER struct span
on_output(void *arg)
{
	struct owner *o = arg;
	size_t n = o->outlen;

	if (o->piece != 0 && n > o->piece)
		n = o->piece;
	return (struct span){o->out, n};
}

HELPER void
on_written(void *arg, size_t n)
{
	struct owner *o = arg;

	assert_true(n <= o->outlen);
	o->out += n;
	o->outlen -= n;
}

HELPER void
on_ended(void *arg, const char *why)
{
	struct owner *o = arg;

	o->ends++;
	strlcpy(o->why, why, sizeof(o->why));
}

HELPER int
on_sated(void *arg)
{
	struct owner *o = arg;

	/* One that rests asks whether it is over; one that does not, begins. */
	o->rests += o->sated && !o->c->resting;
	return o->sated;
}

static const struct conn_ops owner_ops = {
    on_up, on_input, on_output, on_written, on_sated, on_ended};

/* The fixture. */

HELPER int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int sv[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(tls_init(), 0);
	f->e.base = event_base_new();
	assert_int_equal(conn_init(&f->e), 0);
	f->cas = ca_set_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(fcntl(sv[1], F_SETFL, O_NONBLOCK), 0);
	f->p.fd = sv[1];
	f->o.c = conn_new(&f->e, sv[0], &owner_ops, &f->o);
	assert_non_null(f->o.c);
	f->cakey = key_new();
	f->cacert =
	    cert_new(f->cakey, "test CA", NULL, NULL, f->cakey, -3600, 3600);
	*state = f;
	return 0;
}

HELPER int
teardown(void **state)
{
	struct fixture *f = *state;

	if (f->o.c != NULL)
		conn_free(f->o.c);
	conn_fini(&f->e);
	ca_set_free(f->cas);
	SSL_free(f->p.ssl);
	if (f->p.fd != -1)
		close(f->p.fd);
	event_base_free(f->e.base);
	X509_free(f->cacert);
	EVP_PKEY_free(f->cakey);
	free(f->o.in);
	free(f);
	return 0;
}

/* The other end as a TLS server with that certificate. */
HELPER void
serve(struct fixture *f, X509 *cert, EVP_PKEY *key, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	assert_non_null(ctx);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	if (version != 0) {
		SSL_CTX_set_security_level(ctx, 0);
		SSL_CTX_set_min_proto_version(ctx, version);
		SSL_CTX_set_max_proto_version(ctx, version);
	}
	f->p.ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_fd(f->p.ssl, f->p.fd);
	SSL_set_accept_state(f->p.ssl);
}

/* Both ends go on a little: a rest that begins without TLS has not ended yet,
 * since the loop looks at its timers once. */
HELPER void
step(struct fixture *f)
{
	(void)conn_turn(&f->e);
	event_base_loop(f->e.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	if (f->p.ssl != NULL && !f->p.up)
		f->p.up = SSL_do_handshake(f->p.ssl) == 1;
}

/* Begin TLS for a name against a certificate with these properties. */
HELPER void
tls(struct fixture *f, const char *san, const char *name, long from, long until,
    int version)
{
	EVP_PKEY *key = key_new();
	X509 *cert =
	    cert_new(key, "leaf", san, f->cacert, f->cakey, from, until);
	struct ca *ca = ca_of(f, f->cacert);

	serve(f, cert, key, version);
	assert_int_equal(conn_tls(f->o.c, ca, name), 0);
	ca_release(ca); /* the conn has its own */
	X509_free(cert);
	EVP_PKEY_free(key);
}

HELPER void
tls_good(struct fixture *f)
{
	tls(f, "DNS:" NAME, NAME, -60, 3600, 0);
	UNTIL(f, f->o.ups == 1 && f->p.up);
}

/* The other end reads until it has n bytes. */
HELPER void
peer_reads(struct fixture *f, char *to, size_t n)
{
	size_t got = 0, k;
	ssize_t r;
	int left = STEPS;

	while (got < n && left-- > 0) {
		step(f);
		if (f->p.ssl != NULL) {
			if (SSL_read_ex(f->p.ssl, to + got, n - got, &k) == 1)
				got += k;
		} else if ((r = read(f->p.fd, to + got, n - got)) > 0)
			got += (size_t)r;
	}
	assert_int_equal(got, n);
}

HELPER void
peer_writes(struct fixture *f, const char *p, size_t n)
{
	size_t k;
	ssize_t r;
	int left = STEPS;

	while (n > 0 && left-- > 0) {
		k = 0;
		if (f->p.ssl != NULL)
			(void)SSL_write_ex(f->p.ssl, p, n, &k);
		else if ((r = write(f->p.fd, p, n)) > 0)
			k = (size_t)r;
		p += k;
		n -= k;
		if (n > 0)
			step(f);
	}
	assert_int_equal(n, 0);
}

HELPER void
peer_goes(struct fixture *f)
{
	close(f->p.fd);
	f->p.fd = -1;
}

HELPER char *
pattern(size_t n)
{
	char *p = malloc(n);
	size_t i;

	assert_non_null(p);
	for (i = 0; i < n; i++)
		p[i] = (char)(i * 131 + (i >> 8) * 7 + (i >> 16));
	return p;
}

HELPER void
small_buffers(struct fixture *f)
{
	int size = 4096;

	setsockopt(f->o.c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(f->p.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* It ends once, for that reason. */
HELPER void
ends_with(struct fixture *f, const char *why)
{
	UNTIL(f, f->o.ends > 0);
	assert_string_equal(f->o.why, why);
	step(f);
	assert_int_equal(f->o.ends, 1);
	assert_int_equal(f->o.ups, f->p.up && f->o.ups);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
