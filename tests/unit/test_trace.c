/* SPDX-License-Identifier: ISC */
/* Stages of events: what is remembered of them, by which ids they are found,
 * what an event has come to, and what is told while it goes on. */
#include "quarantine.h"
#include "stage.h"
#include "world.h"

static void
put_step(void *arg, const struct stage_step *step)
{
	struct buf *b = arg;

	buf_addf(b, "%s%s", buf_len(b) > 0 ? " " : "", stage_word(step->stage));
	if (step->agent != 0)
		buf_addf(b, ":%u", step->agent);
	if (step->stage == STAGE_DELIVERED)
		buf_addf(b, "#%u%s", step->attempt, step->tried ? "r" : "");
}

static void
put_time(void *arg, const struct stage_step *step)
{
	buf_addf(arg, "%s%lld", buf_len(arg) > 0 ? " " : "",
	    (long long)(step->at - 1700000000000));
}

static void
add_up(void *arg, const struct stage_step *step)
{
	stage_add(arg, step);
}

/* What is told of an event, ended by its state; "+": all of it. */
static const char *
told(struct world *w, const char *id)
{
	static char text[4096];
	struct stage_sum sum = {STATE_NONE, 0};
	struct stage_id at;
	struct buf b;
	int whole;

	if (!stage_find(w->gw, span_str(id), &at))
		return "unknown";
	buf_init(&b, sizeof(text) - 1);
	whole = stage_each(w->gw, &at, put_step, &b);
	(void)stage_each(w->gw, &at, add_up, &sum);
	stage_look(&sum, &at);
	buf_addf(&b, " = %s%s", stage_state_word(sum.state), whole ? "+" : "");
	(void)snprintf(
	    text, sizeof(text), "%.*s", (int)buf_len(&b), buf_span(&b).p);
	buf_free(&b);
	return text;
}

static const char *
times(struct world *w, const char *id)
{
	static char text[512];
	struct stage_id at;
	struct buf b;

	assert_true(stage_find(w->gw, span_str(id), &at));
	buf_init(&b, sizeof(text) - 1);
	(void)stage_each(w->gw, &at, put_time, &b);
	(void)snprintf(
	    text, sizeof(text), "%.*s", (int)buf_len(&b), buf_span(&b).p);
	buf_free(&b);
	return text;
}

static const char *
why(struct world *w, const char *id)
{
	static char text[STAGE_WHY];
	struct stage_sum sum = {STATE_NONE, 0};
	struct stage_id at;
	const char *s;

	assert_true(stage_find(w->gw, span_str(id), &at));
	(void)stage_each(w->gw, &at, add_up, &sum);
	stage_look(&sum, &at);
	s = stage_why(w->gw, &at, &sum, text);
	return s == NULL ? "" : s;
}

static struct world_agent *
rejoin(struct world_agent *a, const char *hello)
{
	buf_reset(&a->in);
	a->a = core_agent_new(a->w->gw, 1000, 1000, 42, a);
	assert_non_null(a->a);
	core_agent_line(a->a, hello, strlen(hello));
	world_turn(a->w);
	return a;
}

static void
dies(struct world_agent *a)
{
	core_agent_gone(a->a, "killed");
	a->a = NULL;
	world_turn(a->w);
}

/* The engine ends, and the next one has the journal as it is. */
static void
restart(struct world *w)
{
	unsigned char seed[32];
	char *was = malloc(w->journal.len);
	int i;

	assert_non_null(was);
	memcpy(was, w->journal.p, w->journal.len);
	core_free(w->c);
	memcpy(w->journal.p, was, w->journal.len);
	free(was);
	for (i = 0; i < w->nagent; i++)
		w->agent[i].a = NULL;
	memset(seed, 9, sizeof(seed));
	w->c = core_new(&world_io, w, seed, w->now);
	core_wall(w->c, 1700000060000); /* a minute later */
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
	assert_non_null(w->gw);
}

static void
test_a_common_event(void **state)
{
	struct world *w = *state;
	struct world_agent *a;
	char id[64];

	assert_string_equal(told(w, "b0"), "unknown");
	assert_null(w->gw->stages.mark); /* nothing came yet */
	world_up(w);
	world_event(w, "b0", "c1", "m1");
	assert_string_equal(told(w, "b0"), "arrived journalled = waiting+");
	assert_non_null(strstr(why(w, "b0"), "no agent"));
	world_time(w, 250);
	a = world_agent(w, HELLO);
	assert_string_equal(
	    told(w, "b0"), "arrived journalled delivered:1#1 = with_agent+");
	(void)snprintf(id, sizeof(id), "%s", id_of(a, "m1"));
	world_time(w, 30);
	agent_acks(a, "m1");
	assert_string_equal(told(w, "b0"),
	    "arrived journalled delivered:1#1 acknowledged:1 "
	    "acknowledged_to_connector = done+");
	assert_string_equal(why(w, "b0"), "");
	/* The same by our own id, with its times. */
	assert_string_equal(told(w, id), told(w, "b0"));
	assert_string_equal(times(w, id), "0 0 250 280 280");
}

static void
test_ids_that_are_none(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char id[64], other[80];

	world_up(w);
	world_event(w, "b0", "c1", "m1");
	agent_acks(a, "m1");
	(void)snprintf(id, sizeof(id), "%s", id_of(a, "m1"));
	(void)snprintf(other, sizeof(other), "%s9", id);
	assert_string_equal(told(w, other), "unknown");
	assert_int_equal(stage_past(w->gw, span_str(other)), PAST_OTHER);
	assert_int_equal(stage_past(w->gw, span_str(id)), PAST_OURS);
	id[3] = id[3] == '0' ? '1' : '0'; /* of another engine */
	assert_string_equal(told(w, id), "unknown");
	assert_int_equal(stage_past(w->gw, span_str(id)), PAST_OTHER);
	assert_int_equal(stage_past(w->gw, SPAN_LIT("b0")), PAST_TAKEN);
	assert_int_equal(stage_past(w->gw, SPAN_LIT("b1")), PAST_NEVER);
	assert_int_equal(stage_past(w->gw, SPAN_LIT("")), PAST_NEVER);
	assert_string_equal(told(w, ""), "unknown");
}

/* Without an id of the connector's nothing has to be told to it. */
static void
test_an_event_without_id(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_event(w, NULL, "c1", "m1");
	world_event(w, NULL, "c1", "m2");
	agent_acks(a, "m1");
	assert_string_equal(told(w, id_of(a, "m1")),
	    "arrived journalled delivered:1#1 acknowledged:1 = done+");
	assert_string_equal(told(w, id_of(a, "m2")),
	    "arrived journalled delivered:1#1 = with_agent+");
}

/* An agent dies, another takes over; the order makes the connector wait. */
static void
test_redelivery_and_order(void **state)
{
	static const char small[] = "{\"type\":\"hello\",\"window\":1}";
	struct world *w = *state;
	struct world_agent *a = world_agent(w, small), *b;

	world_up(w);
	world_event(w, "b0", "c1", "m1");
	world_event(w, "b1", "c1", "m2");
	assert_string_equal(told(w, "b1"), "arrived journalled = waiting+");
	assert_non_null(strstr(why(w, "b1"), "queued for agent 1"));
	dies(a);
	b = world_agent(w, HELLO);
	assert_string_equal(told(w, "b0"),
	    "arrived journalled delivered:1#1 returned:1 delivered:2#2r = "
	    "with_agent+");
	agent_acks(b, "m1");
	world_event(w, "b2", "c2", "m3");
	agent_acks(b, "m3"); /* before m2 */
	assert_string_equal(told(w, "b2"),
	    "arrived journalled delivered:2#1 acknowledged:2 = acknowledged+");
	assert_non_null(strstr(why(w, "b2"), "order of arrival"));
	agent_acks(b, "m2");
	assert_string_equal(told(w, "b2"),
	    "arrived journalled delivered:2#1 acknowledged:2 "
	    "acknowledged_to_connector = done+");
}

/* Acknowledged without a link; the connector sends it again, and is told. */
static void
test_a_replay(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);

	world_up(w);
	world_event(w, "b0", "c1", "m1");
	world_event(w, "b1", "c2", "m2");
	link_event(w->gw, LE_LOST, "reset");
	agent_acks(a, "m1");
	assert_string_equal(told(w, "b0"),
	    "arrived journalled delivered:1#1 acknowledged:1 = acknowledged+");
	assert_non_null(strstr(why(w, "b0"), "no link"));
	world_up(w);
	world_event(w, "b0", "c1", "m1");
	world_event(w, "b1", "c2", "m2");
	assert_string_equal(told(w, "b0"),
	    "arrived journalled delivered:1#1 acknowledged:1 replayed "
	    "acknowledged_to_connector = done+");
	assert_string_equal(told(w, "b1"),
	    "arrived journalled delivered:1#1 replayed = with_agent+");
	world_event(w, "b0", "c1", "m1");
	assert_string_equal(told(w, "b0"),
	    "arrived journalled delivered:1#1 acknowledged:1 replayed "
	    "acknowledged_to_connector replayed = done+");
	agent_acks(a, "m2");
}

/* Put aside, put back, put aside and given up. */
static void
test_quarantine(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	struct stage_id at;
	char id[64];
	int i;

	world_up(w);
	world_event(w, "b0", "c1", "m1");
	(void)snprintf(id, sizeof(id), "%s", id_of(a, "m1"));
	for (i = 0; i < 5; i++) {
		dies(a);
		if (i < 4)
			rejoin(a, HELLO);
	}
	assert_string_equal(told(w, "b0"),
	    "arrived journalled delivered:1#1 returned:1 delivered:2#2r "
	    "returned:2 delivered:3#3r returned:3 delivered:4#4r returned:4 "
	    "delivered:5#5r returned:5 aside acknowledged_to_connector = "
	    "aside+");
	assert_non_null(strstr(why(w, "b0"), "requeue or drop"));
	assert_null(quarantine_requeue(w->gw, span_str(id)));
	rejoin(a, HELLO);
	world_event(w, "b0", "c1", "m1"); /* the connector may not know yet */
	assert_non_null(strstr(told(w, id),
	    "aside acknowledged_to_connector requeued delivered:6#6r replayed "
	    "acknowledged_to_connector = with_agent+"));
	agent_acks(a, "m1");
	assert_non_null(strstr(told(w, id), "acknowledged:6 = done+"));
	world_event(w, "b1", "c1", "m2");
	(void)snprintf(id, sizeof(id), "%s", id_of(a, "m2"));
	for (i = 0; i < 5; i++) {
		dies(a);
		if (i < 4)
			rejoin(a, HELLO);
	}
	assert_true(stage_find(w->gw, SPAN_LIT("b1"), &at));
	assert_non_null(at.d); /* though its id is acknowledged */
	assert_null(quarantine_drop(w->gw, span_str(id)));
	assert_non_null(strstr(told(w, "b1"), "dropped = dropped+"));
}

/* What can never be taken. */
static void
test_skipped(void **state)
{
	struct world *w = *state;

	world_up(w);
	world_message(w, "{\"type\":\"inbound\",\"bufferId\":\"bad\"}\n");
	assert_string_equal(
	    told(w, "bad"), "skipped acknowledged_to_connector = done+");
}

/* Another engine knows what the journal tells, and goes on from there. */
static void
test_recovered(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char id[64];
	int i;

	world_up(w);
	world_event(w, "b0", "c1", "m1");
	(void)snprintf(id, sizeof(id), "%s", id_of(a, "m1"));
	for (i = 0; i < 5; i++) {
		dies(a);
		if (i < 4)
			rejoin(a, HELLO);
	}
	world_time(w, 500);
	rejoin(a, HELLO);
	world_event(w, "b1", "c2", "m2");
	restart(w);
	assert_string_equal(
	    told(w, id), "arrived journalled aside recovered = aside+");
	assert_string_equal(
	    told(w, "b1"), "arrived journalled recovered = waiting+");
	assert_string_equal(times(w, "b1"), "500 500 60000");
	world_up(w);
	rejoin(a, HELLO);
	assert_string_equal(told(w, "b1"),
	    "arrived journalled recovered delivered:1#2r = with_agent+");
	agent_acks(a, "m2");
	assert_non_null(strstr(told(w, "b1"), "acknowledged:1 = "));
	restart(w);
	assert_string_equal(told(w, "b1"), "unknown");
	assert_int_equal(stage_past(w->gw, SPAN_LIT("b1")), PAST_TAKEN);
	assert_string_equal(
	    told(w, "b0"), "arrived journalled aside recovered = aside+");
}

/* The ring goes round: what still waits is told by its record, the rest is
 * forgotten. */
static void
test_older_than_the_ring(void **state)
{
	struct world *w = *state;
	struct world_agent *a = world_agent(w, HELLO);
	char id[16], text[16];
	int i;

	world_up(w);
	world_event(w, "old", "c1", "stays");
	world_event(w, "gone", "c2", "goes");
	agent_acks(a, "goes");
	assert_string_equal(
	    told(w, "old"), "arrived journalled delivered:1#1 = with_agent+");
	for (i = 0; i < LIMIT_STAGES / 2; i++) {
		(void)snprintf(id, sizeof(id), "n%d", i);
		(void)snprintf(text, sizeof(text), "<%d>", i);
		world_event(w, id, "c3", text);
		world_time(w, 1);
		agent_acks(a, text);
		buf_reset(&w->lines);
		assert_non_null(strstr(told(w, id), "= acknowledged+"));
	}
	assert_true(w->gw->stages.count > LIMIT_STAGES);
	assert_string_equal(told(w, "old"), "arrived journalled = with_agent");
	assert_string_equal(times(w, "old"), "0 0");
	assert_string_equal(told(w, "gone"), "unknown");
	assert_int_equal(stage_past(w->gw, SPAN_LIT("gone")), PAST_TAKEN);
	dies(a); /* what comes now is known again */
	a = world_agent(w, HELLO);
	assert_string_equal(told(w, "old"),
	    "arrived journalled returned:1 delivered:2#2r = with_agent");
	agent_acks(a, "stays");
	assert_non_null(strstr(told(w, "old"), "= done"));
	/* All that waited for it is told now. */
	assert_non_null(strstr(told(w, id), "= done"));
}

struct hearing {
	struct buf heard;
	struct stage_id id;
	struct stage_sum sum;
	int ends;
};

static struct hearing hearing;

static void
hear(void *arg, struct gateway *gw, const struct stage_step *step)
{
	(void)arg;
	assert_true(gw->followers > 0);
	assert_true(step->cid.len == 2 && step->cid.p[0] == 'b');
	assert_true((step->agent == 0) == (step->agent_name == NULL));
	if (!stage_is_of(&hearing.id, step))
		return;
	put_step(&hearing.heard, step);
	stage_add(&hearing.sum, step);
	hearing.ends += stage_is_end(&hearing.sum);
}

/* What is told while it happens is what is told afterwards. */
static void
test_following(void **state)
{
	struct world *w = *state;
	struct core_io io = world_io;
	struct world_agent *a = world_agent(w, HELLO);

	io.stage = hear;
	w->c->io = &io;
	world_up(w);
	memset(&hearing, 0, sizeof(hearing));
	buf_init(&hearing.heard, 0);
	world_event(w, "b1", "c1", "m1"); /* nobody follows yet */
	assert_true(stage_find(w->gw, SPAN_LIT("b1"), &hearing.id));
	w->gw->followers = 1;
	world_event(w, "b2", "c2", "m2");
	dies(a);
	a = world_agent(w, HELLO);
	assert_int_equal(hearing.ends, 0);
	agent_acks(a, "m1");
	assert_int_equal(hearing.ends, 1);
	agent_acks(a, "m2");
	assert_true(span_eq(buf_span(&hearing.heard),
	    SPAN_LIT("returned:1 delivered:2#2r acknowledged:2 "
		     "acknowledged_to_connector")));
	w->gw->followers = 0;
	world_event(w, "b3", "c2", "m3");
	assert_int_equal(hearing.ends, 1);
	buf_free(&hearing.heard);
	w->c->io = &world_io;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_a_common_event),
	    WORLD_TEST(test_ids_that_are_none),
	    WORLD_TEST(test_an_event_without_id),
	    WORLD_TEST(test_redelivery_and_order),
	    WORLD_TEST(test_a_replay),
	    WORLD_TEST(test_quarantine),
	    WORLD_TEST(test_skipped),
	    WORLD_TEST(test_recovered),
	    WORLD_TEST(test_older_than_the_ring),
	    WORLD_TEST(test_following),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
