/* SPDX-License-Identifier: ISC */
/* Pipes: what the other side must not send, and descriptors for which there
 * is no room here. */
#include "pipe_ends.h"

/* Packets, with their length. */
#define PING "\x93\x01\x05\x07", 4
#define PONG "\x93\x02\x05\x07", 4
#define PEER "\x93\x03\x00\x01", 4

static const struct pipe_ops ops_plain = {on_message, NULL, on_bad, on_gone};

static int
raw(void **state)
{
	return with_ends(state, 1);
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
	send(t->raw, PING, MSG_NOSIGNAL);
	settle(t);
	assert_int_equal(t->b.messages, 0);
	assert_int_equal(t->b.bads, 1);
}

/* A packet with n descriptors is bad, with room for them. */
static void
bad_packet(struct pair *t, const void *p, size_t len, int n, const char *why)
{
	unsigned fds = open_fds();

	send_raw(t, p, len, n);
	is_bad(t, why, fds);
}

/* The same with room for only so many. */
static void
bad_without_room(struct pair *t, const void *p, size_t len, int n,
    unsigned room, const char *why)
{
	unsigned fds = open_fds();

	send_raw(t, p, len, n);
	settle_with_room(t, room);
	is_bad(t, why, fds);
}

static void
two_descriptors(void **state)
{
	bad_packet(*state, PEER, 2, "more than one descriptor");
}

static void
eight_descriptors(void **state)
{
	bad_packet(*state, PEER, 8, "descriptor");
}

static void
unwanted_descriptor(void **state)
{
	bad_packet(*state, PING, 1, "descriptor");
}

/* Our own lack is not the sender's offence, and the pipe goes on. */
static void
descriptor_without_room(void **state)
{
	struct pair *t = *state;
	unsigned fds = open_fds();

	send_raw(t, PEER, 1);
	settle_with_room(t, 0);
	assert_int_equal(t->b.lackings, 1);
	assert_int_equal(t->b.type, MSG_PEER);
	assert_int_equal(t->b.messages + t->b.bads + t->b.gones, 0);
	assert_int_equal(open_fds(), fds);
	send_raw(t, PEER, 1);
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
	send_raw(t, PEER, 1);
	settle_with_room(t, 0);
	assert_int_equal(t->b.messages + t->b.bads + t->b.gones, 0);
	send_raw(t, PING, 0);
	settle(t);
	assert_int_equal(t->b.messages, 1);
}

/* What the sender must not send is no better for our lack: a message that has
 * no descriptor, one of the wrong form, the handler's phrase, more than one. */

static void
unwanted_descriptor_without_room(void **state)
{
	struct pair *t = *state;

	bad_without_room(
	    t, PING, 1, 0, "descriptor with a message that has none");
	assert_int_equal(t->b.lackings, 0);
}

static void
empty_without_room(void **state)
{
	struct pair *t = *state;

	bad_without_room(t, "", 0, 1, 0, "not an array");
	assert_int_equal(t->b.lackings + t->b.gones, 0);
}

static void
phrase_without_room(void **state)
{
	struct pair *t = *state;

	t->b.offend = "nobody asked";
	bad_without_room(t, PEER, 1, 0, "nobody asked");
	assert_int_equal(t->b.lackings, 1);
}

static void
two_descriptors_with_room_for_one(void **state)
{
	struct pair *t = *state;

	bad_without_room(t, PEER, 2, 1, "more than one descriptor");
	assert_int_equal(t->b.lackings, 0);
}

static void
too_long(void **state)
{
	static char p[LIMIT_PACKET + 1];

	bad_packet(*state, p, sizeof(p), 0, "too long");
}

static void
rubbish(void **state)
{
	bad_packet(*state, "GET / HTTP/1.1\r\n", 16, 0, "not an array");
}

/* It must not pass for the end. */
static void
empty(void **state)
{
	struct pair *t = *state;

	bad_packet(t, "", 0, 0, "empty packet");
	assert_int_equal(t->b.gones, 0);
}

static void
wrong_sender(void **state)
{
	bad_packet(*state, PONG, 0, "sender");
}

static void
handlers_phrase(void **state)
{
	struct pair *t = *state;

	t->b.offend = "not now";
	send_raw(t, PING, 0);
	send_raw(t, "\x93\x01\x05\x08", 4, 0);
	settle(t);
	assert_int_equal(t->b.messages, 1);
	assert_int_equal(t->b.bads, 1);
	assert_string_equal(t->b.why, "not now");
}

#define RAW(f) cmocka_unit_test_setup_teardown(f, raw, done)

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	log_init(LOG_TO_PEOPLE, "test", -1); /* says nothing */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
