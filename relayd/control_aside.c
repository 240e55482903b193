/* SPDX-License-Identifier: ISC */
/*
 * The requests about events that were put aside: show them, have them delivered
 * again, give them up.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "control_priv.h"
#include "log.h"
#include "quarantine.h"
#include "status.h"

/* Events in a reply; with their content, as far as this many bytes: the one
 * that reaches over it is still whole, and all fits into CONTROL_OUT_MAX. */
#define EVENTS_MAX  2000
#define CONTENT_MAX (CONTROL_OUT_MAX / 2)

struct listing {
	struct control *control;
	const struct engine_gw *eg;
	struct buf *out;
	int content;
	uint64_t total, shown;
};

static void
put_unix(struct buf *b, const char *key, int64_t ms)
{
	json_put_key(b, key);
	buf_addf(b, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}

/* The line as it stands, when it is JSON. */
static void
put_line(struct control *ct, struct buf *b, struct span line)
{
	json_put_key(b, "line");
	if (json_parse(&ct->doc, line.p, line.len, 0) == 0)
		status_put_json(b, line);
	else
		json_put_str(b, line);
}

static void
put_event(void *arg, const struct record_info *info)
{
	struct listing *l = arg;
	struct buf *b = l->out;
	char id[CORE_ID];

	l->total++;
	if (l->shown == EVENTS_MAX || buf_len(b) > CONTENT_MAX)
		return;
	buf_adds(b, l->shown++ > 0 ? SPAN_LIT(",{") : SPAN_LIT("{"));
	json_put_member_str(b, "gateway", span_str(l->eg->name));
	json_put_key(b, "bufferId");
	buf_add(b, id, core_put_id(info->epoch, info->seq, id));
	json_put_member_str(b, "session_key", info->session);
	json_put_member_str(b, "platform", info->platform);
	put_unix(b, "arrived", info->arrived);
	put_unix(b, "aside_at", info->aside_at);
	json_put_member_int(b, "attempts", info->attempts);
	json_put_member_int(b, "bytes", (int64_t)info->line.len);
	if (l->content)
		put_line(l->control, b, info->line);
	buf_adds(b, SPAN_LIT("}"));
}

void
aside_show(struct request *r)
{
	struct control *ct = r->c->control;
	struct listing l = {.control = ct, .out = &r->c->out};
	size_t i;

	if (control_named(r) == -1 || control_room(r) == -1)
		return;
	l.content = control_is(r, M_CONTENT, JSON_TRUE);
	if (l.content)
		log_info("control", r->eg == NULL ? NULL : r->eg->name,
		    "quarantine with content by uid %u, pid %d", r->c->uid,
		    r->c->pid);
	control_begin(r->c, 1);
	buf_addf(l.out, ",\"now\":%.3f", engine_wall());
	json_put_key(l.out, "events");
	buf_adds(l.out, SPAN_LIT("["));
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		l.eg = ct->e->gw[i];
		if (l.eg != NULL && l.eg->gw != NULL &&
		    (r->eg == NULL || r->eg == l.eg))
			quarantine_each(l.eg->gw, put_event, &l);
	}
	buf_adds(l.out, SPAN_LIT("]"));
	json_put_member_int(l.out, "total", (int64_t)l.total);
	json_put_member_int(l.out, "left_out", (int64_t)(l.total - l.shown));
	buf_adds(l.out, SPAN_LIT("}\n"));
	control_reply(r->c, "ask for one gateway");
}

/* The ids of all that is aside: what is done to one changes the list. */
struct ids {
	char (*id)[CORE_ID];
	size_t n, max;
};

static void
add_id(void *arg, const struct record_info *info)
{
	struct ids *ids = arg;
	size_t len;
	char id[CORE_ID];

	if (ids->n == ids->max)
		return;
	/* Without its quotes. */
	len = core_put_id(info->epoch, info->seq, id);
	(void)snprintf(
	    ids->id[ids->n++], CORE_ID, "%.*s", (int)len - 2, id + 1);
}

typedef const char *aside_act(struct gateway *gw, struct span buffer_id);

/* NULL, or why not even the first. */
static const char *
act_on_all(struct gateway *gw, aside_act *act, size_t *done)
{
	struct ids ids = {.max = gw->delivery.naside};
	const char *why = NULL;
	size_t i;

	if (ids.max == 0)
		return "nothing was put aside";
	if ((ids.id = calloc(ids.max, sizeof(*ids.id))) == NULL)
		return "out of memory";
	quarantine_each(gw, add_id, &ids);
	for (i = 0; i < ids.n; i++) {
		if ((why = act(gw, span_str(ids.id[i]))) != NULL)
			break;
		(*done)++;
	}
	free(ids.id);
	return *done > 0 ? NULL : why;
}

static void
act_on(struct request *r, const char *name, aside_act *act)
{
	struct engine *e = r->c->control->e;
	char scratch[CORE_ID], vis[4 * CORE_ID];
	struct client *c = r->c;
	const char *why;
	size_t done = 0;
	struct span id;

	if (control_gateway(r) == -1)
		return;
	id = json_str(r->doc, r->at[M_BUFFER_ID], scratch, sizeof(scratch));
	if (id.p == NULL || id.len == 0 || id.len >= CORE_ID) {
		control_refuse(c, "bad_request",
		    "bufferId is one of relayd's own, as quarantine shows "
		    "them, or \"all\"");
		return;
	}
	engine_now(e);
	if (span_eq(id, SPAN_LIT("all")))
		why = act_on_all(r->eg->gw, act, &done);
	else if ((why = act(r->eg->gw, id)) == NULL)
		done = 1;
	engine_turn(e);
	if (why != NULL) {
		control_refuse(
		    c, "refused", "gateway %s: %s", r->eg->name, why);
		return;
	}
	log_info("control", r->eg->name, "%s of %s (%zu) by uid %u, pid %d",
	    name, log_vis(vis, sizeof(vis), id), done, c->uid, c->pid);
	control_begin(c, 1);
	json_put_member_int(&c->out, "events", (int64_t)done);
	buf_adds(&c->out, SPAN_LIT("}\n"));
	client_flush(c);
}

void
aside_requeue(struct request *r)
{
	act_on(r, "requeue", quarantine_requeue);
}

void
aside_drop(struct request *r)
{
	act_on(r, "drop", quarantine_drop);
}
