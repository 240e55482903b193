/* SPDX-License-Identifier: ISC */
/* relay-ctl watch: changes of state as they happen; screen.c has the live
 * screen. */
#include <stdlib.h>

#include "client.h"
#include "screen.h"
#include "stream.h"

static void
show_change(struct obj *o)
{
	struct span state, phase;
	char at[OUT_TIME];
	char *reason;

	printf("%s", out_time(at, field_num(o, "at", -1)));
	stream_field(o, "gateway", "");
	stream_field(o, "state", "");
	if (span_eq(field_str(o, "event"), SPAN_LIT("gone")))
		printf(" taken out of the configuration");
	state = field_raw(o, "state");
	phase = field_raw(o, "phase");
	if (phase.p != NULL && !span_eq(state, phase)) {
		stream_field(o, "phase", "(");
		putchar(')');
	}
	if (field_str(o, "reason").len > 0 &&
	    (reason = out_safe(field_str(o, "reason"))) != NULL) {
		printf(": %s", reason);
		free(reason);
	}
	putchar('\n');
}

int
cmd_watch(struct ctl *ctl)
{
	struct buf req;

	if (!ctl->out.json && screen_fits())
		return screen_run(ctl);
	client_begin(&req, "watch");
	return stream_follow(ctl, &req, 1, show_change);
}
