/* SPDX-License-Identifier: ISC */
/* The request for every gateway's counters. */
#include "control_priv.h"
#include "status.h"

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
