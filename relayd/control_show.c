/* SPDX-License-Identifier: ISC */
/* The requests that show what waits, and for whom. */
#include <stdlib.h>

#include "control_priv.h"
#include "status.h"

/* Sessions in a reply: what a person can look through, and a reply of keys of
 * their greatest length still fits. */
#define SESSIONS_MAX 2000

static const struct span null_span;

/* Events that the gateway's agents have and did not acknowledge. */
static uint32_t
unacknowledged(const struct gateway *gw)
{
	const struct agent *a;
	uint32_t n = 0;

	TAILQ_FOREACH (a, &gw->agents, entry)
		n += a->ninflight;
	return n;
}

static void
put_counters(struct buf *b, const struct gateway *gw)
{
	uint64_t now = gw->core->now, since = gw->link.since;

	json_put_member_str(b, "state", span_str(link_public(gw)));
	json_put_member_int(
	    b, "for_s", since > now ? 0 : (int64_t)((now - since) / 1000));
	json_put_member_str(b, "reason", span_str(gw->link.reason));
	json_put_member_int(b, "agents", gw->nagent);
	json_put_member_int(b, "unacknowledged", unacknowledged(gw));
	json_put_member_int(b, "waiting", gw->delivery.n);
	json_put_member_int(
	    b, "oldest_s", (int64_t)(delivery_oldest(gw) / 1000));
	status_put_counters(b, gw);
}

/* What a screen that is renewed each second needs of every gateway. */
void
show_counters(struct request *r)
{
	struct engine *e = r->c->control->e;
	struct buf *b = &r->c->out;
	struct engine_gw *eg;
	size_t i;
	int n = 0;

	if (control_named(r) == -1 || control_room(r) == -1)
		return;
	engine_now(e);
	control_begin(r->c, 1);
	buf_addf(b, ",\"now\":%.3f", engine_wall());
	json_put_key(b, "gateways");
	buf_adds(b, SPAN_LIT("["));
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if ((eg = e->gw[i]) == NULL || eg->gw == NULL ||
		    (r->eg != NULL && r->eg != eg))
			continue;
		buf_adds(b, n++ > 0 ? SPAN_LIT(",{") : SPAN_LIT("{"));
		json_put_member_str(b, "name", span_str(eg->name));
		put_counters(b, eg->gw);
		buf_adds(b, SPAN_LIT("}"));
	}
	buf_adds(b, SPAN_LIT("]}\n"));
	control_reply(r->c, "ask for one gateway");
}

/* A session that may stand in the reply. */
struct pick {
	const struct engine_gw *eg;
	const struct session *s;
	uint64_t oldest; /* core time the first open event came */
};

struct picks {
	struct pick *pick; /* room for twice SESSIONS_MAX */
	size_t n;
	uint64_t total;
	const struct engine_gw *eg;
};

/* Open events first, the oldest at the top; then what was used last. */
static int
compare_picks(const void *pa, const void *pb)
{
	const struct pick *a = pa, *b = pb;
	int later = (a->s->last > b->s->last) - (a->s->last < b->s->last);

	if ((a->s->open > 0) != (b->s->open > 0))
		return a->s->open > 0 ? -1 : 1;
	if (a->s->open == 0)
		return -later;
	if (a->oldest != b->oldest)
		return a->oldest < b->oldest ? -1 : 1;
	return later;
}

/* Sort, and keep those that stand first. */
static void
settle(struct picks *p)
{
	qsort(p->pick, p->n, sizeof(*p->pick), compare_picks);
	if (p->n > SESSIONS_MAX)
		p->n = SESSIONS_MAX;
}

static void
pick_session(void *arg, const struct session *s)
{
	struct picks *p = arg;

	p->total++;
	if (p->n == 2 * SESSIONS_MAX)
		settle(p);
	p->pick[p->n++] = (struct pick){p->eg, s, s->oldest};
}

static void
put_age(struct buf *b, const char *key, uint64_t now, uint64_t at)
{
	json_put_member_int(
	    b, key, at >= now ? 0 : (int64_t)((now - at) / 1000));
}

static void
put_session(struct buf *b, const struct pick *p)
{
	const struct gateway *gw = p->eg->gw;
	const struct session *s = p->s;
	uint64_t now = gw->core->now;

	json_put_member_str(b, "gateway", span_str(p->eg->name));
	json_put_member_str(b, "session_key", (struct span){s->key, s->len});
	if (s->agent != NULL) {
		json_put_member_int(b, "agent", s->agent->number);
		json_put_member_str(b, "agent_name", span_str(s->agent->name));
	} else {
		json_put_member_raw(b, "agent", null_span);
		json_put_member_raw(b, "agent_name", null_span);
	}
	json_put_member_int(b, "open", s->open);
	if (s->open > 0 && p->oldest != UINT64_MAX)
		put_age(b, "oldest_s", now, p->oldest);
	else
		json_put_member_raw(b, "oldest_s", null_span);
	put_age(b, "last_s", now, s->last);
	json_put_member_bool(b, "blocked", s->blocked);
}

static void
put_sessions(struct client *c, const struct picks *p)
{
	struct buf *b = &c->out;
	size_t i;

	control_begin(c, 1);
	json_put_member_int(b, "total", (int64_t)p->total);
	json_put_member_int(b, "left_out", (int64_t)(p->total - p->n));
	json_put_key(b, "sessions");
	buf_adds(b, SPAN_LIT("["));
	for (i = 0; i < p->n; i++) {
		buf_adds(b, i > 0 ? SPAN_LIT(",{") : SPAN_LIT("{"));
		put_session(b, &p->pick[i]);
		buf_adds(b, SPAN_LIT("}"));
	}
	buf_adds(b, SPAN_LIT("]}\n"));
}

void
show_sessions(struct request *r)
{
	struct engine *e = r->c->control->e;
	struct picks p = {.n = 0};
	size_t i;

	if (control_named(r) == -1 || control_room(r) == -1)
		return;
	p.pick = reallocarray(NULL, 2 * SESSIONS_MAX, sizeof(*p.pick));
	if (p.pick == NULL) {
		control_refuse(r->c, "failed", "out of memory");
		return;
	}
	engine_now(e);
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		p.eg = e->gw[i];
		if (p.eg != NULL && p.eg->gw != NULL &&
		    (r->eg == NULL || r->eg == p.eg))
			delivery_sessions(p.eg->gw, pick_session, &p);
	}
	settle(&p);
	put_sessions(r->c, &p);
	free(p.pick);
	control_reply(r->c, "ask for one gateway");
}
