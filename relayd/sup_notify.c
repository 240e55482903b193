/* SPDX-License-Identifier: ISC */
/* What the service manager is told, at once or as soon as it has room. */

#include <event2/event.h>

#include "sup_notify.h"

/* A full queue is looked at again so often, and after the last that was to be
 * told for so long: longer than managers wait for a start unless they are told
 * to (90 s). */
#define AGAIN_MS   100
#define GIVE_UP_MS 120000

static void
arm(struct supervisor *s)
{
	const struct timeval tv = {0, AGAIN_MS * 1000};

	if (s->ev_notify != NULL)
		event_add(s->ev_notify, &tv);
}

static void
on_again(int fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (notify_again(&s->notify) == 0)
		return;
	if (sup_now() - s->told_ms < GIVE_UP_MS) {
		arm(s);
		return;
	}
	log_warn("notify", NULL,
	    "the service manager has not read for %d s what it is told: what "
	    "waits for it is given up; see whether the manager hangs",
	    GIVE_UP_MS / 1000);
	notify_forget(&s->notify);
}

void
sup_notify_open(struct supervisor *s)
{
	const char *why;

	why = notify_init(&s->notify, sup_env_get(&s->env, "NOTIFY_SOCKET"),
	    sup_env_get(&s->env, "WATCHDOG_USEC"),
	    sup_env_get(&s->env, "WATCHDOG_PID"));
	if (why != NULL)
		log_warn("notify", NULL, "NOTIFY_SOCKET: %s", why);
}

int
sup_notify_init(struct supervisor *s)
{
	s->ev_notify = evtimer_new(s->base, on_again, s);
	return s->ev_notify == NULL ? -1 : 0;
}

void
sup_notify(struct supervisor *s, const char *text)
{
	s->told_ms = sup_now();
	if (notify_tell(&s->notify, text))
		arm(s);
}

void
sup_notify_free(struct supervisor *s)
{
	if (s->ev_notify != NULL)
		event_free(s->ev_notify);
	s->ev_notify = NULL;
}
