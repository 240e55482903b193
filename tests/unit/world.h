/* SPDX-License-Identifier: ISC */
/*
 * A small world around the engine's core for tests: a clock that is set by
 * hand, a connector that speaks WebSocket in memory, agents that keep what
 * they are sent.
 */
#ifndef WORLD_H
#define WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "core.h"
#include "journal_head.h"
#include "../core_clock.h"

#define WORLD_AGENTS 8
/* Bytes of its journal: the default. */
#define WORLD_JOURNAL (16U * 1024 * 1024)

/* The hello of an agent that asks for nothing special. */
#define HELLO "{\"type\":\"hello\",\"agent\":\"t\"}"
/* A request of an agent, for agent_says with a requestId. */
#define SEND                                                       \
	"{\"type\":\"outbound\",\"requestId\":\"%s\",\"action\":{" \
	"\"op\":\"send\",\"chat_id\":\"c1\",\"content\":\"yo\"}}"

struct world_agent {
	struct world *w;
	struct agent *a; /* NULL: gone */
	struct buf in;	 /* lines it was sent, newlines added */
	int closed, deaf, full;
	char why[128];
};

struct world {
	struct core *c;
	struct gateway *gw;
	struct gateway_conf conf;
	uint64_t now;
	int dials, tls, mints, upgrades, asks, drops, reading, states, remarks;
	int worked, refused, revoked; /* what relay-authd is told */
	char evidence[LIMIT_EVIDENCE + 1];
	int64_t skew; /* of the connector's clock; INT64_MIN: never told */
	char state[32];
	struct buf lines; /* what the connector got, newlines and all */
	int pings, closes;
	int syncs;	 /* of the journal */
	size_t unsynced; /* bytes for the connector at the last one */
	int stalled;	 /* the connector does not read */
	uint16_t close_code;
	struct ws_decoder dec;
	struct buf raw;
	struct buf result; /* of the operator's send */
	int result_theirs; /* the connector gave it */
	struct world_agent agent[WORLD_AGENTS];
	int nagent;
	struct journal_memory journal;
	int wishes; /* answered */
	uint64_t wish;
	char wish_error[LIMIT_REASON * 2]; /* of the last: ""; done */
};

static inline void
w_dial(void *arg, struct gateway *gw)
{
	(void)gw;
	((struct world *)arg)->dials++;
}
static inline void
w_tls(void *arg, struct gateway *gw)
{
	(void)gw;
	((struct world *)arg)->tls++;
}
static inline void
w_mint(void *arg, struct gateway *gw)
{
	(void)gw;
	((struct world *)arg)->mints++;
}
static inline void
w_upgrade(void *arg, struct gateway *gw)
{
	(void)gw;
	((struct world *)arg)->upgrades++;
}
static inline void
w_ask(void *arg, struct gateway *gw)
{
	(void)gw;
	((struct world *)arg)->asks++;
}
static inline void
w_fared(void *arg, struct gateway *gw, enum fared what, const char *text)
{
	struct world *w = arg;

	(void)gw;
	w->worked += what == FARED_WORKED;
	w->refused += what == FARED_REFUSED;
	w->revoked += what == FARED_REVOKED;
	if (what == FARED_REVOKED)
		assert_true(strlcpy(w->evidence, text, sizeof(w->evidence)) <
		    sizeof(w->evidence));
}
static inline void
w_drop(void *arg, struct gateway *gw)
{
	(void)gw;
	((struct world *)arg)->drops++;
}
static inline void
w_output(void *arg, struct gateway *gw)
{
	(void)arg;
	(void)gw;
}
static inline void
w_read(void *arg, struct gateway *gw, int on)
{
	(void)gw;
	((struct world *)arg)->reading = on;
}
static inline int
w_agent_send(void *arg, struct agent *a, const struct span *p, int n)
{
	struct world_agent *wa = a->io;
	int i;

	(void)arg;
	if (wa->deaf)
		return -1;
	for (i = 0; i < n; i++)
		assert_int_equal(buf_adds(&wa->in, p[i]), 0);
	assert_int_equal(buf_add(&wa->in, "\n", 1), 0);
	return 0;
}
static inline int
w_agent_room(void *arg, struct agent *a, size_t len)
{
	struct world_agent *wa = a->io;

	(void)arg;
	(void)len;
	return !wa->full;
}
static inline void
w_sync(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	(void)gw;
	w->syncs++;
	w->unsynced = buf_len(&gw->wire.out);
}
static inline void
w_agent_close(void *arg, struct agent *a, const char *why)
{
	struct world_agent *wa = a->io;

	(void)arg;
	wa->closed = 1;
	wa->a = NULL;
	(void)snprintf(wa->why, sizeof(wa->why), "%s", why);
}
static inline void
w_state(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	w->states++;
	(void)snprintf(w->state, sizeof(w->state), "%s", link_public(gw));
}
static inline void
w_result(void *arg, uint64_t cookie, int theirs, struct span r)
{
	struct world *w = arg;

	assert_int_equal(cookie, 77);
	w->result_theirs = theirs;
	buf_reset(&w->result);
	assert_int_equal(buf_adds(&w->result, r), 0);
}
static inline void
w_remark(
    void *arg, struct gateway *gw, int level, const char *ev, const char *text)
{
	(void)gw;
	(void)level;
	(void)ev;
	(void)text;
	((struct world *)arg)->remarks++;
}
static inline void
w_wish_done(void *arg, uint64_t cookie, const char *error)
{
	struct world *w = arg;

	w->wishes++;
	w->wish = cookie;
	(void)snprintf(w->wish_error, sizeof(w->wish_error), "%s",
	    error == NULL ? "" : error);
}
static inline void
w_tap(void *arg, struct gateway *gw, enum tap_dir dir, struct span line)
{
	(void)arg;
	(void)gw;
	(void)dir;
	(void)line;
}

static const struct core_io world_io = {
    .dial = w_dial,
    .tls = w_tls,
    .mint = w_mint,
    .upgrade = w_upgrade,
    .ask = w_ask,
    .drop = w_drop,
    .link_output = w_output,
    .link_read = w_read,
    .agent_send = w_agent_send,
    .agent_room = w_agent_room,
    .agent_close = w_agent_close,
    .state_changed = w_state,
    .fared = w_fared,
    .send_result = w_result,
    .remark = w_remark,
    .wish_done = w_wish_done,
    .journal_sync = w_sync,
    .tap = w_tap,
};

static inline struct world *
world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct gateway_conf *gc = &w->conf;
	unsigned char seed[32];

	memset(seed, 7, sizeof(seed));
	w->now = 1000000;
	w->reading = 1;
	w->c = core_new(&world_io, w, seed, w->now);
	core_wall(w->c, 1700000000000); /* 2023-11-14T22:13:20Z */
	(void)strlcpy(gc->name, "main", sizeof(gc->name));
	gc->reconnect_min_ms = 1000;
	gc->reconnect_max_ms = 30000;
	gc->window = 64;
	gc->ack_timeout_ms = 120000;
	gc->group_per_user = 1;
	gc->hold = 1; /* most tests have no agent, and time passes */
	gc->nidentity = 2;
	(void)strlcpy(gc->identity[0].platform, "discord", 33);
	(void)strlcpy(gc->identity[0].bot_id, "1234", 33);
	(void)strlcpy(gc->identity[1].platform, "telegram", 33);
	(void)strlcpy(gc->identity[1].bot_id, "99", 33);
	w->journal.len = WORLD_JOURNAL;
	w->journal.p = calloc(1, w->journal.len);
	assert_non_null(w->journal.p);
	journal_head_make(w->journal.p, w->journal.len, seed);
	w->gw = core_gateway_add(w->c, 3, gc, &w->journal, w);
	assert_non_null(w->gw);
	buf_init(&w->lines, 0);
	buf_init(&w->raw, 0);
	buf_init(&w->result, 0);
	return w;
}

static inline void
world_free(struct world *w)
{
	int i;

	core_free(w->c);
	for (i = 0; i < w->nagent; i++)
		buf_free(&w->agent[i].in);
	buf_free(&w->lines);
	buf_free(&w->raw);
	buf_free(&w->result);
	free(w->journal.p);
	free(w);
}

/* End the turn; the connector reads what left. */
static inline void
world_turn(struct world *w)
{
	struct ws_event ev;
	struct span out;
	size_t used;

	core_turn(w->c);
	out = wire_output(w->gw);
	if (out.len == 0 || w->stalled)
		return;
	assert_int_equal(buf_adds(&w->raw, out), 0);
	wire_written(w->gw, out.len);
	for (;;) {
		ws_decode(&w->dec, w->raw.p + w->raw.off, buf_len(&w->raw),
		    1 << 20, &used, &ev);
		if (ev.type == WS_EV_DATA)
			assert_int_equal(buf_adds(&w->lines, ev.payload), 0);
		assert_int_not_equal(ev.type, WS_EV_ERROR);
		w->pings += ev.type == WS_EV_PING;
		if (ev.type == WS_EV_CLOSE) {
			w->closes++;
			w->close_code = ev.code;
		}
		buf_drain(&w->raw, used);
		if (ev.type == WS_EV_MORE || ev.type == WS_EV_CLOSE)
			break;
	}
}

static inline void
world_time(struct world *w, uint64_t ms)
{
	core_clock(w->c, &w->now, ms, world_turn, w);
}

/* The connector sends a message. */
static inline void
world_message(struct world *w, const char *text)
{
	size_t len = strlen(text), n;
	char *frame = malloc(len + WS_HEAD_MAX);

	n = ws_head(frame, WS_TEXT, 1, len, NULL);
	memcpy(frame + n, text, len);
	(void)wire_input(w->gw, frame, n + len, 1 << 20);
	free(frame);
	world_turn(w);
}

static inline void
world_close(struct world *w, uint16_t code, const char *reason)
{
	char frame[160];
	size_t len = strlen(reason), n;

	n = ws_head(frame, WS_CLOSE, 1, len + 2, NULL);
	frame[n] = (char)(code >> 8);
	frame[n + 1] = (char)(code & 0xff);
	memcpy(frame + n + 2, reason, len);
	(void)wire_input(w->gw, frame, n + 2 + len, 1 << 20);
	world_turn(w);
}

static inline void
world_descriptor(struct world *w, const char *platform)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
	    "{\"type\":\"descriptor\",\"descriptor\":{\"contract_version\":1,"
	    "\"platform\":\"%s\",\"label\":\"L\",\"max_message_length\":2000,"
	    "\"len_unit\":\"chars\"}}\n",
	    platform);
	world_message(w, text);
}

/* From the dial under way up to a sent hello. */
static inline void
world_upgrade(struct world *w)
{
	link_event(w->gw, LE_DIALED, "dialed");
	link_event(w->gw, LE_TLS_UP, "tls");
	link_event(w->gw, LE_TOKEN, "token");
	if (w->skew != INT64_MIN)
		link_date(w->gw, core_unix(w->c) + w->skew);
	link_event(w->gw, LE_UPGRADED, "upgraded");
	ws_decoder_init(&w->dec, WS_SERVER, 1 << 24, 1);
	buf_reset(&w->raw);
	buf_reset(&w->lines);
	world_turn(w);
}

static inline void
world_up(struct world *w)
{
	if (w->gw->link.state == LINK_UNPROVISIONED)
		core_credential(w->gw, 1, 1, "secret taken");
	if (w->gw->link.state == LINK_WAIT)
		world_time(w, 60000);
	assert_int_equal(w->gw->link.state, LINK_DIAL);
	world_upgrade(w);
	world_descriptor(w, "discord");
	world_descriptor(w, "telegram");
	assert_true(link_serves(w->gw)); /* or hushed at once */
	buf_reset(&w->lines);
}

static inline struct world_agent *
world_agent(struct world *w, const char *hello)
{
	struct world_agent *wa = &w->agent[w->nagent++];

	wa->w = w;
	buf_init(&wa->in, 0);
	wa->a = core_agent_new(w->gw, 1000, 1000, 42, wa);
	assert_non_null(wa->a);
	if (hello != NULL)
		core_agent_line(wa->a, hello, strlen(hello));
	world_turn(w);
	return wa;
}

static inline void
agent_says(struct world_agent *wa, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	core_agent_line(wa->a, text, strlen(text));
	world_turn(wa->w);
}

static inline int
holds(struct buf *b, const char *needle)
{
	return memmem(buf_span(b).p, buf_len(b), needle, strlen(needle)) !=
	    NULL;
}

/* How often a text stands there. */
static inline int
count(struct buf *b, const char *needle)
{
	const char *p = buf_span(b).p, *end = p + buf_len(b);
	int n = 0;

	while ((p = memmem(p, (size_t)(end - p), needle, strlen(needle))) !=
	    NULL) {
		n++;
		p++;
	}
	return n;
}

/* An event of a discord chat. */
static inline void
world_event(
    struct world *w, const char *buffer_id, const char *chat, const char *text)
{
	char line[1024];

	(void)snprintf(line, sizeof(line),
	    "{\"type\":\"inbound\",%s%s%s\"event\":{\"text\":\"%s\","
	    "\"message_type\":\"text\",\"source\":{\"platform\":\"discord\","
	    "\"chat_id\":\"%s\",\"chat_type\":\"group\",\"user_id\":\"u1\","
	    "\"scope_id\":\"g1\",\"thread_id\":null}}}\n",
	    buffer_id != NULL ? "\"bufferId\":\"" : "",
	    buffer_id != NULL ? buffer_id : "", buffer_id != NULL ? "\"," : "",
	    text, chat);
	world_message(w, line);
}

/* The bufferId of the line that holds a text, as the agent was given it. */
static inline const char *
id_of(struct world_agent *wa, const char *text)
{
	static char id[64];
	struct span s = buf_span(&wa->in);
	const char *at, *from, *to, *end;

	at = memmem(s.p, s.len, text, strlen(text));
	assert_non_null(at);
	while (at > s.p && at[-1] != '\n')
		at--;
	end = memchr(at, '\n', s.len - (size_t)(at - s.p));
	from = memmem(at, (size_t)(end - at), "\"bufferId\":\"", 12);
	assert_non_null(from);
	from += 12;
	to = memchr(from, '"', (size_t)(end - from));
	(void)snprintf(id, sizeof(id), "%.*s", (int)(to - from), from);
	return id;
}

static inline void
agent_acks(struct world_agent *wa, const char *text)
{
	agent_says(wa, "{\"type\":\"inbound_ack\",\"bufferId\":\"%s\"}",
	    id_of(wa, text));
}

/* The agent ends uncleanly. */
static inline void
agent_dies(struct world_agent *wa)
{
	core_agent_gone(wa->a, "killed");
	wa->a = NULL;
	world_turn(wa->w);
}

/* Another connection takes its place. */
static inline struct world_agent *
agent_rejoins(struct world_agent *wa, const char *hello)
{
	buf_reset(&wa->in);
	wa->closed = 0;
	wa->a = core_agent_new(wa->w->gw, 1000, 1000, 42, wa);
	assert_non_null(wa->a);
	core_agent_line(wa->a, hello, strlen(hello));
	world_turn(wa->w);
	return wa;
}

/* A test has a world of its own. */
#define WORLD_TEST(f) \
	cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

static inline int
world_setup(void **state)
{
	*state = world_new();
	return 0;
}

static inline int
world_teardown(void **state)
{
	world_free(*state);
	return 0;
}

#endif
