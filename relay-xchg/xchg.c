/* SPDX-License-Identifier: ISC */
/*
 * relay-xchg: one exchange of relay-authd's with somebody on the network, or
 * the reading of what a token command printed.  A process lives for one
 * request: it sees one bearer and one answer, and gives relay-authd the few
 * fields that it needs of it.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "ladder.h"
#include "log.h"
#include "pipe.h"
#include "secmem.h"
#include "tls.h"
#include "xchg_answer.h"
#include "xchg_conn.h"
#include "xchg_mem.h"

/* A whole exchange, from the process's start. */
#define DEADLINE_MS 15000
#define LATE	    "within 15 s"
#define INPUT_CHUNK 16384

/* What lies in secret memory. */
struct room {
	char packet[LIMIT_PACKET]; /* the texts of the request */
	size_t packetlen;
	char request[XCHG_REQUEST_MAX];
	char in[INPUT_CHUNK];
	char printed[XCHG_PRINTED_MAX + 1];
	struct xchg_reader reader;
	struct xchg_result result;
};

struct xchg {
	struct ladder ladder;
	struct pipe *authd;
	struct room *room;
	uint64_t deadline_ms;
	int input;	       /* FD_INPUT is a command's output */
	SSL_CTX *ctx;	       /* NULL: without a bundle … */
	char no_bundle[128];   /* … and why */
	struct msg_xrequest q; /* its texts lie in the room */
	uint32_t corr;
	int asked; /* the request came */
	int sock;  /* with it; -1: none */
};

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The end, whatever it is: nothing of what we saw remains. */
#define die(...) log_die(xchg_mem_cleanse, "exchange", __VA_ARGS__)

static _Noreturn void
leave(void)
{
	xchg_mem_cleanse();
	_exit(0);
}

/* relay-authd. */

/* The texts move into the room, for the packet they lie in is cleansed. */
static void
keep(struct xchg *x, struct span *s)
{
	struct room *r = x->room;
	char *to = r->packet + r->packetlen;

	/* They come from one packet, so they fit into one. */
	memcpy(to, s->p, s->len);
	r->packetlen += s->len;
	s->p = to;
}

static const char *
on_message(struct pipe *p, struct msg *m, void *arg)
{
	struct xchg *x = arg;
	struct msg_xrequest *q = &x->q;

	(void)p;
	if (x->asked)
		return "a second request to one exchange";
	if ((m->u.xrequest.answer == ANSWER_COMMAND) != x->input)
		return "a request that is not for what was laid ready";
	if (x->input != (m->fd == -1))
		return "a request without its socket, or with one too many";
	x->asked = 1;
	x->corr = m->corr;
	x->sock = m->fd;
	*q = m->u.xrequest;
	keep(x, &q->server_name);
	keep(x, &q->host);
	keep(x, &q->path);
	keep(x, &q->bearer);
	keep(x, &q->content_type);
	keep(x, &q->body);
	return NULL;
}

static const char *
on_lacking(struct pipe *p, struct msg *m, void *arg)
{
	(void)p;
	(void)m;
	(void)arg;
	return "the request's socket could not be received";
}

static void
on_bad(struct pipe *p, const char *why, void *arg)
{
	(void)p;
	(void)arg;
	die("relay-authd: %s", why);
}

/* Nobody waits for the answer any more. */
static void
on_gone(struct pipe *p, void *arg)
{
	(void)p;
	(void)arg;
	leave();
}

static const struct pipe_ops authd_ops = {
    on_message, on_lacking, on_bad, on_gone};

static _Noreturn void
answer(struct xchg *x)
{
	struct xchg_result *a = &x->room->result;

	xchg_answer_hide(a, &x->q);
	if (pipe_send(x->authd, MSG_XANSWER, x->corr, &a->m, -1) == -1)
		die("the answer cannot be sent");
	leave();
}

static _Noreturn void
answer_fail(struct xchg *x, enum xchg_stage stage, const char *why)
{
	xchg_answer_fail(&x->room->result, stage, why);
	answer(x);
}

/* Wait until one of the events comes for fd (-1: for none).  1, or 0 when it
 * is too late.  Meanwhile relay-authd is heard, which may go. */
static int
wait_for(struct xchg *x, int fd, short events)
{
	struct pollfd p[2] = {
	    {.fd = pipe_fd(x->authd), .events = POLLIN},
	    {.fd = fd, .events = events},
	};
	uint64_t now = now_ms();

	if (now >= x->deadline_ms)
		return 0;
	/* libcrypto's ciphers leave plaintext on the stack: not while we
	 * sleep. */
	secmem_burn_stack();
	if (poll(p, 2, (int)(x->deadline_ms - now)) > 0 && p[0].revents != 0)
		pipe_drain(x->authd);
	return now_ms() < x->deadline_ms;
}

/* HTTP. */

static void
begin_tls(struct xchg *x, struct xchg_conn *c)
{
	enum xchg_io io;

	if (x->ctx == NULL)
		answer_fail(x, XSTAGE_TLS, x->no_bundle);
	if (xchg_conn_tls(c, x->ctx, x->q.server_name) == -1)
		answer_fail(x, c->stage, c->why);
	while ((io = xchg_conn_handshake(c)) == XCHG_IO_WAIT)
		if (!wait_for(x, c->fd, c->wants))
			answer_fail(x, XSTAGE_IO,
			    "the TLS handshake was not over " LATE);
	if (io != XCHG_IO_DONE)
		answer_fail(x, c->stage, c->why);
}

/* How far the talk came. */
struct talk {
	struct xchg_conn *conn;
	size_t len, sent; /* of the request */
	int deaf; /* the peer takes no more of it, but may have answered */
	int cut;  /* nothing more comes */
};

/* Send what can be sent.  Returns the events to wait for. */
static short
send_some(struct xchg *x, struct talk *t)
{
	struct xchg_conn *c = t->conn;
	size_t n;

	while (t->sent < t->len && !t->deaf) {
		switch (xchg_conn_write(
		    c, x->room->request + t->sent, t->len - t->sent, &n)) {
		case XCHG_IO_DONE:
			t->sent += n;
			break;
		case XCHG_IO_WAIT:
			return c->wants;
		default:
			t->deaf = 1;
		}
	}
	return 0;
}

static short
receive_some(struct xchg *x, struct talk *t)
{
	struct xchg_reader *r = &x->room->reader;
	struct xchg_conn *c = t->conn;
	size_t n;

	while (r->state == READER_HEAD || r->state == READER_BODY) {
		switch (
		    xchg_conn_read(c, x->room->in, sizeof(x->room->in), &n)) {
		case XCHG_IO_DONE:
			xchg_reader_feed(r, x->room->in, n);
			break;
		case XCHG_IO_WAIT:
			return c->wants;
		case XCHG_IO_END:
			xchg_reader_close(r);
			break;
		case XCHG_IO_BROKEN:
			t->cut = 1;
			return 0;
		}
	}
	return 0;
}

/* Why the answer is not whole, and where it broke off. */
static void
say_where(const struct xchg *x, const struct talk *t, const char *what,
    char why[LIMIT_REASON + 1])
{
	const struct xchg_reader *r = &x->room->reader;

	snprintf(why, LIMIT_REASON + 1, "%.160s%s", what,
	    t->sent < t->len	  ? " before the request was sent"
		: r->headlen == 0 ? " before anything was answered"
				  : " within the answer");
}

static void
judge(struct xchg *x, const struct talk *t, int late)
{
	const struct xchg_reader *r = &x->room->reader;
	struct xchg_result *a = &x->room->result;
	char why[LIMIT_REASON + 1];

	if (r->status != 0)
		xchg_answer_http(a, (enum xchg_answer)x->q.answer, r);
	if (a->m.stage == XSTAGE_REFUSED)
		return;
	if (late || t->cut) {
		say_where(x, t, late ? "15 s passed" : t->conn->why, why);
		xchg_answer_fail(a, XSTAGE_IO, why);
	} else if (r->status == 0) {
		snprintf(why, sizeof(why), "no HTTP answer: %s", r->err);
		xchg_answer_fail(a, XSTAGE_ANSWER, why);
	}
}

static void
talk(struct xchg *x, struct talk *t)
{
	struct xchg_reader *r = &x->room->reader;
	short out, in;
	int late = 0;

	for (;;) {
		out = send_some(x, t);
		in = receive_some(x, t);
		if (t->cut || r->state == READER_DONE || r->state == READER_BAD)
			break;
		if (!wait_for(x, t->conn->fd, out | in)) {
			late = 1;
			break;
		}
	}
	judge(x, t, late);
}

static _Noreturn void
exchange(struct xchg *x)
{
	struct xchg_conn c;
	struct talk t = {.conn = &c};
	const char *why;
	int fl = fcntl(x->sock, F_GETFL);

	if (fl == -1 || fcntl(x->sock, F_SETFL, fl | O_NONBLOCK) == -1)
		die("the request's socket: %s", strerror(errno));
	t.len = xchg_http_request(x->room->request, &x->q, &why);
	if (t.len == 0)
		answer_fail(x, XSTAGE_IO, why);
	xchg_conn_init(&c, x->sock);
	if (x->q.tls)
		begin_tls(x, &c);
	xchg_reader_init(&x->room->reader);
	talk(x, &t);
	xchg_conn_end(&c);
	answer(x);
}

/* The command. */

static _Noreturn void
command(struct xchg *x)
{
	struct room *r = x->room;
	size_t len = 0;
	ssize_t n;
	int fl = fcntl(FD_INPUT, F_GETFL);

	if (fl == -1 || fcntl(FD_INPUT, F_SETFL, fl | O_NONBLOCK) == -1)
		die("the command's output: %s", strerror(errno));
	while (len < sizeof(r->printed)) {
		n = read(FD_INPUT, r->printed + len, sizeof(r->printed) - len);
		if (n == 0)
			break;
		if (n > 0)
			len += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			die("the command's output: %s", strerror(errno));
		else if (!wait_for(x, FD_INPUT, POLLIN))
			answer_fail(x, XSTAGE_COMMAND,
			    "the token command did not end " LATE);
	}
	xchg_answer_command(&r->result, (struct span){r->printed, len});
	answer(x);
}

/* Start. */

/* Read the whole bundle; its offset may be shared with others.  Returns its
 * length, or -1 with errno. */
static ptrdiff_t
read_bundle(char *p, size_t cap)
{
	size_t len = 0;
	ssize_t n;

	while (len < cap) {
		n = pread(FD_INPUT, p + len, cap - len, (off_t)len);
		if (n == 0)
			break;
		if (n > 0)
			len += (size_t)n;
		else if (errno != EINTR)
			return -1;
	}
	return (ptrdiff_t)len;
}

/* A bundle that cannot be had is said when it is needed. */
static void
load_bundle(struct xchg *x)
{
	const size_t cap = LIMIT_CA_FILE + 1;
	char *p = malloc(cap);
	ptrdiff_t len = -1;
	const char *why = NULL;

	if (p == NULL || (len = read_bundle(p, cap)) == -1)
		why = strerror(errno);
	else if (len > LIMIT_CA_FILE)
		why = "larger than 4 MiB";
	else if ((x->ctx = tls_client_ctx()) == NULL)
		why = "out of memory";
	else if (tls_trust(x->ctx, p, (size_t)len) <= 0) {
		SSL_CTX_free(x->ctx);
		x->ctx = NULL;
		why = "no certificate found";
	}
	free(p);
	if (why != NULL)
		snprintf(x->no_bundle, sizeof(x->no_bundle),
		    "the CA bundle to verify by: %.80s", why);
}

static void
open_memory(struct xchg *x)
{
	unsigned flags = 0;

	x->room = xchg_mem_open(sizeof(*x->room), &flags);
	if (x->room == NULL) {
		log_err("secmem", NULL,
		    "memory for secrets: %s; is the limit on locked memory "
		    "(ulimit -l) below 1 MiB?",
		    strerror(errno));
		_exit(1);
	}
	if (flags & SECMEM_FALLBACK)
		log_debug("secmem", NULL,
		    "the kernel gives no memfd_secret: an exchange's secrets "
		    "lie in locked memory kept out of dumps");
}

static void
look_at_input(struct xchg *x)
{
	struct stat st;

	if (fstat(FD_INPUT, &st) == -1)
		die("the input: %s", strerror(errno));
	/* Else a bundle of certificates, or /dev/null where none is needed. */
	x->input = S_ISFIFO(st.st_mode);
}

static int
usage(void)
{
	fprintf(stderr,
	    "relay-xchg: relayd starts this program; to run it "
	    "by hand has no use.\n");
	return EX_USAGE;
}

int
main(int argc, char *argv[])
{
	struct xchg x = {.sock = -1};
	int level;

	if (argc == 2 && strcmp(argv[1], "-v") == 0) {
		printf("relay-xchg %s\n", VERSION);
		return 0;
	}
	if (ladder_args(&x.ladder, argc, argv, &level) == -1 ||
	    x.ladder.role != ROLE_XCHG)
		return usage();
	x.deadline_ms = now_ms() + DEADLINE_MS;
	log_init(LOG_TO_PARENT, role_row(ROLE_XCHG)->name, level);
	ladder_begin(&x.ladder);
	open_memory(&x);
	look_at_input(&x);
	if (!x.input) {
		if (tls_init() == -1)
			die("OpenSSL cannot be set up");
		load_bundle(&x);
	}
	/* Before the climb, after which no secret memory is to be had. */
	x.authd =
	    pipe_new(NULL, FD_PEER, ROLE_XCHG, ROLE_AUTHD, &authd_ops, &x);
	if (x.authd == NULL)
		die("pipe to relay-authd: %s", strerror(errno));
	ladder_climb(&x.ladder);
	xchg_mem_secret();
	while (!x.asked)
		if (!wait_for(&x, -1, 0))
			die("no request came " LATE);
	if (x.input)
		command(&x);
	exchange(&x);
}
