/* SPDX-License-Identifier: ISC */
/* The world as the core sees it: what it asks for, the clock, settings. */
#include "link_world.h"
#include "../core_clock.h"

void
world_asked(struct world *w, enum asked what)
{
	CHECK(!w->connected);
	w->asked = what;
}

static void
on_fared(void *arg, struct gateway *gw, enum fared what, const char *text)
{
	(void)arg;
	CHECK(what <= FARED_REVOKED && strlen(text) < LIMIT_EVIDENCE);
	CHECK(what != FARED_REVOKED || (gw->link.revoked && text[0] != '\0'));
}

static void
on_drop(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	(void)gw;
	w->asked = ASKED_NOTHING;
	if (w->connected)
		connector_end(w);
	buf_reset(&w->to_core);
}

/* A close frame is the last word: the engine pushes it at once. */
static void
on_output(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	if (gw->wire.close_sent && !w->stalled)
		connector_read(w, SIZE_MAX);
}

static void
on_read(void *arg, struct gateway *gw, int on)
{
	struct world *w = arg;

	(void)gw;
	w->reading = on != 0;
}

static int
on_agent_send(void *arg, struct agent *a, const struct span *piece, int n)
{
	struct slot *s = a->io;
	struct buf b;
	int i;

	(void)arg;
	CHECK(s->a == a);
	if (s->deaf || s->lost) {
		s->lost = 1;
		return -1;
	}
	buf_init(&b, 0);
	for (i = 0; i < n; i++)
		CHECK(buf_adds(&b, piece[i]) == 0);
	agents_hear(s, buf_span(&b));
	buf_free(&b);
	return 0;
}

static void
on_agent_close(void *arg, struct agent *a, const char *reason)
{
	struct slot *s = a->io;

	(void)arg;
	CHECK(s->a == a && reason[0] != '\0');
	agents_leave(s);
}

static void
on_state(void *arg, struct gateway *gw)
{
	(void)arg;
	CHECK(link_public(gw)[0] != '\0');
}

static void
on_result(void *arg, uint64_t cookie, int theirs, struct span result)
{
	struct json_doc doc;
	struct world *w = arg;

	(void)theirs;
	CHECK(json_parse(&doc, result.p, result.len, 1) == 0);
	CHECK(cookie >= 1 && cookie <= w->nrequest);
	CHECK(w->request[cookie - 1].operator);
	agents_answered(w, cookie - 1, -1);
}

static void
on_remark(void *arg, struct gateway *gw, int level, const char *event,
    const char *text)
{
	(void)arg;
	(void)gw;
	CHECK(level >= 0 && level <= 7 && event[0] != '\0' && text[0] != '\0');
}

static void
on_wish_done(void *arg, uint64_t cookie, const char *error)
{
	struct world *w = arg;

	CHECK(cookie > 0 && cookie <= w->nwish && w->nwish_open > 0);
	CHECK(error == NULL || error[0] != '\0');
	w->nwish_open--;
}

static void
on_tap(void *arg, struct gateway *gw, enum tap_dir dir, struct span line)
{
	(void)arg;
	CHECK(gw->taps > 0 && dir <= TAP_TO_AGENT);
	CHECK(memchr(line.p, '\n', line.len) == NULL);
}

static void
on_stage(void *arg, struct gateway *gw, const struct stage_step *step)
{
	(void)arg;
	CHECK(gw->followers > 0 && step->stage < STAGE_COUNT);
	CHECK(step->seq != 0 || step->key != 0);
	CHECK(step->cid.len <= LIMIT_BUFFER_ID);
}

static const struct core_io world_io = {
    .dial = asked_dial,
    .tls = asked_tls,
    .mint = asked_mint,
    .upgrade = asked_upgrade,
    .ask = asked_time,
    .drop = on_drop,
    .link_output = on_output,
    .link_read = on_read,
    .agent_send = on_agent_send,
    .agent_close = on_agent_close,
    .state_changed = on_state,
    .fared = on_fared,
    .send_result = on_result,
    .remark = on_remark,
    .wish_done = on_wish_done,
    .journal_sync = on_output,
    .tap = on_tap,
    .stage = on_stage,
};

void
world_conf(struct world *w, unsigned variant)
{
	static const char *const platform[][3] = {
	    {"discord", "telegram", "slack"},
	    {"telegram", "discord", NULL},
	    {"discord", "whatsapp", "relay"},
	};
	struct gateway_conf *gc = &w->conf;
	unsigned i, set = variant % 4 == 3 ? 0 : variant % 4;

	memset(gc, 0, sizeof(*gc));
	(void)strlcpy(gc->name, "main", sizeof(gc->name));
	gc->reconnect_min_ms = variant % 4 == 3 ? 10 : 1000;
	gc->reconnect_max_ms = 30000;
	gc->window = variant % 4 == 2 ? 1 : 4;
	gc->ack_timeout_ms = 120000;
	gc->group_per_user = variant % 4 != 1;
	gc->thread_per_user = variant % 4 == 1;
	for (i = 0; i < 3 && platform[set][i] != NULL; i++) {
		(void)strlcpy(gc->identity[i].platform, platform[set][i],
		    sizeof(gc->identity[i].platform));
		(void)strlcpy(gc->identity[i].bot_id, i == 0 ? "1" : "\"\\",
		    sizeof(gc->identity[i].bot_id));
		gc->nidentity++;
	}
	if (variant % 4 == 2)
		gc->identity[0].manifest = (char *)(uintptr_t) "[]";
}

/* Each core has an epoch of its own, as in the daemon. */
static void
begin(struct world *w)
{
	unsigned char seed[32];

	memset(seed, 7, sizeof(seed));
	seed[31] = (unsigned char)w->epoch++;
	w->c = core_new(&world_io, w, seed, w->now);
	CHECK(w->c != NULL);
	w->gw = core_gateway_add(w->c, 3, &w->conf, &w->journal, w);
	CHECK(w->gw != NULL);
}

struct world *
world_new(void)
{
	static const unsigned char random[16];
	struct world *w = calloc(1, sizeof(*w));
	int i;

	CHECK(w != NULL);
	w->now = BEGIN_MS;
	w->reading = 1;
	w->rng = 1;
	w->journal.len = JOURNAL_BYTES;
	w->journal.p = calloc(1, w->journal.len);
	CHECK(w->journal.p != NULL);
	journal_head_make(w->journal.p, w->journal.len, random);
	for (i = 0; i < AGENTS; i++)
		w->slot[i].w = w;
	buf_init(&w->to_core, 0);
	buf_init(&w->from_core, 0);
	buf_init(&w->line, 0);
	world_conf(w, 0);
	begin(w);
	return w;
}

void
world_free(struct world *w)
{
	int i;

	core_free(w->c);
	buf_free(&w->to_core);
	buf_free(&w->from_core);
	buf_free(&w->line);
	for (i = 0; i < AGENTS; i++)
		free(w->slot[i].held);
	free(w->item);
	free(w->written);
	free(w->journal.p);
	free(w);
}

void
world_restart(struct world *w)
{
	uint32_t i;

	core_free(w->c);
	for (i = 0; i < AGENTS; i++)
		CHECK(w->slot[i].a == NULL);
	for (i = 0; i < w->nrequest; i++)
		w->request[i] = (struct request){-1, 1, 0};
	w->nwritten = 0;
	w->nopen = 0;
	CHECK(!w->connected && w->asked == ASKED_NOTHING);
	begin(w);
}

void
world_pad(struct world *w, struct buf *b)
{
	char *p;

	if (w->padding == 0 || w->padded >= PADDED)
		return;
	p = buf_reserve(b, w->padding);
	CHECK(p != NULL);
	memset(p, 'p', w->padding);
	buf_commit(b, w->padding);
	w->padded += w->padding;
}

void
world_turn(struct world *w)
{
	struct slot *s;
	struct agent *a;

	core_turn(w->c);
	agents_aside(w);
	if (!w->stalled)
		connector_read(w, SIZE_MAX);
	for (s = w->slot; s < w->slot + AGENTS; s++)
		if (s->lost && (a = s->a) != NULL) {
			agents_leave(s);
			core_agent_gone(a, "its queue is full");
		}
}

void
world_time(struct world *w, uint64_t ms)
{
	core_clock(w->c, &w->now, ms, world_turn, w);
}
