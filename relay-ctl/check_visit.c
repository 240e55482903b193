/* SPDX-License-Identifier: ISC */
/*
 * A child of a check, behind the engine's walls, with one connection: through
 * a proxy, by TLS, to an answer that tells the time.
 */
#include <sys/socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "check_child.h"
#include "client.h"
#include "ctl.h"
#include "http.h"
#include "proxy.h"
#include "tls.h"

enum { IN_PEER = CHECK_INPUT, IN_USERPASS, IN_CA };

struct visit {
	const struct check_visit *v;
	SSL_CTX *ctx;
	SSL *ssl; /* NULL: without TLS */
	struct check_peer said;
	int64_t until; /* the step's deadline */
};

static void
tell(struct visit *w)
{
	check_child_tell(&w->said, sizeof(w->said), -1);
	memset(&w->said, 0, sizeof(w->said));
}

/* Tell that a step failed, and end. */
static void __attribute__((noreturn)) give_up(struct visit *w, const char *why)
{
	if (w->said.why[0] == '\0')
		strlcpy(w->said.why, why, sizeof(w->said.why));
	tell(w);
	_exit(0);
}

static void
begin(struct visit *w, enum check_stage stage, int ms)
{
	w->said.stage = stage;
	w->said.date = -1;
	w->until = client_now() + ms;
}

/* Wait for the connection, within the step's time. */
static void
await(struct visit *w, short events)
{
	struct pollfd p = {.fd = IN_PEER, .events = events};
	int64_t left = w->until - client_now();

	if (left <= 0 || poll(&p, 1, (int)left) == 0)
		give_up(w, "no answer in time");
}

/* The proxy. */

static void
send_all(struct visit *w, const char *p, size_t n)
{
	ssize_t r;

	while (n > 0) {
		r = write(IN_PEER, p, n);
		if (r == -1 && errno != EAGAIN && errno != EINTR)
			give_up(w, strerror(errno));
		if (r == -1) {
			await(w, POLLOUT);
			continue;
		}
		p += r;
		n -= (size_t)r;
	}
}

/* user:password, of a file that nobody before us read. */
static struct span
userpass(const struct visit *w, char room[PROXY_USERPASS_MAX + 2])
{
	ssize_t n = pread(IN_USERPASS, room, PROXY_USERPASS_MAX + 1, 0);

	if (n <= 0)
		return span_str(
		    w->v->userpass[0] == '\0' ? NULL : w->v->userpass);
	while (n > 0 && (room[n - 1] == '\n' || room[n - 1] == '\r'))
		n--;
	return (struct span){
	    room, n > PROXY_USERPASS_MAX ? PROXY_USERPASS_MAX : (size_t)n};
}

static void
tunnel(struct visit *w)
{
	char request[PROXY_REQUEST_MAX], room[PROXY_USERPASS_MAX + 2];
	struct proxy_reader reader = {0};
	enum proxy_got got;
	size_t n;

	begin(w, STAGE_TUNNEL, CHECK_TUNNEL_MS);
	n = proxy_request(
	    request, w->v->to.host, w->v->to.port, userpass(w, room));
	send_all(w, request, n);
	explicit_bzero(request, sizeof(request));
	explicit_bzero(room, sizeof(room));
	while ((got = proxy_read(&reader, IN_PEER, w->said.why)) == PROXY_MORE)
		await(w, POLLIN);
	if (got != PROXY_OPEN)
		give_up(w, "refused");
	w->said.ok = 1;
	tell(w);
}

/* The certificate. */

static int64_t
unix_time(const ASN1_TIME *t)
{
	struct tm tm;

	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;
}

static void
put_name(char *out, const X509_NAME *name)
{
	BIO *b = BIO_new(BIO_s_mem());
	int n;

	if (b == NULL)
		return;
	X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
	n = BIO_read(b, out, CHECK_NAMES - 1);
	out[n < 0 ? 0 : n] = '\0';
	BIO_free(b);
}

/* One name that a certificate bears; addresses become text in room.  Empty for
 * what is neither a host nor an address. */
static struct span
one_name(const GENERAL_NAME *name, char room[INET6_ADDRSTRLEN])
{
	const ASN1_STRING *s;
	int len;

	if (name->type == GEN_DNS) {
		s = name->d.dNSName;
		len = ASN1_STRING_length(s);
		return (struct span){
		    (const char *)ASN1_STRING_get0_data(s), (size_t)len};
	}
	if (name->type != GEN_IPADD)
		return span_str(NULL);
	s = name->d.iPAddress;
	len = ASN1_STRING_length(s);
	if ((len != 4 && len != 16) ||
	    inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s),
		room, INET6_ADDRSTRLEN) == NULL)
		return span_str(NULL);
	return span_str(room);
}

/* The hosts and addresses that a certificate is for, as many as there is room
 * for. */
static void
put_names(char out[CHECK_NAMES], const X509 *x)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	char room[INET6_ADDRSTRLEN];
	struct span s;
	size_t n = 0;
	int i;

	for (i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
		s = one_name(sk_GENERAL_NAME_value(names, i), room);
		if (s.len == 0)
			continue;
		if (s.len + 3 > CHECK_NAMES - n)
			break;
		if (n > 0) {
			memcpy(out + n, ", ", 2);
			n += 2;
		}
		memcpy(out + n, s.p, s.len);
		n += s.len;
	}
	out[n] = '\0';
	GENERAL_NAMES_free(names);
}

/* Each certificate that is looked at: the peer's own tells its names, and the
 * one that fails its end.  The verdict stays OpenSSL's. */
static int
look(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct visit *w = SSL_get_app_data(ssl);
	const X509 *own = X509_STORE_CTX_get0_cert(store);
	X509 *at = X509_STORE_CTX_get_current_cert(store);

	if (own != NULL && w->said.issuer[0] == '\0') {
		put_names(w->said.names, own);
		put_name(w->said.issuer, X509_get_issuer_name(own));
	}
	if (!ok && at != NULL && w->said.not_after == 0) {
		w->said.not_after = unix_time(X509_get0_notAfter(at));
		put_name(w->said.ends, X509_get_subject_name(at));
	}
	return ok;
}

/* Of the chain that was verified, the first to end. */
static void
find_end(struct visit *w)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(w->ssl);
	const X509 *first = NULL, *x;
	int64_t end;
	int i;

	for (i = 0; i < sk_X509_num(chain); i++) {
		x = sk_X509_value(chain, i);
		end = unix_time(X509_get0_notAfter(x));
		if (first == NULL || end < w->said.not_after) {
			w->said.not_after = end;
			first = x;
		}
	}
	if (first != NULL)
		put_name(w->said.ends, X509_get_subject_name(first));
}

/* Before the walls: what OpenSSL loads. */
static void
prepare(struct visit *w)
{
	if (w->v->to.tls &&
	    (tls_init() == -1 || (w->ctx = tls_client_ctx()) == NULL))
		_exit(1);
	/* What local times and messages are made of. */
	(void)strerror(EAGAIN);
	tzset();
}

static void
trust(struct visit *w)
{
	char *pem;
	ssize_t n = 0;
	size_t len = 0;

	if ((pem = malloc(LIMIT_CA_FILE)) == NULL)
		give_up(w, "out of memory");
	while (len < LIMIT_CA_FILE &&
	    (n = pread(IN_CA, pem + len, LIMIT_CA_FILE - len, (off_t)len)) > 0)
		len += (size_t)n;
	if (tls_trust(w->ctx, pem, len) > 0) {
		free(pem);
		return;
	}
	snprintf(w->said.why, sizeof(w->said.why),
	    "no certificate in the bundle %.150s", w->v->label);
	give_up(w, "");
}

/* Wait as OpenSSL wants to.  -1: the call failed. */
static int
again(struct visit *w, int r)
{
	switch (SSL_get_error(w->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		await(w, POLLIN);
		return 0;
	case SSL_ERROR_WANT_WRITE:
		await(w, POLLOUT);
		return 0;
	default:
		return -1;
	}
}

static void
handshake(struct visit *w)
{
	int r, saved;

	begin(w, STAGE_TLS, CHECK_TLS_MS);
	trust(w);
	if ((w->ssl = SSL_new(w->ctx)) == NULL ||
	    SSL_set_fd(w->ssl, IN_PEER) != 1 ||
	    !tls_want_name(w->ssl, w->v->name))
		give_up(w, "out of memory");
	SSL_set_app_data(w->ssl, w);
	SSL_set_verify(w->ssl, SSL_VERIFY_PEER, look);
	SSL_set_connect_state(w->ssl);
	do {
		ERR_clear_error();
		errno = 0;
		r = SSL_do_handshake(w->ssl);
		saved = errno;
	} while (r != 1 && again(w, r) == 0);
	w->said.verify = (int32_t)SSL_get_verify_result(w->ssl);
	if (r != 1) {
		if (ERR_peek_error() != 0)
			tls_words(w->ssl, w->v->name, w->v->label, 0,
			    w->said.why, sizeof(w->said.why));
		give_up(w,
		    saved != 0 ? strerror(saved)
			       : "connection closed by the peer");
	}
	w->said.not_after = 0;
	find_end(w);
	snprintf(w->said.tls, sizeof(w->said.tls), "%s %s",
	    SSL_get_version(w->ssl), SSL_get_cipher_name(w->ssl));
	w->said.ok = 1;
	tell(w);
}

/* The time. */

static void
put_request(struct visit *w)
{
	char text[URL_PATH_MAX + URL_HOST_MAX + 128];
	size_t n = 0;
	int r;

	r = snprintf(text, sizeof(text),
	    "HEAD %s/ HTTP/1.1\r\nHost: %s\r\nUser-Agent: relay-ctl/" VERSION
	    "\r\nConnection: close\r\n\r\n",
	    w->v->to.base, w->v->to.authority);
	if (w->ssl == NULL) {
		send_all(w, text, (size_t)r);
		return;
	}
	while ((r = SSL_write_ex(w->ssl, text, strlen(text), &n)) != 1)
		if (again(w, r) == -1)
			give_up(w, "connection closed by the peer");
}

/* Bytes that came; 0 at the end. */
static size_t
get_some(struct visit *w, char *p, size_t room)
{
	size_t n = 0;
	ssize_t got;
	int r;

	if (w->ssl != NULL) {
		ERR_clear_error();
		while ((r = SSL_read_ex(w->ssl, p, room, &n)) != 1)
			if (again(w, r) == -1)
				return 0;
		return n;
	}
	while ((got = read(IN_PEER, p, room)) == -1) {
		if (errno != EAGAIN && errno != EINTR)
			return 0;
		await(w, POLLIN);
	}
	return (size_t)got;
}

static void
ask_time(struct visit *w)
{
	char head[HTTP_HEAD_MAX];
	struct http_head h;
	struct timespec now;
	ptrdiff_t whole = 0;
	size_t len = 0, n;

	begin(w, STAGE_ANSWER, CHECK_ANSWER_MS);
	put_request(w);
	while (whole == 0) {
		if (len == sizeof(head))
			give_up(w, "its answer's head is too long");
		n = get_some(w, head + len, sizeof(head) - len);
		if (n == 0)
			give_up(
			    w, "it closed the connection without an answer");
		len += n;
		whole = http_parse_response(&h, head, len);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	if (whole < 0)
		give_up(w, h.err);
	w->said.status = h.status;
	w->said.date = http_date(http_header(&h, "Date", NULL));
	w->said.now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	w->said.ok = 1;
	tell(w);
}

void
check_visit(const void *arg)
{
	struct visit w = {.v = arg};

	prepare(&w);
	check_child_confine(ROLE_ENGINE, NULL, 0);
	if (w.v->proxy)
		tunnel(&w);
	if (w.v->to.tls)
		handshake(&w);
	if (!w.v->untimed)
		ask_time(&w);
}
