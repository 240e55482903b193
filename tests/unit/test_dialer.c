/* SPDX-License-Identifier: ISC */
/* The dialer's jobs: whose they are, where they go, and who is told; with
 * dials that end when the test says so. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "../../relayd/dialer.c"
#include "../../relayd/dial_jobs.c"

#define RATE 1000 /* dials per second: more than a test begins */

/* What stands in for the rest: the dials under way, and the last message to
 * each peer. */
struct dial {
	const struct dial_target *target;
	dial_cb *cb;
	void *arg;
};

static struct {
	struct dial *dial[8];
	int ndial;
	struct {
		enum msg_type type;
		uint32_t corr;
		enum dial_stage stage;
		int fd, n;
	} sent[ROLE_COUNT];
	int reports;
	int no_authd;
} fake;

struct resolver {
	int unused;
};

struct resolver *
resolver_new(struct event_base *base)
{
	(void)base;
	return calloc(1, sizeof(struct resolver));
}

void
resolver_free(struct resolver *r)
{
	free(r);
}

struct dial *
dial_start(const struct dial_env *env, const struct dial_target *target,
    dial_cb *cb, void *arg)
{
	struct dial *d = calloc(1, sizeof(*d));

	(void)env;
	assert_non_null(d);
	assert_in_range(fake.ndial, 0, 7);
	*d = (struct dial){target, cb, arg};
	fake.dial[fake.ndial++] = d;
	return d;
}

void
dial_free(struct dial *d)
{
	int i;

	for (i = 0; fake.dial[i] != d; i++)
		assert_true(i < fake.ndial);
	fake.dial[i] = fake.dial[--fake.ndial];
	free(d);
}

int
child_begin(struct child *c, int argc, char *argv[])
{
	(void)c;
	(void)argc;
	(void)argv;
	return -1;
}

void
child_enter(struct child *c, const struct child_ops *o, void *arg)
{
	(void)c;
	(void)o;
	(void)arg;
}

int
child_loop(struct child *c)
{
	(void)c;
	return 0;
}

void
child_end(struct child *c)
{
	(void)c;
}

uint64_t
child_now_ms(void)
{
	return 1000000;
}

size_t
child_queued(const struct child *c, enum role peer)
{
	(void)c;
	(void)peer;
	return 0;
}

/* As the real one: what is not for that peer, or lacks its descriptor, must
 * not be sent. */
int
child_send(struct child *c, enum role peer, enum msg_type type, uint32_t corr,
    const void *fields, int fd)
{
	char packet[LIMIT_PACKET];

	(void)c;
	assert_null(msg_check(type, ROLE_DIALER, peer, fd != -1));
	assert_true(msg_encode(packet, sizeof(packet), type, corr, fields) > 0);
	if (peer == ROLE_AUTHD && fake.no_authd)
		return -1;
	if (type == MSG_REPORT) {
		fake.reports++;
		return 0;
	}
	fake.sent[peer].type = type;
	fake.sent[peer].corr = corr;
	fake.sent[peer].fd = fd;
	fake.sent[peer].n++;
	if (type == MSG_DIAL_FAILED)
		fake.sent[peer].stage =
		    (enum dial_stage)((const struct msg_dial_failed *)fields)
			->stage;
	if (type == MSG_XDIAL_FAILED)
		fake.sent[peer].stage =
		    (enum dial_stage)((const struct msg_xdial_failed *)fields)
			->stage;
	return 0;
}

/* Helpers. */

static void
sent(enum role peer, enum msg_type type, uint32_t corr)
{
	assert_int_equal(fake.sent[peer].n, 1);
	assert_int_equal(fake.sent[peer].type, type);
	assert_int_equal(fake.sent[peer].corr, corr);
	fake.sent[peer].n = 0;
}

static void
silence(void)
{
	unsigned r;

	for (r = 0; r < ROLE_COUNT; r++)
		assert_int_equal(fake.sent[r].n, 0);
}

static const char *
ask(struct dialer *d, enum msg_type type, uint32_t corr, uint64_t gateway,
    uint64_t endpoint)
{
	struct msg m = {.type = type, .corr = corr, .fd = -1};

	if (type == MSG_XDIAL) {
		m.u.xdial.gateway = gateway;
		m.u.xdial.endpoint = endpoint;
	} else if (type == MSG_DIAL)
		m.u.dial.gateway = gateway;
	else if (type == MSG_DIAL_CANCEL)
		m.u.dial_cancel.gateway = gateway;
	else
		m.u.xdial_cancel.gateway = gateway;
	return peer_message(ROLE_AUTHD, &m, d);
}

/* A dial to that host comes to its end. */
static void
ends(const char *host, int fd)
{
	struct dial_result r = {.fd = fd, .stage = STAGE_CONNECT};
	int i;

	strlcpy(r.address, "192.0.2.1:443", sizeof(r.address));
	strlcpy(r.reason, "no", sizeof(r.reason));
	for (i = 0; i < fake.ndial; i++)
		if (strcmp(fake.dial[i]->target->host, host) == 0) {
			fake.dial[i]->cb(&r, fake.dial[i]->arg);
			return;
		}
	fail_msg("no dial to %s", host);
}

static int
null_fd(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Stage an endpoint. */
static const char *
endpoint(struct dialer *d, uint64_t gateway, uint64_t e, const char *host)
{
	struct msg m = {.type = MSG_CONF_ENDPOINT, .fd = -1};

	m.u.conf_endpoint = (struct msg_conf_endpoint){.gateway = gateway,
	    .endpoint = e,
	    .host = span_str(host),
	    .proxy_host = SPAN_LIT(""),
	    .port = 443};
	return conf_item(&m, d);
}

static void
commit(struct dialer *d)
{
	d->stage_rate = RATE;
	assert_null(conf_check(d));
	conf_commit(d);
}

/* Gateway 0 has both endpoints, gateway 1 the connector's alone. */
static int
setup(void **state)
{
	struct dialer *d = calloc(1, sizeof(*d));

	memset(&fake, 0, sizeof(fake));
	d->child.base = event_base_new();
	assert_int_equal(dialer_open(d), 0);
	assert_null(endpoint(d, 0, ENDPOINT_CONNECTOR, "c0"));
	assert_null(endpoint(d, 0, ENDPOINT_IDP, "i0"));
	assert_null(endpoint(d, 1, ENDPOINT_CONNECTOR, "c1"));
	commit(d);
	*state = d;
	return 0;
}

static int
teardown(void **state)
{
	struct dialer *d = *state;
	struct event_base *base = d->child.base;

	dialer_close(d);
	event_base_free(base);
	free(d);
	return fake.ndial;
}

/* Tests. */

static void
both_owners(void **state)
{
	struct dialer *d = *state;

	/* The same number for both: each counts by itself. */
	assert_null(ask(d, MSG_DIAL, 7, 0, 0));
	assert_null(ask(d, MSG_XDIAL, 7, 0, ENDPOINT_IDP));
	assert_int_equal(fake.ndial, 2);
	ends("i0", null_fd());
	sent(ROLE_AUTHD, MSG_XCONNECTED, 7);
	assert_int_not_equal(fake.sent[ROLE_AUTHD].fd, -1);
	assert_int_equal(fake.reports, 0);
	silence();
	ends("c0", null_fd());
	sent(ROLE_ENGINE, MSG_CONNECTED, 7);
	assert_int_equal(fake.reports, 1);
	silence();
	assert_null(ask(d, MSG_XDIAL, 8, 0, ENDPOINT_CONNECTOR));
	ends("c0", -1);
	sent(ROLE_AUTHD, MSG_XDIAL_FAILED, 8);
	assert_int_equal(fake.sent[ROLE_AUTHD].stage, STAGE_CONNECT);
	silence();
}

static void
cancels(void **state)
{
	struct dialer *d = *state;

	assert_null(ask(d, MSG_DIAL, 7, 0, 0));
	assert_null(ask(d, MSG_XDIAL, 7, 1, ENDPOINT_CONNECTOR));
	assert_non_null(ask(d, MSG_XDIAL_CANCEL, 7, 0, 0));
	assert_null(ask(d, MSG_XDIAL_CANCEL, 7, 1, 0));
	assert_int_equal(fake.ndial, 1);
	assert_string_equal(fake.dial[0]->target->host, "c0");
	/* Crossed with the answer. */
	assert_null(ask(d, MSG_XDIAL_CANCEL, 7, 1, 0));
	assert_null(ask(d, MSG_DIAL_CANCEL, 7, 0, 0));
	assert_int_equal(fake.ndial, 0);
	silence();
}

static void
offences(void **state)
{
	struct dialer *d = *state;

	assert_null(ask(d, MSG_XDIAL, 1, 0, ENDPOINT_CONNECTOR));
	assert_string_equal(ask(d, MSG_XDIAL, 2, 0, ENDPOINT_IDP),
	    "two dials at once for one gateway");
	assert_string_equal(ask(d, MSG_XDIAL, 1, 1, ENDPOINT_CONNECTOR),
	    "two dials of one number");
	assert_string_equal(ask(d, MSG_XDIAL, 3, 1, ENDPOINT_IDP),
	    "a dial for an endpoint that there is not");
	assert_string_equal(ask(d, MSG_XDIAL, 3, 2, ENDPOINT_CONNECTOR),
	    "a dial for a gateway that there is not");
	assert_string_equal(ask(d, MSG_DIAL, 3, 2, 0),
	    "a dial for a gateway that there is not");
	assert_string_equal(endpoint(d, 1, ENDPOINT_CONNECTOR, ""),
	    "an endpoint that is not whole");
	assert_null(endpoint(d, 0, ENDPOINT_IDP, "x"));
	assert_string_equal(endpoint(d, 0, ENDPOINT_IDP, "y"),
	    "one endpoint of a gateway twice");
	silence();
}

static void
settings_change(void **state)
{
	struct dialer *d = *state;

	assert_null(ask(d, MSG_DIAL, 1, 0, 0));
	assert_null(ask(d, MSG_XDIAL, 2, 0, ENDPOINT_IDP));
	assert_null(ask(d, MSG_XDIAL, 3, 1, ENDPOINT_CONNECTOR));
	assert_null(endpoint(d, 0, ENDPOINT_CONNECTOR, "c0"));
	assert_null(endpoint(d, 1, ENDPOINT_CONNECTOR, "other"));
	commit(d);
	/* What stayed goes on; the others' owner hears of both. */
	assert_int_equal(fake.ndial, 1);
	assert_string_equal(fake.dial[0]->target->host, "c0");
	assert_int_equal(fake.sent[ROLE_ENGINE].n, 0);
	assert_int_equal(fake.sent[ROLE_AUTHD].n, 2);
	assert_int_equal(fake.sent[ROLE_AUTHD].stage, STAGE_CONF);
	fake.sent[ROLE_AUTHD].n = 0;
	/* One that crossed with the removal. */
	assert_null(ask(d, MSG_XDIAL, 4, 0, ENDPOINT_IDP));
	sent(ROLE_AUTHD, MSG_XDIAL_FAILED, 4);
	assert_null(ask(d, MSG_XDIAL, 5, 1, ENDPOINT_CONNECTOR));
	ends("other", null_fd());
	sent(ROLE_AUTHD, MSG_XCONNECTED, 5);
}

static void
the_dead(void **state)
{
	struct dialer *d = *state;

	assert_null(ask(d, MSG_DIAL, 1, 0, 0));
	assert_null(ask(d, MSG_XDIAL, 2, 0, ENDPOINT_CONNECTOR));
	assert_null(ask(d, MSG_XDIAL, 3, 1, ENDPOINT_CONNECTOR));
	peer_gone(ROLE_AUTHD, d);
	fake.no_authd = 1;
	assert_int_equal(fake.ndial, 1);
	silence();
	/* Without relay-authd no link's connection can be reported. */
	ends("c0", null_fd());
	sent(ROLE_ENGINE, MSG_DIAL_FAILED, 1);
	fake.no_authd = 0;
	assert_null(ask(d, MSG_DIAL, 1, 0, 0));
	assert_null(ask(d, MSG_XDIAL, 2, 0, ENDPOINT_IDP));
	peer_gone(ROLE_ENGINE, d);
	assert_int_equal(fake.ndial, 1);
	assert_string_equal(fake.dial[0]->target->host, "i0");
	silence();
}

/* All dials are of one budget. */
static void
budget(void **state)
{
	struct dialer *d = *state;

	d->stage_rate = 1;
	assert_null(endpoint(d, 0, ENDPOINT_CONNECTOR, "c0"));
	assert_null(endpoint(d, 1, ENDPOINT_CONNECTOR, "c1"));
	conf_commit(d);
	assert_null(ask(d, MSG_DIAL, 1, 0, 0));
	assert_null(ask(d, MSG_XDIAL, 1, 1, ENDPOINT_CONNECTOR));
	assert_int_equal(fake.ndial, 1);
	peer_gone(ROLE_AUTHD, d); /* the one that waits */
	assert_int_equal(fake.ndial, 1);
}

/* What may begin at once and what comes back within a second are together no
 * more than the budget, whatever it is. */
static void
no_second_more(void **state)
{
	struct dialer *d = *state;
	const struct rate *r = &d->jobs->rate;
	uint32_t per_s;

	for (per_s = 2; per_s <= 1000; per_s++) {
		dial_jobs_rate(d->jobs, per_s);
		assert_in_range(r->burst + r->per_s, 2, per_s);
		/* And most of it is had. */
		assert_true(r->per_s * 2 >= per_s - 1);
		assert_true(r->milli <= r->burst * UINT64_C(1000));
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(both_owners),
	    T(cancels),
	    T(offences),
	    T(settings_change),
	    T(the_dead),
	    T(budget),
	    T(no_second_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
