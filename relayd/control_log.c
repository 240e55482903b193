/* SPDX-License-Identifier: ISC */
/* The level of the log, asked for on control.sock; the supervisor has it. */
#include "control_priv.h"
#include "log.h"

/* Seconds until the supervisor has answered. */
#define LEVEL_WAIT 5

void
log_run(struct request *r)
{
	struct client *c = r->c;
	char scratch[16];
	int level = LEVEL_ASK;
	uint64_t cookie;

	if (r->at[M_LEVEL] != -1)
		level = log_level_of(
		    json_str(r->doc, r->at[M_LEVEL], scratch, sizeof(scratch)));
	if (level == -1) {
		control_refuse(
		    c, "bad_request", "level is error, warn, info or debug");
		return;
	}
	cookie = client_wait(c, LEVEL_WAIT);
	if (engine_level(
		c->control->e, (uint32_t)cookie, level, c->uid, c->pid) == -1 &&
	    client_answered(c->control, cookie) == c)
		control_refuse(c, "busy", "not now; try again");
}

void
control_leveled(
    struct control *ct, uint32_t corr, int level, int configured, int json)
{
	struct client *c = client_asked(ct, corr);

	if (c == NULL)
		return; /* it is gone, or was told that time was up */
	control_begin(c, 1);
	json_put_member_str(&c->out, "level", span_str(log_level_name(level)));
	json_put_member_str(
	    &c->out, "configured", span_str(log_level_name(configured)));
	json_put_member_str(
	    &c->out, "format", span_str(json ? "json" : "logfmt"));
	buf_adds(&c->out, SPAN_LIT("}\n"));
	client_flush(c);
}
