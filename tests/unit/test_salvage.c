/* SPDX-License-Identifier: ISC */
/* Lines that can never be taken: skipped, and acknowledged where an id can be
 * salvaged. */
#include "world.h"

/* Of the bufferIds b1, b2, b3. */
#define ACKS_IN_ORDER                                               \
	"\"b1\"}\n{\"type\":\"inbound_ack\",\"bufferId\":\"b2\"}\n" \
	"{\"type\":\"inbound_ack\",\"bufferId\":\"b3\"}\n"

static void
test_bad_lines_are_skipped_and_salvaged(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *big = malloc(LIMIT_LINE + 200);

	world_up(w);
	world_event(w, "b1", "c1", "first");
	world_message(
	    w, "{\"type\":\"inbound\",\"event\":{]},\"bufferId\":\"b2\"}\n");
	world_message(w, "{\"type\":\"inbound\",\"type\":\"x\"}\n");
	memset(big, 'x', LIMIT_LINE + 100);
	memcpy(big, "{\"type\":\"inbound\",\"event\":\"", 27);
	strcpy(big + LIMIT_LINE + 100, "\",\"bufferId\":\"b3\"}\n");
	world_message(w, big);
	free(big);
	assert_int_equal(w->gw->count.lines_bad, 3);
	assert_int_equal(w->remarks, 3);
	/* in order of arrival: b2 and b3 wait for b1 */
	assert_false(holds(&w->lines, "b2"));
	agent_acks(a, "first");
	assert_true(holds(&w->lines, ACKS_IN_ORDER));
	world_event(w, NULL, "c1", "still works");
	assert_true(holds(&a->in, "still works"));
}

static void
test_salvaged_is_only_what_can_be_an_id(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_message(w, "{\"bufferId\":\"b\xff\"\n");
	world_message(w, "{\"bufferId\":\"b\x01\"\n");
	world_message(w, "{\"bufferId\":\"\"\n");
	assert_int_equal(w->gw->count.lines_bad, 3);
	assert_false(holds(&w->lines, "inbound_ack"));
}

/* Also one that is too long for an event: it would hold up the replay. */
static void
test_salvaged_is_an_overlong_id(void **state)
{
	static const struct {
		size_t len;
		int events, acks;
	} rows[] = {{LIMIT_BUFFER_ID + 1, 0, 1},
	    {LIMIT_BUFFER_ID_REFUSED, 0, 1},
	    {LIMIT_BUFFER_ID_REFUSED + 1, 0, 0}, {LIMIT_BUFFER_ID, 1, 0}};
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char line[LIMIT_BUFFER_ID_REFUSED + 400];
	size_t i;

	world_up(w);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&a->in);
		buf_reset(&w->lines);
		(void)snprintf(line, sizeof(line),
		    "{\"type\":\"inbound\",\"bufferId\":\"%0*d\",\"event\":"
		    "{\"text\":\"x\",\"message_type\":\"text\",\"source\":"
		    "{\"platform\":\"discord\",\"chat_id\":\"c%zu\","
		    "\"chat_type\":\"group\",\"user_id\":\"u1\"}}}\n",
		    (int)rows[i].len, 7, i);
		world_message(w, line);
		assert_int_equal(
		    count(&a->in, "\"text\":\"x\""), rows[i].events);
		assert_int_equal(count(&w->lines, "inbound_ack"), rows[i].acks);
	}
	assert_int_equal(w->gw->count.lines_bad, 3);
}

/* What is JSON and no frame: its own id, whatever form it has, and no other;
 * also of a frame that we do not know. */
static void
test_salvaged_is_the_lines_own_id(void **state)
{
	static const struct {
		const char *line, *ack;
	} rows[] = {
	    {"{\"bufferId\":\"n1\",\"type\":\"inbound\",\"event\":{\"x\":"
	     "{\"bufferId\":\"inner\"}}}\n",
		"\"bufferId\":\"n1\""},
	    {"{\"type\":\"inbound\",\"event\":5,\"bufferId\":17}\n",
		"\"bufferId\":\"17\""},
	    {"{\"type\":\"inbound\",\"event\":{]},\"bufferId\":18}\n",
		"\"bufferId\":\"18\""},
	    {"{\"type\":5,\"bufferId\":\"a\\\"b\\u0041\"}\n",
		"\"bufferId\":\"a\\\"bA\""},
	    {"{\"type\":\"new\",\"bufferId\":\"u1\"}\n", "\"bufferId\":\"u1\""},
	    {"{\"type\":\"inbound\",\"event\":{\"bufferId\":\"in\"}}\n", NULL},
	    {"{\"type\":\"inbound\",\"event\":5,\"bufferId\":{}}\n", NULL},
	    {"{\"type\":\"inbound\",\"event\":{]},\"bufferId\":19\n", NULL},
	    {"{\"type\":\"new\"}\n", NULL},
	};
	struct world *w = *state;
	int acks = 0;
	size_t i;

	world_up(w);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_message(w, rows[i].line);
		acks += rows[i].ack != NULL;
		assert_int_equal(count(&w->lines, "inbound_ack"), acks);
		if (rows[i].ack != NULL)
			assert_true(holds(&w->lines, rows[i].ack));
	}
	assert_int_equal(w->gw->count.lines_bad, 7);
	assert_int_equal(w->gw->count.unknown_frames, 2);
}

static void
test_salvage_leaves_what_an_agent_has(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_event(w, "b1", "c1", "first");
	world_message(w, "{\"type\":\"inbound\",\"bufferId\":\"b1\"\n");
	assert_int_equal(w->gw->count.lines_bad, 1);
	assert_false(holds(&w->lines, "inbound_ack"));
	agent_acks(a, "first");
	assert_int_equal(count(&w->lines, "inbound_ack"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_bad_lines_are_skipped_and_salvaged),
	    WORLD_TEST(test_salvaged_is_only_what_can_be_an_id),
	    WORLD_TEST(test_salvaged_is_an_overlong_id),
	    WORLD_TEST(test_salvaged_is_the_lines_own_id),
	    WORLD_TEST(test_salvage_leaves_what_an_agent_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
