/* SPDX-License-Identifier: ISC */
/* conn and ca: whose certificate is accepted, and the refusals in words;
 * bundles are shared. */
#include "conn_fixture.h"

/* Verification. */

static void
test_wrong_name(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:other.example", NAME, -60, 3600, 0);
	ends_with(f,
	    "certificate verify failed: hostname mismatch (wanted " NAME ")");
	assert_int_equal(f->o.ups, 0);
}

/* A wildcard stands for one whole label. */
static void
test_partial_wildcard(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:conn*.example", NAME, -60, 3600, 0);
	UNTIL(f, f->o.ends == 1);
	assert_int_equal(f->o.ups, 0);
}

static void
test_final_dot(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:" NAME, NAME ".", -60, 3600, 0);
	UNTIL(f, f->o.ups == 1 && f->p.up);
	assert_string_equal(
	    SSL_get_servername(f->p.ssl, TLSEXT_NAMETYPE_host_name), NAME);
}

static void
test_address(void **state)
{
	struct fixture *f = *state;

	tls(f, "IP:192.0.2.7", "192.0.2.7", -60, 3600, 0);
	UNTIL(f, f->o.ups == 1 && f->p.up);
	assert_null(SSL_get_servername(f->p.ssl, TLSEXT_NAMETYPE_host_name));
}

static void
test_wrong_address(void **state)
{
	struct fixture *f = *state;

	tls(f, "IP:2001:db8::1,DNS:2001-db8.example", "2001:db8::2", -60, 3600,
	    0);
	ends_with(f,
	    "certificate verify failed: IP address mismatch (wanted "
	    "2001:db8::2)");
}

static void
test_expired(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:" NAME, NAME, -7200, -3600, 0);
	ends_with(f,
	    "certificate verify failed: certificate has expired, or this "
	    "machine's clock is wrong");
}

static void
test_not_yet(void **state)
{
	struct fixture *f = *state;

	tls(f, "DNS:" NAME, NAME, 3600, 7200, 0);
	ends_with(f,
	    "certificate verify failed: certificate is not yet valid, or this "
	    "machine's clock is wrong");
}

/* The peer shows that certificate for key, where only trusted vouches. */
static void
refused(struct fixture *f, X509 *cert, EVP_PKEY *key, X509 *trusted,
    const char *why)
{
	struct ca *ca = ca_of(f, trusted);

	serve(f, cert, key, 0);
	assert_int_equal(conn_tls(f->o.c, ca, NAME), 0);
	ends_with(f, why);
	ca_release(ca);
}

static void
test_wrong_ca(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *key = key_new();
	X509 *other = cert_new(key, "other CA", NULL, NULL, key, -60, 3600);
	X509 *cert =
	    cert_new(key, "leaf", "DNS:" NAME, f->cacert, f->cakey, -60, 3600);

	refused(f, cert, key, other,
	    "certificate verify failed: unable to get local issuer "
	    "certificate (no CA of test CA vouches for it)");
	X509_free(other);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void
test_self_signed(void **state)
{
	struct fixture *f = *state;
	EVP_PKEY *key = key_new();
	X509 *cert = cert_new(key, "leaf", "DNS:" NAME, NULL, key, -60, 3600);

	refused(f, cert, key, f->cacert,
	    "certificate verify failed: self-signed certificate (no CA of "
	    "test CA vouches for it)");
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* Bundles. */

static void
test_ca_shared(void **state)
{
	struct fixture *f = *state;
	struct ca *a = ca_of(f, f->cacert), *b, *c;
	EVP_PKEY *key = key_new();
	X509 *other = cert_new(key, "other", NULL, NULL, key, -60, 3600);

	ca_set_round(f->cas);
	b = ca_of(f, f->cacert); /* another file with the same bytes */
	c = ca_of(f, other);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_ptr_not_equal(ca_ctx(a), ca_ctx(c));
	ca_release(a);
	ca_release(c);
	assert_string_equal(ca_label(b), "test CA");
	ca_release(b);
	assert_true(LIST_EMPTY(&f->cas->list));
	X509_free(other);
	EVP_PKEY_free(key);
}

/* A file that changed is read anew in the next configuration. */
static void
test_ca_changed(void **state)
{
	struct fixture *f = *state;
	int fd = pem_file(f->cacert);
	char why[LIMIT_REASON + 1];
	struct ca *a = ca_load(f->cas, fd, "x", why, sizeof(why)), *b;

	assert_non_null(a);
	assert_int_equal(ftruncate(fd, 0), 0);
	ca_set_round(f->cas);
	b = ca_load(f->cas, fd, "x", why, sizeof(why));
	assert_null(b);
	assert_string_equal(why, "x: no certificate found");
	ca_release(a);
	close(fd);
}

static void
test_ca_none(void **state)
{
	struct fixture *f = *state;
	char why[LIMIT_REASON + 1];
	int fd = pem_file(NULL);

	assert_null(ca_load(f->cas, fd, "/etc/x.pem", why, sizeof(why)));
	assert_string_equal(why, "/etc/x.pem: no certificate found");
	assert_int_equal(ftruncate(fd, LIMIT_CA_FILE + 1), 0);
	assert_null(ca_load(f->cas, fd, "/etc/x.pem", why, sizeof(why)));
	assert_string_equal(why, "/etc/x.pem: larger than 4 MiB: no CA bundle");
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_wrong_name),
	    TEST(test_partial_wildcard),
	    TEST(test_final_dot),
	    TEST(test_address),
	    TEST(test_wrong_address),
	    TEST(test_expired),
	    TEST(test_not_yet),
	    TEST(test_wrong_ca),
	    TEST(test_self_signed),
	    TEST(test_ca_shared),
	    TEST(test_ca_changed),
	    TEST(test_ca_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
