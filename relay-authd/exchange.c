/* SPDX-License-Identifier: ISC */
/* One HTTP exchange, driven; see exchange.h. */
#include <string.h>
#include <unistd.h>

#include "exchange.h"

void
exchange_begin(struct exchange *x, uint32_t corr, uint32_t gateway,
    enum xchg_kind with, uint64_t now_ms, const struct exchange_ops *ops,
    void *arg)
{
	struct msg_want_exchange m = {.gateway = gateway, .kind = with};
	struct msg_xdial d = {.gateway = gateway,
	    .endpoint = with == XCHG_IDP ? ENDPOINT_IDP : ENDPOINT_CONNECTOR};

	*x = (struct exchange){.with = with,
	    .gateway = gateway,
	    .corr = corr,
	    .deadline = now_ms + EXCHANGE_MS,
	    .sock = -1,
	    .active = 1,
	    .dialled = with != XCHG_COMMAND};
	/* What cannot be sent runs into the deadline. */
	ops->send(ROLE_SUPERVISOR, MSG_WANT_EXCHANGE, corr, &m, -1, arg);
	if (x->dialled)
		ops->send(ROLE_DIALER, MSG_XDIAL, corr, &d, -1, arg);
}

static enum exchange_event
offence(struct span *why)
{
	*why = SPAN_LIT("a message about an exchange that is not so far");
	return EXCHANGE_OFFENCE;
}

static enum exchange_event
progress(const struct exchange *x)
{
	return x->piped && (x->sock != -1 || x->with == XCHG_COMMAND)
	    ? EXCHANGE_READY
	    : EXCHANGE_NOTHING;
}

static enum exchange_event
on_pipe(struct exchange *x, struct msg *m, struct span *why,
    const struct exchange_ops *ops, void *arg)
{
	if (x->piped)
		return offence(why);
	if (ops->open(x->corr, m->fd, arg) == -1) {
		*why = SPAN_LIT("no memory for a pipe to the exchange");
		return EXCHANGE_LOST;
	}
	m->fd = -1;
	x->piped = 1;
	return progress(x);
}

static enum exchange_event
on_socket(struct exchange *x, struct msg *m, struct span *why)
{
	if (!x->dialled)
		return offence(why);
	x->dialled = 0;
	x->sock = m->fd;
	m->fd = -1;
	return progress(x);
}

static enum exchange_event
handle(struct exchange *x, struct msg *m, struct span *why,
    const struct exchange_ops *ops, void *arg)
{
	if (m->type == MSG_EXCHANGE)
		return on_pipe(x, m, why, ops, arg);
	if (m->type == MSG_XCONNECTED)
		return on_socket(x, m, why);
	if (m->type == MSG_XANSWER && x->asked)
		return EXCHANGE_ANSWERED;
	if (m->type == MSG_EXCHANGE_FAILED && !x->piped) {
		*why = m->u.exchange_failed.reason;
		return EXCHANGE_LOST;
	}
	if (m->type == MSG_XDIAL_FAILED && x->dialled) {
		x->dialled = 0;
		*why = m->u.xdial_failed.reason;
		return EXCHANGE_LOST;
	}
	return offence(why);
}

enum exchange_event
exchange_message(struct exchange *x, struct msg *m, struct span *why,
    const struct exchange_ops *ops, void *arg)
{
	enum exchange_event e = handle(x, m, why, ops, arg);

	if (m->fd != -1)
		close(m->fd);
	m->fd = -1;
	return e;
}

int
exchange_ask(struct exchange *x, const struct msg_xrequest *m,
    const struct exchange_ops *ops, void *arg)
{
	int r = ops->send(ROLE_XCHG, MSG_XREQUEST, x->corr, m, x->sock, arg);

	x->asked = 1;
	/* It is the exchange's alone from now on. */
	if (x->sock != -1)
		close(x->sock);
	x->sock = -1;
	return r;
}

void
exchange_end(struct exchange *x, const struct exchange_ops *ops, void *arg)
{
	struct msg_xdial_cancel m = {.gateway = x->gateway};

	if (!x->active)
		return;
	if (x->piped)
		ops->close(x->corr, arg);
	if (x->dialled)
		ops->send(ROLE_DIALER, MSG_XDIAL_CANCEL, x->corr, &m, -1, arg);
	if (x->sock != -1)
		close(x->sock);
	memset(x, 0, sizeof(*x));
	x->sock = -1;
}
