/* SPDX-License-Identifier: ISC */
/*
 * relay-ctl idle, wake, dormant, disable, enable, reconnect and interrupt: what
 * a gateway's link is told to do.
 */
#include <string.h>

#include "client.h"
#include "json.h"

/* What is said when it was done, after the name. */
static const struct {
	const char *command, *done, *more;
} wishes[] = {
    {"idle", "is idle",
	": the connector keeps what comes, until an agent or wake needs the "
	"link"},
    {"wake", "is awake", ""},
    {"dormant", "is dormant",
	": ready for the host's suspend; it dials again after 60 s, after the "
	"suspend, or when woken"},
    {"disable", "is disabled",
	": it stays so, over restarts too, until it is enabled"},
    {"enable", "is enabled", ""},
    {"reconnect", "is dialled anew", ""},
    {"interrupt", "told its agent to stop that turn", ""},
};

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	const struct ctl *ctl = arg;
	size_t i = 0;

	(void)o;
	(void)reply;
	if (f == NULL)
		return CTL_OK;
	while (strcmp(wishes[i].command, ctl->command) != 0)
		i++;
	fprintf(f, "%s %s%s\n", ctl->arg[0], wishes[i].done, wishes[i].more);
	return CTL_OK;
}

int
cmd_link(struct ctl *ctl)
{
	struct client c;
	struct span reply;
	struct buf req;
	int status;

	client_begin(&req, ctl->command);
	client_gateway(&req, ctl->arg[0]);
	if (ctl->narg > 1)
		json_put_member_str(&req, "session_key", span_str(ctl->arg[1]));
	status = client_do(&c, ctl, &req, 0, CLIENT_WAIT_WISH, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render, ctl);
	client_close(&c);
	return status;
}
