/* SPDX-License-Identifier: ISC */
/*
 * The request for the sessions: looked at some gateways in a turn of the loop,
 * so that a thousand of them with many sessions each hold up no link.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "control_priv.h"

/* Sessions in a reply: what a person can look through, and a reply of keys of
 * their greatest length still fits. */
#define SESSIONS_MAX 2000
/* Sessions and events that are looked at before others get their turn: a
 * millisecond.  A gateway is looked at whole. */
#define TURN_MAX 4000
/* Seconds in which all are looked at: a thousand gateways at their bounds, in
 * a loop that has much else to do. */
#define SESSIONS_WAIT 60

/* What stands in the reply of a session, which may be gone by then. */
struct kept {
	uint32_t agent; /* 0: none */
	char agent_name[sizeof(((struct agent *)NULL)->name)];
	char gateway[LIMIT_NAME + 1];
	uint8_t blocked;
	uint16_t len;
	char key[];
};

/* A session that may stand in the reply. */
struct pick {
	const struct session *s; /* of this turn; NULL: kept */
	struct kept *kept;
	uint64_t oldest; /* core time the first open event came */
	uint64_t last;
	uint32_t open;
};

/* A reply that is being put together. */
struct listing {
	struct client *c;
	uint64_t cookie; /* the client waits for it, and nothing else */
	struct event *turn;
	char only[LIMIT_NAME +
	    1];	       /* the one gateway that is asked about, or "" */
	uint32_t next; /* index of the gateway to look at */
	uint64_t total;
	int lacking; /* memory */
	size_t n;
	struct pick pick[2 * SESSIONS_MAX];
};

/* Open events first, the oldest at the top; then what was used last. */
static int
compare_picks(const void *pa, const void *pb)
{
	const struct pick *a = pa, *b = pb;
	int later = (a->last > b->last) - (a->last < b->last);

	if ((a->open > 0) != (b->open > 0))
		return a->open > 0 ? -1 : 1;
	if (a->open == 0)
		return -later;
	if (a->oldest != b->oldest)
		return a->oldest < b->oldest ? -1 : 1;
	return later;
}

/* Sort, and keep those that stand first. */
static void
settle(struct listing *l)
{
	qsort(l->pick, l->n, sizeof(*l->pick), compare_picks);
	for (; l->n > SESSIONS_MAX; l->n--)
		free(l->pick[l->n - 1].kept);
}

static void
pick_session(void *arg, const struct session *s)
{
	struct listing *l = arg;

	l->total++;
	if (l->n == 2 * SESSIONS_MAX)
		settle(l);
	l->pick[l->n++] = (struct pick){
	    .s = s, .oldest = s->oldest, .last = s->last, .open = s->open};
}

static struct kept *
keep(const struct session *s, const char *gateway)
{
	struct kept *k = calloc(1, sizeof(*k) + s->len);

	if (k == NULL)
		return NULL;
	if (s->agent != NULL) {
		k->agent = s->agent->number;
		(void)strlcpy(
		    k->agent_name, s->agent->name, sizeof(k->agent_name));
	}
	(void)strlcpy(k->gateway, gateway, sizeof(k->gateway));
	k->blocked = s->blocked;
	k->len = s->len;
	memcpy(k->key, s->key, s->len);
	return k;
}

/* The sessions of one gateway: what they say is kept of those that may stand
 * in the reply. */
static void
look_at(struct listing *l, const struct engine_gw *eg)
{
	struct pick *p;

	delivery_sessions(eg->gw, pick_session, l);
	for (p = l->pick; p < l->pick + l->n; p++)
		if (p->s != NULL) {
			p->kept = keep(p->s, eg->name);
			p->s = NULL;
			l->lacking |= p->kept == NULL;
		}
}

/* Look at the next gateways.  1 when there are no more. */
static int
look_on(struct listing *l, const struct engine *e)
{
	const struct engine_gw *eg;
	uint64_t looked = 0;

	while (l->next < LIMIT_GATEWAYS && looked < TURN_MAX && !l->lacking) {
		eg = e->gw[l->next++];
		if (eg == NULL || eg->gw == NULL ||
		    (l->only[0] != '\0' && strcmp(l->only, eg->name) != 0))
			continue;
		looked -= l->total;
		look_at(l, eg);
		looked += l->total + eg->gw->delivery.n;
	}
	return l->next == LIMIT_GATEWAYS || l->lacking;
}

static void
put_age(struct buf *b, const char *key, uint64_t now, uint64_t at)
{
	json_put_member_int(
	    b, key, at >= now ? 0 : (int64_t)((now - at) / 1000));
}

static void
put_session(struct buf *b, const struct pick *p, uint64_t now)
{
	static const struct span null_span;
	const struct kept *k = p->kept;

	json_put_member_str(b, "gateway", span_str(k->gateway));
	json_put_member_str(b, "session_key", (struct span){k->key, k->len});
	if (k->agent != 0) {
		json_put_member_int(b, "agent", k->agent);
		json_put_member_str(b, "agent_name", span_str(k->agent_name));
	} else {
		json_put_member_raw(b, "agent", null_span);
		json_put_member_raw(b, "agent_name", null_span);
	}
	json_put_member_int(b, "open", p->open);
	if (p->open > 0 && p->oldest != UINT64_MAX)
		put_age(b, "oldest_s", now, p->oldest);
	else
		json_put_member_raw(b, "oldest_s", null_span);
	put_age(b, "last_s", now, p->last);
	json_put_member_bool(b, "blocked", k->blocked);
}

static void
put_sessions(struct client *c, const struct listing *l, uint64_t now)
{
	struct buf *b = &c->out;
	size_t i;

	control_begin(c, 1);
	json_put_member_int(b, "total", (int64_t)l->total);
	json_put_member_int(b, "left_out", (int64_t)(l->total - l->n));
	json_put_key(b, "sessions");
	buf_adds(b, SPAN_LIT("["));
	for (i = 0; i < l->n; i++) {
		buf_adds(b, i > 0 ? SPAN_LIT(",{") : SPAN_LIT("{"));
		put_session(b, &l->pick[i], now);
		buf_adds(b, SPAN_LIT("}"));
	}
	buf_adds(b, SPAN_LIT("]}\n"));
}

void
sessions_end(struct client *c)
{
	struct listing *l = c->listing;
	size_t i;

	if (l == NULL)
		return;
	c->listing = NULL;
	for (i = 0; i < l->n; i++)
		free(l->pick[i].kept);
	if (l->turn != NULL)
		event_free(l->turn);
	free(l);
}

/* All were looked at: the reply, if the client still waits for it. */
static void
reply(struct listing *l)
{
	struct client *c = l->c;
	struct control *ct = c->control;
	struct request r = {.c = c};

	if (client_answered(ct, l->cookie) != c)
		return;
	if (l->lacking) {
		control_refuse(c, "failed", "out of memory");
		return;
	}
	/* Others may have filled it meanwhile. */
	if (control_room(&r) == -1)
		return;
	settle(l);
	engine_now(ct->e);
	put_sessions(c, l, ct->e->core->now);
	control_reply(c, "ask for one gateway");
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval at_once;
	struct listing *l = arg;
	struct client *c = l->c;

	(void)fd;
	(void)what;
	/* Else it was told that time is up, or that we stop. */
	if (c->cookie == l->cookie && !look_on(l, c->control->e)) {
		event_add(l->turn, &at_once);
		return;
	}
	reply(l);
	sessions_end(c);
}

void
show_sessions(struct request *r)
{
	struct client *c = r->c;
	struct listing *l;

	if (control_named(r) == -1 || control_room(r) == -1)
		return;
	sessions_end(c);
	if ((l = malloc(sizeof(*l))) == NULL) {
		control_refuse(c, "failed", "out of memory");
		return;
	}
	memset(l, 0, offsetof(struct listing, pick));
	l->c = c;
	c->listing = l;
	if (r->eg != NULL)
		(void)strlcpy(l->only, r->eg->name, sizeof(l->only));
	l->turn = event_new(c->control->e->base, -1, 0, on_turn, l);
	if (l->turn == NULL) {
		sessions_end(c);
		control_refuse(c, "failed", "out of memory");
		return;
	}
	l->cookie = client_wait(c, SESSIONS_WAIT);
	on_turn(-1, 0, l);
}
