/* SPDX-License-Identifier: ISC */
/*
 * Delivery: arrival, acknowledgement, and the order in which acknowledgements
 * leave.  Who gets what is place.c's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "core.h"
#include "place.h"
#include "session.h"

void
delivery_init(struct gateway *gw, void *seen_memory)
{
	struct delivery_state *ds = &gw->delivery;

	TAILQ_INIT(&ds->idle);
	TAILQ_INIT(&ds->unplaced);
	TAILQ_INIT(&ds->order);
	seen_init(&ds->seen, seen_memory, &gw->core->key);
}

/* Leave or enter the link's socket alone, by how much is waiting. */
static void
check_pressure(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;
	int pause =
	    ds->bytes > (ds->paused ? LIMIT_PENDING_LOW : LIMIT_PENDING_HIGH);

	/* Said again while it holds: the connection may be a new one. */
	if (pause == ds->paused && !pause)
		return;
	ds->paused = pause != 0;
	gw->core->io->link_read(gw->core->arg, gw, !pause);
}

/* Nothing refers to it any more but the tables. */
static void
delivery_drop(struct gateway *gw, struct delivery *d)
{
	struct delivery_state *ds = &gw->delivery;

	ds->bytes -= d->linelen;
	free(d);
	check_pressure(gw);
}

void
delivery_free(struct gateway *gw)
{
	struct delivery_state *ds = &gw->delivery;
	struct hnode *n;
	struct delivery *d;
	struct session *s;
	uint32_t i;

	delivery_link_lost(gw);
	for (i = 0; i < ds->by_id.nbucket; i++)
		while ((n = ds->by_id.bucket[i]) != NULL) {
			d = (struct delivery *)(void *)((char *)n -
			    offsetof(struct delivery, by_id));
			htab_del(&ds->by_id, n);
			free(d);
		}
	for (i = 0; i < ds->sessions.nbucket; i++)
		while ((n = ds->sessions.bucket[i]) != NULL) {
			s = (struct session *)(void *)((char *)n -
			    offsetof(struct session, node));
			htab_del(&ds->sessions, n);
			free(s);
		}
	htab_free(&ds->by_id);
	htab_free(&ds->by_cid);
	htab_free(&ds->sessions);
	seen_free(&ds->seen);
}

/* The connector's id of a delivery, as it is acknowledged. */
static struct span
cid_of(const struct delivery *d)
{
	return (struct span){d->data, d->cidlen};
}

static struct delivery *
find_cid(const struct gateway *gw, struct span cid, const uint64_t hash[2])
{
	struct hnode *n;
	struct delivery *d;

	for (n = htab_find(&gw->delivery.by_cid, hash[0]); n != NULL;
	     n = htab_next(n)) {
		d = (struct delivery *)(void *)((char *)n -
		    offsetof(struct delivery, by_cid));
		if (d->cid_rest == hash[1] && span_eq(cid_of(d), cid))
			return d;
	}
	return NULL;
}

static void
send_ack(struct gateway *gw, struct span cid)
{
	struct buf *b = &gw->core->scratch;
	struct span line;

	buf_reset(b);
	(void)buf_adds(b, SPAN_LIT("{\"type\":\"inbound_ack\",\"bufferId\":"));
	json_put_str(b, cid);
	(void)buf_add(b, "}", 1);
	line = buf_span(b);
	/* Without room it is not sent; the connector repeats the event, and
	 * it is recognised. */
	if (!b->failed && wire_line(gw, &line, 1, NULL) == 0)
		gw->count.acks_out++;
}

/* Acknowledge what is done at the head of the order. */
static void
flush_order(struct gateway *gw)
{
	struct delivery_queue *q = &gw->delivery.order;
	struct delivery *d;

	while ((d = TAILQ_FIRST(q)) != NULL && d->done) {
		TAILQ_REMOVE(q, d, order);
		send_ack(gw, cid_of(d));
		delivery_drop(gw, d);
	}
}

static void
into_order(struct gateway *gw, struct delivery *d)
{
	d->ordered = 1;
	TAILQ_INSERT_TAIL(&gw->delivery.order, d, order);
	if (d->done)
		flush_order(gw);
}

/* An entry that only keeps its place in the order; its memory counts as if it
 * were a line that waits. */
static void
acknowledge_in_order(struct gateway *gw, struct span cid)
{
	struct delivery *d = calloc(1, sizeof(*d) + cid.len);

	if (d == NULL)
		return;
	d->cidlen = (uint16_t)cid.len;
	memcpy(d->data, cid.p, cid.len);
	d->done = 1;
	d->linelen = (uint32_t)(sizeof(*d) + cid.len);
	gw->delivery.bytes += d->linelen;
	into_order(gw, d);
	check_pressure(gw);
}

/* Whether the connector has sent this before; then it is taken care of. */
static int
is_replay(struct gateway *gw, struct span cid, const uint64_t hash[2])
{
	struct delivery *d;

	if (cid.len == 0)
		return 0;
	if ((d = find_cid(gw, cid, hash)) != NULL) {
		if (!d->ordered)
			into_order(gw, d);
	} else if (seen_has(&gw->delivery.seen, hash))
		acknowledge_in_order(gw, cid);
	else
		return 0;
	gw->count.replays++;
	return 1;
}

void
delivery_salvage(struct gateway *gw, struct span cid)
{
	uint64_t hash[2];

	if (cid.len == 0 || cid.len > LIMIT_BUFFER_ID || !link_is_up(gw))
		return;
	/* An agent may have what came whole before. */
	seen_hash(&gw->delivery.seen, cid, hash);
	if (!is_replay(gw, cid, hash))
		acknowledge_in_order(gw, cid);
}

/* What an event tells of its conversation. */
struct origin {
	struct source src;
	char scratch[LIMIT_SESSION_KEY]; /* decoded values of src */
	char key[LIMIT_SESSION_KEY];
	size_t keylen;
	int identity;
};

/* Whether a document keeps the members of the object at a node; where it ran
 * full, the object is scanned for itself. */
static const char *
enter(struct gateway *gw, const struct json_doc **doc, int *node)
{
	struct json_doc *part = &gw->core->part;
	struct span raw = json_raw(*doc, *node);

	if (*node == JSON_ROOT || json_first(*doc, *node) != -1)
		return NULL;
	if (json_parse(part, raw.p, raw.len, 1) == -1 || part->full)
		return "too many members in an object that is read";
	*doc = part;
	*node = JSON_ROOT;
	return NULL;
}

/* The node of one member of the object at *node. */
static const char *
descend(struct gateway *gw, const struct json_doc **doc, int *node,
    const struct json_want *want)
{
	const char *why;

	if ((why = enter(gw, doc, node)) != NULL)
		return why;
	return json_members(*doc, *node, want, 1, node, NULL);
}

static const char *
origin_event(struct gateway *gw, int event, struct origin *o)
{
	static const struct json_want want =
	    JSON_WANT("source", JSON_T(JSON_OBJECT), 1);
	const struct json_doc *doc = &gw->core->doc;
	const struct gateway_conf *conf = &gw->conf;
	const char *why;
	ptrdiff_t n;

	if (descend(gw, &doc, &event, &want) != NULL)
		return "event without a proper source";
	if ((why = enter(gw, &doc, &event)) != NULL ||
	    (why = session_source(
		 doc, event, &o->src, o->scratch, sizeof(o->scratch))) != NULL)
		return why;
	n = session_key(&o->src, conf->group_per_user, conf->thread_per_user,
	    o->key, sizeof(o->key));
	if (n == -1)
		return "the source's ids are too long";
	o->keylen = (size_t)n;
	o->identity = core_identity(gw, o->src.platform);
	egress_learn(&gw->egress, o->src.platform, o->src.chat_id,
	    o->src.scope_id, o->src.user_id);
	return NULL;
}

/* A forwarded webhook has no session of its own: those of a platform go
 * together. */
static const char *
origin_forward(struct gateway *gw, int forward, struct origin *o)
{
	static const struct json_want want =
	    JSON_WANT("platform", JSON_T(JSON_STRING), 1);
	const struct json_doc *doc = &gw->core->doc;
	int n;

	if (descend(gw, &doc, &forward, &want) != NULL)
		return "forward without platform";
	o->src.platform =
	    json_str(doc, forward, o->scratch, sizeof(o->scratch));
	o->identity = core_identity(gw, o->src.platform);
	n = snprintf(o->key, sizeof(o->key), "passthrough:%s",
	    o->identity == -1 ? "?" : gw->conf.identity[o->identity].platform);
	o->keylen = (size_t)n;
	return NULL;
}

/*
 * The line for the agent in PIECES pieces: what came, with our bufferId
 * (`ours`) in the place of the connector's (or added) and the session key at
 * the end.
 */
#define PIECES 5

static void
agent_text(const struct gateway *gw, struct span line, int cid,
    struct span ours, const struct session *s, struct span piece[PIECES])
{
	const struct json_doc *doc = &gw->core->doc;
	size_t end =
	    (size_t)doc->node[JSON_ROOT].val + doc->node[JSON_ROOT].vallen - 1;
	size_t from = end, to = end;

	if (cid != -1) {
		from = doc->node[cid].val;
		to = from + doc->node[cid].vallen;
	}
	piece[0] = (struct span){line.p, from};
	piece[1] = cid != -1 ? SPAN_LIT("") : SPAN_LIT(",\"bufferId\":");
	piece[2] = ours;
	piece[3] = (struct span){line.p + to, end - to};
	piece[4] = (struct span){s->key + s->len, s->taillen};
}

/* Have it found by its ids.  0, or -1 without memory. */
static int
enroll(struct gateway *gw, struct delivery *d, const uint64_t hash[2])
{
	struct delivery_state *ds = &gw->delivery;

	if (htab_add(&ds->by_id, &d->by_id, d->id) == -1)
		return -1;
	if (d->cidlen > 0 && htab_add(&ds->by_cid, &d->by_cid, hash[0]) == -1) {
		htab_del(&ds->by_id, &d->by_id);
		return -1;
	}
	d->cid_rest = hash[1];
	return 0;
}

static struct delivery *
delivery_new(struct gateway *gw, uint64_t id, struct span cid,
    const uint64_t hash[2], const struct span piece[PIECES])
{
	struct delivery_state *ds = &gw->delivery;
	struct delivery *d;
	size_t len = 0;
	char *p;
	int i;

	for (i = 0; i < PIECES; i++)
		len += piece[i].len;
	if ((d = malloc(sizeof(*d) + cid.len + len)) == NULL)
		return NULL;
	memset(d, 0, sizeof(*d));
	d->id = id;
	d->arrived = gw->core->now;
	d->cidlen = (uint16_t)cid.len;
	d->linelen = (uint32_t)len;
	memcpy(d->data, cid.p, cid.len);
	for (p = d->data + cid.len, i = 0; i < PIECES; p += piece[i++].len)
		memcpy(p, piece[i].p, piece[i].len);
	if (enroll(gw, d, hash) == -1) {
		free(d);
		return NULL;
	}
	ds->n++;
	ds->bytes += d->linelen;
	return d;
}

/* The connector's bufferId: a string, or a number to be acknowledged as one. */
static const char *
read_cid(
    struct gateway *gw, int node, char *scratch, size_t cap, struct span *cid)
{
	const struct json_doc *doc = &gw->core->doc;

	*cid = (struct span){"", 0};
	if (node == -1 || doc->node[node].type == JSON_NULL)
		return NULL;
	*cid = doc->node[node].type == JSON_NUMBER
	    ? json_raw(doc, node)
	    : json_str(doc, node, scratch, cap);
	if (cid->p == NULL || cid->len > LIMIT_BUFFER_ID)
		return "bufferId is no string of at most 256 bytes";
	return NULL;
}

/* A new event, of which all is known, goes its way.  Without memory it stays
 * with the connector, which will send it again: not acknowledged, not bad. */
static void
admit(struct gateway *gw, struct span line, int cid_node, struct span cid,
    const uint64_t hash[2], const struct origin *o)
{
	struct span piece[PIECES];
	uint64_t id = gw->core->next_id++;
	char ours[CORE_ID];
	struct delivery *d;
	struct session *s;

	s = session_get(gw, (struct span){o->key, o->keylen}, o->identity);
	if (s == NULL)
		return;
	agent_text(gw, line, cid_node,
	    (struct span){ours, core_put_id(gw->core, id, ours)}, s, piece);
	if ((d = delivery_new(gw, id, cid, hash, piece)) == NULL)
		return;
	d->session = s;
	session_open(gw, s);
	if (cid.len > 0)
		into_order(gw, d);
	place(gw, d);
	check_pressure(gw);
}

const char *
delivery_event(
    struct gateway *gw, struct span line, int event, int forward, int cid_node)
{
	char scratch[LIMIT_BUFFER_ID];
	uint64_t hash[2] = {0, 0};
	struct origin o;
	struct span cid;
	const char *why;

	gw->count.events_in++;
	gw->link.last_event = gw->core->now;
	if ((why = read_cid(gw, cid_node, scratch, sizeof(scratch), &cid)) !=
	    NULL)
		return why;
	if (cid.len > 0) {
		seen_hash(&gw->delivery.seen, cid, hash);
		seen_soon(&gw->delivery.seen, hash[0]);
	}
	why = event != -1 ? origin_event(gw, event, &o)
			  : origin_forward(gw, forward, &o);
	if (why == NULL && !is_replay(gw, cid, hash))
		admit(gw, line, cid_node, cid, hash, &o);
	return why;
}

void
delivery_link_lost(struct gateway *gw)
{
	struct delivery *d;

	while ((d = TAILQ_FIRST(&gw->delivery.order)) != NULL) {
		TAILQ_REMOVE(&gw->delivery.order, d, order);
		d->ordered = 0;
		if (d->done)
			delivery_drop(gw, d);
	}
}

/* An agent took it: it is never delivered again. */
static void
taken(struct gateway *gw, struct delivery *d)
{
	struct delivery_state *ds = &gw->delivery;
	uint64_t hash[2];

	htab_del(&ds->by_id, &d->by_id);
	ds->n--;
	session_close(gw, d->session);
	d->session = NULL;
	d->done = 1;
	if (d->cidlen > 0) {
		hash[0] = d->by_cid.hash;
		hash[1] = d->cid_rest;
		htab_del(&ds->by_cid, &d->by_cid);
		seen_add(&ds->seen, hash);
	}
	if (d->ordered)
		flush_order(gw);
	else
		delivery_drop(gw, d);
}

/* The oldest in flight decides when patience ends. */
static void
rearm_ack_timer(struct agent *a)
{
	struct delivery *d = TAILQ_FIRST(&a->inflight);

	if (d == NULL)
		timer_clear(&a->gw->core->timers, &a->ack_timer);
	else
		timer_set(&a->gw->core->timers, &a->ack_timer,
		    d->given + a->ack_timeout_ms);
}

static struct delivery *
find_id(const struct gateway *gw, uint64_t id)
{
	struct hnode *n;

	if (id == 0 || (n = htab_find(&gw->delivery.by_id, id)) == NULL)
		return NULL;
	return (struct delivery *)(void *)((char *)n -
	    offsetof(struct delivery, by_id));
}

const char *
delivery_ack(struct agent *a, struct span buffer_id)
{
	struct gateway *gw = a->gw;
	uint64_t id = core_parse_id(gw->core, buffer_id);
	struct delivery *d, *next;
	int oldest;

	/* Agents commonly acknowledge in order. */
	d = TAILQ_FIRST(&a->inflight);
	if (d == NULL || d->id != id)
		d = find_id(gw, id);
	if (d == NULL || d->agent != a || !d->inflight)
		return "inbound_ack: no such bufferId is waiting for an "
		       "acknowledgement from this agent (acknowledged "
		       "already, or given to another)";
	oldest = d == TAILQ_FIRST(&a->inflight);
	if ((next = TAILQ_NEXT(d, entry)) != NULL)
		seen_soon(&gw->delivery.seen, next->by_cid.hash);
	place_take(d);
	a->acked++;
	gw->count.agent_acks++;
	if (oldest)
		rearm_ack_timer(a);
	taken(gw, d);
	if (a->draining)
		delivery_agent_idle(a); /* its session may go now */
	else
		place_give(a);
	return NULL;
}

/* Somebody may take now what nobody took before. */
static void
give_all(struct gateway *gw)
{
	struct agent *a;

	place_all(gw);
	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->state == AGENT_READY)
			place_give(a);
}

void
delivery_agent_ready(struct agent *a)
{
	give_all(a->gw);
}

void
delivery_agent_idle(struct agent *a)
{
	a->draining = 1;
	place_back(a, 0);
	give_all(a->gw);
}

void
delivery_agent_gone(struct agent *a)
{
	place_back(a, 1);
	give_all(a->gw);
}

void
delivery_interrupt(struct gateway *gw, struct span line, struct span key)
{
	struct session *s = NULL;
	struct hnode *n;
	struct agent *a;

	gw->count.interrupts++;
	for (n = htab_find(
		 &gw->delivery.sessions, hash_64(&gw->core->key, key));
	     n != NULL; n = htab_next(n)) {
		s = (struct session *)(void *)((char *)n -
		    offsetof(struct session, node));
		if (span_eq((struct span){s->key, s->len}, key))
			break;
		s = NULL;
	}
	if (s != NULL && s->agent != NULL) {
		(void)agent_line(s->agent, &line, 1);
		return;
	}
	TAILQ_FOREACH (a, &gw->agents, entry)
		if (a->state == AGENT_READY)
			(void)agent_line(a, &line, 1);
}

uint64_t
delivery_oldest(const struct gateway *gw)
{
	const struct delivery *d, *first = TAILQ_FIRST(&gw->delivery.unplaced);
	const struct agent *a;
	uint64_t at = first == NULL ? UINT64_MAX : first->arrived;

	TAILQ_FOREACH (a, &gw->agents, entry) {
		TAILQ_FOREACH (d, &a->inflight, entry)
			if (d->arrived < at)
				at = d->arrived;
		d = TAILQ_FIRST(&a->queued);
		if (d != NULL && d->arrived < at)
			at = d->arrived;
	}
	return at == UINT64_MAX ? 0 : gw->core->now - at;
}
