/* SPDX-License-Identifier: ISC */
/* relay-ctl send: one message to a chat. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "field.h"
#include "intake.h"
#include "json.h"
#include "sent.h"
#include "utf8.h"

/* Bytes of a message: it must fit, escaped, into a request; no platform takes
 * nearly as much. */
#define TEXT_MAX (64U * 1024)

/* The text from standard input.  0, or -1 after saying why not. */
static int
read_text(struct buf *b)
{
	if (intake_all(b, STDIN_FILENO, "standard input", TEXT_MAX) == -1)
		return -1;
	if (buf_len(b) > 0 && b->p[b->end - 1] == '\n')
		b->end--; /* the line's end is no part of the message */
	return 0;
}

/* 0 when it can be sent as it is. */
static int
check_text(struct span text)
{
	size_t ok = utf8_valid_prefix(text.p, text.len);

	if (text.len == 0)
		ctl_warn("there is no text to send");
	else if (text.len > TEXT_MAX)
		ctl_warn("the text is longer than %u bytes", TEXT_MAX);
	else if (ok < text.len)
		ctl_warn("the text is not UTF-8 (byte %zu)", ok + 1);
	else
		return 0;
	return -1;
}

static void
put_request(struct buf *req, const struct ctl *ctl, struct span text)
{
	client_begin(req, "send");
	if (ctl->opt[OPT_GATEWAY] != NULL)
		json_put_member_str(
		    req, "gateway", span_str(ctl->opt[OPT_GATEWAY]));
	json_put_key(req, "action");
	buf_adds(req, SPAN_LIT("{"));
	json_put_member_str(req, "op", SPAN_LIT("send"));
	json_put_member_str(req, "chat_id", span_str(ctl->arg[0]));
	json_put_member_str(req, "content", text);
	if (ctl->opt[OPT_REPLY_TO] != NULL)
		json_put_member_str(
		    req, "reply_to", span_str(ctl->opt[OPT_REPLY_TO]));
	buf_adds(req, SPAN_LIT("}"));
}

static int
render(const struct out *o, FILE *f, struct span reply, void *arg)
{
	struct obj root, result;
	char *id;

	(void)o;
	(void)arg;
	if (f == NULL)
		return CTL_OK;
	obj_parse(&root, reply);
	obj_sub(&result, &root, "result");
	id = out_safe(field_str(&result, "message_id"));
	if (id != NULL && id[0] != '\0')
		fprintf(f, "sent, message %s\n", id);
	else
		fprintf(f, "sent\n");
	free(id);
	return CTL_OK;
}

static void
tell_ambiguous(struct span reply)
{
	struct obj root, result;

	if (obj_parse(&root, reply) == 0 &&
	    obj_sub(&result, &root, "result") == 0 &&
	    field_true(&result, "ambiguous"))
		ctl_warn("it may have been delivered all the same: look before "
			 "sending it again");
}

int
sent(const struct ctl *ctl, struct buf *req, out_render *render_result)
{
	struct span reply = {NULL, 0};
	struct client c;
	int status;

	status = client_do(&c, ctl, req, 0, CLIENT_WAIT_SEND, &reply);
	if (status == CTL_OK)
		status = out_show(&ctl->out, reply, render_result, NULL);
	else if (reply.p != NULL)
		tell_ambiguous(reply);
	client_close(&c);
	return status;
}

int
cmd_send(struct ctl *ctl)
{
	int from_stdin = ctl->narg < 2 || strcmp(ctl->arg[1], "-") == 0;
	int status = CTL_FAILED;
	struct buf text, req;

	buf_init(&text, 0);
	if (!from_stdin)
		buf_adds(&text, span_str(ctl->arg[1]));
	else if (read_text(&text) == -1)
		goto done;
	if (check_text(buf_span(&text)) == -1)
		goto done;
	put_request(&req, ctl, buf_span(&text));
	status = sent(ctl, &req, render);
done:
	buf_free(&text);
	return status;
}
