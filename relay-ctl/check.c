/* SPDX-License-Identifier: ISC */
/* relay-ctl check: whether relayd would take this configuration. */
#include "conffile.h"
#include "ctl.h"
#include "json.h"

static void
warn(void *arg, const char *text)
{
	(void)arg;
	ctl_warn("warning: %s", text);
}

/* What --json prints: relayd is not asked, so the form is ours. */
static void
put_json(const char *path, const char *error, size_t ngateway)
{
	struct buf b;

	buf_init(&b, 0);
	buf_add(&b, "{", 1);
	json_put_member_bool(&b, "ok", error == NULL);
	json_put_member_str(&b, "file", span_str(path));
	if (error == NULL)
		json_put_member_int(&b, "gateways", (int64_t)ngateway);
	else
		json_put_member_str(&b, "error", span_str(error));
	buf_add(&b, "}\n", 2);
	fwrite(buf_span(&b).p, 1, buf_len(&b), stdout);
	buf_free(&b);
}

int
cmd_check(struct ctl *ctl)
{
	char path[LIMIT_PATH + 1];
	struct conf_error e;
	struct conf *c;

	c = conffile_load(ctl->opt[OPT_FILE], path, warn, &e);
	if (ctl->out.json)
		put_json(path, c == NULL ? e.text : NULL,
		    c == NULL ? 0 : c->ngateway);
	else if (c == NULL)
		ctl_warn("%s", e.text);
	else
		printf("OK\n");
	if (c == NULL)
		return CTL_FAILED;
	conf_free(c);
	return CTL_OK;
}
