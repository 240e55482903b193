/* SPDX-License-Identifier: ISC */
/* Pinned secrets that change by themselves; see sup_watch.h. */

#include <event2/event.h>
#include <string.h>

#include "sup_child.h"
#include "sup_reload.h"
#include "sup_watch.h"

/* A file is taken when it was found the same twice in a row: whoever writes
 * it in place is done by then. */
#define WATCH_MS 2000

static int
same(const struct sup_stamp *a, const struct sup_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->mtime.tv_sec == b->mtime.tv_sec &&
	    a->mtime.tv_nsec == b->mtime.tv_nsec &&
	    a->ctime.tv_sec == b->ctime.tv_sec &&
	    a->ctime.tv_nsec == b->ctime.tv_nsec;
}

void
sup_watch_offer(
    struct sup_slot *at, const struct sup_env *e, const struct conf_gateway *g)
{
	(void)sup_cred_stamp(&at->offered, e, g);
}

/* Look at a gateway's file.  Whether it is another one than relay-authd has,
 * and at rest. */
static int
changed(
    struct sup_slot *at, const struct sup_env *e, const struct conf_gateway *g)
{
	struct sup_stamp now;
	int rests;

	if (!sup_cred_stamp(&now, e, g))
		return 0;
	rests = same(&now, &at->seen);
	at->seen = now;
	return rests && !same(&now, &at->taken);
}

/* relay-authd lives by a configuration, and is not being given one. */
static int
can_take(const struct supervisor *s)
{
	const struct sup_child *authd = &s->child[ROLE_AUTHD];

	return s->phase == PHASE_RUNNING && authd->committed &&
	    authd->slice == SLICE_NONE;
}

static void
look(int fd, short what, void *arg)
{
	struct supervisor *s = arg;
	const struct sup_plan *p = s->plan;
	struct sup_slot *at;
	unsigned n = 0;
	size_t i;

	(void)fd;
	(void)what;
	if (!can_take(s))
		return;
	for (i = 0; i < p->conf->ngateway; i++) {
		at = &s->slots.slot[p->slot[i]];
		at->due = changed(at, &s->env, &p->conf->gateway[i]) != 0;
		n += at->due;
	}
	if (n > 0)
		sup_reload_secrets(s);
}

void
sup_watch_taken(struct supervisor *s)
{
	const struct timeval tv = {WATCH_MS / 1000, WATCH_MS % 1000 * 1000};
	const struct sup_plan *p = s->plan;
	struct sup_stamp stamp;
	struct sup_slot *at;
	int any = 0;
	size_t i;

	for (i = 0; i < p->conf->ngateway; i++) {
		at = &s->slots.slot[p->slot[i]];
		at->taken = at->offered;
		any |= sup_cred_stamp(&stamp, &s->env, &p->conf->gateway[i]);
	}
	/* Who has no file is not woken for it. */
	if (!any)
		event_del(s->ev_watch);
	else if (!event_pending(s->ev_watch, EV_TIMEOUT, NULL))
		event_add(s->ev_watch, &tv);
}

int
sup_watch_init(struct supervisor *s)
{
	s->ev_watch = event_new(s->base, -1, EV_PERSIST, look, s);
	return s->ev_watch == NULL ? -1 : 0;
}

void
sup_watch_free(struct supervisor *s)
{
	if (s->ev_watch != NULL)
		event_free(s->ev_watch);
}
