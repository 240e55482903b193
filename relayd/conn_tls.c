/* SPDX-License-Identifier: ISC */
/* TLS on a connection: OpenSSL directly on the socket, and its failures in
 * words. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>
#include <openssl/err.h>

#include "ca.h"
#include "conn_priv.h"
#include "tls.h"

/* What OpenSSL's error queue says. */
static void
library_words(struct conn *c)
{
	char why[CONN_WHY + 1];

	tls_words(c->ssl, c->name, ca_label(c->ca), c->up, why, sizeof(why));
	conn_why(c, "%s", why);
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
	    SSL_set_fd(c->ssl, c->fd) != 1 || !tls_want_name(c->ssl, c->name)) {
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
