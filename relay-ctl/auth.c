/* SPDX-License-Identifier: ISC */
/* The client's end of auth.sock. */
#include "auth.h"
#include "field.h"
#include "json.h"
#include "version.h"

#define SOCKET "auth.sock"

/* What to do about a refusal, by its code; what cannot be said without knowing
 * more, relay-authd's own sentence says. */
static const struct {
	const char *code, *hint;
} hints[] = {
    {"no_gateway", "relay-ctl status lists the gateways there are"},
    {"pinned",
	"take the pinned secret out of the configuration, the environment or "
	"the credential directory, restart or reload relayd, and try again"},
    {"no_identity_token",
	"the connector enrolls only hosts that prove whose they are: have the "
	"gateway's identity_token (relayd.yaml(5)) where relayd looks for it"},
    {"identity_refused",
	"the enrollment token was not looked at; see that the gateway's "
	"identity_token is the right tenant's and has not expired"},
    {"token_refused",
	"the enrollment token is wrong, expired, already used, or another "
	"tenant's: have a new one issued"},
    {"connector",
	"if it says so again, show its answer to who runs the connector; the "
	"enrollment token may be used up"},
    {"unreachable",
	"see the gateway's url and proxy in the configuration, and that the "
	"network is up; then try again"},
    {"storage",
	"the credential there was is as it was; make room or repair "
	"relay-authd's directory; an enrollment token that was used up needs a "
	"new one"},
    {"busy", "try again in some seconds"},
};

void
auth_begin(struct buf *req, const char *cmd)
{
	buf_init(req, LIMIT_CONTROL_LINE);
	buf_add(req, "{", 1);
	json_put_member_str(req, "cmd", span_str(cmd));
}

int
auth_reach(const struct ctl *ctl)
{
	enum client_result r;
	struct client c;
	int status = CTL_OK;

	r = client_open(&c, ctl, SOCKET);
	if (r != CLIENT_OK)
		status = client_explain(&c, ctl, r);
	client_close(&c);
	return status;
}

static void
hint(struct span reply)
{
	struct obj o;
	size_t i;

	if (obj_parse(&o, reply) == -1)
		return;
	for (i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (span_eq(field_str(&o, "code"), span_str(hints[i].code)))
			ctl_warn("%s", hints[i].hint);
}

int
auth_do(struct client *c, const struct ctl *ctl, struct buf *req, int wait_ms,
    const char *doing, struct span *reply)
{
	enum client_result r;
	struct obj o;
	int status;

	buf_adds(req, SPAN_LIT("}\n"));
	r = client_open(c, ctl, SOCKET);
	if (r == CLIENT_OK && req->failed) {
		ctl_warn(
		    "the request is longer than %u bytes", LIMIT_CONTROL_LINE);
		r = CLIENT_WRONG;
	}
	if (r == CLIENT_OK)
		r = client_write(c, buf_span(req), wait_ms);
	buf_free(req);
	if (r == CLIENT_OK)
		r = client_await(c, reply, wait_ms,
		    doing == NULL ? "waiting for relay-authd's answer" : doing);
	if (r == CLIENT_OK)
		r = version_check(ctl, *reply);
	if (r != CLIENT_OK)
		return client_explain(c, ctl, r);
	if (obj_parse(&o, *reply) == 0 && field_true(&o, "ok"))
		return CTL_OK;
	status = client_refused(c, ctl, *reply);
	if (!ctl->out.json)
		hint(*reply);
	return status;
}
