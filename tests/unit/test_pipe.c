/* SPDX-License-Identifier: ISC */
/* Pipes: order, descriptors, bounds, how they end. */
#include "pipe_ends.h"

static int
both(void **state)
{
	return with_ends(state, 0);
}

static int
ping(struct pipe *p, uint64_t seq)
{
	const struct msg_ping m = {seq};

	return pipe_send(p, MSG_PING, (uint32_t)seq, &m, -1);
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
	    cmocka_unit_test(without_a_loop),
	};

	log_init(LOG_TO_PEOPLE, "test", -1); /* says nothing */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
