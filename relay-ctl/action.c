/* SPDX-License-Identifier: ISC */
/* relay-ctl action: any operation of the connector, as JSON. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "field.h"
#include "intake.h"
#include "json.h"
#include "sent.h"

/* An object with an op, on one line.  0, or -1 after saying what is wrong. */
static int
check(struct buf *b)
{
	struct span text = buf_span(b);
	struct obj *o;
	size_t i;
	int r = -1;

	if ((o = malloc(sizeof(*o))) == NULL) {
		ctl_warn("no memory");
		return -1;
	}
	if (json_parse(&o->doc, text.p, text.len, 1) == -1)
		ctl_warn("the action is no JSON: %s at byte %zu", o->doc.err,
		    o->doc.erroff + 1);
	else if (o->doc.node[JSON_ROOT].type != JSON_OBJECT ||
	    field_str(o, "op").p == NULL)
		ctl_warn("the action must be an object with an \"op\", as "
			 "{\"op\":\"send\",\"chat_id\":\"1\",\"content\":"
			 "\"hello\"}");
	else
		r = 0;
	free(o);
	/* Only between tokens; in strings they are escaped. */
	for (i = b->off; i < b->end; i++)
		if (b->p[i] == '\n' || b->p[i] == '\r')
			b->p[i] = ' ';
	return r;
}

/* What the connector said of it. */
static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	struct obj root;
	char *safe;

	(void)o;
	(void)arg;
	if (f == NULL)
		return CTL_OK;
	obj_parse(&root, reply);
	safe = out_safe(field_raw(&root, "result"));
	fprintf(f, "%s\n", safe == NULL ? "done" : safe);
	free(safe);
	return CTL_OK;
}

int
cmd_action(struct ctl *ctl)
{
	int status = CTL_FAILED;
	struct buf action, req;

	buf_init(&action, 0);
	if (strcmp(ctl->arg[1], "-") != 0)
		buf_adds(&action, span_str(ctl->arg[1]));
	else if (intake_all(&action, STDIN_FILENO, "standard input",
		     LIMIT_CONTROL_LINE) == -1)
		goto done;
	if (check(&action) == -1)
		goto done;
	client_begin(&req, "send");
	client_gateway(&req, ctl->arg[0]);
	json_put_member_raw(&req, "action", buf_span(&action));
	status = sent(ctl, &req, render);
done:
	buf_free(&action);
	return status;
}
