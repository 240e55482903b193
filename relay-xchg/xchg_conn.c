/* SPDX-License-Identifier: ISC */
/* The connection of an exchange; see xchg_conn.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tls.h"
#include "xchg_conn.h"

/* Where the bundle came from is not ours to know. */
#define BUNDLE "the trusted bundle"

static enum xchg_io
broken(struct xchg_conn *c, enum xchg_stage stage, const char *why)
{
	c->stage = stage;
	if (why != c->why)
		strlcpy(c->why, why, sizeof(c->why));
	return XCHG_IO_BROKEN;
}

void
xchg_conn_init(struct xchg_conn *c, int fd)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->up = 1;
}

int
xchg_conn_tls(struct xchg_conn *c, SSL_CTX *ctx, struct span name)
{
	/* With its final dot it is the same name; certificates and SNI have
	 * it without. */
	if (name.len > 0 && name.p[name.len - 1] == '.')
		name.len--;
	span_copy(c->name, sizeof(c->name), name);
	c->up = 0;
	if ((c->ssl = SSL_new(ctx)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1 ||
	    !tls_want_name(c->ssl, c->name)) {
		ERR_clear_error();
		(void)broken(
		    c, XSTAGE_TLS, "TLS cannot be set up: out of memory");
		return -1;
	}
	SSL_set_connect_state(c->ssl);
	return 0;
}

/* The system's word; 0 is the end without one, and so is EPIPE. */
static enum xchg_io
system_words(struct xchg_conn *c, int error)
{
	snprintf(c->why, sizeof(c->why), "%s%s",
	    error == 0 || error == EPIPE ? "connection closed by the peer"
					 : strerror(error),
	    c->up ? "" : " during the TLS handshake");
	return broken(c, XSTAGE_IO, c->why);
}

/* OpenSSL's: a peer that went away is no failure of TLS. */
static enum xchg_io
library_words(struct xchg_conn *c)
{
	int cut = ERR_GET_REASON(ERR_peek_error()) ==
	    SSL_R_UNEXPECTED_EOF_WHILE_READING;

	tls_words(c->ssl, c->name, BUNDLE, c->up, c->why, sizeof(c->why));
	return broken(c, cut ? XSTAGE_IO : XSTAGE_TLS, c->why);
}

/* What a call of OpenSSL that returned r means. */
static enum xchg_io
judge(struct xchg_conn *c, int r)
{
	int saved = errno;
	enum xchg_io io;

	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		c->wants = POLLIN;
		return XCHG_IO_WAIT;
	case SSL_ERROR_WANT_WRITE:
		c->wants = POLLOUT;
		return XCHG_IO_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return c->up ? XCHG_IO_END : system_words(c, 0);
	case SSL_ERROR_SYSCALL:
		io = system_words(c, saved);
		break;
	default:
		io = library_words(c);
	}
	ERR_clear_error();
	return io;
}

enum xchg_io
xchg_conn_handshake(struct xchg_conn *c)
{
	int r;

	ERR_clear_error();
	errno = 0;
	if ((r = SSL_do_handshake(c->ssl)) != 1)
		return judge(c, r);
	c->up = 1;
	return XCHG_IO_DONE;
}

/* What a system call that returned n means. */
static enum xchg_io
judge_plain(struct xchg_conn *c, ssize_t n, short wants, size_t *done)
{
	if (n > 0) {
		*done = (size_t)n;
		return XCHG_IO_DONE;
	}
	if (n == 0)
		return XCHG_IO_END;
	if (errno != EAGAIN && errno != EINTR)
		return system_words(c, errno);
	c->wants = wants;
	return XCHG_IO_WAIT;
}

enum xchg_io
xchg_conn_read(struct xchg_conn *c, char *p, size_t n, size_t *done)
{
	*done = 0;
	if (c->ssl == NULL)
		return judge_plain(c, read(c->fd, p, n), POLLIN, done);
	ERR_clear_error();
	errno = 0;
	if (SSL_read_ex(c->ssl, p, n, done) == 1)
		return XCHG_IO_DONE;
	return judge(c, 0);
}

enum xchg_io
xchg_conn_write(struct xchg_conn *c, const char *p, size_t n, size_t *done)
{
	*done = 0;
	if (c->ssl == NULL)
		return judge_plain(c, write(c->fd, p, n), POLLOUT, done);
	ERR_clear_error();
	errno = 0;
	if (SSL_write_ex(c->ssl, p, n, done) == 1)
		return XCHG_IO_DONE;
	return judge(c, 0);
}

void
xchg_conn_end(struct xchg_conn *c)
{
	if (c->ssl == NULL)
		return;
	if (c->up && c->stage == XSTAGE_DONE)
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	c->ssl = NULL;
	ERR_clear_error();
}
