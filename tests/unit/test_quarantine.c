/* SPDX-License-Identifier: ISC */
/* Agents that end badly: suspects, the one that is put aside, what becomes of
 * it, and of those that only were there. */
#include "order.h"
#include "place.h"
#include "quarantine.h"
#include "world.h"

#define MANY  64
#define CHATS 8

/* What the connector was sent is the acknowledgements b0, b1, … in order. */
static void
assert_acks(struct world *w, int from, int n)
{
	struct span s = buf_span(&w->lines);
	char want[96];
	size_t len;
	int i;

	for (i = from; i < from + n; i++) {
		len = (size_t)snprintf(want, sizeof(want),
		    "{\"type\":\"inbound_ack\",\"bufferId\":\"b%d\"}\n", i);
		assert_true(s.len >= len);
		assert_memory_equal(s.p, want, len);
		s.p += len;
		s.len -= len;
	}
	assert_int_equal(s.len, 0);
}

/* Event i: of chat i % CHATS, with text "<i>". */
static void
event(struct world *w, int i)
{
	char id[16], chat[16], text[16];

	(void)snprintf(id, sizeof(id), "b%d", i);
	(void)snprintf(chat, sizeof(chat), "c%d", i % CHATS);
	(void)snprintf(text, sizeof(text), "<%d>", i);
	world_event(w, id, chat, text);
}

/* The next delivery that the agent was given: its number and bufferId; -1:
 * none. */
static int
next_given(struct world_agent *a, char id[64], int *again)
{
	struct span line;
	const char *nl, *p;
	int n = -1;

	while (n == -1 && buf_len(&a->in) > 0) {
		line = buf_span(&a->in);
		nl = memchr(line.p, '\n', line.len);
		line.len = (size_t)(nl - line.p);
		if ((p = memmem(line.p, line.len, "\"<", 2)) != NULL) {
			n = atoi(p + 2);
			*again = memmem(line.p, line.len,
				     "\"redelivered\":true", 18) != NULL;
			p = memmem(line.p, line.len, "\"bufferId\":\"", 12);
			(void)snprintf(
			    id, 64, "%.*s", (int)strcspn(p + 12, "\""), p + 12);
		}
		buf_drain(&a->in, line.len + 1);
	}
	return n;
}

/* Takes what it is given until there is nothing more, or the poison comes,
 * which it does not survive.  Counts what it is given. */
static int
works(struct world_agent *a, int poison, int given[MANY], int last[CHATS])
{
	char id[64];
	int n, again;

	while ((n = next_given(a, id, &again)) != -1) {
		assert_int_equal(again, given[n] > 0);
		given[n]++;
		if (n == poison) {
			assert_int_equal(a->a->ninflight, 1);
			agent_dies(a);
			return 1;
		}
		assert_true(n > last[n % CHATS]);
		last[n % CHATS] = n;
		agent_says(
		    a, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}", id);
	}
	return 0;
}

/* Sixty-four in flight, one of them poison. */
static void
test_poison_alone_is_put_aside(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	int given[MANY + 2] = {0}, last[CHATS], i, deaths = 0, poison = 29;
	char id[64];

	memset(last, 0xff, sizeof(last));
	world_up(w);
	for (i = 0; i < MANY; i++)
		event(w, i);
	assert_int_equal(a->a->ninflight, MANY);
	while (next_given(a, id, &i) != -1)
		continue;
	for (i = 0; i < MANY; i++)
		given[i] = 1;
	agent_dies(a); /* all at once: nobody knows which it was */
	assert_int_equal(w->gw->count.suspects, MANY);
	agent_rejoins(a, HELLO);
	while (works(a, poison, given, last)) {
		deaths++;
		assert_int_equal(w->gw->count.aside, deaths == 5);
		agent_rejoins(a, HELLO);
	}
	assert_int_equal(deaths, 5);
	for (i = 0; i < MANY; i++)
		assert_int_equal(given[i], i == poison ? 6 : 2);
	assert_int_equal(w->gw->delivery.n, 0);
	assert_int_equal(w->gw->delivery.naside, 1);
	assert_acks(w, 0, MANY);
	/* Its session goes on, and a replay of it is acknowledged. */
	buf_reset(&w->lines);
	event(w, poison);
	world_event(w, "b30", "c5", "<61>");
	assert_int_equal(w->gw->count.replays, 2);
	assert_int_equal(count(&w->lines, "inbound_ack"), 2);
	assert_int_equal(next_given(a, id, &i), -1);
}

/* With other agents at hand only the session's own one waits for a suspect. */
static void
test_suspect_delays_its_agent_alone(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO), *b, *c;
	char id[64];
	int again, i, n = 0;

	world_up(w);
	event(w, 0);
	event(w, 1);
	b = world_agent(w, HELLO);
	agent_dies(
	    a); /* b has one of the suspects in flight, the other queued */
	assert_int_equal(b->a->ninflight, 1);
	assert_int_equal(b->a->nqueued, 1);
	event(w, 8); /* behind the suspects of b */
	assert_int_equal(b->a->ninflight, 1);
	c = world_agent(w, HELLO);
	for (i = 2; i < 7; i++) {
		event(w, i);
		n += next_given(c, id, &again) == i;
	}
	assert_int_equal(n, 5); /* all of them, at once */
	assert_int_equal(c->a->ninflight, 5);
	assert_int_equal(b->a->ninflight, 1);
	assert_int_equal(next_given(b, id, &again), 0);
	assert_true(again);
	assert_int_equal(next_given(b, id, &again), -1);
}

/* A new event waits for the suspect before it, and a suspect for what is in
 * flight before it. */
static void
test_suspect_is_alone_in_flight(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO), *b;
	char id[64], other[64];
	int again;

	world_up(w);
	event(w, 1);
	b = world_agent(w, HELLO);
	event(w, 2);
	assert_int_equal(b->a->ninflight, 1);
	agent_dies(a);
	assert_int_equal(b->a->ninflight, 1); /* its own is there yet */
	assert_int_equal(next_given(b, id, &again), 2);
	assert_int_equal(next_given(b, other, &again), -1);
	event(w, 3);
	assert_int_equal(b->a->ninflight, 1);
	agent_says(b, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}", id);
	assert_int_equal(next_given(b, id, &again), 1);
	assert_true(again);
	assert_int_equal(next_given(b, other, &again), -1);
	agent_says(b, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}", id);
	assert_int_equal(next_given(b, id, &again), 3);
	assert_false(again);
}

static int
suspects(struct world *w)
{
	const struct delivery *d;
	int n = 0;

	TAILQ_FOREACH (d, &w->gw->delivery.unplaced, entry)
		n += d->suspect;
	return n;
}

static void
test_clean_ends_make_no_suspects(void **state)
{
	struct world *w = *state;
	struct world_agent *a =
	    world_agent(w, "{\"type\":\"hello\",\"ack_timeout\":5}");

	world_up(w);
	event(w, 0);
	event(w, 1);
	agent_says(a, "{\"type\":\"going_idle\"}");
	agent_dies(a);
	assert_int_equal(suspects(w), 0);
	assert_int_equal(w->gw->delivery.n, 2);
	/* Neither does one that has nothing in flight. */
	agent_rejoins(a, HELLO);
	assert_int_equal(a->a->ninflight, 2);
	agent_says(a, "{\"type\":\"going_idle\"}");
	agent_says(a, HELLO); /* back: it counts again */
	agent_dies(a);
	assert_int_equal(suspects(w), 2);
	assert_int_equal(w->gw->count.suspects, 2);
}

static void
test_ack_timeout_makes_suspects(void **state)
{
	struct world *w = *state;
	struct world_agent *a =
	    world_agent(w, "{\"type\":\"hello\",\"ack_timeout\":5}");
	struct delivery *d;
	int i;

	world_up(w);
	event(w, 0);
	for (i = 1; i <= 4; i++) {
		world_time(w, 5000);
		assert_true(a->closed);
		d = TAILQ_FIRST(&w->gw->delivery.unplaced);
		assert_true(d->suspect);
		assert_int_equal(d->attempts, i);
		agent_rejoins(a, "{\"type\":\"hello\",\"ack_timeout\":5}");
	}
	world_time(w, 5000);
	assert_int_equal(w->gw->count.aside, 1);
	assert_acks(w, 0, 1);
}

static void
keep_id(void *arg, const struct record_info *info)
{
	char *id = arg;

	if (!info->aside)
		return;
	assert_int_equal(info->attempts, 5);
	assert_true(info->aside_at >= 1700000000000);
	assert_true(
	    span_eq(info->session, SPAN_LIT("agent:main:discord:group:c0:u1")));
	(void)snprintf(id, 64, "%016llx-%llu", (unsigned long long)info->epoch,
	    (unsigned long long)info->seq);
}

/* An event that no agent survives, five times over. */
static void
put_aside(struct world *w, struct world_agent *a, int n)
{
	int i;

	event(w, n);
	for (i = 0; i < 5; i++) {
		agent_rejoins(a, HELLO);
		assert_int_equal(a->a->ninflight, 1);
		agent_dies(a);
	}
}

static void
test_requeue_and_drop(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char first[64] = "", id[64];
	struct span s;
	int again;

	world_up(w);
	agent_dies(a);
	put_aside(w, a, 0);
	quarantine_each(w->gw, keep_id, first);
	s = span_str(first);
	assert_non_null(quarantine_drop(w->gw, SPAN_LIT("nonsense")));
	assert_non_null(
	    quarantine_requeue(w->gw, SPAN_LIT("0000000000000001-1")));
	assert_int_equal(w->gw->delivery.n, 0);
	assert_null(quarantine_requeue(w->gw, s));
	assert_non_null(quarantine_requeue(w->gw, s)); /* not any more */
	assert_non_null(quarantine_drop(w->gw, s));
	agent_rejoins(a, HELLO);
	event(w, 8);
	assert_int_equal(a->a->ninflight, 2); /* no suspect any more */
	assert_int_equal(next_given(a, id, &again), 0);
	assert_string_equal(id, first);
	assert_true(again);
	/* The connector has its acknowledgement already. */
	buf_reset(&w->lines);
	event(w, 0);
	assert_int_equal(count(&w->lines, "\"b0\""), 0); /* behind b8 */
	agent_says(a, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}", id);
	assert_int_equal(count(&w->lines, "inbound_ack"), 0);
	assert_int_equal(next_given(a, id, &again), 8);
	agent_says(a, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}", id);
	assert_int_equal(count(&w->lines, "inbound_ack"), 2);
	assert_int_equal(w->gw->delivery.journal.used, 0);
	agent_dies(a);
	put_aside(w, a, 16);
	first[0] = '\0';
	quarantine_each(w->gw, keep_id, first);
	assert_null(quarantine_drop(w->gw, span_str(first)));
	assert_int_equal(w->gw->delivery.journal.used, 0);
	assert_int_equal(w->gw->delivery.naside, 0);
	assert_int_equal(w->gw->delivery.by_id.n, 0);
	assert_int_equal(w->gw->count.requeued, 1);
	assert_int_equal(w->gw->count.dropped, 1);
}

/* What is aside leaves its place in the order of acknowledgements. */
static void
test_order_goes_on_without_it(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO), *b;

	world_up(w);
	event(w, 0); /* a's */
	b = world_agent(w, HELLO);
	event(w, 1); /* b's, and poison */
	event(w, 2);
	agent_dies(b);
	assert_int_equal(count(&w->lines, "inbound_ack"), 0);
	agent_says(a, "{\"type\":\"going_idle\"}"); /* keeps what it has */
	while (w->gw->count.aside == 0) {
		agent_rejoins(b, HELLO);
		agent_dies(b);
	}
	assert_int_equal(count(&w->lines, "inbound_ack"), 0);
	agent_acks(a, "<0>");
	/* b0, and then b1, which was put aside; b2 waits. */
	assert_acks(w, 0, 2);
}

static int
is_blocked(struct world *w, const char *key)
{
	return session_find(w->gw, span_str(key))->blocked;
}

/* A quarter of the journal, and no more, is for events put aside. */
static void
test_without_room_poison_blocks_its_session(void **state)
{
	enum { SIZE = 900 * 1000 };
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char *line = malloc(SIZE + 512), *text = malloc(SIZE + 1), id[64];
	int i, n;

	assert_true(line != NULL && text != NULL);
	memset(text, 'x', SIZE);
	text[SIZE] = '\0';
	world_up(w);
	agent_dies(a);
	for (i = 0; i < 5; i++) {
		(void)snprintf(line, SIZE + 512,
		    "{\"type\":\"inbound\",\"bufferId\":\"b%d\",\"event\":{"
		    "\"source\":{\"platform\":\"discord\",\"chat_type\":"
		    "\"group\",\"user_id\":\"u1\",\"chat_id\":\"c0\"},"
		    "\"text\":\"<%d>%s\"}}\n",
		    i, i, text);
		world_message(w, line);
		for (n = 0; n < 5; n++) {
			agent_rejoins(a, HELLO);
			if (a->a->ninflight > 0)
				agent_dies(a);
		}
	}
	free(line);
	free(text);
	assert_int_equal(w->gw->delivery.naside, 4);
	assert_true(w->gw->delivery.journal.aside <=
	    w->gw->delivery.journal.capacity / 4);
	assert_int_equal(w->gw->delivery.n, 1);
	assert_true(is_blocked(w, "agent:main:discord:group:c0:u1"));
	assert_acks(w, 0, 4);
	event(w, 8); /* the same session */
	event(w, 5); /* another */
	agent_rejoins(a, HELLO);
	assert_int_equal(a->a->ninflight, 1);
	assert_int_equal(next_given(a, id, &n), 5);
	agent_says(a, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}", id);
	/* One is given up: there is room, and the session goes on. */
	quarantine_each(w->gw, keep_id, id);
	assert_null(quarantine_drop(w->gw, span_str(id)));
	world_turn(w);
	assert_int_equal(w->gw->delivery.naside, 4);
	assert_int_equal(next_given(a, id, &n), 8);
	assert_false(is_blocked(w, "agent:main:discord:group:c0:u1"));
}

static void
keep_blocking(void *arg, const struct record_info *info)
{
	if (!info->aside)
		(void)snprintf(arg, 64, "%016llx-%llu",
		    (unsigned long long)info->epoch,
		    (unsigned long long)info->seq);
}

/* One that is too large to be put aside at all is the operator's, too. */
static void
test_what_blocks_can_be_requeued_or_dropped(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char id[64] = "";
	int n;

	world_up(w);
	agent_dies(a);
	event(w, 0);
	w->gw->delivery.journal.capacity = 4096; /* a quarter: not one */
	for (n = 0; n < 5; n++) {
		agent_rejoins(a, HELLO);
		assert_int_equal(a->a->ninflight, 1);
		agent_dies(a);
	}
	assert_int_equal(w->gw->delivery.naside, 0);
	assert_int_equal(w->gw->delivery.n, 1);
	quarantine_each(w->gw, keep_blocking, id);
	agent_rejoins(a, HELLO);
	assert_int_equal(a->a->ninflight, 0);
	assert_null(quarantine_requeue(w->gw, span_str(id)));
	assert_int_equal(a->a->ninflight, 1);
	assert_non_null(quarantine_drop(w->gw, span_str(id)));
	for (n = 0; n < 5; n++) {
		agent_dies(a);
		agent_rejoins(a, HELLO);
	}
	assert_int_equal(a->a->ninflight, 0);
	assert_int_equal(count(&w->lines, "inbound_ack"), 0);
	assert_null(quarantine_drop(w->gw, span_str(id)));
	world_turn(w);
	assert_int_equal(w->gw->delivery.n, 0);
	assert_int_equal(w->gw->delivery.journal.used, 0);
	assert_acks(w, 0, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_poison_alone_is_put_aside),
	    WORLD_TEST(test_suspect_delays_its_agent_alone),
	    WORLD_TEST(test_suspect_is_alone_in_flight),
	    WORLD_TEST(test_clean_ends_make_no_suspects),
	    WORLD_TEST(test_ack_timeout_makes_suspects),
	    WORLD_TEST(test_requeue_and_drop),
	    WORLD_TEST(test_order_goes_on_without_it),
	    WORLD_TEST(test_without_room_poison_blocks_its_session),
	    WORLD_TEST(test_what_blocks_can_be_requeued_or_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
