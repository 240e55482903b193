/* SPDX-License-Identifier: ISC */
/* relay-xchg, the program, against a real server: a whole exchange, whom it
 * believes, and how it is cut off. */
#include "xchg_fixture.h"

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
	    cmocka_unit_test(unsendable),
	};

	return cmocka_run_group_tests(tests, world_new, world_free);
}
