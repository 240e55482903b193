/* SPDX-License-Identifier: ISC */
/*
 * The request that follows one event: the stages it went through, and when
 * asked, those to come until it is at its end.
 *
 * trace_step() is called from within the core, as control_tap() is.
 */
#include <inttypes.h>
#include <event2/event.h>

#include "control_priv.h"
#include "log.h"
#include "status.h"

/* Why there is nothing to tell, by what the id may be. */
static const char *const past_text[] = {
    [PAST_NEVER] = "it never came, or is another gateway's, or was done with "
		   "longer ago than ids are remembered",
    [PAST_OURS] = "it was done with, longer ago than its times are remembered",
    [PAST_OTHER] = "it is another gateway's, or was done with before relayd's "
		   "engine started last",
    [PAST_TAKEN] = "it was acknowledged or put aside, longer ago than its "
		   "times are remembered",
};

static const struct span null_span;

static void
put_unix(struct buf *b, const char *key, int64_t ms)
{
	json_put_key(b, key);
	buf_addf(b, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}

static void
put_ours(struct buf *b, uint64_t epoch, uint64_t seq)
{
	char id[CORE_ID];

	json_put_key(b, "bufferId");
	buf_add(b, id, core_put_id(epoch, seq, id));
}

/* "at" and what follows it. */
static void
put_step(struct buf *b, const struct stage_step *step)
{
	put_unix(b, "at", step->at);
	json_put_member_str(b, "stage", span_str(stage_word(step->stage)));
	if (step->agent != 0)
		json_put_member_int(b, "agent", step->agent);
	if (step->agent_name != NULL && step->agent_name[0] != '\0')
		json_put_member_str(
		    b, "agent_name", span_str(step->agent_name));
	if (step->stage == STAGE_DELIVERED) {
		json_put_member_int(b, "attempt", step->attempt);
		json_put_member_bool(b, "redelivered", step->tried);
	}
	if (step->stage == STAGE_RECOVERED)
		json_put_member_bool(b, "tried", step->tried);
	if (step->stage == STAGE_RETURNED || step->stage == STAGE_ASIDE)
		json_put_member_int(b, "attempts", step->attempt);
}

void
trace_put(struct buf *b, const char *kind, const struct engine_gw *eg,
    const struct stage_step *step)
{
	buf_adds(b, SPAN_LIT("{"));
	json_put_member_str(b, kind, SPAN_LIT("stage"));
	json_put_member_str(b, "gateway", span_str(eg->name));
	if (step->seq != 0)
		put_ours(b, step->epoch, step->seq);
	if (step->cid.len > 0)
		json_put_member_str(b, "connector_id", step->cid);
	put_step(b, step);
}

/* The history. */

struct history {
	struct buf *out;
	struct stage_sum sum;
	int n;
};

static void
add_step(void *arg, const struct stage_step *step)
{
	struct history *h = arg;

	stage_add(&h->sum, step);
	buf_adds(h->out, h->n++ > 0 ? SPAN_LIT(",{") : SPAN_LIT("{"));
	put_step(h->out, step);
	buf_adds(h->out, SPAN_LIT("}"));
}

static void
put_state(struct buf *b, const struct gateway *gw, const struct stage_id *id,
    const struct stage_sum *sum)
{
	char why[STAGE_WHY];
	const char *text = stage_why(gw, id, sum, why);

	json_put_member_str(b, "state", span_str(stage_state_word(sum->state)));
	if (text != NULL)
		json_put_member_str(b, "reason", span_str(text));
	else
		json_put_member_raw(b, "reason", null_span);
}

/* Both ids: the connector's as its record has it, or as we were asked. */
static void
put_ids(struct buf *b, const struct stage_id *id, struct span asked)
{
	struct record_info info;
	uint64_t epoch, seq;

	if (id->seq != 0)
		put_ours(b, id->epoch, id->seq);
	else
		json_put_member_raw(b, "bufferId", null_span);
	if (id->d != NULL) {
		journal_info(id->d->rec, &info);
		asked = info.cid;
	} else if (core_parse_id(asked, &epoch, &seq) == 0 &&
	    epoch == id->epoch && seq == id->seq)
		asked = null_span;
	if (asked.len > 0)
		json_put_member_str(b, "connector_id", asked);
	else
		json_put_member_raw(b, "connector_id", null_span);
}

/* What is for operators: of whom it is, and what it says. */
static void
put_record(struct client *c, const struct stage_id *id, int content)
{
	struct json_doc *doc = &c->control->doc;
	struct buf *b = &c->out;
	struct record_info info;

	if (c->kind != LISTEN_CONTROL || id->d == NULL)
		return;
	journal_info(id->d->rec, &info);
	json_put_member_str(b, "session_key", info.session);
	json_put_member_str(b, "platform", info.platform);
	json_put_member_int(b, "bytes", (int64_t)info.line.len);
	if (!content)
		return;
	json_put_key(b, "line");
	if (json_parse(doc, info.line.p, info.line.len, 0) == 0)
		status_put_json(b, info.line);
	else
		json_put_str(b, info.line);
}

/* The reply.  Returns what the event has come to. */
static struct stage_sum
put_history(struct request *r, const struct stage_id *id, struct span asked,
    int content)
{
	struct gateway *gw = r->eg->gw;
	struct history h = {.out = &r->c->out};
	int whole;

	control_begin(r->c, 1);
	buf_addf(h.out, ",\"now\":%.3f", engine_wall());
	json_put_member_str(h.out, "gateway", span_str(r->eg->name));
	put_ids(h.out, id, asked);
	json_put_key(h.out, "stages");
	buf_adds(h.out, SPAN_LIT("["));
	whole = stage_each(gw, id, add_step, &h);
	buf_adds(h.out, SPAN_LIT("]"));
	json_put_member_bool(h.out, "complete", whole);
	stage_look(&h.sum, id);
	put_state(h.out, gw, id, &h.sum);
	put_record(r->c, id, content);
	buf_adds(h.out, SPAN_LIT("}\n"));
	return h.sum;
}

/* Following. */

static void
follow_start(struct client *c, struct engine_gw *eg, const struct stage_id *id,
    const struct stage_sum *sum)
{
	c->following = 1;
	c->follow.eg = eg;
	c->follow.id = *id;
	c->follow.id.d = NULL;
	c->follow.sum = *sum;
	event_add(c->rd, NULL);
	tap_count(c->control, NULL);
}

static void
put_end(struct client *c)
{
	struct buf *b = &c->out;

	buf_adds(b, SPAN_LIT("{\"trace\":\"end\""));
	json_put_member_str(b, "gateway", span_str(c->follow.eg->name));
	buf_addf(b, ",\"at\":%.3f", engine_wall());
	put_state(b, c->follow.eg->gw, &c->follow.id, &c->follow.sum);
	buf_adds(b, SPAN_LIT("}\n"));
	c->following = 0;
}

void
trace_step(struct client *c, const struct stage_step *step)
{
	struct follow *f = &c->follow;

	if (!stage_is_of(&f->id, step))
		return;
	/* A connector may send one event again without end; a follower that
	 * missed a stage would be wrong from then on. */
	if (buf_len(&c->out) >= CONTROL_STREAM_HIGH) {
		client_doom(c);
		return;
	}
	trace_put(&c->out, "trace", f->eg, step);
	buf_adds(&c->out, SPAN_LIT("}\n"));
	stage_add(&f->sum, step);
	if (stage_is_end(&f->sum)) {
		put_end(c);
		tap_count(c->control, NULL);
	}
	client_flush(c);
}

/* The request. */

/* Nobody knows it: say what that may mean.  past: of the gateway that knows
 * most. */
static void
unknown(struct request *r, enum stage_past past)
{
	control_refuse(r->c, "unknown_event",
	    "no event of that id is known to %s%s: %s",
	    r->eg == NULL ? "any gateway" : "gateway ",
	    r->eg == NULL ? "" : r->eg->name, past_text[past]);
}

/* The gateway that knows the id, into r->eg.  0, or -1: refused. */
static int
find(struct request *r, struct span asked, struct stage_id *id)
{
	struct engine *e = r->c->control->e;
	struct engine_gw *eg, *found = NULL;
	enum stage_past past = PAST_NEVER, one;
	struct stage_id at;
	size_t i;

	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if ((eg = e->gw[i]) == NULL || eg->gw == NULL ||
		    (r->eg != NULL && r->eg != eg))
			continue;
		if (!stage_find(eg->gw, asked, &at)) {
			one = stage_past(eg->gw, asked);
			past =
			    one == PAST_NEVER || past == PAST_OURS ? past : one;
			continue;
		}
		if (found != NULL) {
			control_refuse(r->c, "unknown_gateway",
			    "gateways %s and %s both know that id; name one",
			    found->name, eg->name);
			return -1;
		}
		found = eg;
		*id = at;
	}
	if (found == NULL) {
		unknown(r, past);
		return -1;
	}
	r->eg = found;
	return 0;
}

/* 0, or -1: refused. */
static int
check_content(struct request *r, int content)
{
	struct client *c = r->c;

	if (!content)
		return 0;
	if (c->kind == LISTEN_STATUS) {
		control_refuse(c, "not_permitted",
		    "content is not shown on status.sock; use control.sock");
		return -1;
	}
	log_info("control", r->eg == NULL ? NULL : r->eg->name,
	    "trace with content by uid %u, pid %d", c->uid, c->pid);
	return 0;
}

void
trace_run(struct request *r)
{
	int content = control_is(r, M_CONTENT, JSON_TRUE);
	int follow = control_is(r, M_FOLLOW, JSON_TRUE);
	char scratch[LIMIT_BUFFER_ID + 1];
	struct stage_sum sum;
	struct stage_id id;
	struct span asked;
	int failed;

	if (control_named(r) == -1 || control_room(r) == -1)
		return;
	asked = json_str(r->doc, r->at[M_BUFFER_ID], scratch, sizeof(scratch));
	if (asked.p == NULL || asked.len == 0 || asked.len > LIMIT_BUFFER_ID) {
		control_refuse(r->c, "bad_request",
		    "bufferId is one of relayd's, EPOCH-NUMBER, or of the "
		    "connector's, which have at most %d bytes",
		    LIMIT_BUFFER_ID);
		return;
	}
	if (check_content(r, content) == -1)
		return;
	engine_now(r->c->control->e);
	if (find(r, asked, &id) == -1)
		return;
	sum = put_history(r, &id, asked, content);
	failed = r->c->out.failed;
	control_reply(r->c, "ask without content");
	if (!follow || failed)
		return;
	follow_start(r->c, r->eg, &id, &sum);
	if (stage_is_end(&sum)) {
		put_end(r->c);
		tap_count(r->c->control, NULL);
		client_flush(r->c);
	}
}
