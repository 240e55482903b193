/* SPDX-License-Identifier: ISC */
/* What an event has come to, by the stages it went through; and how both are
 * called. */
#include <inttypes.h>
#include <stdio.h>

#include "core.h"
#include "stage.h"

static const char *const stage_names[STAGE_COUNT] = {
    [STAGE_ARRIVED] = "arrived",
    [STAGE_JOURNALLED] = "journalled",
    [STAGE_RECOVERED] = "recovered",
    [STAGE_DELIVERED] = "delivered",
    [STAGE_RETURNED] = "returned",
    [STAGE_ACKNOWLEDGED] = "acknowledged",
    [STAGE_DISCARDED] = "discarded",
    [STAGE_TOLD] = "acknowledged_to_connector",
    [STAGE_ASIDE] = "aside",
    [STAGE_REQUEUED] = "requeued",
    [STAGE_DROPPED] = "dropped",
    [STAGE_REPLAYED] = "replayed",
    [STAGE_SKIPPED] = "skipped",
    [STAGE_LEFT] = "left",
};

static const char *const state_names[STATE_COUNT] = {
    [STATE_NONE] = "unknown",
    [STATE_WAITING] = "waiting",
    [STATE_WITH_AGENT] = "with_agent",
    [STATE_ACKNOWLEDGED] = "acknowledged",
    [STATE_DONE] = "done",
    [STATE_ASIDE] = "aside",
    [STATE_DROPPED] = "dropped",
    [STATE_LEFT] = "left",
};

/* Where a stage leads; STATE_NONE: it stays where it is. */
static const enum stage_state leads_to[STAGE_COUNT] = {
    [STAGE_ARRIVED] = STATE_WAITING,
    [STAGE_DELIVERED] = STATE_WITH_AGENT,
    [STAGE_RETURNED] = STATE_WAITING,
    [STAGE_ACKNOWLEDGED] = STATE_ACKNOWLEDGED,
    [STAGE_DISCARDED] = STATE_ACKNOWLEDGED,
    [STAGE_ASIDE] = STATE_ASIDE,
    [STAGE_REQUEUED] = STATE_WAITING,
    [STAGE_DROPPED] = STATE_DROPPED,
    [STAGE_SKIPPED] = STATE_ACKNOWLEDGED,
    [STAGE_LEFT] = STATE_LEFT,
};

const char *
stage_word(enum stage stage)
{
	return stage_names[stage];
}

const char *
stage_state_word(enum stage_state state)
{
	return state_names[state];
}

void
stage_add(struct stage_sum *sum, const struct stage_step *step)
{
	enum stage_state to = leads_to[step->stage];

	if (to != STATE_NONE)
		sum->state = to;
	/* One that was acknowledged before all that is remembered. */
	if (step->stage == STAGE_REPLAYED && sum->state == STATE_NONE)
		sum->state = STATE_ACKNOWLEDGED;
	/* What is put aside is acknowledged in its order, whatever follows. */
	if (step->stage == STAGE_TOLD || step->stage == STAGE_ASIDE ||
	    step->key == 0)
		sum->told = 1;
	if (step->stage == STAGE_ARRIVED)
		sum->told = step->key == 0;
	if (sum->told &&
	    (sum->state == STATE_ACKNOWLEDGED || sum->state == STATE_NONE))
		sum->state = STATE_DONE;
}

void
stage_look(struct stage_sum *sum, const struct stage_id *id)
{
	const struct delivery *d = id->d;

	if (d == NULL)
		return;
	if (d->aside_at != 0)
		sum->told = 1;
	sum->state = d->aside ? STATE_ASIDE
	    : d->inflight     ? STATE_WITH_AGENT
			      : STATE_WAITING;
}

int
stage_is_end(const struct stage_sum *sum)
{
	return sum->state == STATE_DONE || sum->state == STATE_ASIDE ||
	    sum->state == STATE_DROPPED;
}

static const char *
why_waiting(const struct delivery *d, char out[STAGE_WHY])
{
	if (d->agent != NULL) {
		(void)snprintf(out, STAGE_WHY,
		    "queued for agent %" PRIu32 ", behind what that one has",
		    d->agent->number);
		return out;
	}
	if (d->session != NULL && d->session->blocked)
		return "its session is blocked by an event that agents do not "
		       "survive";
	return "no agent is there that takes it";
}

const char *
stage_why(const struct gateway *gw, const struct stage_id *id,
    const struct stage_sum *sum, char out[STAGE_WHY])
{
	switch (sum->state) {
	case STATE_WAITING:
		return id->d == NULL ? NULL : why_waiting(id->d, out);
	case STATE_ACKNOWLEDGED:
		return link_is_up(gw)
		    ? "acknowledgements leave in the order of arrival: an "
		      "earlier event is not acknowledged yet, or the "
		      "connector has yet to send this one again"
		    : "there is no link: the connector is told when it sends "
		      "the event again";
	case STATE_ASIDE:
		return "agents did not survive it; relay-ctl requeue or drop "
		       "decides";
	case STATE_LEFT:
		return "too much waits for agents; the connector sends it "
		       "again";
	default:
		return NULL;
	}
}
