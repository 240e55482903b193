/* SPDX-License-Identifier: ISC */
/* relay-ctl status: one line per gateway, and an exit status that tells. */
#include <inttypes.h>
#include <string.h>

#include "client.h"
#include "explain.h"
#include "field.h"
#include "gwtext.h"
#include "json.h"
#include "state.h"

struct walk {
	struct table table;
	int status; /* the highest exit status so far */
};

static const char *const head[] = {
    "NAME", "STATE", "FOR", "URL", "AGENTS", "WAITING", "LAST"};
#define NCOL  (sizeof(head) / sizeof(head[0]))
#define RIGHT (1U << 2 | 1U << 4 | 1U << 5 | 1U << 6)

static int
count(struct span array)
{
	struct span elem;
	size_t pos = 0;
	int n = 0;

	while (json_each(array, &pos, &elem) == 1)
		n++;
	return n;
}

static void
raise_to(struct walk *w, int status)
{
	if (status > w->status)
		w->status = status;
}

static void
row(struct obj *g, void *arg)
{
	struct walk *w = arg;
	struct table *t = &w->table;
	struct span state;
	char age[OUT_AGE];
	enum tint tint;
	struct obj queue;

	table_text(t, TINT_NONE, field_str(g, "name"));
	state = field_str(g, "state");
	raise_to(w, gwtext_exit(state));
	tint = gwtext_tint(state);
	table_text(t, tint, state);
	table_fmt(t, TINT_NONE, "%s", out_age(age, field_int(g, "for_s", -1)));
	table_text(t, TINT_NONE, field_str(g, "url"));
	table_fmt(t, TINT_NONE, "%d", count(field_raw(g, "agents")));
	obj_sub(&queue, g, "queue");
	table_fmt(t, TINT_NONE, "%" PRId64, field_int(&queue, "events", 0));
	table_fmt(t, TINT_NONE, "%s",
	    out_age(age, field_int(g, "last_inbound_s", -1)));
	gwtext_notes(t, g);
}

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	struct walk w = {.status = CTL_OK};
	const char *name = arg;
	int n;

	table_init(&w.table, o, head, NCOL, RIGHT);
	n = gwtext_each(reply, name, row, &w);
	if (n == 0 && name != NULL) {
		ctl_warn("no gateway is named %s", name);
		w.status = CTL_FAILED;
	} else if (n == 0 && f != NULL)
		fprintf(f, "no gateways\n");
	table_print(&w.table, n > 0 ? f : NULL);
	return w.status;
}

/* A gateway as state.json tells it. */
static void
old_row(struct obj *g, void *arg)
{
	struct walk *w = arg;
	struct span s;

	table_text(&w->table, TINT_NONE, field_str(g, "name"));
	s = field_str(g, "state");
	raise_to(w, gwtext_exit(s));
	table_text(&w->table, TINT_NONE, s);
	table_text(&w->table, TINT_NONE, field_str(g, "reason"));
}

/*
 * The engine is silent but relayd lives: say what the supervisor last heard.
 * Nothing is connected while the engine is away, whatever stands there.
 */
static int
from_state(const struct ctl *ctl, const struct client *c, enum client_result r,
    const char *name)
{
	static const char *const old_head[] = {"NAME", "WAS", "REASON"};
	struct walk w = {.status = CTL_UNSETTLED};
	struct state st;

	if (r != CLIENT_ABSENT && r != CLIENT_SILENT && r != CLIENT_ENDED)
		return client_explain(c, ctl, r);
	if (state_warn(ctl, c->who) == -1)
		return client_explain(c, ctl, r);
	(void)state_read(&st, ctl);
	table_init(&w.table, &ctl->out, old_head, 3, 0);
	gwtext_each(buf_span(&st.text), name, old_row, &w);
	table_print(
	    &w.table, ctl->out.json || ctl->out.metrics ? NULL : stdout);
	if (ctl->out.json)
		fwrite(st.text.p + st.text.off, 1, buf_len(&st.text), stdout);
	state_free(&st);
	return w.status;
}

static int
answered(const struct ctl *ctl, struct span reply, char *name)
{
	int status = out_show(&ctl->out, reply, render, name);

	if (!ctl->out.json && !ctl->out.metrics)
		explain_refused_note(ctl, stdout);
	return status;
}

int
cmd_status(struct ctl *ctl)
{
	char *name = ctl->narg > 0 ? ctl->arg[0] : NULL;
	struct client c;
	struct span reply;
	enum client_result r;
	struct buf req;
	struct obj o;
	int status;

	ctl->out.metrics = ctl->opt[OPT_METRICS] != NULL;
	if (ctl->out.json && ctl->out.metrics)
		return ctl_usage("status", "--json or --metrics, not both");
	client_begin(&req, "status");
	if (name != NULL)
		json_put_member_str(&req, "gateway", span_str(name));
	r = client_ask(&c, ctl, &req, 1, CLIENT_WAIT_STATUS, &reply);
	if (r != CLIENT_OK)
		status = from_state(ctl, &c, r, name);
	else if (obj_parse(&o, reply) == 0 && field_true(&o, "ok"))
		status = answered(ctl, reply, name);
	else
		status = client_refused(&c, ctl, reply);
	client_close(&c);
	return status;
}
