/* SPDX-License-Identifier: ISC */
/* The agent protocol: one JSON object per line, relayd in the connector's
 * place. */
#include <sys/socket.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"

/* What an event may take in all: its program, its answer's result. */
static long
ack_timeout(const struct agent *a)
{
	long s = a->jobs * (a->timeout_s + AGENT_RESULT_MS / 1000 + 5);

	return s > 3600 ? 3600 : s; /* relayd allows no more */
}

static void
put_platforms(struct buf *b, const char *list)
{
	const char *comma;
	struct span one;

	json_put_key(b, "platforms");
	buf_adds(b, SPAN_LIT("["));
	for (;; list = comma + 1) {
		comma = strchr(list, ',');
		one = comma == NULL
		    ? span_str(list)
		    : (struct span){list, (size_t)(comma - list)};
		json_put_str(b, one);
		if (comma == NULL)
			break;
		buf_adds(b, SPAN_LIT(","));
	}
	buf_adds(b, SPAN_LIT("]"));
}

static void
put_hello(struct agent *a)
{
	const char *name = a->ctl->opt[OPT_NAME], *slash;
	struct buf *b = &a->out;

	if (name == NULL) {
		slash = strrchr(a->argv[0], '/');
		name = slash == NULL ? a->argv[0] : slash + 1;
	}
	buf_adds(b, SPAN_LIT("{\"type\":\"hello\""));
	json_put_member_str(b, "agent", span_str(name));
	json_put_member_int(b, "window", a->jobs);
	json_put_member_int(b, "ack_timeout", ack_timeout(a));
	json_put_member_str(b, "interactions", SPAN_LIT("event"));
	if (a->ctl->opt[OPT_PLATFORM] != NULL)
		put_platforms(b, a->ctl->opt[OPT_PLATFORM]);
	buf_adds(b, SPAN_LIT("}\n"));
}

void
link_attach(struct agent *a)
{
	char name[LIMIT_NAME + 16];
	enum client_result r;

	snprintf(name, sizeof(name), "agent/%s.sock", a->gateway);
	r = client_open(&a->link, a->ctl, name);
	if (r == CLIENT_OK) {
		a->link.in.max = AGENT_LINE_MAX;
		a->serial++;
		a->written = 0;
		a->heard = 0;
		buf_reset(&a->out);
		put_hello(a);
		return;
	}
	/* Once attached, we wait for relayd to come back; at first, somebody
	 * may have typed the wrong thing. */
	if (a->serial == 0 && r == CLIENT_ABSENT && agent_unknown(a))
		a->fatal = CTL_FAILED;
	else if (a->serial == 0 || r == CLIENT_DENIED || r == CLIENT_WRONG)
		a->fatal = client_explain(&a->link, a->ctl, r);
	client_close(&a->link);
	a->attach_at = client_now() + a->attach_delay;
	a->attach_delay *= 2;
	if (a->attach_delay > AGENT_ATTACH_MAX_MS)
		a->attach_delay = AGENT_ATTACH_MAX_MS;
}

void
link_detach(struct agent *a, int delay_ms)
{
	if (a->link.fd == -1)
		return;
	client_close(&a->link);
	turn_link_lost(a);
	a->attach_at = client_now() + delay_ms;
}

static void
link_lost(struct agent *a)
{
	if (!a->heard && a->serial == 1) {
		ctl_warn("relayd closed the connection at once");
		a->fatal = CTL_FAILED;
	} else if (!a->lost && !a->stopping)
		ctl_warn("the connection to relayd ended; attaching again");
	a->lost = 1;
	link_detach(a, a->attach_delay);
}

/* relayd said something: this attachment works. */
static void
heard(struct agent *a)
{
	if (a->heard)
		return;
	a->heard = 1;
	a->attach_delay = AGENT_ATTACH_MIN_MS;
	if (a->lost || a->serial == 1)
		ctl_warn(
		    "attached to %s%s", a->gateway, a->lost ? " again" : "");
	a->lost = 0;
}

static void
on_descriptor(struct agent *a, struct obj *line)
{
	(void)line;
	heard(a);
}

static void
on_link(struct agent *a, struct obj *line)
{
	struct span state = field_str(line, "state");
	char now[sizeof(a->state)];
	char *reason, *safe;

	heard(a);
	if ((safe = out_safe(state)) == NULL)
		return;
	strlcpy(now, safe, sizeof(now));
	free(safe);
	if (strcmp(now, a->state) == 0)
		return;
	strlcpy(a->state, now, sizeof(a->state));
	reason = out_safe(field_str(line, "reason"));
	ctl_warn("%s is %s%s%s", a->gateway, now,
	    reason == NULL || reason[0] == '\0' ? "" : ": ",
	    reason == NULL ? "" : reason);
	free(reason);
}

static void
on_inbound(struct agent *a, struct obj *line)
{
	heard(a);
	turn_event(a, line);
}

/* Nothing here can answer a webhook: take it off relayd's hands. */
static void
on_forward(struct agent *a, struct obj *line)
{
	struct span id = field_raw(line, "bufferId");
	char *text;

	heard(a);
	if (!a->forwarded)
		ctl_warn("forwarded webhooks are acknowledged and left out");
	a->forwarded = 1;
	if (id.p != NULL && (text = strndup(id.p, id.len)) != NULL) {
		link_ack(a, text);
		free(text);
	}
}

static void
on_error(struct agent *a, struct obj *line)
{
	char *text = out_safe(field_str(line, "error"));

	ctl_warn("relayd says: %s", text == NULL ? "?" : text);
	free(text);
	if (!a->heard) /* our hello was refused */
		a->fatal = CTL_FAILED;
}

static const struct {
	const char *type;
	void (*handle)(struct agent *a, struct obj *line);
} frames[] = {
    {"descriptor", on_descriptor},
    {"link", on_link},
    {"inbound", on_inbound},
    {"passthrough_forward", on_forward},
    {"outbound_result", turn_result},
    {"interrupt_inbound", turn_interrupt},
    {"error", on_error},
};

static void
handle_line(struct agent *a, struct span text)
{
	struct span type;
	struct obj line;
	size_t i;

	if (obj_parse(&line, text) == -1) {
		ctl_warn("relayd sent a line that is no JSON object");
		return;
	}
	type = field_str(&line, "type");
	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		if (type.p != NULL && span_eq(type, span_str(frames[i].type))) {
			frames[i].handle(a, &line);
			return;
		}
	}
	/* Additions to the protocol are left alone. */
}

void
link_readable(struct agent *a)
{
	struct client *c = &a->link;
	struct span in;
	const char *nl;
	ssize_t n;
	char *p;

	if ((p = buf_reserve(&c->in, 65536)) == NULL) {
		ctl_warn(
		    "relayd sent a line longer than %u bytes", AGENT_LINE_MAX);
		link_lost(a);
		return;
	}
	n = read(c->fd, p, 65536);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		link_lost(a);
		return;
	}
	buf_commit(&c->in, (size_t)n);
	while (c->fd != -1 && (in = buf_span(&c->in)).len > 0 &&
	    (nl = memchr(in.p, '\n', in.len)) != NULL) {
		handle_line(a, (struct span){in.p, (size_t)(nl - in.p)});
		buf_drain(&c->in, (size_t)(nl - in.p) + 1);
	}
}

void
link_writable(struct agent *a)
{
	struct span s = buf_span(&a->out);
	ssize_t n;

	n = send(a->link.fd, s.p, s.len, MSG_NOSIGNAL);
	if (n >= 0) {
		buf_drain(&a->out, (size_t)n);
		a->written += (uint64_t)n;
	} else if (errno == EPIPE)
		buf_reset(&a->out); /* why, is to be read before the end */
	else if (errno != EAGAIN && errno != EINTR)
		link_lost(a);
}

void
link_ack(struct agent *a, const char *buffer_id)
{
	buf_adds(&a->out, SPAN_LIT("{\"type\":\"inbound_ack\""));
	json_put_member_raw(&a->out, "bufferId", span_str(buffer_id));
	buf_adds(&a->out, SPAN_LIT("}\n"));
}

void
link_reply(struct agent *a, struct turn *t)
{
	struct buf *b = &a->out;

	t->request = ++a->requests;
	buf_addf(b, "{\"type\":\"outbound\",\"requestId\":\"%" PRIu64 "\"",
	    t->request);
	buf_adds(b, SPAN_LIT(",\"action\":{\"op\":\"send\""));
	json_put_member_raw(b, "chat_id", span_str(t->chat_id));
	json_put_member_str(b, "content", buf_span(&t->job.text));
	if (t->reply_to != NULL)
		json_put_member_raw(b, "reply_to", span_str(t->reply_to));
	if (t->thread_id != NULL) {
		buf_adds(b, SPAN_LIT(",\"metadata\":{"));
		json_put_member_raw(b, "thread_id", span_str(t->thread_id));
		buf_adds(b, SPAN_LIT("}"));
	}
	buf_adds(b, SPAN_LIT("}}\n"));
	t->state = TURN_SENT;
	t->left_at = a->written + buf_len(b);
	t->deadline = client_now() + AGENT_RESULT_MS;
}

void
link_going_idle(struct agent *a)
{
	if (a->link.fd != -1)
		buf_adds(&a->out, SPAN_LIT("{\"type\":\"going_idle\"}\n"));
}
