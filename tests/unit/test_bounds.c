/* SPDX-License-Identifier: ISC */
/* The engine's core: bounds of what waits, in bytes and in order. */
#include "world.h"

static void
test_large_events_are_given_piecemeal(void **state)
{
	enum { SIZE = 900 * 1024, N = 12 };
	struct world *w = *state;
	struct world_agent *a;
	char *line = malloc(SIZE + 512), *text = malloc(SIZE + 1), want[16];
	int i;

	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	world_up(w);
	for (i = 0; i < N; i++) {
		(void)snprintf(line, SIZE + 512,
		    "{\"type\":\"inbound\",\"bufferId\":\"b%d\",\"event\":{"
		    "\"message_id\":\"m%d.\",\"source\":{\"platform\":"
		    "\"discord\",\"chat_id\":\"c\"},\"text\":\"%s\"}}\n",
		    i, i, text);
		world_message(w, line);
	}
	a = world_agent(w, HELLO);
	for (i = 0; i < N; i++) {
		(void)snprintf(want, sizeof(want), "\"m%d.\"", i);
		assert_true(holds(&a->in, want));
		assert_in_range(a->a->ninflight, 1, 4);
		agent_acks(a, want);
	}
	assert_int_equal(w->gw->delivery.n, 0);
	assert_true(a->a->inflight_bytes == 0);
	free(line);
	free(text);
}

static void
test_order_is_bounded(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char line[200];
	int i;

	world_up(w);
	world_event(w, "b0", "c1", "m1"); /* nobody acknowledges it */
	for (i = 1; i < 200000 && w->reading; i++) {
		(void)snprintf(line, sizeof(line),
		    "{\"type\":\"inbound\",\"bufferId\":\"bad-%d\"}\n", i);
		world_message(w, line);
	}
	assert_false(w->reading);
	agent_acks(a, "m1");
	assert_true(w->reading);
	assert_int_equal(count(&w->lines, "inbound_ack"), i);
	assert_int_equal(w->gw->delivery.bytes, 0);
}

static void
test_requests_are_bounded_in_bytes(void **state)
{
	enum { SIZE = 1000 * 1000 };
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *line = malloc(SIZE + 512), *text = malloc(SIZE + 1);
	int i, n;

	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	core_credential(w->gw, 1, 1, "x"); /* dialling: requests wait */
	for (i = 0; i < 40; i++) {
		n = snprintf(line, SIZE + 512,
		    "{\"type\":\"outbound\",\"requestId\":\"r%d\",\"action\":{"
		    "\"op\":\"send\",\"chat_id\":\"c\",\"content\":\"%s\"}}",
		    i, text);
		core_agent_line(a->a, line, (size_t)n);
	}
	assert_in_range(w->gw->outbound.n, 8, 17);
	assert_true(holds(&a->in, "too many requests"));
	world_time(w, 60000);
	assert_int_equal(w->gw->outbound.n, 0);
	assert_int_equal(w->gw->outbound.bytes, 0);
	free(line);
	free(text);
}

static void
test_order_is_kept_when_many_go_back(void **state)
{
	struct world *w = *state;
	struct world_agent *a =
	    world_agent(w, "{\"type\":\"hello\",\"window\":4096}");
	struct delivery *d;
	char id[32], chat[32];
	uint64_t last = 0;
	int i, n = 0;

	world_up(w);
	for (i = 0; i < 20000; i++) {
		(void)snprintf(id, sizeof(id), "b%d", i);
		(void)snprintf(chat, sizeof(chat), "c%d", i % 700);
		world_event(w, id, chat, "m");
	}
	assert_int_equal(a->a->ninflight, 4096);
	core_agent_gone(a->a, "died");
	a->a = NULL;
	TAILQ_FOREACH (d, &w->gw->delivery.unplaced, entry) {
		assert_true(d->seq > last);
		last = d->seq;
		n++;
	}
	assert_int_equal(n, 20000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_large_events_are_given_piecemeal),
	    WORLD_TEST(test_order_is_bounded),
	    WORLD_TEST(test_requests_are_bounded_in_bytes),
	    WORLD_TEST(test_order_is_kept_when_many_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
