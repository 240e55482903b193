/* SPDX-License-Identifier: ISC */
/*
 * Exchanges, and what else relay-authd asks the supervisor for: the real
 * relayd, with this very program in the place of its children and of
 * relay-xchg.
 */
#include "sup_world.h"

#include <dirent.h>
#include <sys/mman.h>

/* The part of an exchange. */

/* "0 1 2 3 4 5", as the numbers that are open. */
static void
open_numbers(char *out, size_t cap)
{
	size_t n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		if (fcntl(fd, F_GETFD) != -1)
			n += (size_t)snprintf(
			    out + n, cap - n, "%s%d", n == 0 ? "" : " ", fd);
}

static int
fake_exchange(int argc, char *argv[])
{
	char packet[LIMIT_PACKET], mode[32], input[LIMIT_BEARER];
	char reason[LIMIT_REASON];
	struct msg_xanswer m = {0};
	size_t len = 0;
	ssize_t n;

	me = ROLE_XCHG;
	read_mode(mode, sizeof(mode));
	dprintf(FD_LOG, "6\texchange\t\tstarted with %s %s\n", argv[1],
	    argc > 3 ? argv[3] : "");
	if (strcmp(mode, "hang") == 0)
		for (;;)
			pause();
	if (strcmp(mode, "fail") == 0)
		return 3;
	open_numbers(reason, sizeof(reason));
	while ((n = read(FD_INPUT, input + len, sizeof(input) - len)) > 0)
		len += (size_t)n;
	/* A NUL is no part of a token: shown as what it means. */
	for (size_t i = 0; i < len; i++)
		if (input[i] == '\0')
			input[i] = '|';
	m.token = (struct span){input, len};
	m.reason = span_str(reason);
	m.secret = m.delivery_key = m.tenant = m.gateway_id = span_str("");
	n = msg_encode(packet, sizeof(packet), MSG_XANSWER, 0, &m);
	if (n == -1 || send(FD_PEER, packet, (size_t)n, 0) == -1)
		return 9;
	return 0;
}

/* The part of relay-authd. */

static void
want(uint32_t corr, enum xchg_kind kind)
{
	struct msg_want_exchange m = {.kind = kind};

	tell_fd(MSG_WANT_EXCHANGE, corr, &m, -1);
}

static void
want_secret(enum want_secret what)
{
	struct msg_want_secret m = {.what = what};

	tell_fd(MSG_WANT_SECRET, (uint32_t)what + 40, &m, -1);
}

static void
keep(const char *text)
{
	struct msg_keep m = {0};
	int fd = memfd_create("kept", 0);

	if (fd == -1 || write(fd, text, strlen(text)) == -1)
		_exit(9);
	tell_fd(MSG_KEEP, 0, &m, fd);
	close(fd);
}

static void
authd_begin(const char *mode)
{
	if (me != ROLE_AUTHD)
		return;
	if (strcmp(mode, "command") == 0)
		want(7, XCHG_COMMAND);
	else if (strcmp(mode, "twice") == 0) {
		want(7, XCHG_COMMAND);
		want(8, XCHG_COMMAND);
	} else if (strcmp(mode, "connector") == 0)
		want(7, XCHG_CONNECTOR);
	else if (strcmp(mode, "idp") == 0)
		want(7, XCHG_IDP);
	else if (strcmp(mode, "many") == 0)
		for (uint32_t i = 0; i < 2 * LIMIT_EXCHANGES + 1; i++)
			want(100 + i, XCHG_CONNECTOR);
	else if (strcmp(mode, "queue") == 0)
		for (uint32_t i = 0; i < 2 * LIMIT_EXCHANGES; i++)
			want(100 + i, XCHG_CONNECTOR);
	else if (strcmp(mode, "secrets") == 0) {
		want_secret(WANT_IDENTITY);
		want_secret(WANT_CLIENT_SECRET);
		want_secret(WANT_ENROLL_TOKEN);
	} else if (strcmp(mode, "keep") == 0) {
		keep("old");
		keep("new");
		_exit(4);
	}
}

/* One line for the log, without tabs. */
static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void
say(const char *fmt, ...)
{
	char text[1500];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(FD_LOG, "6\tfake\t\t%s\n", text);
}

/* What the exchange answers at the other end of fd. */
static void
hear(uint32_t corr, int fd)
{
	static char packet[LIMIT_PACKET];
	struct msg m;
	ssize_t n;

	n = recv(fd, packet, sizeof(packet), 0);
	if (n <= 0)
		say("exchange %u: nothing", corr);
	else if (msg_decode(&m, packet, (size_t)n, ROLE_XCHG, ROLE_AUTHD, 0) !=
	    NULL)
		say("exchange %u: rubbish", corr);
	else
		say("exchange %u: token=%.*s fds=%.*s", corr,
		    (int)m.u.xanswer.token.len, m.u.xanswer.token.p,
		    (int)m.u.xanswer.reason.len, m.u.xanswer.reason.p);
}

static void
show_file(const char *what, int fd)
{
	char text[64] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	uint32_t len;
	char *p;

	/* Secret memory cannot be read, only mapped. */
	if (n == -1 &&
	    (p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0)) !=
		MAP_FAILED) {
		memcpy(&len, p, sizeof(len));
		n = (ssize_t)(len < sizeof(text) ? len : sizeof(text) - 1);
		memcpy(text, p + sizeof(len), (size_t)n);
	}
	say("%s: \"%.*s\"", what, (int)(n > 0 ? n : 0), text);
}

#define S(s) (int)(s).len, (s).p

static void
show_slice(const struct msg *m)
{
	const struct msg_conf_provision *p = &m->u.conf_provision;
	const struct msg_conf_token *t = &m->u.conf_token;
	const struct msg_conf_fronted *f = &m->u.conf_fronted;

	if (m->type == MSG_CONF_PROVISION)
		say("provision %.*s tls=%d %.*s %.*s %.*s [%.*s] %.*s [%.*s] "
		    "[%.*s] [%.*s]",
		    S(p->url), (int)p->tls, S(p->host), S(p->path),
		    S(p->server_name), S(p->endpoint), S(p->route_keys),
		    S(p->instance_id), S(p->wake_url), S(p->display_name));
	else if (m->type == MSG_CONF_TOKEN)
		say("token %d [%.*s] tls=%d [%.*s] [%.*s] [%.*s] [%.*s] "
		    "[%.*s]",
		    (int)t->source, S(t->label), (int)t->tls, S(t->host),
		    S(t->path), S(t->server_name), S(t->client_id),
		    S(t->scope));
	else if (m->type == MSG_CONF_FRONTED)
		say("fronted %.*s [%.*s] %.*s", S(f->platform), S(f->bot_id),
		    S(f->policy));
}

static void
child_message(const struct msg *m, int fd, const char *mode)
{
	(void)mode;
	if (me == ROLE_DIALER && m->type == MSG_CONF_ENDPOINT)
		say("endpoint %d %.*s:%d by [%.*s]",
		    (int)m->u.conf_endpoint.endpoint,
		    S(m->u.conf_endpoint.host), (int)m->u.conf_endpoint.port,
		    S(m->u.conf_endpoint.proxy_host));
	if (me != ROLE_AUTHD)
		return;
	show_slice(m);
	if (m->type == MSG_CONF_LISTENER)
		say("listener %d", (int)m->u.conf_listener.kind);
	else if (m->type == MSG_CONF_KEPT)
		show_file("kept", fd);
	else if (m->type == MSG_EXCHANGE && m->corr < 100)
		hear(m->corr, fd);
	else if (m->type == MSG_EXCHANGE)
		say("exchange %u: begun", m->corr);
	else if (m->type == MSG_EXCHANGE_FAILED)
		say("exchange %u: %s: %.*s", m->corr,
		    m->u.exchange_failed.busy ? "busy" : "none",
		    S(m->u.exchange_failed.reason));
	else if (m->type == MSG_SECRET && fd != -1)
		show_file(m->corr == 40 ? "identity" : "secret", fd);
	else if (m->type == MSG_SECRET)
		say("secret %u: none: %.*s", m->corr, S(m->u.secret.reason));
}

/* The part of the test. */

#define GATEWAY                         \
	"gateways:\n  main:\n"          \
	"    url: http://127.0.0.1:9\n" \
	"    identities: [{platform: discord}]\n"

static struct world *
begin_with(void **state, const char *text, const char *mode)
{
	put_file(*state, "r.yaml", text);
	return begin(state, "authd", mode);
}

static void
test_command(void **state)
{
	struct world *w = begin_with(state,
	    GATEWAY "    identity_token: {command: [/bin/sh, -c, 'echo t0ken; "
		    "echo hint >&2'], user: nobody}\n",
	    "command");

	wait_for(w, "log", "exchange 7: token=t0ken");
	wait_for(w, "log", "fds=0 1 2 3 4 5");
	wait_for(w, "log", "started with -R ");
	wait_for(w, "log", "event=stderr gateway=main msg=\"hint\"");
	wait_for(w, "log", "exited with status 0");
	assert_int_equal(stop(w), 0);
}

static void
test_command_fails(void **state)
{
	struct world *w = begin_with(state,
	    GATEWAY "    identity_token: {command: [/bin/sh, -c, 'echo no; "
		    "exit 5'], user: nobody}\n",
	    "command");

	wait_for(w, "log", "|the token command: exited with status 5 fds=");
	assert_int_equal(stop(w), 0);
}

static void
test_command_rate(void **state)
{
	struct world *w = begin_with(state,
	    GATEWAY "    identity_token: {command: [/bin/echo, x], user: "
		    "nobody}\n",
	    "twice");

	wait_for(w, "log", "exchange 7: token=x");
	wait_for(w, "log",
	    "exchange 8: busy: the token command was started less than");
	assert_int_equal(stop(w), 0);
}

/* Nothing to be had, and the CA bundle. */
static void
test_inputs(void **state)
{
	struct world *w = begin_with(state, GATEWAY, "command");

	wait_for(
	    w, "log", "exchange 7: none: the gateway has no token command");
	assert_int_equal(stop(w), 0);
	w = begin_with(state, GATEWAY, "idp");
	wait_for(w, "log", "exchange 7: none: the gateway has no token URL");
	assert_int_equal(stop(w), 0);
	w = begin_with(state, GATEWAY, "connector");
	wait_for(w, "log", "exchange 7: token= fds=0 1 2 3 4 5");
	assert_int_equal(stop(w), 0);
}

/* What the supervisor takes for a bundle. */
#define AUTHORITY "-----BEGIN CERTIFICATE-----"

static void
test_ca(void **state)
{
	struct world *w = *state;
	char text[512];

	put_file(w, "ca.pem", AUTHORITY);
	snprintf(text, sizeof(text),
	    "gateways:\n  main:\n    url: https://127.0.0.1:9\n"
	    "    identities: [{platform: discord}]\n"
	    "    tls: {ca_file: %s/ca.pem}\n",
	    w->dir);
	begin_with(state, text, "connector");
	wait_for(w, "log", "exchange 7: token=" AUTHORITY " fds=0 1 2 3 4 5");
	assert_int_equal(stop(w), 0);
}

/* So many at once, as many wait; they end with relay-authd. */
static void
test_bounds(void **state)
{
	struct world *w = *state;

	put_file(w, "exchange.mode", "hang");
	begin_with(state, GATEWAY, "many");
	wait_for(w, "log", "exchange 107: begun");
	wait_for(w, "log", "exchange 116: busy: too many exchanges");
	/* After a second's patience. */
	wait_for(w, "log", "exchange 108: busy: as many exchanges as");
	wait_for(w, "log", "exchange 115: busy: as many exchanges as");
	assert_int_equal(stop(w), 0);
}

/* Those that wait have their turn as others end. */
static void
test_queue(void **state)
{
	struct world *w = begin_with(state, GATEWAY, "queue");
	char text[64];

	for (unsigned i = 0; i < 2 * LIMIT_EXCHANGES; i++) {
		snprintf(text, sizeof(text), "exchange %u: begun", 100 + i);
		wait_for(w, "log", text);
	}
	assert_int_equal(stop(w), 0);
}

static void
test_end_with_authd(void **state)
{
	struct world *w = *state;
	char all[OUT_MAX];
	const char *at;
	int pid, n;

	put_file(w, "exchange.mode", "hang");
	begin_with(state, GATEWAY, "many");
	wait_for(w, "log", "exchange 107: begun");
	wait_for(w, "log", "authd is process ");
	get_file(w, "log", all, sizeof(all));
	assert_non_null(at = strstr(all, "authd is process "));
	pid = (int)strtol(at + strlen("authd is process "), NULL, 10);
	assert_int_equal(kill(pid, SIGKILL), 0);
	wait_for(w, "log", "authd starts again in 100 ms");
	for (n = 0; n < 2000; n++) {
		get_file(w, "log", all, sizeof(all));
		pid = 0;
		for (at = all; (at = strstr(at, "exchange (pid ")) != NULL;
		     at++)
			pid++;
		if (pid == LIMIT_EXCHANGES)
			break;
		poll(NULL, 0, 10);
	}
	assert_int_equal(pid, LIMIT_EXCHANGES);
	assert_null(
	    strstr(all, " level=warn process=supervisor event=exit gateway"));
	assert_int_equal(stop(w), 0);
}

static void
test_exchange_dies(void **state)
{
	struct world *w = *state;

	put_file(w, "exchange.mode", "fail");
	begin_with(state, GATEWAY, "connector");
	wait_for(w, "log", "exchange 7: nothing");
	wait_for(w, "log", "exited with status 3");
	assert_int_equal(stop(w), 0);
}

static void
test_secrets(void **state)
{
	struct world *w = *state;
	char text[512], path[128];

	snprintf(text, sizeof(text),
	    GATEWAY "    identity_token: {file: %s/token}\n", w->dir);
	put_file(w, "token", "from a file");
	path_in(w, path, sizeof(path), "token");
	assert_int_equal(chmod(path, 0640), 0);
	begin_with(state, text, "secrets");
	wait_for(w, "log", "identity: \\\"from a file\\\"");
	wait_for(
	    w, "log", "secret 41: none: GATEWAY_RELAY_IDP_CLIENT_SECRET: ");
	wait_for(w, "log", "secret 42: none: GATEWAY_RELAY_ENROLL_TOKEN: ");
	assert_int_equal(stop(w), 0);
	assert_int_equal(chmod(path, 0644), 0);
	begin_with(state, text, "secrets");
	wait_for(w, "log", "/token: others can use it (mode 0644)");
	assert_int_equal(stop(w), 0);
	assert_int_equal(unlink(path), 0);
	begin_with(state, text, "secrets");
	wait_for(w, "log", "/token: No such file or directory");
	assert_int_equal(stop(w), 0);
}

/* A variable of the environment, that only the configuration names. */
static void
test_variable(void **state)
{
	struct world *w = *state;
	char name[] = "MY_TOKEN=of the environment", *env, path[64];
	int fd;

	w->variable = name;
	begin_with(
	    state, GATEWAY "    identity_token: {env: MY_TOKEN}\n", "secrets");
	wait_for(w, "log", "identity: \\\"of the environment\\\"");
	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	assert_non_null(env = calloc(1, OUT_MAX));
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)w->pid);
	if ((fd = open(path, O_RDONLY)) != -1) {
		for (ssize_t n = read(fd, env, OUT_MAX); n > 0; n--)
			assert_int_equal(env[n - 1], 0);
		close(fd);
	}
	free(env);
	/* Another name is another start's. */
	put_file(w, "r.yaml", GATEWAY "    identity_token: {env: OTHER}\n");
	kill(w->pid, SIGHUP);
	wait_for(w, "log", "the environment variable OTHER was not kept");
	assert_int_equal(stop(w), 0);
}

/* A link may lead to beside it, not elsewhere. */
static void
test_linked_token(void **state)
{
	struct world *w = *state;
	char text[512], path[128];

	snprintf(text, sizeof(text),
	    GATEWAY "    identity_token: {file: %s/token}\n", w->dir);
	put_file(w, "behind", "by a link");
	path_in(w, path, sizeof(path), "behind");
	assert_int_equal(chmod(path, 0400), 0);
	path_in(w, path, sizeof(path), "token");
	assert_int_equal(symlink("behind", path), 0);
	begin_with(state, text, "secrets");
	wait_for(w, "log", "identity: \\\"by a link\\\"");
	assert_int_equal(stop(w), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	begin_with(state, text, "secrets");
	wait_for(w, "log", "is a symbolic link to another directory");
	assert_int_equal(stop(w), 0);
}

/* What relay-authd gave into keeping goes to the next, and the last of it. */
static void
test_keep(void **state)
{
	struct world *w = begin_with(state, GATEWAY, "keep");

	wait_for(w, "log", "authd starts again");
	wait_for(w, "log", "kept: \\\"new\\\"");
	wait_for(w, "run/state.json", "\"restarts\":1");
	assert_int_equal(stop(w), 0);
}

static void
test_slice(void **state)
{
	struct world *w = begin_with(state,
	    "gateways:\n  main:\n"
	    "    url: http://127.0.0.1:9/x/relay\n"
	    "    identities: [{platform: discord, bot_id: b, allow_bots: all},"
	    " {platform: slack}]\n"
	    "    route_keys: [a, b]\n"
	    "    display_name: ' My host '\n"
	    "    proxy: none\n"
	    "    identity_token: {oidc: {url: 'http://127.0.0.2:81/t?q=1',\n"
	    "      client_id: c, client_secret_file: /x, scope: s}}\n",
	    "");
	char path[128];
	struct stat st;

	wait_for(w, "log", "listener 3");
	wait_for(w, "log",
	    "provision http://127.0.0.1:9/x/relay tls=0 127.0.0.1:9 /x/relay "
	    "127.0.0.1 [] [\\\"a\\\",\\\"b\\\"] [] [] [My host]");
	wait_for(w, "log",
	    "token 4 [http://127.0.0.2:81/t] tls=0 [127.0.0.2:81] [/t?q=1] "
	    "[127.0.0.2] [c] [s]");
	wait_for(w, "log", "fronted discord [b] {\\\"platform\\\"");
	wait_for(w, "log", "fronted slack [] \"");
	wait_for(w, "log", "endpoint 0 127.0.0.1:9 by []");
	wait_for(w, "log", "endpoint 1 127.0.0.2:81 by []");
	wait_for(w, "run/state.json", "\"phase\":\"running\"");
	path_in(w, path, sizeof(path), "run/auth.sock");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Another port of the token URL: another dialer. */
	put_file(w, "r.yaml",
	    GATEWAY "    identity_token: {oidc: {url: "
		    "'http://127.0.0.2:82/'}}\n");
	kill(w->pid, SIGHUP);
	wait_for(w, "log", "the dialer is replaced: other ports");
	wait_for(w, "log", "endpoint 1 127.0.0.2:82 by []");
	wait_for(w, "log", "token 5 [http://127.0.0.2:82/] ");
	wait_for(w, "log", "reloaded: 0 added, 1 changed, 0 removed");
	/* A variable that nobody kept. */
	put_file(w, "r.yaml", GATEWAY "    identity_token: {env: LATE}\n");
	kill(w->pid, SIGHUP);
	wait_for(w, "log",
	    "identity_token.env: the environment variable LATE was not kept");
	assert_int_equal(stop(w), 0);
	assert_int_equal(stat(path, &st), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
	    T(test_command),
	    T(test_command_fails),
	    T(test_command_rate),
	    T(test_inputs),
	    T(test_ca),
	    T(test_bounds),
	    T(test_queue),
	    T(test_end_with_authd),
	    T(test_exchange_dies),
	    T(test_secrets),
	    T(test_variable),
	    T(test_linked_token),
	    T(test_keep),
	    T(test_slice),
	};

	role_part.begin = authd_begin;
	role_part.message = child_message;
	if (argc > 2 && strcmp(argv[1], "-R") == 0)
		return strcmp(argv[2], "exchange") == 0
		    ? fake_exchange(argc, argv)
		    : fake_child(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
