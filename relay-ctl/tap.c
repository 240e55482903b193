/* SPDX-License-Identifier: ISC */
/* relay-ctl tap and watch: streams, a line for each thing that happened. */
#include <inttypes.h>
#include <stdlib.h>

#include "client.h"
#include "field.h"
#include "gwtext.h"
#include "json.h"

static const struct {
	const char *tap, *text;
} ways[] = {
    {"from_connector", "connector > relayd"},
    {"to_connector", "relayd > connector"},
    {"from_agent", "agent > relayd"},
    {"to_agent", "relayd > agent"},
};

/* " name=value" when there is one. */
static void
put_field(struct obj *o, const char *key, const char *label)
{
	struct span s = field_str(o, key);
	char *safe;

	if (s.p == NULL)
		s = field_raw(o, key); /* an id may be a number */
	if (s.p == NULL || (safe = out_safe(s)) == NULL)
		return;
	printf(" %s%s", label, safe);
	free(safe);
}

static void
show_tap(struct obj *o)
{
	struct span way = field_str(o, "tap");
	char at[OUT_TIME], size[OUT_AGE];
	size_t i;

	if (span_eq(way, SPAN_LIT("lost"))) {
		printf("(%" PRId64 " lines left out: we read too slowly)\n",
		    field_int(o, "n", 0));
		return;
	}
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (span_eq(way, span_str(ways[i].tap)))
			break;
	printf("%s", out_time(at, field_num(o, "at", -1)));
	put_field(o, "gateway", "");
	printf(
	    " %-18s", i < sizeof(ways) / sizeof(ways[0]) ? ways[i].text : "?");
	if (field_str(o, "type").p == NULL)
		printf(" (no type)");
	else
		put_field(o, "type", "");
	printf(" %s", out_size(size, field_int(o, "bytes", 0)));
	put_field(o, "bufferId", "buffer=");
	put_field(o, "requestId", "request=");
	put_field(o, "session_key", "session=");
	putchar('\n');
	if (field_raw(o, "line").p != NULL) {
		put_field(o, "line", "   ");
		putchar('\n');
	}
}

static void
show_change(struct obj *o)
{
	struct span state, phase;
	char at[OUT_TIME];
	char *reason;

	printf("%s", out_time(at, field_num(o, "at", -1)));
	put_field(o, "gateway", "");
	put_field(o, "state", "");
	state = field_raw(o, "state");
	phase = field_raw(o, "phase");
	if (phase.p != NULL && !span_eq(state, phase)) {
		put_field(o, "phase", "(");
		putchar(')');
	}
	if (field_str(o, "reason").len > 0 &&
	    (reason = out_safe(field_str(o, "reason"))) != NULL) {
		printf(": %s", reason);
		free(reason);
	}
	putchar('\n');
}

/* Follow a stream until it ends. */
static int
follow(struct ctl *ctl, struct buf *req, int read_only,
    void (*show)(struct obj *o))
{
	enum client_result r = CLIENT_OK;
	struct client c;
	struct span line;
	struct obj o;
	int status;

	status = client_do(&c, ctl, req, read_only, CLIENT_WAIT_STATUS, &line);
	while (status == CTL_OK) {
		r = client_line(&c, &line, CLIENT_WAIT_EVER);
		if (r != CLIENT_OK)
			break;
		if (obj_parse(&o, line) == -1 || field_raw(&o, "ok").p != NULL)
			status = client_refused(&c, ctl, line);
		else if (ctl->out.json) {
			fwrite(line.p, 1, line.len, stdout);
			putchar('\n');
		} else
			show(&o);
		if (fflush(stdout) != 0)
			status = CTL_FAILED;
	}
	client_close(&c);
	if (r != CLIENT_OK) {
		if (r == CLIENT_ENDED)
			ctl_warn("relayd ended the stream");
		return CTL_FAILED;
	}
	return status;
}

int
cmd_tap(struct ctl *ctl)
{
	struct buf req;

	client_begin(&req, "tap");
	if (ctl->narg > 0)
		json_put_member_str(&req, "gateway", span_str(ctl->arg[0]));
	if (ctl->opt[OPT_CONTENT] != NULL)
		json_put_member_bool(&req, "content", 1);
	return follow(ctl, &req, 0, show_tap);
}

int
cmd_watch(struct ctl *ctl)
{
	struct buf req;

	client_begin(&req, "watch");
	return follow(ctl, &req, 1, show_change);
}
