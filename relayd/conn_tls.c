/* SPDX-License-Identifier: ISC */
/* TLS on a connection: OpenSSL directly on the socket, and its failures in
 * words. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "ca.h"
#include "conn_priv.h"

/* Words. */

/* The peer's certificate was not accepted: which of our expectations failed,
 * and what they were. */
static void
verify_words(struct conn *c, long result)
{
	const char *text = X509_verify_cert_error_string(result);

	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		conn_why(c, "certificate verify failed: %s (wanted %s)", text,
		    c->name);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		conn_why(c,
		    "certificate verify failed: %s, or this machine's clock is "
		    "wrong",
		    text);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		conn_why(c,
		    "certificate verify failed: %s (no CA of %.100s vouches "
		    "for it)",
		    text, ca_label(c->ca));
		break;
	default:
		conn_why(c, "certificate verify failed: %s", text);
	}
}

/* What OpenSSL's error queue says. */
static void
library_words(struct conn *c)
{
	unsigned long e = ERR_peek_error();
	long verify = SSL_get_verify_result(c->ssl);
	const char *text = ERR_reason_error_string(e);
	int reason = ERR_GET_REASON(e);

	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
		verify_words(c, verify);
	else if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		conn_why(c, "connection closed by the peer%s",
		    c->up ? "" : " during the TLS handshake");
	else if (reason == SSL_R_WRONG_VERSION_NUMBER && !c->up)
		conn_why(c, "the peer does not speak TLS on this port");
	else
		conn_why(c, "TLS: %s", text != NULL ? text : "unknown error");
}

/* What a call of OpenSSL that returned r means. */
static enum conn_io
judge(struct conn *c, int r, uint8_t *other, int want)
{
	int saved = errno, err = SSL_get_error(c->ssl, r);

	*other = 0;
	switch (err) {
	case SSL_ERROR_WANT_READ:
		*other = want == SSL_ERROR_WANT_WRITE;
		return CONN_BLOCKED;
	case SSL_ERROR_WANT_WRITE:
		*other = want == SSL_ERROR_WANT_READ;
		event_add(c->wr, NULL);
		return CONN_BLOCKED;
	case SSL_ERROR_ZERO_RETURN:
		conn_errno(c, 0);
		return CONN_ENDED;
	case SSL_ERROR_SYSCALL:
		c->broken = 1;
		conn_errno(c, saved);
		return CONN_ENDED;
	default:
		c->broken = 1;
		library_words(c);
		return CONN_ENDED;
	}
}

/* Handshake. */

int
conn_tls_busy(const struct conn *c)
{
	return c->ssl != NULL && !c->up;
}

enum conn_io
conn_tls_handshake(struct conn *c)
{
	enum conn_io r;
	uint8_t other;
	int n;

	ERR_clear_error();
	errno = 0;
	n = SSL_do_handshake(c->ssl);
	if (n != 1) {
		r = judge(c, n, &other, SSL_ERROR_WANT_READ);
		ERR_clear_error();
		return r;
	}
	c->up = 1;
	(void)snprintf(c->tls_text, sizeof(c->tls_text), "%s %s",
	    SSL_get_version(c->ssl), SSL_get_cipher_name(c->ssl));
	return CONN_DONE;
}

/* Whom the certificate must name. */
static int
want_name(struct conn *c)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
	unsigned char addr[sizeof(struct in6_addr)];

	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, c->name, addr) == 1 ||
	    inet_pton(AF_INET6, c->name, addr) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, c->name) == 1;
	return X509_VERIFY_PARAM_set1_host(param, c->name, 0) == 1 &&
	    SSL_set_tlsext_host_name(c->ssl, c->name) == 1;
}

int
conn_tls(struct conn *c, struct ca *ca, const char *name)
{
	size_t n = strlen(name);

	if (c->over || c->dead || c->ssl != NULL)
		return -1;
	/* A name written with its final dot is the same name; certificates
	 * and SNI have it without. */
	if (n > 0 && name[n - 1] == '.')
		n--;
	(void)snprintf(c->name, sizeof(c->name), "%.*s", (int)n, name);
	ca_hold(ca);
	c->ca = ca;
	if ((c->ssl = SSL_new(ca_ctx(ca))) == NULL ||
	    SSL_set_fd(c->ssl, c->fd) != 1 || !want_name(c)) {
		ERR_clear_error();
		conn_fail(c, "TLS cannot be set up: out of memory");
		return -1;
	}
	SSL_set_connect_state(c->ssl);
	conn_kick(c);
	return 0;
}

const char *
conn_tls_text(const struct conn *c)
{
	return c->up ? c->tls_text : NULL;
}

/* Data. */

enum conn_io
conn_tls_read(struct conn *c, size_t room, size_t *n)
{
	enum conn_io r;

	*n = 0;
	if (c->broken) {
		conn_errno(c, 0);
		return CONN_ENDED;
	}
	ERR_clear_error();
	errno = 0;
	if (SSL_read_ex(c->ssl, c->buf + c->len, room, n) == 1) {
		c->read_blocked = 0;
		return CONN_DONE;
	}
	*n = 0;
	r = judge(c, 0, &c->read_blocked, SSL_ERROR_WANT_READ);
	ERR_clear_error();
	return r;
}

enum conn_io
conn_tls_write(struct conn *c, struct span s, size_t *n)
{
	enum conn_io r;
	uint8_t broken = c->broken;

	ERR_clear_error();
	errno = 0;
	if (SSL_write_ex(c->ssl, s.p, s.len, n) == 1) {
		c->write_blocked = 0;
		return CONN_DONE;
	}
	*n = 0;
	r = judge(c, 0, &c->write_blocked, SSL_ERROR_WANT_WRITE);
	ERR_clear_error();
	/* A peer that reads no more may have written before: that is still
	 * to be had. */
	if (r == CONN_ENDED && SSL_in_init(c->ssl) == 0)
		c->broken = broken;
	return r;
}

void
conn_tls_end(struct conn *c)
{
	ca_release(c->ca);
	c->ca = NULL;
	if (c->ssl == NULL)
		return;
	ERR_clear_error();
	if (c->up && !c->broken)
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	c->ssl = NULL;
	ERR_clear_error();
}
