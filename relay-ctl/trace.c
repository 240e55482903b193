/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl trace: the stages that one event went through, and those to come.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "client.h"
#include "field.h"
#include "json.h"
#include "pulse.h"
#include "trace.h"

/* Seconds that following may take: a week, as of wait. */
#define TIMEOUT_MAX (86400L * 7)

static const struct {
	const char *name, *text;
	const char *by; /* ends with a blank: an agent follows */
} stages[] = {
    {"arrived", "arrived", "connector"},
    {"journalled", "journalled", "relayd"},
    {"recovered", "recovered", "relayd's engine, started anew"},
    {"delivered", "delivered", "to "},
    {"returned", "returned", "from "},
    {"acknowledged", "acknowledged", "by "},
    {"discarded", "discarded", "for "},
    {"acknowledged_to_connector", "acknowledged to connector", "relayd"},
    {"aside", "put aside", "relayd"},
    {"requeued", "requeued", "operator"},
    {"dropped", "dropped", "operator"},
    {"replayed", "replayed", "connector; recognised"},
    {"skipped", "skipped", "relayd; nobody could use it"},
    {"left", "left with connector", "relayd; no room"},
};
#define NSTAGES (sizeof(stages) / sizeof(stages[0]))

/* NSTAGES: none that we know. */
static size_t
stage_of(struct obj *o)
{
	struct span name = field_str(o, "stage");
	size_t i;

	for (i = 0; i < NSTAGES; i++)
		if (span_eq(name, span_str(stages[i].name)))
			break;
	return i;
}

struct span
trace_stage(struct obj *o)
{
	size_t i = stage_of(o);

	return i < NSTAGES ? span_str(stages[i].text) : field_str(o, "stage");
}

static void
put_agent(FILE *f, struct obj *o)
{
	struct span name = field_str(o, "agent_name");
	char *safe = name.len == 0 ? NULL : out_safe(name);

	fprintf(f, "agent %" PRId64, field_int(o, "agent", 0));
	if (safe != NULL)
		fprintf(f, " (%s)", safe);
	free(safe);
}

/* By whom it came about. */
static void
put_who(FILE *f, struct obj *o)
{
	int64_t attempt = field_int(o, "attempt", 0),
		ended = field_int(o, "attempts", 0);
	size_t i = stage_of(o);

	if (i < NSTAGES)
		fputs(stages[i].by, f);
	if (field_int(o, "agent", 0) > 0)
		put_agent(f, o);
	if (attempt > 0)
		fprintf(f, ", attempt %" PRId64, attempt);
	if (ended > 0)
		fprintf(f, "; %" PRId64 " ended with it alone in hand", ended);
	if (field_true(o, "tried"))
		fputs("; agents had it before", f);
}

struct trace {
	struct ctl *ctl;
	double last; /* Unix seconds of the stage before; -1: none */
};

static void
put_row(struct trace *t, struct obj *o)
{
	double at = field_num(o, "at", -1);
	char time[OUT_TIME], after[OUT_AGE] = "-";
	char *stage = out_safe(trace_stage(o));

	if (t->last >= 0)
		out_delay(after, at - t->last);
	t->last = at;
	printf("%-25s  %s  %8s  ", stage == NULL ? "?" : stage,
	    out_time(time, at), after);
	free(stage);
	put_who(stdout, o);
	putchar('\n');
}

static void
put_named(struct obj *o, const char *key, const char *label)
{
	struct span s = field_str(o, key);
	char *safe = s.len == 0 ? NULL : out_safe(s);

	if (safe != NULL)
		printf("%s%s", label, safe);
	free(safe);
}

static void
put_head(struct obj *o)
{
	put_named(o, "bufferId", "event ");
	if (field_str(o, "bufferId").p == NULL)
		printf("event");
	put_named(o, "connector_id", ", the connector's ");
	put_named(o, "gateway", ", of gateway ");
	putchar('\n');
	put_named(o, "session_key", "session ");
	printf("%s%-25s  %-23s  %8s  %s\n",
	    field_str(o, "session_key").p == NULL ? "" : "\n", "STAGE", "AT",
	    "AFTER", "WHO");
}

static void
put_state(struct obj *o)
{
	char *p, *state = field_dup(o, "state");

	for (p = state; p != NULL && *p != '\0'; p++)
		if (*p == '_')
			*p = ' ';
	p = state == NULL ? NULL : out_safe(span_str(state));
	printf("now: %s", p == NULL ? "?" : p);
	free(p);
	free(state);
	put_named(o, "reason", "; ");
	putchar('\n');
}

static void
put_content(const struct trace *t, struct obj *o)
{
	struct span line = field_raw(o, "line");
	char *safe;

	if (t->ctl->opt[OPT_CONTENT] == NULL)
		return;
	if (line.p == NULL) {
		printf("(its content is no longer there)\n");
		return;
	}
	if ((safe = out_safe(line)) != NULL)
		printf("%s\n", safe);
	free(safe);
}

/* The reply: what it went through until now. */
static void
put_history(struct trace *t, struct span reply, int follows)
{
	struct obj o, one;
	struct span list, elem;
	size_t pos = 0;

	(void)obj_parse(&o, reply);
	list = field_raw(&o, "stages");
	put_head(&o);
	while (list.p != NULL && json_each(list, &pos, &elem) == 1)
		if (obj_parse(&one, elem) == 0)
			put_row(t, &one);
	if (!field_true(&o, "complete"))
		printf("(there were more, which are no longer remembered)\n");
	put_content(t, &o);
	if (!follows)
		put_state(&o);
}

/* One line of what is to come.  CTL_OK at its end, -1 before, else why not. */
static int
take(struct trace *t, const struct client *c, struct span line)
{
	struct obj o;
	int end;

	if (obj_parse(&o, line) == -1 || field_raw(&o, "ok").p != NULL)
		return client_refused(c, t->ctl, line);
	end = span_eq(field_str(&o, "trace"), SPAN_LIT("end"));
	if (t->ctl->out.json)
		(void)out_json(line);
	else if (end)
		put_state(&o);
	else
		put_row(t, &o);
	if (fflush(stdout) != 0)
		return CTL_FAILED;
	return end ? CTL_OK : -1;
}

static int
follow(struct trace *t, struct client *c, long seconds)
{
	int64_t until = seconds < 0 ? -1 : client_now() + seconds * 1000, left;
	enum client_result r;
	struct pulse pulse;
	struct span line;
	int status = -1;

	pulse_begin(&pulse, t->ctl, c);
	while (status == -1) {
		left = until == -1 ? CLIENT_WAIT_EVER : until - client_now();
		r = pulse_line(
		    &pulse, c, &line, until != -1 && left < 0 ? 0 : (int)left);
		if (r == CLIENT_OK) {
			status = take(t, c, line);
			continue;
		}
		if (r == CLIENT_SILENT)
			ctl_warn("time is up, and the event is not at its end");
		else if (r == CLIENT_ENDED)
			ctl_warn("relayd ended the stream");
		status = CTL_FAILED;
	}
	pulse_end(&pulse);
	return status;
}

int
cmd_trace(struct ctl *ctl)
{
	struct trace t = {.ctl = ctl, .last = -1};
	long seconds = ctl_number(ctl, OPT_TIMEOUT, 0, TIMEOUT_MAX, -2);
	int follows = ctl->opt[OPT_FOLLOW] != NULL || seconds >= 0;
	int content = ctl->opt[OPT_CONTENT] != NULL, status;
	struct client c;
	struct span reply;
	struct buf req;

	if (seconds == -1)
		return CTL_USAGE;
	client_begin(&req, "trace");
	client_gateway(&req, ctl->opt[OPT_GATEWAY]);
	json_put_member_str(&req, "bufferId", span_str(ctl->arg[0]));
	if (content)
		json_put_member_bool(&req, "content", 1);
	if (follows)
		json_put_member_bool(&req, "follow", 1);
	status = client_do(&c, ctl, &req, !content, CLIENT_WAIT_STATUS, &reply);
	if (status == CTL_OK) {
		if (ctl->out.json)
			(void)out_json(reply);
		else
			put_history(&t, reply, follows);
		if (fflush(stdout) != 0)
			status = CTL_FAILED;
		else if (follows)
			status = follow(&t, &c, seconds);
	}
	client_close(&c);
	return status;
}
