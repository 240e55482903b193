/* SPDX-License-Identifier: ISC */
/* relay-ctl enable: have a disabled gateway dial again. */
#include <stdlib.h>

#include "client.h"
#include "field.h"
#include "json.h"

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	const char *gateway = arg;
	struct obj root;
	char *text;

	(void)o;
	if (f == NULL)
		return CTL_OK;
	obj_parse(&root, reply);
	text = out_safe(field_str(&root, "text"));
	if (text != NULL && text[0] != '\0')
		fprintf(f, "%s\n", text);
	else
		fprintf(f, "%s is enabled\n", gateway);
	free(text);
	return CTL_OK;
}

int
cmd_enable(struct ctl *ctl)
{
	struct client c;
	struct span reply;
	struct buf req;
	int status;

	client_begin(&req, "enable");
	json_put_member_str(&req, "gateway", span_str(ctl->arg[0]));
	status = client_do(&c, ctl, &req, 0, CLIENT_WAIT_STATUS, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render, ctl->arg[0]);
	client_close(&c);
	return status;
}
