/* SPDX-License-Identifier: ISC */
/* The request to a proxy, and its answer's head read byte-exactly. */
#include <sys/socket.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../common/proxy.c"

static void
check_request(
    const char *host, uint16_t port, const char *userpass, const char *want)
{
	char out[PROXY_REQUEST_MAX];
	size_t n = proxy_request(out, host, port, span_str(userpass));

	assert_int_equal(n, strlen(want));
	assert_memory_equal(out, want, n);
}

static void
requests(void **state)
{
	(void)state;
	check_request("c.example.org", 443, NULL,
	    "CONNECT c.example.org:443 HTTP/1.1\r\n"
	    "Host: c.example.org:443\r\n\r\n");
	check_request("2001:db8::1", 8443, NULL,
	    "CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n"
	    "Host: [2001:db8::1]:8443\r\n\r\n");
	/* RFC 7617's own example */
	check_request("h", 1, "Aladdin:open sesame",
	    "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n"
	    "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
}

static void
longest_request_fits(void **state)
{
	char host[URL_HOST_MAX + 1], pass[PROXY_USERPASS_MAX + 1];
	char out[PROXY_REQUEST_MAX];
	size_t n;

	(void)state;
	memset(host, 'h', URL_HOST_MAX);
	host[URL_HOST_MAX] = '\0';
	memset(pass, ':', PROXY_USERPASS_MAX);
	pass[PROXY_USERPASS_MAX] = '\0';
	n = proxy_request(out, host, 65535, span_str(pass));
	assert_true(n < sizeof(out));
	assert_memory_equal(out + n - 4, "\r\n\r\n", 4);
}

struct wire {
	int near, far;
	struct proxy_reader reader;
	char why[LIMIT_REASON + 1];
};

static void
wire_open(struct wire *w)
{
	int fd[2];

	memset(w, 0, sizeof(*w));
	assert_return_code(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	w->near = fd[0];
	w->far = fd[1];
}

static void
wire_close(struct wire *w)
{
	close(w->near);
	if (w->far != -1)
		close(w->far);
}

static enum proxy_got
feed(struct wire *w, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(write(w->far, text, n), n);
	return proxy_read(&w->reader, w->near, w->why);
}

static void
check_left(struct wire *w, const char *want)
{
	char rest[64];
	ssize_t n = recv(w->near, rest, sizeof(rest), 0);

	assert_int_equal(n, strlen(want));
	assert_memory_equal(rest, want, (size_t)n);
}

static void
no_byte_beyond_the_head(void **state)
{
	struct wire w;

	(void)state;
	wire_open(&w);
	assert_int_equal(
	    feed(&w, "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n\x16\x03server first"),
	    PROXY_OPEN);
	check_left(&w, "\x16\x03server first");
	wire_close(&w);
}

static void
head_in_single_bytes(void **state)
{
	const char *head = "HTTP/1.0 204 \r\nA: b\r\n\r\n";
	struct wire w;
	char byte[2] = "";

	(void)state;
	wire_open(&w);
	assert_int_equal(proxy_read(&w.reader, w.near, w.why), PROXY_MORE);
	for (; head[1] != '\0'; head++) {
		byte[0] = *head;
		assert_int_equal(feed(&w, byte), PROXY_MORE);
	}
	assert_int_equal(feed(&w, "\nrest"), PROXY_OPEN);
	check_left(&w, "rest");
	wire_close(&w);
}

static void
head_split_with_more_behind(void **state)
{
	struct wire w;

	(void)state;
	wire_open(&w);
	assert_int_equal(feed(&w, "HTTP/1.1 200 fine\r\nX: "), PROXY_MORE);
	assert_int_equal(feed(&w, "1\r\n\r\nabc"), PROXY_OPEN);
	check_left(&w, "abc");
	wire_close(&w);
}

static void
check_refused(const char *answer, const char *want)
{
	struct wire w;

	wire_open(&w);
	assert_int_equal(feed(&w, answer), PROXY_REFUSED);
	if (strstr(w.why, want) == NULL)
		assert_string_equal(w.why, want);
	for (const char *p = w.why; *p != '\0'; p++)
		assert_true(*p >= ' ' && *p < 0x7f);
	wire_close(&w);
}

static void
refusals(void **state)
{
	char longest[200] = "HTTP/1.1 502 ";

	(void)state;
	check_refused("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
	    "answered 407 Proxy Authentication Required: check the proxy's "
	    "user and password");
	check_refused("HTTP/1.1 403\r\n\r\n", "answered 403");
	check_refused("HTTP/1.1 101 Switching\r\n\r\n", "answered 101");
	check_refused("HTTP/1.1 302 go\r\nLocation: /\r\n\r\n", "answered 302");
	check_refused("HTTP/1.1 502 caf\xc3\x28\r\n\r\n", "answered 502");
	check_refused("SSH-2.0-OpenSSH_9.2\r\n", "gave no HTTP answer: ");
	memset(longest + 13, 'x', 180);
	memcpy(longest + 193, "\r\n\r\n", 5);
	check_refused(longest, "answered 502 xxxx");
}

static void
head_without_end(void **state)
{
	char line[101];
	struct wire w;
	enum proxy_got got;
	int n;

	(void)state;
	wire_open(&w);
	got = feed(&w, "HTTP/1.1 200 OK\r\n");
	memset(line, 'a', 98);
	line[2] = ':';
	memcpy(line + 98, "\r\n", 3);
	for (n = 0; got == PROXY_MORE && n < 1000; n++)
		got = feed(&w, line);
	assert_int_equal(got, PROXY_REFUSED);
	assert_true(n <= HTTP_HEAD_MAX / 100 + 1);
	wire_close(&w);
}

static void
end_without_answer(void **state)
{
	struct wire w;

	(void)state;
	wire_open(&w);
	assert_int_equal(feed(&w, "HTTP/1.1 2"), PROXY_MORE);
	close(w.far);
	w.far = -1;
	assert_int_equal(proxy_read(&w.reader, w.near, w.why), PROXY_REFUSED);
	assert_string_equal(w.why, "closed the connection without an answer");
	wire_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests),
	    cmocka_unit_test(longest_request_fits),
	    cmocka_unit_test(no_byte_beyond_the_head),
	    cmocka_unit_test(head_in_single_bytes),
	    cmocka_unit_test(head_split_with_more_behind),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(head_without_end),
	    cmocka_unit_test(end_without_answer),
	};

	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
