/* SPDX-License-Identifier: ISC */
/* The engine around the core: what the core asks for, its clock, its life. */
#include "invariant.h"
#include "sim.h"
#include "../core_clock.h"
#include "../idle_io.h"

static const struct core_io mute_io;

/* Whether the engine dies here. */
static int
meets_doom(struct world *w)
{
	if (!w->mortal || w->doom == 0 || --w->doom > 0)
		return 0;
	trace(w, "the engine dies in the midst of it");
	memcpy(w->last, w->memory, MEMORY);
	w->done_at_death = w->gw->count.events_in;
	w->dying = 1;
	w->c->io = &mute_io;
	return 1;
}

void
world_asked(struct world *w, enum asked what)
{
	disabled_never_dials(w);
	one_dial_at_a_time(w);
	w->asked = what;
}

static void
on_dial(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	(void)gw;
	stopped_never_dials(w);
	hurry_is_rare(w);
	idle_until_needed(w);
	dormant_holds_the_dial(w);
	w->tries++;
	w->sure++;
	world_asked(w, ASKED_DIAL);
}

static void
on_upgrade(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	(void)gw;
	w->other = 0;
	world_asked(w, ASKED_UPGRADE);
}

static void
on_fared(void *arg, struct gateway *gw, enum fared what, const char *text)
{
	struct world *w = arg;

	(void)gw;
	(void)text;
	if (what == FARED_WORKED)
		w->authd.worked = 1;
	if (what != FARED_REVOKED)
		return;
	revocation_is_earned(w);
	w->authd.revoked = 1;
	w->strikes = 0;
	w->sum.revoked++;
	trace(w, "revoked");
}

static void
on_drop(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	(void)gw;
	w->asked = ASKED_NOTHING;
	if (!w->connected)
		return;
	loss_is_told_at_once(w);
	connector_end(w);
}

/* A close frame is the last word: the engine pushes it at once. */
static void
on_output(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	if (!meets_doom(w) && gw->wire.close_sent && !w->stalled)
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
	if (memmem(piece[0].p, piece[0].len, "bufferId", 8) != NULL &&
	    meets_doom(s->w))
		return -1;
	s->lost |= s->deaf;
	buf_init(&b, 0);
	for (i = 0; i < n; i++)
		(void)buf_adds(&b, piece[i]);
	agents_hear(s, buf_span(&b));
	buf_free(&b);
	return s->lost ? -1 : 0;
}

static void
on_agent_close(void *arg, struct agent *a, const char *reason)
{
	struct slot *s = a->io;

	(void)arg;
	trace(
	    s->w, "the core ends agent %d: %s", (int)(s - s->w->slot), reason);
	agents_release(s);
	s->a = NULL;
}

/* A link that is lost or refused waits before it dials again. */
static void
on_wait(struct world *w)
{
	uint64_t ms = w->gw->link.next_dial - w->gw->core->now;

	delay_is_bounded(w, ms);
	if (w->tries < 6 || w->sure < 6)
		w->nwait = 0;
	else
		w->wait[w->nwait++ % WAITS] = ms;
	delay_grows(w);
}

static void
on_state(void *arg, struct gateway *gw)
{
	struct world *w = arg;

	if (w->gw == NULL)
		return;
	trace(w, "link: %s (%s): %s", link_public(gw), link_phase(gw),
	    gw->link.reason);
	if (gw->link.state == LINK_WAIT)
		on_wait(w);
	if (gw->link.state == LINK_DORMANT && w->state != LINK_DORMANT)
		w->dormant_at = gw->core->now;
	if (gw->link.state == LINK_UP && w->up_at == 0) {
		w->up_at = gw->core->now;
		w->strikes = 0;
		w->sum.handshakes++;
		if (!w->other)
			w->worked = 1;
	}
	w->state = (uint8_t)gw->link.state;
}

static void
on_result(void *arg, uint64_t cookie, int theirs, struct span result)
{
	struct world *w = arg;
	struct json_doc doc;

	(void)theirs;
	(void)json_parse(&doc, result.p, result.len, 1);
	request_answered(w, (unsigned)cookie - 1, &doc, JSON_ROOT);
}

/* Which event a remark is about. */
static unsigned
event_named(struct world *w, const char *text)
{
	char id[BUFFER_ID];
	unsigned n;

	if (sscanf(text, "event %63s", id) != 1)
		return EVENTS;
	for (n = 0; n < w->nevent; n++)
		if (strcmp(w->event[n].id, id) == 0)
			return n;
	return EVENTS;
}

static void
on_remark(void *arg, struct gateway *gw, int level, const char *event,
    const char *text)
{
	struct world *w = arg;
	unsigned n = event_named(w, text);

	(void)gw;
	(void)level;
	trace(w, "remark %s: %s", event, text);
	if (n < EVENTS)
		agents_reap(w);
	if (strcmp(event, "aside") == 0) {
		aside_is_earned(w, n);
		w->event[n].aside = 1;
		w->event[n].blocked = 0;
		w->sum.aside++;
	} else if (strcmp(event, "blocked") == 0) {
		aside_is_earned(w, n);
		w->event[n].blocked = 1;
	}
}

static void
on_wish(void *arg, uint64_t cookie, const char *error)
{
	struct world *w = arg;
	struct wish *p;

	wish_answered_once(w, cookie);
	p = &w->wish[cookie - 1];
	p->open = 0;
	trace(w, "wish %llu is answered: %s", (unsigned long long)cookie - 1,
	    error == NULL ? "done" : error);
	if (error == NULL)
		wish_came_true(w, p->kind);
}

static void
on_sync(void *arg, struct gateway *gw)
{
	(void)gw;
	(void)meets_doom(arg);
}

static const struct core_io sim_io = {
    .dial = on_dial,
    .tls = asked_tls,
    .mint = asked_mint,
    .upgrade = on_upgrade,
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
    .wish_done = on_wish,
    .journal_sync = on_sync,
    .tap = idle_tap,
};

void
engine_conf(struct world *w, unsigned variant)
{
	static const char *const platform[] = {"discord", "telegram"};
	struct gateway_conf *gc = &w->conf;
	unsigned i;

	memset(gc, 0, sizeof(*gc));
	(void)strlcpy(gc->name, "main", sizeof(gc->name));
	gc->reconnect_min_ms = 1000;
	gc->reconnect_max_ms = variant % 2 == 0 ? 30000 : 20000;
	gc->window = w->profile.window;
	gc->ack_timeout_ms = 120000;
	gc->group_per_user = 1;
	gc->hold = variant / 2 % 2 == 1;
	for (i = 0; i < 2; i++) {
		(void)strlcpy(gc->identity[i].platform, platform[i],
		    sizeof(gc->identity[i].platform));
		(void)strlcpy(gc->identity[i].bot_id, "1",
		    sizeof(gc->identity[i].bot_id));
	}
	gc->nidentity = 2;
}

/* What relay-authd says of the credential. */
void
engine_credential(struct world *w, int fresh)
{
	trace(w, "credential: usable %d fresh %d worked %d revoked %d",
	    w->authd.usable, fresh, w->authd.worked, w->authd.revoked);
	if (fresh) {
		w->authd.worked = pick(w, 2) == 0;
		w->worked = 0;
		w->strikes = 0;
		w->other = 1;
	}
	w->told_worked = w->authd.worked;
	w->worked |= w->told_worked;
	if (w->state == LINK_DISABLED && !w->authd.revoked && !w->off) {
		w->strikes = 0;
		w->tries = 0;
	}
	w->needed = 1;
	core_standing(w->gw, w->authd.worked, w->authd.revoked, "told");
	core_credential(w->gw, w->authd.usable, fresh, "told");
}

void
engine_begin(struct world *w)
{
	struct journal_memory memory = {
	    .p = w->profile.off ? NULL : w->memory, .len = w->profile.journal};
	unsigned char seed[32];
	size_t i;

	for (i = 0; i < sizeof(seed); i++)
		seed[i] = (unsigned char)pick(w, 256);
	w->gw = NULL;
	w->engines++;
	w->tries = 0;
	w->up_at = 0;
	w->hurried = 0;
	w->nwait = 0;
	w->strikes = 0;
	w->other = 0;
	w->worked = 0;
	w->reading = 1;
	w->dormant_at = w->alone_since = w->now;
	w->state = LINK_UNPROVISIONED;
	w->c = core_new(&sim_io, w, seed, w->now);
	core_wall(w->c, WALL_MS + (int64_t)w->now);
	w->gw = core_gateway_add(w->c, 3, &w->conf, &memory, w);
	engine_credential(w, 0);
}

/* Nobody hears what a dead engine's remains say while they are freed. */
static const struct core_io mute_io = {IDLE_IO, IDLE_EARS};

/* The core goes; the memory that outlives it stays as it is now. */
void
engine_free(struct world *w)
{
	if (!w->dying)
		memcpy(w->last, w->memory, MEMORY);
	w->c->io = &mute_io;
	core_free(w->c);
	memcpy(w->memory, w->last, MEMORY);
	w->dying = 0;
	w->doom = 0;
	w->mortal = 0;
}

/* What only the engine knew is forgotten. */
static void
forget(struct world *w)
{
	struct event *e;
	unsigned i;

	for (e = w->event; e < w->event + w->nevent; e++) {
		e->holder = NOTHING;
		if (!w->profile.off)
			continue;
		e->before |= e->taken || e->aside || e->requeued;
		e->reached = e->taken = e->aside = e->blocked = e->given = 0;
		e->suspect = e->attempts = e->requeued = 0;
		e->order = 0;
		e->id[0] = '\0';
	}
	for (i = 0; i < SESSIONS; i++)
		w->talk[i].slot = NOTHING;
	for (i = 0; i < w->nrequest; i++)
		w->request[i].open = 0;
	for (i = 0; i < w->nwish; i++)
		w->wish[i].open = 0;
	if (w->profile.off)
		w->off = 0;
}

void
engine_crash(struct world *w)
{
	struct slot *s;

	if (w->connected)
		connector_end(w);
	for (s = w->slot; s < w->slot + SLOTS; s++) {
		s->draining = 1; /* what it held is not to blame */
		agents_release(s);
		s->a = NULL;
	}
	w->asked = ASKED_NOTHING;
	engine_free(w);
	forget(w);
	w->sum.crashes++;
	engine_begin(w);
}

void
engine_doom(struct world *w)
{
	w->doom = 1 + pick(w, 8);
}

void
engine_turn(struct world *w)
{
	struct slot *s;
	struct agent *a;

	core_turn(w->c);
	if (!w->stalled && w->connected)
		connector_read(w, SIZE_MAX);
	for (s = w->slot; s < w->slot + SLOTS; s++)
		if (s->lost && (a = s->a) != NULL)
			agents_leave(s, "its queue is full");
	core_turn(w->c);
	agents_shed(w);
	for (s = w->slot; s < w->slot + SLOTS; s++)
		ack_timeout_is_kept(w, s, 0);
	answered_in_time(w);
	request_leaves_when_up(w);
	wish_is_answered(w);
	idles_without_agents(w);
	pressure_is_told(w);
	if (w->gw->delivery.paused)
		w->heard_at = w->now; /* it is not listened to */
	silent_peer_is_noticed(w);
	waits_have_deadlines(w);
}

void
engine_time(struct world *w, uint64_t ms)
{
	core_clock(w->c, &w->now, ms, engine_turn, w);
}
