/* SPDX-License-Identifier: ISC */
/*
 * What link.c (states), link_dial.c (coming up), link_down.c (going down),
 * link_idle.c (going idle) and link_wish.c (operators) share.  Nobody else
 * includes it.
 */
#ifndef LINK_PRIV_H
#define LINK_PRIV_H

#include "core.h"

/* The state's deadline, in milliseconds from now. */
void link_deadline(struct gateway *gw, uint64_t ms);
/* The same as a core time; one that has passed is due at once. */
void link_deadline_at(struct gateway *gw, uint64_t when);
/* Drop the dial or connection, and give its buffers back. */
void link_drop(struct gateway *gw);
/* Why it is disabled. */
const char *link_why_disabled(const struct link *l);
/* Whether it is on its way to sleep, a close, or a stop. */
int link_goes_down(const struct link *l);

/* Keep how the connection ended, for people. */
void link_note_close(
    struct gateway *gw, int code, int status, int by_us, struct span reason);
/* What follows when the connection is gone: unless relayd stops, or it was
 * switched off. */
void link_then(struct gateway *gw, enum link_after after);
/* The deadline of LINK_DRAIN passed. */
void link_drain_due(struct gateway *gw);

/* Send going_idle, unless its ack is here or awaited. */
void link_say_idle(struct gateway *gw);
/* Go to sleep: to AFTER_IDLE or AFTER_DORMANT. */
void link_sleep(struct gateway *gw, enum link_after after, const char *why);
/* No ack of going_idle came: the link stays. */
void link_idle_in_vain(struct gateway *gw);
/* Set, or clear, the timer after which the link goes quiet by itself. */
void link_quiet_arm(struct gateway *gw);
void link_quiet_init(struct gateway *gw);

/* Answer operators whose wish came true, or cannot any more. */
void link_wishes_settle(struct gateway *gw);
/* Answer all: the gateway goes. */
void link_wishes_end(struct gateway *gw);

/* Entry actions of the states; old is the one before. */
void link_enter_wait(struct gateway *gw, enum link_state old);
void link_enter_dial(struct gateway *gw, enum link_state old);
void link_enter_tls(struct gateway *gw, enum link_state old);
void link_enter_token(struct gateway *gw, enum link_state old);
void link_enter_upgrade(struct gateway *gw, enum link_state old);
void link_enter_ask(struct gateway *gw, enum link_state old);
void link_enter_hello(struct gateway *gw, enum link_state old);
void link_enter_up(struct gateway *gw, enum link_state old);
void link_enter_idling(struct gateway *gw, enum link_state old);
void link_enter_asleep(struct gateway *gw, enum link_state old);
void link_enter_dormant(struct gateway *gw, enum link_state old);
void link_enter_drain(struct gateway *gw, enum link_state old);
void link_enter_close(struct gateway *gw, enum link_state old);

#endif
