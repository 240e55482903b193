/* SPDX-License-Identifier: ISC */
/* relay-xchg, the program: what it makes of answers. */
#include "xchg_fixture.h"

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

/* What a token URL repeats of a client's secret, short or long, as it came or
 * as it was, is not said on. */
static void
said_back(void **state)
{
#define FORM                                                          \
	"grant_type=client_credentials&client_id=a&client_secret=%s&" \
	"scope=b"
	static const struct {
		const char *sent, *said;
	} c[] = {
	    {"hunter2-hunter2", "hunter2-hunter2"},
	    {"abc%2B12%2Fdef%3D34%26ghi", "abc+12/def=34&ghi"},
	    {"abc%2B12%2Fdef%3D34%26ghi", "abc%2B12%2Fdef%3D34%26ghi"},
	    {"0123456789abcdef%2B0123456789", "0123456789abcdef+0123456789"},
	    {"0123456789abcdef%2B0123456789", "0123456789abcdef%2B0123456789"},
	};
	char answer[512], body[512];
	struct msg_xrequest q = request(ANSWER_TOKEN);
	struct run r;
	size_t i;

	for (i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		snprintf(answer, sizeof(answer),
		    UNTIL_CLOSE("401 No") "{\"error\":\"not so: %s.\"}",
		    c[i].said);
		snprintf(body, sizeof(body), FORM, c[i].sent);
		q.bearer = SPAN_LIT("");
		q.body = span_str(body);
		run_with(&r, *state, (struct server){.answer = answer}, &q);
		outcome(&r, XSTAGE_REFUSED, 401, "not so: [...].");
		run_end(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answered),
	    cmocka_unit_test(dribbled),
	    cmocka_unit_test(huge),
	    cmocka_unit_test(said_back),
	};

	return cmocka_run_group_tests(tests, world_new, world_free);
}
