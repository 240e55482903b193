/* SPDX-License-Identifier: ISC */
/* agent_sock and agent_accept: agents' sockets around the real core. */
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/un.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../relayd/agent_accept.c"
#include "../../relayd/agent_sock.c"
#include "../../relayd/headroom.c"
#include "../idle_io.h"
#include "place.h"
#include "until.h"

#define STEPS 20000 /* more turns of the loop than any test needs */
#define HELLO "{\"type\":\"hello\",\"platform\":\"discord\",\"botId\":\"1\"}\n"

struct fixture {
	struct engine e;
	struct engine_gw eg;
	struct gateway_conf conf;
};

/* What engine.c gives. */

uint64_t
engine_clock(void)
{
	return 1000;
}

void
engine_now(struct engine *e)
{
	core_now(e->core, engine_clock());
}

static const struct core_io io = {IDLE_IO, .agent_send = agent_sock_send,
    .agent_room = agent_sock_room, .agent_close = agent_sock_end};

/* A listening socket with a name of its own that no file holds. */
static int
listen_new(struct sockaddr_un *sun, socklen_t *len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd != -1);
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	*len = sizeof(sa_family_t);
	assert_int_equal(bind(fd, (struct sockaddr *)sun, *len), 0);
	*len = sizeof(*sun);
	assert_int_equal(getsockname(fd, (struct sockaddr *)sun, len), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static struct sockaddr_un address;
static socklen_t address_len;

static int
setup(void **state)
{
	static const unsigned char random[32] = {1};
	struct fixture *f = calloc(1, sizeof(*f));
	struct identity *id = &f->conf.identity[0];

	f->e.base = event_base_new();
	f->e.core = core_new(&io, &f->e, random, engine_clock());
	assert_int_equal(agent_sock_init(&f->e), 0);
	strlcpy(f->conf.name, "main", sizeof(f->conf.name));
	strlcpy(id->platform, "discord", sizeof(id->platform));
	f->conf.nidentity = 1;
	f->conf.window = 64;
	f->conf.ack_timeout_ms = 120000;
	f->eg.e = &f->e;
	strlcpy(f->eg.name, "main", sizeof(f->eg.name));
	f->eg.gw = core_gateway_add(f->e.core, 0, &f->conf, NULL, &f->eg);
	assert_non_null(f->eg.gw);
	f->e.gw[0] = &f->eg;
	f->eg.listener =
	    agent_sock_listen(&f->eg, listen_new(&address, &address_len));
	assert_non_null(f->eg.listener);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	agent_sock_stop(&f->e);
	core_gateway_remove(f->eg.gw);
	agent_sock_close(f->eg.listener);
	agent_sock_fini(&f->e);
	core_free(f->e.core);
	event_base_free(f->e.base);
	free(f);
	return 0;
}

static void
step(struct fixture *f)
{
	event_base_loop(f->e.base, EVLOOP_NONBLOCK);
	core_turn(f->e.core);
	(void)agent_sock_turn(&f->e);
}

static int
dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(
	    connect(fd, (struct sockaddr *)&address, address_len), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

/* Send all of it; 0 when the other end closed meanwhile. */
static int
say(struct fixture *f, int fd, const char *p, size_t len)
{
	int left = STEPS;
	ssize_t n;

	while (len > 0 && left-- > 0) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN)
			return 0;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
		step(f);
	}
	assert_int_equal(len, 0);
	return 1;
}

/* Read until the text was seen, or (NULL) until the end.  Returns all. */
static char *
hear(struct fixture *f, int fd, const char *until)
{
	static char all[65536];
	size_t len = 0;
	int left = STEPS;
	ssize_t n = -1;

	all[0] = '\0';
	while (left-- > 0 && n != 0 &&
	    (until == NULL || strstr(all, until) == NULL)) {
		step(f);
		n = recv(fd, all + len, sizeof(all) - 1 - len, 0);
		if (n == -1 && errno == ECONNRESET)
			n = 0;
		if (n > 0)
			len += (size_t)n;
		all[len] = '\0';
	}
	if (until != NULL && strstr(all, until) == NULL)
		fail_msg("never heard %s, but: %s", until, all);
	if (until == NULL && n != 0)
		fail_msg("not closed; heard: %s", all);
	return all;
}

#define SAY(f, fd, text) say(f, fd, text, sizeof(text) - 1)

/* Lines. */

static void
test_hello(void **state)
{
	struct fixture *f = *state;
	int fd = dial();

	SAY(f, fd, HELLO);
	hear(f, fd, "\"type\":\"link\"");
	assert_int_equal(f->eg.gw->nagent, 1);
	assert_int_equal(TAILQ_FIRST(&f->eg.gw->agents)->uid, getuid());
	assert_int_equal(TAILQ_FIRST(&f->eg.gw->agents)->pid, getpid());
	close(fd);
	UNTIL(f, f->eg.gw->nagent == 0);
	UNTIL(f, f->e.agents->n == 0);
}

static void
test_by_bytes(void **state)
{
	struct fixture *f = *state;
	const char *p;
	int fd = dial();

	for (p = "\n\n" HELLO; *p != '\0'; p++)
		say(f, fd, p, 1);
	hear(f, fd, "\"type\":\"link\"");
	close(fd);
}

/* Several lines at once, the last of them unfinished. */
static void
test_many(void **state)
{
	struct fixture *f = *state;
	char *text;
	int fd = dial();

	SAY(f, fd, HELLO "rubbish one\nrubbish two\n{\"type\":");
	text = hear(f, fd, "\"error\"");
	if (strstr(strstr(text, "\"error\"") + 30, "\"type\":\"error\"") ==
	    NULL)
		hear(f, fd, "\"type\":\"error\"");
	/* and it goes on where it stopped */
	SAY(f, fd, "\"going_idle\"}\n");
	hear(f, fd, "going_idle_ack");
	close(fd);
}

static void
test_long_line(void **state)
{
	struct fixture *f = *state;
	size_t n = LIMIT_LINE;
	char *p = malloc(n + 1);
	int fd = dial();

	/* The longest there may be, of blanks around a frame. */
	memset(p, ' ', n + 1);
	memcpy(p, HELLO, sizeof(HELLO) - 2);
	p[n] = '\n';
	assert_true(say(f, fd, p, n + 1));
	hear(f, fd, "\"type\":\"link\"");
	/* One byte more. */
	p[n] = ' ';
	(void)say(f, fd, p, n + 1);
	assert_non_null(
	    strstr(hear(f, fd, NULL), "a line may have at most 1 MiB"));
	assert_int_equal(f->eg.gw->nagent, 0);
	free(p);
	close(fd);
}

static void
refused(struct fixture *f, const char *a, const char *b, const char *why)
{
	int fd = dial();

	say(f, fd, a, strlen(a));
	if (b != NULL)
		say(f, fd, b, strlen(b));
	assert_non_null(strstr(hear(f, fd, NULL), why));
	assert_int_equal(f->eg.gw->nagent, 0);
	close(fd);
}

static void
test_strangers(void **state)
{
	refused(*state, "GET / HTTP/1.1\r\n\r\n", NULL, "HTTP");
	refused(*state, "PO", "ST / HTTP/1.1\r\n", "HTTP");
	refused(*state, "\x16\x03\x01\x02", NULL, "TLS");
	refused(*state, "SSH-2.0-OpenSSH\r\n", NULL, "SSH");
}

/* Output. */

static struct agent_sock *
attached(struct fixture *f, int fd)
{
	SAY(f, fd, HELLO);
	hear(f, fd, "\"type\":\"link\"");
	return TAILQ_FIRST(&f->eg.gw->agents)->io;
}

static void
test_pieces(void **state)
{
	struct fixture *f = *state;
	const struct span piece[] = {
	    SPAN_LIT("{\"a\":"), {NULL, 0}, SPAN_LIT("1}")};
	int fd = dial();
	struct agent_sock *s = attached(f, fd);

	assert_int_equal(agent_sock_send(&f->e, s->agent, piece, 3), 0);
	assert_int_equal(agent_sock_send(&f->e, s->agent, piece, 3), 0);
	assert_true(agent_sock_pending(&f->e));
	hear(f, fd, "{\"a\":1}\n{\"a\":1}\n");
	assert_false(agent_sock_pending(&f->e));
	assert_null(s->out.p); /* an idle agent holds nothing */
	close(fd);
}

/* An agent that asked for a large window and reads slowly is given events as
 * its queue takes them, and is not cut off. */
static void
test_events_wait_for_the_reader(void **state)
{
	enum { EVENTS = 46, SIZE = 100000 };
	struct fixture *f = *state;
	char *p = malloc(SIZE), *got = malloc(SIZE);
	const struct span piece = {p, SIZE};
	struct delivery_event ev = {.piece = &piece, .n = 1};
	struct gateway *gw = f->eg.gw;
	int i, left = STEPS * EVENTS, fd = dial();
	struct agent_sock *s;
	uint32_t had;

	SAY(f, fd, "{\"type\":\"hello\",\"window\":4096}\n");
	hear(f, fd, "\"type\":\"link\"");
	s = TAILQ_FIRST(&gw->agents)->io;
	memset(p, 'x', SIZE);
	ev.session = session_get(gw, SPAN_LIT("k"), -1);
	for (i = 0; i < EVENTS; i++)
		delivery_admit(gw, &ev);
	had = s->agent->ninflight;
	assert_in_range(had, 30, EVENTS - 1);
	assert_true(s->full);
	while (s->agent->ninflight < EVENTS && left-- > 0) {
		step(f);
		(void)recv(fd, got, SIZE, 0);
	}
	assert_int_equal(s->agent->ninflight, EVENTS);
	assert_int_equal(gw->nagent, 1);
	assert_false(s->full);
	free(got);
	free(p);
	close(fd);
}

/* What does not fit the socket waits, and comes when there is room. */
static void
test_backlog(void **state)
{
	struct fixture *f = *state;
	char *p = malloc(100000), *got = malloc(100000);
	struct span piece = {p, 99999};
	int i, left, fd = dial();
	struct agent_sock *s = attached(f, fd);
	size_t len;
	ssize_t n;

	memset(p, 'x', 99999);
	p[99999] = '\n';
	for (i = 0; i < 40; i++)
		assert_int_equal(
		    agent_sock_send(&f->e, s->agent, &piece, 1), 0);
	step(f);
	assert_true(agent_sock_pending(&f->e));
	for (i = 0; i < 40; i++) {
		for (len = 0, left = STEPS; len < 100000 && left > 0; left--) {
			step(f);
			n = recv(fd, got + len, 100000 - len, 0);
			len += n > 0 ? (size_t)n : 0;
		}
		assert_memory_equal(got, p, 100000);
	}
	assert_false(agent_sock_pending(&f->e));
	free(got);
	free(p);
	close(fd);
}

/* One that does not read is cut off, and holds up nobody else. */
static void
test_overrun(void **state)
{
	struct fixture *f = *state;
	char *p = malloc(1000000);
	struct span piece = {p, 1000000}, small = SPAN_LIT("hello");
	int i, fd = dial(), other;
	struct agent_sock *s = attached(f, fd), *t;

	other = dial();
	SAY(f, other, HELLO);
	hear(f, other, "\"type\":\"link\"");
	t = TAILQ_NEXT(TAILQ_FIRST(&f->eg.gw->agents), entry)->io;
	memset(p, 'x', 1000000);
	for (i = 0; i < 20; i++)
		if (agent_sock_send(&f->e, s->agent, &piece, 1) == -1)
			break;
	assert_int_equal(i, LIMIT_AGENT_QUEUE / 1000001);
	/* The core hears of it later, not from within. */
	assert_int_equal(f->eg.gw->nagent, 2);
	assert_int_equal(agent_sock_send(&f->e, t->agent, &small, 1), 0);
	hear(f, other, "hello\n");
	assert_int_equal(f->eg.gw->nagent, 1);
	hear(f, fd, NULL);
	assert_false(agent_sock_pending(&f->e));
	free(p);
	close(fd);
	close(other);
}

/* Listeners. */

/* What it said before it left is heard, also when a write finds out. */
static void
test_last_words(void **state)
{
	static const struct span words = SPAN_LIT("{}");
	struct fixture *f = *state;
	int fd = dial();
	struct agent *a = attached(f, fd)->agent;

	assert_int_equal(send(fd, "[]\n[]\n[]", 8, 0), 8);
	close(fd);
	assert_int_equal(agent_sock_send(&f->e, a, &words, 1), 0);
	assert_true(agent_sock_turn(&f->e));
	assert_int_equal(f->eg.gw->count.agent_lines_bad, 2);
	assert_int_equal(f->eg.gw->nagent, 0);
	assert_int_equal(f->e.agents->n, 0);
}

static void
test_per_user(void **state)
{
	struct fixture *f = *state;
	int fd[PER_UID + 1], i;

	for (i = 0; i < PER_UID; i++)
		fd[i] = dial();
	UNTIL(f, f->eg.gw->nagent == PER_UID);
	fd[PER_UID] = dial();
	assert_non_null(
	    strstr(hear(f, fd[PER_UID], NULL), "this user has 32 agents here"));
	assert_int_equal(f->eg.gw->nagent, PER_UID);
	for (i = 0; i <= PER_UID; i++)
		close(fd[i]);
	UNTIL(f, f->e.agents->n == 0);
	fd[0] = dial();
	SAY(f, fd[0], HELLO);
	hear(f, fd[0], "\"type\":\"link\"");
	close(fd[0]);
}

/* Another socket takes the place; who is connected stays. */
static void
test_replace(void **state)
{
	struct fixture *f = *state;
	int a = dial(), b;

	attached(f, a);
	agent_sock_replace(f->eg.listener, listen_new(&address, &address_len));
	b = dial();
	attached(f, b);
	SAY(f, a, "{\"type\":\"going_idle\"}\n");
	hear(f, a, "going_idle_ack");
	assert_int_equal(f->eg.gw->nagent, 2);
	close(a);
	close(b);
}

static void
limit_files(rlim_t n)
{
	struct rlimit rl;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &rl), 0);
	rl.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &rl), 0);
}

/* Agents leave what links, pipes and operators may need. */
static void
test_headroom(void **state)
{
	struct fixture *f = *state;
	unsigned keep = LIMIT_FD_RESERVE(1) + LIMIT_CONTROL;
	struct rlimit old;
	int a = dial(), b, c, last;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	attached(f, a);
	b = dial();
	/* What accept will give. */
	last = fcntl(0, F_DUPFD_CLOEXEC, 0);
	close(last);
	limit_files((rlim_t)last + keep);
	assert_non_null(strstr(hear(f, b, NULL), HEADROOM_LACK));
	assert_int_equal(f->eg.gw->nagent, 1);
	SAY(f, a, "{\"type\":\"going_idle\"}\n");
	hear(f, a, "going_idle_ack"); /* who is there stays */
	close(b);
	b = dial();
	limit_files((rlim_t)last + keep + 1);
	attached(f, b);
	c = dial(); /* a number of ours as well */
	assert_non_null(strstr(hear(f, c, NULL), HEADROOM_LACK));
	/* More gateways need more. */
	close(b);
	close(c);
	UNTIL(f, f->e.agents->n == 1);
	f->e.ngw = LIMIT_FD_LEAST - LIMIT_FD_OTHER + 1;
	b = dial();
	assert_non_null(strstr(hear(f, b, NULL), HEADROOM_LACK));
	f->e.ngw--;
	close(b);
	b = dial();
	attached(f, b);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	close(a);
	close(b);
}

/* No descriptor is left: who comes is turned away, not left to wait. */
static void
test_exhausted(void **state)
{
	struct fixture *f = *state;
	int fd[256], n = 0, a = dial(), b;
	struct rlimit old, low;

	b = dial();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = 200;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	while (n < 256 && (fd[n] = fcntl(0, F_DUPFD_CLOEXEC, 0)) != -1)
		n++;
	assert_non_null(strstr(hear(f, a, NULL), "out of descriptors"));
	assert_non_null(strstr(hear(f, b, NULL), "out of descriptors"));
	while (n > 0)
		close(fd[--n]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	close(a);
	close(b);
	a = dial();
	attached(f, a);
	close(a);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_hello),
	    TEST(test_by_bytes),
	    TEST(test_many),
	    TEST(test_long_line),
	    TEST(test_strangers),
	    TEST(test_pieces),
	    TEST(test_backlog),
	    TEST(test_events_wait_for_the_reader),
	    TEST(test_overrun),
	    TEST(test_last_words),
	    TEST(test_per_user),
	    TEST(test_replace),
	    TEST(test_headroom),
	    TEST(test_exhausted),
	};

	log_init(LOG_TO_PEOPLE, "test", LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
