/* SPDX-License-Identifier: ISC */
/* The sessions of many gateways: in turns of the loop, the first of all. */
#include <event2/event.h>

#include "world.h"

#include "../../relayd/control_sessions.c"

#define SESSIONS 250
#define GATEWAYS 100

/* The client waits for what it asked for, and was answered so often. */
static int answers, refusals;

uint64_t
client_wait(struct client *c, uint8_t wait_s)
{
	(void)wait_s;
	return c->cookie = 7;
}

struct client *
client_answered(struct control *ct, uint64_t cookie)
{
	struct client *c = TAILQ_FIRST(&ct->clients);

	if (c->cookie != cookie)
		return NULL;
	c->cookie = 0;
	return c;
}

void
control_begin(struct client *c, int ok)
{
	(void)ok;
	buf_adds(&c->out, SPAN_LIT("{\"ok\":true"));
}

void
control_refuse(struct client *c, const char *code, const char *fmt, ...)
{
	(void)c;
	(void)code;
	(void)fmt;
	refusals++;
}

int
control_named(struct request *r)
{
	(void)r;
	return 0;
}

int
control_room(struct request *r)
{
	(void)r;
	return 0;
}

void
control_reply(struct client *c, const char *small)
{
	(void)c;
	(void)small;
	answers++;
}

void
engine_now(struct engine *e)
{
	(void)e;
}

struct fixture {
	struct engine e;
	struct engine_gw eg[GATEWAYS];
	struct control ct;
	struct client c;
	struct world *w;
	int between; /* turns that others had */
};

/* One gateway stands for all of them: each is looked at for itself. */
static void
setup(struct fixture *f, struct world *w)
{
	char chat[16];
	size_t i;

	memset(f, 0, sizeof(*f));
	answers = refusals = 0;
	f->w = w;
	world_up(w);
	for (i = 0; i < SESSIONS; i++) {
		(void)snprintf(chat, sizeof(chat), "c%zu", i);
		world_event(w, NULL, chat, "x");
		world_time(w, 1);
	}
	f->e.core = w->c;
	f->e.base = event_base_new();
	for (i = 0; i < GATEWAYS; i++) {
		f->eg[i].gw = w->gw;
		(void)snprintf(f->eg[i].name, sizeof(f->eg[i].name), "g%zu", i);
		f->e.gw[i * 5] = &f->eg[i];
	}
	f->ct.e = &f->e;
	TAILQ_INIT(&f->ct.clients);
	TAILQ_INSERT_TAIL(&f->ct.clients, &f->c, entry);
	f->c.control = &f->ct;
	buf_init(&f->c.out, CONTROL_OUT_MAX);
}

static void
teardown(struct fixture *f)
{
	assert_null(f->c.listing);
	buf_free(&f->c.out);
	event_base_free(f->e.base);
}

/* One pass of the loop after the other, as long as it is under way. */
static void
finish(struct fixture *f)
{
	while (f->c.listing != NULL) {
		assert_int_equal(event_base_loop(f->e.base, EVLOOP_ONCE), 0);
		f->between++;
	}
}

static void
ask(struct fixture *f, struct engine_gw *eg)
{
	struct request r = {.c = &f->c, .eg = eg};

	show_sessions(&r);
}

static void
test_many_gateways_are_looked_at_in_turns(void **state)
{
	struct fixture f;

	setup(&f, *state);
	ask(&f, NULL);
	assert_int_equal(answers, 0);
	finish(&f);
	assert_int_equal(answers, 1);
	/* Each has as many events as sessions. */
	assert_true(f.between >= 2 * SESSIONS * GATEWAYS / TURN_MAX - 1);
	assert_true(holds(&f.c.out, "\"total\":25000,\"left_out\":23000,"));
	assert_int_equal(count(&f.c.out, "\"session_key\""), SESSIONS_MAX);
	/* The oldest of all gateways, none of the youngest. */
	assert_int_equal(count(&f.c.out, ":c0:u1\""), GATEWAYS);
	assert_int_equal(count(&f.c.out, ":c19:u1\""), GATEWAYS);
	assert_int_equal(count(&f.c.out, ":c20:u1\""), 0);
	assert_int_equal(count(&f.c.out, "\"gateway\":\"g99\""), 20);
	teardown(&f);
}

static void
test_one_gateway_is_answered_at_once(void **state)
{
	struct fixture f;

	setup(&f, *state);
	ask(&f, &f.eg[42]);
	assert_int_equal(answers, 1);
	assert_true(holds(&f.c.out, "\"total\":250,\"left_out\":0,"));
	assert_int_equal(count(&f.c.out, "\"gateway\":\"g42\""), SESSIONS);
	teardown(&f);
}

/* What was seen of them stays, and nothing of theirs is touched any more. */
static void
test_gateways_and_agents_may_go_meanwhile(void **state)
{
	struct fixture f;
	struct world_agent *a = world_agent(*state, HELLO);
	size_t i;

	setup(&f, *state);
	ask(&f, NULL);
	assert_int_equal(answers, 0);
	core_agent_gone(a->a, "test");
	a->a = NULL;
	for (i = 0; i < GATEWAYS; i++)
		f.e.gw[i * 5] = NULL;
	memset(f.eg, 0xff, sizeof(f.eg));
	finish(&f);
	assert_int_equal(answers, 1);
	assert_int_equal(count(&f.c.out, ":c0:u1\""), 8);
	assert_int_equal(count(&f.c.out, "\"agent_name\":\"t\""), SESSIONS_MAX);
	teardown(&f);
}

static void
test_who_waits_no_longer_is_not_answered(void **state)
{
	struct fixture f;

	setup(&f, *state);
	ask(&f, NULL);
	f.c.cookie = 0; /* told that time was up */
	finish(&f);
	assert_int_equal(answers, 0);
	ask(&f, NULL);
	sessions_end(&f.c); /* it is gone */
	assert_int_equal(event_base_loop(f.e.base, EVLOOP_NONBLOCK), 1);
	assert_int_equal(answers + refusals, 0);
	teardown(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_many_gateways_are_looked_at_in_turns),
	    WORLD_TEST(test_one_gateway_is_answered_at_once),
	    WORLD_TEST(test_gateways_and_agents_may_go_meanwhile),
	    WORLD_TEST(test_who_waits_no_longer_is_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
