/* SPDX-License-Identifier: ISC */
/*
 * The requests of the control protocol, version 1 (docs/relayd-control.5):
 * what each may say, on which socket, and what is done about it.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control_priv.h"
#include "log.h"
#include "schema.h"
#include "status.h"

/* Seconds an answer may take: the core answers a request at the latest after
 * 10 s of waiting for the link and 30 s for the result... */
#define SEND_WAIT 45
/* ... and each of the two phases of a reload has 10 s. */
#define RELOAD_WAIT 25
/* Letters of an op's name that is logged. */
#define OP_MAX 24
/* Bytes of a gateway list in an error text. */
#define NAMES_MAX 160

static const struct json_want members[M_COUNT] = {
    [M_CMD] = JSON_WANT("cmd", JSON_T(JSON_STRING), 1),
    [M_CLIENT] = JSON_WANT("client", JSON_T(JSON_STRING), 0),
    [M_SCHEMA] = JSON_WANT("schema", JSON_T(JSON_STRING), 0),
    [M_GATEWAY] = JSON_WANT("gateway", JSON_T(JSON_STRING), 0),
    [M_ACTION] = JSON_WANT("action", JSON_T(JSON_OBJECT), 0),
    [M_CONTENT] =
	JSON_WANT("content", JSON_T(JSON_TRUE) | JSON_T(JSON_FALSE), 0),
    [M_SESSION_KEY] = JSON_WANT("session_key", JSON_T(JSON_STRING), 0),
    [M_BUFFER_ID] = JSON_WANT("bufferId", JSON_T(JSON_STRING), 0),
    [M_LEVEL] = JSON_WANT("level", JSON_T(JSON_STRING), 0),
    [M_LINES] = JSON_WANT("lines", JSON_T(JSON_TRUE) | JSON_T(JSON_FALSE), 0),
    [M_FOLLOW] = JSON_WANT("follow", JSON_T(JSON_TRUE) | JSON_T(JSON_FALSE), 0),
};

#define M(m) (1U << (m))

struct command {
	const char *name;
	uint8_t on_status; /* permitted on status.sock */
	uint8_t changes;   /* changes something: logged, same version only */
	uint32_t may;	   /* M() of the members it knows */
	uint32_t must;
	void (*run)(struct request *r);
};

static void run_status(struct request *r);
static void run_watch(struct request *r);
static void run_tap(struct request *r);
static void run_send(struct request *r);
static void run_reload(struct request *r);

static const struct command commands[] = {
    {"status", 1, 0, M(M_GATEWAY), 0, run_status},
    {"watch", 1, 0, 0, 0, run_watch},
    {"tap", 0, 0, M(M_GATEWAY) | M(M_CONTENT) | M(M_LINES), 0, run_tap},
    {"send", 0, 1, M(M_GATEWAY) | M(M_ACTION), M(M_ACTION), run_send},
    {"reload", 0, 1, 0, 0, run_reload},
    /* control_wish.c */
    {"enable", 0, 1, M(M_GATEWAY), 0, wish_enable},
    {"disable", 0, 1, M(M_GATEWAY), 0, wish_disable},
    {"idle", 0, 1, M(M_GATEWAY), 0, wish_idle},
    {"wake", 0, 1, M(M_GATEWAY), 0, wish_wake},
    {"dormant", 0, 1, M(M_GATEWAY), 0, wish_dormant},
    {"reconnect", 0, 1, M(M_GATEWAY), 0, wish_reconnect},
    {"interrupt", 0, 1, M(M_GATEWAY) | M(M_SESSION_KEY), M(M_SESSION_KEY),
	wish_interrupt},
    /* control_show.c */
    {"counters", 1, 0, M(M_GATEWAY), 0, show_counters},
    /* control_sessions.c */
    {"sessions", 0, 0, M(M_GATEWAY), 0, show_sessions},
    /* control_aside.c */
    {"quarantine", 0, 0, M(M_GATEWAY) | M(M_CONTENT), 0, aside_show},
    {"requeue", 0, 1, M(M_GATEWAY) | M(M_BUFFER_ID), M(M_BUFFER_ID),
	aside_requeue},
    {"drop", 0, 1, M(M_GATEWAY) | M(M_BUFFER_ID), M(M_BUFFER_ID), aside_drop},
    /* control_log.c */
    {"log", 0, 1, M(M_LEVEL), 0, log_run},
    /* control_trace.c */
    {"trace", 1, 0, M(M_GATEWAY) | M(M_BUFFER_ID) | M(M_CONTENT) | M(M_FOLLOW),
	M(M_BUFFER_ID), trace_run},
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

void
control_begin(struct client *c, int ok)
{
	buf_adds(
	    &c->out, ok ? SPAN_LIT("{\"ok\":true") : SPAN_LIT("{\"ok\":false"));
	json_put_member_str(&c->out, "schema", SPAN_LIT(SCHEMA_CONTROL));
	json_put_member_str(&c->out, "version", span_str(VERSION));
}

void
control_refuse(struct client *c, const char *code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	control_begin(c, 0);
	json_put_member_str(&c->out, "code", span_str(code));
	json_put_member_str(&c->out, "error", span_str(text));
	buf_adds(&c->out, SPAN_LIT("}\n"));
	client_flush(c);
}

void
control_ok(struct client *c)
{
	control_begin(c, 1);
	buf_adds(&c->out, SPAN_LIT("}\n"));
	client_flush(c);
}

/* "a, b, c …": the gateways there are. */
static void
gateway_names(const struct engine *e, char *out, size_t cap)
{
	size_t i, n = 0;
	int w;

	out[0] = '\0';
	for (i = 0; i < LIMIT_GATEWAYS; i++) {
		if (e->gw[i] == NULL)
			continue;
		w = snprintf(out + n, cap - n, "%s%s", n == 0 ? "" : ", ",
		    e->gw[i]->name);
		if (w < 0 || (size_t)w >= cap - n) {
			strlcpy(
			    out + cap - sizeof("..."), "...", sizeof("..."));
			return;
		}
		n += (size_t)w;
	}
	if (n == 0)
		strlcpy(out, "none", cap);
}

/* Refuse for want of a gateway.  Returns -1. */
static int
no_gateway(struct request *r, struct span name)
{
	char names[NAMES_MAX], vis[4 * LIMIT_NAME + 1];

	gateway_names(r->c->control->e, names, sizeof(names));
	if (name.p == NULL)
		control_refuse(r->c, "unknown_gateway",
		    "name the gateway; there are: %s", names);
	else
		control_refuse(r->c, "unknown_gateway",
		    "no gateway is named %s; there are: %s",
		    log_vis(vis, sizeof(vis), name), names);
	return -1;
}

int
control_named(struct request *r)
{
	char scratch[LIMIT_NAME + 1];
	struct span name;

	r->eg = NULL;
	if (r->at[M_GATEWAY] == -1)
		return 0;
	name = json_str(r->doc, r->at[M_GATEWAY], scratch, sizeof(scratch));
	if (name.p == NULL)
		name = SPAN_LIT("(longer than any)");
	else
		r->eg = engine_find(r->c->control->e, name);
	return r->eg == NULL ? no_gateway(r, name) : 0;
}

/* The same, or the only one there is. */
int
control_gateway(struct request *r)
{
	if (control_named(r) == -1)
		return -1;
	if (r->eg == NULL)
		r->eg = engine_find(r->c->control->e, (struct span){NULL, 0});
	return r->eg == NULL ? no_gateway(r, (struct span){NULL, 0}) : 0;
}

int
control_is(const struct request *r, int member, enum json_type type)
{
	return r->at[member] != -1 && r->doc->node[r->at[member]].type == type;
}

int
control_room(struct request *r)
{
	const struct client *c;
	size_t waiting = 0;

	TAILQ_FOREACH (c, &r->c->control->clients, entry)
		waiting += buf_len(&c->out);
	if (waiting <= CONTROL_OUT_ALL - CONTROL_OUT_MAX)
		return 0;
	control_refuse(
	    r->c, "busy", "too many clients leave their replies unread");
	return -1;
}

void
control_reply(struct client *c, const char *small)
{
	if (!c->out.failed) {
		client_flush(c);
		return;
	}
	buf_reset(&c->out);
	control_refuse(c, "failed", "the reply takes more than %u bytes; %s",
	    CONTROL_OUT_MAX, small);
}

static void
run_status(struct request *r)
{
	if (control_named(r) == -1 || control_room(r) == -1)
		return;
	status_document(r->c->control->e, r->eg, &r->c->out);
	control_reply(r->c, "ask for one gateway");
}

static void
run_watch(struct request *r)
{
	control_ok(r->c);
	watch_start(r->c);
}

static void
run_tap(struct request *r)
{
	int content = control_is(r, M_CONTENT, JSON_TRUE);

	if (control_named(r) == -1)
		return;
	log_info("control", r->eg == NULL ? NULL : r->eg->name,
	    "tap%s by uid %u, pid %d", content ? " with content" : "",
	    r->c->uid, r->c->pid);
	control_ok(r->c);
	r->c->content = content != 0;
	r->c->no_lines = control_is(r, M_LINES, JSON_FALSE) != 0;
	tap_start(r->c, r->eg);
}

/* An op as it may be logged: what is no name of one may be anything. */
static struct span
op_name(struct span op)
{
	size_t i;

	for (i = 0; i < op.len; i++)
		if (op.p[i] != '_' && (op.p[i] < 'a' || op.p[i] > 'z'))
			break;
	return op.len > 0 && i == op.len && op.len <= OP_MAX
	    ? op
	    : SPAN_LIT("of no known kind");
}

static void
run_send(struct request *r)
{
	static const struct json_want want = JSON_WANT("op", JSON_ANY, 0);
	struct engine *e = r->c->control->e;
	char scratch[64];
	const struct json_doc *doc = r->doc;
	struct client *c = r->c;
	struct json_doc part;
	struct span name, op;
	const char *why;
	uint64_t cookie;
	int action = r->at[M_ACTION];

	if (control_gateway(r) == -1)
		return;
	why = json_pick(&doc, &action, &part, &e->core->key, &want, 1);
	if (why != NULL) {
		control_refuse(c, "bad_request", "action: %s", why);
		return;
	}
	name = json_str(
	    doc, json_get(doc, action, "op"), scratch, sizeof(scratch));
	if (name.p == NULL) {
		control_refuse(c, "bad_request",
		    "action.op is missing, or no short string");
		return;
	}
	op = op_name(name);
	log_info("control", r->eg->name, "action %.*s by uid %u, pid %d",
	    (int)op.len, op.p, c->uid, c->pid);
	cookie = client_wait(c, SEND_WAIT);
	core_now(e->core, engine_clock());
	why = core_send(r->eg->gw, json_raw(r->doc, r->at[M_ACTION]), cookie);
	engine_turn(e);
	if (why != NULL && client_answered(c->control, cookie) == c)
		control_refuse(c, "refused", "%s", why);
}

void
control_send_result(
    struct control *ct, uint64_t cookie, int theirs, struct span result)
{
	struct client *c = client_answered(ct, cookie);
	struct json_doc doc;
	char scratch[1024];
	struct span error;
	int at;

	if (c == NULL)
		return; /* it is gone, or was told that time was up */
	if (json_parse(&doc, result.p, result.len, 1) == -1 ||
	    doc.node[JSON_ROOT].type != JSON_OBJECT) {
		control_refuse(
		    c, "failed", "the connector's result is no JSON object");
		return;
	}
	at = json_get(&doc, JSON_ROOT, "success");
	if (at != -1 && doc.node[at].type == JSON_TRUE)
		control_begin(c, 1);
	else {
		error = json_str(&doc, json_get(&doc, JSON_ROOT, "error"),
		    scratch, sizeof(scratch));
		theirs = theirs && error.p != NULL;
		if (error.p == NULL)
			error = SPAN_LIT("failed, without a reason");
		control_begin(c, 0);
		json_put_member_str(&c->out, "code", SPAN_LIT("failed"));
		json_put_member_str(&c->out, "error", error);
		json_put_member_str(&c->out, "by",
		    theirs ? SPAN_LIT("connector") : SPAN_LIT("relayd"));
	}
	json_put_key(&c->out, "result");
	status_put_json(&c->out, result);
	buf_adds(&c->out, SPAN_LIT("}\n"));
	client_flush(c);
}

static void
run_reload(struct request *r)
{
	struct client *c = r->c;
	uint64_t cookie;

	log_info("control", NULL, "reload asked for by uid %u, pid %d", c->uid,
	    c->pid);
	cookie = client_wait(c, RELOAD_WAIT);
	if (engine_reload(c->control->e, (uint32_t)cookie, c->uid, c->pid) ==
		-1 &&
	    client_answered(c->control, cookie) == c)
		control_refuse(
		    c, "busy", "a reload cannot be asked for now; try again");
}

void
control_reloaded(struct control *ct, uint32_t corr, int ok, struct span text)
{
	struct client *c = client_asked(ct, corr);

	if (c == NULL)
		return;
	if (ok) {
		control_begin(c, 1);
		json_put_member_str(&c->out, "text", text);
	} else {
		control_begin(c, 0);
		json_put_member_str(&c->out, "code", SPAN_LIT("refused"));
		json_put_member_str(&c->out, "error", text);
	}
	buf_adds(&c->out, SPAN_LIT("}\n"));
	client_flush(c);
}

/* Which of our members a node's key names; M_COUNT: none. */
static unsigned
member_of(const struct json_doc *doc, int node)
{
	const struct json_node *nd = &doc->node[node];
	struct span key = {doc->text + nd->key, nd->keylen};
	unsigned m;

	for (m = 0; m < M_COUNT; m++)
		if (span_eq(key, span_str(members[m].name)))
			break;
	return m;
}

/*
 * A member that the command does not know is refused: a misspelt gateway
 * must not be taken for none.  0; -1: refused.
 */
static int
check_members(struct request *r, const struct command *cmd)
{
	uint32_t may = cmd->may | M(M_CMD) | M(M_CLIENT) | M(M_SCHEMA);
	const struct json_node *nd;
	char vis[128];
	unsigned m;
	int n;

	for (n = json_first(r->doc, JSON_ROOT); n != -1;
	     n = json_next(r->doc, n)) {
		m = member_of(r->doc, n);
		if (m < M_COUNT && (may & M(m)) != 0)
			continue;
		nd = &r->doc->node[n];
		control_refuse(r->c, "bad_request", "%s does not take \"%s\"",
		    cmd->name,
		    log_vis(vis, sizeof(vis),
			(struct span){r->doc->text + nd->key, nd->keylen}));
		return -1;
	}
	for (m = 0; m < M_COUNT; m++) {
		if ((cmd->must & M(m)) != 0 && r->at[m] == -1) {
			control_refuse(r->c, "bad_request", "%s needs \"%s\"",
			    cmd->name, members[m].name);
			return -1;
		}
	}
	return 0;
}

/* Whether client and daemon are of one version; what only reads may differ,
 * since the documents only grow. */
static int
check_version(struct request *r, const struct command *cmd)
{
	char scratch[64], vis[4 * 64 + 1];
	struct span v;

	if (!cmd->changes || r->at[M_CLIENT] == -1)
		return 0;
	v = json_str(r->doc, r->at[M_CLIENT], scratch, sizeof(scratch));
	if (v.p != NULL && span_eq(v, span_str(VERSION)))
		return 0;
	control_refuse(r->c, "refused",
	    "the running relayd is version %s, the client %s; restart relayd, "
	    "or use the client of its version",
	    VERSION, v.p == NULL ? "?" : log_vis(vis, sizeof(vis), v));
	return -1;
}

/* Whether the reply will be what the client can read. */
static int
check_schema(struct request *r, const struct command *cmd)
{
	const char *schema =
	    cmd->run == run_status ? SCHEMA_STATUS : SCHEMA_CONTROL;
	char scratch[64], vis[4 * 64 + 1];
	struct span s;

	if (r->at[M_SCHEMA] == -1)
		return 0;
	s = json_str(r->doc, r->at[M_SCHEMA], scratch, sizeof(scratch));
	if (s.p != NULL && span_eq(s, span_str(schema)))
		return 0;
	control_refuse(r->c, "unknown_schema",
	    "relayd %s answers %s in the schema %s, and has no %s; use a "
	    "client that came with it",
	    VERSION, cmd->name, schema,
	    s.p == NULL ? "other" : log_vis(vis, sizeof(vis), s));
	return -1;
}

static const struct command *
find_command(struct request *r)
{
	char scratch[64], vis[4 * 64 + 1];
	const struct command *cmd;
	struct span name;

	name = json_str(r->doc, r->at[M_CMD], scratch, sizeof(scratch));
	for (cmd = commands; cmd < commands + NCOMMANDS; cmd++)
		if (name.p != NULL && span_eq(name, span_str(cmd->name)))
			break;
	if (cmd == commands + NCOMMANDS) {
		control_refuse(r->c, "unknown_command",
		    "relayd %s knows no command \"%s\"", VERSION,
		    log_vis(vis, sizeof(vis),
			name.p == NULL ? SPAN_LIT("?") : name));
		return NULL;
	}
	if (r->c->kind == LISTEN_STATUS && !cmd->on_status) {
		control_refuse(r->c, "not_permitted",
		    "%s is not permitted on status.sock; use control.sock",
		    cmd->name);
		return NULL;
	}
	return cmd;
}

void
control_request(struct client *c, struct span line)
{
	struct json_doc *doc = &c->control->doc;
	struct request r = {.c = c, .doc = doc};
	const struct command *cmd;
	const char *why;
	int which;

	if (json_parse(doc, line.p, line.len, 2) == -1) {
		control_refuse(c, "bad_request", "no JSON: %s at byte %zu",
		    doc->err, doc->erroff);
		return;
	}
	/* An action may have more members than a doc keeps. */
	if (doc->full)
		(void)json_parse(doc, line.p, line.len, 1);
	why = json_members(doc, JSON_ROOT, members, M_COUNT, r.at, &which);
	if (why != NULL) {
		control_refuse(c, "bad_request", "%s%s%s",
		    which >= 0 ? members[which].name : "",
		    which >= 0 ? ": " : "", why);
		return;
	}
	if ((cmd = find_command(&r)) == NULL)
		return;
	if (client_streams(c)) {
		control_refuse(c, "bad_request",
		    "this connection carries a stream; open another");
		return;
	}
	if (check_members(&r, cmd) == 0 && check_schema(&r, cmd) == 0 &&
	    check_version(&r, cmd) == 0)
		cmd->run(&r);
}
