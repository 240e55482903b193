/* SPDX-License-Identifier: ISC */
/* What our TLS clients have in common; see tls.h. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "tls.h"

SSL_CTX *
tls_client_ctx(void)
{
	SSL_CTX *ctx;

	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		return NULL;
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* What the operator put into the bundle is trusted, also when it is
	 * an intermediate or the server's own certificate. */
	X509_VERIFY_PARAM_set_flags(
	    SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return ctx;
}

int
tls_trust(SSL_CTX *ctx, const char *pem, size_t len)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509 *x;
	BIO *bio;
	int n = 0;

	if ((bio = BIO_new_mem_buf(pem, (int)len)) == NULL)
		return -1;
	for (;;) {
		ERR_clear_error();
		if ((x = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) !=
		    NULL) {
			if (X509_STORE_add_cert(store, x) == 1)
				n++;
			X509_free(x);
		} else if (BIO_pending(bio) == 0 ||
		    ERR_GET_REASON(ERR_peek_last_error()) ==
			PEM_R_NO_START_LINE)
			break; /* the end; else one that cannot be read */
	}
	ERR_clear_error();
	BIO_free(bio);
	return n;
}

int
tls_want_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	unsigned char addr[sizeof(struct in6_addr)];

	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, name, addr) == 1 ||
	    inet_pton(AF_INET6, name, addr) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
	    SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* The peer's certificate was not accepted: which of our expectations failed,
 * and what they were. */
static void
verify_words(
    long result, const char *name, const char *label, char *why, size_t cap)
{
	const char *text = X509_verify_cert_error_string(result);

	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		snprintf(why, cap, "certificate verify failed: %s (wanted %s)",
		    text, name);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		snprintf(why, cap,
		    "certificate verify failed: %s, or this machine's clock is "
		    "wrong",
		    text);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		snprintf(why, cap,
		    "certificate verify failed: %s (no CA of %.100s vouches "
		    "for it)",
		    text, label);
		break;
	default:
		snprintf(why, cap, "certificate verify failed: %s", text);
	}
}

void
tls_words(SSL *ssl, const char *name, const char *label, int up, char *why,
    size_t cap)
{
	unsigned long e = ERR_peek_error();
	long verify = SSL_get_verify_result(ssl);
	const char *text = ERR_reason_error_string(e);
	int reason = ERR_GET_REASON(e);

	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
		verify_words(verify, name, label, why, cap);
	else if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		snprintf(why, cap, "connection closed by the peer%s",
		    up ? "" : " during the TLS handshake");
	else if (reason == SSL_R_WRONG_VERSION_NUMBER && !up)
		snprintf(why, cap, "the peer does not speak TLS on this port");
	else
		snprintf(
		    why, cap, "TLS: %s", text != NULL ? text : "unknown error");
}

int
tls_init(void)
{
	unsigned char md[EVP_MAX_MD_SIZE], random[16];
	SSL_CTX *ctx;
	SSL *ssl;
	int ok;

	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG |
		    OPENSSL_INIT_LOAD_SSL_STRINGS |
		    OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
		NULL) != 1 ||
	    (ctx = tls_client_ctx()) == NULL)
		return -1;
	/* The accept of a WebSocket needs SHA-1, the bundles SHA-256. */
	ok = (ssl = SSL_new(ctx)) != NULL &&
	    RAND_bytes(random, sizeof(random)) == 1 &&
	    EVP_Digest("", 0, md, NULL, EVP_sha1(), NULL) == 1 &&
	    EVP_Digest("", 0, md, NULL, EVP_sha256(), NULL) == 1;
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return ok ? 0 : -1;
}
