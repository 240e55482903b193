/* SPDX-License-Identifier: ISC */
/* A link on its way up: each step of a dial, and the delay before the next. */
#include "frame.h"
#include "link_priv.h"
#include "ping.h"

/* Deadlines, in milliseconds.  For a dial the dialer has its own for each
 * step; this one also covers its queue after a mass disconnect. */
#define DIAL_MS	   60000
#define TLS_MS	   15000
#define TOKEN_MS   10000 /* includes a restart of relay-authd */
#define UPGRADE_MS 15000
#define HELLO_MS   30000 /* CONTRACT 3 */

/* Full jitter: anything up to a ceiling that doubles. */
static uint64_t
backoff(struct gateway *gw)
{
	struct link *l = &gw->link;
	uint64_t ceiling = gw->conf.reconnect_min_ms;
	uint32_t i;

	for (i = 1; i < l->attempt && ceiling < gw->conf.reconnect_max_ms; i++)
		ceiling *= 2;
	if (ceiling > gw->conf.reconnect_max_ms)
		ceiling = gw->conf.reconnect_max_ms;
	return core_random(gw->core, ceiling) + 1;
}

void
link_enter_wait(struct gateway *gw, enum link_state old)
{
	struct link *l = &gw->link;
	uint64_t ms;

	(void)old;
	link_drop(gw);
	link_then(gw, AFTER_DIAL);
	l->refused.asking = 0; /* it failed: a token is tried before */
	ms = backoff(gw);
	l->next_dial = gw->core->now + ms;
	link_deadline(gw, ms);
}

void
link_enter_dial(struct gateway *gw, enum link_state old)
{
	struct link *l = &gw->link;

	(void)old;
	link_drop(gw);
	link_then(gw, AFTER_DIAL);
	l->stale = 0;
	l->again_at = 0;
	l->left = 0;
	l->next_dial = 0;
	l->stage = NULL;
	l->dialed_at = gw->core->now;
	l->attempt++;
	gw->count.dials++;
	link_deadline(gw, DIAL_MS);
	gw->core->io->dial(gw->core->arg, gw);
}

void
link_enter_tls(struct gateway *gw, enum link_state old)
{
	(void)old;
	link_deadline(gw, TLS_MS);
	gw->core->io->tls(gw->core->arg, gw);
}

void
link_enter_token(struct gateway *gw, enum link_state old)
{
	(void)old;
	link_deadline(gw, TOKEN_MS);
	gw->core->io->mint(gw->core->arg, gw);
}

void
link_enter_upgrade(struct gateway *gw, enum link_state old)
{
	(void)old;
	gw->link.token_at = gw->core->now;
	gw->link.other_token = 0;
	link_deadline(gw, UPGRADE_MS);
	gw->core->io->upgrade(gw->core->arg, gw);
}

void
link_enter_ask(struct gateway *gw, enum link_state old)
{
	(void)old;
	link_deadline(gw, UPGRADE_MS);
	gw->core->io->ask(gw->core->arg, gw);
}

void
link_enter_hello(struct gateway *gw, enum link_state old)
{
	(void)old;
	link_deadline(gw, HELLO_MS);
	wire_open(gw);
	gw->link.idle = TOLD_NOTHING;
	link_heard(gw);
	ping_begin(gw);
	frame_hellos(gw);
}

void
link_enter_up(struct gateway *gw, enum link_state old)
{
	struct link *l = &gw->link;

	if (old == LINK_IDLING) {
		link_idle_in_vain(gw);
		return;
	}
	refusal_forget(l);
	l->up_at = l->shaken_at = gw->core->now;
	gw->count.handshakes++;
	if (!l->other_token) {
		l->ever_up = 1;
		gw->core->io->fared(gw->core->arg, gw, FARED_WORKED, "");
	}
	outbound_link_up(gw);
}
