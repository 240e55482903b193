/* SPDX-License-Identifier: ISC */
/* The requests by which operators change what a link does. */
#include <inttypes.h>
#include <stdio.h>

#include "control_priv.h"
#include "engine_cred.h"
#include "log.h"

/* Seconds an answer may take: the core has one within 15 s. */
#define WISH_WAIT 20

/* Who asks, for reasons that people read. */
#define WHO_MAX 48

static void
log_request(const struct request *r, const char *what)
{
	log_info("control", r->eg->name, "%s by uid %u, pid %d", what,
	    r->c->uid, r->c->pid);
}

/* What comes before the core is asked: it is logged, and the core learns the
 * time and who asks. */
static void
begin(const struct request *r, const char *what, char who[WHO_MAX])
{
	log_request(r, what);
	(void)snprintf(who, WHO_MAX, "uid %" PRIu32 " (pid %" PRId32 ")",
	    r->c->uid, r->c->pid);
	engine_now(r->c->control->e);
}

/* What comes after it; why: the core will not, or NULL.  Returns whether it
 * will. */
static int
end(const struct request *r, const char *why, uint64_t cookie)
{
	struct client *c = r->c;

	engine_turn(c->control->e);
	if (why == NULL)
		return 1;
	if (cookie == 0 || client_answered(c->control, cookie) == c)
		control_refuse(
		    c, "refused", "gateway %s: %s", r->eg->name, why);
	return 0;
}

/* The answer follows by control_wish_done(), perhaps before this returns. */
static void
wish(struct request *r, enum link_wish what, const char *name)
{
	char who[WHO_MAX];
	uint64_t cookie;

	if (control_gateway(r) == -1)
		return;
	begin(r, name, who);
	cookie = client_wait(r->c, WISH_WAIT);
	(void)end(r, core_wish(r->eg->gw, what, cookie, who), cookie);
}

void
control_wish_done(struct control *ct, uint64_t cookie, const char *error)
{
	struct client *c = client_answered(ct, cookie);

	if (c == NULL)
		return; /* it is gone, or was told that time was up */
	if (error == NULL)
		control_ok(c);
	else
		control_refuse(c, "failed", "%s", error);
}

void
wish_idle(struct request *r)
{
	wish(r, WISH_IDLE, "idle");
}

void
wish_wake(struct request *r)
{
	wish(r, WISH_WAKE, "wake");
}

void
wish_dormant(struct request *r)
{
	wish(r, WISH_DORMANT, "dormant");
}

void
wish_disable(struct request *r)
{
	wish(r, WISH_DISABLE, "disable");
}

void
wish_reconnect(struct request *r)
{
	wish(r, WISH_RECONNECT, "reconnect");
}

/* Ends an operator's switch, and the mark of a revocation: that one is
 * relay-authd's to take away, and the link dials when it has. */
void
wish_enable(struct request *r)
{
	struct client *c = r->c;
	const struct link *l;

	if (control_gateway(r) == -1)
		return;
	l = &r->eg->gw->link;
	if (!l->revoked && !l->off) {
		control_refuse(c, "refused",
		    "gateway %s is not disabled; it is %s", r->eg->name,
		    link_public(r->eg->gw));
		return;
	}
	if (l->revoked && engine_cred_enable(r->eg, c->uid, c->pid) == -1) {
		control_refuse(
		    c, "busy", "relay-authd is being restarted; try again");
	} else if (l->off) {
		wish(r, WISH_ENABLE, "enable");
	} else {
		log_request(r, "enable");
		control_ok(c);
	}
}

void
wish_interrupt(struct request *r)
{
	char scratch[LIMIT_SESSION_KEY], who[WHO_MAX];
	struct span key;

	if (control_gateway(r) == -1)
		return;
	key = json_str(r->doc, r->at[M_SESSION_KEY], scratch, sizeof(scratch));
	if (key.p == NULL || key.len == 0 || key.len > LIMIT_SESSION_KEY) {
		control_refuse(r->c, "bad_request",
		    "session_key has from 1 to %d bytes", LIMIT_SESSION_KEY);
		return;
	}
	begin(r, "interrupt", who);
	if (end(r, core_interrupt(r->eg->gw, key, who), 0))
		control_ok(r->c);
}
