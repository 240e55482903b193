/* SPDX-License-Identifier: ISC */
/* relay-xchg, the program, against a real server: whom it believes, how it is
 * cut off, and what it makes of answers. */
#include <sys/ioctl.h>
#include <inttypes.h>

#include "secmem.h"
#include "xchg_fixture.h"

#define OK(body_len)                                                 \
	"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n" \
	"Content-Length: " body_len "\r\n\r\n"
#define DATE 784111777
#define GOOD OK("16") "{\"secret\":\"5ec\"}"

static void
outcome(const struct run *r, enum xchg_stage stage, uint64_t status,
    const char *reason)
{
	if (r->m.stage != stage || r->m.status != status ||
	    strcmp(r->reason, reason) != 0)
		fail_msg("stage %d status %d \"%s\", not %d %d \"%s\"",
		    (int)r->m.stage, (int)r->m.status, r->reason, (int)stage,
		    (int)status, reason);
}

static void
text(struct span s, const char *wanted)
{
	assert_int_equal(s.len, strlen(wanted));
	assert_memory_equal(s.p, wanted, s.len);
}

/* The whole of it. */

static void
credential(void **state)
{
	const char *answer =
	    OK("120") "{\"secret\":\"0123abcd\",\"deliveryKey\":\"dk\","
		      "\"tenant\":\"t\\u00e9\",\"gatewayId\":\"gw-y\","
		      "\"routeKeys\":[\"a\",{\"b\":1}],\"x\":{\"x\":1}}    ";
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;

	run_with(&r, *state, (struct server){.answer = answer}, &q);
	outcome(&r, XSTAGE_DONE, 200, "");
	text(r.m.secret, "0123abcd");
	text(r.m.delivery_key, "dk");
	text(r.m.tenant, "t\xc3\xa9");
	text(r.m.gateway_id, "gw-y");
	text(r.m.token, "");
	assert_int_equal(r.m.date, DATE);
	assert_string_equal(r.request,
	    "POST /base/relay/provision HTTP/1.1\r\n"
	    "Host: " NAME ":8443\r\n"
	    "Authorization: Bearer identity.token\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: 20\r\n"
	    "Accept: application/json\r\n"
	    "User-Agent: relayd/" VERSION "\r\n"
	    "Connection: close\r\n\r\n"
	    "{\"gatewayId\":\"gw-x\"}");
	assert_string_equal(r.said, "");
	run_end(&r);
}

/* As a metadata server is asked. */
static void
plain_get(void **state)
{
	struct msg_xrequest q = request(ANSWER_TOKEN);
	struct run r;

	q.tls = 0;
	q.content_type = q.body = q.bearer = SPAN_LIT("");
	run_with(&r, *state,
	    (struct server){
		.answer = "HTTP/1.0 200 OK\r\n\r\n  bare.token-1\r\n"},
	    &q);
	outcome(&r, XSTAGE_DONE, 200, "");
	text(r.m.token, "bare.token-1");
	assert_string_equal(r.request,
	    "GET /base/relay/provision HTTP/1.1\r\n"
	    "Host: " NAME ":8443\r\n"
	    "Accept: application/json\r\n"
	    "User-Agent: relayd/" VERSION "\r\n"
	    "Connection: close\r\n\r\n");
	run_end(&r);
}

/* Without TLS nothing is laid ready to verify by: neither is a command's
 * output expected, nor is TLS ever without certificates. */
static void
tls_without_bundle(void **state)
{
	struct msg_xrequest q = request(ANSWER_TOKEN);
	struct world w = *(const struct world *)*state;
	struct run r;

	w.bundle = open("/dev/null", O_RDONLY);
	assert_int_not_equal(w.bundle, -1);
	run_with(&r, &w, (struct server){.answer = GOOD}, &q);
	outcome(&r, XSTAGE_TLS, 0,
	    "the CA bundle to verify by: no certificate found");
	close(w.bundle);
	run_end(&r);
}

/* The longest of everything, both ways. */
static void
largest(void **state)
{
	static char body[24000], bearer[LIMIT_BEARER], answer[66000];
	struct msg_xrequest q = request(ANSWER_TOKEN);
	struct run r;
	int n;

	memset(body, 'b', sizeof(body));
	memset(bearer, 't', sizeof(bearer));
	q.body = (struct span){body, sizeof(body)};
	q.bearer = (struct span){bearer, sizeof(bearer)};
	n = snprintf(answer, sizeof(answer), OK("65536") "%49152s%.*s", "",
	    LIMIT_BEARER, bearer);
	memset(answer + n - LIMIT_BEARER, 't', LIMIT_BEARER);
	run_with(&r, *state,
	    (struct server){.answer = answer, .len = (size_t)n}, &q);
	outcome(&r, XSTAGE_DONE, 200, "");
	assert_int_equal(r.m.token.len, LIMIT_BEARER);
	assert_int_equal(
	    strspn(strstr(r.request, "\r\n\r\n") + 4, "b"), sizeof(body));
	run_end(&r);
}

/* Whom it believes. */

struct identity {
	const char *san;
	long from, until;
	int own; /* its own CA */
	const char *wanted;
	const char *why; /* NULL: believed */
};

static void
believe(void **state, const struct identity *t)
{
	struct world *w = *state;
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct server s = {.answer = GOOD, .key = w->key};
	struct run r;

	s.cert = cert_new(w->key, "leaf", t->san, t->own ? NULL : w->ca,
	    t->own ? w->key : w->cakey, t->from, t->until);
	q.server_name = span_str(t->wanted);
	run_with(&r, w, s, &q);
	if (t->why == NULL)
		outcome(&r, XSTAGE_DONE, 200, "");
	else {
		outcome(&r, XSTAGE_TLS, 0, t->why);
		assert_string_equal(r.request, "");
	}
	run_end(&r);
	X509_free(s.cert);
}

static void
identities(void **state)
{
#define BAD "certificate verify failed: "
	static const struct identity all[] = {
	    {"DNS:" NAME, -60, 3600, 0, NAME ".", NULL},
	    {"IP:192.0.2.7", -60, 3600, 0, "192.0.2.7", NULL},
	    {"DNS:other.example", -60, 3600, 0, NAME,
		BAD "hostname mismatch (wanted " NAME ")"},
	    {"DNS:192.0.2.7", -60, 3600, 0, "192.0.2.7",
		BAD "IP address mismatch (wanted 192.0.2.7)"},
	    {"DNS:" NAME, -7200, -3600, 0, NAME,
		BAD "certificate has expired, or this machine's clock is "
		    "wrong"},
	    {"DNS:" NAME, 3600, 7200, 0, NAME,
		BAD "certificate is not yet valid, or this machine's clock is "
		    "wrong"},
	    {"DNS:" NAME, -60, 3600, 1, NAME,
		BAD "self-signed certificate (no CA of the trusted bundle "
		    "vouches for it)"},
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		believe(state, &all[i]);
}

static void
no_bundle(void **state)
{
	struct world w = *(struct world *)*state;
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;

	w.bundle = pem_file(NULL);
	run_with(&r, &w, (struct server){.answer = GOOD}, &q);
	outcome(&r, XSTAGE_TLS, 0,
	    "the CA bundle to verify by: no certificate found");
	run_end(&r);
	q.tls = 0; /* where none is needed */
	run_with(&r, &w, (struct server){.answer = GOOD}, &q);
	outcome(&r, XSTAGE_DONE, 200, "");
	run_end(&r);
	close(w.bundle);
}

static void
no_tls(void **state)
{
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;

	run_with(&r, *state,
	    (struct server){.until = TO_HELLO,
		.answer = "HTTP/1.1 400 Bad Request\r\n\r\n"},
	    &q);
	outcome(&r, XSTAGE_TLS, 0, "the peer does not speak TLS on this port");
	run_end(&r);
}

/* Cut off. */

static void
cut(void **state)
{
	static const struct {
		int tls;
		enum until until;
		const char *answer, *why;
		uint64_t status;
	} all[] = {
	    {1, TO_HELLO, NULL,
		"connection closed by the peer during the TLS handshake", 0},
	    {1, TO_ANSWER, NULL,
		"connection closed by the peer before anything was answered",
		0},
	    {1, TO_ANSWER, "HTTP/1.1 200 O",
		"connection closed by the peer within the answer", 0},
	    {1, TO_ANSWER, OK("20") "{\"secret\":",
		"connection closed by the peer within the answer", 200},
	    /* Whole by its looks, but the end was not the server's word. */
	    {1, TO_ANSWER, "HTTP/1.1 200 OK\r\n\r\n{\"secret\":\"5ec\"}",
		"connection closed by the peer within the answer", 200},
	};
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		q.tls = (uint64_t)all[i].tls;
		run_with(&r, *state,
		    (struct server){
			.answer = all[i].answer, .until = all[i].until},
		    &q);
		outcome(&r, XSTAGE_IO, all[i].status, all[i].why);
		run_end(&r);
	}
}

/* The end of plain text is just that: what is missing is seen by the length
 * that was told. */
static void
cut_plain(void **state)
{
	static const struct {
		const char *answer, *why;
		uint64_t status;
	} all[] = {
	    {NULL, "no HTTP answer: nothing at all", 0},
	    {"HTTP/1.1 200 OK\r\nA: b\r\n",
		"no HTTP answer: closed within the head", 0},
	    {OK("20") "{\"secret\":", "closed before the body's end", 200},
	    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "10\r\n{\"secret\":\"5ec\"}\r\n",
		"closed before the body's end", 200},
	};
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;
	size_t i;

	q.tls = 0;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		run_with(
		    &r, *state, (struct server){.answer = all[i].answer}, &q);
		outcome(&r, XSTAGE_ANSWER, all[i].status, all[i].why);
		run_end(&r);
	}
}

/* Cut off before the request was read, the answer is one or the other. */
static void
cut_unread(void **state)
{
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;

	run_with(&r, *state, (struct server){.until = TO_HANDSHAKE}, &q);
	assert_int_equal(r.m.stage, XSTAGE_IO);
	assert_string_not_equal(r.reason, "");
	run_end(&r);
	run_with(&r, *state, (struct server){.until = TO_ACCEPT}, &q);
	assert_int_equal(r.m.stage, XSTAGE_IO);
	assert_non_null(strstr(r.reason, " during the TLS handshake"));
	run_end(&r);
}

/* Answers. */

struct answer {
	enum xchg_answer kind;
	const char *answer;
	enum xchg_stage stage;
	uint64_t status;
	const char *reason;
};

#define CHUNKED		    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define UNTIL_CLOSE(status) "HTTP/1.1 " status "\r\n\r\n"
#define C		    ANSWER_CREDENTIAL
#define T		    ANSWER_TOKEN
#define S		    ANSWER_STATUS

/* clang-format off */
static const struct answer answers[] = {
	{C, GOOD, XSTAGE_DONE, 200, ""},
	{C, UNTIL_CLOSE("201 Created") "{\"secret\":\"s\"}", XSTAGE_DONE, 201, ""},
	{C, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
	    "Link: </x>\r\n\r\n" GOOD, XSTAGE_DONE, 200, ""},
	{C, CHUNKED "8\r\n{\"secret\r\n8;x=\"y\"\r\n\":\"5ec\"}\r\n0\r\nA: b\r\n\r\n",
	    XSTAGE_DONE, 200, ""},
	{C, CHUNKED "8 \r\n", XSTAGE_ANSWER, 200, "chunk without a size"},
	{C, CHUNKED "2\r\n{}}\r\n", XSTAGE_ANSWER, 200,
	    "chunk longer than its size"},
	{C, CHUNKED "2\n{}", XSTAGE_ANSWER, 200, "chunk without a size"},
	{C, CHUNKED "ffffffff\r\n", XSTAGE_ANSWER, 200, "body too long"},
	{C, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n", XSTAGE_ANSWER, 0,
	    "no HTTP answer: Content-Length beside Transfer-Encoding"},
	{C, OK("65537"), XSTAGE_ANSWER, 200, "body too long"},
	{C, "HTTP/1.1 101 Switching Protocols\r\n\r\n", XSTAGE_ANSWER, 0,
	    "no HTTP answer: another protocol, which nobody asked for"},
	{C, "SSH-2.0-x\r\n\r\n", XSTAGE_ANSWER, 0, "no HTTP answer: not HTTP"},
	{C, "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\xff\r\n"
	    "Content-Length: 0\r\n\r\n", XSTAGE_REFUSED, 302,
	    "redirected to https://evil.example/?, which is not followed"},
	{C, UNTIL_CLOSE("304 Not Modified"), XSTAGE_REFUSED, 304,
	    "the answer is a redirection to nowhere"},
	{C, "HTTP/1.1 204 No Content\r\n\r\n", XSTAGE_ANSWER, 204,
	    "the answer is empty"},
	{C, OK("2") "{}", XSTAGE_ANSWER, 200, "there is no secret in the answer"},
	{C, OK("13") "{\"secret\":\"\"}", XSTAGE_ANSWER, 200,
	    "there is no secret in the answer"},
	{C, OK("12") "{\"secret\":5}", XSTAGE_ANSWER, 200,
	    "secret in the answer is not a string"},
	{C, OK("29") "{\"secret\":\"s\",\"tenant\":null} ", XSTAGE_DONE, 200, ""},
	{C, OK("30") "{\"secret\":\"s\",\"secret\":\"t\"}   ", XSTAGE_ANSWER, 200,
	    "the answer has a key twice"},
	{C, OK("36") "{\"secret\":\"s\",\"x\":1,\"\\u0078\":\"t\"}   ",
	    XSTAGE_ANSWER, 200, "the answer has a key twice"},
	{C, OK("21") "{\"secret\":\"a\\ud800b\"}", XSTAGE_ANSWER, 200,
	    "secret in the answer holds half a character (a lone surrogate)"},
	{C, OK("32") "{\"secret\":\"s\",\"tenant\":\"\\udc00\"}",
	    XSTAGE_ANSWER, 200,
	    "tenant in the answer holds half a character (a lone surrogate)"},
	{C, OK("44") "{\"secret\":\"\\ud83d\\ude00\\ufffd\",\"x\":\"\\ud800\"}",
	    XSTAGE_DONE, 200, ""},
	{C, OK("21") "{\"secret\":\"a\\u0000b\"}", XSTAGE_ANSWER, 200,
	    "secret in the answer holds control characters"},
	{C, OK("15") "{\"secret\":\"a \"}", XSTAGE_ANSWER, 200,
	    "secret in the answer has white space around it"},
	{C, OK("9") "{\"secret\"", XSTAGE_ANSWER, 200, "the answer is not JSON"},
	{C, OK("3") "[1]", XSTAGE_ANSWER, 200,
	    "the answer is not a JSON object"},
	{C, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n{\"secret\":\"s\"}",
	    XSTAGE_ANSWER, 200,
	    "the answer is encoded, which was not asked for"},
	{C, UNTIL_CLOSE("403 Forbidden") "{\"error\":\"token\\n was \\ud83d\\ude00 used\"}",
	    XSTAGE_REFUSED, 403, "token? was \xf0\x9f\x98\x80 used"},
	{C, UNTIL_CLOSE("401 Unauthorized") "<html>", XSTAGE_REFUSED, 401,
	    "Unauthorized"},
	{C, UNTIL_CLOSE("503") , XSTAGE_REFUSED, 503, ""},
	{C, "HTTP/1.1 502 Bad\xff\r\nContent-Length: 70000\r\n\r\n",
	    XSTAGE_REFUSED, 502, "Bad?"},
	{C, UNTIL_CLOSE("400 No") "{\"error\":\"a\",\"error\":\"b\"}",
	    XSTAGE_REFUSED, 400, "No"},
	{T, OK("19") "{\"access_token\":1} ", XSTAGE_ANSWER, 200,
	    "access_token in the answer is not a string"},
	{T, OK("25") "{\"access_token\":\"\\udfff\"}", XSTAGE_ANSWER, 200,
	    "access_token in the answer holds half a character (a lone "
	    "surrogate)"},
	{T, OK("24") "{\"access_token\":\"a.b-c\"}", XSTAGE_DONE, 200, ""},
	{T, OK("2") "{}", XSTAGE_ANSWER, 200,
	    "there is no access_token in the answer"},
	{T, OK("3") "a b", XSTAGE_ANSWER, 200,
	    "the token in the answer holds white space, or characters that "
	    "are not ASCII: it is no token"},
	{T, OK("3") " \r\n", XSTAGE_ANSWER, 200,
	    "the token in the answer is empty"},
	{T, UNTIL_CLOSE("400 Bad Request") "{\"error\":\"invalid_client\","
	    "\"error_description\":\"no such client\"}", XSTAGE_REFUSED, 400,
	    "invalid_client: no such client"},
	{S, "HTTP/1.1 204 No Content\r\n\r\n", XSTAGE_DONE, 204, ""},
	{S, OK("5") "<foo>", XSTAGE_DONE, 200, ""},
	{S, UNTIL_CLOSE("500 Oh") "{}", XSTAGE_REFUSED, 500, "Oh"},
};
/* clang-format on */

static void
answered(void **state)
{
	struct msg_xrequest q;
	struct run r;
	size_t i;

	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		q = request(answers[i].kind);
		run_with(&r, *state,
		    (struct server){.answer = answers[i].answer}, &q);
		outcome(
		    &r, answers[i].stage, answers[i].status, answers[i].reason);
		run_end(&r);
	}
}

/* Byte by byte, each a TLS record of its own. */
static void
dribbled(void **state)
{
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;

	run_with(&r, *state,
	    (struct server){.answer = CHUNKED
		"8\r\n{\"secret\r\n8\r\n\":\"5ec\"}\r\n0\r\n\r\n",
		.piece = 1},
	    &q);
	outcome(&r, XSTAGE_DONE, 200, "");
	text(r.m.secret, "5ec");
	run_end(&r);
}

/* A flood costs no more than the bound. */
static void
huge(void **state)
{
	const size_t len = 8U * 1024 * 1024;
	char *flood = malloc(len);
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;

	memset(flood, 'x', len);
	memcpy(flood, UNTIL_CLOSE("200 OK"), 19);
	run_with(&r, *state, (struct server){.answer = flood, .len = len}, &q);
	outcome(&r, XSTAGE_ANSWER, 200, "body too long");
	run_end(&r);
	memset(flood, 'x', len);
	memcpy(flood, "HTTP/1.1 200 OK\r\nA: ", 20);
	run_with(&r, *state, (struct server){.answer = flood, .len = len}, &q);
	outcome(
	    &r, XSTAGE_ANSWER, 0, "no HTTP answer: line of the head too long");
	run_end(&r);
	free(flood);
}

/* What cannot stand in a request is not sent. */
static void
unsendable(void **state)
{
	struct msg_xrequest q = request(ANSWER_CREDENTIAL);
	struct run r;

	q.bearer = SPAN_LIT("a\r\nX-Admin: 1");
	run_with(&r, *state, (struct server){.answer = GOOD}, &q);
	assert_int_equal(r.m.stage, XSTAGE_IO);
	assert_non_null(strstr(r.reason, "identity token"));
	assert_string_equal(r.request, "");
	run_end(&r);
}

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
	static char most[LIMIT_BEARER + 4096 + 1];
	struct run r;

	printed(state, "\t the.token\r\n\n", 14, &r);
	outcome(&r, XSTAGE_DONE, 0, "");
	text(r.m.token, "the.token");
	run_end(&r);
	printed(state, " \n", 2, &r);
	outcome(&r, XSTAGE_COMMAND, 0, "the token command printed nothing");
	run_end(&r);
	printed(state, "", 0, &r);
	outcome(&r, XSTAGE_COMMAND, 0, "the token command printed nothing");
	run_end(&r);
	printed(state, "a b", 3, &r);
	outcome(&r, XSTAGE_COMMAND, 0,
	    "what the token command printed holds white space, or characters "
	    "that are not ASCII: it is no token");
	run_end(&r);
	memset(most, 'x', sizeof(most));
	printed(state, most, LIMIT_BEARER + 1, &r);
	outcome(&r, XSTAGE_COMMAND, 0,
	    "what the token command printed is longer than 16 KiB");
	run_end(&r);
	printed(state, most, sizeof(most), &r);
	outcome(&r, XSTAGE_COMMAND, 0,
	    "the token command printed more than a token");
	run_end(&r);
	memset(most + LIMIT_BEARER, '\n', 4096);
	printed(state, most, sizeof(most) - 1, &r);
	outcome(&r, XSTAGE_DONE, 0, "");
	assert_int_equal(r.m.token.len, LIMIT_BEARER);
	run_end(&r);
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
	    cmocka_unit_test(credential),
	    cmocka_unit_test(plain_get),
	    cmocka_unit_test(largest),
	    cmocka_unit_test(identities),
	    cmocka_unit_test(no_bundle),
	    cmocka_unit_test(tls_without_bundle),
	    cmocka_unit_test(no_tls),
	    cmocka_unit_test(cut),
	    cmocka_unit_test(cut_plain),
	    cmocka_unit_test(cut_unread),
	    cmocka_unit_test(answered),
	    cmocka_unit_test(dribbled),
	    cmocka_unit_test(huge),
	    cmocka_unit_test(unsendable),
	    cmocka_unit_test(command),
	    cmocka_unit_test(late),
	    cmocka_unit_test(secrets_out_of_sight),
	    cmocka_unit_test(orphaned),
	    cmocka_unit_test(offences),
	};

	return cmocka_run_group_tests(tests, world_new, world_free);
}
