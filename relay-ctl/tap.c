/* SPDX-License-Identifier: ISC */
/* relay-ctl tap: a line for each line that goes by, and for each stage that an
 * event reaches. */
#include <inttypes.h>
#include <stdlib.h>

#include "client.h"
#include "field.h"
#include "json.h"
#include "stream.h"
#include "trace.h"

static const struct {
	const char *tap, *text;
} ways[] = {
    {"from_connector", "connector > relayd"},
    {"to_connector", "relayd > connector"},
    {"from_agent", "agent > relayd"},
    {"to_agent", "relayd > agent"},
};

static void
show_stage(struct obj *o)
{
	char *stage = out_safe(trace_stage(o));

	printf(" %-18s %s", "event", stage == NULL ? "?" : stage);
	free(stage);
	stream_field(o, "bufferId", "buffer=");
	stream_field(o, "connector_id", "connector=");
	stream_field(o, "agent", "agent=");
	stream_field(o, "agent_name", "name=");
	stream_field(o, "attempt", "attempt=");
	putchar('\n');
}

static void
show_tap(struct obj *o)
{
	struct span way = field_str(o, "tap");
	char at[OUT_TIME], size[OUT_AGE];
	size_t i;
	int stage = span_eq(way, SPAN_LIT("stage"));

	if (span_eq(way, SPAN_LIT("lost"))) {
		printf("(%" PRId64 " lines left out: we read too slowly)\n",
		    field_int(o, "n", 0));
		return;
	}
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (span_eq(way, span_str(ways[i].tap)))
			break;
	printf("%s", out_time(at, field_num(o, "at", -1)));
	stream_field(o, "gateway", "");
	if (stage) {
		show_stage(o);
		return;
	}
	printf(
	    " %-18s", i < sizeof(ways) / sizeof(ways[0]) ? ways[i].text : "?");
	if (field_str(o, "type").p == NULL)
		printf(" (no type)");
	else
		stream_field(o, "type", "");
	printf(" %s", out_size(size, field_int(o, "bytes", 0)));
	stream_field(o, "bufferId", "buffer=");
	stream_field(o, "requestId", "request=");
	stream_field(o, "session_key", "session=");
	putchar('\n');
	if (field_raw(o, "line").p != NULL) {
		stream_field(o, "line", "   ");
		putchar('\n');
	}
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
	if (ctl->opt[OPT_STAGES] != NULL)
		json_put_member_bool(&req, "lines", 0);
	return stream_follow(ctl, &req, 0, show_tap);
}
