/* SPDX-License-Identifier: ISC */
/* Certificates for the tests of TLS, and where they are written. */
#ifndef CERTS_H
#define CERTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* Not every program needs every helper. */
#define HELPER __attribute__((unused)) static

HELPER EVP_PKEY *
key_new(void)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");

	assert_non_null(k);
	return k;
}

HELPER void
extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(ext);
	assert_int_equal(X509_add_ext(x, ext, -1), 1);
	X509_EXTENSION_free(ext);
}

/* A certificate for key, by issuer (NULL: by itself), valid from and until so
 * many seconds from now. */
HELPER X509 *
cert_new(EVP_PKEY *key, const char *cn, const char *san, X509 *issuer,
    EVP_PKEY *issuerkey, long from, long until)
{
	static long serial;
	X509 *x = X509_new();
	X509_NAME *name;

	assert_non_null(x);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), from);
	X509_gmtime_adj(X509_getm_notAfter(x), until);
	X509_set_pubkey(x, key);
	name = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(
	    name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(
	    x, issuer == NULL ? name : X509_get_subject_name(issuer));
	extend(x, NID_basic_constraints,
	    issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	if (san != NULL)
		extend(x, NID_subject_alt_name, san);
	assert_true(X509_sign(x, issuerkey, EVP_sha256()) > 0);
	return x;
}

/* A file with the certificate, to be read from its beginning. */
HELPER int
pem_file(X509 *x)
{
	FILE *f = tmpfile();
	int fd;

	assert_non_null(f);
	if (x != NULL)
		assert_int_equal(PEM_write_X509(f, x), 1);
	else
		fputs("nothing in here\n", f);
	fflush(f);
	fd = dup(fileno(f));
	fclose(f);
	return fd;
}

#endif
