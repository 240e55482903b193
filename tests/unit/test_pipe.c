/* SPDX-License-Identifier: ISC */
/* Pipes: order, descriptors, bounds, what the other side may do to us. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>

#include "log.h"
#include "pipe.h"

/* An end under test: what came out of it. */
struct end {
	struct pipe *p;
	unsigned messages, lackings, bads, gones;
	enum msg_type type;
	uint32_t corr;
	uint64_t seq;
	int fd;		    /* of the last message */
	int in_order;	    /* each seq one more than the last */
	const char *why;    /* of bad */
	const char *offend; /* what the handler answers */
	int free_it;	    /* the handler frees the pipe */
	int answer;	    /* the handler sends a PONG */
};

struct pair {
	struct event_base *base;
	struct end a; /* the supervisor */
	struct end b; /* the engine */
	int raw;      /* a's socket, when it has no pipe */
};

static const char *
on_message(struct pipe *p, struct msg *m, void *arg)
{
	struct end *e = arg;
	struct msg_pong pong;

	e->messages++;
	e->type = m->type;
	e->corr = m->corr;
	if (m->type == MSG_PING) {
		if (m->u.ping.seq != e->seq + 1)
			e->in_order = 0;
		e->seq = m->u.ping.seq;
	}
	if (m->fd != -1) {
		if (e->fd != -1)
			close(e->fd);
		e->fd = m->fd;
	}
	if (e->answer) {
		pong.seq = e->seq;
		assert_int_equal(pipe_send(p, MSG_PONG, m->corr, &pong, -1), 0);
	}
	if (e->free_it) {
		pipe_free(p);
		e->p = NULL;
	}
	return e->offend;
}

static void
on_bad(struct pipe *p, const char *why, void *arg)
{
	struct end *e = arg;

	e->bads++;
	e->why = why;
	if (e->free_it) {
		pipe_free(p);
		e->p = NULL;
	}
}

static void
on_gone(struct pipe *p, void *arg)
{
	struct end *e = arg;

	e->gones++;
	if (e->free_it) {
		pipe_free(p);
		e->p = NULL;
	}
}

static const char *
on_lacking(struct pipe *p, struct msg *m, void *arg)
{
	struct end *e = arg;

	(void)p;
	assert_int_equal(m->fd, -1);
	e->lackings++;
	e->type = m->type;
	return e->offend;
}

static const struct pipe_ops ops = {on_message, on_lacking, on_bad, on_gone};
static const struct pipe_ops ops_plain = {on_message, NULL, on_bad, on_gone};

static unsigned
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 3; /* ".", "..", the directory itself */
}

static int
with_ends(void **state, int raw)
{
	struct pair *t = calloc(1, sizeof(*t));
	int fd[2];

	assert_non_null(t);
	assert_non_null(t->base = event_base_new());
	assert_int_equal(pipe_pair(fd), 0);
	t->a.fd = t->b.fd = -1;
	t->a.in_order = t->b.in_order = 1;
	t->raw = raw ? fd[0] : -1;
	if (!raw)
		t->a.p = pipe_new(
		    t->base, fd[0], ROLE_SUPERVISOR, ROLE_ENGINE, &ops, &t->a);
	t->b.p =
	    pipe_new(t->base, fd[1], ROLE_ENGINE, ROLE_SUPERVISOR, &ops, &t->b);
	*state = t;
	return 0;
}

static int
both(void **state)
{
	return with_ends(state, 0);
}

static int
raw(void **state)
{
	return with_ends(state, 1);
}

static int
done(void **state)
{
	struct pair *t = *state;

	pipe_free(t->a.p);
	pipe_free(t->b.p);
	if (t->raw != -1)
		close(t->raw);
	if (t->a.fd != -1)
		close(t->a.fd);
	if (t->b.fd != -1)
		close(t->b.fd);
	event_base_free(t->base);
	free(t);
	return 0;
}

/* One turn of the loop, which waits for nothing. */
static void
turn(struct pair *t)
{
	event_base_loop(t->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* Turns until nothing is ready any more: what was sent has arrived, for these
 * sockets are within one kernel. */
static void
settle(struct pair *t)
{
	int i;

	for (i = 0; i < 200; i++)
		turn(t);
}

static int
ping(struct pipe *p, uint64_t seq)
{
	const struct msg_ping m = {seq};

	return pipe_send(p, MSG_PING, (uint32_t)seq, &m, -1);
}

static int
null_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	return fd;
}

static void
sends_and_answers(void **state)
{
	struct pair *t = *state;

	t->b.answer = 1;
	assert_int_equal(ping(t->a.p, 1), 0);
	settle(t);
	assert_int_equal(t->b.messages, 1);
	assert_int_equal(t->b.type, MSG_PING);
	assert_int_equal(t->a.messages, 1);
	assert_int_equal(t->a.type, MSG_PONG);
	assert_int_equal(t->a.corr, 1);
	assert_int_equal(pipe_peer(t->a.p), ROLE_ENGINE);
	assert_int_equal(fcntl(pipe_fd(t->a.p), F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(pipe_fd(t->a.p), F_GETFL) & O_NONBLOCK);
}

static void
carries_a_descriptor(void **state)
{
	struct pair *t = *state;
	const struct msg_peer m = {ROLE_AUTHD};
	unsigned before = open_fds();
	int fd = null_fd();

	assert_int_equal(pipe_send(t->a.p, MSG_PEER, 0, &m, fd), 0);
	close(fd);
	settle(t);
	assert_int_equal(t->b.messages, 1);
	assert_int_not_equal(t->b.fd, -1);
	assert_int_equal(fcntl(t->b.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(open_fds(), before + 1);
}

static void
refuses_to_send_what_is_wrong(void **state)
{
	struct pair *t = *state;
	const struct msg_peer m = {ROLE_AUTHD}, far = {ROLE_COUNT};
	int fd = null_fd();

	assert_int_equal(pipe_send(t->a.p, MSG_PEER, 0, &m, -1), -1);
	assert_int_equal(pipe_send(t->a.p, MSG_PEER, 0, &far, fd), -1);
	assert_int_equal(pipe_send(t->b.p, MSG_PEER, 0, &m, fd), -1);
	assert_int_equal(pipe_send(t->a.p, MSG_PING, 0, &m, fd), -1);
	close(fd);
	settle(t);
	assert_int_equal(t->b.messages + t->b.bads + t->a.bads, 0);
}

/* More than the socket holds waits, and arrives in order. */
static void
queues_in_order(void **state)
{
	struct pair *t = *state;
	unsigned i, n = 20000;

	for (i = 1; i <= n; i++)
		assert_int_equal(ping(t->a.p, i), 0);
	assert_true(pipe_queued(t->a.p) > 0);
	for (i = 0; i < 10000 && t->b.messages < n; i++)
		turn(t);
	assert_int_equal(t->b.messages, n);
	assert_true(t->b.in_order);
	assert_int_equal(pipe_queued(t->a.p), 0);
}

/* One turn handles a bounded number of packets. */
static void
does_not_hog_the_loop(void **state)
{
	struct pair *t = *state;
	unsigned i;

	for (i = 1; i <= 200; i++)
		assert_int_equal(ping(t->a.p, i), 0);
	turn(t);
	assert_true(t->b.messages > 0 && t->b.messages < 100);
	pipe_drain(t->b.p);
	assert_int_equal(t->b.messages, 200);
	assert_true(t->b.in_order);
}

/* A configuration of 1000 gateways with three descriptors each, before the
 * child reads the first of them. */
static void
holds_a_whole_configuration(void **state)
{
	struct pair *t = *state;
	const struct rlimit wanted = {8192, 8192};
	struct rlimit lim;
	const struct msg_conf_listener m = {7, LISTEN_AGENT};
	unsigned i, before;
	int fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	if (lim.rlim_cur < 8192 && setrlimit(RLIMIT_NOFILE, &wanted) == -1)
		skip();
	before = open_fds();
	fd = null_fd();
	for (i = 0; i < 3000; i++)
		assert_int_equal(
		    pipe_send(t->a.p, MSG_CONF_LISTENER, i, &m, fd), 0);
	close(fd);
	for (i = 0; i < 10000 && t->b.messages < 3000; i++)
		turn(t);
	assert_int_equal(t->b.messages, 3000);
	close(t->b.fd);
	t->b.fd = -1;
	assert_int_equal(open_fds(), before);
}

static void
runs_over(void **state)
{
	struct pair *t = *state;
	static char text[61440];
	const struct msg_conf_identity m = {
	    0, SPAN_LIT("p"), SPAN_LIT("b"), {text, sizeof(text)}};
	int i, r = 0;

	memset(text, 'x', sizeof(text));
	for (i = 0; i < 1000 && r == 0; i++)
		r = pipe_send(t->a.p, MSG_CONF_IDENTITY, 0, &m, -1);
	assert_int_equal(r, -1);
	assert_true(i > 100);
	assert_int_equal(t->a.bads, 0); /* told by the loop only */
	settle(t);
	assert_int_equal(t->a.bads, 1);
	assert_int_equal(t->a.gones, 0);
	assert_int_equal(pipe_queued(t->a.p), 0);
	assert_int_equal(ping(t->a.p, 1), -1);
}

static void
gone_after_last_words(void **state)
{
	struct pair *t = *state;

	/* b dies with something unread (ECONNRESET), after it spoke. */
	assert_int_equal(ping(t->a.p, 1), 0);
	{
		const struct msg_pong m = {9};

		assert_int_equal(pipe_send(t->b.p, MSG_PONG, 9, &m, -1), 0);
	}
	pipe_free(t->b.p);
	t->b.p = NULL;
	settle(t);
	assert_int_equal(t->a.messages, 1);
	assert_int_equal(t->a.gones, 1);
	assert_int_equal(t->a.bads, 0);
	assert_int_equal(ping(t->a.p, 2), -1);
	settle(t);
	assert_int_equal(t->a.gones, 1);
}

static void
freed_by_its_handler(void **state)
{
	struct pair *t = *state;

	t->b.free_it = 1;
	t->b.answer = 1;
	assert_int_equal(ping(t->a.p, 1), 0);
	assert_int_equal(ping(t->a.p, 2), 0);
	settle(t);
	assert_int_equal(t->b.messages, 1);
	assert_null(t->b.p);
	assert_int_equal(t->b.bads + t->b.gones, 0);
	assert_int_equal(t->a.gones, 1);
}

static void
freed_when_gone(void **state)
{
	struct pair *t = *state;

	t->a.free_it = 1;
	pipe_free(t->b.p);
	t->b.p = NULL;
	settle(t);
	assert_int_equal(t->a.gones, 1);
	assert_null(t->a.p);
}

/* Bad, read no more, and no descriptor kept. */
static void
is_bad(struct pair *t, const char *why, unsigned fds)
{
	settle(t);
	assert_int_equal(t->b.bads, 1);
	assert_int_equal(t->b.messages, 0);
	if (strstr(t->b.why, why) == NULL)
		fail_msg("%s", t->b.why);
	assert_int_equal(open_fds(), fds);
	send(t->raw, "\x93\x01\x05\x07", 4, MSG_NOSIGNAL);
	settle(t);
	assert_int_equal(t->b.messages, 0);
	assert_int_equal(t->b.bads, 1);
}

/* Send bytes with n descriptors. */
static void
send_raw(struct pair *t, const void *p, size_t len, int n)
{
	union {
		char room[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} ctl;
	struct iovec iov = {.iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;
	int i, fd = null_fd();

	memcpy(&iov.iov_base, &p, sizeof(p));
	memset(&ctl, 0, sizeof(ctl));
	if (n > 0) {
		mh.msg_control = &ctl;
		mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		for (i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd,
			    sizeof(fd));
	}
	assert_int_equal(sendmsg(t->raw, &mh, 0), len);
	close(fd);
}

static void
two_descriptors(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "\x93\x03\x00\x01", 4, 2); /* PEER */
	is_bad(t, "more than one descriptor", fds);
}

static void
eight_descriptors(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "\x93\x03\x00\x01", 4, 8);
	is_bad(t, "descriptor", fds);
}

static void
unwanted_descriptor(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "\x93\x01\x05\x07", 4, 1); /* PING */
	is_bad(t, "descriptor", fds);
}

/* Let what was sent arrive while there is room for so many descriptors. */
static void
settle_with_room(struct pair *t, unsigned room)
{
	struct rlimit was, now;
	int next = null_fd(); /* the lowest number that is free */

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = was;
	now.rlim_cur = (rlim_t)next + room;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	settle(t);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

/* Our own lack is not the sender's offence, and the pipe goes on. */
static void
descriptor_without_room(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "\x93\x03\x00\x01", 4, 1);
	settle_with_room(t, 0);
	assert_int_equal(t->b.lackings, 1);
	assert_int_equal(t->b.type, MSG_PEER);
	assert_int_equal(t->b.messages + t->b.bads + t->b.gones, 0);
	assert_int_equal(open_fds(), fds);
	send_raw(t, "\x93\x03\x00\x01", 4, 1);
	settle(t);
	assert_int_equal(t->b.messages, 1);
	assert_int_not_equal(t->b.fd, -1);
}

static void
descriptor_without_room_or_handler(void **state)
{
	struct pair *t = *state;

	pipe_free(t->b.p);
	close(t->raw);
	{
		int fd[2];

		assert_int_equal(pipe_pair(fd), 0);
		t->raw = fd[0];
		t->b.p = pipe_new(t->base, fd[1], ROLE_ENGINE, ROLE_SUPERVISOR,
		    &ops_plain, &t->b);
	}
	send_raw(t, "\x93\x03\x00\x01", 4, 1);
	settle_with_room(t, 0);
	assert_int_equal(t->b.messages + t->b.bads + t->b.gones, 0);
	send_raw(t, "\x93\x01\x05\x07", 4, 0); /* PING */
	settle(t);
	assert_int_equal(t->b.messages, 1);
}

/* What the sender must not send is no better for our lack: a message that has
 * no descriptor, one of the wrong form, the handler's phrase, more than one. */

static void
unwanted_descriptor_without_room(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "\x93\x01\x05\x07", 4, 1); /* PING */
	settle_with_room(t, 0);
	assert_int_equal(t->b.lackings, 0);
	is_bad(t, "descriptor with a message that has none", fds);
}

static void
empty_without_room(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "", 0, 1);
	settle_with_room(t, 0);
	is_bad(t, "not an array", fds);
	assert_int_equal(t->b.gones, 0);
}

static void
phrase_without_room(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	t->b.offend = "nobody asked";
	send_raw(t, "\x93\x03\x00\x01", 4, 1);
	settle_with_room(t, 0);
	assert_int_equal(t->b.lackings, 1);
	is_bad(t, "nobody asked", fds);
}

static void
two_descriptors_with_room_for_one(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "\x93\x03\x00\x01", 4, 2);
	settle_with_room(t, 1);
	assert_int_equal(t->b.lackings, 0);
	is_bad(t, "more than one descriptor", fds);
}

static void
too_long(void **state)
{
	struct pair *t = *state;
	static char p[LIMIT_PACKET + 1];
	unsigned fds = open_fds();

	send_raw(t, p, sizeof(p), 0);
	is_bad(t, "too long", fds);
}

static void
rubbish(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "GET / HTTP/1.1\r\n", 16, 0);
	is_bad(t, "not an array", fds);
}

/* It must not pass for the end. */
static void
empty(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "", 0, 0);
	is_bad(t, "empty packet", fds);
	assert_int_equal(t->b.gones, 0);
}

static void
wrong_sender(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, "\x93\x02\x05\x07", 4, 0); /* PONG */
	is_bad(t, "sender", fds);
}

static void
handlers_phrase(void **state)
{
	struct pair *t = *state;

	t->b.offend = "not now";
	send_raw(t, "\x93\x01\x05\x07", 4, 0);
	send_raw(t, "\x93\x01\x05\x08", 4, 0);
	settle(t);
	assert_int_equal(t->b.messages, 1);
	assert_int_equal(t->b.bads, 1);
	assert_string_equal(t->b.why, "not now");
}

static void
without_a_loop(void **state)
{
	struct end e = {.fd = -1};
	struct pipe *p, *q;
	int fd[2], i, r = 0;

	(void)state;
	assert_int_equal(pipe_pair(fd), 0);
	p = pipe_new(NULL, fd[0], ROLE_SUPERVISOR, ROLE_ENGINE, &ops, &e);
	q = pipe_new(NULL, fd[1], ROLE_ENGINE, ROLE_SUPERVISOR, &ops, &e);
	assert_non_null(p);
	assert_non_null(q);
	pipe_drain(q);
	assert_int_equal(e.messages, 0);
	for (i = 0; i < 100000 && r == 0; i++)
		r = ping(p, 1);
	assert_int_equal(r, -1);
	assert_int_equal(pipe_queued(p), 0);
	do {
		r = (int)e.messages;
		pipe_drain(q);
	} while ((int)e.messages > r);
	assert_int_equal(e.messages, i - 1);
	pipe_free(p);
	pipe_drain(q);
	assert_int_equal(e.gones, 1);
	pipe_free(q);
}

#define BOTH(f) cmocka_unit_test_setup_teardown(f, both, done)
#define RAW(f)	cmocka_unit_test_setup_teardown(f, raw, done)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(sends_and_answers),
	    BOTH(carries_a_descriptor),
	    BOTH(refuses_to_send_what_is_wrong),
	    BOTH(queues_in_order),
	    BOTH(does_not_hog_the_loop),
	    BOTH(holds_a_whole_configuration),
	    BOTH(runs_over),
	    BOTH(gone_after_last_words),
	    BOTH(freed_by_its_handler),
	    BOTH(freed_when_gone),
	    RAW(two_descriptors),
	    RAW(eight_descriptors),
	    RAW(unwanted_descriptor),
	    RAW(descriptor_without_room),
	    RAW(descriptor_without_room_or_handler),
	    RAW(unwanted_descriptor_without_room),
	    RAW(empty_without_room),
	    RAW(phrase_without_room),
	    RAW(two_descriptors_with_room_for_one),
	    RAW(too_long),
	    RAW(rubbish),
	    RAW(empty),
	    RAW(wrong_sender),
	    RAW(handlers_phrase),
	    cmocka_unit_test(without_a_loop),
	};

	log_init(LOG_TO_PEOPLE, "test", -1); /* says nothing */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
