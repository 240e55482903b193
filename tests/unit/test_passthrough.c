/* SPDX-License-Identifier: ISC */
/* Forwarded webhooks on their way to agents, prompts and who is answered. */
#include "world.h"

/* {"type":3,"channel_id":"c1","guild_id":"g1","member":{"user":{"id":"u1"}},
 * "data":{"custom_id":"hp1:p7:yes"}} */
#define PRESS                                                                  \
	"eyJ0eXBlIjozLCJjaGFubmVsX2lkIjoiYzEiLCJndWlsZF9pZCI6ImcxIiwibWVtYmVy" \
	"Ijp7InVzZXIiOnsiaWQiOiJ1MSJ9fSwiZGF0YSI6eyJjdXN0b21faWQiOiJocDE6cDc6" \
	"eWVzIn19"
#define EVENTS "{\"type\":\"hello\",\"interactions\":\"event\"}"
#define PROMPT                                                     \
	"{\"type\":\"outbound\",\"requestId\":\"%s\",\"action\":{" \
	"\"op\":\"prompt\",\"chat_id\":\"c9\",\"prompt_id\":\"p7\"}}"

static void
forward(struct world *w, const char *id, const char *platform, const char *b64)
{
	char line[1024];

	(void)snprintf(line, sizeof(line),
	    "{\"type\":\"passthrough_forward\",\"bufferId\":\"%s\",\"forward\":"
	    "{\"platform\":\"%s\",\"botId\":\"1\",\"method\":\"POST\","
	    "\"path\":\"/x\",\"headers\":[],\"bodyB64\":\"%s\"}}\n",
	    id, platform, b64);
	world_message(w, line);
}

/* Descriptors that offer prompts. */
static void
offer_prompts(struct world *w)
{
	world_message(w,
	    "{\"type\":\"descriptor\",\"descriptor\":{\"platform\":"
	    "\"discord\",\"max_message_length\":5,\"len_unit\":\"utf16\","
	    "\"supported_ops\":[\"send\",\"follow_up\",\"prompt\"]}}\n");
}

static void
test_as_it_came_or_as_event(void **state)
{
	struct world *w = *state;
	struct world_agent *raw = world_agent(w, HELLO), *ev;

	world_up(w);
	forward(w, "f1", "discord", PRESS);
	assert_true(holds(&raw->in, "\"type\":\"passthrough_forward\""));
	assert_true(holds(&raw->in, PRESS));
	assert_true(holds(
	    &raw->in, "\"session_key\":\"agent:main:discord:group:c1:u1\""));
	core_agent_gone(raw->a, "end");
	raw->a = NULL;
	ev = world_agent(w, EVENTS);
	assert_false(holds(&ev->in, "passthrough_forward"));
	assert_true(holds(&ev->in, "\"type\":\"inbound\""));
	assert_true(holds(&ev->in, "\"text\":\"/yes\""));
	assert_true(holds(&ev->in, "\"prompt_id\":\"p7\""));
	assert_true(holds(&ev->in, "\"redelivered\":true}\n"));
	assert_true(holds(
	    &ev->in, "\"session_key\":\"agent:main:discord:group:c1:u1\""));
	assert_false(holds(&w->lines, "inbound_ack"));
	agent_acks(ev, "/yes");
	assert_true(holds(&w->lines, "\"bufferId\":\"f1\""));
}

static void
test_conversation_stays_together(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, EVENTS),
			   *b = world_agent(w, EVENTS), *its;

	world_up(w);
	world_event(w, "e1", "c1", "first");
	its = holds(&a->in, "first") ? a : b;
	world_event(w, "e2", "c2", "other");
	forward(w, "f1", "discord", PRESS);
	assert_true(holds(&its->in, "/yes"));
	assert_false(holds(its == a ? &b->in : &a->in, "/yes"));
}

static void
test_what_is_no_event(void **state)
{
	struct world *w = *state;
	struct world_agent *ev = world_agent(w, EVENTS), *raw;

	world_up(w);
	forward(w, "f1", "discord", "W10=");
	forward(w, "f2", "telegram", PRESS);
	forward(w, "f3", "discord", "not base64");
	assert_false(holds(&ev->in, "W10="));
	assert_false(holds(&ev->in, "forward"));
	assert_int_equal(count(&w->lines, "inbound_ack"), 3);
	assert_int_equal(w->gw->count.forwards_dropped, 3);
	assert_int_equal(w->gw->delivery.n, 0);
	/* An agent that takes them as they are is found, loaded or not. */
	raw = world_agent(w, HELLO);
	world_event(w, "e1", "c1", "load");
	world_event(w, "e2", "c2", "more");
	world_event(w, "e3", "c3", "most");
	forward(w, "f4", "telegram", PRESS);
	assert_true(holds(&raw->in, "\"platform\":\"telegram\""));
	assert_int_equal(w->gw->count.forwards_dropped, 3);
}

static void
test_bad_wish_is_told(void **state)
{
	struct world *w = *state;
	struct world_agent *a =
	    world_agent(w, "{\"type\":\"hello\",\"interactions\":\"both\"}");

	assert_true(holds(&a->in, "interactions must be"));
	assert_int_equal(a->a->events, 0);
	agent_says(a, EVENTS);
	assert_int_equal(a->a->events, 1);
}

/* An answer, as an event that says which prompt it answers. */
static void
answer(struct world *w, const char *id, const char *prompt)
{
	char line[512];

	(void)snprintf(line, sizeof(line),
	    "{\"type\":\"inbound\",\"bufferId\":\"%s\",\"event\":{\"text\":"
	    "\"answer-%s\",\"prompt_response\":{\"prompt_id\":\"%s\","
	    "\"option_id\":\"yes\"},\"source\":{\"platform\":\"discord\","
	    "\"chat_id\":\"c1\",\"chat_type\":\"group\",\"user_id\":\"u1\"}}}"
	    "\n",
	    id, id, prompt);
	world_message(w, line);
}

static void
test_answers_go_to_who_asked(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, EVENTS),
			   *b = world_agent(w, EVENTS), *its, *asks;

	world_up(w);
	offer_prompts(w);
	world_event(w, "e1", "c1", "first");
	its = holds(&a->in, "first") ? a : b;
	asks = its == a ? b : a;
	agent_says(asks, PROMPT, "r1");
	assert_int_equal(w->gw->prompts.n, 1);
	answer(w, "e2", "p7");
	assert_true(holds(&asks->in, "answer-e2"));
	forward(w, "f1", "discord", PRESS);
	assert_true(holds(&asks->in, "/yes"));
	answer(w, "e3", "p8"); /* nobody of ours asked: the session's agent */
	assert_true(holds(&its->in, "answer-e3"));
	/* One that is gone cannot be answered: the session's agent has it, one
	 * suspect at a time. */
	agent_acks(its, "first");
	agent_acks(its, "answer-e3");
	core_agent_gone(asks->a, "end");
	asks->a = NULL;
	assert_int_equal(w->gw->prompts.n, 0);
	assert_true(holds(&its->in, "answer-e2"));
	assert_int_equal(count(&its->in, "/yes"), 0);
	agent_acks(its, "answer-e2");
	agent_acks(its, "/yes");
	answer(w, "e4", "p7");
	assert_true(holds(&its->in, "answer-e4"));
}

static void
test_prompts_are_bounded(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char id[16];
	int i;

	world_up(w);
	for (i = 0; i <= LIMIT_PROMPTS; i++) {
		(void)snprintf(id, sizeof(id), "p%d", i);
		prompt_sent(a->a, span_str(id));
		prompt_sent(a->a, span_str(id));
	}
	assert_int_equal(w->gw->prompts.n, LIMIT_PROMPTS);
	assert_null(prompt_agent(w->gw, SPAN_LIT("p0")));
	assert_non_null(prompt_agent(w->gw, SPAN_LIT("p1")));
}

/* What an action leaves as, or why it does not. */
static void
check_action(struct world *w, struct world_agent *a, const char *action,
    const char *sent, const char *refused)
{
	buf_reset(&w->lines);
	buf_reset(&a->in);
	agent_says(a,
	    "{\"type\":\"outbound\",\"requestId\":\"q\",\"action\":%s}",
	    action);
	if (sent != NULL && !holds(&w->lines, sent))
		fail_msg("%s: %.*s", action, (int)buf_len(&a->in),
		    buf_span(&a->in).p);
	if (refused == NULL)
		return;
	assert_int_equal(buf_len(&w->lines), 0);
	if (!holds(&a->in, refused) || holds(&a->in, "ambiguous"))
		fail_msg("%s: %.*s", action, (int)buf_len(&a->in),
		    buf_span(&a->in).p);
}

static void
test_what_the_descriptor_allows(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	offer_prompts(w);
	check_action(w, a, "{\"op\":\"react\",\"emoji\":\"x\"}", NULL,
	    "the connector does not offer op \\\"react\\\" on discord (it "
	    "offers send, follow_up, prompt)");
	check_action(
	    w, a, "{\"op\":\"send\",\"content\":\"12345\"}", "12345", NULL);
	check_action(w, a, "{\"op\":\"send\",\"content\":\"123456\"}", NULL,
	    "content has 6 UTF-16 units, discord takes at most 5");
	check_action(w, a,
	    "{\"op\":\"send\",\"content\":\"\\ud83d\\ude42abc\"}", "ude42abc",
	    NULL);
	check_action(w, a,
	    "{\"op\":\"send\",\"content\":\"\\ud83d\\ude42abcd\"}", NULL,
	    "content has 6 UTF-16 units");
	check_action(w, a,
	    "{\"op\":\"follow_up\",\"kind\":\"telegram.x\",\"session_key\":"
	    "\"k\",\"content\":\"1234567\"}",
	    "\"platform\":\"telegram\",\"botId\":\"99\"", NULL);
	check_action(w, a,
	    "{\"op\":\"follow_up\",\"kind\":\"discord.interaction_token\","
	    "\"session_key\":\"k\",\"content\":\"1234567\"}",
	    NULL, "content has 7");
	/* The telegram descriptor names no ops: the old set. */
	world_message(w,
	    "{\"type\":\"inbound\",\"event\":{\"source\":{\"platform\":"
	    "\"telegram\",\"chat_id\":\"t1\",\"user_id\":\"u\"}}}\n");
	check_action(w, a, "{\"op\":\"edit\",\"chat_id\":\"t1\"}", "t1", NULL);
	check_action(w, a, "{\"op\":\"prompt\",\"chat_id\":\"t1\"}", NULL,
	    "on telegram");
	w->gw->conf.pass_overlong = 1;
	check_action(
	    w, a, "{\"op\":\"send\",\"content\":\"123456\"}", "123456", NULL);
}

static int
set_up(void **state)
{
	*state = world_new();
	return 0;
}

static int
tear_down(void **state)
{
	world_free(*state);
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_as_it_came_or_as_event),
	    TEST(test_conversation_stays_together),
	    TEST(test_what_is_no_event),
	    TEST(test_bad_wish_is_told),
	    TEST(test_answers_go_to_who_asked),
	    TEST(test_prompts_are_bounded),
	    TEST(test_what_the_descriptor_allows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
