/* SPDX-License-Identifier: ISC */
/* relay-xchg, the process: what a token command printed, its time, its memory,
 * and its end. */
#include <sys/ioctl.h>
#include <inttypes.h>

#include "secmem.h"
#include "xchg_fixture.h"

/* Command. */

static void
printed(void **state, const char *p, size_t len, struct run *r)
{
	struct msg_xrequest q = {.answer = ANSWER_COMMAND};
	int fd[2];

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	fcntl(fd[1], F_SETPIPE_SZ, SEEN_MAX);
	assert_int_equal(write(fd[1], p, len), len);
	close(fd[1]);
	run_start(r, *state, fd[0]);
	close(fd[0]);
	run_ask(r, &q, -1);
	run_wait(r);
	assert_int_equal(r->answered, 1);
	assert_int_equal(r->m.status, 0);
}

static void
command(void **state)
{
	static const char nothing[] = "the token command printed nothing",
			  none[] = "what the token command printed holds white "
				   "space, or characters that are not ASCII: "
				   "it is no token",
			  longer[] = "what the token command printed is longer "
				     "than 16 KiB",
			  more[] = "the token command printed more than a "
				   "token";
	/* So many x, then so many newlines, or the text. */
	static const struct {
		const char *text;
		size_t x, newlines, token;
		const char *why;
	} all[] = {
	    {"\t the.token\r\n\n", 0, 0, 9, ""},
	    {" \n", 0, 0, 0, nothing},
	    {"", 0, 0, 0, nothing},
	    {"a b", 0, 0, 0, none},
	    {NULL, LIMIT_BEARER + 1, 0, 0, longer},
	    {NULL, LIMIT_BEARER + 4096 + 1, 0, 0, more},
	    {NULL, LIMIT_BEARER, 4096, LIMIT_BEARER, ""},
	};
	static char most[LIMIT_BEARER + 4096 + 1];
	const char *p;
	struct run r;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		memset(most, 'x', all[i].x);
		memset(most + all[i].x, '\n', all[i].newlines);
		p = all[i].text != NULL ? all[i].text : most;
		printed(state, p,
		    all[i].text != NULL ? strlen(p)
					: all[i].x + all[i].newlines,
		    &r);
		outcome(&r,
		    all[i].why[0] != '\0' ? XSTAGE_COMMAND : XSTAGE_DONE, 0,
		    all[i].why);
		assert_int_equal(r.m.token.len, all[i].token);
		assert_memory_equal(r.m.token.p,
		    all[i].x > 0 ? most : "the.token", all[i].token);
		run_end(&r);
	}
}

/* Too late: all at once, since each takes its whole time. */

static void
late(void **state)
{
	static const struct {
		struct server s;
		enum xchg_stage stage;
		uint64_t status;
		const char *why;
	} all[] = {
	    {{.until = TO_HELLO, .stalls = 1}, XSTAGE_IO, 0,
		"the TLS handshake was not over within 15 s"},
	    {{.stalls = 1}, XSTAGE_IO, 0,
		"15 s passed before anything was answered"},
	    {{.stalls = 1, .answer = "HTTP/1.1 200 OK\r\nA: "}, XSTAGE_IO, 0,
		"15 s passed within the answer"},
	    {{.stalls = 1, .answer = OK("20") "{\"secret\":"}, XSTAGE_IO, 200,
		"15 s passed within the answer"},
	    /* Its status says it all. */
	    {{.stalls = 1, .answer = "HTTP/1.1 403 Forbidden\r\n\r\n{"},
		XSTAGE_REFUSED, 403, "Forbidden"},
	};
	enum { N = sizeof(all) / sizeof(all[0]) };
	struct msg_xrequest q = request(ANSWER_CREDENTIAL),
			    printed_q = {.answer = ANSWER_COMMAND};
	struct world *w = *state;
	struct run r[N + 1], mute;
	struct server s;
	int i, sock, fd[2];

	for (i = 0; i < N; i++) {
		s = all[i].s;
		s.cert = w->cert;
		s.key = w->key;
		run_start(&r[i], w, w->bundle);
		sock = run_serve(&r[i], &s);
		run_ask(&r[i], &q, sock);
		close(sock);
	}
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	run_start(&r[N], w, fd[0]);
	run_ask(&r[N], &printed_q, -1);
	run_start(&mute, w, w->bundle); /* which is never asked */
	for (i = 0; i < N; i++) {
		run_wait(&r[i]);
		assert_int_equal(r[i].answered, 1);
		outcome(&r[i], all[i].stage, all[i].status, all[i].why);
		run_end(&r[i]);
	}
	run_wait(&r[N]);
	outcome(&r[N], XSTAGE_COMMAND, 0,
	    "the token command did not end within 15 s");
	run_end(&r[N]);
	run_wait(&mute);
	assert_int_equal(mute.answered, 0);
	assert_non_null(strstr(mute.said, "no request came within 15 s"));
	run_end(&mute);
	close(fd[0]);
	close(fd[1]);
}

/* Memory. */

/* Larger are the sanitizer's own alone. */
#define MAPPING_MAX (64U * 1024 * 1024)

/* Whether the text is anywhere in a process's memory that can be read. */
static int
in_memory(pid_t pid, const char *text)
{
	char path[64], line[512], *p;
	uintmax_t from, to;
	FILE *maps;
	ssize_t n;
	int fd, found = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	assert_non_null(maps = fopen(path, "r"));
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	assert_int_not_equal(fd = open(path, O_RDONLY), -1);
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%jx-%jx", &from, &to) != 2 ||
		    to - from > MAPPING_MAX || (p = malloc(to - from)) == NULL)
			continue;
		n = pread(fd, p, to - from, (off_t)from);
		found |=
		    n > 0 && memmem(p, (size_t)n, text, strlen(text)) != NULL;
		free(p);
	}
	fclose(maps);
	close(fd);
	return found;
}

static int
has_secret_memory(void)
{
	unsigned flags;
	int fd = secmem_fd(1, &flags);

	close(fd);
	return fd != -1 && (flags & SECMEM_FALLBACK) == 0;
}

/* What it was given and what it got lie where even root does not see them. */
static void
secrets_out_of_sight(void **state)
{
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct world *w = *state;
	struct server s = {.stalls = 1, .cert = w->cert, .key = w->key};
	struct run r;
	int sock, left = 1;

	if (!as_root() || !has_secret_memory()) {
		print_message("SKIPPED: needs root, and memfd_secret\n");
		return;
	}
	s.answer = OK("99") "{\"secret\":\"canary-answer\"";
	q.bearer = SPAN_LIT("canary-bearer");
	q.body = SPAN_LIT("{\"enrollmentToken\":\"canary-body\"}");
	run_start(&r, w, w->bundle);
	sock = run_serve(&r, &s);
	run_ask(&r, &q, sock);
	r.request = read_all(r.seen); /* until it has answered */
	r.seen = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_non_null(strstr(r.request, "canary-bearer"));
	assert_non_null(strstr(r.request, "canary-body"));
	while (left > 0) {
		assert_int_equal(ioctl(sock, FIONREAD, &left), 0);
		poll(NULL, 0, 1);
	}
	close(sock);
	assert_true(in_memory(r.xchg, NAME)); /* what is no secret is seen */
	assert_false(in_memory(r.xchg, "canary-bearer"));
	assert_false(in_memory(r.xchg, "canary-body"));
	assert_false(in_memory(r.xchg, "canary-answer"));
	kill(r.server, SIGTERM);
	free(r.request);
	run_wait(&r);
	run_end(&r);
}

/* relay-authd. */

/* Its end is the exchange's, whatever that is doing. */
static void
orphaned(void **state)
{
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct world *w = *state;
	struct server s = {.stalls = 1, .cert = w->cert, .key = w->key};
	struct run r;
	char c;
	int sock, status;

	run_start(&r, w, w->bundle);
	sock = run_serve(&r, &s);
	run_ask(&r, &q, sock);
	close(sock);
	assert_int_equal(read(r.seen, &c, 1), 1); /* under way */
	close(r.seen);
	pipe_free(r.p);
	assert_int_equal(waitpid(r.xchg, &status, 0), r.xchg);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	kill(r.server, SIGTERM);
	waitpid(r.server, NULL, 0);
	close(r.log);
}

/* What must not be sent ends it, with a line in the log. */
static void
offences(void **state)
{
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct world *w = *state;
	struct run r;

	run_start(&r, w, w->bundle);
	run_ask(&r, &q, -1);
	run_wait(&r);
	assert_int_equal(r.answered, 0);
	assert_true(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 1);
	assert_non_null(strstr(r.said, "a request without its socket"));
	run_end(&r);
	q.answer = ANSWER_COMMAND;
	run_start(&r, w, w->bundle);
	run_ask(&r, &q, -1);
	run_wait(&r);
	assert_int_equal(r.answered, 0);
	assert_non_null(strstr(r.said, "not for what was laid ready"));
	run_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(command),
	    cmocka_unit_test(late),
	    cmocka_unit_test(secrets_out_of_sight),
	    cmocka_unit_test(orphaned),
	    cmocka_unit_test(offences),
	};

	return cmocka_run_group_tests(tests, world_new, world_free);
}
