/* SPDX-License-Identifier: ISC */
/*
 * The status document.  Every member is in docs/relayd-control.5 with its
 * unit; tests/e2e/test_schema.py holds one against the other.
 */
#include <inttypes.h>

#include "conn.h"
#include "json.h"
#include "role.h"
#include "schema.h"
#include "status.h"

/* Bytes of a descriptor that is shown; they have some 600.  More than a
 * thousand gateways' worth of longer ones would not fit into a reply. */
#define DESCRIPTOR_SHOWN 4096

static const struct span null_span;

/* Every member of struct counters, in its order. */
static const struct {
	const char *name;
	size_t at;
} counter[] = {
#define C(m)                                     \
	{                                        \
#m, offsetof(struct counters, m) \
	}
    C(dials),
    C(handshakes),
    C(losses),
    C(lines_in),
    C(bytes_in),
    C(lines_bad),
    C(events_in),
    C(replays),
    C(events_left),
    C(delivered),
    C(redelivered),
    C(agent_acks),
    C(acks_out),
    C(outbound),
    C(outbound_ok),
    C(outbound_failed),
    C(outbound_ambiguous),
    C(interrupts),
    C(forwards_dropped),
    C(agent_lines_bad),
    C(unknown_frames),
    C(recovered),
    C(torn),
    C(suspects),
    C(aside),
    C(requeued),
    C(dropped),
#undef C
};
#define NCOUNTER (sizeof(counter) / sizeof(counter[0]))
_Static_assert(NCOUNTER * sizeof(uint64_t) == sizeof(struct counters),
    "a counter is missing in the table");

static const char *const cred_name[] = {
    [CRED_NONE] = "none",
    [CRED_FILE] = "file",
    [CRED_DIRECTORY] = "directory",
    [CRED_ENV] = "environment",
    [CRED_ENROLLED] = "enrolled",
    [CRED_PROVISIONED] = "provisioned",
};

/* The moment a document is made for. */
struct moment {
	uint64_t clock; /* core time, ms */
	double wall;	/* Unix seconds */
};

void
status_put_json(struct buf *out, struct span json)
{
	const unsigned char *u = (const unsigned char *)json.p;
	size_t i, from = 0;

	if (json.p == NULL) {
		buf_adds(out, SPAN_LIT("null"));
		return;
	}
	for (i = 0; i < json.len; i++) {
		if (u[i] == 0x7f) {
			buf_add(out, json.p + from, i - from);
			buf_adds(out, SPAN_LIT("\\u007f"));
		} else if (u[i] == 0xc2 && i + 1 < json.len &&
		    u[i + 1] < 0xa0) {
			buf_add(out, json.p + from, i - from);
			buf_addf(out, "\\u%04x", u[++i]);
		} else if (u[i] == '\r' || u[i] == '\n') {
			/* white space between tokens */
			buf_add(out, json.p + from, i - from);
			buf_adds(out, SPAN_LIT(" "));
		} else
			continue;
		from = i + 1;
	}
	buf_add(out, json.p + from, json.len - from);
}

/* A text, or null when it is empty. */
static void
put_text(struct buf *b, const char *key, const char *text)
{
	json_put_member_str(b, key,
	    text == NULL || text[0] == '\0' ? null_span : span_str(text));
}

/* A whole number, or null when there is none to tell. */
static void
put_int(struct buf *b, const char *key, int known, int64_t v)
{
	if (known)
		json_put_member_int(b, key, v);
	else
		json_put_member_raw(b, key, null_span);
}

static void
put_seconds(struct buf *b, const char *key, double v)
{
	json_put_key(b, key);
	buf_addf(b, "%.3f", v < 0 ? 0 : v);
}

/* Unix seconds of a core time; null when that is 0. */
static void
put_at(struct buf *b, const char *key, const struct moment *m, uint64_t at)
{
	uint64_t ago = at > m->clock ? 0 : m->clock - at;

	put_int(b, key, at != 0, (int64_t)(m->wall - (double)ago / 1000));
}

/* Whole seconds since a core time; null when that is 0. */
static void
put_ago(struct buf *b, const char *key, const struct moment *m, uint64_t at)
{
	put_int(b, key, at != 0,
	    at > m->clock ? 0 : (int64_t)((m->clock - at) / 1000));
}

/* Seconds until a timer is due, or null. */
static void
put_due(struct buf *b, const char *key, const struct moment *m, int armed,
    uint64_t when)
{
	if (!armed)
		json_put_member_raw(b, key, null_span);
	else
		put_seconds(b, key,
		    when <= m->clock ? 0 : (double)(when - m->clock) / 1000);
}

static void
put_credential(struct buf *b, const struct moment *m,
    const struct engine_cred *c, int worked)
{
	int64_t age = (int64_t)m->wall - c->since;

	json_put_key(b, "credential");
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_str(b, "source", span_str(cred_name[c->source]));
	json_put_member_bool(b, "usable", c->usable);
	put_int(b, "age_s", c->known && c->since > 0, age < 0 ? 0 : age);
	json_put_member_int(b, "minted", (int64_t)c->minted);
	put_text(b, "reason", c->reason);
	put_text(b, "tenant", c->tenant);
	put_text(b, "policy", c->policy);
	json_put_member_bool(b, "worked", worked);
	json_put_member_int(b, "refusals", (int64_t)c->refusals);
	put_int(b, "refused_at", c->refused_at != 0, c->refused_at);
	buf_adds(b, SPAN_LIT("}"));
}

/* The mark of a revocation. */
static void
put_revoked(struct buf *b, const struct engine_gw *eg)
{
	const struct engine_standing *s = &eg->standing;

	json_put_key(b, "revoked");
	if (!eg->gw->link.revoked) {
		buf_adds(b, SPAN_LIT("null"));
		return;
	}
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_int(b, "at", s->revoked_at);
	put_text(b, "evidence", s->evidence);
	buf_adds(b, SPAN_LIT("}"));
}

static void
put_identities(struct buf *b, const struct engine_gw *eg)
{
	const struct gateway_conf *gc = &eg->gw->conf;
	const struct identity *id;
	struct span d;
	uint32_t i;

	json_put_key(b, "identities");
	buf_adds(b, SPAN_LIT("["));
	for (i = 0; i < gc->nidentity; i++) {
		id = &gc->identity[i];
		d = span_str(id->descriptor.text);
		buf_adds(b, i == 0 ? SPAN_LIT("{") : SPAN_LIT(",{"));
		json_put_member_str(b, "platform", span_str(id->platform));
		json_put_member_str(b, "bot_id", span_str(id->bot_id));
		put_text(b, "skipped",
		    (eg->gw->skipped >> i & 1) != 0 ? eg->cred.skipped_why
						    : NULL);
		put_int(b, "descriptor_bytes", d.p != NULL, (int64_t)d.len);
		json_put_key(b, "descriptor");
		status_put_json(b, d.len > DESCRIPTOR_SHOWN ? null_span : d);
		buf_adds(b, SPAN_LIT("}"));
	}
	buf_adds(b, SPAN_LIT("]"));
}

static void
put_last_close(
    struct buf *b, const struct moment *m, const struct last_close *lc)
{
	uint64_t ago = lc->at > m->clock ? 0 : m->clock - lc->at;

	json_put_key(b, "last_close");
	if (lc->at == 0) {
		buf_adds(b, SPAN_LIT("null"));
		return;
	}
	buf_adds(b, SPAN_LIT("{"));
	put_int(b, "code", lc->code != 0, lc->code);
	put_int(b, "http_status", lc->status != 0, lc->status);
	json_put_member_str(b, "reason", span_str(lc->reason));
	json_put_member_str(
	    b, "by", lc->by_us ? SPAN_LIT("us") : SPAN_LIT("connector"));
	json_put_member_int(b, "at", (int64_t)(m->wall - (double)ago / 1000));
	json_put_member_int(b, "ago_s", (int64_t)(ago / 1000));
	buf_adds(b, SPAN_LIT("}"));
}

static void
put_last_failure(
    struct buf *b, const struct moment *m, const struct last_failure *f)
{
	uint64_t ago = f->at > m->clock ? 0 : m->clock - f->at;

	json_put_key(b, "last_failure");
	if (f->at == 0) {
		buf_adds(b, SPAN_LIT("null"));
		return;
	}
	buf_adds(b, SPAN_LIT("{"));
	put_text(b, "phase", f->phase);
	json_put_member_str(b, "reason", span_str(f->reason));
	put_int(b, "code", f->code != 0, f->code);
	put_int(b, "http_status", f->status != 0, f->status);
	json_put_member_int(b, "at", (int64_t)(m->wall - (double)ago / 1000));
	json_put_member_int(b, "ago_s", (int64_t)(ago / 1000));
	buf_adds(b, SPAN_LIT("}"));
}

/* State, and what led to it. */
static void
put_link(struct buf *b, const struct moment *m, const struct engine_gw *eg)
{
	const struct gateway *gw = eg->gw;
	const struct link *l = &gw->link;

	json_put_member_str(b, "state", span_str(link_public(gw)));
	json_put_member_str(b, "phase", span_str(link_phase(gw)));
	json_put_member_int(b, "since", eg->state_since);
	json_put_member_int(b, "for_s",
	    l->since > m->clock ? 0 : (int64_t)((m->clock - l->since) / 1000));
	json_put_member_str(b, "reason", span_str(l->reason));
	json_put_member_str(b, "url", span_str(eg->url_text));
	put_text(b, "gateway_id", eg->cred.id);
	put_text(b, "tenant", eg->cred.tenant);
	put_credential(b, m, &eg->cred, link_worked(l));
	put_revoked(b, eg);
	json_put_member_bool(b, "switched_off", l->off);
	put_identities(b, eg);
	json_put_member_int(b, "attempt", l->attempt);
	put_due(b, "next_attempt_in_s", m,
	    l->state == LINK_WAIT || l->state == LINK_DORMANT, l->next_dial);
	put_last_close(b, m, &l->last_close);
	put_last_failure(b, m, &l->last_failure);
}

/* The connection, and when something was heard on it. */
static void
put_connection(
    struct buf *b, const struct moment *m, const struct engine_gw *eg)
{
	const struct link *l = &eg->gw->link;

	put_text(b, "address", l->address);
	put_text(b, "tls", eg->conn == NULL ? NULL : conn_tls_text(eg->conn));
	put_int(b, "rtt_ms", l->rtt_ms >= 0, l->rtt_ms);
	put_int(
	    b, "clock_skew_s", l->clock_skew_s != INT64_MIN, l->clock_skew_s);
	put_ago(b, "last_handshake_s", m, l->shaken_at);
	put_ago(b, "last_pong_s", m, l->pong_at);
	put_ago(b, "last_heard_s", m, l->last_read);
	put_ago(b, "last_inbound_s", m, l->last_event);
	put_at(b, "last_handshake_at", m, l->shaken_at);
	put_at(b, "last_pong_at", m, l->pong_at);
	put_at(b, "last_heard_at", m, l->last_read);
	put_at(b, "last_inbound_at", m, l->last_event);
}

static void
put_agent(struct buf *b, const struct moment *m, const struct agent *a)
{
	const struct gateway_conf *gc = &a->gw->conf;
	const struct delivery *first = TAILQ_FIRST(&a->inflight);
	uint32_t i;

	buf_adds(b, SPAN_LIT("{"));
	json_put_member_int(b, "number", a->number);
	json_put_member_str(b, "name", span_str(a->name));
	json_put_member_int(b, "uid", a->uid);
	json_put_member_int(b, "pid", a->pid);
	json_put_key(b, "platforms");
	buf_adds(b, SPAN_LIT("["));
	for (i = 0; i < gc->nidentity; i++) {
		if ((a->platforms & (1U << i)) == 0)
			continue;
		if ((a->platforms & ((1U << i) - 1)) != 0)
			buf_adds(b, SPAN_LIT(","));
		json_put_str(b, span_str(gc->identity[i].platform));
	}
	buf_adds(b, SPAN_LIT("]"));
	put_ago(b, "since_s", m, a->since);
	json_put_member_int(b, "window", a->window);
	put_seconds(b, "ack_timeout_s", (double)a->ack_timeout_ms / 1000);
	put_ago(b, "oldest_s", m, first == NULL ? 0 : first->given);
	json_put_member_int(b, "unacknowledged", a->ninflight);
	json_put_member_int(b, "queued", a->nqueued);
	json_put_member_int(b, "sessions", a->nsession);
	json_put_member_int(b, "outstanding", a->noutbound);
	json_put_member_bool(b, "draining", a->draining);
	json_put_member_int(b, "delivered", (int64_t)a->delivered);
	json_put_member_int(b, "acknowledged", (int64_t)a->acked);
	buf_adds(b, SPAN_LIT("}"));
}

static void
put_journal(struct buf *b, const struct gateway *gw)
{
	const struct journal *j = &gw->delivery.journal;

	json_put_key(b, "journal");
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_bool(b, "outlives_engine", j->mem != NULL);
	json_put_member_int(b, "bytes", (int64_t)j->used);
	json_put_member_int(b, "capacity_bytes", (int64_t)j->capacity);
	json_put_member_int(b, "aside", gw->delivery.naside);
	json_put_member_int(b, "aside_bytes", (int64_t)j->aside);
	buf_adds(b, SPAN_LIT("}"));
}

static void
put_work(struct buf *b, const struct moment *m, const struct gateway *gw)
{
	const struct link *l = &gw->link;
	const struct agent *a;
	int n = 0;

	json_put_key(b, "agents");
	buf_adds(b, SPAN_LIT("["));
	TAILQ_FOREACH (a, &gw->agents, entry) {
		if (n++ > 0)
			buf_adds(b, SPAN_LIT(","));
		put_agent(b, m, a);
	}
	buf_adds(b, SPAN_LIT("]"));
	json_put_member_str(b, "when_no_agent",
	    gw->conf.hold ? SPAN_LIT("hold") : SPAN_LIT("idle"));
	put_due(b, "idle_in_s", m,
	    l->alone_at != 0 && timer_armed(&l->quiet_timer),
	    l->quiet_timer.when);
	json_put_key(b, "queue");
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_int(b, "events", gw->delivery.n);
	json_put_member_int(b, "bytes", (int64_t)gw->delivery.bytes);
	put_seconds(b, "oldest_s", (double)delivery_oldest(gw) / 1000);
	json_put_member_bool(b, "hushed", gw->delivery.hushed);
	json_put_member_bool(b, "paused", gw->delivery.paused);
	buf_adds(b, SPAN_LIT("}"));
	put_journal(b, gw);
	status_put_counters(b, gw);
}

void
status_put_counters(struct buf *b, const struct gateway *gw)
{
	size_t i;

	json_put_key(b, "counters");
	buf_adds(b, SPAN_LIT("{"));
	for (i = 0; i < NCOUNTER; i++)
		json_put_member_int(b, counter[i].name,
		    (int64_t) *
			(const uint64_t *)(const void
				*)((const char *)&gw->count + counter[i].at));
	buf_adds(b, SPAN_LIT("}"));
}

static void
put_gateway(struct buf *b, const struct moment *m, const struct engine_gw *eg)
{
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_str(b, "name", span_str(eg->name));
	put_link(b, m, eg);
	put_connection(b, m, eg);
	put_work(b, m, eg->gw);
	buf_adds(b, SPAN_LIT("}"));
}

static void
put_process(struct buf *b, enum role r, const struct engine_proc *p)
{
	uint32_t bit;
	int l;

	buf_adds(b, SPAN_LIT("{"));
	json_put_member_str(b, "role", span_str(role_row(r)->name));
	put_int(b, "pid", p->pid != 0, p->pid);
	json_put_member_str(b, "state",
	    p->pid != 0 ? SPAN_LIT("running") : SPAN_LIT("restarting"));
	json_put_member_int(b, "restarts", p->restarts);
	put_int(b, "since", p->since != 0, p->since);
	put_int(b, "pss_kb", p->pss_kb != 0, p->pss_kb);
	json_put_key(b, "layers");
	buf_adds(b, SPAN_LIT("{"));
	for (l = 0; l < LAYER_COUNT; l++) {
		bit = LAYER_BIT(l);
		json_put_member_str(b, layer_name((enum layer)l),
		    (p->held & bit) != 0	 ? SPAN_LIT("held")
			: (p->wanted & bit) != 0 ? SPAN_LIT("lacking")
						 : SPAN_LIT("not asked"));
	}
	buf_adds(b, SPAN_LIT("}"));
	put_text(b, "lacking", p->lacking);
	buf_adds(b, SPAN_LIT("}"));
}

/* The gateways, in the configuration's order. */
static void
put_gateways(struct buf *b, const struct moment *m, const struct engine *e,
    const struct engine_gw *only)
{
	size_t i;
	int n = 0;

	json_put_key(b, "gateways");
	buf_adds(b, SPAN_LIT("["));
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (e->gw[i] == NULL || e->gw[i]->gw == NULL ||
		    (only != NULL && e->gw[i] != only))
			continue;
		if (n++ > 0)
			buf_adds(b, SPAN_LIT(","));
		put_gateway(b, m, e->gw[i]);
	}
	buf_adds(b, SPAN_LIT("]"));
}

static void
put_configuration(struct buf *b, const struct engine *e)
{
	json_put_key(b, "configuration");
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_int(b, "taken", e->conf_taken);
	put_int(b, "refused_at", e->conf_refused != 0, e->conf_refused);
	buf_adds(b, SPAN_LIT("}"));
}

void
status_document(struct engine *e, const struct engine_gw *only, struct buf *out)
{
	struct moment m = {engine_clock(), engine_wall()};
	int r;

	core_now(e->core, m.clock);
	buf_adds(out, SPAN_LIT("{\"ok\":true"));
	json_put_member_str(out, "schema", SPAN_LIT(SCHEMA_STATUS));
	json_put_member_str(out, "version", span_str(VERSION));
	json_put_member_int(out, "pid", e->proc[ROLE_SUPERVISOR].pid);
	json_put_member_int(out, "started", e->started);
	put_seconds(out, "now", m.wall);
	put_configuration(out, e);
	put_gateways(out, &m, e, only);
	json_put_key(out, "processes");
	buf_adds(out, SPAN_LIT("["));
	for (r = 0; r < ROLE_KEPT; r++) {
		if (r > 0)
			buf_adds(out, SPAN_LIT(","));
		put_process(out, (enum role)r, &e->proc[r]);
	}
	buf_adds(out, SPAN_LIT("]}\n"));
}
