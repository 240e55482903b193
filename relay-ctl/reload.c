/* SPDX-License-Identifier: ISC */
/* relay-ctl reload: have relayd read its configuration again. */
#include <stdlib.h>

#include "client.h"
#include "field.h"

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	struct obj root;
	char *text;

	(void)o;
	(void)arg;
	if (f == NULL)
		return CTL_OK;
	obj_parse(&root, reply);
	text = out_safe(field_str(&root, "text"));
	fprintf(f, "%s\n", text == NULL || text[0] == '\0' ? "reloaded" : text);
	free(text);
	return CTL_OK;
}

int
cmd_reload(struct ctl *ctl)
{
	struct client c;
	struct span reply;
	struct buf req;
	int status;

	client_begin(&req, "reload");
	status = client_do(&c, ctl, &req, 0, CLIENT_WAIT_RELOAD, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render, NULL);
	client_close(&c);
	return status;
}
