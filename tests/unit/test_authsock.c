/* SPDX-License-Identifier: ISC */
/* auth.sock: each command's answers, who is let in, and what is bounded. */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <event2/event.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authsock.h"
#include "authd_world.h"

struct scene {
	struct world *w;
	struct event_base *base;
	struct authsock as;
	int fd; /* the client's end */
	char text[65536];
};

static void
nothing(void *arg)
{
	(void)arg;
}

static int
client(struct scene *s)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX,
			     SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd),
	    0);
	linesock_add(s->as.sock, fd[1]);
	return fd[0];
}

static int
scene_setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));
	void *w;

	assert_non_null(s);
	assert_int_equal(world_setup(&w), 0);
	s->w = w;
	s->base = event_base_new();
	s->as = (struct authsock){
	    .gs = &s->w->gs, .before = nothing, .after = nothing};
	assert_int_equal(authsock_serve(&s->as, s->base, -1, geteuid()), 0);
	s->fd = client(s);
	world_commit(s->w);
	*state = s;
	return 0;
}

static int
scene_teardown(void **state)
{
	struct scene *s = *state;
	void *w = s->w;

	authsock_close(&s->as);
	event_base_free(s->base);
	close(s->fd);
	world_teardown(&w);
	free(s);
	return 0;
}

/* What the client gets when the loop has nothing more to do. */
static const char *
heard(struct scene *s, int fd)
{
	ssize_t n;
	size_t len = 0;

	for (int i = 0; i < 200; i++) {
		event_base_loop(s->base, EVLOOP_NONBLOCK);
		n = read(fd, s->text + len, sizeof(s->text) - 1 - len);
		if (n > 0)
			len += (size_t)n;
	}
	s->text[len] = '\0';
	return s->text;
}

static const char *
say(struct scene *s, const char *line)
{
	assert_int_equal(write(s->fd, line, strlen(line)), strlen(line));
	return heard(s, s->fd);
}

#define HAS(text, part)	  assert_non_null(strstr(text, part))
#define LACKS(text, part) assert_null(strstr(text, part))

static void
test_bad_requests(void **state)
{
	static const char *const bad[] = {"\n", "x\n", "[]\n", "{}\n",
	    "{\"cmd\":\"dance\"}\n", "{\"cmd\":1}\n",
	    "{\"cmd\":\"forget\",\"cmd\":\"forget\"}\n"};
	struct scene *s = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		HAS(say(s, bad[i]), "\"code\":\"bad_request\"");
	HAS(say(s, "{\"cmd\":\"forget\",\"gateway\":\"ma\\u00e4in\"}\n"),
	    "\"code\":\"no_gateway\"");
	HAS(say(s, "{\"cmd\":\"forget\"}\n"), "\"code\":\"no_gateway\"");
}

/* Which gateways there are, as far as there is room. */
static void
test_unknown_gateway(void **state)
{
	static const char *const ask =
	    "{\"cmd\":\"forget\",\"gateway\":\"mian\"}\n";
	struct scene *s = *state;
	struct secret *live = s->w->secrets.live;

	HAS(say(s, ask), "no gateway mian; configured: main\"");
	strlcpy(live[7].name, "second", sizeof(live[7].name));
	live[7].present = 1;
	live[0].present = 0;
	HAS(say(s, ask), "no gateway mian; configured: second\"");
	live[0].present = 1;
	HAS(say(s, ask), "configured: main, second\"");
	for (int g = 8; g < 30; g++) {
		snprintf(live[g].name, sizeof(live[g].name), "%032d", g);
		live[g].present = 1;
	}
	HAS(say(s, ask), "configured: main, second, 000000000000000000000000");
	HAS(s->text, " and 18 more\"");
	memset(live, 0, 30 * sizeof(*live));
	HAS(say(s, ask), "no gateway mian; none is configured\"");
	world_commit(s->w);
}

static void
test_import_and_forget(void **state)
{
	struct scene *s = *state;
	const char *t;

	t = say(s,
	    "{\"cmd\":\"import\",\"gateway\":\"main\",\"id\":\"gw-old\","
	    "\"secret\":\"hush-hush\",\"delivery_key\":\"hush-key\","
	    "\"url\":\"wss://c.example/relay\",\"wake_url\":\"https://w\"}\n");
	HAS(t,
	    "{\"ok\":true,\"version\":\"" VERSION
	    "\",\"gateway\":\"main\",\"gateway_id\":\"gw-old\"");
	HAS(t, "\"wake_url_note\":true");
	t = say(s, "{\"cmd\":\"credentials\"}\n");
	HAS(t, "\"schema\":\"relayauthd.credentials/1\"");
	HAS(t, "\"source\":\"enrolled\",\"gateway_id\":\"gw-old\"");
	HAS(t, "\"since\":1700000000,\"age_s\":0,\"usable\":true");
	HAS(t, "\"delivery_key\":true");
	HAS(t, "\"uses\":{\"link\":0,\"provision\":0,");
	LACKS(t, "hush");
	HAS(say(s, "{\"cmd\":\"forget\",\"gateway\":\"main\"}\n"),
	    "{\"ok\":true,\"version\":\"" VERSION "\",\"gateway\":\"main\"}");
	t = say(s, "{\"cmd\":\"credentials\"}\n");
	HAS(t, "\"source\":\"none\"");
	HAS(t, "\"since\":null,\"age_s\":null,\"usable\":false");
}

static void
test_import_refused(void **state)
{
	struct scene *s = *state;
	const char *t;

	HAS(say(s, "{\"cmd\":\"import\",\"gateway\":\"main\"}\n"),
	    "\"code\":\"bad_request\"");
	t = say(s,
	    "{\"cmd\":\"import\",\"gateway\":\"main\",\"secret\":\"x\","
	    "\"url\":\"https://d.example\"}\n");
	HAS(t, "\"code\":\"url_mismatch\"");
	HAS(t,
	    "gateway main is configured for https://c.example: set url to "
	    "https://d.example and reload, then enroll again");
	s->w->secret = "pinned";
	world_commit(s->w);
	HAS(say(s,
		"{\"cmd\":\"import\",\"gateway\":\"main\",\"secret\":\"x\"}\n"),
	    "\"code\":\"pinned\"");
}

static void
test_enrolment_is_answered_at_its_end(void **state)
{
	struct scene *s = *state;
	struct world *w = s->w;

	assert_string_equal(say(s,
				"{\"cmd\":\"enroll\",\"gateway\":\"main\","
				"\"token\":\"hu\\u0073h\"}"
				"\n{\"cmd\":\"credentials\"}\n"),
	    "");
	world_next(w, MSG_WANT_SECRET); /* provisioning's */
	world_secret(w, WANT_IDENTITY, "id-token", "");
	world_refuse(w, 403);
	authsock_enrolled(&s->as,
	    &(struct job){.cookie = 1,
		.code = w->code,
		.why = "connector: HTTP 403: go away"});
	HAS(heard(s, s->fd),
	    "{\"ok\":false,\"version\":\"" VERSION
	    "\",\"code\":\"token_refused\",\"error\":\"connector: "
	    "HTTP 403: go away\"}\n{\"ok\":true,\"version\":\"" VERSION
	    "\",\"schema\"");
	HAS(s->text,
	    "\"last_refusal\":{\"at\":1700000000,\"what\":"
	    "\"enroll\",\"reason\":\"connector: HTTP 403");
	LACKS(s->text, "hush");
}

static void
test_long_lines(void **state)
{
	struct scene *s = *state;
	static char line[AUTHSOCK_LINE + 8192];
	size_t at = 0;
	ssize_t n;

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 1000 && at < sizeof(line); i++) {
		n = write(s->fd, line + at, sizeof(line) - at);
		at += n > 0 ? (size_t)n : 0;
		event_base_loop(s->base, EVLOOP_NONBLOCK);
	}
	HAS(heard(s, s->fd), "the line is too long");
	/* ECONNRESET when the rest was never read. */
	assert_true(read(s->fd, line, 1) <= 0);
}

/* The longest line is taken, one more is not, though its end is there. */
static void
test_longest_line(void **state)
{
	static char line[AUTHSOCK_LINE + 2];
	struct scene *s = *state;
	static const char cmd[] = "{\"cmd\":\"credentials\"";

	for (size_t len = AUTHSOCK_LINE; len <= AUTHSOCK_LINE + 1; len++) {
		memset(line, ' ', len);
		memcpy(line, cmd, sizeof(cmd) - 1);
		line[len - 1] = '}';
		line[len] = '\n';
		for (size_t at = 0, n; at < len + 1; at += n) {
			n = len + 1 - at < 4096 ? len + 1 - at : 4096;
			assert_int_equal(write(s->fd, line + at, n), n);
			event_base_loop(s->base, EVLOOP_NONBLOCK);
		}
		HAS(heard(s, s->fd),
		    len == AUTHSOCK_LINE ? "\"ok\":true"
					 : "the line is too long");
	}
}

/* Neither a line nor what was taken out of it can be read by the kernel for
 * somebody else, as it could anywhere else. */
static void
peek(const struct linesock_client *c, struct span line, void *arg)
{
	struct scene *s = arg;
	struct iovec to = {s->text, line.len}, from;

	(void)c;
	memcpy(&from.iov_base, &line.p, sizeof(line.p));
	from.iov_len = line.len;
	assert_int_equal(process_vm_readv(getpid(), &to, 1, &from, 1, 0), -1);
	from.iov_base = s->as.room;
	assert_int_equal(process_vm_readv(getpid(), &to, 1, &from, 1, 0), -1);
	from.iov_base = s;
	assert_int_equal(
	    process_vm_readv(getpid(), &to, 1, &from, 1, 0), line.len);
	s->as.arg = s;
}

static void
test_secret_memory(void **state)
{
	struct scene *s = *state;
	unsigned flags;

	close(secmem_fd(1, &flags));
	if (flags & SECMEM_FALLBACK)
		skip();
	linesock_free(s->as.sock);
	s->as.sock = linesock_new(s->base, -1, geteuid(), 100, peek, s);
	close(s->fd);
	s->fd = client(s);
	say(s, "hush\n");
	assert_ptr_equal(s->as.arg, s); /* it was looked at */
}

static void
test_so_many_clients(void **state)
{
	struct scene *s = *state;
	int fd[LINESOCK_CLIENTS];
	char c;

	for (int i = 0; i < LINESOCK_CLIENTS; i++)
		fd[i] = client(s);
	/* One was there before. */
	assert_int_equal(read(fd[LINESOCK_CLIENTS - 1], &c, 1), 0);
	close(fd[0]);
	heard(s, s->fd);
	close(fd[LINESOCK_CLIENTS - 1]);
	fd[0] = client(s);
	assert_int_equal(write(fd[0], "{\"cmd\":\"credentials\"}\n", 22), 22);
	HAS(heard(s, fd[0]), "\"ok\":true");
	for (int i = 0; i < LINESOCK_CLIENTS - 1; i++)
		close(fd[i]);
}

/* Who waits for an answer gets it, and nobody else does, when the socket is
 * made anew meanwhile. */
static void
test_another_socket(void **state)
{
	struct scene *s = *state;
	const char *ask = "{\"cmd\":\"enroll\",\"gateway\":\"main\","
			  "\"token\":\"hush\"}\n";
	int other;

	assert_string_equal(say(s, ask), "");
	assert_int_equal(authsock_serve(&s->as, s->base, -1, geteuid()), 0);
	other = client(s);
	assert_int_equal(write(other, ask, strlen(ask)), strlen(ask));
	HAS(heard(s, other), "\"ok\":false"); /* one is under way */
	authsock_enrolled(&s->as,
	    &(struct job){.cookie = 1, .code = "token_refused", .why = "no"});
	assert_string_equal(heard(s, other), "");
	HAS(heard(s, s->fd), "\"code\":\"token_refused\"");
	close(other);
}

static void
test_strangers(void **state)
{
	struct scene *s = *state;
	int fd;

	if (geteuid() != 0)
		skip();
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(authsock_serve(&s->as, s->base, -1, 12345), 0);
	fd = client(s);
	assert_int_equal(seteuid(0), 0);
	HAS(heard(s, fd), "\"code\":\"denied\"");
	assert_int_equal(read(fd, s->text, 1), 0);
	close(fd);
}

#define SCENE_TEST(f) \
	cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SCENE_TEST(test_bad_requests),
	    SCENE_TEST(test_unknown_gateway),
	    SCENE_TEST(test_import_and_forget),
	    SCENE_TEST(test_import_refused),
	    SCENE_TEST(test_enrolment_is_answered_at_its_end),
	    SCENE_TEST(test_long_lines),
	    SCENE_TEST(test_longest_line),
	    SCENE_TEST(test_secret_memory),
	    SCENE_TEST(test_so_many_clients),
	    SCENE_TEST(test_another_socket),
	    SCENE_TEST(test_strangers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
