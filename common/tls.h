/* SPDX-License-Identifier: ISC */
/*
 * What our TLS clients have in common: from which version on, whose word
 * counts, whom the certificate must name, and failures in words a person can
 * act on.  Without I/O.
 */
#ifndef TLS_H
#define TLS_H

#include <stddef.h>

#include <openssl/ssl.h>

/* Load what OpenSSL loads lazily, while files can still be opened; its
 * configuration file is left unread.  0 or -1. */
int tls_init(void);

/* A client's context that verifies its peer (TLS 1.2 and newer), without
 * certificates yet; the caller's to SSL_CTX_free.  NULL without memory. */
SSL_CTX *tls_client_ctx(void);

/* Trust the certificates of a bundle (PEM); what cannot be read in between is
 * left out.  Returns how many there were, or -1 without memory. */
int tls_trust(SSL_CTX *ctx, const char *pem, size_t len);

/* The peer's certificate must name this host or address, and the host is told
 * (SNI).  A name written with its final dot is the same name: leave that out
 * here.  1, or 0 without memory. */
int tls_want_name(SSL *ssl, const char *name);

/* Why a call failed, of what OpenSSL's error queue says first: a sentence in
 * why.  name is the one wanted, label says where the bundle came from; up is
 * whether the handshake was over. */
void tls_words(SSL *ssl, const char *name, const char *label, int up, char *why,
    size_t cap);

#endif
