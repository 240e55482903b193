/* SPDX-License-Identifier: ISC */
/*
 * Replies in a bundle: each member that a table names, as what the table says
 * it is.  One that later versions add is left out until somebody has judged
 * it here.
 */
#include <ctype.h>
#include <string.h>

#include "bundle.h"
#include "field.h"
#include "json.h"

/* Nesting of our own replies. */
#define DEPTH 8
#define PATH  128

enum shown {
	AS_IT_IS, /* a number, a boolean or null */
	RELEASE,  /* a version's number */
	PHRASES,  /* a sentence, or a word: what is known of it */
	URL,
	INSIDE, /* an object or array: its members */
	NAMED	/* a number for it: kind says of what */
};

struct member {
	const char *path;
	enum shown as;
	const char *kind;
};

#define M(p, as)            \
	{                   \
		p, as, NULL \
	}

static const struct member status_members[] = {
    M("ok", AS_IT_IS),
    M("schema", PHRASES),
    M("version", RELEASE),
    M("pid", AS_IT_IS),
    M("started", AS_IT_IS),
    M("now", AS_IT_IS),
    M("configuration", INSIDE),
    M("configuration.taken", AS_IT_IS),
    M("configuration.refused_at", AS_IT_IS),
    M("gateways", INSIDE),
    {"gateways.name", NAMED, "gateway"},
    M("gateways.state", PHRASES),
    M("gateways.phase", PHRASES),
    M("gateways.since", AS_IT_IS),
    M("gateways.for_s", AS_IT_IS),
    M("gateways.reason", PHRASES),
    M("gateways.url", URL),
    {"gateways.gateway_id", NAMED, "gateway-id"},
    {"gateways.tenant", NAMED, "tenant"},
    M("gateways.credential", INSIDE),
    M("gateways.credential.source", PHRASES),
    M("gateways.credential.usable", AS_IT_IS),
    M("gateways.credential.age_s", AS_IT_IS),
    M("gateways.credential.minted", AS_IT_IS),
    M("gateways.credential.reason", PHRASES),
    {"gateways.credential.tenant", NAMED, "tenant"},
    M("gateways.credential.policy", PHRASES),
    M("gateways.credential.worked", AS_IT_IS),
    M("gateways.revoked", INSIDE),
    M("gateways.revoked.at", AS_IT_IS),
    M("gateways.revoked.evidence", PHRASES),
    M("gateways.switched_off", AS_IT_IS),
    M("gateways.identities", INSIDE),
    {"gateways.identities.platform", NAMED, "platform"},
    {"gateways.identities.bot_id", NAMED, "bot"},
    M("gateways.identities.skipped", PHRASES),
    M("gateways.identities.descriptor_bytes", AS_IT_IS),
    M("gateways.attempt", AS_IT_IS),
    M("gateways.next_attempt_in_s", AS_IT_IS),
    M("gateways.last_close", INSIDE),
    M("gateways.last_close.code", AS_IT_IS),
    M("gateways.last_close.http_status", AS_IT_IS),
    M("gateways.last_close.reason", PHRASES),
    M("gateways.last_close.by", PHRASES),
    M("gateways.last_close.at", AS_IT_IS),
    M("gateways.last_close.ago_s", AS_IT_IS),
    M("gateways.last_failure", INSIDE),
    M("gateways.last_failure.phase", PHRASES),
    M("gateways.last_failure.reason", PHRASES),
    M("gateways.last_failure.code", AS_IT_IS),
    M("gateways.last_failure.http_status", AS_IT_IS),
    M("gateways.last_failure.at", AS_IT_IS),
    M("gateways.last_failure.ago_s", AS_IT_IS),
    {"gateways.address", NAMED, "address"},
    M("gateways.tls", PHRASES),
    M("gateways.rtt_ms", AS_IT_IS),
    M("gateways.clock_skew_s", AS_IT_IS),
    M("gateways.last_handshake_s", AS_IT_IS),
    M("gateways.last_pong_s", AS_IT_IS),
    M("gateways.last_heard_s", AS_IT_IS),
    M("gateways.last_inbound_s", AS_IT_IS),
    M("gateways.agents", INSIDE),
    M("gateways.agents.number", AS_IT_IS),
    {"gateways.agents.name", NAMED, "agent"},
    {"gateways.agents.uid", NAMED, "uid"},
    M("gateways.agents.pid", AS_IT_IS),
    {"gateways.agents.platforms", NAMED, "platform"},
    M("gateways.agents.since_s", AS_IT_IS),
    M("gateways.agents.window", AS_IT_IS),
    M("gateways.agents.ack_timeout_s", AS_IT_IS),
    M("gateways.agents.oldest_s", AS_IT_IS),
    M("gateways.agents.unacknowledged", AS_IT_IS),
    M("gateways.agents.queued", AS_IT_IS),
    M("gateways.agents.sessions", AS_IT_IS),
    M("gateways.agents.outstanding", AS_IT_IS),
    M("gateways.agents.draining", AS_IT_IS),
    M("gateways.agents.delivered", AS_IT_IS),
    M("gateways.agents.acknowledged", AS_IT_IS),
    M("gateways.when_no_agent", PHRASES),
    M("gateways.idle_in_s", AS_IT_IS),
    M("gateways.queue", INSIDE),
    M("gateways.queue.events", AS_IT_IS),
    M("gateways.queue.bytes", AS_IT_IS),
    M("gateways.queue.oldest_s", AS_IT_IS),
    M("gateways.queue.hushed", AS_IT_IS),
    M("gateways.queue.paused", AS_IT_IS),
    M("gateways.journal", INSIDE),
    M("gateways.journal.outlives_engine", AS_IT_IS),
    M("gateways.journal.bytes", AS_IT_IS),
    M("gateways.journal.capacity_bytes", AS_IT_IS),
    M("gateways.journal.aside", AS_IT_IS),
    M("gateways.journal.aside_bytes", AS_IT_IS),
    M("gateways.counters", INSIDE),
    M("gateways.counters.dials", AS_IT_IS),
    M("gateways.counters.handshakes", AS_IT_IS),
    M("gateways.counters.losses", AS_IT_IS),
    M("gateways.counters.lines_in", AS_IT_IS),
    M("gateways.counters.bytes_in", AS_IT_IS),
    M("gateways.counters.lines_bad", AS_IT_IS),
    M("gateways.counters.events_in", AS_IT_IS),
    M("gateways.counters.replays", AS_IT_IS),
    M("gateways.counters.events_left", AS_IT_IS),
    M("gateways.counters.delivered", AS_IT_IS),
    M("gateways.counters.redelivered", AS_IT_IS),
    M("gateways.counters.agent_acks", AS_IT_IS),
    M("gateways.counters.acks_out", AS_IT_IS),
    M("gateways.counters.outbound", AS_IT_IS),
    M("gateways.counters.outbound_ok", AS_IT_IS),
    M("gateways.counters.outbound_failed", AS_IT_IS),
    M("gateways.counters.outbound_ambiguous", AS_IT_IS),
    M("gateways.counters.interrupts", AS_IT_IS),
    M("gateways.counters.forwards_dropped", AS_IT_IS),
    M("gateways.counters.agent_lines_bad", AS_IT_IS),
    M("gateways.counters.unknown_frames", AS_IT_IS),
    M("gateways.counters.recovered", AS_IT_IS),
    M("gateways.counters.torn", AS_IT_IS),
    M("gateways.counters.suspects", AS_IT_IS),
    M("gateways.counters.aside", AS_IT_IS),
    M("gateways.counters.requeued", AS_IT_IS),
    M("gateways.counters.dropped", AS_IT_IS),
    M("processes", INSIDE),
    M("processes.role", PHRASES),
    M("processes.pid", AS_IT_IS),
    M("processes.state", PHRASES),
    M("processes.restarts", AS_IT_IS),
    M("processes.since", AS_IT_IS),
    M("processes.pss_kb", AS_IT_IS),
    M("processes.layers", INSIDE),
    M("processes.layers.user", PHRASES),
    M("processes.layers.chroot", PHRASES),
    M("processes.layers.nnp", PHRASES),
    M("processes.layers.nodump", PHRASES),
    M("processes.layers.seccomp", PHRASES),
    M("processes.layers.files", PHRASES),
    M("processes.layers.tcp", PHRASES),
    M("processes.layers.scope", PHRASES),
    M("processes.layers.secret", PHRASES),
    M("processes.lacking", PHRASES),
    {NULL, AS_IT_IS, NULL},
};

static const struct member state_members[] = {
    M("schema", PHRASES),
    M("version", RELEASE),
    M("pid", AS_IT_IS),
    M("updated", AS_IT_IS),
    M("phase", PHRASES),
    {"configuration", NAMED, "path"},
    {"state_directory", NAMED, "path"},
    M("processes", INSIDE),
    M("processes.role", PHRASES),
    M("processes.pid", AS_IT_IS),
    M("processes.state", PHRASES),
    M("processes.restarts", AS_IT_IS),
    M("processes.since", AS_IT_IS),
    M("processes.next_start_in_ms", AS_IT_IS),
    M("gateways", INSIDE),
    {"gateways.name", NAMED, "gateway"},
    M("gateways.state", PHRASES),
    M("gateways.reason", PHRASES),
    M("gateways.since", AS_IT_IS),
    {NULL, AS_IT_IS, NULL},
};

static const struct member credentials_members[] = {
    M("schema", PHRASES),
    M("credentials", INSIDE),
    {"credentials.gateway", NAMED, "gateway"},
    M("credentials.source", PHRASES),
    {"credentials.gateway_id", NAMED, "gateway-id"},
    {"credentials.tenant", NAMED, "tenant"},
    M("credentials.since", AS_IT_IS),
    M("credentials.age_s", AS_IT_IS),
    M("credentials.usable", AS_IT_IS),
    M("credentials.reason", PHRASES),
    M("credentials.policy", PHRASES),
    M("credentials.tokens_minted", AS_IT_IS),
    M("credentials.uses", INSIDE),
    M("credentials.uses.link", AS_IT_IS),
    M("credentials.uses.provision", AS_IT_IS),
    M("credentials.uses.enroll", AS_IT_IS),
    M("credentials.uses.policy", AS_IT_IS),
    M("credentials.last_refusal", INSIDE),
    M("credentials.last_refusal.at", AS_IT_IS),
    M("credentials.last_refusal.what", PHRASES),
    M("credentials.last_refusal.reason", PHRASES),
    M("credentials.revoked", INSIDE),
    M("credentials.revoked.at", AS_IT_IS),
    M("credentials.revoked.evidence", PHRASES),
    M("credentials.worked", AS_IT_IS),
    {NULL, AS_IT_IS, NULL},
};

static const struct member *const tables[] = {
    [DOC_STATUS] = status_members,
    [DOC_STATE] = state_members,
    [DOC_CREDENTIALS] = credentials_members,
};

struct walk {
	struct bundle_names *names;
	struct buf *out;
	const struct member *table;
	unsigned left_out; /* members that no table names */
};

static void put(struct walk *w, const char *path, struct span raw, int depth);

/* The row of a path. */
static const struct member *
find_member(const struct walk *w, const char *path)
{
	const struct member *m;

	for (m = w->table; m->path != NULL; m++)
		if (strcmp(m->path, path) == 0)
			return m;
	return NULL;
}

/* Whether a text can be a version's number; longer ones may be anything. */
static int
is_release(struct span s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (!isdigit((unsigned char)s.p[i]) && s.p[i] != '.')
			return 0;
	return s.len <= 11;
}

/* A number, true, false or null: no string, nothing with members. */
static int
is_plain(struct span raw)
{
	return raw.len > 0 && raw.len < 32 &&
	    memchr("-0123456789tfn", raw.p[0], 14) != NULL;
}

static void
put_text(struct walk *w, const struct member *m, struct span raw)
{
	char room[2 * LIMIT_EVIDENCE];
	struct json_doc doc;
	struct span s = {NULL, 0};
	struct buf shown;

	if (is_plain(raw) && (m->as != NAMED || raw.p[0] == 'n')) {
		buf_adds(w->out,
		    m->as == NAMED || raw.p[0] == 'n' ? SPAN_LIT("null")
						      : SPAN_LIT("\"…\""));
		return;
	}
	if (json_parse(&doc, raw.p, raw.len, 0) == 0)
		s = is_plain(raw)
		    ? raw
		    : json_str(&doc, JSON_ROOT, room, sizeof(room));
	buf_init(&shown, 0);
	if (s.p == NULL)
		buf_adds(&shown, SPAN_LIT("…"));
	else if (m->as == RELEASE && is_release(s))
		buf_adds(&shown, s);
	else if (m->as == URL)
		bundle_url(w->names, &shown, s);
	else if (m->as == NAMED)
		bundle_name(w->names, &shown, m->kind, s);
	else
		bundle_phrases(&shown, s);
	json_put_str(w->out, buf_span(&shown));
	buf_free(&shown);
}

static void
put_object(struct walk *w, const char *path, struct span raw, int depth)
{
	char key[64], below[PATH];
	const struct json_node *node;
	const struct member *m;
	struct json_doc doc;
	int at, n = 0;

	if (json_parse(&doc, raw.p, raw.len, 1) == -1 || doc.full) {
		buf_adds(w->out, SPAN_LIT("{}"));
		return;
	}
	buf_adds(w->out, SPAN_LIT("{"));
	for (at = json_first(&doc, JSON_ROOT); at != -1;
	     at = json_next(&doc, at)) {
		node = &doc.node[at];
		span_copy(key, sizeof(key),
		    (struct span){raw.p + node->key, node->keylen});
		snprintf(below, sizeof(below), "%s%s%s", path,
		    path[0] == '\0' ? "" : ".", key);
		m = find_member(w, below);
		if (m == NULL || node->keylen >= sizeof(key) ||
		    (node->esc & JSON_ESC_KEY) != 0 ||
		    strspn(key, "abcdefghijklmnopqrstuvwxyz_") !=
			node->keylen) {
			w->left_out++;
			continue;
		}
		buf_addf(w->out, "%s\n%*s\"%s\": ", n++ == 0 ? "" : ",",
		    2 * depth + 2, "", key);
		put(w, below, json_raw(&doc, at), depth + 1);
	}
	buf_addf(w->out, "\n%*s}", 2 * depth, "");
}

static void
put_array(struct walk *w, const struct member *m, const char *path,
    struct span raw, int depth)
{
	struct span elem;
	size_t pos = 0;
	int n = 0;

	buf_adds(w->out, SPAN_LIT("["));
	while (json_each(raw, &pos, &elem) == 1) {
		if (n++ > 0)
			buf_adds(w->out, SPAN_LIT(", "));
		if (m->as != INSIDE)
			put_text(w, m, elem);
		else if (elem.len > 0 && elem.p[0] == '{')
			put_object(w, path, elem, depth);
		else
			buf_adds(w->out, SPAN_LIT("\"…\""));
	}
	buf_adds(w->out, SPAN_LIT("]"));
}

static void
put(struct walk *w, const char *path, struct span raw, int depth)
{
	const struct member *m = find_member(w, path);

	if (m == NULL || depth > DEPTH)
		buf_adds(w->out, SPAN_LIT("null"));
	else if (m->as == INSIDE && raw.len > 0 && raw.p[0] == '{')
		put_object(w, path, raw, depth);
	else if (m->as != AS_IT_IS && raw.len > 0 && raw.p[0] == '[')
		put_array(w, m, path, raw, depth);
	else if (m->as == INSIDE || m->as == AS_IT_IS)
		buf_adds(w->out, is_plain(raw) ? raw : SPAN_LIT("\"…\""));
	else
		put_text(w, m, raw);
}

unsigned
bundle_json(struct bundle_names *names, struct buf *out, enum bundle_doc doc,
    struct span json)
{
	struct walk w = {names, out, tables[doc], 0};

	put_object(&w, "", json, 0);
	buf_adds(out, SPAN_LIT("\n"));
	return w.left_out;
}
