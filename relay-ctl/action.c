/* SPDX-License-Identifier: ISC */
/* relay-ctl action: any operation of the connector, as JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "field.h"
#include "json.h"
#include "sent.h"

/* All of standard input.  0, or -1 after saying why not. */
static int
read_all(struct buf *b)
{
	ssize_t n;
	char *p;

	do {
		if ((p = buf_reserve(b, 4096)) == NULL) {
			ctl_warn("an action is shorter than %u bytes",
			    LIMIT_CONTROL_LINE);
			return -1;
		}
		n = read(STDIN_FILENO, p, 4096);
		if (n > 0)
			buf_commit(b, (size_t)n);
	} while (n > 0 || (n == -1 && errno == EINTR));
	if (n == 0)
		return 0;
	ctl_warn("standard input: %s", strerror(errno));
	return -1;
}

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
	struct span reply = {NULL, 0};
	struct buf action, req;
	struct client c;

	buf_init(&action, LIMIT_CONTROL_LINE);
	if (strcmp(ctl->arg[1], "-") != 0)
		buf_adds(&action, span_str(ctl->arg[1]));
	else if (read_all(&action) == -1)
		goto done;
	if (check(&action) == -1)
		goto done;
	client_begin(&req, "send");
	client_gateway(&req, ctl->arg[0]);
	json_put_member_raw(&req, "action", buf_span(&action));
	status = client_do(&c, ctl, &req, 0, CLIENT_WAIT_SEND, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render, NULL);
	else if (reply.p != NULL)
		sent_ambiguous(reply);
	client_close(&c);
done:
	buf_free(&action);
	return status;
}
