/* SPDX-License-Identifier: ISC */
/* relay-ctl log: the level that relayd logs at. */
#include <stdlib.h>

#include "client.h"
#include "field.h"
#include "json.h"

static const struct ctl_word levels[] = {
    {"error"}, {"warn"}, {"info"}, {"debug"}};

const struct ctl_words log_words = {
    "LEVEL", levels, sizeof(levels) / sizeof(levels[0]), sizeof(levels[0])};

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	char *level, *configured;
	struct obj root;

	(void)o;
	(void)arg;
	if (f == NULL)
		return CTL_OK;
	obj_parse(&root, reply);
	level = out_safe(field_str(&root, "level"));
	configured = out_safe(field_str(&root, "configured"));
	if (level == NULL || configured == NULL)
		fprintf(f, "?\n");
	else if (strcmp(level, configured) == 0)
		fprintf(f, "%s\n", level);
	else
		fprintf(f, "%s, until the next reload or restart: then %s\n",
		    level, configured);
	free(level);
	free(configured);
	return CTL_OK;
}

int
cmd_log(struct ctl *ctl)
{
	struct client c;
	struct span reply;
	struct buf req;
	int status, i = -1;

	if (ctl->narg > 0) {
		i = ctl_match("level", ctl->arg[0], log_words.words,
		    log_words.n, log_words.stride);
		if (i == -1)
			return CTL_USAGE;
	}
	client_begin(&req, "log");
	if (i != -1)
		json_put_member_str(&req, "level", span_str(levels[i].name));
	status = client_do(&c, ctl, &req, 0, CLIENT_WAIT_WISH, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render, NULL);
	client_close(&c);
	return status;
}
