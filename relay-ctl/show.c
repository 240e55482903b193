/* SPDX-License-Identifier: ISC */
/* relay-ctl show: gateways, agents, processes.  show_work.c has what waits,
 * cred.c the credentials. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "client.h"
#include "field.h"
#include "gwtext.h"
#include "json.h"
#include "show.h"

/* "a, b, c" of the elements' member (NULL: the elements are strings). */
static void
join_cell(struct table *t, struct span array, const char *member)
{
	struct span elem, s;
	struct obj o;
	size_t pos = 0;
	struct buf b;

	buf_init(&b, 4096);
	while (json_each(array, &pos, &elem) == 1) {
		if (member == NULL) {
			json_parse(&o.doc, elem.p, elem.len, 0);
			s = json_str(
			    &o.doc, JSON_ROOT, o.scratch, sizeof(o.scratch));
		} else {
			obj_parse(&o, elem);
			s = field_str(&o, member);
		}
		if (buf_len(&b) > 0)
			buf_adds(&b, SPAN_LIT(","));
		buf_adds(&b, s);
	}
	table_text(t, TINT_NONE, buf_span(&b));
	buf_free(&b);
}

static void
credential_cell(struct table *t, const struct obj *g)
{
	struct span source;
	char age[OUT_AGE];
	struct obj c;
	int usable;

	obj_sub(&c, g, "credential");
	usable = field_true(&c, "usable");
	source = field_str(&c, "source");
	table_fmt(t, usable ? TINT_NONE : TINT_WARN, "%.*s %s", (int)source.len,
	    source.p == NULL ? "" : source.p,
	    usable ? out_age(age, field_int(&c, "age_s", -1)) : "unusable");
}

static void
gateway_row(struct obj *g, void *arg)
{
	struct show *s = arg;
	struct table *t = &s->table;
	struct span state;
	char text[OUT_AGE];
	int64_t rtt;

	table_text(t, TINT_NONE, field_str(g, "name"));
	state = field_str(g, "state");
	table_text(t, gwtext_tint(state), state);
	table_fmt(t, TINT_NONE, "%s", out_age(text, field_int(g, "for_s", -1)));
	table_text(t, TINT_NONE, field_str(g, "gateway_id"));
	credential_cell(t, g);
	join_cell(t, field_raw(g, "identities"), "platform");
	rtt = field_int(g, "rtt_ms", -1);
	if (rtt < 0)
		table_text(t, TINT_NONE, SPAN_LIT("-"));
	else
		table_fmt(t, TINT_NONE, "%" PRId64 " ms", rtt);
	table_fmt(t, TINT_NONE, "%s",
	    out_age(text, field_int(g, "last_heard_s", -1)));
	table_text(t, TINT_NONE, field_str(g, "address"));
	gwtext_notes(t, g);
	s->rows++;
}

static void
agent_row(struct table *t, struct span gateway, struct span agent)
{
	static const char *const number[] = {"window", "unacknowledged",
	    "queued", "sessions", "outstanding", "delivered", "acknowledged"};
	char age[OUT_AGE];
	struct obj a;
	size_t i;

	obj_parse(&a, agent);
	table_text(t, TINT_NONE, gateway);
	table_fmt(t, TINT_NONE, "%" PRId64, field_int(&a, "number", 0));
	table_text(t, TINT_NONE, field_str(&a, "name"));
	table_fmt(t, TINT_NONE, "%" PRId64 "/%" PRId64,
	    field_int(&a, "uid", -1), field_int(&a, "pid", -1));
	join_cell(t, field_raw(&a, "platforms"), NULL);
	table_fmt(
	    t, TINT_NONE, "%s", out_age(age, field_int(&a, "since_s", -1)));
	for (i = 0; i < sizeof(number) / sizeof(number[0]); i++)
		table_fmt(
		    t, TINT_NONE, "%" PRId64, field_int(&a, number[i], 0));
	if (field_true(&a, "draining"))
		table_note(t, TINT_WARN, "draining: takes no new events");
}

static void
agents_of(struct obj *g, void *arg)
{
	struct show *s = arg;
	struct span elem, agents = field_raw(g, "agents");
	char name[LIMIT_NAME * 4 + 1];
	struct span n = field_str(g, "name");
	size_t pos = 0;

	snprintf(
	    name, sizeof(name), "%.*s", (int)n.len, n.p == NULL ? "" : n.p);
	while (json_each(agents, &pos, &elem) == 1) {
		agent_row(&s->table, span_str(name), elem);
		s->rows++;
	}
}

/* Gateways without agents, after the table. */
static void
no_agents_of(struct obj *g, void *arg)
{
	struct show *s = arg;
	struct span elem, agents = field_raw(g, "agents");
	size_t pos = 0;
	char *name;

	if (s->f == NULL || json_each(agents, &pos, &elem) == 1)
		return;
	if ((name = out_safe(field_str(g, "name"))) == NULL)
		return;
	fprintf(s->f, "no agents attached to %s; socket: %s/agent/%s.sock\n",
	    name, s->ctl->rundir, name);
	free(name);
}

/* "user chroot nnp": the layers that are held. */
static void
layers_cell(struct table *t, const struct obj *p)
{
	struct obj layers;
	struct span key;
	struct buf b;
	int n;

	obj_sub(&layers, p, "layers");
	buf_init(&b, 1024);
	for (n = json_first(&layers.doc, JSON_ROOT); n != -1;
	     n = json_next(&layers.doc, n)) {
		if (!span_eq(json_str_raw(&layers.doc, n), SPAN_LIT("held")))
			continue;
		key.p = layers.doc.text + layers.doc.node[n].key;
		key.len = layers.doc.node[n].keylen;
		if (buf_len(&b) > 0)
			buf_adds(&b, SPAN_LIT(" "));
		buf_adds(&b, key);
	}
	table_text(t, TINT_NONE, buf_span(&b));
	buf_free(&b);
}

static void
process_row(struct table *t, struct span process, double now)
{
	double since;
	char text[OUT_AGE];
	struct span state;
	struct obj p;
	int64_t v;

	obj_parse(&p, process);
	table_text(t, TINT_NONE, field_str(&p, "role"));
	state = field_str(&p, "state");
	table_text(t,
	    span_eq(state, SPAN_LIT("running")) ? TINT_GOOD : TINT_BAD, state);
	v = field_int(&p, "pid", -1);
	if (v == -1)
		table_text(t, TINT_NONE, SPAN_LIT("-"));
	else
		table_fmt(t, TINT_NONE, "%" PRId64, v);
	since = field_num(&p, "since", -1);
	table_fmt(t, TINT_NONE, "%s",
	    since < 0	      ? "-"
		: now < since ? "0s"
			      : out_age(text, (int64_t)(now - since)));
	table_fmt(t, TINT_NONE, "%" PRId64, field_int(&p, "restarts", 0));
	v = field_int(&p, "pss_kb", -1);
	table_fmt(t, TINT_NONE, "%s", v == -1 ? "-" : out_size(text, v * 1024));
	layers_cell(t, &p);
	state = field_str(&p, "lacking");
	if (state.len > 0)
		table_note(
		    t, TINT_WARN, "lacking: %.*s", (int)state.len, state.p);
}

static int
render_gateways(const struct out *o, FILE *f, struct span reply, void *arg)
{
	static const char *const head[] = {"NAME", "STATE", "FOR", "GATEWAY-ID",
	    "CREDENTIAL", "PLATFORMS", "RTT", "HEARD", "ADDRESS"};
	struct show *s = arg;

	table_init(&s->table, o, head, sizeof(head) / sizeof(head[0]),
	    1U << 2 | 1U << 6 | 1U << 7);
	gwtext_each(reply, s->name, gateway_row, s);
	table_print(&s->table, s->rows > 0 ? f : NULL);
	if (s->rows == 0 && f != NULL)
		fprintf(f, "no gateways\n");
	return CTL_OK;
}

static int
render_agents(const struct out *o, FILE *f, struct span reply, void *arg)
{
	static const char *const head[] = {"GATEWAY", "#", "NAME", "UID/PID",
	    "PLATFORMS", "FOR", "WINDOW", "UNACKED", "QUEUED", "SESSIONS",
	    "ASKED", "DELIVERED", "ACKED"};
	struct show *s = arg;

	s->f = f;
	table_init(&s->table, o, head, sizeof(head) / sizeof(head[0]),
	    1U << 1 | 0xffU << 5);
	gwtext_each(reply, s->name, agents_of, s);
	table_print(&s->table, s->rows > 0 ? f : NULL);
	gwtext_each(reply, s->name, no_agents_of, s);
	return CTL_OK;
}

static int
render_processes(const struct out *o, FILE *f, struct span reply, void *arg)
{
	static const char *const head[] = {
	    "ROLE", "STATE", "PID", "UPTIME", "RESTARTS", "MEMORY", "LAYERS"};
	struct show *s = arg;
	struct span elem;
	struct obj root;
	size_t pos = 0;

	obj_parse(&root, reply);
	table_init(&s->table, o, head, sizeof(head) / sizeof(head[0]),
	    1U << 2 | 1U << 3 | 1U << 4 | 1U << 5);
	while (json_each(field_raw(&root, "processes"), &pos, &elem) == 1) {
		process_row(&s->table, elem,
		    field_num(&root, "now", (double)time(NULL)));
		s->rows++;
	}
	table_print(&s->table, s->rows > 0 ? f : NULL);
	if (s->rows == 0 && f != NULL)
		fprintf(f, "no processes\n");
	return CTL_OK;
}

static const struct {
	const char *name;
	const char *cmd;    /* the request; NULL: another file's */
	out_render *render; /* its arg is struct show */
	uint8_t per_gateway;
	uint8_t read_only; /* status.sock tells it, too */
	uint8_t content;   /* may be asked for people's messages */
} things[] = {
    {"gateways", "status", render_gateways, 1, 1, 0},
    {"agents", "status", render_agents, 1, 1, 0},
    {"sessions", "sessions", show_sessions, 1, 0, 0},
    {"processes", "status", render_processes, 0, 1, 0},
    {"counters", "counters", show_counters, 1, 1, 0},
    {"quarantine", "quarantine", show_quarantine, 1, 0, 1},
    {"credentials", NULL, NULL, 1, 0, 0},
};
#define NTHINGS (sizeof(things) / sizeof(things[0]))

static int
show(struct show *s, int i)
{
	const struct ctl *ctl = s->ctl;
	struct client c;
	struct span reply;
	struct buf req;
	int status;

	client_begin(&req, things[i].cmd);
	client_gateway(&req, s->name);
	if (ctl->opt[OPT_CONTENT] != NULL)
		json_put_member_bool(&req, "content", 1);
	status = client_do(
	    &c, ctl, &req, things[i].read_only, CLIENT_WAIT_STATUS, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, things[i].render, s);
	client_close(&c);
	return status;
}

int
cmd_show(struct ctl *ctl)
{
	struct show s = {.ctl = ctl};
	int i;

	i = ctl_match(
	    "show takes", ctl->arg[0], things, NTHINGS, sizeof(things[0]));
	if (i == -1)
		return CTL_USAGE;
	if (ctl->narg == 2 && !things[i].per_gateway)
		return ctl_usage(
		    "show", "%s are not of a gateway", things[i].name);
	if (ctl->opt[OPT_CONTENT] != NULL && !things[i].content)
		return ctl_usage(
		    "show", "%s have no content to show", things[i].name);
	s.name = ctl->narg == 2 ? ctl->arg[1] : NULL;
	if (things[i].cmd == NULL)
		return cred_show(ctl, s.name);
	return show(&s, i);
}
