/* SPDX-License-Identifier: ISC */
/* What operators ask for: requests, wishes, interrupts. */
#include "invariant.h"
#include "sim.h"

static const char *const wish_name[] = {[WISH_IDLE] = "idle",
    [WISH_WAKE] = "wake",
    [WISH_DORMANT] = "dormant",
    [WISH_DISABLE] = "disable",
    [WISH_ENABLE] = "enable",
    [WISH_RECONNECT] = "reconnect"};

void
operator_request(struct world *w)
{
	unsigned n = w->nrequest;
	struct request *r = request_new(w);
	char text[96];

	if (r == NULL)
		return;
	r->by_operator = 1;
	w->needed = 1;
	trace(w, "an operator sends request %u", n);
	(void)snprintf(text, sizeof(text),
	    "{\"op\":\"send\",\"chat_id\":\"c1\",\"content\":\"R%u\"}", n);
	if (core_send(w->gw, span_str(text), n + 1) != NULL) {
		r->open = 0;
		r->denied = 1;
	}
	wakes_when_needed(w);
}

/* What is so from now on, and what is so once it was granted. */
void
operator_wish(struct world *w, enum link_wish kind)
{
	struct wish *p = &w->wish[w->nwish];
	uint8_t was_off = w->off;
	const char *why;

	if (w->nwish == WISHES)
		return;
	*p = (struct wish){.kind = (uint8_t)kind, .open = 1, .at = w->c->now};
	w->nwish++;
	w->needed = 1;
	w->woken = kind == WISH_WAKE;
	if (kind == WISH_ENABLE) {
		w->off = 0;
		w->sure = 0;
	}
	trace(w, "wish %u: %s", w->nwish - 1, wish_name[kind]);
	why = core_wish(w->gw, kind, w->nwish, "uid 0");
	w->woken = 0;
	if (why != NULL) {
		trace(w, "refused: %s", why);
		p->open = 0;
		w->off = was_off;
	} else if (kind == WISH_DISABLE)
		w->off = 1;
}

void
operator_interrupt(struct world *w, unsigned session)
{
	uint32_t ready = connector_ready(w);
	char key[64];

	session_key_of(session, key);
	if (core_interrupt(w->gw, span_str(key), "uid 0") == NULL)
		interrupt_once(w, session, ready);
}

void
operator_wakes(struct world *w)
{
	enum link_state s = w->gw->link.state;

	unsigned i;

	for (i = 0; i < w->nwish && !w->wish[i].open; i++)
		continue;
	if (i == w->nwish) /* begin anew */
		w->nwish = 0;
	if (w->off)
		operator_wish(w, WISH_ENABLE);
	else if (s == LINK_IDLE || s == LINK_DORMANT)
		operator_wish(w, WISH_WAKE);
}
