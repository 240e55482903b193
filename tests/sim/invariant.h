/* SPDX-License-Identifier: ISC */
/*
 * What must hold, each rule by its own name: the name of the function is what
 * a violation is reported as.  All are called at the moment at which they can
 * be judged; those of the end after the faults are over and all had time.
 */
#ifndef INVARIANT_H
#define INVARIANT_H

#include "sim.h"

/* A rule that is broken is named by its function. */
#define MUST(cond, ...)                                     \
	do {                                                \
		if (!(cond))                                \
			violated(w, __func__, __VA_ARGS__); \
	} while (0)

/* An event is given to an agent. */
void arrived_before_given(struct world *w, unsigned e);
void taken_is_never_given_again(struct world *w, unsigned e);
void one_holder_at_a_time(struct world *w, unsigned e);
void session_in_order(struct world *w, unsigned e);
void session_with_one_agent(struct world *w, unsigned e, const struct slot *s);
void session_sticks(struct world *w, unsigned e, const struct slot *s);
void least_loaded_is_chosen(struct world *w, unsigned e, const struct slot *s);
void platform_is_served(struct world *w, unsigned e, const struct slot *s);
void window_is_kept(struct world *w, const struct slot *s);
void draining_gets_nothing(struct world *w, const struct slot *s);
void redelivery_is_told(struct world *w, unsigned e, int told);
void id_is_stable_and_unique(struct world *w, unsigned e, struct span id);
void key_is_told(struct world *w, unsigned e, struct span key);
void
answer_goes_to_who_asked(struct world *w, unsigned e, const struct slot *s);
void suspects_go_alone(struct world *w, unsigned e, const struct slot *s);

void aside_is_earned(struct world *w, unsigned e);
void operator_is_obeyed(struct world *w, const char *why);
void quarantine_is_as_known(struct world *w);

/* The core acknowledges an event to the connector. */
void acked_only_when_taken(struct world *w, unsigned e);
void acked_in_order_of_arrival(struct world *w, unsigned e);
void acked_once_per_arrival(struct world *w, unsigned e);

/* Agents. */
void agent_ack_counts(struct world *w, uint64_t before, int held);
void ack_timeout_is_kept(struct world *w, const struct slot *s, int now);
void interrupt_once(struct world *w, unsigned session, uint32_t ready);
void interrupt_reaches_connector(struct world *w, uint32_t read, uint32_t said);

/* Requests. */
void request_sent_once(struct world *w, unsigned n);
void denied_is_never_sent(struct world *w, unsigned n);
void answered_once(struct world *w, unsigned n);
void answer_is_theirs(struct world *w, unsigned n);
void ambiguous_only_when_sent(struct world *w, unsigned n);
void answered_in_time(struct world *w);
void loss_is_told_at_once(struct world *w);
void request_leaves_when_up(struct world *w);

/* The link. */
void disabled_never_dials(struct world *w);
void stopped_never_dials(struct world *w);
void one_dial_at_a_time(struct world *w);
void delay_is_bounded(struct world *w, uint64_t ms);
void delay_grows(struct world *w);
void hurry_is_rare(struct world *w);
void revocation_is_earned(struct world *w);
void revocation_is_believed(struct world *w);
void waits_have_deadlines(struct world *w);
void says_hello_for_each(struct world *w, struct span platform);
void silent_peer_is_noticed(struct world *w);

void sleeps_only_after_ack(struct world *w);
void idles_without_agents(struct world *w);
void pressure_is_told(struct world *w);
void last_agent_takes_it_along(struct world *w);
void wakes_when_needed(struct world *w);
void idle_until_needed(struct world *w);
void dormant_holds_the_dial(struct world *w);
void dials_after_sleep(struct world *w, enum link_state before);
void wish_is_answered(struct world *w);
void wish_answered_once(struct world *w, uint64_t cookie);
void wish_came_true(struct world *w, unsigned kind);

/* Always. */
void memory_is_bounded(struct world *w);
void nothing_given_is_forgotten(struct world *w);
void nobody_waits_in_vain(struct world *w);

/* At the end. */
void link_comes_back(struct world *w);
void nothing_is_lost(struct world *w);
void everything_is_acked(struct world *w);
void nothing_is_left(struct world *w);
void stops_in_time(struct world *w);

/* books.c: the core's own books, as the fuzzer's audit has them. */
void books_are_right(struct world *w);

#endif
