/* SPDX-License-Identifier: ISC */
/* relay-ctl show: the views, their renderer, and the rows of gateways, agents
 * and processes. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth.h"
#include "client.h"
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
gateway_row(struct show *s, struct obj *g)
{
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
agents_of(struct show *s, struct obj *g)
{
	struct span elem, agents = field_raw(g, "agents");
	char name[LIMIT_NAME * 4 + 1];
	struct span n = field_str(g, "name");
	size_t pos = 0;

	snprintf(
	    name, sizeof(name), "%.*s", (int)n.len, n.p == NULL ? "" : n.p);
	while (json_each(agents, &pos, &elem) == 1)
		agent_row(&s->table, span_str(name), elem);
}

/* Gateways without agents, after the table. */
static void
no_agents_of(struct show *s, struct obj *g)
{
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
process_row(struct show *s, struct obj *p)
{
	struct table *t = &s->table;
	double since;
	char text[OUT_AGE];
	struct span state;
	int64_t v;

	table_text(t, TINT_NONE, field_str(p, "role"));
	state = field_str(p, "state");
	table_text(t,
	    span_eq(state, SPAN_LIT("running")) ? TINT_GOOD : TINT_BAD, state);
	v = field_int(p, "pid", -1);
	if (v == -1)
		table_text(t, TINT_NONE, SPAN_LIT("-"));
	else
		table_fmt(t, TINT_NONE, "%" PRId64, v);
	since = field_num(p, "since", -1);
	table_fmt(t, TINT_NONE, "%s",
	    since < 0		 ? "-"
		: s->now < since ? "0s"
				 : out_age(text, (int64_t)(s->now - since)));
	table_fmt(t, TINT_NONE, "%" PRId64, field_int(p, "restarts", 0));
	v = field_int(p, "pss_kb", -1);
	table_fmt(t, TINT_NONE, "%s", v == -1 ? "-" : out_size(text, v * 1024));
	layers_cell(t, p);
	state = field_str(p, "lacking");
	if (state.len > 0)
		table_note(
		    t, TINT_WARN, "lacking: %.*s", (int)state.len, state.p);
}

static const char *const gateways_head[] = {"NAME", "STATE", "FOR",
    "GATEWAY-ID", "CREDENTIAL", "PLATFORMS", "RTT", "HEARD", "ADDRESS", NULL};
static const char *const agents_head[] = {"GATEWAY", "#", "NAME", "UID/PID",
    "PLATFORMS", "FOR", "WINDOW", "UNACKED", "QUEUED", "SESSIONS", "ASKED",
    "DELIVERED", "ACKED", NULL};
static const char *const sessions_head[] = {
    "GATEWAY", "SESSION", "AGENT", "NAME", "OPEN", "OLDEST", "LAST", NULL};
static const char *const processes_head[] = {
    "ROLE", "STATE", "PID", "UPTIME", "RESTARTS", "MEMORY", "LAYERS", NULL};
static const char *const aside_head[] = {"GATEWAY", "BUFFERID", "SESSION",
    "PLATFORM", "ARRIVED", "ASIDE", "TRIES", "SIZE", NULL};
static const char *const credentials_head[] = {"GATEWAY", "SOURCE",
    "GATEWAY-ID", "TENANT", "AGE", "MINTED", "LAST-REFUSAL", NULL};
static const char *const config_head[] = {"KEY", "FROM", "VALUE", NULL};
static const char *const no_head[] = {NULL};

enum source { FROM_RELAYD, FROM_AUTHD, FROM_FILE };

#define COLUMN(n) (1U << (n))

struct view {
	const char *name;
	enum source source;
	const char *cmd;   /* the request */
	const char *array; /* the reply's member with the elements */
	const char *const *head;
	uint32_t right; /* COLUMN()s */
	show_row *row;
	const char *none; /* said when there are no elements */
	show_row *after;  /* of each element, after the table */
	/* The member that names the gateway, where we pick; for the rest,
	 * relayd does. */
	const char *pick;
	uint8_t per_gateway;
	uint8_t read_only; /* status.sock tells it, too */
	uint8_t content;   /* may be asked for people's messages */
};

static const struct view views[] = {
    {"gateways", FROM_RELAYD, "status", "gateways", gateways_head,
	COLUMN(2) | COLUMN(6) | COLUMN(7), gateway_row, "no gateways", NULL,
	NULL, 1, 1, 0},
    {"agents", FROM_RELAYD, "status", "gateways", agents_head,
	COLUMN(1) | 0xffU << 5, agents_of, "no gateways", no_agents_of, NULL, 1,
	1, 0},
    {"sessions", FROM_RELAYD, "sessions", "sessions", sessions_head,
	COLUMN(4) | COLUMN(5) | COLUMN(6), show_session, "no sessions", NULL,
	NULL, 1, 0, 0},
    {"processes", FROM_RELAYD, "status", "processes", processes_head,
	COLUMN(2) | COLUMN(3) | COLUMN(4) | COLUMN(5), process_row,
	"no processes", NULL, NULL, 0, 1, 0},
    {"counters", FROM_RELAYD, "counters", "gateways", no_head, 0, show_counters,
	"no gateways", NULL, NULL, 1, 1, 0},
    {"quarantine", FROM_RELAYD, "quarantine", "events", aside_head,
	COLUMN(5) | COLUMN(6) | COLUMN(7), show_aside, "nothing was put aside",
	NULL, NULL, 1, 0, 1},
    {"credentials", FROM_AUTHD, "credentials", "credentials", credentials_head,
	COLUMN(4) | COLUMN(5), show_credential, "no gateways", NULL, "gateway",
	1, 0, 0},
    {"config", FROM_FILE, NULL, "values", config_head, 0, show_value,
	"no values", NULL, "key", 1, 1, 0},
};

const struct ctl_words show_words = {
    "WHAT", views, sizeof(views) / sizeof(views[0]), sizeof(views[0])};

/* Whether the element is of the gateway asked for: NAME, or
 * gateways.NAME.KEY. */
static int
is_picked(const struct show *s, struct obj *o)
{
	static const char below[] = "gateways.";
	struct span is;
	size_t n;

	if (s->name == NULL || s->view->pick == NULL)
		return 1;
	is = field_str(o, s->view->pick);
	if (s->view->source != FROM_FILE)
		return span_eq(is, span_str(s->name));
	n = strlen(s->name);
	return is.len > sizeof(below) + n &&
	    memcmp(is.p, below, sizeof(below) - 1) == 0 &&
	    memcmp(is.p + sizeof(below) - 1, s->name, n) == 0 &&
	    is.p[sizeof(below) - 1 + n] == '.';
}

/* Call fn for each element; how many there were. */
static int
each(struct show *s, const struct obj *root, show_row *fn)
{
	struct span elem;
	struct obj *o;
	size_t pos = 0;
	int n = 0;

	if (fn == NULL || (o = malloc(sizeof(*o))) == NULL)
		return 0;
	while (json_each(field_raw(root, s->view->array), &pos, &elem) == 1) {
		if (obj_parse(o, elem) == -1 || !is_picked(s, o))
			continue;
		fn(s, o);
		n++;
	}
	free(o);
	return n;
}

/* Rows that the reply had no room for. */
static void
tell_left_out(const struct show *s, const struct obj *root)
{
	int64_t n = field_int(root, "left_out", 0);

	if (s->f != NULL && n > 0)
		fprintf(s->f,
		    "%" PRId64 " more %s are not shown; name a gateway for its "
		    "own\n",
		    n, s->view->array);
}

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	struct show *s = arg;
	struct obj *root;
	size_t ncol = 0;
	int n;

	if ((root = malloc(sizeof(*root))) == NULL) {
		ctl_warn("no memory");
		return CTL_FAILED;
	}
	obj_parse(root, reply);
	s->f = f;
	s->now = field_num(root, "now", (double)time(NULL));
	while (s->view->head[ncol] != NULL)
		ncol++;
	table_init(&s->table, o, s->view->head, ncol, s->view->right);
	n = each(s, root, s->view->row);
	table_print(&s->table, s->table.n > 0 ? f : NULL);
	if (n == 0 && s->name != NULL)
		ctl_warn("no gateway is named %s", s->name);
	else if (n == 0 && f != NULL)
		fprintf(f, "%s\n", s->view->none);
	each(s, root, s->view->after);
	tell_left_out(s, root);
	if (s->view->source == FROM_FILE && f != NULL)
		show_refused(s, root);
	free(root);
	return n == 0 && s->name != NULL ? CTL_FAILED : CTL_OK;
}

static int
ask(const struct show *s, struct client *c, struct span *reply)
{
	const struct view *v = s->view;
	struct buf req;

	if (v->source == FROM_AUTHD) {
		auth_begin(&req, v->cmd);
		return auth_do(c, s->ctl, &req, AUTH_WAIT_STORE, NULL, reply);
	}
	client_begin(&req, v->cmd);
	client_gateway(&req, s->name);
	if (s->ctl->opt[OPT_CONTENT] != NULL)
		json_put_member_bool(&req, "content", 1);
	return client_do(
	    c, s->ctl, &req, v->read_only, CLIENT_WAIT_STATUS, reply);
}

static int
show(struct show *s)
{
	struct client c = {.fd = -1};
	struct buf text;
	struct span reply;
	int status;

	buf_init(&text, 0);
	if (s->view->source == FROM_FILE) {
		status = show_config_read(s->ctl, &text);
		reply = buf_span(&text);
	} else
		status = ask(s, &c, &reply);
	if (status == CTL_OK)
		status = out_show(&s->ctl->out, reply, render, s);
	client_close(&c);
	buf_free(&text);
	return status;
}

int
cmd_show(struct ctl *ctl)
{
	struct show s = {.ctl = ctl};
	const struct view *v;
	int i;

	if ((i = ctl_match("show takes", ctl->arg[0], show_words.words,
		 show_words.n, show_words.stride)) == -1)
		return CTL_USAGE;
	v = s.view = &views[i];
	if (ctl->narg == 2 && !v->per_gateway)
		return ctl_usage("show", "%s are not of a gateway", v->name);
	if (ctl->opt[OPT_CONTENT] != NULL && !v->content)
		return ctl_usage("show", "%s have no content to show", v->name);
	s.name = ctl->narg == 2 ? ctl->arg[1] : NULL;
	return show(&s);
}
