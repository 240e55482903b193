/* SPDX-License-Identifier: ISC */
/* relay-ctl requeue and drop: what becomes of events that were put aside. */
#include <inttypes.h>
#include <string.h>

#include "ask.h"
#include "client.h"
#include "field.h"
#include "json.h"

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	const struct ctl *ctl = arg;
	struct obj root;
	int64_t n;

	(void)o;
	if (f == NULL)
		return CTL_OK;
	obj_parse(&root, reply);
	n = field_int(&root, "events", 0);
	fprintf(f, "%" PRId64 " %s %s\n", n, n == 1 ? "event" : "events",
	    ctl->command[0] == 'd' ? "dropped" : "requeued");
	return CTL_OK;
}

/* Dropping is for ever: a person is asked whether it is meant. */
static int
is_meant(const struct ctl *ctl)
{
	if (strcmp(ctl->command, "drop") != 0 || ctl->opt[OPT_YES] != NULL)
		return 1;
	if (strcmp(ctl->arg[1], "all") == 0)
		return ask_yes(
		    "drop every event of %s that was put aside, for ever?",
		    ctl->arg[0]);
	return ask_yes("drop event %s for ever?", ctl->arg[1]);
}

int
cmd_aside(struct ctl *ctl)
{
	struct client c;
	struct span reply;
	struct buf req;
	int status;

	if (!is_meant(ctl)) {
		ctl_warn("nothing was done");
		return CTL_FAILED;
	}
	client_begin(&req, ctl->command);
	client_gateway(&req, ctl->arg[0]);
	json_put_member_str(&req, "bufferId", span_str(ctl->arg[1]));
	status = client_do(&c, ctl, &req, 0, CLIENT_WAIT_STATUS, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render, ctl);
	client_close(&c);
	return status;
}
