/* SPDX-License-Identifier: ISC */
/*
 * For the tests of relay-xchg: the real program, started as the supervisor
 * starts it, between a pipe that is relay-authd's and a scripted server in a
 * process of its own.  Included by one program each.
 */
#ifndef XCHG_FIXTURE_H
#define XCHG_FIXTURE_H

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/ssl.h>

#include "certs.h"
#include "log.h"
#include "pipe.h"

#define NAME	 "connector.example"
#define NOBODY	 65534
#define LIFE	 40 /* seconds that any process of a test may live */
#define SEEN_MAX (128 * 1024)

/* Where the server ends its part. */
enum until {
	TO_THE_END,
	TO_ACCEPT,    /* closes at once */
	TO_HELLO,     /* answers and closes within the handshake */
	TO_HANDSHAKE, /* closes before it reads the request */
	TO_ANSWER     /* closes without a word of TLS */
};

struct server {
	int plain; /* no TLS */
	X509 *cert;
	EVP_PKEY *key;
	const char *answer;
	size_t len;   /* of it; 0: it is text */
	size_t piece; /* bytes written at once; 0: all */
	enum until until;
	int stalls; /* says nothing more then, but does not close */
};

/* One exchange under way. */
struct run {
	pid_t server, xchg;
	int seen; /* what the server saw of the request */
	int log;
	struct pipe *p;
	int answered, gone;
	struct msg_xanswer m; /* texts are copies, to be freed with it */
	char *text;
	char reason[LIMIT_REASON + 1];
	char *request;
	int status;
	char said[2048]; /* its log */
};

struct world {
	EVP_PKEY *cakey, *key;
	X509 *ca, *cert;
	int bundle;
	int program;
	char dir[32]; /* the empty one */
};

/* The server. */

HELPER void
serve_write(SSL *ssl, int fd, const char *p, size_t n)
{
	if (ssl != NULL)
		(void)SSL_write(ssl, p, (int)n);
	else
		(void)!write(fd, p, n);
}

HELPER size_t
serve_read(SSL *ssl, int fd, char *p, size_t n)
{
	ssize_t r = ssl != NULL ? SSL_read(ssl, p, (int)n) : read(fd, p, n);

	return r < 0 ? 0 : (size_t)r;
}

/* Read a whole request and pass it on. */
HELPER void
serve_request(SSL *ssl, int fd, int seen)
{
	char *p = calloc(1, SEEN_MAX), *end = NULL, *told;
	size_t n = 0, got = 1, whole = SIZE_MAX;

	while (got > 0 && n < whole && n < SEEN_MAX - 1) {
		got = serve_read(ssl, fd, p + n, SEEN_MAX - 1 - n);
		n += got;
		if (end == NULL && (end = strstr(p, "\r\n\r\n")) != NULL) {
			told = strstr(p, "Content-Length: ");
			whole = (size_t)(end - p) + 4 +
			    (told == NULL ? 0 : (size_t)atol(told + 16));
		}
	}
	(void)!write(seen, p, n);
	free(p);
}

HELPER void
serve_answer(const struct server *s, SSL *ssl, int fd)
{
	size_t len = s->len, n, at;

	if (s->answer == NULL)
		return;
	if (len == 0)
		len = strlen(s->answer);
	for (at = 0; at < len; at += n) {
		n = s->piece == 0 || s->piece > len - at ? len - at : s->piece;
		serve_write(ssl, fd, s->answer + at, n);
	}
}

HELPER SSL *
serve_tls(const struct server *s, int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	SSL *ssl;

	SSL_CTX_use_certificate(ctx, s->cert);
	SSL_CTX_use_PrivateKey(ctx, s->key);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	return SSL_accept(ssl) == 1 ? ssl : NULL;
}

HELPER _Noreturn void
serve_end(const struct server *s)
{
	while (s->stalls)
		pause();
	_exit(0);
}

HELPER _Noreturn void
serve(const struct server *s, int fd, int seen)
{
	SSL *ssl = NULL;
	char hello[4096];

	alarm(LIFE);
	if (s->until == TO_ACCEPT)
		serve_end(s);
	if (s->until == TO_HELLO) {
		(void)!read(fd, hello, sizeof(hello));
		serve_answer(s, NULL, fd);
		serve_end(s);
	}
	if (!s->plain && (ssl = serve_tls(s, fd)) == NULL)
		_exit(0);
	if (s->until == TO_HANDSHAKE)
		serve_end(s);
	serve_request(ssl, fd, seen);
	serve_answer(s, ssl, fd);
	close(seen);
	if (s->until == TO_ANSWER || s->stalls)
		serve_end(s);
	if (ssl != NULL)
		SSL_shutdown(ssl);
	_exit(0);
}

/* The exchange. */

HELPER void
set_fd(int from, int to)
{
	dup2(from, to);
}

/* Whether it runs as it does in production: as root, in an empty directory. */
HELPER int
as_root(void)
{
	return geteuid() == 0 && getpwnam(role_row(ROLE_XCHG)->user) != NULL;
}

HELPER _Noreturn void
start_xchg(const struct world *w, int log, int peer, int input)
{
	char pid[16], r[] = "-R", name[] = "exchange", p[] = "-P", c[] = "-C",
		      title[] = "relayd: exchange", dir[sizeof(w->dir)];
	char *argv[8] = {title, r, name, p, pid, NULL}, *env[] = {NULL};
	const int null = open("/dev/null", O_RDWR);
	int program = fcntl(w->program, F_DUPFD_CLOEXEC, 20);

	alarm(LIFE);
	snprintf(pid, sizeof(pid), "%d", (int)getppid());
	memcpy(dir, w->dir, sizeof(dir));
	if (as_root()) {
		argv[5] = c;
		argv[6] = dir;
		argv[7] = NULL;
	}
	log = fcntl(log, F_DUPFD_CLOEXEC, 20);
	peer = fcntl(peer, F_DUPFD_CLOEXEC, 20);
	input = fcntl(input, F_DUPFD_CLOEXEC, 20);
	set_fd(log, FD_LOG);
	set_fd(null, FD_SUPERVISOR);
	set_fd(peer, FD_PEER);
	set_fd(input, FD_INPUT);
	if (geteuid() == 0 && !as_root() &&
	    (setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
		setresuid(NOBODY, NOBODY, NOBODY) == -1))
		_exit(98);
	fexecve(program, argv, env);
	_exit(97);
}

/* relay-authd's side of the pipe. */

HELPER struct span
copy(struct run *r, size_t *used, struct span s)
{
	char *to = r->text + *used;

	memcpy(to, s.p, s.len);
	to[s.len] = '\0';
	*used += s.len + 1;
	return (struct span){to, s.len};
}

HELPER const char *
on_answer(struct pipe *p, struct msg *m, void *arg)
{
	struct run *r = arg;
	size_t used = 0;

	(void)p;
	assert_int_equal(m->type, MSG_XANSWER);
	assert_int_equal(m->corr, 77);
	r->answered++;
	r->m = m->u.xanswer;
	r->text = realloc(r->text, LIMIT_PACKET);
	span_copy(r->reason, sizeof(r->reason), r->m.reason);
	r->m.token = copy(r, &used, r->m.token);
	r->m.secret = copy(r, &used, r->m.secret);
	r->m.delivery_key = copy(r, &used, r->m.delivery_key);
	r->m.tenant = copy(r, &used, r->m.tenant);
	r->m.gateway_id = copy(r, &used, r->m.gateway_id);
	return NULL;
}

HELPER void
on_bad(struct pipe *p, const char *why, void *arg)
{
	(void)p;
	(void)arg;
	fail_msg("bad pipe: %s", why);
}

HELPER void
on_gone(struct pipe *p, void *arg)
{
	struct run *r = arg;

	(void)p;
	r->gone = 1;
}

static const struct pipe_ops authd_ops = {on_answer, NULL, on_bad, on_gone};

/* Start the program with its input, which stays the caller's. */
HELPER void
run_start(struct run *r, const struct world *w, int input)
{
	int log[2], peer[2];

	memset(r, 0, sizeof(*r));
	r->seen = -1;
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	assert_int_equal(pipe_pair(peer), 0);
	assert_int_not_equal(r->xchg = fork(), -1);
	if (r->xchg == 0)
		start_xchg(w, log[1], peer[1], input);
	close(log[1]);
	close(peer[1]);
	r->log = log[0];
	r->p = pipe_new(NULL, peer[0], ROLE_AUTHD, ROLE_XCHG, &authd_ops, r);
	assert_non_null(r->p);
}

HELPER void
run_ask(struct run *r, const struct msg_xrequest *q, int sock)
{
	assert_int_equal(pipe_send(r->p, MSG_XREQUEST, 77, q, sock), 0);
}

/* Start the server, after the program; returns the other end of its
 * connection. */
HELPER int
run_serve(struct run *r, const struct server *s)
{
	int sock[2], seen[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	assert_int_equal(pipe2(seen, O_CLOEXEC), 0);
	/* A request that is not waited for must not block the server. */
	fcntl(seen[1], F_SETPIPE_SZ, SEEN_MAX);
	assert_int_not_equal(r->server = fork(), -1);
	if (r->server == 0) {
		signal(SIGPIPE, SIG_IGN);
		close(sock[0]);
		close(pipe_fd(r->p));
		serve(s, sock[1], seen[1]);
	}
	close(sock[1]);
	close(seen[1]);
	r->seen = seen[0];
	return sock[0];
}

HELPER char *
read_all(int fd)
{
	char *p = calloc(1, SEEN_MAX);
	size_t n = 0;
	ssize_t got;

	while ((got = read(fd, p + n, SEEN_MAX - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	return p;
}

/* Until the exchange ended, with its answer or without. */
HELPER void
run_wait(struct run *r)
{
	struct pollfd p = {.fd = pipe_fd(r->p), .events = POLLIN};
	char *said;

	while (!r->gone) {
		if (poll(&p, 1, LIFE * 1000) != 1)
			fail_msg("the exchange does not end");
		pipe_drain(r->p);
	}
	assert_int_equal(waitpid(r->xchg, &r->status, 0), r->xchg);
	said = read_all(r->log);
	strlcpy(r->said, said, sizeof(r->said));
	free(said);
	if (r->server != 0) {
		kill(r->server, SIGTERM);
		waitpid(r->server, NULL, 0);
		r->request = read_all(r->seen);
	}
}

HELPER void
run_end(struct run *r)
{
	pipe_free(r->p);
	free(r->text);
	free(r->request);
}

/* A request as relay-authd makes it. */
HELPER struct msg_xrequest
request(enum xchg_answer answer)
{
	struct msg_xrequest q = {.answer = answer,
	    .tls = 1,
	    .server_name = SPAN_LIT(NAME),
	    .host = SPAN_LIT(NAME ":8443"),
	    .path = SPAN_LIT("/base/relay/provision"),
	    .bearer = SPAN_LIT("identity.token"),
	    .content_type = SPAN_LIT("application/json"),
	    .body = SPAN_LIT("{\"gatewayId\":\"gw-x\"}")};

	return q;
}

/* A whole exchange with a server; the run is to be ended. */
HELPER void
run_with(struct run *r, const struct world *w, struct server s,
    const struct msg_xrequest *q)
{
	int sock, input;

	if (s.cert == NULL) {
		s.cert = w->cert;
		s.key = w->key;
	}
	s.plain = !q->tls;
	/* As the supervisor lays it ready. */
	input = q->tls ? dup(w->bundle) : open("/dev/null", O_RDONLY);
	assert_int_not_equal(input, -1);
	run_start(r, w, input);
	close(input);
	sock = run_serve(r, &s);
	run_ask(r, q, sock);
	close(sock);
	run_wait(r);
	if (r->answered != 1 || !WIFEXITED(r->status) ||
	    WEXITSTATUS(r->status) != 0)
		fail_msg("%d answers, status %x, log: %s", r->answered,
		    (unsigned)r->status, r->said);
}

/* Answers. */

#define OK(body_len)                                                 \
	"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" \
	"Content-Length: " body_len "\r\n\r\n"
#define DATE 784111777
#define GOOD OK("16") "{\"secret\":\"5ec\"}"

HELPER void
outcome(const struct run *r, enum xchg_stage stage, uint64_t status,
    const char *reason)
{
	if (r->m.stage != stage || r->m.status != status ||
	    strcmp(r->reason, reason) != 0)
		fail_msg("stage %d status %d \"%s\", not %d %d \"%s\"",
		    (int)r->m.stage, (int)r->m.status, r->reason, (int)stage,
		    (int)status, reason);
}

HELPER void
text(struct span s, const char *wanted)
{
	assert_int_equal(s.len, strlen(wanted));
	assert_memory_equal(s.p, wanted, s.len);
}

/* The world. */

/* The program beside which this one was built. */
HELPER int
open_program(void)
{
	char path[1024];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	char *slash;
	int i;

	assert_true(n > 0);
	path[n] = '\0';
	for (i = 0; i < 3; i++) {
		assert_non_null(slash = strrchr(path, '/'));
		*slash = '\0';
	}
	strlcat(path, "/relay-xchg", sizeof(path));
	return open(path, O_RDONLY | O_CLOEXEC);
}

HELPER int
world_new(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	signal(SIGPIPE, SIG_IGN);
	if (w == NULL || (w->program = open_program()) == -1)
		return -1;
	strlcpy(w->dir, "/tmp/xchg-empty-XXXXXX", sizeof(w->dir));
	if (mkdtemp(w->dir) == NULL || chmod(w->dir, 0755) == -1)
		return -1;
	w->cakey = key_new();
	w->key = key_new();
	w->ca =
	    cert_new(w->cakey, "test CA", NULL, NULL, w->cakey, -3600, 3600);
	w->cert =
	    cert_new(w->key, "leaf", "DNS:" NAME, w->ca, w->cakey, -60, 3600);
	w->bundle = pem_file(w->ca);
	*state = w;
	return 0;
}

HELPER int
world_free(void **state)
{
	struct world *w = *state;

	rmdir(w->dir);
	close(w->bundle);
	close(w->program);
	X509_free(w->ca);
	X509_free(w->cert);
	EVP_PKEY_free(w->key);
	EVP_PKEY_free(w->cakey);
	free(w);
	return 0;
}

#endif
